"""What the work of benchmarks/overhead.py costs in Luigi; run inside Luigi's own environment:
FOLDER, repeats, quick.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
import time
from pathlib import Path

import luigi

FOLDER, REPEATS, QUICK = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "quick"
TASKS, CHAIN, LOAD = (20, 5, (100,)) if QUICK else (1000, 100, (1000, 10000))
ENDS: list[float] = []


class Nothing(luigi.Task):
    """Writes its marker, which is how Luigi knows that it is done."""

    folder = luigi.Parameter()
    number = luigi.IntParameter()
    chained = luigi.BoolParameter()

    def requires(self):
        return [Nothing(self.folder, self.number - 1, True)] if self.chained and self.number else []

    def output(self):
        return luigi.LocalTarget(f"{self.folder}/{self.number}")

    def run(self):
        ENDS.append(time.perf_counter())
        with self.output().open("w") as file:
            file.write("done")


def build(folder: Path, tasks: list[Nothing], workers: int) -> float:
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if not luigi.build(
        tasks, local_scheduler=True, workers=workers, no_lock=True, log_level="CRITICAL"
    ):
        raise SystemExit("it didn't succeed")
    return time.perf_counter() - began


def rates(workers: int, count: int) -> list[float]:
    result = []
    for repeat in range(REPEATS):
        folder = FOLDER / f"wide-{workers}-{repeat}"
        result.append(
            count / build(folder, [Nothing(str(folder), n, False) for n in range(count)], workers)
        )
        assert len(list(folder.iterdir())) == count
    return result


def hops() -> tuple[list[float], list[float]]:
    middle, late = [], []
    for repeat in range(REPEATS):
        folder = FOLDER / f"chain-{repeat}"
        ENDS.clear()
        build(folder, [Nothing(str(folder), CHAIN - 1, True)], 1)
        between = sorted(1000 * (b - a) for a, b in itertools.pairwise(ENDS))
        middle.append(between[len(between) // 2])
        late.append(between[int(0.95 * len(between))])
    return middle, late


def loads(count: int) -> list[float]:
    began = time.perf_counter()
    for n in range(count):
        Nothing("x", n, False)
    return [time.perf_counter() - began]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    (p50, p95), slow = hops(), 20 if QUICK else 100
    figures = {
        "tasks_per_second": {
            "luigi, 1 worker": rates(1, TASKS),
            f"luigi, 2 workers ({slow} tasks)": rates(2, slow),
        },
        "hop_p50_ms": {"luigi": p50},
        "hop_p95_ms": {"luigi": p95},
        **{f"load_{count}_seconds": {"luigi": loads(count)} for count in LOAD},
    }
    print(
        json.dumps(
            {
                "figures": figures,
                "durability": "a marker file a task, not synced; no record of attempts",
            }
        )
    )
