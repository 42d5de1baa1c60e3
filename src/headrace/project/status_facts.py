"""Facts of `status`: open items and the headline, unapplied changes, availability figures."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.compiler.project_files import folders, scan
from headrace.incidents.diagnosis.wording import listed
from headrace.model import Grain, Project, Source, UsageError
from headrace.model.intervals import bounds_us, key_at_us, keys_between, local_date, previous_key
from headrace.model.link_problems import rules_that_end
from headrace.model.partitions import SEPARATOR
from headrace.model.times import Duration
from headrace.project.session import ProjectSession
from headrace.responses import AvailabilityRow, HoldingRow, OpenRow, ProposedRow
from headrace.runtime.approval_states import waiting
from headrace.slo.availability import AvailabilityFigures, AvailabilityWindow, of_consumer
from headrace.slo.consumer_states import ConsumerStatus
from headrace.slo.evaluation import NAMED
from headrace.slo.open_items import (
    ConsumerFact,
    IncidentFact,
    NodeQuarantine,
    OpenFacts,
    Superseded,
    Throttled,
    explained_by,
    headline,
    open_items,
)
from headrace.store import Transaction
from headrace.store.clock import real_us
from headrace.store.queries import (
    emergencies,
    failures,
    freezes,
    incidents,
    ingestion,
    lake_maintenance,
    quarantine,
)
from headrace.store.queries.incidents import Incident
from headrace.store.queries.ingestion import THROTTLED

# The facts behind open items and the headline, read in one transaction.

HOUR_US = 3_600_000_000


def open_facts(
    tx: Transaction,
    project: Project,
    consumers: Sequence[ConsumerStatus],
    proposed: Sequence[ProposedRow],
    open_incidents: Sequence[Incident],
    now_us: int,
) -> OpenFacts:
    """Return what the store knows of open items; `consumers` are the displayed ones."""
    nodes = incidents.nodes_of(tx, [incident.id for incident in open_incidents])
    failing = ingestion.failing_sources(tx)
    broken, closed = (
        lake_maintenance.problem(tx, lake_maintenance.WORKERS),
        lake_maintenance.problem(tx, lake_maintenance.LAKE),
    )
    return OpenFacts(
        now_us=now_us,
        timezone=project.settings.timezone,
        consumers=[ConsumerFact(row.name, row.state.value) for row in consumers],
        incidents=[_incident(incident, nodes[incident.id]) for incident in open_incidents],
        held={
            node: NodeQuarantine(*counts)
            for node, counts in quarantine.by_node(tx).items()
            if project.node(node) is not None
        },
        failing=[node for node in failures.failing_nodes(tx) if project.node(node) is not None],
        unobserved={
            item.source: item.since
            for item in failing
            if item.source in project.sources and item.code not in THROTTLED
        },
        throttled=_throttled(tx, project, failing, now_us),
        superseded=[_superseded(project, row) for row in proposed],
        approvals=waiting(tx, now_us),
        frozen=[item.subject for item in freezes.in_force(tx)],
        emergencies=[(item.subject, item.role) for item in emergencies.in_force(tx, real_us())],
        roles_end=[
            f"{rule.who} ({rule.until})"
            for rule in rules_that_end(
                project.access, local_date(now_us, project.settings.timezone)
            )
            if not rule.ended
        ],
        broken_since=None if broken is None else broken.since,
        closed_since=None if closed is None else closed.since,
    )


def without_hidden(facts: OpenFacts, visible: frozenset[str] | None) -> OpenFacts:
    """Return the facts about visible nodes (None: all), else none about the whole project."""
    if visible is None:
        return facts
    return msgspec.structs.replace(
        facts,
        incidents=[item for item in facts.incidents if item.node in visible],
        held={node: item for node, item in facts.held.items() if node in visible},
        failing=[node for node in facts.failing if node in visible],
        unobserved={node: at for node, at in facts.unobserved.items() if node in visible},
        throttled=[item for item in facts.throttled if item.source in visible],
        superseded=[item for item in facts.superseded if item.node in visible],
        approvals=(),
        frozen=(),
        emergencies=(),
        roles_end=(),
        damaged=None,
        not_applied=0,
    )


def _throttled(
    tx: Transaction, project: Project, failing: Sequence[ingestion.Failing], now_us: int
) -> list[Throttled]:
    """Return the sources whose servers requested a pause, at an observation or a fetch."""
    since = {item.source: item.since for item in failing if item.code in THROTTLED}
    for source, at in ingestion.throttled_sources(tx, now_us):
        since[source] = min(at, since.get(source, at))
    results = []
    for name, at in sorted(since.items()):
        if name in project.sources:
            loaded, known, oldest = ingestion.loaded_intervals(tx, name)
            expected = _expected(project, project.sources[name], oldest, now_us)
            results.append(Throttled(name, at, loaded, max(known, expected)))
    return results


def _expected(project: Project, source: Source, oldest: str | None, now_us: int) -> int:
    """Return the number of intervals that a source should have by now; 0 if unknown.

    They range from its start or its oldest delivery to the last ended interval, including intervals
    that were never requested.
    """
    grain, zone = source.partition.grain, source.timezone or project.settings.timezone
    first = source.start or (oldest.partition(SEPARATOR)[0] if oldest is not None else None)
    if grain is None or source.partition.key is not None or first is None:
        return 0
    current = key_at_us(now_us, grain, zone)
    last = (
        current
        if bounds_us(current, grain, zone)[1] <= now_us
        else previous_key(current, grain, zone)
    )
    if grain is Grain.HOUR:
        hours = (bounds_us(last, grain, zone)[1] - bounds_us(first, grain, zone)[0]) // HOUR_US
        return max(hours, 0)
    return sum(1 for _ in keys_between(first, last, grain, zone)) if first <= last else 0


def _incident(incident: Incident, nodes: set[str]) -> IncidentFact:
    return IncidentFact(
        incident.label,
        incident.node,
        incident.kind,
        frozenset({incident.node, *nodes, *incident.affected.assets}),
    )


def _superseded(project: Project, row: ProposedRow) -> Superseded:
    grain = project.assets[row.node].partition.grain
    unit = grain.value if grain is not None else "partition"
    return Superseded(
        row.node,
        row.partitions,
        row.from_,
        row.to,
        unit,
        row.command or "",
        own_code=row.own_code,
    )


def open_rows(facts: OpenFacts) -> list[OpenRow]:
    """Return the open items as rows of the response."""
    return [
        OpenRow(
            kind=item.kind.value,
            count=item.count,
            nodes=list(item.nodes),
            text=item.text,
            command=item.command,
        )
        for item in open_items(facts)
    ]


def status_headline(
    facts: OpenFacts,
    consumers: Sequence[ConsumerStatus],
    causes: Sequence[Incident],
    holding: HoldingRow | None,
    *,
    wrong_visible: bool,
    displayed: str,
) -> str:
    """Return the headline.

    It doesn't repeat what the causes of `holding` explain, nor incidents that are a consumer's
    reason.
    """
    named = frozenset(
        consumer.incident for consumer in consumers if consumer.incident and consumer.state in NAMED
    )
    named |= {cause.label for cause in causes}
    return headline(
        facts,
        _causes(holding),
        explained_by(facts, named),
        wrong_visible=wrong_visible,
        displayed=displayed,
    )


def _causes(holding: HoldingRow | None) -> str | None:
    """Return how many assets and consumers the causes hold back."""
    if holding is None:
        return None
    counts = ((holding.assets, "asset"), (holding.consumers, "consumer"))
    held = [f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    causes = "1 cause holds" if holding.causes == 1 else f"{holding.causes:,} causes hold"
    return f"{causes} {' and '.join(held)}."


# Whether the files differ from the applied version. Servers call this again and again, so only
# changed files are read.

LOOK_SECONDS = 10.0
"""Minimum seconds between checks of the files."""
RACY_NS = 2_000_000_000
"""Files modified within this time (ns) are read again: a change might not alter their mark."""
_LOOKING = threading.Lock()
"""Serialises checks: concurrent requests wait for one result, as two checks take twice as long."""
_Mark = tuple[int, int, int] | None


class _Looked(msgspec.Struct):
    """The marks of files and folders at a check, and the differing nodes."""

    marks: dict[str, _Mark]
    nodes: tuple[str, ...] | None
    at: float


def unapplied_note(session: ProjectSession) -> str | None:
    """Return a sentence on edits that no attempt runs yet; None if all files are applied."""
    if session.version is None:
        return None
    nodes = unapplied(session)
    if nodes is None:
        return "the files have errors, so what was applied runs: `headrace validate` shows them"
    names = listed([name for name in nodes if session.shows(name)])
    return f"not applied yet: {names}; `headrace apply` first" if names else None


def unapplied_count(session: ProjectSession) -> int | None:
    """Return the number of nodes whose files differ; None if the files have errors."""
    nodes = unapplied(session)
    return None if nodes is None else len(nodes)


def unapplied(session: ProjectSession) -> tuple[str, ...] | None:
    """Return the nodes whose files differ from the applied version.

    None if the files have errors. Cheap while no file has changed.
    """
    with _LOOKING:
        word, known = session.memory.get("unapplied", ("", None))
        if word != str(session.version) or known is None or not _still(known):
            known = _looked(session)
            session.memory["unapplied"] = (str(session.version), known)
    nodes: tuple[str, ...] | None = known.nodes
    return nodes


def _still(known: _Looked) -> bool:
    """Whether all files and folders still have their marks."""
    now = time.monotonic()
    if now - known.at < LOOK_SECONDS:
        return True
    lately = time.time_ns() - RACY_NS
    if any(mark is not None and mark[0] > lately for mark in known.marks.values()):
        return False
    known.at = now
    return all(_mark(path) == mark for path, mark in known.marks.items())


def _mark(path: str) -> _Mark:
    """Return a mark that changes with a file or a folder."""
    try:
        # ten thousand paths would be taken apart and put together again
        results = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return results.st_mtime_ns, results.st_size, results.st_ino


def _looked(session: ProjectSession) -> _Looked:
    applied, at = session.manifest, time.monotonic()
    declared = {file.path for file in scan(session.root).files}
    marks = {
        path: _mark(path)
        for path in (
            *folders(session.root),
            *(f"{session.root}/{name}" for name in (*applied, *declared)),
        )
    }
    same = declared <= applied.keys() and all(
        _digest(f"{session.root}/{path}") == digest for path, digest in applied.items()
    )
    return _Looked(marks, () if same else _differing(session), at)


def _digest(path: str) -> str | None:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def _differing(session: ProjectSession) -> tuple[str, ...] | None:
    from headrace.plan import changes

    compiled = session.declared().compiled
    return (
        None
        if compiled is None
        else tuple(sorted({change.node for change in changes(session.compiled, compiled)}))
    )


# Figures about the past, as rows of the response.

WINDOW = "30d"
"""Default window of figures about the past."""


def window_began(window: str, now_us: int, timezone: str) -> int:
    """Return the start of a window that ends now, in µs: `30d` back by the wall clock.

    Raise UsageError for an invalid or an empty duration.
    """
    span = Duration.parse(window)
    began = span.before_us(now_us, timezone)
    if began >= now_us:
        raise UsageError(
            f"--window {window}: nothing lies in it",
            hint="write a number and h, d or w: --window 30d",
        )
    return began


def row_of(figures: AvailabilityFigures, window: AvailabilityWindow) -> AvailabilityRow:
    """Return the figures of one consumer as a row of the response."""
    return AvailabilityRow(
        honest=figures.honest,
        claimed=figures.claimed,
        minutes=figures.minutes,
        lost_minutes=figures.lost_minutes,
        corrected_minutes=figures.corrected_minutes,
        exception_minutes=figures.exception_minutes,
        unknown_minutes=figures.unknown_minutes,
        promised=figures.promised,
        kept=figures.met,
        incidents=[f"INC-{number}" for number in figures.incidents],
        text=of_consumer(figures, window),
    )
