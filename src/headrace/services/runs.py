"""`runs`: what ran, and the outcome of each partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headrace.access.permissions import SEE, command
from headrace.model import Asset, Project, Source, UnknownName, UsageError
from headrace.model.export_problems import Exported
from headrace.project import targets
from headrace.project.code_versions import VersionCodeCache
from headrace.project.parameters import Argument, Option, Since
from headrace.project.session import ProjectSession
from headrace.repairs.broken_partitions import BROKEN, broken_as, error_row, path_of
from headrace.repairs.repairs import BrokenPartition, by_partition, other_choices, repairs
from headrace.responses import RepairRow, RunRow
from headrace.slo.broken_facts import BrokenFacts
from headrace.store import Transaction
from headrace.store.queries import (
    attempts,
    failures,
    publications,
    quarantine,
)
from headrace.store.queries import runs as stored
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.runs import Run

UNPUBLISHED = (*BROKEN, "cancelled", "skipped")
"""States of attempts that ended without data."""


@command("runs", SEE, of="node", lists=True, http="GET /runs runs", session="runs")
def runs(
    session: ProjectSession,
    run: Annotated[str | None, Argument("[RUN]", help="one run, with its attempts")] = None,
    *,
    failed: Annotated[
        bool, Option("--failed", help="only what failed or was lost, held or rejected")
    ] = False,
    since: Since = None,
    limit: Annotated[
        int,
        Option("--limit", metavar="N", help="runs listed, newest first"),
        Meta(ge=1, le=1_000),
    ] = 20,
    node: str | None = None,
) -> list[RunRow]:
    """Return one row per attempted partition, newest run first, within a run in order.

    `run` selects one run, `failed` only failed, lost, held or rejected attempts of runs that didn't
    succeed (where there are none, the cancelled or skipped ones), `since` (a time, or a duration
    back from now) runs that began then or later, `node` its newest `limit` attempts. A run without
    such attempts has one row without a node. Raise UsageError for an unknown run or node.
    """
    if session.store is None:
        if run is not None:
            raise unknown_run(run)
        return []
    since_us = None if since is None else session.time_since(since)
    if node is not None:
        node, _ = targets.target(node, session.project(), kinds=(Source, Asset, Exported))
    with session.store.read() as tx:
        if node is not None:
            tried = attempts.of_node(tx, node, limit=limit, states=BROKEN if failed else ())
            rows = _of_node(
                session, tx, tried, None if run is None else number_of(run), since_us or 0
            )
        else:
            rows = _of_runs(session, tx, run, failed=failed, since_us=since_us, limit=limit)
    rows = rows if session.visible is None else _visible(session, rows, run)
    if not any(row.state in BROKEN for row in rows):
        return rows
    project = session.project()
    with session.store.read() as tx:
        return _with_repairs(project, tx, rows)


def _visible(session: ProjectSession, rows: list[RunRow], run: str | None) -> list[RunRow]:
    """Return the rows of visible nodes. Raise UnknownName for a run that has none."""
    rows = [row for row in rows if row.node is not None and session.shows(row.node)]
    if run is not None and not rows:
        raise unknown_run(run)
    return rows


def _selected_runs(
    tx: Transaction, run: str | None, *, failed: bool, since_us: int | None, limit: int
) -> list[Run]:
    if run is not None:
        return [_known_run(stored.get(tx, number_of(run)), run)]
    return (stored.failed if failed else stored.newest)(tx, limit=limit, since_us=since_us)


def _of_runs(
    session: ProjectSession,
    tx: Transaction,
    run: str | None,
    *,
    failed: bool,
    since_us: int | None,
    limit: int,
) -> list[RunRow]:
    """Return the rows of one run or, without a number, of the newest runs."""
    versions = None if run is None else VersionCodeCache(tx)
    rows: list[RunRow] = []
    for selected in _selected_runs(tx, run, failed=failed, since_us=since_us, limit=limit):
        tried = attempts.of_run(tx, selected.id)
        rows += _rows(session, tx, selected, tried, failed=failed, versions=versions)
    return rows


def _of_node(
    session: ProjectSession,
    tx: Transaction,
    tried: Sequence[Attempt],
    only: int | None,
    since_us: int,
) -> list[RunRow]:
    """Return the rows of attempts, with their runs."""
    of_run: dict[int, list[Attempt]] = {}
    for attempt in reversed(tried):
        of_run.setdefault(attempt.run_id, []).append(attempt)
    runs = [
        run
        for number in sorted(of_run, reverse=True)
        if only in (None, number) and (run := stored.get(tx, number)) is not None
    ]
    return [
        row
        for run in runs
        if run.started_at >= since_us
        for row in _rows(session, tx, run, of_run[run.id], failed=False)
    ]


def _with_repairs(project: Project, tx: Transaction, rows: list[RunRow]) -> list[RunRow]:
    """Return the rows with the repairs of failures that have no later publication."""
    repair_rows = _repairs_of_failures(project, tx, rows)
    results = list(rows)
    for place, row in enumerate(rows):
        repair = repair_rows.get((row.run_id, row.node or "", row.partition or ""))
        if row.state in BROKEN and repair is not None:
            results[place] = msgspec.structs.replace(row, repair=repair)
    return results


def _repairs_of_failures(
    project: Project, tx: Transaction, rows: list[RunRow]
) -> dict[tuple[str, str, str], RepairRow]:
    """Return (run, node, partition) → repair; within a run, one repair covers a node."""
    repair_rows: dict[tuple[str, str, str], RepairRow] = {}
    failed_nodes = {row.node for row in rows if row.node and row.state in BROKEN}
    open_nodes = {node: set(failures.unpublished_partitions(tx, node)) for node in failed_nodes}
    for run, of_run in groupby(rows, key=lambda row: row.run_id):
        broken = {
            (node, partition): _broken(project, tx, row, node, partition)
            for row, node, partition in _failures(of_run)
            if partition in open_nodes[node]
        }
        run_repairs = repairs(project, broken.values(), f"repair of run {run}")
        repair_rows |= {(run, *at): row for at, row in by_partition(run_repairs).items()}
    return repair_rows


def _failures(rows: Iterable[RunRow]) -> Iterator[tuple[RunRow, str, str]]:
    """Yield the rows of failed partitions, each with its node and partition."""
    for row in rows:
        if row.state in BROKEN and row.node and row.partition:
            yield row, row.node, row.partition


def _broken(
    project: Project, tx: Transaction, row: RunRow, node: str, partition: str
) -> BrokenPartition:
    """Return what is known about the partition of a failed attempt."""
    known = BrokenFacts(tx, [(node, partition)])
    broken = broken_as(known, node, partition, row.state, row.error, _path(tx, row.attempt))
    return msgspec.structs.replace(broken, others=other_choices(known, project, node, partition))


def _path(tx: Transaction, attempt: str | None) -> str | None:
    epoch, _, n = (attempt or "").partition(".")
    result = attempts.get(tx, int(epoch), int(n)) if epoch and n else None
    return None if result is None else path_of(tx, result)


def reason_of(attempt: Attempt) -> str | None:
    """Return the reason for an attempt's outcome, in one clause."""
    return (
        attempt.reason or (str(attempt.error.get("message", "")) if attempt.error else None) or None
    )


def rows_of(tx: Transaction, attempt: Attempt) -> int | None:
    """Return the number of rows that an attempt read or computed, even in quarantine.

    None if unknown.
    """
    return rows_read(
        tx, attempt.node, (attempt.epoch, attempt.n), attempt.state, attempt.measures or {}
    )


def rows_read(
    tx: Transaction, node: str, id_: tuple[int, int], state: str, measures: dict[str, Any]
) -> int | None:
    """Return the number of rows as `rows_of` does, by the attempt's id, state and measures."""
    counted: int | None = measures.get("rows_out")
    if state not in ("held", "rejected"):
        return counted
    rows = quarantine.rows_of(tx, node, *id_)
    return rows if rows is not None else counted or None  # an unreadable file counts 0


def _rows(
    session: ProjectSession,
    tx: Transaction,
    run: Run,
    results: Sequence[Attempt],
    *,
    failed: bool,
    versions: VersionCodeCache | None = None,
) -> list[RunRow]:
    selected = _failed(run, results) if failed else results
    if not selected:
        return [_row(session, run, None, None)]
    codes = (
        {} if versions is None else {attempt.id: versions.code_of(attempt) for attempt in selected}
    )
    counts = {
        attempt.id: rows_of(tx, attempt) for attempt in selected if len(attempt.partitions) == 1
    }
    verdicts = _verdicts(tx, selected)
    return [
        msgspec.structs.replace(
            _row(session, run, attempt, key),
            verdict=verdicts.get((attempt.id, key), attempt.verdict),
            rows=counts.get(attempt.id),
            code=codes.get(attempt.id),
        )
        for attempt in selected
        for key in attempt.partitions
    ]


def _failed(run: Run, results: Sequence[Attempt]) -> list[Attempt]:
    """Return the attempts that failed, were lost, held or rejected.

    Of a run without any that didn't succeed either, return those cancelled or skipped.
    """
    states = {attempt.state for attempt in results}
    wanted = BROKEN if run.state == "succeeded" or states.intersection(BROKEN) else UNPUBLISHED
    return [attempt for attempt in results if attempt.state in wanted]


def _verdicts(tx: Transaction, results: Sequence[Attempt]) -> dict[tuple[str, str], str]:
    """Return the verdicts of partitions that were published together, by attempt and partition."""
    return {
        (attempt.id, partition): verdict
        for attempt in results
        if len(attempt.partitions) > 1
        for partition, verdict in publications.verdicts_of(tx, attempt.epoch, attempt.n).items()
    }


def _row(session: ProjectSession, run: Run, attempt: Attempt | None, key: str | None) -> RunRow:
    began = attempt.started_at if attempt else run.started_at
    ended = attempt.finished_at if attempt else run.finished_at
    return RunRow(
        run_id=str(run.id),
        run_kind=run.kind,
        run_state=run.shown_state,
        actor=run.actor,
        attempt=attempt.id if attempt else None,
        node=attempt.node if attempt else None,
        partition=key,
        state=attempt.state if attempt else run.shown_state,
        verdict=attempt.verdict if attempt else None,
        at=session.instant(ended or began or (attempt.queued_at if attempt else run.started_at)),
        reason=reason_of(attempt) if attempt else None,
        rows=None,
        seconds=(ended - began) / 1_000_000 if began is not None and ended is not None else None,
        peak_memory_bytes=_peak_memory(attempt),
        run_started_at=session.instant(run.started_at),
        run_finished_at=None if run.finished_at is None else session.instant(run.finished_at),
        cancelled_at=None if run.cancelled_at is None else session.instant(run.cancelled_at),
        cancelled_by=run.cancelled_by,
        cancel_reason=run.reason,
        error=error_row(attempt.error) if attempt else None,
        version=attempt.version if attempt else None,
    )


def _peak_memory(attempt: Attempt | None) -> int | None:
    measures = (attempt.measures if attempt else None) or {}
    return measures.get("peak_memory_bytes") or None


def number_of(run: str) -> int:
    """Return a run's number as typed. Raise UnknownName if it isn't a number."""
    if not run.isdecimal() or len(run) > 18:
        raise unknown_run(run)
    return int(run)


def _known_run(result: Run | None, run: str) -> Run:
    if result is None:
        raise unknown_run(run)
    return result


def unknown_run(run: str) -> UsageError:
    """Return the error for an unknown run."""
    return UnknownName(f"there is no run {run[:40]!r}", hint="headrace runs lists them")
