"""What the work of benchmarks/overhead.py costs in Airflow; run inside Airflow's own environment,
beside `airflow standalone` that is up on the same AIRFLOW_HOME: FOLDER, repeats, quick, its
database."""

from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
import sys
import time
from datetime import datetime

REPEATS, QUICK, DATABASE = int(sys.argv[2]), sys.argv[3] == "quick", sys.argv[4]
TASKS, CHAIN = (2, 2) if QUICK else (40, 8)
LIMIT_S = 240.0


def rows(run: str) -> list[tuple[str, str, str, str]]:
    with sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True, timeout=30) as connection:
        return connection.execute(
            "select task_id, state, start_date, end_date from task_instance where run_id = ? order"
            " by start_date",
            (run,),
        ).fetchall()


def run_of(dag: str, repeat: int) -> list[tuple[str, str, str, str]]:
    """The task instances of a run that was triggered now, when all have ended."""
    run, until = f"bench-{dag}-{repeat}-{time.time_ns()}", time.monotonic() + LIMIT_S
    airflow = str(sys.executable).rpartition("/")[0] + "/airflow"
    while True:  # the DAG may not have been read yet
        done = subprocess.run(
            [airflow, "dags", "trigger", dag, "--run-id", run],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            break
        if time.monotonic() > until:
            raise SystemExit(done.stderr[-1000:])
        time.sleep(1)
    while time.monotonic() < until:
        result = rows(run)
        if result and all(row[1] == "success" for row in result):
            return result
        if any(row[1] in ("failed", "upstream_failed") for row in result):
            raise SystemExit(f"{dag}: {result}")
        time.sleep(0.5)
    raise SystemExit(f"{dag} took more than {LIMIT_S} s: {rows(run)}")


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> None:
    rates, middle, late = [], [], []
    for repeat in range(REPEATS):
        run = run_of("wide", repeat)
        rates.append(len(run) / (max(moment(r[3]) for r in run) - min(moment(r[2]) for r in run)))
        starts = sorted(moment(r[2]) for r in run_of("chain", repeat))
        between = sorted(1000 * (b - a) for a, b in itertools.pairwise(starts))
        middle.append(between[len(between) // 2])
        late.append(between[int(0.95 * len(between))])
    figures = {
        "tasks_per_second": {f"airflow, standalone ({TASKS} tasks)": rates},
        "hop_p50_ms": {f"airflow, standalone ({CHAIN} tasks)": middle},
        "hop_p95_ms": {f"airflow, standalone ({CHAIN} tasks)": late},
    }
    print(
        json.dumps(
            {
                "figures": figures,
                "durability": "SQLite of its metadata, each change of state a transaction",
            }
        )
    )


if __name__ == "__main__":
    main()
