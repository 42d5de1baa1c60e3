"""Canonical JSON: golden vectors from RFC 8785, and what is refused because it has no one form."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.security.audit import canonical, clean, rfc3339


class Colour(StrEnum):
    RED = "red"


VECTORS = [
    # RFC 8785 section 3.2.2 and 3.2.3, without its floats and with its control characters made
    # printable (A8).
    ({"literals": [None, True, False]}, '{"literals":[null,true,false]}'),
    (
        {"\u20ac": "Euro", "1": "One", "\U0001f600": "Smile", "\u00f6": "ö"},
        '{"1":"One","ö":"ö","€":"Euro","😀":"Smile"}',
    ),
    ({"b": 1, "a": {"d": [], "c": {}}}, '{"a":{"c":{},"d":[]},"b":1}'),
    ('"\\/', '"\\"\\\\/"'),
    ([0, -1, 2**53 - 1, -(2**53 - 1)], "[0,-1,9007199254740991,-9007199254740991]"),
    ("e\u0301", '"é"'),
    (Colour.RED, '"red"'),
    (Decimal("1.50"), '"1.50"'),
    (date(2013, 2, 11), '"2013-02-11"'),
    (
        datetime(2013, 2, 12, 4, 40, tzinfo=timezone(timedelta(hours=-5))),
        '"2013-02-12T09:40:00.000000Z"',
    ),
    (("a", "b"), '["a","b"]'),
    ("\n", '"\\\\u000a"'),
    ("\U000e0001\uffff", '"\\\\U000e0001\\\\uffff"'),
    # The members of flat objects are written without the encoder.
    (
        {"n": None, "b": True, "a": 'x"', "c": "\\", "d": "\t", "e": "é"},
        '{"a":"x\\"","b":true,"c":"\\\\","d":"\\\\u0009","e":"é","n":null}',
    ),
    (
        {"b": 2**53 - 1, "a": -(2**53 - 1), "c": "", "": Colour.RED},
        '{"":"red","a":-9007199254740991,"b":9007199254740991,"c":""}',
    ),
    ({'"': 1, "\\": 2}, '{"\\"":1,"\\\\":2}'),
]


@pytest.mark.parametrize(("value", "text"), VECTORS)
def test_golden_vectors(value: Any, text: str) -> None:
    assert canonical(value) == text


def test_names_sort_by_utf16_code_units() -> None:
    """By code points U+FFFD (before) and U+1F600 (after) would change places."""
    assert canonical({"\ufffd": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufffd":1}'


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), b"x", object(), {1: 2}, {"a": 0.5}, [{"a": [b""]}], {None: 1}]
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


@pytest.mark.parametrize(
    "value",
    [
        2**53,
        -(2**53),
        {"a": 2**53},
        {"a": -(2**53)},
        {"é": 1, "e\u0301": 2},
        datetime(2013, 1, 1),  # noqa: DTZ001
    ],
)
def test_what_would_be_read_back_differently_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"exactly|same|zone"):
        canonical(value)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(PLAIN)
def test_canonical_text_is_printable_json_and_canonical_again(value: Any) -> None:
    try:
        text = canonical(value)
    except ValueError:
        return  # two names that became one
    assert text.isprintable()
    assert canonical(json.loads(text)) == text


@given(st.text(max_size=50) | st.text(alphabet="\u202e\x1b\n\r\x85\u2028\ud800\x7fa", max_size=50))
def test_clean_text_prints_on_one_line(text: str) -> None:
    assert clean(text).isprintable()
    clean(text).encode()  # no lone surrogate


def test_long_text_is_cut_and_says_so() -> None:
    for character in ("x", "é"):
        longest = character * 4_000
        for text in (character * 4_001, character * 9_000):
            assert clean(text) == character * 3_999 + "…"
            assert json.loads(canonical(text)) == character * 3_999 + "…"
            assert json.loads(canonical({text: text})) == {clean(text): clean(text)}
        assert clean(longest) == json.loads(canonical(longest)) == longest
        assert json.loads(canonical({longest: longest})) == {longest: longest}


def test_times_are_utc_with_microseconds() -> None:
    assert rfc3339(datetime(2013, 2, 12, 4, 40, 0, 5, tzinfo=UTC)) == "2013-02-12T04:40:00.000005Z"
