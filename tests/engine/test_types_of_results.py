"""Each type of pandas, Polars and Arrow: its values are stored as they are, or refused in words."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from engine_bench import Bench
from test_python_bodies import body, failure, rows

IMPORTS = "import datetime as dt, decimal, zoneinfo, numpy as np"
HOUR = dt.timedelta(hours=1)
NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
STORED: dict[str, tuple[str, list[Any]]] = {
    "intervals of time": ("pa.array([(0, 2, 3_000_000), None], pa.month_day_nano_interval())", [dt.timedelta(2, 0, 3000), None]),
    "Categorical of text": ("pd.Categorical(['x', None])", ["x", None]),
    "Categorical of numbers": ("pd.Categorical([20, 10])", [10, 20]),
    "Categorical of points": ("pd.Categorical(pd.to_datetime(['2026-01-01'], utc=True))", [NEW_YEAR]),
    "Categorical of durations": ("pd.Categorical(pd.to_timedelta(['1h']))", [HOUR]),
    "Int64": ("pd.array([None, 2**53 + 1], dtype='Int64')", [2**53 + 1, None]),
    "UInt64": ("pd.array([2**64 - 1], dtype='UInt64')", [2**64 - 1]),
    "Float64": ("pd.array([1.5, None], dtype='Float64')", [1.5, None]),
    "boolean": ("pd.array([True, None], dtype='boolean')", [True, None]),
    "string[pyarrow]": ("pd.array(['x', None], dtype='string[pyarrow]')", ["x", None]),
    "ArrowDtype": ("pd.array([dt.time(1)], dtype=pd.ArrowDtype(pa.time64('ns')))", [dt.time(1)]),
    "datetime with zone": ("pd.to_datetime(['2026-01-01']).tz_localize('UTC').as_unit('ns')", [NEW_YEAR]),
    "timedelta[s]": ("pd.to_timedelta([3600, None], unit='s').as_unit('s')", [HOUR, None]),
    "timedelta[ns]": ("pd.to_timedelta(['1h', None]).as_unit('ns')", [HOUR, None]),
    "dates of objects": ("[dt.date(2026, 1, 1), pd.NaT]", [dt.date(2026, 1, 1), None]),
    "points of objects": ("pd.Series([pd.Timestamp('2026-01-01T00:00Z'), pd.NaT], dtype=object)", [NEW_YEAR, None]),
    "Duration": ("pl.Series([3_600_000_000_000], dtype=pl.Duration('ns'))", [HOUR]),
    "Time": ("pl.Series([dt.time(1, 2, 3)])", [dt.time(1, 2, 3)]),
    "Categorical": ("pl.Series(['x', None], dtype=pl.Categorical)", ["x", None]),
    "Enum": ("pl.Series(['x', 'y'], dtype=pl.Enum(['y', 'x']))", ["x", "y"]),
    "Decimal": ("pl.Series([decimal.Decimal('1.50')], dtype=pl.Decimal(10, 2))", [Decimal("1.50")]),
    "Array": ("pl.Series([[[1, 2]]], dtype=pl.Array(pl.Int64, (1, 2)))", [[[1, 2]]]),
    "Datetime with zone": ("pl.Series([NOON], dtype=pl.Datetime('ns', 'UTC'))", [NEW_YEAR.replace(hour=12)]),
    "times in lists": ("pl.Series([[dt.time(1)]])", [[dt.time(1)]]),
    "fields named like types": ("pl.Series([{'Object': 1}])", [{"Object": 1}]),
    "dictionary of durations": ("pa.array([3600], pa.duration('s')).dictionary_encode()", [HOUR]),
    "runs": ("pa.RunEndEncodedArray.from_arrays([2], pa.array([3600], pa.duration('s')))", [HOUR, HOUR]),
    "views": ("pa.array([[1]], pa.list_view(pa.int64()))", [[1]]),
    "map of times": ("pa.array([[('x', 1000)]], pa.map_(pa.string(), pa.time64('ns')))", [{"x": dt.time(0, 0, 0, 1)}]),
    "uuid": ("pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16)))", [UUID(int=0)]),
    "json": ("pa.ExtensionArray.from_storage(pa.json_(), pa.array(['[1]', None]))", ["[1]", None]),
    "bool8": ("pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8()))", [True]),
    "opaque text": ("pa.ExtensionArray.from_storage(pa.opaque(pa.string(), 'numeric', 'pg'), pa.array(['1.50']))", ["1.50"]),
}  # fmt: skip
MICROSECONDS = "column `a` has times that whole microseconds don't hold"
NO_COLUMN = "`a` has values of a type that no table can hold"
REFUSED: dict[str, tuple[str, str]] = {
    "Period": ("pd.period_range('2026-01', periods=2, freq='M')", "the extension type `pandas.period`"),
    "Categorical of periods": ("pd.Categorical(pd.period_range('2026', periods=1, freq='Y'))", "the extension type `pandas.period`"),
    "Periods of objects": ("pd.Series([pd.Period('2026-01')], dtype=object)", "column `a` has periods"),
    "Interval": ("pd.interval_range(0, 1, closed='left')", "the extension type `pandas.interval`"),
    "cut": ("pd.cut([1], [0, 3])", "the extension type `pandas.interval`"),
    "nanoseconds of an interval": ("pa.array([None, (0, 0, 3_000_500)], pa.month_day_nano_interval())", MICROSECONDS),
    "Sparse": ("pd.arrays.SparseArray([0, 5])", "column `a` is sparse"),
    "Categorical of both": ("pd.Categorical([1, 'x'])", "different kinds: whole numbers, text"),
    "with and without a zone": ("pd.Series([dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], dtype=object)", "points in time, points in time with a zone"),
    "days with hours": ("pd.Series([dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 5)], dtype=object)", "dates, points in time"),
    "nanoseconds of objects": ("pd.Series([pd.Timestamp(1)], dtype=object)", "points in time, which don't all fit"),
    "hours with a zone": ("pd.Series([dt.time(1, tzinfo=dt.UTC)])", "times of day with a zone"),
    "nanoseconds with a zone": ("pl.Series([1], dtype=pl.Datetime('ns', 'UTC'))", MICROSECONDS),
    "nanoseconds with a zone in lists": ("pl.Series([[1]], dtype=pl.List(pl.Datetime('ns', 'UTC')))", MICROSECONDS),
    "nanoseconds of a day": ("pl.Series([1], dtype=pl.Time)", MICROSECONDS),
    "nanoseconds of a duration": ("pd.to_timedelta([1], unit='ns')", MICROSECONDS),
    "Int128": ("pl.Series([1], dtype=pl.Int128)", NO_COLUMN),
    "Int128 in lists": ("pl.Series([[1]], dtype=pl.List(pl.Int128))", NO_COLUMN),
    "Object": ("pl.Series([object()], dtype=pl.Object)", NO_COLUMN),
    "views of times": ("pa.array([[1000]], pa.list_view(pa.time64('ns')))", "column `a` has list views of times"),
    "durations in lists": ("pl.Series([[dt.timedelta(1)]])", "column `a` has INTERVAL inside of LIST"),
    "opaque numbers": ("pa.ExtensionArray.from_storage(pa.opaque(pa.int64(), 'money', 'pg'), pa.array([1]))", "the extension type `arrow.opaque`"),
    "tensors": ("pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.int8(), [1, 2]), pa.array([[1, 2]], pa.list_(pa.int8(), 2)))", "the extension type `arrow.fixed_shape_tensor`"),
    "no JSON": ("pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{no']))", "a value of `a` can't be stored"),
    "no UTF-8": ("pa.array([b'\\xff']).cast(pa.string(), safe=False)", "a value of `a` can't be stored"),
    "no time": ("pa.array([2**60], pa.timestamp('s'))", "a value of `a` can't be stored"),
    "unions": ("pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1]), pa.array(['x'])])", "column `a` has type UNION"),
}  # fmt: skip


def result(column: str) -> str:
    """The asset's code, which returns a frame of the library that has made the column."""
    frame = "pl.DataFrame" if column.startswith("pl.") else "pd.DataFrame"
    frame = "pa.table" if column.startswith("pa.") else frame
    column = column.replace("NOON", "1_767_268_800_000_000_000")
    return body("", IMPORTS, f"return {frame}({{'a': {column}}})")


@pytest.mark.parametrize("name", STORED)
def test_values_are_stored_as_they_are(bench: Bench, name: str) -> None:
    """Would catch: a time of day of Polars refused, DuckDB's own words about dictionaries of
    structures or about the number below a missing duration."""
    column, values = STORED[name]
    found = [row[0] for row in rows(bench, result(column))]
    assert sorted(found, key=repr) == sorted(values, key=repr)


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_table_keeps_is_refused_in_words(bench: Bench, name: str) -> None:
    """Would catch: months published as ordinals, nanoseconds cut, a time without a zone taken for
    UTC, a file of JSON that nobody can read."""
    column, message = REFUSED[name]
    error = failure(bench, result(column))
    assert message in error.message and error.hint, error


@pytest.mark.parametrize(
    "later",
    ["{'a': dt.datetime(2026, 1, 1)}", "pa.table({'a': pa.array([0], pa.timestamp('us'))})"],
)
def test_no_later_time_without_a_zone_is_taken_for_utc(bench: Bench, later: str) -> None:
    first = "yield pa.table({'a': pa.array([0], pa.timestamp('us', 'UTC'))})"
    assert "`a`" in failure(bench, body("", IMPORTS, first, f"yield {later}")).message


def test_rows_that_wait_for_a_relation_keep_their_types(bench: Bench) -> None:
    """Would catch: a duration that becomes a bare number on its way through a file."""
    returned = "yield pa.table({'a': pa.array([3600] * x.fetchone()[0], pa.duration('s'))})"
    text = body("x: duckdb.DuckDBPyRelation", returned, inputs='"x"')
    assert rows(bench, text, bench.publish("x", "SELECT 1 AS n")) == [(HOUR,)]
