"""How fast this machine is, against the one on which guesses of durations were measured."""

from __future__ import annotations

import json
import time
from pathlib import Path

REFERENCE_SECONDS = 0.0017
"""What the work below takes on the machine of `benchmarks/RESULTS.md` (2.5 GHz, 2 cores), with nothing beside it."""
TIMES = 7
"""The work is done so many times, and the shortest counts: caches are cold the first time."""
FACTOR_MAX = 10.0
KEPT_SECONDS = 86_400
FILE = "machine.json"
ROUNDS = 40
ROW = {"day": "2025-01-01", "customer": "c1", "amounts": list(range(60)), "name": "a row of a delivery"}


def slowness(cache: Path) -> float:
    """How many times as long work takes here as on the reference machine. Measured in some 15 ms, and
    kept in the folder `cache` for a day; where that can't be written, measured each time."""
    path = cache / FILE
    known = _kept(path)
    if known is not None:
        return known
    factor = min(FACTOR_MAX, max(1 / FACTOR_MAX, min(_timed() for _ in range(TIMES)) / REFERENCE_SECONDS))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"slowness": factor, "at": time.time()}), encoding="utf-8")
    except OSError:
        pass  # a folder that can't be written keeps nobody from planning
    return factor


def _kept(path: Path) -> float | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        factor, at = float(said["slowness"]), float(said["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    fits = 1 / FACTOR_MAX <= factor <= FACTOR_MAX
    return factor if fits and 0 <= time.time() - at < KEPT_SECONDS else None


def _timed() -> float:
    """Seconds of this process (what runs beside it isn't counted) of work as orchestrating is: rows that
    are encoded, decoded and sorted."""
    began = time.process_time()
    for number in range(ROUNDS):
        rows = [{**ROW, "id": (number * 7 + place) % 11} for place in range(5)]
        text = json.dumps(rows, sort_keys=True)
        sorted(json.loads(text), key=lambda row: (row["id"], row["day"]))
    return time.process_time() - began
