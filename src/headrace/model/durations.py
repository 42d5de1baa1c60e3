"""How a length of time is written, everywhere: `8.2 ms`, `2.1 s`, `40 s`, `12 min`, `50 h 40 min`, `5 days 2 h`.

`ui/src/parts/durations.ts` writes it in the browser; `tests/durations.json` is the table of both.
"""

from __future__ import annotations

_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
_HOUR_US = 60 * _MINUTE_US
HOURS_MAX = 96
"""Longer durations are written in days and hours."""


def duration(us: int) -> str:
    """A length of time in microseconds, rounded to what its unit shows, halves up."""
    if us < 0:
        return f"−{duration(-us)}"
    if us < 9_500:
        return _tenths(_rounded(us, 100), "ms")
    if us < 999_500:
        return f"{_rounded(us, 1_000)} ms"
    if us < 9_950_000:
        return _tenths(_rounded(us, 100_000), "s")
    if (seconds := _rounded(us, _SECOND_US)) < 60:
        return f"{seconds} s"
    if (minutes := _rounded(us, _MINUTE_US)) < 60:
        return f"{minutes} min"
    if minutes < 60 * HOURS_MAX:
        return f"{minutes // 60} h {minutes % 60:02} min"
    days, hours = divmod(_rounded(us, _HOUR_US), 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def _rounded(us: int, unit_us: int) -> int:
    return (us + unit_us // 2) // unit_us


def _tenths(count: int, unit: str) -> str:
    return f"{count // 10}.{count % 10} {unit}" if count else "0 s"
