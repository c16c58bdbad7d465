"""Errors at the command line: one clear message, the documented exit code, no traceback, no half file."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from running import ROOT, Done, Sandbox, clean_environment, convex_msgs, running_sandbox
from sync_tool.cli.options import ids_from
from sync_tool.errors import Locked, OutputError
from sync_tool.files.bytes import new_file
from sync_tool.text import harmless_json

FAST = {"CONVEX_MSGS_ATTEMPTS": "1"}
EVERYTHING = ("jsonl", "jsonl.zst", "jsonl.gz", "parquet", "zip", "md")


def run(sandbox: Sandbox, folder: Path, *arguments: str, env: dict[str, str] | None = None) -> Done:
    """Run a command against a sandbox."""
    return convex_msgs(*arguments, "--env-file", str(sandbox.env_file), cwd=folder, env={**FAST, **(env or {})})


def assert_error(done: Done, code: int, *said: str) -> None:
    """One error, its code, nothing on stdout, no traceback, and these words in it."""
    assert done.code == code, done.err
    assert done.out == b""
    assert done.err.count("error: ") == 1
    assert done.err.endswith(f"[exit {code}]\n")
    assert "Traceback" not in done.err
    for words in said:
        assert words in done.err


def files(folder: Path) -> list[str]:
    """Return what is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def test_nothing_listening_is_exit_5(tmp_path: Path) -> None:
    """An unreachable URL: said with the URL, safe to run again."""
    env = {**FAST, "CONVEX_SELF_HOSTED_URL": "http://127.0.0.1:9", "CONVEX_SELF_HOSTED_ADMIN_KEY": "a|0123456789"}
    done = convex_msgs("export", "-o", "a.jsonl", cwd=tmp_path, env=env)
    assert_error(done, 5, "no usable answer from http://127.0.0.1:9: connection refused")
    assert files(tmp_path) == []


def test_a_wrong_key_is_exit_6_and_never_shown(tmp_path: Path, sandbox: Sandbox) -> None:
    """The deployment refuses the key: what it may be, how to make one, and not a letter of its secret."""
    env = {**FAST, "CONVEX_SELF_HOSTED_URL": sandbox.url, "CONVEX_SELF_HOSTED_ADMIN_KEY": "sandbox|5ec7e7badbadbad0"}
    for command in (("sessions",), ("export", "-o", "a.jsonl"), ("doctor", "-v"), ("sessions", "--json")):
        done = convex_msgs(*command, cwd=tmp_path, env=env)
        assert done.code == 6
        assert "refused the key" in done.err + done.out.decode()
        assert "5ec7e7" not in done.err + done.out.decode()
    assert files(tmp_path) == []


def test_a_users_token_is_exit_2(tmp_path: Path, sandbox: Sandbox) -> None:
    """A login token in place of a key is recognised before anything is sent."""
    env = {"CONVEX_SELF_HOSTED_URL": sandbox.url, "CONVEX_DEPLOY_KEY": "eyJhbGciOi.eyJzdWIi.c2ln"}
    assert_error(convex_msgs("sessions", cwd=tmp_path, env=env), 2, "login token", "CONVEX_DEPLOY_KEY", "make one")


def test_key_and_url_that_disagree_are_exit_2_naming_both(tmp_path: Path, sandbox: Sandbox) -> None:
    """By the cloud URL's name, or by what the deployment itself says it is."""
    env = {**FAST, "CONVEX_DEPLOY_KEY": "prod:tall-forest-123|c2VjcmV0"}
    done = convex_msgs("sessions", "--url", "https://fast-fox-1.convex.cloud", cwd=tmp_path, env=env)
    assert_error(done, 2, "prod:tall-forest-123", "fast-fox-1")
    done = convex_msgs("sessions", "--url", sandbox.url, cwd=tmp_path, env=env)
    assert_error(done, 2, "prod:tall-forest-123", f"{sandbox.url} is sandbox")


def test_a_missing_table_or_index_is_exit_2(tmp_path: Path, sandbox: Sandbox) -> None:
    """The error names what exists, and how to add what is missing."""
    assert_error(run(sandbox, tmp_path, "export", "-o", "a.md", "--table", "chats"), 2, "'chats'", "messages")
    assert_error(run(sandbox, tmp_path, "sessions", "--index", "byUser"), 2, "'byUser'", "--index bySessionId")
    assert files(tmp_path) == []


def test_a_key_in_an_argument_is_refused(tmp_path: Path) -> None:
    """Others on the machine could read it: the answer names the ways that work."""
    assert_error(convex_msgs("sessions", "--admin-key", "x", cwd=tmp_path), 2, "--env-file")


@pytest.mark.parametrize("suffix", EVERYTHING)
def test_existing_output_is_kept(tmp_path: Path, sandbox: Sandbox, suffix: str) -> None:
    """Exit 2 and the old file byte for byte; with --overwrite it is replaced."""
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    assert_error(run(sandbox, tmp_path, "export", "-s", "cust-88", "-o", path.name), 2, "exists", "--overwrite")
    assert path.read_bytes() == b"old"
    assert run(sandbox, tmp_path, "export", "-s", "cust-88", "-o", path.name, "--overwrite").code == 0
    assert path.read_bytes() != b"old"
    assert files(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("nowhere/a.jsonl", "the folder nowhere does not exist"),
        ("a.txt", "cannot tell the format"),
        ("a", "cannot tell the format"),
        ("a.parquet.gz", "Parquet is compressed inside"),
        ("a.csv", "cannot tell the format"),
    ],
)
def test_unusable_output_is_exit_2(tmp_path: Path, sandbox: Sandbox, output: str, said: str) -> None:
    """A missing folder, a name that says no format: said before anything is read."""
    assert_error(run(sandbox, tmp_path, "export", "-o", output), 2, said)


def test_a_contradiction_of_name_and_format_is_exit_2(tmp_path: Path, sandbox: Sandbox) -> None:
    """-o says one format, -f another."""
    assert_error(run(sandbox, tmp_path, "export", "-o", "a.jsonl", "-f", "parquet"), 2, "is jsonl")


@pytest.mark.parametrize("suffix", EVERYTHING)
def test_a_full_disk_is_exit_2_and_leaves_nothing(tmp_path: Path, sandbox: Sandbox, suffix: str) -> None:
    """When the file cannot grow there is an error and neither the file nor a temporary one."""
    command = [sys.executable, "-m", "sync_tool", "export", "-o", f"a.{suffix}", "--env-file", str(sandbox.env_file)]
    environment = clean_environment({"PYTHONPATH": str(ROOT)})
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={name: value for name, value in environment.items() if "COVERAGE" not in name},  # it would write, too
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384)),
    )
    assert_error(Done(done.returncode, done.stdout, done.stderr.decode()), 2, f"cannot write a.{suffix}")
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "magic"), [("jsonl.zst", b"\x28\xb5\x2f\xfd"), ("jsonl.gz", b"\x1f\x8b"), ("jsonl", b"{")]
)
def test_formats_without_a_suffix_are_what_was_asked(tmp_path: Path, sandbox: Sandbox, kind: str, magic: bytes) -> None:
    """-f decides for standard output and for names that say nothing; nothing else is ever written instead."""
    done = run(sandbox, tmp_path, "export", "-s", "cust-88", "-f", kind)
    assert (done.code, done.out[: len(magic)]) == (0, magic)
    assert run(sandbox, tmp_path, "export", "-s", "cust-88", "-f", kind, "-o", "chat.out").code == 0
    assert (tmp_path / "chat.out").read_bytes()[: len(magic)] == magic


def test_a_full_disk_behind_stdout_is_exit_2(tmp_path: Path, sandbox: Sandbox) -> None:
    """Standard output that takes no more is an error too, not a short file that looks whole."""
    command = [sys.executable, "-m", "sync_tool", "export", "--env-file", str(sandbox.env_file)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=clean_environment({"PYTHONPATH": str(ROOT)}),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert_error(Done(done.returncode, b"", done.stderr.decode()), 2, "no space left")


def test_a_reader_that_stops_is_quiet(tmp_path: Path, sandbox: Sandbox) -> None:
    """`export | head -1` ends with 141 and no complaint."""
    command = (
        f"{sys.executable} -m sync_tool export --env-file {sandbox.env_file} | head -c 10; exit ${{PIPESTATUS[0]}}"
    )
    env = clean_environment({"PYTHONPATH": str(ROOT)})
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


@pytest.fixture
def slow_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A deployment far away whose pages are small: an export takes long enough to be stopped."""
    (tmp_path / "server").mkdir()
    flags = ("--sample-data", "--latency", "60", "--slow-rows", "20")
    with running_sandbox(tmp_path / "server", *flags) as running:
        yield running


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "zip", "md"])
def test_stopping_leaves_no_file(tmp_path: Path, slow_sandbox: Sandbox, number: int, code: int, suffix: str) -> None:
    """Ctrl-C and SIGTERM in the middle of an export: a line, the code of the signal, and nothing in the folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "sync_tool",
        "export",
        "-o",
        f"a.{suffix}",
        "--env-file",
        str(slow_sandbox.env_file),
    ]
    env = clean_environment({"PYTHONPATH": str(ROOT)})
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "table messages" in process.stderr.readline()
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == code
    assert rest.strip() == f"stopped safely; run the same command to start again. [exit {code}]"
    assert files(folder) == []


def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path: Path, slow_sandbox: Sandbox) -> None:
    """After kill -9 only the temporary name is there, and the same command takes it over."""
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-m", "sync_tool", "export", "-o", "a.jsonl", "--env-file", str(slow_sandbox.env_file)]
    env = clean_environment({"PYTHONPATH": str(ROOT)})
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()
        assert convex_msgs(*command[3:], cwd=folder).code == 11
        process.kill()
    assert files(folder) == [".a.jsonl.part"]
    assert convex_msgs("export", "-s", "cust-88", *command[4:], cwd=folder).code == 0
    assert files(folder) == ["a.jsonl"]


def test_a_session_id_full_of_escapes_is_harmless(tmp_path: Path, sandbox: Sandbox) -> None:
    """Neither listing, errors nor transcripts send a control character to the terminal; JSONL keeps the id."""
    evil = "red\n\x1b[31mline"
    for arguments in (("sessions",), ("sessions", "--recent", "60"), ("export", "-s", "\x1b[2J\r", "-o", "x.md")):
        done = run(sandbox, tmp_path, *arguments)
        shown = done.out.decode() + done.err
        assert not any(letter in shown for letter in "\x1b\x07\x9b\r\u202e")
    assert run(sandbox, tmp_path, "export", "-s", evil, "-o", "a.md").code == 0
    assert "\x1b" not in (tmp_path / "a.md").read_text()
    assert (tmp_path / "a.md").read_text().startswith("# red\\n\\x1b[31mline\n")
    done = run(sandbox, tmp_path, "export", "-s", evil)
    assert {json.loads(line)["sessionId"] for line in done.out.splitlines()} == {evil}


def test_reading_too_much_is_refused_before_the_second_page(tmp_path: Path) -> None:
    """On the Free plan a whole table over the cap needs --max-read; nothing is written and one page was read."""
    flags = ("--sample-data", "--type", "prod", "--name", "tall-forest-123", "--no-streaming")
    with running_sandbox(tmp_path, *flags) as free:
        arguments = ("export", "-o", "a.jsonl", "--url", free.url)
        done = run(free, tmp_path, *arguments, "--max-read", "500KB")
        assert_error(done, 2, "is more than --max-read", "nothing was read but one page")
        assert "a.jsonl" not in files(tmp_path)
        assert run(free, tmp_path, *arguments, env={"CONVEX_MSGS_MAX_READ": "2MB"}).code == 0


@pytest.mark.parametrize("given", ["yesterday", "2026-13-01", "7y", ""])
def test_a_time_that_is_none_is_exit_2(tmp_path: Path, sandbox: Sandbox, given: str) -> None:
    """The option and examples are named."""
    assert_error(run(sandbox, tmp_path, "export", "--after", given, "-o", "a.md"), 2, "--after", "7d")


def test_sessions_from_a_file_or_stdin(tmp_path: Path, sandbox: Sandbox) -> None:
    """Ids one a line; an empty, missing or binary list is exit 2 with its name."""
    (tmp_path / "ids").write_text("cust-88\nteam a/chat 1\n")
    done = run(sandbox, tmp_path, "export", "--sessions-from", "ids", "-o", "a.jsonl", "--json")
    assert json.loads(done.out)["sessions"] == 2
    piped = convex_msgs(
        "export",
        "--sessions-from",
        "-",
        "-o",
        "b.jsonl",
        "--env-file",
        str(sandbox.env_file),
        cwd=tmp_path,
        stdin=b"cust-88\n",
    )
    assert piped.code == 0
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, said in (("empty", "holds no session ids"), ("missing", "cannot read"), ("binary", "not UTF-8")):
        assert_error(run(sandbox, tmp_path, "export", "--sessions-from", name, "-o", "c.jsonl"), 2, said)


def test_json_is_one_object_on_success_and_on_failure(tmp_path: Path, sandbox: Sandbox) -> None:
    """--json before or after the command prints the report, or the error with its hint and code."""
    done = run(sandbox, tmp_path, "export", "-s", "cust-88", "-o", "a.jsonl", "--json")
    report = json.loads(done.out)
    assert (report["rows"], report["sessions"], report["files"][0]["path"]) == (5, 1, "a.jsonl")
    done = convex_msgs(
        "--json", "export", "-s", "nope", "-o", "b.md", "--env-file", str(sandbox.env_file), cwd=tmp_path
    )
    error = json.loads(done.out)
    assert (done.code, error["exit_code"]) == (2, 2)
    assert "nope" in error["error"]


def test_quiet_is_quiet(tmp_path: Path, sandbox: Sandbox) -> None:
    """-q prints nothing on success and one line on an error."""
    done = run(sandbox, tmp_path, "export", "-s", "cust-88", "-o", "a.jsonl", "-q")
    assert (done.code, done.out, done.err) == (0, b"", "")
    done = run(sandbox, tmp_path, "export", "-s", "nope", "-o", "b.jsonl", "-q")
    assert done.code == 2
    assert done.err.count("\n") == 1


def test_logs_as_json_lines(tmp_path: Path, sandbox: Sandbox) -> None:
    """--log-json makes every line on stderr a JSON object."""
    done = run(sandbox, tmp_path, "export", "-s", "cust-88", "-o", "a.jsonl", "--log-json")
    levels = [json.loads(line)["level"] for line in done.err.splitlines()]
    assert levels == ["note", "note"]
    done = run(sandbox, tmp_path, "export", "-s", "nope", "-o", "b.jsonl", "--log-json")
    assert json.loads(done.err.splitlines()[-1])["level"] == "error"


def test_no_temporary_files_of_ours_are_left(tmp_path: Path, sandbox: Sandbox) -> None:
    """A read in time order sorts on disk and leaves nothing behind."""
    spool = tmp_path / "tmp"
    spool.mkdir()
    env = {"TMPDIR": str(spool), "SQLITE_TMPDIR": str(spool)}
    assert run(sandbox, tmp_path, "export", "--after", "2026-01-01", "-o", "a.jsonl", env=env).code == 0
    assert files(spool) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(tmp_path: Path, shell: str) -> None:
    """Each shell gets its script, and commands and options are offered."""
    script = convex_msgs(cwd=tmp_path, env={"_CONVEX_MSGS_COMPLETE": f"{shell}_source"})
    assert (script.code, b"_CONVEX_MSGS_COMPLETE" in script.out) == (0, True)
    words = {"COMP_WORDS": "convex-msgs export --part", "COMP_CWORD": "2" if shell != "fish" else "--part"}
    offered = convex_msgs(cwd=tmp_path, env={"_CONVEX_MSGS_COMPLETE": f"{shell}_complete", **words})
    assert b"--partition-by" in offered.out


@pytest.mark.parametrize("output", ["plain/x.jsonl", "a" * 300 + ".jsonl", "", "pipe.jsonl"])
def test_a_place_that_cannot_be_written_is_exit_2(tmp_path: Path, sandbox: Sandbox, output: str) -> None:
    """A file in place of a folder, a name too long, no name, a pipe: one line, and nothing is left or replaced."""
    (tmp_path / "plain").touch()
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert_error(run(sandbox, tmp_path, "export", "-s", "cust-88", "-o", output, "--overwrite"), 2)
    assert files(tmp_path) == ["pipe.jsonl", "plain"]
    assert (tmp_path / "pipe.jsonl").is_fifo()


def test_long_names_and_links_are_written(tmp_path: Path, sandbox: Sandbox) -> None:
    """A name of the greatest length works, and a link stays one: with --overwrite what it names is written."""
    (tmp_path / "link.jsonl").symlink_to("target.jsonl")
    assert_error(run(sandbox, tmp_path, "export", "-s", "cust-88", "-o", "link.jsonl"), 2)
    for name in ("link.jsonl", "a" * 249 + ".jsonl"):
        assert run(sandbox, tmp_path, "export", "-s", "cust-88", "-o", name, "--overwrite").code == 0
    assert (tmp_path / "link.jsonl").is_symlink()
    assert files(tmp_path) == ["a" * 249 + ".jsonl", "link.jsonl", "target.jsonl"]


def test_a_failed_run_keeps_the_temporary_file_of_another(tmp_path: Path) -> None:
    """A run without the lock removes nothing, and takes the name over only when it is free."""
    path = tmp_path / "a.jsonl"
    with new_file(path) as stream:
        stream.write(b"first")
        with pytest.raises(Locked, match=r"a\.jsonl"), new_file(path):
            pass
        assert files(tmp_path) == [".a.jsonl.part"]
    assert path.read_bytes() == b"first"
    with pytest.raises(OutputError, match="cannot be the name"), new_file(tmp_path / "a\0b"):
        pass


def test_arguments_that_are_not_unicode_are_exit_2(tmp_path: Path, sandbox: Sandbox) -> None:
    """Bytes of another encoding are named with their option."""
    assert_error(run(sandbox, tmp_path, "export", "-s", "\udcff"), 2, "--session", "not valid Unicode")
    assert_error(run(sandbox, tmp_path, "sessions", "--match", "\udcff"), 2, "--match", "not valid Unicode")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("sessions >&-", 2, "standard output is closed"),
        ("sessions --json >&-", 2, "standard output is closed"),
        ("export -s cust-88 >&-", 2, "standard output is closed"),
        ("export --sessions-from - <&-", 2, "standard input is closed"),
        ("export -s nope 2>&-", 2, ""),
        ("sessions > /dev/full", 2, "no space left"),
        ("sessions --json > /dev/full", 2, "no space left"),
        ("--help > /dev/full", 2, "no space left"),
    ],
)
def test_streams_that_cannot_be_used(tmp_path: Path, sandbox: Sandbox, arguments: str, code: int, said: str) -> None:
    """Closed and full standard streams end with a message where there is a place for one, and never a traceback."""
    env = clean_environment({"PYTHONPATH": str(ROOT), "CONVEX_MSGS_ENV_FILE": str(sandbox.env_file)})
    command = f"{sys.executable} -m sync_tool {arguments}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == code
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr + done.stdout


def test_terminals_of_another_encoding(tmp_path: Path, sandbox: Sandbox) -> None:
    """Text is written with escapes, JSON stays UTF-8."""
    env = {"PYTHONIOENCODING": "ascii"}
    assert b"\\u304a" in run(sandbox, tmp_path, "sessions", env=env).out
    found = json.loads(run(sandbox, tmp_path, "sessions", "--json", env=env).out)
    assert "お客様-5" in [one["session"] for one in found["sessions"]]


def test_an_error_while_connecting_stays_out_of_the_data(tmp_path: Path, sandbox: Sandbox) -> None:
    """With --json and data on standard output the error goes to stderr, from the first moment."""
    done = convex_msgs("export", "--json", "--env-file", "missing.env", cwd=tmp_path)
    assert (done.code, done.out) == (2, b"")
    done = convex_msgs("export", "--json", "--url", "http://127.0.0.1:9", cwd=tmp_path, env=FAST)
    assert (done.code, done.out, json.loads(done.err)["exit_code"]) == (2, b"", 2)


def test_ids_in_a_file_are_cut_at_line_ends_only(tmp_path: Path) -> None:
    """A byte order mark and CR LF go; every other odd character belongs to the id."""
    (tmp_path / "ids").write_bytes("\ufeffa\u2028b\r\nc\x85d\x0c\n\n".encode())
    assert ids_from(str(tmp_path / "ids")) == ["a\u2028b", "c\x85d\x0c"]


def test_json_on_a_terminal_is_harmless() -> None:
    """Characters that control a terminal are written as escapes, which mean the same."""
    text = json.dumps("\x9b31m \u202e \x7f é", ensure_ascii=False)
    assert harmless_json(text) == '"\\u009b31m \\u202e \\u007f é"'
    assert json.loads(harmless_json(text)) == json.loads(text)


@pytest.mark.parametrize(
    "arguments", [("import", ""), ("convert", "", "-o", "b.jsonl"), ("validate", ""), ("sync", ""), ("diff", "", "")]
)
def test_an_empty_argument_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """An empty argument, as an unset variable leaves it, does not name the current folder."""
    (tmp_path / "chat.json").write_text('[{"type":"human","data":{"content":"hi"}}]')
    done = convex_msgs(*arguments, cwd=tmp_path)
    assert (done.code, done.out) == (2, b"")
    assert "is empty" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["chat.json"]


@pytest.mark.parametrize("address", ["redis://127.0.0.1:1", "chat.jsonl", "-", "", "env:NOTHING"])
def test_messages_go_into_deployments_only(tmp_path: Path, address: str) -> None:
    """An address of no deployment is refused before anything is read or connected to."""
    (tmp_path / "chat.jsonl").write_text('{"sessionId":"a","message":{"type":"human","data":{"content":"hi"}}}\n')
    done = convex_msgs("import", "chat.jsonl", "--to", address, cwd=tmp_path)
    assert done.code == 2
    assert any(said in done.err for said in ("names no deployment", "is empty", "no variable"))
