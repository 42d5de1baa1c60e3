"""How a command that changes something is done: by this process as the leader, or by asking the leader that runs.

A command registers what it does with `@command(name, Arguments, Response)`. Arguments and documents are msgspec structs, so
that a request can travel through the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from headrace.govern.audit import Actor, ActorType
from headrace.govern.state import open_state
from headrace.model import HeadraceError, NotBuilt, ProjectError, Refused, StoreError, UnknownName, UsageError
from headrace.operations import automatic_backup
from headrace.operations.judging import note_commands
from headrace.operations.progress import Progress, Silent
from headrace.operations.repair_texts import repair_told
from headrace.operations.request_handler import PendingRun, RequestHandler, done
from headrace.operations.responses import Response
from headrace.operations.sending import begin
from headrace.operations.session import ProjectSession, usable
from headrace.plan import changes
from headrace.plan.project_plan import Plan
from headrace.run import applying
from headrace.run.applying import AppliedVersion
from headrace.run.leading import Busy, Leadership, hold
from headrace.run.project_plans import plan_of
from headrace.schedule import Event
from headrace.store import Clock, ClockKind, Store, Transaction
from headrace.store.requests import CommandRequest, Follower, RequestState, submit

if TYPE_CHECKING:
    from headrace.run.leader import Leader

FOLLOW_SECONDS = 1.0
_BACKED_UP = ("tick", "run", "backfill")
"""After these the command makes the backup that is due; a server's maintenance does it by itself."""

D = TypeVar("D", bound=Response)
A = TypeVar("A", bound=msgspec.Struct)


class _Leading:
    """What all that is asked of one process shares."""

    leader: Leader | None = None
    applied: AppliedVersion | None = None


class CommandContext:
    """What a command works with while this process leads."""

    def __init__(self, session: ProjectSession, held: Leadership, leading: _Leading | None = None) -> None:
        self.session, self.held = session, held
        self._leading = leading or _Leading()

    def asked_by(self, actor: str, now: datetime | None) -> CommandContext:
        """The same for somebody else, with the files read anew; a replay's clock is moved to where that one says."""
        if now is not None:
            self.at(now)
        return CommandContext(self.session.again(actor), self.held, self._leading)

    @property
    def store(self) -> Store:
        """The state, to be written under the lease."""
        return self.held.store

    @property
    def clock(self) -> Clock:
        """The store's clock."""
        return self.held.clock

    def now(self) -> datetime:
        """The store's now, in the project's zone."""
        return self.clock.now().astimezone(self.session.zone)

    @property
    def actor(self) -> Actor:
        """Who asked."""
        return _person(self.session)

    def applied(self) -> AppliedVersion | None:
        """What is in force, None for a new project."""
        if self._leading.applied is None:
            with self.store.read() as tx:
                self._leading.applied = applying.newest(tx)
        return self._leading.applied

    def apply(self, progress: Progress, plan: Plan | None = None, reason: str = "") -> AppliedVersion:
        """Put what the files say into force, by `plan` where somebody has agreed to one. Raises InvalidProject for files with errors."""
        before = self.applied()
        files, compilation = self.session.declared_exactly(progress)
        compiled = usable(compilation)
        if plan is None:
            was = before.compiled if before else None
            with self.store.read() as tx:
                plan = plan_of(tx, files, was, compiled, changes(was, compiled), environment=self.session.env)
        with self.store.write(self.held.lease.epoch) as tx:
            now = self.clock.mark(tx)
            self._leading.applied = applying.apply(tx, files, compiled, plan, actor=self.actor, now=now, reason=reason)
        if self._leading.leader is not None:
            self._leading.leader.adopt(self._leading.applied)
        return self._leading.applied

    def leader(self, progress: Progress) -> Leader:
        """The leader over what is applied; a new project is applied first. Raises LakeError where the lake can't be written."""
        if self.held.closed is not None:
            raise self.held.closed
        if self._leading.leader is None:
            self.held.warm(self.session.settings)
            applied = self.applied() or self.apply(progress)
            self._leading.leader = self.held.leader(applied, repair_told)
        return self._leading.leader

    def note_closed(self) -> None:
        """Keep it, for whoever looks later, that the lake can't be written."""
        applied = self.applied()
        if self.held.closed is not None and applied is not None:
            self.held.leader(applied, repair_told).note_closed(str(self.held.closed))

    @property
    def working(self) -> Leader | None:
        """The leader that works here already; None where nothing had to run yet."""
        return self._leading.leader

    def tell(self, *events: Event, write: Callable[[Transaction, int], None]) -> None:
        """Write something at the store's now; where a leader works here, its core is told in the same transaction."""
        if self.working is not None:
            self.working.tell(*events, write=write)
            return
        with self.store.write(self.held.lease.epoch) as tx:
            write(tx, self.clock.mark(tx))

    def at(self, now: datetime) -> None:
        """Move a replay's clock to where another process's `--now` says."""
        with self.store.write(self.held.lease.epoch) as tx:
            self.clock.advance(tx, now)


class LeaderCommand(msgspec.Struct, frozen=True):
    """A command that changes something: what it takes, what it does, what it gives."""

    name: str
    arguments: type[msgspec.Struct]
    response: type[Response]
    do: Callable[[CommandContext, Any, Progress], Response | PendingRun]
    """What takes long is given back as work to be waited for."""


COMMANDS: dict[str, LeaderCommand] = {}
REQUESTABLE = (
    "apply", "receive", "run", "tick", "gc", "retry", "cancel", "pause", "resume", "withdraw", "fire", "backfill", "backfills",
    "contract_accept",
    "fix", "fix_ended",
    "note_incident", "quarantine_deciding", "report_incident", "waive", "exports",
)  # fmt: skip
"""Modules of this room that a request in the store may name."""


Doing: TypeAlias = Callable[[CommandContext, A, Progress], D | PendingRun]


def leader_command(name: str, arguments: type[A], response: type[D]) -> Callable[[Doing[A, D]], Doing[A, D]]:
    """Register what a command does while this process leads."""

    def register(do: Doing[A, D]) -> Doing[A, D]:
        COMMANDS[name] = LeaderCommand(name, arguments, response, do)
        return do

    return register


def perform(session: ProjectSession, name: str, arguments: msgspec.Struct, progress: Progress) -> Any:
    """Do a command: as the leader where none runs, else by asking the one that does. Its response, or what went wrong."""
    command = COMMANDS[name]
    if not session.leads:
        return _ask(session, command, arguments, progress)
    try:
        with led(session) as held:
            context = CommandContext(session, held)
            closed, response = held.closed, None
            if closed is None:
                response = _do(command, context, arguments, progress)
            else:
                context.note_closed()
            sent = begin(session, held)
            copied = name in _BACKED_UP and held.clock.kind is ClockKind.LIVE
    except Busy:
        return _ask(session, command, arguments, progress)
    if sent is not None:
        sent.wait()
    if closed is not None:
        raise closed
    if copied:
        _back_up(session, progress)
    return response


def _do(command: LeaderCommand, context: CommandContext, arguments: msgspec.Struct, progress: Progress) -> Response:
    """Do a command in this process, and what others ask for meanwhile."""
    handler = RequestHandler(context, answer)
    response = command.do(context, arguments, progress)
    if isinstance(response, PendingRun):
        response = done(response, handler, progress)
    else:
        note_commands(context)
    _close(handler, context)
    return response


def _back_up(session: ProjectSession, progress: Progress) -> None:
    """Make the backup that is due: the lease is given back, so nobody waits for it. A replay is made again instead."""
    if not automatic_backup.due(session.root, session.settings):
        return
    try:
        automatic_backup.make(session.root, session.settings)
    except HeadraceError as error:
        progress.note(f"no backup was made: {error}")


def led(session: ProjectSession) -> AbstractContextManager[Leadership]:
    """This process as the leader. Raises Busy where another one leads."""
    production = session.production.settings if session.production is not None else None
    return hold(session.root, session.settings, actor=_person(session), now=session.now_given, production=production)


def _close(handler: RequestHandler, context: CommandContext) -> None:
    """Do what other commands asked for meanwhile, before the lease is given back; what a pause lets come to its end is staged."""
    while handler.look() or not handler.empty or (context.working is not None and context.working.plans_busy):
        context.leader(Silent()).step()


def _known(name: str) -> LeaderCommand:
    """A command by name; its module is loaded when it is first asked for."""
    if name not in REQUESTABLE:
        raise NotBuilt(f"this leader doesn't know the command `{name}`", hint="end the process that leads: it is of an older version")
    import_module(f"headrace.operations.{name}")
    return COMMANDS[name]


def answer(context: CommandContext, request: CommandRequest) -> Response | PendingRun:
    """Do what another process asked for. Raises what the command raises."""
    command = _known(request.command)
    response = command.do(context, msgspec.convert(request.arguments["arguments"], command.arguments), Silent())
    if not isinstance(response, PendingRun):
        note_commands(context)
    return response


def _ask(session: ProjectSession, command: LeaderCommand, arguments: msgspec.Struct, progress: Progress) -> Any:
    if session.leads:
        progress.note("another headrace process leads this project; asking it")
    with open_state(session.root, session.settings) as store:
        request_id = submit(store, command.name, _body(session, arguments), session.actor)
        while (answered := _followed(store, request_id)) is None:
            if not session.leads:
                time.sleep(FOLLOW_SECONDS)
                continue
            # The leader ended without an answer: lead, and find our own request among those that wait.
            with suppress(Busy), led(session) as held:
                context = CommandContext(session, held)
                if held.closed is not None:
                    raise held.closed
                _close(RequestHandler(context, answer), context)
    return _response(command, answered)


def submit_request(session: ProjectSession, name: str, arguments: msgspec.Struct) -> int:
    """Ask whoever leads, now or next, without waiting for the answer; the request's number."""
    with open_state(session.root, session.settings, create=True) as store:
        return submit(store, name, _body(session, arguments), session.actor)


def _body(session: ProjectSession, arguments: msgspec.Struct) -> dict[str, Any]:
    now = session.now_given.isoformat() if session.now_given else None
    return {"arguments": msgspec.to_builtins(arguments), "now": now}


def _followed(store: Store, request_id: int) -> CommandRequest | None:
    """The answered request; None if no leader is left to answer it."""
    follower = Follower(store, request_id)
    while (request := follower.wait(FOLLOW_SECONDS)) is not None:
        if request.finished:
            return request
    return None


def _person(session: ProjectSession) -> Actor:
    return Actor(ActorType.PERSON, session.actor)


def _response(command: LeaderCommand, request: CommandRequest) -> Any:
    assert request.document is not None
    if request.state is RequestState.FAILED:
        said = msgspec.json.decode(request.document)
        known = (UnknownName, UsageError, Refused, NotBuilt, ProjectError, StoreError)
        kinds: dict[str, type[HeadraceError]] = {kind.__name__: kind for kind in known}
        raise kinds.get(said["kind"], HeadraceError)(said["message"], hint=said["hint"])
    return msgspec.json.decode(request.document, type=command.response)
