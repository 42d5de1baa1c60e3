"""The description of a project that all documentation is written from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from headrace.extension import (
    ALL_COLUMNS,
    SEE,
    Asset,
    ColumnProfile,
    Compiled,
    Contract,
    Duration,
    Lineage,
    Option,
    Project,
    ProjectSession,
    Source,
    VersionRow,
    classified_columns,
    column_classes,
    command,
    compile_lineage,
    hidden,
    incidents,
    node_row,
    project_state,
    rendered,
    status,
    typed_columns,
    usable,
    versions,
)
from headrace_docs.responses.description import (
    AppliedChange,
    DescribedCheck,
    DescribedColumn,
    DescribedConsumer,
    DescribedContract,
    DescribedNode,
    DescribedOwner,
    Description,
    NodeHistory,
    ReadEdge,
    StepRow,
)
from headrace_docs.services.glossary import glossary

WINDOW = "30d"
_PROFILES = msgspec.json.Decoder(dict[str, ColumnProfile]).decode
_NEWEST = (
    "select p.rows, f.columns from publication p left join profile f on f.epoch = p.epoch and"
    " f.n = p.n and f.partition = p.partition and f.node = p.node where p.node = :node and"
    " p.partition = :partition and p.ended_snapshot is null"
)
_OUTCOMES = (
    "select c.name, c.outcome, c.failing from publication p join check_result c on c.epoch ="
    " p.epoch and c.n = p.n and c.partition = p.partition and c.node = p.node where p.node = :node"
    " and p.partition = :partition and p.ended_snapshot is null"
)
_PASSED = (
    "select partition, published_at from publication where node = :node and ended_snapshot is null"
    " and verdict = 'passed' order by partition desc limit 1"
)
_WORKED = (
    "select node, finished_at - started_at from attempt where finished_at > :since and finished_at"
    " <= :until and started_at is not null"
)
Neighbours = Mapping[tuple[str, str], Sequence[StepRow]]
"""(node, column) → the columns beside it."""


@command("docs build", SEE, lists=True)
def describe(
    session: ProjectSession,
    *,
    window: Annotated[
        str, Option("--window", metavar="D", help="over which promises are counted (30d)")
    ] = WINDOW,
    reader: str = "",
) -> Description:
    """Return the applied project as the caller may see it; before the first apply, as declared.

    `reader` names whose rights the session has. Texts are without the values that they mark, for
    every reader: files are passed on to others. Raise UsageError for an invalid window,
    InvalidProject if nothing is applied and the files have errors.
    """
    compiled = session.compiled or usable(session.declared())
    standing = status(session, window=window)
    nodes = _nodes(session, compiled)
    columns = {
        node.name: {column.name.lower(): column.name for column in node.columns} for node in nodes
    }
    terms, problems = glossary(session.root, columns)
    project, limited = compiled.project, session.visible is not None
    by_name = {row.name: row for row in standing.consumers}
    return Description(
        project=project.settings.name,
        env=session.env,
        namespace=_namespace(project),
        timezone=session.timezone,
        at=standing.now,
        observed_at=standing.observed_at,
        version=session.version,
        reader=reader or session.identity.who,
        limited=limited,
        window=window,
        headline=hidden(standing.headline),
        nodes=nodes,
        history=_history(session, [node.name for node in nodes], window),
        consumers=[
            DescribedConsumer(
                name=name,
                domain=declared.domain,
                description=declared.description,
                tags=list(declared.tags),
                importance=declared.importance,
                place=f"{declared.place.file}:{declared.place.line}",
                standing=rendered(by_name[name], hidden),
            )
            for name, declared in sorted(project.consumers.items())
            if name in by_name and session.shows(name)
        ],
        owners=[
            DescribedOwner(
                owner=name, kind=owner.kind, contact=list(owner.contact), manager=owner.manager
            )
            for name, owner in sorted(project.owners.items())
        ],
        incidents=rendered(incidents(session, every=True), hidden),
        terms=terms,
        problems=problems,
        changes=None if limited else _changes(session),
    )


def _namespace(project: Project) -> str:
    """Return the namespace that events of OpenLineage have."""
    name = project.settings.name
    return project.settings.openlineage.get("namespace") or f"headrace://{quote(name, safe='')}"


# Sources and assets


def _nodes(session: ProjectSession, compiled: Compiled) -> list[DescribedNode]:
    """Return the sources and assets that the session shows, by name."""
    project = compiled.project
    names = sorted(name for name in compiled.nodes if session.shows(name))
    standing = _standing(session, names)
    lineage = session.lineage or compile_lineage(compiled, session.data_folder / "cache")
    typed = {name: typed_columns(session, name, compiled) for name in names}
    above, below = _column_lineage(lineage, typed)
    classes = _classes(compiled, lineage, typed, above)
    readers = readers_of(compiled)
    results = []
    for name in names:
        node = project.source_or_asset(name)
        assert node is not None
        stands = standing.get(name, {})
        profiles = _PROFILES(stands.pop("profiles", None) or b"{}")
        outcomes = stands.pop("outcomes", {})
        row = node_row(project, name)
        results.append(
            DescribedNode(
                name=name,
                kind=row.body or row.kind,
                owner=node.owner,
                domain=node.domain,
                description=node.description,
                tags=list(node.tags),
                partition=row.partition,
                materialize=node.materialize if isinstance(node, Asset) else None,
                retain=node.retain,
                place=f"{node.place.file}:{node.place.line}",
                contract=_contract(project.contracts.get(node.contract or name)),
                checks=_checks(node, outcomes),
                columns=_columns(name, typed[name], profiles, classes, (above, below)),
                reads=_reads(compiled, name),
                read_by=readers.get(name, []),
                **{**_NEVER, **stands},
            )
        )
    return results


_NEVER: dict[str, Any] = {
    "state": "never",
    "newest": None,
    "published_at": None,
    "rows": None,
    "verdict": None,
}


def _standing(session: ProjectSession, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the state of each node and of its newest partition, as fields of DescribedNode."""
    if session.store is None or session.compiled is None:
        return {}
    results = {}
    with project_state(session, session.clock.now_us()) as snapshot:
        for name in names:
            stands: dict[str, Any] = {"state": str(snapshot.nodes.states.get(name, "never"))}
            newest = snapshot.facts.newest(name)
            if newest is not None:
                values = {"node": name, "partition": newest.partition}
                rows, profiles = snapshot.tx.execute(_NEWEST, values).fetchone() or (None, None)
                stands |= {
                    "newest": newest.partition,
                    "published_at": session.instant(newest.at_us),
                    "verdict": newest.verdict,
                    "rows": rows,
                    "profiles": profiles,
                    "outcomes": {row[0]: row[1:] for row in snapshot.tx.execute(_OUTCOMES, values)},
                }
            results[name] = stands
    return results


def _history(session: ProjectSession, names: Sequence[str], window: str) -> dict[str, NodeHistory]:
    """Return when each node was right last, and what it took within a window."""
    if session.store is None:
        return {}
    now_us = session.clock.now_us()
    bounds = {"since": Duration.parse(window).before_us(now_us, session.timezone), "until": now_us}
    with session.store.read() as tx:
        worked: dict[str, list[float]] = defaultdict(list)
        for name, took_us in tx.execute(_WORKED, bounds):
            worked[name].append(took_us / 1e6)
        passed = {name: tx.execute(_PASSED, {"node": name}).fetchone() for name in names}
    return {
        name: NodeHistory(
            passed=None if passed[name] is None else passed[name][0],
            passed_at=None if passed[name] is None else session.instant(passed[name][1]),
            attempts=len(took),
            median_seconds=round(median(took), 3) if took else None,
            total_seconds=round(sum(took), 3),
        )
        for name, took in ((name, worked.get(name, [])) for name in names)
        if took or passed[name] is not None
    }


def _checks(node: Source | Asset, outcomes: Mapping[str, tuple[str, int]]) -> list[DescribedCheck]:
    """Return the checks of a node with their outcomes in its newest partition."""
    rows = []
    for check in node.checks:
        outcome, failing = outcomes.get(check.name, (None, None))
        rows.append(
            DescribedCheck(
                name=check.name,
                kind=check.kind,
                severity=check.severity.value,
                outcome=outcome,
                failing=failing,
            )
        )
    return rows


def _contract(contract: Contract | None) -> DescribedContract | None:
    if contract is None:
        return None
    return DescribedContract(
        name=contract.name,
        version=contract.version,
        status=contract.status,
        service=[
            " ".join(filter(None, (level.property, level.value, level.unit)))
            for level in contract.service
        ],
        unenforced=list(contract.unenforced),
    )


def _classes(
    compiled: Compiled,
    lineage: Lineage,
    typed: Mapping[str, Sequence[tuple[str, str]]],
    above: Neighbours,
) -> dict[tuple[str, str], str]:
    """Return the class of each column that is classified, or computed from such columns.

    A computed one has the classes of the columns that it comes from, as far as they are visible.
    """
    limited = classified_columns(compiled, lineage)
    classes: dict[tuple[str, str], str] = {}
    for name in (name for name in compiled.order if name in typed):
        declared = column_classes(compiled.project, name)
        for column in (column.lower() for column, _ in typed[name]):
            if column in declared:
                classes[name, column] = declared[column].name
            elif not limited[name].isdisjoint({column, ALL_COLUMNS}):
                classes[name, column] = _inherited(above[name, column], classes)
    return classes


def _inherited(steps: Sequence[StepRow], classes: Mapping[tuple[str, str], str]) -> str:
    keys = [(step.node, step.column.lower()) for step in steps]
    origins = {origin for key in keys if key in classes for origin in classes[key].split(", ")}
    return ", ".join(sorted(origins)) or "classified"


def _columns(
    name: str,
    typed: Sequence[tuple[str, str]],
    profiles: Mapping[str, ColumnProfile],
    classes: Mapping[tuple[str, str], str],
    beside: tuple[Neighbours, Neighbours],
) -> list[DescribedColumn]:
    above, below = beside
    rows = []
    for column, kind in typed:
        key = (name, column.lower())
        profile, classification = profiles.get(column), classes.get(key)
        rows.append(
            DescribedColumn(
                name=column,
                type=kind,
                classification=classification,
                masked=classification is not None,
                profiled=None if profile is None else profile.rows,
                nulls=None if profile is None else profile.nulls,
                distinct=None if profile is None else profile.distinct,
                comes_from=list(above.get(key, ())),
                goes_into=list(below.get(key, ())),
            )
        )
    return rows


# Lineage by node and by column


def _reads(compiled: Compiled, name: str) -> list[ReadEdge]:
    node = compiled.nodes[name]
    inputs = [(spec.node, spec.mode.value) for spec in node.inputs]
    edges = dict([*((other, "depends") for other in node.depends), *inputs])
    return [ReadEdge(node=other, mode=mode) for other, mode in sorted(edges.items())]


def readers_of(compiled: Compiled) -> dict[str, list[ReadEdge]]:
    """Return who reads each node: assets, then consumers, each by name.

    The mode of an asset that only waits for a node is `depends`, of a consumer `consumer`.
    """
    readers: dict[str, list[ReadEdge]] = defaultdict(list)
    for name in sorted(compiled.nodes):
        for edge in _reads(compiled, name):
            readers[edge.node].append(ReadEdge(node=name, mode=edge.mode))
    for name, consumer in sorted(compiled.project.consumers.items()):
        for read in dict.fromkeys(text.partition(".")[0] for text in consumer.reads):
            readers[read].append(ReadEdge(node=name, mode="consumer"))
    return readers


def _column_lineage(
    lineage: Lineage, typed: Mapping[str, Sequence[tuple[str, str]]]
) -> tuple[Neighbours, Neighbours]:
    """Return which columns each column is computed from directly, and the same from below."""
    above: dict[tuple[str, str], list[StepRow]] = {}
    below: dict[tuple[str, str], list[StepRow]] = defaultdict(list)
    for name, columns in typed.items():
        for column, _ in columns:
            steps = {
                (node, other): transformation.value
                for node, other, transformation in reversed(list(lineage.deciding(name, column)))
            }
            rows = [
                StepRow(node=node, column=other, transformation=how)
                for (node, other), how in sorted(steps.items())
            ]
            above[name, column.lower()] = rows
            for row in rows:
                step = StepRow(node=name, column=column, transformation=row.transformation)
                below[row.node, row.column.lower()].append(step)
    return above, below


# Applied versions


def _changes(session: ProjectSession) -> list[AppliedChange]:
    rows = versions(session)
    return list(applied_changes(rows, rows))


def applied_changes(
    rows: Sequence[VersionRow], among: Sequence[VersionRow]
) -> Iterator[AppliedChange]:
    """Yield some versions with the files that differ from the one before, newest first."""
    chosen = {row.version for row in among}
    befores = [*rows[1:], None] if rows else []
    for row, before in zip(rows, befores, strict=True):
        if row.version not in chosen:
            continue
        old = {} if before is None else {file.path: file.sha256 for file in before.files}
        new = {file.path: file.sha256 for file in row.files}
        at: datetime = row.at
        yield AppliedChange(
            version=row.version,
            at=at,
            by=row.by,
            plan_id=row.plan_id,
            added=sorted(new.keys() - old.keys()),
            changed=sorted(path for path in new.keys() & old.keys() if new[path] != old[path]),
            removed=sorted(old.keys() - new.keys()),
        )
