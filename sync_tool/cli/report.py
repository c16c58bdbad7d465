"""Output for people and logs: progress, notes, errors, JSON and questions."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
import orjson

from sync_tool.errors import ConvexMsgsError, OutputError
from sync_tool.text import harmless, harmless_json

if TYPE_CHECKING:
    from tqdm import tqdm


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a standard stream exists and is a terminal."""
    return stream is not None and stream.isatty()


class _Notes(logging.Handler):
    """Prints what the library logs as notes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.note(record.getMessage())


class Console:
    """Output as -q, -v, --json and --log-json set it; also the `Progress` of the library's functions."""

    def __init__(self) -> None:
        self.quiet = False
        self.verbose = False
        self.as_json = False
        self.log_json = False
        self.json_on_stderr = False
        """True while standard output carries data."""
        self.when_stopped = "stopped safely; run the same command to start again."
        """Message after Ctrl-C or SIGTERM."""
        self._bar: tqdm[Any] | None = None

    def watch_retries(self) -> None:
        """Print every retry with -v, and none without."""
        import stamina.instrumentation

        def note_retry(details: Any) -> None:
            self.detail(f"trying again in {details.wait_for:.1f} s: {details.caused_by}")

        stamina.instrumentation.set_on_retry_hooks([note_retry])

    def watch_keys(self) -> None:
        """Print where a key is sent if its place was not given."""
        log = logging.getLogger("sync_tool.deployment.settings")
        log.handlers = [_Notes(self)]
        log.setLevel(logging.INFO)
        log.propagate = False

    def begin(self, title: str, total: int | None) -> None:
        """Print the title, and start the progress bar on a terminal."""
        self.close()
        self.note(title)
        if not self.quiet and not self.log_json and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=" msg", unit_scale=False, dynamic_ncols=True, leave=False, delay=0.5)

    def advance(self, rows: int, size: int) -> None:
        """Move the progress bar."""
        if self._bar is not None:
            self._bar.update(rows)
            self._bar.set_postfix_str(f"{size / 1000:,.0f} KB a page", refresh=False)

    def note(self, text: str) -> None:
        """Print a line for people on stderr."""
        if not self.quiet:
            self._line("note", text)

    def detail(self, text: str) -> None:
        """Print a line for people on stderr with -v."""
        if self.verbose:
            self.note(text)

    def data(self, text: str) -> None:
        """Print a line of the result on stdout."""
        self._out(harmless(text))

    def row(self, raw: bytes) -> None:
        """Print a row as a line of JSONL on stdout."""
        text = raw.decode()
        self._out(harmless_json(text) if is_terminal(sys.stdout) else text, json=True)

    def finish(self, report: object, text: str, *, trouble: str = "") -> None:
        """End a command: with --json print the report, else `text` for people on stderr.

        Args:
            report: returned by the library.
            text: the last lines.
            trouble: the one line that -q prints; empty if all went well.
        """
        self.close()
        if self.as_json:
            self.json(report)
        elif self.quiet and trouble:
            self._line("note", trouble)
        else:
            self.note(text)

    def json(self, report: object) -> None:
        """Print a report as one JSON object."""
        text = orjson.dumps(report, option=orjson.OPT_NON_STR_KEYS).decode()
        stream = sys.stderr if self.json_on_stderr else sys.stdout
        if is_terminal(stream):
            text = harmless_json(text)
        if stream is sys.stdout:
            self._out(text, json=True)
        elif stream is not None:
            _write(stream, text, json=True)

    def error(self, error: ConvexMsgsError) -> None:
        """Print an error, and its hint as labelled lines."""
        self.close()
        if self.as_json:
            said = {"error": harmless(error.message), "hint": harmless(error.hint)}
            self.json({**said, "exit_code": int(error.exit_code)})
            return
        lines = [f"error: {error.message}"]
        if not self.quiet:
            lines += [f"  {line}" for line in error.hint.splitlines()]
        self._line("error", "\n".join(lines) + f" [exit {int(error.exit_code)}]")

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def flush(self) -> None:
        """Write everything that is buffered for stdout.

        Raises:
            PipeClosed: the reader went away.
            OutputError: it could not be written.
        """
        if sys.stdout is not None:
            try:
                sys.stdout.flush()
            except OSError as error:
                raise self._not_written(error) from None

    def _out(self, text: str, *, json: bool = False) -> None:
        if sys.stdout is None:
            self.json_on_stderr = True
            raise OutputError("standard output is closed.")
        try:
            _write(sys.stdout, text, json=json)
        except OSError as error:
            raise self._not_written(error) from None

    def _not_written(self, error: OSError) -> ConvexMsgsError:
        from sync_tool.files.bytes import translate

        self.json_on_stderr = True
        return translate(error, Path("standard output"))

    def _line(self, level: str, text: str) -> None:
        text = harmless(text)
        if self.log_json:
            text = orjson.dumps({"level": level, "message": text}).decode()
        if self._bar is not None:
            self._bar.clear()
        if sys.stderr is not None:
            sys.stderr.write(text + "\n")


def _write(stream: TextIO, text: str, *, json: bool) -> None:
    """Write a line; JSON is UTF-8, whatever the terminal's encoding."""
    if json:
        stream.flush()
        stream.buffer.write(text.encode() + b"\n")
    else:
        stream.write(text + "\n")


def on_terminal(console: Console) -> bool:
    """Return whether a person can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not console.as_json


def confirm(question: str) -> bool:
    """Ask on stderr; Return alone means no."""
    return click.confirm(question, err=True)
