"""`quarantine`: held and rejected data that waits, with the reason, some of its rows, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from headrace.model import Asset, Project, Source
from headrace.model.commands import command_line, place
from headrace.observe.wording import dated
from headrace.operations import targets
from headrace.operations.glimpse import glimpse
from headrace.operations.held_by_incidents import decided_together
from headrace.operations.other_choices import other_choices
from headrace.operations.repairs import BrokenPartition, repairs
from headrace.operations.responses import CheckRow, QuarantineRow, RepairRow
from headrace.operations.session import ProjectSession
from headrace.operations.unclassified import shown
from headrace.store import Transaction
from headrace.store.queries import attempts, checks, deliveries, drift, exceptions, incidents, news, partitions
from headrace.store.queries import quarantine as stored
from headrace.store.queries.exceptions import ExceptionRecord
from headrace.store.queries.quarantine import Quarantined


def quarantine(session: ProjectSession, target: str | None) -> list[QuarantineRow]:
    """What waits now, by node and partition; of one asset, source or partition where `target` names it.

    UsageError for a target that there isn't.
    """
    project = session.project()
    node, partition = targets.target(target, project) if target else (None, None)
    if session.store is None:
        return []
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        rows = [_row(session, tx, project, item) for item in stored.waiting(tx, node=node, partition=partition)]
        records = [record for record in exceptions.in_force(tx) if node in (None, record.node)]
        exception_records = [record for record in records if record.partition == partition or (partition is None and record.lapsed(now_us))]
        rows += [
            row
            for record in exception_records
            if (row := _excepted(session, tx, project, record, lapsed=record.lapsed(now_us))) is not None
        ]
        if not rows and node is not None and partition is not None:
            rows = _dropped(session, tx, project, node, partition)
        return rows


def _dropped(session: ProjectSession, tx: Transaction, project: Project, node: str, partition: str) -> list[QuarantineRow]:
    """What somebody dropped, while nothing else has come of the partition."""
    standing, row = partitions.get(tx, node, partition), stored.dropped(tx, node, partition)
    if row is None or standing is None or standing.publication_id is not None:
        return []
    reason = "; it waited because: ".join(filter(None, [standing.reason, row.reason]))
    quarantine_row = _row(session, tx, project, msgspec.structs.replace(row, state=standing.state))
    return [msgspec.structs.replace(quarantine_row, state=row.state, verdict=row.state, reason=reason, decide=[])]


def _excepted(session: ProjectSession, tx: Transaction, project: Project, record: ExceptionRecord, *, lapsed: bool) -> QuarantineRow | None:
    """What readers see because somebody accepted it: `held` again once that has lapsed. Others are shown where they are asked for.
    None where nothing is known any more of why it waited."""
    row = stored.get(tx, record.quarantine_id)
    if row is None:
        return None
    until = "" if record.until is None else f" until {dated(record.until, session.timezone)}"
    reason = f"accepted by {record.actor}{until}: {record.reason}; it waited because: {row.reason}"
    quarantine_row = _row(session, tx, project, msgspec.structs.replace(row, state="held"), seen=True)
    at = place(record.node, record.partition)
    renew = command_line("quarantine", "accept", at, "--reason", "TEXT", "--until", "T")
    take_back = command_line("withdraw", at, "--reason", "TEXT")
    accepted = msgspec.structs.replace(
        quarantine_row, state="accepted", verdict="warned", at=session.instant(record.at), reason=reason, repair=None,
        todo=f"{renew} renews it, {take_back} takes it back", decide=[renew, take_back],
    )  # fmt: skip
    if not lapsed or record.until is None:
        return accepted
    return msgspec.structs.replace(
        accepted, state="held", at=session.instant(record.until), reason=f"the exception has lapsed: {reason}",
        todo=f"{quarantine_row.todo}; {accepted.todo}", repair=quarantine_row.repair,
    )  # fmt: skip


def _row(session: ProjectSession, tx: Transaction, project: Project, item: Quarantined, *, seen: bool = False) -> QuarantineRow:
    """What is shown of one. `seen`: readers see it, since somebody has accepted it."""
    node = project.node(item.node)
    delivery = None if item.delivery_id is None else deliveries.get(tx, item.delivery_id)
    attempt = attempts.get(tx, item.epoch, item.n)
    renamed = (drift.renames_published if seen else drift.renames_wait)(tx, item.node, item.partition)
    repair = _repair(
        tx,
        project,
        item,
        delivery.path if delivery else None,
        renamed=renamed,
        declared=news.declared_at(tx, item.node, item.partition),
    )
    return QuarantineRow(
        node=item.node,
        partition=item.partition,
        state=item.state,
        verdict=(attempt.verdict if attempt else None) or item.state,
        at=session.instant(item.at),
        reason=item.reason,
        owner=node.owner if node else None,
        rows=item.rows,
        path=None if item.path is None else shown_path(session, session.data_folder / item.path),
        delivery=delivery.path if delivery else None,
        sample=_sample(session, project, item, delivery.path if delivery else None),
        checks=_failed(tx, item),
        attempt=f"{item.epoch}.{item.n}",
        todo=_todo(repair),
        decide=_decisions(tx, item, renamed=renamed) if item.state in ("held", "rejected") else [],
        repair=repair,
    )


def _sample(session: ProjectSession, project: Project, item: Quarantined, delivery: str | None) -> list[dict[str, Any]]:
    node = project.node(item.node)
    contract = project.contracts.get(node.contract or node.name) if isinstance(node, Source | Asset) else None
    raw = not item.sample
    return shown(item.sample or glimpse(session.data_folder, item.path, delivery), contract, raw=raw)


def _of_all(tx: Transaction, item: Quarantined, word: str) -> list[str]:
    """The command that accepts, or drops, all that waits because of the same incident, where that can be
    decided about more than one partition."""
    incident = incidents.open_at(tx, item.node, item.partition)
    if incident is None or len(decided_together(tx, incident, word)) < 2:
        return []
    return [command_line("quarantine", word, incident.shown, "--reason", "TEXT")]


RAW = "raw/"
"""Where the bytes of what couldn't be read are kept, below the data folder."""


def _decisions(tx: Transaction, item: Quarantined, *, renamed: bool) -> list[str]:
    """The commands that decide about it as it is. With names that wait, a column would be empty in it: they are decided first."""
    at = place(item.node, item.partition)
    drop = command_line("quarantine", "drop", at, "--reason", "TEXT")
    if item.state == "rejected" and item.path is not None and item.path.startswith(RAW):  # nothing could read it
        return [drop, *_of_all(tx, item, "drop")]
    if renamed:
        return [drop]
    accept = command_line("quarantine", "accept", at, "--reason", "TEXT", "--until", "7d")
    return [accept, drop, *_of_all(tx, item, "accept")]


def _failed(tx: Transaction, item: Quarantined) -> list[CheckRow]:
    return [
        CheckRow(name=c.name, kind=c.kind, severity=c.severity, outcome=c.outcome, rows=c.rows, failing=c.failing, detail=c.detail)
        for c in checks.of_attempt(tx, item.epoch, item.n)
        if c.partition == item.partition and c.outcome == "failed"
    ]


def shown_path(session: ProjectSession, path: Path) -> str:
    """Relative to the project where it lies inside, else absolute."""
    return path.relative_to(session.root).as_posix() if path.is_relative_to(session.root) else str(path)


def _repair(
    tx: Transaction, project: Project, item: Quarantined, delivery: str | None, *, renamed: bool, declared: str
) -> RepairRow | None:
    if project.node(item.node) is None:
        return None
    because = f"repair of {item.node}" if item.partition == "*" else f"repair of {item.node}@{item.partition}"
    broken = BrokenPartition(
        item.node, item.partition, item.state, delivery=delivery, renamed=renamed, declared=declared,
        others=other_choices(tx, project, item.node, item.partition),
    )  # fmt: skip
    return repairs(project, [broken], because)[0]


def _todo(repair: RepairRow | None) -> str:
    if repair is None:
        return "nothing: what it belonged to is no longer declared"
    return "; then: ".join([*([repair.first] if repair.first else []), *repair.commands])
