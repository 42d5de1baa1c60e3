"""`fire`: an asset whose trigger is a webhook may run, because somebody outside says so. Asked over HTTP; a request like any other
command's, so that it is kept, and done by whoever leads."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.govern.audit import Action, AuditEvent, Object, append
from headrace.model import Project, UsageError
from headrace.operations.performing import CommandContext, leader_command, submit_request
from headrace.operations.progress import Progress
from headrace.operations.responses import Response
from headrace.operations.session import ProjectSession
from headrace.schedule import Fired
from headrace.store import Transaction

WEBHOOK = "webhook"


class NoHook(UsageError):
    """Nothing of that name waits for a webhook."""


class FireArguments(msgspec.Struct, frozen=True):
    """Which asset."""

    asset: str


class FiredResponse(Response, frozen=True, kw_only=True):
    """What was fired; it runs as soon as its inputs are there."""

    asset: str
    at: datetime


class FireResponse(Response, frozen=True, kw_only=True):
    """That it was asked for. `request` is its number."""

    asset: str
    request: int


def fire(session: ProjectSession, asset: str) -> FireResponse:
    """Ask whoever leads, now or next, to fire the trigger; doesn't wait. NoHook for an asset that has no such trigger."""
    _check(session.project(), asset)
    return FireResponse(asset=asset, request=submit_request(session, "fire", FireArguments(asset)))


def _check(project: Project, name: str) -> None:
    asset = project.assets.get(name)
    kind = asset.trigger if asset is not None else None
    if not kind or WEBHOOK not in kind:
        raise NoHook(f"no asset {name[:60]!r} waits for a webhook", hint="write `trigger: webhook` in its file, and apply it")


@leader_command("fire", FireArguments, FiredResponse)
def _fire(context: CommandContext, arguments: FireArguments, progress: Progress) -> FiredResponse:
    leader = context.leader(progress)
    _check(leader.applied.compiled.project, arguments.asset)
    event = AuditEvent(action=Action.TRIGGER_FIRED, actor=context.actor, object=Object("asset", arguments.asset))
    leader.tell(Fired(arguments.asset), write=lambda tx, now: _write(tx, now, event))
    return FiredResponse(asset=arguments.asset, at=context.now())


def _write(tx: Transaction, now: int, event: AuditEvent) -> None:
    append(tx, now, event)
