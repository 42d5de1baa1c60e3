"""One way to read the kept bytes of a delivery: as they are pinned, otherwise, or to see if they could be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.connect import Drift, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.adapting import Adapt
from headrace.connect.ingest import PreparedDelivery, prepare_all
from headrace.connect.keep import RawCopy
from headrace.lake.session import DuckDBSession
from headrace.run.messages import IngestTask
from headrace.run.steps.worker_context import WorkerContext

Unread = Drift | TypeDrift | UnreadableFile
"""What stands in the way of reading a delivery."""


def read_as(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    copy: RawCopy,
    name: str,
    *,
    pinned: SourceSchema | None,
    adapt: Adapt | None,
    samples: Sequence[tuple[Path, str]] = (),
) -> PreparedDelivery | Unread:
    """The delivery's files, prepared to be selected from, or what stands in the way. `pinned`: the schema they are expected to
    have; `adapt`: what decides about a header that has another; `samples`: other deliveries to learn types from."""
    return prepare_all(
        [(Path(path), part) for path, part in copy.parts] or [(Path(copy.path), name)],
        connection=session.connection,
        temporary=context.folders.temporary,
        pinned=pinned,
        promised=task.promised,
        samples=samples,
        options=task.source.connector,
        adapt=adapt,
    )
