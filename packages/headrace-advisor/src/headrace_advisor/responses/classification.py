"""Responses about proposed classifications."""

from __future__ import annotations

from headrace.extension import Response


class SuggestedClassRow(Response, frozen=True, kw_only=True):
    """A column that may need a classification, and a mask as it is written in YAML."""

    column: str
    """`node.column`."""
    classification: str
    mask: str
    because: str
    """What the name or the form of the values says; without a value."""
