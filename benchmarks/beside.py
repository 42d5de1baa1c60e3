"""Production's delay with and without a backfill beside it, and how soon a backfill pauses.

Production is what a server's trigger fires every second: an asset that computes, and one that reads
it. Its delay is that from the firing to the second one's publication. 500 of them are beside the
year of flights, which is backfilled again and again; 250 are without it, half of them before and
half after, so that what becomes of the machine meanwhile counts little. The interval of the growth
is that of 95 % of 2,000 resamples of both (bootstrap; Efron and Tibshirani, 1993, chapter 13).
"""

from __future__ import annotations

import math
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks import partitions
from benchmarks.harness import Figure, Measured, main
from benchmarks.headrace_cli import COMMAND, run
from benchmarks.peers import Unavailable
from benchmarks.peers.servers import answers, free_port, started

FIRINGS, FIRINGS_QUICK = 500, 4
RESAMPLES, SEED = 2_000, 17
DAYS, DAYS_QUICK = 365, 10
WARM_UP = 3
PERIOD_US = 1_000_000
PATIENCE_S = 120.0
PAUSES, PAUSES_QUICK = 5, 1
PULSE = """/* headrace
owner: core
trigger: {interval: 1s}
*/
select i % 97 as part, sum(i * i) as total, random() as other from range(1000000) as t(i) group by i % 97
"""
REPORT = (
    "/* headrace\nowner: core\n*/\nselect count(*) as parts, sum(total) as total, max(other) as"
    " other from pulse\n"
)
PUBLISHED = (
    "select published_at from publication where node = 'pulse_sum' and published_at > ? order by"
    " published_at"
)


@dataclass(frozen=True)
class Delays:
    """Of firings, in seconds."""

    seconds: list[float]
    firings: int

    @property
    def p95(self) -> float:
        """95 of 100 were at most this late."""
        return self._of(0.95)

    @property
    def shown(self) -> dict[str, float]:
        """The middle one as well: what every firing pays differs from what a few do."""
        return {"p50": self._of(0.5), "p95": self.p95}

    def _of(self, share: float) -> float:
        if not self.seconds:
            raise Unavailable("production published nothing")
        return sorted(self.seconds)[math.ceil(share * len(self.seconds)) - 1]


def measure(*, quick: bool) -> Measured:
    """The growth of production's p95 delay in per cent, and seconds until a pause takes effect."""
    with tempfile.TemporaryDirectory(prefix="headrace-beside-") as base:
        try:
            return Measured(_measured(Path(base), quick=quick), {})
        except Unavailable as error:
            return Measured([], {"production": f"not measured: {error}"})


def _measured(folder: Path, *, quick: bool) -> list[Figure]:
    firings, days = (FIRINGS_QUICK, DAYS_QUICK) if quick else (FIRINGS, DAYS)
    project = folder / "project"
    partitions.project(project, days, batch="auto")
    (project / "assets/pulse.sql").write_text(PULSE, encoding="utf-8")
    (project / "assets/pulse_sum.sql").write_text(REPORT, encoding="utf-8")
    run(project, "run", "flights", *partitions.ASSETS)
    with _served(project, folder):
        _delays(project, WARM_UP)
        _say(f"production alone, {firings // 4} firings")
        before = _delays(project, firings // 4)
        _say(f"production beside backfills, {firings} firings")
        with _backfills(project, days) as made:
            during = _delays(project, firings)
            seen = made()
        _say(f"production alone again, {firings // 4} firings")
        after = _delays(project, firings // 4)
        _say("pauses")
        pauses = [_pause(project, days) for _ in range(PAUSES_QUICK if quick else PAUSES)]
    alone = Delays([*before.seconds, *after.seconds], before.firings + after.firings)
    growth = _growth(during, alone)
    low, high = _interval(during, alone)
    against = {
        **{f"alone, {name}, ms": 1000 * value for name, value in alone.shown.items()},
        **{f"beside a backfill, {name}, ms": 1000 * value for name, value in during.shown.items()},
        "growth, 95 % interval from": low,
        "growth, 95 % interval to": high,
        "backfills begun meanwhile": float(seen),
    }
    # a publication at the edge of the time may belong to a firing outside it
    missed = sum(max(0, item.firings - len(item.seconds)) for item in (alone, during))
    return [
        Figure(
            name="production_p95_growth",
            value=growth,
            unit="%",
            goal=10.0,
            runs=[growth],
            against=against,
        ),
        Figure(
            name="firings_merged", value=float(missed), unit="", goal=None, runs=[float(missed)]
        ),
        Figure(name="pause_seconds", value=max(pauses), unit="s", goal=2.0, runs=pauses),
    ]


def _growth(during: Delays, alone: Delays) -> float:
    return 100 * (during.p95 / alone.p95 - 1)


def _interval(during: Delays, alone: Delays) -> tuple[float, float]:
    """The bounds between which 95 % of resamples' growths lie."""
    chance = random.Random(SEED)

    def resampled(of: Delays) -> Delays:
        return Delays(chance.choices(of.seconds, k=len(of.seconds)), of.firings)

    growths = sorted(_growth(resampled(during), resampled(alone)) for _ in range(RESAMPLES))
    return growths[int(0.025 * RESAMPLES)], growths[int(0.975 * RESAMPLES)]


def _say(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)


def day(number: int) -> str:
    """The key of a day of the year."""
    return (date(2013, 1, 1) + timedelta(days=number)).isoformat()


@contextmanager
def _served(project: Path, folder: Path) -> Iterator[None]:
    port = free_port()
    with started(
        [str(COMMAND), "serve", "--port", str(port), "--project", str(project)],
        folder / "server",
        {},
    ) as server:
        server.wait(lambda: answers(f"http://127.0.0.1:{port}/healthz"), PATIENCE_S)
        yield


def _delays(project: Path, firings: int) -> Delays:
    """Of so many firings from now on. One that is later than the period would be taken for the next
    one's, and be missing in the count.
    """
    began = time.time_ns() // 1_000
    time.sleep(firings * PERIOD_US / 1_000_000)
    ended = time.time_ns() // 1_000
    seconds = [(at % PERIOD_US) / 1_000_000 for (at,) in _query(project, PUBLISHED, began)]
    return Delays(seconds, (ended - began) // PERIOD_US)


@contextmanager
def _backfills(project: Path, days: int) -> Iterator[Callable[[], int]]:
    """One backfill after the other while the block lasts; tells how many were begun."""
    script = f"while true; do {' '.join(_backfill(project, days))} || exit 1; done"
    with subprocess.Popen(
        ["sh", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as looping:
        try:
            _until(
                lambda: _state(project) == "running" or looping.poll() is not None,
                "no backfill began",
            )
            _still_looping(looping)
            yield lambda: int(_query(project, "select count(*) from plan")[0][0])
            _still_looping(looping)
        finally:
            looping.kill()
    _until(lambda: _state(project) not in ("running", "planned"), "the last backfill didn't end")


def _still_looping(looping: subprocess.Popen[str]) -> None:
    """Raise Unavailable, with what the command said, if a backfill has failed."""
    if looping.poll() is not None:
        raise Unavailable(f"a backfill failed: {looping.stderr.read() if looping.stderr else ''}")


def _backfill(project: Path, days: int) -> list[str]:
    return [
        str(COMMAND),
        "backfill",
        *partitions.ASSETS,
        "--from",
        day(0),
        "--to",
        day(days - 1),
        "--mode",
        "all",
        "--reason",
        "benchmark",
        "--yes",
        "--json",
        "--project",
        str(project),
    ]


def _pause(project: Path, days: int) -> float:
    """Seconds from asking for a pause to when no attempt of the plan runs any more."""
    with subprocess.Popen(
        _backfill(project, days), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as backfill:
        _until(
            lambda: _state(project) == "running" and bool(_running(project)),
            "the backfill to pause didn't begin",
        )
        number = str(_query(project, "select max(id) from plan")[0][0])
        began = time.perf_counter()
        run(project, "backfills", "pause", number, "--reason", "benchmark")
        _until(lambda: not _running(project), "a paused backfill still ran")
        seconds = time.perf_counter() - began
        run(project, "backfills", "cancel", number, "--reason", "benchmark")
        backfill.wait(PATIENCE_S)
    return seconds


def _running(project: Path) -> list[Any]:
    """Attempts of a plan, which are numbered by it, that are under way."""
    return _query(
        project,
        "select 1 from attempt where n >= 1000000000 and state in ('queued', 'running') limit 1",
    )


def _state(project: Path) -> str:
    result = _query(project, "select state from plan order by id desc limit 1")
    return str(result[0][0]) if result else ""


def _query(project: Path, sql: str, *parameters: int) -> list[Any]:
    with sqlite3.connect(f"file:{project}/.headrace/state.db?mode=ro", uri=True) as state:
        return state.execute(sql, parameters).fetchall()


def _until(met: Callable[[], bool], what: str) -> None:
    last = time.monotonic() + PATIENCE_S
    while not met():
        if time.monotonic() > last:
            raise Unavailable(f"nothing happened for {PATIENCE_S:.0f} s: {what}")
        time.sleep(0.005)


if __name__ == "__main__":
    main(__doc__, measure)
