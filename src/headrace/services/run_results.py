"""The response of a run, read from the store, and `tick`: one pass over everything that is due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from headrace.access.permissions import OPERATE, command
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import PendingRun, leader_command
from headrace.lake.files import DataCorrupted
from headrace.model import Project
from headrace.model.partitions import command_line, partition_argument
from headrace.model.wording import few
from headrace.plan import Compiled
from headrace.plan.node_graph import NodeGraph
from headrace.project.session import Progress, ProjectSession
from headrace.repairs.broken_partitions import broken_as, error_row, with_incident
from headrace.repairs.incident_partitions import is_failed
from headrace.repairs.repairs import BrokenPartition, other_choices, repairs
from headrace.responses import (
    AttemptRow,
    CountsRow,
    LearntRow,
    ProposedRow,
    PublishedRow,
    RejectedRow,
    RepairedRow,
    RepairRow,
    RestatedRow,
    RunResponse,
)
from headrace.runtime.applied_versions import newest
from headrace.runtime.runs import PROPOSED, RunRequest, RunResult
from headrace.scheduler.events import WAITING_SHOWN_MAX
from headrace.services import deliveries
from headrace.services.runs import reason_of, rows_of
from headrace.slo.broken_facts import BrokenFacts
from headrace.standing import restatements
from headrace.store import Clock, Store, Transaction
from headrace.store.clock import instant
from headrace.store.queries import (
    attempts,
    failures,
    incidents,
    publications,
    runs,
)
from headrace.store.queries import publications as stored
from headrace.store.queries.attempts import Attempt

# What a run repaired: published partitions that had failed or were held, rejected or lost before,
# and the consumers that read them.

LOOKED_AT_MAX = 500
"""Maximum number of a run's publications examined: larger runs aren't repairs by hand."""
_WRONG = ("failed", "held", "rejected", "lost")


def wrong_before(
    tx: Transaction, run: int, published: Iterable[tuple[str, str]]
) -> dict[str, list[str]]:
    """Return node → partitions of a run whose attempt before that run failed."""
    results: dict[str, list[str]] = {}
    for node, key in islice(published, LOOKED_AT_MAX):
        before = next(
            (attempt for attempt in attempts.of_partition(tx, node, key) if attempt.run_id != run),
            None,
        )
        if before is not None and before.state in _WRONG:
            results.setdefault(node, []).append(key)
    return results


def repaired_rows(
    tx: Transaction, compiled: Compiled, results: dict[str, list[str]]
) -> list[RepairedRow]:
    """Return the repaired partitions as rows of the response, in topological order."""
    return [_row(tx, compiled, name, results[name]) for name in compiled.order if name in results]


def _row(tx: Transaction, compiled: Compiled, name: str, keys: list[str]) -> RepairedRow:
    below = NodeGraph(compiled, data_only=True).downstream([name])
    return RepairedRow(
        node=name,
        partitions=restatements.in_order(compiled, name, keys),
        still_wrong=len(failures.failed_at_node(tx, name)),
        assets=sorted(item for item in below if item in compiled.nodes and item != name),
        consumers=sorted(item for item in below if item in compiled.project.consumers),
    )


# A run's response is read back from the store, so that `run` and `runs` report the same.

WAITING_NAMED_MAX = 3
"""Maximum number of waiting nodes for which a `why` command is suggested, and of warnings."""
ATTEMPTS_MAX = 1_000_000


def run_response(
    store: Store,
    clock: Clock,
    zone: ZoneInfo,
    result: RunResult,
    *,
    counts: CountsRow | None = None,
) -> RunResponse:
    """Return the response of a run; `counts` are those that it announced."""
    with store.read() as tx:
        results = attempts.of_run(tx, result.run_id, limit=ATTEMPTS_MAX)
        published = _published(tx, result.run_id, results)
        counts_of = {attempt.id: rows_of(tx, attempt) for attempt in results}
        last = _last_attempts(results)
        given_up = {at for at, a in last.items() if a.state == "lost" and is_failed(tx, *at)}
    rejected = [
        RejectedRow(
            asset=a.node,
            partition=key,
            state="failed" if a.state == "lost" else a.state,
            reason=reason_of(a),
            rows=counts_of[a.id],
        )
        for (node, key), a in last.items()  # the last attempt at each partition decides
        if a.state in ("held", "rejected", "failed") or (node, key) in given_up
    ]
    restated, proposed = _past(store, zone, result.run_id)
    mended = _repaired(store, result.run_id, published)
    return RunResponse(
        now=clock.now().astimezone(zone),
        run_id=str(result.run_id),
        state=result.state,
        attempts=[_attempt(a, counts_of[a.id], zone) for a in results],
        published=published,
        rejected=rejected,
        repairs=_repairs(store, last, result.run_id) if rejected else [],
        repaired=mended,
        restated=restated,
        proposed=proposed,
        learnt=_learnt(store, results),
        counts=counts,
        incidents_opened=_incidents(store, result.run_id),
        clock=clock.kind,
        reason=_reason(result),
    )


def _published(tx: Transaction, run: int, results: Sequence[Attempt]) -> list[PublishedRow]:
    """Return the partitions that a run published, in order; `results` are the run's attempts.

    There may be hundreds of thousands of them: equal values, also of the attempts, are kept once.
    """
    same: dict[str | int, Any] = {key: key for a in results for key in a.partitions}
    return [
        PublishedRow(
            asset=same.setdefault(p.node, p.node),
            partition=same.setdefault(p.partition, p.partition),
            rows=p.rows,
            snapshot=same.setdefault(p.snapshot, p.snapshot),
            verdict=same.setdefault(p.verdict, p.verdict),
            identical=p.identical,
        )
        for p in publications.of_run(tx, run)
    ]


def _last_attempts(results: Sequence[Attempt]) -> dict[tuple[str, str], Attempt]:
    """Return the last attempt at each partition at which one didn't succeed, in order."""
    unsuccessful = {(a.node, key) for a in results if a.state in _WRONG for key in a.partitions}
    nodes = {node for node, _ in unsuccessful}
    return {
        (a.node, key): a
        for a in results
        if a.node in nodes
        for key in a.partitions
        if (a.node, key) in unsuccessful
    }


def _incidents(store: Store, run: int) -> list[str]:
    with store.read() as tx:
        return [incidents.display_id(number) for number in incidents.found_in(tx, run)]


def _learnt(store: Store, results: Sequence[Attempt]) -> list[LearntRow]:
    """Return the schemas that the run's attempts learnt, by source."""
    ingested = [a for a in results if a.kind == "take_in"]
    ids = {f"{a.epoch}.{a.n}" for a in ingested if a.state == "published"}
    if not ids:
        return []
    with store.read() as tx:
        applied = newest(tx)
        project = None if applied is None else applied.compiled.project
        rows = deliveries.learned_sources(tx, project, sorted({a.node for a in ingested}))
    return [row for row in rows if row.attempt in ids]


def _repairs(store: Store, last: Mapping[tuple[str, str], Attempt], run: int) -> list[RepairRow]:
    """Return the repairs of the partitions' last outcomes in the run."""
    with store.read() as tx:
        applied = newest(tx)
        if applied is None:
            return []
        project = applied.compiled.project
        results = [
            (key, a)
            for (_, key), a in last.items()
            if a.state in ("held", "rejected", "failed", "lost")
        ]
        known = BrokenFacts(tx, [(a.node, key) for key, a in results])
        broken = [_broken(known, project, key, a) for key, a in results]
    return repairs(project, broken, f"repair of run {run}")


def _broken(known: BrokenFacts, project: Project, key: str, a: Attempt) -> BrokenPartition:
    """Return a partition, with its incident if it is part of a history that was loaded at once."""
    path = known.path(a.delivery_id)
    broken = broken_as(known, a.node, key, a.state, error_row(a.error), path)
    broken = msgspec.structs.replace(broken, others=other_choices(known, project, a.node, key))
    listed = with_incident(known, broken)
    return broken if listed.history is None else listed


def _repaired(store: Store, run: int, published: Sequence[PublishedRow]) -> list[RepairedRow]:
    """Return the partitions that had failed before the run and succeeded in it."""
    with store.read() as tx:
        results = wrong_before(tx, run, ((row.asset, row.partition) for row in published))
        applied = newest(tx) if results else None
        return [] if applied is None else repaired_rows(tx, applied.compiled, results)


def _past(store: Store, zone: ZoneInfo, run: int) -> tuple[list[RestatedRow], list[ProposedRow]]:
    """Return the run's restatements and the recomputations that it proposes.

    Nearly always there are none, and the applied version isn't loaded then.
    """
    with store.read() as tx:
        row = runs.get(tx, run)
        if row is None or not (
            stored.replaced_since(tx, row.started_at, 1) or stored.proposed_recomputations(tx, 1)
        ):
            return [], []
        applied = newest(tx)
        if applied is None:
            return [], []
        restated = restatements.restatements_since(
            tx, applied.compiled, zone, row.started_at, publications.ids_of_run(tx, run)
        )
        return restated, restatements.proposed_recomputations(tx, applied.compiled)


def _reason(result: RunResult) -> str | None:
    """Return why requested partitions don't run, and the warnings of observations.

    Only the first reason is in words. Stale partitions that wait for a person are in `proposed`;
    they are mentioned only if nothing else waits.
    """
    listed = [item for item in result.waiting if item[2] != PROPOSED] or result.waiting
    waiting = [partition_argument(node, key) + f" {why}" for node, key, why in listed[:1]]
    rest = listed[1:]
    least = "at least " if rest and len(listed) >= WAITING_SHOWN_MAX else ""  # the list is limited
    if rest and rest[0][2] == PROPOSED:
        waiting += [
            (
                f"{least}{len(rest)} more {'is' if len(rest) == 1 else 'are'} stale, too: headrace"
                " status"
            )
        ]
    elif rest:
        nodes = dict.fromkeys(node for node, _, _ in rest)
        waiting += [
            f"{least}{len(rest)} more {'waits' if len(rest) == 1 else 'wait'}: "
            + ", ".join(command_line("why", node) for node in list(nodes)[:WAITING_NAMED_MAX])
        ]
    waiting.append(few(sorted(result.warnings), WAITING_NAMED_MAX, "; "))
    return "; ".join(filter(None, waiting)) or None


def _attempt(attempt: Attempt, rows: int | None, zone: ZoneInfo) -> AttemptRow:
    def at(us: int | None) -> datetime | None:
        return None if us is None else instant(us).astimezone(zone)

    return AttemptRow(
        id=attempt.id,
        asset=attempt.node,
        partitions=list(attempt.partitions),
        state=attempt.state,
        rows=rows,
        queued_at=instant(attempt.queued_at).astimezone(zone),
        started_at=at(attempt.started_at),
        finished_at=at(attempt.finished_at),
        published_at=at(attempt.published_at),
        verdict=attempt.verdict,
        reason=reason_of(attempt),
        error=error_row(attempt.error),
    )


# `tick`: one pass over everything that is due.


@command(
    "tick",
    OPERATE,
    session="tick",
    group="operate",
    summary="make one pass: observe sources, run what is due, evaluate consumers",
)
def tick(session: ProjectSession, *, progress: Progress) -> RunResponse:
    """Observe the sources, run what is due until nothing is, and evaluate the consumers' states.

    The first tick of a new project applies it.
    """
    return _tick.perform(session, progress)


@leader_command("tick", RunResponse)
def _tick(context: CommandContext) -> PendingRun:
    leader = context.leader()
    damaged = leader.look_at_files()

    def response(result: RunResult) -> RunResponse:
        if (wrong := leader.maintain()) is not None:
            context.progress.note(wrong)
        tick_response = run_response(context.store, context.clock, context.session.zone, result)
        opened = [*damaged, *tick_response.incidents_opened]
        if any(
            attempt.error is not None and attempt.error.code == DataCorrupted.code
            for attempt in tick_response.attempts
        ):
            opened += (
                leader.look_at_files()
            )  # the regular check may not have reached the file that an attempt couldn't read
        return msgspec.structs.replace(tick_response, incidents_opened=opened)

    return PendingRun(
        leader,
        RunRequest(kind="tick", targets=leader.everything, actor=context.actor),
        "tick",
        response,
    )
