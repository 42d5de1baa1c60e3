"""Schema drift of a delivery: differences from the expected columns, and their policy. Pure.

This module compares names. The reader compares values (types, dates, delimiters) and reports what
it reads instead. In both cases `DriftRules` give the policy of a change: the source's declaration
(`on_drift`), else a default by the kind of change and the users of the column.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.checks.column_similarity import RenameCandidate, RenameRival
from headrace.checks.facts import Differs, DriftChange, DriftKind, Fact, FactSeverity, Policy
from headrace.model import ContractColumn
from headrace.model.wording import counted, few

ALL = "*"
"""The key in `DriftRules.used` for nodes that use every column."""
SURE = 0.9
"""The minimum score of a rename that may be applied unasked (`on_drift: {renamed: map}`)."""
CERTAIN = 20.0
"""The strength in nats of a fact that is read off the file rather than inferred."""
UNUSED = 6.0
"""The strength in nats of a fact about an unused column: a warning, not an incident."""
_OF_NAMES = (DriftKind.ADDED, DriftKind.DROPPED, DriftKind.RENAMED)
FACTS_MAX = 100
"""The maximum number of facts of one delivery: 1,000 renamed columns are one incident."""
NAMES_TOLD = 8
CLAUSES_TOLD = 3
_GIVEN_UP = {Policy.MAP: Policy.BLOCK}
_CAUSES = {DriftKind.TYPE: "type_change", DriftKind.FORMAT: "format_change"}


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """A column as a delivery of one interval should have it."""

    name: str
    """The name in the table."""
    names: tuple[str, ...] = ()
    """The names in files: first the one in force for the interval, then others. Default: `name`."""
    optional: bool = False
    """Whether a file may lack the column."""
    required: bool = False
    """Whether the contract requires a value in every row."""


class NameComparison(NamedTuple):
    """The comparison of a file's names with the expected columns."""

    names: dict[str, str]
    """Names in the file and their columns."""
    dropped: tuple[str, ...]
    """Columns that the file lacks."""
    added: tuple[str, ...]
    """Names in the file that belong to no column."""
    otherwise: tuple[tuple[str, str], ...]
    """(column, its name in the file) if that name is in force for another interval."""
    clashes: tuple[str, ...]
    """Names in the file that equal a column's, although the column is read from another name."""
    doubled: tuple[tuple[str, str], ...] = ()
    """Generated names of columns with a repeated header, and a text with both names."""


class ColumnRename(msgspec.Struct, frozen=True, kw_only=True):
    """A missing column and the new column that it probably became."""

    column: str
    to: str
    score: float
    evidence: tuple[str, ...] = ()
    candidates: tuple[RenameCandidate, ...] = ()
    """All candidates, the most probable first."""
    rivals: tuple[RenameRival, ...] | None = None
    """Other new columns that came close, the best score first; None if they weren't compared."""
    differs: tuple[Differs, ...] = ()
    """Other differences between the two columns."""


class DriftRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules for changes: declared policies, and the users of columns (in lower case)."""

    policies: Mapping[str, str] = {}
    used: Mapping[str, tuple[str, ...]] = {}
    required: frozenset[str] = frozenset()
    typed: frozenset[str] = frozenset()
    """Columns whose types a contract declares; deliveries don't widen these types."""

    def users(self, column: str) -> tuple[str, ...]:
        """Return the assets and consumers that use a column, ignoring case."""
        return tuple(dict.fromkeys((*self.used.get(column.lower(), ()), *self.used.get(ALL, ()))))

    def declared(self, kind: DriftKind) -> Policy | None:
        """Return the policy that the source declares (`on_drift`), or None."""
        policy = self.policies.get(kind.value)
        return Policy(policy) if policy else None

    def policy(self, kind: DriftKind, column: str, *, mappable: bool = False) -> Policy:
        """Return the policy for a change; `mappable`: the values can be read as expected."""
        chosen = self.declared(kind) or self._usual(kind, column, mappable=mappable)
        return chosen if mappable else _GIVEN_UP.get(chosen, chosen)

    def _usual(self, kind: DriftKind, column: str, *, mappable: bool) -> Policy:
        if kind is DriftKind.ADDED or (
            kind is DriftKind.TYPE and mappable and column not in self.typed
        ):
            return Policy.ALLOW
        if kind is DriftKind.FORMAT:
            return Policy.MAP
        if (
            kind not in (DriftKind.RENAMED, DriftKind.DROPPED, DriftKind.NESTED)
            or column in self.required
        ):
            return Policy.BLOCK
        return Policy.BLOCK if self.users(column) else Policy.WARN


def in_force(column: ContractColumn, interval: str) -> str:
    """Return the name of a column in the files of an interval.

    It is the accepted name with `from` ≤ interval < `to`, else the column's own name. Keys of
    intervals of one grain compare as text.
    """
    return _in_force_of(column.names, "name", interval) or column.name


def conversion_at(column: ContractColumn, interval: str) -> str | None:
    """Return the expression that computes a column in an interval from the file, if any."""
    return _in_force_of(column.conversions, "expression", interval)


def converted_since(column: ContractColumn, interval: str) -> str:
    """Return the first interval of the conversion in force; empty if there is none."""
    return _in_force_of(column.conversions, "from", interval) or ""


def _in_force_of(entries: Sequence[Mapping[str, Any]], key: str, interval: str) -> str | None:
    for entry in entries:
        until = entry.get("to")
        if str(entry["from"]) <= interval and (until is None or interval < str(until)):
            return str(entry[key])
    return None


def known_names(column: ContractColumn, interval: str) -> tuple[str, ...]:
    """Return all names of a column in files, the one in force for the interval first."""
    return tuple(
        dict.fromkeys(
            (
                in_force(column, interval),
                *(str(entry["name"]) for entry in column.names),
                column.name,
            )
        )
    )


def compare(
    expected: Sequence[Expected], results: Sequence[str], doubled: Sequence[tuple[str, str]] = ()
) -> NameComparison:
    """Match the names of a file with the expected columns.

    A name of another interval counts only if it is no column's current name and the name in force
    is absent: a vendor that delivers an old interval again uses today's names. If files use another
    name for a column, a name equal to the column's own isn't taken for it, and the column counts as
    missing.
    """
    there = dict.fromkeys(results)
    names = _names_in_force(expected, there)
    others = _names_of_other_intervals(expected, there, names)
    names |= others
    matched = set(names.values())
    dropped = tuple(
        item.name for item in expected if item.name not in matched and not item.optional
    )
    matched_names = {name.lower() for name in matched}
    added = tuple(name for name in there if name not in names)
    clashes = tuple(name for name in added if name.lower() in matched_names)
    new = tuple((name, text) for name, text in doubled if name in added)
    otherwise = tuple((column, name) for name, column in others.items())
    return NameComparison(names, dropped, added, otherwise, clashes, new)


def _names_in_force(expected: Sequence[Expected], there: Iterable[str]) -> dict[str, str]:
    """Return the names of a file that are in force for its interval, and their columns.

    If the name of one column is in force for another one, it belongs to the latter.
    """
    mapped_names = {_first(item): item.name for item in expected if _first(item) != item.name}
    firsts = {**{_first(item): item.name for item in expected}, **mapped_names}
    return {name: firsts[name] for name in there if name in firsts}


def _names_of_other_intervals(
    expected: Sequence[Expected], there: Collection[str], names: Mapping[str, str]
) -> dict[str, str]:
    """Return the names of a file that are in force for another interval, and their columns.

    `names` are the names that are matched already, with their columns.
    """
    results: dict[str, str] = {}
    matched = set(names.values())
    for item in expected:
        if item.name in matched:
            continue
        free = (
            name
            for name in item.names[1:]
            if name in there and name not in names and name not in results
        )
        other = next(free, None)
        if other is not None:
            results[other] = item.name
            matched.add(item.name)
    return results


def _first(item: Expected) -> str:
    return item.names[0] if item.names else item.name


def same_spelling(dropped: Sequence[str], added: Sequence[str]) -> list[ColumnRename]:
    """Return pairs of names that differ only in case, accents, blanks and punctuation.

    Ambiguous names are left out.
    """
    by_core: dict[str, tuple[list[str], list[str]]] = {}
    for side, names in enumerate((dropped, added)):
        for name in names:
            by_core.setdefault(_core(name), ([], []))[side].append(name)
    alone = [
        (was[0], now[0])
        for core, (was, now) in by_core.items()
        if core and len(was) == len(now) == 1
    ]
    return [
        ColumnRename(column=was, to=now, score=0.99, evidence=(_how_alike(was, now),))
        for was, now in alone
    ]


def _core(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(sign for sign in plain if sign.isalnum())


def _how_alike(was: str, now: str) -> str:
    what = "upper and lower case" if was.lower() == now.lower() else "how they are written"
    return f"the names differ in {what} only"


def changes_of(
    compared: NameComparison, rules: DriftRules, renames: Sequence[ColumnRename] = ()
) -> tuple[DriftChange, ...]:
    """Return all differences with their policies; `renames` pairs missing with new columns."""
    return tuple(_each(compared, rules, {rename.column: rename for rename in renames}))


def _each(
    compared: NameComparison, rules: DriftRules, renames: Mapping[str, ColumnRename]
) -> Iterator[DriftChange]:
    rename_targets = {rename.to for column, rename in renames.items() if column in compared.dropped}
    for column, name in compared.otherwise:
        why = (f"`{name}` is what files of another time call it",)
        yield DriftChange(
            kind=DriftKind.RENAMED,
            column=column,
            to=name,
            score=1.0,
            evidence=why,
            policy=Policy.MAP,
        )
    for column in compared.dropped:
        rename = renames.get(column)
        yield _renamed(rename, rules) if rename else _dropped(column, compared, rules)
    for name in compared.clashes:
        why = ("another name is read as this column, and the file has one of its own name too",)
        yield DriftChange(
            kind=DriftKind.ADDED,
            column=name,
            evidence=why,
            policy=Policy.BLOCK,
            used_by=rules.users(name),
        )
    unclear = dict(compared.doubled)
    for name, text in compared.doubled:
        policy = (
            rules.declared(DriftKind.ADDED) or Policy.BLOCK
        )  # only a person can say which of the two is meant
        yield doubled_column(name, text, Policy.ALLOW if policy is Policy.MAP else policy, rules)
    for name in compared.added:
        if name not in rename_targets and name not in compared.clashes and name not in unclear:
            policy = rules.policy(DriftKind.ADDED, name, mappable=True)
            yield DriftChange(
                kind=DriftKind.ADDED,
                column=name,
                policy=Policy.ALLOW if policy is Policy.MAP else policy,
            )


def doubled_column(name: str, why: str, policy: Policy, rules: DriftRules) -> DriftChange:
    """Return the change for a column with a repeated header.

    `name` is generated; `why` has both names.
    """
    return DriftChange(
        kind=DriftKind.ADDED, column=name, evidence=(why,), policy=policy, used_by=rules.users(name)
    )


def _renamed(rename: ColumnRename, rules: DriftRules) -> DriftChange:
    sure = rename.score >= SURE and not rename.differs
    policy = rules.policy(DriftKind.RENAMED, rename.column, mappable=sure)
    if rename.differs and policy is Policy.WARN:
        policy = Policy.BLOCK  # a person decides about changed values
    if policy is Policy.WARN and rename.column.lower() == rename.to.lower():
        policy = Policy.MAP  # a table can't have both
    return DriftChange(
        kind=DriftKind.RENAMED,
        column=rename.column,
        to=rename.to,
        score=rename.score,
        evidence=(*rename.evidence, *(differ.text for differ in rename.differs)),
        policy=policy,
        used_by=rules.users(rename.column),
        candidates=rename.candidates,
        rivals=rename.rivals,
        differs=rename.differs,
    )


def _dropped(column: str, compared: NameComparison, rules: DriftRules) -> DriftChange:
    lost = not compared.names
    policy = Policy.BLOCK if lost else rules.policy(DriftKind.DROPPED, column)
    why = ("nothing of the expected header is left",) if lost else ()
    return DriftChange(
        kind=DriftKind.DROPPED,
        column=column,
        evidence=why,
        policy=policy,
        used_by=rules.users(column),
    )


def blocks(changes: Sequence[DriftChange]) -> bool:
    """Return whether a person must decide about a change before the delivery is published."""
    return any(change.policy is Policy.BLOCK for change in changes)


def changes_text(changes: Sequence[DriftChange]) -> str:
    """Return one sentence about the changes that a person must decide, or else about all."""
    drift_changes = [change for change in changes if change.policy is Policy.BLOCK] or list(changes)
    if any(change.policy is Policy.BLOCK for change in drift_changes):
        drift_changes += [
            change
            for change in changes
            if change.kind is DriftKind.ADDED and change not in drift_changes
        ]
    parts = [
        part
        for kind in DriftKind
        if (part := _kind_text(kind, [change for change in drift_changes if change.kind is kind]))
    ]
    return "; ".join(parts)


def with_users(reason: str, changes: Sequence[DriftChange]) -> str:
    """Return the reason with the users of the columns in question."""
    users = tuple(dict.fromkeys(user for change in changes for user in change.used_by))
    return f"{reason}; used by {few(users, NAMES_TOLD)}" if users else reason


def _kind_text(kind: DriftKind, changes: Sequence[DriftChange]) -> str:
    """Return one clause about all changes of a kind; empty if there are none."""
    if not changes:
        return ""
    columns = [change.column for change in changes]
    match kind:
        case DriftKind.RENAMED:
            return f"renamed: {few([_rename_text(change) for change in changes], NAMES_TOLD)}"
        case DriftKind.DROPPED:
            missing = "; nothing of the expected header is left" if changes[0].evidence else ""
            return f"{counted(len(columns), 'column')} gone: {few(columns, NAMES_TOLD)}{missing}"
        case DriftKind.ADDED:
            reasons = _reasons_text(changes)
            return f"{counted(len(columns), 'column')} new: {few(columns, NAMES_TOLD)}{reasons}"
        case _:
            return "; ".join(_change_text(change) for change in changes[:3])


def _reasons_text(changes: Sequence[DriftChange]) -> str:
    """Return the evidence for new columns in brackets; empty if there is none."""
    why = list(dict.fromkeys(change.evidence[0] for change in changes if change.evidence))
    return f" ({few(why, CLAUSES_TOLD, '; ')})" if why else ""


def _change_text(change: DriftChange) -> str:
    evidence = ", ".join(change.evidence)
    return f"{change.column}: {evidence}" if change.column else evidence


def _rename_text(change: DriftChange) -> str:
    differs = f" ({'; '.join(differ.text for differ in change.differs)})" if change.differs else ""
    return f"{change.column} → {change.to}{differs}"


def facts_of(changes: Sequence[DriftChange]) -> tuple[Fact, ...]:
    """Return facts for the changes that hold the delivery or are published with a warning."""
    reported = [change for change in changes if change.policy in (Policy.BLOCK, Policy.WARN)]
    return tuple(_fact(change) for change in reported[:FACTS_MAX])


def _fact(change: DriftChange) -> Fact:
    expected, observed = {
        DriftKind.ADDED: ("not there", change.column),
        DriftKind.DROPPED: (change.column, "not there"),
        DriftKind.RENAMED: (change.column, change.to or ""),
    }.get(change.kind, (change.was or "as pinned", change.to or change.kind.value))
    severity = FactSeverity.HOLD if change.policy is Policy.BLOCK else FactSeverity.WARN
    if change.declared:
        expected, observed = change.to or "", f"{change.was} at {change.declared}"
    kind = "configuration_error" if change.declared else _CAUSES.get(change.kind, "schema_change")
    return Fact(
        kind=kind,
        column=change.column,
        severity=severity,
        expected=expected,
        observed=observed,
        strength=CERTAIN
        if change.used_by or severity is FactSeverity.HOLD or change.kind not in _OF_NAMES
        else UNUSED,
        detail="; ".join((change.kind.value, *change.evidence)),
    )
