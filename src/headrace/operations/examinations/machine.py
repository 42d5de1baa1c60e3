"""The machine: Python, DuckDB and its extensions, limits, time zones, and whether a worker can start."""

from __future__ import annotations

import contextlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headrace.model import HeadraceError, Project, SqlBody
from headrace.model.errors import first_line
from headrace.operations.examinations.finding import ExaminationFinding, fail, ok, warn
from headrace.operations.session import ProjectSession

FILES_LEAST = 1024
"""Open files that a leader with its workers may need."""
WORKER_SECONDS_MAX = 10.0
EXTENSIONS = ("ducklake", "sqlite_scanner")


def machine(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Everything that doesn't depend on the project's state."""
    yield _python()
    yield from _duckdb()
    yield _open_files()
    yield from _zones(session)
    yield _worker(session)


def _python() -> ExaminationFinding:
    version = ".".join(map(str, sys.version_info[:3]))
    return ok("Python", f"{version} at {sys.executable}")  # an older one can't even load this


def _duckdb() -> Iterator[ExaminationFinding]:
    import duckdb

    from headrace.lake.extensions import load

    wanted = next((text for text in metadata.requires("headrace") or () if text.startswith("duckdb==")), "")
    if wanted and wanted.partition("==")[2].split(";")[0].strip() != duckdb.__version__:
        yield fail("DuckDB", f"{duckdb.__version__}, needed is {wanted}", f"pip install {wanted}")
    else:
        yield ok("DuckDB", duckdb.__version__)
    connection = duckdb.connect()
    for name in EXTENSIONS:
        try:
            load(connection, name)
        except (HeadraceError, duckdb.Error) as error:
            yield fail(f"extension {name}", first_line(error), getattr(error, "hint", "") or "install Headrace again")
        else:
            yield ok(f"extension {name}", "loads")
    connection.close()


def _open_files() -> ExaminationFinding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES_LEAST:
        return warn("open files", f"at most {soft:,}", f"ulimit -n {min(hard, 4096) if hard > 0 else 4096} where Headrace is started")
    return ok("open files", f"at most {soft:,}")


def _zones(session: ProjectSession) -> Iterator[ExaminationFinding]:
    names = {session.timezone}
    with contextlib.suppress(HeadraceError):  # said by another area
        names |= _zones_of(session.declared().project)
    unknown = []
    for name in sorted(names):
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            unknown.append(name)
    if unknown:
        yield fail("time zones", f"no data for {', '.join(unknown)}", "install your system's tzdata, or pip install tzdata")
    else:
        yield ok("time zones", ", ".join(sorted(names)))


def _zones_of(project: Project | None) -> set[str]:
    if project is None:
        return set()
    return {node.timezone for group in (project.sources, project.assets, project.consumers) for node in group.values() if node.timezone}


def _worker(session: ProjectSession) -> ExaminationFinding:
    """One real task in one real worker, in a folder of its own."""
    from headrace.engine import AttemptScope
    from headrace.run.executors import TaskFinished
    from headrace.run.executors.choosing import worker_settings
    from headrace.run.executors.pool import Pool
    from headrace.run.folders import Folders
    from headrace.run.messages import ComputeTask
    from headrace.schedule import AttemptId

    scope = AttemptScope("doctor", ("*",), None, None, None, session.timezone, "0.1")
    task = ComputeTask(
        scope, SqlBody(text="select 1 as one", file="doctor"), "select 1 as one", None, (), "table", None, None, False, (), "reject"
    )
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder, Pool(worker_settings(Folders(str(session.root), folder), 1), 1) as pool:
            Path(folder, "lake").mkdir()
            pool.submit(AttemptId(0, 1), task)
            news = pool.wait(WORKER_SECONDS_MAX)
            while not news and time.perf_counter() - started < WORKER_SECONDS_MAX:
                news = pool.wait(WORKER_SECONDS_MAX)
            answer = news[0] if news else None
    except (HeadraceError, OSError) as error:
        return fail("workers", str(error), getattr(error, "hint", "") or "python -m headrace.run.fork_server must be able to start")
    took = time.perf_counter() - started
    if isinstance(answer, TaskFinished) and answer.outcome.state == "staged":
        return ok("workers", f"one started and computed a row in {took:.1f} s")
    text = answer.outcome.error.message if isinstance(answer, TaskFinished) and answer.outcome.error else f"no answer in {took:.0f} s"
    return fail("workers", text, "look at memory limits and at the temporary folder (TMPDIR)")
