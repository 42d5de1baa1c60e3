"""The response with the differences of a plan's files."""

from __future__ import annotations

from headrace.extension import Response


class FileDifferenceRow(Response, frozen=True, kw_only=True):
    """What changed in the text of a file: `change` is `added`, `changed` or `removed`.

    `diff` is a unified diff, null for files that aren't text; `truncated`: it has more lines.
    """

    path: str
    change: str
    diff: str | None
    truncated: bool


class PlanCodeResponse(Response, frozen=True, kw_only=True):
    """The differences of the files from what is applied. `more` files have differences that aren't
    listed; `left_out`: so have files that the caller's roles don't reach."""

    against: str | None
    """What the files are compared with; null where nothing is applied."""
    files: list[FileDifferenceRow]
    more: int = 0
    left_out: bool = False
