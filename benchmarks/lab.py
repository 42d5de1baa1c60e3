"""The fault laboratory: what Headrace says of one fault of every kind, in projects whose names,
schemas and sizes come from seeds.

`tests/faults/lab` makes a project of 12 to 20 assets, 5 sources of different owners (CSV, JSON
lines, Parquet, 20 to 50,000 rows a day) and 4 consumers, lets 10 to 28 clean days pass, and then
plays each fault in a copy of them: two looks on the morning of the fault, one on the next, on which
those whose fault it is have mended it. Ten pairs of faults at once and a month with harmless
oddities follow.

A fault that moves a number of the day by less than clean days differ is played, and not counted:
`lab/findable.py` has the rule, and each is listed with its figures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from benchmarks.harness import ROOT, Figure, Measured, main

sys.path.insert(0, str(ROOT / "tests" / "faults"))
from lab.campaign_lab import Months
from lab.verdict import Found, Verdict

FAULTS = ROOT / "tests" / "faults"
SEEDS = (2001, 2002)
QUICK = ("15",)
Response = Verdict | Months


def measure(*, quick: bool, seeds: str, scenarios: str, folder: str, documents: str) -> Measured:
    """Play the scenarios of the seeds, two seeds at a time; or judge what was played before."""
    if documents:
        result = [
            item
            for path in documents.split(",")
            for item in read(Path(path).read_text(encoding="utf-8"))
        ]
        return summary(result)
    chosen = (
        [int(item) for item in seeds.split(",")] if seeds else list(SEEDS[:1] if quick else SEEDS)
    )
    wanted = scenarios.split(",") if scenarios else list(QUICK if quick else ())
    with (
        tempfile.TemporaryDirectory(prefix="headrace-lab-") as base,
        ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool,
    ):
        played = pool.map(lambda seed: play(seed, Path(folder or base) / str(seed), wanted), chosen)
        return summary([item for documents_of_seed in played for item in documents_of_seed])


def play(seed: int, folder: Path, scenarios: Sequence[str]) -> list[Response]:
    """A seed in a process of its own."""
    command = [sys.executable, "-m", "lab.campaign_lab", str(seed), str(folder), *scenarios]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(FAULTS), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    return list(read(done.stdout))


def read(text: str) -> Iterator[Response]:
    """What a process of the laboratory said, a document a line."""
    for line in filter(None, text.splitlines()):
        yield (
            msgspec.json.decode(line, type=Months)
            if '"false_alarms"' in line
            else msgspec.json.decode(line, type=Verdict)
        )


def summary(documents: Sequence[Response]) -> Measured:
    """The figures, and by kind what was missed."""
    verdicts = [item for item in documents if isinstance(item, Verdict)]
    months = [item for item in documents if isinstance(item, Months)]
    faults = [fault for verdict in verdicts for fault in verdict.faults]
    counted = [fault for fault in faults if not fault.uncounted]
    figures = [*_causes(verdicts, counted), *_clean(months), *_by_kind(counted)]
    return Measured(figures, _misses(verdicts) | _alarms(months) | _uncounted(verdicts))


def _causes(verdicts: Sequence[Verdict], faults: Sequence[Found]) -> list[Figure]:
    played = [verdict for verdict in verdicts if not verdict.failed]
    opened = sum(len(item.incidents) for item in played)
    explained = sum(
        max(sum(fault.node_right for fault in item.faults), 1) for item in played if item.incidents
    )
    late = sorted(fault.detected_minutes for fault in faults if fault.detected_minutes is not None)
    healed = [fault.healed for fault in faults if fault.healed is not None]
    green = [item.green_minutes for item in played]
    return [
        Figure(
            name="causes_right",
            value=_share([fault.right for fault in faults]),
            unit="%",
            goal=95.0,
            compare=">=",
            runs=[],
        ),
        Figure(
            name="incidents_per_cause",
            value=opened / max(explained, 1),
            unit="",
            goal=1.05,
            runs=[],
        ),
        Figure(name="false_green_minutes", value=sum(green), unit="min", goal=0.0, runs=green),
        Figure(name="faults", value=len(faults), unit="", goal=None, runs=[]),
        Figure(
            name="nodes_right",
            value=_share([fault.node_right for fault in faults]),
            unit="%",
            goal=None,
            runs=[],
        ),
        Figure(
            name="seen_at_all",
            value=_share([fault.seen for fault in faults]),
            unit="%",
            goal=None,
            runs=[],
        ),
        Figure(
            name="minutes_to_detect_median",
            value=late[len(late) // 2] if late else 0.0,
            unit="min",
            goal=None,
            runs=late,
        ),
        Figure(
            name="restored_without_a_person",
            value=_share([bool(item) for item in healed]),
            unit="%",
            goal=None,
            runs=[],
        ),
        Figure(
            name="broken_scenarios", value=len(verdicts) - len(played), unit="", goal=0.0, runs=[]
        ),
    ]


def _clean(months: Sequence[Months]) -> list[Figure]:
    days, alarms = (
        sum(month.days for month in months),
        sum(len(item.false_alarms) for item in months),
    )
    return (
        [
            Figure(
                name="false_alarms_in_30_clean_days",
                value=30 * alarms / days,
                unit="",
                goal=1.0,
                runs=[],
            )
        ]
        if days
        else []
    )


def _by_kind(faults: Sequence[Found]) -> list[Figure]:
    kinds: dict[str, list[bool]] = defaultdict(list)
    for fault in faults:
        kinds[fault.expected[0].split(" ")[0]].append(fault.right)
    return [
        Figure(
            name=f"right: {kind}",
            value=sum(right),
            unit=f"of {len(right)}",
            goal=None,
            runs=[float(item) for item in right],
        )
        for kind, right in sorted(kinds.items())
    ]


def _share(values: Sequence[bool]) -> float:
    return 100.0 * sum(values) / len(values) if values else 0.0


def _misses(verdicts: Sequence[Verdict]) -> dict[str, str]:
    notes = {}
    for number, item in enumerate(verdicts):
        missed = [fault for fault in item.faults if not fault.right and not fault.uncounted]
        if missed or item.extra or item.green_minutes or item.failed:
            said = "; ".join(item.incidents) or "nothing"
            green = (
                f"; falsely green {item.green_minutes:.0f} min ({item.green[0]})"
                if item.green
                else ""
            )
            named = " + ".join(f"{fault.name} ({fault.what})" for fault in item.faults)
            notes[f"seed {item.seed} #{number} {named}"] = (
                item.failed or f"{'MISSED' if missed else 'right'}: {said}{green}"
            )
    return notes


def _uncounted(verdicts: Sequence[Verdict]) -> dict[str, str]:
    notes = {}
    for number, item in enumerate(verdicts):
        for fault in item.faults:
            if fault.uncounted:
                named = "named all the same" if fault.right else "not named"
                notes[f"seed {item.seed} #{number} {fault.name} ({fault.what}), not counted"] = (
                    f"{fault.uncounted}; {named}"
                )
    return notes


def _alarms(months: Sequence[Months]) -> dict[str, str]:
    return {
        f"seed {month.seed}, {month.days} days": "; ".join([*month.false_alarms, *month.not_served])
        for month in months
        if month.false_alarms or month.not_served
    }


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seeds", default="", help="with commas; instead of those that it is judged by"
    )
    parser.add_argument(
        "--scenarios",
        default="",
        help=(
            "with commas: numbers, two with a way (same:4+16), clean, odd, pairs, or kinds; all"
            " unless told"
        ),
    )
    parser.add_argument(
        "--folder", default="", help="where projects lie and stay; a temporary one unless told"
    )
    parser.add_argument(
        "--documents",
        default="",
        help="judge what `lab.campaign_lab` printed into these files before, with commas",
    )


if __name__ == "__main__":
    main(__doc__, measure, _options)
