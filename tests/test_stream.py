"""The way that streams changes: whatever happens in between, the pages together are the table."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.plan import Plan
from faults.proxying import running_proxy
from running import ROOT, Sandbox, clean_environment, convex_msgs, running_sandbox
from sync_tool.commands.opening import connect
from sync_tool.deployment import stream as longanswer
from sync_tool.deployment.client import Client
from sync_tool.deployment.rates import Patience
from sync_tool.deployment.stream import INVALID_CURSOR, ChangePage, LongAnswer, StreamReader
from sync_tool.encoding.canonical import canonical_to_export, dumps, dumps_export, export_to_canonical, loads
from sync_tool.errors import CursorExpired, NoStreaming, Refused, Unreachable
from sync_tool.rows.model import Names, Selection
from sync_tool.rows.reading import RowReader
from values import OBJECTS

KEYED = {"table": "messages", "index": "bySessionId", "keyField": "sessionId"}


def door_of(url: str, key: str, **patience: Any) -> StreamReader:
    """Return a reader of the table with LangChain's names."""
    return StreamReader(Client(url, key, Patience(**patience)), Names())


class Change(NamedTuple):
    """One revision of one document."""

    id: str
    ts: int
    raw: bytes | None
    """None if it was deleted."""


def changes_in(page: ChangePage) -> Iterator[Change]:
    """Yield the changes of a page, one by one."""
    for rows, moments, deleted in page.changes:
        for row, ts, gone in zip(rows.rows, moments, deleted, strict=True):
            yield Change(row.id, ts, None if gone else row.raw)


def changes_of(door: StreamReader) -> list[Change]:
    """Return all changes from the beginning."""
    return [change for page in door.pages(None) for change in changes_in(page)]


class Copy:
    """A table as who streams it keeps it: newest revision wins."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, bytes | None]] = {}
        self.cursor: str | None = None

    def follow(self, door: StreamReader, after_page: Callable[[], None] = lambda: None) -> list[str]:
        """Take everything there is; return the cursor of each page."""
        cursors = []
        for page in door.pages(self.cursor):
            if page.truncated:
                self.rows.clear()
            for change in changes_in(page):
                before = self.rows.get(change.id)
                assert before is None or before[0] < change.ts, "of one document, moments only rise"
                self.rows[change.id] = (change.ts, change.raw)
            self.cursor = page.cursor
            cursors.append(page.cursor)
            after_page()
        assert page.up_to_date
        assert page.snapshot is not None
        return cursors

    @property
    def table(self) -> list[bytes]:
        """The rows that were not deleted."""
        return sorted(raw for _, raw in self.rows.values() if raw is not None)


def table_of(sandbox: Sandbox) -> list[bytes]:
    """Read the table another way."""
    with connect(url=sandbox.url, key=sandbox.key, via="system") as history:
        return sorted(row.raw for page in history.pages(Selection()) for row in page.rows)


class Writer:
    """Changes a table at random: appends, edits, deletes."""

    def __init__(self, sandbox: Sandbox, seed: int) -> None:
        self._client = Client(sandbox.url, sandbox.key)
        self._random = random.Random(seed)

    def write(self) -> None:
        """Do something."""
        session = f"s{self._random.randrange(6)}"
        what = self._random.random()
        message = {"type": "human", "data": {"content": str(self._random.random()), "n": self._random.randrange(9)}}
        document = {"sessionId": session, "message": message}
        if what < 0.55:
            several = [document] * self._random.randrange(1, 5)
            self._mutate("convexMsgs:append", {"batches": [{"sessionId": session, "documents": several}]})
        elif what < 0.75:
            edited = f"edited{self._random.randrange(4)}"
            args = {**KEYED, "key": edited, "document": {**document, "sessionId": edited}}
            self._mutate("langchain/db:upsert", args)
        elif what < 0.9:
            self._mutate("convexMsgs:erase", {"sessionId": session, "limit": 2.0})
        else:
            self._mutate("langchain/db:deleteMany", {**KEYED, "key": session})

    def _mutate(self, path: str, args: dict[str, Any]) -> None:
        self._client.mutation_value(path, args)


@pytest.fixture(scope="module")
def small_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with two documents on a page."""
    with running_sandbox(tmp_path_factory.mktemp("small"), "--stream-page", "2") as running:
        yield running


def test_all_rows_as_they_are(sandbox: Sandbox) -> None:
    """The first pass gives the rows that the dashboard's queries give, byte for byte, and says where they end."""
    copy = Copy()
    copy.follow(door_of(sandbox.url, sandbox.key))
    assert len(copy.table) > 2000
    assert copy.table == table_of(sandbox)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), writes=st.integers(1, 25))
def test_pages_while_others_write(small_pages: Sandbox, seed: int, writes: int) -> None:
    """With writes between the pages, and from the cursor of every page, the copy ends as the table is."""
    writer, door = Writer(small_pages, seed), door_of(small_pages.url, small_pages.key)
    for _ in range(writes):
        writer.write()
    left = iter(range(writes))

    def write_some() -> None:
        for _ in zip(range(2), left, strict=False):
            writer.write()

    first = Copy()
    snapshots: list[tuple[str, dict[str, tuple[int, bytes | None]]]] = []

    def after_page() -> None:
        assert first.cursor is not None
        snapshots.append((first.cursor, dict(first.rows)))
        write_some()

    first.follow(door, after_page)
    first.follow(door)
    expected = table_of(small_pages)
    assert first.table == expected
    for cursor, rows in random.Random(seed).sample(snapshots, min(4, len(snapshots))):
        again = Copy()
        again.cursor, again.rows = cursor, rows
        again.follow(door)
        assert again.table == expected


def test_behind_a_faulty_network(small_pages: Sandbox) -> None:
    """Requests that break off, stall, or come back as something else are asked again; nothing is lost or doubled."""
    writer = Writer(small_pages, 7)
    for _ in range(20):
        writer.write()
    kinds = ("reset-before", "reset-after", "429", "502", "503-ExpiredInQueue", "truncated", "garbage-after", "empty")
    with running_proxy(small_pages.url, Plan.random(3, 0.4, kinds)) as proxy, stamina.set_testing(True, attempts=12):
        copy = Copy()
        copy.follow(door_of(proxy.url, small_pages.key, attempts=12))
        assert any(event.fault for event in proxy.events())
    assert copy.table == table_of(small_pages)


def test_a_cursor_that_has_grown_old(tmp_path: Path) -> None:
    """A position that is no longer kept is an error of its own, with the deployment's code; a full pass then works."""
    with running_sandbox(tmp_path, "--retention", "0") as running:
        door, copy = door_of(running.url, running.key), Copy()
        copy.follow(door)
        Client(running.url, running.key).mutation_value(
            "convexMsgs:append", {"batches": [{"sessionId": "s", "documents": [{"sessionId": "s", "message": {}}]}]}
        )
        with pytest.raises(CursorExpired) as caught:
            copy.follow(door)
        assert caught.value.code == "DataSyncCursorExpired"
        assert "full pass" in caught.value.hint
        copy.cursor = None
        copy.follow(door)
        assert copy.table == table_of(running)


def test_a_foreign_cursor(sandbox: Sandbox) -> None:
    """A cursor of another deployment and one that has grown old are different errors."""
    with pytest.raises(Refused) as caught:
        next(door_of(sandbox.url, sandbox.key).pages("07abcd"))
    assert caught.value.code == INVALID_CURSOR
    assert not isinstance(caught.value, CursorExpired)


@pytest.mark.parametrize(
    ("flag", "error", "words"),
    [
        ("--no-streaming", NoStreaming, "plan"),
        ("--no-data-sync", NoStreaming, "too old"),
        ("--deny=deployment:data:view", Refused, "may not"),
    ],
)
def test_where_it_is_not_open(tmp_path: Path, flag: str, error: type[Refused], words: str) -> None:
    """Plan, age and rights are different errors, before and during a read."""
    with running_sandbox(tmp_path, flag) as running:
        door = door_of(running.url, running.key)
        for ask in (door.check, lambda: next(door.pages(None))):
            with pytest.raises(error, match=words) as caught:
                ask()
            assert type(caught.value) is error


KEPT = "here (DOCUMENT_RETENTION_DELAY)"


@pytest.mark.parametrize(
    ("flags", "lines"),
    [
        (
            [],
            [
                "ok    read: streaming (edits and deletions seen, one moment)",
                f"ok    changes are kept at least 14 days {KEPT}",
            ],
        ),
        (
            ["--retention", "172800"],
            [f"warn  changes are kept 2 days {KEPT}: sync at least daily, else a full pass follows"],
        ),
        (["--retention", "90000"], [f"warn  changes are kept 1 day {KEPT}: sync every few hours"]),
        (["--retention", "60"], [f"warn  changes are kept less than a day {KEPT}"]),
        (["--no-data-sync"], ["--    read: no streaming: this backend is too old to stream changes"]),
        (["--no-streaming"], ["--    read: no streaming: the plan of this deployment does not include"]),
        (["--deny", "deployment:data:view"], ["--    read: no streaming: the key may not do this"]),
    ],
)
def test_doctor_says_it(tmp_path: Path, flags: list[str], lines: list[str]) -> None:
    """`doctor` shows whether changes can be streamed, why not, and for how long they are kept."""
    with running_sandbox(tmp_path, *flags) as running:
        done = convex_msgs("doctor", "--env-file", str(running.env_file), cwd=tmp_path)
    assert done.code == 0
    for line in lines:
        assert line in done.out.decode()


@given(OBJECTS)
def test_spellings(document: dict[str, Any]) -> None:
    """Any value in the export_json of data sync comes out canonical, and the conversion back is exact."""
    canonical = dumps(document)
    assert export_to_canonical(dumps_export(document)) == canonical
    loose = json.dumps(json.loads(dumps_export(document)), indent=1).encode()
    assert export_to_canonical(loose) == canonical
    assert export_to_canonical(canonical_to_export(canonical)) == canonical


@given(st.lists(OBJECTS, min_size=1, max_size=4))
def test_spellings_of_many(documents: list[dict[str, Any]]) -> None:
    """Many at once come out as each does alone, also where one among them has to be looked at by itself."""
    whole = [
        {**document, "_id": str(n), "_creationTime": 1.5, "sessionId": "s"} for n, document in enumerate(documents)
    ]
    page = RowReader(Names()).exported_page([dumps_export(document) for document in whole])
    assert page.bytes == sum(len(dumps(document)) for document in whole)
    assert [(row.id, row.time, row.session, row.raw) for row in page.rows] == [
        (str(n), 1.5, "s", dumps(document)) for n, document in enumerate(whole)
    ]


@pytest.mark.parametrize(
    ("export", "canonical"),
    [
        (b'{"a":-0.0}', b'{"a":{"$float":"AAAAAAAAAIA="}}'),
        (b'{"b":[-0e5],"a":1}', b'{"a":{"$integer":"AQAAAAAAAAA="},"b":[{"$float":"AAAAAAAAAIA="}]}'),
        (b'{"a":"x,1]"}', b'{"a":"x,1]"}'),
    ],
)
def test_numbers_that_need_care(export: bytes, canonical: bytes) -> None:
    """Negative zero and bare integers are found wherever they stand."""
    assert export_to_canonical(export) == canonical


ANSWERS = st.fixed_dictionaries(
    {"status": OBJECTS, "values": st.lists(OBJECTS, max_size=9), "last": st.text('{}[]",\\: a', max_size=9) | OBJECTS}
)


@given(ANSWERS, st.permutations(["status", "values", "last"]), st.integers(1, 40), st.sampled_from([None, 1]))
def test_long_answers(answer: dict[str, Any], order: list[str], window: int, indent: int | None) -> None:
    """An answer of any form is found again in its pieces, wherever a window ends."""
    safe = {name: json.loads(dumps_export({"": answer[name]}))[""] for name in order}
    file = io.BytesIO(json.dumps(safe, indent=indent).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(longanswer, "_WINDOW", window)
        long = LongAnswer(file, "values")
    for _ in range(2):
        assert [element for chunk in long.chunks() for element in json.loads(chunk)] == safe["values"]
    assert json.loads(long.rest) == {**safe, "values": []}


BROKEN = [b"", b"{", b'{"values":', b'{"values":[', b'{"values":[{}', b'{"values":[{},', b'{"values":[1]}', b"[]",
          b'{"values":[{}{}]}', b'{"values":[{},]}', b'{"other":[]}', b'{"values":{"a":[]}}',
          b'{"values":[{"a":"b]}', b'{"values":[' + b'{"a":' * 100]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_broken_answers(text: bytes) -> None:
    """An answer that is not an object with such an array is refused, never read as a shorter one."""
    with pytest.raises(ValueError, match="it is cut off"):
        LongAnswer(io.BytesIO(text), "values")


class _Scripted(BaseHTTPRequestHandler):
    body: Any = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(sum(map(len, self.body))))
        self.end_headers()
        for piece in self.body:
            self.wfile.write(piece)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def answering(*pieces: bytes) -> Iterator[str]:
    """Run a deployment that says one thing."""
    with serving(type("Handler", (_Scripted,), {"body": pieces})) as url:
        yield url


@contextmanager
def serving(handler: type[_Scripted]) -> Iterator[str]:
    """Run a deployment that answers as a handler does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_next_page_is_asked_for_meanwhile() -> None:
    """While the caller is at work on a page, the next one is on its way; its cursor is that of the page in hand."""
    asked: list[str | None] = []
    again = threading.Event()

    class Two(_Scripted):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))).get("cursor"))
            kind = b"snapshotting" if len(asked) == 1 else b"upToDate"
            answer = b'{"status":{"type":"%b","snapshotTs":7},"truncates":[],"values":[' % kind + TAIL
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            if len(asked) == 2:
                again.set()

    with serving(Two) as url:
        pages = door_of(url, "k").pages(None)
        first = next(pages)
        assert again.wait(30)
        assert [page.up_to_date for page in (first, *pages)] == [False, True]
    assert asked == [None, "c"]


HEAD = b'{"status":{"type":"upToDate","snapshotTs":7},"truncates":[],"values":['
TAIL = b'],"syncId":"x","pagination":{"hasMore":true,"nextCursor":"c"}}'
ROW = b'{"component":"","table":"messages","ts":5,"deleted":false,"value":%s}'

PROBE = """
import sys
from sync_tool.deployment.client import Client
from sync_tool.deployment.stream import StreamReader
from sync_tool.rows.model import Names

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak()
for page in StreamReader(Client(sys.argv[1], "k"), Names()).pages(None):
    rows = sum(len(changes.ts) for changes in page.changes)
print(rows, page.bytes, page.cursor, peak() - before)
"""


def test_an_answer_larger_than_memory_should_be(tmp_path: Path) -> None:
    """A page of 128 MiB is read with less than 48 MiB."""
    document = b'{"_id":"a","_creationTime":1.5,"message":{"data":{"content":"%s"}}}' % (b"{\\n" * (1 << 17))
    piece = ROW % document
    with answering(HEAD, *[piece + b","] * 340, piece, TAIL) as url:
        command = [sys.executable, "-c", PROBE, url]
        environment = clean_environment({"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)})
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows, size, cursor, kilobytes = done.stdout.split()
    assert (int(rows), int(size) >> 20, cursor) == (341, 127, "c")
    assert int(kilobytes) < 48 << 10


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (ROW % b'{"_creationTime":1.5}', "_id"),
        (ROW % b'{"_id":"a","n":99999999999999999999}', "int64"),
        (ROW % (b'{"_id":"' + b"\xff" + b'"}'), "garbled"),
        (ROW % b'{"_id":"a","x":{"$what":"eA=="},"n":1}', "tag"),
        (b'{"component":"","table":"messages"}', "garbled"),
    ],
)
def test_a_row_that_no_deployment_sends(value: bytes, words: str) -> None:
    """It is a clear error, and no row."""
    with answering(HEAD, value, TAIL) as url, pytest.raises(Unreachable, match=words):
        changes_of(door_of(url, "k"))


def test_answers_of_other_forms(tmp_path: Path) -> None:
    """An answer of the endpoint's first days means a backend too old; other tables' rows are not ours."""
    with answering(b'{"type":"snapshotting","values":[],"cursor":"c"}') as url, pytest.raises(NoStreaming):
        next(door_of(url, "k").pages(None))
    other = (ROW % b'{"_id":"b"}').replace(b"messages", b"others")
    inside = (ROW % b'{"_id":"c"}').replace(b'"component":""', b'"component":"lib"')
    gone = (ROW % b'{"_id":"d"}').replace(b"false", b"true")
    with answering(HEAD, other, b",", inside, b",", gone, b",", ROW % b'{"z":1,"_id":"a"}', TAIL) as url:
        changes = changes_of(door_of(url, "k"))
    assert [(change.id, change.raw and loads(change.raw)) for change in changes] == [
        ("d", None), ("a", {"_id": "a", "z": 1}),
    ]  # fmt: skip
