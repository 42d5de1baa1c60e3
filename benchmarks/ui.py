"""The web UI in a real browser: on the demo, and on a project of 10,000 nodes and 1,000,000
attempts.

Times are those of a viewer who comes for the first time (nothing cached), from asking for the
address to the frame in which the page can be read. The table's 100,000 rows are the catalog's page,
given that many. An hour of events is 360 commits, one as soon as the last is on the screen; memory
is measured after garbage is gone. The demo is led by `headrace serve`, the large one by nobody.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from benchmarks.harness import Figure, Measured, main
from benchmarks.headrace_cli import COMMAND
from benchmarks.large_project import SIZES, make, wide_run
from benchmarks.ui_browser import (
    PAN,
    SCROLL,
    SECONDS,
    browser,
    drawn_ms,
    frames,
    memory,
    multiplied,
    opened_ms,
    page_of,
)
from benchmarks.watching import cpu_seconds

ROUNDS = {False: 3, True: 1}
EVENTS = {False: (60, 360), True: (3, 6)}
"""After so many changes memory is measured, and after so many more again."""
ROWS = 100_000
STREAMS, WATCH_SECONDS = 50, {False: 15.0, True: 2.0}
PLAIN = (
    "/",
    "/incidents",
    "/consumers",
    "/assets",
    "/graph",
    "/runs",
    "/backfills",
    "/checks",
    "/use",
    "/audit",
    "/figures/promises",
)
OF_DEMO = (
    "/incidents/INC-1",
    "/consumers/morning-report",
    "/assets/flights_clean",
    "/sources/flights",
    "/runs/40",
)
OF_LARGE = (
    "/consumers/c1",
    "/assets/a1_7",
    "/sources/s7",
    "/runs/400",
    "/graph?mode=focus&root=a1_7",
    "/graph?mode=blast&root=s7",
)
OF_QUICK = ("/consumers/c1", "/assets/a1_7")
BELOW = (
    "[...document.querySelectorAll('a.button')].find(one => one.textContent === 'All below"
    " it').click()"
)
INSERT_RUN = (
    "insert into run (kind, request, actor, state, started_at, finished_at)"
    " select 'tick', '{}', ?, 'succeeded', max(started_at) + 1, max(started_at) + 2 from run"
)


class Site(NamedTuple):
    """A project that is served."""

    folder: Path
    url: str
    pid: int


@contextlib.contextmanager
def served(folder: Path, command: list[str], *, as_json: bool) -> Iterator[Site]:
    """A server in a process of its own, whose first line says where it is; it ends with
    the block.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield Site(folder, json.loads(line)["url"] if as_json else line.strip(), process.pid)
    finally:
        process.terminate()
        process.wait(SECONDS)


@contextlib.contextmanager
def demo(folder: Path, *, quick: bool) -> Iterator[Site]:
    """The demo at the moment where the vendor has broken the morning report."""
    days = ["--days", "3", "--fault", "none"] if quick else []
    subprocess.run(
        [str(COMMAND), "demo", str(folder), "--no-serve", *days],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with served(folder, [str(COMMAND), "serve", "--port", "0", "--json"], as_json=True) as result:
        yield result


@contextlib.contextmanager
def large(folder: Path, *, quick: bool) -> Iterator[Site]:
    """The large project."""
    if not folder.exists():
        make(folder, SIZES[quick])
    # From the folder of this benchmark: modules are found from there.
    with served(
        Path.cwd(), [sys.executable, "-m", "benchmarks.large_project", str(folder)], as_json=False
    ) as result:
        yield Site(folder, result.url, result.pid)


class Parts:
    """What is measured, one part after another: what each took is said, and of one that failed why;
    the others go on.
    """

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.notes: dict[str, str] = {}

    def measure(self, name: str, part: Callable[[], Iterable[Figure]]) -> None:
        """One part."""
        began = time.monotonic()
        try:
            self.figures += part()
        except (PlaywrightError, OSError, AssertionError, subprocess.SubprocessError) as error:
            self.notes[name] = "not measured: " + str(error).partition("\n")[0][:500]
        print(
            f"  {name}: {time.monotonic() - began:.0f} s {self.notes.get(name, '')}",
            file=sys.stderr,
            flush=True,
        )


def measure(*, quick: bool) -> Measured:
    """Both projects, one after the other."""
    parts = Parts()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name, browser() as chromium:
        folder = Path(name)
        parts.measure("demo", lambda: _of_demo(parts, chromium, folder / "demo", quick=quick))
        parts.measure(
            "large project", lambda: _of_large(parts, chromium, folder / "large", quick=quick)
        )
    return Measured(parts.figures, parts.notes)


def _of_demo(parts: Parts, chromium: Browser, folder: Path, *, quick: bool) -> list[Figure]:
    with demo(folder, quick=quick) as site:
        parts.measure("demo: Today", lambda: _today(chromium, site, "demo", quick=quick))
        parts.measure(
            "demo: pages", lambda: _pages(chromium, site, "demo", () if quick else OF_DEMO)
        )
        parts.measure("demo: live", lambda: _live(chromium, site, "demo", quick=quick))
        parts.measure("demo: script", lambda: _script(chromium, site))
        parts.measure("demo: memory", lambda: _memory(chromium, site, quick=quick))
        parts.measure("demo: streams", lambda: _streams(site, "", quick=quick))
    return []


def _of_large(parts: Parts, chromium: Browser, folder: Path, *, quick: bool) -> list[Figure]:
    with large(folder, quick=quick) as site:
        parts.measure("large: Today", lambda: _today(chromium, site, "large", quick=quick))
        parts.measure(
            "large: pages", lambda: _pages(chromium, site, "large", OF_QUICK if quick else OF_LARGE)
        )
        parts.measure("large: run", lambda: _run(chromium, site, quick=quick))
        parts.measure("large: live", lambda: _live(chromium, site, "large", quick=quick))
        parts.measure("large: graph", lambda: _graph(chromium, site, quick=quick))
        parts.measure("large: table", lambda: _table(chromium, site))
        parts.measure("large: streams", lambda: _streams(site, "_large", quick=quick))
    return []


def _today(chromium: Browser, site: Site, project: str, *, quick: bool) -> list[Figure]:
    """The first page, by viewers who come one after another. The server has been asked
    once before.
    """
    runs = []
    for _ in range(ROUNDS[quick] + 1):
        with page_of(chromium, site.url) as page:
            runs.append(opened_ms(page, "/"))
    return [_figure(f"today_{project}_ms", runs[1:], "ms", 1000)]


def _pages(chromium: Browser, site: Site, project: str, more: tuple[str, ...]) -> list[Figure]:
    """Every page once; the slowest counts."""
    took = {}
    with page_of(chromium, site.url) as page:
        for path in (*PLAIN, *more):
            took[path] = opened_ms(page, path)
    return [
        Figure(
            name=f"slowest_page_{project}_ms",
            value=max(took.values()),
            unit="ms",
            goal=1500,
            runs=list(took.values()),
            against=took,
        )
    ]


_FAILURE = '[aria-label="Unsuccessful attempts"] li'
_FAILURES_READABLE = f"there(() => isThere() && document.querySelector('{_FAILURE}'))"


def _run(chromium: Browser, site: Site, *, quick: bool) -> list[Figure]:
    """A run of an attempt at each of 10,000 nodes, until what failed in it can be read."""
    with contextlib.closing(sqlite3.connect(site.folder / ".headrace/state.db")) as database:
        run = wide_run(database, SIZES[quick].tries)
    opened = []
    for _ in range(ROUNDS[quick]):
        with page_of(chromium, site.url) as page:
            page.goto(f"/runs/{run}", wait_until="commit")
            opened.append(float(page.evaluate(_FAILURES_READABLE)))
    return [_figure("run_of_10000_attempts_open_ms", opened, "ms", 1000)]


def _live(chromium: Browser, site: Site, project: str, *, quick: bool) -> list[Figure]:
    """From a commit to the screen: a run in the list of runs."""
    with page_of(chromium, site.url) as page:
        opened_ms(page, "/runs")
        page.get_by_text("Live", exact=True).wait_for()
        runs = [_seen_after_ms(page, site, f"change-{n}") for n in range(ROUNDS[quick] + 2)]
    return [_figure(f"change_seen_{project}_ms", runs, "ms", 1000)]


def _seen_after_ms(page: Page, site: Site, name: str) -> float:
    seen = page.evaluate_handle(
        "() => ({at: there(() =>"
        f" document.querySelector('main').innerText.includes('{name}')).then(() => Date.now())}})"
    )
    _commit(site, name)
    committed = time.time()
    at = float(page.evaluate("one => one.at", seen))
    return max(0.0, at - 1000 * committed)


def _commit(site: Site, name: str) -> None:
    with contextlib.closing(
        sqlite3.connect(site.folder / ".headrace/state.db", timeout=30, isolation_level=None)
    ) as database:
        database.execute(INSERT_RUN, (name,))


def _script(chromium: Browser, site: Site) -> list[Figure]:
    """What Today fetches of script, as it goes over the network."""
    sizes: list[float] = []
    with page_of(chromium, site.url) as page:
        page.on(
            "response",
            lambda item: (
                sizes.append(int(item.headers["content-length"]) / 1000)
                if item.url.endswith(".js")
                else None
            ),
        )
        opened_ms(page, "/")
    return [Figure(name="today_script_kb", value=sum(sizes), unit="kB", goal=150, runs=sizes)]


def _memory(chromium: Browser, site: Site, *, quick: bool) -> list[Figure]:
    """What an hour of changes leaves behind."""
    warm, hour = EVENTS[quick]
    with page_of(chromium, site.url) as page:
        opened_ms(page, "/runs")
        page.get_by_text("Live", exact=True).wait_for()
        for n in range(warm):
            _seen_after_ms(page, site, f"warm-{n}")
        before, nodes_before = memory(page)
        for n in range(hour):
            _seen_after_ms(page, site, f"hour-{n}")
        after, nodes_after = memory(page)
    return [
        Figure(
            name="memory_grown_in_an_hour_mb",
            value=max(0.0, after - before),
            unit="MB",
            goal=2,
            runs=[before, after],
        ),
        Figure(
            name="nodes_grown_in_an_hour",
            value=nodes_after - nodes_before,
            unit="",
            goal=500,
            runs=[nodes_before, nodes_after],
        ),
    ]


def _streams(site: Site, suffix: str, *, quick: bool) -> list[Figure]:
    """What fifty browsers that listen cost the server: while nothing changes, and with a change
    each second after which each asks.
    """
    seconds, parts = WATCH_SECONDS[quick], urlsplit(site.url)
    headers = {"Authorization": f"Bearer {parts.query.partition('=')[2]}"}
    stop = threading.Event()
    listeners = [
        threading.Thread(target=_listen, args=(parts.port, headers, stop), daemon=True)
        for _ in range(STREAMS)
    ]
    for listener in listeners:
        listener.start()
    time.sleep(1)
    idle = _cpu_percent(site, seconds, lambda: None)
    busy = _cpu_percent(site, seconds, lambda: _commit(site, "watched"))
    stop.set()
    return [
        Figure(
            name=f"streams_50{suffix}_idle_cpu_percent", value=idle, unit="%", goal=5, runs=[idle]
        ),
        Figure(
            name=f"streams_50{suffix}_with_a_change_a_second_cpu_percent",
            value=busy,
            unit="%",
            goal=10,
            runs=[busy],
        ),
    ]


def _cpu_percent(site: Site, seconds: float, each_second: Any) -> float:
    """Of one core."""
    began, spent = time.monotonic(), cpu_seconds(site.pid)
    while (passed := time.monotonic() - began) < seconds:
        each_second()
        time.sleep(min(1.0, seconds - passed))
    return 100 * (cpu_seconds(site.pid) - spent) / (time.monotonic() - began)


def _listen(port: int | None, headers: dict[str, str], stop: threading.Event) -> None:
    """A browser's part: the stream, and the status after each change."""
    stream, other = (http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(2))
    with (
        contextlib.closing(stream),
        contextlib.closing(other),
        contextlib.suppress(OSError, http.client.HTTPException),
    ):
        stream.request("GET", "/api/v1/events", headers=headers)
        answer = stream.getresponse()
        while not stop.is_set() and (line := answer.readline()):
            if line.startswith(b"data: ") and b'"changes":[{' in line:
                other.request("GET", "/api/v1/status", headers=headers)
                other.getresponse().read()


def _graph(chromium: Browser, site: Site, *, quick: bool) -> list[Figure]:
    """Views of the graph: opened cold, then from one to another, then moved."""
    opening, focus, blast, moved = [], [], [], []
    for n in range(ROUNDS[quick]):
        with page_of(chromium, site.url) as page:
            opening.append(opened_ms(page, "/graph"))
            opened_ms(page, f"/graph?mode=focus&root=a1_{n + 3}")
            focus.append(
                drawn_ms(
                    page,
                    f"document.querySelector('.mirror a[href$=\"root=s{n + 3}\"]').click()",
                    _drawn(f"Around s{n + 3}"),
                )
            )
            blast.append(drawn_ms(page, BELOW, _drawn(f"What s{n + 3} reaches")))
            moved.append(frames(page, PAN)["fps"])
    return [
        _figure("graph_open_ms", opening, "ms", 1000),
        _figure("graph_focus_ms", focus, "ms", 300),
        _figure("graph_blast_ms", blast, "ms", 300),
        Figure(
            name="graph_pan_fps",
            value=statistics.median(moved),
            unit="/s",
            goal=50,
            compare=">=",
            runs=moved,
        ),
    ]


def _drawn(title: str) -> str:
    """The cards of the view that has this title are there."""
    return (
        "isThere() && document.querySelector('.react-flow__node') &&"
        f" document.querySelector('h1').textContent === '{title}'"
    )


def _table(chromium: Browser, site: Site) -> list[Figure]:
    """The catalog's page with very many rows, scrolled once the page has asked again for what it
    may have missed while it opened: each answer is multiplied inside the page.
    """
    with page_of(chromium, site.url) as page:
        multiplied(page, "/api/v1/assets", ROWS)
        opened_ms(page, "/assets")
        page.locator(".scroll.many").wait_for()
        page.wait_for_timeout(3_000)
        result = frames(page, SCROLL)
    return [
        Figure(
            name="table_100k_scroll_fps",
            value=result["fps"],
            unit="/s",
            goal=50,
            compare=">=",
            runs=[result["fps"]],
        ),
        Figure(
            name="table_100k_longest_frame_ms",
            value=result["longest"],
            unit="ms",
            goal=None,
            runs=[result["longest"]],
        ),
    ]


def _figure(name: str, runs: list[float], unit: str, goal: float) -> Figure:
    return Figure(name=name, value=statistics.median(runs), unit=unit, goal=goal, runs=runs)


if __name__ == "__main__":
    main(__doc__, measure)
