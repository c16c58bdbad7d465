"""A test's own sessions of the table, and the contract's rules for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, Final
from uuid import uuid4

import pytest

from sync_tool.encoding.sizes import size_of
from sync_tool.errors import FunctionFailed

from .backends import Backend

Row = dict[str, Any]
Position = dict[str, Any]

MAX_BYTES: Final = 8 << 20
DEFAULT_BYTES: Final = 4 << 20
_NUMBERS: Final = ("limit", "maxBytes", "n")
_LAST_CHARACTER: Final = "\U0010ffff"
_MANY_PAGES: Final = 2000


class Table:
    """The sessions of one test. All of them begin with `prefix`, which no other test has."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.names = backend.names
        self.prefix = f"contract {uuid4().hex[:12]}/"
        self.low = self.at(self.prefix, 0.0)
        self.high = self.at(self.prefix + _LAST_CHARACTER, 0.0)
        self._sessions: set[str] = set()
        self._numbers = count()

    def session(self, name: str | None = None) -> str:
        """Return the id of a session of this test; without `name` a new one."""
        session = self.prefix + (f"s{next(self._numbers):03}" if name is None else name)
        self._sessions.add(session)
        return session

    def clean(self) -> None:
        """Erase every session of this test."""
        for session in self._sessions:
            while not (answer := self.erase(session, limit=1000))["isDone"]:
                assert answer["erased"], "erasing does not move on"

    # Calls of the tests. Numbers that the contract calls integers are float64 on the wire.

    def query(self, function: str, **args: Any) -> Any:
        """Call a query of convexMsgs."""
        return self.backend.client.query_value(f"convexMsgs:{function}", self._args(args))

    def mutation(self, function: str, **args: Any) -> Any:
        """Call a mutation of convexMsgs."""
        return self.backend.client.mutation_value(f"convexMsgs:{function}", self._args(args))

    def append_batches(self, *batches: dict[str, Any]) -> list[dict[str, Any]]:
        """Append and return one result per batch."""
        answer = self.mutation("append", batches=list(batches))
        assert answer.keys() == {"results"}
        results: list[dict[str, Any]] = answer["results"]
        assert len(results) == len(batches)
        return results

    def append(self, session: str, texts: Iterable[str], **expect: str | None) -> list[str]:
        """Append one message per text to one session and return the ids."""
        (result,) = self.append_batches(self.batch(session, texts, **expect))
        assert result.keys() == {"ids"}
        ids: list[str] = result["ids"]
        return ids

    def erase(self, session: str, **args: Any) -> dict[str, Any]:
        """Erase rows of one session."""
        answer: dict[str, Any] = self.mutation("erase", sessionId=session, **{"limit": 4000, **args})
        assert answer.keys() == {"erased", "isDone"}
        return answer

    # LangChain's own accessors, as second witness.

    def stored(self, session: Any) -> list[Row]:
        """Return the rows of a session as ``langchain/db:lookup`` finds them."""
        key = {"keyField": self.names.session_field, "key": session}
        args = {"table": self.names.table, "index": self.names.index, **key}
        rows: list[Row] = self.backend.client.query_value("langchain/db:lookup", args)
        return rows

    def ids(self, session: str) -> list[str]:
        """Return the ids of a session's rows in order, as ``langchain/db:lookup`` finds them."""
        return [row["_id"] for row in self.stored(session)]

    def get(self, document_id: str) -> Row | None:
        """Return one row by its id."""
        row: Row | None = self.backend.client.query_value("langchain/db:get", {"id": document_id})
        return row

    # Words for what goes in and comes out.

    def message(self, session: str, content: Any) -> Row:
        """Return a document as LangChain writes it."""
        return {self.names.session_field: session, "message": {"type": "human", "data": {"content": content}}}

    def batch(self, session: str, texts: Iterable[str], **expect: str | None) -> dict[str, Any]:
        """Return a batch of messages; ``expectLastId`` is what `expect` may hold."""
        return {"sessionId": session, "documents": [self.message(session, text) for text in texts], **expect}

    @staticmethod
    def at(session: Any, time: float, document_id: str = "") -> Position:
        """Return a position in session order."""
        return {"sessionId": session, "creationTime": time, "id": document_id}

    def position(self, row: Row) -> Position:
        """Return the position of a row in session order."""
        place = time_position(row)
        field = self.names.session_field
        return {"sessionId": row[field], **place} if field in row else place

    def key(self, row: Row) -> tuple[bytes, float, str]:
        """Return what rows of text sessions are sorted by."""
        return row[self.names.session_field].encode(), row["_creationTime"], row["_id"]

    def own(self, order: str = "asc") -> dict[str, Any]:
        """Return the arguments of a window that holds the sessions of this test only."""
        after, until = (self.low, self.high) if order == "asc" else (self.high, self.low)
        return {"after": after, "until": until, "order": order}

    def pages(self, function: str, **args: Any) -> list[dict[str, Any]]:
        """Call a paging query from cursor to cursor and return all answers."""
        answers = [self.query(function, **args)]
        while not answers[-1]["isDone"]:
            assert len(answers) < _MANY_PAGES, "the walk does not end"
            answers.append(self.query(function, **{**args, "after": answers[-1]["cursor"]}))
        return answers

    def rows(self, function: str = "page", **args: Any) -> list[Row]:
        """Return the rows of all pages."""
        return [row for page in self.pages(function, **{"limit": 100, **args}) for row in page["rows"]]

    def _args(self, args: dict[str, Any]) -> dict[str, Any]:
        floats: dict[str, Any] = {name: float(args[name]) for name in _NUMBERS if name in args}
        return {**self.names.args, **args, **floats}


def time_position(row: Row) -> Position:
    """Return the position of a row in time order."""
    return {"creationTime": row["_creationTime"], "id": row["_id"]}


def pages_by_contract(
    rows: Sequence[Row], *, limit: int, max_bytes: int, after: Position | None, position: Callable[[Row], Position]
) -> list[dict[str, Any]]:
    """Return the answers that the budget rule of the contract gives for `rows`."""
    answers: list[dict[str, Any]] = []
    done, start, cursor = False, 0, after
    while not done:
        end, used = start, 0
        while end < len(rows) and end - start < limit:
            used += size_of(rows[end])
            if end > start and used > max_bytes:
                break
            end += 1
        page = list(rows[start:end])
        cursor = position(page[-1]) if page else cursor
        done = end == len(rows) and len(page) < limit
        answers.append({"cursor": cursor, "isDone": done, "rows": page})
        start = end
    return answers


def refusal(call: Callable[[], Any]) -> dict[str, Any]:
    """Run `call`, which a function has to refuse, and return the data of its ConvexError."""
    with pytest.raises(FunctionFailed) as caught:
        call()
    data = caught.value.data
    assert isinstance(data, dict)
    assert isinstance(data["code"], str)
    assert isinstance(data["message"], str)
    assert data["message"]
    return data
