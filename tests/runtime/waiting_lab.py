"""A project over eleven days of which something spoils the last, and what all say that tell of its
waits.
"""

from __future__ import annotations

import copy
import os
import random
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from postgres_cluster import Database
from runlab import Lab

from headrace.project.session import ProjectSession
from headrace.responses.interventions import LedgerRow, WhyResponse
from headrace.services.status import status
from headrace.services.why import why

pytest.importorskip("headrace_ui")
from headrace_ui.services.nodes import consumer

OLD = "order_id,customer,amount,day"
DAYS = [f"2025-01-{day:02d}" for day in range(1, 12)]
HEALTHY = 8
SHORT = 120.0
"""Seconds: a repair and the work that follows it take less, a cause takes longer."""
CLEAN = """\
def clean(ctx: Context, orders):
    import pathlib
    if pathlib.Path({flag!r}).exists():
        raise ValueError("no such customer")
    return orders"""
CORRECTED = """\
def clean(ctx: Context, orders):
    return orders"""


class Cause(NamedTuple):
    """One of a wait: who, which category, from when to when (minutes after the interval's end)."""

    kind: str
    node: str
    owner: str
    incident: str | None
    from_minute: int
    to_minute: int
    decider: str | None = None
    """Who could have ended it with one command."""


class StateFacts:
    """A project over eleven days, of which a fault spoils the last."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.seed, self.random = root, seed, random.Random(seed)
        self.database: Database | None = None
        """Where the state is; None: in SQLite."""
        self.lab = Lab.__new__(Lab)
        self.lab.root, self.lab.database = root, None
        self._opened: list[ProjectSession] = []
        self.spoilt = DAYS[HEALTHY : HEALTHY + self.random.randint(1, 3)]
        self.arrives = timedelta(minutes=self.random.randrange(60, 300))
        self.repaired = at(self.spoilt[-1]) + timedelta(
            days=1, hours=8, minutes=self.random.randrange(0, 900)
        )

    @property
    def flag(self) -> Path:
        """While it is there, the code of `clean` fails; it is the same for each copy."""
        return self.root.parent / "broken"

    def copy(self, name: str, database: Database | None = None) -> Self:
        """The same project, as it is now; `database` is the copy of its database, where
        it has one."""
        self.close()
        other = copy.copy(self)
        other.root, other._opened, other.database = self.root.parent / name, [], database
        shutil.copytree(self.root, other.root, symlinks=True)
        other.lab = Lab.__new__(Lab)
        other.lab.root, other.lab.database = other.root, database
        return other

    def close(self) -> None:
        """Close what was opened to look at it."""
        while self._opened:
            self._opened.pop().close()

    def build(self) -> None:
        self.declare()
        self.begin()

    def declare(self) -> None:
        """Write its files."""
        lab = self.lab = Lab(self.root, self.database)
        settings = (self.root / "headrace.toml").read_text() + "[environments.dev]\n"
        if self.database is not None:  # a copy has the same settings
            settings = settings.replace(f'/{self.database.name}"', '/${PG_DATABASE}"')
        lab.write("headrace.toml", settings)
        lab.write(
            "owners.yaml",
            "core: {kind: team}\nacme: {kind: vendor, manager: core}\ndesk: {kind: team}\n",
        )
        lab.write(
            "consumers.yaml",
            "- {consumer: report, owner: desk, reads: [total, week], due: '07:00'}\n- {consumer:"
            " extract, owner: desk, reads: [total], due: '09:00', export: {to:"
            " 'out/{asset}_{date:%Y-%m-%d}.csv'}}\n",
        )
        lab.write(
            "sources/orders.yaml",
            "source: orders\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nrestate_within:"
            " 30d\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n",
        )
        self.declare_clean(CLEAN.format(flag=str(self.flag)))
        lab.sql("total", "select day, count(*) as n, sum(amount) as amount from clean group by day")
        lab.sql(
            "week",
            "select cast($partition_start as date) as day, count(*) as n from clean",
            "partition: {by: day, column: day}\ninputs: {clean: {lookback: 2d}}",
        )

    def declare_clean(self, code: str) -> None:
        self.lab.python("clean", code, partition={"by": "day", "column": "day"}, inputs=["orders"])

    def begin(self) -> None:
        """The days on which nothing goes wrong."""
        for day in DAYS[:HEALTHY]:
            self.deliver_healthy(day)
        self.headrace("tick", now=at(DAYS[HEALTHY - 1]) + timedelta(days=1, hours=6))

    def deliver_healthy(self, day: str) -> None:
        self.deliver(day)

    def deliver(
        self, day: str, header: str = OLD, when: datetime | None = None, least: int = 30
    ) -> None:
        self.lab.deliver(day, rows(day)[:least], header)
        arrived = (at(day) + timedelta(days=1) + self.arrives if when is None else when).timestamp()
        os.utime(self.root / f"landing/orders_{day}.csv", (arrived, arrived))

    def headrace(self, *arguments: str, now: datetime | None = None, code: int | None = 0) -> Any:
        """The command's JSON."""
        moment = self.repaired if now is None else now
        self._chosen()
        return self.lab.headrace(*arguments, "--now", moment.isoformat(), code=code)

    def _chosen(self) -> None:
        if self.database is not None:
            os.environ["PG_DATABASE"] = self.database.name

    def spoil(self, begin: Callable[[StateFacts, str], None]) -> None:
        """A fault of each day, seen by a pass soon after each delivery, until shortly before the
        repair.
        """
        for day in self.spoilt:
            begin(self, day)
            self.headrace(
                "tick", now=at(day) + timedelta(days=1) + self.arrives + timedelta(minutes=5)
            )
        self.headrace("tick", now=self.repaired - timedelta(minutes=1))

    # What is said

    def session(self, now: datetime) -> ProjectSession:
        self._chosen()
        opened = ProjectSession.open(self.root, "prod", now.isoformat(), "tester")
        self._opened.append(opened)
        return opened

    def owners(self) -> dict[str, str]:
        """Node → who answers for it."""
        return {
            "orders": "acme",
            "clean": "core",
            "total": "core",
            "week": "core",
            "report": "desk",
            "extract": "desk",
        }

    def causes(self, now: datetime) -> dict[str, list[Cause]]:
        """Of each delivery that was spoilt, as all say it that tell of it."""
        result = {}
        for name in ("report", "extract"):
            page = consumer(self.session(now), name, limit=60, ledgers=60)
            rows = {delivery.interval: delivery.ledger for delivery in page.deliveries}
            for day in self.spoilt:
                told, row = why(self.session(now), f"{name}@{day}"), rows[day]
                assert row is not None, f"{name}@{day} has no ledger on its page"
                check(told)
                assert (row.segments, row.said, row.shares) == (
                    told.segments,
                    told.said,
                    told.shares,
                ), "the page says what `why` says"
                result[f"{name}@{day}"] = self._causes(row)
            self._agrees(name, now)
        return result

    def _causes(self, row: LedgerRow) -> list[Cause]:
        owners = self.owners()
        return [
            Cause(
                segment.kind,
                segment.node,
                owners[segment.node],
                segment.incident,
                minute(segment.from_, row),
                minute(segment.to, row),
                segment.decider,
            )
            for segment in row.segments
            if segment.seconds > SHORT
        ]

    def _agrees(self, name: str, now: datetime) -> None:
        """`status` names the incident that the ledger of what made it late has; of one that reads
        wrong data, which may wait for something else besides, `why` says both."""
        row = next(item for item in status(self.session(now), []).consumers if item.name == name)
        told = why(self.session(now), name)
        if row.incident is None or not told.open:
            return
        if row.state == "wrong":
            assert row.incident in told.verdict, (row, told.verdict)
        elif row.state == "at_risk" and row.incident not in told.verdict:
            assert row.reason in told.verdict, (row, told.verdict)
        else:
            assert row.incident in {item.incident for item in told.segments or []}, (
                row,
                told.segments,
            )


def check(response: WhyResponse) -> None:
    """It adds up to the microsecond."""
    segments = response.segments or []
    assert response.wait_seconds is not None and segments
    assert sum(round(segment.seconds * 1e6) for segment in segments) == round(
        response.wait_seconds * 1e6
    )
    assert all(segment.note for segment in segments), "each says in words what it was"
    assert all(item.to == after.from_ for item, after in pairwise(segments))
    assert (segments[0].from_, segments[-1].to) == (response.from_, response.to)
    assert sum(item.seconds for item in response.shares or []) == pytest.approx(
        response.wait_seconds
    )


def at(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


def minute(moment: datetime, row: LedgerRow) -> int:
    return round((moment - row.from_).total_seconds() / 60)


def rows(day: str) -> list[str]:
    return [f"{day[-2:]}{i},c{i % 3},{1.5 + i % 5},{day}" for i in range(30)]
