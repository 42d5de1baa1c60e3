"""Texts that mark their values."""

from __future__ import annotations

import pytest

from headrace.model.errors import HeadraceError, first_line
from headrace.model.texts import MARKS, hidden, marked, of_error, plain

NEWEST = f"born: newest is {marked('2004-05-06')}; at most 2d"


def test_values_are_marked_until_the_reader_is_known() -> None:
    assert plain(NEWEST) == "born: newest is 2004-05-06; at most 2d"
    assert hidden(NEWEST) == "born: newest is …; at most 2d"


def test_words_between_values_stay() -> None:
    """Would catch: a message that is gutted for its quotes."""
    joined = f"'max' isn't a number: write max: 'N'; {NEWEST}; {NEWEST}"
    assert hidden(joined) == (
        "'max' isn't a number: write max: 'N'; born: newest is …; at most 2d;"
        " born: newest is …; at most 2d"
    )


@pytest.mark.parametrize("at", range(len(NEWEST) + 1))
def test_a_text_that_is_cut_shows_no_value(at: int) -> None:
    """Would catch: a value whose end is cut off, or whose begin is."""
    begin, end = NEWEST[:at], NEWEST[at:]
    for part in (
        begin,
        f"{begin}…",
        f"{begin}; 3 rows",
        f"{begin}; {NEWEST}",
        end,
        f"{end}; 3 rows",
    ):
        assert "2004" not in hidden(part) or "2004-05-06" not in part
        assert not set(MARKS) & set(hidden(part)), part
    values = "2004-05-06"
    if (start := NEWEST.index(values)) <= at <= start + len(values):
        assert not set(values) & set(hidden(begin)) and not set("45-") & set(hidden(end))


def test_a_value_with_marks_neither_ends_the_value_nor_begins_a_text() -> None:
    """Would catch: a file whose values have the marks, and reveal the values after them."""
    text = f"a is {marked(f'x{MARKS[1]}secret{MARKS}')}"
    assert plain(text) == "a is xsecret"
    assert hidden(text) == "a is …"


def test_an_error_of_others_has_no_marks_of_ours() -> None:
    """Would catch: a value that calls itself harmless, quoted by an error of DuckDB."""
    assert first_line(ValueError(f"{MARKS[1]}can't cast secret{MARKS[0]}")) == "can't cast secret"
    assert first_line(HeadraceError(NEWEST)) == NEWEST


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("KeyError: 4711", "KeyError: …"),
        ("Conversion Error: can't cast 4711", "Conversion Error: …"),
        ("Out of Range Error: Overflow: 1 + 2\nat 4711", "Out of Range Error: …"),
        ("NoShop exception: 4711", "NoShop exception: …"),
        ("4711 isn't there", "…"),
    ],
)
def test_an_error_is_its_class_and_a_value(message: str, left: str) -> None:
    """Would catch: the words of an exception whose class isn't called an error."""
    assert (plain(of_error(message)), hidden(of_error(message))) == (message, left)
