"""Stale content: the rows are those of another partition, delivered again under a new name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ROWS_MIN = 10
"""Fewer rows than that may be the same again by chance."""
CONSTANT = 0.1
"""A node of whose versions more than this part were equal to another partition's is one whose data stays the same."""


class PublishedContent(NamedTuple):
    """What was published of a partition, at any time."""

    partition: str
    content_hash: str


def same_as(partition: str, content_hash: str | None, versions: Sequence[PublishedContent]) -> str | None:
    """The partition whose rows these are (newest first in `versions`); None where they are news, or the data never changes much."""
    others = [version for version in versions if version.partition != partition]
    result = next((content.partition for content in others if content.content_hash == content_hash), None)
    if content_hash is None or result is None:
        return None
    of_hash: dict[str, set[str]] = {}
    for content in others:
        of_hash.setdefault(content.content_hash, set()).add(content.partition)
    repeated = sum(len(keys) for keys in of_hash.values() if len(keys) > 1)
    return None if repeated > CONSTANT * len(others) else result
