"""`status` and `why` with a state in PostgreSQL that is 1 ms away, at a commit and in this checkout.

    python -m benchmarks.far_state [--base COMMIT] [--rounds 5]

Both sides ask about one project: the demo as the base makes it, whose 44 days each side takes up in
44 passes into a database of its own. Every answer of the server comes 1 ms late. Both sides have
the packages of this checkout; they take turns within each round.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.harness import machine
from benchmarks.peers.servers import free_port
from benchmarks.postgres import cluster
from benchmarks.ratios import tree_of
from scripts.tree_copy import Copy, clean_environment

LATENCY_SECONDS = 0.001
QUESTIONS = (("status",), ("why", "morning-report"), ("why", "regulator-extract"))


@contextlib.contextmanager
def late(url: str) -> Iterator[str]:
    """Forward to the server of `url`, and its answers LATENCY_SECONDS late; give the address."""
    target, port = urlsplit(url), free_port()

    async def forward(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await asyncio.sleep(seconds)
                writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(forward(reader, back, 0), forward(there, writer, LATENCY_SECONDS))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.start_server(accept, "127.0.0.1", port))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    yield url.replace(f":{target.port}/", f":{port}/")
    loop.call_soon_threadsafe(loop.stop)


def day_of(path: Path) -> date:
    """Return the day in a delivery's name."""
    return date.fromisoformat(path.stem[-10:])


def dated(landing: Path) -> list[Path]:
    """Return the deliveries that have a day, in the order of days."""
    return sorted(landing.glob("*_????-??-??.*"), key=day_of)


class Side:
    """A tree with its environment, and a project whose state is at an address."""

    def __init__(self, tree: Path, project: Path) -> None:
        self._headrace, self._project = tree / ".venv/bin/headrace", project
        self._settings = (project / "headrace.toml").read_text(encoding="utf-8")

    def keep_state_at(self, url: str) -> None:
        """Take another address of the state."""
        text = f'{self._settings}\n[store]\nurl = "{url}"\n'
        (self._project / "headrace.toml").write_text(text, encoding="utf-8")

    def take_up(self, landing: Path) -> None:
        """Run a pass each morning, with the files of the day before."""
        for day, files in itertools.groupby(dated(landing), key=day_of):
            for path in files:
                shutil.copy2(path, self._project / landing.name)
            self.ask("tick", "--now", f"{day + timedelta(days=1)}T12:00:00-05:00")

    def ask(self, *words: str) -> float:
        """Run a command, and return the seconds that it took."""
        began = time.perf_counter()
        done = subprocess.run([self._headrace, *words], cwd=self._project, env=clean_environment(),
                              capture_output=True, text=True, check=False)  # fmt: skip
        if done.returncode not in (0, 1):
            raise SystemExit(f"{words}: {done.returncode}\n{done.stderr}\n{done.stdout[-2000:]}")
        return time.perf_counter() - began


def main() -> None:
    """Measure and print medians, and how many times as fast this checkout is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="8328a635")
    parser.add_argument("--rounds", type=int, default=5)
    typed = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-far-")))
        trees = tree_of(typed.base, folder / "base"), Copy(folder / "now").folder
        made = folder / "demo"
        subprocess.run(
            [trees[0] / ".venv/bin/headrace", "demo", made, "--no-serve"],
            env=clean_environment(),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        shutil.rmtree(made / ".headrace")
        empty = shutil.ignore_patterns(*(path.name for path in dated(made / "landing")))
        fresh, sides = stack.enter_context(cluster()), list[Side]()
        for name, tree in zip(("base", "now"), trees, strict=True):
            side = Side(tree, shutil.copytree(made, folder / f"project-{name}", ignore=empty))
            url = stack.enter_context(fresh())
            side.keep_state_at(url)
            side.take_up(made / "landing")
            side.keep_state_at(stack.enter_context(late(url)))
            sides.append(side)
        print(json.dumps(machine()), file=sys.stderr)
        print(f"{'':24}{typed.base:>12}{'now':>12}{'times':>8}")
        for words in QUESTIONS:
            taken = [[side.ask(*words) for side in sides] for _ in range(typed.rounds + 1)][1:]
            base, now = (1000 * statistics.median(each) for each in zip(*taken, strict=True))
            print(f"{' '.join(words):24}{base:>9,.0f} ms{now:>9,.0f} ms{base / now:>8.1f}")


if __name__ == "__main__":
    main()
