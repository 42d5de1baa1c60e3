"""What the work of benchmarks/overhead.py costs in Dagster; run inside Dagster's own environment:
FOLDER, repeats, quick.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import time
from pathlib import Path

FOLDER, REPEATS, QUICK = Path(sys.argv[1]).absolute(), int(sys.argv[2]), sys.argv[3] == "quick"
os.environ["DAGSTER_HOME"] = str(FOLDER)
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
FOLDER.mkdir(parents=True, exist_ok=True)
(FOLDER / "dagster.yaml").write_text("telemetry: {enabled: false}\n")

import dagster as dg  # noqa: E402

TASKS, CHAIN, DAYS, PROCESSES, LOAD = (
    (5, 3, 2, 1, (100,)) if QUICK else (200, 100, 10, 4, (1000, 10000))
)


def nothing(name: str, after: bool = False):
    if after:

        @dg.op(name=name, ins={"before": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
        def body():
            return None

    else:

        @dg.op(name=name, out=dg.Out(dg.Nothing))
        def body():
            return None

    return body


def wide_of(count: int, **executor):
    ops = [nothing(f"o{n}") for n in range(count)]

    @dg.job(name=f"wide_{count}", **executor)
    def job():
        for op in ops:
            op()

    return job


def chain_of(count: int):
    ops = [nothing(f"c{n}", n > 0) for n in range(count)]

    @dg.job(name=f"chain_{count}")
    def job():
        last = ops[0]()
        for op in ops[1:]:
            last = op(last)

    return job


def wide_in_processes():
    return wide_of(
        PROCESSES, executor_def=dg.multiprocess_executor.configured({"max_concurrent": 2})
    )


@dg.asset(partitions_def=dg.DailyPartitionsDefinition("2013-01-01"))
def daily() -> None:
    return None


def rates(instance) -> list[float]:
    job, result = wide_of(TASKS), []
    for _ in range(REPEATS):
        began = time.perf_counter()
        assert job.execute_in_process(instance=instance).success
        result.append(TASKS / (time.perf_counter() - began))
    return result


def rates_in_processes(instance) -> list[float]:
    job, result = dg.reconstructable(wide_in_processes), []
    for _ in range(1 if QUICK else REPEATS):
        began = time.perf_counter()
        assert dg.execute_job(job, instance).success
        result.append(PROCESSES / (time.perf_counter() - began))
    return result


def hops(instance) -> tuple[list[float], list[float]]:
    job, middle, late = chain_of(CHAIN), [], []
    for _ in range(REPEATS):
        result = job.execute_in_process(instance=instance)
        starts = sorted(
            e.timestamp
            for e in instance.all_logs(result.run_id)
            if e.is_dagster_event and e.dagster_event.is_step_start
        )
        between = sorted(1000 * (b - a) for a, b in itertools.pairwise(starts))
        middle.append(between[len(between) // 2])
        late.append(between[int(0.95 * len(between))])
    return middle, late


def partitions(instance) -> list[float]:
    result, keys = [], daily.partitions_def.get_partition_keys()
    for repeat in range(REPEATS):
        began = time.perf_counter()
        for key in keys[repeat * DAYS : (repeat + 1) * DAYS]:
            assert dg.materialize([daily], partition_key=key, instance=instance).success
        result.append(1000 * (time.perf_counter() - began) / DAYS)
    return result


def loads(count: int) -> list[float]:
    began = time.perf_counter()

    def one(n: int):
        @dg.asset(name=f"l{n}")
        def body() -> None:
            return None

        return body

    dg.Definitions(assets=[one(n) for n in range(count)]).get_repository_def().get_all_jobs()
    return [time.perf_counter() - began]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    instance = dg.DagsterInstance.get()
    p50, p95 = hops(instance)
    figures = {
        "tasks_per_second": {
            f"dagster, in process ({TASKS} ops)": rates(instance),
            f"dagster, 2 processes ({PROCESSES} ops)": rates_in_processes(instance),
        },
        "hop_p50_ms": {"dagster, in process": p50},
        "hop_p95_ms": {"dagster, in process": p95},
        "partition_ms": {f"dagster, in process, a no-op ({DAYS} days)": partitions(instance)},
        **{f"load_{count}_seconds": {"dagster": loads(count)} for count in LOAD},
    }
    print(
        json.dumps(
            {
                "figures": figures,
                "durability": (
                    "SQLite under DAGSTER_HOME (WAL): events of each step, committed one by one"
                ),
            }
        )
    )
