"""Queries that depend on the window of a run: `$partition_start` and `$partition_end`."""

from __future__ import annotations

import re

from headrace_import.importers.adf.values import Moment, Template, Value

_DAY_FORMATS = (
    "yyyy-MM-dd",
    "yyyy/MM/dd",
    "yyyyMMdd",
    "yyyy-MM-dd HH:mm:ss",
    "yyyy-MM-ddTHH:mm:ss",
)
_HOUR_FORMATS = ("yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd HH:mm", "yyyy-MM-dd HH", "yyyy-MM-ddTHH:mm:ss")
_BOUNDS = {"start": "$partition_start", "end": "$partition_end"}


def bound_query(query: Value, grain: str) -> str | None:
    """Return a query whose quoted points in time are bound values; None where one can't be."""
    if not isinstance(query, Template):
        return None
    parts = list(query.parts)
    text = ""
    for position, part in enumerate(parts):
        if isinstance(part, str):
            text += part
            continue
        bound = _bound(part, grain)
        following = parts[position + 1] if position + 1 < len(parts) else ""
        if bound is None or not text.endswith("'") or not isinstance(following, str):
            return None
        if not following.startswith("'") or re.search(r"'$", text[:-1]):
            return None
        text = text[:-1] + bound
        parts[position + 1] = following[1:]
    return text


def _bound(instant: Moment, grain: str) -> str | None:
    allowed = _HOUR_FORMATS if grain == "hour" else _DAY_FORMATS
    if instant.shift or (instant.format is not None and instant.format not in allowed):
        return None
    return _BOUNDS.get(instant.bound)
