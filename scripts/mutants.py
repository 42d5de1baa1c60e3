"""Mutation tests: changes drawn by lot from the syntax trees of `src/headrace`.

    python -m scripts.mutants [N] [--seed SEED] [--package NAME …] [--jobs 2] [--json]
    python -m scripts.mutants --again src/headrace/plan/impact.py:120:8:if-false … [--tests FILE …]

Each mutant is tried by its own package's tests. It is killed if a test fails or the tests exceed
their time limit. Each survivor is printed with its change: it is equivalent, its line is dead code,
or a test is missing. The same tree and seed draw the same mutants, each package by itself. Mutants
are written into temporary copies of the tree, which have their own environment: processes that
tests start import the mutant too.
"""

from __future__ import annotations

import argparse
import difflib
import json
import queue
import random
import re
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.mutant_sites import Mutant, mutants_of, places_of
from scripts.nearest_tests import Imports
from scripts.tree_copy import ROOT, Copy

SOURCE = Path("src/headrace")
TESTS = {
    "slo": ("tests/slo", "tests/ledger", "tests/incidents", "tests/stories"),
    "ledger": ("tests/ledger", "tests/stories"),
    "incidents": ("tests/incidents", "tests/stories"),
    **dict.fromkeys(
        ("services", "acts", "standing", "repairs", "privacy", "access", "project"),
        ("tests/services", "tests/library"),
    ),
    "cli": ("tests/cli", "tests/stories"),
}
"""The tests of packages that more or other folders than `tests/<package>` test."""
BASELINE_SECONDS_MAX = 3600
SLOWER_MAX, SECONDS_MORE = 4, 120
"""A mutant's time limit: this many times what its tests take without it, and this many seconds
more."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant."""

    mutant: Mutant
    result: str
    """`killed`, `timed out` (counts as killed) or `survived`."""
    killed_by: str
    seconds: float
    change: str
    """A unified diff with one line around it."""
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Baseline:
    """What the tests of a package take without a mutant."""

    seconds: float
    by_file: dict[str, float]


def baseline(copy: Copy, tests: Sequence[str], jobs: int) -> Baseline:
    """Run tests without a mutant; they must pass, or every mutant would count as killed."""
    started = time.monotonic()
    report = copy.folder / "junit.xml"
    options = ("-n", str(jobs), f"--junitxml={report}")
    code, output = copy.test(tests, BASELINE_SECONDS_MAX, *options)
    if code != 0:
        raise SystemExit(f"Without a mutant these tests fail:\n{output[-3000:]}")
    by_name: dict[str, float] = defaultdict(float)
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 (our own file)
        by_name[case.get("classname", "")] += float(case.get("time", "0"))
    by_file = {name: by_name[name.removesuffix(".py").replace("/", ".")] for name in tests}
    return Baseline(max(sum(by_file.values()), time.monotonic() - started), by_file)


def tests_of(package: str, root: Path) -> list[str]:
    """The test files of a package in a tree."""
    folders = TESTS.get(package, (f"tests/{package}",))
    paths = [path for folder in folders for path in sorted((root / folder).rglob("test_*.py"))]
    return [str(path.relative_to(root)) for path in paths]


def packages() -> list[str]:
    """The packages that have tests of their own."""
    return sorted(
        path.name
        for path in (ROOT / SOURCE).iterdir()
        if path.is_dir() and tests_of(path.name, ROOT)
    )


def draw(package: str, count: int, seed: int) -> list[Mutant]:
    """Draw places of a package by lot, and for each of them one of its mutants."""
    places = []
    for path in sorted((ROOT / SOURCE / package).rglob("*.py")):
        if "demo_project" not in path.parts:  # a user's project that the package brings along
            places += places_of(str(path.relative_to(ROOT)), path.read_bytes())
    chance = random.Random(f"{seed} {package}")  # noqa: S311 (not for secrets)
    return [chance.choice(place) for place in chance.sample(places, min(count, len(places)))]


def draw_from(names: Sequence[str], count: int, seed: int) -> dict[str, list[Mutant]]:
    """Package → its mutants, spread evenly."""
    each, rest = divmod(count, len(names))
    return {name: draw(name, each + (number < rest), seed) for number, name in enumerate(names)}


def named(name: str) -> Mutant:
    """The mutant of that name, of the tree as it is now."""
    path = name.partition(":")[0]
    for mutant in mutants_of(path, (ROOT / path).read_bytes()):
        if mutant.name == name:
            return mutant
    raise SystemExit(f"There is no mutant {name}: has the file changed?")


def attempt(
    copies: queue.Queue[Copy], mutant: Mutant, imports: Imports, before: Baseline
) -> Outcome:
    """Write a mutant into a free copy, run the tests until one fails, and restore the file."""
    files = imports.nearest_first(mutant, before.by_file)
    copy = copies.get()
    started = time.monotonic()
    try:
        original = (copy.folder / mutant.path).read_bytes()
        copy.write(mutant.path, mutant.applied(original))
        code, output = copy.test(files, SLOWER_MAX * before.seconds + SECONDS_MORE, "-x")
        copy.write(mutant.path, original)
    finally:
        copies.put(copy)
    assert "file or directory not found" not in output, output
    result = "survived" if code == 0 else "timed out" if code is None else "killed"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    seconds = round(time.monotonic() - started, 1)
    change = diff(original, mutant.applied(original))
    return Outcome(mutant, result, failed[1] if failed else "", seconds, change, tuple(files))


def diff(before: bytes, after: bytes) -> str:
    """The change as a unified diff with one line around it."""
    old, new = (text.decode().splitlines() for text in (before, after))
    return "\n".join(list(difflib.unified_diff(old, new, lineterm="", n=1))[2:])


def outcomes_of(
    drawn: dict[str, list[Mutant]], jobs: int, only: Sequence[str] = ()
) -> Iterator[Outcome]:
    """Try mutants (package → its mutants) with their packages' tests, or with `only` these."""
    folder = tempfile.TemporaryDirectory(prefix="mutants-")
    with folder as name, ThreadPoolExecutor(jobs) as pool:
        copies: queue.Queue[Copy] = queue.Queue()
        for number in range(jobs):
            copies.put(Copy(Path(name, str(number))))
        first = copies.queue[0]
        imports = Imports(first.folder)  # our own tree may change meanwhile
        for package, mutants in drawn.items():
            before = baseline(first, only or tests_of(package, first.folder), jobs)
            waiting = [pool.submit(attempt, copies, mutant, imports, before) for mutant in mutants]
            for future in as_completed(waiting):
                yield future.result()


def rendered(outcome: Outcome) -> str:
    """One line; a survivor's change and tests below it."""
    line = f"{outcome.result:<10}{outcome.seconds:>6.0f} s  {outcome.mutant.name}"
    if outcome.result != "survived":
        return f"{line}  {outcome.killed_by}"
    nearest = " ".join(outcome.tests[:3])
    return f"{line}\n{outcome.change}\n{len(outcome.tests)} test files, first {nearest}"


def report(outcomes: Iterable[Outcome]) -> str:
    """A table by package."""
    by_package: dict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        by_package[outcome.mutant.package].append(outcome.result)
    lines = ["package       drawn  killed  timed out  survived   killed %"]
    total = [result for results in by_package.values() for result in results]
    for package, results in [*sorted(by_package.items()), ("all", total)]:
        counts = [results.count(result) for result in ("killed", "timed out", "survived")]
        share = 100 * (counts[0] + counts[1]) / len(results)
        figures = f"{counts[0]:>8}{counts[1]:>11}{counts[2]:>10}{share:>10.0f} %"
        lines.append(f"{package:<12}{len(results):>7}{figures}")
    return "\n".join(lines)


def by_package(mutants: Iterable[Mutant]) -> dict[str, list[Mutant]]:
    """Return the mutants by the package that they change."""
    result: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        result[mutant.package].append(mutant)
    return result


def main() -> None:  # complexipy: ignore (options, and what each of them does)
    """Draw or repeat mutants, try them, and print what became of them."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.mutants", description="Try the tests with mutants."
    )
    parser.add_argument(
        "count", nargs="?", type=int, default=100, help="mutants, spread evenly over the packages"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(100_000))
    parser.add_argument(
        "--package", action="append", choices=packages(), help="only of this package; repeatable"
    )
    parser.add_argument("--again", nargs="+", metavar="MUTANT", help="repeat these mutants")
    parser.add_argument(
        "--tests", nargs="+", default=[], metavar="FILE", help="with --again, run only these tests"
    )
    parser.add_argument("--jobs", type=int, default=2, help="mutants that are tried at a time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--list", action="store_true", help="print the drawn mutants without trying them"
    )
    typed = parser.parse_args()
    progress = sys.stderr if typed.json else sys.stdout
    if typed.again:
        drawn = by_package(map(named, typed.again))
    else:
        drawn = draw_from(typed.package or packages(), typed.count, typed.seed)
        print(f"seed {typed.seed}", file=progress, flush=True)
    if typed.list:
        print("\n".join(mutant.name for mutants in drawn.values() for mutant in mutants))
        return
    outcomes = []
    for outcome in outcomes_of(drawn, typed.jobs, typed.tests):
        outcomes.append(outcome)
        print(rendered(outcome), file=progress, flush=True)
    print(report(outcomes), file=progress)
    if typed.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))


if __name__ == "__main__":
    main()
