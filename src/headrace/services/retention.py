"""Commands refuse partitions that `retain:` removes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from headrace.model import Project, Refused, UsageError
from headrace.model.intervals import parse_key
from headrace.model.partitions import split
from headrace.model.retention import first_kept


def refuse_removed(  # complexipy: ignore (each node, and each of its keys)
    project: Project, names: Iterable[str], keys: Iterable[str | None], now_us: int
) -> None:
    """Raise Refused if one of the partitions is older than the `retain:` of one of the nodes.

    Keys that aren't valid for a node are left to the command.
    """
    typed = [key for key in keys if key]
    for name in names:
        node = project.source_or_asset(name)
        first = None if node is None else first_kept(node, now_us)
        if node is None or first is None or node.partition.grain is None:
            continue
        for key in typed:
            with suppress(UsageError):
                interval, _ = split(key, node.partition)
                if parse_key(interval, node.partition.grain, node.timezone) < first:
                    raise Refused(
                        f"{name}@{key} is older than its `retain: {node.retain}`: its rows are"
                        " removed, and wouldn't be kept",
                        hint=f"the first interval that is kept is {first}",
                    )
