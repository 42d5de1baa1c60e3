"""Additions to an incident: notes, reports of wrong data, figures of evidence, ends of repairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from headrace.access.permissions import OPERATE, SEE, command
from headrace.acts import commands
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import evaluate_now, leader_command
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import MetricAnomaly, anomalous_metrics, kind_of
from headrace.checks.anomalies.usual import in_natural_units, unit_of
from headrace.checks.metrics import HISTORY_PARTITIONS, MetricId, Metrics, StoredMetrics, decoded
from headrace.incidents.commands import ACT, FAILED, REPAIR_BEGUN, REPAIRED
from headrace.incidents.evidence.records import report_publications
from headrace.model import Project, ProjectError, Refused, UsageError
from headrace.project import targets
from headrace.project.parameters import Argument, FirstWrong, IncidentId, LastWrong, RequiredReason
from headrace.project.session import Progress, ProjectSession
from headrace.repairs.incident_rows import found_in, number_of, row_of
from headrace.responses import Response
from headrace.responses.incidents import IncidentFigureRow, IncidentRow, MeasuredRow
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.store import Transaction
from headrace.store.queries import audit_trail, incidents, publications, quality
from headrace.store.queries import incidents as stored
from headrace.store.queries import quality as measured
from headrace.store.queries.incidents import NOTE, Happened, Incident, display_id
from headrace.store.queries.quality import FactRow

# `incidents note`: a person's knowledge about a cause, stored in the incident's timeline.

TEXT_MAX = 2_000


@command("incidents note", OPERATE, http="POST /incidents/{incident}/note do_note", session="note")
def note(
    session: ProjectSession,
    incident: IncidentId,
    *,
    reason: RequiredReason,
    progress: Progress,
) -> IncidentRow:
    """Add a note to an incident, without further effect.

    Raise Refused without a text, UsageError for an unknown incident or a text that is too long.
    """
    text = commands.required_reason(reason, "incidents note", "it is what is written down")
    return _note.perform(session, progress, number_of(incident), short_enough(text, "a note"))


@leader_command("note_incident", IncidentRow)
def _note(context: CommandContext, number: int, text: str) -> IncidentRow:
    addition = Addition(Action.INCIDENT_NOTED, f"{NOTE}{text}", reason=text)
    return add_to_incident(context, number, lambda *_: addition)


def short_enough(text: str, what: str) -> str:
    """Return a text. Raise UsageError if it is too long for a timeline."""
    if len(text) > TEXT_MAX:
        raise UsageError(
            f"{what} has at most {TEXT_MAX:,} characters, this one {len(text):,}",
            hint="write where the rest can be read",
        )
    return text


class Addition(NamedTuple):
    """What somebody adds to an incident: a line of its timeline, and an audit trail entry."""

    action: Action
    line: str
    act: str | None = None
    reason: str = ""
    before: Any = None
    after: Any = None


def add_to_incident(
    context: CommandContext,
    number: int,
    addition_of: Callable[[Transaction, int, int], Addition | None],
) -> IncidentRow:
    """Add something to an incident, and return the incident as it is afterwards.

    `addition_of` gets the transaction, the time in microseconds and the incident's number; None
    adds nothing. Raise ProjectError before the first apply, UsageError for an unknown incident.
    """
    applied = context.applied()
    if applied is None:
        raise ProjectError(
            "nothing is applied yet, so there are no incidents", hint="headrace apply"
        )

    def write(tx: Transaction, now: int) -> None:
        identity = found_in(tx, number).id
        addition = addition_of(tx, now, identity)
        if addition is None:
            return
        action, line, act, reason, before, after = addition
        stored.happened(tx, identity, [Happened(now, line, context.actor.id, act)])
        append(
            tx,
            now,
            AuditEvent(
                action=action,
                actor=context.actor,
                object=Object("incident", display_id(identity)),
                reason=reason,
                before=before,
                after=after,
            ),
        )

    context.tell(write=write)
    with context.store.read() as tx:
        incident = found_in(tx, number)
        return row_of(context.session, applied.compiled, tx, incident, context.clock.now_us())


# `incidents report`: a person saw wrong data. Its published partitions count as wrong from their
# publication on.

PARTITIONS_MAX = 5_000


@command(
    "incidents report",
    OPERATE,
    of="node",
    http="POST /incidents/report do_report",
    session="report",
)
def report(
    session: ProjectSession,
    node: Annotated[str, Argument("NODE[@K]", help="whose published data is wrong")],
    *,
    first: FirstWrong = None,
    last: LastWrong = None,
    reason: RequiredReason,
    progress: Progress,
) -> IncidentRow:
    """Report published data as wrong, and return its incident.

    Raise Refused without a reason, UsageError if nothing is published.
    """
    text = commands.required_reason(
        reason, "incidents report", "who repairs it has to know what is wrong with the data"
    )
    name, key = targets.target(node, session.project())
    if name in session.borrowed:
        raise Refused(
            f"{name} is read from production in this environment",
            hint="report it there: without --env",
        )
    declared = session.project().node(name)
    assert declared is not None
    if key is not None and (first or last):
        raise UsageError(
            f"{node} names a partition already",
            hint=f"headrace incidents report {name} --from A --to B --reason TEXT",
        )
    if key is None and first is None and not declared.partition.whole:  # type: ignore[union-attr]
        raise UsageError(
            f"{name} is partitioned: since which partition is it wrong?",
            hint=f"headrace incidents report {name} --from K …",
        )
    begins = key or (targets.partition(declared, first) if first is not None else "*")  # type: ignore[arg-type]
    ends = key or (targets.partition(declared, last) if last is not None else begins)  # type: ignore[arg-type]
    if ends < begins:
        raise UsageError(f"--to {ends} comes before --from {begins}")
    return _report.perform(session, progress, name, begins, ends, text)


@leader_command("report_incident", IncidentRow)
def _report(context: CommandContext, node: str, first: str, last: str, reason: str) -> IncidentRow:
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so nothing is published", hint="headrace apply")
    incident_numbers: list[int] = []

    def write(tx: Transaction, now: int) -> None:
        results = publications.shown_between(tx, node, first, last, limit=PARTITIONS_MAX + 1)
        if not results:
            raise UsageError(
                f"nothing is published of {node} {_span(first, last)}",
                hint=f"headrace read {node}",
            )
        if len(results) > PARTITIONS_MAX:
            raise UsageError(
                f"more than {PARTITIONS_MAX:,} partitions are published {_span(first, last)}",
                hint="report fewer at once",
            )
        ids = report_publications(tx, node, results, context.actor.id, reason, now)
        evaluate_now(tx, context.session, applied, now, reported=True)
        number = stored.of_evidence(tx, ids[0])
        assert number is not None, "what people report is always attributed to something"
        line = f"reported as wrong {_span(first, last)}: {reason}"
        stored.happened(tx, number, [Happened(now, line, context.actor.id)])
        what = AuditEvent(
            action=Action.INCIDENT_REPORTED,
            actor=context.actor,
            object=Object("node", node),
            reason=reason,
            after={
                "incident": stored.display_id(number),
                "from": first,
                "to": last,
            },
        )
        append(tx, now, what)
        incident_numbers.append(number)

    context.tell(write=write)
    with context.store.read() as tx:
        incident = found_in(tx, incident_numbers[0])
        return row_of(context.session, applied.compiled, tx, incident, context.clock.now_us())


def _span(first: str, last: str) -> str:
    if first == "*":
        return "as a whole"
    return f"for {first}" if first == last else f"from {first} to {last}"


# Figures of an incident's evidence: earlier values, the value expected of the anomalous partition,
# and its actual value.

FIGURES_MAX = 4
"""Maximum number of figures, by strength in the first anomalous partition."""
MARKED_MAX = 30
"""Maximum number of anomalous partitions per figure."""
_FACT = "fact:"


@command("incident figures", SEE, http="GET /incidents/{incident}/figures incident_figures")
def incident_figures(session: ProjectSession, incident: IncidentId) -> list[IncidentFigureRow]:
    """Return the most anomalous figure of each column that deviates from its own history.

    Empty if the cause isn't an anomaly, or if the metrics are no longer stored. Raise UsageError
    for an unknown incident.
    """
    number = number_of(incident)
    project = session.project()
    if session.store is None:
        return []
    with session.store.read() as tx:
        return _figures(tx, project, found_in(tx, number))


def _figures(tx: Transaction, project: Project, incident: Incident) -> list[IncidentFigureRow]:
    ids = [
        int(evidence.id.removeprefix(_FACT))
        for evidence in incident.evidence
        if evidence.id.startswith(_FACT)
    ]
    facts = sorted(quality.facts(tx, ids), key=lambda fact: (fact.partition, -float(fact.strength)))
    node = project.source_or_asset(incident.node)
    rows = [fact for fact in facts if fact.node == incident.node]
    if node is None or not rows:
        return []
    first = rows[0].partition
    past = [
        StoredMetrics(*row)
        for row in measured.metrics_before(tx, incident.node, first, HISTORY_PARTITIONS)
    ]
    history = MetricHistory(past, node.partition.grain)
    off = _off(tx, rows, first, history, len(project.sources))
    return [_row(tx, figure, rows, past) for figure in off]


def _off(
    tx: Transaction, facts: Sequence[FactRow], first: str, history: MetricHistory, sources: int
) -> list[MetricAnomaly]:
    """Return the anomalies behind the facts of the first partition, recomputed from its history."""
    metrics = _measured(tx, facts[0])
    if metrics is None:
        return []
    every = sorted(
        anomalous_metrics(first, metrics.values(), metrics.rows, history, sources),
        key=lambda anomaly: -anomaly.strength,
    )
    meant = {(fact.kind, fact.column) for fact in facts if fact.partition == first}
    best: dict[str, MetricAnomaly] = {}
    for anomaly in every:
        if (kind_of(anomaly.metric.family), anomaly.metric.column) in meant:
            best.setdefault(anomaly.metric.column, anomaly)
    return list(best.values())[:FIGURES_MAX]


def _measured(tx: Transaction, fact: FactRow) -> Metrics | None:
    vector = measured.metrics_of_attempt(tx, fact.epoch, fact.n, fact.partition)
    return None if vector is None else decoded(vector)


def _row(
    tx: Transaction, figure: MetricAnomaly, facts: Sequence[FactRow], past: Sequence[StoredMetrics]
) -> IncidentFigureRow:
    metric = figure.metric
    return IncidentFigureRow(
        node=facts[0].node,
        column=metric.column or None,
        figure=metric.family,
        category=metric.value or None,
        unit=unit_of(metric.family),
        partition=facts[0].partition,
        expected=in_natural_units(metric.family, figure.expected),
        observed=in_natural_units(metric.family, figure.observed),
        points=[*_before(metric, past), *_since(tx, metric, facts)],
    )


def _before(metric: MetricId, past: Sequence[StoredMetrics]) -> Iterator[MeasuredRow]:
    for metrics in past:
        yield MeasuredRow(
            partition=metrics.partition, value=_value(metric, decoded(metrics.vector)), odd=False
        )


def _since(tx: Transaction, metric: MetricId, facts: Sequence[FactRow]) -> Iterator[MeasuredRow]:
    """Yield the incident's partitions, each with its latest measurement."""
    newest = {
        fact.partition: fact
        for fact in sorted(facts, key=lambda fact: (fact.partition, fact.epoch, fact.n))
    }
    for fact in list(newest.values())[:MARKED_MAX]:
        metrics = _measured(tx, fact)
        if metrics is not None:
            yield MeasuredRow(partition=fact.partition, value=_value(metric, metrics), odd=True)


def _value(metric: MetricId, metrics: Metrics) -> float | None:
    """Return a metric's value; an absent category has the share 0."""
    absent = 0.0 if metric.family == "share" else None
    value = metrics.values().get(metric, absent)
    return None if value is None else in_natural_units(metric.family, value)


# The outcome of a repair, written in the incident's timeline if the incident's end doesn't say it:
# a failed repair didn't end an incident that is resolved later.


class FixEndNoted(Response, frozen=True, kw_only=True):
    """Confirms that the outcome is recorded."""

    number: int


@leader_command("fix_ended", FixEndNoted)
def fix_ended(context: CommandContext, number: int, outcome: str, failed: bool) -> FixEndNoted:
    """Record the outcome of the last repair, with the range of audit entries of its commands."""

    def write(tx: Transaction, now: int) -> None:
        lines = incidents.timeline_of(tx, number)
        begun = [
            line.act
            for line in lines
            if line.what.startswith(REPAIR_BEGUN) and line.act is not None
        ]
        if begun and begun[-1].startswith(ACT):
            span = f"{begun[-1].removeprefix(ACT)}-{audit_trail.last_seq(tx)}"
            act = f"{FAILED if failed else REPAIRED}{span}"
            line = Happened(now, outcome, context.actor.id, act)
            incidents.happened(tx, number, [line])

    context.tell(write=write)
    return FixEndNoted(number=number)
