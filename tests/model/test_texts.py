"""Texts that mark their values."""

from __future__ import annotations

import pytest

from headrace.model.errors import HeadraceError, first_line
from headrace.model.texts import MARKS, Value, hidden, plain, text

NEWEST = text("{}: newest is {}; at most {}", "born", Value("2004-05-06"), "2d")


def test_values_are_marked_until_the_reader_is_known() -> None:
    assert plain(NEWEST) == "born: newest is 2004-05-06; at most 2d"
    assert hidden(NEWEST) == "born: newest is …; at most 2d"


def test_only_words_of_others_are_searched_for_values() -> None:
    """Would catch: a message that is gutted for its quotes, and one of an earlier version that
    keeps its values because a marked text follows it."""
    harmless = text("'{}' isn't a number: write {}", "max", "max: 'N'")
    joined = f"new: 'Oslo'; {harmless}; {NEWEST}; 'Rome'"
    assert hidden(joined, lambda words: words.replace("Oslo", "?").replace("Rome", "?")) == (
        "new: '?'; 'max' isn't a number: write max: 'N'; born: newest is …; at most 2d; '?'"
    )


@pytest.mark.parametrize("end", range(len(NEWEST) + 1))
def test_a_text_that_is_cut_shows_no_value(end: int) -> None:
    """Would catch: a value whose end is cut off, or whose begin is."""
    for part in (NEWEST[:end], f"{NEWEST[:end]}…", f"{NEWEST[:end]}; 3 rows"):
        assert "2004" not in hidden(part)
        assert not set(MARKS) & set(hidden(part)), part


def test_a_value_with_marks_neither_ends_the_value_nor_begins_a_text() -> None:
    """Would catch: a file whose names or values have the marks, and reveal the values after them."""
    name, value = f"a{MARKS}", Value(f"x{MARKS[3]}secret{MARKS}")
    marked = text("{} is {}", name, value)
    assert plain(marked) == "a is xsecret"
    assert hidden(marked) == "a is …"


def test_an_error_of_others_has_no_marks_of_ours() -> None:
    """Would catch: a value that calls itself harmless, quoted by an error of DuckDB."""
    assert first_line(ValueError(f"{MARKS[0]}can't cast secret{MARKS[1]}")) == "can't cast secret"
    assert first_line(HeadraceError(NEWEST)) == NEWEST
