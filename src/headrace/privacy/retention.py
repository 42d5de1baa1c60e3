"""What `retain:` has removed, removes next, and would remove after a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import msgspec

from headrace.model import Asset, Project, Refused, Source, UsageError
from headrace.model.intervals import parse_key
from headrace.model.partitions import command_line, split
from headrace.model.retention import (
    first_kept,
    first_kept_rebuildable,
    is_shortened,
    removal_day,
)
from headrace.plan import Compiled
from headrace.project.session import ProjectSession
from headrace.responses.plans import PrunedRow, RemovesRow
from headrace.responses.retention import (
    HoldRow,
    RebuildableRow,
    RemovedPartitionRow,
    RetentionRow,
)
from headrace.runtime.pruned_nodes import EVERY_KEY
from headrace.store import Transaction
from headrace.store.queries import holds as stored_holds
from headrace.store.queries import rebuildable as stored_rebuildable
from headrace.store.queries import removed_rows as stored
from headrace.store.queries.holds import EVERYTHING, Hold

REMOVED_SHOWN_MAX = 50


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


# What is removed next, and what a change of `retain:` would remove.


def retention_rows(
    session: ProjectSession, tx: Transaction, project: Project, names: Iterable[str] | None = None
) -> list[RetentionRow]:
    """Return the nodes with `retain:` by name, or those of `names`, if the session may see them."""
    held, now_us = in_force(tx), session.clock.now_us()
    chosen = None if names is None else set(names)
    return [
        _retention(tx, node, first, held, now_us)
        for node in _by_name(project)
        if (chosen is None or node.name in chosen)
        and session.shows(node.name)
        and (first := first_kept(node, now_us)) is not None
    ]


def _by_name(project: Project) -> list[Source | Asset]:
    nodes: list[Source | Asset] = [*project.sources.values(), *project.assets.values()]
    return sorted(nodes, key=lambda node: node.name)


def _retention(
    tx: Transaction, node: Source | Asset, first: str, held: dict[str, Hold], now_us: int
) -> RetentionRow:
    old = stored.published_before(tx, node.name, first)
    following = stored.first_published(tx, node.name, first)
    on = None if following is None else removal_day(node, following, now_us)
    return RetentionRow(
        node=node.name,
        retain=node.retain or "",
        kept_from=first,
        partitions=old.partitions if old is not None else 0,
        rows=old.rows if old is not None else 0,
        from_=old.first if old is not None else None,
        to=old.last if old is not None else None,
        next=following,
        next_on=None if on is None else on.isoformat(),
        hold=hold_reason(held, node.name),
    )


# What `retain_rebuildable` lets go, and what it has removed.


def rebuildable_rows(
    session: ProjectSession, tx: Transaction, project: Project
) -> list[RebuildableRow]:
    """Return the assets with `retain_rebuildable` and how much of them is old enough to go."""
    held, now_us, results = in_force(tx), session.clock.now_us(), []
    for asset, first in _early(project, now_us):
        if session.shows(asset.name):
            partitions, rows = stored_rebuildable.count(tx, asset.name, first)
            results.append(
                RebuildableRow(
                    node=asset.name,
                    retain_rebuildable=asset.retain_rebuildable or "",
                    kept_from=first,
                    partitions=partitions,
                    rows=rows,
                    hold=hold_reason(held, asset.name),
                    why=None,
                )
            )
    return results


def removed_rows(
    session: ProjectSession, tx: Transaction, node: str | None = None, partition: str | None = None
) -> list[RemovedPartitionRow]:
    """Return removed partitions that aren't rebuilt yet, or have other rows since."""
    return [
        RemovedPartitionRow(
            node=item.node,
            partition=item.partition,
            rows=item.rows,
            content_hash=item.content_hash,
            version=item.version,
            engine=item.engine,
            state="removed" if item.same is None else "differs",
            command=command_line(
                "run", item.node, "--partition", item.partition, "--again", "--reason", "TEXT"
            ),
        )
        for item in stored_rebuildable.removed(tx, node, partition)
        if item.same is not True and session.shows(item.node)
    ]


def early_retention(
    session: ProjectSession, tx: Transaction, project: Project
) -> tuple[list[RebuildableRow], list[RemovedPartitionRow]]:
    """Return what `retain_rebuildable` lets go, and at most 50 partitions that it has removed."""
    rows = rebuildable_rows(session, tx, project)
    return rows, removed_rows(session, tx)[:REMOVED_SHOWN_MAX] if rows else []


def _early(project: Project, now_us: int) -> Iterator[tuple[Asset, str]]:
    for asset in project.assets.values():
        first = first_kept_rebuildable(asset, now_us)
        if first is not None:
            yield asset, first


# Legal holds.


def in_force(tx: Transaction) -> dict[str, Hold]:
    """Return the legal holds that aren't released by node; `*` is everything."""
    return {hold.node: hold for hold in stored_holds.in_force(tx)}


def hold_of(held: dict[str, Hold], node: str) -> Hold | None:
    """Return the legal hold that a node is under, alone or with everything else."""
    return held.get(node) or held.get(EVERYTHING)


def hold_reason(held: dict[str, Hold], node: str) -> str | None:
    """Return the reason of the legal hold that a node is under; None without one."""
    hold = hold_of(held, node)
    return None if hold is None else hold.reason


def hold_rows(session: ProjectSession, tx: Transaction) -> list[HoldRow]:
    """Return the legal holds that aren't released, oldest first, of nodes that are visible."""
    return [
        hold_row(session, hold)
        for hold in stored_holds.in_force(tx)
        if hold.node == EVERYTHING or session.shows(hold.node)
    ]


def hold_row(session: ProjectSession, item: Hold) -> HoldRow:
    """Return a legal hold for display."""
    return HoldRow(
        node=item.node,
        reason=item.reason,
        by=item.actor,
        since=session.instant(item.since),
        released_at=None if item.released_at is None else session.instant(item.released_at),
        released_by=item.released_by,
        release_reason=item.release_reason,
    )


def removals(session: ProjectSession, new: Compiled) -> list[RemovesRow]:
    """Return what a new or shortened `retain:` removes of this environment once it is applied."""
    if session.store is None or session.compiled is None:
        return []
    from headrace.plan.comparison import renames

    old, former, now_us = session.compiled, renames(session.compiled, new), session.clock.now_us()
    results = []
    with session.store.read() as tx:
        held = in_force(tx)
        for node in _by_name(new.project):
            name = former.get(node.name, node.name)
            was, first = old.project.source_or_asset(name), first_kept(node, now_us)
            if was is None or first is None or not is_shortened(was.retain, node.retain):
                continue
            removed = stored.published_before(tx, name, first)
            row = RemovesRow(
                node=node.name,
                before=was.retain,
                retain=node.retain or "",
                kept_from=first,
                hold=hold_reason(held, name),
            )
            if removed is not None:
                row = msgspec.structs.replace(
                    row,
                    partitions=removed.partitions,
                    rows=removed.rows,
                    from_=removed.first,
                    to=removed.last,
                )
            results.append(row)
    return results


def pruned_data(session: ProjectSession, new: Compiled) -> list[PrunedRow]:
    """Return the data of nodes that a change takes out, and how long it stays afterwards."""
    if session.store is None or session.compiled is None:
        return []
    from headrace.plan.comparison import renames

    former = set(renames(session.compiled, new).values())
    gone = [
        node.name
        for node in _by_name(session.compiled.project)
        if new.project.source_or_asset(node.name) is None and node.name not in former
    ]
    results = []
    with session.store.read() as tx:
        held = in_force(tx)
        for name in gone:
            data = stored.published_before(tx, name, EVERY_KEY)
            if data is not None:
                results.append(
                    PrunedRow(
                        node=name,
                        partitions=data.partitions,
                        rows=data.rows,
                        keep=new.project.settings.retention.get("pruned"),
                        hold=hold_reason(held, name),
                    )
                )
    return results


def early_removals(session: ProjectSession, new: Compiled) -> list[RemovesRow]:
    """Return what a new or shortened `retain_rebuildable` lets go once it is applied."""
    if session.store is None or session.compiled is None:
        return []
    from headrace.plan.comparison import renames

    old, former, now_us = session.compiled, renames(session.compiled, new), session.clock.now_us()
    with session.store.read() as tx:
        return list(_early_removals(tx, old.project, new.project, former, now_us))


def _early_removals(
    tx: Transaction, old: Project, new: Project, former: Mapping[str, str], now_us: int
) -> Iterator[RemovesRow]:
    held = in_force(tx)
    for asset, first in _early(new, now_us):
        name = former.get(asset.name, asset.name)
        was = old.assets.get(name)
        if was is None or not is_shortened(was.retain_rebuildable, asset.retain_rebuildable):
            continue
        partitions, rows = stored_rebuildable.count(tx, name, first)
        yield RemovesRow(
            node=asset.name,
            before=was.retain_rebuildable,
            retain=asset.retain_rebuildable or "",
            kept_from=first,
            hold=hold_reason(held, name),
            partitions=partitions,
            rows=rows,
        )
