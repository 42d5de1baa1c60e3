"""Anomalies of staged rows, and their effect: the partition is held or published with a warning."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.checks import Audit, CheckState, Verdict, metrics
from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.evaluation import evaluate_partition
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import (
    EXACT,
    IGNORE,
    apply_policy,
    milder_for_computed,
    summary_clause,
    without_unread_columns,
)
from headrace.checks.anomalies.sampling import lacks_values, near_limit, sampled_rows
from headrace.checks.audit import audit, described_again, facts_of_failed_checks
from headrace.checks.facts import DriftChange, Fact, FactSeverity, ValueDifferenceKind
from headrace.checks.metrics import REPEATED_ROWS_MAX, ColumnMetrics, StoredMetrics
from headrace.checks.results import ColumnProfile
from headrace.checks.values import TELLING
from headrace.connect.connectors import is_routed_by_rows
from headrace.connect.deliveries import CannotRead
from headrace.connect.prepared import PreparedDelivery
from headrace.connect.raw_files import RawCopy
from headrace.connect.row_partitions import key_of_rows
from headrace.connect.text_files import ends_open
from headrace.engine import InputData
from headrace.lake import FileRef, LakeColumn, LakeTable, StagedFile
from headrace.lake.row_routing import NOWHERE
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote, relation_sql
from headrace.lake.staging import stage
from headrace.lake.tables import PARTITION_COLUMN
from headrace.lake.tables import ColumnLookup as FileLookup
from headrace.model import Grain, LakeError
from headrace.model.check_kinds import CommonCheck
from headrace.model.errors import BESIDES, DELIVERED_AS, SIZE
from headrace.model.partitions import SEPARATOR
from headrace.runtime.messages import AnomalyContext, IngestTask
from headrace.runtime.steps.drift import Drifting
from headrace.runtime.steps.expected_schemas import needs_room
from headrace.runtime.steps.sources import read_as
from headrace.runtime.steps.worker_context import WorkerContext

# Evaluate each partition against the history of those before it.

OF_LINES = ("csv", "jsonl", "fixed_width")
"""Formats whose files consist of lines of text."""


MORE_TIMES = 1.5
"""Changed code holds a partition from this multiple of the most rows per input row so far."""
MORE_ROWS_MIN = 20
"""Fewer rows than this are never held by MORE_TIMES."""


class EvaluatedAudit(msgspec.Struct, frozen=True):
    """The audit with its verdict, the facts, and a clause for users on the holds or warnings."""

    audit: Audit
    facts: tuple[Fact, ...] = ()
    reason: str = ""


class LargerSample:
    """Profiles of a staged file from more rows than the audit sampled, read once if asked for."""

    def __init__(
        self,
        session: DuckDBSession,
        staged: StagedFile,
        table: LakeTable,
        timezone: str,
        classified: Sequence[str],
    ) -> None:
        self._session, self._staged, self._table = session, staged, table
        self._timezone, self._classified = timezone, classified
        self._audit: Audit | None = None

    def audit(self, first: Audit) -> Audit:
        """Return the audit with profiles and metrics from the larger sample."""
        if self._audit is None:
            self._audit = described_again(
                first,
                self._session,
                self._staged,
                self._table,
                timezone=self._timezone,
                classified=self._classified,
            )
        return self._audit


def evaluated_audit(
    audit: Audit,
    staged: StagedFile,
    keys: Sequence[str],
    around: AnomalyContext,
    past: Sequence[StoredMetrics],
    grain: Grain | None,
    larger: LargerSample,
    *,
    inputs: Sequence[InputData] | None = None,
) -> EvaluatedAudit:
    """Evaluate each partition against earlier ones, in the history and in the same file.

    A partition that seems anomalous in the audit's sample, or nearly so, is evaluated by the
    `larger` one. `inputs` are the inputs that it was computed from; None for a delivery.
    """
    withheld = _withheld(audit, staged)
    failed = tuple(
        fact
        for key in keys
        for fact in facts_of_failed_checks(audit.of(key).results, key, holds=withheld)
    )
    ignored = around.on_anomaly == IGNORE and not around.of_columns
    if ignored or grain is None:
        return EvaluatedAudit(audit, failed)
    audit, anomalies = _anomalies(
        audit, staged, keys, around, MetricHistory(past, grain), larger, inputs
    )
    evaluated_facts = tuple(apply_policy(anomalies, around.on_anomaly, around.of_columns))
    if not evaluated_facts:
        return EvaluatedAudit(audit, failed)
    held = any(fact.severity is FactSeverity.HOLD for fact in evaluated_facts)
    reason = summary_clause(
        evaluated_facts, FactSeverity.HOLD if held else FactSeverity.WARN, named=len(keys) > 1
    )
    return EvaluatedAudit(_with_verdict(audit, evaluated_facts), failed + evaluated_facts, reason)


def _anomalies(
    audit: Audit,
    staged: StagedFile,
    keys: Sequence[str],
    around: AnomalyContext,
    history: MetricHistory,
    larger: LargerSample,
    inputs: Sequence[InputData] | None,
) -> tuple[Audit, list[Fact]]:
    """Return the anomalies of the partitions, before the declared policies apply.

    The audit comes with them: it has the metrics that were evaluated.
    """
    fed = len(keys) == 1 and _have_rows(inputs)
    facts: list[Fact] = []
    for key in _alike(keys):
        audit, of_partition = _of(key, audit, staged, around, history, larger, fed=fed)
        facts += of_partition
    if inputs is None:
        return audit, list(without_unread_columns(facts, around.used))
    facts = list(milder_for_computed(facts, around.unusual, around.emptied, around.more_rows))
    more = _more_of_each(keys, staged.rows, inputs, around)
    if more is None:
        return audit, facts
    return audit, [more, *(fact for fact in facts if fact.kind != more.kind)]


def _withheld(audit: Audit, staged: StagedFile) -> bool:
    """Whether the audit keeps the rows from readers.

    With `on_fail: warn` and for accepted deliveries it doesn't; but rows of no partition can't be
    published.
    """
    return audit.verdict in (Verdict.HELD, Verdict.REJECTED) or any(
        part.key == NOWHERE for part in staged.partitions
    )


def _have_rows(inputs: Sequence[InputData] | None) -> bool:
    return bool(inputs) and all(data.rows for data in inputs or ())


def _more_of_each(
    keys: Sequence[str], rows: int, inputs: Sequence[InputData], around: AnomalyContext
) -> Fact | None:
    """Return a fact if changed code gives far more rows per input row than any partition so far.

    The variance of earlier partitions doesn't matter here.
    """
    read = inputs[0] if len(keys) == 1 == len(inputs) else None
    if read is None or not read.rows or not around.rows_each or rows < MORE_ROWS_MIN:
        return None
    most = around.rows_each * read.rows
    if rows < MORE_TIMES * most:
        return None
    return Fact(
        kind="volume_anomaly",
        severity=FactSeverity.HOLD,
        strength=EXACT,
        partition=keys[0],
        detail=f"× {rows / most:.3g}",
        expected=(
            f"at most {most:,.0f} rows made of {read.rows:,} rows of {read.name}, as by the code"
            " before"
        ),
        observed=f"{rows:,} rows",
    )


def _alike(keys: Sequence[str]) -> list[str]:
    """Return the partitions with the history's key, in order of time."""
    key = min(keys).partition(SEPARATOR)[2]
    return sorted(item for item in keys if item.partition(SEPARATOR)[2] == key)


def _of(
    key: str,
    audit: Audit,
    staged: StagedFile,
    around: AnomalyContext,
    history: MetricHistory,
    larger: LargerSample,
    *,
    fed: bool,
) -> tuple[Audit, tuple[Fact, ...]]:
    vector = audit.of(key).metrics
    if not vector:
        return audit, ()
    partition = EvaluatedPartition(
        key=key,
        metrics=metrics.decoded(vector),
        content_hash=hash_of(key, audit, staged),
        versions=around.versions,
        sources=around.sources,
        peers=around.peers,
        calendar=around.calendar,
        fed=fed,
    )
    facts = evaluate_partition(partition, history)
    profile = audit.of(key).profile
    sampled = sampled_rows(profile)
    if sampled and (facts or lacks_values(profile) or near_limit(partition, sampled, history)):
        audit = audit.with_profile_of(key, larger.audit(audit))
        vector = audit.of(key).metrics
        partition = msgspec.structs.replace(partition, metrics=metrics.decoded(vector))
        facts = evaluate_partition(partition, history)
    if partition.metrics.rows and not any(fact.severity is FactSeverity.HOLD for fact in facts):
        history.add(StoredMetrics(key, vector))
    return audit, facts


def hash_of(key: str, audit: Audit, staged: StagedFile) -> str | None:
    """Return the content hash of a staged partition; None if unknown."""
    known = audit.of(key).content_hash
    return known or next((part.content_hash for part in staged.partitions if part.key == key), None)


def _with_verdict(audit: Audit, facts: Sequence[Fact]) -> Audit:
    """Return the audit with `held` or `warned` where a fact says so.

    A delivery is held as a whole; rejected partitions stay rejected.
    """
    parts = {
        key: msgspec.structs.replace(
            part, verdict=_verdict(part.verdict, [fact for fact in facts if fact.partition == key])
        )
        for key, part in audit.partitions.items()
    }
    return msgspec.structs.replace(audit, verdict=_verdict(audit.verdict, facts), partitions=parts)


def _verdict(was: Verdict, facts: Sequence[Fact]) -> Verdict:
    if not facts or was in (Verdict.HELD, Verdict.REJECTED):
        return was
    return (
        Verdict.HELD
        if any(fact.severity is FactSeverity.HOLD for fact in facts)
        else Verdict.WARNED
    )


def with_repeated(
    audit: Audit, session: DuckDBSession, staged: StagedFile, table: LakeTable
) -> Audit:
    """Return the audit with the number of rows identical to others, in the delivery's metrics.

    Only for deliveries of one partition. It is 0 where rows are known to be unique, and isn't
    counted above REPEATED_ROWS_MAX rows, nor where the audit's scan has counted it.
    """
    if not audit.metrics or not 1 < staged.rows <= REPEATED_ROWS_MAX:
        return audit
    measured = metrics.decoded(audit.metrics)
    if measured.repeated is not None:
        return audit
    unique = any(
        result.kind == CommonCheck.UNIQUE and result.outcome is CheckState.PASSED
        for result in audit.results
    ) or any(
        profile.sampled is None and profile.distinct == staged.rows
        for profile in audit.profile.values()
    )
    repeated = 0 if unique else _repeated(session, staged, table)
    vector = metrics.encoded(msgspec.structs.replace(measured, repeated=repeated))
    return msgspec.structs.replace(audit, metrics=vector)


def with_end(audit: Audit, prepared: PreparedDelivery) -> Audit:
    """Return the audit with the metric whether the file's last line lacks a line end.

    Only for deliveries of one partition.
    """
    if not audit.metrics or prepared.schema.format.kind not in OF_LINES:
        return audit
    paths = [Path(part.opened.path) for part in prepared.parts or (prepared,)]
    known = metrics.decoded(audit.metrics)
    vector = metrics.encoded(msgspec.structs.replace(known, open_end=any(map(ends_open, paths))))
    return msgspec.structs.replace(audit, metrics=vector)


def _repeated(session: DuckDBSession, staged: StagedFile, table: LakeTable) -> int:
    columns = [column for column in table.columns if column.name != PARTITION_COLUMN]
    source = relation_sql([FileRef(staged.path, lookup=FileLookup.SAME)], columns)
    named = ", ".join(quote(column.name) for column in columns)
    row = session.connection.execute(
        f"SELECT count(*) - count(DISTINCT hash({named})) FROM ({source}) AS file"
    ).fetchone()
    return int(row[0]) if row else 0


# Repeated values: the share of the previous day's values that occur again in a column, and the
# share of rows with unknown keys.

DISTINCT_MIN, DISTINCT_MAX = 20, 50_000
"""Distinct values of a column that names things: fewer are categories, more are a key."""
REPEATED_COLUMNS_MAX = 8


def with_repeated_values(
    audit: Audit, session: DuckDBSession, staged: StagedFile, table: LakeTable, task: IngestTask
) -> Audit:
    """Return the audit with metrics on repeated values, for a delivery of one partition.

    For each text column: the share of the previous day's values that occur again. For each column
    joined downstream: the share of rows whose key is unknown.
    """
    before, lately = task.neighbours.day_before, task.neighbours.lately
    if (before is None and lately is None) or not audit.metrics or not staged.rows:
        return audit
    measured = metrics.decoded(audit.metrics)
    columns = dict(measured.columns)
    now = relation_sql([FileRef(staged.path, lookup=FileLookup.SAME)], _columns(table))
    if before is not None:
        texts = [column.name for column in table.columns if column.type == "VARCHAR"]
        columns |= _with_repeated(columns, texts, session, now, before)
    if lately is not None:
        columns |= _with_unknown(columns, sorted(task.neighbours.joined), session, now, lately)
    if columns == measured.columns:
        return audit
    return msgspec.structs.replace(
        audit, metrics=metrics.encoded(msgspec.structs.replace(measured, columns=columns))
    )


def _with_repeated(
    columns: Mapping[str, ColumnMetrics],
    names: Iterable[str],
    session: DuckDBSession,
    now: str,
    before: InputData,
) -> dict[str, ColumnMetrics]:
    return {
        name: msgspec.structs.replace(
            columns[name], kept=_share_repeated(session, now, before, name)
        )
        for name in _named(names, before, columns)
    }


def _with_unknown(
    columns: Mapping[str, ColumnMetrics],
    names: Iterable[str],
    session: DuckDBSession,
    now: str,
    lately: InputData,
) -> dict[str, ColumnMetrics]:
    return {
        name: msgspec.structs.replace(
            columns[name], unknown=_share_unknown(session, now, lately, name)
        )
        for name in _named(names, lately, columns)
    }


def _columns(table: LakeTable) -> list[LakeColumn]:
    return [column for column in table.columns if column.name != PARTITION_COLUMN]


def _named(
    names: Iterable[str], before: InputData, columns: Mapping[str, ColumnMetrics]
) -> list[str]:
    """Return the names of columns that name things and existed before."""
    had = {column.name for column in before.columns} - {PARTITION_COLUMN}
    return [
        name
        for name in names
        if name in had and name in columns and _names_things(columns[name].distinct)
    ][:REPEATED_COLUMNS_MAX]


def _names_things(distinct: float | None) -> bool:
    return distinct is not None and DISTINCT_MIN <= round(math.exp(distinct)) <= DISTINCT_MAX


def _share_repeated(session: DuckDBSession, now: str, before: InputData, name: str) -> float | None:
    """Return the share of a column's previous values that still occur."""
    cell = _cell(name)
    row = _counted(
        session,
        f"SELECT count(*), count(*) FILTER (value IN (SELECT {cell} FROM ({now}) AS a WHERE value"
        f" IS NOT NULL)) FROM ({_values(before, name)}) AS was",
    )
    return row[1] / row[0] if row and row[0] >= DISTINCT_MIN else None


def _share_unknown(session: DuckDBSession, now: str, lately: InputData, name: str) -> float | None:
    """Return the share of rows whose value in a column no recent row had."""
    row = _counted(
        session,
        f"SELECT count(*), count(*) FILTER (value NOT IN ({_values(lately, name)}))"
        f" FROM (SELECT {_cell(name)} FROM ({now}) AS a) AS own WHERE value IS NOT NULL",
    )
    return row[1] / row[0] if row and row[0] else None


def _cell(name: str) -> str:
    return f"{quote(name)} AS value"


def _values(data: InputData, name: str) -> str:
    """Return a query for the distinct values of a column, without null."""
    return (
        f"SELECT DISTINCT {_cell(name)} FROM ({relation_sql(data.files, data.columns)}) AS b WHERE"
        " value IS NOT NULL"
    )


def _counted(session: DuckDBSession, statement: str) -> tuple[int, int] | None:
    """Return the counts; None if the published files were replaced and deleted in the meantime."""
    import duckdb

    try:
        return session.connection.execute(statement).fetchone()
    except duckdb.IOException:
        return None


# Copies of rows: the number of times that each row of a delivery occurs, apart from its keys.

COPIES_ROWS_MAX = 100_000
"""Larger deliveries aren't compared row by row."""
COPIES_COLUMNS_MAX = 200
CONTENTS_MIN = 20
"""At least this many distinct rows must have counts with a common divisor, to rule out chance."""


def with_copies(
    audit: Audit, session: DuckDBSession, staged: StagedFile, table: LakeTable
) -> Audit:
    """Return the audit with the number of times that each row occurs under other keys.

    Only for a delivery of one partition.
    """
    columns = _columns(table)
    if (
        not audit.metrics
        or not 2 * CONTENTS_MIN <= staged.rows <= COPIES_ROWS_MAX
        or len(columns) > COPIES_COLUMNS_MAX
    ):
        return audit
    copies, apart = _rows_times(audit, session, staged, columns)
    known = msgspec.structs.replace(metrics.decoded(audit.metrics), copies=copies, apart=apart)
    return msgspec.structs.replace(audit, metrics=metrics.encoded(known))


def _rows_times(
    audit: Audit, session: DuckDBSession, staged: StagedFile, columns: Sequence[LakeColumn]
) -> tuple[int, tuple[str, ...]]:
    """Return the number of times that each row occurs, and the columns in which copies differ."""
    names = [column.name for column in columns]
    even = [name for name in names if _may_be_even(audit.profile.get(name), staged.rows)]
    times = _profiled_times(columns, even, audit.profile)
    if not _may_be_copies(even, times, audit.profile):
        return 1, ()
    rows = relation_sql([FileRef(staged.path, lookup=FileLookup.SAME)], columns)
    times |= _times(session, rows, sorted(set(even) - times.keys()))
    same = [name for name in even if times[name] > 1]
    copies = _copies(session, rows, same) if _may_be_copies(same, times, audit.profile) else 1
    return copies, tuple(name for name in names if name not in same) if copies > 1 else ()


def _may_be_copies(
    names: Sequence[str], times: Mapping[str, int], profiles: Mapping[str, ColumnProfile]
) -> bool:
    """Whether all rows may occur several times, by these columns.

    The rows with one value are several different ones, each with its copies. So the number of
    copies divides the count of each value in each column.
    """
    common = math.gcd(*(times[name] for name in names if name in times))
    return common != 1 and _distinguish(names, profiles)


def _profiled_times(
    columns: Sequence[LakeColumn], names: Sequence[str], profiles: Mapping[str, ColumnProfile]
) -> dict[str, int]:
    """Return column → the greatest common divisor of the counts of its values, where profiles have
    all of them: columns of few values, of types that profiles show exactly.
    """
    exact = {column.name for column in columns if column.type in TELLING}
    known = {name: profiles[name] for name in names if name in exact and name in profiles}
    return {
        name: math.gcd(profile.nulls, *(count for _, count in profile.top))
        for name, profile in known.items()
        if profile.sampled is None
        and profile.categorical
        and profile.nulls + sum(count for _, count in profile.top) == profile.rows
    }


def _may_be_even(profile: ColumnProfile | None, rows: int) -> bool:
    """Whether each value of a column may occur several times, by its profile.

    Not if there are too many distinct values, or if the counts of some rows have no common
    divisor: a number of copies would divide the count of each value, so the sums of counts too.
    """
    if profile is None or profile.sampled is not None:
        return True
    if (profile.distinct or 0) > rows // 2:
        return False
    counts = (profile.rows, profile.nulls, profile.negative, profile.zero, profile.empty)
    frequent = (count for _, count in profile.top)
    return math.gcd(*(count or 0 for count in counts), *frequent, *profile.hours) > 1


def _distinguish(names: Sequence[str], profiles: Mapping[str, ColumnProfile]) -> bool:
    """Whether the values of these columns together can distinguish CONTENTS_MIN rows."""
    combinations = 1
    for name in names:
        profile = profiles.get(name)
        if profile is None or profile.distinct is None or profile.sampled is not None:
            return True
        combinations *= profile.distinct + (profile.nulls > 0)
    return combinations >= CONTENTS_MIN


def _times(session: DuckDBSession, rows: str, names: Sequence[str]) -> dict[str, int]:
    """Return column → the greatest common divisor of the counts of its values."""
    if not names:
        return {}
    hashes = ", ".join(f"hash({quote(name)})" for name in names)
    cells = (
        f"SELECT unnest(range({len(names)})) AS place, unnest([{hashes}]) AS cell"
        f" FROM ({rows}) AS file"
    )
    counted = f"SELECT place, count(*) AS n FROM ({cells}) GROUP BY place, cell"
    counts = dict(
        session.connection.execute(
            f"SELECT place, list(DISTINCT n) FROM ({counted}) GROUP BY place"
        ).fetchall()
    )
    return {name: math.gcd(*counts[at]) for at, name in enumerate(names)}


def _copies(session: DuckDBSession, rows: str, names: Sequence[str]) -> int:
    """Return the number of times that each row occurs, as far as these columns show.

    1 if the columns distinguish too few rows.
    """
    listed = ", ".join(map(quote, names))
    counted = f"SELECT count(*) AS n FROM ({rows}) AS file GROUP BY {listed}"
    row = session.connection.execute(
        f"SELECT count(*), list(DISTINCT n) FROM ({counted})"
    ).fetchone()
    assert row is not None
    return math.gcd(*row[1]) if row[0] >= CONTENTS_MIN else 1


# Further anomalies of a delivery that is held for its column names: it is read once more as if the
# names were decided. A renamed column with other units, or a file that lacks a column and its
# second half, has two causes. Both are reported on the first day; otherwise the user who accepts
# the mapping meets the next fault only then.


def further_facts(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    drifting: Drifting,
    copy: RawCopy,
    name: str,
) -> tuple[Fact, ...]:
    """Return the facts that would hold the delivery if its column names were decided.

    Empty if it can't be read with them either.
    """
    import duckdb

    if drifting.pinned is None or task.source.partition.grain is None or not task.history:
        return ()
    prepared = read_as(
        task, context, session, copy, name, pinned=drifting.pinned, adapt=drifting.as_if_decided
    )
    if not isinstance(prepared, PreparedDelivery):
        return ()
    try:
        staged, table = stage(
            session,
            prepared.select_sql,
            table_name=task.source.name,
            partition=(
                key_of_rows(task.source, prepared.schema.columns, task.keys)
                if is_routed_by_rows(task.source)
                else task.found.partition
            ),
            table=task.table,
            evolve=task.evolve or needs_room(prepared.schema, task.table),
        )
    except (CannotRead, LakeError, duckdb.ConversionException, duckdb.InvalidInputException):
        return ()  # the delivery has other faults that prevent reading
    finally:
        prepared.discard()
    try:
        facts = _facts_as_if_decided(task, session, prepared, staged, table)
    finally:
        (context.folders.lake / staged.path).unlink()
    results = [
        fact
        for fact in facts
        if fact.severity is FactSeverity.HOLD and fact.column not in drifting.missing_columns
    ]
    renamed = drifting.renamed
    return tuple(_told_beside(fact, renamed.get(fact.column)) for fact in results)


def _told_beside(fact: Fact, renamed: DriftChange | None) -> Fact:
    """Return the fact with the delivered name of its column.

    The proposed rename compares the column's size as well: both then report the same factor.
    """
    if renamed is None:
        return msgspec.structs.replace(fact, detail=f"{fact.detail}; {BESIDES}")
    detail = fact.detail
    scale = next(
        (differ for differ in renamed.differs if differ.kind is ValueDifferenceKind.SCALE), None
    )
    if scale is not None and detail.startswith(SIZE) and "?" not in detail:
        detail = f"{SIZE}{scale.times}"
    return msgspec.structs.replace(fact, detail=f"{detail}; {DELIVERED_AS}{renamed.to}; {BESIDES}")


def _facts_as_if_decided(
    task: IngestTask,
    session: DuckDBSession,
    prepared: PreparedDelivery,
    staged: StagedFile,
    table: LakeTable,
) -> tuple[Fact, ...]:
    source = task.source
    result = audit(
        session,
        staged,
        table,
        (),
        partition_check=None,
        partitions=task.keys,
        references=(),
        now_us=task.now_us,
        timezone=source.timezone,
        classified=task.classified,
    )
    result = with_end(with_repeated(result, session, staged, table), prepared)
    result = with_repeated_values(result, session, staged, table, task)
    larger = LargerSample(session, staged, table, source.timezone, task.classified)
    return evaluated_audit(
        result, staged, task.keys, task.around, task.history, source.partition.grain, larger
    ).facts
