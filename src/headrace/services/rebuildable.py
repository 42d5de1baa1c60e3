"""`retain_rebuildable`: removes partitions that give the same rows when they are computed again.

Each is computed from its inputs as they are now, by the code in force, before its rows go. The hash
of the rows, the code's version and the engines' versions are kept, and a partition that is rebuilt
is compared with them.
"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version as version_of

import msgspec

import headrace
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.lake import catalog
from headrace.lake.catalog import FileMoved, newest_snapshot
from headrace.lake.erased_files import ErasedFile, ErasureScan
from headrace.model import Asset, InputMode, LakeError
from headrace.model.plugins import REPEATABILITY, BrokenPlugin, functions
from headrace.plan.compiled import Compiled
from headrace.privacy.retention import in_force, rebuildable_rows
from headrace.project.session import Progress, ProjectSession
from headrace.responses.retention import RebuildableRow, RebuildableStepResponse
from headrace.runtime import removed_rows
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.lake_search import RebuildRequest, erased_files, rebuilt
from headrace.runtime.messages import ComputeTask
from headrace.runtime.tasks import TaskBuilder, Undeliverable
from headrace.scheduler import AttemptId, Dispatch
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append_all
from headrace.store import Transaction
from headrace.store.queries import applied_versions
from headrace.store.queries import rebuildable as stored
from headrace.store.queries.holds import EVERYTHING
from headrace.store.queries.rebuildable import RebuildablePartition

EPOCH = 0
"""An epoch that no leader ever has."""
NOT_PROVEN = (
    "nothing here proves that its query gives the same rows again: pip install headrace-advisor"
)
PARTITIONS_MAX = 100
"""Maximum number of partitions of an asset that one cleanup computes again."""


SYSTEM = Actor(ActorType.SYSTEM, "headrace")


class _Candidate(msgspec.Struct, frozen=True):
    """A partition, with the task that computes it again."""

    partition: RebuildablePartition
    task: ComputeTask


def early_rows(
    session: ProjectSession, tx: Transaction, compiled: Compiled
) -> list[RebuildableRow]:
    """Return `rebuildable_rows` with why no partition of an asset may go.

    Installed packages say whether an asset gives the same rows again; without one, or with a
    broken one, all stays.
    """
    rows = rebuildable_rows(session, tx, compiled.project)
    if not rows:
        return []
    try:
        differs = [each(compiled) for each in functions(REPEATABILITY)]
    except BrokenPlugin as error:
        return [msgspec.structs.replace(row, why=str(error)) for row in rows]
    return [
        msgspec.structs.replace(
            row, why=_why_not(compiled, compiled.project.assets[row.node], differs)
        )
        for row in rows
    ]


def _why_not(
    compiled: Compiled, asset: Asset, differs: Sequence[Callable[[str], str | None]]
) -> str | None:
    """Return why no partition of an asset may go early; None if some may."""
    if not differs:
        return NOT_PROVEN
    reason = next(filter(None, (each(asset.name) for each in differs)), None)
    if reason is not None:
        return reason
    for name, node in compiled.nodes.items():
        if asset.name in node.check_references:
            return f"a check of {name} reads all of it"
        reads = [spec for spec in node.inputs if spec.node == asset.name]
        reader = compiled.project.assets.get(name)
        if reader is not None and any(
            spec.mode is InputMode.ALL
            or spec.lookback is not None
            or reader.partition.grain is not asset.partition.grain
            or reader.accumulates
            for spec in reads
        ):
            return f"{name} reads more of it than the same partition"
    return None


# The cleanup: each partition is computed again, and goes if its rows are the same.


class _Limits(msgspec.Struct, frozen=True):
    """How much one cleanup computes again, and who asked for it."""

    partitions: int
    until: float
    by_maintenance: bool


def remove_rebuildable(
    session: ProjectSession,
    progress: Progress,
    *,
    partitions_max: int = PARTITIONS_MAX,
    until: float = math.inf,
    by_maintenance: bool = False,
) -> list[RebuildableRow]:
    """Remove what is older than `retain_rebuildable` and gives the same rows again.

    At most `partitions_max` partitions of an asset are computed again, none after `until` of the
    monotonic clock. What differs, or can't be computed, stays; the response says how many
    partitions and why.
    """
    limits = _Limits(partitions_max, until, by_maintenance)
    if session.store is None or session.compiled is None or session.production is not None:
        return []
    compiled, _ = session.compiled, session.clock  # it is read before the transaction
    with session.store.read() as tx:
        rows = early_rows(session, tx, compiled)
    results = []
    for row in rows:
        if row.hold is not None or row.why is not None or not row.partitions:
            results.append(msgspec.structs.replace(row, partitions=0, rows=0))
        else:
            results.append(_removed(session, compiled, row, limits, progress))
    return results


def _removed(
    session: ProjectSession,
    compiled: Compiled,
    row: RebuildableRow,
    limits: _Limits,
    progress: Progress,
) -> RebuildableRow:
    asset = compiled.project.assets[row.node]
    candidates, reasons = _candidates(session, compiled, asset, row.kept_from, limits.partitions)
    proven = []
    progress.start(f"partitions of {row.node} to compute again", len(candidates))
    for candidate in itertools.takewhile(lambda _: time.monotonic() < limits.until, candidates):
        why = _differs(session, candidate)
        if why is None:
            proven.append(candidate.partition)
        else:
            reasons.append(f"{candidate.partition.partition}: {why}")
        progress.advance(1)
    progress.finish()
    if proven and not _remove(session, asset, proven, limits.by_maintenance, progress):
        reasons.append("the table changed meanwhile: run `headrace db gc` again")
        proven = []
    return msgspec.structs.replace(
        row,
        partitions=len(proven),
        rows=sum(item.rows for item in proven),
        stay=len(reasons),
        why=reasons[0] if reasons else None,
    )


def _candidates(
    session: ProjectSession, compiled: Compiled, asset: Asset, before: str, partitions_max: int
) -> tuple[list[_Candidate], list[str]]:
    """Return at most `partitions_max` of the oldest partitions, and why others may not go."""
    builder = TaskBuilder(AppliedVersion(0, "", compiled), str(session.root))
    results, reasons = [], []
    readers = [
        name
        for name, node in compiled.nodes.items()
        if any(spec.node == asset.name for spec in node.inputs)
    ]
    now_us = session.clock.now_us()
    with session.existing_store.read() as tx:
        snapshot = newest_snapshot(tx)
        for item in stored.candidates(tx, asset.name, before, partitions_max):
            waiting = next(
                (name for name in readers if not stored.is_up_to_date(tx, name, item.partition)),
                None,
            )
            if waiting is not None:
                reasons.append(f"{item.partition}: {waiting} hasn't read it yet")
                continue
            attempt = AttemptId(EPOCH, os.getpid())
            dispatch = Dispatch(attempt, asset.name, (item.partition,), 0)
            try:
                task = builder.prepare(tx, dispatch, now_us, snapshot).task
            except Undeliverable as error:
                reasons.append(f"{item.partition}: {error}")
                continue
            assert isinstance(task, ComputeTask)
            results.append(_Candidate(item, task))
    return results, reasons


def _differs(session: ProjectSession, candidate: _Candidate) -> str | None:
    """Compute a partition again; return how it differs from what is published, or None."""
    request = RebuildRequest(candidate.task, session.folders, os.cpu_count() or 1)
    try:
        answer = rebuilt(request)
    except LakeError as error:
        return str(error)
    if answer.content_hash is None:
        return answer.why or "its rows are too many to have a hash"
    if answer.content_hash != candidate.partition.content_hash:
        return "it gives other rows now"
    return None


def _remove(
    session: ProjectSession,
    asset: Asset,
    proven: Sequence[RebuildablePartition],
    by_maintenance: bool,
    progress: Progress,
) -> bool:
    keys = tuple(item.partition for item in proven)
    with session.existing_store.read() as tx:
        table = catalog.table(tx, asset.name)
        files = catalog.erasable_files(tx, asset.name)
        seen = catalog.newest_file(tx, asset.name)
    assert table is not None, "it has published rows"
    scan = ErasureScan(str(session.folders.lake), table, files, (), None, True, partitions=keys)
    rewritten = erased_files(scan)
    arguments = RemoveArguments(
        asset.name, tuple(proven), rewritten, seen, _engine(), by_maintenance=by_maintenance
    )
    step: RebuildableStepResponse = _remove_on_leader.perform(session, progress, arguments)
    if not step.removed:
        removed_rows.discard(session.folders, rewritten)
    return step.removed


def _engine() -> str:
    return f"headrace {headrace.__version__}, duckdb {version_of('duckdb')}"


class RemoveArguments(msgspec.Struct, frozen=True):
    """Partitions that were proven, and the table's files without them."""

    node: str
    partitions: tuple[RebuildablePartition, ...]
    files: tuple[ErasedFile, ...]
    seen: int
    engine: str
    by_maintenance: bool = False
    """Whether nobody asked for it: the server's daily maintenance did."""


@leader_command("rebuildable_remove", RebuildableStepResponse)
def _remove_on_leader(
    context: CommandContext, arguments: RemoveArguments
) -> RebuildableStepResponse:
    """Remove proven partitions, unless one was published anew or is under a legal hold by now."""
    paths: list[str] = []
    applied = context.applied()
    asset = None if applied is None else applied.compiled.project.assets.get(arguments.node)
    rule = None if asset is None else asset.retain_rebuildable

    def write(tx: Transaction, now: int) -> None:
        lost, replaced = _remove_rows(tx, arguments, now)
        paths.extend(replaced)
        actor = SYSTEM if arguments.by_maintenance else context.actor
        append_all(tx, now, _events(tx, actor, arguments, rule, lost))

    try:
        context.tell(write=write)
    except FileMoved:
        return RebuildableStepResponse(removed=False)
    for path in paths:
        (context.held.folders.lake / path).unlink(missing_ok=True)
    return RebuildableStepResponse(removed=True)


def _remove_rows(
    tx: Transaction, arguments: RemoveArguments, now: int
) -> tuple[Counter[str], tuple[str, ...]]:
    """Return the removed rows by attempt, and the files that nothing names any more.

    Raises FileMoved if a partition is under a legal hold or was published anew.
    """
    node = arguments.node
    keys = [item.partition for item in arguments.partitions]
    proven = {item.partition: item.publication for item in arguments.partitions}
    held = {node, EVERYTHING} & in_force(tx).keys()
    if held or stored.current(tx, node, keys) != proven:
        raise FileMoved(node)
    table = catalog.table(tx, node)
    assert table is not None, "its files were searched"
    listed = {file.id: file for file in catalog.erasable_files(tx, node)}
    lost = removed_rows.lose_rows(tx, node, arguments.files, listed)
    replaced = catalog.replace_files(tx, now, table, arguments.files, arguments.seen)
    stored.remove(
        tx,
        node,
        arguments.partitions,
        version=applied_versions.newest_id(tx),
        engine=arguments.engine,
        now=now,
    )
    return lost, replaced.paths


def _events(
    tx: Transaction,
    actor: Actor,
    arguments: RemoveArguments,
    rule: str | None,
    lost: Counter[str],
) -> list[AuditEvent]:
    keys = [item.partition for item in arguments.partitions]
    facts = {
        "retain_rebuildable": rule,
        "version": applied_versions.newest_id(tx),
        "engine": arguments.engine,
        "partitions": len(keys),
        "first": keys[0],
        "last": keys[-1],
        "rows": sum(item.rows for item in arguments.partitions),
        "hashes": {item.partition: item.content_hash for item in arguments.partitions},
    }
    return [
        AuditEvent(
            action=Action.DATA_RETIRED,
            actor=actor,
            object=Object("node", arguments.node),
            after={**(facts if number == 0 else {}), "attempts": attempts},
        )
        for number, attempts in enumerate(removed_rows.by_attempts(lost))
    ]
