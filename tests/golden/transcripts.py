"""The story typed in, as one transcript a command. What is measured, or drawn by lot, is masked."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from story import File, Line, Step
from warm_fork_servers import headrace

from headrace.project.local_actor import local_actor

PATIENCE_SECONDS = 120
LONG_SECONDS = 60
"""Parts of a wait that are shorter come and go with the machine."""
MASKS = (
    (r"[0-9a-f]{32,64}", "HASH"),
    (r"p-[0-9a-f]{16}", "p-HASH"),
    (r"hdr_[\w-]{49}", "TOKEN"),
    (r'("who": |)"?user:[\w.-]+"?', r"\1USER"),
    (r'"groups": \[[^\]]*\]', '"groups": GROUPS'),
    (r"(\d\d:\d\d):\d\d(\.\d+)?", r"\1:SS"),
    (r"\b\d[\d,]*(\.\d+)? (ms|s|B|kB|MB|GiB)\b", r"N \2"),
    (r"\bN ms\b", "N s"),
    (r"found (at once|N s later)", "found N s later"),
    (r"20(2[6-9]|[3-9]\d)-\d\d-\d\d", "TODAY"),
    (r"TODAY[T ]\d\d:\d\d(:SS)?([+-]\d\d:\d\d|Z)?", "TODAY"),
    (r"(Python|DuckDB) {2,}\d\S+( at \S+)?", r"\1  VERSION"),
    (r'("name": "(?:Python|DuckDB)",\s+"state": "ok",\s+"detail": )".*"', r'\1"VERSION"'),
    (r"at most [\d,]+\b(?= *$|\")", "at most N"),
    (r"\b(ext[234]|xfs|btrfs|overlay|overlayfs|tmpfs|zfs|apfs)\b", "FILE SYSTEM"),
    (r"[\d,]+\.\d{3}\b", "N"),
    (r"[\d,]+ (minutes|of them unobserved|rows compared with the event log|bytes)", r"N \1"),
    (r"(simulated on \d+ workers? with what \d+ attempts took)[^)\"]*", r"\1"),
    (r"(?m)^! [\w ]+(: \d+ (to do|done|of \d+) .*| …)\n", ""),
    (r"(?m)^! [\w ]+: \d+ to do\n", ""),
    (r"(?m)^ +\d+ short ones .*\n", ""),
    (r"(?m)^  (\S+) .* (\S+ \S+|\S+)  +\2  +N\n", ""),
    (r"(?m)^  (shares|Headrace): .*(\n    .*)*\n", ""),
    (r"(?m)[ \t]+$", ""),
    (r"(?<=\S) {2,}", "  "),
    (r"-{4,}", "----"),
)
"""Patterns, and what stands for them. The last ones: how wide a column is depends on what was
measured."""


def played(root: Path, told: Iterable[Step]) -> dict[str, str]:
    """Transcripts by the name of the command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    environment = kept | {"COLUMNS": "600", "NO_COLOR": "1", "TERM": "dumb", "TZ": "UTC"}
    result: dict[str, list[str]] = defaultdict(list)
    root.mkdir(parents=True)
    for step in told:
        match step:
            case File():
                _write(root / step.path, step)
            case Line(text, now):
                arguments = shlex.split(text)
                done = headrace([*arguments, "--now", now], root, environment, PATIENCE_SECONDS)
                _await_mails(root, now)
                errors = "".join(f"! {splitline}\n" for splitline in done.stderr.splitlines())
                said = f"{_shown(done.stdout)}{errors}"
                result[arguments[0]].append(
                    f"$ headrace {text} --now {now}\n{masked(said, root)}[exit {done.returncode}]\n"
                )
    return {name: "\n".join(parts) for name, parts in result.items()}


def _await_mails(root: Path, now: str) -> None:
    """Wait for the process that sends messages: a command waits 3 s for it, and a busy machine may
    take longer, so that the next command's lines would come before "notified …".
    """
    due = "select 1 from notice where state = 'waiting' and not_before <= ?"
    at, state = datetime.fromisoformat(now).timestamp() * 1_000_000, root / ".headrace/state.db"
    until = time.monotonic() + PATIENCE_SECONDS
    while state.exists() and time.monotonic() < until:
        with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as connection:
            if connection.execute(due, (at,)).fetchone() is None:
                return
        time.sleep(0.05)


def _write(path: Path, step: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(step.text, encoding="utf-8")
    if step.at is not None:
        os.utime(path, (step.at.timestamp(), step.at.timestamp()))


def _shown(out: str) -> str:
    """A document with a line for each value, so that differences can be read."""
    if not out.startswith(("{", "[{", "[]")):
        return out
    return json.dumps(_masked(json.loads(out)), indent=1, ensure_ascii=False) + "\n"


def _masked(value: Any, key: str = "") -> Any:
    match value:
        case list() if key == "segments":
            return [_masked(item) for item in value if item["seconds"] >= LONG_SECONDS]
        case dict() if key == "checked":
            return "ROWS BY TABLE"
        case dict():
            return {name: _masked(item, name) for name, item in value.items()}
        case list() if key in ("shares", "overhead"):
            return sorted({item["owner"] for item in value})
        case list():
            return [_masked(item, key) for item in value]
        case float():
            return "NUMBER"
        case bool():
            return value
        case int() if "minutes" in key or "bytes" in key or key == "unobserved":
            return "NUMBER"
        case str() if key == "real_at":
            return "TIME"
        case _:
            return value


def masked(text: str, root: Path) -> str:
    """Without what differs between two machines, or between two runs on one."""
    text = text.replace(str(root), "PROJECT").replace(local_actor(), "ada@shop")
    for pattern, instead in MASKS:
        text = re.sub(pattern, instead, text)
    return text
