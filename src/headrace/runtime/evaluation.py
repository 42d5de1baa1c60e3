"""Evaluation in a loop iteration: obligations that became due or were met, faults, causes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, TypeAlias

import msgspec

from headrace.checks.anomalies.explanations import alike, move
from headrace.incidents import gathering, repairs
from headrace.incidents.closing import close, reopen
from headrace.incidents.diagnosis.attribution import diagnose
from headrace.incidents.diagnosis.evidence import Evidence
from headrace.incidents.diagnosis.graph import CauseGraph, graph_of
from headrace.incidents.digest import DigestAudience
from headrace.incidents.gathering import gather
from headrace.incidents.notifications import queue
from headrace.incidents.updates import IncidentUpdates, owners
from headrace.model import Project
from headrace.model.causes import HEADRACE
from headrace.plan import Compiled
from headrace.plan.schemas import ColumnLineage
from headrace.runtime.approval_messages import announce_ended
from headrace.runtime.runs import News, NewsState
from headrace.runtime.tasks.deliveries import candidates, held_beside, peers_of
from headrace.scheduler import DeliveryArrived
from headrace.slo import obligation_records
from headrace.slo.blockage import Blockage
from headrace.slo.declared_promises import DeclaredPromises, Rhythms
from headrace.slo.evaluation import Evaluation, EvaluationFacts, evaluate
from headrace.slo.incident_impact import DownstreamIndex
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.slo.unsound import Carrying
from headrace.slo.wrong_periods import speaks_for
from headrace.store import Transaction
from headrace.store.queries import evidence as stored
from headrace.store.queries import incidents, quarantine
from headrace.store.queries.incidents import Happened, Incident
from headrace.store.queries.quarantine import HeldForRows

# A failure of the diagnosis never rolls back what is published in the same transaction: causes
# and notifications are written under savepoints.

EVIDENCE_MAX = 20_000
"""At most this many pieces of active evidence are evaluated at once, the newest first."""
LinesOf: TypeAlias = Callable[[str], ColumnLineage]
RepairOf: TypeAlias = Callable[[Transaction, Compiled, Incident], tuple[str, Sequence[str]] | None]
"""Returns an incident's repair as text and its commands; None if nothing is left to repair."""
WeeklyOf: TypeAlias = Callable[[Transaction, Compiled, DigestAudience, int, int], Iterable[str]]
"""(transaction, applied project, audience, when the digest is due, now) → its weekly section."""
WeeklyInTransaction: TypeAlias = Callable[[Transaction, DigestAudience, int, int], Iterable[str]]
"""The same for one applied project."""


class MessageContents(NamedTuple):
    """What messages say that other packages compute: an incident's repair, and advice."""

    repair: RepairOf
    weekly: WeeklyOf


_log = logging.getLogger(__name__)


def _nothing_weekly(
    _tx: Transaction, _audience: DigestAudience, _until: int, _now: int
) -> Iterable[str]:
    return ()


class VersionEvaluator:
    """The applied version as the evaluation needs it: project, promises and column lineage.

    A leader keeps it while the version is applied, so values that depend on the version alone are
    computed once.
    """

    def __init__(
        self,
        project: Project,
        declared_promises: DeclaredPromises,
        lines: LinesOf,
        repair: Callable[[Transaction, Incident], tuple[str, Sequence[str]] | None],
        weekly: WeeklyInTransaction = _nothing_weekly,
    ) -> None:
        self.project, self.declared_promises, self._lines, self.repair = (
            project,
            declared_promises,
            lines,
            repair,
        )
        self.weekly = weekly
        self._rhythms = Rhythms({**declared_promises.nodes, **declared_promises.exports})
        self._speaks = speaks_for(project)

    def context(self, tx: Transaction) -> EvaluationContext:
        """Return the evaluation context of a transaction."""
        return EvaluationContext(self.declared_promises, StoredFacts(tx), self._rhythms)

    def evaluation(self, tx: Transaction, context: EvaluationContext, now: int) -> Evaluation:
        """Return the states of consumers, as `status` evaluates them."""
        return evaluate(
            EvaluationFacts(tx, context, Carrying(lambda: self._lines), self._speaks), now
        )

    @cached_property
    def reach(self) -> DownstreamIndex:
        """The downstream nodes of each node."""
        return DownstreamIndex(self.declared_promises)

    @cached_property
    def graph(self) -> CauseGraph:
        """The graph of causes, by columns."""
        return graph_of(self.declared_promises, owners(self.project), self._known)

    def _known(self, node: str) -> ColumnLineage | None:
        """Return an asset's column lineage.

        None for sources, and for exports, which use their inputs'.
        """
        return self._lines(node) if node in self.project.assets else None


def evaluate_state(
    tx: Transaction,
    evaluator: VersionEvaluator,
    now: int,
    run: int | None = None,
    *,
    reported: bool = False,
) -> None:
    """Record obligations that became due or were met, and diagnose causes of faults.

    `run` is the run that has just ended. `reported`: a user has just reported wrong data.

    An error in the diagnosis never rolls back what the same transaction publishes.
    """
    context = evaluator.context(tx)
    obligation_records.settle_obligations(tx, context, now)
    tx.execute("savepoint judging")
    try:
        _causes(tx, evaluator, context, now, run, reported=reported)
        _close(tx, evaluator, context, now)
    except Exception as error:  # noqa: BLE001
        tx.execute("rollback to savepoint judging")
        _log_error("causes couldn't be evaluated", error)
        _own_fault(tx, evaluator, error, now, run)
    tx.execute("release savepoint judging")
    _queue_notifications(tx, evaluator, context, now)


def _queue_notifications(
    tx: Transaction, evaluator: VersionEvaluator, context: EvaluationContext, now: int
) -> None:
    """Queue notifications; an error here rolls back nothing else either."""
    tx.execute("savepoint notifications")
    try:
        queue(
            tx,
            evaluator.project,
            context,
            evaluator.evaluation(tx, context, now),
            now,
            lambda incident: evaluator.repair(tx, incident),
            lambda audience, until: _weekly_lines(tx, evaluator, audience, until, now),
        )
        announce_ended(tx, evaluator.project, now)
    except Exception as error:  # noqa: BLE001
        tx.execute("rollback to savepoint notifications")
        _log_error("messages to people couldn't be queued", error)
    tx.execute("release savepoint notifications")


def _weekly_lines(
    tx: Transaction, evaluator: VersionEvaluator, audience: DigestAudience, until: int, now: int
) -> list[str]:
    """Return the lines of a digest's weekly section; none if they can't be computed.

    The digest itself doesn't wait for them.
    """
    tx.execute("savepoint weekly")
    lines: list[str] = []
    try:
        lines = list(evaluator.weekly(tx, audience, until, now))
    except Exception as error:  # noqa: BLE001
        tx.execute("rollback to savepoint weekly")
        _log_error("the weekly section of a digest couldn't be computed", error)
    tx.execute("release savepoint weekly")
    return lines


def _own_fault(
    tx: Transaction, evaluator: VersionEvaluator, error: Exception, now: int, run: int | None
) -> None:
    """Record an incident about the failed diagnosis itself, if that is possible."""
    try:
        gathering.keep_fault(
            tx, IncidentUpdates(tx, evaluator.project, evaluator.reach, now, run), error, now
        )
    except Exception as broken:  # noqa: BLE001
        tx.execute("rollback to savepoint judging")
        _log_error("Headrace's own fault couldn't be recorded", broken)


def _log_error(what: str, error: Exception) -> None:
    """Log one line; the traceback only at debug level.

    A traceback doesn't help with a damaged state.
    """
    _log.error(
        "%s (%s: %s); `headrace db check` says whether the state is whole",
        what,
        type(error).__name__,
        error,
        exc_info=_log.isEnabledFor(logging.DEBUG),
    )


def _causes(
    tx: Transaction,
    evaluator: VersionEvaluator,
    context: EvaluationContext,
    now: int,
    run: int | None,
    *,
    reported: bool,
) -> None:
    result = gather(tx, evaluator.project, Blockage(context, now), evaluator.reach, now)
    if result.touched or reported:
        rows = stored.active(tx, EVIDENCE_MAX)
        evidence = result.seen | {
            row.id: msgspec.msgpack.decode(row.content, type=Evidence) for row in rows
        }
        keeping = IncidentUpdates(tx, evaluator.project, evaluator.reach, now, run, evaluator.graph)
        keeping.keep(
            diagnose(list(evidence.values()), evaluator.graph, now, keeping.open_causes()), evidence
        )
        repairs.note_self_healing(tx, evaluator.declared_promises.nodes, result.seen.values())


def _close(
    tx: Transaction, evaluator: VersionEvaluator, context: EvaluationContext, now: int
) -> None:
    """Close incidents that are over, and reopen those that aren't."""
    reopen(tx, now)
    if incidents.count_open(tx):
        close(tx, context, Blockage(context, now), evaluator.evaluation(tx, context, now), now)


# Deliveries held for their row count while other sources of the same interval were missing. Once
# the others have arrived with a similar change, such a delivery is evaluated again together with
# them: a holiday thins all sources, a fault only one.


def evaluated_again(
    tx: Transaction, project: Project, news: Iterable[News], now: int
) -> Iterator[DeliveryArrived]:
    """Yield the deliveries to ingest once more after this news of other sources.

    Each delivery is yielded once. Its new outcome is evaluated as usual.
    """
    sources = project.sources
    keys = {
        item.partition
        for item in news
        if item.node in sources and item.state in (NewsState.PUBLISHED, NewsState.HELD)
    }
    for rows in quarantine.held_for_rows(tx, keys) if keys else ():
        if rows.source in sources and (why := _why(tx, project, rows)):
            quarantine.reingest(tx, rows.delivery)
            _note_reevaluation(tx, rows, why, now)
            yield DeliveryArrived(rows.source, rows.partition)


def _why(tx: Transaction, project: Project, rows: HeldForRows) -> str:
    """Return a sentence that the other sources changed alike.

    Empty if they didn't, or if some of them are missing.
    """
    source = project.sources[rows.source]
    others = candidates(project, source)
    if not others or any(
        quarantine.is_delivery_awaited(tx, other.name, rows.partition) for other in others
    ):
        return ""
    peer = held_beside(tx, source, rows.partition)
    off = move(peer) if peer is not None else None
    return "" if off is None else alike(off, list(peers_of(tx, project, source, rows.partition)))


def _note_reevaluation(tx: Transaction, rows: HeldForRows, why: str, now: int) -> None:
    """Record the evaluation in the timeline of the open incident, if there is one."""
    incident = incidents.open_at(tx, rows.source, rows.partition)
    if incident is not None:
        text = (
            f"{rows.source}@{rows.partition} is evaluated again with the others of that interval:"
            f" {why}"
        )
        incidents.happened(tx, incident.id, [Happened(now, text, HEADRACE, "judge_again")])
