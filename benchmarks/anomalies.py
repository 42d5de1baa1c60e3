"""Anomalies: false holds and what is found of faults on simulated projects, and all of 2013's
flights and weather through `headrace tick`.

The simulation is `tests/checks/anomaly_lab.py`; its seeds here aren't those that limits were chosen
with (1 to 21). The year is delivered thirty days at a time into a project of the two sources alone,
with the demo's contracts (types) and no checks, so that figures count.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import headrace_demo
from benchmarks.harness import ROOT, Figure, Measured, main
from benchmarks.headrace_cli import run
from headrace.checks.anomalies import EvaluatedPartition, MetricHistory, evaluate_partition
from headrace.checks.metrics import HISTORY_PARTITIONS, StoredMetrics, decoded
from headrace.model import Grain
from headrace_demo.demo_data import FIRST_DAY, LAST_DAY, DemoFault, deliver

sys.path.insert(0, str(ROOT / "tests" / "checks"))
import anomaly_lab as lab

SEEDS = range(1001, 1021)
EVERY = 20
DAYS_AT_ONCE = 30
LATE = (0, 1, 2, 3, 5, 8, 14, 30)
MISSING = (0.0, 0.3, 0.6)
CONTRACTS = Path(headrace_demo.__file__).parent / "demo_project" / "contracts"
SETTINGS = '[project]\nname = "year"\ntimezone = "America/New_York"\n[run]\nworkers = 2\n'
OWNERS = "feed: {kind: vendor}\nobservers: {kind: vendor}\n"
SOURCES = "\n".join(
    f"- {{source: {name}, owner: {owner}, partition: day, files:"
    f" 'landing/{name}_{{date:%Y-%m-%d}}.csv'}}"
    for name, owner in (("flights", "feed"), ("weather", "observers"))
)


def simulated(seeds: range) -> list[Figure]:
    """False holds and warnings a project of 20 sources and 30 days, and the share of each fault
    that is held (warned of, too).
    """
    held, warned, spent, judged = [], [], 0.0, 0
    tried, holds, seen = Counter[str](), Counter[str](), Counter[str]()
    for seed in seeds:
        began, days = time.process_time(), list(lab.Project(seed).sound())
        spent, judged = spent + time.process_time() - began, judged + len(days)
        is_held = [any(fact.severity == "hold" for fact in facts) for _, _, facts, _ in days]
        held.append(float(sum(is_held)))
        warned.append(float(sum(bool(facts) for _, _, facts, _ in days)) - held[-1])
        sound = [item for item, odd in zip(days, is_held, strict=True) if not odd]
        for key, metrics, _, history in sound[seed % EVERY :: EVERY]:
            for name, fault in lab.FAULTS.items():
                facts = lab.found_of(fault, key, metrics, history)
                tried[name] += 1
                holds[name] += any(fact.severity == "hold" for fact in facts)
                seen[name] += bool(facts)
    figures = [
        Figure(
            name="false_holds_a_month",
            value=sum(held) / len(held),
            unit="partitions",
            goal=1.0,
            runs=held,
        ),
        _observed("warnings_a_month", sum(warned) / len(warned), "partitions", warned),
        _observed("made_and_judged", 1000 * spent / judged, "ms a partition", []),
    ]
    for name, count in tried.items():
        figures.append(_observed(f"held: {name}", holds[name] / count, "share", []))
        figures.append(_observed(f"seen: {name}", seen[name] / count, "share", []))
    return figures


def year(days: int) -> Measured:
    """Deliveries of each source that are held or warned of, and what is said of those."""
    with tempfile.TemporaryDirectory(prefix="headrace-year-") as base:
        project = Path(base) / "project"
        _declare(project)
        first = [FIRST_DAY + timedelta(number) for number in range(0, days, DAYS_AT_ONCE)]
        for start in first:
            last = min(start + timedelta(DAYS_AT_ONCE - 1), LAST_DAY)
            for number in range((last - start).days + 1):
                deliver(project / "landing", start + timedelta(number), DemoFault.NONE)
            run(project, "tick", "--now", _noon(last + timedelta(1)))
        with sqlite3.connect(project / ".headrace" / "state.db") as state:
            result = state.execute(
                "select node, partition, kind, column_name, severity, observed, expected, detail"
                " from fact where detail not like 'check %'"
            ).fetchall()
            vectors = state.execute(
                "select node, partition, vector from metric order by epoch, n"
            ).fetchall()
    return Measured([*_counted(result), *replays(vectors)], _notes(result))


def replays(vectors: list[tuple[str, str, bytes]]) -> list[Figure]:
    """The same figures judged day after day, and by histories that end too early and lack days, as
    where many are delivered together. Of these, days that a full history holds, too, aren't
    counted."""
    figures = []
    for node in ("flights", "weather"):
        of_day = {partition: vector for name, partition, vector in vectors if name == node}
        daily = _replayed(of_day, 0, 0.0)
        for severity in ("hold", "warn"):
            result = sorted(key for key, said in daily.items() if said == severity)
            figures.append(
                _observed(
                    f"{node}_{severity}_day_by_day", float(len(result)), "days of the year", []
                )
            )
        gaps = [(late, missing) for late in LATE for missing in MISSING if late or missing]
        held = [float(len(_held(_replayed(of_day, *gap)) - _held(daily))) for gap in gaps]
        figures.append(
            _observed(f"{node}_held_for_gaps", sum(held), f"days of {len(held)} years", held)
        )
    return figures


def _held(result: dict[str, str]) -> set[str]:
    return {key for key, said in result.items() if said == "hold"}


def _replayed(of_day: dict[str, bytes], late: int, missing: float) -> dict[str, str]:
    """Day → `hold`, `warn` or nothing, by the sound days but the last `late` before it, of which a
    share is missing.
    """
    chance, sound = random.Random(f"{late}.{missing}"), list[str]()
    result: dict[str, str] = {}
    for key in sorted(of_day):
        before = [
            StoredMetrics(item, of_day[item])
            for item in sound[: max(len(sound) - late, 0)]
            if chance.random() >= missing
        ]
        day = EvaluatedPartition(key=key, metrics=decoded(of_day[key]), sources=2, calendar="US")
        facts = evaluate_partition(day, MetricHistory(before[-HISTORY_PARTITIONS:], Grain.DAY))
        result[key] = min((str(fact.severity) for fact in facts), default="")
        sound += [] if result[key] == "hold" else [key]
    return result


def _declare(project: Path) -> None:
    (project / "sources").mkdir(parents=True)
    (project / "landing").mkdir()
    shutil.copytree(CONTRACTS, project / "contracts")
    (project / "headrace.toml").write_text(SETTINGS)
    (project / "owners.yaml").write_text(OWNERS)
    (project / "sources" / "both.yaml").write_text(SOURCES + "\n")


def _noon(day: date) -> str:
    return f"{day.isoformat()}T12:00:00-05:00"


def _counted(result: list[tuple[Any, ...]]) -> list[Figure]:
    figures = []
    for node in ("flights", "weather"):
        held = {
            partition
            for name, partition, _, _, severity, *_ in result
            if name == node and severity == "hold"
        }
        odd = {partition for name, partition, *_ in result if name == node}
        figures.append(_observed(f"{node}_held", float(len(held)), "days of the year", []))
        figures.append(_observed(f"{node}_warned", float(len(odd - held)), "days of the year", []))
    return figures


def _notes(result: list[tuple[Any, ...]]) -> dict[str, str]:
    notes: dict[str, str] = {}
    for node, partition, kind, column, severity, observed, expected, detail in sorted(result):
        said = f"{severity} {kind} {column}: {observed}, expected {expected} ({detail})"
        at = f"{node}@{partition}"
        notes[at] = f"{notes[at]}; {said}" if at in notes else said
    return notes


def _observed(name: str, value: float, unit: str, runs: list[float]) -> Figure:
    return Figure(name=name, value=value, unit=unit, goal=None, runs=runs or [value])


def measure(*, quick: bool, only: str) -> Measured:
    """The simulation, the year, or both."""
    figures: list[Figure] = []
    notes: dict[str, str] = {}
    if only in ("", "simulation"):
        figures += simulated(SEEDS[:1] if quick else SEEDS)
    if only in ("", "year"):
        result = year(20 if quick else 365)
        figures, notes = figures + result.figures, result.notes
    return Measured(figures, notes)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", default="", choices=("simulation", "year"), help="one of the two")


if __name__ == "__main__":
    main(__doc__, measure, _options)
