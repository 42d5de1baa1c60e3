"""`contract show` and `contract diff`: what a node is held to, and what differs from it."""

from __future__ import annotations

import msgspec

from headrace.connect import SourceSchema
from headrace.model import Asset, Contract, Project, Source
from headrace.operations import lessons, targets
from headrace.operations.contract_showing import (
    ContractChangeRow,
    ContractColumnRow,
    ContractDiffResponse,
    ContractRuleRow,
    ContractShowResponse,
    ServiceRow,
)
from headrace.operations.session import ProjectSession, usable
from headrace.plan import compile_lineage
from headrace.plan.contracting import ContractChange, VersionLevel, contract_changes, level_of, next_version
from headrace.store.queries import arriving, drift


def show(session: ProjectSession, target: str) -> ContractShowResponse:
    """What a source or an asset is held to: its contract as the files say it, else what is pinned. UsageError for another target."""
    compiled = usable(session.declared())
    name, _ = targets.target(target, compiled.project)
    node = compiled.project.node(name)
    assert isinstance(node, Source | Asset)
    contract = compiled.project.contracts.get(node.contract or "")
    pinned = _pinned(session, name)
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    columns = _columns(contract, pinned)
    users = {column.name: [*assets, *consumers] for column in columns for assets, consumers in (lineage.users(name, [column.name]),)}
    return ContractShowResponse(
        node=name,
        kind="source" if isinstance(node, Source) else "asset",
        contract=contract.name if contract else None,
        version=contract.version if contract else None,
        status=contract.status if contract else None,
        file=contract.place.file if contract else None,
        pinned_by=pinned.pinned_by if pinned else None,
        columns=[msgspec.structs.replace(column, used_by=users[column.name]) for column in columns],
        rules=[
            ContractRuleRow(name=spec.name, kind=spec.kind, severity=spec.severity.value) for spec in (contract.checks if contract else ())
        ],
        service=[
            ServiceRow(property=level.property, value=level.value, unit=level.unit) for level in (contract.service if contract else ())
        ],
        learnt=lessons.of_schema(name, pinned) if pinned else None,
    )


def _pinned(session: ProjectSession, name: str) -> SourceSchema | None:
    if session.store is None:
        return None
    with session.store.read() as tx:
        result = arriving.pinned_schema(tx, name)
    return msgspec.json.decode(result, type=SourceSchema) if result else None


def _columns(contract: Contract | None, pinned: SourceSchema | None) -> list[ContractColumnRow]:
    """The contract's columns, then what deliveries have besides."""
    promised = contract.columns if contract else ()
    rows = [
        ContractColumnRow(
            name=column.name,
            type=column.type,
            required=column.required,
            unique=column.unique,
            primary_key=column.primary_key,
            classification=column.classification,
            names=[{key: str(value) for key, value in entry.items()} for entry in column.names],
            used_by=[],
        )
        for column in promised
    ]
    known = {column.name.lower() for column in promised}
    seen = [column for column in pinned.columns if column.name.lower() not in known] if pinned else []
    return rows + [
        ContractColumnRow(
            name=column.name, type=column.type, required=False, unique=False, primary_key=False, classification=None, names=[], used_by=[]
        )
        for column in seen
    ]


def diff(session: ProjectSession, target: str) -> ContractDiffResponse:
    """How the last delivery that drifted (of `SOURCE@K`: that interval's) differs from what was expected, and what the files change of
    the contract that is applied. UsageError for a target that there isn't."""
    declared = usable(session.declared()).project
    name, partition = targets.target(target, declared)
    rows = _drifted(session, name, partition)
    was, now = _contract(session.compiled.project if session.compiled else None, name), _contract(declared, name)
    changes = contract_changes(was, now) if was and now else []
    level = level_of(changes)
    return ContractDiffResponse(
        source=name,
        partition=rows[0].partition if rows else partition,
        at=session.instant(rows[0].at) if rows else None,
        changes=[*map(_of_delivery, rows), *map(of_contract, changes)],
        breaking=any(row.policy == "block" for row in rows) or level is VersionLevel.MAJOR,
        applied=was.version if was else None,
        declared=now.version if now else None,
        needs=next_version(was.version, level) if was and level is not VersionLevel.NONE else None,
    )


def _drifted(session: ProjectSession, name: str, partition: str | None) -> list[drift.DriftRow]:
    if session.store is None:
        return []
    with session.store.read() as tx:
        return drift.newest_drift(tx, name, partition)


def _contract(project: Project | None, name: str) -> Contract | None:
    node = project.node(name) if project else None
    return project.contracts.get(node.contract or "") if project and isinstance(node, Source | Asset) else None


def _of_delivery(row: drift.DriftRow) -> ContractChangeRow:
    evidence, users = (msgspec.json.decode(text, type=list[str]) for text in (row.evidence, row.used_by))
    return ContractChangeRow(
        kind=row.kind, column=row.column, to=row.to, score=row.score, evidence=evidence, policy=row.policy, used_by=users, takes=None
    )


def of_contract(change: ContractChange) -> ContractChangeRow:
    """A difference of two contracts, as documents have it."""
    return ContractChangeRow(
        kind=change.kind, column=change.column, to=change.to, score=None, evidence=[change.said], policy=None, used_by=[],
        takes=change.level.name.lower(),
    )  # fmt: skip
