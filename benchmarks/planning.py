"""How long it takes to plan a backfill of much: 20 assets × 10,000 days, estimate included.

What is timed is planning in a process that has the project open, as a server's: reading where
everything stands, choosing partitions with all that reads them, steps, estimate, bytes and policy.
And `headrace backfill --dry-run` as typed. Two plans: all is made again; and what is missing, which
is one day in ten of the last asset, so that ranges have holes. The assets stand in a row, and each
has a history of 50 attempts.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

from benchmarks.harness import ROOT, Figure, main
from benchmarks.headrace_cli import run
from headrace.project.session import ProjectSession
from headrace.repairs.backfill_planning import BackfillArguments, plan
from headrace.runtime.graph import load
from headrace.scheduler import Core, checkpoints
from headrace.store import Store
from headrace.store.queries import partition_states

ASSETS, DAYS = 20, 10_000
ASSETS_QUICK, DAYS_QUICK = 3, 40
RUNS = 5
FIRST = date(1998, 1, 1)
NOW = "2026-01-02T12:00+00:00"
GOAL_S = 1.0
HOLE_EVERY = 10
ATTEMPTS, TOOK_US = 50, 40_000
HEADRACE_TOML = '[project]\nname = "much"\ntimezone = "UTC"\n'
OWNERS = "core: {kind: team, contact: ['mailto:core@example.com']}\n"
SOURCE = "source: s\nowner: core\npartition: day\nfiles: landing/s_{date:%Y-%m-%d}.csv\n"
ASSET = (
    "/* headrace\nowner: core\npartition: {{by: day, column: day}}\n*/\nselect day, n from"
    " {reads}\n"
)
WAYS = {"all": "all", "holes": "missing"}
"""Figure → mode."""


def project(folder: Path, assets: int) -> None:
    """A source and assets in a row, applied; nothing is delivered."""
    texts = {"headrace.toml": HEADRACE_TOML, "owners.yaml": OWNERS, "sources/s.yaml": SOURCE}
    texts |= {
        f"assets/a{n}.sql": ASSET.format(reads=f"a{n - 1}" if n else "s") for n in range(assets)
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "landing").mkdir()
    run(folder, "apply", "--yes", "--now", NOW)


def day(number: int) -> str:
    """A day by its number."""
    return (FIRST + timedelta(days=number)).isoformat()


def fill(session: ProjectSession, assets: int, days: int) -> None:
    """All is published, but for one day in ten of the last asset; the leader has left a
    checkpoint.
    """
    store, compiled, version = session.store, session.compiled, session.version
    assert store is not None
    assert compiled is not None
    assert version is not None
    _insert(store, _rows(assets, days))
    with store.write(None) as tx:
        tx.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick', '{}',"
            " 'benchmark', 'succeeded', 0)"
        )
        tx.executemany(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
            " started_at, finished_at) values (1, ?, 1, ?, 'produce', ?, 'published', 0, 0, ?)",
            [
                (n, f"a{n % assets}", f'["{day(n // assets)}"]', TOOK_US + n)
                for n in range(ATTEMPTS * assets)
            ],
        )
    core = Core(epoch=1, slots=2)
    now = session.clock.now_us()
    with store.read() as tx:
        core.handle(load(tx, compiled, version=version), now)
    with store.write(None) as tx:
        partition_states.save_checkpoint(
            tx, version, checkpoints.encode_checkpoint(core.checkpoint()), now
        )


def _rows(assets: int, days: int) -> Iterator[tuple[str, str, int]]:
    for number, node in enumerate(("s", *(f"a{n}" for n in range(assets)))):
        holes = HOLE_EVERY if number == assets else days + 1
        yield from ((node, day(n), 1 + number) for n in range(days) if (n + 1) % holes)


def _insert(store: Store, rows: Iterator[tuple[str, str, int]]) -> None:
    while some := list(islice(rows, 50_000)):
        with store.write(None) as tx:
            tx.executemany(
                "insert into partition (node, partition, state, since, revision, publication_id)"
                " values (?, ?, 'published', 0, ?, 1)",
                some,
            )


def measured(folder: Path, assets: int, days: int) -> dict[str, list[float]]:
    """Seconds of each way, several times, and the megabytes that this process had at most."""
    project(folder, assets)
    fill(ProjectSession.open(folder, "prod", NOW, "benchmark"), assets, days)
    result: dict[str, list[float]] = {}
    for name, mode in WAYS.items():
        arguments = BackfillArguments(
            [f"a{n}" for n in range(assets)], [], day(0), day(days - 1), None, mode, "a benchmark"
        )
        planned = [_planned(folder, arguments) for _ in range(RUNS)]
        wanted = assets * days if mode == "all" else days // HOLE_EVERY
        assert {partitions for _, partitions in planned} == {wanted}, (
            f"{name}: {planned} instead of {wanted}"
        )
        result[name] = [seconds for seconds, _ in planned]
    result["command"] = [_typed(folder, assets, days) for _ in range(RUNS)]
    result["memory"] = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
    return result


def _planned(folder: Path, arguments: BackfillArguments) -> tuple[float, int]:
    session = ProjectSession.open(folder, "prod", NOW, "benchmark")
    assert session.compiled is not None
    now = session.now()
    begun = time.perf_counter()
    result = plan(session, session.store, session.compiled, session.version, arguments, now=now)
    seconds = time.perf_counter() - begun
    assert result.estimate is not None, "planned without an estimate"
    return seconds, result.backfill.partitions


def _typed(folder: Path, assets: int, days: int) -> float:
    begun = time.perf_counter()
    selected = [f"a{n}" for n in range(assets)]
    run(
        folder,
        "backfill",
        *selected,
        "--from",
        day(0),
        "--to",
        day(days - 1),
        "--mode",
        "all",
        "--dry-run",
        "--now",
        NOW,
    )
    return time.perf_counter() - begun


def measure(*, quick: bool) -> list[Figure]:
    """In a process of its own, so that its memory is its own."""
    assets, days = (ASSETS_QUICK, DAYS_QUICK) if quick else (ASSETS, DAYS)
    command = [sys.executable, "-m", "benchmarks.planning", "--measure", str(assets), str(days)]
    result = json.loads(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    )
    size = f"{assets}x{days}"
    return [
        _figure(f"{size} planned, all again", result["all"], "s", GOAL_S),
        _figure(f"{size} planned, with holes", result["holes"], "s", GOAL_S),
        _figure(f"{size} backfill --dry-run", result["command"], "s", None),
        _figure(f"{size} memory", result["memory"], "MB", None),
    ]


def _figure(name: str, runs: list[float], unit: str, goal: float | None) -> Figure:
    return Figure(name=name, value=statistics.median(runs), unit=unit, goal=goal, runs=runs)


if __name__ == "__main__":
    if "--measure" in sys.argv:
        parser = argparse.ArgumentParser()
        parser.add_argument("--measure", nargs=2, type=int)
        with tempfile.TemporaryDirectory(prefix="headrace-planning-") as base:
            print(json.dumps(measured(Path(base) / "project", *parser.parse_args().measure)))
    else:
        main(__doc__, measure)
