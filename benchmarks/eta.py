"""How well it is said when a backfill will have ended: backfills of two dozen shapes, watched from
beside.

While `headrace backfill` runs, its remaining time is asked for, as its progress line does. What
counts is what was said at a quarter of the way: |predicted − actual end| ÷ duration, the median
over all shapes. Observed are also the estimate before it began, and how many ended within its
interval, which is made for four of five. An actual end is the one that the plan has in the state.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.eta_shapes import SHAPES, Asset, Shape, day
from benchmarks.harness import Figure, Measured, main
from benchmarks.headrace_cli import COMMAND, run
from benchmarks.peers import Unavailable
from headrace.project.session import ProjectSession
from headrace.runtime import estimates
from headrace.store.queries import backfill_plans
from headrace.store.queries.backfill_plans import PlanRecord

GOAL = 0.15
QUARTER = 0.25
ASK_S = 0.4
TIMEOUT_S = 300.0
QUICK = (
    Shape(
        "row", (Asset("a0", "s", seconds=0.05), Asset("a1", "a0", seconds=0.05)), days=15, before=4
    ),
)
SECOND_US = 1_000_000


@dataclass(frozen=True)
class DeclaredPromises:
    """Of one backfill, in seconds: how long it took, what was said before, and when it was said to
    end, by when that was asked.
    """

    name: str
    took: float
    low: float | None
    before: float
    high: float | None
    said: tuple[tuple[float, float], ...]

    @property
    def off_at_quarter(self) -> float:
        """By how much of its duration it ended at another time than was said at a quarter of the
        way.
        """
        asked = [end for at, end in self.said if at >= QUARTER * self.took]
        return abs(asked[0] - self.took) / self.took if asked else math.nan

    @property
    def off_before(self) -> float:
        """The same of what was said before it began."""
        return abs(self.before - self.took) / self.took

    @property
    def within(self) -> bool | None:
        """Whether it took as long as the interval said; None where too little had run for one."""
        return None if self.low is None or self.high is None else self.low <= self.took <= self.high


def declared_promises(shape: Shape, folder: Path) -> DeclaredPromises:
    """One shape: what was computed before, then the backfill with somebody who asks."""
    shape.write(folder)
    run(folder, "run")
    if not shape.delivered:
        shape.deliver(folder, shape.before, shape.before + shape.days)
        run(folder, "run", "s")
    if shape.slower != 1.0 or shape.unknown:
        shape.write_assets(folder, list(shape.assets), shape.slower)
        run(folder, "apply", "--yes")
    if shape.delivered:
        shape.deliver(folder, shape.before, shape.before + shape.days)
    selected = [f"+{asset.name}" if shape.delivered else asset.name for asset in shape.assets]
    row, said = _ask(
        folder, [*selected, "--from", day(shape.before), "--to", day(shape.before + shape.days - 1)]
    )
    if row.state != "succeeded" or row.started_at is None or row.finished_at is None:
        raise Unavailable(f"the backfill ended {row.state}: {row.outcome}")
    began, took = row.started_at / SECOND_US, (row.finished_at - row.started_at) / SECOND_US
    before = (
        msgspec.json.decode(row.estimate)
        if row.estimate
        else {"low": 0.0, "seconds": 0.0, "high": 0.0}
    )
    return DeclaredPromises(
        shape.name,
        took,
        before["low"],
        before["seconds"],
        before["high"],
        tuple((at - began, end - began) for at, end in said),
    )


def _ask(folder: Path, arguments: list[str]) -> tuple[PlanRecord, list[tuple[float, float]]]:
    """Run a backfill of what is selected; its plan's row in the end, and (when it was asked, the
    end that was said).
    """
    command = [
        str(COMMAND),
        "backfill",
        *arguments,
        "--mode",
        "all",
        "--reason",
        "a benchmark",
        "--yes",
        "--json",
        "--project",
        str(folder),
    ]
    said: list[tuple[float, float]] = []
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as process,
    ):
        deadline = time.monotonic() + TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            said += _said(folder)
            time.sleep(ASK_S)
        if process.poll() is None:
            process.kill()
        if process.wait():
            errors.seek(0)
            raise Unavailable(f"exit {process.returncode}: {errors.read()[-600:].strip()}")
    row = _newest(folder)
    assert row is not None, "no plan was kept"
    return row, said


def _said(folder: Path) -> list[tuple[float, float]]:
    row = _newest(folder)
    if row is None or row.state != "running":
        return []
    session = ProjectSession.open(folder, "prod", None, "benchmark")
    assert session.store is not None
    assert session.compiled is not None
    now = session.clock.now_us()
    with session.store.read() as tx:
        result = estimates.remaining(tx, session.compiled, row, now)
    return [] if result is None else [(now / SECOND_US, now / SECOND_US + result.seconds)]


def _newest(folder: Path) -> PlanRecord | None:
    session = ProjectSession.open(folder, "prod", None, "benchmark")
    assert session.store is not None
    with session.store.read() as tx:
        return next(iter(backfill_plans.newest(tx, 1)), None)


def measure(*, quick: bool, only: str) -> Measured:
    """All shapes, or those with a word in their names, one after the other."""
    result: list[DeclaredPromises] = []
    notes: dict[str, str] = {}
    for shape in QUICK if quick else [shape for shape in SHAPES if only in shape.name]:
        print(f"  {shape.name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="headrace-eta-") as base:
            try:
                result.append(declared_promises(shape, Path(base) / "project"))
            except (Unavailable, SystemExit) as error:
                notes[shape.name] = f"not measured: {error}"
                continue
        notes[shape.name] = _note(result[-1])
    if not result:
        raise SystemExit(f"nothing was measured: {notes}")
    off = [item.off_at_quarter for item in result]
    within = [float(item.within) for item in result if item.within is not None]
    known = [value for value in off if not math.isnan(value)]
    figures = [
        Figure(
            name="eta_off_at_a_quarter",
            value=statistics.median(known) if known else math.inf,
            unit="ratio",
            goal=GOAL,
            runs=known,
        ),
        _observed(
            "estimate_off_before",
            statistics.median(item.off_before for item in result),
            "ratio",
            [one.off_before for one in result],
        ),
    ]
    if within:
        figures.append(
            _observed("ended_within_the_interval", statistics.fmean(within), "share", within)
        )
    return Measured(figures, notes)


def _observed(name: str, value: float, unit: str, runs: list[float]) -> Figure:
    return Figure(name=name, value=value, unit=unit, goal=None, runs=runs)


def _note(item: DeclaredPromises) -> str:
    interval = (
        "a guess" if item.low is None or item.high is None else f"{item.low:.1f} to {item.high:.1f}"
    )
    return (
        f"took {item.took:.1f} s; before: {item.before:.1f} s ({interval}); at a quarter off by"
        f" {100 * item.off_at_quarter:.0f} %"
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only", default="", metavar="WORD", help="the shapes with this in their names"
    )


if __name__ == "__main__":
    main(__doc__, measure, _options)
