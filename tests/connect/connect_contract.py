"""What every kind of file must keep to. A kind subclasses `ReadingContract` (text: `TextContract`)
and says how it writes a table.
"""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from connect_workbench import Outcome, Taken, Workbench

from headrace.connect.deliveries import Drift, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.raw_files import UnpackLimits
from headrace.model import ContractColumn
from headrace.model.texts import plain

Columns = dict[str, list[Any]]
ORDERS: Columns = {"id": [1, 2, 3], "amount": [1.5, 2.25, 3.0], "who": ["ann", "bob", "it's"]}
HOSTILE_NAMES = (
    'q"uote',
    "a'); drop table x; --",
    "naïve ☃",
    "select",
    "$self",
    "a.b",
    "a/../b",
    "x\ty",
    "%s {0}",
    "*",
    "{date:%Y}",
)


class ReadingContract:
    """Abstract: subclasses define `name` and `encode`."""

    name: ClassVar[str]

    def encode(self, columns: Columns) -> bytes:
        raise NotImplementedError

    def pinned(self, bench: Workbench, columns: Columns = ORDERS) -> SourceSchema:
        return bench.schema(self.encode(columns), self.name)

    def take(
        self, bench: Workbench, columns: Columns, pinned: SourceSchema | None = None, **more: Any
    ) -> Outcome:
        return bench.take(self.encode(columns), self.name, pinned, **more)

    # -- what is right is read

    def test_learns_columns_types_and_rows_from_the_first_delivery(self, bench: Workbench) -> None:
        """Would catch: columns in another order, values of another type, rows lost."""
        taken = self.take(bench, ORDERS)
        assert isinstance(taken, Taken)
        assert taken.learnt
        assert taken.types() == {"id": "BIGINT", "amount": "DOUBLE", "who": "VARCHAR"}
        assert sorted(taken.rows) == [(1, 1.5, "ann"), (2, 2.25, "bob"), (3, 3.0, "it's")]

    def test_reads_a_later_delivery_by_the_pinned_schema(self, bench: Workbench) -> None:
        """Would catch: a pinned schema that is learnt anew, so that types change from day to day (3
        for 3.0).
        """
        taken = self.take(bench, {"id": [7], "amount": [3.0], "who": ["x"]}, self.pinned(bench))
        assert isinstance(taken, Taken)
        assert not taken.learnt
        assert taken.rows == [(7, 3.0, "x")]
        assert isinstance(taken.rows[0][1], float)

    def test_no_rows(self, bench: Workbench) -> None:
        """Would catch: a header without rows that fails, or that counts as one row."""
        taken = self.take(bench, {name: [] for name in ORDERS}, self.pinned(bench))
        assert isinstance(taken, Taken)
        assert taken.rows == []
        assert taken.names == tuple(ORDERS)

    def test_many_rows(self, bench: Workbench) -> None:
        """Would catch: rows lost or doubled where a file is read in pieces by several threads."""
        count = 60_000
        columns: Columns = {
            "id": list(range(count)),
            "amount": [n / 4 for n in range(count)],
            "who": [f"name {n}" for n in range(count)],
        }
        taken = self.take(bench, columns, self.pinned(bench))
        assert isinstance(taken, Taken)
        assert len(taken.rows) == count
        assert sum(taken.column("id")) == sum(range(count))

    def test_columns_in_another_order_are_read_by_name(self, bench: Workbench) -> None:
        """Would catch: reading by position, which swaps columns in silence."""
        taken = self.take(bench, {"who": ["x"], "id": [7], "amount": [1.5]}, self.pinned(bench))
        assert isinstance(taken, Taken)
        assert taken.names == tuple(ORDERS)
        assert taken.rows == [(7, 1.5, "x")]

    def test_missing_values_are_null(self, bench: Workbench) -> None:
        """Would catch: an absent value that becomes 0, an empty text, or the text `None`."""
        taken = self.take(
            bench, {"id": [1, None], "amount": [None, 1.5], "who": ["a", None]}, self.pinned(bench)
        )
        assert isinstance(taken, Taken)
        assert set(taken.rows) == {(1, None, "a"), (None, 1.5, None)}

    @pytest.mark.parametrize("name", HOSTILE_NAMES)
    def test_hostile_names_of_columns(self, bench: Workbench, name: str) -> None:
        """Would catch: a column's name that changes a statement, or that can't be read back (TRUST
        B9).
        """
        columns: Columns = {name: [1, 2], "other": ["x", "y"]}
        schema = self.pinned(bench, columns)
        taken = self.take(bench, columns, schema)
        assert isinstance(taken, Taken)
        assert taken.column(" ".join(name.split())) == [1, 2]

    def test_the_systems_own_column_name_is_given_another(self, bench: Workbench) -> None:
        """Would catch: a delivery's `_partition` that takes the place of the lake's own and so
        moves rows to other partitions.
        """
        columns: Columns = {"_partition": ["mine"], "id": [1]}
        schema = self.pinned(bench, columns)
        assert schema.names == ("_partition_2", "id")
        taken = self.take(bench, columns, schema)
        assert isinstance(taken, Taken)
        assert taken.rows == [("mine", 1)]

    # -- what has changed is held

    def test_a_renamed_column_is_a_drift_with_both_names(self, bench: Workbench) -> None:
        """Would catch: a renamed column that is read as NULL, or by position."""
        drift = self.take(bench, {"id": [1], "total": [1.5], "who": ["a"]}, self.pinned(bench))
        assert isinstance(drift, Drift)
        assert (drift.gone, drift.new) == (("amount",), ("total",))
        assert drift.detail == "1 column gone, 1 new (gone: amount; new: total)"

    def test_a_missing_column_is_a_drift(self, bench: Workbench) -> None:
        """Would catch: a column that stops being delivered and is NULL from then on."""
        drift = self.take(bench, {"id": [1], "who": ["a"]}, self.pinned(bench))
        assert isinstance(drift, Drift)
        assert (drift.gone, drift.new) == (("amount",), ())

    def test_a_new_column_is_a_drift(self, bench: Workbench) -> None:
        """Would catch: a column that is dropped in silence because nobody pinned it."""
        drift = self.take(
            bench,
            {**{name: values[:1] for name, values in ORDERS.items()}, "extra": [1]},
            self.pinned(bench),
        )
        assert isinstance(drift, Drift)
        assert (drift.gone, drift.new) == ((), ("extra",))

    def test_a_name_in_another_case_is_a_drift(self, bench: Workbench) -> None:
        """Would catch: SQL's blindness to case hiding a changed header."""
        drift = self.take(bench, {"ID": [1], "amount": [1.5], "who": ["a"]}, self.pinned(bench))
        assert isinstance(drift, Drift)
        assert "only upper and lower case differ" in drift.detail

    def test_text_where_a_number_is_pinned_is_held(self, bench: Workbench) -> None:
        """Would catch: a value that becomes NULL or 0 because it can't be cast."""
        drift = self.take(
            bench,
            {"id": ["one", "two", "three"], "amount": [1.5] * 3, "who": ["a"] * 3},
            self.pinned(bench),
        )
        assert isinstance(drift, TypeDrift)
        assert [bad.column for bad in drift.columns] == ["id"]
        assert drift.reads_as is not None
        assert {column.name: column.type for column in drift.reads_as.columns}["id"] == "VARCHAR"

    def test_fractions_where_whole_numbers_are_pinned_are_held(self, bench: Workbench) -> None:
        """Would catch: 1.5 rounded to 2 by a cast, which is how totals go wrong unseen."""
        drift = self.take(
            bench, {"id": [1.5, 2.5], "amount": [1.5] * 2, "who": ["a"] * 2}, self.pinned(bench)
        )
        assert isinstance(drift, TypeDrift)
        assert [bad.column for bad in drift.columns] == ["id"]

    # -- contracts

    def test_a_contract_gives_the_types(self, bench: Workbench) -> None:
        """Would catch: a promised DECIMAL that is learnt as DOUBLE from the first file."""
        promised = (ContractColumn(name="id", type="INTEGER"), ContractColumn(name="who"))
        taken = self.take(bench, ORDERS, promised=promised)
        assert isinstance(taken, Taken)
        assert taken.types() == {"id": "INTEGER", "amount": "DOUBLE", "who": "VARCHAR"}
        assert taken.schema.pinned_by == "contract"

    def test_a_first_delivery_without_a_promised_column_is_held(self, bench: Workbench) -> None:
        """Would catch: a contract that the first delivery breaks, and that nobody compares with."""
        drift = self.take(
            bench, ORDERS, promised=(ContractColumn(name="id"), ContractColumn(name="price"))
        )
        assert isinstance(drift, Drift)
        assert drift.gone == ("price",)

    def test_types_are_learnt_over_samples(self, bench: Workbench) -> None:
        """Would catch: a column of zeros on the first day that is pinned so that no
        other day fits.
        """
        other = bench.raw / "sample"
        other.write_bytes(self.encode({"id": [1], "rain": [0.5]}))
        taken = self.take(bench, {"id": [1], "rain": [0]}, samples=[(other, self.name)])
        assert isinstance(taken, Taken)
        assert taken.types()["rain"] == "DOUBLE"

    # -- what is damaged is rejected

    def test_an_empty_file_is_unreadable(self, bench: Workbench) -> None:
        """Would catch: 0 bytes read as 0 rows of an unknown table."""
        for data in (b"",):
            outcome = bench.take(data, self.name)
            assert isinstance(outcome, UnreadableFile)
            assert "empty" in outcome.reason

    def test_binary_garbage_is_never_data(self, bench: Workbench) -> None:
        """Would catch: noise that is parsed into a row, and errors that escape."""
        schema = self.pinned(bench)
        for seed in range(20):
            data = random.Random(seed).randbytes(3000)
            for pinned in (None, schema):
                outcome = bench.take(data, self.name, pinned)
                assert isinstance(outcome, UnreadableFile | Drift), f"seed {seed}: {outcome}"

    def test_a_file_cut_anywhere_never_gives_wrong_values(self, bench: Workbench) -> None:
        """Would catch: half a value taken for a whole one in another column, rows that weren't
        delivered, errors that escape. (A text file that is cut at the end of a value can't be told
        from a whole one: hence the waiting in `settle`.)"""
        schema, data = self.pinned(bench), self.encode(ORDERS)
        whole = {(1, 1.5), (2, 2.25), (3, 3.0)}
        for length in range(1, len(data), max(1, len(data) // 60)):
            outcome = bench.take(data[:length], self.name, schema)
            if isinstance(outcome, Taken):
                assert {row[:2] for row in outcome.rows} <= whole

    # -- packing

    @pytest.mark.parametrize("packing", ["gz", "zst", "zip"])
    def test_packed(self, bench: Workbench, packing: str) -> None:
        """Would catch: compression told by the name instead of the content."""
        data = packed(self.encode(ORDERS), packing, self.name)
        for name in (f"{self.name}.{packing}", self.name):
            taken = bench.take(data, name)
            assert isinstance(taken, Taken)
            assert len(taken.rows) == 3

    @pytest.mark.parametrize("packing", ["gz", "zst", "zip"])
    def test_packed_and_cut(self, bench: Workbench, packing: str) -> None:
        """Would catch: what could be unpacked of a broken archive taken for all of it."""
        many: Columns = {
            "id": list(range(5000)),
            "amount": [1.5] * 5000,
            "who": [f"{n * 7919 % 5000}" for n in range(5000)],
        }
        data = packed(self.encode(many), packing, self.name)
        schema = self.pinned(bench)
        for length in (5, len(data) // 2, len(data) - 1):
            outcome = bench.take(data[:length], f"{self.name}.{packing}", schema)
            assert isinstance(outcome, UnreadableFile), (packing, length)
            assert "truncated" in outcome.reason or "damaged" in outcome.reason

    @pytest.mark.parametrize("packing", ["gz", "zst", "zip"])
    def test_bombs_are_bounded(self, bench: Workbench, packing: str) -> None:
        """B7. Would catch: a small file that fills the disk."""
        bomb = packed(b"0" * 20_000_000, packing, self.name)
        small = UnpackLimits(bytes_max=1 << 30, ratio_max=50, free_bytes=1 << 20)
        outcome = bench.take(bomb, f"{self.name}.{packing}", bounds=small)
        assert isinstance(outcome, UnreadableFile)
        assert outcome.code == "delivery_too_large"
        outcome = bench.take(bomb, f"{self.name}.{packing}", bounds=UnpackLimits(bytes_max=10_000))
        assert isinstance(outcome, UnreadableFile)
        assert outcome.code == "delivery_too_large"


class TextContract(ReadingContract):
    """Kinds that are text. `ORDERS` must be encoded in UTF-8 with LF after each row."""

    def test_a_byte_order_mark(self, bench: Workbench) -> None:
        """Would catch: a first column named `\\ufeffid`."""
        taken = bench.take(b"\xef\xbb\xbf" + self.encode(ORDERS), self.name, self.pinned(bench))
        assert isinstance(taken, Taken)
        assert sorted(taken.column("id")) == [1, 2, 3]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
    def test_utf16_with_its_mark(self, bench: Workbench, encoding: str) -> None:
        """Would catch: Excel's "Unicode text" refused, read as noise, or read in silence where
        UTF-8 is pinned; what is pinned as UTF-16 and isn't any more."""
        mark = "\ufeff" if encoding == "utf-16-be" else ""
        wide = (mark + self.encode(ORDERS).decode()).encode(encoding)
        drift = bench.take(wide, self.name, self.pinned(bench))
        assert isinstance(drift, Drift)
        assert drift.detail == "the encoding is UTF-16 instead of UTF-8"
        first = bench.take(wide, self.name)
        for data, pinned in (
            (wide, drift.reads_as),
            (wide, None),
            (wide, first.schema if isinstance(first, Taken) else None),
        ):
            taken = bench.take(data, self.name, pinned)
            assert isinstance(taken, Taken), taken
            assert sorted(taken.column("who")) == ["ann", "bob", "it's"]
        assert isinstance(first, Taken)
        back = bench.take(self.encode(ORDERS), self.name, first.schema)
        assert isinstance(back, Drift)
        assert back.detail == "the encoding is UTF-8 instead of UTF-16"
        assert isinstance(bench.take(self.encode(ORDERS), self.name, back.reads_as), Taken)

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
    def test_wide_text_without_a_mark_is_named(self, bench: Workbench, encoding: str) -> None:
        """Would catch: `a nul byte` as the only word about a file that is plainly UTF-16."""
        outcome = bench.take(self.encode(ORDERS).decode().encode(encoding), self.name)
        assert isinstance(outcome, UnreadableFile)
        assert outcome.code == "delivery_encoding"
        assert "UTF-16" in outcome.reason or "UTF-32" in outcome.reason

    def test_windows_line_ends(self, bench: Workbench) -> None:
        """Would catch: a carriage return at the end of the last column's values and name."""
        taken = bench.take(
            self.encode(ORDERS).replace(b"\n", b"\r\n"), self.name, self.pinned(bench)
        )
        assert isinstance(taken, Taken)
        assert sorted(taken.column("who")) == ["ann", "bob", "it's"]

    def test_no_line_end_at_the_end(self, bench: Workbench) -> None:
        """Would catch: a last row that is lost."""
        taken = bench.take(self.encode(ORDERS).rstrip(b"\n"), self.name, self.pinned(bench))
        assert isinstance(taken, Taken)
        assert len(taken.rows) == 3

    def test_latin1_is_told_with_its_line(self, bench: Workbench) -> None:
        """Would catch: mojibake, and an error without a place."""
        data = self.encode({**ORDERS, "who": ["ann", "bob", "café"]}).replace("é".encode(), b"\xe9")
        for pinned in (None, self.pinned(bench)):
            outcome = bench.take(data, self.name, pinned)
            assert isinstance(outcome, UnreadableFile)
            assert outcome.line == data[: data.index(b"\xe9")].count(b"\n") + 1
            assert "0xE9" in outcome.reason
            assert "é" in outcome.reason

    def test_a_nul_byte_is_told_with_its_line(self, bench: Workbench) -> None:
        """Would catch: nul bytes in values, which end a text in C and hide what follows."""
        data = self.encode(ORDERS).replace(b"bob", b"b\0b")
        outcome = bench.take(data, self.name, self.pinned(bench))
        assert isinstance(outcome, UnreadableFile)
        assert outcome.line == data[: data.index(b"\0")].count(b"\n") + 1

    def test_a_file_that_ends_inside_a_character(self, bench: Workbench) -> None:
        """Would catch: a truncated file whose last character is replaced."""
        data = self.encode({**ORDERS, "who": ["a", "b", "☃"]}).rstrip(b'\n"}')[:-1]
        outcome = bench.take(data, self.name, self.pinned(bench))
        assert isinstance(outcome, UnreadableFile)
        assert outcome.code == "delivery_encoding"

    def test_messages_hold_no_control_characters_and_little_of_a_value(
        self, bench: Workbench
    ) -> None:
        """Would catch: a terminal that is written to by a vendor's file (TRUST A8), and logs filled
        by one cell."""
        bad = "\x1b[31mred\x07" + "x" * 5000
        drift = self.take(bench, {**ORDERS, "id": [1, bad, 3]}, self.pinned(bench))
        assert isinstance(drift, TypeDrift)
        assert len(drift.reason) < 300
        assert plain(drift.reason).isprintable()
        assert "\\x1b[31mred" in drift.reason

    def test_the_first_bad_value_has_its_line(self, bench: Workbench) -> None:
        """Would catch: an error that a person can't find in the file."""
        columns: Columns = {
            "id": [*range(40), "x", *range(9), "y"],
            "amount": [1.5] * 51,
            "who": ["a"] * 51,
        }
        data = self.encode(columns)
        drift = bench.take(data, self.name, self.pinned(bench))
        assert isinstance(drift, TypeDrift)
        (bad,) = drift.columns
        assert (bad.value, bad.rows) == ("x", 2)
        assert bad.line == next(
            n for n, line in enumerate(data.decode().splitlines(), 1) if "x" in line and n > 1
        )
        assert f"at line {bad.line}, 2 rows" in drift.reason

    def test_a_line_without_end(self, bench: Workbench) -> None:
        """Would catch: memory that grows with a line. Scaled down; the whole gigabyte is behind
        `slow`.
        """
        outcome = bench.take(b"x" * 40_000_000, self.name, self.pinned(bench))
        assert isinstance(outcome, UnreadableFile)

    def test_a_row_without_end(self, bench: Workbench) -> None:
        """Would catch: the same, after a header that is fine."""
        for start in (b'"', b"1,", b'{"id":"'):
            outcome = bench.take(
                self.encode(ORDERS) + start + b"x" * 40_000_000, self.name, self.pinned(bench)
            )
            assert isinstance(outcome, UnreadableFile), (
                "DuckDB alone reads 0 rows here, and says nothing"
            )


def packed(data: bytes, packing: str, name: str) -> bytes:
    """`data` as a vendor would pack it."""
    if packing == "gz":
        return gzip.compress(data)
    if packing == "zst":
        return bytes(pa.compress(data, "zstd", asbytes=True))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()
