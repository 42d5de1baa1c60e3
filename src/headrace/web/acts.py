"""Actions over the API, and the threads that run them.

An action calls the same function as its command and is recorded in the same audit trail, under the
user who runs the server. A client reads the plan or a preview with a GET and sends its id with the
action (`agreed`, `plan_id`). If the plan has changed since, nothing is done.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from headrace.access.permissions import STATES_OF_ACTS, check, without_hidden
from headrace.model import HeadraceError
from headrace.project.session import ProjectSession
from headrace.responses import Response
from headrace.web.http import HttpProblem, ProblemResponse, problem_of

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
    """An action: `running`, `done` with its `document`, or `failed` with its `problem`.

    `done` of `total` steps are finished.
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
    """An action and its progress, written by the action's thread and read by request handlers."""

    def __init__(self, number: int, name: str, who: str = "") -> None:
        self.id, self._name, self._began = str(number), name, datetime.now(UTC)
        self.who = who
        """Whose action it is, as `Identity.who` says."""
        self.nodes: frozenset[str] | None = None
        """The nodes that it is about; None for the whole project, and until they are known."""
        self.document: Any = None
        self.problem: HttpProblem | None = None
        self.over = asyncio.Event()
        self._what, self._done, self._ahead = "", 0, ""
        self._total: int | None = None
        self._notes: list[str] = []

    def start(self, what: str, total: int | None) -> None:
        """Begin a phase."""
        self._what, self._done, self._total = what, 0, total

    def advance(self, n: int = 1) -> None:
        """Count finished steps."""
        self._done += n

    def ahead(self, text: str) -> None:
        """Set the text about what is still to do."""
        self._ahead = text

    def note(self, line: str) -> None:
        """Add a message for a person."""
        self._notes = [*self._notes, line][-ACT_NOTES_MAX:]

    def finish(self) -> None:
        """End the phase."""
        self._ahead = ""

    def as_response(self) -> ActResponse:
        """Return the action's current state."""
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
    """All actions of this server."""

    def __init__(self) -> None:
        self._numbers, self._acts = itertools.count(1), dict[str, RunningAction]()

    def begin(self, name: str, do: Callable[[RunningAction], Any], who: str = "") -> RunningAction:
        """Start an action of somebody. Raises HttpProblem (503) if too many are running."""
        if sum(not act.over.is_set() for act in self._acts.values()) >= RUNNING_ACTS_MAX:
            raise HttpProblem(
                503, f"{RUNNING_ACTS_MAX} acts are under way", "wait until one of them is over"
            )
        act, loop = RunningAction(next(self._numbers), name, who), asyncio.get_running_loop()
        self._acts[act.id] = act
        for old in [act for act in self._acts.values() if act.over.is_set()][:-FINISHED_ACTS_MAX]:
            del self._acts[old.id]
        threading.Thread(
            target=_perform, args=(act, do, loop), name=f"headrace act {name}", daemon=True
        ).start()
        return act

    def get(self, act_id: str) -> RunningAction:
        """Return an action. Raises HttpProblem (404) for an unknown or forgotten one."""
        action = self._acts.get(act_id)
        if action is None:
            raise _no_such_act()
        return action

    def visible_state(self, session: ProjectSession, act_id: str) -> ActResponse:
        """Return an action's state, without the names of nodes that the session may not see.

        Raises NotAllowed for somebody without any role, and HttpProblem (404) for an action that
        isn't known, or that is somebody else's and about nodes that the session may not see.
        """
        check(session, STATES_OF_ACTS, {})
        action = self.get(act_id)
        if action.who == session.identity.who:
            return visible_progress(session, action)
        if session.visible is not None and not (action.nodes and action.nodes <= session.visible):
            raise _no_such_act()
        return without_hidden(session, action.as_response())


def visible_progress(session: ProjectSession, action: RunningAction) -> ActResponse:
    """Return the state of the session's own action.

    Its document and its problem were made for the actor; the progress was not.
    """
    state = action.as_response()
    return msgspec.structs.replace(
        without_hidden(session, msgspec.structs.replace(state, document=None, problem=None)),
        document=state.document,
        problem=state.problem,
    )


def _no_such_act() -> HttpProblem:
    return HttpProblem(
        404,
        "there is no such act",
        "acts are forgotten when the server ends; /api/v1/audit has what was done",
    )


def _perform(
    act: RunningAction, do: Callable[[RunningAction], Any], loop: asyncio.AbstractEventLoop
) -> None:
    try:
        act.document = do(act)
    except HeadraceError as error:
        act.problem = problem_of(error)
    # the boundary of a thread: a client on the network isn't told what it was
    except Exception:  # noqa: BLE001
        act.problem = HttpProblem(
            500, "something went wrong here", "the same by its command, with -v, says what"
        )
    if not loop.is_closed():
        loop.call_soon_threadsafe(act.over.set)
