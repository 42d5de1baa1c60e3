"""Drift of a delivery and its consequence: read unchanged, read differently, or held.

There is one `Drifting` per delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.checks.drift import (
    ColumnRename,
    DriftRules,
    Expected,
    NameComparison,
    blocks,
    changes_of,
    changes_text,
    compare,
    doubled_column,
    known_names,
)
from headrace.checks.facts import DriftChange, DriftKind, Policy
from headrace.connect import Drift, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.deliveries import WRONG_ENCODING, BadColumn, Inside
from headrace.connect.formats.registry import FileHeader, reader
from headrace.connect.formats.structures import now_known
from headrace.connect.prepared import PreparedDelivery
from headrace.connect.schemas import Adapted
from headrace.connect.text_files import (
    LEGACY,
    expected_encoding,
    legacy_encoding,
    other_readings,
)
from headrace.lake import LakeColumn
from headrace.lake.types import parse, widens, widens_where_exact
from headrace.model.texts import marked
from headrace.runtime.messages import IngestTask
from headrace.runtime.steps.conversions import conversions
from headrace.runtime.steps.expected_schemas import (
    declared_at,
    delivered_names,
    unagreed,
    with_contract,
    with_dates,
)

READINGS_MAX = 5
"""Most ways in which a delivery is read before it is held."""
NESTED = ("STRUCT", "LIST", "MAP", "JSON")

Proposing = Callable[[Sequence[str], Sequence[str], Sequence[str]], Sequence[ColumnRename]]
"""Dropped columns, new columns, the whole header → the probable renames."""


class Drifting:
    """Compares a delivery with what is expected of its interval, and remembers every change."""

    def __init__(self, task: IngestTask, propose: Proposing) -> None:
        self._task, self._propose = task, propose
        self._interval = task.found.partition
        self._rules = DriftRules(
            policies=task.source.on_drift,
            used=task.used,
            required=frozenset(
                column.name
                for column in task.promised or ()
                if column.required or column.primary_key
            ),
            typed=frozenset(column.name for column in task.promised or () if column.type),
        )
        self.declared_at = declared_at(task.promised or ())
        self._of_names: dict[tuple[str, ...], tuple[DriftChange, ...]] = {}
        self._of_values: dict[tuple[DriftKind, str], DriftChange] = {}
        self.pinned = (
            None
            if task.pinned is None
            else with_contract(task.pinned, task.promised or (), task.table)
        )
        """Schema for the next reading; None while nothing is pinned."""
        self._unagreed = (
            frozenset[str]()
            if task.pinned is None
            else unagreed(task.pinned, task.promised or (), task.table)
        )
        """Columns that only the table has: they aren't expected.

        If one is delivered, it may be the new name of another column.
        """
        self.undecided: Drift | None = None
        """The reading of a file in an encoding that is one of several that may be right."""
        self.as_is: dict[str, str] = {}
        """Columns whose changed values are accepted as they are → the first interval with them."""

    # -- names

    def begin(self) -> None:
        """Start a new reading of the delivery."""
        self._of_names.clear()

    def adapt(self, header: FileHeader) -> Adapted | Drift:
        """Return the mapping of a file's column names; a Drift if a user must decide first."""
        compared = compare(self._expected(), header.names, header.doubled)
        changes = self._changed_names(compared, header)
        self._of_names[header.names] = changes
        if blocks(changes):
            return Drift(compared.dropped, compared.added, changes_text(changes))
        mapped = [change for change in changes if change.policy is Policy.MAP]
        names = {**compared.names, **_renamed_to(mapped)}
        names |= self._table_only_names(header, names)
        converted = conversions(self._task.promised or (), self._interval, names, header.names)
        if isinstance(converted, Drift):
            return converted
        self.as_is = converted.as_is
        if self._task.pinned is None:  # the first file defines the columns
            return Adapted(names, computed=converted.computed)
        added = tuple(name for name in compared.added if name not in names)
        return Adapted(names, added, converted.computed)

    def _changed_names(
        self, compared: NameComparison, header: FileHeader
    ) -> tuple[DriftChange, ...]:
        """Return the changes of a file's names, with proposed renames."""
        unclear = dict(compared.doubled)
        candidates = [name for name in compared.added if name not in unclear]
        renames: Sequence[ColumnRename] = ()
        if compared.dropped and candidates:
            renames = self._propose(compared.dropped, candidates, header.names)
        return tuple(
            change
            for change in changes_of(compared, self._rules, renames)
            if change.kind is not DriftKind.ADDED or change.column not in self._unagreed
        )

    def as_if_decided(self, header: FileHeader) -> Adapted | Drift:
        """Return what `adapt` does, with undecided names taken as what they probably are.

        Columns are renamed as proposed, and dropped ones stay missing. Returns a Drift if most of
        the expected columns are unknown.
        """
        adapted = self.adapt(header)
        if isinstance(adapted, Adapted):
            return adapted
        expected = self._expected()
        compared = compare(expected, header.names, header.doubled)
        changes = self._of_names[header.names]
        if compared.doubled or compared.clashes or 2 * len(compared.names) < len(expected):
            return adapted
        names = {**compared.names, **_renamed_to(changes)}
        names |= self._table_only_names(header, names)
        return Adapted(names, tuple(name for name in compared.added if name not in names))

    def _table_only_names(self, header: FileHeader, names: Mapping[str, str]) -> dict[str, str]:
        """Return the file's columns that only the table has, unless mapped to another one."""
        return {name: name for name in header.names if name in self._unagreed and name not in names}

    @property
    def renamed(self) -> dict[str, DriftChange]:
        """Columns that a file has under another name, certain or probable."""
        result = (change for changes in self._of_names.values() for change in changes)
        return {change.column: change for change in result if change.kind is DriftKind.RENAMED}

    @property
    def missing_columns(self) -> frozenset[str]:
        """Columns that a file lacks and that no other column replaces."""
        return frozenset(change.column for change in self._dropped)

    @property
    def unmissed(self) -> frozenset[str]:
        """Those of `missing_columns` that nobody uses."""
        return self.missing_columns - {change.column for change in self._dropped if change.used_by}

    @property
    def _dropped(self) -> Iterator[DriftChange]:
        return (
            change
            for changes in self._of_names.values()
            for change in changes
            if change.kind is DriftKind.DROPPED
        )

    def _expected(self) -> list[Expected]:
        contract = {column.name: column for column in self._task.promised or ()}
        if self.pinned is None:
            return [
                Expected(name=column.name, names=known_names(column, self._interval))
                for column in contract.values()
            ]
        since, until = dict(self.pinned.since), dict(self.pinned.until)
        return [
            Expected(
                name=name,
                names=known_names(contract[name], self._interval) if name in contract else (),
                optional=name in self.pinned.optional
                or self._interval < since.get(name, "")
                or _past(self._interval, until.get(name)),
            )
            for name in self.pinned.names
            if name not in self._unagreed
        ]

    # -- values and formats

    def reread(self, why: Drift | TypeDrift | UnreadableFile, path: Path) -> SourceSchema | None:
        """Return the schema to read the delivery with next; None if it must be held or rejected."""
        if isinstance(why, TypeDrift):
            return self._other_values(why, self.pinned)
        if self.pinned is None:
            return None
        if isinstance(why, UnreadableFile):
            return self._recoded(why, path)
        if why.reads_as is None:
            return None
        self._of_names.clear()  # another delimiter gave other names than the file has
        return self._accepted(DriftKind.FORMAT, "", why.detail, why.reads_as)

    def _recoded(self, why: UnreadableFile, path: Path) -> SourceSchema | None:
        assert self.pinned is not None
        if why.code != WRONG_ENCODING or not reader(self.pinned.format.kind).recodable:
            return None
        encoding = legacy_encoding(path)
        if encoding is None or encoding == self.pinned.format.recode:
            return None
        form = msgspec.structs.replace(self.pinned.format, recode=encoding)
        reads_as = msgspec.structs.replace(self.pinned, format=form)
        expected = expected_encoding(self._task.source.connector, self.pinned)
        detail = f"the encoding is {encoding.upper()} instead of {expected.upper()} ({why.reason})"
        doubt = other_readings(path) if encoding == LEGACY else ""
        if doubt:
            detail = f"the encoding isn't {expected.upper()}, and isn't certain: {doubt}"
        setting = f"{self.pinned.format.kind}: {{encoding: {encoding}}}"
        hint = f"declare the right encoding, such as {setting}" if doubt else ""
        chosen = self._accepted(DriftKind.FORMAT, "", detail, reads_as, hint)
        self.undecided = Drift(detail=f"{detail}; {hint}") if hint and chosen is None else None
        return chosen

    def _other_values(self, why: TypeDrift, pinned: SourceSchema | None) -> SourceSchema | None:
        """Return a schema for values that don't have their types, or None to hold them.

        They are read in another format or a wider type, or left out. While nothing is pinned, they
        are held.
        """
        if pinned is None:
            self._remember_blocked(self._of_type(bad, "") for bad in why.columns)
            return None
        now = _types(why.reads_as) if why.reads_as is not None else {}
        same_types = all(now.get(bad.column, bad.type) == bad.type for bad in why.columns)
        if why.reads_as is not None and now and same_types:
            return self._another_format(why, why.reads_as, pinned)
        changes = [self._of_type(bad, now.get(bad.column, "")) for bad in why.columns]
        if blocks(changes) or self._remembers(changes):
            self._remember_blocked(changes)
            return None
        self._remember(changes)
        return self._read_widely(
            pinned, {bad.column: now.get(bad.column, "") for bad in why.columns}
        )

    def _remember(self, changes: Iterable[DriftChange]) -> None:
        self._of_values |= {(change.kind, change.column): change for change in changes}

    def _remember_blocked(self, changes: Iterable[DriftChange]) -> None:
        self._remember(msgspec.structs.replace(change, policy=Policy.BLOCK) for change in changes)

    def _remembers(self, changes: Iterable[DriftChange]) -> bool:
        """Whether an earlier reading has met one of the changes: its new schema didn't help."""
        return any((change.kind, change.column) in self._of_values for change in changes)

    def _another_format(
        self, why: TypeDrift, reads_as: SourceSchema, pinned: SourceSchema
    ) -> SourceSchema | None:
        swapped = _day_and_month_swapped(pinned, reads_as)
        mappable = not swapped or self._task.accepted
        changes = [
            DriftChange(
                kind=DriftKind.FORMAT,
                column=bad.column,
                to=_written(reads_as, bad.type),
                evidence=(
                    _example(bad),
                    *(["day and month have changed places"] if swapped else []),
                ),
                policy=self._rules.policy(DriftKind.FORMAT, bad.column, mappable=mappable),
                used_by=self._rules.users(bad.column),
            )
            for bad in why.columns
        ]
        again = self._remembers(changes)
        self._remember(changes)
        return None if blocks(changes) or again else reads_as

    def _of_type(self, bad: BadColumn, now: str) -> DriftChange:
        nested = (
            now.partition("(")[0] in NESTED
            or now.endswith("]")
            or bad.type.partition("(")[0] in NESTED
        )
        kind = DriftKind.NESTED if nested else DriftKind.TYPE
        wider = bool(now) and self._widens(bad.column, bad.type, now)
        return DriftChange(
            kind=kind,
            column=bad.column,
            to=now or None,
            evidence=(
                bad.value if nested and not bad.line else _example(bad),
                *([f"type widened from {bad.type} to {now}"] if wider else []),
                *([bad.hint] if bad.hint else []),
            ),
            policy=self._rules.policy(kind, bad.column, mappable=wider),
            used_by=self._rules.users(bad.column),
            was=bad.type,
        )

    def as_before(self, why: TypeDrift) -> SourceSchema | None:
        """Return the schema with the types from before the contract declared others.

        None if a column has the type of the last published delivery.
        """
        if self._task.pinned is None or self.pinned is None:
            return None
        before = _types(self._task.pinned)
        bad = {column.column: column.type for column in why.columns}
        if not all(
            name in self.declared_at and before.get(name, is_) != is_ for name, is_ in bad.items()
        ):
            return None
        columns = tuple(
            LakeColumn(
                column.name, before[column.name] if column.name in bad else column.type, column.id
            )
            for column in self.pinned.columns
        )
        return msgspec.structs.replace(self.pinned, columns=columns)

    def declared_otherwise(self, why: TypeDrift, before: SourceSchema) -> TypeDrift:
        """Return the drift attributed to types that the contract newly declares.

        The delivery is as it was expected `before`. The changes of these columns are marked with
        their declaration.
        """
        types = _types(before)
        evidence_by_column = self._declared_anew(why, before)
        for at, change in list(self._of_values.items()):
            if change.column in evidence_by_column:
                self._of_values[at] = msgspec.structs.replace(
                    change,
                    to=types[change.column],
                    declared=self.declared_at[change.column],
                    evidence=(*change.evidence, evidence_by_column[change.column]),
                )
        return msgspec.structs.replace(
            why, reason="; ".join((why.reason, *dict.fromkeys(evidence_by_column.values())))
        )

    def read_as_always(self, why: TypeDrift, before: SourceSchema) -> None:
        """Allow changes of the format that result from a type newly declared by the contract.

        The delivery is as expected `before`, so the vendor has changed nothing.
        """
        evidence_by_column = self._declared_anew(why, before)
        for at, change in list(self._of_values.items()):
            if change.column in evidence_by_column and change.policy is Policy.MAP:
                evidence = (*change.evidence, evidence_by_column[change.column])
                self._of_values[at] = msgspec.structs.replace(
                    change, policy=Policy.ALLOW, evidence=evidence
                )

    def _declared_anew(self, why: TypeDrift, before: SourceSchema) -> dict[str, str]:
        """Return column → sentence on the contract's type now and the type `before`."""
        types = _types(before)
        return {
            column.column: (
                f"{self.declared_at[column.column]} declares {column.type} now; it was"
                f" {types[column.column]} before"
            )
            for column in why.columns
        }

    def _widens(self, column: str, was: str, now: str) -> bool:
        """Whether all values of the column so far stay the same in the other type."""
        if was == now:
            return False
        return widens(parse(was), parse(now)) or (
            column in self._task.exact and widens_where_exact(parse(was), parse(now))
        )

    def _read_widely(self, pinned: SourceSchema, now: dict[str, str]) -> SourceSchema:
        """Return the schema with wider types where possible.

        Values that fit no wider type are left out.
        """
        types = {column.name: now[column.name] for column in pinned.columns if now.get(column.name)}
        wider = {
            column.name
            for column in pinned.columns
            if column.name in types and self._widens(column.name, column.type, types[column.name])
        }
        columns = tuple(
            LakeColumn(
                column.name, types[column.name] if column.name in wider else column.type, column.id
            )
            for column in pinned.columns
        )
        left_out = [
            column.name
            for column in pinned.columns
            if column.name in now and column.name not in wider
        ]
        form = msgspec.structs.replace(pinned.format, lenient=(*pinned.format.lenient, *left_out))
        return msgspec.structs.replace(pinned, columns=columns, format=form)

    def _accepted(
        self,
        kind: DriftKind,
        column: str,
        detail: str,
        schema: SourceSchema,
        hint: str = "",
    ) -> SourceSchema | None:
        """Return `schema` if the policy maps this change of the whole file; None otherwise.

        None too if the change was mapped before: then the new schema didn't help.
        """
        mappable = not hint or self._task.accepted
        policy = self._rules.policy(kind, column, mappable=mappable)
        known = (kind, f"{column}{detail}") in self._of_values
        self._of_values[kind, f"{column}{detail}"] = DriftChange(
            kind=kind,
            column=column,
            evidence=(detail, hint) if hint else (detail,),
            policy=policy,
        )
        return None if known or policy is Policy.BLOCK else schema

    # -- results

    def changes(
        self, result: PreparedDelivery | Drift | TypeDrift | UnreadableFile
    ) -> tuple[DriftChange, ...]:
        """Return each change of the delivery's files once.

        For a delivery that can't be read, the changes that prevented it first.
        """
        if isinstance(result, PreparedDelivery):
            parts = result.parts or (result,)
            read = [
                self._of_names.get(part.header_names, self._at_first(part.header)) for part in parts
            ]
        elif isinstance(result, UnreadableFile):  # an unreadable file has no names
            read = []
        else:
            read = [next((name for name in self._of_names.values() if blocks(name)), ())]
        drift_changes = {
            (change.kind, change.column, change.to): change
            for changes in read
            for change in changes
        }
        return (*drift_changes.values(), *self._of_values.values())

    def _at_first(self, header: FileHeader) -> tuple[DriftChange, ...]:
        """Return the doubled names of a first file, for which no columns are expected yet."""
        if self._task.pinned is not None or self._task.promised:
            return ()
        return tuple(
            doubled_column(name, why, Policy.WARN, self._rules) for name, why in header.doubled
        )

    def to_pin(self, prepared: PreparedDelivery) -> SourceSchema | None:
        """Return the schema to pin once the delivery is published; None if it doesn't change.

        It has the columns that were added, with the interval, and those that were dropped.
        """
        pinned = self._task.pinned
        if pinned is None:
            return self._first(prepared.schema) if prepared.learnt else None
        if self._task.accepted:  # the next delivery must match what this one should have been
            return None
        known = set(pinned.names)
        there = delivered_names(prepared)
        absent = self._unagreed - there
        columns = tuple(column for column in prepared.schema.columns if column.name not in absent)
        added = [(column.name, self._interval) for column in columns if column.name not in known]
        until = {name: first for name, first in pinned.until if name not in there}
        pin = msgspec.structs.replace(
            pinned,
            columns=columns,
            optional=tuple(name for name in prepared.schema.optional if name not in absent),
            format=with_dates(pinned.format, prepared.schema.format),
            since=(*pinned.since, *added),
            inside=self._inside_to_pin(prepared),
            until=tuple({**self._removed(prepared), **until}.items()),
        )
        return None if pin == pinned else pin

    def _removed(self, prepared: PreparedDelivery) -> dict[str, str]:
        """Return column → interval for those that are dropped or renamed from this interval on."""
        return {
            change.column: self._interval
            for change in self.changes(prepared)
            if change.kind in (DriftKind.DROPPED, DriftKind.RENAMED)
            and change.policy is not Policy.MAP
        }

    def _first(self, schema: SourceSchema) -> SourceSchema:
        """Return the first delivery's schema, with the attempt that read it."""
        if schema.lesson is None:
            return schema
        lesson = msgspec.structs.replace(schema.lesson, attempt=self._task.attempt)
        return msgspec.structs.replace(schema, lesson=lesson)

    def _inside_to_pin(self, prepared: PreparedDelivery) -> tuple[Inside, ...]:
        """Return the nested structure of columns; for published changes, the new structure."""
        changed = {
            value.column for value in self._of_values.values() if value.kind is DriftKind.NESTED
        }
        insides = {item.column: item for item in prepared.schema.inside}
        for part in prepared.parts or (prepared,):
            now = dict(zip(part.header.names, part.header.inside, strict=False))
            insides |= {
                name: now_known(item, now[name])
                for name, item in insides.items()
                if name in changed and now.get(name)
            }
        return tuple(insides.values())


def _renamed_to(changes: Iterable[DriftChange]) -> dict[str, str]:
    """Return new name → column for the renames among the changes."""
    return {
        change.to: change.column
        for change in changes
        if change.kind is DriftKind.RENAMED and change.to is not None
    }


def _types(schema: SourceSchema) -> dict[str, str]:
    return {column.name: column.type for column in schema.columns}


def _past(interval: str, until: str | None) -> bool:
    return until is not None and interval >= until


def _written(schema: SourceSchema, type_name: str) -> str:
    """Return how a schema's format writes values of a type."""
    form = schema.format
    result = (
        form.date_format
        if type_name == "DATE"
        else form.timestamp_format
        if type_name == "TIMESTAMP"
        else None
    )
    return result or ("a decimal comma" if form.decimal == "," else "ISO 8601")


def _day_and_month_swapped(was: SourceSchema, now: SourceSchema) -> bool:
    """Whether the new format reads ambiguous dates as other days than the old one."""
    pairs = [
        (was.format.date_format, now.format.date_format),
        (was.format.timestamp_format, now.format.timestamp_format),
    ]
    return any(old and new and _order(old) != _order(new) for old, new in pairs)


def _order(form: str) -> list[str]:
    """Return the order of day and month in a format; empty for unambiguous formats.

    `%m/%d/%y` and `%m/%d/%Y` have the same order, `%d/%m/%Y` hasn't. Formats with month names or a
    leading year are unambiguous.
    """
    return (
        [part for part in "".join(sign for sign in form if sign.isalpha()) if part in ("d", "m")]
        if form.startswith(("%m", "%d"))
        else []
    )


def _example(bad: BadColumn) -> str:
    where = f" at line {bad.line}" if bad.line else ""
    rows = f", {bad.rows:,} {'row' if bad.rows == 1 else 'rows'}" if bad.rows else ""
    value = f": '{marked(bad.value)}'" if bad.value else ""
    return f"first value that isn't {bad.type_written}{value}{where}{rows}"
