"""Evidence of changes that people applied, and of exceptions, in force and lapsed."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Sequence

import msgspec

from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.diagnosis.local_causes import BODIES, BODY
from headrace.model import Consumer, Project, Source
from headrace.model.connectors import FORMAT_FIELDS
from headrace.plan import Compiled
from headrace.plan.comparison import changes, renames
from headrace.slo.declared_promises import WHOLE
from headrace.slo.obligations import EvaluationContext
from headrace.store.queries import applied_versions, exceptions, publications, quarantine
from headrace.store.queries import evidence as stored
from headrace.store.queries.evidence import ACCEPTED, LAPSED
from headrace.store.queries.exceptions import ExceptionRecord
from headrace.store.transaction import Transaction

# A new version of a node's code, contract, checks or promise was applied. A change is evidence only
# along with other evidence: it never opens an incident by itself.

CHANGES_MAX = 500
KIND = "version"
"""Prefix of the ids of this evidence."""
NATS = 2.0


def gather(tx: Transaction, after: int) -> tuple[list[Evidence], int]:
    """Return the changes of the versions after one, and the newest version.

    What the first version added isn't a change.
    """
    newest = applied_versions.newest_id(tx)
    if newest <= max(after, 0):
        return [], newest
    results = (
        [
            evidence
            for number in range(max(after, 1) + 1, newest + 1)
            for evidence in of_version(tx, number)
        ]
        if after
        else []
    )
    return results[:CHANGES_MAX], newest


def of_version(tx: Transaction, number: int) -> Iterator[Evidence]:
    """Yield the changes of a version; none for the first."""
    before, now = applied_versions.get(tx, number - 1), applied_versions.get(tx, number)
    if before is None or now is None:
        return
    kinds: dict[str, list[str]] = {}
    columns: dict[str, str] = {}
    was, new = _compiled(before.compiled), _compiled(now.compiled)
    moved = sorted(set(_moved(was.project, new.project)))
    addressed = {
        name for name in moved if _address(name, was.project) != _address(name, new.project)
    }
    for name in moved:
        kinds[name] = ["connection"]
    for change in changes(was, new):
        if kinds.get(change.node) == ["connection"]:
            kinds[change.node] = []
        kinds.setdefault(change.node, []).append(change.change.value)
        if change.columns:
            columns.setdefault(change.node, "\n".join(change.columns))
    for node, what in kinds.items():
        yield Evidence(
            id=f"{KIND}:{number}:{node}",
            node=node,
            family=Family.CHANGE,
            column=columns.get(node, ""),
            observed=f"{', '.join(dict.fromkeys(what))} changed by {now.actor}",
            strength=NATS,
            held=False,
            at_us=now.applied_at,
            detail=what[0],
            same_place=node not in moved and node in {*was.project.sources, *was.project.consumers},
            added=node in new.project.sources and node not in was.project.sources,
            readdressed=node in addressed and publications.any_of(tx, node),
        )


def dropped_checks(tx: Transaction, after: int) -> dict[str, set[str]]:
    """Return node → its checks that were declared in a version and aren't in the newest."""
    before, newest = (
        applied_versions.get(tx, after),
        applied_versions.get(tx, applied_versions.newest_id(tx)),
    )
    if before is None or newest is None:
        return {}
    old, new = _compiled(before.compiled), _compiled(newest.compiled)
    was, now = old.project, new.project
    renamed = {former: name for name, former in renames(old, new).items()}
    results = {}
    for former, asset in was.assets.items():
        name = renamed.get(former, former)
        left = {check.name for check in now.assets[name].checks} if name in now.assets else set()
        results[name] = {check.name for check in asset.checks} - left
    return {name: checks for name, checks in results.items() if checks}


def proven(tx: Transaction, evidence: Evidence) -> bool:
    """Return whether the target in a consumer's change has been written since.

    Then later failures aren't the declaration's fault.
    """
    return publications.any_since_version(tx, evidence.node, _version(evidence))


def _version(evidence: Evidence) -> int:
    return int(evidence.id.split(":")[1])


def computed_since(
    tx: Transaction, changed: Sequence[Evidence], lost: Collection[str]
) -> Iterator[Evidence]:
    """Yield the code changes of nodes in `lost` whose code has computed published partitions.

    These assets lost workers. Code counts until it was changed again; old and new changes are
    included.
    """
    if not lost:
        return
    before = (content for node, content in stored.active_of(tx, KIND).values() if node in lost)
    known = [*(msgspec.msgpack.decode(content, type=Evidence) for content in before), *changed]
    of_code = sorted(
        (evidence for evidence in known if evidence.node in lost and evidence.detail in BODIES),
        key=_version,
    )
    for at, evidence in enumerate(of_code):
        if evidence.proven:
            continue
        again = _first_version(of_code[at + 1 :], evidence.node)
        if publications.any_since_version(tx, evidence.node, _version(evidence), again):
            yield msgspec.structs.replace(evidence, proven=True)


def _first_version(later: Iterable[Evidence], node: str) -> int | None:
    """Return the version of the first of these changes that is about a node, if any is."""
    return next((_version(change) for change in later if change.node == node), None)


def outlived(tx: Transaction, exports: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield (node, id) of the active changes of exports that are `proven`."""
    for id_, (node, content) in stored.active_of(tx, KIND).items():
        if node in exports and proven(tx, msgspec.msgpack.decode(content, type=Evidence)):
            yield node, id_


def taken_back(tx: Transaction, changed: Sequence[Evidence]) -> Iterator[Evidence]:
    """Yield the code changes of assets whose code is again that of their newest publication.

    No other code has published anything for readers in between.
    """
    names = {evidence.node for evidence in changed if evidence.detail == BODY}
    now = applied_versions.get(tx, applied_versions.newest_id(tx)) if names else None
    back = {
        name for name in names if now is not None and _is_back(tx, name, _compiled(now.compiled))
    }
    if back:
        active = (
            msgspec.msgpack.decode(content, type=Evidence)
            for _, content in stored.active_of(tx, KIND).values()
        )
        yield from (
            evidence
            for evidence in (*active, *changed)
            if evidence.node in back and evidence.detail == BODY
        )


def matters_still(tx: Transaction, evidence: Evidence) -> bool:
    """Return whether a node has other active evidence that was seen since a change.

    Then the change may be the cause although it was reverted.
    """
    active = (
        msgspec.msgpack.decode(content, type=Evidence)
        for content in stored.active_contents(tx, evidence.node)
    )
    return any(each.family is not Family.CHANGE and each.at_us >= evidence.at_us for each in active)


def _is_back(tx: Transaction, name: str, now: Compiled) -> bool:
    publication = publications.newest(tx, name)
    if publication is None or publications.any_since_version(tx, name, publication.version + 1):
        return False
    before = applied_versions.get(tx, publication.version)
    return before is not None and _is_equal(name, _compiled(before.compiled), now)


def _is_equal(name: str, was: Compiled, now: Compiled) -> bool:
    """Return whether an asset's code is the same in two versions."""
    asset = name in was.project.assets and name in now.project.assets
    return asset and was.nodes[name].fingerprint == now.nodes[name].fingerprint


def _moved(was: Project, now: Project) -> Iterator[str]:
    """Yield sources and consumers with another location, schedule or connection than before."""
    for name, source in now.sources.items():
        before = was.sources.get(name)
        if before is not None and _observation_settings(before, was) != _observation_settings(
            source, now
        ):
            yield name
    for name, consumer in now.consumers.items():
        target = was.consumers.get(name)
        if target is not None and _target(target, was) != _target(consumer, now):
            yield name


def _observation_settings(source: Source, project: Project) -> tuple[object, ...]:
    """Return where and when a source is observed; its format and promise don't count."""
    when = (source.partition, source.timezone, source.calendar, source.start, source.every)
    return (*_source_address(source, project), *when, source.complete)


def _address(name: str, project: Project) -> tuple[object, ...]:
    """Return where a source is read; empty for any other node."""
    source = project.sources.get(name)
    return () if source is None else _source_address(source, project)


def _source_address(source: Source, project: Project) -> tuple[object, ...]:
    """Return a source's files, or its server with the request."""
    connector = {key: value for key, value in source.connector.items() if key not in FORMAT_FIELDS}
    name = connector.get("connection")
    connection = project.settings.connections.get(name) if isinstance(name, str) else None
    return (source.files, connector, connection)


def _target(consumer: Consumer, project: Project) -> tuple[object, ...]:
    """Return where a consumer's export goes."""
    export = {key: value for key, value in (consumer.export or {}).items() if key != "place"}
    name = export.get("connection")
    connection = project.settings.connections.get(name) if isinstance(name, str) else None
    return (export, connection, consumer.per, consumer.timezone)


def _compiled(content: bytes) -> Compiled:
    return msgspec.msgpack.decode(content, type=Compiled)


# Exceptions. Once one has lapsed, readers still see data that nobody accepts any more, so what held
# it before the exception holds again. Until then it warns: assets may fail over the data.

LAPSED_NATS = 12.0


def gather_exceptions(
    tx: Transaction, context: EvaluationContext, now: int, accepted_since: int
) -> dict[str, list[Evidence]]:
    """Return the evidence that held publications before they were accepted, by kind.

    `LAPSED` exceptions hold again. `ACCEPTED` are those in force that were made since a time.
    """
    results: dict[str, list[Evidence]] = {LAPSED: [], ACCEPTED: []}
    for record in exceptions.exceptions_in_force(tx):
        lapsed = record.lapsed(now)
        if record.node not in context.declared.nodes or not (lapsed or record.at >= accepted_since):
            continue
        kind = LAPSED if lapsed else ACCEPTED
        at_us = record.until if lapsed and record.until is not None else record.at
        results[kind] += [
            msgspec.structs.replace(
                before,
                id=f"{kind}:{record.id}:{place}",
                at_us=at_us,
                began_us=at_us,
                held=lapsed,
                history=0,
                repeated=False,
                lapsed=record.actor if lapsed else "",
                accepted="" if lapsed else record.actor,
            )
            for place, before in enumerate(_held_evidence(tx, record))
        ]
    return results


def _held_evidence(tx: Transaction, record: ExceptionRecord) -> list[Evidence]:
    """Return the evidence of a hold, or the reason in quarantine if the evidence was deleted."""
    row = quarantine.get(tx, record.quarantine_id)
    key = "" if record.partition == WHOLE else record.partition
    attempt = "" if row is None else f"{row.epoch}.{row.n}"
    results = [
        msgspec.msgpack.decode(content, type=Evidence)
        for content in stored.held_contents(tx, record.node, key, attempt)
    ]
    if results:
        return results
    reason = row.reason if row is not None else "why it waited isn't known any more"
    return [
        Evidence(
            id="",
            node=record.node,
            partition=key,
            family=Family.CHECK,
            observed=reason,
            strength=LAPSED_NATS,
            at_us=record.at,
            error_kind="held" if row is None else row.state,
        )
    ]
