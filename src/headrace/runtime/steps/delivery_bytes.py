"""The bytes of deliveries: copied or fetched once, and kept."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.connect import DetectedDelivery
from headrace.connect.connectors import Access, Unavailable, connector_name
from headrace.connect.connectors import connector_of as source_kind
from headrace.connect.deliveries import DELIVERY_BYTES_MAX, CannotRead
from headrace.connect.raw_files import (
    ChangedWhileRead,
    RawCopy,
    raw_path,
    store_fetched,
    store_parts,
    store_raw,
)
from headrace.model import HeadraceError
from headrace.runtime.messages import IngestTask, ObserveTask
from headrace.runtime.steps.worker_context import WorkerContext

FAR_SAMPLES = 2
"""Number of remote deliveries fetched to infer types from; each is fetched again when ingested."""


def bytes_of(task: IngestTask, context: WorkerContext) -> tuple[RawCopy, str]:
    """Keep the delivery's bytes; return the raw copy and its name.

    The name's suffix determines the format if the bytes don't.
    """
    if (handed_in := _handed_in(task, context)) is not None:
        return (
            store_raw(Path(context.folders.data), handed_in, context.folders.raw),
            task.found.path,
        )
    if task.found.bundle and (copy := raw_path(context.folders.raw, task.found.bundle)) is not None:
        return copy, task.found.path  # the observation of its rows has kept it
    if task.found.parts:
        return (
            store_parts(context.folders.project, task.found, context.folders.raw),
            task.found.path,
        )
    try:
        return _fetch_one(task, context, task.found)
    except ChangedWhileRead:
        copy = raw_path(context.folders.raw, task.sha256) if task.sha256 else None
        if copy is None:
            raise
        return copy, task.found.path


def _handed_in(task: IngestTask, context: WorkerContext) -> DetectedDelivery | None:
    """Return a delivery handed in by hand, with its path in the data folder.

    None for all others.
    """
    path = context.folders.project / task.found.path
    if not path.is_relative_to(context.folders.received):
        return None
    return msgspec.structs.replace(
        task.found, path=path.relative_to(context.folders.data).as_posix()
    )


def access_to(task: IngestTask | ObserveTask, context: WorkerContext) -> Access:
    """Return the inputs of the connector of a task's source."""
    return Access(
        source=task.source,
        connection=task.connection,
        secrets=context.secrets,
        project=context.folders.project,
        temporary=context.folders.temporary,
        now_us=task.now_us,
        private_addresses=task.private_addresses,
        bytes_max=task.bytes_max if isinstance(task, IngestTask) else DELIVERY_BYTES_MAX,
        published=isinstance(task, ObserveTask) and task.published,
    )


def _fetch_one(
    task: IngestTask, context: WorkerContext, delivery: DetectedDelivery
) -> tuple[RawCopy, str]:
    """Copy or fetch one file. Raises as `store_raw` and a connector's `fetch` do."""
    if connector_name(task.source) is None:
        return store_raw(context.folders.project, delivery, context.folders.raw), delivery.path
    fetched = source_kind(task.source).fetch(access_to(task, context), delivery)
    copy = store_fetched(fetched.path, context.folders.raw)
    return msgspec.structs.replace(copy, version=fetched.version), fetched.name


def samples_of(task: IngestTask, context: WorkerContext, name: str) -> list[tuple[Path, str]]:
    """Return kept copies of other deliveries, to infer types from.

    Deliveries that can't be kept now are skipped. Of remote deliveries, only FAR_SAMPLES text files
    are fetched, because text doesn't state its types.
    """
    far = connector_name(task.source) is not None
    deliveries = (
        task.samples
        if not far
        else task.samples[-FAR_SAMPLES:]
        if name.endswith((".jsonl", ".csv"))
        else ()
    )
    samples = []
    for delivery in deliveries:
        try:
            copy, sampled = _fetch_one(task, context, delivery)
        except (HeadraceError, CannotRead, Unavailable):
            continue
        samples.append((Path(copy.path), sampled))
    return samples
