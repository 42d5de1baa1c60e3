"""What can be done over the API: the same operations as the commands, by whoever serves, in the same audit trail.

What would be done is looked at before, by a GET; `agreed` is the word that came with it, and where something else would be done by now
nothing is.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from headrace.operations.agreement import agreed_id
from headrace.operations.backfill_responses import BackfillResponse
from headrace.operations.challenge_apart import SECONDS_MAX, challenged
from headrace.operations.checks_responses import ChallengedCheckRow
from headrace.operations.contract_responses import AcceptResponse
from headrace.operations.fix_responses import FixResponse
from headrace.operations.incident_responses import IncidentRow
from headrace.operations.interventions import CancelResponse, DecisionResponse, PauseResponse, WithdrawResponse
from headrace.operations.progress import Progress
from headrace.operations.responses import ApplyResponse, RunResponse
from headrace.operations.session import ProjectSession
from headrace.operations.waive import WaiveResponse
from headrace.web.asking import RequestParameters


class ApplyAsked(RequestParameters, frozen=True, kw_only=True):
    """The id of the plan that was agreed to, as `/api/v1/plan` has it for the same `keep`, which
    needs a `reason`."""

    plan_id: str
    keep: tuple[str, ...] = ()
    reason: str = ""


def do_apply(session: ProjectSession, asked: ApplyAsked, progress: Progress) -> ApplyResponse:
    """`headrace apply PLAN_ID`: put what the files say into force, as it was planned."""
    from headrace.operations.apply import apply
    from headrace.operations.plan_refusals import NEEDS_APPROVAL, NeedsApproval, PlanChanged

    response = apply(
        session, confirm=lambda _: True, progress=progress, plan_id=asked.plan_id, keep=asked.keep, reason=asked.reason
    )  # fmt: skip
    if response.refused is None:
        return response
    if response.refused.code == NEEDS_APPROVAL:
        raise NeedsApproval(response.refused, response, "; ".join(response.refused.changed))
    raise PlanChanged(asked.plan_id, response.refused, response, "look at /api/v1/plan again, and agree to that")


class FixAsked(RequestParameters, frozen=True, kw_only=True):
    """An incident, and the id of the plan that was agreed to, of the same `again`,
    `convert` and `as_is`."""

    incident: str
    agreed: str | None = None
    again: bool = False
    convert: tuple[str, ...] = ()
    as_is: bool = False
    reason: str | None = None


def do_fix(session: ProjectSession, asked: FixAsked, progress: Progress) -> FixResponse:
    """`headrace fix`: repair an incident as it was planned."""
    from headrace.operations.contract_accept import ValueDecision
    from headrace.operations.fix import fix

    return fix(
        session, asked.incident, dry_run=False, confirm=lambda _: True, progress=progress, again=asked.again,
        plan_id=agreed_id(asked.agreed), reason=asked.reason, decision=ValueDecision(asked.convert, asked.as_is, asked.reason),
    )  # fmt: skip


class ReportAsked(RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """Published partitions of a node that are wrong, and what is wrong with them."""

    node: str
    reason: str
    first: str | None = None
    last: str | None = None


def do_report(session: ProjectSession, asked: ReportAsked, progress: Progress) -> IncidentRow:
    """`headrace incidents report`: published data is wrong."""
    from headrace.operations.report_incident import report

    return report(session, asked.node, first=asked.first, last=asked.last, reason=asked.reason, progress=progress)


class NoteAsked(RequestParameters, frozen=True, kw_only=True):
    """An incident, and what is known about it."""

    incident: str
    reason: str


def do_note(session: ProjectSession, asked: NoteAsked, progress: Progress) -> IncidentRow:
    """`headrace incidents note`: a line in an incident's timeline."""
    from headrace.operations.note_incident import note

    return note(session, asked.incident, text=asked.reason, progress=progress)


class NewBackfillAsked(RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """As `headrace backfill` takes it, with the word for the plan that was agreed to."""

    select: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None
    since: str | None = None
    mode: str = "missing"
    only: bool = False
    allow_partial: bool = False
    reason: str
    agreed: str | None = None


def do_backfill(session: ProjectSession, asked: NewBackfillAsked, progress: Progress) -> BackfillResponse:
    """`headrace backfill`: make partitions of the past beside production, and publish them at once."""
    from headrace.operations.backfill import backfill

    return backfill(
        session, asked.select, exclude=asked.exclude, first=asked.first, last=asked.last, since=asked.since, mode=asked.mode,
        reason=asked.reason, only=asked.only, allow_partial=asked.allow_partial, dry_run=False, confirm=lambda _: True,
        progress=progress, plan_id=agreed_id(asked.agreed),
    )  # fmt: skip


class PlanActAsked(RequestParameters, frozen=True, kw_only=True):
    """A backfill, and why."""

    plan: str
    reason: str


def do_pause_backfill(session: ProjectSession, asked: PlanActAsked, progress: Progress) -> BackfillResponse:
    """`headrace backfills pause`: begin nothing more of it."""
    return _of_plan(session, "pause", asked, progress)


def do_resume_backfill(session: ProjectSession, asked: PlanActAsked, progress: Progress) -> BackfillResponse:
    """`headrace backfills resume`: go on with it, to its end."""
    return _of_plan(session, "resume", asked, progress)


def do_cancel_backfill(session: ProjectSession, asked: PlanActAsked, progress: Progress) -> BackfillResponse:
    """`headrace backfills cancel`: end it; nothing of what it made is left."""
    return _of_plan(session, "cancel", asked, progress)


def _of_plan(session: ProjectSession, action: str, asked: PlanActAsked, progress: Progress) -> BackfillResponse:
    from headrace.operations import backfills

    return backfills.act(session, action, asked.plan, reason=asked.reason, progress=progress)


class NewRunAsked(RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """As `headrace run` takes it; `again` replaces what is published, and needs a reason."""

    select: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None
    again: bool = False
    reason: str | None = None


def do_run(session: ProjectSession, asked: NewRunAsked, progress: Progress) -> RunResponse:
    """`headrace run`: run what is selected now."""
    from headrace.operations.run import run

    return run(
        session, asked.select, exclude=asked.exclude, partitions=asked.partitions, first=asked.first, last=asked.last, again=asked.again,
        reason=asked.reason, progress=progress,
    )  # fmt: skip


class RetryAsked(RequestParameters, frozen=True, kw_only=True):
    """A run, an asset, or one of its partitions."""

    target: str
    reason: str | None = None


def do_retry(session: ProjectSession, asked: RetryAsked, progress: Progress) -> RunResponse:
    """`headrace retry`: only what failed, again."""
    from headrace.operations.retry import retry

    return retry(session, asked.target, reason=asked.reason, progress=progress)


class CancelAsked(RequestParameters, frozen=True, kw_only=True):
    """A run that is under way."""

    run: str
    reason: str | None = None


def do_cancel(session: ProjectSession, asked: CancelAsked, progress: Progress) -> CancelResponse:
    """`headrace cancel`: end a run; what is published stays."""
    from headrace.operations.cancel import cancel

    return cancel(session, asked.run, reason=asked.reason, progress=progress)


class PauseAsked(RequestParameters, frozen=True, kw_only=True):
    """What is selected; `until` is a time, or a duration from now."""

    select: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    reason: str
    until: str | None = None


def do_pause(session: ProjectSession, asked: PauseAsked, progress: Progress) -> PauseResponse:
    """`headrace pause`: start nothing of these."""
    from headrace.operations.pause import pause

    return pause(session, asked.select, exclude=asked.exclude, reason=asked.reason, until=asked.until, progress=progress)


class ResumeAsked(RequestParameters, frozen=True, kw_only=True):
    """What is selected."""

    select: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    reason: str | None = None


def do_resume(session: ProjectSession, asked: ResumeAsked, progress: Progress) -> PauseResponse:
    """`headrace resume`: let what was paused run again."""
    from headrace.operations.resume import resume

    return resume(session, asked.select, exclude=asked.exclude, reason=asked.reason, progress=progress)


class AcceptAsked(RequestParameters, frozen=True, kw_only=True):
    """A partition that waits, or an incident (`INC-1`) for all that waits because of it; `until` is when the exception lapses."""

    target: str
    reason: str
    until: str | None = None


def do_accept(session: ProjectSession, asked: AcceptAsked, progress: Progress) -> DecisionResponse:
    """`headrace quarantine accept`: publish held data as it is."""
    from headrace.operations.quarantine_of_incidents import accept

    return accept(session, asked.target, reason=asked.reason, until=asked.until, progress=progress)


class TargetAsked(RequestParameters, frozen=True, kw_only=True):
    """A partition, or a consumer's interval, and why."""

    target: str
    reason: str


def do_drop(session: ProjectSession, asked: TargetAsked, progress: Progress) -> DecisionResponse:
    """`headrace quarantine drop`: say that it will never be published."""
    from headrace.operations.quarantine_of_incidents import drop

    return drop(session, asked.target, reason=asked.reason, progress=progress)


class MapAsked(RequestParameters, frozen=True, kw_only=True):
    """A source's partition that is held, or an incident; pairs (`COLUMN=NAME`) go before what is proposed."""

    node: str
    map: tuple[str, ...] = ()
    agreed: str | None = None
    convert: tuple[str, ...] = ()
    as_is: bool = False
    reason: str | None = None


def do_accept_names(session: ProjectSession, asked: MapAsked, progress: Progress) -> AcceptResponse:
    """`headrace contract accept`: the names that a vendor uses now are right."""
    from headrace.operations.contract_accept import ValueDecision, accept

    return accept(
        session, asked.node, pairs=asked.map, patch=False, yes=False, progress=progress, plan_id=agreed_id(asked.agreed),
        decision=ValueDecision(asked.convert, asked.as_is, asked.reason),
    )  # fmt: skip


def do_waive(session: ProjectSession, asked: TargetAsked, progress: Progress) -> WaiveResponse:
    """`headrace waive`: nobody needs that interval any more."""
    from headrace.operations.waive import waive

    return waive(session, asked.target, reason=asked.reason, progress=progress)


def do_withdraw(session: ProjectSession, asked: TargetAsked, progress: Progress) -> WithdrawResponse:
    """`headrace withdraw`: take a publication back."""
    from headrace.operations.withdraw import withdraw

    return withdraw(session, asked.target, reason=asked.reason, progress=progress)


class ChallengeAsked(RequestParameters, frozen=True, kw_only=True):
    """Whose checks, and how long it may take."""

    select: tuple[str, ...]
    seconds: Annotated[int, Meta(ge=1, le=SECONDS_MAX)] = 20


def do_challenge(session: ProjectSession, asked: ChallengeAsked, progress: Progress) -> list[ChallengedCheckRow]:
    """`headrace checks challenge`: make faults in copies of published rows and see which checks notice; nothing is written."""
    return challenged(session, asked.select, asked.seconds, progress)
