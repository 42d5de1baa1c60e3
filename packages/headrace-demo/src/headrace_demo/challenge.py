"""`demo --challenge`: ten mornings on which something is wrong, each to be found and repaired.

A morning is over once every consumer is served and the published figures are those of the flights
that took place. It is worth ten points: looking before it is repaired costs two, asking an owner
whose fault it isn't three.
"""

from __future__ import annotations

import csv
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

import headrace
from headrace.extension import Progress, UsageError, plural
from headrace_demo import demo_data
from headrace_demo.challenge_faults import FAULTS, damage, recode
from headrace_demo.demo import KEPT, at_morning, demo
from headrace_demo.demo_data import FIRST_DAY, DemoFault
from headrace_demo.responses import ChallengeResponse

STATE = "challenge.json"
"""In the data folder: how far somebody is."""
DAYS_BEFORE = 9
"""Sound days before the first fault."""
READS = ("served", "at_risk")
"""States in which a consumer has what is due; real weather makes some mornings unusual."""
POINTS, EARLY, WRONG_OWNER = 10, 2, 3
ANSWER = timedelta(minutes=10)
"""From asking an owner until what was wrong is put right."""
FIGURES = {
    "flights": ("flights_clean", "flight_date", ("distance", "dep_delay")),
    "weather": ("weather_clean", "observed_on", ()),
}
"""Of a file: the asset with its rows, their day, and the columns whose sums are compared."""


class _State(msgspec.Struct, kw_only=True):
    points: list[int] = []
    """Of the mornings that are over."""
    early: int = 0
    wrong: int = 0

    @property
    def day(self) -> date:
        return FIRST_DAY + timedelta(days=DAYS_BEFORE + len(self.points))


def challenge(directory: Path, ask: str | None, *, progress: Progress) -> ChallengeResponse:
    """Begin the challenge in `directory`, ask an owner, or look whether the morning is over.

    Raises UsageError if somebody is asked before it began, Refused if the folder holds anything
    else.
    """
    path = directory / ".headrace" / STATE
    if not path.exists():
        if ask is not None:
            raise UsageError(
                f"no challenge has begun in {directory}", hint="headrace demo --challenge begins it"
            )
        _begin(directory, progress)
        state = _State()
        _break(directory, state)
        answers = []
    else:
        state = msgspec.json.decode(path.read_bytes(), type=_State)
        answers = _asked(directory, state, ask) if ask is not None else _looked(directory, state)
    path.write_bytes(msgspec.json.encode(state))
    return _response(directory, state, answers)


def _begin(directory: Path, progress: Progress) -> None:
    if (directory / ".headrace" / KEPT).exists():
        raise UsageError(
            f"{directory} holds a demo", hint="headrace demo --challenge ANOTHER_DIR, or --fresh"
        )
    demo(directory, days=DAYS_BEFORE, fault=DemoFault.NONE, fresh=False, progress=progress)


def _break(directory: Path, state: _State) -> None:
    """Let the next morning come, with its fault."""
    fault, day = FAULTS[len(state.points)], state.day
    if fault.code:
        recode(fault, directory)
        session = headrace.Session(directory)
        session.apply(session.plan().plan_id or "")
    demo_data.deliver(directory / "landing", day, DemoFault.NONE)
    if fault.damage is not None:
        damage(fault, directory / "landing", day)
    for now in (demo_data.arrives(day), at_morning(day + timedelta(days=1))):
        headrace.Session(directory, now=now).tick()


def _asked(directory: Path, state: _State, owner: str) -> list[str]:
    fault = FAULTS[len(state.points)]
    if owner != fault.owner:
        state.wrong += 1
        return [f"{owner}: there is nothing wrong on our side."]
    if fault.code:
        recode(fault, directory, undo=True)
        session = headrace.Session(directory)
        session.apply(session.plan().plan_id or "")
        answer = "that was our change of yesterday; we have taken it back."
    else:
        landing = directory / "landing"
        demo_data.deliver(landing, state.day, DemoFault.NONE)
        answer = f"sorry; {fault.file}_{state.day}.csv is delivered once more, as it should be."
    headrace.Session(directory, now=_clock(directory) + ANSWER).tick()
    return [f"{owner}: {answer}"]


def _clock(directory: Path) -> datetime:
    return headrace.Session(directory).status().now


def _looked(directory: Path, state: _State) -> list[str]:
    """Judge the morning; go on to the next if it is over."""
    if len(state.points) == len(FAULTS):
        return []
    if wrong := _wrong(directory, state.day):
        state.early += 1
        return ["Not yet.", *wrong]
    fault = FAULTS[len(state.points)]
    points = max(0, POINTS - EARLY * state.early - WRONG_OWNER * state.wrong)
    state.points.append(points)
    state.early = state.wrong = 0
    if len(state.points) < len(FAULTS):
        _break(directory, state)
    return [f"Repaired: {fault.title} ({fault.owner}). {plural(points, 'point')} of {POINTS}."]


def _wrong(directory: Path, day: date) -> list[str]:
    """Return what is still wrong, as sentences."""
    session = headrace.Session(directory)
    late = [row for row in session.status().consumers if row.state not in READS]
    lines = [f"{row.name} is {row.state}." for row in late]
    for file, (asset, by, columns) in FIGURES.items():
        figures = ", ".join(["count(*)", *(f"sum({column})" for column in columns)])
        [figures_now] = session.sql(
            f"select {figures} from {asset} where {by} = $day", day=day
        ).rows()
        if [int(value or 0) for value in figures_now.values()] != _meant(
            directory, file, columns, day
        ):
            lines.append(f"{asset} of {day} isn't what happened.")
    return lines


def _meant(directory: Path, file: str, columns: tuple[str, ...], day: date) -> list[int]:
    """Return the number of rows, and the sums, of the file that should have been delivered."""
    folder = directory / ".headrace" / "meant"
    try:
        demo_data.deliver(folder, day, DemoFault.NONE)
        with (folder / f"{file}_{day}.csv").open(newline="", encoding="utf-8") as stream:
            rows: list[dict[str, Any]] = list(csv.DictReader(stream))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [len(rows), *(sum(int(row[column] or 0) for row in rows) for column in columns)]


def _response(directory: Path, state: _State, answers: list[str]) -> ChallengeResponse:
    over = len(state.points) == len(FAULTS)
    return ChallengeResponse(
        directory=str(directory),
        now=_clock(directory),
        number=len(state.points) + (not over),
        faults=len(FAULTS),
        day=None if over else state.day.isoformat(),
        points=sum(state.points),
        points_max=POINTS * len(state.points),
        answers=answers,
        next=None if over else "headrace status",
    )
