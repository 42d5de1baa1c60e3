"""File patterns such as `landing/flights_{date:%Y-%m-%d}.csv`: map file names to partition keys.

A pattern is a path relative to the project with at most one `{date:…}`, one `{key}` and any number
of `*` (which never match a `/`). It is compiled to one regular expression per path component, so
folders named without placeholders need not be listed.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo

from headrace.model.errors import ProjectError
from headrace.model.intervals import key_at, key_of_date
from headrace.model.locations import names_interval
from headrace.model.nodes import Grain

UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".filepart")
"""Endings that copying programs give to unfinished files."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

DIRECTIVES = {
    "Y": r"[0-9]{4}", "y": r"[0-9]{2}", "m": r"[0-9]{2}", "d": r"[0-9]{2}", "j": r"[0-9]{3}",
    "H": r"[0-9]{2}", "M": r"[0-9]{2}", "S": r"[0-9]{2}", "z": r"(?:Z|[+-][0-9]{2}:?[0-9]{2})",
    "G": r"[0-9]{4}", "V": r"[0-9]{2}", "u": r"[1-7]", "q": r"[1-4]", "b": r"[A-Za-z]{3}",
}  # fmt: skip
"""The strftime directives that a file name may hold (`%q` is the quarter) → their regexes."""

STARS_MAX = 3
"""Maximum number of `*` in one path component; each multiplies the time of a failing match."""

KEY = "{key}"
_KEY_GROUP = "(?P<key>.+)"
_PLACEHOLDER = re.compile(r"\{date:([^{}]*)\}")


class Component(NamedTuple):
    """One component of the path: `fixed` text, or a `regex` that the whole name must match."""

    fixed: str | None
    regex: re.Pattern[str] | None


class Pattern(NamedTuple):
    """A compiled pattern. `directives` are those of `{date:…}`, empty without it."""

    text: str
    components: tuple[Component, ...]
    directives: frozenset[str]


def compile_pattern(
    text: str, grain: Grain | None, *, rows_have_partition: bool = False
) -> Pattern:
    """Compile the pattern for files of one grain.

    A grain of None means data that isn't partitioned by time, which allows no `{date:…}`. With
    `rows_have_partition`, a column gives the interval of each row and `{date:…}` isn't required.
    Raises ProjectError if the pattern leaves the project, has an unknown directive, or doesn't
    identify an interval of that grain.
    """
    _refuse_paths_out(text)
    expressions, directives = _expressions(text)
    if grain is None and directives:
        raise ProjectError(
            f"files: {text}: {{date:…}} needs a partition",
            hint="write `partition: day` (or another grain), or drop {date:…}",
        )
    if (
        grain is not None
        and (directives or not rows_have_partition)
        and not names_interval(directives, grain)
    ):
        example = {
            Grain.HOUR: "%Y-%m-%dT%H",
            Grain.WEEK: "%G-W%V",
            Grain.MONTH: "%Y-%m",
            Grain.QUARTER: "%Y-Q%q",
            Grain.YEAR: "%Y",
        }
        raise ProjectError(
            f"files: {text}: the name doesn't say which {grain.value} a file is for",
            hint=f"write {{date:{example.get(grain, '%Y-%m-%d')}}} where the {grain.value} stands",
        )
    return Pattern(text, tuple(expressions), frozenset(directives))


def _refuse_paths_out(text: str) -> None:
    parts = _PLACEHOLDER.sub("", text).split("/")
    if not text or "\0" in text or text.startswith(("/", "~")) or ".." in parts or "\\" in text:
        raise ProjectError(
            f"files: {text!r} isn't a path inside the project",
            hint="write a path relative to headrace.toml, with / between its parts",
        )


def _expressions(text: str) -> tuple[list[Component], set[str]]:
    """Return the path's components. A `/` inside `{date:%Y/%m}` separates components too."""
    directives: set[str] = set()
    placeholders = list(_PLACEHOLDER.finditer(text))
    if len(placeholders) > 1:
        raise ProjectError(
            f"files: {text}: one {{date:…}} at most",
            hint="put all parts of the date into one, e.g. {date:%Y/%m/%d}",
        )
    if text.count(KEY) > 1:
        raise ProjectError(
            f"files: {text}: one {KEY} at most",
            hint="write `*` where the rest of the name doesn't matter",
        )
    rest = _PLACEHOLDER.sub("", text).replace(KEY, "")
    if "{" in rest or "}" in rest:
        raise ProjectError(
            f"files: {text}: a brace that isn't {{date:…}} or {KEY}",
            hint="write e.g. landing/flights_{date:%Y-%m-%d}.csv",
        )
    pieces: list[str] = []
    if placeholders:
        match = placeholders[0]
        pieces = [
            _plain(text[: match.start()]),
            _dated(match[1], text, directives),
            _plain(text[match.end() :]),
        ]
    else:
        pieces = [_plain(text)]
    return [
        _component(part) for part in "".join(pieces).split("/") if part not in ("", ".")
    ], directives


def _plain(text: str) -> str:
    return _KEY_GROUP.join(map(_starred, text.split(KEY)))


def _starred(text: str) -> str:
    return "/".join(".*".join(map(re.escape, re.split(r"\*+", part))) for part in text.split("/"))


def _dated(spec: str, text: str, directives: set[str]) -> str:
    """Return the regex of a strftime text; a repeated directive must match the same text again."""
    out: list[str] = []
    parts = re.split(r"(%.?)", spec)
    for part in parts:
        if not part.startswith("%"):
            out.append("/".join(re.escape(piece) for piece in part.split("/")))
        elif part == "%%":
            out.append("%")
        elif part[1:] not in DIRECTIVES:
            raise ProjectError(
                f"files: {text}: {part} isn't understood in {{date:…}}",
                hint=f"use {', '.join('%' + directive for directive in DIRECTIVES)}",
            )
        elif part[1:] in directives:
            out.append(f"(?P={part[1:]})")
        else:
            directives.add(part[1:])
            out.append(f"(?P<{part[1:]}>{DIRECTIVES[part[1:]]})")
    return "".join(out)


def _component(expression: str) -> Component:
    plain = re.sub(r"\\(.)", r"\1", expression, flags=re.DOTALL)
    if re.escape(plain) == expression:
        return Component(plain, None)
    if expression.count(".*") + expression.count(_KEY_GROUP) > STARS_MAX:
        raise ProjectError(
            f"files: {plain}: more than {STARS_MAX} `*` in one name", hint="name more of the file"
        )
    # A directive that was used in another folder has no group here: each component is matched
    # alone, and `agree` compares the values.
    standalone = re.sub(
        r"\(\?P=([A-Za-z])\)",
        lambda m: m[0] if f"(?P<{m[1]}>" in expression else f"(?P<{m[1]}>{DIRECTIVES[m[1]]})",
        expression,
    )
    return Component(None, re.compile(standalone, re.DOTALL))


def said_by(component: Component, name: str, parts: dict[str, str]) -> dict[str, str] | None:
    """Return `parts` with those that `name` adds.

    None if it doesn't match or is unfinished or hidden.
    """
    if component.fixed is not None:
        return parts if name == component.fixed else None
    assert component.regex is not None
    if name.startswith((".", "~")) or name.endswith(("~", *UNFINISHED)):
        return None
    match = component.regex.fullmatch(name)
    return agree(parts, match.groupdict()) if match else None


def agree(outer: dict[str, str], inner: dict[str, str]) -> dict[str, str] | None:
    """Merge the date parts of two path components; None if they contradict each other."""
    if any(outer.get(name, value) != value for name, value in inner.items()):
        return None
    return {**outer, **inner}


def key_of(parts: dict[str, str], grain: Grain, zone: str) -> str:
    """Return the partition key for a name's parts.

    An hour that occurs twice means the first, unless `%z` decides. Raises ValueError for a date or
    an hour that doesn't exist (2013-02-30; 02:00 on the day when clocks go forward), and UsageError
    for a year outside the supported range.
    """
    day = _date_of(parts)
    hour, minute, second = (int(parts.get(name, "0")) for name in "HMS")
    where = _offset(parts["z"]) if "z" in parts else ZoneInfo(zone)
    at = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=where)
    if grain is not Grain.HOUR:
        return key_of_date(day, grain)
    if at.astimezone(UTC).astimezone(where).replace(fold=0) != at:
        raise ValueError(f"{at} doesn't exist")
    return key_at(at, grain, zone)


def _date_of(parts: dict[str, str]) -> date:
    year = int(parts["Y"]) if "Y" in parts else 2000 + int(parts["y"]) if "y" in parts else None
    if year is None:
        return date.fromisocalendar(int(parts["G"]), int(parts["V"]), int(parts.get("u", "1")))
    if "j" in parts:
        result = date(year, 1, 1) + timedelta(days=int(parts["j"]) - 1)
        if result.year != year:
            raise ValueError(f"{year} has no day {parts['j']}")
        return result
    if "q" in parts and "m" not in parts:
        return date(year, 3 * int(parts["q"]) - 2, 1)
    month = (
        int(parts["m"])
        if "m" in parts
        else MONTHS.index(parts["b"].lower()) + 1
        if "b" in parts
        else 1
    )
    return date(year, month, int(parts.get("d", "1")))


def _offset(text: str) -> timezone:
    if text == "Z":
        return timezone(timedelta())
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
