"""Commands that change something: run here as the leader, or sent to the running leader.

A command registers its function with `@leader_command(name, Response)`. The request that travels
through the store is made from the function's parameters.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import cached_property
from importlib import import_module
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    TypeVar,
    cast,
    get_type_hints,
)

import msgspec

from headrace.acts.access_recording import record_access_events
from headrace.acts.command_context import CommandContext, person
from headrace.acts.run_progress import Reporting
from headrace.command_tables import LEADER
from headrace.compiler.lineage import compile_lineage
from headrace.faults import FaultPoint, reached
from headrace.incidents import gathering
from headrace.installed_commands import installed_tables
from headrace.integrations.notifications.process import NotificationSender
from headrace.model import (
    HeadraceError,
    NotBuilt,
    ProjectError,
    Refused,
    StoreError,
    UnknownName,
    UsageError,
)
from headrace.model.settings import PRODUCTION
from headrace.model.wording import counted
from headrace.project.session import Progress, ProjectSession
from headrace.repairs.incident_messages import repair_message, weekly_lines
from headrace.responses import Response
from headrace.runtime import backups
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.evaluation import VersionEvaluator, evaluate_state
from headrace.runtime.leadership import Busy, Leadership, hold
from headrace.runtime.runs import RunRequest, RunResult
from headrace.security.state import open_state
from headrace.slo.blockage import Blockage
from headrace.slo.declared_promises import declared_promises
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.store import ClockKind, Store, Transaction
from headrace.store.queries import incidents
from headrace.store.requests import (
    CommandRequest,
    Follower,
    RequestState,
    finish,
    serve_by,
    submit,
    take,
)

if TYPE_CHECKING:
    from headrace.runtime.leader import Leader


# Handles requests that other processes send to the leader: runs them alongside its own work, and
# answers.

AHEAD_SECONDS, AHEAD_TIMES = 4.0, 20
"""Minimum seconds between estimates of the remaining time, and ratio of pause to computation.

The leader computes these estimates itself, so they must cost little of its time.
"""


class PendingRun(msgspec.Struct, frozen=True):
    """A run that a command waits for, and how its response is made from the run's result."""

    leader: Leader
    order: RunRequest
    what: str
    """For people: a name for the work."""
    response: Callable[[RunResult], Response]
    total: int | None = None
    """The number of partitions to compute, if known beforehand."""
    ahead: Callable[[], str] | None = None
    """Returns the remaining time in words; called every AHEAD_SECONDS at most."""


class RequestHandler:
    """Receives and runs the requests of other processes."""

    def __init__(
        self,
        context: CommandContext,
        answer: Callable[[CommandContext, CommandRequest], Response | PendingRun],
    ) -> None:
        self._context, self._answer = context, answer
        self._going_on: dict[int, tuple[CommandRequest, PendingRun]] = {}
        """Run → the request that it serves."""

    @property
    def empty(self) -> bool:
        """Whether no request is running."""
        return not self._going_on

    def has_requests(self) -> bool:
        """Whether requests are running or waiting."""
        return bool(self._going_on) or self._context.held.request_check_due()

    def poll(self) -> bool:
        """Take new requests, and answer the finished ones; return whether there were any."""
        context = self._context
        with context.store.write(context.held.lease.epoch) as tx:
            requests = take(tx, context.held.lease.epoch)
        for request in requests:
            reached(FaultPoint.REQUEST_TAKEN)
            self._begin(request)
        return self._finish() or bool(requests)

    def _begin(self, request: CommandRequest) -> None:
        self._context.clock.go_on()  # a served replay rests until a request arrives
        try:
            context = self._context.asked_by(
                request.actor,
                msgspec.convert(request.arguments.get("now"), datetime | None, strict=False),
            )
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
        done = [
            (run, result)
            for run in self._going_on
            if (result := self._going_on[run][1].leader.result(run)) is not None
        ]
        for run, result in done:
            request, work = self._going_on.pop(run)
            try:
                self._say(request, work.response(result))
            except HeadraceError as error:  # the response may find that a typed key is no partition
                self._refuse(request, error)
        return bool(done)

    def _say(self, request: CommandRequest, response: Response) -> None:
        reached(FaultPoint.REQUEST_ANSWERING)
        with self._context.store.write(self._context.held.lease.epoch) as tx:
            finish(tx, request.id, msgspec.json.encode(response).decode())

    def _refuse(self, request: CommandRequest, error: Exception) -> None:
        problem = {
            "kind": type(error).__name__,
            "message": str(error),
            "hint": getattr(error, "hint", ""),
        }
        with self._context.store.write(self._context.held.lease.epoch) as tx:
            finish(tx, request.id, msgspec.json.encode(problem).decode(), failed=True)


def work_until_done(work: PendingRun, handler: RequestHandler, progress: Progress) -> Response:
    """Work until one run has ended, and handle other processes' requests meanwhile."""
    with Reporting(progress, work.what, work.total) as report:
        run, next_said = work.leader.begin(work.order, report), time.monotonic() + AHEAD_SECONDS
        while (result := work.leader.result(run)) is None:
            if work.ahead is not None and time.monotonic() >= next_said:
                next_said = _report_remaining(work.ahead, progress)
            work.leader.step()
            if handler.has_requests():
                handler.poll()
    return work.response(result)


def _report_remaining(ahead: Callable[[], str], progress: Progress) -> float:
    """Report the remaining time; return when to do so again (monotonic seconds)."""
    began = time.monotonic()
    progress.ahead(ahead())
    ended = time.monotonic()
    return ended + max(AHEAD_SECONDS, AHEAD_TIMES * (ended - began))


# Evaluates incidents in the transaction of the command that caused them.


def evaluate_now(
    tx: Transaction,
    session: ProjectSession,
    applied: AppliedVersion,
    now: int,
    *,
    reported: bool = False,
) -> None:
    """Evaluate the applied project, including everything that the transaction has written."""
    lineage = compile_lineage(applied.compiled, session.data_folder / "cache")
    compiled = applied.compiled
    evaluator = VersionEvaluator(
        compiled.project,
        declared_promises(compiled),
        lineage.of,
        lambda tx, incident: repair_message(tx, compiled, incident),
        lambda tx, *digest: weekly_lines(tx, compiled, *digest),
    )
    evaluate_state(tx, evaluator, now, reported=reported)


def note_commands(context: CommandContext) -> None:
    """Write a command's effects into the timelines of the open incidents that it touches.

    For a run, the evaluation at its end does this.
    """
    applied = context.applied() if context.session.env == PRODUCTION else None
    if applied is None:
        return
    with context.store.read() as tx:
        if not incidents.count_open(tx):
            return
    declared = declared_promises(applied.compiled)

    def write(tx: Transaction, now: int) -> None:
        evaluation_context = EvaluationContext(declared, StoredFacts(tx))
        gathering.note_commands(tx, Blockage(evaluation_context, now), now)

    context.tell(write=write)


# Notifications caused by a command are sent when the command has ended; a server sends them while
# it runs.


def sender(session: ProjectSession, held: Leadership) -> NotificationSender | None:
    """Return the project's sender of notifications; None in an environment."""
    return (
        None
        if session.production is not None
        else NotificationSender(held.store, held.clock, session.root, session.settings)
    )


def begin_sending(session: ProjectSession, held: Leadership) -> NotificationSender | None:
    """Start sending due notifications; None if nothing is due."""
    notification_sender = sender(session, held)
    return (
        notification_sender
        if notification_sender is not None and notification_sender.begin()
        else None
    )


FOLLOW_SECONDS = 1.0
_BACKED_UP = ("tick", "run", "backfill")
"""Commands that make a due backup at their end; a server's maintenance does so itself."""

P = ParamSpec("P")
D = TypeVar("D", bound=Response)


class LeaderCommand(Generic[P, D]):
    """A command that changes something: `do` runs while this process leads."""

    def __init__(
        self,
        name: str,
        response: type[D],
        do: Callable[Concatenate[CommandContext, P], D | PendingRun],
    ) -> None:
        self.name, self.response, self.do = name, response, do

    @cached_property
    def message(self) -> type[msgspec.Struct]:
        """The arguments as they travel through the store, from the parameters of `do`."""
        types = get_type_hints(self.do)
        given = list(inspect.signature(self.do).parameters.values())[1:]
        return msgspec.defstruct(
            self.name,
            [
                (item.name, types[item.name])
                if item.default is item.empty
                else (item.name, types[item.name], item.default)
                for item in given
            ],
        )

    def received(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a request. Raise msgspec.ValidationError for others."""
        # JSON has texts as keys where a message may have numbers.
        return msgspec.structs.asdict(msgspec.convert(document, self.message, str_keys=True))

    def perform(
        self, session: ProjectSession, progress: Progress, *args: P.args, **kwargs: P.kwargs
    ) -> D:
        """Run the command as the leader, or send it to the process that leads.

        Return a response, for long work after waiting for it. Raise whatever the command raises.
        """
        if not session.leads:
            return _ask(session, self, self.message(*args, **kwargs))
        try:
            with led(session) as held:
                context = CommandContext(session, held, progress)
                _note_ahead(held, progress)
                closed, response = held.closed, None
                if closed is None:
                    response = _do(context, lambda: self.do(context, *args, **kwargs))
                else:
                    context.note_closed()
                sent = begin_sending(session, held)
                copied = self.name in _BACKED_UP and held.clock.kind is ClockKind.LIVE
        except Busy:
            progress.note("another headrace process leads this project; asking it")
            return _ask(session, self, self.message(*args, **kwargs))
        if sent is not None:
            sent.wait()
        if closed is not None:
            raise closed
        if copied:
            _back_up(session, progress)
        return cast("D", response)

    def submit(self, session: ProjectSession, *args: P.args, **kwargs: P.kwargs) -> int:
        """Send a request to the current or next leader without waiting; return its number."""
        with open_state(session.root, session.settings, create=True) as store:
            return submit(
                store, self.name, _body(session, self.message(*args, **kwargs)), session.actor
            )


COMMANDS: dict[str, LeaderCommand[Any, Any]] = {}
REQUESTABLE: Mapping[str, str] = {
    name: module
    for table in (*(installed.LEADER for installed in installed_tables()), LEADER)
    for name, module in table.items()
}
"""Command that a request in the store may name → its module, from the generated tables.

Modules of other packages have their whole name.
"""


def leader_command(
    name: str, response: type[D]
) -> Callable[[Callable[Concatenate[CommandContext, P], D | PendingRun]], LeaderCommand[P, D]]:
    """Register the function that a command runs while this process leads.

    Its first parameter is the context; the other parameters are the arguments, which may be sent as
    JSON.
    """

    def register(
        do: Callable[Concatenate[CommandContext, P], D | PendingRun],
    ) -> LeaderCommand[P, D]:
        COMMANDS[name] = result = LeaderCommand(name, response, do)
        return result

    return register


def _note_ahead(held: Leadership, progress: Progress) -> None:
    if days := held.clock.days_ahead():
        ahead = counted(days, "day")
        progress.note(f"the project's clock is {ahead} ahead of the machine's: headrace db clock")


def _do(context: CommandContext, begin: Callable[[], Response | PendingRun]) -> Response:
    """Run a command in this process, and handle other processes' requests meanwhile."""
    handler = RequestHandler(context, answer)
    record_access_events(context)
    response = begin()
    if isinstance(response, PendingRun):
        response = work_until_done(response, handler, context.progress)
    else:
        note_commands(context)
    _close(handler, context)
    return response


def _back_up(session: ProjectSession, progress: Progress) -> None:
    """Make the backup that is due. The lease is released already, so no other process waits for it.

    Replays need none: they can be repeated.
    """
    if not backups.due(session.root, session.settings):
        return
    try:
        backups.make_backup(session.root, session.settings)
    except HeadraceError as error:
        progress.note(f"no backup was made: {error}")


def led(session: ProjectSession) -> AbstractContextManager[Leadership]:
    """Lead with this process. Raise Busy if another one leads."""
    production = session.production.settings if session.production is not None else None
    return hold(
        session.root,
        session.settings,
        actor=person(session),
        now=session.now_given,
        production=production,
    )


def _close(handler: RequestHandler, context: CommandContext) -> None:
    """Handle the remaining requests before the lease is released.

    Attempts that a pause lets finish are staged.
    """
    while (
        handler.poll()
        or not handler.empty
        or (context.working is not None and context.working.plans_busy)
    ):
        context.leader().step()


def _known(name: str) -> LeaderCommand[Any, Any]:
    """Return a command by name, loading its module on first use."""
    if name not in REQUESTABLE:
        raise NotBuilt(
            f"this leader doesn't know the command `{name}`",
            hint="end the process that leads: it is of an older version",
        )
    module = REQUESTABLE[name]
    import_module(module if "." in module else f"headrace.services.{module}")
    return COMMANDS[name]


def answer(context: CommandContext, request: CommandRequest) -> Response | PendingRun:
    """Run another process's request. Raise whatever the command raises."""
    command = _known(request.command)
    response: Response | PendingRun = command.do(
        context, **command.received(request.arguments["arguments"])
    )
    if not isinstance(response, PendingRun):
        note_commands(context)
    return response


def _ask(session: ProjectSession, command: LeaderCommand[Any, D], message: msgspec.Struct) -> D:
    with open_state(session.root, session.settings) as store:
        request_id = submit(store, command.name, _body(session, message), session.actor)
        while (answered := _followed(store, request_id)) is None:
            if not session.leads:
                time.sleep(FOLLOW_SECONDS)
                continue
            # The leader ended without an answer: lead, and find our own request among the waiting
            # ones.
            with suppress(Busy), led(session) as held:
                context = CommandContext(session, held)
                if held.closed is not None:
                    raise held.closed
                _close(RequestHandler(context, answer), context)
    return _response(command, answered)


def _body(session: ProjectSession, message: msgspec.Struct) -> dict[str, Any]:
    now = session.now_given.isoformat() if session.now_given else None
    return {"arguments": msgspec.to_builtins(message), "now": now}


def _followed(store: Store, request_id: int) -> CommandRequest | None:
    """Return the answered request; None if no leader is left to answer it."""
    follower = Follower(store, request_id)
    while (request := follower.wait(FOLLOW_SECONDS)) is not None:
        if request.finished:
            return request
    return None


def _response(command: LeaderCommand[Any, D], request: CommandRequest) -> D:
    assert request.document is not None
    if request.state is RequestState.FAILED:
        details = msgspec.json.decode(request.document)
        known = (UnknownName, UsageError, Refused, NotBuilt, ProjectError, StoreError)
        kinds: dict[str, type[HeadraceError]] = {kind.__name__: kind for kind in known}
        raise kinds.get(details["kind"], HeadraceError)(details["message"], hint=details["hint"])
    return msgspec.json.decode(request.document, type=command.response)


# Reasons for decisions that other people will ask about; they are stored in the audit trail.


def required_reason(reason: str | None, command: str, what: str) -> str:
    """Return the reason as typed. Raise Refused if there is none."""
    text = (reason or "").strip()
    if not text:
        raise Refused(
            f"{command} needs --reason: {what}",
            hint=f"headrace {command} … --reason TEXT; it is recorded in the audit trail",
        )
    return text
