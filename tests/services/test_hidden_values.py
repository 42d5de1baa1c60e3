"""Texts without the values that they quote, for people who may not read rows."""

from __future__ import annotations

import io

import pytest

from headrace.access.hidden_values import (
    LEFT_OUT,
    RenderedProgress,
    plain,
    text_without_values,
    without_values,
)
from headrace.cli.server import LinePrinter
from headrace.cli.terminal import Screen
from headrace.demo import demo
from headrace.model.texts import Value, text
from headrace.project.session import Silent
from headrace.responses import ErrorRow
from headrace.responses.history import ColumnFigureRow
from headrace.runtime.runs import News, NewsState
from headrace.services.logs import AttemptLog

OUT = "can't be cast because the value is out of range for the destination type INT8"


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("branch: 'Oslo' is 'Bergen'", "branch: '…' is '…'"),
        ("the column hasn't 'it\\'s \"x\"' in it", "the column hasn't '…' in it"),
        ('name: "O\'Hara" is new', "name: '…' is new"),
        (
            "a: first value that isn't BIGINT: 'x' y', 1 row",
            "a: first value that isn't BIGINT: '…'",
        ),
        ("cut: 'a value without an e", "cut: '…'"),
        ("origin: 3 rows not in EWR, JFK (Oslo (N), Rome)", "origin: 3 rows not in EWR, JFK (…)"),
        ("mail: 2 values twice (a@example.com, b", "mail: 2 values twice (…)"),
        ("No module named 'pandas'", "No module named 'pandas'"),
        (
            "ModuleNotFoundError: No module named 'pandas'",
            "ModuleNotFoundError: No module named 'pandas'",
        ),
        (
            "branch: 'Oslo' is new, No module named 'pandas'",
            "branch: '…' is new, No module named '…'",
        ),
        (
            "shop: 3 rows not in Kids', Adults (XXX)",
            "shop: 3 rows not in Kids', Adults (…)",
        ),
        ("shop: 3 rows not in Kids (XXX); 'cut", "shop: 3 rows not in Kids (…); '…'"),
        (
            "3 rows published (snapshot 5); late by 2 h, because source x (see INC-3) waits",
            "3 rows published (…); late by 2 h, because source x (see INC-3) waits",
        ),
        ("mail: 2 values twice (a); b)", "mail: 2 values twice (…)"),
        ("mail: 2 values twice (a), c", "mail: 2 values twice (…)"),
        (
            "a: 2 rows not in A (x); b: 1 row not in B (y)",
            "a: 2 rows not in A (…); b: 1 row not in B (…)",
        ),
        (
            "the column 'n' of file 'a.csv': 'Oslo' isn't BIGINT",
            "the column 'n' of file 'a.csv': '…' isn't BIGINT",
        ),
        (
            "host name 'db1' isn't known in time zone 'UTC'",
            "host name 'db1' isn't known in time zone 'UTC'",
        ),
        ("the column 'it's' is 'Oslo'", "the column '…'"),
        (
            "Type INT32 with value 4711 can't be cast because it's out of range",
            "Type INT32 with value … can't be cast because it's out of range",
        ),
        ("n: Overflow in multiplication of INT16 (30000 * 30000)!", "n: Overflow in …"),
        (f"Conversion Error: Type INT32 with value 4711 {OUT}", f"Conversion Error: {LEFT_OUT}"),
        (
            "Out of Range Error: Overflow in HUGEINT addition: 1 + 2",
            f"Out of Range Error: {LEFT_OUT}",
        ),
        (
            "orders failed: Invalid Input Error: no Oslo\nBergen",
            f"orders failed: Invalid Input Error: {LEFT_OUT}",
        ),
        ("KeyError: 4711", f"KeyError: {LEFT_OUT}"),
        ("orders: NoShop exception: 4711", f"orders: NoShop exception: {LEFT_OUT}"),
        ("the file hasn't arrived; 12 rows of 40", "the file hasn't arrived; 12 rows of 40"),
    ],
)
def test_values_are_taken_out(text: str, without: str) -> None:
    """Would catch: a value with quotes, brackets or without an end that stays in a text."""
    assert text_without_values(text) == without == text_without_values(without)


def test_a_share_stays_without_its_value() -> None:
    """Would catch: a category in the figures of a column, or figures that are gone with it."""
    row = ColumnFigureRow(figure="share", category="Oslo", unit="share", points=[])
    assert without_values([row]) == [
        ColumnFigureRow(figure="share", category="…", unit="share", points=[])
    ]
    assert without_values({"reason": "'Oslo'", "rows": 3}) == {"reason": "'…'", "rows": 3}


@pytest.mark.parametrize("field", ["note", "notes", "first", "ended", "reason"])
def test_each_field_that_says_why_loses_values(field: str) -> None:
    """Would catch: the delay ledger's note, which has a delivery's reason where an incident is
    about several of them."""
    text = "column amount: first value that isn't DOUBLE: '98.7x' at line 11, 1 row"
    assert without_values({field: text}) == {field: text.replace("98.7x", "…")}


@pytest.mark.parametrize(
    ("code", "message", "left"),
    [
        ("body_failed", "NoShop: 4711", f"NoShop: {LEFT_OUT}"),
        ("body_failed", "KeyError: 4711", f"KeyError: {LEFT_OUT}"),
        ("body_failed", "No module named 'pandas'", "No module named 'pandas'"),
        ("body_failed", "$day has no value", "$day has no value"),
        ("command_failed", "`sh load.sh` ended with exit code 3", None),
    ],
)
def test_an_error_of_asset_code_is_its_name(code: str, message: str, left: str | None) -> None:
    """Would catch: the words of an exception whose class isn't called an error, also in a log."""
    row = ErrorRow(kind="deterministic", code=code, message=message, file="assets/a.py", line=3)
    log = without_values(AttemptLog(None, [], row))  # type: ignore[arg-type]
    assert isinstance(log, AttemptLog) and log.error is not None
    assert (log.error.message, log.error.line) == (left or message, 3)


def test_the_words_of_a_trial_that_failed_are_left_out() -> None:
    """Would catch: DuckDB's words in why a proposal isn't measured."""
    assert without_values({"unmeasured": "KeyError: 4711", "error": "no 'Oslo'"}) == {
        "unmeasured": f"KeyError: {LEFT_OUT}", "error": "no '…'",
    }  # fmt: skip


MARKED = text("{}: newest is {}", "born", Value("2004-05-06"))


def test_a_marked_value_is_hidden_in_whatever_field_it_is() -> None:
    """Would catch: a new field whose name isn't known, and a mark that reaches a reader."""
    row = ErrorRow(kind="deterministic", code="x", message="m", file=MARKED, hint=f"see {MARKED}")
    for response in ([row], {"rows": [row]}, (row, MARKED)):
        assert "2004" not in repr(without_values(response))
        assert "\\ufdd" not in repr((without_values(response), plain(response)))
        assert "newest is 2004-05-06" in repr(plain(response))
        assert "newest is …" in repr(without_values(response))


def test_rows_of_data_stay_as_they_are() -> None:
    """Would catch: a value with a noncharacter that a reader of rows gets without it."""
    rows = [{"a": "x\ufdd0"}, ["\ufdd3"], ("\ufdd1",)]
    assert plain(rows, rows=True) == rows


def test_lines_of_progress_are_rendered() -> None:
    """Would catch: the reason of a held delivery, while somebody who may not read rows runs it."""

    class Noting(Silent):
        def note(self, line: str) -> None:
            lines.append(line)

    lines: list[str] = []
    RenderedProgress(Noting(), text_without_values).note(f"people held: {MARKED}")
    assert lines == ["people held: born: newest is …"]


def test_lines_of_a_server_and_of_the_demo_have_no_marks() -> None:
    """Would catch: the marks of values in a log, where nobody's rights are asked for."""
    reason = text("{}: newest is {}", "born", Value("2004-05-06"))
    news = News("flights_clean", "2013-02-08", NewsState.PUBLISHED, "warned", reason)
    out, watch = io.StringIO(), demo._Watch()
    LinePrinter(Screen(out, no_color=True))(news.reason)
    watch(news)
    assert [out.getvalue().strip(), watch.events[0].message] == ["born: newest is 2004-05-06"] * 2
