"""What a person waits for beside a running server: from a file that lands to its rows, and from a
question to its first row.

(a) Fifty CSV files of 1,000 rows are copied into a source's folder, one after the other, at moments
drawn by lot. The time runs from when the copy is closed until a reader of the state sees the day's
publication. (b) The first row of a table of 100,000 rows: over HTTP as JSON, from the request to
the first row's bytes; `headrace sql`, from typing to the first byte on its standard output. The
first read starts the process that later ones are forked of, so it is an observation of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

from benchmarks.harness import Figure, main
from benchmarks.headrace_cli import COMMAND, run
from benchmarks.peers.servers import answers, free_port, started

FILES, FILES_QUICK = 50, 3
READS, READS_QUICK = 20, 2
ROWS = 1_000
PATIENCE_S = 60.0
POLL_S = 0.001
FIRST = date(2026, 1, 1)
FILES_OF = {
    "headrace.toml": '[project]\nname = "served"\ntimezone = "UTC"\n[run]\nworkers = 2\n',
    "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: core\npartition: {by: day, column: day}\nstart: '2026-01-01'\n"
        "files: landing/orders_{date:%Y-%m-%d}.csv\nchecks:\n  - unique: [id]\n"
    ),
    "assets/numbers.sql": (
        "/* headrace\nowner: core\n*/\nselect i as id, i % 97 as part, i * 1.5 as amount"
        " from range(100000) as t(i)\n"
    ),
}


def measure(*, quick: bool) -> list[Figure]:
    """Landed to published, and first rows."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder, project = Path(name), Path(name, "project")
        for path, text in FILES_OF.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text, encoding="utf-8")
        (project / "landing").mkdir()
        _land(project, 0)
        run(project, "run")
        with _served(project, folder) as (port, token):
            landed = _landed(project, FILES_QUICK if quick else FILES)
            count = READS_QUICK if quick else READS
            first, *over_http = [_first_row(port, token) for _ in range(count + 1)]
            commands = [_first_byte(project) for _ in range(count)]
    return [
        _figure("landed_to_published_p50_ms", _share(landed, 0.5), landed, None),
        _figure("landed_to_published_p95_ms", _share(landed, 0.95), landed, 100.0),
        _figure("first_row_over_http_ms", statistics.median(over_http), over_http, 50.0),
        _figure("first_row_of_sql_command_ms", statistics.median(commands), commands, None),
        _figure("first_row_of_the_first_read_ms", first, [first], None),
    ]


def _figure(name: str, value: float, runs: list[float], goal: float | None) -> Figure:
    return Figure(name=name, value=value, unit="ms", goal=goal, runs=runs)


def _share(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _land(project: Path, number: int) -> float:
    """Copy the file of a day into the folder; return when it was closed."""
    day = (FIRST + timedelta(days=number)).isoformat()
    lines = [f"{number * ROWS + i},{i % 7},{i * 1.25},{day}" for i in range(ROWS)]
    text = "\n".join(["id,customer,amount,day", *lines, ""])
    (project / f"landing/orders_{day}.csv").write_text(text, encoding="utf-8")
    return time.perf_counter()


def _landed(project: Path, count: int) -> list[float]:
    """Milliseconds from a closed file to a publication that a reader sees, file by file."""
    chance = random.Random(17)
    result = []
    for number in range(1, count + 1):
        time.sleep(0.3 + chance.random())
        before = _publications(project)
        closed = _land(project, number)
        _until(lambda before=before: _publications(project) > before)  # type: ignore[misc]
        result.append(1000 * (time.perf_counter() - closed))
    return result


def _publications(project: Path) -> int:
    state = f"file:{project}/.headrace/state.db?mode=ro"
    with contextlib.closing(sqlite3.connect(state, uri=True)) as database:
        query = "select count(*) from publication where node = 'orders'"
        return int(database.execute(query).fetchone()[0])


def _until(met: Callable[[], bool]) -> None:
    last = time.monotonic() + PATIENCE_S
    while not met():
        if time.monotonic() > last:
            raise SystemExit(f"no publication for {PATIENCE_S:.0f} s after a file landed")
        time.sleep(POLL_S)


@contextlib.contextmanager
def _served(project: Path, folder: Path) -> Iterator[tuple[int, str]]:
    port = free_port()
    command = [str(COMMAND), "serve", "--port", str(port), "--project", str(project)]
    with started(command, folder / "server", {}) as server:
        server.wait(lambda: answers(f"http://127.0.0.1:{port}/healthz"), PATIENCE_S)
        yield port, (project / ".headrace/token").read_text(encoding="utf-8").strip()


def _first_row(port: int, token: str) -> float:
    """Milliseconds from a request for 1,000 rows to the bytes of the first."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        began = time.perf_counter()
        connection.request(
            "GET",
            "/data/numbers.json?limit=1000",
            headers={"Authorization": f"Bearer {token}"},
        )
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"a read was answered with {answer.status}: {answer.read()[:500]!r}")
        read = b""
        while not read.partition(b'"rows":[{')[2]:
            part = answer.read1()
            if not part:
                raise SystemExit(f"a read gave no row: {read[:300]!r}")
            read += part
        seconds = time.perf_counter() - began
        answer.read()
    return 1000 * seconds


def _first_byte(project: Path) -> float:
    command = [str(COMMAND), "sql", "select * from numbers limit 10", "--project", str(project)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr) as process:
        assert process.stdout is not None
        if not process.stdout.read(1):
            raise SystemExit("`headrace sql` printed nothing")
        seconds = time.perf_counter() - began
        process.stdout.read()
    return 1000 * seconds


if __name__ == "__main__":
    main(__doc__, measure)
