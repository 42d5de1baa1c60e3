"""Floors of `headrace bench`: the same work by a few lines of Python, which record nothing."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from headrace.lake.files import full_sync
from headrace.lake.sqltext import literal

WARM_UP = 20


class PoolFigures(NamedTuple):
    """What a bare process pool needs for tasks that do nothing."""

    tasks_per_second: float
    hop_seconds: list[float]
    """Seconds from handing in one task to its result, one after another."""


def process_pool(tasks: int, workers: int) -> PoolFigures:
    """Measure `concurrent.futures.ProcessPoolExecutor`: many tasks at once, then one by one."""
    with ProcessPoolExecutor(workers) as pool:
        for future in [pool.submit(_nothing) for _ in range(WARM_UP)]:
            future.result()
        began = time.perf_counter()
        for future in [pool.submit(_nothing) for _ in range(tasks)]:
            future.result()
        rate = tasks / (time.perf_counter() - began)
        hops = []
        for _ in range(min(tasks, 100)):
            began = time.perf_counter()
            pool.submit(_nothing).result()
            hops.append(time.perf_counter() - began)
    return PoolFigures(rate, hops)


def _nothing() -> None:
    """Do what a no-op does."""


def files_per_second(folder: Path, count: int) -> float:
    """Write `count` Parquet files of one row with Arrow, each synced; return files per second."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"day": [date(2013, 1, 1)], "n": [1]})
    began = time.perf_counter()
    for number in range(count):
        path = folder / f"{number}.parquet"
        pq.write_table(table, path)
        full_sync(path)
    return count / (time.perf_counter() - began)


def partition_ms(folder: Path, first: date, count: int, *, synced: bool) -> float:
    """Write `count` days of the benchmark's SQL asset with DuckDB; return milliseconds per day."""
    import duckdb

    query = "select ?::date as day, n, n * n as squared from range(100) as numbers(n)"
    with duckdb.connect() as connection:
        began = time.perf_counter()
        for number in range(count):
            path = folder / f"{number}.parquet"
            connection.execute(
                f"COPY ({query}) TO {literal(str(path))}", [first + timedelta(days=number)]
            )
            if synced:
                full_sync(path)
        return 1000 * (time.perf_counter() - began) / count
