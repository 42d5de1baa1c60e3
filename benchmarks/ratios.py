"""This checkout against a baseline commit, in one run: how many times as long whole commands take.

    make ratios [ARGS="--base COMMIT --rounds 9 --only no_ops"]

The baseline is the commit in `benchmarks/baseline`; raising it is a commit of its own, with its
reason. Both sides are copies of their trees with environments of the same kind and the same
installed packages. They take turns within each round, so a ratio survives a busy machine. A work is
slower if both the median of the rounds' ratios and the ratio of the shortest times say so: above
`WARN` it is named, above `FAIL` it is measured again, and the exit code is 1 if that doesn't clear
it. Without the commit, as in a shallow clone, the exit code is 2.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import noops, partitions, pipeline
from benchmarks.harness import machine
from scripts.tree_copy import ROOT, Copy, clean_environment, make_environment

FILTER: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Python has filters since 3.11.4."""

BASELINE = Path(__file__).with_name("baseline")
WARN, FAIL = 1.05, 1.15
SECOND_LOOK = 4
ROUNDS = 5
SCALE = 0.1
"""The scale factor of TPC-H."""
YEAR_DAYS = 120
NO_OPS, HOPS = 1000, 100
LOCK = "requirements/runtime.txt"


class Work(NamedTuple):
    """A command in a new project, `repeats` times in a row.

    `write` makes the project once for both sides; `before` is a command that each side runs once
    instead, in a folder that it keeps.
    """

    name: str
    command: Sequence[str]
    write: Callable[[Path], None] | None = None
    before: Sequence[str] = ()
    repeats: int = 1


def _no_ops(folder: Path) -> None:
    noops.write(folder, noops.independent(NO_OPS))


def _chain(folder: Path) -> None:
    noops.write(folder, noops.chain(HOPS))


def _days(folder: Path) -> None:
    noops.write(folder, [])
    noops.daily(folder)


def _year(folder: Path) -> None:
    partitions.project(folder, YEAR_DAYS, batch="auto")


def _pipeline(folder: Path) -> None:
    data = folder.with_name("tpch")
    pipeline.generate(data, SCALE)
    pipeline.project(folder, data, unique=True)


DEMO = ("demo", ".", "--no-serve", "--days", "3")
ONE_YEAR = ("--from", "2013-01-01", "--to", "2013-12-31", "--now", partitions.NOW)
WORKS = (
    Work("help", ("--help",), before=DEMO, repeats=10),
    Work("status", ("status",), before=DEMO, repeats=5),
    Work("no_ops", ("run",), _no_ops),
    Work("hops", ("run",), _chain),
    Work("partitions", ("run", "daily", *ONE_YEAR), _days),
    Work("year", ("run", "--now", partitions.NOW), _year),
    Work("pipeline", ("run",), _pipeline),
)


@dataclass(frozen=True)
class Ratio:
    """What one work took on both sides, in seconds by round."""

    name: str
    base: Sequence[float]
    now: Sequence[float]

    @property
    def typical(self) -> float:
        """The median of the rounds' ratios, now ÷ base."""
        return statistics.median(now / base for base, now in zip(self.base, self.now, strict=True))

    @property
    def shortest(self) -> float:
        """The ratio of the shortest times: what disturbs a run only makes it longer."""
        return min(self.now) / min(self.base)

    @property
    def slower(self) -> float:
        """The smaller of both ratios."""
        return min(self.typical, self.shortest)

    @property
    def line(self) -> str:
        """One line of the table."""
        base, now = (1000 * statistics.median(runs) for runs in (self.base, self.now))
        verdict = "slower" if self.slower > FAIL else "watch" if self.slower > WARN else ""
        figures = f"{base:>10,.0f}{now:>10,.0f}{self.typical:>9.2f}{self.shortest:>10.2f}"
        return f"{self.name:<12}{figures}  {verdict}".rstrip()


class Side:
    """A tree with an environment of its own, and a folder for its projects."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self._folder, self._command = folder, tree / ".venv/bin/headrace"
        folder.mkdir()

    def prepare(self, work: Work) -> None:
        """Run the command before; works with the same one share its folder."""
        place = self._kept(work)
        if work.before and not place.exists():
            place.mkdir()
            self._run(work.before, place)

    def seconds(self, work: Work, template: Path) -> float:
        """Return how long all repeats take, in a new copy of the project where there is one."""
        place = self._kept(work)
        if not work.before:
            place = self._folder / work.name
            shutil.copytree(template, place)
        began = time.perf_counter()
        for _ in range(work.repeats):
            self._run(work.command, place)
        taken = time.perf_counter() - began
        if not work.before:
            shutil.rmtree(place)
        return taken

    def _kept(self, work: Work) -> Path:
        return self._folder / f"before-{'-'.join(work.before[:1])}"

    def _run(self, arguments: Sequence[str], place: Path) -> None:
        done = subprocess.run(
            [self._command, *arguments],
            cwd=place,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = f"{done.stderr}\n{done.stdout[-2000:]}"
            raise SystemExit(f"{self._command} {' '.join(arguments)}: {done.returncode}\n{said}")


def measure(base: Side, now: Side, works: Sequence[Work], folder: Path, rounds: int) -> list[Ratio]:
    """Measure all works; one that seems too slow gets `SECOND_LOOK` times as many rounds again."""
    results = []
    for work in works:
        _progress(work.name)
        template = folder / f"project-{work.name}"
        if work.write is not None:
            work.write(template)
        for side in (base, now):
            side.prepare(work)
            side.seconds(work, template)  # it compiles and fills caches
        ratio = Ratio(work.name, *_rounds(base, now, work, template, rounds))
        if ratio.slower > FAIL:  # a busy machine deserves a second look
            more = _rounds(base, now, work, template, SECOND_LOOK * rounds)
            ratio = Ratio(work.name, [*ratio.base, *more[0]], [*ratio.now, *more[1]])
        results.append(ratio)
    return results


def _rounds(
    base: Side, now: Side, work: Work, template: Path, count: int
) -> tuple[list[float], list[float]]:
    """Return the seconds of both sides in each round; they take turns in going first."""
    taken: dict[Side, list[float]] = {base: [], now: []}
    for number in range(count):
        for side in (base, now) if number % 2 else (now, base):
            taken[side].append(side.seconds(work, template))
    return taken[base], taken[now]


def tree_of(commit: str, folder: Path) -> Path:
    """Write the files of a commit, and make an environment that imports them."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, **FILTER)
    make_environment(folder)
    return folder


def _is_known(commit: str) -> bool:
    """Whether git has the commit: not in a shallow clone or an unpacked archive."""
    words = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, check=False).returncode == 0


def _notes(base: Path) -> Mapping[str, str]:
    if (base / LOCK).read_bytes() == (ROOT / LOCK).read_bytes():
        return {}
    return {"packages": "the locks differ; both sides ran with the packages of this checkout"}


def _progress(text: str) -> None:
    print(f"  {text} …", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print; exit 1 if a work is slower."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default=BASELINE.read_text(encoding="utf-8").split()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="+", choices=[work.name for work in WORKS])
    parser.add_argument("--json", action="store_true")
    typed = parser.parse_args()
    if not _is_known(typed.base):
        parser.error(f"not measured: git has no commit {typed.base} here")
    described = machine()
    with tempfile.TemporaryDirectory(prefix="headrace-ratios-") as name:
        folder = Path(name)
        base = tree_of(typed.base, folder / "base-tree")
        now = Copy(folder / "now-tree")
        notes = _notes(base)
        works = [work for work in WORKS if typed.only is None or work.name in typed.only]
        sides = Side(folder / "base", base), Side(folder / "now", now.folder)
        ratios = measure(*sides, works, folder, typed.rounds)
    if typed.json:
        rows = [{**asdict(item), "typical": item.typical, "shortest": item.shortest}
                for item in ratios]  # fmt: skip
        document = {"machine": described, "base": typed.base, "ratios": rows, "notes": notes}
        print(json.dumps(document, indent=1))
    else:
        print("work           base ms    now ms   typical  shortest")
        print("\n".join(item.line for item in ratios))
        print("\n".join(f"{name}: {text}" for name, text in {**described, **notes}.items()))
    sys.exit(1 if any(item.slower > FAIL for item in ratios) else 0)


if __name__ == "__main__":
    main()
