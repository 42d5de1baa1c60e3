"""`receive` and webhooks: a delivery handed in, and an asset triggered from outside."""

from __future__ import annotations

import os
import shutil
import uuid
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec

from headrace.access.permissions import OPERATE, command
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import PendingRun, leader_command, required_reason
from headrace.connect.deliveries import arrival, claimed_arrival
from headrace.model import Project, Source, UsageError
from headrace.model.connectors import origin_of
from headrace.project import targets
from headrace.project.parameters import Argument, Option, RequiredReason
from headrace.project.session import Progress, ProjectSession
from headrace.project.snapshots import run_downstream
from headrace.responses import Response, RunResponse
from headrace.runtime.folders import Folders
from headrace.runtime.runs import RunRequest
from headrace.scheduler import DeliveryArrived, Fired, Target
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.services.run_results import run_response
from headrace.store import Transaction
from headrace.store.queries import ingestion
from headrace.store.queries.ingestion import DeliveryRecord

# `receive`: a delivery handed in by a person. It is checked like any other, and marked.


@command(
    "receive",
    OPERATE,
    of="source",
    session="receive",
    group="act",
    summary="hand in a delivery from a file",
)
def receive(
    session: ProjectSession,
    source: Annotated[str, Argument("SOURCE", help="`headrace ls 'source:*'` lists them")],
    file: Annotated[Path, Argument("FILE", help="it is copied first, and stays where it is")],
    *,
    key: Annotated[
        str | None, Option("--for", metavar="K", help="the partition that it is for")
    ] = None,
    reason: RequiredReason,
    progress: Progress,
) -> RunResponse:
    """Hand in a file for one partition of a source, and run its downstream nodes.

    The file is copied first, so that it can't change before it is ingested. The delivery is checked
    like any other, and marked as handed in.

    Raise UsageError for an unknown source, partition or file, Refused without a reason.
    """
    text = required_reason(reason, "receive", "the delivery is marked with it")
    _source(session.project(), source, key)
    copy = _copied(file, session.folders)
    return _receive.perform(session, progress, source, str(file.absolute()), key, text, copy)


def _source(project: Project, name: str, key: str | None) -> tuple[Source, str | None]:
    """Return the source and the partition's canonical key; None if each delivery is a partition."""
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
    """Copy the file with its times into a new folder; return its path relative to `received`."""
    if not file.is_file():
        raise UsageError(f"there is no file {str(file)[:200]!r}", hint="give a file's path")
    name = f"{uuid.uuid4().hex}/{file.name}"
    target = folders.received / name
    target.parent.mkdir(parents=True)
    try:
        shutil.copy2(file, target)
    except OSError as error:
        shutil.rmtree(target.parent, ignore_errors=True)
        raise UsageError(
            f"{str(file)[:200]} can't be copied: {error.strerror}", hint=f"into {folders.received}"
        ) from error
    return name


@leader_command("receive", RunResponse)
def _receive(
    context: CommandContext, source: str, file: str, key: str | None, reason: str, copy: str
) -> PendingRun:
    """Run what reads the file, whose `copy` is relative to the folder `received`."""
    leader = context.leader()
    compiled = leader.applied.compiled
    node, partition = _source(compiled.project, source, key)
    details = {"actor": context.actor.id, "reason": reason, "file": file}
    arrived = _recorded(context, node, partition, copy, details)
    order = RunRequest(
        kind="run",
        targets=tuple(Target(name) for name in run_downstream(compiled, source, leader.exported)),
        actor=context.actor,
        request={
            "receive": {"source": source, "file": file, "key": key, "reason": reason, "copy": copy}
        },
        reason=reason,
        retry=frozenset([source]),
        received=(arrived,),
    )
    return PendingRun(
        leader,
        order,
        "receive",
        partial(run_response, context.store, context.clock, context.session.zone),
    )


def _recorded(
    context: CommandContext, source: Source, key: str | None, copied: str, details: dict[str, str]
) -> DeliveryArrived:
    """Record the delivery and its audit entry in one transaction."""
    folders = context.session.folders
    copy = folders.received / copied
    if not copy.resolve().is_relative_to(folders.received.resolve()) or not copy.is_file():
        raise UsageError("the copy of the file isn't there any more", hint="receive it again")
    facts = copy.stat()
    path = (
        os.path.relpath(copy, folders.project)
        if copy.is_relative_to(folders.project)
        else str(copy)
    )
    with context.store.write(context.held.lease.epoch) as tx:
        now = context.clock.mark(tx)
        partition = key or ingestion.next_delivery_key(tx, source.name)
        modified = facts.st_mtime_ns // 1000
        claims = claimed_arrival(modified, now)
        last = ingestion.last_observation(tx, source.name, origin_of(source))
        row = DeliveryRecord(
            source.name,
            partition,
            path,
            facts.st_size,
            modified,
            claims,
            now,
            arrival(claims, now, last),
            received=msgspec.json.encode(details).decode(),
        )
        ingestion.record_deliveries(tx, [row])
        place = Object("partition", f"{source.name}@{partition}")
        append(
            tx,
            now,
            AuditEvent(
                action=Action.DELIVERY_RECEIVED,
                actor=context.actor,
                object=place,
                after=details,
                reason=details["reason"],
            ),
        )
    return DeliveryArrived(source.name, partition)


# `fire`: an HTTP request starts an asset whose trigger is a webhook. It is stored like any other
# command's request and run by the current or next leader.

WEBHOOK = "webhook"


class NoHook(UsageError):
    """No asset of that name has a webhook trigger."""


class FiredResponse(Response, frozen=True, kw_only=True):
    """The triggered asset; it runs as soon as its inputs are available."""

    asset: str
    at: datetime


class FireResponse(Response, frozen=True, kw_only=True):
    """Confirms that the request with this number is stored."""

    asset: str
    request: int


@command("hook", OPERATE, of="asset", session="fire")
def fire(session: ProjectSession, asset: Annotated[str, Argument("ASSET")]) -> FireResponse:
    """Request the current or next leader to trigger an asset; doesn't wait.

    Raise NoHook for an asset without a webhook trigger.
    """
    _check(session.project(), asset)
    return FireResponse(asset=asset, request=_fire.submit(session, asset))


def _check(project: Project, name: str) -> None:
    asset = project.assets.get(name)
    kind = asset.trigger if asset is not None else None
    if not kind or WEBHOOK not in kind:
        raise NoHook(
            f"no asset {name[:60]!r} waits for a webhook",
            hint="write `trigger: webhook` in its file, and apply it",
        )


@leader_command("fire", FiredResponse)
def _fire(context: CommandContext, asset: str) -> FiredResponse:
    leader = context.leader()
    _check(leader.applied.compiled.project, asset)
    event = AuditEvent(
        action=Action.TRIGGER_FIRED, actor=context.actor, object=Object("asset", asset)
    )
    leader.tell(Fired(asset), write=lambda tx, now: _write(tx, now, event))
    return FiredResponse(asset=asset, at=context.now())


def _write(tx: Transaction, now: int, event: AuditEvent) -> None:
    append(tx, now, event)
