"""Suggested checks for faults that no declared check notices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.checks.audits_of_queries import About, ask
from headrace.checks.check_kinds import (
    AggregateCheck,
    CheckedPartition,
    CheckKind,
    CheckSubject,
    kind,
)
from headrace.checks.proposals import CATEGORIES_MAX, Memory, Remembered
from headrace.checks.results import CheckState
from headrace.lake import PARTITION_COLUMN
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec, Place
from headrace.model.check_kinds import BUILT_IN
from headrace_advisor.challenge.mutations import TABLE, SampleColumnKind, count, kind_of
from headrace_advisor.challenge.trials import ChallengeSubject, Deadline, MutationTrial, as_is

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


# Common properties of an asset's newest published partitions: the basis of suggested checks.

HISTORY = "__history__"
KEYED_ROWS_MIN = 20
"""The minimum mean number of rows per partition for a column without duplicates to be a key."""
PAIRED_MAX = 4
"""The number of columns of which pairs are tried as keys, if no single column is a key."""


def remember(
    session: DuckDBSession, select: str, columns: Mapping[str, str], secret: frozenset[str]
) -> Memory | None:
    """Return the common properties of a SELECT's rows; None if the query was interrupted.

    The SELECT includes the partition column. Values of `secret` columns (in lower case) aren't
    read. Raises `duckdb.Error`.
    """
    import duckdb

    try:
        return _remembered(session, select, columns, secret)
    except duckdb.InterruptException:
        return None


def _remembered(
    session: DuckDBSession, select: str, columns: Mapping[str, str], secret: frozenset[str]
) -> Memory:
    select_list = ", ".join(f"{quote(name)} AS c{at}" for at, name in enumerate(columns))
    session.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {quote(HISTORY)} AS SELECT {quote(PARTITION_COLUMN)} AS"
        f" part{', ' if select_list else ''}{select_list} FROM ({select}) AS given"
    )
    each = session.connection.execute(
        f"SELECT count(*) FROM {quote(HISTORY)} GROUP BY part"
    ).fetchall()
    counts = [int(row[0]) for row in each]
    results = {
        name: _column(session, at, kind, name.lower() in secret)
        for at, (name, kind) in enumerate(columns.items())
    }
    key = _key(session, columns, results) if sum(counts) >= KEYED_ROWS_MIN * len(counts) > 0 else ()
    return Memory(len(counts), sum(counts), min(counts, default=0), results, key)


def _column(session: DuckDBSession, at: int, column_type: str, secret: bool) -> Remembered:
    kind, column_sql = kind_of(column_type), f"c{at}"
    few = kind in (SampleColumnKind.NUMBER, SampleColumnKind.TEXT)
    bounds = f"min({column_sql}), max({column_sql})" if few and not secret else "NULL, NULL"
    values = (
        f"list_sort(list(DISTINCT {column_sql}))[:{CATEGORIES_MAX + 1}]"
        if few and not secret
        else "[]"
    )
    row = session.row(
        f"SELECT count(*) - count({column_sql}), {bounds}, {values} FROM {quote(HISTORY)}"
    )
    listed = tuple(value for value in row[3] or () if value is not None)
    return Remembered(
        int(row[0]),
        row[1],
        row[2],
        listed if len(listed) <= CATEGORIES_MAX else (),
        bool(few and _says_the_partition(session, column_sql)),
    )


def _says_the_partition(session: DuckDBSession, column_sql: str) -> bool:
    each = f"SELECT count(DISTINCT {column_sql}) AS values FROM {quote(HISTORY)} GROUP BY part"
    row = session.connection.execute(f"SELECT count(*), max(values) FROM ({each})").fetchone()
    return row is not None and row[0] > 1 and row[1] == 1


def _key(
    session: DuckDBSession, columns: Mapping[str, str], results: Mapping[str, Remembered]
) -> tuple[str, ...]:
    """Return the first column, or else pair, that is unique in each partition.

    Only texts and integers are keys.
    """
    able = [
        (at, name)
        for at, (name, kind) in enumerate(columns.items())
        if not results[name].nulls
        and (kind_of(kind) == SampleColumnKind.TEXT or kind.endswith("INT") or kind == "INTEGER")
    ]
    for at, name in able:
        if _is_key(session, f"c{at}"):
            return (name,)
    for (first, item), (second, other) in combinations(_richest(session, able), 2):
        if _is_key(session, f"(c{first}, c{second})"):
            return (item, other)
    return ()


def _is_key(session: DuckDBSession, key: str) -> bool:
    repeated = (
        f"SELECT 1 FROM {quote(HISTORY)} GROUP BY part HAVING count(DISTINCT {key}) < count(*)"
        " LIMIT 1"
    )
    return session.connection.execute(repeated).fetchone() is None


def _richest(session: DuckDBSession, able: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the columns with the most distinct values, in their original order."""
    if not able:
        return []
    select_list = ", ".join(f"approx_count_distinct(c{at})" for at, _ in able)
    counts = (
        session.connection.execute(f"SELECT {select_list} FROM {quote(HISTORY)}").fetchone() or ()
    )
    richest = sorted(zip(counts, able, strict=True), key=lambda pair: -pair[0])[:PAIRED_MAX]
    return sorted(item for _, item in richest)


# Proposals follow from the common properties of all these partitions and are then tried on the
# mutations.


class Suggested(msgspec.Struct, frozen=True):
    """A suggested check, the evidence for it, and the unnoticed mutations that it notices."""

    check: CheckSpec
    evidence: str
    catches: tuple[MutationTrial, ...]


def suggest(
    session: DuckDBSession,
    subject: ChallengeSubject,
    unnoticed: Sequence[MutationTrial],
    memory: Memory,
    deadline: Deadline,
    everything: str = "",
) -> list[Suggested]:
    """Return the useful checks, in the order of the `unnoticed` mutations that suggest them.

    Each check notices something that earlier ones don't, and no published partition breaks it.
    `everything` selects all published rows with their partition column; if empty, those of `memory`
    are all.
    """
    proposals = {
        check.name: (check, evidence)
        for check, evidence in _proposals(unnoticed, memory, subject.checks)
    }
    checks = [check for check, _ in proposals.values()]
    if not checks:
        return []
    passing = _passing(session, subject, checks, deadline)
    caught = _caught(session, subject, passing, unnoticed, deadline)
    useful = []
    for check in _noticing_more(passing, caught):
        catches = tuple(unnoticed[number] for number in caught[check.name])
        useful.append(Suggested(check, proposals[check.name][1], catches))
    if not everything or not useful:
        return _together(useful)
    holding = _holding(session, subject, [item.check for item in useful], everything, deadline)
    return _together([item for item in useful if item.check.name in holding])


def _noticing_more(
    checks: Sequence[CheckSpec], caught: Mapping[str, Sequence[int]]
) -> Iterator[CheckSpec]:
    """Return the checks that notice a mutation that no earlier check notices."""
    known = set[int]()
    for check in checks:
        numbers = set(caught[check.name])
        if numbers - known:
            known |= numbers
            yield check


def _holding(
    session: DuckDBSession,
    subject: ChallengeSubject,
    checks: Sequence[CheckSpec],
    everything: str,
    deadline: Deadline,
) -> set[str]:
    """Return the names of checks that every published partition passes; none after the deadline."""
    import duckdb

    about = msgspec.structs.replace(
        subject.about, columns={**subject.about.columns, PARTITION_COLUMN: "VARCHAR"}
    )
    by_partition, of_partition = [], []
    for check in checks:
        over = kind(check.kind).over_partitions(check.arguments, PARTITION_COLUMN)
        if over is None:
            of_partition.append(check)
        else:
            by_partition.append(msgspec.structs.replace(check, arguments=dict(over)))
    counting = (
        f"SELECT sum(rows), min(rows) FROM (SELECT count(*) AS rows FROM ({everything}) GROUP BY"
        f" {quote(PARTITION_COLUMN)})"
    )
    try:
        total, least = session.connection.execute(counting).fetchone() or (0, 0)
        results = ask(session, about, by_partition, everything, int(total or 0))
    except duckdb.InterruptException:
        return set()
    if deadline.over:
        return set()
    passed = {result.name for result in results if result.outcome is CheckState.PASSED}
    smallest = CheckedPartition(about.key, int(least or 0), about.as_of_us, about.now_us)
    return passed | {
        check.name for check in of_partition if _holds_by_count(check, about, smallest)
    }


def _holds_by_count(check: CheckSpec, about: About, partition: CheckedPartition) -> bool:
    """Return whether a check that needs only the number of rows passes in the partition."""
    subject = CheckSubject(about.columns, {}, partition.rows, about.timezone)
    measurement = kind(check.kind).measure(check, subject)
    return (
        isinstance(measurement, AggregateCheck)
        and not measurement.aggregates
        and not measurement.judge(partition, ()).failing
    )


def _passing(
    session: DuckDBSession,
    subject: ChallengeSubject,
    checks: Sequence[CheckSpec],
    deadline: Deadline,
) -> list[CheckSpec]:
    """Return the checks that the original rows pass; none after the deadline."""
    import duckdb

    try:
        results = ask(session, subject.about, checks, as_is(subject.about), count(session, TABLE))
    except duckdb.InterruptException:
        return []
    if deadline.over:
        return []
    return [
        check
        for check, result in zip(checks, results, strict=True)
        if result.outcome is CheckState.PASSED
    ]


def _caught(
    session: DuckDBSession,
    subject: ChallengeSubject,
    checks: Sequence[CheckSpec],
    unnoticed: Sequence[MutationTrial],
    deadline: Deadline,
) -> dict[str, list[int]]:
    caught: dict[str, list[int]] = {check.name: [] for check in checks}
    columns = list(subject.about.columns)
    for number, trial in enumerate(unnoticed):
        results = ask(session, subject.about, checks, trial.mutation.select(columns), trial.left)
        if deadline.over:
            break  # the checks may have been interrupted
        for result in results:
            if result.outcome is CheckState.FAILED:
                caught[result.name].append(number)
    return caught


def _together(results: Sequence[Suggested]) -> list[Suggested]:
    """Merge the checks that their kinds declare as one: all `not_null`, both bounds of a column."""
    groups: dict[tuple[str, ...], list[Suggested]] = {}
    for item in results:
        merged_by = kind(item.check.kind).merged_by(item.check.arguments)
        key = (item.check.name,) if merged_by is None else merged_by
        groups.setdefault((item.check.kind, *key), []).append(item)
    return [_merged(group) for group in groups.values()]


def _merged(group: Sequence[Suggested]) -> Suggested:
    first, checked = group[0], kind(group[0].check.kind)
    if checked.merged_by(first.check.arguments) is None:
        return first
    arguments = checked.merged([item.check.arguments for item in group])
    catches = tuple({id(tried): tried for item in group for tried in item.catches}.values())
    return Suggested(_check(checked.name, arguments), first.evidence, catches)


def _proposals(
    unnoticed: Iterable[MutationTrial], memory: Memory, declared: Sequence[CheckSpec]
) -> Iterator[tuple[CheckSpec, str]]:
    """Return what the kinds propose for each fault, with the evidence."""
    kinds = _proposing_kinds(declared)
    for trial in unnoticed:
        for checked in kinds:
            if trial.mutation.fault not in checked.detects:
                continue
            for column in trial.mutation.columns or ("",):
                yield from _proposed(checked, column, memory)


def _proposing_kinds(declared: Sequence[CheckSpec]) -> list[CheckKind]:
    """Return the built-in kinds, without `declared` ones that a node can declare only once."""
    names = {check.kind for check in declared}
    kinds = [kind(name) for name in BUILT_IN]
    return [each for each in kinds if not (each.name in names and each.declared_once)]


def _proposed(checked: CheckKind, column: str, memory: Memory) -> Iterator[tuple[CheckSpec, str]]:
    """Return what one kind proposes for a column, with the evidence."""
    for proposal in checked.proposed(column, memory):
        check = _check(checked.name, proposal.arguments)
        if proposal.part:
            check = msgspec.structs.replace(check, name=f"{check.name}_{proposal.part}")
        yield check, proposal.evidence


def _check(name: str, arguments: Mapping[str, Any]) -> CheckSpec:
    named = arguments.get("columns") or [
        arguments[name] for name in ("column",) if name in arguments
    ]
    return CheckSpec(
        kind=name, name="_".join([name, *named]), arguments=dict(arguments), place=Place(file="")
    )
