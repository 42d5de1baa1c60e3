"""`retry`: only what failed, again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from headrace.model import Asset, Project, Source, UsageError
from headrace.model.export_links import Exported
from headrace.model.required import WHOLE
from headrace.operations import targets
from headrace.operations.ahead_of_runs import announce, of_places
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.request_handler import PendingRun
from headrace.operations.responses import RunResponse
from headrace.operations.run_response import run_response
from headrace.operations.runs import unknown_run
from headrace.operations.session import ProjectSession
from headrace.run.orders import RunRequest
from headrace.schedule import Target
from headrace.store import Transaction
from headrace.store.queries import failures, runs
from headrace.store.queries.quarantine import dropped_deliveries

KINDS = (Source, Asset, Exported)
RUN_DIGITS_MAX = 18


class RetryArguments(msgspec.Struct, frozen=True):
    """What was typed: a run's number, or `asset` or `asset@key`."""

    target: str
    reason: str


def retry(session: ProjectSession, target: str, *, reason: str | None, progress: Progress) -> RunResponse:
    """Run again what failed, was rejected or lost, of a run or of an asset, and hasn't been published since; nothing else.

    UsageError for a run or an asset that there isn't."""
    if session.store is None:
        raise unknown_run(target) if _is_run(target) else UsageError("nothing has run yet", hint="headrace tick")
    project = session.project()
    with session.store.read() as tx:
        results = _failed(tx, project, target)
    if not results:
        return _nothing(session, target)
    return perform(session, "retry", RetryArguments(target, (reason or "").strip()), progress)  # type: ignore[no-any-return]


@leader_command("retry", RetryArguments, RunResponse)
def _retry(context: CommandContext, arguments: RetryArguments, progress: Progress) -> PendingRun | RunResponse:
    leader = context.leader(progress)
    with context.store.read() as tx:
        results = _failed(tx, leader.applied.compiled.project, arguments.target)
    known = {target.node for target in leader.everything}
    wanted = [Target(node, key, key) for node, key in results if node in known]
    if not wanted:
        return _nothing(context.session, arguments.target)
    counts = of_places(leader, ((target.node, target.first or WHOLE) for target in wanted))
    announce(progress, "retry", counts)
    order = RunRequest(
        kind="run",
        targets=tuple(wanted),
        actor=context.actor,
        request={"retry": arguments.target},
        reason=arguments.reason,
        retry=frozenset(target.node for target in wanted),
    )
    return PendingRun(leader, order, "retry", partial(run_response, context.store, context.clock, context.session.zone, counts=counts))


def _failed(tx: Transaction, project: Project, text: str) -> Iterable[tuple[str, str]]:
    """Node and partition of what failed, but for deliveries that somebody dropped since."""
    if _is_run(text):
        if runs.get(tx, int(text)) is None:
            raise unknown_run(text)
        results, node = failures.of_run(tx, int(text)), None
    else:
        node, key = targets.target(text, project, kinds=KINDS)
        results = failures.of_node(tx, node, key)
    dropped = set(dropped_deliveries(tx, node)) if results else set()
    return [item for item in results if item not in dropped]


def _is_run(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= RUN_DIGITS_MAX


def _nothing(session: ProjectSession, target: str) -> RunResponse:
    of = f"run {target}" if _is_run(target) else target
    return RunResponse(
        now=session.now(), run_id=None, state="nothing_due", attempts=[], published=[], rejected=[], clock=session.clock.kind,
        reason=f"nothing of {of} failed that hasn't been published or dropped since",
    )  # fmt: skip
