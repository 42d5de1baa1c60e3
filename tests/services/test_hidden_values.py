"""Texts without the values that they quote, for people who may not read rows."""

from __future__ import annotations

import io

import pytest

from headrace.access.hidden_values import RenderedProgress, rendered
from headrace.cli.server import LinePrinter
from headrace.cli.terminal import Screen
from headrace.model.texts import hidden, marked, plain
from headrace.project.session import Silent
from headrace.responses import ErrorRow, Response
from headrace.responses.runs import DisagreedRow
from headrace.runtime.runs import News, NewsState

MARKED = f"born: newest is {marked('2004-05-06')}"


def test_a_marked_value_is_hidden_in_whatever_field_it_is() -> None:
    """Would catch: a new field whose name isn't known, and a mark that reaches a reader."""
    row = ErrorRow(kind="deterministic", code="x", message="m", file=MARKED, hint=f"see {MARKED}")
    for response in ([row], {"rows": [row]}, (row, MARKED)):
        readable, without = rendered(response, plain), rendered(response, hidden)
        assert "2004" not in repr(without) and "newest is …" in repr(without)
        assert "newest is 2004-05-06" in repr(readable)
        assert "\\ufdd" not in repr((readable, without))


def test_rows_of_data_stay_as_they_are() -> None:
    """Would catch: a value with a noncharacter that a reader of rows gets without it."""
    rows = [{"a": "x\ufdd0"}, ["\ufdd3"], ("\ufdd1",)]
    assert rendered(rows, plain, rows=True) == rows


def test_lines_of_progress_are_rendered() -> None:
    """Would catch: the reason of a held delivery, while somebody who may not read rows runs it."""

    class Noting(Silent):
        def note(self, line: str) -> None:
            lines.append(line)

    lines: list[str] = []
    RenderedProgress(Noting(), hidden).note(f"people held: {MARKED}")
    assert lines == ["people held: born: newest is …"]


def test_lines_of_a_server_and_of_the_demo_have_no_marks() -> None:
    """Would catch: the marks of values in a log, where nobody's rights are asked for."""
    demo = pytest.importorskip("headrace_demo.demo")
    reason = f"born: newest is {marked('2004-05-06')}"
    news = News("flights_clean", "2013-02-08", NewsState.PUBLISHED, "warned", reason)
    out, watch = io.StringIO(), demo._Watch()
    LinePrinter(Screen(out, no_color=True))(news.reason)
    watch(news)
    assert [out.getvalue().strip(), watch.events[0].message] == ["born: newest is 2004-05-06"] * 2


def test_fields_of_values_are_hidden_and_exist() -> None:
    """Would catch: a field that was renamed, and is shown since."""
    row = DisagreedRow(delivery="d", column="c", type=None, value="Ada", line=1, text="t")
    assert rendered(row, hidden).value == "…"
    assert rendered(row, plain).value == "Ada"
    waiting = [Response]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        assert set(kind.values_of_rows) <= set(kind.__struct_fields__), kind
