"""`receive`: a delivery by hand. It is checked like any other, and marked."""

from __future__ import annotations

import os
import shutil
import uuid
from functools import partial
from pathlib import Path

import msgspec

from headrace.connect.arrival import arrival, claimed
from headrace.govern.audit import Action, AuditEvent, Object, append
from headrace.model import Project, Refused, Source, UsageError
from headrace.model.connectors import place_of
from headrace.operations import targets
from headrace.operations.downstream import downstream
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.request_handler import PendingRun
from headrace.operations.responses import RunResponse
from headrace.operations.run_response import run_response
from headrace.operations.session import ProjectSession
from headrace.run.folders import Folders
from headrace.run.orders import RunRequest
from headrace.schedule import DeliveryArrived, Target
from headrace.store.queries import arriving
from headrace.store.queries.arriving import DeliveryRecord


class ReceiveArguments(msgspec.Struct, frozen=True):
    """What was typed, and the copy that was made of it: `copy` is below the data folder's `received`."""

    source: str
    file: str
    key: str | None
    reason: str
    copy: str


def receive(session: ProjectSession, source: str, file: Path, *, key: str | None, reason: str, progress: Progress) -> RunResponse:
    """Hand a file in for one partition of a source, and run what depends on it. It is copied first, so that what is ingested can't
    change meanwhile. Raises UsageError for a source, partition or file that there isn't, Refused without a reason."""
    if not reason.strip():
        raise Refused("a delivery by hand needs a reason", hint="--reason TEXT")
    _source(session.project(), source, key)
    copy = _copied(file, session.folders)
    arguments = ReceiveArguments(source, str(file), key, reason, copy)
    return perform(session, "receive", arguments, progress)  # type: ignore[no-any-return]


def _source(project: Project, name: str, key: str | None) -> tuple[Source, str | None]:
    """The source, and the partition in its one written form; None where each delivery is one."""
    node = project.sources.get(name)
    if node is None:
        raise targets.unknown(name, list(project.sources), also=project.node(name))
    if node.partition.by_delivery:
        return node, None
    if key is None and not node.partition.whole:
        raise UsageError(f"{name} is partitioned: which partition is the file for?", hint="--for K")
    result = targets.partition(node, key or "*")
    if node.partition.grain and node.partition.key and "/" not in result:
        raise UsageError(f"{result} names no {node.partition.key}", hint=f"--for {result}/KEY")
    return node, result


def _copied(file: Path, folders: Folders) -> str:
    """Copy the file, times included, into a folder of its own; its name below `received`."""
    if not file.is_file():
        raise UsageError(f"there is no file {str(file)[:200]!r}", hint="give a file's path")
    name = f"{uuid.uuid4().hex}/{file.name}"
    target = folders.received / name
    target.parent.mkdir(parents=True)
    try:
        shutil.copy2(file, target)
    except OSError as error:
        shutil.rmtree(target.parent, ignore_errors=True)
        raise UsageError(f"{str(file)[:200]} can't be copied: {error.strerror}", hint=f"into {folders.received}") from error
    return name


@leader_command("receive", ReceiveArguments, RunResponse)
def _receive(context: CommandContext, arguments: ReceiveArguments, progress: Progress) -> PendingRun:
    leader = context.leader(progress)
    compiled = leader.applied.compiled
    source, key = _source(compiled.project, arguments.source, arguments.key)
    arrived = _recorded(context, source, key, arguments)
    order = RunRequest(
        kind="run",
        targets=tuple(Target(name) for name in downstream(compiled, source.name, leader.exported)),
        actor=context.actor,
        request={"receive": msgspec.to_builtins(arguments)},
        reason=arguments.reason,
        retry=frozenset([source.name]),
        received=(arrived,),
    )
    return PendingRun(leader, order, "receive", partial(run_response, context.store, context.clock, context.session.zone))


def _recorded(context: CommandContext, source: Source, key: str | None, arguments: ReceiveArguments) -> DeliveryArrived:
    """The delivery and its entry in the trail, in one transaction."""
    folders = context.session.folders
    copy = folders.received / arguments.copy
    if not copy.resolve().is_relative_to(folders.received.resolve()) or not copy.is_file():
        raise UsageError("the copy of the file isn't there any more", hint="receive it again")
    facts = copy.stat()
    path = os.path.relpath(copy, folders.project) if copy.is_relative_to(folders.project) else str(copy)
    with context.store.write(context.held.lease.epoch) as tx:
        now = context.clock.mark(tx)
        partition = key or arriving.next_delivery_key(tx, source.name)
        modified = facts.st_mtime_ns // 1000
        claims = claimed(modified, now)
        last = arriving.last_observation(tx, source.name, place_of(source))
        told = {"actor": context.actor.id, "reason": arguments.reason, "file": arguments.file}
        row = DeliveryRecord(
            source.name, partition, path, facts.st_size, modified, claims, now, arrival(claims, now, last),
            received=msgspec.json.encode(told).decode(),
        )  # fmt: skip
        arriving.record_deliveries(tx, [row])
        place = Object("partition", f"{source.name}@{partition}")
        append(tx, now, AuditEvent(action=Action.DELIVERY_RECEIVED, actor=context.actor, object=place, after=told, reason=arguments.reason))
    return DeliveryArrived(source.name, partition)
