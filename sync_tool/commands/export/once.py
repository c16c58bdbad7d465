"""Checks that an export reads no row twice.

Pages of a deployment are read one after the other. A row whose session id is edited meanwhile can come a second time,
in its new session, and every reader refuses a file that holds it twice.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from sync_tool.errors import Differs
from sync_tool.rows.batch import Page
from sync_tool.rows.distinct import DistinctIds
from sync_tool.rows.ports import Source


class RowMovedError(Differs):
    """A row was read twice, because its session id was edited during the export."""


class ReadOnce:
    """Watches the pages of one export.

    Args:
        source: the export's source; only pages of a deployment can change meanwhile.
    """

    def __init__(self, source: Source) -> None:
        self._live = source.live
        self._title = source.title
        self._ids = DistinctIds()

    def watch(self, pages: Iterator[Page]) -> Generator[Page]:
        """Yield pages, and raise after the last one if a row came twice.

        Raises:
            RowMovedError: it did.
        """
        if not self._live:
            yield from pages
            return
        for page in pages:
            self.add(page)
            yield page
        self.check()

    def add(self, page: Page) -> None:
        """Remember the rows of a page."""
        self._ids.add(page.batch.ids)

    def check(self) -> None:
        """Raise an error if a row came twice.

        Raises:
            RowMovedError: it did.
        """
        if not self._ids.all_different():
            raise RowMovedError(
                f"{self._title}: a row was read twice, because its session id was edited meanwhile.",
                hint=[("run it again", "the export starts over; what was written of it is not complete")],
            )

    def close(self) -> None:
        """Delete the temporary file."""
        self._ids.close()
