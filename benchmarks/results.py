"""Run the benchmarks and write RESULTS.md from their documents: `make bench`, `make bench
ARGS="pipeline partitions"`, or with ARGS=--page from the documents that are kept. ARGS=--stale
lists the figures that are older than the code they measure.

Each benchmark's last document is kept in `benchmarks/results/`, so that one of them can be measured
anew without the others. Nothing in RESULTS.md is written by hand.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import freshness

HERE = Path(__file__).parent
DOCUMENTS = HERE / "results"
ORDER = (
    "startup",
    "walk",
    "partitions",
    "pipeline",
    "load",
    "sources",
    "materialise",
    "overhead",
    "sandbox",
    "masks",
    "held_snapshot",
    "event_log",
    "batches",
    "backfill",
    "beside",
    "large_year",
    "eta",
    "whatif",
    "planning",
    "scheduling",
    "history",
    "many_partitions",
    "served",
    "api",
    "ui",
    "audit",
    "renames",
    "anomalies",
    "diagnosis",
    "lab",
    "upstrace",
)
"""Every benchmark that gives a document, in the order of the page."""

INTRODUCTION = """# Measured

Written by `make bench` from the documents in `benchmarks/results/`; each section can be had again with the command in it.
A figure is the median of its runs. Ratios are of two runs in one round, so that they survive a busy machine; absolute
times don't.

{stale}
"""

NO_HISTORY = (
    "Git has no whole history here, so commits aren't counted; the code itself was compared."
)
ALL_OF_THIS_CODE = "All figures are of the code at commit {commit}."
SOME_STALE = """**{count} of {sections} sections are older than the code that they measure** (as of commit {commit}); each says so.
What they measure may be faster or slower by now. `make bench ARGS=--stale` lists them for this checkout."""


def main(words: Sequence[str]) -> None:
    """Run what is named (all, if nothing is), keep the documents, and write the page from all that
    are kept.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names",
        nargs="*",
        type=_named,
        metavar="NAME",
        help=f"which benchmarks, all unless told: {', '.join(ORDER)}",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smoke test of the benchmarks themselves: nothing is kept or written",
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="run nothing: write RESULTS.md from the documents that are kept",
    )
    parser.add_argument(
        "--stale",
        action="store_true",
        help="run nothing: list the figures that are older than the code they measure",
    )
    arguments = parser.parse_args(words)
    if (arguments.page or arguments.stale) and (arguments.names or arguments.quick):
        parser.error("--page and --stale run nothing, so they take neither names nor --quick")
    if arguments.stale:
        print(listed_by_age())
        return
    for name in [] if arguments.page else arguments.names or ORDER:
        print(f"{name} …", flush=True)
        document = run(name, quick=arguments.quick)
        if not arguments.quick:
            DOCUMENTS.mkdir(exist_ok=True)
            (DOCUMENTS / f"{name}.json").write_text(
                json.dumps(document, indent=1) + "\n", encoding="utf-8"
            )
    if not arguments.quick:
        freshness.keep_marks(freshness.marks(documents()))
        (HERE / "RESULTS.md").write_text(page(), encoding="utf-8")


def _named(word: str) -> str:
    if word not in ORDER:
        raise argparse.ArgumentTypeError(
            f"no benchmark is called {word}; there are {', '.join(ORDER)}"
        )
    return word


def run(name: str, *, quick: bool) -> dict[str, Any]:
    """One benchmark in a process of its own; its document. A missed goal is in the document, and no
    failure here.
    """
    command = [
        sys.executable,
        "-m",
        f"benchmarks.{name}",
        "--json",
        *(["--quick"] if quick else []),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise SystemExit(
            f"benchmarks/{name}.py gave no document (exit {done.returncode}): {done.stdout[-1000:]}"
        ) from None
    return document


def documents() -> dict[str, dict[str, Any]]:
    """Benchmark → its kept document, in the order of the page."""
    kept = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in DOCUMENTS.glob("*.json")
    }
    return {
        name: kept[name]
        for name in sorted(
            kept, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)
        )
    }


def page() -> str:
    """RESULTS.md from the documents and the marks that are kept."""
    kept, marks = documents(), freshness.kept_marks()
    stale = [name for name in kept if name in marks.stale]
    words = SOME_STALE if stale else ALL_OF_THIS_CODE
    introduction = INTRODUCTION.format(
        stale=words.format(count=len(stale), sections=len(kept), commit=marks.commit)
    )
    return "\n".join(
        [
            introduction,
            *(section(name, document, marks.stale.get(name)) for name, document in kept.items()),
        ]
    )


def listed_by_age() -> str:
    """The kept figures by whether they are of this checkout's code."""
    lines: dict[bool, list[str]] = {True: [], False: []}
    for name, document in documents().items():
        age = freshness.age(name, document)
        measured = f"  {name:<12} {document['machine']['date']}  {document['commit']:<11}"
        lines[age.stale].append(f"{measured}  {age.since}" if age.stale else measured)
    never = [name for name in ORDER if name not in documents()]
    return "\n".join(
        [
            "Older than the code that they measure:",
            *(lines[True] or ["  none"]),
            "Of this checkout's code:",
            *(lines[False] or ["  none"]),
            f"Not kept: {', '.join(never) or 'none'}",
            *([] if freshness.has_history() else [NO_HISTORY]),
        ]
    )


def section(name: str, document: dict[str, Any], mark: freshness.Mark | None = None) -> str:
    """One benchmark: what it is, its figures, where and when they were measured."""
    machine = document["machine"]
    where = (
        f"{machine['os']}, {machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']}"
        f" GiB, Python {machine['python']}"
    )
    rows = "\n".join(
        row(figure) for figure in [*document["figures"], *document.get("observed", [])]
    )
    stale = f"**Older than the code:** {mark.since}.\n\n" if mark else ""
    return (
        f"## {name}\n\n{summary(name)}\n\n    make bench ARGS={name}\n\n{stale}| figure | value |"
        " goal | met | runs | against"
        f" |\n|---|---|---|---|---|---|\n{rows}\n\n{notes(document)}{machine['date']}, commit"
        f" {document['commit']}, on {where}; load before it began: {machine['load_before']}.\n"
    )


def notes(document: dict[str, Any]) -> str:
    """What has to be said of those who were measured, a line each."""
    listed = "".join(f"- {name}: {text}\n" for name, text in document.get("notes", {}).items())
    return f"{listed}\n" if listed else ""


def summary(name: str) -> str:
    """The first paragraph of the benchmark's docstring."""
    text = (HERE / f"{name}.py").read_text(encoding="utf-8")
    return text.split('"""')[1].split("\n\n")[0].strip().replace("\n", " ")


def row(figure: dict[str, Any]) -> str:
    """One line of the table."""
    unit = figure["unit"]
    goal = (
        "observed"
        if figure["goal"] is None
        else f"{figure['compare']} {number(figure['goal'])} {unit}"
    )
    met = "–" if figure["goal"] is None else "yes" if figure["met"] else "**no**"
    runs = ", ".join(number(value) for value in figure["runs"][:5]) + (
        f", … ({len(figure['runs'])})" if len(figure["runs"]) > 5 else ""
    )
    against = (
        ", ".join(
            f"{peer}: {number(value)}" for peer, value in (figure.get("against") or {}).items()
        )
        or "–"
    )
    return (
        f"| {figure['name']} | {number(figure['value'])} {unit} | {goal} | {met} | {runs} |"
        f" {against} |"
    )


def number(value: float) -> str:
    """Three significant digits, thousands grouped."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main(sys.argv[1:])
