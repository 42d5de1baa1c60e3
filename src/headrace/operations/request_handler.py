"""Handles the requests that other processes send to the leader: works at them beside its own, and answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.model import HeadraceError
from headrace.operations.progress import Progress
from headrace.operations.reporting import Reporting
from headrace.operations.responses import Response
from headrace.run.orders import RunRequest, RunResult
from headrace.store.requests import CommandRequest, finish, serve_by, take

if TYPE_CHECKING:
    from headrace.operations.performing import CommandContext
    from headrace.run.leader import Leader

AHEAD_SECONDS, AHEAD_TIMES = 4.0, 20
"""How long something still takes is said every few seconds, and so seldom that it costs little of that time: who finds it out leads."""


class PendingRun(msgspec.Struct, frozen=True):
    """What a command has to wait for: a run, and the document that is made of what it came to."""

    leader: Leader
    order: RunRequest
    what: str
    """For people: the name of what goes on."""
    response: Callable[[RunResult], Response]
    total: int | None = None
    """How many partitions it makes, where that is known before."""
    ahead: Callable[[], str] | None = None
    """How long it still takes, in words; asked every AHEAD_SECONDS at most."""


class RequestHandler:
    """Requests that are worked at."""

    def __init__(self, context: CommandContext, answer: Callable[[CommandContext, CommandRequest], Response | PendingRun]) -> None:
        self._context, self._answer = context, answer
        self._going_on: dict[int, tuple[CommandRequest, PendingRun]] = {}
        """Run → the request that it serves."""

    @property
    def empty(self) -> bool:
        """Whether nothing is worked at."""
        return not self._going_on

    def asked(self) -> bool:
        """Whether it is time for a look."""
        return bool(self._going_on) or self._context.held.asked()

    def look(self) -> bool:
        """Take what was asked for since the last look, and answer what has ended; whether there was anything."""
        context = self._context
        with context.store.write(context.held.lease.epoch) as tx:
            requests = take(tx, context.held.lease.epoch)
        for request in requests:
            reached(FaultPoint.REQUEST_TAKEN)
            self._begin(request)
        return self._finish() or bool(requests)

    def _begin(self, request: CommandRequest) -> None:
        self._context.clock.go_on()  # a replay that is served rests until somebody asks
        try:
            context = self._context.asked_by(request.actor, msgspec.convert(request.arguments.get("now"), datetime | None, strict=False))
            pending_run = self._answer(context, request)
            if not isinstance(pending_run, PendingRun):
                self._say(request, pending_run)
                return
            run = pending_run.leader.begin(pending_run.order)
        except (HeadraceError, msgspec.ValidationError) as error:
            self._refuse(request, error)
            return
        self._going_on[run] = (request, pending_run)
        with self._context.store.write(self._context.held.lease.epoch) as tx:
            serve_by(tx, request.id, run)

    def _finish(self) -> bool:
        done = [(run, result) for run in self._going_on if (result := self._going_on[run][1].leader.result(run)) is not None]
        for run, result in done:
            request, work = self._going_on.pop(run)
            self._say(request, work.response(result))
        return bool(done)

    def _say(self, request: CommandRequest, response: Response) -> None:
        reached(FaultPoint.REQUEST_ANSWERING)
        with self._context.store.write(self._context.held.lease.epoch) as tx:
            finish(tx, request.id, msgspec.json.encode(response).decode())

    def _refuse(self, request: CommandRequest, error: Exception) -> None:
        told = {"kind": type(error).__name__, "message": str(error), "hint": getattr(error, "hint", "")}
        with self._context.store.write(self._context.held.lease.epoch) as tx:
            finish(tx, request.id, msgspec.json.encode(told).decode(), failed=True)


def done(work: PendingRun, handler: RequestHandler, progress: Progress) -> Response:
    """Work at one thing until it has ended, and at what others ask for meanwhile."""
    with Reporting(progress, work.what, work.total) as report:
        run, next_said = work.leader.begin(work.order, report), time.monotonic() + AHEAD_SECONDS
        while (result := work.leader.result(run)) is None:
            if work.ahead is not None and time.monotonic() >= next_said:
                next_said = _said(work.ahead, progress)
            work.leader.step()
            if handler.asked():
                handler.look()
    return work.response(result)


def _said(ahead: Callable[[], str], progress: Progress) -> float:
    """Say how long it still takes; when to do so again."""
    began = time.monotonic()
    progress.ahead(ahead())
    ended = time.monotonic()
    return ended + max(AHEAD_SECONDS, AHEAD_TIMES * (ended - began))
