"""Locations of files: paths inside the project, and URLs of file systems."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headrace.model.errors import shown
from headrace.model.fields import Fields
from headrace.model.nodes import Grain, PartitionSpec
from headrace.model.secrets import check_url

# `files:` on a remote file system: URLs with a scheme that fsspec knows.

REMOTE_SCHEMES = (
    "s3",
    "s3a",
    "gs",
    "gcs",
    "az",
    "abfs",
    "abfss",
    "adl",
    "sftp",
    "ssh",
    "ftp",
    "smb",
    "hdfs",
    "webhdfs",
    "oss",
    "oci",
)
"""Remote schemes only: `file:`, archives, caches and chains (`zip::s3://…`) access this machine."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def scheme_of(path: str) -> str | None:
    """Return the scheme of a URL in lower case; None for a path."""
    match = _URL.match(path)
    return match[1].lower() if match else None


def is_usable_url(fields: Fields, name: str, url: str, partition: PartitionSpec) -> bool:
    """Return whether files can be found at a URL; report the problem otherwise."""
    scheme = scheme_of(url)
    host, _, path = url.partition("://")[2].partition("/")
    check_url(name, url, fields.line(name), fields.report)
    if "::" in url or scheme not in REMOTE_SCHEMES:
        web = scheme in ("http", "https")
        problem = "can't be read from"
        hint = (
            "write http: with the URL"
            if web
            else "known: s3, gs, abfs, sftp and their like; a path of the project needs no scheme"
        )
    elif not host or any(sign in host for sign in "{}*@ "):
        problem, hint = (
            "doesn't say which bucket or host",
            "s3://bucket/folder/name_{date:%Y-%m-%d}.csv; credentials go into a connection",
        )
    elif not path or ".." in path.split("/") or "\\" in url or not url.isprintable():
        problem, hint = (
            "has characters that a path can't have, or no path",
            "s3://bucket/folder/name_{date:%Y-%m-%d}.csv",
        )
    elif partition.grain is not None and "{date:" not in url:
        problem, hint = (
            f"doesn't say which {partition.grain} a file holds",
            "put {date:%Y-%m-%d} into the name, or partition: '*'",
        )
    else:
        return True
    fields.refuse(name, f"{shown(url)} {problem}", hint, code="bad_path")
    return False


# Paths in declarations: inside the project, with at most one `{date:…}` and one `{key}`.

PATH_CHARACTERS_MAX = 1_000
KEY_PLACEHOLDER = "{key}"
DATE_PLACEHOLDER = re.compile(r"\{date:([^{}]+)\}")
STARS_MAX = 3
"""At most this number of `*` per path part: each one multiplies the time to match a name."""
_DIRECTIVES = {
    "Y": "year",
    "y": "year",
    "G": "week_year",
    "V": "week",
    "u": "weekday",
    "q": "quarter",
    "m": "month",
    "b": "month",
    "d": "day",
    "j": "day_of_year",
    "H": "hour",
    "M": "minute",
    "S": "second",
    "z": "offset",
}
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
"""Sets of date parts in a name that identify an interval, by grain; one set is enough."""


def read_path(fields: Fields, name: str) -> str | None:
    """Return a project-relative path; None, reported, if it leaves the project."""
    path = fields.text(name)
    return path if path is not None and _is_inside(fields, name, path) else None


def read_pattern(  # complexipy: ignore (refusals in a row, each with its hint)
    fields: Fields, name: str, partition: PartitionSpec
) -> str | None:
    """Return a path pattern; None, with a reported problem, if it is invalid.

    `{date:…}` and `{key}` must identify the partition, unless a column assigns rows to partitions.
    """
    path = fields.text(name)
    if path is None or not (
        is_usable_url(fields, name, path, partition)
        if scheme_of(path)
        else _is_inside(fields, name, path)
    ):
        return None
    formats = DATE_PLACEHOLDER.findall(path)
    if (
        "{" in (rest := DATE_PLACEHOLDER.sub("", path).replace(KEY_PLACEHOLDER, "", 1))
        or "}" in rest
    ):
        fields.refuse(
            name,
            f"{shown(path)} has braces that aren't one `{{date:…}}` or one `{{key}}`",
            "write for example flights_{date:%Y-%m-%d}.csv",
            code="bad_path",
        )
    elif len(formats) > 1:
        fields.refuse(
            name,
            f"{shown(path)} has more than one `{{date:…}}`",
            "put it into one: {date:%Y/%m/%d}",
            code="bad_path",
        )
    elif any(part.count("*") > STARS_MAX for part in rest.split("/")):
        fields.refuse(
            name,
            f"{shown(path)} has too many `*`",
            f"at most {STARS_MAX} in one part of a path",
            code="bad_path",
        )
    elif KEY_PLACEHOLDER in path and partition.key is None:
        fields.refuse(
            name,
            "`{key}` needs a partition by key",
            "add `partition: {key: region}`, or write `*`",
            code="bad_path",
        )
    elif formats:
        return path if _names_partition(fields, name, formats[0], partition) else None
    elif partition.grain is not None and partition.column is None:
        fields.refuse(
            name,
            f"{shown(path)} doesn't say which {partition.grain} a file holds",
            "put {date:%Y-%m-%d} into the name, or say which column does: partition: {by: day,"
            " column: …}",
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
        problem, hint = (
            "is absolute",
            (
                "write it relative to the project; link or mount the folder below it where data"
                " lies elsewhere"
            ),
        )
    elif ".." in DATE_PLACEHOLDER.sub(r"\1", path).replace("\\", "/").split("/"):
        problem = "climbs out with `..`"
    elif "\\" in path or not path.isprintable() or len(path) > PATH_CHARACTERS_MAX:
        problem, hint = (
            "has characters that a path can't have",
            "`/` between folders, nothing that can't be printed",
        )
    else:
        return True
    fields.refuse(name, f"{shown(path)} {problem}", hint, code="bad_path")
    return False


def _names_partition(fields: Fields, name: str, date_format: str, partition: PartitionSpec) -> bool:
    if partition.grain is None:
        fields.refuse(
            name,
            "`{date:…}` needs a partition by time",
            "add `partition: day`, or take `{date:…}` out",
            code="bad_path",
        )
        return False
    return tells_apart(fields, name, date_format, partition.grain)


def directives_of(date_format: str) -> list[str]:
    """Return the letters of a date's directives, such as `Y` of `%Y`."""
    return re.findall(r"%(.)", date_format.replace("%%", ""))


def names_interval(directives: Iterable[str], grain: Grain) -> bool:
    """Return whether known directives together differ between intervals of the grain."""
    parts = {_DIRECTIVES[directive] for directive in directives}
    return any(needed <= parts for needed in _ENOUGH[grain])


def tells_apart(fields: Fields, name: str, date_format: str, grain: Grain) -> bool:
    """Return whether a `{date:…}` is valid and differs between intervals of the grain."""
    directives = directives_of(date_format)
    for directive in directives:
        if directive not in _DIRECTIVES:
            fields.refuse(
                name,
                f"`%{directive}` isn't read in `{{date:…}}`",
                "known: %Y %m %d %H %M %S %z %j %G %V %u %q %y %b",
                code="bad_path",
            )
            return False
    if names_interval(directives, grain):
        return True
    fields.refuse(
        name,
        f"{shown(date_format)} doesn't tell one {grain} from another",
        "write for example {date:%Y-%m-%d}",
        code="bad_path",
    )
    return False
