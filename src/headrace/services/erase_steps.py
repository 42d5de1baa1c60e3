"""The steps of an erasure on the leader: each is one transaction, and can be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.lake.catalog import FileMoved
from headrace.lake.erased_files import ErasedFile
from headrace.model import Refused, UsageError
from headrace.model.erased_rows import ErasedRows
from headrace.model.partitions import command_line
from headrace.privacy import erase_places
from headrace.project.session import Progress
from headrace.responses.erasures import ErasureStepResponse
from headrace.runtime import erasures, event_log
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.store import Store, Transaction
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.queries import erased_exports
from headrace.store.queries import erasures as stored
from headrace.store.queries.holds import EVERYTHING


class BeginArguments(msgspec.Struct, frozen=True):
    """A confirmed erasure."""

    subject: str
    plan_id: str
    reason: str
    keys: dict[str, tuple[ErasedRows, ...]]
    exports: tuple[tuple[str, str, int], ...] = ()
    """Exports with rows of the subject: consumer, interval, publication."""


class TableArguments(msgspec.Struct, frozen=True):
    """The rewritten files of a table, and files that no snapshot names."""

    erasure: int
    node: str
    files: tuple[ErasedFile, ...]
    seen: int
    loose: tuple[str, ...]
    counted: bool


class CopiesArguments(msgspec.Struct, frozen=True):
    """Files to delete, relative to the data folder, and quarantined data to forget."""

    erasure: int
    node: str
    what: str
    rows: int
    paths: tuple[str, ...]
    quarantined: tuple[int, ...] = ()


class ExportArguments(msgspec.Struct, frozen=True):
    """An interval of an export: the files or tables that were written again; None: why not."""

    erasure: int
    consumer: str
    interval: str
    publication: int
    manifest: tuple[dict[str, Any], ...] | None
    why: str


class CleanArguments(msgspec.Struct, frozen=True):
    """Overwrite values in the state's texts; the values are in a private file."""

    erasure: int
    values: str


class FinishArguments(msgspec.Struct, frozen=True):
    """The certificate, relative to the data folder, and its SHA-256."""

    erasure: int
    certificate: str
    sha256: str
    counts: dict[str, int]


@leader_command("erasure_begin", BeginArguments, ErasureStepResponse)
def _begin(
    context: CommandContext, arguments: BeginArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    refuse_held(context.store, list(arguments.keys))
    results: list[int] = []

    def write(tx: Transaction, now: int) -> None:
        erasure = stored.begin(
            tx,
            subject=arguments.subject,
            plan_id=arguments.plan_id,
            actor=context.actor.id,
            reason=arguments.reason,
            keys=arguments.keys,
            now=now,
        )
        event = AuditEvent(
            action=Action.ERASURE_STARTED,
            actor=context.actor,
            object=Object("subject", arguments.subject),
            reason=arguments.reason,
            after={"plan_id": arguments.plan_id, "nodes": sorted(arguments.keys)},
        )
        append(tx, now, event)
        erased_exports.wait_for(tx, erasure.id, arguments.exports)
        results.append(erasure.id)

    context.tell(write=write)
    return ErasureStepResponse(erasure=results[-1])


def refuse_held(store: Store, nodes: Sequence[str]) -> None:
    """Raise Refused if one of the nodes is under a legal hold."""
    with store.read() as tx:
        held = erasures.held(tx, nodes)
    if held:
        hold = held[0]
        name = "everything" if hold.node == EVERYTHING else hold.node
        released = command_line(
            "hold", "release", "--all" if hold.node == EVERYTHING else hold.node
        )
        raise Refused(
            f"{name} is under a legal hold of {hold.actor}: {hold.reason}",
            hint=f"{released} --reason TEXT ends it",
        )


def _known(context: CommandContext, number: int) -> stored.Erasure:
    with context.store.read() as tx:
        erasure = stored.get(tx, number)
    if erasure is None:
        raise UsageError(f"there is no erasure {number}", hint="headrace erase … --dry-run")
    return erasure


def _delete(context: CommandContext, number: int) -> None:
    """Delete the files that a step has made unneeded, and forget them."""
    erasure = _known(context, number)
    deleted = erasures.delete_unnamed(context.held.folders, erasure)
    if deleted:
        context.tell(write=lambda tx, _: stored.deleted(tx, erasure, deleted))


@leader_command("erasure_table", TableArguments, ErasureStepResponse)
def _table(
    context: CommandContext, arguments: TableArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    folders, erasure = context.held.folders, _known(context, arguments.erasure)

    def write(tx: Transaction, now: int) -> None:
        if arguments.files:
            erasures.erase_table(
                tx,
                folders,
                erasure,
                arguments.node,
                arguments.files,
                seen=arguments.seen,
                counted=arguments.counted,
                actor=context.actor,
                now=now,
            )
        if arguments.loose:
            stored.unschedule(tx, arguments.loose)
            paths = [f"{folders.lake_name}/{path}" for path in arguments.loose]
            stored.note(tx, erasure, arguments.node, {"loose": len(paths)}, paths)

    try:
        context.tell(write=write)
    except FileMoved:
        return ErasureStepResponse(erasure=erasure.id, outdated=True)
    _delete(context, erasure.id)
    return ErasureStepResponse(erasure=erasure.id)


@leader_command("erasure_copies", CopiesArguments, ErasureStepResponse)
def _copies(
    context: CommandContext, arguments: CopiesArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    erasure = _known(context, arguments.erasure)

    def write(tx: Transaction, now: int) -> None:
        counts = {arguments.what: len(arguments.paths), f"{arguments.what}_rows": arguments.rows}
        stored.note(tx, erasure, arguments.node, counts, arguments.paths)
        for partition in stored.forget_quarantined(tx, arguments.quarantined):
            erasures.forget_values(tx, arguments.node, partition, arguments.rows)
        event = AuditEvent(
            action=Action.ROWS_ERASED,
            actor=context.actor,
            object=Object("node", arguments.node, erasure.subject),
            reason=erasure.reason,
            after={**counts, "attempts": {}},
        )
        append(tx, now, event)

    context.tell(write=write)
    _delete(context, erasure.id)
    return ErasureStepResponse(erasure=erasure.id)


@leader_command("erasure_export", ExportArguments, ErasureStepResponse)
def _export(
    context: CommandContext, arguments: ExportArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    erasure = _known(context, arguments.erasure)
    key = (arguments.consumer, arguments.interval, arguments.publication)

    def write(tx: Transaction, now: int) -> None:
        if arguments.manifest is None:
            erased_exports.keep(tx, erasure.id, key, arguments.why)
        else:
            erasures.erase_export(tx, erasure, key, arguments.manifest, context.actor, now)

    context.tell(write=write)
    return ErasureStepResponse(erasure=erasure.id)


@leader_command("erasure_clean", CleanArguments, ErasureStepResponse)
def _clean_state(
    context: CommandContext, arguments: CleanArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    values = msgspec.json.decode(Path(arguments.values).read_bytes(), type=list[str])
    texts = [value for value in values if len(value) >= erase_places.LITERAL_CHARACTERS_MIN]
    _delete(context, arguments.erasure)
    context.tell(write=lambda tx, _: stored.overwrite(tx, texts))
    epoch, folders = context.held.lease.epoch, context.held.folders
    event_log.shorten(context.store, epoch, folders)
    compact(context)
    return ErasureStepResponse(erasure=arguments.erasure)


def compact(context: CommandContext) -> None:
    """Write the state's file anew, so that its free pages hold nothing of what was deleted.

    PostgreSQL does that by itself (`vacuum full`), which needs its administrator.
    """
    engine = context.store.engine
    if isinstance(engine, SqliteEngine):
        engine.compact()


@leader_command("erasure_finish", FinishArguments, ErasureStepResponse)
def _finish(
    context: CommandContext, arguments: FinishArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    erasure = _known(context, arguments.erasure)

    def write(tx: Transaction, now: int) -> None:
        stored.finish(tx, erasure, arguments.certificate, now)
        event = AuditEvent(
            action=Action.ERASURE_FINISHED,
            actor=context.actor,
            object=Object("subject", erasure.subject),
            reason=erasure.reason,
            after={
                "plan_id": erasure.plan_id,
                "certificate_sha256": arguments.sha256,
                **arguments.counts,
            },
        )
        append(tx, now, event)

    context.tell(write=write)
    return ErasureStepResponse(erasure=erasure.id)
