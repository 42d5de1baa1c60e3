"""Paths in declarations: inside the project, with at most one `{date:…}` and one `{key}`."""

from __future__ import annotations

import re

from headrace.model.fields import Fields
from headrace.model.nodes import Grain, PartitionSpec
from headrace.model.remote_paths import is_usable_url, scheme_of
from headrace.model.reporting import shown

PATH_CHARACTERS_MAX = 1_000
KEY = "{key}"
PLACEHOLDER = re.compile(r"\{date:([^{}]+)\}")
STARS_MAX = 3
"""`*` in one part of a path: each more multiplies the time that a name which doesn't match can take."""
_DIRECTIVES = {
    "Y": "year", "y": "year", "G": "week_year", "V": "week", "u": "weekday", "q": "quarter", "m": "month", "b": "month",
    "d": "day", "j": "day_of_year", "H": "hour", "M": "minute", "S": "second", "z": "offset",
}  # fmt: skip
_DAYS = ({"year", "month", "day"}, {"year", "day_of_year"}, {"week_year", "week", "weekday"})
_MONTHS = ({"year", "month"}, {"year", "day_of_year"})
_ENOUGH: dict[Grain, tuple[set[str], ...]] = {
    Grain.HOUR: tuple(day | {"hour"} for day in _DAYS),
    Grain.DAY: _DAYS,
    Grain.WEEK: (*_DAYS, {"week_year", "week"}),
    Grain.MONTH: _MONTHS,
    Grain.QUARTER: (*_MONTHS, {"year", "quarter"}),
    Grain.YEAR: ({"year"},),
}
"""What has to be in a name so that it tells one interval from another."""


def read_path(fields: Fields, name: str) -> str | None:
    """A path relative to the project that stays inside it."""
    path = fields.text(name)
    return path if path is not None and _is_inside(fields, name, path) else None


def read_pattern(fields: Fields, name: str, partition: PartitionSpec) -> str | None:
    """A path pattern whose `{date:…}` and `{key}` name the partition, as far as a column doesn't say it of each row."""
    path = fields.text(name)
    if path is None or not (is_usable_url(fields, name, path, partition) if scheme_of(path) else _is_inside(fields, name, path)):
        return None
    formats = PLACEHOLDER.findall(path)
    if "{" in (rest := PLACEHOLDER.sub("", path).replace(KEY, "", 1)) or "}" in rest:
        fields.refuse(
            name,
            f"{shown(path)} has braces that aren't one `{{date:…}}` or one `{{key}}`",
            "write for example flights_{date:%Y-%m-%d}.csv",
            code="bad_path",
        )
    elif len(formats) > 1:
        fields.refuse(name, f"{shown(path)} has more than one `{{date:…}}`", "put it into one: {date:%Y/%m/%d}", code="bad_path")
    elif any(part.count("*") > STARS_MAX for part in rest.split("/")):
        fields.refuse(name, f"{shown(path)} has too many `*`", f"at most {STARS_MAX} in one part of a path", code="bad_path")
    elif KEY in path and partition.key is None:
        fields.refuse(name, "`{key}` needs a partition by key", "add `partition: {key: region}`, or write `*`", code="bad_path")
    elif formats:
        return path if _fits(fields, name, formats[0], partition) else None
    elif partition.grain is not None and partition.column is None:
        fields.refuse(
            name,
            f"{shown(path)} doesn't say which {partition.grain} a file holds",
            "put {date:%Y-%m-%d} into the name, or say which column does: partition: {by: day, column: …}",
            code="bad_path",
        )
    else:
        return path
    return None


def _is_inside(fields: Fields, name: str, path: str) -> bool:
    hint = "a path inside the project, such as landing/orders.csv"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
        problem = "is a URL"
    elif path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        problem, hint = "is absolute", "write it relative to the project; link or mount the folder below it where data lies elsewhere"
    elif ".." in PLACEHOLDER.sub(r"\1", path).replace("\\", "/").split("/"):
        problem = "climbs out with `..`"
    elif "\\" in path or not path.isprintable() or len(path) > PATH_CHARACTERS_MAX:
        problem, hint = "has characters that a path can't have", "`/` between folders, nothing that can't be printed"
    else:
        return True
    fields.refuse(name, f"{shown(path)} {problem}", hint, code="bad_path")
    return False


def _fits(fields: Fields, name: str, date_format: str, partition: PartitionSpec) -> bool:
    if partition.grain is None:
        fields.refuse(name, "`{date:…}` needs a partition by time", "add `partition: day`, or take `{date:…}` out", code="bad_path")
        return False
    return tells_apart(fields, name, date_format, partition.grain)


def tells_apart(fields: Fields, name: str, date_format: str, grain: Grain) -> bool:
    """Whether the text of a `{date:…}` is understood, and tells one interval of the grain from another."""
    directives = re.findall(r"%(.)", date_format.replace("%%", ""))
    for directive in directives:
        if directive not in _DIRECTIVES:
            fields.refuse(
                name, f"`%{directive}` isn't read in `{{date:…}}`", "known: %Y %m %d %H %M %S %z %j %G %V %u %q %y %b", code="bad_path"
            )
            return False
    parts = {_DIRECTIVES[directive] for directive in directives}
    if any(needed <= parts for needed in _ENOUGH[grain]):
        return True
    fields.refuse(name, f"{shown(date_format)} doesn't tell one {grain} from another", "write for example {date:%Y-%m-%d}", code="bad_path")
    return False
