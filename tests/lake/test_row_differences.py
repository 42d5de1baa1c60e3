"""Two states of a table row by row, with keys and without, and what columns hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lakelab import Lake

from headrace.lake import catalog, comparison
from headrace.lake.comparison import AFTER, BEFORE, Example
from headrace.lake.reading import QueryTable, absolute, session_over
from headrace.lake.session import DuckDBSession
from headrace.lake.tables import LakeColumn

COLUMNS = (
    LakeColumn("k", "INTEGER", 2),
    LakeColumn("v", "VARCHAR", 3),
    LakeColumn("w", "DOUBLE", 4),
)


def rows(*values: tuple[int | None, str | None, float | None]) -> str:
    def text(value: object) -> str:
        return "NULL" if value is None else repr(value)

    listed = ", ".join(f"({', '.join(map(text, row))})" for row in values) or "(0, '', 0)"
    where = "" if values else " WHERE false"
    return f"SELECT k::INTEGER AS k, v::VARCHAR AS v, w::DOUBLE AS w FROM (VALUES {listed}) AS t(k, v, w){where}"


@contextmanager
def both(lake: Lake, before: str, after: str) -> Iterator[DuckDBSession]:
    tables = []
    for name, sql in ((BEFORE, before), (AFTER, after)):
        lake.publish(name.strip("_"), "k", sql)
        files = absolute(catalog.files(lake.tx, name.strip("_"), None), lake.data_folder)
        tables.append(QueryTable(name, COLUMNS, files))
    with session_over(tables, timezone="UTC") as session:
        yield session


def row(k: int | None, v: str | None, w: float | None) -> dict[str, object]:
    return {"k": k, "v": v, "w": w}


WAS = rows((1, "a", 1.5), (2, "b", 2.5), (3, None, None), (4, "d", 4.0), (None, "n", 0.0))
NOW = rows((1, "a", 1.5), (2, "B", 2.5), (3, None, 3.0), (5, "e", 5.0), (None, "n", 1.0))


def test_rows_with_keys_are_added_removed_or_changed(lake: Lake) -> None:
    """Catches a null that differs from a null, and a changed row told as one removed and one added."""
    with both(lake, WAS, NOW) as session:
        assert not comparison.not_unique(session, ["k"])
        counts = comparison.by_keys(session, COLUMNS, ["k"], examples=9)
        few = comparison.by_keys(session, COLUMNS, ["k"], examples=1)
    assert (counts.added, counts.removed, counts.changed) == (1, 1, 3)
    assert counts.cells == {"v": 1, "w": 2}
    assert sorted(counts.examples, key=repr) == sorted(
        [
            Example(row(2, "b", 2.5), row(2, "B", 2.5)),
            Example(row(3, None, None), row(3, None, 3.0)),
            Example(row(None, "n", 0.0), row(None, "n", 1.0)),
            Example(row(4, "d", 4.0), None),
            Example(None, row(5, "e", 5.0)),
        ],
        key=repr,
    )
    assert [(item.before is None, item.after is None) for item in few.examples] == [
        (False, False),
        (False, True),
        (True, False),
    ]


def test_rows_without_other_columns_never_change(lake: Lake) -> None:
    with both(lake, WAS, NOW) as session:
        counts = comparison.by_keys(session, COLUMNS, ["k", "v", "w"], examples=0)
    assert (counts.added, counts.removed, counts.changed, counts.cells) == (4, 4, 0, {})


def test_rows_without_keys_are_counted_with_their_repetitions(lake: Lake) -> None:
    """Catches a row that is there once more than before and counts as the same."""
    was = rows((1, "a", 1.0), (1, "a", 1.0), (2, None, 2.0))
    now = rows((1, "a", 1.0), (2, None, 2.0), (2, None, 2.0), (2, None, 2.0))
    with both(lake, was, now) as session:
        counts = comparison.multisets(session, COLUMNS, examples=9)
        few = comparison.multisets(session, COLUMNS, examples=1)
        assert comparison.not_unique(session, ["k"])
    gone, new = Example(row(1, "a", 1.0), None), Example(None, row(2, None, 2.0))
    assert (counts.added, counts.removed, counts.changed, counts.cells) == (2, 1, None, {})
    assert counts.examples == (gone, new, new)
    assert few.examples == (gone, new)


@pytest.mark.parametrize(
    ("was", "now", "keys", "expected"),
    [
        (rows((1, "a", 0), (2, "a", 0)), rows((1, "b", 0)), ["k"], False),
        (rows((1, "a", 0), (2, "a", 0)), rows((1, "b", 0)), ["v"], True),
        (rows((1, "b", 0)), rows((1, "a", 0), (2, "a", 0)), ["v"], True),
        (rows((1, "a", 0), (2, "a", 0)), rows(), ["k", "v"], False),
    ],
)
def test_keys_must_be_unique_on_both_sides(
    lake: Lake, was: str, now: str, keys: list[str], expected: bool
) -> None:
    with both(lake, was, now) as session:
        assert comparison.not_unique(session, keys) is expected


def test_columns_are_described_on_both_sides(lake: Lake) -> None:
    """Catches a minimum of numbers by their text, nulls that count as values, a mean of texts."""
    was = rows((9, "x" * 200, 1.0), (10, None, 2.0), (None, "b", None))
    with both(lake, was, rows()) as session:
        spreads = comparison.spreads(session, COLUMNS)
    before = {name: item[0] for name, item in spreads.items()}
    assert (before["k"].rows, before["k"].nulls, before["k"].distinct) == (3, 1, 2)
    assert (before["k"].minimum, before["k"].maximum, before["k"].mean) == ("9", "10", "9.5")
    assert (before["v"].minimum, before["v"].maximum, before["v"].mean) == ("b", "x" * 100, None)
    assert (before["w"].nulls, before["w"].mean) == (1, "1.5")
    after = spreads["k"][1]
    assert (after.rows, after.nulls, after.minimum, after.mean) == (0, 0, None, None)


def test_values_without_an_order_have_no_bounds(lake: Lake) -> None:
    columns = (
        LakeColumn("b", "BLOB", 2),
        LakeColumn("l", "INTEGER[]", 3),
        LakeColumn("d", "DECIMAL(4,1)", 4),
    )
    sql = "SELECT 'x'::BLOB AS b, [1, 2] AS l, 2.5::DECIMAL(4,1) AS d"
    tables = []
    for name in (BEFORE, AFTER):
        lake.publish(name.strip("_"), "k", sql)
        files = absolute(catalog.files(lake.tx, name.strip("_"), None), lake.data_folder)
        tables.append(QueryTable(name, columns, files))
    with session_over(tables, timezone="UTC") as session:
        spreads = comparison.spreads(session, columns)
    for name in ("b", "l"):
        item = spreads[name][1]
        assert (item.rows, item.nulls, item.distinct, item.minimum, item.mean) == (
            1,
            0,
            None,
            None,
            None,
        )
    assert (spreads["d"][0].minimum, spreads["d"][0].mean) == ("2.5", "2.5")
