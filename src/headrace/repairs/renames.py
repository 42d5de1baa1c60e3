"""Renamed columns: the proposals for a held delivery, and their names in the text of a contract."""

from __future__ import annotations

import io
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.access.agreements import VALUES_DIFFER
from headrace.checks.drift import ColumnRename
from headrace.checks.facts import conversion as undone
from headrace.checks.renames import chosen, pooled
from headrace.lake.sqltext import quote
from headrace.model import Refused, UsageError
from headrace.model.contracts import CONVERT_PROPERTY, NAMES_PROPERTY
from headrace.repairs.rename_rivals import (
    is_undecided,
    rename_evidence,
    rival_rows,
    stored_rivals,
)
from headrace.responses import RefusedRow
from headrace.responses.repairs import DiffersRow, MappingRow
from headrace.sql.parsing import InvalidSelect
from headrace.store import Transaction
from headrace.store.queries import quality as stored
from headrace.store.queries import quarantine as quarantined
from headrace.store.queries.quality import DriftRow

# Proposed renames of a held delivery, based on all intervals held for them, and decisions about
# values that changed with a column.


def proposed_renames(tx: Transaction, source: str, rows: Sequence[DriftRow]) -> list[MappingRow]:
    """Return the proposed renames of a delivery, by the evidence of all intervals held for them."""
    waiting = [row for row in rows if is_undecided(row)]
    if not waiting:
        return []
    held = _held(tx, source, rows)
    renames = {rename.column: rename for rename in _by_all_intervals(waiting, held)}
    return [_with_differences(_pooled_row(row, renames.get(row.column)), held) for row in waiting]


def _pooled_row(row: DriftRow, rename: ColumnRename | None) -> MappingRow:
    """Return a delivery's rename with the score and rivals of all held intervals, if any."""
    mapping = _row(row)
    if rename is None:
        return mapping
    mapping = msgspec.structs.replace(mapping, score=rename.score)
    if rename.rivals or mapping.rivals is not None:
        mapping = msgspec.structs.replace(mapping, rivals=rival_rows(rename.rivals or ()))
    if rename.to == row.to:
        return mapping
    evidence = [*rename.evidence, "by all held intervals"]
    return msgspec.structs.replace(mapping, to=rename.to, evidence=evidence)


def _by_all_intervals(
    waiting: Sequence[DriftRow], held: Sequence[DriftRow]
) -> Sequence[ColumnRename]:
    """Return the likeliest renames of columns, by the pooled evidence of all held intervals.

    Names that only other intervals have aren't this delivery's.
    """
    candidates = {}
    for row in waiting:
        several = [rename_evidence(each).candidates for each in held if each.column == row.column]
        names = {candidate.to for candidate in rename_evidence(row).candidates}
        if pool := [candidate for candidate in pooled(several) if candidate.to in names]:
            candidates[row.column] = pool
    return chosen(candidates)


def _held(tx: Transaction, source: str, rows: Sequence[DriftRow]) -> list[DriftRow]:
    """Return the undecided renames of every held interval of the source, including `rows`."""
    keys = {item.partition for item in quarantined.waiting(tx, node=source)} - {rows[0].partition}
    others = [row for key in sorted(keys) for row in stored.newest_drift(tx, source, key)]
    return [row for row in (*rows, *others) if is_undecided(row)]


def possible_renames(rows: Iterable[DriftRow]) -> set[tuple[str, str]]:
    """Return (column, name) of every rename that a delivery may contain."""
    waiting = [row for row in rows if is_undecided(row)]
    results = {(row.column, row.to or "") for row in waiting}
    return results | {
        (row.column, candidate.to)
        for row in waiting
        for candidate in rename_evidence(row).candidates
    }


def _row(row: DriftRow) -> MappingRow:
    return MappingRow(
        column=row.column,
        to=row.to or "",
        score=None if row.score is None else float(row.score),
        evidence=msgspec.json.decode(row.evidence),
        rivals=stored_rivals(row),
        used_by=msgspec.json.decode(row.used_by),
    )


def with_differences(
    tx: Transaction, source: str, rows: Sequence[DriftRow], mappings: Sequence[MappingRow]
) -> list[MappingRow]:
    """Return a person's pairs with the differences in their values."""
    held = _held(tx, source, rows) if rows else []
    return [_with_differences(mapping, held) for mapping in mappings]


def _with_differences(mapping_row: MappingRow, held: Sequence[DriftRow]) -> MappingRow:
    """Return the mapping with the value differences of the first held interval with its pair."""
    same = [row for row in held if (row.column, row.to) == (mapping_row.column, mapping_row.to)]
    differs = next((results for row in same if (results := rename_evidence(row).differs)), ())
    rows = [
        DiffersRow(
            kind=each.kind.value,
            text=each.text,
            factor=None if each.factor is None else f"{each.factor:g}",
        )
        for each in differs
    ]
    return msgspec.structs.replace(
        mapping_row, differs=rows, proposed=undone(mapping_row.to, differs)
    )


def decided_renames(
    mappings: Sequence[MappingRow], convert: Sequence[str], *, as_is: bool
) -> list[MappingRow]:
    """Return the mappings with decisions about their values.

    `convert` are expressions over the mapped columns, `as_is` accepts all other differing values.
    Raise UsageError for an invalid expression.
    """
    rows = {mapping.to: mapping for mapping in mappings}
    for text in convert:
        name = _converted_column(text, rows)
        rows[name] = msgspec.structs.replace(rows[name], convert=text.strip())
    if as_is:
        for name, row in rows.items():
            if row.convert is None and (row.differs or row.column == row.to):
                rows[name] = msgspec.structs.replace(row, convert=quote(name))
    return [rows[mapping.to] for mapping in mappings]


def _converted_column(text: str, names: Collection[str]) -> str:
    """Return the one of the names that an expression reads; raise UsageError otherwise."""
    from headrace.sql.parsing import parse_conversion  # imports the SQL parser

    try:
        read = parse_conversion(text).columns
    except InvalidSelect as why:
        message = f"--convert {text[:80]!r} can't be used: {why.message}"
        raise UsageError(message, hint=why.hint or "--convert 'amount_cents / 100'") from why
    read_names = [name for name in read if name in names]
    if len(read_names) != 1:
        message = f"--convert {text[:80]!r} must read one of {', '.join(sorted(names))[:200]}"
        raise UsageError(message, hint="headrace contract diff SOURCE shows the names")
    return read_names[0]


def undecided_renames(
    mappings: Sequence[MappingRow], command: str, plan_id: str | None
) -> RefusedRow | None:
    """Return the refusal if values differ without a decision; None otherwise.

    `command` is the command line without the decision.
    """
    open_ones = [mapping for mapping in mappings if mapping.differs and mapping.convert is None]
    if not open_ones:
        return None
    text = "; ".join(
        f"{row.column} → {row.to}: {', '.join(each.text for each in row.differs)}"
        for row in open_ones
    )
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


# Adds vendors' column names to the text of a contract. Everything else stays, comments included.
# Pure.

WIDTH = 10_000
_INDENTS = ((2, 4, 2), (2, 2, 0), (4, 4, 0), (4, 6, 4), (4, 4, 2))
"""Known indentations of files: mappings, lists, and the offset of a list's dash."""


class Renamed(msgspec.Struct, frozen=True):
    """A column, and its name in files from an interval on."""

    column: str
    to: str
    convert: str | None = None
    """The expression over a file's columns that computes the values; None for no decision."""
    until: str | None = None
    """The first later interval without the expression; None if it applies to all."""


def with_names(text: str, table: str, renames: Sequence[Renamed], first: str) -> str:
    """Return the contract's text with mappings from `first` on, until the next existing one.

    Raise Refused if the contract lacks such a column, or if another column has that name then.
    """
    yaml, document = _loaded(text)
    properties = _properties(document, table)
    for rename in renames:
        column = properties.get(rename.column)
        if column is None:
            raise Refused(
                f"the contract has no column {rename.column[:80]!r}",
                hint="add it to the contract, or correct the name",
            )
        if any(
            name_at(other, first) == rename.to
            for name, other in properties.items()
            if name != rename.column
        ):
            raise Refused(
                f"{rename.to[:80]!r} is a column of the contract already: {rename.column[:80]!r}"
                " can't be called so as well",
                hint="take that column out of the contract first, or map another one",
            )
        _put(column, rename.to, first)
        _put_conversion(column, rename.convert, first, rename.until)
    return _dumped(yaml, document)


def name_at(column: Mapping[str, Any], interval: str) -> str:
    """Return the name of a contract's column in the files of an interval."""
    for entry in _entries(column):
        until = entry.get("to")
        if str(entry.get("from")) <= interval and (until is None or interval < str(until)):
            return str(entry.get("name"))
    return str(column.get("physicalName") or column["name"])


def _loaded(text: str) -> tuple[Any, Any]:
    """Return the YAML writer with the file's indentation, and the parsed document."""
    best: tuple[int, Any, Any] | None = None
    for mapping, sequence, offset in _INDENTS:
        yaml = _yaml(mapping, sequence, offset)
        document = yaml.load(text)
        changed = len(set(_dumped(yaml, document).splitlines()) ^ set(text.splitlines()))
        if best is None or changed < best[0]:
            best = (changed, yaml, document)
        if changed == 0:
            break
    assert best is not None
    return best[1], best[2]


def _yaml(mapping: int, sequence: int, offset: int) -> Any:
    from ruamel.yaml import YAML  # takes 40 ms: imported only where YAML is written

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.indent(mapping=mapping, sequence=sequence, offset=offset)
    return yaml


def _dumped(yaml: Any, document: Any) -> str:
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _properties(document: Any, table: str) -> dict[str, Any]:
    """Return column entries by the column's first name in files."""
    tables = document.get("schema") or []
    matching_tables = [
        item for item in tables if table in (item.get("name"), item.get("physicalName"))
    ] or list(tables)[:1]
    if not matching_tables:
        raise Refused("the contract has no schema", hint="headrace contract infer SOURCE shows one")
    return {
        str(item.get("physicalName") or item["name"]): item
        for item in matching_tables[0].get("properties") or ()
    }


def _entries(column: Mapping[str, Any], of: str = NAMES_PROPERTY) -> list[Any]:
    """Return the entries of a property with validity intervals."""
    custom = column.get("customProperties") or ()
    return [
        entry for item in custom if item.get("property") == of for entry in item.get("value") or ()
    ]


def _beginning(entries: Iterable[Any], first: str) -> list[Any]:
    """Return the entries that begin to apply at `first`."""
    return [entry for entry in entries if str(entry.get("from")) == first]


def _interrupted(entries: Iterable[Any], first: str) -> list[Any]:
    """Return the entries that apply before `first` and at `first`."""
    return [
        entry
        for entry in entries
        if str(entry.get("from")) < first
        and (entry.get("to") is None or str(entry.get("to")) > first)
    ]


def _next_start(entries: Iterable[Any], first: str) -> str | None:
    """Return when the first entry after `first` begins to apply; None without one."""
    starts = (str(entry.get("from")) for entry in entries)
    return min((start for start in starts if start > first), default=None)


def _put(column: Any, name: str, first: str) -> None:
    """Insert an entry in order of time: it ends the previous one, and the next one ends it."""
    if name_at(column, first) == name:
        return
    values = _values(column)
    until = _next_start(values, first)
    for entry in _interrupted(values, first):
        entry["to"] = first
    for entry in _beginning(values, first):
        values.remove(entry)
    values.append(_entry("name", name, first, until))


def _put_conversion(column: Any, expression: str | None, first: str, until: str | None) -> None:
    """Insert a conversion; a previous one ends at `first`, because it applied to the old name.

    The previous conversion continues at `until`.
    """
    known = _entries(column, CONVERT_PROPERTY)
    if not known and expression is None:
        return
    values = _values(column, CONVERT_PROPERTY)
    for entry in _beginning(known, first):
        values.remove(entry)
    previous = None
    for entry in _interrupted(values, first):
        previous = _Conversion(str(entry.get("expression")), entry.get("to"))
        entry["to"] = first
    if expression is not None:
        limits = (_next_start(known, first), until)
        ends = min((limit for limit in limits if limit is not None), default=None)
        values.append(_entry("expression", expression, first, ends))
        if until is not None and until == ends and previous is not None:
            values.extend(previous.continued(until))
    if not values:
        _remove_property(column, CONVERT_PROPERTY)


class _Conversion(NamedTuple):
    """A conversion that another one interrupts, with its former end; None without an end."""

    expression: str
    ended: object

    def continued(self, first: str) -> list[Any]:
        """Return the entry that continues the conversion at `first`; none if it ended by then."""
        until = None if self.ended is None else str(self.ended)
        if until is not None and until <= first:
            return []
        return [_entry("expression", self.expression, first, until)]


def _remove_property(column: Any, name: str) -> None:
    custom = column["customProperties"]
    custom.remove(next(item for item in custom if item.get("property") == name))


def _values(column: Any, of: str = NAMES_PROPERTY) -> Any:
    """Return the list of a property with validity intervals; create it if missing."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if not column.get("customProperties"):
        column["customProperties"] = CommentedSeq()
    custom = column["customProperties"]
    for item in custom:
        if item.get("property") == of:
            if not item.get("value"):
                item["value"] = CommentedSeq()
            return item["value"]
    entry = CommentedMap()
    entry["property"], entry["value"] = of, CommentedSeq()
    custom.append(entry)
    return entry["value"]


def _entry(key: str, value: str, first: str, until: str | None) -> Any:
    from ruamel.yaml.comments import CommentedMap

    entry = CommentedMap()
    entry[key], entry["from"] = value, first
    if until is not None:
        entry["to"] = until
    entry.fa.set_flow_style()
    return entry
