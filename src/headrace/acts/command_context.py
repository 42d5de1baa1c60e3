"""What a command works with while this process leads: session, store, clock and leader."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from headrace.integrations.emitters import start_emitters
from headrace.model import Refused
from headrace.model.access import ACCESS_FILE
from headrace.plan import Compiled, changes
from headrace.plan.project_plan import Plan
from headrace.plan.steps import Rename
from headrace.privacy.classified_later import hide_earlier_values, newly_classified
from headrace.project.session import Progress, ProjectSession, Silent, usable
from headrace.repairs.incident_messages import repair_message, weekly_lines
from headrace.runtime import applied_versions, usage
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.apply_plans import changes_of, plan_of
from headrace.runtime.leadership import Leadership
from headrace.scheduler import Event
from headrace.security.audit import Actor, ActorType
from headrace.store import Clock, Store, Transaction

if TYPE_CHECKING:
    from headrace.runtime.leader import Leader


TOKEN_PREFIX = "token:"  # noqa: S105 - the prefix of a name
"""How the name of a token begins among actors; a name of a user has no colon."""


def actor_named(name: str) -> Actor:
    """Return the person or token of a name, as the audit trail records them."""
    service = name.startswith(TOKEN_PREFIX)
    return Actor(ActorType.SERVICE if service else ActorType.PERSON, name)


def person(session: ProjectSession) -> Actor:
    """Return the person or token of a session, as the audit trail records them."""
    return actor_named(session.actor)


def _refuse_lockout(session: ProjectSession, compiled: Compiled) -> None:
    """Raise Refused if the first rules of a project give its user no role.

    `apply` shows what it applies. Other commands apply a new project without a question, and would
    leave a user who forgot to write their name into `access.yaml` without any command.
    """
    from headrace.security.access import roles_of

    rules, identity = compiled.project.access, session.identity
    if rules is None or roles_of(rules, identity, today=session.now().date()):
        return
    raise Refused(
        f"{ACCESS_FILE} gives {identity.who} no role, so nothing more would be allowed to you",
        hint=f"write {identity.who} into it; or `headrace apply --yes`, if others go on",
    )


class _Leading:
    """State shared by all requests of one leading process."""

    leader: Leader | None = None
    applied: AppliedVersion | None = None


class CommandContext:
    """A command's access to session, store and leader while this process leads."""

    def __init__(
        self,
        session: ProjectSession,
        held: Leadership,
        progress: Progress | None = None,
        leading: _Leading | None = None,
    ) -> None:
        self.session, self.held = session, held
        self.progress = progress or Silent()
        self._leading = leading or _Leading()

    def asked_by(self, actor: str, now: datetime | None) -> CommandContext:
        """Return a context for another actor, with the files read anew.

        `now` moves a replay's clock to that actor's time.
        """
        if now is not None:
            self.at(now)
        return CommandContext(self.session.again(actor), self.held, leading=self._leading)

    @property
    def store(self) -> Store:
        """The store, writable under the lease."""
        return self.held.store

    @property
    def clock(self) -> Clock:
        """The store's clock."""
        return self.held.clock

    def now(self) -> datetime:
        """Return the store's current time, in the project's time zone."""
        return self.clock.now().astimezone(self.session.zone)

    @property
    def actor(self) -> Actor:
        """The person who sent the command."""
        return person(self.session)

    def applied(self) -> AppliedVersion | None:
        """Return the version in force; None for a new project."""
        if self._leading.applied is None:
            with self.store.read() as tx:
                self._leading.applied = applied_versions.newest(tx)
        return self._leading.applied

    def apply(self, plan: Plan | None = None, reason: str = "") -> AppliedVersion:
        """Apply the declared files, by the confirmed `plan` if there is one.

        Raise InvalidProject for files with errors, and Refused for a new project whose rules give
        its user no role, unless there is a confirmed plan.
        """
        before = self.applied()
        files, compilation = self.session.declared_exactly(self.progress)
        compiled = usable(compilation)
        if before is None and plan is None:
            _refuse_lockout(self.session, compiled)
        was = before.compiled if before else None
        if plan is None:
            borrowed = self.session.borrowed  # before the transaction
            with self.store.read() as tx:
                planned = changes_of(
                    tx,
                    was,
                    compiled,
                    changes(was, compiled),
                    version=before.id if before else None,
                    now_us=self.clock.now_us(),
                    borrowed=borrowed,
                )
                plan = plan_of(
                    tx,
                    files,
                    was,
                    compiled,
                    planned,
                    environment=self.session.env,
                    now_us=self.clock.now_us(),
                )
        epoch = self.held.lease.epoch
        if any(isinstance(step, Rename) for step in plan.steps):
            # reads that aren't counted yet have the former names
            usage.add_up(self.store, epoch, self.session.folders, keep_since="")
        with self.store.read() as tx:
            classified = newly_classified(tx, was, compiled, self.session.data_folder / "cache")
        with self.store.write(epoch) as tx:
            now = self.clock.mark(tx)
            self._leading.applied = applied_versions.apply(
                tx, files, compiled, plan, actor=self.actor, now=now, reason=reason
            )
            hide_earlier_values(tx, classified, compiled)
        if self._leading.leader is not None:
            self._leading.leader.adopt(self._leading.applied)
        return self._leading.applied

    def leader(self) -> Leader:
        """Return the leader of the applied version; apply a new project first.

        Raise LakeError if the lake isn't writable.
        """
        if self.held.closed is not None:
            raise self.held.closed
        if self._leading.leader is None:
            self.held.warm(self.session.settings)
            applied = self.applied() or self.apply()
            self._leading.leader = self.held.leader(
                applied, repair_message, weekly_lines, start_emitters
            )
        return self._leading.leader

    def note_closed(self) -> None:
        """Record in the store, for later readers, that the lake isn't writable."""
        applied = self.applied()
        if self.held.closed is not None and applied is not None:
            self.held.leader(applied, repair_message, weekly_lines, start_emitters).note_closed(
                str(self.held.closed)
            )

    @property
    def working(self) -> Leader | None:
        """The leader running in this process; None if nothing had to run yet."""
        return self._leading.leader

    def tell(self, *events: Event, write: Callable[[Transaction, int], None]) -> None:
        """Run `write` at the store's current time.

        A running leader gets `events` in the same transaction.
        """
        if self.working is not None:
            self.working.tell(*events, write=write)
            return
        with self.store.write(self.held.lease.epoch) as tx:
            write(tx, self.clock.mark(tx))

    def at(self, now: datetime) -> None:
        """Move a replay's clock to another process's `--now`."""
        with self.store.write(self.held.lease.epoch) as tx:
            self.clock.advance(tx, now)
