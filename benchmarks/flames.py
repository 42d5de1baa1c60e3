"""Flame graphs of the leader and of a worker, while they do three works of the other benchmarks.

    .venv/bin/python -m benchmarks.flames          (needs Linux, and the right to trace processes)

py-spy looks at both processes 250 times a second, in an environment of its own. A frame is as wide
as the share of looks at which it was on a stack; threads that wait aren't counted. The pictures are
docs/pictures/flame-WORK-PROCESS.svg; docs/explanation/performance.md shows them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import NamedTuple

from benchmarks import noops, partitions, pipeline
from benchmarks.headrace_cli import COMMAND
from benchmarks.peers import Unavailable, environment

PICTURES = Path(__file__).parent.parent / "docs/pictures"
RATE = 250
SECONDS_MAX = 60
NO_OPS, DAYS, SCALE = 20_000, 365, 0.3
FORK_SERVER = "headrace.runtime.fork_server"

WIDTH, ROW, SHARE_MIN = 1200, 16, 0.004
"""Pixels of a picture and of a frame's height; the least share of a frame that is drawn."""
CHARACTER = 6.5
"""Pixels of a letter."""
COLOURS = {"headrace": "#f2b27a", "": "#a9c5e8"}
"""The start of a frame's place → its colour: Headrace, and libraries."""
WAITING = (
    "select (selectors.py",
    "_listen (",
    "wait (threading.py",
    "recv_fds (socket.py",
    "_read (headrace/runtime/worker.py",
)
"""The innermost frames of threads that wait."""
IMPORTING = "<frozen importlib"
"""Frames that aren't drawn: a module stands on the one that imports it."""


class Work(NamedTuple):
    """A command in a new project."""

    name: str
    write: Callable[[Path], None]
    command: Sequence[str]


def _no_ops(folder: Path) -> None:
    noops.write(folder, noops.independent(NO_OPS))


def _year(folder: Path) -> None:
    partitions.project(folder, DAYS, batch="auto")


def _pipeline(folder: Path) -> None:
    data = folder.with_name("tpch")
    pipeline.generate(data, SCALE)
    pipeline.project(folder, data, unique=True)


WORKS = (
    Work("no-ops", _no_ops, ("run",)),
    Work("year", _year, ("run", "--now", partitions.NOW)),
    Work("pipeline", _pipeline, ("run",)),
)


@dataclass
class Frame:
    """A function on stacks: at how many looks, and what it called."""

    looks: int = 0
    calls: dict[str, Frame] = field(default_factory=dict)


def main() -> None:
    """Draw all pictures."""
    try:
        py_spy = environment("py_spy") / "py-spy"
    except Unavailable as error:
        sys.exit(f"py-spy: {error}")
    for work in WORKS:
        print(f"{work.name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="headrace-flames-") as folder:
            for process, stacks in _record(py_spy, work, Path(folder)).items():
                picture = PICTURES / f"flame-{work.name}-{process}.svg"
                picture.write_text(svg(f"{work.name}, {process}", stacks), encoding="utf-8")


def _record(py_spy: Path, work: Work, folder: Path) -> dict[str, Counter[str]]:
    """Run the work and return the stacks of its leader and of its busiest worker."""
    project = folder / "project"
    work.write(project)
    command = [str(COMMAND), *work.command, "--json", "--project", str(project)]
    watched: dict[int, subprocess.Popen[bytes]] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as leader:
        while leader.poll() is None:
            for pid in (leader.pid, *_workers(leader.pid)):
                if pid not in watched:
                    watched[pid] = _watch(py_spy, pid, folder / f"{pid}.stacks")
            time.sleep(0.05)
    for process in watched.values():
        process.wait(SECONDS_MAX)
    stacks = {pid: _read(folder / f"{pid}.stacks") for pid in watched}
    workers = [stacks[pid] for pid in watched if pid != leader.pid]
    return {"leader": stacks[leader.pid], "worker": max(workers, key=Counter.total)}


def _watch(py_spy: Path, pid: int, output: Path) -> subprocess.Popen[bytes]:
    # Processes that are stopped at each look would do their work more slowly.
    options = (
        "--nonblocking",
        "--rate",
        str(RATE),
        "--duration",
        str(SECONDS_MAX),
        "--format",
        "raw",
    )
    return subprocess.Popen(
        [str(py_spy), "record", *options, "--output", str(output), "--pid", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _workers(leader: int) -> list[int]:
    """Return the processes that the leader's fork server has forked."""
    servers = [pid for pid in _children(leader) if FORK_SERVER in _command_line(pid)]
    return [pid for server in servers for pid in _children(server)]


def _children(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in children.split()]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _read(stacks: Path) -> Counter[str]:
    """Return stacks without line numbers, the outermost frame first, and how often each was seen.

    What ended before it could be watched has none.
    """
    result: Counter[str] = Counter()
    if stacks.exists():
        for line in stacks.read_text(encoding="utf-8").splitlines():
            stack, _, looks = line.rpartition(" ")
            functions = [frame.rpartition(":")[0] or frame for frame in stack.split(";")]
            functions = [function for function in functions if IMPORTING not in function]
            if functions and not _waits(functions[-1]):
                result[";".join(functions)] += int(looks)
    return result


def _waits(function: str) -> bool:
    """Whether a thread in this function waits; methods have their class before them."""
    return any(waiting in function for waiting in WAITING)


def svg(title: str, stacks: Counter[str]) -> str:
    """Return a flame graph: callers below the functions that they call."""
    root = _tree(stacks)
    drawn = list(_drawn(root, root.looks))
    depth = 1 + max((level for level, *_ in drawn), default=0)
    height = (depth + 2) * ROW
    frames = "\n".join(
        _frame(height - (level + 1) * ROW, left, share, name) for level, left, share, name in drawn
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="monospace" font-size="11">\n<rect width="{WIDTH}" height="{height}"'
        f' fill="#ffffff"/>\n<text x="4" y="12">{escape(title)}: {root.looks:,} looks</text>\n'
        f"{frames}\n</svg>\n"
    )


def _tree(stacks: Counter[str]) -> Frame:
    root = Frame()
    for stack, looks in stacks.items():
        at = root
        at.looks += looks
        for function in stack.split(";"):
            at = at.calls.setdefault(function, Frame())
            at.looks += looks
    return root


def _drawn(
    frame: Frame, all_looks: int, level: int = 0, left: float = 0.0
) -> Iterable[tuple[int, float, float, str]]:
    """Yield level, left edge and width (shares of the picture), and name of each frame."""
    for name, called in sorted(frame.calls.items()):
        share = called.looks / all_looks
        if share >= SHARE_MIN:
            yield level, left, share, name
            yield from _drawn(called, all_looks, level + 1, left)
        left += share


def _frame(top: int, left: float, share: float, name: str) -> str:
    place = name.rpartition("(")[2]
    colour = next(colour for start, colour in COLOURS.items() if place.startswith(start))
    letters = int(share * WIDTH / CHARACTER) - 1
    function = name.partition(" (")[0]
    text = function if len(function) <= letters else function[: max(letters - 1, 0)] + "…"
    x, width = left * WIDTH, share * WIDTH
    label = f'<text x="{x + 2:.1f}" y="{top + 12}">{escape(text)}</text>' if letters >= 3 else ""
    return (
        f'<g><title>{escape(name)}: {100 * share:.1f} %</title><rect x="{x:.1f}" y="{top}"'
        f' width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}" fill="{colour}"/>{label}</g>'
    )


if __name__ == "__main__":
    main()
