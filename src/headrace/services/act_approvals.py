"""Approvals of acts that compute nothing by themselves: releasing, unpublishing, erasing.

The act is described by steps, as the plan of an `apply` is. An approval holds for these steps only,
and once: the person who asked types the same command again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from headrace.access.agreements import NeedsApproval
from headrace.access.consequences import in_force, required, without_readers
from headrace.acts.approval_requests import Asked, Span, refusal, use
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.model.policy import Approval, Consequence
from headrace.plan.project_plan import plan_id_of
from headrace.project.session import Progress, ProjectSession
from headrace.responses import RefusedRow, Response


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """An act that may need an approval. `command` is what the person types to do it."""

    kind: str
    steps: Sequence[dict[str, Any]]
    consequence: Consequence
    command: str
    reason: str
    spans: tuple[Span, ...] = ()
    """The partitions that wait for it."""
    plan_id: str | None = None
    """The id of the plan, where the command has one; None: it is derived from `steps`."""


class AskedResponse(Response, frozen=True, kw_only=True):
    """Whether an act may be done: `refused` says which approval it needs."""

    plan_id: str
    state: str
    refused: RefusedRow | None = None


@contextmanager
def approved(session: ProjectSession, act: Act, progress: Progress) -> Iterator[bool]:
    """Let the block do an act, and use its approval up when the block has ended without an error.

    Yield whether an approval was needed. Raise NeedsApproval, and ask for the approval,
    if a rule of `[policy]` needs one.
    """
    approval = approval_of(session, act.consequence)
    if approval is None:
        yield False
        return
    asked = Asked(
        kind=act.kind,
        plan_id=act.plan_id or plan_id_of(_decided(session, act)),
        approval=approval,
        command=act.command,
        reason=act.reason,
        spans=act.spans,
    )
    response: AskedResponse = _ask.perform(session, progress, asked)
    if response.refused is not None:
        hint = "; ".join(response.refused.changed)
        raise NeedsApproval(response.refused, response, hint)
    yield True
    _ask.perform(session, progress, asked, done=True)


def approval_of(session: ProjectSession, consequence: Consequence) -> Approval | None:
    """Return the approval that the rules ask for; None if they don't, or nothing is applied."""
    if session.compiled is None:
        return None
    project = session.compiled.project
    if session.production is not None:
        consequence = without_readers(consequence)
    return required(in_force(project.settings, session.settings), project, consequence)


def _decided(session: ProjectSession, act: Act) -> dict[str, Any]:
    return {
        "environment": session.env,
        "base_version": session.version,
        "files": {},
        "steps": list(act.steps),
    }


@leader_command("approval_act", AskedResponse)
def _ask(context: CommandContext, asked: Asked, done: bool = False) -> AskedResponse:
    plan_id = asked.plan_id
    if done:
        use(context, plan_id)
        return AskedResponse(plan_id=plan_id, state="done")
    refused = refusal(context, asked)
    state = "approved" if refused is None else "refused"
    return AskedResponse(plan_id=plan_id, state=state, refused=refused)
