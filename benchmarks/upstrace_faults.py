"""The faults of `upstrace`'s catalogue by kind and size, on columns of the flights that are most
like its taxis'.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Rows = list[dict[str, str]]
Change = Callable[[Rows], Rows]
WINDOWS = {"day": 1, "week": 7, "month": 31}
FACTS = """select make_date(year, month, day) as flight_date, carrier, origin, dest, tailnum, dep_delay, arr_delay, air_time, distance,
    arr_delay is not null and arr_delay < 15 as on_time
from flights"""


@dataclass(frozen=True)
class Scenario:
    """One fault of the catalogue. `column` is empty where rows are lost."""

    name: str
    window: str
    node: str
    """Where it is; empty: nothing is wrong."""
    column: str
    change: Change | None = None
    body: str = ""
    """The model as it is from March on."""
    effect: Callable[[Rows], float] | None = None
    """A day's figure that the fault moves; beside those of the clean days it says whether the fault
    can be seen at all."""


def unfaulted(window: str) -> Scenario:
    """The same days without a fault: what a tool says of them it doesn't say because of one."""
    return Scenario(f"clean-none-{window}", window, "", "")


def scenarios() -> Iterator[Scenario]:
    """51 faults at the source, 5 in a model, 4 controls: as many as upstrace's, in its order."""
    for window in WINDOWS:
        for name, column, factors in (
            ("unit-change", "distance", (1.609, 1.25, 1.05)),
            ("inflation", "air_time", (1.5, 1.2, 1.03)),
        ):
            for size, factor in zip(("large", "medium", "small"), factors, strict=True):
                yield Scenario(
                    f"{name}-{size}-{window}",
                    window,
                    "flights",
                    column,
                    scaled(column, factor),
                    effect=location(column),
                )
        for name, column, value in (
            ("null-spike", "arr_delay", ""),
            ("category-drift", "origin", "XXX"),
        ):
            for size, percent in (("large", 100), ("medium", 50), ("small", 10)):
                change = replaced(column, value, percent)
                yield Scenario(
                    f"{name}-{size}-{window}",
                    window,
                    "flights",
                    column,
                    change,
                    effect=share(column, value),
                )
        for size, percent in (("large", 50), ("medium", 20), ("small", 5)):
            yield Scenario(
                f"row-drop-{size}-{window}",
                window,
                "flights",
                "",
                thinned(percent),
                effect=log_rows,
            )
        yield Scenario(
            f"case-change-large-{window}",
            window,
            "flights",
            "carrier",
            lowered("carrier"),
            effect=share("carrier", "aa"),
        )
        yield Scenario(
            f"precision-loss-medium-{window}",
            window,
            "flights",
            "distance",
            rounded("distance"),
            effect=location("distance"),
        )
    yield Scenario(
        "flag-logic-break-large-month",
        "month",
        "facts",
        "on_time",
        body=_model("true as on_time"),
        effect=None,
    )
    for size, factor in (("large", 1.5), ("medium", 1.2), ("small", 1.05)):
        body = _model(f"air_time * {factor} as air_time")
        yield Scenario(
            f"model-scaling-{size}-month",
            "month",
            "facts",
            "air_time",
            body=body,
            effect=location("air_time"),
        )
    yield Scenario(
        "model-null-large-month",
        "month",
        "facts",
        "air_time",
        body=_model("null::integer as air_time"),
        effect=share("air_time", ""),
    )
    yield Scenario("control-null", "month", "", "")
    for name, column, factor in (
        ("distance", "distance", 1.03),
        ("air-time", "air_time", 1.02),
        ("near-limit", "air_time", 1.045),
    ):
        yield Scenario(
            f"control-subthreshold-{name}",
            "month",
            "",
            "",
            scaled(column, factor),
            effect=location(column),
        )


def _model(replacement: str) -> str:
    return f"select * replace ({replacement}) from (\n{FACTS}\n)"


def scaled(column: str, factor: float) -> Change:
    """The column in another unit."""
    return lambda rows: [
        {**row, column: f"{round(float(row[column]) * factor)}" if row[column] else ""}
        for row in rows
    ]


def replaced(column: str, value: str, percent: int) -> Change:
    """One value instead of what so many rows held."""
    return lambda rows: [{**row, column: value} if _sampled(row, percent) else row for row in rows]


def thinned(percent: int) -> Change:
    """So many rows less."""
    return lambda rows: [row for row in rows if not _sampled(row, percent)]


def lowered(column: str) -> Change:
    """In lower case."""
    return lambda rows: [{**row, column: row[column].lower()} for row in rows]


def rounded(column: str) -> Change:
    """To hundreds."""
    return lambda rows: [{**row, column: f"{round(float(row[column]), -2):.0f}"} for row in rows]


def _sampled(row: dict[str, str], percent: int) -> bool:
    """The same rows every time, as upstrace takes them by a hash."""
    return (
        random.Random(f"{row['time_hour']} {row['carrier']} {row['flight']}").randrange(100)
        < percent
    )


def location(column: str) -> Callable[[Rows], float]:
    """The mean logarithm."""

    def measured(rows: Rows) -> float:
        values = [
            math.log(abs(float(row[column]))) for row in rows if row[column] and float(row[column])
        ]
        return statistics.fmean(values) if values else 0.0

    return measured


def share(column: str, value: str) -> Callable[[Rows], float]:
    """The share of rows with a value."""
    return lambda rows: sum(row[column] == value for row in rows) / max(len(rows), 1)


def log_rows(rows: Rows) -> float:
    """How many, as a logarithm."""
    return math.log(len(rows) + 1)
