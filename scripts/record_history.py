"""What cores of real runs were told and decided, kept for ever: `python -m scripts.record_history
PROJECT FILE`, or `--labs` for those of tests/scheduler/histories/, which are recorded again when
decisions change on purpose (CONTRIBUTING.md).

A file is the zlib-compressed msgpack of one `scheduler.core.LeaderHistory` for each leader of the
project, in order.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from headrace.project.session import ProjectSession
from headrace.scheduler.core import LeaderHistory, LoopIteration, decode_events
from headrace.store.queries import scheduling

HISTORIES = Path(__file__).parents[1] / "tests/scheduler/histories"
EXAMPLES = Path(__file__).parents[1] / "examples"
BYTES_MAX = 100_000


def histories(root: Path) -> list[LeaderHistory]:
    """What the journal of a project's state says, one history a leader."""
    store = ProjectSession.open(root, "prod", None, "recorder").store
    if store is None:
        raise SystemExit(f"{root} has no state: nothing has run there")
    with store.read() as tx:
        epochs = [
            row[0]
            for row in tx.execute("select distinct epoch from journal order by epoch").fetchall()
        ]
        result = [list(scheduling.events_of_epoch(tx, epoch)) for epoch in epochs]
    return [
        LeaderHistory(
            rows[0].epoch,
            rows[0].slots,
            tuple(LoopIteration(r.at, decode_events(r.events), r.decisions) for r in rows),
        )
        for rows in result
        if rows
    ]


def write(result: list[LeaderHistory], path: Path) -> None:
    """Keep them, unless that is more than a repository should."""
    content = zlib.compress(msgspec.msgpack.Encoder(order="deterministic").encode(result), 9)
    if len(content) > BYTES_MAX:
        raise SystemExit(f"{path.name} would have {len(content)} bytes, of {BYTES_MAX} at most")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(
        f"{path.name}: {len(result)} leaders, {sum(len(item.turns) for item in result)} turns,"
        f" {len(content)} bytes"
    )


def read(path: Path) -> list[LeaderHistory]:
    """The inverse of `write`."""
    return msgspec.msgpack.decode(zlib.decompress(path.read_bytes()), type=list[LeaderHistory])


# Projects that are recorded


def _headrace(root: Path, *arguments: str) -> None:
    """A command; what doesn't succeed is part of the history."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    subprocess.run(
        [sys.executable, "-m", "headrace", *arguments, "--json"],
        cwd=root,
        env=kept,
        stdout=subprocess.DEVNULL,
        check=False,
    )


def _keys(root: Path) -> None:
    """Keys that grow and that are listed, months over days; asked for once more, and in part."""
    _headrace(root, "tick", "--now", "2025-03-10T12:00:00+00:00")
    for landed in sorted((root / "landing").rglob("*.csv"))[:2]:
        rows = landed.read_text(encoding="utf-8").splitlines(keepends=True)
        landed.write_text("".join(rows[:-1]), encoding="utf-8")
    _headrace(root, "tick", "--now", "2025-03-10T13:00:00+00:00")
    _headrace(root, "tick", "--now", "2025-03-11T13:00:00+00:00")


def _twice(root: Path) -> None:
    """Everything, and once more when there is nothing to do."""
    _headrace(root, "tick")
    _headrace(root, "tick")


def _failing(root: Path) -> None:
    """An asset that fails, is asked for again and mended; a day that is delivered again; a
    publication that is made again.
    """
    fragile = root / "assets/fragile.py"
    fragile.write_text(_body("raise ValueError('not today')"), encoding="utf-8")
    _headrace(root, "tick")
    _headrace(root, "run", "fragile")
    fragile.write_text(_body("return usage"), encoding="utf-8")
    _headrace(root, "apply", "--yes")
    _headrace(root, "run", "fragile")
    landed = min((root / "landing").rglob("*.csv"))
    landed.write_text(landed.read_text(encoding="utf-8").replace("2", "3"), encoding="utf-8")
    _headrace(root, "tick")
    _headrace(root, "run", "usage", "--again", "--reason", "for the record")


def _body(line: str) -> str:
    declared = "owner='meter-data', partition='day', inputs=['usage']"
    return f"from headrace import asset\n\n\n@asset({declared})\ndef fragile(usage):\n    {line}\n"


LABS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "keys-and-months": ("keys-and-months", _keys),
    "exports": ("exports", _twice),
    "merge": ("merge", _twice),
    "snapshot-scd2": ("snapshot-scd2", _twice),
    "append-log": ("append-log", _twice),
    "failures": ("many-days-one-file", _failing),
}


def record_labs(names: Iterable[str]) -> None:
    """Run the projects in folders of their own, and keep what their cores were told."""
    for name in names:
        example, act = LABS[name]
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / example
            shutil.copytree(EXAMPLES / example, root, ignore=shutil.ignore_patterns(".headrace"))
            act(root)
            write(histories(root), HISTORIES / f"{name}.msgpack.zz")


def main() -> None:
    """Record one project, or the labs."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.record_history",
        description="Keep what cores were told and decided.",
    )
    parser.add_argument("project", nargs="?", type=Path)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument(
        "--labs",
        nargs="*",
        choices=sorted(LABS),
        help="record those of the tests again (default all)",
    )
    typed = parser.parse_args()
    if typed.labs is not None:
        record_labs(typed.labs or sorted(LABS))
    elif typed.project is None or typed.file is None:
        parser.error("name a project and a file, or --labs")
    else:
        write(histories(typed.project), typed.file)


if __name__ == "__main__":
    main()
