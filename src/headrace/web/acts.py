"""Acts over the API: what can be done, and the threads that do it.

An act calls the same operation as its command and is recorded in the same audit trail, under the
user who runs the server. A client reads the plan or a preview with a GET and sends its id with the
act (`agreed`, `plan_id`). If the plan has changed since, nothing is done.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta

from headrace.model import HeadraceError
from headrace.services.agreements import agreed_id
from headrace.services.challenge_process import SECONDS_MAX, challenge_in_process
from headrace.services.checks import ChallengedCheckRow
from headrace.services.interventions import WaiveResponse
from headrace.services.responses import ApplyResponse, Response, RunResponse
from headrace.services.responses.backfills import BackfillResponse
from headrace.services.responses.incidents import IncidentRow
from headrace.services.responses.interventions import (
    CancelResponse,
    DecisionResponse,
    PauseResponse,
    WithdrawResponse,
)
from headrace.services.responses.repairs import AcceptResponse, FixResponse
from headrace.services.session import Progress, ProjectSession
from headrace.web.http import HttpProblem, ProblemResponse, RequestParameters, problem_of

# Acts run in threads of their own, because one may take as long as a backfill. An act never
# leads: it asks the leader, as a command beside a server does. If the process ends, the request
# stays in the store and the next leader performs it; only the response is lost.

RUNNING_ACTS_MAX = 16
"""More are refused: each waits in a thread."""
FINISHED_ACTS_MAX = 200
"""So many that are over can still be asked about."""
ACT_NOTES_MAX = 50
ACT_WAIT_SECONDS = 2.0
"""How long a request waits for its act before it is told where to ask."""


class ActResponse(Response, frozen=True, kw_only=True):
    """An act: `running`, `done` with its `document`, or `failed` with its `problem`. `done` of
    `total` is how far it is.
    """

    id: str
    act: str
    state: str
    began_at: datetime
    what: str
    done: int
    total: int | None
    ahead: str
    notes: list[str]
    document: Any
    problem: ProblemResponse | None


class RunningAction:
    """One act, and its progress as an operation tells it. Written by its thread, read by the
    door's.
    """

    def __init__(self, number: int, name: str) -> None:
        self.id, self._name, self._began = str(number), name, datetime.now(UTC)
        self.document: Any = None
        self.problem: HttpProblem | None = None
        self.over = asyncio.Event()
        self._what, self._done, self._ahead = "", 0, ""
        self._total: int | None = None
        self._notes: list[str] = []

    def start(self, what: str, total: int | None) -> None:
        """A phase begins."""
        self._what, self._done, self._total = what, 0, total

    def advance(self, n: int = 1) -> None:
        """Further steps are done."""
        self._done += n

    def ahead(self, text: str) -> None:
        """What is still to come."""
        self._ahead = text

    def note(self, line: str) -> None:
        """Something that a person should know."""
        self._notes = [*self._notes, line][-ACT_NOTES_MAX:]

    def finish(self) -> None:
        """The phase is over."""
        self._ahead = ""

    def shown(self) -> ActResponse:
        """How it stands."""
        state = (
            "failed"
            if self.problem is not None
            else "done"
            if self.document is not None
            else "running"
        )
        return ActResponse(
            id=self.id,
            act=self._name,
            state=state,
            began_at=self._began,
            what=self._what,
            done=self._done,
            total=self._total,
            ahead=self._ahead,
            notes=self._notes,
            document=self.document,
            problem=None if self.problem is None else self.problem.document,
        )


class Acts:
    """All acts of this server."""

    def __init__(self) -> None:
        self._numbers, self._acts = itertools.count(1), dict[str, RunningAction]()

    def begin(self, name: str, do: Callable[[RunningAction], Any]) -> RunningAction:
        """Begin one. Problem (503) where too many are under way."""
        if sum(not act.over.is_set() for act in self._acts.values()) >= RUNNING_ACTS_MAX:
            raise HttpProblem(
                503, f"{RUNNING_ACTS_MAX} acts are under way", "wait until one of them is over"
            )
        act, loop = RunningAction(next(self._numbers), name), asyncio.get_running_loop()
        self._acts[act.id] = act
        for old in [act for act in self._acts.values() if act.over.is_set()][:-FINISHED_ACTS_MAX]:
            del self._acts[old.id]
        threading.Thread(
            target=_perform, args=(act, do, loop), name=f"headrace act {name}", daemon=True
        ).start()
        return act

    def get(self, act_id: str) -> RunningAction:
        """One of them. Problem (404) for one that there isn't, or isn't any more."""
        action = self._acts.get(act_id)
        if action is None:
            raise HttpProblem(
                404,
                "there is no such act",
                "acts are forgotten when the server ends; /api/v1/audit has what was done",
            )
        return action


def _perform(
    act: RunningAction, do: Callable[[RunningAction], Any], loop: asyncio.AbstractEventLoop
) -> None:
    try:
        act.document = do(act)
    except HeadraceError as error:
        act.problem = problem_of(error)
    # the boundary of a thread: what it was is nobody's who asks over a network
    except Exception:  # noqa: BLE001
        act.problem = HttpProblem(
            500, "something went wrong here", "the same by its command, with -v, says what"
        )
    if not loop.is_closed():
        loop.call_soon_threadsafe(act.over.set)


class ApplyAsked(RequestParameters, frozen=True, kw_only=True):
    """The id of the plan that was agreed to, as `/api/v1/plan` has it for the same `keep`, which
    needs a `reason`."""

    plan_id: str
    keep: tuple[str, ...] = ()
    reason: str = ""


def do_apply(session: ProjectSession, asked: ApplyAsked, progress: Progress) -> ApplyResponse:
    """`headrace apply PLAN_ID`: put what the files say into force, as it was planned."""
    from headrace.services.agreements import NEEDS_APPROVAL, NeedsApproval, PlanChanged
    from headrace.services.apply import apply

    response = apply(
        session,
        confirm=lambda _: True,
        progress=progress,
        plan_id=asked.plan_id,
        keep=asked.keep,
        reason=asked.reason,
    )
    if response.refused is None:
        return response
    if response.refused.code == NEEDS_APPROVAL:
        raise NeedsApproval(response.refused, response, "; ".join(response.refused.changed))
    raise PlanChanged(
        asked.plan_id, response.refused, response, "look at /api/v1/plan again, and agree to that"
    )


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
    from headrace.services.contract_accept import ValueDecision
    from headrace.services.fix import fix

    return fix(
        session,
        asked.incident,
        dry_run=False,
        confirm=lambda _: True,
        progress=progress,
        again=asked.again,
        plan_id=agreed_id(asked.agreed),
        reason=asked.reason,
        decision=ValueDecision(asked.convert, asked.as_is, asked.reason),
    )


class ReportAsked(
    RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}
):
    """Published partitions of a node that are wrong, and what is wrong with them."""

    node: str
    reason: str
    first: str | None = None
    last: str | None = None


def do_report(session: ProjectSession, asked: ReportAsked, progress: Progress) -> IncidentRow:
    """`headrace incidents report`: published data is wrong."""
    from headrace.services.incident_records import report

    return report(
        session,
        asked.node,
        first=asked.first,
        last=asked.last,
        reason=asked.reason,
        progress=progress,
    )


class NoteAsked(RequestParameters, frozen=True, kw_only=True):
    """An incident, and what is known about it."""

    incident: str
    reason: str


def do_note(session: ProjectSession, asked: NoteAsked, progress: Progress) -> IncidentRow:
    """`headrace incidents note`: a line in an incident's timeline."""
    from headrace.services.incident_records import note

    return note(session, asked.incident, text=asked.reason, progress=progress)


class NewBackfillAsked(
    RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}
):
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


def do_backfill(
    session: ProjectSession, asked: NewBackfillAsked, progress: Progress
) -> BackfillResponse:
    """`headrace backfill`: make partitions of the past beside production, and publish
    them at once."""
    from headrace.services.backfills import backfill

    return backfill(
        session,
        asked.select,
        exclude=asked.exclude,
        first=asked.first,
        last=asked.last,
        since=asked.since,
        mode=asked.mode,
        reason=asked.reason,
        only=asked.only,
        allow_partial=asked.allow_partial,
        dry_run=False,
        confirm=lambda _: True,
        progress=progress,
        plan_id=agreed_id(asked.agreed),
    )


class PlanActAsked(RequestParameters, frozen=True, kw_only=True):
    """A backfill, and why."""

    plan: str
    reason: str


def do_pause_backfill(
    session: ProjectSession, asked: PlanActAsked, progress: Progress
) -> BackfillResponse:
    """`headrace backfills pause`: begin nothing more of it."""
    return _of_plan(session, "pause", asked, progress)


def do_resume_backfill(
    session: ProjectSession, asked: PlanActAsked, progress: Progress
) -> BackfillResponse:
    """`headrace backfills resume`: go on with it, to its end."""
    return _of_plan(session, "resume", asked, progress)


def do_cancel_backfill(
    session: ProjectSession, asked: PlanActAsked, progress: Progress
) -> BackfillResponse:
    """`headrace backfills cancel`: end it; nothing of what it made is left."""
    return _of_plan(session, "cancel", asked, progress)


def _of_plan(
    session: ProjectSession, action: str, asked: PlanActAsked, progress: Progress
) -> BackfillResponse:
    from headrace.services import backfills

    return backfills.act(session, action, asked.plan, reason=asked.reason, progress=progress)


class NewRunAsked(
    RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}
):
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
    from headrace.services.run import run

    return run(
        session,
        asked.select,
        exclude=asked.exclude,
        partitions=asked.partitions,
        first=asked.first,
        last=asked.last,
        again=asked.again,
        reason=asked.reason,
        progress=progress,
    )


class RetryAsked(RequestParameters, frozen=True, kw_only=True):
    """A run, an asset, or one of its partitions."""

    target: str
    reason: str | None = None


def do_retry(session: ProjectSession, asked: RetryAsked, progress: Progress) -> RunResponse:
    """`headrace retry`: only what failed, again."""
    from headrace.services.run import retry

    return retry(session, asked.target, reason=asked.reason, progress=progress)


class CancelAsked(RequestParameters, frozen=True, kw_only=True):
    """A run that is under way."""

    run: str
    reason: str | None = None


def do_cancel(session: ProjectSession, asked: CancelAsked, progress: Progress) -> CancelResponse:
    """`headrace cancel`: end a run; what is published stays."""
    from headrace.services.interventions import cancel

    return cancel(session, asked.run, reason=asked.reason, progress=progress)


class PauseAsked(RequestParameters, frozen=True, kw_only=True):
    """What is selected; `until` is a time, or a duration from now."""

    select: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    reason: str
    until: str | None = None


def do_pause(session: ProjectSession, asked: PauseAsked, progress: Progress) -> PauseResponse:
    """`headrace pause`: start nothing of these."""
    from headrace.services.pause import pause

    return pause(
        session,
        asked.select,
        exclude=asked.exclude,
        reason=asked.reason,
        until=asked.until,
        progress=progress,
    )


class ResumeAsked(RequestParameters, frozen=True, kw_only=True):
    """What is selected."""

    select: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    reason: str | None = None


def do_resume(session: ProjectSession, asked: ResumeAsked, progress: Progress) -> PauseResponse:
    """`headrace resume`: let what was paused run again."""
    from headrace.services.pause import resume

    return resume(
        session, asked.select, exclude=asked.exclude, reason=asked.reason, progress=progress
    )


class AcceptAsked(RequestParameters, frozen=True, kw_only=True):
    """A partition that waits, or an incident (`INC-1`) for all that waits because of it; `until` is
    when the exception lapses."""

    target: str
    reason: str
    until: str | None = None


def do_accept(session: ProjectSession, asked: AcceptAsked, progress: Progress) -> DecisionResponse:
    """`headrace quarantine accept`: publish held data as it is."""
    from headrace.services.quarantine_decisions import accept

    return accept(session, asked.target, reason=asked.reason, until=asked.until, progress=progress)


class TargetAsked(RequestParameters, frozen=True, kw_only=True):
    """A partition, or a consumer's interval, and why."""

    target: str
    reason: str


def do_drop(session: ProjectSession, asked: TargetAsked, progress: Progress) -> DecisionResponse:
    """`headrace quarantine drop`: say that it will never be published."""
    from headrace.services.quarantine_decisions import drop

    return drop(session, asked.target, reason=asked.reason, progress=progress)


class MapAsked(RequestParameters, frozen=True, kw_only=True):
    """A source's partition that is held, or an incident; pairs (`COLUMN=NAME`) go before what is
    proposed."""

    node: str
    map: tuple[str, ...] = ()
    agreed: str | None = None
    convert: tuple[str, ...] = ()
    as_is: bool = False
    reason: str | None = None


def do_accept_names(session: ProjectSession, asked: MapAsked, progress: Progress) -> AcceptResponse:
    """`headrace contract accept`: the names that a vendor uses now are right."""
    from headrace.services.contract_accept import ValueDecision, accept

    return accept(
        session,
        asked.node,
        pairs=asked.map,
        patch=False,
        yes=False,
        progress=progress,
        plan_id=agreed_id(asked.agreed),
        decision=ValueDecision(asked.convert, asked.as_is, asked.reason),
    )


def do_waive(session: ProjectSession, asked: TargetAsked, progress: Progress) -> WaiveResponse:
    """`headrace waive`: nobody needs that interval any more."""
    from headrace.services.interventions import waive

    return waive(session, asked.target, reason=asked.reason, progress=progress)


def do_withdraw(
    session: ProjectSession, asked: TargetAsked, progress: Progress
) -> WithdrawResponse:
    """`headrace withdraw`: take a publication back."""
    from headrace.services.interventions import withdraw

    return withdraw(session, asked.target, reason=asked.reason, progress=progress)


class ChallengeAsked(RequestParameters, frozen=True, kw_only=True):
    """Whose checks, and how long it may take."""

    select: tuple[str, ...]
    seconds: Annotated[int, Meta(ge=1, le=SECONDS_MAX)] = 20


def do_challenge(
    session: ProjectSession, asked: ChallengeAsked, progress: Progress
) -> list[ChallengedCheckRow]:
    """`headrace checks challenge`: make faults in copies of published rows and see which checks
    notice; nothing is written.
    """
    return challenge_in_process(session, asked.select, asked.seconds, progress)
