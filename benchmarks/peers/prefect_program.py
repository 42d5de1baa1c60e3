"""What the work of benchmarks/overhead.py costs in Prefect; run inside Prefect's own environment,
beside a server that is up (PREFECT_API_URL): FOLDER, repeats, quick, the server's database."""

from __future__ import annotations

import itertools
import json
import logging
import sqlite3
import sys
import time

REPEATS, QUICK, DATABASE = int(sys.argv[2]), sys.argv[3] == "quick", sys.argv[4]
TASKS, CHAIN, DAYS = (5, 3, 1) if QUICK else (300, 100, 5)
DATABASE_TIMEOUT_S = 60.0
STARTS: list[float] = []

from prefect import flow, task  # noqa: E402
from prefect.task_runners import ThreadPoolTaskRunner  # noqa: E402


@task
def nothing(number: int) -> None:
    return None


@task
def link(number: int) -> None:
    STARTS.append(time.perf_counter())


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def wide(count: int) -> None:
    for future in [nothing.submit(n) for n in range(count)]:
        future.result()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def chain(count: int) -> None:
    last = link.submit(0)
    for n in range(1, count):
        last = link.submit(n, wait_for=[last])
    last.result()


@flow
def day(key: str) -> None:
    nothing(0)


def recorded() -> int:
    with sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True, timeout=30) as connection:
        return connection.execute(
            "select count(*) from task_run where state_type = 'COMPLETED'"
        ).fetchone()[0]


def rates() -> tuple[list[float], list[float]]:
    """Tasks a second as the flow sees them, and as they come into the server's database."""
    claimed, kept = [], []
    for _ in range(REPEATS):
        before, began = recorded(), time.perf_counter()
        wide(TASKS)
        claimed.append(TASKS / (time.perf_counter() - began))
        while recorded() - before < TASKS and time.perf_counter() - began < DATABASE_TIMEOUT_S:
            time.sleep(0.05)
        kept.append((recorded() - before) / (time.perf_counter() - began))
    return claimed, kept


def hops() -> tuple[list[float], list[float]]:
    middle, late = [], []
    for _ in range(REPEATS):
        STARTS.clear()
        chain(CHAIN)
        between = sorted(1000 * (b - a) for a, b in itertools.pairwise(STARTS))
        middle.append(between[len(between) // 2])
        late.append(between[int(0.95 * len(between))])
    return middle, late


def partitions() -> list[float]:
    result = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for n in range(DAYS):
            day(f"2013-01-{n + 1:02}")
        result.append(1000 * (time.perf_counter() - began) / DAYS)
    return result


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    wide(2)  # the first one pays for connections
    (claimed, kept), (p50, p95) = rates(), hops()
    figures = {
        "tasks_per_second": {
            f"prefect, claimed ({TASKS} tasks)": claimed,
            f"prefect, in its database ({TASKS} tasks)": kept,
        },
        "hop_p50_ms": {"prefect": p50},
        "hop_p95_ms": {"prefect": p95},
        "partition_ms": {f"prefect, a flow run of one no-op ({DAYS} days)": partitions()},
    }
    print(
        json.dumps(
            {
                "figures": figures,
                "durability": (
                    "SQLite of its server (WAL); task states are told in the background, after the"
                    " fact"
                ),
            }
        )
    )
