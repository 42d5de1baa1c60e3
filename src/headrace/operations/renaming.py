"""Proposed renames of a held delivery: decided by all intervals that are held for them, and what a
person decides about values that aren't what they were."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

import msgspec

from headrace.model import UsageError
from headrace.operations.contract_responses import DiffersRow, MappingRow
from headrace.operations.plan_refusals import VALUES_DIFFER
from headrace.operations.responses import RefusedRow
from headrace.quality.facts import DriftKind, Policy, RenameFindings
from headrace.quality.renames import chosen, pooled
from headrace.quality.value_changes import conversion as undone
from headrace.sql.parsing import InvalidSelect
from headrace.store import Transaction
from headrace.store.queries import drift as stored
from headrace.store.queries import quarantine as quarantined
from headrace.store.queries.drift import DriftRow


def proposed(tx: Transaction, source: str, rows: Sequence[DriftRow]) -> list[MappingRow]:
    """The renames that a delivery waits for, by the evidence of every interval that is held for them."""
    waiting = [row for row in rows if _waits(row)]
    if not waiting:
        return []
    held = _held(tx, source, rows)
    candidates = {row.column: pooled([measured(each).candidates for each in held if each.column == row.column]) for row in waiting}
    renames = {rename.column: rename for rename in chosen({k: v for k, v in candidates.items() if v})}
    mapping_rows = []
    for row in waiting:
        rename = renames.get(row.column)
        mapping = _row(row)
        if rename is not None and rename.to != row.to:
            mapping = msgspec.structs.replace(
                mapping, to=rename.to, score=rename.score, evidence=[*rename.evidence, "by all held intervals"]
            )
        elif rename is not None:
            mapping = msgspec.structs.replace(mapping, score=rename.score)
        mapping_rows.append(_with_differences(mapping, held))
    return mapping_rows


def _held(tx: Transaction, source: str, rows: Sequence[DriftRow]) -> list[DriftRow]:
    """The renames of every held interval of the source, these among them."""
    keys = {item.partition for item in quarantined.waiting(tx, node=source)} - {rows[0].partition}
    others = [row for key in sorted(keys) for row in stored.newest_drift(tx, source, key)]
    return [row for row in (*rows, *others) if _waits(row)]


def _waits(row: DriftRow) -> bool:
    return row.kind == DriftKind.RENAMED and row.policy != Policy.MAP and row.to is not None


def measured(row: DriftRow) -> RenameFindings:
    """What a rename was decided by; nothing of one that was found by its spelling alone."""
    return RenameFindings() if row.measured is None else msgspec.json.decode(row.measured, type=RenameFindings)


def possible(rows: Iterable[DriftRow]) -> set[tuple[str, str]]:
    """(column, name) of all renames that a delivery could mean."""
    waiting = [row for row in rows if _waits(row)]
    results = {(row.column, row.to or "") for row in waiting}
    return results | {(row.column, candidate.to) for row in waiting for candidate in measured(row).candidates}


def _row(row: DriftRow) -> MappingRow:
    return MappingRow(
        column=row.column,
        to=row.to or "",
        score=None if row.score is None else float(row.score),
        evidence=msgspec.json.decode(row.evidence),
        used_by=msgspec.json.decode(row.used_by),
    )


def with_differences(tx: Transaction, source: str, rows: Sequence[DriftRow], mappings: Sequence[MappingRow]) -> list[MappingRow]:
    """The same of pairs that a person named."""
    held = _held(tx, source, rows) if rows else []
    return [_with_differences(mapping, held) for mapping in mappings]


def _with_differences(mapping_row: MappingRow, held: Sequence[DriftRow]) -> MappingRow:
    """With what the first interval found that came to the same pair."""
    same = [row for row in held if (row.column, row.to) == (mapping_row.column, mapping_row.to)]
    differs = next((results for row in same if (results := measured(row).differs)), ())
    rows = [
        DiffersRow(
            kind=each.kind.value,
            text=each.text,
            factor=None if each.factor is None else f"{each.factor:g}",
        )
        for each in differs
    ]
    return msgspec.structs.replace(mapping_row, differs=rows, proposed=undone(mapping_row.to, differs))


def decided(mappings: Sequence[MappingRow], convert: Sequence[str], *, as_is: bool) -> list[MappingRow]:
    """The mappings with what somebody decided about their values. UsageError for an expression that
    isn't one over the columns that are mapped."""
    rows = {mapping.to: mapping for mapping in mappings}
    for text in convert:
        from headrace.sql.conversions import conversion  # it loads the SQL parser

        try:
            read = conversion(text).columns
        except InvalidSelect as why:
            said = f"--convert {text[:80]!r} can't be used: {why.message}"
            raise UsageError(said, hint=why.hint or "--convert 'amount_cents / 100'") from why
        own = [name for name in read if name in rows]
        if len(own) != 1:
            said = f"--convert {text[:80]!r} must read one of {', '.join(sorted(rows))[:200]}"
            raise UsageError(said, hint="headrace contract diff SOURCE shows the names")
        rows[own[0]] = msgspec.structs.replace(rows[own[0]], convert=text.strip())
    if as_is:
        for name, row in rows.items():
            if row.convert is None and (row.differs or row.column == row.to):
                rows[name] = msgspec.structs.replace(row, convert=_quoted(name))
    return [rows[mapping.to] for mapping in mappings]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def undecided(mappings: Sequence[MappingRow], command: str, plan_id: str | None) -> RefusedRow | None:
    """What has to be decided about values before names are accepted; `command` is what is typed, without
    its decision."""
    open_ones = [mapping for mapping in mappings if mapping.differs and mapping.convert is None]
    if not open_ones:
        return None
    text = "; ".join(f"{row.column} → {row.to}: {', '.join(each.text for each in row.differs)}" for row in open_ones)
    known = [row.proposed for row in open_ones if row.proposed is not None]
    converts = " ".join(f"--convert {shlex.quote(item)}" for item in known)
    complete = len(known) == len(open_ones)
    commands = [f"{command} {converts}"] if complete else [f"{command} --convert EXPRESSION"]
    return RefusedRow(
        code=VALUES_DIFFER,
        plan_id_now=plan_id or "",
        files=[],
        changed=[],
        text=f"the names alone aren't accepted, because the values differ: {text}",
        commands=[*commands, f"{command} --as-is"],
    )
