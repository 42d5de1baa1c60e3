"""Dates of expressions: ISO 8601 texts, the formats of .NET, and their functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from headrace_import.importers.adf.time_zones import iana_zone

ROUND_TRIP = "o"
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d\d:?\d\d)?"
)
_FORMAT = re.compile(
    r"(y{1,5}|M{1,4}|d{1,4}|H{1,2}|h{1,2}|m{1,2}|s{1,2}|f{1,7}|F{1,7}|t{1,2}|K|z{1,3})"
    r"|'([^']*)'|\\(.)|(.)",
    re.DOTALL,
)
_STANDARD = {
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ss'Z'",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "d": "MM/dd/yyyy",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss",
    "m": "MMMM dd",
    "M": "MMMM dd",
    "y": "yyyy MMMM",
    "Y": "yyyy MMMM",
    "D": "dddd, dd MMMM yyyy",
}
_STRFTIME = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "MMM": "%b", "dd": "%d", "HH": "%H", "mm": "%M"}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}


def instant(text: str) -> datetime:
    """Return the point in time of an ISO 8601 text, in UTC where it has no offset.

    Raise ValueError.
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text[:40]}` is no date")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    point = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
        int((fraction or "0").ljust(6, "0")[:6]), tzinfo=UTC,
    )  # fmt: skip
    if zone and zone != "Z":
        sign = -1 if zone[0] == "-" else 1
        point -= sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return point


def formatted(when: datetime, pattern: str = ROUND_TRIP, suffix: str = "Z") -> str:
    """Return a point in time in a .NET format. Raise ValueError for one that isn't known."""
    if len(pattern) == 1 and pattern not in _STANDARD:
        raise ValueError(f"the format `{pattern}` isn't known")
    parts = [
        _piece(when, match[1], suffix) if match[1] else match[2] or match[3] or match[4] or ""
        for match in _FORMAT.finditer(_STANDARD.get(pattern, pattern))
    ]
    return "".join(parts)


def _piece(when: datetime, code: str, suffix: str) -> str:
    sign, width = code[0], len(code)
    numbers = {
        "M": when.month, "d": when.day, "H": when.hour, "h": when.hour % 12 or 12,
        "m": when.minute, "s": when.second,
    }  # fmt: skip
    if sign == "y":
        return f"{when.year % 100:0{width}d}" if width <= 2 else f"{when.year:0{width}d}"
    if sign in "Md" and width > 2:
        name = _MONTHS[when.month - 1] if sign == "M" else _DAYS[when.weekday()]
        return name[:3] if width == 3 else name
    if sign in numbers:
        return f"{numbers[sign]:0{width}d}"
    return _rest(when, sign, width, suffix)


def _rest(when: datetime, sign: str, width: int, suffix: str) -> str:
    if sign in "fF":
        digits = f"{when.microsecond:06d}0"[:width]
        return digits if sign == "f" else digits.rstrip("0")
    if sign == "t":
        return ("AM" if when.hour < 12 else "PM")[:width]
    return suffix if sign == "K" else {1: "+0", 2: "+00", 3: "+00:00"}[width]


def strftime(pattern: str) -> str | None:
    """Return a .NET format in the notation of `{date:…}`; None where that can't say it."""
    codes = [_code(match) for match in _FORMAT.finditer(_STANDARD.get(pattern, pattern))]
    known = [code for code in codes if code is not None]
    return "".join(known) if len(known) == len(codes) else None


def _code(match: re.Match[str]) -> str | None:
    if match[1]:
        return _STRFTIME.get(match[1])
    literal = match[2] or match[3] or match[4] or ""
    return None if any(sign in literal for sign in "%{}*") else literal


def added(when: datetime, amount: int, unit: str) -> datetime:
    """Return a point in time later by `amount` units, `Second` to `Year`. Raise ValueError."""
    unit = unit.lower()
    if unit in UNITS:
        return when + timedelta(seconds=amount * UNITS[unit])
    if unit not in ("month", "year"):
        raise ValueError(f"the unit `{unit}` isn't known")
    months = when.year * 12 + when.month - 1 + amount * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    for day in (when.day, 30, 29, 28):
        try:
            return when.replace(year=year, month=month + 1, day=min(day, when.day))
        except ValueError:
            continue
    raise ValueError("the date is out of range")


def in_zone(when: datetime, zone: str) -> datetime:
    """Return local time in a zone, marked as UTC. Raise ValueError for an unknown zone."""
    return when.astimezone(_zone(zone)).replace(tzinfo=UTC)


def from_zone(when: datetime, zone: str) -> datetime:
    """Return the point in time of a local time in a zone. Raise ValueError."""
    return when.replace(tzinfo=_zone(zone)).astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    known = iana_zone(name)
    if known is None:
        raise ValueError(f"the time zone `{name}` isn't known")
    return ZoneInfo(known)
