"""The response of a run, read back from what the store kept of it: what a run says and what `runs` says is one thing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from headrace.model import Project
from headrace.model.commands import command_line, place
from headrace.operations import lessons, repaired, restatements
from headrace.operations.other_choices import other_choices
from headrace.operations.repairs import BrokenPartition, repairs
from headrace.operations.responses import (
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
from headrace.operations.runs import error_row, listed, path_of, put_down_to_code, reason_of, rows_of
from headrace.run.applying import newest
from headrace.run.orders import PROPOSED, RunResult
from headrace.schedule.commands import WAITING_SHOWN_MAX
from headrace.store import Clock, Store, Transaction
from headrace.store.clock import instant
from headrace.store.queries import attempts, incidents, partitions, publications, runs
from headrace.store.queries import restatements as stored
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.drift import renames_wait
from headrace.store.queries.news import declared_at

WAITING_NAMED_MAX = 3
"""Of at most so many nodes that wait `why` is named."""
ATTEMPTS_MAX = 1_000_000


def run_response(store: Store, clock: Clock, zone: ZoneInfo, result: RunResult, *, counts: CountsRow | None = None) -> RunResponse:
    """What a run did. `counts` is what it announced."""
    with store.read() as tx:
        results = attempts.of_run(tx, result.run_id, limit=ATTEMPTS_MAX)
        visible = publications.of_run(tx, result.run_id)
        counts_of = {attempt.id: rows_of(tx, attempt) for attempt in results}
        last = {(a.node, key): a for a in results for key in a.partitions}
        given_up = {at for at, a in last.items() if a.state == "lost" and _is_failed(tx, *at)}
    rejected = [
        RejectedRow(
            asset=a.node, partition=key, state="failed" if a.state == "lost" else a.state, reason=reason_of(a), rows=counts_of[a.id]
        )
        for (node, key), a in last.items()  # what was tried again came to what it came to then
        if a.state in ("held", "rejected", "failed") or (node, key) in given_up
    ]  # fmt: skip
    restated, proposed = _past(store, zone, result.run_id, {p.id for p in visible})
    mended = _repaired(store, result.run_id, [(p.node, p.partition) for p in visible])
    return RunResponse(
        now=clock.now().astimezone(zone),
        run_id=str(result.run_id),
        state=result.state,
        attempts=[_attempt(a, counts_of[a.id], zone) for a in results],
        published=[
            PublishedRow(asset=p.node, partition=p.partition, rows=p.rows, snapshot=p.snapshot, verdict=p.verdict, identical=p.identical)
            for p in visible
        ],
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


def _is_failed(tx: Transaction, node: str, key: str) -> bool:
    row = partitions.get(tx, node, key)
    return row is not None and row.state == "failed"


def _incidents(store: Store, run: int) -> list[str]:
    with store.read() as tx:
        return [incidents.shown(number) for number in incidents.found_in(tx, run)]


def _learnt(store: Store, results: Sequence[Attempt]) -> list[LearntRow]:
    """What the run's attempts learnt of sources, by source."""
    ids = {f"{a.epoch}.{a.n}" for a in results if a.kind == "take_in" and a.state == "published"}
    with store.read() as tx:
        rows = lessons.of_sources(tx, sorted({a.node for a in results if a.kind == "take_in"})) if ids else []
    return [row for row in rows if row.attempt in ids]


def _repairs(store: Store, last: Mapping[tuple[str, str], Attempt], run: int) -> list[RepairRow]:
    """What repairs what the partitions came to last."""
    with store.read() as tx:
        applied = newest(tx)
        if applied is None:
            return []
        project = applied.compiled.project
        results = [(key, a) for (_, key), a in last.items() if a.state in ("held", "rejected", "failed", "lost")]
        broken = [listed(tx, _broken(tx, project, key, a)) for key, a in results]
    return repairs(project, broken, f"repair of run {run}")


def _broken(tx: Transaction, project: Project, key: str, a: Attempt) -> BrokenPartition:
    return BrokenPartition(
        a.node,
        key,
        a.state,
        error=error_row(a.error),
        delivery=path_of(tx, a),
        renamed=renames_wait(tx, a.node, key),
        declared=declared_at(tx, a.node, key),
        of_code=a.state == "lost" and put_down_to_code(tx, a.node, key),
        others=other_choices(tx, project, a.node, key),
    )


def _repaired(store: Store, run: int, published: Sequence[tuple[str, str]]) -> list[RepairedRow]:
    """What had gone wrong before the run and hasn't in it."""
    with store.read() as tx:
        results = repaired.wrong_before(tx, run, published)
        applied = newest(tx) if results else None
        return [] if applied is None else repaired.rows(tx, applied.compiled, results)


def _past(store: Store, zone: ZoneInfo, run: int, published: Collection[int]) -> tuple[list[RestatedRow], list[ProposedRow]]:
    """What the run changed of the past, and what it left to be decided. Nearly always nothing: then it isn't asked what is applied."""
    with store.read() as tx:
        row = runs.get(tx, run)
        if row is None or not (stored.replaced(tx, row.started_at, 1) or stored.proposed(tx, 1)):
            return [], []
        applied = newest(tx)
        if applied is None:
            return [], []
        restated = restatements.restated(tx, applied.compiled, zone, row.started_at, published)
        return restated, restatements.proposed(tx, applied.compiled)


def _reason(result: RunResult) -> str | None:
    """What keeps asked partitions from running, the first in words, and what an observation had to say.
    What is stale and waits for a person stands in `proposed`: it is told of here where nothing else is."""
    listed = [item for item in result.waiting if item[2] != PROPOSED] or result.waiting
    waiting = [place(node, key) + f" {why}" for node, key, why in listed[:1]]
    rest = listed[1:]
    least = "at least " if rest and len(listed) >= WAITING_SHOWN_MAX else ""  # there may be others
    if rest and rest[0][2] == PROPOSED:
        waiting += [f"{least}{len(rest)} more {'is' if len(rest) == 1 else 'are'} stale, too: headrace status"]
    elif rest:
        nodes = list(dict.fromkeys(node for node, _, _ in rest))[:WAITING_NAMED_MAX]
        commands = ", ".join(command_line("why", node) for node in nodes)
        waiting += [f"{least}{len(rest)} more {'waits' if len(rest) == 1 else 'wait'}: {commands}"]
    return "; ".join([*waiting, *result.notes]) or None


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
