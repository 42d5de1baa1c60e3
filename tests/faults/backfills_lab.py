"""A project whose past is made again, killed while it is, and what readers may see meanwhile."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from faults_lab import ASSETS, Ended, Project, World, leftovers_after_gc, started_by, verify

from headrace.faults import FaultPoint

DAYS = (*(f"2025-01-{day}" for day in range(24, 32)), "2025-02-01")
RANGE = ("--from", DAYS[0], "--to", DAYS[-1])
AT_ONCE = ("clean", "monthly")
"""Tables that are staged, whose content the new code changes: readers see all of it or nothing."""
OPEN = ("planned", "running", "paused")
POINTS = (
    FaultPoint.OVERLAY_STAGED,
    FaultPoint.OVERLAY_FOUND,
    FaultPoint.OVERLAY_PROMOTED,
    FaultPoint.OVERLAY_TIDYING,
    FaultPoint.TURN_COMMITTING,
    FaultPoint.TURN_COMMITTED,
    FaultPoint.TURN_DONE,
    FaultPoint.TASK_SENDING,
)
TIMES_MAX = 4


class Wanted(NamedTuple):
    """What an undisturbed project comes to."""

    old: World
    new: World
    span: float
    """Seconds that its backfill takes."""


def applied(root: Path) -> Project:
    """A project with a published past, and new code for it in force."""
    project = declared(root)
    project.finish()
    change(project)
    return project


def declared(root: Path, days: Sequence[str] = DAYS) -> Project:
    """A project that hasn't run. What a merge's partition came to is told by what it replaced,
    which differs by where it was killed."""
    project = Project(root).declare(days)
    project.differing = ("history", "latest")
    return project


def change(project: Project) -> None:
    """Apply a transformation that gives other figures for every day."""
    front, body = ASSETS["clean"]
    changed = body.replace("cast(amount as decimal(9,2))", "cast(2 * amount as decimal(9,2))")
    (project.root / "assets/clean.sql").write_text(
        f"/* headrace\nowner: core\n{front}\n*/\n{changed}\n"
    )
    project.document("apply", "--yes", *project.now)


def command(project: Project) -> tuple[str, ...]:
    """What is typed to have the past made again."""
    return ("backfill", "clean", *RANGE, "--reason", "amounts were halved", "--yes", *project.now)


def next_command(project: Project) -> tuple[str, ...]:
    """What an operator does next: nothing for a plan that stands, a pass goes on with it; else ask
    once more."""
    state = plan_state(project)
    return ("tick", *project.now) if state in OPEN or state == "succeeded" else command(project)


def plan_state(project: Project) -> str:
    result = project.sql_if_any("select state from plan order by id desc limit 1")
    return str(result[0][0]) if result else ""


def undisturbed(folder: Path) -> Wanted:
    """One that nobody kills."""
    project = applied(folder / "undisturbed")
    old = project.world()
    began = time.monotonic()
    document = project.document(*command(project))
    span = time.monotonic() - began
    assert document["state"] == "succeeded", document
    project.finish()
    return Wanted(old, project.world(), span)


def nothing_half_visible(project: Project, wanted: Wanted) -> None:
    """Readers see all tables as they were before, or all as they are afterwards."""
    project.tables = AT_ONCE
    seen = {name: row for name, row in project.world().rows.items() if name in AT_ONCE}
    project.tables = tuple(wanted.old.rows)
    assert seen in (
        [{name: world.rows[name] for name in AT_ONCE} for world in (wanted.old, wanted.new)]
    ), f"half visible: {seen}"


def finish(project: Project, wanted: Wanted) -> None:
    """To the end, as whoever restarts the runtime would; then it is as if nobody had killed
    anything."""
    for _ in range(4):
        if plan_state(project) == "succeeded":
            break
        ended = project.run(*next_command(project))
        assert ended.code == 0, ended.said
    assert plan_state(project) == "succeeded"
    project.finish()
    assert twice(project) == [], "a partition of the plan was published more often than once"
    assert leftovers_after_gc(project) == set()
    verify(project, wanted.new)


def twice(project: Project) -> list[Any]:
    """Partitions of the tables that change at once, with other than two publications: before, and
    by the plan."""
    names = ", ".join(f"'{name}'" for name in AT_ONCE)
    return project.sql(
        f"select node, partition, count(*) from publication where node in ({names}) group by 1, 2"
        " having count(*) <> 2"
    )


def disturb(project: Project, wanted: Wanted, chance: random.Random) -> str:
    """Do what is next and kill it, at a point or at any moment; what struck, or nothing if it came
    to its end first.
    """
    if chance.random() < 0.5:
        point, number = chance.choice(POINTS), chance.randint(1, TIMES_MAX)
        project.run(*next_command(project), fault=f"{point}:{number}=kill")
        return f"{point}:{number}" if project.fired() else ""
    process = project.start(*next_command(project))
    after = chance.uniform(0.2, wanted.span)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)  # the moment is what is random, nothing is waited for
    struck = process.poll() is None
    workers = started_by(process.pid)
    everything = chance.random() < 0.5
    for pid in [*(workers if everything else []), process.pid] if struck else []:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    return f"{'all' if everything else 'runtime'} after {after:.3f} s" if struck else ""


def said_why(ended: Ended) -> None:
    """It ended by itself and names the cause."""
    assert ended.code in (0, 1), ended
    assert "Traceback" not in ended.said
    assert any(word in ended.said + ended.out for word in ("full", "space")), ended
