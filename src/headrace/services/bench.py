"""`bench`: what Headrace costs on this machine, next to the same work without it.

Each work is what a user would type, in a new project on the disk of a folder. Its floor does the
same without Headrace, in the same round, so that a ratio survives a busy machine.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from headrace import __version__
from headrace.model.errors import HeadraceError, UnknownName, UsageError, did_you_mean
from headrace.services.bench_floors import files_per_second, partition_ms, process_pool
from headrace.services.parameters import Argument, Option
from headrace.services.responses.bench import BenchFigure, BenchResponse, Machine
from headrace.services.session import Progress

NAMES_HELP = "no_ops, hops, published, partitions, backfill, start; all unless some are named"
WORKERS = 2
ROUNDS, ROUNDS_QUICK = 3, 1
FIRST_DAY = date(2013, 1, 1)
NOW = "2015-01-02T12:00Z"
COMMAND_TIMEOUT_S = 600.0

SETTINGS = (
    f'[project]\nname = "bench"\ntimezone = "UTC"\n[run]\nworkers = {WORKERS}\n'
    "pass_environment = []\n"
)
OWNERS = "core: {kind: team}\n"
NO_OP = '@asset(owner="core", materialize="none"{more})\ndef {name}():\n    pass\n'
ONE_ROW = (
    "from headrace import asset\n\n\n"
    '@asset(owner="core", partition="day")\n'
    "def one_row(ctx):\n"
    '    return [{{"day": ctx.partition, "n": 1}}]\n'
)
SMALL_DAY = """/* headrace
owner: core
partition: {{by: day, column: day}}
start: '{start}'
batch: {batch}
checks: [{{unique: [day, n]}}, {{not_null: [n]}}]
*/
select cast($partition_start as date) as day, n, n * n as squared from range(100) as numbers(n)
"""


class Size(NamedTuple):
    """How much each work does in one round."""

    no_ops: int = 2000
    hops: int = 100
    published: int = 365
    days: int = 100
    batched: int = 365


QUICK = Size(no_ops=40, hops=10, published=5, days=3, batched=8)
"""Sizes of a first look: the figures say whether it works, not how fast it is."""


class Work(NamedTuple):
    """One work: what it measures, and the figures that a round of it gives."""

    name: str
    description: str
    units: Mapping[str, str]
    """Figure → unit. A rate (`/s`) is better if it is larger, everything else if it is smaller."""
    measure: Callable[[Path, Size], Mapping[str, float]]
    floor: Callable[[Path, Size], Mapping[str, float]]


def bench(
    names: Annotated[Sequence[str], Argument("[NAME]...", help=NAMES_HELP)] = (),
    *,
    quick: Annotated[
        bool, Option("--quick", help="a few seconds: says whether it works, not how fast")
    ] = False,
    folder: Annotated[
        Path | None,
        Option("--folder", metavar="DIR", help="measure on the disk of this folder"),
    ] = None,
    progress: Progress,
) -> BenchResponse:
    """Measure what Headrace costs on this machine, next to the same work without Headrace.

    Raises UnknownName for a work that doesn't exist, UsageError for a folder that doesn't exist,
    HeadraceError if a measured command fails.
    """
    works = _chosen(names)
    base = folder if folder is not None else Path(tempfile.gettempdir())
    if not base.is_dir():
        raise UsageError(f"{base} is no folder", hint="name a folder that exists: --folder DIR")
    size, rounds = (QUICK, ROUNDS_QUICK) if quick else (Size(), ROUNDS)
    machine = _machine()
    figures: list[BenchFigure] = []
    with tempfile.TemporaryDirectory(prefix="headrace-bench-", dir=base) as name:
        for work in works:
            progress.start(work.description, rounds)
            figures += _measured(work, Path(name), size, rounds, progress)
            progress.finish()
    return BenchResponse(
        machine=machine,
        version=__version__,
        folder=str(base.resolve()),
        quick=quick,
        figures=figures,
    )


def _chosen(names: Sequence[str]) -> list[Work]:
    known = {work.name: work for work in WORKS}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"works: {', '.join(known)}"
            raise UnknownName(f"there is no work `{name}`", hint=hint)
    return [work for name, work in known.items() if not names or name in names]


def _measured(
    work: Work, folder: Path, size: Size, rounds: int, progress: Progress
) -> Iterator[BenchFigure]:
    """Measure a work and its floor in turns; yield each figure, followed by its floor."""
    ours: dict[str, list[float]] = {name: [] for name in work.units}
    floors: dict[str, list[float]] = {name: [] for name in work.units}
    for _ in range(rounds):
        for results, measure in ((ours, work.measure), (floors, work.floor)):
            with _empty_folder(folder) as empty:
                for name, value in measure(empty, size).items():
                    results[name].append(value)
        progress.advance()
    for name, unit in work.units.items():
        floor = statistics.median(floors[name])
        yield _figure(name, unit, ours[name], {"floor": floor})
        yield _figure(f"floor/{name}", unit, floors[name], {})


def _figure(name: str, unit: str, runs: list[float], against: Mapping[str, float]) -> BenchFigure:
    return BenchFigure(
        name=name,
        value=statistics.median(runs),
        unit=unit,
        compare=">=" if unit == "/s" else "<=",
        runs=runs,
        against=dict(against),
    )


@contextlib.contextmanager
def _empty_folder(base: Path) -> Iterator[Path]:
    folder = base / "work"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _machine() -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        memory_gib=round(memory / 2**30, 1),
        python=platform.python_version(),
        date=datetime.now(UTC).date().isoformat(),
        load_before=round(os.getloadavg()[0], 1),
    )


# What each work does.


def _no_ops(folder: Path, size: Size) -> dict[str, float]:
    assets = [NO_OP.format(name=f"a{n:05}", more="") for n in range(size.no_ops)]
    attempts = _run(_project(folder, {"assets/no_ops.py": _module(assets)}), "run")
    return {"tasks_per_second": _rate(attempts)}


def _no_ops_floor(_: Path, size: Size) -> dict[str, float]:
    return {"tasks_per_second": process_pool(size.no_ops, WORKERS).tasks_per_second}


def _hops(folder: Path, size: Size) -> dict[str, float]:
    assets = [
        NO_OP.format(name=f"a{n:05}", more=f', depends=["a{n - 1:05}"]' if n else "")
        for n in range(size.hops)
    ]
    attempts = _run(_project(folder, {"assets/no_ops.py": _module(assets)}), "run")
    between = [b - a for a, b in itertools.pairwise(_ends(attempts))]
    return _percentiles([1000 * seconds for seconds in between])


def _hops_floor(_: Path, size: Size) -> dict[str, float]:
    hops = process_pool(size.hops, WORKERS).hop_seconds
    return _percentiles([1000 * seconds for seconds in hops])


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {
        "hop_p50_ms": ordered[len(ordered) // 2],
        "hop_p95_ms": ordered[int(0.95 * len(ordered))],
    }


def _published(folder: Path, size: Size) -> dict[str, float]:
    project = _project(folder, {"assets/one_row.py": ONE_ROW.format()})
    attempts = _run(project, "run", "one_row", *_days(size.published))
    return {"published_per_second": _rate(attempts)}


def _published_floor(folder: Path, size: Size) -> dict[str, float]:
    return {"published_per_second": files_per_second(folder, size.published)}


def _partitions(folder: Path, size: Size) -> dict[str, float]:
    text = SMALL_DAY.format(start=FIRST_DAY, batch="off")
    project = _project(folder, {"assets/small_day.sql": text})
    attempts = _run(project, "run", "small_day", *_days(size.days))
    return {"partition_ms": 1000 / _rate(attempts)}


def _partitions_floor(folder: Path, size: Size) -> dict[str, float]:
    return {"partition_ms": partition_ms(folder, FIRST_DAY, size.days, synced=True)}


def _backfill(folder: Path, size: Size) -> dict[str, float]:
    text = SMALL_DAY.format(start=FIRST_DAY, batch="auto")
    project = _project(folder, {"assets/small_day.sql": text})
    words = ("backfill", "small_day", *_days(size.batched), "--reason", "bench", "--yes")
    _command(project, "apply", "--yes", "--now", NOW)
    began = time.perf_counter()
    _command(project, *words)
    return {"backfill_seconds": time.perf_counter() - began}


def _backfill_floor(folder: Path, size: Size) -> dict[str, float]:
    script = (
        "import sys; from datetime import date; from pathlib import Path;"
        " from headrace.services.bench_floors import partition_ms;"
        " partition_ms(Path(sys.argv[1]), date(2013, 1, 1), int(sys.argv[2]), synced=False)"
    )
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", script, str(folder), str(size.batched)], check=True)
    return {"backfill_seconds": time.perf_counter() - began}


def _start(folder: Path, _: Size) -> dict[str, float]:
    project = _project(folder, {"assets/no_op.py": _module([NO_OP.format(name="a", more="")])})
    _command(project, "run")
    began = time.perf_counter()
    _command(project, "status")
    return {"status_seconds": time.perf_counter() - began}


def _start_floor(_: Path, __: Size) -> dict[str, float]:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return {"status_seconds": time.perf_counter() - began}


WORKS = (
    Work(
        "no_ops",
        "Python assets that do nothing; floor: a bare process pool, which records nothing",
        {"tasks_per_second": "/s"},
        _no_ops,
        _no_ops_floor,
    ),
    Work(
        "hops",
        "from the end of one asset to that of the next; floor: the same through the pool",
        {"hop_p50_ms": "ms", "hop_p95_ms": "ms"},
        _hops,
        _hops_floor,
    ),
    Work(
        "published",
        "partitions of a Python asset, a row each; floor: one synced Parquet file each",
        {"published_per_second": "/s"},
        _published,
        _published_floor,
    ),
    Work(
        "partitions",
        "days of a small SQL asset with two checks, one by one; floor: DuckDB's COPY, synced",
        {"partition_ms": "ms"},
        _partitions,
        _partitions_floor,
    ),
    Work(
        "backfill",
        "a backfill of a year of them, the whole command; floor: a script with DuckDB's COPY",
        {"backfill_seconds": "s"},
        _backfill,
        _backfill_floor,
    ),
    Work(
        "start",
        "`headrace status` in a small project; floor: the start of Python",
        {"status_seconds": "s"},
        _start,
        _start_floor,
    ),
)


# Projects and commands.


def _project(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in {"headrace.toml": SETTINGS, "owners.yaml": OWNERS, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def _module(assets: Sequence[str]) -> str:
    return "from headrace import asset\n\n\n" + "\n\n".join(assets)


def _days(count: int) -> tuple[str, ...]:
    last = FIRST_DAY + timedelta(days=count - 1)
    return ("--from", FIRST_DAY.isoformat(), "--to", last.isoformat(), "--now", NOW)


def _run(project: Path, *words: str) -> list[Any]:
    """Run a command that runs assets; return its published attempts."""
    document = _command(project, *words)
    attempts = [item for item in document["attempts"] if item["state"] == "published"]
    if document["state"] != "succeeded" or not attempts:
        raise HeadraceError(f"`headrace {words[0]}` of the benchmark ended {document['state']}")
    return attempts


def _command(project: Path, *words: str) -> Any:
    """Run a command in a process of its own; return its JSON. Raises HeadraceError if it fails."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")
    }
    command = [sys.executable, "-m", "headrace", words[0], "--json", "--project", str(project)]
    done = subprocess.run(
        [*command, *words[1:]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT_S,
    )
    if done.returncode:
        raise HeadraceError(
            f"`headrace {words[0]}` of the benchmark failed: {done.stderr.strip()[-500:]}",
            hint="headrace doctor",
        )
    return json.loads(done.stdout)


def _ends(attempts: Sequence[Any]) -> list[float]:
    """Seconds at which attempts ended, in order."""
    return sorted(datetime.fromisoformat(item["published_at"]).timestamp() for item in attempts)


def _rate(attempts: Sequence[Any]) -> float:
    """Partitions per second, from the first dispatch to the last publication."""
    began = min(datetime.fromisoformat(item["queued_at"]).timestamp() for item in attempts)
    partitions = sum(len(item["partitions"]) for item in attempts)
    return partitions / (_ends(attempts)[-1] - began)
