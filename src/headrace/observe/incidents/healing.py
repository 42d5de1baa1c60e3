"""What Headrace does about a cause by itself stands in the incident's timeline, each act once: what was lost is run again, what was too
big is tried in halves, what isn't there is waited for. The limits are the core's (`schedule.retry`); where one is reached that is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from headrace.observe.declared_promises import Node
from headrace.observe.diagnosis.causes import HEADRACE, CauseKind
from headrace.observe.diagnosis.details import NO_WORKER
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.store.database import Transaction
from headrace.store.queries import attempts, partitions, pauses
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import Happened, Incident

ACTS_MAX = 40
"""So many acts of one judgement are written down one by one."""
PAUSED_NAMED_MAX = 5
WAITING = {
    CauseKind.LATE_SOURCE: ("wait", "Headrace waits for it: what needs it runs as soon as it is there"),
    CauseKind.MISSING_SOURCE: ("wait", "Headrace goes on looking: what needs it runs as soon as it is there"),
    CauseKind.SOURCE_UNAVAILABLE: ("poll", "Headrace looks again with each pass: what arrived meanwhile is ingested as soon as it answers"),
    CauseKind.DESTINATION_UNAVAILABLE: ("poll", "Headrace goes on trying: what couldn't be written is as soon as it can be"),
    CauseKind.RESTATEMENT: (
        "rebuild",
        "Headrace re-ingests it, and recomputes what reads it, as far as `restate_within` lets it",
    ),
    CauseKind.RUNTIME_DOWN: ("catch_up", "Headrace catches up on what fell due meanwhile"),
}
_WHOLE_RESTATED = (
    "rebuild",
    (
        "Headrace re-ingests it, and recomputes the unpartitioned assets that read it; partitions computed before stay as they are,"
        " unless their asset declares `on_reference_change: rebuild`"
    ),
)
_TRIED = (Family.LOST, Family.RESOURCES)


def note(tx: Transaction, nodes: Mapping[str, Node], seen: Iterable[Evidence]) -> None:
    """Write down what is done about the open incidents, and about what was `seen` for the first time."""
    for incident in stored.open_ones(tx):
        act = None if incident.detail == NO_WORKER else _waiting(nodes, incident)
        if act is not None and not stored.acted(tx, incident.id, act[0]):
            text = f"{act[1]}{but_paused(tx, incident, incident.updated_at)}"
            stored.happened(tx, incident.id, [Happened(incident.updated_at, text, HEADRACE, act[0])])
    tried = sorted((evidence for evidence in seen if evidence.family in _TRIED), key=lambda item: (item.at_us, item.id))
    for evidence in tried[:ACTS_MAX]:
        number = stored.of_evidence(tx, evidence.id)
        if number is not None:
            stored.happened(tx, number, _tried(tx, evidence))


def but_paused(tx: Transaction, incident: Incident, now: int) -> str:
    """What of an incident doesn't go on by itself, since it is paused: `, but for clean, which is paused`."""
    if incident.kind == CauseKind.PAUSED:
        return ""
    concerned = {incident.node, *incident.affected.assets, *incident.affected.consumers}
    names = [pause.node for pause in pauses.in_force(tx, now) if pause.node in concerned]
    if not names:
        return ""
    more = len(names) - PAUSED_NAMED_MAX
    message = ", ".join(names[:PAUSED_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
    return f", but for {message}, which {'is' if len(names) == 1 else 'are'} paused"


def _waiting(nodes: Mapping[str, Node], incident: Incident) -> tuple[str, str] | None:
    restated = nodes.get(incident.node) if incident.kind == CauseKind.RESTATEMENT else None
    return _WHOLE_RESTATED if restated is not None and restated.partition.whole else WAITING.get(CauseKind(incident.kind))


def _tried(tx: Transaction, evidence: Evidence) -> Iterator[Happened]:
    """What followed an attempt that lost its worker or lacked resources."""
    kind, _, of = evidence.id.partition(":")
    epoch, _, n = of.partition("@")[0].partition(".")
    attempt = attempts.get(tx, int(epoch), int(n)) if kind == "attempt" and epoch.isdecimal() and n.isdecimal() else None
    if attempt is None:
        return
    key = evidence.partition or "*"
    place = f"{evidence.node}@{evidence.partition}" if evidence.partition else evidence.node
    why = "lost its worker" if evidence.family is Family.LOST else "lacked resources"
    partition = partitions.get(tx, evidence.node, key)
    newest = next(iter(attempts.of_partition(tx, evidence.node, key, limit=1)), None)
    if (attempt.error or {}).get("code") == CauseKind.POISON_DELIVERY:
        text = f"attempt {attempt.id} at {place} took more memory than it may: what was delivered is kept, and not read any more"
        yield Happened(evidence.at_us, text, HEADRACE, "keep_only")
    elif partition is not None and partition.state == "failed" and newest is not None and newest.id == attempt.id:
        text = f"attempt {attempt.id} at {place} {why} too: it isn't run again by itself, until what it runs on changes or somebody asks"
        yield Happened(evidence.at_us, text, HEADRACE, "give_up")
    elif len(attempt.partitions) > 1 and evidence.family is Family.RESOURCES:
        text = f"attempt {attempt.id} {why} with {len(attempt.partitions)} partitions at once: tried again in smaller batches"
        yield Happened(evidence.at_us, text, HEADRACE, "smaller_batches")
    else:
        yield Happened(evidence.at_us, f"attempt {attempt.id} at {place} {why}: run again by another", HEADRACE, "run_again")
