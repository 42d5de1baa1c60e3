"""What the work of benchmarks/overhead.py costs in Dask, which keeps nothing; run inside its own
environment: FOLDER, repeats, quick.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
import time

from distributed import Client, LocalCluster

REPEATS, QUICK = int(sys.argv[2]), sys.argv[3] == "quick"
TASKS, CHAIN = (20, 5) if QUICK else (1000, 100)


def nothing(number, before=None):
    return time.monotonic()


def main() -> None:
    rates, middle, late = [], [], []
    began = time.perf_counter()
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(nothing, range(2), pure=False))
        ready = time.perf_counter() - began
        for _ in range(REPEATS):
            began = time.perf_counter()
            client.gather([client.submit(nothing, n, pure=False) for n in range(TASKS)])
            rates.append(TASKS / (time.perf_counter() - began))
            futures = [client.submit(nothing, 0, pure=False)]
            for n in range(1, CHAIN):
                futures.append(client.submit(nothing, n, futures[-1], pure=False))
            times = client.gather(futures)
            between = sorted(1000 * (b - a) for a, b in itertools.pairwise(times))
            middle.append(between[len(between) // 2])
            late.append(between[int(0.95 * len(between))])
    figures = {
        "tasks_per_second": {"dask": rates},
        "hop_p50_ms": {"dask": middle},
        "hop_p95_ms": {"dask": late},
        "ready_seconds": {"dask, from the interpreter on": [ready]},
    }
    print(json.dumps({"figures": figures, "durability": "none: all in memory"}))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main()
