"""Queries that reach for what isn't theirs: DuckDB's settings refuse it, and so does the kernel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from runlab import DAYS, Lab, published
from worker_bench import WorkerBench

from headrace.engine import sandbox
from headrace.engine.logs import OutputPipes
from headrace.engine.query_thread import QueryThread
from headrace.project.session import InvalidProject
from headrace.runtime.folders import Folders
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.worker_protocol import WorkerSettings

landlocked = pytest.mark.skipif(not sandbox.available(), reason="no Landlock")

HOSTILE = [
    "select * from read_csv('/etc/passwd', header=false)",
    "select content from read_text('{root}/.headrace/state.db')",
    "select content from read_text('{root}/.headrace/keys/root')",
    "select content from read_text('{root}/headrace.toml')",
    "select content from read_text('{root}/landing/*.csv')",
    "select content from read_text('/proc/self/environ')",
    "select file from glob('{root}/*')",
    "select * from '{root}/landing/orders_2025-01-01.csv'",
    "select * from sqlite_scan('{root}/.headrace/state.db', 'attempts')",
    "select * from read_parquet('https://example.com/a.parquet')",
    "select getenv('HOME')",
    "copy (select 1) to '{root}/written.csv'",
    "attach '{root}/.headrace/state.db' as state (type sqlite)",
    "attach '{root}/other.duckdb' as other",
    "install httpfs",
    "load httpfs",
    "load '{root}/evil.duckdb_extension'",
    "set enable_external_access = true",
    "export database '{root}/dump'",
    "select * from query('select content from read_text(''/etc/passwd'')')",
    "select * from query_table(['{root}/landing/orders_2025-01-01.csv'])",
    "select * from glob(getvariable('data_folder') || '../*')",
    "select 1); copy (select 1) to '{root}/written.csv'; select (1",
]


@pytest.mark.parametrize("mode", ["commands", "off"])
def test_no_query_of_an_asset_gets_out(lab: Lab, mode: str) -> None:
    """Would catch: a hostile query that one wall lets through, with the kernel's rules and without;
    a refused query that stops those of other assets.
    """
    toml = (lab.root / "headrace.toml").read_text()
    lab.write("headrace.toml", toml.replace("[run]\n", f'[run]\nsandbox = "{mode}"\n'))
    (lab.root / ".headrace/keys").mkdir(parents=True)
    lab.write(".headrace/keys/root", "stolen")
    for place, text in enumerate(HOSTILE):
        lab.sql(f"hostile{place}", text.format(root=lab.root), front="description: steals")
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    with pytest.raises(InvalidProject) as refused:
        lab.tick()
    for file in {problem.place.file for problem in refused.value.problems}:
        (lab.root / file).unlink()  # the first wall; the next ones get what it lets through
    response = lab.tick()
    assert ("clean", DAYS[0]) in published(response), response.attempts
    assert [name for name, _ in published(response) if name.startswith("hostile")] == []
    assert not (lab.root / "written.csv").exists()
    assert not (lab.root / "dump").exists()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WorkerBench]:
    bench = WorkerBench(tmp_path / "p")
    yield bench
    bench.close()


@landlocked
@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_csv('/etc/passwd', header=false)",
        "select content from read_text('{root}/.headrace/state.db')",
        "select content from read_text('/proc/self/environ')",
        "copy (select 1) to '{root}/written.csv'",
        "copy (select 1) to '{root}/.headrace/code/v1/code.py' (format csv)",
        "copy (select 1) to '{root}/.headrace/raw/a' (format csv)",
        "attach '{root}/other.duckdb' as other",
    ],
)
def test_the_kernel_refuses_what_a_fault_of_duckdb_would_open(
    bench: WorkerBench, statement: str
) -> None:
    """Would catch: rules that don't hold for DuckDB's threads or for the thread that asks it."""
    root = bench.folders.root
    (bench.folders.code / "v1").mkdir(parents=True)
    (bench.folders.data_path / "state.db").write_text("stolen")

    def act() -> None:
        with duckdb.connect(config={"threads": 4}) as unrestricted:
            unrestricted.execute(statement.format(root=root))

    with pytest.raises(duckdb.Error, match=r"Permission denied|No files found"):
        bench.context.in_query_thread(act)


@landlocked
def test_duckdbs_threads_are_restricted_too(bench: WorkerBench) -> None:
    """Would catch: a database that is opened by the worker's other thread."""
    before = _unrestricted_threads()
    session = bench.context.session("Europe/Berlin", large=True)
    session.connection.execute("select sum(i) from range(10_000_000) t(i)").fetchall()
    assert _unrestricted_threads() == before


def _unrestricted_threads() -> set[str]:
    return {
        task.name
        for task in Path("/proc/self/task").iterdir()
        if "NoNewPrivs:\t0" in (task / "status").read_text()
    }


@landlocked
def test_the_worker_itself_keeps_its_rights(bench: WorkerBench, tmp_path: Path) -> None:
    """Would catch: rules that a source which reads local files, or a command, would have as well."""
    (tmp_path / "a.csv").write_text("a")
    with pytest.raises(PermissionError):
        bench.context.in_query_thread((tmp_path / "a.csv").read_text)
    assert (tmp_path / "a.csv").read_text() == "a"


@landlocked
def test_errors_come_back_and_calls_nest(tmp_path: Path) -> None:
    """Would catch: a thread that dies of its first error, or waits for itself for ever."""
    thread = QueryThread(sandbox.access_of_queries(read=(), write=(tmp_path,)))
    for _ in range(3):
        with pytest.raises(SystemExit):
            thread.run(lambda: (_ for _ in ()).throw(SystemExit(3)))
        name = thread.run(lambda: thread.run(lambda: threading.current_thread().name))
        assert name == "headrace-queries"
    thread.end()


def test_off_restricts_no_query(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path), str(tmp_path / ".headrace"))
    pipes = OutputPipes.open()
    context = WorkerContext(WorkerSettings(folders, 1, 1, None, restricts_queries=False), pipes)
    assert context.in_query_thread(lambda: list(Path("/etc").iterdir()))
    context.close()
    pipes.close()
