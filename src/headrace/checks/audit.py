"""The audit of a staged file: all checks, the profile and the partition column in one scan.

The audit doesn't recompute what the file's statistics contain (rows, nulls, minimum, maximum). All
aggregates of all checks are one SELECT. Separate queries run for `references` and `sql`, for keys
of large files and, for failed checks only, for sample rows. A check that can't be measured fails;
it never counts as passed.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.checks import metrics, profile_plan
from headrace.checks.anomalies.metric_anomalies import EXACT
from headrace.checks.check_kinds import (
    ONLY,
    CheckedPartition,
    CheckKind,
    CheckSubject,
    StagedScanner,
    known_kind,
)
from headrace.checks.evaluation import (
    Concluded,
    conclude,
    count_profiled,
    declare,
    measure,
)
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.placement import NAME, PartitionCheck, placement_checks
from headrace.checks.results import (
    Audit,
    CheckResult,
    CheckState,
    ColumnProfile,
    PartitionAudit,
    Verdict,
)
from headrace.lake import (
    PARTITION_COLUMN,
    FileRef,
    LakeTable,
    StagedFile,
    StagedPartition,
)
from headrace.lake.row_routing import NOWHERE
from headrace.lake.sqltext import Readable, quote
from headrace.lake.staging import HASHED_BYTES_MAX, hash_aggregate, hash_text, row_hash
from headrace.model import CheckSpec, ContractColumn, NotBuilt, Place, Severity
from headrace.model import Severity as CheckSeverity
from headrace.model.check_kinds import CommonCheck
from headrace.model.contract_checks import promised_of
from headrace.model.intervals import bounds_us
from headrace.model.partitions import SEPARATOR

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


# Checks that a contract implies: required columns aren't null, keys are unique.

_SEVERITIES = {"block": Severity.BLOCKING, "map": Severity.BLOCKING, "warn": Severity.WARNING}


def promised_checks(
    columns: Sequence[ContractColumn], place: Place, on_drift: Mapping[str, str] | None = None
) -> tuple[CheckSpec, ...]:
    """Return checks for the contract's `required`, `unique` and `primaryKey`, declared at `place`.

    The columns of `primaryKey` make one key. The checks are blocking, unless `on_drift` says
    otherwise for `nullability` or `keys`.
    """
    nulls, keys = (
        (_SEVERITIES.get((on_drift or {}).get(kind, "block"))) for kind in ("nullability", "keys")
    )
    return promised_of(columns, place, nulls, keys)


PROFILES_MAX = 20_000
"""The maximum number of columns × partitions that are profiled: a delivery may hold 8,760 hours."""

BY_ROW_MAX = 1_000
"""The most rows whose values are fetched one by one; from about 2,000 on a scan is faster."""

ON_FAIL = {"reject": Verdict.REJECTED, "hold": Verdict.HELD, "warn": Verdict.WARNED}
"""`on_fail:` → the verdict of a partition of which a blocking check failed."""


class TableContents(msgspec.Struct, frozen=True):
    """The content of a table after publication: files, number of rows, and partition published."""

    files: tuple[FileRef, ...]
    rows: int
    key: str

    def instead_of(self, staged: StagedFile) -> StagedFile:
        """Return the table as if it were one staged file, without statistics."""
        parts = (StagedPartition(self.key, self.rows),)
        return msgspec.structs.replace(
            staged,
            rows=self.rows,
            size_bytes=HASHED_BYTES_MAX + 1,
            statistics={},
            nested={},
            partitions=parts,
        )


class AuditRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a task are audited against, whichever of its files holds them."""

    checks: Sequence[CheckSpec]
    now_us: int
    partition_check: PartitionCheck | None = None
    partitions: Sequence[str] = ()
    """The requested keys (default: the staged ones); one without rows is evaluated too."""
    key: tuple[str, str] | None = None
    """The key column and its only permitted value."""
    references: Sequence[Readable] = ()
    """The other nodes that checks read, with the files of their newest publication."""
    timezone: str = "UTC"
    """Of times without a zone, unless `partition_check` has a time zone."""
    on_fail: str = "reject"
    waived: Mapping[str, Collection[str]] = {}
    """Partition → blocking checks that only warn there."""
    classified: Sequence[str] = ()
    """Columns of which no value is stored."""


def audit(
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
    request: AuditRequest,
    *,
    whole: TableContents | None = None,
    described: bool = True,
    repeated: bool = False,
) -> Audit:
    """Audit a staged file and return the result; it decides whether the file may be published.

    Each check is evaluated per partition, with the same result alone as in a batch. With `whole`
    checks read all rows of the table as it will be, since the staged file of a merge holds only the
    changes. Without `described` no profile is computed. Large partitions are profiled from
    `FIRST_SAMPLE_ROWS` rows; `described_again` reads more. With `repeated`, the scan of a single
    partition of at most `REPEATED_ROWS_MAX` rows counts those identical to others.

    Raises `NotBuilt` for `quarantine_rows`.
    """
    started = time.perf_counter()
    _refuse_unsupported(request.on_fail)
    staged, files = (staged, ()) if whole is None else (whole.instead_of(staged), whole.files)
    checks, partition_check = request.checks, request.partition_check
    parts = _parts(staged, request.partitions, partition_check, request.now_us)
    reader = StagedScanner(
        session,
        staged,
        table,
        request.references,
        several=len(parts) > 1,
        files=files,
        classified=request.classified,
    )
    subject = _subject(reader, partition_check[2] if partition_check else request.timezone)
    items = [declare(check, subject) for check in checks]
    placement = placement_checks(
        subject, reader, parts, request.partitions, partition_check, request.key
    )
    description = profile_plan.Description({}, {})
    if described:
        description = _description(
            subject,
            reader,
            [part.rows for part in parts],
            request.classified,
            one_file=whole is None,
            first=True,
            keys=_keys(checks),
        )
    hashed = _hashed(table, staged, parts)
    compared = _repeated(table, reader, asked=repeated and described)
    reader.sample(description.every)
    by_row = functools.partial(_by_row, reader, description, table, compared, hashed)
    extra = [*description.aggregates, *compared, *hashed]
    profiled = _complete(description, whole)
    scanned = measure([*items, *placement], reader, extra, by_row, profiled)
    counted = _rows_by_key(parts, reader, description.columns)
    profiles = description.profiles(counted, scanned) if profiled else {}
    count_profiled(items, profiles)
    concluded = tuple(conclude(item, parts, reader) for item in items)
    misplaced = _failed(conclude(item, parts, reader) for item in placement)
    results = tuple(item.result for item in (*concluded, *misplaced))
    if not profiles:
        description = msgspec.structs.replace(description, unique=_proved_unique(concluded, checks))
        profiles = description.profiles(counted, scanned)
    # With several partitions, the key `ONLY` has the values of rows without a partition.
    profile = description.profile(staged.rows, ()) if reader.several else profiles[ONLY]
    scan = _Scan(
        table, description, bool(compared), bool(hashed), scanned, concluded, misplaced,
        request.on_fail, request.waived,
    )  # fmt: skip
    audits = scan.partitions(parts, profiles)
    return Audit(
        scan.verdict(results, staged.rows, audits.values()),
        results,
        profile,
        time.perf_counter() - started,
        scan.content_hash(ONLY, staged.rows),
        partitions=audits,
        profiles=profiles if reader.several else {},
        metrics=b"" if reader.several else scan.metrics(profile, staged.rows, described=described),
    )


def _complete(description: profile_plan.Description, whole: TableContents | None) -> frozenset[str]:
    """Return the columns whose profiles count distinct values as the scan of a check would."""
    return description.complete if whole is None else frozenset()


def _by_row(
    reader: StagedScanner,
    description: profile_plan.Description,
    table: LakeTable,
    compared: Sequence[str],
    hashed: Sequence[str],
) -> tuple[Any, ...] | None:
    """Return the values and the hash of few rows of one partition.

    None if only a scan can give what the audit computes. A file whose rows aren't as many as were
    counted is scanned, too.
    """
    few = not reader.several and reader.file.rows <= BY_ROW_MAX
    plain = description.plain_values
    if not few or not hashed or compared or plain is None:
        return None
    each = reader.each_row([*plain, row_hash(table.columns)])
    if len(each) != reader.file.rows:
        return None
    *values, hashes = zip(*each, strict=True)
    return [list(column) for column in values], sum(hashes)


class _Scan(msgspec.Struct, frozen=True):
    """The results of an audit's scan and queries, for the whole file and for each partition."""

    table: LakeTable
    description: profile_plan.Description
    compared: bool
    """Whether the scan counted repeated rows."""
    hashed: bool
    scanned: dict[str, tuple[Any, ...]]
    concluded: tuple[Concluded, ...]
    misplaced: tuple[Concluded, ...]
    on_fail: str
    waived: Mapping[str, Collection[str]]

    def partitions(
        self,
        parts: Sequence[CheckedPartition],
        profiles: Mapping[str, Mapping[str, ColumnProfile]],
    ) -> dict[str, PartitionAudit]:
        """Return each partition's audit, given the profiles of those that are profiled.

        A single one has that of the whole file.
        """
        if len(parts) == 1:
            return {}
        return {part.key: self._partition(part, profiles.get(part.key, {})) for part in parts}

    def verdict(
        self, results: Sequence[CheckResult], rows: int, parts: Iterable[PartitionAudit]
    ) -> Verdict:
        """Return the verdict of the whole file: no better than that of any of its partitions."""
        blocked = any(part.verdict is ON_FAIL[self.on_fail] for part in parts)
        waived = () if blocked else itertools.chain(*self.waived.values())
        return _verdict(results, rows, self.on_fail, waived)

    def _partition(
        self, part: CheckedPartition, profile: Mapping[str, ColumnProfile]
    ) -> PartitionAudit:
        check_results = [item.each[part.key] for item in self.concluded]
        check_results += [
            item.each[part.key]
            for item in self.misplaced
            if item.each[part.key].outcome is CheckState.FAILED
        ]
        vector = metrics.of(profile, part.rows) if profile else b""
        return PartitionAudit(
            _verdict(check_results, part.rows, self.on_fail, self.waived.get(part.key, ())),
            tuple(check_results),
            self.content_hash(part.key, part.rows),
            vector,
        )

    def metrics(self, profile: Mapping[str, ColumnProfile], rows: int, *, described: bool) -> bytes:
        """Return the metrics of a single partition, with its repeated rows if they were counted."""
        if not described:
            return b""
        values, at = self.scanned.get(ONLY, ()), self.description.aggregate_count
        measured = metrics.measured(profile, rows)
        if self.compared and len(values) > at:
            measured = msgspec.structs.replace(measured, repeated=int(values[at]))
        return metrics.encoded(measured)

    def content_hash(self, key: str, rows: int) -> str | None:
        values = self.scanned.get(key)
        if not self.hashed or values is None or len(values) <= self.description.aggregate_count:
            return None
        return hash_text(rows, values[-1], self.table.columns)


def described_again(
    audit: Audit,
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
    *,
    timezone: str,
    classified: Sequence[str] = (),
) -> Audit:
    """Return the audit with profiles and metrics from `SAMPLE_ROWS` rows of each partition.

    The checks aren't measured again, and metrics that were added to the audit later stay.
    """
    started = time.perf_counter()
    several = bool(audit.partitions)
    rows = {part.key: part.rows for part in staged.partitions} if several else {ONLY: staged.rows}
    reader = StagedScanner(session, staged, table, (), several=several)
    subject = _subject(reader, timezone)
    description = _description(subject, reader, list(rows.values()), classified)
    reader.sample(description.every)
    scanned = reader.aggregates(description.aggregates)
    profiles = {
        key: description.profile(rows[key], values)
        for key, values in scanned.items()
        if key in rows
    }
    seconds = audit.seconds + time.perf_counter() - started
    if not several:
        vector = metrics.again(audit.metrics, profiles[ONLY])
        return msgspec.structs.replace(
            audit, profile=profiles[ONLY], metrics=vector, seconds=seconds
        )
    parts = {
        key: msgspec.structs.replace(part, metrics=metrics.again(part.metrics, profiles[key]))
        if key in profiles
        else part
        for key, part in audit.partitions.items()
    }
    return msgspec.structs.replace(
        audit, partitions=parts, profiles={**audit.profiles, **profiles}, seconds=seconds
    )


def _refuse_unsupported(on_fail: str) -> None:
    if on_fail not in ON_FAIL:
        raise NotBuilt(f"on_fail: {on_fail} isn't built yet", hint="use reject, hold or warn")


def _failed(evaluated: Iterable[Concluded]) -> tuple[Concluded, ...]:
    return tuple(item for item in evaluated if item.result.outcome is CheckState.FAILED)


def _description(
    subject: CheckSubject,
    reader: StagedScanner,
    rows: Sequence[int],
    classified: Sequence[str],
    *,
    one_file: bool = True,
    first: bool = False,
    keys: Collection[str] = (),
) -> profile_plan.Description:
    """Return how a scan profiles the file, whose partitions have these numbers of rows."""
    if reader.several and len(rows) * len(subject.columns) > PROFILES_MAX:
        return profile_plan.Description(subject.columns, {})
    return profile_plan.planned(
        subject.columns,
        reader.file.statistics,
        rows if reader.several else [reader.file.rows],
        several=reader.several,
        one_file=one_file,
        timezone=subject.timezone,
        classified=classified,
        first=first,
        keys=keys,
    )


def _keys(checks: Sequence[CheckSpec]) -> dict[str, str]:
    """Return the columns that are a key of their own by a check, with the name of the check."""
    return {
        check.arguments["columns"][0]: check.name
        for check in checks
        if check.kind == CommonCheck.UNIQUE
        and check.where is None
        and len(check.arguments["columns"]) == 1
    }


def _proved_unique(concluded: Sequence[Concluded], checks: Sequence[CheckSpec]) -> frozenset[str]:
    """Return the columns whose values differ in all rows of each partition."""
    passed = {item.result.name for item in concluded if item.result.outcome is CheckState.PASSED}
    return frozenset(column for column, check in _keys(checks).items() if check in passed)


def _rows_by_key(
    parts: Sequence[CheckedPartition], reader: StagedScanner, columns: Mapping[str, str]
) -> dict[str, int]:
    """Return each partition's number of rows; nothing for more than `PROFILES_MAX` profiles.

    A file of one partition has the key `ONLY`.
    """
    if not reader.several:
        return {ONLY: reader.file.rows}
    if len(parts) * len(columns) > PROFILES_MAX:
        return {}
    return {part.key: part.rows for part in parts}


def _repeated(table: LakeTable, reader: StagedScanner, *, asked: bool) -> list[str]:
    """Return the aggregate that compares rows with one another; none for large partitions."""
    if not asked or reader.several or not 1 < reader.file.rows <= metrics.REPEATED_ROWS_MAX:
        return []
    names = ", ".join(quote(item.name) for item in table.columns if item.name != PARTITION_COLUMN)
    return [f"count(*) - count(DISTINCT hash({names}))"]


def _hashed(table: LakeTable, staged: StagedFile, parts: Sequence[CheckedPartition]) -> list[str]:
    """Return the aggregate for content hashes; none for empty files and large partitions."""
    needed = (
        staged.rows > 0
        and staged.size_bytes <= HASHED_BYTES_MAX * len(parts)
        and any(partition.content_hash is None for partition in staged.partitions)
    )
    return [hash_aggregate(table.columns)] if needed else []


def _subject(reader: StagedScanner, timezone: str) -> CheckSubject:
    columns = {column.name: column.type for column in reader.columns}
    statistics = {
        name: known for name, known in reader.file.statistics.items() if name != PARTITION_COLUMN
    }
    return CheckSubject(columns, statistics, reader.file.rows, timezone)


def _parts(
    staged: StagedFile, keys: Sequence[str], partition_check: PartitionCheck | None, now_us: int
) -> list[CheckedPartition]:
    rows = dict.fromkeys(keys, 0) | {
        partition.key: partition.rows for partition in staged.partitions
    }
    return [
        CheckedPartition(key, count, _as_of(key, partition_check, now_us), now_us)
        for key, count in rows.items()
    ]


def _as_of(key: str, partition_check: PartitionCheck | None, now_us: int) -> int:
    if partition_check is None or key == NOWHERE:
        return now_us
    return min(
        now_us, bounds_us(key.partition(SEPARATOR)[0], partition_check[1], partition_check[2])[1]
    )


def _verdict(
    results: Sequence[CheckResult], rows: int, on_fail: str, waived: Iterable[str]
) -> Verdict:
    failed = [result for result in results if result.outcome is CheckState.FAILED]
    blocking = {result.name for result in failed if result.severity is Severity.BLOCKING}
    if blocking.difference(waived):
        return ON_FAIL[on_fail]
    if failed:
        return Verdict.WARNED
    passed = any(result.outcome is CheckState.PASSED for result in results)
    return Verdict.PASSED if rows and passed else Verdict.UNCHECKED


# Failed checks as facts, so that one list has all anomalies of a partition.


def facts_of_failed_checks(
    results: Iterable[CheckResult], partition: str, *, holds: bool
) -> Iterator[Fact]:
    """Return a fact for each failed check.

    If all rows lie outside their partition, another interval was delivered again. `holds`: whether
    a failed blocking check keeps the rows from readers.
    """
    for result in results:
        if result.outcome is not CheckState.FAILED:
            continue
        outside = result.kind == NAME
        checked = known_kind(result.kind)
        kind = (
            "stale_data"
            if outside and result.failing == result.rows > 0
            else (CheckKind.cause if checked is None else checked.cause)
        )
        yield Fact(
            kind=kind,
            severity=(
                FactSeverity.HOLD
                if holds and result.severity is CheckSeverity.BLOCKING
                else FactSeverity.WARN
            ),
            expected=f"{result.name} holds",
            observed=_observed_text(result, checked),
            strength=EXACT,
            detail=f"check {result.name}",
            partition=partition,
        )


def _observed_text(result: CheckResult, checked: CheckKind | None) -> str:
    """Return how many rows fail.

    Return the detail for checks that couldn't be measured, and for kinds whose number of failing
    rows isn't a number of the node's rows.
    """
    return (
        result.detail
        if not result.failing or (checked is not None and not checked.counts_rows)
        else f"{result.failing:,} of {result.rows:,} rows fail"
    )
