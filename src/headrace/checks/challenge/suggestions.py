"""Suggested checks for faults that no declared check notices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.checks.challenge.gate import ask
from headrace.checks.challenge.mutations import (
    CATEGORIES_MAX,
    TABLE,
    MutationKind,
    SampleColumnKind,
    count,
    kind_of,
)
from headrace.checks.challenge.trials import ChallengeSubject, Deadline, MutationTrial, as_is
from headrace.checks.results import CheckState
from headrace.lake import PARTITION_COLUMN
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec, Place

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


# Common properties of an asset's newest published partitions: the basis of suggested checks.

HISTORY = "__history__"
KEYED_ROWS_MIN = 20
"""The minimum mean number of rows per partition for a column without duplicates to be a key."""
PAIRED_MAX = 4
"""The number of columns of which pairs are tried as keys, if no single column is a key."""


class Remembered(msgspec.Struct, frozen=True):
    """One column over all remembered partitions.

    `values` are all distinct values, for texts and integers with few. `of_partition`: each
    partition has exactly one value, such as the year of a day; the value of the next partition may
    then be new.
    """

    nulls: int
    minimum: Any = None
    maximum: Any = None
    values: tuple[Any, ...] = ()
    of_partition: bool = False


class Memory(msgspec.Struct, frozen=True):
    """Common properties of the newest partitions.

    These are their number, their rows, the rows of the smallest, each column, and a key that holds
    in each of them.
    """

    partitions: int
    rows: int
    least_rows: int
    columns: dict[str, Remembered]
    key: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """Return `3,210 rows of 30 partitions`."""
        return f"{counted(self.rows, 'row')} of {counted(self.partitions, 'partition')}"


def counted(number: int, what: str) -> str:
    """Return `1 row`, `3,210 rows`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


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
    own = ", ".join(f"{quote(name)} AS c{at}" for at, name in enumerate(columns))
    session.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {quote(HISTORY)} AS SELECT {quote(PARTITION_COLUMN)} AS"
        f" part{', ' if own else ''}{own} FROM ({select}) AS given"
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
    kind, own = kind_of(column_type), f"c{at}"
    few = kind in (SampleColumnKind.NUMBER, SampleColumnKind.TEXT)
    bounds = f"min({own}), max({own})" if few and not secret else "NULL, NULL"
    values = (
        f"list_sort(list(DISTINCT {own}))[:{CATEGORIES_MAX + 1}]" if few and not secret else "[]"
    )
    row = session.connection.execute(
        f"SELECT count(*) - count({own}), {bounds}, {values} FROM {quote(HISTORY)}"
    ).fetchone()
    assert row is not None
    listed = tuple(value for value in row[3] or () if value is not None)
    return Remembered(
        int(row[0]),
        row[1],
        row[2],
        listed if len(listed) <= CATEGORIES_MAX else (),
        bool(few and _says_the_partition(session, own)),
    )


def _says_the_partition(session: DuckDBSession, own: str) -> bool:
    each = f"SELECT count(DISTINCT {own}) AS values FROM {quote(HISTORY)} GROUP BY part"
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
    wanted = ", ".join(f"approx_count_distinct(c{at})" for at, _ in able)
    counts = session.connection.execute(f"SELECT {wanted} FROM {quote(HISTORY)}").fetchone() or ()
    richest = sorted(zip(counts, able, strict=True), key=lambda pair: -pair[0])[:PAIRED_MAX]
    return sorted(item for _, item in richest)


# Proposals follow from the common properties of all these partitions and are then tried on the
# mutations.

MARGIN = 10
"""The factor from observed values to the bounds of a range: it finds wrong units, not records."""
LEAST_SHARE = 0.7
"""The share of the smallest partition's rows below which rows are missing."""
ROWS_MIN = 10
"""The minimum number of rows for conclusions about values."""
ROWS_A_VALUE = 10
"""The minimum mean number of rows per value for observed values to count as all values."""
PARTITIONS_MIN = 3
"""The minimum number of partitions for conclusions about the number of rows."""


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
    declared = {check.kind for check in subject.checks}
    proposals = {
        check.name: (check, why)
        for check, why in _proposals(unnoticed, memory)
        if check.kind not in declared & _ONCE
    }
    checks = [check for check, _ in proposals.values()]
    if not checks:
        return []
    passing = _passing(session, subject, checks, deadline)
    caught = _caught(session, subject, passing, unnoticed, deadline)
    kept, known = [], set[int]()
    for check in passing:
        if set(caught[check.name]) - known:
            known |= set(caught[check.name])
            catches = tuple(unnoticed[number] for number in caught[check.name])
            kept.append(Suggested(check, proposals[check.name][1], catches))
    if everything and kept:
        holding = _holding(session, subject, [item.check for item in kept], everything, deadline)
        kept = [item for item in kept if item.check.name in holding]
    return _together(kept)


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
    by_partition = [_by_partition(check) for check in checks if check.kind != "row_count"]
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
    found = {result.name for result in results if result.outcome is CheckState.PASSED}
    return found | {
        check.name
        for check in checks
        if check.kind == "row_count" and least >= check.arguments["min"]
    }


def _by_partition(check: CheckSpec) -> CheckSpec:
    """Return the check for many partitions at once: unique keys then include the partition."""
    if check.kind != "unique":
        return check
    arguments = {**check.arguments, "columns": [*check.arguments["columns"], PARTITION_COLUMN]}
    return msgspec.structs.replace(check, arguments=arguments)


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
    found: dict[str, list[int]] = {check.name: [] for check in checks}
    columns = list(subject.about.columns)
    for number, trial in enumerate(unnoticed):
        results = ask(session, subject.about, checks, trial.mutation.select(columns), trial.left)
        if deadline.over:
            break  # the checks may have been interrupted
        for result in results:
            if result.outcome is CheckState.FAILED:
                found[result.name].append(number)
    return found


def _together(results: Sequence[Suggested]) -> list[Suggested]:
    """Merge all `not_null` checks into one, and both bounds of a column into one `range`."""
    groups: dict[tuple[str, ...], list[Suggested]] = {}
    for item in results:
        kind = item.check.kind
        own = (
            (kind,)
            if kind == "not_null"
            else (
                (kind, item.check.arguments["column"])
                if kind == "range"
                else (kind, item.check.name)
            )
        )
        groups.setdefault(own, []).append(item)
    return [_merged(group) for group in groups.values()]


def _merged(group: Sequence[Suggested]) -> Suggested:
    first = group[0]
    if first.check.kind not in ("not_null", "range"):
        return first
    arguments: dict[str, Any] = {}
    for item in group:
        arguments |= item.check.arguments
    if first.check.kind == "not_null":
        arguments = {
            "columns": [column for item in group for column in item.check.arguments["columns"]]
        }
    else:
        arguments = {
            name: arguments[name] for name in ("column", "min", "max") if name in arguments
        }
    catches = tuple({id(tried): tried for item in group for tried in item.catches}.values())
    return Suggested(_check(first.check.kind, arguments), first.evidence, catches)


def _proposals(
    unnoticed: Iterable[MutationTrial], memory: Memory
) -> Iterable[tuple[CheckSpec, str]]:
    for trial in unnoticed:
        for make in _BY_FAULT.get(trial.mutation.fault, ()):
            if trial.mutation.columns:
                yield from (
                    made
                    for column in trial.mutation.columns
                    if (made := make(column, memory)) is not None
                )
            elif (made := make("", memory)) is not None:
                yield made
        if trial.mutation.fault in _BOUNDED:
            yield from (
                made for column in trial.mutation.columns for made in _ranges(column, memory)
            )


def _check(kind: str, arguments: Mapping[str, Any]) -> CheckSpec:
    named = arguments.get("columns") or [
        arguments[name] for name in ("column",) if name in arguments
    ]
    return CheckSpec(
        kind=kind, name="_".join([kind, *named]), arguments=dict(arguments), place=Place(file="")
    )


def _not_null(column: str, memory: Memory) -> tuple[CheckSpec, str] | None:
    known = memory.columns.get(column)
    if known is None or known.nulls or memory.rows < ROWS_MIN:
        return None
    return _check("not_null", {"columns": [column]}), f"never null in {memory.said}"


def _unique(column: str, memory: Memory) -> tuple[CheckSpec, str] | None:
    if not memory.key or (column and (column,) != memory.key):
        return None
    return (
        _check("unique", {"columns": list(memory.key)}),
        f"no two rows of a partition share it, in {memory.said}",
    )


def _row_count(column: str, memory: Memory) -> tuple[CheckSpec, str] | None:
    if column or memory.least_rows < 1:
        return None
    least = (
        1
        if memory.partitions < PARTITIONS_MIN
        else max(1, math.floor(memory.least_rows * LEAST_SHARE))
    )
    return _check("row_count", {"min": least}), _smallest(memory)


def _smallest(memory: Memory) -> str:
    return (
        memory.said
        if memory.partitions == 1
        else (
            f"{counted(memory.least_rows, 'row')} in the smallest of {memory.partitions:,}"
            " partitions"
        )
    )


def _accepted(column: str, memory: Memory) -> tuple[CheckSpec, str] | None:
    known = memory.columns.get(column)
    if (
        known is None
        or not known.values
        or len(known.values) * ROWS_A_VALUE > memory.rows
        or not isinstance(known.values[0], str)
    ):
        return None
    return (
        _check("accepted_values", {"column": column, "values": list(known.values)}),
        f"no other value in {memory.said}",
    )


def _ranges(column: str, memory: Memory) -> Iterator[tuple[CheckSpec, str]]:
    """Return a lower and an upper bound as separate checks: only a useful one is suggested."""
    known = memory.columns.get(column)
    if (
        known is None or memory.rows < ROWS_MIN or column in memory.key or known.of_partition
    ):  # keys and times grow
        return
    for name, value in _bounds(known).items():
        check = _check("range", {"column": column, name: value})
        yield (
            msgspec.structs.replace(check, name=f"{check.name}_{name}"),
            f"from {known.minimum} to {known.maximum} in {memory.said}",
        )


def _bounds(known: Remembered) -> dict[str, int | float]:
    if not isinstance(known.minimum, int | float | Decimal) or not isinstance(
        known.maximum, int | float | Decimal
    ):
        return {}
    low, high = float(known.minimum), float(known.maximum)
    if not (math.isfinite(low) and math.isfinite(high)) or max(abs(low), abs(high)) > 1e15:
        return {}
    bounds: dict[str, int | float] = {}
    if low < 0:
        bounds["min"] = -_wide(-low)
    elif low == 0 or not isinstance(known.minimum, float):  # a measured value may become negative
        bounds["min"] = 0
    return {**bounds, "max": _wide(high)} if high > 0 else bounds


def _wide(value: float) -> int | float:
    """Return `MARGIN` times the value, rounded up to one significant digit: 4,983 → 50,000."""
    wide = value * MARGIN
    unit = 10.0 ** math.floor(math.log10(wide))
    up = math.ceil(wide / unit - 1e-9) * unit
    return int(up) if up >= 1 else float(f"{up:.1g}")


_ONCE = frozenset({"unique", "row_count"})
"""Kinds that aren't suggested if the node declares one: the declaration is better informed."""
_Maker = Callable[[str, Memory], tuple[CheckSpec, str] | None]
_BY_FAULT: dict[MutationKind, tuple[_Maker, ...]] = {
    MutationKind.NULLS: (_not_null,),
    MutationKind.DUPLICATES: (_unique,),
    MutationKind.TRUNCATION: (_row_count,),
    MutationKind.DEFAULT: (_accepted,),
    MutationKind.ENCODING: (_accepted,),
    MutationKind.CATEGORY: (_accepted,),
    MutationKind.SWAPPED: (_accepted,),
}
_BOUNDED = (MutationKind.SCALE, MutationKind.SIGN, MutationKind.SWAPPED)
"""Faults that a range notices."""
