"""What every benchmark prints: one document with the machine, the commit, and figures with their
goals (INTERFACE §4).
"""

from __future__ import annotations

import argparse
import compileall
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks import freshness

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: the value that counts, each run's, and what peers need for the same. Without a
    goal it is an observation.
    """

    name: str
    value: float
    unit: str
    goal: float | None
    compare: Literal["<=", ">="] = "<="
    runs: Sequence[float]
    against: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the goal is reached; an observation has nothing to miss."""
        if self.goal is None:
            return True
        return self.value <= self.goal if self.compare == "<=" else self.value >= self.goal


@dataclass(frozen=True)
class Measured:
    """Figures, and what has to be said of those who were measured: name → text."""

    figures: list[Figure]
    notes: dict[str, str]


def main(
    description: str | None,
    measure: Callable[..., list[Figure] | Measured],
    options: Callable[[argparse.ArgumentParser], None] | None = None,
) -> None:
    """Measure and print: for people, or with `--json` as one document. Exit 1 if a goal is missed
    (never with `--quick`).

    `measure` is called with `quick` and with what `options` added to the parser, by keyword.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON document on standard output and nothing else there",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smoke test of the benchmark itself; its figures mean nothing",
    )
    if options is not None:
        options(parser)
    arguments = vars(parser.parse_args())
    as_json, quick = arguments.pop("json"), arguments.pop("quick")
    compile_bytecode()
    measured_on = machine()  # before the work, so that the load is that of others
    result = measure(quick=quick, **arguments)
    figures, notes = (
        (result.figures, result.notes) if isinstance(result, Measured) else (result, {})
    )
    name = Path(sys.argv[0]).stem
    measured = {"machine": measured_on, "commit": _commit(), "folders": freshness.hashes(name)}
    document = {**measured, **_listed(figures), **({"notes": notes} if notes else {})}
    print(
        json.dumps(document, indent=1, ensure_ascii=False) if as_json else _page(document, figures)
    )
    sys.exit(0 if quick or all(figure.met for figure in figures) else 1)


def compile_bytecode() -> None:
    """Compile all that this environment imports, as pip does when it installs.

    A checkout has no bytecode where `PYTHONDONTWRITEBYTECODE` is set. Then each process of a
    command compiles everything that it imports, which takes longer than all else before its first
    task.
    """
    for folder in (sysconfig.get_path("purelib"), ROOT / "src"):
        compileall.compile_dir(folder, quiet=2)  # a package's templates may be no valid code


def _listed(figures: Sequence[Figure]) -> dict[str, Any]:
    """Figures, and apart from them what has no goal: who compares values with goals meets no empty
    ones.
    """
    shown = [{**asdict(figure), "met": figure.met} for figure in figures]
    return {
        "figures": [figure for figure in shown if figure["goal"] is not None],
        "observed": [figure for figure in shown if figure["goal"] is None],
    }


def machine() -> dict[str, Any]:
    """Return what the figures were measured on, and the load of others just now."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )


def _commit() -> str:
    """The commit that was measured, with `+` if the code or a benchmark differs from it.

    Documents that were measured just before don't count.
    """
    commit = _git("rev-parse", "--short=10", "HEAD")
    differs = _git("status", "--porcelain", "--", "src", "benchmarks/*.py", "benchmarks/peers")
    return f"{commit}+" if commit and differs else commit or "unknown"


def _git(*words: str) -> str:
    """What git prints; nothing where there is no git."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _page(document: dict[str, Any], figures: Sequence[Figure]) -> str:
    lines = [
        f"commit {document['commit']}, "
        + ", ".join(f"{key} {value}" for key, value in document["machine"].items())
    ]
    for figure in figures:
        goal = (
            ""
            if figure.goal is None
            else (
                f"  goal {figure.compare} {figure.goal:g} {figure.unit},"
                f" {'met' if figure.met else 'MISSED'}"
            )
        )
        against = "".join(f"  {peer} {value:.3g}" for peer, value in figure.against.items())
        lines.append(f"{figure.name:<36} {figure.value:>10.3g} {figure.unit:<3}{goal}{against}")
    return "\n".join(
        [*lines, *(f"{name}: {text}" for name, text in document.get("notes", {}).items())]
    )
