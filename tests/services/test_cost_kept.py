"""What attempts at nodes took in a window, kept, against the sum over all of them: random
histories, the seed is printed.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from headrace.model import Settings
from headrace.standing.figure_inputs import Cost
from headrace.store import Store, Transaction
from headrace.store.queries import reports

SECOND = 1_000_000
WINDOW = 300 * SECOND
ENDED = ("published", "failed", "lost")


class Leader:
    """Begins attempts and ends them, some long after others, some never."""

    def __init__(self, chance: random.Random) -> None:
        self._chance, self._epoch, self._n, self._open = chance, 1, 0, list[tuple[int, int]]()

    def turn(self, tx: Transaction, now: int) -> None:
        """One transaction of it."""
        if self._chance.random() < 0.1:
            self._epoch, self._n = self._epoch + 1, 0
        for _ in range(self._chance.randrange(3)):
            self._n += 1
            started = self._chance.choice((None, now, now))
            row = (self._epoch, self._n, self._chance.choice("abc"), started, now)
            tx.execute(
                "insert into attempt (epoch, n, run_id, node, kind, partitions, state, started_at,"
                " queued_at) values (?, ?, 1, ?, 'produce', '[]', 'running', ?, ?)",
                row,
            )
            self._open.append((self._epoch, self._n))
        self._chance.shuffle(self._open)
        for _ in range(min(len(self._open), self._chance.randrange(4))):
            at = now + self._chance.choice((-3, 0, 0, 5)) * SECOND  # a worker's clock is its own
            row = (self._chance.choice(ENDED), at, *self._open.pop())
            tx.execute(
                "update attempt set state = ?, finished_at = ? where epoch = ? and n = ?", row
            )


@pytest.mark.parametrize("seed", range(8))
def test_sums_that_follow_a_window_are_those_over_all_of_it(tmp_path: Path, seed: int) -> None:
    """Would catch: assets in the order of a cost that grows for ever, or that misses what ran for
    long.
    """
    print(f"seed {seed}")
    chance = random.Random(seed)
    leader, cost, now = Leader(chance), Cost(), 1_000 * SECOND
    with Store.open(tmp_path, Settings(name="t"), create=True) as store:
        with store.write(None) as tx:
            tx.execute(
                "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick',"
                " '{}', 't', 'running', 0)"
            )
        for _ in range(120):
            with store.write(None) as tx:
                leader.turn(tx, now)
            now += chance.choice((0, 1, 10, 100)) * SECOND
            if chance.random() < 0.5:
                with store.read() as tx:
                    kept = {node: us for node, us in cost.of(tx, now - WINDOW, now).items() if us}
                    anew = {
                        node: round(seconds * 1e6)
                        for node, seconds in reports.seconds(tx, now - WINDOW, now)
                        if seconds
                    }
                assert kept == anew
