"""A contract's versions, as they were applied, and what is promised otherwise from one of them to another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from difflib import SequenceMatcher
from itertools import pairwise

from headrace.model import Contract, UsageError
from headrace.model.files import FileKind
from headrace.model.parsing import parse_text
from headrace.model.reporting import Report
from headrace.operations import targets
from headrace.operations.contract import of_contract
from headrace.operations.contract_showing import ContractChangeRow
from headrace.operations.responses import Response
from headrace.operations.session import ProjectSession
from headrace.plan.contracting import VersionLevel, contract_changes, level_of
from headrace.store import Transaction
from headrace.store.queries import applied_files
from headrace.store.queries.applied_files import FileVersion

VERSIONS_MAX = 200
"""So many of the project's newest versions are looked through."""
LINES_MAX = 5_000
"""Of texts that are longer no lines are compared: a contract of ten thousand columns is read by its changes."""


class ContractVersionRow(Response, frozen=True, kw_only=True):
    """A version of the project in which the contract changed; `declared` is the contract's own, null of a text that is none."""

    version: int
    at: datetime
    by: str
    declared: str | None
    status: str | None


class LineRow(Response, frozen=True, kw_only=True):
    """A line of both texts (`same`), of the earlier only (`removed`), or of the later only (`added`)."""

    kind: str
    text: str


class ContractHistoryResponse(Response, frozen=True, kw_only=True):
    """The versions of a node's contract, newest first, and two of them compared: `earlier` (null: there was none) with `later`."""

    node: str
    contract: str | None
    file: str | None
    versions: list[ContractVersionRow]
    earlier: int | None
    later: int | None
    changes: list[ContractChangeRow]
    breaking: bool
    lines: list[LineRow]


def contract_history(session: ProjectSession, target: str, earlier: int | None, later: int | None) -> ContractHistoryResponse:
    """The newest version beside the one before it, unless others are named. UsageError for a node or a version that there isn't."""
    project = session.project()
    name, _ = targets.target(target, project)
    node = project.node(name)
    contract = project.contracts.get(getattr(node, "contract", None) or "")
    if contract is None or session.store is None:
        return _response(name, contract, [], (None, None), (None, None), ("", ""))
    with session.store.read() as tx:
        versions = _changed(tx, contract.place.file)
        chosen = _pair(versions, earlier, later)
        texts = {version.version: _text(tx, version) for version in versions}
    read = {version: _read(contract.place.file, text) for version, text in texts.items()}
    rows = [_row(session, version, read[version.version]) for version in versions]
    was, now = chosen
    pair = (read.get(was) if was is not None else None, read.get(now) if now is not None else None)
    return _response(name, contract, rows, chosen, pair, (texts.get(was or 0, ""), texts.get(now or 0, "")))


def _response(
    name: str, contract: Contract | None, rows: list[ContractVersionRow], chosen: tuple[int | None, int | None],
    pair: tuple[Contract | None, Contract | None], texts: tuple[str, str],
) -> ContractHistoryResponse:  # fmt: skip
    was, now = pair
    changes = contract_changes(was, now) if was is not None and now is not None else []
    return ContractHistoryResponse(
        node=name, contract=None if contract is None else contract.name, file=None if contract is None else contract.place.file,
        versions=rows, earlier=chosen[0], later=chosen[1], changes=[of_contract(change) for change in changes],
        breaking=level_of(changes) is VersionLevel.MAJOR, lines=list(_compared(*texts)),
    )  # fmt: skip


def _changed(tx: Transaction, file: str) -> list[FileVersion]:
    """The versions in which the file was written or changed, newest first."""
    versions = applied_files.of_file(tx, file, VERSIONS_MAX)
    return [
        version
        for version, older in pairwise([*versions, None])
        if version is not None and version.hash and (older is None or version.hash != older.hash)
    ]


def _pair(versions: list[FileVersion], earlier: int | None, later: int | None) -> tuple[int | None, int | None]:
    known = [version.version for version in versions]
    for version in (earlier, later):
        if version is not None and version not in known:
            raise UsageError(f"the contract didn't change in version {version}", hint=f"those that changed it: {known[:9]}")
    now = later if later is not None else next(iter(known), None)
    before = next((version for version in known if now is not None and version < now), None)
    return earlier if earlier is not None else before, now


def _text(tx: Transaction, version: FileVersion) -> str:
    return (applied_files.text(tx, version.hash) if version.hash is not None else None) or ""


def _read(file: str, text: str) -> Contract | None:
    return next(iter(parse_text(FileKind.CONTRACT, text, Report(file)).contracts), None)


def _row(session: ProjectSession, version: FileVersion, contract: Contract | None) -> ContractVersionRow:
    declared, status = (None, None) if contract is None else (contract.version, contract.status)
    return ContractVersionRow(
        version=version.version, at=session.instant(version.applied_at), by=version.actor, declared=declared, status=status
    )


def _compared(was: str, now: str) -> Iterator[LineRow]:
    """The lines of both, in order."""
    old, new = was.splitlines(), now.splitlines()
    if max(len(old), len(new)) > LINES_MAX:
        return
    for tag, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from (LineRow(kind="same", text=line) for line in old[old_from:old_to])
            continue
        yield from (LineRow(kind="removed", text=line) for line in old[old_from:old_to])
        yield from (LineRow(kind="added", text=line) for line in new[new_from:new_to])
