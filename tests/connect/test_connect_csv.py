from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable
from typing import Any

import msgspec
import openpyxl
import pytest
from connect_contract import ORDERS, Columns, TextContract
from connect_workbench import Outcome, Taken, Workbench
from legacy_formats import forms

from headrace.connect.deliveries import Drift, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.ingest import ReadRules, prepare
from headrace.connect.prepared import PreparedDelivery, fingerprint, miscounted
from headrace.model import ContractColumn
from headrace.model.texts import plain


class TestCsv(TextContract):
    name = "orders.csv"

    def encode(self, columns: Columns) -> bytes:
        return write(columns)


def write(columns: Columns, delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue().encode()


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_learnt(bench: Workbench, delimiter: str) -> None:
    """Would catch: one column named `id;amount;who`."""
    taken = bench.take(write(ORDERS, delimiter), "orders.csv")
    assert isinstance(taken, Taken)
    assert taken.schema.format.delimiter == delimiter
    assert taken.names == tuple(ORDERS)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_than_pinned_is_a_drift_that_says_so(
    bench: Workbench, delimiter: str
) -> None:
    """Would catch: "columns gone: id, amount, who; columns new: id;amount;who"."""
    schema = bench.schema(write(ORDERS), "orders.csv")
    drift = bench.take(write(ORDERS, delimiter), "orders.csv", schema)
    assert isinstance(drift, Drift)
    assert (drift.gone, drift.new) == ((), ())
    assert "pinned is a comma" in drift.detail
    assert drift.reads_as is not None
    assert isinstance(bench.take(write(ORDERS, delimiter), "orders.csv", drift.reads_as), Taken)


def test_a_decimal_comma_stays_text(bench: Workbench) -> None:
    """Would catch: 1,5 read as 15 or as two columns."""
    taken = bench.take(b"id;amount\n1;1,5\n2;2,5\n", "x.csv")
    assert isinstance(taken, Taken)
    assert taken.column("amount") == ["1,5", "2,5"]
    assert taken.schema.lesson is not None
    (warning,) = taken.schema.lesson.warnings
    assert plain(warning).startswith(
        "amount '1,5' has a decimal comma (line 2 of x.csv): read as text"
    )
    assert 'csv: {decimal: ","}' in warning


@pytest.mark.parametrize(
    "values", [("1,234", "2,345"), ("1,5", "x"), ("1,5 kg", "2,5 kg"), ("", ""), ("1;5", "2")]
)
def test_a_comma_that_isnt_proven_is_no_decimal_comma(
    bench: Workbench, values: tuple[str, str]
) -> None:
    """Would catch: thousands, units or lists that are said to be numbers."""
    rows = "".join(f'{n}|"{value}"\n' for n, value in enumerate(values))
    taken = bench.take(f"id|amount\n{rows}".encode(), "x.csv")
    assert isinstance(taken, Taken)
    assert taken.schema.lesson is None or not taken.schema.lesson.warnings


RAGGED = {
    "a short row": (b"a,b,c\n1,2,3\n4,5\n6,7,8\n", 3, "2 values where the header has 3 columns"),
    "a long row": (b"a,b,c\n1,2,3\n4,5,6,7\n", 3, "4 values where the header has 3 columns"),
    "an open quote": (b'a,b\n1,2\n3,"x\n4,5\n', 3, "quote"),
    "text after a quote": (b'a,b\n1,2\n"3"x,4\n', 3, "quote"),
    "CR among other line ends": (b"a,b\r\n1,2\r\n3,4\r5,6\r\n", 3, "line ends are mixed"),
    "an end in the middle of a row": (
        b"a,b,c\n1,2,3\n4,5",
        3,
        "2 values where the header has 3 columns",
    ),
}


@pytest.mark.parametrize("case", RAGGED)
@pytest.mark.parametrize("pinned", [False, True])
def test_rows_that_are_no_rows(bench: Workbench, case: str, pinned: bool) -> None:
    """Would catch: rows padded, dropped or shifted in silence; a message without a line."""
    data, line, says = RAGGED[case]
    header = data.split(b"\r\n" if b"\r\n" in data else b"\n")[0]
    schema = (
        bench.schema(header + b"\n" + b",".join([b"1"] * (header.count(b",") + 1)) + b"\n", "x.csv")
        if pinned
        else None
    )
    outcome = bench.take(data, "x.csv", schema)
    assert isinstance(outcome, UnreadableFile)
    assert outcome.line == line
    assert says in outcome.reason


KIND = {  # what DuckDB's own casts make of them is in `casts`
    "BIGINT": (b"5", [b"1.5", b"0x10", b"1e3", b"1_000", b"abc", b"9223372036854775808"]),
    "DOUBLE": (
        b"1.5",
        [
            b"nan",
            b"inf",
            b"1e400",
            b"1,5x",
            b"--1",
            b"1_5.5",
            b"19.999999999999999999",
            b"9007199254740993",
            b"-8018251073761.1387",
            b"83094542621.77251",
            b"1e-400",
        ],
    ),
    "DATE": (
        b"2013-02-28",
        [
            b"2013-02-30",
            b"2013-02-03x",
            b"2013-2-3",
            b"2013-02-03 10:00",
            b"infinity",
            b"-infinity",
            b"epoch",
            b"03/02/2013",
            b"10000-01-01",
            b"0000-01-01",
            b"0044-03-15 (BC)",
        ],
    ),
    "TIMESTAMP": (
        b"2013-02-28 10:00:00",
        [
            b"2013-02-30 10:00:00",
            b"2013-02-03 25:00",
            b"2013-02-03 10:00:00+05",
            b"2013-02-03T10:00:00Z",
            b"infinity",
            b"10000-01-01 10:00:00",
            b"0000-12-31 10:00:00",
            b"0044-03-15 (BC) 10:00:00",
            b"2013-02-03 10:00:00.123456789",
        ],
    ),
    "TIMESTAMP WITH TIME ZONE": (
        b"2013-02-28T10:00:00Z",
        [
            b"2013-02-30T10:00:00Z",
            b"2013-02-03T25:00:00Z",
            b"yesterday",
            b"0000-02-28T10:00:00Z",
            b"2013-02-28T10:00:00.0000001Z",
        ],
    ),
    "BOOLEAN": (b"true", [b"maybe", b"2"]),
}


@pytest.mark.parametrize(
    ("kind", "bad"), [(kind, bad) for kind, (_, values) in KIND.items() for bad in values]
)
def test_values_that_a_kind_cast_would_bend(bench: Workbench, kind: str, bad: bytes) -> None:
    """Would catch: 1.5 → 2, a date that doesn't exist → NULL, an offset dropped, infinity: all
    silent in DuckDB.
    """
    good = KIND[kind][0]
    schema = bench.schema(b"k,v\na," + good + b"\n", "x.csv")
    assert schema.columns[1].type == kind
    drift = bench.take(b"k,v\na," + good + b'\nb,"' + bad + b'"\n', "x.csv", schema)
    assert isinstance(drift, TypeDrift)
    assert [(column.column, column.line, column.rows) for column in drift.columns] == [("v", 3, 1)]
    assert bad.decode() in drift.reason


PROMISED = {
    "REAL": (b"0.1", b"16777217"),
    "TIME": (b"23:59:59.5", b"10:00:00.1234567"),
    "TIME ": (b"7:05", b"24:00:00"),
    "TIME  ": (b"10:00", b"10:00:00+05"),
    "INTERVAL": (b"36:00:00.001", b"00:00:00.0000001"),
    "INTERVAL ": (b"1.5 days", b"36"),
    "INTERVAL  ": (b"1 day 0.5 s", b"1.5"),
    "INTERVAL   ": (b"1000:00:00", b"2000:00:00"),
    "INTERVAL    ": (b"00:00:00", b"-1:00:00"),
    "INTERVAL     ": (b"100 days", b"1 day -2 hours"),
    "INTERVAL      ": (b"1 year", b"00:00:00.000001"),
    "TIMETZ": (b"10:00:00+00", b"10:00:00+02"),
    "TIMETZ ": (b"10:00:00.123456+00", b"10:00:00.1234567+00"),
}


@pytest.mark.parametrize("kind", PROMISED)
def test_promised_types_do_not_cut_values(bench: Workbench, kind: str) -> None:
    """Would catch: 16777217 as 16777216, nanoseconds or an offset cut, in types never inferred."""
    promised = (ContractColumn(name="v", type=kind.strip()),)
    good, bad = PROMISED[kind]
    taken = bench.take(b"k,v\na," + good + b"\n", "x.csv", promised=promised)
    assert isinstance(taken, Taken), taken
    drift = bench.take(b"k,v\na," + bad + b"\n", "x.csv", promised=promised)
    assert isinstance(drift, TypeDrift), drift
    assert bad.decode() in drift.reason


def test_promised_decimals_are_not_rounded(bench: Workbench) -> None:
    """Would catch: 1.005 in a DECIMAL(9,2) becoming 1.01 (or 1.00)."""
    promised = (ContractColumn(name="amount", type="DECIMAL(9,2)"),)
    taken = bench.take(b"k,amount\na,1.50\nb,2.500\n", "x.csv", promised=promised)
    assert isinstance(taken, Taken)
    assert [str(value) for value in taken.column("amount")] == ["1.50", "2.50"]
    drift = bench.take(b"k,amount\na,1.50\nb,1.005\n", "x.csv", promised=promised)
    assert isinstance(drift, TypeDrift)
    assert drift.columns[0].line == 3


LEARNT: dict[str, tuple[list[str], str]] = {
    "numbers with leading zeros stay text": (["007", "12"], "VARCHAR"),
    "telephone numbers stay text": (["+4512345678", "+4587654321"], "VARCHAR"),
    "ids of twenty digits stay text": (["12345678901234567890", "12345678901234567891"], "VARCHAR"),
    "whole numbers": (["-5", "0", "9223372036854775807"], "BIGINT"),
    "fractions": (["1", "0.5", "-1.5e-3"], "DOUBLE"),
    "booleans": (["true", "False"], "BOOLEAN"),
    "0 and 1 are numbers": (["0", "1"], "BIGINT"),
    "dates": (["2013-01-31", "2012-02-29"], "DATE"),
    "dates that don't exist stay text": (["2013-01-31", "2013-02-29"], "VARCHAR"),
    "dates of a year 0 stay text": (["0000-01-01", "2013-02-28"], "VARCHAR"),
    "timestamps": (["2013-01-31 10:00:00", "2013-01-31T10:00:00.123"], "TIMESTAMP"),
    "instants": (["2013-01-31T10:00:00Z", "2013-01-31T10:00:00+05:30"], "TIMESTAMP WITH TIME ZONE"),
    "offsets and none stay text": (["2013-01-31T10:00:00Z", "2013-01-31T10:00:00"], "VARCHAR"),
    "American dates, as one proves it": (["01/31/2013", "02/01/2013"], "DATE"),
    "European dates, as one proves it": (["31/01/2013", "01/02/2013"], "DATE"),
    "dates of which either order may be meant stay text": (["01/02/2013", "03/04/2013"], "VARCHAR"),
    "years of two digits": (["1/22/20", "12/31/19"], "DATE"),
    "American timestamps": (["1/22/2020 17:00", "1/23/2020 8:05"], "TIMESTAMP"),
    "nothing at all": (["", ""], "VARCHAR"),
    "hexadecimal": (["0x10", "0x11"], "VARCHAR"),
    "codes with an E stay text": (["1E5", "7E2", "2e7"], "VARCHAR"),
    "a code with an E among numbers": (["100", "12E3"], "VARCHAR"),
    "what programs write as an exponent": (["1e-07", "1.5E+300", "2.5e16", "-1E+05"], "DOUBLE"),
    "more digits than a double has stay text": (["19.999999999999999999", "1.5"], "VARCHAR"),
    "digits that a double has": (["0.1", "0.30000000000000004", "1312221179898333.2"], "DOUBLE"),
    "a double's digits that another one writes": (["-8018251073761.1387", "0.5"], "VARCHAR"),
    "sixteen digits of another number": (["83094542621.77251", "0.5"], "VARCHAR"),
    "seventeen digits of another number": (["-8018251073761.1387", "0.5"], "VARCHAR"),
    "a long fraction of `%.17g`": (["0.10000000000000001", "-122.90254470000001"], "DOUBLE"),
    "a long fraction of `%.16g`": (["9.949999999999999", "1.0000000000000001e-07"], "DOUBLE"),
    "a long fraction that no program writes": (["0.1000000000000000123", "0.5"], "VARCHAR"),
    "too small for a double": (["1e-400", "1.5"], "VARCHAR"),
    "nanoseconds stay text": (["2013-01-31 10:00:00.123456789"], "VARCHAR"),
    "nanoseconds with a zone": (["2013-01-31T10:00:00.0000001Z"], "VARCHAR"),
    "zeros behind microseconds": (["2013-01-31 10:00:00.123456000"], "TIMESTAMP"),
}


@pytest.mark.parametrize("case", LEARNT)
def test_what_is_learnt(bench: Workbench, case: str) -> None:
    """Would catch: a guess that loses something of the text."""
    values, kind = LEARNT[case]
    taken = bench.take(write({"k": ["a"] * len(values), "v": values}), "x.csv")
    assert isinstance(taken, Taken)
    assert taken.types()["v"] == kind


@pytest.mark.parametrize("number", ["0", "1"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_number_in_a_learnt_column_of_booleans_holds(
    bench: Workbench, form: str, number: str
) -> None:
    """Would catch: a count of 1 that becomes true; a contract's type says that 1 is true."""

    def rows(value: str) -> bytes:
        return (f"v\n{value}\n" if form == "csv" else f'{{"v": {value}}}').encode()

    learnt = bench.take(rows("true"), f"x.{form}")
    assert isinstance(learnt, Taken)
    drift = bench.take(rows(number), f"x.{form}", learnt.schema)
    assert isinstance(drift, TypeDrift) and f"'{number}'" in plain(drift.reason)
    assert isinstance(bench.take(rows("false"), f"x.{form}", learnt.schema), Taken)
    declared = [ContractColumn(name="v", type="BOOLEAN")]
    taken = bench.take(rows(number), f"x.{form}", promised=declared)
    assert isinstance(taken, Taken)
    assert taken.column("v") == [number == "1"]


@pytest.mark.long
@pytest.mark.parametrize("number", ["5", "5.5"])
@pytest.mark.parametrize("code", ["007", "+45", "00", "-007", " 007", "1E5", "12e3"])
@pytest.mark.parametrize("form", forms("csv", "jsonl", "xml", "xlsx"))
def test_a_code_in_a_learnt_column_of_numbers_holds(
    bench: Workbench, form: str, code: str, number: str
) -> None:
    """Would catch: `007` and `7` that become one id, `1E5` that becomes 100000.0; a contract's
    type says that they are numbers.
    """
    codes: dict[str, Callable[[str], bytes]] = {
        "csv": lambda value: f"v\n{value}\n".encode(),
        "jsonl": lambda value: (
            f'{{"v": {value if value == number else json.dumps(value)}}}'.encode()
        ),
        "xml": lambda value: f"<r><row><v>{value}</v></row></r>".encode(),
        "xlsx": lambda value: workbook(float(value) if value == number else value),
    }
    options = {"options": {"xml": {"records": "//row", "flatten": True}}} if form == "xml" else {}
    write_value, name = codes[form], f"x.{form}"
    learnt = bench.take(write_value(number), name, **options)
    assert isinstance(learnt, Taken)
    drift = bench.take(write_value(code), name, learnt.schema, **options)
    assert isinstance(drift, TypeDrift), drift
    assert code.strip() in drift.reason
    declared = [ContractColumn(name="v", type="DOUBLE")]
    agreed = bench.take(write_value(number), name, promised=declared, **options)
    assert isinstance(agreed, Taken)
    for pinned in (None, agreed.schema):
        taken = bench.take(write_value(code), name, pinned, promised=declared, **options)
        assert isinstance(taken, Taken), taken
        assert taken.column("v") == [float(code)]


LONG_FRACTIONS: dict[str, Callable[[str], str]] = {
    "csv": lambda number: f"v\n{number}\n",
    "jsonl": lambda number: f'{{"v": {number}}}',
    "json": lambda number: f'[{{"v": {number}}}]',
    "xml": lambda number: f"<r><row><v>{number}</v></row></r>",
}


@pytest.mark.parametrize("form", forms(*LONG_FRACTIONS))
def test_long_fractions_that_programs_write_are_doubles(bench: Workbench, form: str) -> None:
    """Would catch: coordinates of C's `%.17g` that become text, or amounts that become others."""
    write_value, name = LONG_FRACTIONS[form], f"x.{form}"
    options = {"options": {"xml": {"records": "//row", "flatten": True}}} if form == "xml" else {}

    def take(number: str, schema: SourceSchema | None = None) -> Outcome:
        return bench.take(write_value(number).encode(), name, schema, **options)

    learnt = take("0.5")
    assert isinstance(learnt, Taken)
    for number in ("0.10000000000000001", "9.949999999999999", "-122.90254470000001"):
        for pinned in (None, learnt.schema):
            taken = take(number, pinned)
            assert isinstance(taken, Taken), taken
            assert taken.types()["v"] == "DOUBLE"
            assert taken.column("v") == [float(number)]
    for number in ("83094542621.77251", "-8018251073761.1387", "0.1000000000000000123"):
        taken = take(number)
        assert isinstance(taken, Taken)
        assert taken.column("v") == [number]


def test_a_declared_double_may_have_seventeen_digits(bench: Workbench) -> None:
    """Would catch: amounts of C's `%.17g` that nothing lets in. More digits hold all the same."""
    declared = [ContractColumn(name="v", type="DOUBLE")]
    learnt = bench.take(b"v\n0.5\n", "x.csv")
    agreed = bench.take(b"v\n0.5\n", "x.csv", promised=declared)
    assert isinstance(learnt, Taken)
    assert isinstance(agreed, Taken)
    text = b"v\n-8018251073761.1387\n"
    assert isinstance(bench.take(text, "x.csv", learnt.schema), TypeDrift)
    for pinned in (None, agreed.schema):
        taken = bench.take(text, "x.csv", pinned, promised=declared)
        assert isinstance(taken, Taken), taken
        assert taken.column("v") == [-8018251073761.1387]
        more = bench.take(b"v\n19.999999999999999999\n", "x.csv", pinned, promised=declared)
        assert not isinstance(more, Taken)


def workbook(value: float | str) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    assert book.active is not None
    book.active.append(["v"])
    book.active.append([value])
    book.save(out)
    return out.getvalue()


def test_american_dates_have_the_right_day(bench: Workbench) -> None:
    """Would catch: month and day swapped."""
    taken = bench.take(write({"k": ["a", "b"], "v": ["01/31/2013", "02/01/2013"]}), "x.csv")
    assert isinstance(taken, Taken)
    assert taken.column("v") == [dt.date(2013, 1, 31), dt.date(2013, 2, 1)]
    drift = bench.take(b"k,v\na,31/01/2013\n", "x.csv", taken.schema)
    assert isinstance(drift, TypeDrift)
    assert isinstance(bench.take(b"k,v\na,2013-01-31\n", "x.csv", taken.schema), Taken), (
        "ISO 8601 can't be mistaken"
    )


def test_an_iso_column_beside_an_american_one(bench: Workbench) -> None:
    """Would catch: the format of one column applied to all."""
    data = b"k,a,b\nx,1/22/2020 17:00,2020-01-22 17:00:00\n"
    taken = bench.take(data, "x.csv")
    assert isinstance(taken, Taken)
    # what was delivered has no zone
    assert taken.column("a") == taken.column("b") == [dt.datetime(2020, 1, 22, 17)]  # noqa: DTZ001


def test_words_for_no_value_count_where_numbers_show_it(bench: Workbench) -> None:
    """Would catch: a column of numbers that is text because of `NA`; and Namibia (NA) lost where
    nothing shows that it is a word."""
    taken = bench.take(b"n,t\n1,NA\nNA,x\n", "x.csv")
    assert isinstance(taken, Taken)
    assert taken.rows == [(1, None), (None, "x")]
    country = bench.take(b"n,t\n1,NA\n2,DE\n", "x.csv")
    assert isinstance(country, Taken)
    assert country.column("t") == ["NA", "DE"]


def test_no_header(bench: Workbench) -> None:
    """Would catch: the first row of data taken for names and lost."""
    outcome = bench.take(b"1,2013-01-01,x\n2,2013-01-02,y\n", "x.csv")
    assert isinstance(outcome, UnreadableFile)
    assert outcome.line == 1
    assert "looks like data" in outcome.reason
    schema = bench.schema(b"n,day,t\n1,2013-01-01,x\n", "x.csv")
    drift = bench.take(b"1,2013-01-01,x\n2,2013-01-02,y\n", "x.csv", schema)
    assert isinstance(drift, Drift)
    assert "no header" in drift.detail


HEADERS: dict[bytes, tuple[str, ...]] = {
    b"a,a,A": ("a", "a_2", "A_3"),
    b"a,a_2,a": ("a", "a_2", "a_3"),
    b"a,,b": ("a", "column_2", "b"),
    b"a,b,": ("a", "b", "column_3"),
    b' a , "b" ,c': ("a", "b", "c"),
    b'"two\nlines",b': ("two lines", "b"),
    b'"a,b","c""d"': ("a,b", 'c"d'),
    b"_partition,x": ("_partition_2", "x"),
    b"\xc2\xa0a,b": ("a", "b"),
}


@pytest.mark.parametrize("header", HEADERS)
def test_headers(bench: Workbench, header: bytes) -> None:
    """Would catch: columns that share a name, have none, or differ from one day to the next."""
    row = b",".join([b"v"] * len(HEADERS[header]))
    if (
        b' "b" ' in header
    ):  # a blank before a quote makes the quote a character: strict readers and lenient ones differ
        pytest.skip("not RFC 4180")
    taken = bench.take(header + b"\n" + row + b"\n", "x.csv")
    assert isinstance(taken, Taken)
    assert taken.names == HEADERS[header]
    again = bench.take(header + b"\n" + row + b"\n", "x.csv", taken.schema)
    assert isinstance(again, Taken)
    assert len(again.rows) == 1


def test_a_name_of_10_000_characters(bench: Workbench) -> None:
    """Would catch: catalogs, logs and terminals filled with a name."""
    outcome = bench.take(b"a," + b"x" * 10_000 + b"\n1,2\n", "x.csv")
    assert isinstance(outcome, UnreadableFile)
    assert "10,000 characters" in outcome.reason
    assert len(outcome.reason) < 200


def test_too_many_columns(bench: Workbench) -> None:
    """Would catch: a statement of a million columns."""
    outcome = bench.take(b",".join(b"c%d" % n for n in range(50_000)) + b"\n", "x.csv")
    assert isinstance(outcome, UnreadableFile)
    assert "50,000 columns" in outcome.reason


@pytest.mark.parametrize("data", [b"", b"\n\n\n", b"  \r\n\r\n", b"\xef\xbb\xbf"])
def test_no_header_at_all(bench: Workbench, data: bytes) -> None:
    """Would catch: an empty file read as 0 rows, in silence (DuckDB does)."""
    for schema in (None, bench.schema(write(ORDERS), "x.csv")):
        outcome = bench.take(data, "x.csv", schema)
        assert isinstance(outcome, UnreadableFile)
        assert outcome.code == "delivery_empty"


def test_blank_lines(bench: Workbench) -> None:
    """Would catch: a blank first line taken for the header (DuckDB does), blank lines taken for
    rows."""
    schema = bench.schema(write(ORDERS), "x.csv")
    data = b"\n\n" + write(ORDERS).replace(b"\n", b"\n\n")
    taken = bench.take(data, "x.csv", schema)
    assert isinstance(taken, Taken)
    assert sorted(taken.column("id")) == [1, 2, 3]
    bad = bench.take(data.replace(b"2,2.25", b"two,2.25"), "x.csv", schema)
    assert isinstance(bad, TypeDrift)
    assert bad.columns[0].line == 7


def test_quoted_line_breaks_and_the_lines_after_them(bench: Workbench) -> None:
    """Would catch: rows counted instead of lines."""
    schema = bench.schema(write(ORDERS), "x.csv")
    drift = bench.take(b'id,amount,who\n1,1.5,"a\nb\nc"\n2,x,"d"\n', "x.csv", schema)
    assert isinstance(drift, TypeDrift)
    assert drift.columns[0].line == 5


def test_backslash_escapes_are_learnt(bench: Workbench) -> None:
    """Would catch: MySQL's exports rejected."""
    taken = bench.take(b'a,b\n"say \\"hi\\", she said",2\n"x",3\n', "x.csv")
    assert isinstance(taken, Taken)
    assert taken.column("a") == ['say "hi", she said', "x"]


def test_parquet_where_csv_is_pinned(bench: Workbench) -> None:
    """Would catch: Parquet's bytes in a message."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(ORDERS), out)
    refused = bench.take(out.getvalue(), "x.csv", bench.schema(write(ORDERS), "x.csv"))
    assert isinstance(refused, UnreadableFile)
    assert "parquet" in refused.reason


COUNTED = {
    b"a,b\n1,2\n3,4\n": 2,
    b"a,b\n1,2\n3,4": 2,
    b"a,b\r\n1,2\r\n": 1,
    b"a,b\n": 0,
    b'a,b\n"1",2\n': None,
    b"a,b\n1,2\n\n": None,
    b"\na,b\n1,2\n": None,
    b"a,b\r1,2\r": None,
    b"a,b\r\n1,2\r\n\r\n": None,
}


@pytest.mark.parametrize("data", COUNTED)
def test_rows_are_counted_by_lines_where_lines_are_rows(bench: Workbench, data: bytes) -> None:
    """Would catch: a reader that stops early without an error, and a count that is wrong and
    rejects what is right.
    """
    (bench.raw / "f").write_bytes(data)
    prepared = prepare(
        bench.raw / "f",
        "x.csv",
        ReadRules(temporary=bench.temporary),
        connection=bench.session.connection,
        pinned=None,
    )
    assert isinstance(prepared, PreparedDelivery)
    assert prepared.header.rows == COUNTED[data]
    if COUNTED[data] is not None:
        assert miscounted(prepared, COUNTED[data] or 0) is None
        assert miscounted(prepared, 7) is not None


def test_a_path_that_duckdb_would_expand(tmp_path: Any) -> None:
    """Would catch: a project in a folder with `*`, `[`, or `key=value` in its name, read as a glob
    or as Hive's partitions."""
    with Workbench(tmp_path / "we[i]rd * ?" / "year=2013") as bench:
        taken = bench.take(write(ORDERS), "x.csv")
        assert isinstance(taken, Taken)
        assert taken.names == tuple(ORDERS)


def test_fingerprints(bench: Workbench) -> None:
    """Would catch: a delivery under another schema that counts as the same."""
    item, other = bench.schema(write(ORDERS), "x.csv"), bench.schema(write(ORDERS, ";"), "x.csv")
    assert fingerprint(item, "ab") == fingerprint(item, "ab")
    assert len({fingerprint(item, "ab"), fingerprint(item, "ac"), fingerprint(other, "ab")}) == 3


def declared(bench: Workbench, data: bytes, **said: object) -> Outcome:
    return bench.take(data, "x.csv", options={"csv": said})


def test_a_declared_dialect_wins_over_what_the_file_looks_like(bench: Workbench) -> None:
    """Would catch: a delimiter that is guessed all the same, an encoding that is ignored, a word
    for no value that isn't one."""
    taken = declared(
        bench, "a,b;c\ncafé,x;-\n".encode("cp1252"), delimiter=";", encoding="cp1252", null=["-"]
    )
    assert isinstance(taken, Taken)
    assert (taken.names, taken.rows) == (("a,b", "c"), [("café,x", None)])
    quoted = declared(bench, b"a|b\n'x|y'|2\n", delimiter="|", quote="'")
    assert isinstance(quoted, Taken)
    assert quoted.rows == [("x|y", 2)]


def test_files_without_a_header(bench: Workbench) -> None:
    """Would catch: the first row taken for names, or lost; a row more that isn't counted."""
    for data in (b"1,x\n2,y\n", b"1,x\n2,y"):
        taken = declared(bench, data, header=False, columns=["id", "who"])
        assert isinstance(taken, Taken)
        assert (taken.names, sorted(taken.rows)) == (("id", "who"), [(1, "x"), (2, "y")])
    outcome = declared(bench, b"1,x,5\n", header=False, columns=["id", "who"])
    assert isinstance(outcome, UnreadableFile)


def test_a_decimal_comma(bench: Workbench) -> None:
    """Would catch: 1.234,50 as 1.2345, text with commas changed, a decimal point read as one of
    thousands."""
    taken = declared(
        bench, b"v;n;t\n1.234,50;1.000;1,5 kg\n-0,25;17;2,5\n", delimiter=";", decimal=","
    )
    assert isinstance(taken, Taken)
    assert taken.types() == {"v": "DOUBLE", "n": "BIGINT", "t": "VARCHAR"}
    assert sorted(taken.rows) == [(-0.25, 17, "2,5"), (1234.5, 1000, "1,5 kg")]
    options = {"csv": {"delimiter": ";", "decimal": ","}}
    for value in ("12.5", "0.125", "007.125", " 1.25", "1.5e3", "5."):
        drift = bench.take(f"v;n;t\n{value};1;x\n".encode(), "x.csv", taken.schema, options=options)
        assert isinstance(drift, TypeDrift), value
        assert drift.columns[0].column == "v"
    taken = bench.take(b"v;n;t\n 1.250 ;1;x\n", "x.csv", taken.schema, options=options)
    assert isinstance(taken, Taken)
    assert taken.column("v") == [1250]


PREAMBLES: dict[str, tuple[str, dict[str, Any]]] = {
    "titles and a blank line": ("Sales,2024,\n\nid,name\n", {"skip": 2}),
    "titles below a blank line": ("\nSales,2024,\n\nid,name\n", {"skip": 3}),
    "a title": ("My report\nid,name\n", {"skip": 1}),
    "titles and a blank line, with an empty last cell": ("Bank,x,\n\nid,name\n", {"skip": 2}),
    "a title with as many cells": ("My report,\nid,name\n", {"skip": 1}),
    "a title as wide": ("Report, of\nid,name\n", {"skip": 1}),
    "a title with a date": ("Export,2026-02-01\nid,name\n", {"skip": 1}),
    "titles and blank lines": ("Source,\n\nLast,2026-01-01\n\nid,name\n", {"skip": 4}),
    "titles and a blank line above": ("\nBy,Ann\nLast,2026-01-01\nid,name\n", {"skip": 3}),
    "comments": ("# one\n# two, three\nid,name\n", {"comment": "#"}),
    "a comment with as many cells": ("# by me, 2024\nid,name\n", {"comment": "#"}),
}


@pytest.mark.parametrize("case", PREAMBLES)
def test_lines_above_the_header(bench: Workbench, case: str) -> None:
    """Would catch: a title published as the header with junk columns, an error that doesn't say
    what to declare, or a declaration that drops something else.
    """
    above, declared = PREAMBLES[case]
    data = (above + '1,"a\n# no comment"\n2,b\n').encode()
    line = above.count("\n")
    outcome = bench.take(data, "x.csv")
    assert isinstance(outcome, UnreadableFile), outcome
    written = f"{next(iter(declared))}: "
    assert f"line {line}" in outcome.reason, outcome.reason
    assert written in outcome.reason
    for options in (declared, {"header": line} if line and "skip" in declared else declared):
        taken = bench.take(data, "x.csv", options={"csv": options})
        assert isinstance(taken, Taken), taken
        assert taken.rows == [(1, "a\n# no comment"), (2, "b")]
    bad = data.replace(b'"a\n# no comment"', b"a").replace(b"2,b", b"2,b,c")
    wrong = bench.take(bad, "x.csv", options={"csv": declared})
    assert isinstance(wrong, UnreadableFile)
    assert wrong.line == line + 2, "lines are those of the delivery"
    pinned = bench.schema((above.splitlines()[-1] + "\n1,a\n").encode(), "x.csv")
    later = bench.take(data, "x.csv", pinned)
    assert not isinstance(later, Taken)


TITLED = {
    "two words": b"Report, of\nid,v\n1,2\n3,4\n",
    "one row below": b"Report, of\nid,v\n1,2\n",
    "dates below": b"Report,of\nname,day\nAnn,2026-01-01\nBob,2026-01-02\n",
    "a date": b"Export,2026-02-01\nid,v\n1,2\n3,4\n",
    "a number above texts": b"Sales,2024\nname,city\nAnn,Oslo\nBob,Rome\n",
    "an empty name": b"Data Source,X,\nCountry,Code,1960\nAruba,ABW,5\nPeru,PER,7\n",
    "units": b"time,temperature\ns,degree\n1,20.5\n2,21.5\n",
    "groups": b"key,Sales,\n,Plan,Actual\nN,1,2\nS,3,4\n",
    "groups above texts": b"key,Q1,Q1,Q2,Q2\n,a,b,a,b\nN,w,x,y,z\nS,x,y,z,w\n",
}


@pytest.mark.parametrize("titles", [2, 4, 9])
def test_several_titles_as_wide_as_the_header(bench: Workbench, titles: int) -> None:
    """Would catch: the first of four titles as the header, with the header as a row."""
    above = "".join(f"Report {letter},part {letter}\n" for letter in "abcdefghi"[:titles])
    outcome = bench.take(f"{above}id,v\n1,2\n3,4\n".encode(), "x.csv")
    assert isinstance(outcome, UnreadableFile), outcome
    assert f"declare csv: {{skip: {titles}}}" in outcome.reason


@pytest.mark.long
@pytest.mark.parametrize("separator", [b",", b"\t", b";"])
@pytest.mark.parametrize("case", TITLED)
def test_titles_as_wide_as_the_header(bench: Workbench, case: str, separator: bytes) -> None:
    """Would catch: a title as the header, with the header as a row; or names that a contract
    confirms refused.
    """
    data = TITLED[case].replace(b",", separator)
    outcome = bench.take(data, "x.csv")
    assert isinstance(outcome, UnreadableFile), outcome
    assert outcome.reason == (
        "the header seems to be in line 2, below other lines: declare csv: {skip: 1}, or skip: 0 if"
        " it is in the first line"
    )
    for skip in (0, 1):
        taken = bench.take(data, "x.csv", options={"csv": {"skip": skip}})
        assert isinstance(taken, Taken), taken
        assert len(taken.rows) == data.count(b"\n") - skip - 1
    taken = bench.take(data, "x.csv", options={"csv": {"skip": 0}})
    assert isinstance(taken, Taken)
    assert isinstance(bench.take(data, "x.csv", taken.schema), Taken)
    promised = [ContractColumn(name=name) for name in taken.names]
    assert isinstance(bench.take(data, "x.csv", promised=promised), Taken)
    others = [ContractColumn(name="id")]
    assert isinstance(bench.take(data, "x.csv", promised=others), UnreadableFile)


@pytest.mark.parametrize("separator", [b",", b"\t", b";", b"|"])
@pytest.mark.parametrize(
    ("above", "rows"),
    [
        (b"Sales report\n", b"id,name,amount\n1,x,2.5\n2,y,3.5\n"),
        (b"Sales report\nBy: ops\n\n", b"id,name,amount\n1,x,2.5\n2,y,3.5\n"),
        (b"Sales report\n\n", b"code,name\na,x\nb,y\n"),
    ],
)
def test_titles_of_one_cell(bench: Workbench, above: bytes, rows: bytes, separator: bytes) -> None:
    """Would catch: all lines published as one column, `Sales report`, since it has no separator."""
    data = above + rows.replace(b",", separator)
    lines = above.count(b"\n")
    outcome = bench.take(data, "x.csv")
    assert isinstance(outcome, UnreadableFile), outcome
    if f"line {lines + 1}, below" in outcome.reason:
        assert f"declare csv: {{skip: {lines}}}" in outcome.reason
    taken = bench.take(data, "x.csv", options={"csv": {"skip": lines}})
    assert isinstance(taken, Taken)
    assert taken.names == tuple(rows.split(b"\n")[0].decode().split(","))


NOT_TITLED = [
    b"note\nplain\nblue; light\nred\n",
    b"path\na|b\nc|d\n",
    b"station,value\nA,NA\nB,5\nC,6\n",
    b"station,value\nA,unknown\nB,5\nC,6\n",
    b"station,value\nA,-\nB,5\nC,6\n",
    b"code,name\nABC,x\n12,y\n",
    b"name,2024,2025\nAnn,low,high\nBob,high,low\n",
    b",name,city\nx,Ann,Oslo\ny,Bob,Rome\n",
    b"name,city\nAnn,Oslo\nBob,Rome\n",
    b"name,city,\nAnn,Oslo,\nBob,Rome,\n",
    b"id,note,note\n,a,a\n1,b,c\n",
    b"id,note,note\n,1,2\n1,b,c\n",
    b"id,note,text\n,a,b\n1,b,c\n",
    b"a,b\nx,x\n1,2\n3,4\n",
    b"name,joined\nAnn,2024-01-01\nBob,unknown\nCy,2024-02-01\nDi,2024-02-02\n",
]


@pytest.mark.parametrize("data", NOT_TITLED)
def test_rows_of_texts_below_the_header(bench: Workbench, data: bytes) -> None:
    """Would catch: a table refused because its first row has no numbers."""
    assert isinstance(bench.take(data, "x.csv"), Taken)


@pytest.mark.parametrize(
    "header",
    [b",a,b\n0,1,2\n1,3,4\n", b"#id,name\n1,a\n2,b\n", b"a,,b,\n1,x,2,y\n", b"a,b\n\nx,1\ny,2\n"],
)
def test_odd_headers_are_no_titles(bench: Workbench, header: bytes) -> None:
    """Would catch: the header of a data frame with an index refused as a title."""
    assert isinstance(bench.take(header, "x.csv"), Taken)


def test_comments_between_rows(bench: Workbench) -> None:
    """Would catch: a comment as a row, or one in a value cut."""
    data = b'# head\r\nid;v\r\n1;"x\n#y"\r\n# middle; of it\r\n2;z # no\r\n'
    taken = bench.take(data, "x.csv", options={"csv": {"comment": "#"}})
    assert isinstance(taken, Taken), taken
    assert taken.rows == [(1, "x\n#y"), (2, "z # no")]


@pytest.mark.parametrize("line", [b"sep=;\n", b'"sep=;"\r\n', b"\xef\xbb\xbfSEP=;\n", b"sep=\t\n"])
def test_the_separator_line_of_excel(bench: Workbench, line: bytes) -> None:
    """Would catch: columns `sep=` and `column_2`, with the header as a row."""
    sign = b"\t" if b"\t" in line else b";"
    data = b"id;name;c\n1;a,b;x\n".replace(b";", sign)
    taken = bench.take(line + data, "x.csv")
    assert isinstance(taken, Taken), taken
    assert (taken.names, taken.rows) == (("id", "name", "c"), [(1, "a,b", "x")])
    again = bench.take(data, "x.csv", taken.schema)
    assert isinstance(again, Taken), "with or without the line"
    assert isinstance(bench.take(line + data, "x.csv", again.schema), Taken)


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize(
    "again", [b"id,name\n", b"ID,Name\n", b'"Id", name \n', b"\xef\xbb\xbfid,name\n"]
)
@pytest.mark.parametrize("rows", [b"a,b\nx,y\n", b"1,b\n2,y\n"])
def test_a_header_that_comes_again(
    bench: Workbench, rows: bytes, again: bytes, pinned: bool
) -> None:
    """Would catch: the header of a second, joined file as a row, or numbers as text for its sake."""
    header = b"id,name\n"
    schema = bench.schema(header + rows, "x.csv")
    data = header + rows + again + rows
    refused = bench.take(data, "x.csv", schema if pinned else None)
    assert isinstance(refused, UnreadableFile), refused
    assert refused.line == 4
    assert refused.reason == "the header comes again in line 4: files may have been joined"


@pytest.mark.parametrize("again", [b"day\n", b"DAY \n"])
@pytest.mark.parametrize("value", [b"7", b"0.5", b"2024-01-02", b"true"])
def test_a_header_that_comes_again_above_one_column(
    bench: Workbench, value: bytes, again: bytes
) -> None:
    """Would catch: numbers of joined files as text; but a text may be the column's name."""
    data = b"day\n" + value + b"\n" + again + value + b"\n"
    for schema in (None, bench.schema(b"day\n" + value + b"\n", "x.csv")):
        refused = bench.take(data, "x.csv", schema)
        assert isinstance(refused, UnreadableFile), refused
        assert (refused.line, refused.code) == (3, "delivery_header")
    words = bench.take(b"day\nhour\n" + again + b"week\n", "x.csv")
    assert isinstance(words, Taken) and len(words.column("day")) == 3


def test_quoted_values_are_text(bench: Workbench) -> None:
    """Would catch: an empty text published as NULL, though our own exports write the difference."""
    data = b'n,t,d\n1,"",2026-01-01\n"",,""\nNA,"NA",NA\n4,NA,\n'
    taken = bench.take(data, "x.csv")
    assert isinstance(taken, Taken), taken
    assert taken.column("t") == ["", None, "NA", None]
    assert taken.column("n") == [1, None, None, 4]
    assert taken.column("d")[1:] == [None, None, None]
    older = msgspec.structs.replace(
        taken.schema, format=msgspec.structs.replace(taken.schema.format, empty_text=False)
    )
    as_before = bench.take(data, "x.csv", older)
    assert isinstance(as_before, Taken)
    assert as_before.column("t") == [None] * 4, "a schema that an older version pinned goes on"
    declared = bench.take(data, "x.csv", options={"csv": {"null": ["", "NA"]}})
    assert isinstance(declared, Taken)
    assert declared.column("t") == [None] * 4


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"3,z", "line 4, its last one, has no line end and 2 values where the header has 3"),
        (b"3,z\n4,u,7\n", "line 4: 2 values where the header has 3 columns"),
        (b"3,z,4,5\n4,u,7\n", "line 4: 4 values where the header has 3 columns"),
    ],
)
def test_a_row_of_another_width_leaves_the_header_in_line_1(
    bench: Workbench, rest: bytes, reason: str
) -> None:
    """Would catch: "line 2 looks like the header: declare csv: {skip: 1}" of a torn file."""
    refused = bench.take(b"id,name,n\n1,x,5\n2,y,6\n" + rest, "x.csv")
    assert isinstance(refused, UnreadableFile), refused
    assert reason in refused.reason
    assert "looks like" not in refused.reason
    assert (refused.code == "delivery_truncated") == (not rest.endswith(b"\n"))
