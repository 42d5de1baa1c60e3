"""Differences of two texts by lines, bounded in size and time."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from itertools import islice

LINE_MAX = 400
"""The maximum length of a line, in characters."""
LINES_MAX = 200
"""The maximum number of lines of a difference."""
COMPARED_LINES_MAX = 3_000
"""Longer texts aren't compared line by line."""
CONTEXT_LINES = 3


def line_differences(
    before: str | None, after: str | None, redacted: Callable[[str], str] = str
) -> tuple[str | None, bool]:
    """Return the unified diff of two texts without file names, and whether it was truncated.

    `redacted` takes out of a line what its reader may not see, before the line is cut. The diff is
    None if a side isn't text, or if a text is too long to compare (then truncated).
    """
    if before is None or after is None:
        return None, False
    old, new = before.split("\n"), after.split("\n")
    if max(len(old), len(new)) > COMPARED_LINES_MAX:
        return None, True
    lines = difflib.unified_diff(old, new, lineterm="", n=CONTEXT_LINES)
    texts = [redacted(line)[:LINE_MAX] for line in islice(lines, 2, LINES_MAX + 3)]
    return "\n".join(texts[:LINES_MAX]), len(texts) > LINES_MAX
