"""The API's read paths over 10,000 assets and 1,000,000 attempts: what does each answer take, made anew and when it is kept?

Each question is asked with other names or numbers each time, so that none is answered from what was kept; then once more with its tag.
The time is that at the client, on one connection.
"""

from __future__ import annotations

import http.client
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.harness import Figure, main
from benchmarks.large_project import CONSUMERS, SIZES, WIDTH, make, node, opened

GOAL_MS = 100.0
ASKED = {False: 40, True: 3}
"""How often each question is asked."""


def questions(layers: int, days: list[str], runs: int) -> dict[str, Callable[[int], str]]:
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
        "incidents": lambda n: f"incidents?all={'true' if n % 2 else 'false'}",
        "consumer": lambda n: f"consumers/c{n % CONSUMERS}?ledgers=1&limit={5 + n}",
        "why": lambda n: f"why/{some(n)}@{days[-1]}",
        "graph_domains": lambda n: f"graph/view?budget={50 + n}",
        "graph_focus": lambda n: f"graph/view?mode=focus&root={some(n)}&hops=2",
        "graph_blast": lambda n: f"graph/view?mode=blast&root=s{n % WIDTH}",
        "search": lambda n: f"search?q=a{n}",
        "audit": lambda n: f"audit?limit={20 + n}",
    }


class Client:
    """One connection."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, path: str, tag: str = "") -> tuple[float, int, str]:
        """Milliseconds, status, and the answer's tag."""
        began = time.perf_counter()
        self._connection.request("GET", f"/api/v1/{path}", headers={**self._headers, "If-None-Match": tag})
        answer = self._connection.getresponse()
        answer.read()
        return 1000 * (time.perf_counter() - began), answer.status, answer.headers.get("etag", "")


def measure(*, quick: bool) -> list[Figure]:
    """Each question's answers."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        large = make(Path(name, "api"), SIZES[quick])
        with opened(large.folder) as (port, token):
            client = Client(port, token)
            client.ask("status")
            asked = questions(large.layers, large.days, large.attempts // 1_000)
            return [figure for question, path in asked.items() for figure in _figures(question, client, path, ASKED[quick])]


def _figures(question: str, client: Client, path: Callable[[int], str], asked: int) -> Iterator[Figure]:
    made, kept = [], []
    for n in range(asked):
        one = path(n)
        took, status, tag = client.ask(one)
        assert status == 200, (one, status)
        made.append(took)
        again, status, _ = client.ask(one, tag)
        if status == 304:
            kept.append(again)
    yield Figure(name=f"{question}_p95_ms", value=_p95(made), unit="ms", goal=GOAL_MS, runs=made)
    if kept:
        yield Figure(name=f"{question}_kept_p95_ms", value=_p95(kept), unit="ms", goal=None, runs=kept)


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


if __name__ == "__main__":
    main(__doc__, measure)
