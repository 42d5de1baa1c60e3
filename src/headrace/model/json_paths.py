"""Paths into a JSON document: `$`, `$.items`, `$.meta.next`, `$["odd key"].rows`. Names only: no wildcards, no positions."""

from __future__ import annotations

import re

PATH_STEPS_MAX = 20
_STEP = re.compile(r"""\.([A-Za-z_][A-Za-z0-9_-]*)|\["([^"\\]+)"\]|\['([^'\\]+)'\]""")


def json_path(text: str) -> tuple[str, ...] | None:
    """The names from the root on, empty for `$` itself; None for what is no such path."""
    text = text.strip()
    if not text.startswith("$"):
        return None
    steps: list[str] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or len(steps) == PATH_STEPS_MAX:
            return None
        steps.append(next(filter(None, match.groups())))
        at = match.end()
    return tuple(steps)
