"""Are all of these ids different? Answered for any number of them in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import BinaryIO, Final

_HELD: Final = 1 << 20
"""Most ids that are compared at once: about 60 MB."""
_BYTES: Final = 8


class Distinct:
    """Remembers of each id 64 bits; about one list of a thousand million ids in forty seems to hold one twice."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._count = 0
        self._spilled: BinaryIO | None = None

    def add(self, ids: list[str]) -> None:
        """Take the next ids."""
        self.add_hashes(array("q", map(hash, ids)).tobytes())

    def add_hashes(self, hashes: bytes) -> None:
        """Take the 64 bits of each of the next ids, from processes that agree on `hash`."""
        self._hashes.frombytes(hashes)
        self._count += len(hashes) // _BYTES
        if len(self._hashes) >= _HELD:
            self._spill()

    def all_different(self) -> bool:
        """Tell whether no id was met twice; a False may be wrong, a True is not."""
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
            self._spilled = TemporaryFile()  # noqa: SIM115  # closed by close()
        self._spilled.write(self._hashes)
        self._hashes = array("q")

    def _is_different(self, share: int, shares: int) -> bool:
        """Look at one share of the hashes: those with one remainder."""
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
