from __future__ import annotations

import datetime as dt
import io
import json
import random
import re
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from connect_contract import ORDERS, Columns, ReadingContract
from connect_workbench import Taken, Workbench

from headrace.connect.deliveries import Drift, TypeDrift, UnreadableFile

EMPTY_TYPES = {"id": pa.int64(), "amount": pa.float64(), "who": pa.string()}


class TestParquet(ReadingContract):
    name = "orders.parquet"

    def encode(self, columns: Columns) -> bytes:
        return write(
            pa.table(
                {
                    name: pa.array(values, None if values else EMPTY_TYPES[name])
                    for name, values in columns.items()
                }
            )
        )


def write(table: pa.Table, **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def test_types_are_the_files(bench: Workbench) -> None:
    """Would catch: decimals as doubles, dates as text, lists lost."""
    table = pa.table(
        {
            "d": pa.array([Decimal("1.50")], pa.decimal128(9, 2)),
            "day": [dt.date(2013, 1, 31)],
            "l": [[1, 2]],
            "s": [{"a": 1}],
            "b": [b"\0x"],
            "ns": pa.array([1_000], pa.timestamp("ns")),
            "tz": pa.array([0], pa.timestamp("us", tz="UTC")),
            "i": pa.array([1], pa.int16()),
        }
    )
    taken = bench.take(write(table), "x.parquet")
    assert isinstance(taken, Taken)
    assert taken.types() == {
        "d": "DECIMAL(9,2)",
        "day": "DATE",
        "l": "BIGINT[]",
        "s": "STRUCT(a BIGINT)",
        "b": "BLOB",
        "ns": "TIMESTAMP",
        "tz": "TIMESTAMP WITH TIME ZONE",
        "i": "SMALLINT",
    }
    again = bench.take(write(table), "x.parquet", taken.schema)
    assert isinstance(again, Taken)
    assert again.rows == taken.rows


WIDER = [
    (pa.int32(), pa.int64(), Taken),
    (pa.int64(), pa.int32(), Taken),
    (pa.float32(), pa.float64(), Taken),
    (pa.int64(), pa.string(), Taken),
    (pa.float64(), pa.int64(), TypeDrift),
    (pa.string(), pa.int64(), TypeDrift),
    (pa.int64(), pa.float64(), Taken),
]


@pytest.mark.parametrize(("delivered", "pinned", "outcome"), WIDER)
def test_types_are_cast_where_nothing_is_lost(
    bench: Workbench, delivered: pa.DataType, pinned: pa.DataType, outcome: type
) -> None:
    """Would catch: fractions rounded to whole numbers, large whole numbers rounded to doubles."""
    schema = bench.schema(write(pa.table({"v": pa.array([1, 2]).cast(pinned)})), "x.parquet")
    assert isinstance(
        bench.take(write(pa.table({"v": pa.array([1, 2]).cast(delivered)})), "x.parquet", schema),
        outcome,
    )


def test_a_number_out_of_range_is_held(bench: Workbench) -> None:
    """Would catch: wrap-around, and `damaged` said of a file that is whole."""
    schema = bench.schema(write(pa.table({"v": pa.array([1], pa.int32())})), "x.parquet")
    drift = bench.take(
        write(pa.table({"v": pa.array([1, 2**40], pa.int64())})), "x.parquet", schema
    )
    assert isinstance(drift, TypeDrift)
    assert (drift.columns[0].rows, drift.columns[0].value) == (1, str(2**40))


def test_a_whole_number_that_a_double_cannot_hold_is_held(bench: Workbench) -> None:
    """Would catch: 2**53 + 1 that becomes 2**53."""
    schema = bench.schema(write(pa.table({"v": [0.5]})), "x.parquet")
    drift = bench.take(write(pa.table({"v": [1, 2**53 + 1]})), "x.parquet", schema)
    assert isinstance(drift, TypeDrift)
    assert (drift.columns[0].rows, drift.columns[0].value) == (1, str(2**53 + 1))


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_codecs(bench: Workbench, compression: str) -> None:
    """Would catch: a codec that this build of DuckDB doesn't have."""
    assert isinstance(
        bench.take(write(pa.table(ORDERS), compression=compression), "x.parquet"), Taken
    )


def test_csv_under_a_parquet_name(bench: Workbench) -> None:
    """Would catch: a kind told by the name alone."""
    outcome = bench.take(b"id,amount,who\n1,2,3\n", "x.parquet")
    assert isinstance(outcome, UnreadableFile)
    assert "PAR1" in outcome.reason


def test_parquet_under_a_csv_name(bench: Workbench) -> None:
    """Would catch: the same, the other way round."""
    assert isinstance(bench.take(write(pa.table(ORDERS)), "x.csv"), Taken)


def extension(kind: pa.BaseExtensionType, values: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, values)


HOUR = pa.array([3600, None], pa.duration("s"))
BARE = {
    "duration": (HOUR, "durations"),
    "durations in lists": (pa.array([[3600]], pa.list_(pa.duration("ms"))), "durations"),
    "durations in structs": (pa.StructArray.from_arrays([HOUR], ["b"]), "durations"),
    "dictionary of durations": (HOUR.dictionary_encode(), "durations"),
    "pandas.period": (
        pa.Table.from_pandas(pd.DataFrame({"a": pd.period_range("2026", periods=1)}))["a"].chunk(0),
        "values of the extension type `pandas.period`",
    ),
    "arrow.bool8": (extension(pa.bool8(), pa.array([1], pa.int8())), "`arrow.bool8`"),
    "arrow.opaque": (extension(pa.opaque(pa.int64(), "money", "pg"), pa.array([1])), "`arrow.opaque`"),
}  # fmt: skip
AS_THEY_ARE = {
    "interval": (pd.arrays.IntervalArray.from_tuples([(0, 1)]).__arrow_array__(), [{"left": 0, "right": 1}]),
    "dictionary": (pa.array(["x", "y"], pa.large_string()).dictionary_encode(), ["x", "y"]),
    "time[s]": (pa.array([61], pa.time32("s")), [dt.time(0, 1, 1)]),
    "date64": (pa.array([86_400_000], pa.date64()), [dt.date(1970, 1, 2)]),
    "arrow.json": (extension(pa.json_(), pa.array(["[1]"])), ["[1]"]),
    "opaque text": (extension(pa.opaque(pa.string(), "numeric", "pg"), pa.array(["1.50"])), ["1.50"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BARE)
def test_numbers_without_their_meaning_are_refused(bench: Workbench, name: str) -> None:
    """Would catch: durations published as numbers of an unknown unit, months as ordinals."""
    values, message = BARE[name]
    content = write(pa.table({"id": pa.array([1] * len(values)), "a": values}))
    for schema in (None, bench.schema(write(pa.table({"id": [1], "a": [1]})), "x.parquet")):
        refused = bench.take(content, "x.parquet", schema)
        assert isinstance(refused, UnreadableFile) and message in str(refused), refused
        assert "column a has" in str(refused)


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_types_of_arrow_whose_storage_says_it_all(bench: Workbench, name: str) -> None:
    values, stored = AS_THEY_ARE[name]
    taken = bench.take(write(pa.table({"a": values})), "x.parquet")
    assert isinstance(taken, Taken) and [row[0] for row in taken.rows] == stored


def test_durations_and_long_numbers_of_polars_are_refused(bench: Workbench) -> None:
    """Would catch: integers of 128 bits, which pyarrow itself can't read, published as bytes."""
    for values, message in (
        (pl.Series([1], dtype=pl.Int128), "over 64 bits"),
        (pl.Series([dt.timedelta(1)]), "durations"),
    ):
        file = io.BytesIO()
        pl.DataFrame({"a": values}).write_parquet(file)
        refused = bench.take(file.getvalue(), "x.parquet")
        assert isinstance(refused, UnreadableFile) and message in str(refused)


@pytest.mark.parametrize("pandas", [None, b"{", b"[]", b'{"columns": 1}', b"\xff"])
def test_durations_that_only_pandas_knows_are_refused(
    bench: Workbench, pandas: bytes | None
) -> None:
    """Would catch: durations published as times of the day, such as 36:00, as fastparquet writes
    them: only pandas's own words in the footer say what they are."""
    words = {"columns": [{"name": "a", "numpy_type": "timedelta64[us]"}, {"name": None}]}
    stated = json.dumps(words).encode() if pandas is None else pandas
    table = pa.table({"a": pa.array([5_400_000_000], pa.time64("us"))})
    taken = bench.take(write(table.replace_schema_metadata({"pandas": stated})), "x.parquet")
    if pandas is None:
        assert isinstance(taken, UnreadableFile) and "column a has durations" in str(taken)
    else:
        assert isinstance(taken, Taken) and taken.rows == [(dt.time(1, 30),)]


def test_durations_that_were_dropped_or_converted_are_none(bench: Workbench) -> None:
    """Would catch: a file refused for what pandas said of a column before it was taken out, or made
    a number or text as the refusal advises."""
    words = json.dumps({"columns": [{"name": "a", "numpy_type": "timedelta64[us]"}]}).encode()
    for values in ([5_400], ["01:30:00"], [1.5], [dt.date(2026, 1, 1)]):
        table = pa.table({"a": values}).replace_schema_metadata({"pandas": words})
        assert isinstance(bench.take(write(table), "x.parquet"), Taken)
        left = table.rename_columns(["b"])
        assert isinstance(bench.take(write(left), "x.parquet"), Taken)


@pytest.mark.parametrize(
    "schema", ["", "////", "AAAA", "no base64!", "/////3YAAAAEAAAA8v///xQAAAAE"]
)
def test_a_damaged_schema_of_arrow_is_none(bench: Workbench, schema: str) -> None:
    """Would catch: a file refused because of metadata that nobody needs."""
    stored = pa.table({"a": [1]}).replace_schema_metadata({"ARROW:schema": schema})
    file = io.BytesIO()
    pq.write_table(stored, file, store_schema=False)
    assert isinstance(bench.take(file.getvalue(), "x.parquet"), Taken)


def test_columns_of_the_same_name(bench: Workbench) -> None:
    """Would catch: a column that hides another."""
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "A"])
    taken = bench.take(write(table), "x.parquet")
    assert isinstance(taken, Taken)
    assert taken.rows == [(1, 2, 3)]
    assert len({name.lower() for name in taken.names}) == 3


def test_damaged_pages(bench: Workbench) -> None:
    """Would catch: bytes flipped in the middle, which only a read of the whole column finds.
    (Without checksums some flips give another value; an error must never be of another kind.)"""
    data = write(
        pa.table({"id": list(range(2000)), "who": [f"n{n}" for n in range(2000)]}),
        write_page_checksum=True,
    )
    schema = bench.schema(data, "x.parquet")
    for seed in range(60):
        chance = random.Random(seed)
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(4, len(data) - 4)] ^= 1 << chance.randrange(8)
        outcome = bench.take(bytes(damaged), "x.parquet", schema)
        assert isinstance(outcome, Taken | Drift | TypeDrift | UnreadableFile), f"seed {seed}"
        if isinstance(outcome, UnreadableFile):
            assert outcome.reason.isprintable()
            assert str(bench.root) not in outcome.reason


NS = 1_600_000_000_123_456_789
EXACT = {
    "39 digits": (pa.array([Decimal("0.10")], pa.decimal256(39, 2)), "39 digits"),
    "76 digits in a list": (pa.array([[Decimal("0.10")]], pa.list_(pa.decimal256(76, 2))), "76"),
    "a zone": (pa.array([None, NS], pa.timestamp("ns", tz="Europe/Paris")), "123456789"),
    "INT96": (pa.array([NS], pa.timestamp("ns")), "123456789"),
    "a time of the day": (pa.array([NS % 86_400_000_000_000], pa.time64("ns")), "123456789"),
    "in a list of structs": (
        pa.array([[{"x": NS}]], pa.list_(pa.struct([("x", pa.timestamp("ns", tz="UTC"))]))),
        "123456789",
    ),
    "in a map": (pa.array([[("k", NS)]], pa.map_(pa.string(), pa.time64("ns"))), "nanoseconds"),
}


@pytest.mark.parametrize("case", EXACT)
def test_values_that_are_bent_while_they_are_read(bench: Workbench, case: str) -> None:
    """Would catch: 0.10 published as 1677721.6, and nanoseconds cut, both without a word."""
    values, said = EXACT[case]
    if case == "in a map":
        values = pa.array([[("k", 1)]], values.type)
    table = pa.table({"a": values, "b": pa.array([1] * len(values))})
    old = case == "INT96"
    outcome = bench.take(write(table, use_deprecated_int96_timestamps=old), "x.parquet")
    assert isinstance(outcome, UnreadableFile), outcome
    assert "column a" in outcome.reason
    assert said in outcome.reason


def test_whole_microseconds_of_any_unit_are_read(bench: Workbench) -> None:
    """Would catch: files of pandas refused for their unit, and years that 64 bits of nanoseconds
    don't hold taken for nanoseconds.
    """
    whole = NS // 1_000 * 1_000
    far = pa.array([253_402_214_400_000_000, None], pa.timestamp("us"))  # 9999-12-31
    old = write(pa.table({"a": far}), use_deprecated_int96_timestamps=True)
    taken = bench.take(old, "x.parquet")
    assert isinstance(taken, Taken), taken
    assert taken.column("a") == [dt.datetime(9999, 12, 31), None]  # noqa: DTZ001
    zoned = pa.array([whole], pa.timestamp("ns", tz="UTC"))
    table = pa.table({"a": zoned, "t": pa.array([1_000], pa.time64("ns"))})
    taken = bench.take(write(table), "x.parquet")
    assert isinstance(taken, Taken), taken
    assert taken.rows[0][0].microsecond == 123_456


def test_nanoseconds_without_a_zone(bench: Workbench) -> None:
    """Would catch: nanoseconds cut on the first day (text keeps them) or on a later one (held)."""
    fine, whole = (
        write(pa.table({"a": pa.array([n], pa.timestamp("ns"))})) for n in (NS, NS // 1_000 * 1_000)
    )
    taken = bench.take(fine, "x.parquet")
    assert isinstance(taken, Taken), taken
    assert taken.rows == [("2020-09-13 12:26:40.123456789",)]
    schema = bench.schema(whole, "x.parquet")
    assert schema.columns[0].type == "TIMESTAMP"
    drift = bench.take(fine, "x.parquet", schema)
    assert isinstance(drift, TypeDrift)
    assert "2020-09-13 12:26:40.123456789" in drift.reason


def test_a_column_without_values_has_no_type(bench: Workbench) -> None:
    """Would catch: the nulls that pandas and polars write without a type, held as INTEGER."""
    nothing = write(
        pa.table({"a": pa.nulls(2), "l": pa.array([[None], None], pa.list_(pa.null()))})
    )
    taken = bench.take(nothing, "x.parquet")
    assert isinstance(taken, Taken) and taken.types()["a"] == "VARCHAR"
    day = pa.array([dt.date(2013, 1, 31)])
    for values in (day, pa.array([b"x"]), pa.array([[1, 2]]), pa.array([1.5])):
        pinned = bench.schema(write(pa.table({"a": values})), "x.parquet")
        again = bench.take(write(pa.table({"a": pa.nulls(3)})), "x.parquet", pinned)
        assert isinstance(again, Taken) and again.rows == [(None,)] * 3


def test_lists_without_elements_have_no_type_of_elements(bench: Workbench) -> None:
    """Would catch: empty lists of polars held as INTEGER[] where BIGINT[] is pinned, or pinned so
    themselves."""
    empty = pa.array([[], None], pa.list_(pa.null()))
    inside = pa.array([{"x": [], "n": 5}], pa.struct([("x", empty.type), ("n", pa.int64())]))
    taken = bench.take(write(pa.table({"l": empty})), "x.parquet")
    assert isinstance(taken, Taken) and taken.types()["l"] == "VARCHAR[]"
    lists, structs = pa.array([[1]]), pa.array([{"x": ["a"], "n": 1}])
    pinned = bench.schema(write(pa.table({"l": lists, "s": structs})), "x.parquet")
    again = bench.take(write(pa.table({"l": empty.slice(0, 1), "s": inside})), "x.parquet", pinned)
    assert isinstance(again, Taken) and again.rows == [([], {"x": [], "n": 5})]
    drifted = bench.take(write(pa.table({"l": empty, "s": pa.array([1, 2])})), "x.parquet", pinned)
    assert not isinstance(drifted, Taken) and "column l" not in str(drifted)


def test_bytes_dont_become_text(bench: Workbench) -> None:
    """Would catch: bytes published as the text of their escapes in a column of text."""
    pinned = bench.schema(write(pa.table({"a": ["x"]})), "x.parquet")
    outcome = bench.take(write(pa.table({"a": [b"\x00\xff"]})), "x.parquet", pinned)
    assert isinstance(outcome, TypeDrift)
    assert outcome.reason == "column a is BLOB, VARCHAR is pinned"


@pytest.mark.parametrize(
    ("values", "states"),
    [
        ([{"x": 8, "y": "null"}], "STRUCT(x BIGINT, y VARCHAR)"),
        ([["p", "q, r"]], "VARCHAR[]"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "MAP(VARCHAR, BIGINT)"),
    ],
)
@pytest.mark.parametrize("first", [pa.array(["x"]), pa.nulls(1)])
def test_nested_values_dont_become_text(
    bench: Workbench, first: pa.Array, values: Any, states: str
) -> None:
    """Would catch: `{'x': 8, 'y': 'null'}` published in a column of text, which is no JSON and
    doesn't say whether `null` was text."""
    pinned = bench.schema(write(pa.table({"a": first})), "x.parquet")
    outcome = bench.take(write(pa.table({"a": values})), "x.parquet", pinned)
    assert isinstance(outcome, TypeDrift)
    assert outcome.reason == f"column a is {states}, VARCHAR is pinned"


def test_long_types_are_told_from_where_they_differ(bench: Workbench) -> None:
    """Would catch: two types that are cut to the same words."""
    many = {f"a long name of field {n}": n for n in range(5)}
    pinned = bench.schema(write(pa.table({"a": [{**many, "words": ["x"]}]})), "x.parquet")
    outcome = bench.take(write(pa.table({"a": [{**many, "words": [["x"]]}]})), "x.parquet", pinned)
    assert isinstance(outcome, TypeDrift)
    assert outcome.reason == "column a is … words VARCHAR[][]), … words VARCHAR[]) is pinned"


@pytest.mark.parametrize("byte", range(1, 40, 3))
def test_a_damaged_footer_is_described_in_words(bench: Workbench, byte: int) -> None:
    """Would catch: `TProtocolException: Invalid data`, `Footer length error in file 'the file'`."""
    data = bytearray(write(pa.table({"a": [1, 2]})))
    data[-8 - byte] ^= 0x5F
    outcome = bench.take(bytes(data), "x.parquet")
    assert isinstance(outcome, Taken | UnreadableFile), outcome
    if isinstance(outcome, UnreadableFile):
        assert re.fullmatch(
            "the Parquet file is damaged: its (footer|values) can't be read"
            "|column .{1,20} has type .*, which can't be ingested",
            outcome.reason,
        ), outcome


def test_a_text_that_is_not_utf8(bench: Workbench) -> None:
    """Would catch: a file that is whole said to be damaged, `Invalid string encoding`."""
    text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    outcome = bench.take(write(pa.table({"a": text})), "x.parquet")
    assert outcome == UnreadableFile("a text in the Parquet file isn't UTF-8")


@pytest.mark.parametrize(("unit", "value"), [("s", 10**13), ("ms", -(10**16))])
def test_a_time_beyond_microseconds_is_no_damage(bench: Workbench, unit: str, value: int) -> None:
    """Would catch: a file that is whole said to be damaged."""
    far = pa.array([value], pa.int64()).cast(pa.timestamp(unit))
    nested = pa.StructArray.from_arrays([far], ["b"])
    for column in (far, nested):
        outcome = bench.take(write(pa.table({"a": column})), "x.parquet")
        assert isinstance(outcome, UnreadableFile)
        assert "microseconds don't reach so far" in outcome.reason


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_map_with_a_key_twice(bench: Workbench, depth: int) -> None:
    """Would catch: a published file that nobody can read: DuckDB's maps have each key once."""

    def rows(*keys: str) -> bytes:
        value: Any = [(key, 1) for key in keys]
        kind: Any = pa.map_(pa.string(), pa.int64())
        if depth > 0:
            value, kind = {"m": value}, pa.struct([("m", kind)])
        if depth > 1:
            value, kind = [None, value], pa.list_(kind)
        return write(pa.table({"a": pa.array([None, value], kind)}))

    assert isinstance(bench.take(rows("k", "l"), "x.parquet"), Taken)
    refused = bench.take(rows("k", "k"), "x.parquet")
    assert isinstance(refused, UnreadableFile)
    assert refused.reason == "column a has a map with a key twice"
