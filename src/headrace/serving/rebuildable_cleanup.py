"""The part of the daily maintenance that computes: partitions older than `retain_rebuildable`.

A running server starts it as a process of the lowest priority, after the maintenance of the lake.
It sends the removals to the leader, as `headrace db gc` does.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from headrace.model import HeadraceError
from headrace.project.session import ProjectSession, Silent
from headrace.runtime.background_priority import give_way

DAILY_PARTITIONS_MAX = 20
"""Maximum number of partitions of an asset that a day's maintenance computes again."""
DAILY_SECONDS_MAX = 600.0
"""Seconds after which no further partition is computed again; the next day goes on."""
ACTOR = "headrace"


class CleanupJob(msgspec.Struct, frozen=True):
    """The project to clean up, as the server opened it."""

    root: str
    env: str


def clean_up(job: CleanupJob) -> None:
    """Remove at most 20 partitions of each asset that give the same rows again.

    What differs, or can't be computed, stays; `db gc` says why.
    """
    # a slow import, which the server that starts this process doesn't need
    from headrace.services.rebuildable import remove_rebuildable

    session = ProjectSession(Path(job.root), job.env, None, ACTOR, leads=False, trusted=True)
    try:
        remove_rebuildable(
            session,
            Silent(),
            partitions_max=DAILY_PARTITIONS_MAX,
            until=time.monotonic() + DAILY_SECONDS_MAX,
            by_maintenance=True,
        )
    finally:
        session.close()


def main() -> int:
    """Clean up once; print an error to standard error."""
    give_way()
    try:
        clean_up(msgspec.json.decode(sys.stdin.buffer.read(), type=CleanupJob))
    except HeadraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
