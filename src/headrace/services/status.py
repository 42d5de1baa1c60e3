"""`status`: consumers first, with their state, since when and why; then assets and quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Annotated, Any

import msgspec

from headrace.access.permissions import SEE, command
from headrace.incidents.closing import SHOWN_US
from headrace.lake import catalog
from headrace.model import Project
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.intervals import DAY_US
from headrace.model.partitions import partition_argument
from headrace.model.settings import PRODUCTION
from headrace.plan import Compiled
from headrace.plan.compiled import expand_view_names
from headrace.privacy.retention import (
    early_retention,
    hold_rows,
    retention_rows,
)
from headrace.project import status_facts
from headrace.project.lake_files import recompute_command
from headrace.project.parameters import Option, Selected
from headrace.project.session import ProjectSession, usable
from headrace.project.snapshots import ProjectSnapshot, project_state
from headrace.project.status_facts import WINDOW, row_of, unapplied_count, window_began
from headrace.repairs.broken_partitions import open_repairs
from headrace.responses import (
    AvailabilityRow,
    ConsumerRow,
    ExportRow,
    FilesRow,
    HoldingRow,
    LakeFilesRow,
    MutedRow,
    ObservedRow,
    OutageRow,
    PausedRow,
    ReadRow,
    RemovedRow,
    RiskRow,
    StatusResponse,
)
from headrace.runtime.clock_jumps import unconfirmed_days
from headrace.services.incidents import holds
from headrace.services.quarantine import shown_path
from headrace.slo import availability as slo_availability
from headrace.slo.availability import AvailabilityTotals, AvailabilityWindow, percent, share
from headrace.slo.consumer_states import AtRisk, ConsumerStatus, LatestExport
from headrace.slo.damaged_files import damaged_files
from headrace.slo.evaluation import SERVED
from headrace.slo.facts import Pausing, StateFacts
from headrace.slo.freshness import AssetStateCounts, FreshnessState
from headrace.slo.open_items import EnvironmentDamage, IncidentFact, OpenFacts, OpenKind, open_items
from headrace.standing import restatements
from headrace.store import Transaction
from headrace.store.clock import last_written
from headrace.store.lease import holder
from headrace.store.queries import availability as stored_availability
from headrace.store.queries import incidents, lake_maintenance, notifications, publications
from headrace.store.queries import quarantine as stored_quarantine
from headrace.store.queries.incident_mutes import mutes
from headrace.store.queries.incidents import Incident
from headrace.store.queries.quarantine import QuarantineTotals

UNDELIVERED_US = 7 * DAY_US
"""How long undelivered notifications are reported, in µs."""
WARNED_US, WARNED_MAX = 7 * DAY_US, 500
"""How long publications with a warning are reported, in µs, and at most how many."""


@command("status", SEE, of="select", lists=True, http="GET /status status", session="status")
def status(
    session: ProjectSession,
    select: Selected = (),
    *,
    window: Annotated[
        str,
        Option("--window", metavar="D", help="of the figures about the past, until now (30d)"),
    ] = WINDOW,
) -> StatusResponse:
    """Return the state of every consumer, or of those selected or reading selected nodes.

    Before the first apply all consumers are `never`. Raise UsageError for a select that matches
    nothing, InvalidProject if nothing is applied and the files have errors.
    """
    if session.store is None or session.compiled is None:
        return _before_anything(session, usable(session.declared()), select, window)
    return of_consumers(
        session, session.compiled, _chosen(session, session.compiled, select), window=window
    )


def of_consumer(session: ProjectSession, name: str) -> ConsumerRow:
    """Return the status of a declared consumer, applied or not."""
    response = (
        status(session, [f"consumer:{name}"])
        if session.compiled is None
        else of_consumers(session, session.compiled, {name})
    )
    return next(consumer for consumer in response.consumers if consumer.name == name)


def of_consumers(
    session: ProjectSession,
    compiled: Compiled,
    chosen: Collection[str] | None,
    *,
    window: str = WINDOW,
) -> StatusResponse:
    """Return the status of some consumers (None: all) of the applied project."""
    now_us = session.clock.now_us()
    began_us = window_began(window, now_us, session.timezone)
    not_applied = unapplied_count(session)  # outside the transaction: it may read many files
    with project_state(session, now_us) as stood:
        tx, facts = stood.tx, stood.facts
        evaluation = stood.evaluation(session, (began_us, now_us))
        status = evaluation.status
        chosen, displayed = _displayed_consumers(session, compiled, chosen)
        open_incidents = evaluation.opened.all
        limited = _limited(session, compiled, tx, open_incidents, stood)
        consumer_status = [
            consumer for consumer in status.consumers if chosen is None or consumer.name in chosen
        ]
        totals = evaluation.totals(
            None if chosen is None else {status.name for status in consumer_status}
        )
        ran = stored_availability.runs_started(tx, began_us, now_us)
        removed = evaluation.removed() if chosen is None else {}
        running = holder(tx) is not None
        waiting = _quarantined(session, compiled, tx)
        held = _pauses(session, facts, now_us)
        over = AvailabilityWindow(window, began_us, now_us, session.timezone)
        past_of = {status.name: evaluation.figures(status.name) for status in consumer_status}
        silent = evaluation.undelivered(past_of)
        consumers = [
            _consumer(session, compiled.project, status, row_of(past_of[status.name], over))
            for status in consumer_status
        ]
        outages, muted = _outages(session, tx, now_us), _muted(session, tx, open_incidents, now_us)
        weakened = stored_availability.count_weakenings(tx, began_us, now_us)
        undelivered = notifications.count_failed(tx, now_us - UNDELIVERED_US)
        causes = _shown(session, evaluation.causes(consumer_status) if open_incidents else [])
        holding = None if limited else holds(tx, compiled, consumer_status, causes, now_us)
        lake = _lake(tx, now_us)
        files = _files(session, tx, compiled.project, consumers)
        broken = open_repairs(tx, compiled.project, evaluation.opened)
        past = restatements.recent_restatements(session, tx, compiled, now_us)
        undecided = restatements.proposed_recomputations(tx, compiled)
        warned = publications.warned_since(tx, now_us - WARNED_US, WARNED_MAX)
        damaged = _damaged(session, tx, compiled, consumer_status)
        retained = retention_rows(session, tx, compiled.project)
        early, not_rebuilt = early_retention(session, tx, compiled.project)
        legal_holds = hold_rows(session, tx)
        open_facts = status_facts.without_hidden(
            msgspec.structs.replace(
                status_facts.open_facts(
                    tx, compiled.project, consumer_status, undecided, open_incidents, now_us
                ),
                not_applied=not_applied,
                damaged=damaged,
                days_ahead=_days_ahead(session, tx),
            ),
            session.visible,
        )
        wrong_visible = bool(limited) or bool(evaluation.opened.wrong)
    response = StatusResponse(
        project=compiled.project.settings.name,
        env=session.env,
        timezone=session.timezone,
        now=session.instant(now_us),
        observed_at=(
            None if status.observed_at_us is None else session.instant(status.observed_at_us)
        ),
        runtime="running" if running else "stopped",
        clock=session.clock.kind.value,
        consumers=consumers,
        assets=status.assets,
        quarantine=waiting,
        lake=lake,
        files=files,
        paused=held,
        muted=muted,
        retention=retained,
        rebuildable=early,
        not_rebuilt=not_rebuilt,
        holds=legal_holds,
        availability_text=(
            slo_availability.availability(totals, over, removed=len(removed), undelivered=silent)
            if consumer_status or removed
            else ""
        ),
        corrections=[
            correction
            for status in consumer_status
            for correction in slo_availability.corrections(
                status.name, status.owner, past_of[status.name]
            )
        ],
        uptime_text=slo_availability.uptime(percent(share(ran.succeeded, ran.runs))),
        honest_availability=totals.honest,
        honest_mean=totals.mean,
        minutes_lost=totals.lost_minutes,
        minutes_counted=None if totals.honest is None else totals.counted_minutes,
        minutes_unobserved=None if totals.honest is None else totals.unobserved_minutes,
        claimed_availability=totals.claimed,
        classic_uptime=percent(share(ran.succeeded, ran.runs)),
        runs_started=ran.runs,
        obligations_due=totals.promised,
        obligations_kept=totals.met,
        promises_weakened=weakened,
        worst=totals.worst,
        removed=[
            RemovedRow(name=name, availability=row_of(figures, over))
            for name, figures in removed.items()
        ],
        window=window,
        consumers_unserved=sum(status.state not in SERVED for status in consumer_status),
        incidents_open=len(open_incidents),
        outages=outages,
        undelivered=undelivered,
        not_applied=not_applied,
        holding=holding,
        repairs=broken,
        restated=past,
        proposed=undecided,
        warned=[partition_argument(*at) for at in warned if session.shows(at[0])],
        headline=status_facts.status_headline(
            open_facts,
            consumer_status,
            causes,
            holding,
            wrong_visible=wrong_visible,
            displayed=displayed,
        ),
        open=status_facts.open_rows(open_facts),
        window_observed=_observed(session, totals, now_us),
        next=_next(consumers, holding, open_facts),
    )
    return msgspec.structs.replace(response, **limited)


def _days_ahead(session: ProjectSession, tx: Transaction) -> int:
    """Return how far the clocks are apart, as `OpenFacts.days_ahead`."""
    stored = 0 if session.replay else last_written(tx)
    return session.clock.days_ahead() or -unconfirmed_days(
        session.root, session.data_folder, stored, session.clock.now_us(), tx.real_us
    )


def _quarantined(session: ProjectSession, compiled: Compiled, tx: Transaction) -> QuarantineTotals:
    return stored_quarantine.totals(
        tx, lambda name: compiled.project.node(name) if session.shows(name) else None
    )


def _pauses(session: ProjectSession, facts: StateFacts, now_us: int) -> list[PausedRow]:
    return [
        _paused(session, name, item)
        for name, item in sorted(facts.pauses().items())
        if item.holds(now_us) and session.shows(name)
    ]


def _shown(session: ProjectSession, causes: Iterable[Incident]) -> list[Incident]:
    return [cause for cause in causes if session.shows(cause.node)]


def _displayed_consumers(
    session: ProjectSession, compiled: Compiled, chosen: Collection[str] | None
) -> tuple[Collection[str] | None, str]:
    """Return the chosen consumers that somebody may see, None for all; and a word for them."""
    if session.visible is None:
        return chosen, "declared" if chosen is None else "selected"
    names = compiled.project.consumers if chosen is None else chosen
    return {name for name in names if session.shows(name)}, (
        "visible" if chosen is None else "selected"
    )


def _limited(
    session: ProjectSession,
    compiled: Compiled,
    tx: Transaction,
    open_incidents: Iterable[Incident],
    stood: ProjectSnapshot,
) -> dict[str, Any]:
    """Return the fields that differ where some nodes are hidden: no counts over hidden ones."""
    if session.visible is None:
        return {}
    names = [name for name in compiled.project.assets if session.shows(name)]
    counted = Counter(stood.nodes.states[name] for name in names if name in stood.nodes.states)
    newest = [stood.facts.newest(name) for name in names]
    return {
        "assets": AssetStateCounts(
            **{str(state): counted[state] for state in FreshnessState},
            quarantined=len(stored_quarantine.nodes(tx) & set(names)),
            unchecked=sum(item is not None and item.verdict == "unchecked" for item in newest),
        ),
        "incidents_open": sum(session.shows(incident.node) for incident in open_incidents),
        "lake": LakeFilesRow(files=0, looked_at_24h=0, damaged=0),
        "classic_uptime": None,
        "uptime_text": slo_availability.uptime(None),
        "not_applied": 0,
        "runs_started": 0,
        "promises_weakened": 0,
        "undelivered": 0,
    }


def _muted(
    session: ProjectSession, tx: Transaction, open_incidents: Iterable[Incident], now_us: int
) -> list[MutedRow]:
    """Return the open incidents that are muted, oldest first."""
    visible = [each for each in open_incidents if session.shows(each.node)]
    by_incident = mutes(tx, visible, now_us)
    return [
        MutedRow(
            incident=incident.label,
            node=incident.node,
            reason=mute.reason,
            by=mute.actor,
            until=None if mute.until is None else session.instant(mute.until),
        )
        for incident in visible
        if (mute := by_incident.get(incident.id)) is not None
    ]


def _outages(session: ProjectSession, tx: Transaction, now_us: int) -> list[OutageRow]:
    """Return recent outages: the observation that detects an outage also ends it.

    Users who run `status` once a day still see it.
    """
    return [
        OutageRow(
            incident=incident.label,
            text=incident.summary,
            ended_at=session.instant(incident.resolved_at),
        )
        for incident in incidents.resolved_since(tx, now_us - SHOWN_US)
        if incident.kind == CauseKind.RUNTIME_DOWN and incident.resolved_at is not None
    ]


def _observed(
    session: ProjectSession, totals: AvailabilityTotals, now_us: int
) -> ObservedRow | None:
    """Return the part of the window that the worst consumer's figures cover."""
    if totals.began_us is None:
        return None
    return ObservedRow(
        from_=session.instant(totals.began_us),
        to=session.instant(now_us),
        minutes=totals.minutes,
        unobserved=totals.unknown_minutes,
    )


def _lake(tx: Transaction, now_us: int) -> LakeFilesRow:
    damaged = damaged_files(tx)
    looked = lake_maintenance.checked_since(tx, now_us - DAY_US)
    return LakeFilesRow(
        files=catalog.count_current(tx),
        looked_at_24h=looked,
        damaged=len(damaged),
        elsewhere=catalog.count_elsewhere(tx),
    )


def _damaged(
    session: ProjectSession,
    tx: Transaction,
    compiled: Compiled,
    consumer_status: Sequence[ConsumerStatus],
) -> EnvironmentDamage | None:
    """Return the damaged files of an environment; in production they have incidents."""
    if session.env == PRODUCTION or not (files := damaged_files(tx)):
        return None
    nodes = tuple(dict.fromkeys(file.node for file in files))
    readers = []
    for status in consumer_status:
        declared = compiled.project.consumers.get(status.name)
        reads = () if declared is None else declared.reads
        applied = [name for name in reads if name in compiled.nodes]
        if set(nodes) & set(expand_view_names(compiled, applied)):
            readers.append(status.name)
    command = recompute_command(session.env, compiled.project, tx, files[0].node, files[0].id)
    return EnvironmentDamage(len(files), nodes, tuple(readers), command)


def needs(project: Project, consumer: str) -> str:
    """Return a consumer's promise for people: `07:00 daily`, `30 h old`."""
    declared = project.consumers.get(consumer)
    if declared is None:
        return ""
    if declared.max_age is not None:
        return f"{_spaced(declared.max_age)} old"
    if declared.due is None:
        return ""
    per = {
        "day": "daily",
        "hour": "hourly",
        "week": "weekly",
        "month": "monthly",
        "quarter": "quarterly",
        "year": "yearly",
    }
    return f"{declared.due} {per[declared.per.value]}"


def _spaced(duration: str) -> str:
    """Return `30h` as `30 h`."""
    number = duration.rstrip("smhdw")
    return f"{number} {duration[len(number) :]}" if number.isdecimal() else duration


def _chosen(
    session: ProjectSession, compiled: Compiled, selection: Sequence[str]
) -> Collection[str] | None:
    """Return the selected consumers; None for all."""
    if not selection:
        return None
    from headrace.project.selection import selected

    names = set(selected(session, selection, compiled=compiled))
    return {
        name
        for name, consumer in compiled.project.consumers.items()
        if name in names or names & set(consumer.reads)
    }


def _consumer(
    session: ProjectSession, project: Project, status: ConsumerStatus, past: AvailabilityRow
) -> ConsumerRow:
    return ConsumerRow(
        name=status.name,
        owner=status.owner,
        state=status.state.value,
        states=[state.value for state in status.states],
        since=None if status.since_us is None else session.instant(status.since_us),
        due_interval=status.due_interval,
        data_through=status.data_through,
        backlog=list(status.backlog),
        missing_besides=status.missing_besides,
        reads=[
            ReadRow(asset=read.asset, state=read.state.value, data_through=read.data_through)
            for read in status.reads
        ],
        reason=status.reason,
        incident=status.incident,
        next=status.next,
        needs=needs(project, status.name),
        export=(
            None if status.export is None else _export(session, status.export, status.superseded)
        ),
        risk=None if status.risk is None else _risk(session, status.risk),
        paused=None if status.paused is None else _paused(session, status.name, status.paused),
        availability=past,
    )


def _risk(session: ProjectSession, risk: AtRisk) -> RiskRow:
    predicted = None if risk.predicted_us is None else session.instant(risk.predicted_us)
    return RiskRow(
        node=risk.node,
        partition=risk.partition,
        interval=risk.interval,
        due_at=None if risk.due_us is None else session.instant(risk.due_us),
        predicted_at=predicted,
        reason=risk.reason,
    )


def _paused(session: ProjectSession, name: str, item: Pausing) -> PausedRow:
    return PausedRow(
        node=name,
        reason=item.reason,
        by=item.by,
        until=None if item.until_us is None else session.instant(item.until_us),
    )


def _export(session: ProjectSession, export: LatestExport, superseded: Sequence[str]) -> ExportRow:
    at = None if export.at_us is None else session.instant(export.at_us)
    return ExportRow(
        state=export.state,
        interval=export.interval,
        at=at,
        target=export.target,
        superseded=list(superseded),
    )


def _files(
    session: ProjectSession, tx: Transaction, project: Project, consumers: Sequence[ConsumerRow]
) -> list[FilesRow]:
    """Return the newest published files of each `files` asset that the consumers read."""
    names = dict.fromkeys(read.asset for consumer in consumers for read in consumer.reads)
    rows = []
    for name in names:
        asset = project.assets.get(name)
        newest = (
            publications.newest(tx, name)
            if asset is not None and asset.materialize == "files"
            else None
        )
        if newest is not None and newest.manifest:
            paths = [
                shown_path(session, session.data_folder / str(entry["path"]))
                for entry in newest.manifest
            ]
            rows.append(FilesRow(asset=name, partition=newest.partition, paths=paths))
    return rows


def _next(
    consumers: Sequence[ConsumerRow], holding: HoldingRow | None, facts: OpenFacts
) -> str | None:
    """Return the next command.

    It is about what blocks everything, else about an unserved consumer, else about another open
    item.
    """
    if facts.days_ahead:
        return "headrace db clock"
    if facts.broken_since is not None:
        return _command_for(facts, lambda incident: incident.kind == CauseKind.RUNTIME_DOWN)
    if facts.closed_since is not None:
        full = (HEADRACE, CauseKind.RESOURCE_EXHAUSTED)
        return _command_for(facts, lambda incident: (incident.node, incident.kind) == full)
    if holding is not None:
        consumer = next(item.name for item in consumers if item.incident is not None)
        return f"headrace why {consumer}"
    unserved = [item.next for item in consumers if item.state != "served" and item.next]
    if unserved:
        return unserved[0]
    commands = {item.kind: item.command for item in open_items(facts)}
    of_files = commands.pop(OpenKind.NOT_APPLIED, None)
    proposed = [of_files, *(item.next for item in consumers), *commands.values()]
    return next(filter(None, proposed), None)


def _command_for(facts: OpenFacts, is_the_cause: Callable[[IncidentFact], bool]) -> str:
    """Return the command that shows the incident that stops everything, else `doctor`."""
    return next(
        (f"headrace incident {item.display_id}" for item in facts.incidents if is_the_cause(item)),
        "headrace doctor",
    )


def _before_anything(
    session: ProjectSession, compiled: Compiled, selection: Sequence[str], window: str
) -> StatusResponse:
    project = compiled.project
    chosen = _chosen(session, compiled, selection)
    consumers = [
        ConsumerRow(
            name=name,
            owner=consumer.owner,
            state="never",
            states=["never"],
            since=None,
            due_interval=None,
            data_through=None,
            backlog=[],
            reads=[
                ReadRow(asset=read, state="never", data_through=None) for read in consumer.reads
            ],
            reason="nothing has run yet",
            next="headrace tick",
            needs=needs(project, name),
        )
        for name, consumer in project.consumers.items()
        if chosen is None or name in chosen
    ]
    return StatusResponse(
        project=project.settings.name,
        env=session.env,
        timezone=session.timezone,
        now=session.now(),
        observed_at=None,
        runtime="stopped",
        clock=session.clock.kind.value,
        consumers=consumers,
        assets=AssetStateCounts(never=len(project.assets)),
        quarantine=QuarantineTotals(deliveries=0, partitions=0, rows=0),
        lake=None,
        files=[],
        window=window,
        not_applied=len(compiled.nodes),
        consumers_unserved=len(consumers),
        availability_text=slo_availability.NOTHING_DUE if consumers else "",
        headline="Nothing has run yet.",
        next="headrace tick",
    )
