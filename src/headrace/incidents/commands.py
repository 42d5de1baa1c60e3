"""Commands by people that affect an incident: each is a timeline line with its reason.

They are read from the audit trail, which records every command that changes something, so that
commands needn't know about incidents.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from headrace.incidents.diagnosis.wording import listed
from headrace.incidents.evidence import changes
from headrace.model.causes import CauseKind
from headrace.model.intervals import to_us
from headrace.model.partitions import SEPARATOR, command_line
from headrace.plan.backfills import Backfill
from headrace.security.audit import Action, ActorType
from headrace.slo.blockage import Blockage
from headrace.slo.declared_promises import WHOLE
from headrace.slo.obligations import EvaluationContext
from headrace.slo.times import dated
from headrace.store.queries import (
    attempts,
    audit_trail,
    backfill_plans,
    exceptions,
    quarantine,
    runs,
)
from headrace.store.queries import incidents as stored
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.incidents import Happened, Incident
from headrace.store.transaction import Transaction

READ_MAX = 1_000
"""At most this many commands are read per evaluation; the next one reads the rest."""
PLACES_MAX = 3
REASON_MAX = 160
ACT = "command:"
"""Prefix of the act of a command's line; the number of its audit trail entry follows."""
MERGED = "merged:"
"""Prefix of the act of a line that merges an incident; the other's number follows."""
REPAIR_BEGUN = "repair begun: "
"""Prefix of the line that `fix` writes before it starts; the line's act is its command's."""
FAILED = "repair failed:"
"""Prefix of the act of a line about a failed repair.

The numbers of the first and last audit trail entry of the repair follow.
"""
REPAIRED = "repair done:"
"""The same for a completed repair, while some affected consumers aren't served yet."""
_PEOPLE = (ActorType.PERSON, ActorType.SERVICE)
_Places = tuple[tuple[str, str], ...]


class RecordedAction(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did.

    `did` is a participle (`dropped`) and `extra` adds to it (`until …`). `places` are its nodes,
    consumers and partitions; an empty partition means all.
    """

    seq: int
    at: int
    action: str
    did: str
    actor: str
    extra: str = ""
    places: _Places = ()
    reason: str = ""
    run: int | None = None
    """The requested run."""
    backfill: int | None = None
    """The planned backfill."""
    first: str = ""
    """For accepted names: the first interval for which they hold; empty: all."""


_DID: Mapping[str, str] = {
    Action.QUARANTINE_ACCEPTED: "accepted as an exception",
    Action.QUARANTINE_DROPPED: "dropped",
    Action.CONTRACT_ACCEPTED: "names accepted",
    Action.OBLIGATION_WAIVED: "waived",
    Action.NODE_PAUSED: "paused",
    Action.NODE_RESUMED: "resumed",
    Action.PARTITION_WITHDRAWN: "unpublished",
    Action.DELIVERY_RECEIVED: "handed over",
    Action.RUN_REQUESTED: "run again",
    Action.PLAN_MADE: "backfill planned",
    Action.PLAN_CANCELLED: "backfill cancelled",
    Action.PROJECT_APPLIED: "changed",
    Action.ENVIRONMENT_PROMOTED: "promoted",
    Action.EXPORT_TAKEN_OVER: "export taken over",
    Action.TRIGGER_FIRED: "fired",
    Action.INCIDENT_FIXED: "repaired",
}
"""Action → participle. Reports and notes about incidents write their own lines."""
ENDING = frozenset(_DID) - {Action.NODE_PAUSED, Action.TRIGGER_FIRED, Action.EXPORT_TAKEN_OVER}
"""The actions that can end an incident."""
_COMPUTING = {Action.RUN_REQUESTED, Action.PLAN_MADE}
IN_VAIN = "accepted in vain"
"""For an exception that had no effect: its data couldn't be published anyway."""
DECLARING = {Action.PROJECT_APPLIED, Action.ENVIRONMENT_PROMOTED}
"""Actions that change declarations and code, usually about more than the incident."""
_OF_REPAIRS = {
    Action.CONTRACT_ACCEPTED,
    Action.PLAN_MADE,
    Action.RUN_REQUESTED,
    Action.NODE_RESUMED,
    Action.PROJECT_APPLIED,
}
"""Actions that `fix` performs as steps, but that people also perform alone."""


def note_actions(tx: Transaction, blockage: Blockage, after: int) -> int:
    """Add new commands to the timelines of the open incidents that they affect.

    `after` is the last audit trail entry that was read; the result is the new one. If it is
    negative, none was read yet: commands from before an incident opened aren't about it.
    """
    last = audit_trail.last_seq(tx)
    incidents = stored.open_incidents(tx) if 0 <= after < last else []
    if not incidents:
        return last
    known = [_Touched(tx, blockage.context, incident) for incident in incidents]
    rows = audit_trail.commands(tx, after, tuple(_DID), READ_MAX)
    for command in _parsed(tx, blockage.context, rows):
        if command.action == Action.INCIDENT_FIXED:
            continue  # it has already written its line
        if command.run is not None and _hasnt_begun(tx, command.run):
            return command.seq - 1  # only the next evaluation knows whether the run does anything
        waited = _waited_for(blockage, command)
        for touched in known:
            touched.note(tx, command, waited)
    return last if len(rows) < READ_MAX else rows[-1][0]


def actions_since(
    tx: Transaction, context: EvaluationContext, incident: Incident, lines: Iterable[Happened]
) -> list[RecordedAction]:
    """Return the commands in these timeline lines that had an effect, oldest first.

    Each has the places at which it affected the incident without failing. Failed repairs of the
    incident and the steps of its repairs are left out.
    """
    acts = [line.act for line in lines if line.act is not None]
    actions = _recorded(tx, context, acts)
    touched = _Touched(tx, context, incident)
    hidden = _hidden(tx, touched, actions, acts)
    ended = _successful(tx, touched, [action for action in actions if action.seq not in hidden])
    if any(action.action == Action.QUARANTINE_DROPPED for action in ended):
        # A dropped delivery never reaches its readers: their recomputation is from other data.
        ended = [it for it in ended if it.action not in _COMPUTING or touched.is_at(it.places)]
    return ended


def _recorded(
    tx: Transaction, context: EvaluationContext, acts: Iterable[str]
) -> list[RecordedAction]:
    """Return the commands that these acts of a timeline name, in its order."""
    numbers = [int(act.removeprefix(ACT)) for act in acts if act.startswith(ACT)]
    rows = [row for number in numbers if (row := audit_trail.command(tx, number)) is not None]
    return list(_parsed(tx, context, rows))


def _successful(
    tx: Transaction, touched: _Touched, actions: Iterable[RecordedAction]
) -> list[RecordedAction]:
    """Return the actions that affected an incident with a result, each with its places there."""
    places_of = ((action, touched.where_it_succeeded(tx, action)) for action in actions)
    return [
        msgspec.structs.replace(action, places=places) for action, places in places_of if places
    ]


def _hidden(
    tx: Transaction, touched: _Touched, actions: Sequence[RecordedAction], acts: Sequence[str]
) -> set[int]:
    """Return the audit trail entries of failed repairs, and of the steps of other repairs.

    `acts` are those of the incident's timeline. A repair that has published nothing for the
    incident counts as its other steps only.
    """
    failed = _spans(acts, FAILED)
    ends = {**failed, **_spans(acts, REPAIRED)}
    hidden = set(failed)
    repairs = (action for action in actions if action.action == Action.INCIDENT_FIXED)
    for repair in repairs:
        steps = _steps(actions, repair, ends.get(repair.seq))
        if repair.seq not in failed and _computed_nothing(tx, touched, steps):
            hidden.add(repair.seq)
        else:
            hidden.update(step.seq for step in steps)
    return hidden


def gave_other_rows(
    tx: Transaction, context: EvaluationContext, nodes: Collection[str], first_us: int, last_us: int
) -> RecordedAction | None:
    """Return the last command that published any of these nodes between two times.

    It has the places that it published. None if Headrace published them on its own.
    """
    rows = audit_trail.commands_between(tx, first_us, last_us, tuple(_COMPUTING), READ_MAX)
    for command in reversed(list(_parsed(tx, context, rows))):
        tried = attempts.of_run(tx, command.run) if command.run is not None else []
        tried += attempts.of_plan(tx, command.backfill) if command.backfill is not None else []
        published_places = _published(tried, until_us=last_us)
        places = tuple(place for place in sorted(published_places) if place[0] in nodes)
        if places:
            return msgspec.structs.replace(command, places=places)
    return None


def _steps(
    actions: Sequence[RecordedAction], repair: RecordedAction, last: int | None
) -> list[RecordedAction]:
    """Return the actions that are steps of a repair.

    `last` is the last audit trail entry of the repair; None while it runs.
    """
    until = math.inf if last is None else last
    return [
        action
        for action in actions
        if action.action in _OF_REPAIRS
        and action.actor == repair.actor
        and repair.seq <= action.seq <= until
    ]


def _computed_nothing(tx: Transaction, touched: _Touched, steps: Sequence[RecordedAction]) -> bool:
    """Return whether a repair had steps to compute for an incident, and they published nothing."""
    computing = [step for step in steps if step.action in _COMPUTING]
    return bool(computing) and not any(
        touched.where_it_succeeded(tx, action) for action in computing
    )


def _hasnt_begun(tx: Transaction, number: int) -> bool:
    """Return whether a run was requested but has no attempts yet."""
    run = runs.get(tx, number)
    return (
        run is not None and run.state == runs.RUNNING and not attempts.of_run(tx, number, limit=1)
    )


def _came_to_nothing(tx: Transaction, node: str, key: str, at: int) -> bool:
    """Return whether the exception in force at a time led to no publication."""
    record = next(
        (
            exception_record
            for exception_record in exceptions.exceptions_of_partition(tx, node, key)
            if exception_record.at <= at
        ),
        None,
    )
    if record is None or record.publication_id is not None:
        return False
    return record.ended_at is not None or any(
        item.id > record.quarantine_id for item in quarantine.waiting(tx, node=node, partition=key)
    )


def _spans(acts: Iterable[str], kind: str) -> dict[int, int]:
    """Return first → last audit trail entry of each repair that ended in this way."""
    results = (act.removeprefix(kind).split("-") for act in acts if act.startswith(kind))
    return {int(first): int(last) for first, last in results}


def actions_clause(commands: Sequence[RecordedAction], limit: int) -> str:
    """Return the last commands as a clause, with similar ones combined.

    For example `dropped by ann: orders@2025-01-09 (a test file)`.
    """
    alike: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for command in commands:
        alike.setdefault((command.did, command.actor, command.extra, command.reason), []).extend(
            command.places
        )
    clauses = [
        _clause(did, actor, extra, dict.fromkeys(places), reason)
        for (did, actor, extra, reason), places in alike.items()
    ]
    more = len(clauses) - limit
    return "; ".join(clauses[-limit:]) + (f"; {more} more before" if more > 0 else "")


class _Touched:
    """The places of an open incident."""

    def __init__(self, tx: Transaction, context: EvaluationContext, incident: Incident) -> None:
        self._id = incident.id
        self._incident = incident
        self._declared = context.declared
        self._own = set(stored.partitions_of(tx, incident.id))
        self._symptoms = {
            (symptom.node, symptom.partition) for symptom in stored.symptoms_of(tx, incident.id)
        }
        self._below = {*incident.affected.assets, *incident.affected.consumers}

    def by(self, command: RecordedAction, waited: set[tuple[str, str]]) -> _Places:
        """Return the places at which a command affects this incident.

        `waited` is what a waived interval waited for.
        """
        if waited & self._own:
            return command.places
        if command.first and all(
            key < command.first for key in self._incident.affected.partitions or (command.first,)
        ):
            return ()
        if command.action in DECLARING:
            return tuple(place for place in command.places if self._declared_anew(place[0]))
        return tuple(place for place in command.places if self._at(*place))

    def note(self, tx: Transaction, command: RecordedAction, waited: set[tuple[str, str]]) -> None:
        """Write a command's line to the incident's timeline if it affects the incident."""
        if places := self.by(command, waited):
            stored.happened(tx, self._id, [_line(command, places)])

    def where_it_succeeded(self, tx: Transaction, command: RecordedAction) -> _Places:
        """Return the places at which a command affected this incident with a result.

        Places at which its run or its backfill published nothing are left out.
        """
        places = self.by(command, set()) or command.places
        if self._has_no_result(command):
            return ()
        if command.backfill is not None:
            nodes = self._published_in(tx, command.backfill)
            return tuple(place for place in places if place[0] in nodes)
        run = None if command.run is None else runs.get(tx, command.run)
        if run is None or run.state == runs.RUNNING:
            return places
        published_places = _published(attempts.of_run(tx, run.id))
        return tuple(place for place in places if place in published_places)

    def _has_no_result(self, command: RecordedAction) -> bool:
        """Return whether an exception was accepted in vain, or a backfill cancelled.

        A cancelled backfill computed nothing, but it decided about one that waited for approval.
        """
        if command.action == Action.PLAN_CANCELLED:
            return self._incident.kind != CauseKind.APPROVAL_PENDING
        return command.did == IN_VAIN

    def _published_in(self, tx: Transaction, backfill: int) -> set[str]:
        """Return the nodes of which a backfill published something that the incident concerns."""
        published_places = _published(attempts.of_plan(tx, backfill))
        return {node for node, key in published_places if self._at(node, _key(key))}

    def is_at(self, places: _Places) -> bool:
        """Return whether any place is at the cause itself, not only downstream of it."""
        nodes = {self._incident.node, *(node for node, _ in self._own)}
        return any(node in nodes for node, _ in places)

    def _at(self, node: str, key: str) -> bool:
        if (node, key) in self._own | self._symptoms:
            return True
        if node == self._incident.node:
            return (
                not key
                or not self._incident.affected.partitions
                or key in self._incident.affected.partitions
            )
        return node in self._below and (
            not key or key.partition(SEPARATOR)[0] in self._incident.affected.partitions
        )

    def _declared_anew(self, name: str) -> bool:
        """Return whether a changed declaration is about the incident.

        It is if it changes the incident's nodes, or nodes that no longer depend on them. A change
        of a node that still reads them ends nothing.
        """
        if name == self._incident.node or name in {node for node, _ in self._own}:
            return True
        return name in self._below and not self._reads(name)

    def _reads(self, name: str) -> bool:
        """Return whether an asset still reads the incident's node, directly or not."""
        return any(node.name == self._incident.node for node in self._declared.upstream([name]))


def _line(command: RecordedAction, places: _Places) -> Happened:
    text = _clause(command.did, command.actor, command.extra, dict.fromkeys(places), command.reason)
    return Happened(command.at, text, command.actor, f"{ACT}{command.seq}")


def _clause(
    did: str, actor: str, extra: str, places: Iterable[tuple[str, str]], reason: str
) -> str:
    names = [node if key in ("", WHOLE) else f"{node}@{key}" for node, key in places]
    are_named = names and did != _DID[Action.INCIDENT_FIXED]
    what = f": {listed(names, PLACES_MAX)}" if are_named else ""
    return f"{did} by {actor}{f' {extra}' if extra else ''}{what}{f' ({reason})' if reason else ''}"


def _waited_for(blockage: Blockage, command: RecordedAction) -> set[tuple[str, str]]:
    """Return what a waived interval waited for."""
    if command.action != Action.OBLIGATION_WAIVED:
        return set()
    terms = {consumer.consumer: consumer for consumer in blockage.context.declared.consumers}
    results = [
        item
        for name, key in command.places
        if name in terms
        for item in blockage.of(terms[name], key)
    ]
    return {(item.node, _key(item.partition)) for item in results}


def _published(tried: Iterable[Attempt], until_us: float = math.inf) -> set[tuple[str, str]]:
    """Return (node, partition) of what attempts published, up to a time in microseconds."""
    return {
        (attempt.node, key)
        for attempt in tried
        if attempt.published_at is not None and attempt.published_at <= until_us
        for key in attempt.partitions
    }


def _key(partition: str) -> str:
    """Return a partition as incident places and evidence name it."""
    return "" if partition == WHOLE else partition


# Reading the audit trail


def _parsed(
    tx: Transaction, context: EvaluationContext, rows: Iterable[tuple[int, int, str]]
) -> Iterator[RecordedAction]:
    """Yield the actions of people and services in these audit trail entries."""
    for seq, at, text in rows:
        event = json.loads(text)
        if event["actor"]["type"] not in _PEOPLE or _is_of_next(tx, seq, event):
            continue
        places, extra = _of(tx, context, event)
        if places is None:
            continue
        did = _DID[event["action"]]
        if event["action"] == Action.QUARANTINE_ACCEPTED and all(
            _came_to_nothing(tx, node, key, at) for node, key in places
        ):
            did = IN_VAIN
        if event["action"] == Action.CONTRACT_ACCEPTED:
            did = _of_contract(event.get("after") or {})
        yield RecordedAction(
            seq=seq,
            at=at,
            action=event["action"],
            did=did,
            actor=str(event["actor"]["id"]),
            extra=extra,
            places=places,
            reason=" ".join(str(event.get("reason") or "").split())[:REASON_MAX],
            run=int(event["object"]["id"]) if event["action"] == Action.RUN_REQUESTED else None,
            backfill=int(event["object"]["id"]) if event["action"] == Action.PLAN_MADE else None,
            first=str((event.get("after") or {}).get("from") or "")
            if event["action"] == Action.CONTRACT_ACCEPTED
            else "",
        )


def _of_contract(after: Mapping[str, Any]) -> str:
    """Return what was accepted into a contract.

    For columns that keep their names, that is the meaning of their values.
    """
    names, converted = after.get("names") or {}, after.get("convert") or {}
    if not converted or any(column != name for column, name in names.items()):
        return _DID[Action.CONTRACT_ACCEPTED]
    same = all(
        expression.strip('"').replace('""', '"') == name for name, expression in converted.items()
    )
    return "values accepted as they are" if same else "conversion accepted"


def _is_of_next(tx: Transaction, seq: int, event: Mapping[str, Any]) -> bool:
    """Return whether an entry is the version that the next entry, accepted names, made."""
    results = (
        audit_trail.command(tx, seq + 1) if event["action"] == Action.PROJECT_APPLIED else None
    )
    return results is not None and json.loads(results[2])["action"] == Action.CONTRACT_ACCEPTED


def _of(
    tx: Transaction, context: EvaluationContext, event: Mapping[str, Any]
) -> tuple[_Places | None, str]:
    """Return the places of a command and an addition to its participle.

    The places are None for a command that the trail records elsewhere as well.
    """
    action, thing, after = event["action"], str(event["object"]["id"]), event.get("after") or {}
    if action == Action.INCIDENT_FIXED:
        return ((thing, ""),), f"with `{command_line('fix', f'INC-{thing}')}`"
    if action == Action.RUN_REQUESTED:
        return _of_run(tx, int(thing), after), ""
    if action == Action.PLAN_MADE:
        return _all_of(sorted(after.get("chosen") or {})), f"(backfill {thing})"
    if action == Action.PLAN_CANCELLED:
        return _all_of(_nodes_of_plan(tx, int(thing))), f"(backfill {thing})"
    if action == Action.PROJECT_APPLIED:
        changed = (evidence.node for evidence in changes.of_version(tx, int(thing)))
        return _all_of(changed), f"(version {thing})"
    if action == Action.ENVIRONMENT_PROMOTED:
        return _all_of(sorted(after.get("partitions") or {})), f"from {thing}"
    name, _, key = thing.partition("@")
    return ((name, key),), _in_force(context, action, after)


def _all_of(nodes: Iterable[str]) -> _Places:
    """Return the places of whole nodes."""
    return tuple((node, "") for node in nodes)


def _nodes_of_plan(tx: Transaction, number: int) -> list[str]:
    """Return the nodes that a backfill was to compute; none if its plan was deleted."""
    plan = backfill_plans.get(tx, number)
    if plan is None:
        return []
    return [item.node for item in msgspec.msgpack.decode(plan.content, type=Backfill).chosen]


def _in_force(context: EvaluationContext, action: str, after: Mapping[str, Any]) -> str:
    """Return from when or until when a command is in force; empty if it has no such limit."""
    if action == Action.CONTRACT_ACCEPTED and after.get("from"):
        return f"from {after['from']} on"
    if action == Action.QUARANTINE_ACCEPTED and after.get("until_us") is not None:
        return f"until {dated(int(after['until_us']), context.declared.timezone)}"
    if action == Action.NODE_PAUSED and after.get("until"):
        until_us = to_us(datetime.fromisoformat(after["until"]))
        return f"until {dated(until_us, context.declared.timezone)}"
    return ""


def _of_run(tx: Transaction, run: int, request: Mapping[str, Any]) -> _Places | None:
    """Return what a run or a retry was requested to recompute.

    None for runs that the trail records elsewhere, and for a run that had nothing to do.
    """
    recomputed = _computed_by(tx, run)
    known = runs.get(tx, run)
    if not recomputed and known is not None and known.state == "nothing_due":
        return None
    if "retry" in request:
        return recomputed or _retried(tx, str(request["retry"]))
    if "select" in request:
        keys = [str(key) for key in request.get("partitions") or [""]]
        return recomputed or tuple((str(node), key) for node in request["select"] for key in keys)
    return None


def _retried(tx: Transaction, target: str) -> _Places:
    """Return what a retry of a run, a node or a partition is about."""
    if target.isascii() and target.isdecimal():
        return _computed_by(tx, int(target))
    node, _, key = target.partition("@")
    return ((node, key),)


def _computed_by(tx: Transaction, run: int) -> _Places:
    """Return the partitions of a run's attempts."""
    return tuple(
        (attempt.node, key) for attempt in attempts.of_run(tx, run) for key in attempt.partitions
    )
