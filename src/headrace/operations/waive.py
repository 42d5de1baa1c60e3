"""`waive`: an obligation is let go; nobody waits for that interval any more."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.govern.audit import Action, AuditEvent, Object, append
from headrace.model import ProjectError, UnknownName, UsageError
from headrace.model.intervals import parse_key
from headrace.model.reporting import did_you_mean
from headrace.observe import persist
from headrace.observe.declared_promises import declared_promises
from headrace.observe.facts import StoredFacts
from headrace.observe.obligations import EvaluationContext, taken_back
from headrace.operations import reasons
from headrace.operations.judging import judge_now
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.responses import Response
from headrace.operations.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import obligations


class WaiveArguments(msgspec.Struct, frozen=True):
    """A consumer's interval, and why nobody needs it."""

    consumer: str
    interval: str
    reason: str


class WaiveResponse(Response, frozen=True, kw_only=True):
    """`waive`: `backlog` are the consumer's intervals that are due and neither met nor waived."""

    now: datetime
    clock: str
    consumer: str
    interval: str
    due_at: datetime
    reason: str
    by: str
    backlog: list[str]


def waive(session: ProjectSession, target: str, *, reason: str | None, progress: Progress) -> WaiveResponse:
    """Let an obligation go. Refused without a reason; UsageError for one that isn't due, or is met."""
    text = reasons.given(reason, "waive", "it counts as a promise that wasn't kept, and somebody will ask why")
    name, at, key = target.partition("@")
    project = session.project()
    consumer = project.consumers.get(name)
    if consumer is None:
        raise UnknownName(f"there is no consumer {name[:60]!r}", hint=did_you_mean(name, project.consumers) or "headrace status")
    if not at:
        raise UsageError(f"which interval of {name} is let go?", hint=f"headrace waive {name}@K --reason TEXT")
    interval = parse_key(key, consumer.per, consumer.timezone or project.settings.timezone)
    return perform(session, "waive", WaiveArguments(name, interval, text), progress)  # type: ignore[no-any-return]


@leader_command("waive", WaiveArguments, WaiveResponse)
def _waive(context: CommandContext, arguments: WaiveArguments, progress: Progress) -> WaiveResponse:
    del progress
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so nothing is due", hint="headrace apply")
    due: list[int] = []

    def write(tx: Transaction, now: int) -> None:
        evaluation_context = EvaluationContext(declared_promises(applied.compiled), StoredFacts(tx))
        persist.settle(tx, evaluation_context, now)
        due.append(_let_go(tx, evaluation_context, arguments, now))
        what = AuditEvent(
            action=Action.OBLIGATION_WAIVED, actor=context.actor, object=Object("obligation", f"{arguments.consumer}@{arguments.interval}"),
            reason=arguments.reason,
        )  # fmt: skip
        append(tx, now, what)
        judge_now(tx, context.session, applied, now)

    context.tell(write=write)
    with context.store.read() as tx:
        now_us = context.clock.now_us()
        backlog = [obligation.interval for obligation in obligations.unmet(tx, arguments.consumer) if obligation.due_at <= now_us]
    return WaiveResponse(
        now=context.now(), clock=context.clock.kind, consumer=arguments.consumer, interval=arguments.interval,
        due_at=context.session.instant(due[0]), reason=arguments.reason, by=context.actor.id, backlog=backlog,
    )  # fmt: skip


def _let_go(tx: Transaction, evaluation_context: EvaluationContext, arguments: WaiveArguments, now: int) -> int:
    """When the obligation was due. One that was met isn't any more where something that it reads was withdrawn since."""
    place = f"{arguments.consumer}@{arguments.interval}"
    obligation = obligations.get(tx, arguments.consumer, arguments.interval)
    if obligation is None or obligation.due_at > now:
        raise UsageError(f"{place} isn't due yet, or never was promised", hint=f"headrace status consumer:{arguments.consumer}")
    terms = next((consumer for consumer in evaluation_context.declared.consumers if consumer.consumer == arguments.consumer), None)
    if obligation.met_at is not None and (terms is None or not taken_back(terms, arguments.interval, evaluation_context)):
        raise UsageError(f"{place} is met: there is nothing to let go")
    if obligation.waived_at is not None:
        raise UsageError(f"{place} is waived already")
    obligations.waive(tx, arguments.consumer, arguments.interval, now)
    return obligation.due_at
