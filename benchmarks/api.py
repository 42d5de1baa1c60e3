"""The API's read paths over 10,000 assets and 1,000,000 attempts: what does each answer take, made anew and when it is kept?

100 sources and 9,900 assets in 40 domains, daily over ten days, ten attempts a partition, written into the store in bulk. Each question is
asked with other names or numbers each time, so that none is answered from what was kept; then once more with its tag.
"""

from __future__ import annotations

import contextlib
import datetime as dt
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
from benchmarks.headrace_cli import run
from benchmarks.history import DAY_US, INSERTS, MEASURES
from headrace.run.figures import Figures
from headrace.web import Door, listen
from headrace.web.access import Guard, token_of
from headrace.web.app import app
from headrace.web.reading import Reader

GOAL_MS = 100.0
DOMAINS, WIDTH, CONSUMERS = 40, 100, 20
SIZES = {False: (100, 10, 10, 40), True: (2, 2, 2, 3)}
"""Layers of WIDTH nodes, days, attempts a partition, and how often each question is asked."""
SETTINGS = '[project]\nname = "api"\ntimezone = "UTC"\n[run]\nworkers = 1\n'


class Stands:
    """A server that leads nothing: what is measured are answers."""

    role = "standby"
    figures: Figures | None = None


def node(layer: int, n: int) -> str:
    """A node's name."""
    return f"s{n}" if layer == 0 else f"a{layer}_{n}"


def project(folder: Path, layers: int) -> None:
    """A layer of sources, and assets that each read one node of the layer above."""
    for name in ("assets", "sources", "landing"):
        (folder / name).mkdir(parents=True)
    (folder / "headrace.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "owners.yaml").write_text("core: {kind: team, contact: ['mailto:core@example.com']}\n", encoding="utf-8")
    for n in range(WIDTH):
        text = f"source: s{n}\nowner: core\ndomain: d{n % DOMAINS}\npartition: day\nfiles: 'landing/s{n}_{{date:%Y-%m-%d}}.csv'\n"
        (folder / f"sources/s{n}.yaml").write_text(text, encoding="utf-8")
    for layer in range(1, layers):
        for n in range(WIDTH):
            head = f"/* headrace\nowner: core\ndomain: d{(n + layer) % DOMAINS}\npartition: {{by: day, column: day}}\n*/\n"
            text = f"{head}select day, key, value from {node(layer - 1, n)}\n"
            (folder / f"assets/{node(layer, n)}.sql").write_text(text, encoding="utf-8")
    last = layers - 1
    lines = (f"- {{consumer: c{n}, owner: core, reads: [{node(last, n)}], due: '07:00'}}\n" for n in range(CONSUMERS))
    (folder / "consumers.yaml").write_text("".join(lines), encoding="utf-8")


def history(database: sqlite3.Connection, names: list[str], days: list[str], tries: int) -> int:
    """Writes the past; how many attempts that were."""
    database.execute("pragma synchronous = off")
    version = database.execute("select max(id) from version").fetchone()[0]
    first_run = database.execute("select coalesce(max(id), 0) from run").fetchone()[0] + 1
    attempts = 0
    for day in days:
        ended = int(dt.datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() * 1e6) + DAY_US
        rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in ("run", "attempt", "publication", "partition")}
        for name in names:
            for again in range(tries):
                attempts += 1
                epoch, last = 1 + attempts // 1_000, again == tries - 1
                if attempts % 1_000 == 1:
                    rows["run"].append((first_run + attempts // 1_000, ended, ended + DAY_US // 24))
                run_id, at = first_run + (attempts - 1) // 1_000, ended + again * 1_000_000
                rows["attempt"].append(
                    (epoch, attempts, run_id, name, "produce", f'["{day}"]', "published", version, None, at, at, at + 200_000,
                     at + 200_000, "passed", MEASURES, None)
                )  # fmt: skip
                gone = (None, None) if last else (attempts + 1, at + 1_000_000)
                rows["publication"].append((attempts, name, day, epoch, attempts, attempts, *gone, at, f"{attempts:064x}", version, None))
            rows["partition"].append((name, day, attempts, ended))
        database.execute("begin")
        for table, found in rows.items():
            database.executemany(INSERTS[table], found)
        database.execute("commit")
    database.execute("update lease set epoch = ?", (2 + attempts // 1_000,))
    database.execute("delete from checkpoint")
    database.execute("analyze")
    return attempts


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


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Client]:
    """A door over the project."""
    token = token_of(folder / ".headrace")
    with Door(app(Reader(folder, "prod"), Guard(token, "127.0.0.1"), Stands()), listen("127.0.0.1", 0)) as door:
        yield Client(door.port, token)


def measure(*, quick: bool) -> list[Figure]:
    """Each question's answers."""
    layers, day_count, tries, asked = SIZES[quick]
    today = dt.datetime.now(dt.UTC).date()
    days = [(today - dt.timedelta(days=n)).isoformat() for n in range(day_count, 0, -1)]
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name, "api")
        project(folder, layers)
        run(folder, "apply")
        names = [node(layer, n) for layer in range(layers) for n in range(WIDTH)]
        with contextlib.closing(sqlite3.connect(folder / ".headrace/state.db", isolation_level=None)) as database:
            attempts = history(database, names, days, tries)
        print(f"  {len(names):,} nodes, {attempts:,} attempts …", file=sys.stderr)
        with opened(folder) as client:
            client.ask("status")
            return [
                figure
                for question, path in questions(layers, days, attempts // 1_000).items()
                for figure in _figures(question, client, path, asked)
            ]


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
