"""`demo --challenge`: ten mornings on which something is wrong, each to be found and repaired.

A morning is over once every consumer is served and the published figures are those of the flights
that took place. It is worth ten points: looking before it is repaired costs two, asking an owner
whose fault it isn't three.
"""

from __future__ import annotations

import csv
import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec

import headrace
from headrace.extension import Progress, UsageError, did_you_mean, plural, shown
from headrace_demo import demo_data
from headrace_demo.challenge_faults import FAULTS, OWNERS, Fault, damage, recode
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
    came: bool = False
    """Whether the next morning has come, with its fault."""
    early: int = 0
    wrong: int = 0

    @property
    def day(self) -> date:
        return FIRST_DAY + timedelta(days=DAYS_BEFORE + len(self.points))

    @property
    def is_over(self) -> bool:
        return len(self.points) == len(FAULTS)

    @property
    def fault(self) -> Fault:
        return FAULTS[len(self.points)]


def challenge(directory: Path, ask: str | None, *, progress: Progress) -> ChallengeResponse:
    """Begin the challenge in `directory`, ask an owner, or look whether the morning is over.

    Raises UsageError for an unknown owner, and if somebody is asked before it began, Refused if the
    folder holds anything else.
    """
    path = directory / ".headrace" / STATE
    answers: list[str] = []
    if path.exists():
        state = msgspec.json.decode(path.read_bytes(), type=_State)
        if state.came and not state.is_over:
            answers = _looked(directory, state) if ask is None else _asked(directory, state, ask)
    elif ask is None:
        state = _State()
        _begin(directory, progress)
    else:
        raise UsageError(
            f"no challenge has begun in {directory}", hint="headrace demo --challenge begins it"
        )
    path.write_bytes(msgspec.json.encode(state))
    if not state.came and not state.is_over:
        _break(directory, state)  # once more if it was broken off
        path.write_bytes(msgspec.json.encode(state))
    return _response(directory, state, answers)


def _begin(directory: Path, progress: Progress) -> None:
    if (directory / ".headrace" / KEPT).exists():
        raise UsageError(f"{directory} holds a demo", hint="headrace demo --challenge ANOTHER_DIR")
    demo(directory, days=DAYS_BEFORE, fault=DemoFault.NONE, fresh=False, progress=progress)


def _break(directory: Path, state: _State) -> None:
    """Let the next morning come, with its fault."""
    fault, day = state.fault, state.day
    if fault.code:
        recode(fault, directory)
        _apply(directory)
    demo_data.deliver(directory / "landing", day, DemoFault.NONE)
    if fault.damage is not None:
        damage(fault, directory / "landing", day)
    for now in (demo_data.arrives(day), at_morning(day + timedelta(days=1))):
        # the clock only moves forward, also where this was broken off or somebody moved it
        headrace.Session(directory, now=max(now, _clock(directory))).tick()
    state.came = True


def _apply(directory: Path) -> None:
    session = headrace.Session(directory)
    if (plan_id := session.plan().plan_id) is not None:  # somebody may have taken it back already
        session.apply(plan_id)


def _asked(directory: Path, state: _State, owner: str) -> list[str]:
    fault = state.fault
    if owner not in OWNERS:
        hint = did_you_mean(owner, OWNERS) or f"one of {', '.join(OWNERS)}"
        raise UsageError(f"{shown(owner)} is no owner of the demo", hint=hint)
    if owner != fault.owner:
        state.wrong += 1
        return [f"{owner}: there is nothing wrong on our side."]
    if fault.code:
        recode(fault, directory, undo=True)
        _apply(directory)
        answer = "that was our change of yesterday; we have taken it back."
    else:
        demo_data.deliver(directory / "landing", state.day, DemoFault.NONE)
        answer = f"sorry; {fault.file}_{state.day}.csv is delivered once more, as it should be."
    headrace.Session(directory, now=_clock(directory) + ANSWER).tick()
    return [f"{owner}: {answer}"]


def _clock(directory: Path) -> datetime:
    return headrace.Session(directory).status().now


def _looked(directory: Path, state: _State) -> list[str]:
    """Judge the morning; if it is over, the next one is to come."""
    if wrong := _wrong(directory, state.day):
        state.early += 1
        return ["Not yet.", *wrong]
    fault = state.fault
    points = max(0, POINTS - EARLY * state.early - WRONG_OWNER * state.wrong)
    state.points.append(points)
    state.came, state.early, state.wrong = False, 0, 0
    return [f"Repaired: {fault.title} ({fault.owner}). {plural(points, 'point')} of {POINTS}."]


def _wrong(directory: Path, day: date) -> list[str]:
    """Return what is still wrong, as sentences."""
    session = headrace.Session(directory)
    late = [row for row in session.status().consumers if row.state not in READS]
    lines = [f"{row.name} is {row.state}." for row in late]
    with tempfile.TemporaryDirectory() as folder:
        demo_data.deliver(Path(folder), day, DemoFault.NONE)
        for file, (asset, by, columns) in FIGURES.items():
            meant = _figures(Path(folder, f"{file}_{day}.csv"), columns)
            sums = ", ".join(["count(*)", *(f"sum({column})" for column in columns)])
            [published] = session.sql(
                f"select {sums} from {asset} where {by} = $day", day=day
            ).rows()
            if [int(value or 0) for value in published.values()] != meant:
                lines.append(f"{asset} of {day} isn't what happened.")
    return lines


def _figures(path: Path, columns: tuple[str, ...]) -> list[int]:
    """Return the number of rows of a file, and the sums of some columns."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [len(rows), *(sum(int(row[column] or 0) for row in rows) for column in columns)]


def _response(directory: Path, state: _State, answers: list[str]) -> ChallengeResponse:
    over = state.is_over
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
