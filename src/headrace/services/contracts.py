"""`contract show`, `contract diff` and the history of a node's contract, with their responses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from difflib import SequenceMatcher
from typing import Annotated

import msgspec

from headrace.access.contract_agreements import agreements_of, newest_agreements
from headrace.access.permissions import SEE, command
from headrace.compiler.lineage import compile_lineage
from headrace.connect import SourceSchema
from headrace.model import Asset, Contract, Project, Source, UsageError
from headrace.model.errors import Report
from headrace.model.files import FileKind
from headrace.model.parsing import parse_text
from headrace.plan.contracts import (
    ContractChange,
    VersionLevel,
    contract_changes,
    level_of,
    next_version,
)
from headrace.project import targets
from headrace.project.parameters import Argument
from headrace.project.session import ProjectSession, usable
from headrace.repairs.rename_rivals import stored_rivals
from headrace.responses import LearntRow, Response
from headrace.responses.incidents import RivalRow
from headrace.responses.plans import AgreementGivenRow
from headrace.services import deliveries
from headrace.store import Transaction
from headrace.store.queries import applied_versions, ingestion, quality
from headrace.store.queries.applied_versions import FileVersion

# Responses of `contract show` and `contract diff`.


class ContractColumnRow(Response, frozen=True, kw_only=True):
    """A column of the contract, or of the pinned schema if there is no contract.

    `names` are the column's names in delivered files, each with its first interval.
    """

    name: str
    type: str | None
    required: bool
    unique: bool
    primary_key: bool
    classification: str | None
    names: list[dict[str, str]]
    used_by: list[str]


class ContractRuleRow(Response, frozen=True, kw_only=True):
    """A quality rule, as a check."""

    name: str
    kind: str
    severity: str


class ServiceRow(Response, frozen=True, kw_only=True):
    """One of the contract's service levels."""

    property: str
    value: str
    unit: str


class ContractShowResponse(Response, frozen=True, kw_only=True):
    """`contract show`: the contract of a source or an asset.

    Without a contract (`version` is null), it is the schema of the first delivery.
    """

    node: str
    kind: str
    contract: str | None
    version: str | None
    status: str | None
    file: str | None
    pinned_by: str | None
    columns: list[ContractColumnRow]
    rules: list[ContractRuleRow]
    service: list[ServiceRow]
    unenforced: list[str] = msgspec.field(default_factory=list)
    """What the contract says of quality and service without a check that covers it."""
    learnt: LearntRow | None = None
    """Of a published source: the deliveries that its columns were learnt from."""
    agreed: list[AgreementGivenRow] = msgspec.field(default_factory=list)
    """Who agreed to the last change by which it took something back that other domains read, if it
    is among the newest 50 approvals."""


class ContractChangeRow(Response, frozen=True, kw_only=True):
    """One change.

    Of a delivery, with its policy and the users of the column; of a contract's file, with the part
    of the version number that it increments (`takes`).
    """

    kind: str
    column: str
    to: str | None
    score: str | None
    evidence: list[str]
    rivals: list[RivalRow] | None = None
    """Of a delivery's rename: other new columns that came close; null where they weren't
    compared."""
    policy: str | None
    used_by: list[str]
    takes: str | None


class ContractDiffResponse(Response, frozen=True, kw_only=True):
    """`contract diff`: how a delivery, and the declared files, differ from the applied contract.

    `partition` is the delivery's. The contract's version changes from `applied` to `declared`,
    which should be at least `needs`.
    """

    source: str
    partition: str | None
    at: datetime | None
    changes: list[ContractChangeRow]
    breaking: bool
    applied: str | None
    declared: str | None
    needs: str | None


# A node's contract, and the differences from it.


@command(
    "contract",
    SEE,
    of="node",
    http="GET /contract/{node} contract",
    of_files=True,
    session="contract",
)
def show(
    session: ProjectSession, node: Annotated[str, Argument("NODE", help="a source or an asset")]
) -> ContractShowResponse:
    """Return a source's or an asset's declared contract, else its pinned schema.

    Raise UsageError for another node.
    """
    compiled = usable(session.declared())
    name, _ = targets.target(node, compiled.project)
    declared = compiled.project.node(name)
    assert isinstance(declared, Source | Asset)
    contract = compiled.project.contracts.get(declared.contract or "")
    pinned = _pinned(session, name)
    if pinned is not None:
        pinned = deliveries.with_visible_names(compiled.project, name, pinned)
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    columns = _columns(contract, pinned)
    users = {
        column.name: [*assets, *consumers]
        for column in columns
        for assets, consumers in (lineage.users(name, [column.name]),)
    }
    return ContractShowResponse(
        node=name,
        kind="source" if isinstance(declared, Source) else "asset",
        contract=contract.name if contract else None,
        version=contract.version if contract else None,
        status=contract.status if contract else None,
        file=contract.place.file if contract else None,
        pinned_by=pinned.pinned_by if pinned else None,
        columns=[msgspec.structs.replace(column, used_by=users[column.name]) for column in columns],
        rules=[
            ContractRuleRow(name=spec.name, kind=spec.kind, severity=spec.severity.value)
            for spec in (contract.checks if contract else ())
        ],
        service=[
            ServiceRow(property=level.property, value=level.value, unit=level.unit)
            for level in (contract.service if contract else ())
        ],
        unenforced=list(contract.unenforced) if contract else [],
        learnt=deliveries.learned_schema(compiled.project, name, pinned) if pinned else None,
        agreed=newest_agreements(session, name),
    )


def _pinned(session: ProjectSession, name: str) -> SourceSchema | None:
    if session.store is None:
        return None
    with session.store.read() as tx:
        result = ingestion.pinned_schema(tx, name)
    return msgspec.json.decode(result, type=SourceSchema) if result else None


def _columns(contract: Contract | None, pinned: SourceSchema | None) -> list[ContractColumnRow]:
    """Return the contract's columns, then further columns of the pinned schema."""
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
    seen = (
        [column for column in pinned.columns if column.name.lower() not in known] if pinned else []
    )
    return rows + [
        ContractColumnRow(
            name=column.name,
            type=column.type,
            required=False,
            unique=False,
            primary_key=False,
            classification=None,
            names=[],
            used_by=[],
        )
        for column in seen
    ]


@command(
    "contract diff",
    SEE,
    of="node",
    http="GET /contract/{node}/diff contract_diff",
    of_files=True,
    session="contract_diff",
)
def diff(
    session: ProjectSession, node: Annotated[str, Argument("NODE", help="a source")]
) -> ContractDiffResponse:
    """Return how the last drifted delivery and the declared contract differ from the applied one.

    `SOURCE@K` selects the delivery of that interval. Raise UsageError for an unknown node.
    """
    declared = usable(session.declared()).project
    name, partition = targets.target(node, declared)
    rows = _drifted(session, name, partition)
    was, now = (
        _contract(session.compiled.project if session.compiled else None, name),
        _contract(declared, name),
    )
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


def _drifted(session: ProjectSession, name: str, partition: str | None) -> list[quality.DriftRow]:
    if session.store is None:
        return []
    with session.store.read() as tx:
        return quality.newest_drift(tx, name, partition)


def _contract(project: Project | None, name: str) -> Contract | None:
    node = project.node(name) if project else None
    return (
        project.contracts.get(node.contract or "")
        if project and isinstance(node, Source | Asset)
        else None
    )


def _of_delivery(row: quality.DriftRow) -> ContractChangeRow:
    evidence, users = (
        msgspec.json.decode(text, type=list[str]) for text in (row.evidence, row.used_by)
    )
    return ContractChangeRow(
        kind=row.kind,
        column=row.column,
        to=row.to,
        score=row.score,
        evidence=evidence,
        rivals=stored_rivals(row),
        policy=row.policy,
        used_by=users,
        takes=None,
    )


def of_contract(change: ContractChange) -> ContractChangeRow:
    """Return a difference of two contracts as a row of a response."""
    return ContractChangeRow(
        kind=change.kind,
        column=change.column,
        to=change.to,
        score=None,
        evidence=[change.said],
        policy=None,
        used_by=[],
        takes=change.level.name.lower(),
    )


# The applied versions of a contract, and the changes between two of them.

VERSIONS_MAX = 200
"""Maximum number of the project's versions searched, newest first."""
LINES_MAX = 5_000
"""Maximum number of lines for a line diff; longer contracts are compared by their changes only."""


class ContractVersionRow(Response, frozen=True, kw_only=True):
    """A version of the project in which the contract changed.

    `declared` is the contract's own version, null if the text is no contract.
    """

    version: int
    at: datetime
    by: str
    declared: str | None
    status: str | None
    agreed: list[AgreementGivenRow] = msgspec.field(default_factory=list)
    """Who agreed to what this version takes back, for which domains that read it."""


class LineRow(Response, frozen=True, kw_only=True):
    """A line of both texts (`same`), of the earlier (`removed`), or of the later (`added`)."""

    kind: str
    text: str


class ContractHistoryResponse(Response, frozen=True, kw_only=True):
    """The versions of a node's contract, newest first, and two of them compared.

    `earlier` is null if `later` is the first version.
    """

    node: str
    contract: str | None
    file: str | None
    versions: list[ContractVersionRow]
    earlier: int | None
    later: int | None
    changes: list[ContractChangeRow]
    breaking: bool
    lines: list[LineRow]


@command(
    "contract versions",
    SEE,
    of="node",
    http="GET /contract/{node}/versions contract_versions",
    session="contract_versions",
)
def contract_history(
    session: ProjectSession,
    node: Annotated[str, Argument("NODE")],
    earlier: int | None = None,
    later: int | None = None,
) -> ContractHistoryResponse:
    """Return the contract's versions, and two of them compared: by default the two newest.

    Raise UsageError for an unknown node or version.
    """
    project = session.project()
    name, _ = targets.target(node, project)
    declared = project.node(name)
    contract = project.contracts.get(getattr(declared, "contract", None) or "")
    if contract is None or session.store is None:
        return _response(name, contract, [], (None, None), (None, None), ("", ""))
    with session.store.read() as tx:
        versions = applied_versions.file_changes(tx, contract.place.file, VERSIONS_MAX)
        chosen = _pair(versions, earlier, later)
        texts = {version.version: _text(tx, version) for version in versions}
        agreed = {
            version.version: agreements_of(session, tx, version.plan_id, name)
            for version in versions
        }
    read = {version: _read(contract.place.file, text) for version, text in texts.items()}
    rows = [
        _row(session, version, read[version.version], agreed[version.version])
        for version in versions
    ]
    was, now = chosen
    pair = (read.get(was) if was is not None else None, read.get(now) if now is not None else None)
    return _response(
        name, contract, rows, chosen, pair, (texts.get(was or 0, ""), texts.get(now or 0, ""))
    )


def _response(
    name: str,
    contract: Contract | None,
    rows: list[ContractVersionRow],
    chosen: tuple[int | None, int | None],
    pair: tuple[Contract | None, Contract | None],
    texts: tuple[str, str],
) -> ContractHistoryResponse:
    was, now = pair
    changes = contract_changes(was, now) if was is not None and now is not None else []
    return ContractHistoryResponse(
        node=name,
        contract=None if contract is None else contract.name,
        file=None if contract is None else contract.place.file,
        versions=rows,
        earlier=chosen[0],
        later=chosen[1],
        changes=[of_contract(change) for change in changes],
        breaking=level_of(changes) is VersionLevel.MAJOR,
        lines=list(_compared(*texts)),
    )


def _pair(
    versions: list[FileVersion], earlier: int | None, later: int | None
) -> tuple[int | None, int | None]:
    known = [version.version for version in versions]
    for version in (earlier, later):
        if version is not None and version not in known:
            raise UsageError(
                f"the contract didn't change in version {version}",
                hint=f"those that changed it: {known[:9]}",
            )
    now = later if later is not None else next(iter(known), None)
    before = next((version for version in known if now is not None and version < now), None)
    return earlier if earlier is not None else before, now


def _text(tx: Transaction, version: FileVersion) -> str:
    return (
        applied_versions.file_text(tx, version.hash) if version.hash is not None else None
    ) or ""


def _read(file: str, text: str) -> Contract | None:
    return next(iter(parse_text(FileKind.CONTRACT, text, Report(file)).contracts), None)


def _row(
    session: ProjectSession,
    version: FileVersion,
    contract: Contract | None,
    agreed: list[AgreementGivenRow],
) -> ContractVersionRow:
    declared, status = (None, None) if contract is None else (contract.version, contract.status)
    return ContractVersionRow(
        version=version.version,
        at=session.instant(version.applied_at),
        by=version.actor,
        declared=declared,
        status=status,
        agreed=agreed,
    )


def _compared(was: str, now: str) -> Iterator[LineRow]:
    """Yield the line diff of two texts, in order."""
    old, new = was.splitlines(), now.splitlines()
    if max(len(old), len(new)) > LINES_MAX:
        return
    for tag, old_from, old_to, new_from, new_to in SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            yield from (LineRow(kind="same", text=line) for line in old[old_from:old_to])
            continue
        yield from (LineRow(kind="removed", text=line) for line in old[old_from:old_to])
        yield from (LineRow(kind="added", text=line) for line in new[new_from:new_to])
