"""Command lines as a person types them: every word is quoted for a POSIX shell where it must be."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from headrace.model.required import SEPARATOR

WHOLE = "*"
"""The only partition of what isn't partitioned; nobody types it."""


def command_line(*words: str) -> str:
    """`headrace` with these words. Keys of partitions are data: they may hold anything."""
    return " ".join(("headrace", *map(shlex.quote, words)))


def place(node: str, partition: str) -> str:
    """A node, or one of its partitions, as commands take it: `orders`, `orders@2025-03-01`."""
    return node if partition == WHOLE else f"{node}@{partition}"


def range_of(keys: Sequence[str]) -> tuple[str, str]:
    """The first and the last of ordered partitions as `--from` and `--to` take them: those of several
    data keys by their time alone, which means all keys."""
    if len({key.partition(SEPARATOR)[2] for key in keys}) > 1:
        keys = [key.partition(SEPARATOR)[0] for key in keys]
    return keys[0], keys[-1]
