"""Dates in names and requests that can't tell intervals apart, first of all the repeated hour."""

from __future__ import annotations

import pytest
from modellab import Load
from source_packages import NEEDS_HTTP

FILE = "source: h\nowner: acme\npartition: {grain}\ntimezone: {zone}\nfiles: landing/{name}\n"
HTTP = "source: h\nowner: acme\npartition: {grain}\ntimezone: {zone}\nhttp: {name}\n"
API = '"https://api.example.com/x?{}"'


@pytest.mark.parametrize(
    ("zone", "name", "level"),
    [
        ("America/New_York", "h_{date:%Y-%m-%d_%H}.csv", "warning"),
        ("Europe/Berlin", "{date:%Y/%m/%d/%H}/h.csv", "warning"),
        ("Europe/Berlin", "h_{date:%G-W%V-%u_%H%M%%z}.csv", "warning"),  # %%z is text
        ("Australia/Lord_Howe", "h_{date:%Y%m%d%H%M}.csv", "warning"),
        ("America/New_York", "h_{date:%Y-%m-%d_%H%z}.csv", None),
        ("UTC", "h_{date:%Y-%m-%d_%H}.csv", None),
        ("Asia/Tokyo", "h_{date:%Y-%m-%d_%H}.csv", None),  # without summer time
        ("America/Sao_Paulo", "h_{date:%Y-%m-%d_%H}.csv", None),  # gave it up in 2019
    ],
)
def test_names_of_hours_that_come_twice(
    load: Load, zone: str, name: str, level: str | None
) -> None:
    """Catches a pattern whose second hour never arrives, and a warning where clocks never turn."""
    text = FILE.format(grain="hour", zone=zone, name=name)
    _, problems = load(**{"sources/h.yaml": text})
    assert [str(problem.level) for problem in problems] == ([level] if level else [])
    if problems:
        assert "headrace receive h FILE --for HOUR" in problems[0].hint


@NEEDS_HTTP
@pytest.mark.parametrize(
    ("grain", "query", "refused"),
    [
        ("hour", "from={date:%Y-%m-%dT%H}&to={end:%Y-%m-%dT%H}", "both would get the same answer"),
        ("hour", "from={date:%Y-%m-%dT%H%z}&to={end:%Y-%m-%dT%H}", ""),
        ("hour", "d={date:%Y-%m-%d}", "don't tell one hour from another"),
        ("day", "m={date:%Y-%m}", "don't tell one day from another"),
        ("day", "w={date:%G-%V}", "don't tell one day from another"),
        ("day", "y={date:%Y}&m={date:%m}&d={date:%d}", ""),
        ("day", "until={end:%Y-%j}", ""),
        ("week", "m={date:%Y-%m}", "don't tell one week from another"),
        ("week", "w={date:%G-%V}", ""),
        ("month", "m={date:%Y-%m}", ""),
    ],
)
def test_requests_that_ask_the_same_for_several_intervals(
    load: Load, grain: str, query: str, refused: str
) -> None:
    """Catches one answer published for each day of a month, or for both hours called 01:00."""
    text = HTTP.format(grain=grain, zone="America/New_York", name=API.format(query))
    _, problems = load(**{"sources/h.yaml": text})
    assert [str(problem.level) for problem in problems] == (["error"] if refused else [])
    assert all(refused in problem.message for problem in problems)
