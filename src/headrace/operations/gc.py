"""`db gc`: delete what nothing needs any more. Where a leader runs, it does it."""

from __future__ import annotations

import msgspec

from headrace.operations.db.responses import Freed, GcResponse
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.session import ProjectSession
from headrace.run.garbage import RetentionPolicy
from headrace.run.maintenance import Collected, collect, collectable
from headrace.store.queries import standings


class GcArguments(msgspec.Struct, frozen=True):
    """It takes nothing; a dry run asks nobody."""


def gc(session: ProjectSession, *, dry_run: bool, progress: Progress) -> GcResponse:
    """Free what nothing needs: expired snapshots, orphans, raw bytes, logs, quarantine, files and code of what has ended; and
    history that is older than `[retention] history`.

    Raises LakeError where DuckLake's own steps fail; what was freed stays freed."""
    if not dry_run:
        return perform(session, "gc", GcArguments(), progress)  # type: ignore[no-any-return]
    if session.store is None:
        return GcResponse(dry_run=True, snapshots=0, lake_files=0, freed=[])
    keep = RetentionPolicy.declared(session.project())
    return _response(collectable(session.store, session.folders, keep, session.clock.now_us()), dry_run=True)


@leader_command("gc", GcArguments, GcResponse)
def _gc(context: CommandContext, arguments: GcArguments, progress: Progress) -> GcResponse:
    del arguments, progress
    applied = context.applied()
    keep = RetentionPolicy.declared(applied.compiled.project) if applied else RetentionPolicy(context.session.settings.retention)
    with context.store.write(context.held.lease.epoch) as tx:
        standings.drop_checkpoint(tx)  # it is made of what stays
    return _response(collect(context.store, context.held.lease.epoch, context.held.folders, keep, context.clock.now_us()), dry_run=False)


def _response(result: Collected, *, dry_run: bool) -> GcResponse:
    freed = [Freed(kind=waste.kind, files=len(waste.paths), size_bytes=waste.size_bytes) for waste in result.waste if waste.paths]
    return GcResponse(dry_run=dry_run, snapshots=result.snapshots, lake_files=result.lake_files, freed=freed, retired=result.retired)
