"""Random histories of attempts for the delay ledger: what happened, instant by instant, is known
because it was made up here, and is written into a store as the leader would have.

Nothing of `headrace.ledger` is used: what an instant was spent on is asked of plain lists.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise

from small_facts import consumer, declare, node, reads

from headrace.model import Grain
from headrace.slo.declared_promises import DeclaredPromises, Node, Terms
from headrace.store import Transaction

HOUR = 3_600_000_000
RETRIES_MAX = 4
"""After one more it isn't tried again before somebody asks."""
FIRST = date(2013, 1, 1)
DAYS = [(FIRST + timedelta(days=number)).isoformat() for number in range(3)]
START = 1_356_998_400_000_000
"""2013-01-01 in UTC."""


OURS = ("detection", "schedule", "dispatch", "audit", "publish", "unattributed")
"""What Headrace itself takes of a wait; of the queue what passes while a slot is free."""


OBSTACLES = ("hold", "paused", "source")
"""What no attempt ends."""


def owner_of(name: str) -> str:
    return f"owner of {name}"


def end_of(day: str) -> int:
    return START + (DAYS.index(day) + 1) * 24 * HOUR


@dataclass
class Attempt:
    n: int
    node: str
    day: str
    state: str
    queued: int
    dispatched: int
    finished: int
    run: int = 0
    audit: int = 0
    publish: int = 0
    delivery: int | None = None

    @property
    def began(self) -> int:
        return self.finished - self.publish - self.audit - self.run


@dataclass
class Made:
    """One partition: from when it could have been begun until it was there."""

    ready: int
    published: int
    because: tuple[str, str] | None
    attempts: list[Attempt] = field(default_factory=list)
    arrivals: list[tuple[int, int]] = field(default_factory=list)
    holds: list[tuple[int, int]] = field(default_factory=list)


class History:
    """A few sources and assets over three days, read by one consumer."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.slots = self._random.choice([1, 2, 4])
        self.nodes = self._declared()
        self.terms: Terms = consumer(
            "report", *self._read(), zone="UTC", due="09:00", per=Grain.DAY
        )
        self.declared_promises: DeclaredPromises = declare(self.nodes, self.terms)
        self.pauses = {
            item.name: self._pause() for item in self.nodes if self._random.random() < 0.3
        }
        self.made: dict[tuple[str, str], Made] = {}
        self._attempts: list[Attempt] = []
        for day in DAYS:
            for item in self.nodes:
                self.made[item.name, day] = (
                    self._source(item, day) if item.is_source else self._asset(item, day)
                )
        for n, attempt in enumerate(
            sorted(self._attempts, key=lambda item: (item.dispatched, item.queued)), start=1
        ):
            attempt.n = n

    def _declared(self) -> list[Node]:
        result = [
            node(f"s{number}", Grain.DAY, source=True, timezone="UTC", start=DAYS[0])
            for number in range(self._random.randint(1, 3))
        ]
        for number in range(self._random.randint(1, 6)):
            chosen = self._random.sample(result, self._random.randint(1, min(3, len(result))))
            specs = [
                reads(item.name, lookback="1d" if self._random.random() < 0.2 else None)
                for item in chosen
            ]
            result.append(node(f"a{number}", Grain.DAY, *specs, timezone="UTC"))
        return result

    def _read(self) -> list[str]:
        assets = [item.name for item in self.nodes if not item.is_source]
        return self._random.sample(assets, self._random.randint(1, min(2, len(assets))))

    def _pause(self) -> tuple[int, int]:
        began = START + self._random.randint(20 * HOUR, 70 * HOUR)
        return began, began + self._random.randint(1, 6 * HOUR)

    def _some(self, most: int) -> int:
        return self._random.randint(1, most)

    # What happens to one partition

    def _source(self, item: Node, day: str) -> Made:
        made = Made(0, 0, None)
        arrived = end_of(day) + self._random.randint(-2 * HOUR, 6 * HOUR)
        made.ready = arrived
        observed = arrived + self._some(HOUR)
        while self._random.random() < 0.2:  # held, until it was delivered again
            held = self._tried(
                item.name, day, self._queued(item.name, observed), "held", made, len(made.arrivals)
            )
            made.arrivals.append((arrived, observed))
            arrived = held.finished + self._some(3 * HOUR)
            observed = arrived + self._some(HOUR)
            made.holds.append((held.finished, arrived))
        made.arrivals.append((arrived, observed))
        self._until_published(
            item.name, day, self._queued(item.name, observed), made, len(made.arrivals) - 1
        )
        return made

    def _asset(self, item: Node, day: str) -> Made:
        needed = [
            (spec.node, key) for spec in item.inputs for key in self._days(day, spec.lookback)
        ]
        because = max(needed, key=lambda key: (self.made[key].published, key))
        ready = self.made[because].published
        made = Made(ready, 0, because)
        self._until_published(item.name, day, self._queued(item.name, ready), made, None)
        return made

    def _days(self, day: str, lookback: str | None) -> list[str]:
        place = DAYS.index(day)
        return DAYS[max(0, place - 1) : place + 1] if lookback else [day]

    def _queued(self, name: str, ready: int) -> int:
        at = ready + (self._some(HOUR) if self._random.random() < 0.5 else 0)
        pause = self.pauses.get(name)
        return pause[1] if pause is not None and pause[0] <= at < pause[1] else at

    def _until_published(
        self, name: str, day: str, queued: int, made: Made, delivery: int | None
    ) -> None:
        while (
            self._random.random() < 0.25
            and sum(attempt.state == "failed" for attempt in made.attempts) < RETRIES_MAX
        ):
            failed = self._tried(name, day, queued, "failed", made, delivery)
            queued = failed.finished + self._some(HOUR // 60)
        made.published = self._tried(name, day, queued, "published", made, delivery).finished

    def _tried(
        self, name: str, day: str, queued: int, state: str, made: Made, delivery: int | None
    ) -> Attempt:
        dispatched = queued + (self._some(HOUR // 2) if self._random.random() < 0.5 else 0)
        run, audit, publish = self._some(HOUR // 3), self._some(HOUR // 60), self._some(1000)
        began = dispatched + (self._some(1_000_000) if self._random.random() < 0.7 else 0)
        attempt = Attempt(
            0,
            name,
            day,
            state,
            queued,
            dispatched,
            began + run + audit + publish,
            run,
            audit,
            publish,
            delivery,
        )
        made.attempts.append(attempt)
        self._attempts.append(attempt)
        return attempt

    # What an instant was spent on

    def met(self, day: str) -> int:
        return max(self.made[name, day].published for name in self.terms.reads)

    def spent(self, day: str, at: int) -> tuple[str, str, str]:
        """(kind, node, partition) of one instant of the wait for a day."""
        later = self._came_last(day)
        if later is not None and at < later[0]:
            return self._on_path(later[1], at)
        return self._on_path(self._published_last(day), at)

    def _published_last(self, day: str) -> tuple[str, str]:
        return max(
            ((name, day) for name in self.terms.reads),
            key=lambda key: (self.made[key].published, key),
        )

    def _came_last(self, day: str) -> tuple[int, tuple[str, str]] | None:
        """The end of an obstacle, and its place, that ended while what the path had waited for
        lay unseen: it was waited for longer, whichever was published last."""
        read = self._published_last(day)
        kinds = [(at, *self._on_path(read, at)) for at in self.edges(day)[:-1]]
        n = max((n + 1 for n, (_, kind, *_) in enumerate(kinds) if kind in OBSTACLES), default=0)
        if n >= len(kinds):
            return None
        ended, place = kinds[n][0], kinds[n][2:]
        while n < len(kinds) and kinds[n][1:] == ("detection", *place):
            n += 1
        seen = kinds[n][0] if n < len(kinds) else self.met(day)
        others = [
            (end, place)
            for place in self._needed(day)
            if (end := self._unblocked(place, day)) is not None and ended < end <= seen
        ]
        return max(others, default=None)

    def _needed(self, day: str) -> set[tuple[str, str]]:
        """All partitions that a day needs and that weren't there when it ended."""
        result: set[tuple[str, str]] = set()
        ahead = [(name, day) for name in self.terms.reads]
        specs = {item.name: item.inputs for item in self.nodes}
        while ahead:
            place = ahead.pop()
            if place not in result and self.made[place].published > end_of(day):
                result.add(place)
                ahead += [
                    (spec.node, key)
                    for spec in specs[place[0]]
                    for key in self._days(place[1], spec.lookback)
                ]
        return result

    def _unblocked(self, place: tuple[str, str], day: str) -> int | None:
        """When the last obstacle of one partition ended, by what happened to it alone."""
        edges = [at for at in self.edges(day) if at < self.made[place].published]
        after = [*edges[1:], self.made[place].published]
        ends = [
            end for at, end in zip(edges, after, strict=True) if self._kind(place, at) in OBSTACLES
        ]
        return ends[-1] if ends else None

    def _on_path(self, place: tuple[str, str], at: int) -> tuple[str, str, str]:
        while self.made[place].because is not None and at < self.made[place].ready:
            before = self.made[place].because
            assert before is not None
            place = before
        return (self._kind(place, at), *place)

    def _kind(self, place: tuple[str, str], at: int) -> str:
        made, pause = self.made[place], self.pauses.get(place[0])
        if any(since <= at < until for since, until in made.holds):
            return "hold"
        if pause is not None and pause[0] <= at < pause[1]:
            return "paused"
        return next(
            (
                kind
                for attempt in reversed(made.attempts)
                if (kind := self._of_attempt(made, attempt, at)) is not None
            ),
            self._before(made, at),
        )

    def _before(self, made: Made, at: int) -> str:
        if made.arrivals and at < made.arrivals[0][0]:
            return "source"
        return (
            "detection"
            if any(arrived <= at < observed for arrived, observed in made.arrivals)
            else "schedule"
        )

    def _of_attempt(self, made: Made, item: Attempt, at: int) -> str | None:
        if at < item.queued:
            return None
        if at < item.dispatched:
            return "queue"
        if item.state == "failed":
            following = made.attempts[made.attempts.index(item) + 1]
            return "retry" if at < following.queued else None
        if at >= item.finished:
            return None
        if at < item.began:
            return "dispatch" if self._busy(item, at) < self.slots else "queue"
        if at < item.began + item.run:
            return "run"
        return "audit" if at < item.finished - item.publish else "publish"

    def _busy(self, mine: Attempt, at: int) -> int:
        return sum(
            1
            for attempt in self._attempts
            if attempt.n < mine.n and self._worked_from(attempt) <= at < attempt.finished
        )

    def _worked_from(self, item: Attempt) -> int:
        return max(item.dispatched, item.finished - item.run - item.audit)

    def free(self, day: str) -> int:
        """Microseconds in which something on the path queued although a slot was free: asked of
        each instant at which that can change.
        """
        edges = self.edges(day)
        return sum(end - start for start, end in pairwise(edges) if self._queued_free(day, start))

    def charged(self, day: str) -> dict[str, int]:
        """Microseconds that Headrace answers for, and those that the owner of each node does."""
        result = Counter[str]()
        for start, end in pairwise(self.edges(day)):
            kind, name, _ = self.spent(day, start)
            ours = kind in OURS or kind == "queue"
            result["headrace" if ours else owner_of(name)] += end - start
        return dict(result)

    def _queued_free(self, day: str, at: int) -> bool:
        kind, *place = self.spent(day, at)
        if kind != "queue":
            return False
        mine = next(
            (
                attempt
                for attempt in self.made[place[0], place[1]].attempts
                if attempt.queued <= at < attempt.dispatched
            ),
            None,
        )
        if mine is None:
            return False
        given = sum(
            1
            for attempt in self._attempts
            if attempt.n < mine.n and attempt.dispatched <= at < attempt.finished
        )
        return given < self.slots

    def edges(self, day: str) -> list[int]:
        """All instants of a wait at which anything can change."""
        began, ended = end_of(day), self.met(day)
        result = {began, ended}
        for attempt in self._attempts:
            result |= {
                attempt.queued,
                attempt.dispatched,
                attempt.began,
                attempt.began + attempt.run,
                attempt.finished - attempt.publish,
                attempt.finished,
                self._worked_from(attempt),
            }
        for made in self.made.values():
            result |= {
                made.ready,
                made.published,
                *(at for pair in (*made.arrivals, *made.holds) for at in pair),
            }
        result |= {at for pair in self.pauses.values() for at in pair}
        return sorted(at for at in result if began <= at <= ended)

    # As rows

    def write(self, tx: Transaction, until: int | None = None) -> None:
        """Everything that had happened by then (None: all)."""
        tx.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (1, 'serve',"
            " '{}', 't', 'running', 0)"
        )
        tx.execute(
            "insert into journal (epoch, slots, at, events, decisions) values (1, ?, 0, x'', x'')",
            (self.slots,),
        )
        for (name, day), made in self.made.items():
            ids = [
                self._arrival(tx, name, day, *pair) if until is None or pair[1] <= until else None
                for pair in made.arrivals
            ]
            for attempt in made.attempts:
                if until is None or attempt.queued <= until:
                    self._row(
                        tx,
                        attempt,
                        None if attempt.delivery is None else ids[attempt.delivery],
                        until,
                    )
            if until is None or made.published <= until:
                self._publication(tx, name, day, made)
        for name, (began, ended) in self.pauses.items():
            if until is None or began <= until:
                tx.execute(
                    "insert into pause_past (node, since, until, reason, actor) values (?, ?, ?,"
                    " 'x', 'ann')",
                    (name, began, ended),
                )

    def _arrival(
        self, tx: Transaction, name: str, day: str, arrived: int, observed: int
    ) -> int | None:
        return tx.execute(
            "insert into delivery (source, partition, path, size_bytes, modified_us, claimed_at,"
            " observed_at, arrived_at, state) values (?, ?, 'x', 0, 0, ?, ?, ?, 'published')",
            (name, day, arrived, observed, arrived),
        ).lastrowid

    def _row(self, tx: Transaction, item: Attempt, delivery: int | None, until: int | None) -> None:
        over = until is None or item.finished <= until
        measures = {
            "seconds": item.run / 1e6,
            "audit_seconds": item.audit / 1e6,
            "publish_seconds": item.publish / 1e6,
        }
        tx.execute(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, delivery_id,"
            " queued_at, dispatched_at, started_at, finished_at, measures, error, reason) values"
            " (1, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'it broke')",
            (
                item.n,
                item.node,
                "take_in" if item.delivery is not None else "produce",
                json.dumps([item.day]),
                item.state if over else "running",
                delivery,
                item.queued,
                item.dispatched,
                self._worked_from(item),
                item.finished if over else None,
                json.dumps(measures) if over else None,
                '{"kind": "transient"}' if item.state == "failed" and over else None,
            ),
        )

    def _publication(self, tx: Transaction, name: str, day: str, made: Made) -> None:
        attempt = made.attempts[-1]
        number = tx.execute(
            "insert into publication (node, partition, epoch, n, snapshot, published_at, rows,"
            " bytes, verdict, version) values (?, ?, 1, ?, ?, ?, 1, 0, 'passed', 1)",
            (name, day, attempt.n, attempt.n, made.published),
        ).lastrowid
        tx.execute(
            "insert into partition (node, partition, state, publication_id, since) values (?, ?,"
            " 'published', ?, ?)",
            (name, day, number, made.published),
        )
