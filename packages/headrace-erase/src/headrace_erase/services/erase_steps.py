"""The steps of an erasure on the leader: each is one transaction, and can be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.extension import CommandContext, Refused, UsageError, command_line, leader_command
from headrace.lake.catalog import FileMoved
from headrace.lake.erased_files import ErasedFile
from headrace.model.erased_rows import ErasedRows
from headrace.runtime import event_log
from headrace.runtime.removed_rows import forget_values
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.store import Store, Transaction
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.queries.holds import EVERYTHING
from headrace.store.queries.removed_rows import forget_quarantined
from headrace_erase import removal, searched_places
from headrace_erase.queries import erased_exports, quoted_texts
from headrace_erase.queries import erasures as stored
from headrace_erase.responses.erasures import ErasureStepResponse


@leader_command("erasure_begin", ErasureStepResponse)
def erasure_begin(
    context: CommandContext,
    subject: str,
    plan_id: str,
    reason: str,
    keys: dict[str, tuple[ErasedRows, ...]],
    exports: tuple[tuple[str, str, int], ...] = (),
) -> ErasureStepResponse:
    """Begin a confirmed erasure.

    `exports` with rows of the subject have consumer, interval and publication.
    """
    refuse_held(context.store, list(keys))
    results: list[int] = []

    def write(tx: Transaction, now: int) -> None:
        erasure = stored.begin(
            tx,
            subject=subject,
            plan_id=plan_id,
            actor=context.actor.id,
            reason=reason,
            keys=keys,
            now=now,
        )
        event = AuditEvent(
            action=Action.ERASURE_STARTED,
            actor=context.actor,
            object=Object("subject", subject),
            reason=reason,
            after={"plan_id": plan_id, "nodes": sorted(keys)},
        )
        append(tx, now, event)
        erased_exports.wait_for(tx, erasure.id, exports)
        results.append(erasure.id)

    context.tell(write=write)
    return ErasureStepResponse(erasure=results[-1])


def refuse_held(store: Store, nodes: Sequence[str]) -> None:
    """Raise Refused if one of the nodes is under a legal hold."""
    with store.read() as tx:
        held = removal.held(tx, nodes)
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
    deleted = removal.delete_unnamed(context.held.folders, erasure)
    if deleted:
        context.tell(write=lambda tx, _: stored.deleted(tx, erasure, deleted))


@leader_command("erasure_table", ErasureStepResponse)
def erasure_table(
    context: CommandContext,
    erasure: int,
    node: str,
    files: tuple[ErasedFile, ...],
    seen: int,
    loose: tuple[str, ...],
    counted: bool,
) -> ErasureStepResponse:
    """Publish the rewritten files of a table; delete files that no snapshot names (`loose`)."""
    folders, current = context.held.folders, _known(context, erasure)

    def write(tx: Transaction, now: int) -> None:
        if files:
            removal.erase_table(
                tx,
                folders,
                current,
                node,
                files,
                seen=seen,
                counted=counted,
                actor=context.actor,
                now=now,
            )
        if loose:
            stored.unschedule(tx, loose)
            paths = [f"{folders.lake_name}/{path}" for path in loose]
            stored.note(tx, current, node, {"loose": len(paths)}, paths)

    try:
        context.tell(write=write)
    except FileMoved:
        return ErasureStepResponse(erasure=current.id, outdated=True)
    _delete(context, erasure)
    return ErasureStepResponse(erasure=current.id)


@leader_command("erasure_copies", ErasureStepResponse)
def erasure_copies(
    context: CommandContext,
    erasure: int,
    node: str,
    what: str,
    rows: int,
    paths: tuple[str, ...],
    quarantined: tuple[int, ...] = (),
) -> ErasureStepResponse:
    """Delete files, relative to the data folder, and forget quarantined data."""
    current = _known(context, erasure)

    def write(tx: Transaction, now: int) -> None:
        counts = {what: len(paths), f"{what}_rows": rows}
        stored.note(tx, current, node, counts, paths)
        waiting = [number for number, path in stored.quarantined(tx, node) if path in paths]
        for partition in forget_quarantined(tx, {*quarantined, *waiting}):
            forget_values(tx, node, partition, rows)
        event = AuditEvent(
            action=Action.ROWS_ERASED,
            actor=context.actor,
            object=Object("node", node, current.subject),
            reason=current.reason,
            after={**counts, "attempts": {}},
        )
        append(tx, now, event)

    context.tell(write=write)
    _delete(context, erasure)
    return ErasureStepResponse(erasure=current.id)


@leader_command("erasure_export", ErasureStepResponse)
def erasure_export(
    context: CommandContext,
    erasure: int,
    consumer: str,
    interval: str,
    publication: int,
    manifest: tuple[dict[str, Any], ...] | None,
    why: str,
) -> ErasureStepResponse:
    """Note the files or tables of an export's interval that were written again; None: why not."""
    current = _known(context, erasure)
    key = (consumer, interval, publication)

    def write(tx: Transaction, now: int) -> None:
        if manifest is None:
            erased_exports.keep(tx, current.id, key, why)
        else:
            removal.erase_export(tx, current, key, manifest, context.actor, now)

    context.tell(write=write)
    return ErasureStepResponse(erasure=current.id)


@leader_command("erasure_clean", ErasureStepResponse)
def erasure_clean(
    context: CommandContext, erasure: int, values: str, names: tuple[str, ...] = ()
) -> ErasureStepResponse:
    """Overwrite values in the state's texts, and all that texts about `names` quote.

    The values, those of the keys and others of the rows, are in a private file.
    """
    decoded = msgspec.json.decode(Path(values).read_bytes(), type=tuple[list[str], list[str]])
    keys, others = decoded
    texts = [value for value in keys if len(value) >= searched_places.LITERAL_CHARACTERS_MIN]
    _delete(context, erasure)

    def write(tx: Transaction, now: int) -> None:
        del now
        quoted_texts.overwrite_quotes(tx, names, [*texts, *others])
        quoted_texts.overwrite(tx, texts)

    context.tell(write=write)
    epoch, folders = context.held.lease.epoch, context.held.folders
    event_log.shorten(context.store, epoch, folders)
    compact(context)
    return ErasureStepResponse(erasure=erasure)


def compact(context: CommandContext) -> None:
    """Write the state's file anew, so that its free pages hold nothing of what was deleted.

    PostgreSQL does that by itself (`vacuum full`), which needs its administrator.
    """
    engine = context.store.engine
    if isinstance(engine, SqliteEngine):
        engine.compact()


@leader_command("erasure_finish", ErasureStepResponse)
def erasure_finish(
    context: CommandContext, erasure: int, certificate: str, sha256: str, counts: dict[str, int]
) -> ErasureStepResponse:
    """End an erasure with its certificate, relative to the data folder."""
    current = _known(context, erasure)

    def write(tx: Transaction, now: int) -> None:
        stored.finish(tx, current, certificate, now)
        event = AuditEvent(
            action=Action.ERASURE_FINISHED,
            actor=context.actor,
            object=Object("subject", current.subject),
            reason=current.reason,
            after={
                "plan_id": current.plan_id,
                "certificate_sha256": sha256,
                **counts,
            },
        )
        append(tx, now, event)

    context.tell(write=write)
    return ErasureStepResponse(erasure=current.id)
