"""Simulated projects: sources whose days have weekdays, month ends, holidays, slow drifts with
heavy tails, and now and then a real dip.

Each day is made as the metrics that a delivery of such a source would have, sampling noise and all,
so that a project of twenty sources over three months is judged in seconds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta

import msgspec

from headrace.checks.anomalies import EvaluatedPartition, MetricHistory, Peer, evaluate_partition
from headrace.checks.facts import Fact
from headrace.checks.metrics import ColumnMetrics, Metrics, StoredMetrics, encoded
from headrace.model import Grain

FIRST = date(2024, 1, 1)
HISTORY = 56
WARM_UP = 60
CATEGORIES = ("a", "b", "c", "d", "e")
Fault = Callable[[Metrics], Metrics]


class Source:
    """One source: nine columns of numbers, two of categories, one of text and one of times; some
    fifty metrics a day.
    """

    def __init__(self, seed: str) -> None:
        chance = self.chance = random.Random(seed)
        self.size = math.exp(chance.uniform(6, 10))
        dip = chance.choice((0.0, 0.0, -0.3, -1.0))
        self.weekdays = [chance.gauss(0, 0.05) + (dip if day >= 5 else 0.0) for day in range(7)]
        self.month_end = chance.choice((0.0, 0.0, 0.25))
        self.noise, self.memory = chance.uniform(0.02, 0.08), chance.uniform(0, 0.6)
        self.follows_holidays = chance.random() < 0.7
        self.level = 0.0
        self.numbers = [
            [chance.gauss(3, 2), chance.uniform(0.3, 1.2), chance.choice((0.0, 0.0, 0.3)), 0.0]
            for _ in range(9)
        ]
        self.nulls = [chance.choice((0.0, 0.0, 0.01, 0.08)) for _ in range(9)]
        self.mixes = [[chance.gammavariate(2, 1) for _ in CATEGORIES] for _ in range(2)]

    def day(self, number: int, *, holiday: bool) -> Metrics:
        """What a sound day measures."""
        today = FIRST + timedelta(number)
        self.level = self.memory * self.level + self._heavy() * self.noise
        size = math.log(self.size) + self.weekdays[today.weekday()] + self.level
        size += self.month_end if (today + timedelta(1)).day == 1 else 0.0
        size -= 0.6 if holiday and self.follows_holidays else 0.0
        rows = max(int(math.exp(size)), 20)
        columns = {f"n{at}": self._number(at, rows) for at in range(len(self.numbers))}
        columns |= {f"c{at}": self._categories(at, rows) for at in range(len(self.mixes))}
        columns["t"] = ColumnMetrics(
            nulls=0.0,
            empty=self._share(0.02, rows),
            distinct=math.log(rows) - 0.1,
            length=2.5 + self._heavy() * 0.01,
        )
        columns["at"] = ColumnMetrics(nulls=0.0, distinct=math.log(24), hours=self._hours(rows))
        return Metrics(rows, columns, repeated=0)

    def _heavy(self) -> float:
        """Student's t with 4 degrees of freedom, at most 6."""
        result = self.chance.gauss(0, 1) / math.sqrt(self.chance.gammavariate(2, 0.5))
        return max(min(result, 6.0), -6.0)

    def _share(self, share: float, rows: int) -> float:
        return min(
            max(share + self.chance.gauss(0, 1) * math.sqrt(share * (1 - share) / rows), 0.0), 1.0
        )

    def _number(self, at: int, rows: int) -> ColumnMetrics:
        own = self.numbers[at]
        own[0] += self._heavy() * 0.01
        spread = own[1] + self.chance.gauss(0, 1) * 1.5 / math.sqrt(rows)
        return ColumnMetrics(
            nulls=self._share(min(self.nulls[at] * math.exp(self._heavy() * 0.2), 1.0), rows),
            negative=self._share(own[2], rows),
            zero=self._share(0.01, rows),
            location=own[0]
            + self._heavy() * 0.02
            + self.chance.gauss(0, 1) * own[1] / math.sqrt(rows),
            spread=math.log(max(spread, 0.05)),
            distinct=math.log(rows) * 0.8 + self.chance.gauss(0, 0.03),
        )

    def _categories(self, at: int, rows: int) -> ColumnMetrics:
        mix = self.mixes[at]
        mix[:] = [weight * math.exp(self._heavy() * 0.01) for weight in mix]
        shares = {
            name: self._share(weight / sum(mix), rows)
            for name, weight in zip(CATEGORIES, mix, strict=True)
        }
        total = sum(shares.values())
        return ColumnMetrics(
            nulls=0.0,
            distinct=math.log(5),
            shares={name: share / total for name, share in shares.items() if share * rows >= 1},
        )

    def _hours(self, rows: int) -> tuple[int, ...]:
        weights = [1 + 4 * math.exp(-((hour - 14) ** 2) / 30) for hour in range(24)]
        due = [rows * weight / sum(weights) for weight in weights]
        return tuple(
            max(round(count + self.chance.gauss(0, 1) * math.sqrt(count)), 0) for count in due
        )


class Project:
    """Sources with their history; a holiday of one is a holiday of all that follow holidays."""

    def __init__(self, seed: int, sources: int = 20, days: int = 30) -> None:
        chance = random.Random(seed)
        self.days, self.count = days, sources
        self.sources = [Source(f"{seed}.{number}") for number in range(sources)]
        self.holidays = {day for day in range(WARM_UP + days) if chance.random() < 0.03}

    def sound(self) -> Iterator[tuple[str, Metrics, tuple[Fact, ...], MetricHistory]]:
        """Each day of each source after the warm-up, and what is said of it. What is held doesn't
        become history."""
        past: list[list[StoredMetrics]] = [[] for _ in self.sources]
        for number in range(WARM_UP + self.days):
            key = (FIRST + timedelta(number)).isoformat()
            made = [source.day(number, holiday=number in self.holidays) for source in self.sources]
            peers = [
                Peer(str(at), item.rows, tuple(_rows(past[at]))) for at, item in enumerate(made[:7])
            ]
            for at, metrics in enumerate(made):
                history = MetricHistory(past[at][-HISTORY:], Grain.DAY)
                result: tuple[Fact, ...] = ()
                if number >= WARM_UP:
                    beside = tuple(peer for peer in peers if peer.name != str(at))[:6]
                    result = evaluate_partition(
                        EvaluatedPartition(
                            key=key, metrics=metrics, sources=self.count, peers=beside
                        ),
                        history,
                    )
                    yield key, metrics, result, history
                if not any(fact.severity == "hold" for fact in result):
                    past[at].append(StoredMetrics(key, encoded(metrics)))


def _rows(past: list[StoredMetrics]) -> Iterator[int]:
    return (msgspec.msgpack.decode(item.vector)[0] for item in past[-14:])


def found_of(fault: Fault, key: str, metrics: Metrics, history: MetricHistory) -> tuple[Fact, ...]:
    """What is said of a day after a fault."""
    return evaluate_partition(
        EvaluatedPartition(key=key, metrics=fault(metrics), sources=20), history
    )


def column(metrics: Metrics, name: str, **changed: object) -> Metrics:
    """The day with something else in one column."""
    own = msgspec.structs.replace(metrics.columns[name], **changed)
    return msgspec.structs.replace(metrics, columns={**metrics.columns, name: own})


def emptied(share: float) -> Fault:
    return lambda day: column(day, "n0", nulls=day.columns["n0"].nulls * (1 - share) + share)


def scaled(by: float) -> Fault:
    return lambda day: column(
        day, "n1", location=(day.columns["n1"].location or 0.0) + math.log(by)
    )


def flipped(day: Metrics) -> Metrics:
    return column(day, "n2", negative=1 - (day.columns["n2"].negative or 0.0))


def swapped(day: Metrics) -> Metrics:
    """The greatest category under the smallest one's name."""
    shares = dict(day.columns["c0"].shares)
    least, most = (
        min(shares, key=lambda name: shares[name]),
        max(shares, key=lambda name: shares[name]),
    )
    return column(day, "c0", shares={**shares, least: shares[most], most: shares[least]})


def clock(hours: int) -> Fault:
    return lambda day: column(
        day, "at", hours=tuple(day.columns["at"].hours[(hour - hours) % 24] for hour in range(24))
    )


def cut(share: float) -> Fault:
    """A file whose end is missing."""

    def fault(day: Metrics) -> Metrics:
        left = int(day.rows * (1 - share))
        hours: list[int] = []
        for count in day.columns["at"].hours:
            hours.append(min(count, max(left - sum(hours), 0)))
        return msgspec.structs.replace(column(day, "at", hours=tuple(hours)), rows=left)

    return fault


def thinned(share: float) -> Fault:
    """Fewer rows all day long."""

    def fault(day: Metrics) -> Metrics:
        hours = tuple(round(count * (1 - share)) for count in day.columns["at"].hours)
        return msgspec.structs.replace(
            column(day, "at", hours=hours), rows=int(day.rows * (1 - share))
        )

    return fault


def doubled(day: Metrics) -> Metrics:
    return msgspec.structs.replace(day, rows=day.rows * 2, repeated=day.rows)


FAULTS: dict[str, Fault] = {
    "null 50 %": emptied(0.5),
    "null 25 %": emptied(0.25),
    "null 10 %": emptied(0.1),
    "× 100": scaled(100),
    "× 0.01": scaled(0.01),
    "× 1.6": scaled(1.6),
    "× 1.2": scaled(1.2),
    "sign": flipped,
    "categories swapped": swapped,
    "clock + 5 h": clock(5),
    "cut by 45 %": cut(0.45),
    "cut by 20 %": cut(0.2),
    "cut by 10 %": cut(0.1),
    "70 % lost": thinned(0.7),
    "50 % lost": thinned(0.5),
    "20 % lost": thinned(0.2),
    "doubled": doubled,
}
