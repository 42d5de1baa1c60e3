"""An invented ferry company: three vendors' files a day, four assets, three consumers; and a simple
calculation of what its figures must be, which shares nothing with the product.

A play says when each file arrives and what is wrong with it; time is that of ticks and commands.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import sqrt
from typing import Any
from zoneinfo import ZoneInfo

from clilab import Project

ZONE = ZoneInfo("Europe/Berlin")
FIRST = date(2025, 3, 1)
"""Day 0: the clocks go forward within the sixty days."""
SOURCES = {"bookings": "tidewater", "sailings": "harbour", "fuel": "bunkers"}
HEAD = "/* headrace\nowner: {}\npartition: {{by: day, column: day}}\n{}*/\n"
FILES = {
    "headrace.toml": (
        '[project]\nname = "ferries"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\n'
    ),
    "owners.yaml": (
        "tidewater: {kind: vendor, manager: ops}\nharbour: {kind: vendor, manager: ops}\n"
        "bunkers: {kind: vendor, manager: finance}\n"
        "ops: {kind: team, contact: ['mailto:ops@ferries.example']}\n"
        "finance: {kind: team, contact: ['mailto:finance@ferries.example']}\n"
    ),
    **{
        f"sources/{name}.yaml": (
            f"source: {name}\nowner: {vendor}\npartition: day\nexpect: {{by: '05:00'}}\n"
            f"files: landing/{name}_{{date:%Y-%m-%d}}.csv\n"
        )
        for name, vendor in SOURCES.items()
    },
    "assets/trips.sql": HEAD.format("ops", "checks:\n  - unique: [booking]\n")
    + "select b.day, b.booking, b.fare, s.ship\n"
    "from bookings b join sailings s on b.day = s.day and b.sailing = s.sailing\n",
    "assets/takings.sql": HEAD.format("finance", "")
    + "select day, ship, sum(fare) as takings from trips group by day, ship\n",
    "assets/fuel_bill.sql": HEAD.format("finance", "")
    + "select day, sum(litres * price) as bill from fuel group by day\n",
    "assets/margin.sql": HEAD.format("finance", "")
    + "select t.day, sum(t.takings) - any_value(f.bill) as margin\n"
    "from takings t join fuel_bill f on t.day = f.day group by t.day\n",
    "consumers.yaml": (
        "- {consumer: gangway, owner: ops, reads: [trips], due: '07:00'}\n"
        "- {consumer: treasury, owner: finance, reads: [margin], due: '09:00'}\n"
        "- {consumer: board, owner: finance, reads: [takings], max_age: 33h}\n"
    ),
}
MADE_OF = {
    "trips": ("bookings", "sailings"),
    "takings": ("trips",),
    "fuel_bill": ("fuel",),
    "margin": ("takings", "fuel_bill"),
}
READS = {"gangway": "trips", "treasury": "margin", "board": "takings"}


def at(day: int, clock: str) -> datetime:
    """A local time of a day."""
    return datetime.fromisoformat(f"{FIRST + timedelta(day)}T{clock}").replace(tzinfo=ZONE)


def minute(moment: datetime) -> int:
    """A time in minutes since 1970."""
    return round(moment.timestamp()) // 60


def key(day: int) -> str:
    return str(FIRST + timedelta(day))


def content(source: str, day: int, how: str = "") -> str:
    """A file; `how`: what is wrong with it."""
    dice, on = random.Random(f"{source} {day}"), key(day)
    if source == "sailings":
        header = "sailing,ship,day"
        lines = [f"{n},{'kittiwake' if n % 2 else 'dunlin'},{on}" for n in range(1, 7)]
    elif source == "fuel":
        header, scale = "sailing,litres,price,day", 100 if how == "hundredfold" else 1
        lines = [
            f"{n},{dice.randint(300, 500) * scale},{1.1 + dice.random() / 5:.3f},{on}"
            for n in range(1, 7)
        ]
    else:
        header = "booking,sailing,fare,day"
        shift, scale = (3 if how == "shifted" else 0), (100 if how == "cents" else 1)
        lines = [
            f"{day * 1000 + n},{dice.randint(1, 6)},"
            f"{(dice.randint(1500, 4000) / 100 + shift) * scale:.2f},{on}"
            for n in range(dice.randint(55, 70))
        ]
        if how in ("renamed", "cents"):
            header = header.replace("fare", "price")
        if how == "doubled":
            lines += lines[:20]
    return "\n".join([header, *lines]) + "\n"


def rows(source: str, day: int, how: str = "") -> int:
    return content(source, day, how).count("\n") - 1


@dataclass
class Play:
    """What happens, and what follows from it by hand.

    `ready` says when a source's day could first be read soundly, where that isn't the first tick
    after its one delivery; `held_up` when a day of an asset could be computed at the earliest;
    `wrong` from when to when a day of an asset was wrong, and when somebody found it.
    """

    days: int
    ticks: tuple[str, ...]
    deliveries: dict[tuple[str, int], list[tuple[int, str, str]]] = field(default_factory=dict)
    ready: dict[tuple[str, int], datetime] = field(default_factory=dict)
    held_up: dict[tuple[str, int], datetime] = field(default_factory=dict)
    wrong: dict[tuple[str, int], tuple[datetime, datetime, datetime]] = field(default_factory=dict)
    waived: dict[tuple[str, int], datetime] = field(default_factory=dict)
    acts: dict[tuple[int, str], Callable[[Project, datetime], None]] = field(default_factory=dict)

    def delivered(self, source: str, day: int) -> list[tuple[int, str, str]]:
        """(day, time, what is wrong) of each delivery of a day."""
        return self.deliveries.get((source, day), [(day + 1, "04:00", "")])

    def tick_after(self, moment: datetime) -> datetime:
        """The first tick at a time or after it."""
        moments = (at(day, clock) for day in range(self.days + 1) for clock in self.ticks)
        return next(item for item in moments if item >= moment)

    # What happens

    def run(self, shop: Project, evening: Callable[[Project, datetime], None]) -> None:
        """Play all days; `evening` looks at the project after each."""
        for path, text in FILES.items():
            (shop.root / path).parent.mkdir(parents=True, exist_ok=True)
            (shop.root / path).write_text(text)
        (shop.root / "landing").mkdir()
        arrivals: dict[tuple[int, str], list[tuple[str, int, str]]] = defaultdict(list)
        for source in SOURCES:
            for day in range(self.days):
                for on, clock, how in self.delivered(source, day):
                    arrivals[on, clock].append((source, day, how))
        for day in range(1, self.days + 1):
            clocks = {clock for on, clock in (*arrivals, *self.acts) if on == day}
            for clock in sorted(clocks | set(self.ticks)):
                now = at(day, clock)
                for source, of, how in arrivals[day, clock]:
                    path = shop.root / f"landing/{source}_{key(of)}.csv"
                    path.write_text(content(source, of, how))
                    os.utime(path, (now.timestamp(),) * 2)
                if (day, clock) in self.acts:
                    self.acts[day, clock](shop, now)
                if clock in self.ticks:
                    shop.json("tick", "--now", now.isoformat())
            evening(shop, at(day, "23:00"))

    # What follows from it

    def readable(self, node: str, day: int) -> datetime:
        """When a day of a node could first be read soundly, wrong publications left out."""
        if node in SOURCES:
            on, clock, _ = self.delivered(node, day)[-1]
            return self.ready.get((node, day)) or self.tick_after(at(on, clock))
        moments = [self.readable(item, day) for item in MADE_OF[node]]
        moments += [self.held_up[node, day]] if (node, day) in self.held_up else []
        return max(moments)

    def due(self, consumer: str, day: int) -> int:
        """When a day is due, in minutes."""
        if consumer == "board":
            return minute(at(day, "00:00")) + 33 * 60
        return minute(at(day + 1, "07:00" if consumer == "gangway" else "09:00"))

    def wrong_of(self, consumer: str) -> dict[int, tuple[int, int, int]]:
        """Day → from when, until when, known since when it was wrong."""
        above = {READS[consumer]}
        while more := {x for node in above for x in MADE_OF.get(node, ())} - above:
            above |= more
        return {
            day: (minute(began), minute(ended), minute(known))
            for (node, day), (began, ended, known) in self.wrong.items()
            if node in above
        }

    def unserved(self, consumer: str, until: int, known: int | None = None) -> set[int]:
        """The minutes from the first deadline on in which it wasn't served; by what was known at
        a time, or by all."""
        result: set[int] = set()
        for day in range(self.days):
            ready = self.readable(READS[consumer], day)
            met = minute(min(ready, self.waived.get((consumer, day), ready)))
            result.update(range(self.due(consumer, day), max(met, self.due(consumer, day))))
        for began, ended, found in self.wrong_of(consumer).values():
            if known is None or found <= known:
                result.update(range(began, ended))
        return {item for item in result if self.due(consumer, 0) <= item < until}

    def promises(self, consumer: str, until: int) -> tuple[int, int]:
        """(promised, kept) up to a time."""
        due = [day for day in range(self.days) if self.due(consumer, day) <= until]
        wrong = self.wrong_of(consumer)
        kept = [
            day
            for day in due
            if minute(self.readable(READS[consumer], day)) <= self.due(consumer, day)
            and not (day in wrong and wrong[day][1] > self.due(consumer, day))
        ]
        return len(due), len(kept)

    def sound_rows(self, source: str) -> tuple[int, int]:
        """(delivered, good) rows of a source; the same content again counts for nothing."""
        delivered = good = 0
        for day in range(self.days):
            contents = [content(source, day, how) for _, _, how in self.delivered(source, day)]
            new = [c for n, c in enumerate(contents) if n == 0 or c != contents[n - 1]]
            delivered += sum(item.count("\n") - 1 for item in new)
            if self.delivered(source, day)[-1][2] in ("", "renamed"):
                good += new[-1].count("\n") - 1
        return delivered, good


def floored(share: float, digits: int) -> str:
    """A share, rounded down."""
    whole = int(share * 10**digits + 1e-9)
    return f"{whole / 10**digits:.{digits}f}"


def at_least(good: float, n: int) -> float:
    """The lower end of Wilson's interval of 95 % (two-sided): the share p below `good` at which
    `good` lies 1.96 standard errors above it, found by halving."""
    low, high = 0.0, good
    for _ in range(60):
        middle = (low + high) / 2
        far = good - middle > 1.959963984540054 * sqrt(middle * (1 - middle) / n)
        low, high = (middle, high) if far else (low, middle)
    return low


def explained(shop: Project, figure: str, of: str, window: str) -> dict[str, dict[str, Any]]:
    """The rows of a figure, by node."""
    answer = shop.json("status", "--explain", figure, "--window", window)
    return {row[of]: row for row in answer["rows"]}
