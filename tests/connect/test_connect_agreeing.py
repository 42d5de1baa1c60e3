"""Types that are learnt from several deliveries at once, one of them bad."""

from __future__ import annotations

import io
import json
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from connect_workbench import Outcome, Taken, Workbench
from legacy_formats import forms

from headrace.connect.deliveries import Drift, Lesson, TypeDrift, UnreadableFile
from headrace.connect.raw_files import store_raw
from headrace.model.nodes import ContractColumn
from headrace.model.texts import plain

GOOD = b"id,day,amount\n1,2025-01-01,1.5\n2,2025-01-02,2.5\n"
BAD = b"id,day,amount\n3,2025-01-03,3.5\n4,2025-13-01,4.5\n5,2025-01-05,4..5\n"
TYPES = {"id": "BIGINT", "day": "DATE", "amount": "DOUBLE"}


def together(bench: Workbench, data: bytes, *others: bytes) -> Outcome:
    """A first delivery, while others wait."""
    samples = []
    for number, other in enumerate(others):
        (bench.raw / f"other{number}").write_bytes(other)
        samples.append((bench.raw / f"other{number}", f"y{number}.csv"))
    return bench.take(data, "x.csv", samples=samples)


@pytest.mark.parametrize("others", [(GOOD, BAD), (BAD, GOOD)])
def test_a_bad_day_among_good_ones_does_not_make_text(
    bench: Workbench, others: tuple[bytes, ...]
) -> None:
    """Would catch: dates and amounts that are text for ever, because one of the first files was
    broken.
    """
    taken = together(bench, GOOD, *others)
    assert isinstance(taken, Taken), taken
    assert taken.types() == TYPES
    drift = together(bench, BAD, GOOD, GOOD)
    assert isinstance(drift, TypeDrift), drift
    assert [(column.column, column.line, column.value) for column in drift.columns] == [
        ("day", 3, "2025-13-01"),
        ("amount", 4, "4..5"),
    ]


def test_what_most_deliveries_have_as_text_is_text(bench: Workbench) -> None:
    """Would catch: codes that happen to be numbers on one day, so that the other days are held; a
    tie decided for the narrower type; a column that is a number here and a date there."""
    numbers, words, dates = b"id,code\n1,12\n", b"id,code\n1,A12\n", b"id,code\n1,2025-01-01\n"
    for others in ((words, words), (words,), (dates, words), (dates,)):
        taken = together(bench, numbers, *others)
        assert isinstance(taken, Taken), taken
        assert taken.types() == {"id": "BIGINT", "code": "VARCHAR"}


def test_dates_that_are_written_in_two_ways_stay_text(bench: Workbench) -> None:
    """Would catch: a date format of one delivery by which another one's good dates are bad."""
    american = b"id,day\n1,01/23/2025\n"
    taken = together(bench, american, b"id,day\n1,2025-01-02\n", b"id,day\n1,soon\n")
    assert isinstance(taken, Taken), taken
    assert taken.types() == {"id": "BIGINT", "day": "VARCHAR"}


def test_whole_numbers_and_fractions_agree(bench: Workbench) -> None:
    """Would catch: days of whole numbers counted against days of fractions."""
    taken = together(bench, b"id,n\n1,1\n", b"id,n\n1,1.5\n", b"id,n\n1,none\n", b"id,n\n1,2\n")
    assert isinstance(taken, Taken), taken
    assert taken.types() == {"id": "BIGINT", "n": "DOUBLE"}


def lesson(taken: Outcome) -> Lesson:
    assert isinstance(taken, Taken), taken
    assert taken.schema.lesson is not None
    return taken.schema.lesson


def test_what_was_learnt_names_the_deliveries_and_the_line_that_disagrees(bench: Workbench) -> None:
    """Would catch: a first delivery of which nobody can tell later what its types were
    learnt from.
    """
    result = lesson(together(bench, GOOD, BAD, GOOD))
    assert result.deliveries == ("x.csv", "y0.csv", "y1.csv")
    assert [
        (item.delivery, item.column, item.type, item.value, item.line) for item in result.disagreed
    ] == [
        ("y0.csv", "day", "DATE", "2025-13-01", 3),
        ("y0.csv", "amount", "DOUBLE", "4..5", 4),
    ]
    assert result.undecided == ()
    assert result.warnings == (), "the delivery itself is held, with its line"


def test_a_file_of_several_intervals_counts_once(bench: Workbench) -> None:
    """Would catch: "learnt from 5 deliveries" where there are two files, and one bad file of many
    days that outvotes the good ones."""
    samples = []
    for name, data, times in (("x.csv", GOOD, 1), ("y.csv", BAD, 3), ("z.csv", GOOD, 1)):
        bench.deliver(data, name)
        path = Path(store_raw(bench.root, bench.found(name), bench.raw).path)
        samples += [(path, name)] * times
    taken = bench.take(GOOD, "x.csv", samples=samples)
    assert lesson(taken).deliveries == ("x.csv", "y.csv", "z.csv")
    assert isinstance(taken, Taken)
    assert taken.types() == TYPES


def test_a_tie_of_two_first_deliveries_is_said_with_line_and_file(bench: Workbench) -> None:
    for first, other, bad in ((GOOD, BAD, "y0.csv"), (BAD, GOOD, "x.csv")):
        result = lesson(together(bench, first, other))
        assert result.undecided == ("day", "amount")
        said = (
            f"day '2025-13-01' isn't DATE (line 3 of {bad}); amount '4..5' isn't DOUBLE (line 4 of"
            f" {bad}): read as text"
        )
        assert tuple(map(plain, result.warnings)) == (said,)


def test_codes_that_are_mostly_text_are_no_disagreement(bench: Workbench) -> None:
    words, numbers = b"id,code\n1,A12\n", b"id,code\n1,12\n"
    assert lesson(together(bench, numbers, words, words)).disagreed == ()
    dates = lesson(together(bench, numbers, b"id,code\n1,2025-01-01\n"))
    assert tuple(map(plain, dates.warnings)) == (
        "code '2025-01-01' isn't BIGINT (line 2 of y0.csv): read as text",
    )


def test_a_delivery_with_another_header_is_named(bench: Workbench) -> None:
    result = lesson(together(bench, GOOD, b"id,day,price\n1,2025-01-01,2.5\n"))
    assert [item.text for item in result.disagreed] == ["y0.csv has another header"]


def test_a_first_delivery_in_utf8_where_another_encoding_is_declared_is_read_as_utf8_and_said(
    bench: Workbench,
) -> None:
    """Would catch: `cafÃ©` in a source's first delivery, in silence; later ones are compared
    already."""
    options = {"csv": {"encoding": "cp1252"}}
    text = "id,name\n1,café\n2,naïve\n"
    taken = bench.take(text.encode(), "x.csv", options=options)
    assert isinstance(taken, Taken), taken
    assert [row[1] for row in taken.rows] == ["café", "naïve"]
    (said,) = lesson(taken).warnings
    assert said == "the first delivery is UTF-8, though CP1252 is declared, and is read as UTF-8"
    declared = bench.take(text.encode("cp1252"), "x.csv", options=options)
    assert lesson(declared).warnings == ()
    assert lesson(declared).encoding == "cp1252"


def sales(*amounts: str) -> bytes:
    """Thirty sales, the first of which have these amounts."""
    rows = [*amounts, *(f"{n}.50" for n in range(30 - len(amounts)))]
    return ("id,amount\n" + "".join(f"{n},{amount}\n" for n, amount in enumerate(rows))).encode()


def test_a_column_that_one_value_makes_text_is_told_of_with_its_line(bench: Workbench) -> None:
    """Would catch: amounts that are text for ever because one of 330 in the first file isn't a
    number, in silence.
    """
    taken = bench.take(sales("1.5", "abc"), "x.csv")
    assert isinstance(taken, Taken), taken
    assert taken.types() == {"id": "BIGINT", "amount": "VARCHAR"}
    (warning,) = lesson(taken).warnings
    assert (
        plain(warning)
        == "amount 'abc' isn't a number (line 3 of x.csv), 29 of 30 values are: read as text, which"
        " it stays; cast it to DOUBLE where it is read, and ask the source's owner for the right"
        " file"
    )


@pytest.mark.parametrize("first", [("007",), ("+45",), ("a", "b"), ("1.5",)])
def test_codes_and_texts_are_not_told_of(bench: Workbench, first: tuple[str, ...]) -> None:
    """Would catch: a warning that `007` isn't a number, or one over a column whose texts aren't
    few.
    """
    assert lesson(bench.take(sales(*first), "x.csv")).warnings == ()


def test_a_classified_value_is_not_told_and_a_stated_type_needs_no_warning(
    bench: Workbench,
) -> None:
    """Would catch: a value of a classified column in a warning."""
    promised = [ContractColumn(name="id"), ContractColumn(name="amount", classification="pii")]
    (warning,) = lesson(bench.take(sales("1.5", "abc"), "x.csv", promised=promised)).warnings
    assert "abc" not in warning and "line 3 of x.csv" in warning
    typed = [ContractColumn(name="id"), ContractColumn(name="amount", type="VARCHAR")]
    assert lesson(bench.take(sales("1.5", "abc"), "x.csv", promised=typed)).warnings == ()


FORMATS = forms("csv", "jsonl", "json", "xml", "xlsx", "parquet")


def written(form: str, *values: object) -> bytes:
    """A table with the columns `id` and `v`."""
    rows = [{"id": number, "v": value} for number, value in enumerate(values)]
    if form == "csv":
        lines = (f"{row['id']},{'' if row['v'] is None else row['v']}\n" for row in rows)
        return ("id,v\n" + "".join(lines)).encode()
    if form == "json":
        return json.dumps(rows).encode()
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if form == "xml":
        each = (
            f"<row><id>{row['id']}</id><v>{'' if row['v'] is None else row['v']}</v></row>"
            for row in rows
        )
        return f"<r>{''.join(each)}</r>".encode()
    out = io.BytesIO()
    if form == "parquet":
        pq.write_table(pa.table({"id": [row["id"] for row in rows], "v": list(values)}), out)
        return out.getvalue()
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (("id", "v"), *((row["id"], row["v"]) for row in rows)):
        book.active.append(row)
    book.save(out)
    return out.getvalue()


def first_of(bench: Workbench, form: str, data: bytes, *others: bytes) -> Outcome:
    samples = []
    for number, other in enumerate(others):
        bench.deliver(other, f"y{number}.{form}")
        path = Path(store_raw(bench.root, bench.found(f"y{number}.{form}"), bench.raw).path)
        samples.append((path, f"y{number}.{form}"))
    options = {"xml": {"records": "//row", "flatten": True}} if form == "xml" else {}
    return bench.take(data, f"x.{form}", samples=samples, options=options)


@pytest.mark.parametrize("form", FORMATS)
def test_the_type_of_most_deliveries_is_the_columns_in_every_format(
    bench: Workbench, form: str
) -> None:
    """Would catch: one bad file that makes a column text in silence."""
    good, bad, fraction = (written(form, value) for value in (1, "x", 2.5))
    taken = first_of(bench, form, good, bad, fraction)
    result = lesson(taken)
    assert isinstance(taken, Taken)
    assert taken.types() == {"id": "BIGINT", "v": "DOUBLE"}
    assert [(item.delivery, item.column, item.type) for item in result.disagreed] == [
        (f"y0.{form}", "v", "DOUBLE")
    ]
    drift = first_of(bench, form, bad, good, fraction)
    assert isinstance(drift, TypeDrift), drift
    tie = first_of(bench, form, good, bad)
    assert isinstance(tie, Taken), tie
    assert tie.types()["v"] == "VARCHAR"
    assert lesson(tie).undecided == ("v",)
    assert "read as text" in lesson(tie).warnings[0]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("empty", [(), (None,), (None, None)])
def test_a_file_without_values_has_no_say(
    bench: Workbench, form: str, empty: tuple[None, ...]
) -> None:
    """Would catch: a file with a header only that makes columns text, or is said to disagree."""
    if not empty and form in ("jsonl", "json", "xml", "parquet"):
        pytest.skip("no columns, or columns with types")
    good, nothing = written(form, 1, 2), written(form, *empty)
    for files in ((good, nothing), (nothing, good), (nothing, nothing, good)):
        taken = first_of(bench, form, *files)
        assert isinstance(taken, Taken), taken
        assert taken.types() == {"id": "BIGINT", "v": "BIGINT"}
        assert lesson(taken).disagreed == ()


def test_a_first_header_that_may_be_cut_off(bench: Workbench) -> None:
    """Would catch: a file that was cut off in its header, published as a day without rows."""
    torn, whole = b"id,day,amou", b"id,day,amount"
    for outcome in (bench.take(torn, "x.csv"), together(bench, torn, GOOD)):
        assert isinstance(outcome, UnreadableFile), outcome
        assert (outcome.line, outcome.code) == (1, "delivery_truncated")
    contract = [ContractColumn(name=name) for name in ("id", "day", "amount")]
    learnt = bench.schema(GOOD, "x.csv")
    for taken in (
        bench.take(torn + b"\n", "x.csv"),
        bench.take(whole, "x.csv", promised=contract),
        bench.take(whole, "x.csv", learnt),
        together(bench, whole, GOOD),
    ):
        assert isinstance(taken, Taken), taken
        assert taken.rows == []
    assert isinstance(bench.take(torn, "x.csv", learnt), Drift)
