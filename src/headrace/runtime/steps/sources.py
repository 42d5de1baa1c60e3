"""Sources as a worker reads them: observations, kept deliveries, evidence of renames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.column_similarity import (
    KEY_COLUMNS_MAX,
    TEXT_MAX,
    Agreement,
    Cells,
    ColumnTraits,
    agreements,
    traits,
)
from headrace.checks.drift import ColumnRename, same_spelling
from headrace.checks.facts import Fact, FactSeverity, differences
from headrace.checks.renames import places, propose
from headrace.connect import DetectedDelivery, Drift, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.connectors import THROTTLED_SECONDS_MAX, Unavailable, connector_of
from headrace.connect.deliveries import DISAGREES, EMPTY, CannotRead, printable
from headrace.connect.ingest import ReadRules, explain_error, prepare, prepare_all
from headrace.connect.parser_process import POISON
from headrace.connect.prepared import PreparedDelivery
from headrace.connect.raw_files import RawCopy, store_raw
from headrace.connect.row_partitions import CODE, partitions_in
from headrace.connect.schemas import TEXT, Adapt, about_the_machine
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote, relation_sql
from headrace.model import ContractColumn, HeadraceError
from headrace.model.errors import OUTSIZED
from headrace.model.fields import bytes_as_text
from headrace.model.intervals import bounds_us
from headrace.model.times import Offset
from headrace.runtime.messages import IngestTask, ObserveTask, SourceObserved, TooMuch
from headrace.runtime.steps.delivery_bytes import access_to, samples_of
from headrace.runtime.steps.worker_context import LARGE_BYTES, WorkerContext
from headrace.security.secrets import SecretMissing

# An observation in a worker: of a source that isn't a local folder, or into files whose rows
# belong to several intervals.

THROTTLED, TOO_LONG = "source_throttled", "throttled_too_long"
"""Codes of an observation that ended because the server asked for a pause."""


def observe(task: ObserveTask, context: WorkerContext) -> SourceObserved:
    """Observe a source; errors are part of the answer."""
    access = access_to(task, context)
    if task.files:
        return _looked_into(task, context)
    try:
        seen = connector_of(task.source).observe(access, task.wanted, task.known)
    except Unavailable as error:
        code = error.code if not error.throttled else _throttled(task, error.retry_after or 0.0)
        return SourceObserved(task.attempt, error=context.secrets.scrubbed(str(error)), code=code)
    except SecretMissing as error:
        return SourceObserved(task.attempt, error=f"{error}; {error.hint}", code=error.code)
    warnings = tuple(context.secrets.scrubbed(note.message) for note in seen.notes)
    if seen.throttled_seconds is not None:
        return SourceObserved(
            task.attempt,
            found=seen.found,
            error=warnings[0],
            code=_throttled(task, seen.throttled_seconds),
        )
    return SourceObserved(task.attempt, found=seen.found, notes=warnings)


def _throttled(task: ObserveTask, seconds: float) -> str:
    """Return the code for a pause that a server asks for: waited for, or unavailable.

    The server counts as unavailable if the pause exceeds THROTTLED_SECONDS_MAX, or lasts until
    after the deadline of its data.
    """
    until = task.now_us + int(seconds * 1_000_000)
    source, by = task.source, task.source.expect.by
    late = False
    if by is not None and source.partition.grain is not None:
        ends = (bounds_us(key, source.partition.grain, source.timezone)[1] for key in task.wanted)
        late = any(
            task.now_us < Offset.parse(by).after_us(end, source.timezone) <= until for end in ends
        )
    return TOO_LONG if late or seconds > THROTTLED_SECONDS_MAX else THROTTLED


def _looked_into(task: ObserveTask, context: WorkerContext) -> SourceObserved:
    """Return one delivery per partition of each file's rows, all of a file in one bundle.

    Files whose partitions can't be determined are the observation's error, and are read again by
    the next one. Files without rows only cause a warning.
    """
    deliveries: list[DetectedDelivery] = []
    warnings: list[str] = []
    errors: list[tuple[str, str]] = []
    for file in task.files:
        try:
            keys, bundle = _keys_in(file, task, context)
        except CannotRead as refusal:
            message = f"{printable(file.path, 200)}: {refusal.value.reason}"
            errors.append((message, refusal.value.code))
            continue
        except HeadraceError as failure:
            errors.append((str(failure), "source_unavailable"))
            continue
        if not keys:
            warnings.append(f"{printable(file.path, 200)} holds no rows that belong to a partition")
        deliveries += [msgspec.structs.replace(file, partition=key, bundle=bundle) for key in keys]
    error, code = errors[0] if errors else (None, None)
    return SourceObserved(
        task.attempt, found=tuple(deliveries), notes=tuple(warnings), error=error, code=code
    )


def _keys_in(
    file: DetectedDelivery, task: ObserveTask, context: WorkerContext
) -> tuple[list[str], str]:
    """Return the partitions of a file's rows, and the hash of its kept bytes.

    A file with drift is read by its own schema; its ingestion reports the drift. Raises CannotRead
    and HeadraceError.
    """
    copy = store_raw(context.folders.project, file, context.folders.raw)
    session = context.session(task.source.timezone, large=copy.size_bytes >= LARGE_BYTES)
    rules = ReadRules(
        temporary=context.folders.temporary,
        options=task.source.connector,
        promised=task.promised or (),
    )
    reasons = []
    for pinned in dict.fromkeys((task.pinned, None)):
        prepared = prepare(
            Path(copy.path), file.path, rules, connection=session.connection, pinned=pinned
        )
        if not isinstance(prepared, PreparedDelivery):
            reasons.append(
                CannotRead(
                    prepared.detail if isinstance(prepared, Drift) else prepared.reason, code=CODE
                )
            )
            continue
        try:
            return _keys_read(prepared, file, task, session), copy.sha256
        except CannotRead as refusal:
            reasons.append(refusal)
        finally:
            prepared.discard()
    raise reasons[0]


def _keys_read(
    prepared: PreparedDelivery, file: DetectedDelivery, task: ObserveTask, session: DuckDBSession
) -> list[str]:
    import duckdb

    try:
        return partitions_in(
            session.connection,
            prepared.select_sql,
            prepared.schema.columns,
            task.source,
            file.partition,
        )
    except duckdb.Error as error:
        unreadable_file = explain_error(error, prepared, session.connection)
        raise CannotRead(
            unreadable_file.reason,
            code=unreadable_file.code if isinstance(unreadable_file, UnreadableFile) else CODE,
        ) from error


# One way to read the kept bytes of a delivery: by its pinned schema, differently, or to find out
# whether it could be read.

Unread = Drift | TypeDrift | UnreadableFile
"""What prevents reading a delivery."""


def read_as(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    copy: RawCopy,
    name: str,
    *,
    pinned: SourceSchema | None,
    adapt: Adapt | None,
) -> PreparedDelivery | Unread:
    """Prepare the delivery's files to be selected from; return what prevents it otherwise.

    `pinned` is the expected schema, `adapt` decides on a header that differs. Without a pinned
    schema, types are inferred from other deliveries, too.
    """
    rules = ReadRules(
        temporary=context.folders.temporary,
        options=task.source.connector,
        promised=task.promised or (),
        classified=task.classified,
        samples=samples_of(task, context, name) if pinned is None else (),
        adapt=adapt,
        accepted=task.accepted,
    )
    files = [(Path(path), part) for path, part in copy.parts] or [(Path(copy.path), name)]
    return prepare_all(files, rules, connection=session.connection, pinned=pinned)


# Facts about a delivery that can't be read, or that has too few or too many rows.

POISON_NATS = 20.0
EXACT_NATS = 12.0
ODD_NATS = 9.0
"""Less than exact: alone it opens no incident."""
_AMOUNTS = {
    "delivery_truncated": ("the whole file", "cut off"),
    EMPTY: ("rows", "empty file"),
    "delivery_miscounted": ("as many rows as the file has", "cut off"),
    "delivery_too_large": ("a file of a usual size", "too large"),
    DISAGREES: ("what its own totals say", "contradicts its own totals"),
}
"""Codes of faults in the amount of data → what was expected, and the name of the fault."""


def facts_of_unreadable(why: UnreadableFile) -> tuple[Fact, ...]:
    """Return one fact, with the cause that the reason suggests."""
    if why.code == POISON:
        return (poison(why.reason),)
    if why.code in _AMOUNTS:
        expected, detail = _AMOUNTS[why.code]
        return (_held("volume_anomaly", expected, why.reason, detail),)
    return (
        _held(
            "format_change", "a file of the agreed form", why.reason, f"unreadable; {why.reason}"
        ),
    )


def poison(observed: str) -> Fact:
    """Return the fact of a delivery that ends the process reading it."""
    return Fact(
        kind="poison_delivery",
        severity=FactSeverity.HOLD,
        expected="a file that can be parsed",
        observed=observed,
        strength=POISON_NATS,
    )


def outsized(why: TooMuch, size_bytes: int) -> Fact:
    """Return the fact of a delivery that exceeds an attempt's memory or time.

    If others were read, its size is compared with theirs.
    """
    size, what = bytes_as_text(size_bytes), OUTSIZED[why.timed_out]
    if not why.largest_bytes:
        expected = "a file that can be read with the memory that an attempt may use"
        return msgspec.structs.replace(
            poison(f"{size}; {why.said}"), expected=expected, detail=f"{what}: {size}"
        )
    several = f"the {why.read:,} deliveries" if why.read > 1 else "the one delivery"
    times = f"{size_bytes // why.largest_bytes:,} times the size of any before"
    return msgspec.structs.replace(
        poison(f"{size}, {times}; {why.said}"),
        expected=f"at most {bytes_as_text(why.largest_bytes)}, as {several} read before",
        detail=f"{what}: {size}, {times}",
    )


def unexpected_rows(observed: str, rows: int) -> Fact:
    """Return the fact of a delivery held for having no rows, or more or fewer than declared."""
    if rows == 0:
        return _held("volume_anomaly", "rows", observed, "empty file")
    return _held("volume_anomaly", "as many rows as declared", observed, "rows unlike declared")


def withdrawn_rows(key: str, reason: str) -> Fact:
    """Return the fact of a delivery whose rows a user withdrew before."""
    observed = "the same rows as were withdrawn" + (f": {reason}" if reason else "")
    return msgspec.structs.replace(
        _held("stale_data", "other rows than were withdrawn", observed, "withdrawn rows"),
        partition=key,
    )


def _held(kind: str, expected: str, observed: str, detail: str) -> Fact:
    return Fact(
        kind=kind,
        severity=FactSeverity.HOLD,
        expected=expected,
        observed=observed,
        strength=EXACT_NATS,
        detail=detail,
    )


def texts_for_a_few_values(
    schema: SourceSchema, promised: Sequence[ContractColumn]
) -> tuple[Fact, ...]:
    """Return a warning for each column that is text because of a few values.

    These are values of the source's first delivery. While the column is text, code that needs the
    other values' type fails over each delivery. Nothing is held. Columns whose type the contract
    states (`promised`) are left out.
    """
    stated = {column.name for column in promised if column.type is not None}
    texts = {column.name for column in schema.columns if column.type == TEXT} - stated
    return tuple(
        Fact(
            kind="type_change",
            column=item.column,
            severity=FactSeverity.WARN,
            expected=item.type,
            observed=item.text,
            strength=ODD_NATS,
            detail="text",
        )
        for item in (schema.lesson.almost if schema.lesson is not None else ())
        if item.column in texts
    )


# Values of dropped and of new columns, read from the published table and from the delivery, only if
# there are both.

ROWS_MAX = 5_000
CELLS_MAX = 200_000
"""Limit per side: fewer rows are read if there are many columns."""


class RenameEvidence:
    """Proposes renames for one delivery."""

    def __init__(self, task: IngestTask, context: WorkerContext, copy: RawCopy, name: str) -> None:
        self._task, self._context, self._kept, self._name = task, context, copy, name

    def propose(
        self, dropped: Sequence[str], added: Sequence[str], names: Sequence[str]
    ) -> tuple[ColumnRename, ...]:
        """Return the probable renames of dropped to added columns; `names` is the whole header.

        Names that differ only in spelling are the same column; the others are compared by their
        values as well.
        """
        respelled = same_spelling(dropped, added)
        old_names = {rename.column for rename in respelled}
        new_names = {rename.to for rename in respelled}
        missing = [name for name in dropped if name not in old_names]
        new = [name for name in added if name not in new_names]
        if not missing or not new:
            return tuple(respelled)
        by_values = self._renames_by_values(missing, new, names)
        order = {name: at for at, name in enumerate(dropped)}
        return tuple(sorted((*respelled, *by_values), key=lambda rename: order[rename.column]))

    def _renames_by_values(
        self, missing: Sequence[str], new: Sequence[str], names: Sequence[str]
    ) -> list[ColumnRename]:
        """Return the renames that the published and the delivered values make probable."""
        expected = self._expected_names()
        both = [name for name in expected if name in set(names)]
        types = self._types()
        before = self._published([*missing, *both[:KEY_COLUMNS_MAX]])
        new_types, after = self._delivered([*new, *both[:KEY_COLUMNS_MAX]])
        missing_traits = _described(missing, types, places(both, expected), before)
        new_traits = _described(new, new_types, places(both, names), after)
        agreed = agreements(before, after, both, missing, new)
        return [
            self._with_differences(rename, new_traits, types, agreed)
            for rename in propose(missing_traits, new_traits, rows=agreed)
        ]

    def _expected_names(self) -> tuple[str, ...]:
        if self._task.pinned is not None:
            return self._task.pinned.names
        return tuple(column.name for column in self._task.promised or ())

    def _with_differences(
        self,
        rename: ColumnRename,
        after: Sequence[ColumnTraits],
        types: Mapping[str, str],
        agreed: Mapping[tuple[str, str], Agreement],
    ) -> ColumnRename:
        """Return the rename with other differences from the sound partitions before."""
        past = MetricHistory(self._task.history, self._task.source.partition.grain).all()
        known = [each.columns[rename.column] for each in past if rename.column in each.columns]
        now = next(column for column in after if column.name == rename.to)
        rows = agreed.get((rename.column, rename.to))
        differs = differences(known, now, types.get(rename.column, "VARCHAR"), rows)
        return msgspec.structs.replace(rename, differs=differs)

    def _types(self) -> dict[str, str]:
        task = self._task
        types = (
            {column.name: column.type for column in task.pinned.columns}
            if task.pinned is not None
            else {}
        )
        return types | {
            column.name: column.type
            for column in task.promised or ()
            if column.type and column.name not in types
        }

    def _published(self, columns: Sequence[str]) -> Cells:
        """Return published values of the same interval, or of the nearest one before it."""
        task = self._task
        published = task.known.previous or (task.earlier.data if task.earlier is not None else None)
        if published is None:
            return {}
        session = self._context.session(self._task.source.timezone)
        have = {column.name for column in published.columns}
        rows_of = relation_sql(published.files, published.columns)
        return _values(session, rows_of, [name for name in columns if name in have])

    def _delivered(self, columns: Sequence[str]) -> tuple[dict[str, str], Cells]:
        """Return the types inferred from the delivery alone, and its values."""
        session = self._context.session(self._task.source.timezone)
        path, name = self._kept.parts[0] if self._kept.parts else (self._kept.path, self._name)
        delivery = prepare(
            Path(path),
            name,
            ReadRules(
                temporary=self._context.folders.temporary, options=self._task.source.connector
            ),
            connection=session.connection,
            pinned=None,
        )
        if not isinstance(delivery, PreparedDelivery):
            return {}, {}
        try:
            types = {column.name: column.type for column in delivery.schema.columns}
            return types, _values(
                session, delivery.select_sql, [column for column in columns if column in types]
            )
        finally:
            delivery.discard()


def _described(
    columns: Sequence[str], types: Mapping[str, str], place: Mapping[str, float], cells: Cells
) -> list[ColumnTraits]:
    return [
        traits(name, types.get(name, "VARCHAR"), place.get(name, 0.0), cells.get(name, ()))
        for name in columns
    ]


def _values(
    session: DuckDBSession, rows_of: str, columns: Sequence[str]
) -> dict[str, tuple[str | None, ...]]:
    """Return some rows of these columns as text; empty if they can't be read.

    Renames are then proposed by names alone.
    """
    import duckdb

    if not columns or not rows_of:
        return {}
    listed = ", ".join(f"left(CAST({quote(name)} AS VARCHAR), {TEXT_MAX})" for name in columns)
    rows_max = max(100, min(ROWS_MAX, CELLS_MAX // len(columns)))
    try:
        rows = session.connection.execute(
            f"SELECT {listed} FROM ({rows_of}) LIMIT {rows_max}"
        ).fetchall()
    except CannotRead:
        return {}
    except duckdb.Error as error:
        if about_the_machine(error):
            raise
        return {}
    return dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else {}
