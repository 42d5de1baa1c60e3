"""Numbers with more digits than a double holds, searched for in the bytes of JSON deliveries."""

from __future__ import annotations

import pytest

from headrace.lake.byte_search import contains
from headrace.lake.exact_json import LONG_DIGITS, has_inexact


@pytest.mark.parametrize("before", range(2 * LONG_DIGITS))
@pytest.mark.parametrize(
    "number",
    ["123456789012345678901", "0.12345678901234567", "-98765432109876543210", "1." + "3" * 40],
)
def test_a_long_number_is_found_wherever_it_begins(number: str, before: int) -> None:
    """Would catch: a number that the bytes examined first don't show, so that it is rounded."""
    text = " " * before + f'{{"a": {number}, "b": 1.5}}'
    assert has_inexact(text.encode())
    assert has_inexact((" " * before + number).encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 123456789012345}',  # 15 digits survive a double
        '{"a": "12 345 678 901 234 567"}',
        '{"a": 1700000000000, "b": 2.5}',
        '{"at": "2026-01-01T10:00:00.123456", "b": 1}',
    ],
)
@pytest.mark.parametrize("before", range(6))
def test_shorter_numbers_leave_a_file_as_it_is(text: str, before: int) -> None:
    """Would catch: deliveries that are copied for the digits of a time or of a short number."""
    assert not has_inexact((" " * before + text).encode())


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"aab", b"abab", b"ba", b"aXb", b"a" * 99])
def test_a_part_is_found_exactly_where_it_occurs(data: bytes) -> None:
    """Would catch: a part at the very beginning or end that a search from the end misses."""
    assert contains(data, b"ab") == (b"ab" in data)
