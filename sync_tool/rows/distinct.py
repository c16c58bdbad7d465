"""Finds out in little memory whether an ``_id`` was read twice."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, NamedTuple

from sync_tool.rows.temporary import TemporaryDatabase, open_temporary_file, temporary_errors

# Hashes compared at once: about 60 MB.
_HELD: Final = 1 << 20
_HASH_BYTES: Final = 8


class DistinctIds:
    """Remembers 64 bits of each id: of a thousand million distinct ids, one list in forty seems to repeat one."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._count = 0
        self._spilled: BinaryIO | None = None

    def add(self, ids: Iterable[str]) -> None:
        """Add ids; empty ones are skipped."""
        self.add_hashes(array("q", map(hash, filter(None, ids))).tobytes())

    def add_hashes(self, hashes: bytes) -> None:
        """Add the 64 bits of each of some ids, from processes that agree on `hash`."""
        self._hashes.frombytes(hashes)
        self._count += len(hashes) // _HASH_BYTES
        if len(self._hashes) >= _HELD:
            self._spill()

    def all_different(self) -> bool:
        """Return whether no id was added twice; False may be wrong, True is not."""
        if self._spilled is None:
            return len(set(self._hashes)) == len(self._hashes)
        self._spill()
        shares = self._count // _HELD + 1
        return all(self._is_different(share, shares) for share in range(shares))

    def close(self) -> None:
        """Delete the temporary file."""
        if self._spilled is not None:
            self._spilled.close()

    def _spill(self) -> None:
        if self._spilled is None:
            self._spilled = open_temporary_file()
        with temporary_errors():
            self._spilled.write(self._hashes)
        self._hashes = array("q")

    def _is_different(self, share: int, shares: int) -> bool:
        """Compare one share of the hashes: those with one remainder."""
        met: set[int] = set()
        expected = 0
        for block in self._blocks():
            mine = [number for number in block if number % shares == share]
            met.update(mine)
            expected += len(mine)
        return len(met) == expected

    def _blocks(self) -> Iterator[array[int]]:
        if self._spilled is None:
            return
        self._spilled.seek(0)
        while data := self._spilled.read(_HELD):
            yield array("q", data)


class Repeated(NamedTuple):
    """A row whose ``_id`` another row has, with other content."""

    id: str
    part: int
    line: int
    other_part: int
    """Part and line of the first row of this id."""
    other_line: int


class RowIds:
    """Ids with a digest of their row, in a temporary database."""

    def __init__(self) -> None:
        self._database = TemporaryDatabase(
            "CREATE TABLE seen (number INTEGER PRIMARY KEY, part INTEGER, line INTEGER, id TEXT, digest BLOB)"
        )

    def add(self, rows: Iterable[tuple[int, int, str, bytes]]) -> None:
        """Add part, line, id and digest of rows."""
        self._database.run_many("INSERT INTO seen VALUES (NULL, ?, ?, ?, ?)", rows)

    def repeated(self) -> Iterator[Repeated]:
        """Yield the rows that differ from the first row of their id, in order."""
        query = (
            "WITH first AS"
            " (SELECT id, min(number) AS number, part, line, digest FROM seen GROUP BY id HAVING count(*) > 1)"
            " SELECT seen.id, seen.part, seen.line, first.part, first.line FROM seen JOIN first ON first.id = seen.id"
            " WHERE seen.digest <> first.digest ORDER BY seen.number"
        )
        return (Repeated(*row) for row in self._database.each(query))

    def close(self) -> None:
        """Delete the database."""
        self._database.close()
