"""Kills by chance: a project is killed again and again while it works, finished, and compared with
one that nobody disturbed.

python tests/faults/campaign.py 200        as `make faults KILLS=200`; SEED=… replays
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from faults_lab import (
    CHECKPOINTS,
    RUN_SECONDS_MAX,
    Project,
    World,
    leftovers_after_gc,
    published_once,
    started_by,
    strikes,
    verify,
)

from headrace.faults import FaultPoint

AT_RUNTIME = (
    FaultPoint.LEASE_TAKING,
    FaultPoint.LEASE_TAKEN,
    FaultPoint.FILES_READ,
    FaultPoint.VERSION_APPLYING,
    FaultPoint.CODE_UNPACKED,
    FaultPoint.RUN_BEGUN,
    FaultPoint.TURN_BEGUN,
    FaultPoint.TURN_SYNCED,
    FaultPoint.PUBLISH_REGISTERED,
    FaultPoint.CHECKPOINT_WRITTEN,
    FaultPoint.TURN_COMMITTING,
    FaultPoint.TURN_COMMITTED,
    FaultPoint.TURN_DURABLE,
    FaultPoint.TASK_SENDING,
    FaultPoint.TURN_DONE,
    FaultPoint.LEASE_RELEASING,
)
"""Points that the runtime passes in a tick."""
AT_BODY = (
    FaultPoint.TASK_TAKEN,
    FaultPoint.BODY_BEGUN,
    FaultPoint.FILE_STAGED,
    FaultPoint.TASK_DONE,
    FaultPoint.TASK_ANSWERED,
)
"""Points that workers pass once a task, often."""
AT_FILE = (
    FaultPoint.RAW_COPIED,
    FaultPoint.RAW_KEPT,
    FaultPoint.FILE_WRITTEN,
    FaultPoint.EXPORT_WRITTEN,
    FaultPoint.EXPORT_STAGED,
    FaultPoint.EXPORT_RENAMED,
    FaultPoint.EXPORT_COMMITTING,
    FaultPoint.EXPORT_COMMITTED,
)
"""Points that workers pass several times a task, or once in a while."""
TIMES_MAX = 6
"""A runtime is killed the first to sixth time that it comes to a point: there are about as many
turns as partitions."""
CHAIN_KILLS = 20
"""So many kills one project has to survive, at most."""


class Kill(NamedTuple):
    """One kill: what was killed, and at which point or after how many seconds."""

    kind: str
    where: str


def small(root: Path) -> Project:
    """The small project."""
    return Project(root).declare()


class Campaign:
    """Kills projects until there were enough; tells what became of each."""

    def __init__(
        self,
        folder: Path,
        wanted: World,
        seed: int,
        span: float,
        make: Callable[[Path], Project] = small,
    ) -> None:
        """`wanted` is what a project comes to that `make` has made in a folder, and `span` the
        seconds that it takes.
        """
        self._folder, self._wanted, self._span, self._make = folder, wanted, span, make
        self._chance = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.failures: list[str] = []

    @property
    def done(self) -> int:
        """Kills that struck."""
        return sum(self.kills.values())

    def run(self, kills: int) -> None:
        """Until so many kills have struck."""
        for number in range(10 * kills):
            if self.done >= kills:
                return
            self.chain(number, min(CHAIN_KILLS, kills - self.done))

    def chain(self, number: int, kills: int) -> None:
        """One project, killed up to so many times in a row, finished and compared."""
        project = self._make(self._folder / f"p{number}")
        if self._chance.random() < 0.5:
            project.preload(CHECKPOINTS)
        struck: list[Kill] = []
        try:
            while len(struck) < kills and (kills_now := self._once(project)):
                struck += kills_now
            finish_and_verify(project, self._wanted)
        except Exception as error:  # noqa: BLE001 - one that is broken is told, the others go on
            self.broken.update({kill.kind for kill in struck})
            self.failures.append(
                f"{project.root.name}: after {', '.join(f'{k.kind} at {k.where}' for k in struck)}: {error!r}"[
                    :3000
                ]
            )
        else:
            shutil.rmtree(project.root)
        self.kills.update(kill.kind for kill in struck)

    def _once(self, project: Project) -> list[Kill]:
        """Start it and kill it; nothing if it came to its end first."""
        draw = self._chance.random()
        if draw < 0.4:
            return self._runtime_at(
                project, self._chance.choice(AT_RUNTIME), self._chance.randint(1, TIMES_MAX)
            )
        if draw < 0.6:
            return self._workers_at(
                project,
                self._chance.choice(AT_BODY),
                self._chance.randint(2, 4),
                self._chance.randint(4, 12),
            )
        if draw < 0.7:
            return self._worker_at(project, self._chance.choice(AT_FILE))
        return self._at_random(project)

    def _runtime_at(self, project: Project, point: FaultPoint, time: int) -> list[Kill]:
        """The runtime at a named point."""
        ended = project.tick(fault=f"{point}:{time}=kill")
        if not project.fired():
            return []
        assert ended.killed, (
            f"{point} was reached, and it ended with {ended.code}: {ended.said[-500:]}"
        )
        return [Kill("runtime, at a point", f"{point}:{time}")]

    def _worker_at(self, project: Project, point: FaultPoint) -> list[Kill]:
        """One worker at a named point; the runtime goes on to the end."""
        ended = project.tick(fault=f"{point}=kill")
        assert ended.code == 0, ended.said
        return [Kill("worker, at a point", point)] if project.fired() else []

    def _workers_at(self, project: Project, point: FaultPoint, time: int, turns: int) -> list[Kill]:
        """Every worker, again and again, when it comes to a point; some turns later the runtime."""
        trace = project.root / "trace"
        trace.unlink(missing_ok=True)
        armed = {
            "HEADRACE_FAULT": f"{point}:{time}=kill,{FaultPoint.TURN_DONE}:{turns}=kill",
            "HEADRACE_FAULT_TRACE": str(trace),
        }
        ended = project.tick(**armed)
        assert ended.killed or ended.code == 0, ended.said
        kills = [Kill("worker, at a point", f"{point}:{time}")] * (
            strikes(trace, point, time) if trace.exists() else 0
        )
        return (
            [*kills, Kill("runtime, at a point", f"{FaultPoint.TURN_DONE}:{turns}")]
            if ended.killed
            else kills
        )

    def _at_random(self, project: Project) -> list[Kill]:
        """At any moment: the runtime, a worker, or all of them at once."""
        process = project.start("tick", *project.now)
        after = self._chance.uniform(0.1, self._span)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)  # the moment is what is random, nothing is waited for
        workers = started_by(process.pid)
        kind = self._chance.choice(("runtime", "worker", "all")) if workers else "runtime"
        if process.poll() is None:
            _kill(process, kind, self._chance.choice(workers) if workers else 0, workers)
        else:
            kind = ""
        process.communicate(timeout=60)
        return [Kill(f"{kind}, at any moment", f"{after:.3f} s")] if kind else []

    def table(self) -> str:
        """Kinds of kills, how many struck, how many projects came to something else."""
        lines = [f"{'what was killed':<24} {'kills':>6} {'broken':>7}"]
        lines += [
            f"{kind:<24} {count:>6} {self.broken[kind]:>7}"
            for kind, count in sorted(self.kills.items())
        ]
        return "\n".join(lines)


def _kill(process: subprocess.Popen[str], kind: str, worker: int, workers: list[int]) -> None:
    victims = {"runtime": [process.pid], "worker": [worker], "all": [process.pid, *workers]}[kind]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def finish_and_verify(project: Project, wanted: World) -> None:
    """Run it to its end: the same as undisturbed, nothing twice, and nothing is left over once the
    garbage is collected.
    """
    project.finish()
    twice, left = published_once(project), leftovers_after_gc(project)
    assert twice == [], f"published more often than once: {twice}"
    assert left == set(), f"left behind: {left}"
    verify(project, wanted)


def undisturbed(folder: Path, make: Callable[[Path], Project] = small) -> tuple[World, float]:
    """What it comes to if nobody disturbs it, and how many seconds it takes."""
    project = make(folder / "undisturbed")
    began = time.monotonic()
    process = project.start(
        "tick", *project.now
    )  # as those that are killed: any moment of theirs lies within its span
    _, said = process.communicate(timeout=RUN_SECONDS_MAX)
    span = time.monotonic() - began
    assert process.returncode == 0, said
    assert project.leftovers() == set()
    return project.world(), span


def main() -> int:
    """Print the seed, kill, print the table."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
    print(f"{kills} kills, SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), *_with_seed(undisturbed(Path(folder)), seed))
        campaign.run(kills)
    print(campaign.table())
    print("\n".join(campaign.failures), file=sys.stderr)
    return 1 if campaign.failures else 0


def _with_seed(result: tuple[World, float], seed: int) -> tuple[World, int, float]:
    return result[0], seed, result[1]


if __name__ == "__main__":
    sys.exit(main())
