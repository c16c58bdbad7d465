"""``bounds``: places of random rows, by which a table is split for several readers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sync_tool.encoding.order import MISSING, sort_key

from .backends import Can
from .table import Position, Table, refusal


def place_key(place: Position) -> tuple[bytes, float, str]:
    """Return what positions of any session are sorted by."""
    return sort_key(place.get("sessionId", MISSING)), place["creationTime"], place["id"]


@pytest.mark.parametrize("n", [1, 2, 7, 60, 1000])
def test_bounds_are_places_of_rows(table: Table, n: int) -> None:
    """At most n places come back, distinct and in session order, each of a row that is there."""
    for name in ("a", "\ue000", "\U0001f600"):
        table.append(table.session(name), map(str, range(10)))
    answer = table.query("bounds", n=n)
    assert answer.keys() == {"bounds"}
    places = answer["bounds"]
    assert 1 <= len(places) <= n
    keys = [place_key(place) for place in places]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    for place in places[:50]:
        row = table.get(place["id"])
        assert row is not None
        assert place_key(table.position(row)) == place_key(place)
        assert place.keys() == table.position(row).keys()


def test_pages_between_bounds_are_the_whole_table(table: Table) -> None:
    """Windows `(after, until]` from bound to bound hold every row once."""
    ids = [row for name in "abcd" for row in table.append(table.session(name), map(str, range(12)))]
    bounds = [place for place in table.query("bounds", n=50)["bounds"] if place.get("sessionId") in own(table)]
    ends = [table.low, *bounds, table.high]
    found: list[str] = []
    for after, until in pairwise(ends):
        found += [row["_id"] for row in table.rows(after=after, until=until)]
        found += [until["id"]] * (until is not table.high)
    assert found == ids


def own(table: Table) -> list[str]:
    """Return the sessions that the test above wrote."""
    return [table.session(name) for name in "abcd"]


@pytest.mark.needs(Can.EVEN_PROBES)
def test_probes_follow_rows_not_sessions(table: Table) -> None:
    """A session with nearly all rows gets nearly all bounds, so that giant sessions are split too."""
    giant = table.session("giant")
    for _ in range(3):
        table.append(giant, map(str, range(1000)))
    bounds = table.query("bounds", n=200)["bounds"]
    inside = [place for place in bounds if place.get("sessionId") == giant]
    assert len(inside) > 150
    times = [row["_creationTime"] for row in table.stored(giant)]
    quarters = {sum(place["creationTime"] > times[cut] for cut in (750, 1500, 2250)) for place in inside}
    assert quarters == {0, 1, 2, 3}


@pytest.mark.needs(Can.OTHER_NAMES)
def test_an_empty_table_has_no_bounds(renamed: Table) -> None:
    """Without rows there are no places, and that is no error."""
    assert renamed.query("count")["n"] == 0
    assert renamed.query("bounds", n=5) == {"bounds": []}


@pytest.mark.parametrize("n", [0, -1, 1.5, 1001, float("inf")])
def test_bad_numbers_are_refused(table: Table, n: float) -> None:
    """n is a whole number from 1 to 1000."""
    assert refusal(lambda: table.query("bounds", n=n))["code"] == "bad_limit"
