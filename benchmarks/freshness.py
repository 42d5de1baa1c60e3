"""Which figures are older than the code that they measure.

A document of a benchmark keeps a hash of each package that its figures depend on, as the package
was when it was measured. Figures are stale once one of these hashes differs from the checkout's.
That needs no history, so a shallow clone and an unpacked archive give the same answer; only how
many commits lie between is asked of git, where it knows.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parent.parent
MARKS = Path(__file__).parent / "stale.json"
GENERATED = ("command_tables.py", "session_methods.py", "completion_table.py")
"""What `scripts/generate.py` writes."""
CODE = frozenset({".py", ".sql", ".ts", ".tsx", ".css"})
"""Suffixes of what runs: pages that explain a problem change no figure."""

JUDGING = ("security", "model", "incidents", "ledger", "slo", "store")
READING = (
    *JUDGING, "responses", "project", "access", "privacy", "repairs", "standing", "acts", "services"
)  # fmt: skip
COMMANDS = (*READING, "cli")
RUNNING = (
    *COMMANDS,
    "serving",
    "connect",
    "engine",
    "integrations",
    "lake",
    "compiler",
    "plan",
    "checks",
    "runtime",
    "scheduler",
    "sql",
)
SERVING = (*RUNNING, "web")

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "startup": COMMANDS,
    "walk": RUNNING,
    "partitions": RUNNING,
    "pipeline": RUNNING,
    "load": (*COMMANDS, "compiler", "plan", "sql"),
    "sources": RUNNING,
    "materialise": ("lake",),
    "overhead": RUNNING,
    "sandbox": RUNNING,
    "masks": (*COMMANDS, "lake", "plan"),
    "held_snapshot": RUNNING,
    "event_log": RUNNING,
    "batches": ("engine", "lake", "model", "checks", "runtime"),
    "backfill": RUNNING,
    "beside": SERVING,
    "large_year": RUNNING,
    "eta": RUNNING,
    "whatif": ("model", "scheduler", "slo"),
    "planning": RUNNING,
    "scheduling": ("model", "runtime", "scheduler", "store"),
    "history": RUNNING,
    "many_partitions": RUNNING,
    "served": SERVING,
    "api": (*READING, "runtime", "web"),
    "ui": SERVING,
    "audit": ("lake", "model", "checks"),
    "renames": ("checks",),
    "anomalies": RUNNING,
    "diagnosis": (*JUDGING, "plan", "runtime", "sql"),
    "lab": RUNNING,
    "upstrace": RUNNING,
}
"""Benchmark → the packages of `src/headrace` whose code its figures depend on."""

FOLDERS_BESIDE = {
    "renames": ("packages/headrace-demo/src",),
    "ui": ("ui/src",),
    "whatif": ("packages/headrace-advisor/src",),
}
"""Benchmark → folders outside `src/headrace` that its figures depend on as well."""


class Age(msgspec.Struct, frozen=True):
    """How old a benchmark's figures are."""

    changed: tuple[str, ...]
    """The folders whose code has changed since they were measured; empty: they are of this code."""
    commits: int | None
    """How many commits have changed these folders since; None where git can't say."""

    @property
    def stale(self) -> bool:
        """Whether the figures are of other code than the checkout's."""
        return bool(self.changed)

    @property
    def since(self) -> str:
        """What has changed since, in words."""
        folders = ", ".join(folder.removeprefix("src/headrace/") for folder in self.changed)
        if self.commits is None:
            return f"the code has changed since, in {folders}"
        commits = "1 commit has" if self.commits == 1 else f"{self.commits:,} commits have"
        return f"{commits} changed that code since, in {folders}"


class Mark(msgspec.Struct, frozen=True):
    """What RESULTS.md says of a stale section."""

    since: str


class Marks(msgspec.Struct, frozen=True):
    """Which sections of RESULTS.md are stale, as of the commit at which the page was written."""

    commit: str
    stale: dict[str, Mark]


def folders(name: str) -> tuple[str, ...]:
    """The folders, from the root, that a benchmark's figures depend on."""
    packages = tuple(f"src/headrace/{package}" for package in sorted(PACKAGES[name]))
    return (*packages, *FOLDERS_BESIDE.get(name, ()))


def hashes(name: str) -> dict[str, str]:
    """Folder → hash of its code in this checkout, of all that a benchmark's figures depend on."""
    return {folder: _hash(_blobs(ROOT / folder)) for folder in folders(name)}


def hashes_at(name: str, commit: str) -> dict[str, str]:
    """The same of a commit. LookupError where git doesn't have it."""
    return {folder: _hash(_blobs_at(commit, folder)) for folder in folders(name)}


def age(name: str, document: Mapping[str, Any]) -> Age:
    """How old the kept figures of a benchmark are."""
    measured = document.get("folders", {})
    here = hashes(name)
    changed = tuple(folder for folder in here if measured.get(folder) != here[folder])
    return Age(changed, _commits_since(document["commit"].rstrip("+"), changed) if changed else 0)


def marks(documents: Mapping[str, Mapping[str, Any]]) -> Marks:
    """What is stale now, of all documents that are kept."""
    ages = {name: age(name, document) for name, document in documents.items()}
    stale = {name: Mark(item.since) for name, item in sorted(ages.items()) if item.stale}
    return Marks(_git("rev-parse", "--short=10", "HEAD") or "unknown", stale)


def kept_marks() -> Marks:
    """The marks as of the last time that the page was written."""
    return msgspec.json.decode(MARKS.read_bytes(), type=Marks)


def keep_marks(result: Marks) -> None:
    """Keep the marks beside the page, which is made of them and of the documents alone."""
    MARKS.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def has_history() -> bool:
    """Whether git knows the past here: false in an unpacked archive and in a shallow clone."""
    return _git("rev-parse", "--is-shallow-repository") == "false"


def _blobs(folder: Path) -> Iterator[tuple[str, str]]:
    """Path below the folder and git's own hash of the file, of each file of code."""
    for path in folder.rglob("*"):
        if _is_measured(path) and path.is_file() and not _is_built(path):
            content = path.read_bytes()
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
            yield path.relative_to(folder).as_posix(), blob.hexdigest()


def _is_measured(path: Path) -> bool:
    return path.suffix in CODE


def _is_built(path: Path) -> bool:
    """The web UI's bundle is made of `ui/src`, the tables of commands of the functions beside them:
    both lie among the code, and aren't in git."""
    return path.name in GENERATED or any(part.startswith("ui_bundle") for part in path.parts)


def _blobs_at(commit: str, folder: str) -> Iterator[tuple[str, str]]:
    listed = _git("ls-tree", "-r", commit, "--", f"{folder}/")
    if listed is None:
        raise LookupError(f"git doesn't have commit {commit} here")
    for line in listed.splitlines():
        described, path = line.split("\t")
        if _is_measured(Path(path)):
            yield path.removeprefix(f"{folder}/"), described.split()[2]


def _hash(blobs: Iterator[tuple[str, str]]) -> str:
    text = "".join(f"{path} {blob}\n" for path, blob in sorted(blobs))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _commits_since(commit: str, changed: tuple[str, ...]) -> int | None:
    """How many commits have touched these folders; None where git doesn't know that commit."""
    if not has_history():
        return None
    counted = _git("rev-list", "--count", f"{commit}..HEAD", "--", *changed)
    return int(counted) if counted else None


def _git(*words: str) -> str | None:
    """What git says; None where there is no git or it refuses."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
