"""What is missing of one session, while it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from sync_tool.digests import HistoryDigest
from sync_tool.jobs.importing.bringing import compared_digest
from sync_tool.jobs.importing.planning import SessionPlan
from sync_tool.jobs.importing.staging import Item, Staged
from sync_tool.model import Names, Row
from sync_tool.schema.rules import Language

_MOST_ADDED: Final = 2000
"""More rows than calls under way can have added: then somebody else did."""


class Stretch:
    """The messages of a session behind those that the target has.

    Args:
        staged: the records.
        plan: the session, compared.
        skip_bad: True to pass over bad messages.
    """

    def __init__(self, staged: Staged, plan: SessionPlan, *, skip_bad: bool) -> None:
        self._staged = staged
        self._skip_bad = skip_bad
        self._after = plan.after
        self.session = plan.session
        self.status = plan.status
        self.untouched = True
        """True until something of it was written."""
        self.last = plan.last
        """``_id`` of the last row that the target has; None where the session is empty there."""
        self.there = plan.there
        """How many of the messages the target has."""
        self.missing = plan.good - plan.there
        self.bytes = plan.bytes
        self.digest = HistoryDigest(plan.digest)

    @property
    def goes_on(self) -> bool:
        """True while messages are missing."""
        return self.missing > 0

    def next_items(self, rows: int, size: int, *, at_least_one: bool) -> list[Item]:
        """Return the next messages, at most so many and of so many bytes."""
        found: list[Item] = []
        for item in islice(self._good_ones(), min(rows, self.missing)):
            size -= len(item.document)
            if size < 0 and (found or not at_least_one):
                break
            found.append(item)
        return found

    def written(self, items: list[Item], last: str) -> int:
        """Go on behind messages that are in the target now; return their size.

        Args:
            items: the messages, the next ones in order.
            last: ``_id`` of the last of them.
        """
        self.untouched = False
        for item in items:
            self.digest.add(item.digest or b"")
        size = sum(len(item.document) for item in items)
        self.there += len(items)
        self.missing -= len(items)
        self.bytes -= size
        if items:
            self._after = items[-1].place
        self.last = last
        return size

    def refused(self, item: Item) -> None:
        """The target does not take the next message: pass it over, or stop before it."""
        self.missing -= 1
        self._after = item.place
        if not self._skip_bad:
            self.stop()

    def stop(self) -> None:
        """Leave what is missing."""
        self.missing = 0

    def found_there(self, newest: Iterator[Row], names: Names, language: Language) -> tuple[list[Item], str] | None:
        """Compare rows that were added in the target with what is missing.

        A call whose answer was lost may have been carried out, also later and also one larger than the last.

        Args:
            newest: the session's rows in the target from the last one back.
            names: how their fields are called.
            language: what today's form of a message is.

        Returns:
            The messages that are there now with the ``_id`` of the last one; None if it holds something else.
        """
        added: list[Row] = []
        for row in newest:
            if row.id == self.last:
                break
            added.append(row)
            if len(added) > min(self.missing, _MOST_ADDED):
                return None
        else:
            if self.last is not None:
                return None
        added.reverse()
        items = list(islice(self._good_ones(), len(added)))
        if not added or len(items) < len(added):
            return None
        same = all(
            compared_digest(row.value, names, language) == item.digest for row, item in zip(added, items, strict=True)
        )
        return (items, added[-1].id) if same else None

    def _good_ones(self) -> Iterator[Item]:
        items = self._staged.items(self.session, self._after)
        return (item for item in items if item.digest is not None and item.faults is None)
