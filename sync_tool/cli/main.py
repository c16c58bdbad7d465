"""``convex-msgs``: the group of commands, and the conversion of errors into messages and exit codes."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Final, NoReturn

import click

from sync_tool._version import __version__
from sync_tool.cli.help import Group
from sync_tool.cli.memory import limit_memory
from sync_tool.cli.options import general
from sync_tool.cli.report import Console
from sync_tool.errors import ConvexMsgsError, Exit, OutputError, PipeClosed, UsageError

_OTHER_OPTIONS: Final = {
    "--path": "the output is -o FILE",
    "--output": "the output is -o FILE",
    "--out": "the output is -o FILE",
    "--prod": "the key decides: use a production key, for example --env-file .env.msgs",
    "--deployment": "the key decides which deployment; see --env-file",
    "--deployment-name": "the key decides which deployment; see --env-file",
    "--admin-key": "a key is never an argument (others could read it): use --env-file or --key-command",
    "--deploy-key": "a key is never an argument (others could read it): use --env-file or --key-command",
    "--key": "a key is never an argument (others could read it): use --env-file or --key-command",
    "--limit": "select with -s, --match, --after and --before",
    "--since": "select with --after",
    "--until": "select with --before",
}


class _Interrupted(KeyboardInterrupt):
    """SIGINT came.

    Not KeyboardInterrupt itself: where that leaves code run from a string (a dataclass being made, say), Python ends
    by killing itself in place of the exit code, though it was caught (run_eval_code_obj in CPython's pythonrun.c).
    """


class _Terminated(BaseException):
    """SIGTERM came."""


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="convex-msgs")
@general
def cli() -> None:
    """Export, import, sync and restore LangChain chat history in Convex, by session.

    \b
    convex-msgs sessions --recent 5            the newest sessions
    convex-msgs export -s cust-42 -o chat.md   one of them as a transcript
    convex-msgs sandbox --sample-data          a deployment on this machine to try it on

    The key comes from the environment or an env file: see `convex-msgs doctor --help`.
    """  # \b is click's mark for a block that keeps its lines


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with one of the documented exit codes."""
    console = Console()
    console.watch_keys()
    _secure_streams()
    limit_memory()
    signal.signal(signal.SIGTERM, _raise_terminated)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the parent process wants it ignored
        signal.signal(signal.SIGINT, _raise_interrupted)
    code = _run(arguments, console)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:  # already reported; otherwise Python reports it again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(int(code))


def _secure_streams() -> None:
    """Keep files off the numbers of closed standard streams, and print any character."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str] | None, console: Console) -> int:
    try:
        code = cli.main(arguments, prog_name="convex-msgs", standalone_mode=False, obj=console)
        console.flush()
    except PipeClosed as error:
        return error.exit_code
    except ConvexMsgsError as error:
        console.error(error)
        return error.exit_code
    except click.UsageError as error:
        console.error(_usage(error))
        return Exit.USAGE
    except click.ClickException as error:
        console.error(UsageError(error.format_message()))
        return Exit.USAGE
    except (KeyboardInterrupt, click.Abort, _Terminated) as stop:
        return _stopped(console, stop)
    except Exception as fault:  # noqa: BLE001  # the boundary: everything else is a fault of the tool
        if isinstance(fault.__cause__, (KeyboardInterrupt, _Terminated)):  # as a class that is being made wraps it
            return _stopped(console, fault.__cause__)
        console.close()
        if isinstance(fault, OSError) and fault.errno == errno.ENOSPC:
            console.error(OutputError("no space left for standard output or for temporary files."))
            return Exit.USAGE
        if sys.stderr is not None:
            traceback.print_exc()
        console.note("this is a fault of convex-msgs itself; please report it with the lines above. [exit 1]")
        return Exit.FAULT
    return code if isinstance(code, int) else Exit.DONE


def _stopped(console: Console, stop: BaseException) -> int:
    code = Exit.TERMINATED if isinstance(stop, _Terminated) else Exit.INTERRUPTED
    console.close()
    console.note(f"{console.when_stopped} [exit {int(code)}]")
    return code


def _usage(error: click.UsageError) -> UsageError:
    """Translate a usage error of click; add our option where the user typed that of another tool."""
    hint = []
    if isinstance(error, click.NoSuchOption) and error.option_name in _OTHER_OPTIONS:
        hint.append(("instead", _OTHER_OPTIONS[error.option_name]))
    if error.ctx is not None:
        hint.append(("help", f"{error.ctx.command_path} --help"))
    return UsageError(error.format_message(), hint=hint)


def _raise_interrupted(number: int, frame: FrameType | None) -> None:  # a signal handler's form
    raise _Interrupted


def _raise_terminated(number: int, frame: FrameType | None) -> None:  # a signal handler's form
    raise _Terminated
