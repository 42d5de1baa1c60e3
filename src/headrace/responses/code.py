"""Responses about a node's code and its versions."""

from __future__ import annotations

from datetime import datetime

from headrace.responses.base import Response


class CodeVersionRow(Response, frozen=True, kw_only=True):
    """A version of the project in which the file changed."""

    version: int
    at: datetime
    by: str
    plan_id: str | None
    """The plan that was applied; null for versions from before plans had ids."""


class CodeDifference(Response, frozen=True, kw_only=True):
    """What changed in the file since an earlier version.

    `diff` is a unified diff, null for files that aren't text; `truncated`: it has more lines.
    """

    since: int
    diff: str | None
    truncated: bool


class CodeResponse(Response, frozen=True, kw_only=True):
    """The file that declares a node, as it was applied; `text` is null where it was never applied
    or is no text. `difference` is null unless it was asked for. With `hidden` there is no text
    because the file also declares nodes that the reader may not see.
    """

    node: str
    file: str
    line: int
    language: str
    version: int | None
    text: str | None
    versions: list[CodeVersionRow]
    """Newest first."""
    difference: CodeDifference | None = None
    hidden: bool = False
