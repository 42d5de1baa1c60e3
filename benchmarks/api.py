"""The API's read paths over 10,000 assets and 1,000,000 attempts: what does each answer take, made
anew and when it is kept?

Each question is asked with other names or numbers each time, so that none is answered from what was
kept; then once more with its tag, and once more after a partition has changed. The time is that at
the client, on one connection; the first answer's from when the server listens.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.harness import Figure, main
from benchmarks.large_project import CONSUMERS, SIZES, WIDTH, make, node, opened

GOAL_MS = 100.0
FIRST_MS = 1000.0
LET_GO_SECONDS = 3.0
SETTLE_SECONDS = 60.0
ASKED = {False: 40, True: 3}
"""How often each question is asked."""


def questions(
    layers: int, days: list[str], runs: int, wide_run: int
) -> dict[str, Callable[[int], str]]:
    """What is asked, by name; the number makes each time another question of it."""
    chance = random.Random(1)

    def some(_: int) -> str:
        return node(chance.randrange(1, layers), chance.randrange(WIDTH))

    return {
        "status": lambda n: f"status?window={20 + n}d",
        "assets": lambda n: f"assets?limit={50 + n}",
        "assets_searched": lambda n: f"assets?search=a{n}&sort=state&state=behind",
        "asset": lambda n: f"assets/{some(n)}",
        "partitions": lambda n: f"assets/{some(n)}/partitions?from={days[0]}&limit={100 + n}",
        "code": lambda n: f"assets/{some(n)}/code",
        "runs": lambda n: f"runs?limit=1&since={n + 900}d",
        "run": lambda n: f"runs/{1 + n % max(1, runs)}?limit={100 + n}",
        "run_of_10000": lambda n: f"runs/{wide_run}?limit={100 + n}",
        "run_of_10000_failed": lambda n: f"runs/{wide_run}?failed=true&limit={100 + n}",
        "incidents": lambda n: f"incidents?all={'true' if n % 2 else 'false'}",
        "consumer": lambda n: f"consumers/c{n % CONSUMERS}?ledgers=1&limit={5 + n}",
        "why": lambda n: f"why/{some(n)}@{days[-1]}",
        "graph_domains": lambda n: f"graph/view?budget={50 + n}",
        "graph_focus": lambda n: f"graph/view?mode=focus&root={some(n)}&hops=2",
        "graph_blast": lambda n: f"graph/view?mode=blast&root=s{n % WIDTH}",
        "search": lambda n: f"search?q=a{n}",
        "audit": lambda n: f"audit?limit={20 + n}",
        "assets_by_cost": lambda n: f"assets?sort=cost&limit={50 + n}",
        "assets_by_use": lambda n: f"assets?sort=use&limit={50 + n}",
        "checks": lambda n: f"checks/list?limit={100 + n}",
        "deliveries": lambda n: f"deliveries/s{n % WIDTH}",
        "contract": lambda _: f"contract/{some(0)}",
    }


class Client:
    """One connection; it is made again where the server let go of it because nobody asked."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._asked = 0.0

    def ask(self, path: str, tag: str = "") -> tuple[float, int, str]:
        """Milliseconds, status, and the answer's tag."""
        began = time.perf_counter()
        if began - self._asked > LET_GO_SECONDS:
            self._connection.close()
        self._connection.request(
            "GET", f"/api/v1/{path}", headers={**self._headers, "If-None-Match": tag}
        )
        answer = self._connection.getresponse()
        answer.read()
        self._asked = time.perf_counter()
        return 1000 * (time.perf_counter() - began), answer.status, answer.headers.get("etag", "")


def measure(*, quick: bool) -> list[Figure]:
    """Each question's answers."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        large = make(Path(name, "api"), SIZES[quick])
        with opened(large.folder) as (port, token):
            client = Client(port, token)
            first, *_ = client.ask("status")
            figures = [
                Figure(name="first_answer_ms", value=first, unit="ms", goal=FIRST_MS, runs=[first])
            ]
            _settled()
            for question, path in questions(
                large.layers, large.days, large.runs, large.wide_run
            ).items():
                figures += _figures(question, client, path, large.folder, ASKED[quick])
                print(f"  {question}: {figures[-1].value:.0f} ms", file=sys.stderr, flush=True)
            return figures


def _settled() -> None:
    """Wait until the server has loaded what nobody has asked for yet: it is in this process."""
    until, spent = time.monotonic() + SETTLE_SECONDS, -1.0
    while time.monotonic() < until and time.process_time() - spent > 0.05:
        spent = time.process_time()
        time.sleep(0.5)


def _changed(folder: Path, n: int) -> None:
    """What an attempt at a node changes when it begins."""
    name = node(1, n % WIDTH)
    with contextlib.closing(
        sqlite3.connect(folder / ".headrace/state.db", timeout=60, isolation_level=None)
    ) as database:
        database.execute(
            "update partition set revision = (select max(revision) + 1 from partition) where node ="
            " ? and partition = (select max(partition) from partition where node = ?)",
            (name, name),
        )


def _figures(
    question: str, client: Client, path: Callable[[int], str], folder: Path, asked: int
) -> Iterator[Figure]:
    made, kept, after = [], [], []
    for n in range(asked):
        item = path(n)
        took, status, tag = client.ask(item)
        assert status == 200, (item, status)
        made.append(took)
        again, status, _ = client.ask(item, tag)
        if status == 304:
            kept.append(again)
        _changed(folder, n)
        after.append(client.ask(item)[0])
    yield Figure(name=f"{question}_p95_ms", value=_p95(made), unit="ms", goal=GOAL_MS, runs=made)
    yield Figure(
        name=f"{question}_after_a_change_p95_ms",
        value=_p95(after),
        unit="ms",
        goal=GOAL_MS,
        runs=after,
    )
    if kept:
        yield Figure(
            name=f"{question}_kept_p95_ms", value=_p95(kept), unit="ms", goal=None, runs=kept
        )


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


if __name__ == "__main__":
    main(__doc__, measure)
