"""The catalogue of faults of `upstrace` (PyPI, MIT), on the flights of 2013 as they are delivered
day by day.

upstrace compares two runs over the same frozen rows: what differs was changed. Here nothing is
frozen: each day is new, and what is odd must stand out of what days differ by. January and February
are the history; a fault is in one day, a week or the month of March, in the delivery or in a model.
Next to each miss stands how large its effect is beside the ordinary difference of a day from its
neighbours (standard deviations, and how many of the clean days differ as much), so that what nobody
could find isn't held against anybody. The faults are upstrace's own by kind and size; the columns
are those of the flights that are most like the taxis'.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import math
import os
import queue
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import headrace_demo
from benchmarks.harness import Figure, Measured, main
from benchmarks.headrace_cli import run
from benchmarks.peers import HERE, Unavailable, environment
from benchmarks.upstrace_faults import (
    FACTS,
    WINDOWS,
    Change,
    Rows,
    Scenario,
    replaced,
    scaled,
    scenarios,
    unfaulted,
)
from headrace_demo.demo_data import FIRST_DAY, DemoFault, deliver

CONTRACTS = Path(headrace_demo.__file__).parent / "demo_project" / "contracts"
SETTINGS = '[project]\nname = "year"\ntimezone = "America/New_York"\n[run]\nworkers = 1\n'
SOURCE = (
    "source: flights\nowner: feed\npartition: day\nfiles:"
    " landing/flights_{date:%Y-%m-%d}.csv\ncontract: flights\n"
)
MARCH = date(2013, 3, 1)
DAYS_AT_ONCE = 30
AT_ONCE = os.cpu_count() or 1
OURS = "headrace"
UNWATCHED = "runtime_down"
"""Here all but the first day of a month are delivered and looked at in one go, each judged by those
before it: that nobody looked meanwhile is rightly said."""
HEAD = "owner: analysts\npartition: {by: day, column: flight_date}"
SUMS = {
    "by_carrier": (
        "select flight_date, carrier, count(*) as n, avg(air_time) as air_time, sum(distance) as"
        " miles from facts group by all"
    ),
    "by_origin": (
        "select flight_date, origin, count(*) as n, avg(arr_delay) as late, avg(on_time::int) as"
        " punctual from facts group by all"
    ),
}
CONSUMER = "- {consumer: board, owner: analysts, reads: [by_carrier, by_origin], due: '12:00'}\n"


# The series


class Series:
    """Days of flights as they are delivered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for number in range((MARCH - FIRST_DAY).days + WINDOWS["month"]):
            if not self.path(FIRST_DAY + timedelta(number)).exists():
                deliver(folder, FIRST_DAY + timedelta(number), DemoFault.NONE)

    def path(self, day: date) -> Path:
        return self.folder / f"flights_{day.isoformat()}.csv"

    def rows(self, day: date) -> Rows:
        with self.path(day).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def write(self, landing: Path, day: date, change: Change | None) -> None:
        """A day into a project, as it was or changed."""
        source, target = self.path(day), landing / self.path(day).name
        if change is None:
            shutil.copy2(source, target)
            return
        before = self.rows(day)
        text = io.StringIO()
        out = csv.DictWriter(text, list(before[0]), lineterminator="\n")
        out.writeheader()
        out.writerows(change(before))
        target.write_text(text.getvalue(), encoding="utf-8")
        shutil.copystat(source, target)


def noise(series: Series, measured: Callable[[Rows], float], change: Change | None) -> str:
    """How large a fault is on the first day, in what days ordinarily differ by from the median of
    their weekday's neighbours.
    """
    before = [MARCH - timedelta(number) for number in range(59, 0, -1)]
    values = {day: measured(series.rows(day)) for day in before}
    left = [
        values[day]
        - statistics.median(values[other] for other in before if other.weekday() == day.weekday())
        for day in before
    ]
    rows = series.rows(MARCH)
    moved = measured(change(rows) if change else rows) - measured(rows)
    spread = statistics.pstdev(left)
    as_much = sum(abs(item) >= abs(moved) for item in left)
    ratio = abs(moved) / spread if spread else math.inf
    return (
        f"moves the day by {moved:+.3f}, which is {ratio:.1f} × what days differ by; {as_much} of"
        f" {len(left)} clean days differ as much"
    )


# Headrace


def declare(project: Path, body: str = FACTS) -> None:
    """The project, with this model of facts."""
    (project / "assets").mkdir(parents=True, exist_ok=True)
    (project / "landing").mkdir(exist_ok=True)
    (project / "contracts").mkdir(exist_ok=True)
    shutil.copy2(CONTRACTS / "flights.odcs.yaml", project / "contracts")
    (project / "headrace.toml").write_text(SETTINGS)
    (project / "owners.yaml").write_text("feed: {kind: vendor}\nanalysts: {kind: team}\n")
    (project / "sources").mkdir(exist_ok=True)
    (project / "sources/flights.yaml").write_text(SOURCE)
    (project / "consumers.yaml").write_text(CONSUMER)
    for name, text in {"facts": body, **SUMS}.items():
        (project / f"assets/{name}.sql").write_text(f"/* headrace\n{HEAD}\n*/\n{text}\n")


def history(project: Path, series: Series) -> None:
    """January and February, thirty days at a time."""
    declare(project)
    days = [FIRST_DAY + timedelta(number) for number in range((MARCH - FIRST_DAY).days)]
    for start in range(0, len(days), DAYS_AT_ONCE):
        for day in days[start : start + DAYS_AT_ONCE]:
            series.write(project / "landing", day, None)
        run(project, "tick", "--now", _noon(days[min(start + DAYS_AT_ONCE, len(days)) - 1]))


def _noon(day: date) -> str:
    return f"{(day + timedelta(1)).isoformat()}T12:05:00-05:00"


class Ground:
    """A folder in which scenarios are played one after the other, each from the same history: a
    project knows its place, so each worker has a history of its own."""

    def __init__(self, folder: Path, series: Series, *, beside: bool) -> None:
        self.series, self.clean, self.project = series, folder / "clean", folder / "project"
        if not self.clean.exists():
            shutil.rmtree(self.project, ignore_errors=True)
            history(self.project, series)
            self.project.rename(self.clean)
        self.peer = Beside(folder / "upstrace", series) if beside else None

    def outcome(self, item: Scenario) -> Outcome:
        """The window's days with the fault in them; the incidents and warnings that came of it, and
        what upstrace says.
        """
        shutil.rmtree(self.project, ignore_errors=True)
        shutil.copytree(self.clean, self.project)
        days = [MARCH + timedelta(number) for number in range(WINDOWS[item.window])]
        if item.body:
            declare(self.project, item.body)
            run(self.project, "apply", "--yes", "--now", f"{MARCH.isoformat()}T18:00:00-05:00")
        for some in filter(None, (days[:1], days[1:])):
            for day in some:
                self.series.write(self.project / "landing", day, item.change)
            run(self.project, "tick", "--now", _noon(some[-1]))
        result = run(self.project, "incidents", "--all", "--now", _noon(days[-1]))
        ours = [
            each
            for each in result
            if (each["cause"]["partition"] or "9999") >= MARCH.isoformat()
            and each["cause"]["kind"] != UNWATCHED
        ]
        theirs = self.peer.ask(item, self.project / "landing") if self.peer else {}
        return Outcome(item, ours, theirs, self._warned(item))

    def _warned(self, item: Scenario) -> bool:
        """Whether anything at the fault's node and column is called unusual, which makes its
        readers `at_risk`.
        """
        with contextlib.closing(sqlite3.connect(self.project / ".headrace" / "state.db")) as store:
            sql = "select 1 from fact where node = ? and partition >= ? and column_name = ? limit 1"
            return (
                store.execute(sql, (item.node, MARCH.isoformat(), item.column)).fetchone()
                is not None
            )

    def close(self) -> None:
        if self.peer:
            self.peer.close()


@dataclass(frozen=True)
class Named:
    """What an incident says: where, and in which columns."""

    node: str
    columns: frozenset[str]

    def same(self, other: Named) -> bool:
        """Whether both say the same thing, of the same columns or of some of them."""
        shared = bool(self.columns & other.columns) or not (self.columns or other.columns)
        return self.node == other.node and shared


@dataclass(frozen=True)
class Score:
    """One tool's incidents of one scenario, by the rule that holds for every tool here."""

    first: bool
    """The first incident names the node, and the column where the fault is one column's."""
    any: bool
    """Some incident does."""
    void: bool
    """One did, but the tool says the same of these days without the fault."""


def score(item: Scenario, named: Sequence[Named], clean: Sequence[Named]) -> Score:
    """How often a tool is right about a scenario, by one rule for all.

    `named` are its incidents with the fault in the days, in its order; `clean` those of the same
    days without it. An incident that the tool also raises of the clean days says nothing of the
    fault. Of a control both are true if nothing is raised.
    """
    if not item.node:
        return Score(first=not named, any=not named, void=False)
    right = [
        each.node == item.node and (not item.column or item.column in each.columns)
        for each in named
    ]
    told = [
        hit and not any(each.same(other) for other in clean)
        for each, hit in zip(named, right, strict=True)
    ]
    return Score(first=bool(told) and told[0], any=any(told), void=any(right) and not any(told))


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    incidents: list[dict[str, Any]]
    theirs: dict[str, list[dict[str, Any]]]
    """What upstrace says: `frozen` against the same days without the fault, `rolling` by the days
    before."""
    warned: bool
    """The node and the column are called unusual, whether that is worth an incident or not."""

    @property
    def named(self) -> dict[str, list[Named]]:
        """The incidents of each tool, in the order in which it raises them."""
        ours = sorted(self.incidents, key=lambda item: int(item["id"].split("-")[1]))
        causes = [item["cause"] for item in ours]
        return {
            OURS: [Named(cause["node"], frozenset(cause["columns"])) for cause in causes],
            **{
                f"upstrace {way}": theirs_named(result)
                for way, result in sorted(self.theirs.items())
            },
        }

    @property
    def right(self) -> bool:
        """Of Headrace: some incident names the node and the column; of a control,
        nothing is said.
        """
        return score(self.scenario, self.named[OURS], ()).any

    @property
    def said(self) -> str:
        return "; ".join(
            f"{incident['cause']['kind']}"
            f" {incident['cause']['node']}@{incident['cause']['partition']}"
            f" {','.join(incident['cause']['columns'])}"
            for incident in self.incidents[:4]
        )


class Beside:
    """upstrace itself, in an environment of its own: what it says of the same deliveries."""

    def __init__(self, folder: Path, series: Series) -> None:
        """Raises Unavailable where it can't be installed."""
        python = environment("upstrace") / "python"
        models = json.dumps({"facts": FACTS, **SUMS})
        self._series = series
        self._process = subprocess.Popen(
            [str(python), str(HERE / "upstrace_program.py"), str(folder), models],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, item: Scenario, landing: Path) -> dict[str, list[dict[str, Any]]]:
        """Its incidents in each of its two ways, the worst first."""
        last = MARCH + timedelta(WINDOWS[item.window] - 1)
        pattern = "flights_*.csv"
        days = {"first": MARCH.isoformat(), "last": last.isoformat()}
        job = {
            "files": str(landing / pattern),
            "clean": str(self._series.folder / pattern),
            "body": item.body,
            **days,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        result: dict[str, list[dict[str, Any]]] = json.loads(self._process.stdout.readline())
        return result

    def close(self) -> None:
        self._process.communicate(timeout=60)


def theirs_named(result: Sequence[dict[str, Any]]) -> list[Named]:
    """The incidents of upstrace that it calls critical or high, its first one first: milder ones
    wake nobody, as warnings of ours don't."""
    waking = [item for item in result if item["severity"] in {"critical", "high"}]
    return [
        Named(item["root"], frozenset(_column(name) for name in item["columns"])) for item in waking
    ]


def _column(name: str) -> str:
    """The column's own name, without its table's."""
    return name.rsplit(".", 1)[-1]


def measure(*, quick: bool, only: str, folder: str, beside: bool) -> Measured:
    """Play the catalogue; say what was missed, and how large it was beside the series'
    own noise.
    """
    chosen = [scenario for scenario in scenarios() if only in scenario.name]
    chosen = [chosen[0], chosen[-4]] if quick else chosen
    notes: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="headrace-upstrace-") as base:
        root = Path(folder or base)
        series = Series(root / "series")
        beside = beside and _installed(notes)
        with ThreadPoolExecutor(min(AT_ONCE, len(chosen))) as pool:
            grounds = list(
                pool.map(
                    lambda number: Ground(root / str(number), series, beside=beside),
                    range(min(AT_ONCE, len(chosen))),
                )
            )
            play = _turns(grounds)
            outcomes = list(pool.map(play, chosen))
            clean = list(
                pool.map(
                    play, [unfaulted(window) for window in sorted({item.window for item in chosen})]
                )
            )
        for ground in grounds:
            ground.close()
        return Measured(_figures(outcomes, clean), {**notes, **dict(_notes(series, outcomes))})


def _turns(grounds: Sequence[Ground]) -> Callable[[Scenario], Outcome]:
    """Plays each scenario on the ground that is free, and says so."""
    free = queue.SimpleQueue[Ground]()
    for ground in grounds:
        free.put(ground)

    def play(item: Scenario) -> Outcome:
        ground = free.get()
        try:
            outcome = ground.outcome(item)
        finally:
            free.put(ground)
        said = "right" if outcome.right else "warned of" if outcome.warned else "missed"
        print(
            f"{item.name}: {said if item.node or not outcome.right else 'in peace'}",
            file=sys.stderr,
            flush=True,
        )
        return outcome

    return play


def _installed(notes: dict[str, str]) -> bool:
    try:
        environment("upstrace")
    except Unavailable as error:
        notes["upstrace"] = str(error)
        return False
    return True


def _figures(outcomes: Sequence[Outcome], clean: Sequence[Outcome]) -> list[Figure]:
    """Every tool by one rule, in the deliveries by window, in models, and where nothing
    is wrong.
    """
    unfaulted = {item.scenario.window: item.named for item in clean}
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(_group(outcome.scenario), []).append(outcome)
    figures = []
    for group, members in groups.items():
        scores = {
            tool: [
                score(member.scenario, member.named[tool], unfaulted[member.scenario.window][tool])
                for member in members
            ]
            for tool in members[0].named
        }
        kinds = ("first", "any", "void") if members[0].scenario.node else ("any",)
        for kind in kinds:
            counted = {
                tool: float(sum(getattr(each, kind) for each in of_tool))
                for tool, of_tool in scores.items()
            }
            ours = counted.pop(OURS)
            name = f"{group}: {KINDS[kind]}" if members[0].scenario.node else group
            figures.append(
                Figure(
                    name=name,
                    value=ours,
                    unit=f"of {len(members)}",
                    goal=None,
                    runs=[],
                    against=counted,
                )
            )
    warned = [outcome.right or outcome.warned for outcome in outcomes if outcome.scenario.node]
    figures.append(
        Figure(
            name="right or warned of",
            value=float(sum(warned)),
            unit=f"of {len(warned)}",
            goal=None,
            runs=[],
        )
    )
    return [*figures, *_raised_of_clean_days(clean)]


KINDS = {
    "first": "right in the first incident",
    "any": "right in any incident",
    "void": "right, but said of the clean days too",
}


def _group(item: Scenario) -> str:
    if not item.node:
        return "controls left in peace"
    return f"in the delivery, {item.window}" if item.node == "flights" else "in a model"


def _raised_of_clean_days(clean: Sequence[Outcome]) -> Iterator[Figure]:
    """How many incidents each tool raises of the same days without any fault."""
    for item in clean:
        counted = {tool: float(len(named)) for tool, named in item.named.items()}
        ours = counted.pop(OURS)
        yield Figure(
            name=f"incidents of the clean {item.scenario.window}",
            value=ours,
            unit="incidents",
            goal=None,
            runs=[],
            against=counted,
        )


def _notes(series: Series, outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str]]:
    for outcome in outcomes:
        if outcome.right:
            continue
        beside = (
            ""
            if outcome.scenario.effect is None
            else f"; it {noise(series, outcome.scenario.effect, _change(outcome.scenario))}"
        )
        said = outcome.said or ("warned of" if outcome.warned else "nothing")
        yield outcome.scenario.name, f"said: {said}{beside}"


def _change(item: Scenario) -> Change | None:
    """What a model does to its column, done to the deliveries: the same to measure."""
    if item.change is not None or not item.body:
        return item.change
    factors = {"large": 1.5, "medium": 1.2, "small": 1.05}
    return (
        scaled("air_time", factors[item.name.rsplit("-", 2)[1]])
        if "scaling" in item.name
        else replaced("air_time", "", 100)
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", default="", help="scenarios whose names hold this")
    parser.add_argument(
        "--no-peers", dest="beside", action="store_false", help="without upstrace itself"
    )
    parser.add_argument("--folder", default="", help="where the history stays for the next time")


if __name__ == "__main__":
    os.environ.pop("HEADRACE_ENV", None)
    main(__doc__, measure, _options)
