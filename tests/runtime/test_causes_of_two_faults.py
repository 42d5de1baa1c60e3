"""Two faults at once, of two sources that one asset joins: what is said of the wait doesn't depend
on how they are repaired.

The second fault always ends at the same time; the first is repaired after it, in every way that
there is.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from postgres_cluster import Cluster, Database
from test_causes_of_waits import FAULTS, Fault, same
from waiting_lab import Cause, StateFacts, at

pytestmark = pytest.mark.long

RATES = "day,rate"
MINUTES = 60


class Second(NamedTuple):
    """A fault of the other source, and how it ends, an hour before the first is repaired."""

    name: str
    begin: Callable[[TwoSources, str], None]
    end: Callable[[TwoSources], None]


class TwoSources(StateFacts):
    """The project of `StateFacts`, whose reports need the rates of the day as well."""

    def declare(self) -> None:
        super().declare()
        lab = self.lab
        lab.write(
            "sources/rates.yaml",
            "source: rates\nowner: bank\npartition: day\nexpect: {by: '06:00'}\nrestate_within:"
            " 30d\nfiles: landing/rates_{date:%Y-%m-%d}.csv\n",
        )
        lab.write(
            "owners.yaml",
            (self.root / "owners.yaml").read_text() + "bank: {kind: vendor, manager: core}\n",
        )
        self.lab.sql(
            "total",
            "select c.day, count(*) as n, sum(c.amount * r.rate) as amount from clean c join rates"
            " r using (day) group by c.day",
        )

    def deliver_healthy(self, day: str) -> None:
        super().deliver_healthy(day)
        self.rates(day)

    def rates(self, day: str, text: str = "1.25", header: str = RATES, minutes: int = 0) -> None:
        """Rates come half an hour before the orders, or `minutes` after that."""
        path = self.root / f"landing/rates_{day}.csv"
        path.write_text(f"{header}\n{day},{text}\n", encoding="utf-8")
        arrived = at(day) + timedelta(days=1, minutes=minutes - 30) + self.arrives
        os.utime(path, (arrived.timestamp(), arrived.timestamp()))

    @property
    def ended(self) -> int:
        """Minutes after the arrival of the last day's orders when the second fault ends."""
        first = at(self.spoilt[-1]) + timedelta(days=1) + self.arrives
        return round((self.repaired - first).total_seconds() / 60) - MINUTES

    def owners(self) -> dict[str, str]:
        return {**super().owners(), "rates": "bank"}


def _come_at_last(facts: TwoSources) -> None:
    for day in facts.spoilt:
        before = (at(facts.spoilt[-1]) - at(day)).days * 24 * 60
        facts.rates(day, minutes=facts.ended + before + 30)
    facts.headrace("tick", now=facts.repaired - timedelta(minutes=MINUTES - 5))


def _renamed(facts: TwoSources, day: str) -> None:
    facts.rates(day, header="day,exchange_rate")


def _nothing(facts: TwoSources, day: str) -> None:
    """No rates come."""


def _paused(facts: TwoSources, day: str) -> None:
    if day == facts.spoilt[0]:
        facts.headrace(
            "pause", "total", "--reason", "being looked at", now=at(day) + timedelta(days=1)
        )
    facts.rates(day)


def _resumed(facts: TwoSources) -> None:
    facts.headrace("resume", "total", now=facts.repaired - timedelta(minutes=MINUTES))


SECONDS = [
    Second("no rates", _nothing, _come_at_last),
    Second("rates renamed", _renamed, _come_at_last),
    Second("total paused", _paused, _resumed),
]
PAIRS = [(fault, second) for fault in FAULTS for second in SECONDS]
IN_POSTGRESQL: list[tuple[Fault, Second | None]] = [
    *((fault, None) for fault in FAULTS),
    *((fault, SECONDS[n % len(SECONDS)]) for n, fault in enumerate(FAULTS)),
]
"""Each fault alone, and with one of the others."""


def play(
    facts: StateFacts, fault: Fault, second: Second | None, copied: Callable[[str], StateFacts]
) -> None:
    """Fault, then each repair of it in a copy: the causes are the same before and after."""
    facts.build()
    before_repair = timedelta(minutes=1)
    for day in facts.spoilt:
        if second is not None:
            second.begin(facts, day)  # type: ignore[arg-type]
        fault.begin(facts, day)
        facts.headrace(
            "tick", now=at(day) + timedelta(days=1) + facts.arrives + timedelta(minutes=5)
        )
    if second is not None:
        facts.causes(facts.repaired - timedelta(minutes=MINUTES + 1))  # while both last
        second.end(facts)  # type: ignore[arg-type]
    facts.headrace("tick", now=facts.repaired - before_repair)
    before = facts.causes(facts.repaired)
    facts.close()
    for name, repair in fault.repairs.items():
        repaired = copied(name.replace(", ", "_"))
        repair(repaired)
        after = repaired.causes(facts.repaired + timedelta(hours=1))
        for subject, causes in after.items():
            said = f"{subject} after {name}: {before[subject]} -> {causes} (SEED={facts.seed})"
            assert same(before[subject], causes), said
            nobody_decides_what_isnt_there(repaired, subject, causes, said)
        repaired.close()


def nobody_decides_what_isnt_there(
    facts: StateFacts, subject: str, causes: list[Cause], said: str
) -> None:
    """No person could have ended the wait before what was needed had come."""
    day = subject.partition("@")[2]
    came = [
        arrived
        for source in ("orders", "rates")[: 1 + isinstance(facts, TwoSources)]
        for (arrived,) in facts.lab.rows(
            "select min(arrived_at) from delivery where source = ? and partition = ?", source, day
        )
    ]
    end = at(day) + timedelta(days=1)
    last = max(came) / 1e6 - end.timestamp()
    for cause in causes:
        assert cause.decider is None or cause.from_minute * 60 >= last - 120, said


def seed() -> int:
    """Of this history; it is printed."""
    chosen = int(os.environ.get("SEED", random.randrange(1_000_000)))
    print(f"SEED={chosen}")
    return chosen


@contextlib.contextmanager
def databases(cluster: Cluster) -> Iterator[Callable[[Database | None], Database]]:
    """Makes databases, each a copy of one; they go at the end."""
    with contextlib.ExitStack() as made:
        yield lambda item: made.enter_context(cluster.fresh(*() if item is None else (item.name,)))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("fault", "second"), PAIRS, ids=lambda item: item.name)
def test_two_faults_at_once(fault: Fault, second: Second, tmp_path: Path) -> None:
    """Catches: a repair of one that takes the time of the other, or a person who is blamed for the
    hours in which a vendor's file wasn't there."""
    facts = TwoSources(tmp_path / "before", seed())
    play(facts, fault, second, facts.copy)


@pytest.mark.timeout(300)
def test_what_isnt_there_isnt_put_down_to_what_was_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a consumer that waits for rates that nobody has looked for, late "because of" orders
    that were reported.
    """
    monkeypatch.setenv("SEED", "774179")
    fault, second = next(
        pair for pair in PAIRS if tuple(item.name for item in pair) == ("reported", "no rates")
    )
    facts = TwoSources(tmp_path / "before", seed())
    play(facts, fault, second, facts.copy)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("fault", "second"),
    [
        IN_POSTGRESQL[0],
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in IN_POSTGRESQL[1:]),
    ],
    ids=lambda item: item.name if item else "alone",
)
def test_the_causes_are_the_same_in_postgresql(
    fault: Fault,
    second: Second | None,
    tmp_path: Path,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: an order of rows, or a rounding of times, that only one of the databases has."""
    with databases(cluster) as fresh:
        facts = (StateFacts if second is None else TwoSources)(tmp_path / "before", seed())
        first = fresh(None)
        monkeypatch.setenv("PG_PASSWORD", first.password)
        monkeypatch.setenv("PG_DATABASE", first.name)
        facts.database = first
        play(facts, fault, second, lambda name: facts.copy(name, fresh(facts.database)))
