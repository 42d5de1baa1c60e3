"""`checks challenge` in a separate process, for callers that have the state open.

A process that has the state open never loads DuckDB. `python -m
headrace_advisor.services.challenge_process` reads a ChallengeJob as JSON from its standard input
and writes a ChallengeJobResult.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.extension import (
    OPERATE,
    HeadraceError,
    Progress,
    ProjectSession,
    Selected,
    UsageError,
    command,
)
from headrace.model import StoreError
from headrace.project.session import Silent
from headrace_advisor.responses.challenges import ChallengedCheckRow

SECONDS_MAX = 60
"""Maximum duration of the checks, in seconds."""
GRACE_SECONDS = 60.0
"""Additional time in seconds that the process may take before it is stopped."""


class ChallengeJob(msgspec.Struct, frozen=True):
    """The checks to be challenged, their project, and the actor."""

    root: str
    env: str
    actor: str
    select: tuple[str, ...]
    seconds: int


class ChallengeJobResult(msgspec.Struct, frozen=True):
    """The challenged checks, or why there are none."""

    checks: list[ChallengedCheckRow] = []
    problem: str | None = None
    hint: str = ""


@command(
    "checks challenge", OPERATE, http="POST /checks/challenge do_challenge", session="challenge"
)
def challenge_in_process(
    session: ProjectSession,
    select: Selected,
    seconds: Annotated[int, Meta(ge=1, le=SECONDS_MAX)] = 20,
    *,
    progress: Progress,
) -> list[ChallengedCheckRow]:
    """Challenge the checks of the selected nodes in a separate process.

    Raise UsageError for whatever the command refuses, StoreError if it takes too long.
    """
    question = ChallengeJob(str(session.root), session.env, session.actor, tuple(select), seconds)
    progress.start("making faults in copies of published rows", None)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "headrace_advisor.services.challenge_process"],
            input=msgspec.json.encode(question),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds + GRACE_SECONDS,
            check=False,
        )
        answer = msgspec.json.decode(done.stdout, type=ChallengeJobResult)
    except subprocess.TimeoutExpired:
        raise StoreError(
            "the checks took too long", hint="headrace checks challenge --seconds 600"
        ) from None
    except msgspec.DecodeError:
        raise StoreError(
            "the checks couldn't be tried", hint="`headrace checks challenge` says why"
        ) from None
    progress.finish()
    if answer.problem is not None:
        raise UsageError(answer.problem, hint=answer.hint)
    return answer.checks


def main() -> int:
    """Run one job from standard input."""
    from headrace_advisor.services.challenges import challenge

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=ChallengeJob)
    session = ProjectSession(Path(job.root), job.env, None, job.actor, trusted=True)
    try:
        answer = ChallengeJobResult(
            challenge(session, job.select, (), job.seconds, suggest=False, progress=Silent()).checks
        )
    except HeadraceError as error:
        answer = ChallengeJobResult(problem=str(error), hint=error.hint)
    finally:
        session.close()
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
