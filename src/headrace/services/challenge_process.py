"""`checks challenge` in a process of its own, for callers that have the state open.

DuckDB is never loaded in a process that has the state open. `python -m headrace.services.challenge_process` takes a ChallengeJob as JSON on
its standard input and writes a ChallengeJobResult.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from headrace.model import HeadraceError, StoreError, UsageError
from headrace.services.checks import ChallengedCheckRow
from headrace.services.session import Progress, ProjectSession, Silent

SECONDS_MAX = 60
"""How long the checks may take."""
GRACE_SECONDS = 60.0
"""What a process may need besides."""


class ChallengeJob(msgspec.Struct, frozen=True):
    """Whose checks of which project, by whom."""

    root: str
    env: str
    actor: str
    select: tuple[str, ...]
    seconds: int


class ChallengeJobResult(msgspec.Struct, frozen=True):
    """The checks with what came of it, or why nothing did."""

    checks: list[ChallengedCheckRow] = []
    problem: str | None = None
    hint: str = ""


def challenge_in_process(session: ProjectSession, select: tuple[str, ...], seconds: int, progress: Progress) -> list[ChallengedCheckRow]:
    """The checks of what is selected, put to the test. UsageError for what the command refuses, StoreError where it takes too long."""
    question = ChallengeJob(str(session.root), session.env, session.actor, select, seconds)
    progress.start("making faults in copies of published rows", None)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "headrace.services.challenge_process"],
            input=msgspec.json.encode(question), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds + GRACE_SECONDS,
            check=False,
        )  # fmt: skip
        answer = msgspec.json.decode(done.stdout, type=ChallengeJobResult)
    except subprocess.TimeoutExpired:
        raise StoreError("the checks took too long", hint="headrace checks challenge --seconds 600") from None
    except msgspec.DecodeError:
        raise StoreError("the checks couldn't be tried", hint="`headrace checks challenge` says why") from None
    progress.finish()
    if answer.problem is not None:
        raise UsageError(answer.problem, hint=answer.hint)
    return answer.checks


def main() -> int:
    """Answer one question."""
    from headrace.services.challenges import ChallengeRequest, challenge

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=ChallengeJob)
    session = ProjectSession(Path(job.root), job.env, None, job.actor)
    try:
        answer = ChallengeJobResult(challenge(session, ChallengeRequest(job.select, (), job.seconds, suggest=False), Silent()).checks)
    except HeadraceError as error:
        answer = ChallengeJobResult(problem=str(error), hint=error.hint)
    finally:
        session.close()
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
