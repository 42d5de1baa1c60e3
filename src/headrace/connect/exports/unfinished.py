"""What an export is called while it is written: nobody takes it for the whole, and a later attempt knows what an earlier one left."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from headrace.connect.exports.registry import Assignment


def unfinished_name(name: str, assignment: Assignment) -> str:
    """The name of a file beside its target `name`, for one attempt. It isn't longer where that is."""
    return f".headrace-{_mark(name)}-{assignment.epoch}.{assignment.n}.tmp"


def left_behind(there: Iterable[str], name: str, assignment: Assignment) -> list[str]:
    """Which of the names that are there are those of earlier attempts at the same target, which were killed."""
    pattern = re.compile(rf"\.headrace-{_mark(name)}-(\d+)\.(\d+)\.tmp")
    results = ((item, pattern.fullmatch(item)) for item in there)
    return [item for item, match in results if match and (int(match[1]), int(match[2])) < (assignment.epoch, assignment.n)]


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]
