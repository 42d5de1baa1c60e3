"""`python -m simulation`: play one seed, or many."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from simulation.play import Many, many, play, shrunk_failure, summary
from simulation.random_scenarios import scenario

TOLD_EVERY_S = 10.0
"""Seconds between two lines of progress."""


def main() -> int:
    """Play one seed or many; return 1 if a seed failed."""
    parser = argparse.ArgumentParser(
        prog="python -m simulation",
        description="Play the core in a simulated world.",
    )
    parser.add_argument("--seed", type=int, help="play this one, and make it smaller if it fails")
    parser.add_argument("--seeds", type=int, default=500, help="play so many (default 500)")
    parser.add_argument("--first", type=int, default=0, help="the first of many")
    parser.add_argument("--processes", type=int, default=2, help="in so many processes (default 2)")
    typed = parser.parse_args()
    if typed.seed is not None:
        return _one(typed.seed)
    result, coverage = many(
        range(typed.first, typed.first + typed.seeds), typed.processes, _progress(typed.seeds)
    )
    for line in summary(result, coverage):
        print(line)
    return 1 if result.failed else 0


def _progress(seeds: int) -> Callable[[Many], None]:
    """Return a function that prints progress at intervals and failures at once.

    10,000 seeds take a while.
    """
    told_at, told_failed = 0.0, 0

    def tell(result: Many) -> None:
        nonlocal told_at, told_failed
        if result.seconds < told_at + TOLD_EVERY_S and len(result.failed) == told_failed:
            return
        left = result.seconds / result.seeds * (seeds - result.seeds)
        failed = f", failed: {', '.join(map(str, sorted(result.failed)))}" if result.failed else ""
        print(
            f"{result.seeds} of {seeds} seeds in {result.seconds:.0f} s, {left:.0f} s to"
            f" go{failed}",
            file=sys.stderr,
            flush=True,
        )
        told_at, told_failed = result.seconds, len(result.failed)

    return tell


def _one(seed: int) -> int:
    item = scenario(seed)
    played = play(item)
    assets, happenings, _ = item.size
    print(
        f"seed {seed}: {assets} assets, {happenings} happenings, {played.events} events,"
        f" {played.faults} faults"
    )
    if played.failure is None:
        print("it holds")
        return 0
    for line in shrunk_failure(seed, played.failure):
        print(line)
    return 1


if __name__ == "__main__":
    sys.exit(main())
