"""What else is odd about a delivery that is held for the names of its columns: read once more as if these were decided, and judged.

A renamed column with other units, or a file without a column and without its second half, has two causes. Both are
named on the first day: who has accepted the mapping shouldn't meet the next fault then.
"""

from __future__ import annotations

import msgspec

from headrace.connect.deliveries import CannotRead
from headrace.connect.ingest import PreparedDelivery
from headrace.connect.keep import RawCopy
from headrace.connect.kinds import routed
from headrace.connect.routed import key_of_rows
from headrace.lake import LakeTable, StagedFile
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import stage
from headrace.model import LakeError
from headrace.model.clauses import BESIDES, DELIVERED_AS, SIZE
from headrace.quality.audit import audit
from headrace.quality.facts import DriftChange, Fact, FactSeverity
from headrace.quality.value_changes import ValueDifferenceKind
from headrace.run.messages import IngestTask
from headrace.run.steps.drifting import Drifting, needs_room
from headrace.run.steps.lasting import with_lasting
from headrace.run.steps.oddities import oddities, with_end, with_repeated
from headrace.run.steps.reading import read_as
from headrace.run.steps.worker_context import WorkerContext


def besides(
    task: IngestTask, context: WorkerContext, session: DuckDBSession, drifting: Drifting, copy: RawCopy, name: str
) -> tuple[Fact, ...]:
    """What would hold the delivery if its names were decided; nothing where it can't be read like that either."""
    import duckdb

    if drifting.pinned is None or task.source.partition.grain is None or not task.history:
        return ()
    prepared = read_as(task, context, session, copy, name, pinned=drifting.pinned, adapt=drifting.as_if_decided)
    if not isinstance(prepared, PreparedDelivery):
        return ()
    try:
        staged, table = stage(
            session,
            prepared.select_sql,
            table_name=task.source.name,
            partition=key_of_rows(task.source, prepared.schema.columns, task.keys) if routed(task.source) else task.found.partition,
            table=task.table,
            evolve=task.evolve or needs_room(prepared.schema, task.table),
        )
    except (CannotRead, LakeError, duckdb.ConversionException, duckdb.InvalidInputException):
        return ()  # what else is wrong with it stands in its way as well
    finally:
        prepared.discard()
    try:
        facts = _judged(task, session, prepared, staged, table)
    finally:
        (context.folders.lake / staged.path).unlink()
    results = [fact for fact in facts if fact.severity is FactSeverity.HOLD and fact.column not in drifting.gone]
    renamed = drifting.renamed
    return tuple(_told_beside(fact, renamed.get(fact.column)) for fact in results)


def _told_beside(fact: Fact, renamed: DriftChange | None) -> Fact:
    """With the name that the delivery has for its column. The size of a renamed column is compared
    where the rename is proposed, too: both say the factor that is found there."""
    if renamed is None:
        return msgspec.structs.replace(fact, detail=f"{fact.detail}; {BESIDES}")
    detail = fact.detail
    scale = next((differ for differ in renamed.differs if differ.kind is ValueDifferenceKind.SCALE), None)
    if scale is not None and detail.startswith(SIZE) and "?" not in detail:
        detail = f"{SIZE}{scale.times}"
    return msgspec.structs.replace(fact, detail=f"{detail}; {DELIVERED_AS}{renamed.to}; {BESIDES}")


def _judged(task: IngestTask, session: DuckDBSession, prepared: PreparedDelivery, staged: StagedFile, table: LakeTable) -> tuple[Fact, ...]:
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
        classified=[column.name for column in task.promised or () if column.classification],
    )
    result = with_end(with_repeated(result, session, staged, table), prepared)
    result = with_lasting(result, session, staged, table, task)
    return oddities(result, staged, task.keys, task.around, task.history, source.partition.grain).facts
