"""Durations and times after an interval (SEMANTICS §1)."""

from __future__ import annotations

import contextlib
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_cases import cases

from headrace.model import Grain, HeadraceError, UsageError, after, interval_of, parse_duration
from headrace.model.times import Duration, Offset


def _read(case: str) -> tuple[str, Grain, str, str, list[str], str]:
    left, _, expected = case.partition("=")
    where, offset, *holidays = (part.strip() for part in left.lstrip("!").split("|"))
    key, grain, zone = where.split()
    return key, Grain(grain), zone, offset, holidays, expected.strip()


@pytest.mark.parametrize("case", [line for line in cases("times") if not line.startswith("!")])
def test_the_examples_of_the_page(case: str) -> None:
    """A deadline computed wrongly is a promise judged wrongly."""
    key, grain, zone, offset, holidays, expected = _read(case)
    closed = {date.fromisoformat(day) for line in holidays for day in line.split()}
    assert (
        after(interval_of(key, grain, zone), offset, zone, closed.__contains__).isoformat()
        == expected
    )


@pytest.mark.parametrize("case", [line for line in cases("times") if line.startswith("!")])
def test_what_is_no_time_after_an_interval_is_refused_with_a_hint(case: str) -> None:
    """A typing mistake that is guessed at becomes a deadline that nobody promised."""
    offset = _read(case)[3]
    with pytest.raises(UsageError) as refused:
        Offset.parse(offset)
    assert refused.value.hint


def test_a_calendar_without_business_days_is_an_error_not_a_loop() -> None:
    """The search for a business day has to end."""
    with pytest.raises(HeadraceError, match="no business day"):
        after(interval_of("2013-02-11", Grain.DAY, "UTC"), "+1bd 09:00", "UTC", lambda _: True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("30h", timedelta(hours=30)),
        ("1d12h", timedelta(hours=36)),
        ("90m", timedelta(minutes=90)),
        ("2w", timedelta(days=14)),
        ("45s", timedelta(seconds=45)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "7", "d", "7 days", "-7d", "7d 2", "1h1d", "1.5h", "９d", "999999d", "7D"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """`7` of what?"""
    with pytest.raises(UsageError):
        parse_duration(text)


@given(st.text(max_size=30))
def test_any_text_is_a_duration_and_an_offset_or_refused(text: str) -> None:
    """Nothing but UsageError may come out of what a person typed."""
    for parse in (Duration.parse, Offset.parse):
        with contextlib.suppress(UsageError):
            parse(text)
