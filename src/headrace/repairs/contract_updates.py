"""The change of a contract that accepts a vendor's new column names: what would be written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from headrace.checks.facts import DriftKind, FactSeverity
from headrace.model import ProjectError, Refused, Source, UsageError
from headrace.model.contracts import SUFFIX
from headrace.model.partitions import command_line, partition_argument
from headrace.project.session import ProjectSession
from headrace.repairs.contract_texts import FOLDER, contract_text, pinned_of, source_of
from headrace.repairs.incident_rows import ID, found_in, number_of
from headrace.repairs.renames import (
    Renamed,
    decided_renames,
    possible_renames,
    proposed_renames,
    with_differences,
    with_names,
)
from headrace.responses.repairs import MappingRow
from headrace.store import Transaction
from headrace.store.queries import publications
from headrace.store.queries import quality as stored
from headrace.store.queries import quarantine as quarantined
from headrace.store.queries.quality import DriftRow, FactRow


class ValueDecision(msgspec.Struct, frozen=True):
    """A person's decision about values that changed.

    Either conversions (expressions over the delivery's columns), or to accept the values as they
    are.
    """

    convert: tuple[str, ...] = ()
    as_is: bool = False
    reason: str | None = None


UNDECIDED = ValueDecision()


class ContractUpdate(msgspec.Struct, frozen=True):
    """The contract change about to be written."""

    source: Source
    first: str
    mappings: tuple[MappingRow, ...]
    path: Path
    """Path of the contract, relative to the project."""
    before: str | None
    """The contract's current text; None if it doesn't exist."""
    after: str


def prepared(
    session: ProjectSession,
    target: str,
    pairs: Sequence[str] = (),
    decision: ValueDecision = UNDECIDED,
) -> ContractUpdate:
    """Return what accepting would write.

    Raise Refused if nothing is proposed, a name is taken, or the contract belongs to another
    source.
    """
    source, key = source_of(session, _place(session, target))
    schema = pinned_of(session, source)
    with session.existing_store.read() as tx:
        key, rows = _drifted(tx, source, key)
        known = proposed_renames(tx, source.name, rows)
        if pairs:
            named = _named(pairs, rows, known, schema.names)
            mappings = with_differences(tx, source.name, rows, named)
        else:
            mappings = known or _nothing_proposed(source, key, rows)
        mappings = decided_renames(mappings, decision.convert, as_is=decision.as_is)
        first = _first(tx, source.name, key, mappings)
        renames = tuple(_renamed(tx, source.name, first, mapping) for mapping in mappings)
    project = session.project()
    contract = project.contracts.get(source.contract or source.name)
    path = (
        Path(contract.place.file)
        if contract is not None
        else Path(FOLDER, f"{source.name}{SUFFIX}")
    )
    before = _read(session.root / path) if contract is not None else None
    text = before if before is not None else contract_text(source.name, schema, {}, 0)
    table = contract.name if contract is not None else source.name
    after = with_names(text, table, renames, first)
    return ContractUpdate(source, first, tuple(mappings), path, before, after)


def _place(session: ProjectSession, target: str) -> str:
    """Return `SOURCE@K` as given, or the place of an incident's cause."""
    if not ID.fullmatch(target) or session.store is None:
        return target
    with session.store.read() as tx:
        incident = found_in(tx, number_of(target))
    return f"{incident.node}@{incident.partition}" if incident.partition else incident.node


def _drifted(tx: Transaction, source: Source, key: str | None) -> tuple[str, list[DriftRow]]:
    """Return the partition to accept renames for, and the drift of its newest delivery.

    Without a key, it is the source's first held partition with drift.
    """
    if key is None:
        held = [
            item.partition
            for item in quarantined.waiting(tx, node=source.name)
            if stored.newest_drift(tx, source.name, item.partition)
        ]
        if not held:
            raise Refused(
                f"no delivery of {source.name} is held because its columns changed",
                hint="headrace quarantine",
            )
        key = held[0]
    return key, stored.newest_drift(tx, source.name, key)


def _renamed(tx: Transaction, source: str, first: str, row: MappingRow) -> Renamed:
    """Return a rename as it is written; a new name ends an old name's conversion by itself."""
    until = _agreed_again(tx, source, first, row.column) if row.to == row.column else None
    return Renamed(row.column, row.to, row.convert, until)


def _agreed_again(tx: Transaction, source: str, first: str, column: str) -> str | None:
    """Return the next published interval after `first`; None if it isn't in the agreed unit.

    It is in that unit if it lacks the difference found in `first`, and if no differing delivery of
    `first` was published before it. Otherwise the history for its comparison differs as well, and
    the absence of a finding proves nothing.
    """
    following = publications.next_with_rows(tx, source, first)
    published = publications.current(tx, source, following) if following is not None else None
    if following is None or published is None:
        return None
    differing = [row for row in stored.facts_of(tx, source, first) if _difference(row, column)]
    if {row.delivery_id for row in differing} & publications.deliveries_before(
        tx, source, first, published.id
    ):
        return None
    differences = {_difference(row, column) for row in differing}
    later = [
        row
        for row in stored.facts_of(tx, source, following)
        if row.delivery_id == published.delivery_id
    ]
    is_alike = any(_difference(row, column) in differences for row in later)
    return following if differences and not is_alike else None


def _difference(fact: FactRow, column: str) -> str:
    """Return what a fact says about a column: the anomaly's kind, or the failing blocking check.

    A check names no column. Empty if the fact is about something else.
    """
    if fact.column == column:
        return fact.kind
    return (
        fact.detail
        if fact.severity == FactSeverity.HOLD and fact.detail.startswith("check ")
        else ""
    )


def _nothing_proposed(source: Source, key: str, rows: Sequence[DriftRow]) -> NoReturn:
    name = partition_argument(source.name, key)
    dropped = next((row.column for row in rows if row.kind == DriftKind.DROPPED), None)
    if dropped is not None:
        raise Refused(
            f"no rename is proposed for {name}: nothing new is like {dropped[:80]!r}",
            hint=(
                "name the pair:"
                f" {command_line('contract', 'accept', name, '--map', f'{dropped[:80]}=NEW NAME')}"
            ),
        )
    raise Refused(
        f"no rename is proposed for {name}",
        hint=f"{command_line('quarantine', name)} says what is wrong with it",
    )


def _named(
    pairs: Sequence[str],
    rows: Sequence[DriftRow],
    proposals: Sequence[MappingRow],
    pinned: Sequence[str],
) -> list[MappingRow]:
    """Return a person's pairs, completed by the proposals for other columns.

    A column may be paired with its own name to decide what its values mean.
    """
    mapping_rows = _typed_pairs(pairs)
    _require_applicable(mapping_rows.values(), rows, pinned)
    new_names = {row.to for row in mapping_rows.values()}
    known = {proposal.column: proposal for proposal in proposals}
    used = {row.column: msgspec.json.decode(row.used_by, type=list[str]) for row in rows}
    named_rows = [
        msgspec.structs.replace(row, used_by=used.get(row.column, []))
        for row in mapping_rows.values()
    ]
    proposed_rows = [
        row for name, row in known.items() if name not in mapping_rows and row.to not in new_names
    ]
    return [*named_rows, *proposed_rows]


def _require_applicable(
    mapping_rows: Collection[MappingRow], rows: Sequence[DriftRow], pinned: Sequence[str]
) -> None:
    """Raise Refused for a pair of unknown columns, and UsageError for one name of two columns."""
    if rows:
        _require_pairs([row for row in mapping_rows if row.column != row.to], rows)
    for row in mapping_rows:
        if row.column == row.to and row.column not in pinned:
            raise Refused(
                f"the source has no column {row.column[:80]!r}",
                hint="headrace contract show SOURCE",
            )
    if len({row.to for row in mapping_rows}) < len(mapping_rows):
        raise UsageError(
            "one name is given to two columns", hint="--map COLUMN=NEW_NAME, each once"
        )


def _typed_pairs(pairs: Sequence[str]) -> dict[str, MappingRow]:
    """Return column → its mapping as typed; raise UsageError for text that isn't a pair."""
    mapping_rows: dict[str, MappingRow] = {}
    for pair in pairs:
        column, sign, name = pair.partition("=")
        if not sign or not column or not name:
            raise UsageError(f"{pair[:80]!r} names no pair", hint="--map COLUMN=NEW_NAME")
        mapping_rows[column] = MappingRow(
            column=column, to=name, evidence=["named by hand"], used_by=[]
        )
    return mapping_rows


def _require_pairs(mapping_rows: Iterable[MappingRow], rows: Sequence[DriftRow]) -> None:
    """Require that each pair's column is missing from the delivery, and that its name is new there.

    Otherwise a mistyped pair would hold the next ingestion again.
    """
    missing_columns = {
        row.column for row in rows if row.kind in (DriftKind.DROPPED, DriftKind.RENAMED)
    }
    new_columns = {row.column for row in rows if row.kind == DriftKind.ADDED} | {
        row.to for row in rows if row.kind == DriftKind.RENAMED
    }
    at = partition_argument(rows[0].source, rows[0].partition)
    for mapping_row in mapping_rows:
        if mapping_row.column not in missing_columns:
            raise Refused(
                f"the delivery of {at} doesn't lack {mapping_row.column[:80]!r}",
                hint=f"{command_line('contract', 'diff', at)} says what it lacks",
            )
        if mapping_row.to not in new_columns:
            raise Refused(
                f"the delivery of {at} has no new column {mapping_row.to[:80]!r}",
                hint=f"{command_line('contract', 'diff', at)} says what is new",
            )


def _first(tx: Transaction, source: str, key: str, mappings: Sequence[MappingRow]) -> str:
    """Return the first held interval, up to this one, that arrived with the same names."""
    accepted_renames = {(mapping.column, mapping.to) for mapping in mappings}
    first = key
    for item in quarantined.waiting(tx, node=source):
        rows = stored.newest_drift(tx, source, item.partition)
        if item.partition < first and accepted_renames <= possible_renames(rows):
            first = item.partition
    return first


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path} can't be read: {error}", hint="look at the file") from error
