"""Goodput and waste of rows, and scores of sources over a window (SEMANTICS §7). Pure.

Functions take rows and return figures with the rows behind them. Figures are never summed over
layers, and unobserved data has no figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

# Goodput and waste: what became of the rows that were delivered or staged. Each row is counted in
# exactly one place.

GOOD, RETRY, HELD, REJECTED, SUPERSEDED, IDENTICAL, WRONG, WAITING = (
    "good",
    "retry",
    "held",
    "rejected",
    "superseded",
    "identical",
    "wrong",
    "waiting",
)
PLACES = (GOOD, RETRY, HELD, REJECTED, SUPERSEDED, IDENTICAL, WRONG, WAITING)
"""Where rows end up.

`retry`: rows of failed or lost attempts, and of a delivery that was ingested again. `held`: kept
from readers until somebody decides. `rejected`: rows that didn't pass or were dropped.
`superseded`: replaced or withdrawn since, or delivered again while held. `identical`: the same as
the existing data. `wrong`: named by an incident. `waiting`: rows of an unpublished plan.
"""
REWORKED = (RETRY, SUPERSEDED, IDENTICAL)
"""Rows that were computed or ingested more than once."""
SEGMENTS = ("run", "audit", "publish")
_SETTLED = ("published", "held", "rejected")
"""States of an attempt that decided about its delivery; earlier attempts no longer count."""
_OF_DECISION = {"superseded": SUPERSEDED, "dropped": REJECTED, "released": RETRY}
"""The place of held rows that are no longer up for a decision."""
_OF_STATE = {
    "held": HELD,
    "rejected": REJECTED,
    "staged": WAITING,
    "queued": WAITING,
    "running": WAITING,
}


class GoodputPublication(msgspec.Struct, frozen=True):
    """A publication of an attempt, with its state at the end of the window."""

    partition: str
    rows: int
    identical: bool
    ended_us: int | None
    """None: readers still saw it at the end of the window."""
    wrong: bool
    bytes: int = 0
    at_us: int = 0

    @property
    def place(self) -> str:
        """The place of its rows, one of `PLACES`."""
        if self.wrong:
            return WRONG
        if self.identical:
            return IDENTICAL
        return GOOD if self.ended_us is None else SUPERSEDED


class GoodputAttempt(msgspec.Struct, frozen=True):
    """An attempt that ended in the window: its state, its rows, and its publications.

    `delivery` is the delivery that a source ingested, `work_us` the duration by segment, `bytes_in`
    what it read and `bytes_out` what it staged. `decided`
    is what became of the rows that it held; `before` says that an earlier attempt, before the
    window, had decided about its delivery.
    """

    node: str
    attempt: str
    state: str
    at_us: int
    rows: int
    publications: tuple[GoodputPublication, ...] = ()
    delivery: int | None = None
    work_us: Mapping[str, int] = {}
    decided: str = ""
    before: bool = False
    bytes_in: int = 0
    bytes_out: int = 0


class Goodput(msgspec.Struct, frozen=True):
    """The staged rows of one node and where they ended up. The places add up to `staged`."""

    node: str
    attempts: int
    staged: int
    delivered: int
    """For a source, the rows that its vendor delivered, each counted once.

    A delivery counts with its largest attempt, without rows that were published already; one that
    was ingested before the window counts only the rows that were decided anew. For an asset, all
    rows that attempts staged.
    """
    places: dict[str, int]
    good_bytes: int = 0
    work_us: Mapping[str, int] = {}
    delivered_bytes: int = 0
    """Of files; for a source, each delivery once, and none that was ingested before the window."""
    staged_bytes: int = 0
    published: int = 0
    """Rows of publications, whatever became of them since."""
    published_bytes: int = 0

    @property
    def good(self) -> int:
        """Rows of sound publications that are still current."""
        return self.places[GOOD]

    @property
    def reworked(self) -> int:
        """Rows that were computed or ingested more than once."""
        return sum(self.places[place] for place in REWORKED)

    @property
    def rows_per_second(self) -> float | None:
        """Good rows per second of all work, wasted work included; None without work."""
        return self._per_second(self.good)

    @property
    def bytes_per_second(self) -> float | None:
        """Good bytes per second of all work; None without work."""
        return self._per_second(self.good_bytes)

    @property
    def slowest(self) -> str | None:
        """The segment that took most of the work; None without work."""
        return max(SEGMENTS, key=lambda item: self.work_us.get(item, 0)) if self.seconds else None

    @property
    def seconds(self) -> float:
        """Total duration of its attempts in seconds."""
        return sum(self.work_us.values()) / 1e6

    def _per_second(self, amount: int) -> float | None:
        return amount / self.seconds if self.seconds else None


def places(attempt: GoodputAttempt) -> dict[str, int]:
    """Return the rows of one attempt by place.

    Accepted rows are published by the attempt that was held.
    """
    results = dict.fromkeys(PLACES, 0)
    for publication in attempt.publications:
        results[publication.place] += publication.rows
    rest = max(0, attempt.rows - sum(publication.rows for publication in attempt.publications))
    place = REJECTED if attempt.state == "published" else _OF_STATE.get(attempt.state, RETRY)
    results[_OF_DECISION.get(attempt.decided, HELD) if place == HELD else place] += rest
    return results


def by_node(rows: Iterable[GoodputAttempt]) -> list[Goodput]:
    """Return the goodput of each node, in the order of first appearance."""
    results: dict[str, list[GoodputAttempt]] = {}
    for row in rows:
        results.setdefault(row.node, []).append(row)
    return [_sum(node, attempts) for node, attempts in results.items()]


def _good_bytes(attempt: GoodputAttempt) -> int:
    return sum(item.bytes for item in attempt.publications if item.place == GOOD)


def _sum(node: str, attempts: Sequence[GoodputAttempt]) -> Goodput:
    deliveries: dict[int, list[GoodputAttempt]] = {}
    counted: list[tuple[GoodputAttempt, dict[str, int]]] = []
    for attempt in _with_corrected_ends(attempts):
        if attempt.delivery is not None:
            deliveries.setdefault(attempt.delivery, []).append(attempt)
        else:
            counted.append((attempt, places(attempt)))
    delivered = sum(sum(rows.values()) for _, rows in counted)
    for of_delivery in deliveries.values():
        counted_once = list(_of_delivery(of_delivery))
        delivered += _delivered_rows(
            [rows for _, rows in counted_once], before_window=of_delivery[0].before
        )
        counted += counted_once
    total = {place: sum(rows[place] for _, rows in counted) for place in PLACES}
    return Goodput(
        node=node,
        attempts=len(attempts),
        staged=sum(total.values()),
        delivered=delivered,
        places=total,
        good_bytes=sum(_good_bytes(attempt) for attempt, _ in counted),
        work_us={
            name: sum(attempt.work_us.get(name, 0) for attempt in attempts) for name in SEGMENTS
        },
        delivered_bytes=_delivered_bytes(attempts),
        staged_bytes=sum(attempt.bytes_out for attempt in attempts),
        published=sum(item.rows for attempt in attempts for item in attempt.publications),
        published_bytes=sum(item.bytes for attempt in attempts for item in attempt.publications),
    )


def _delivered_bytes(attempts: Sequence[GoodputAttempt]) -> int:
    """Return the bytes that attempts read, those of a delivery once."""
    by_delivery: dict[int, int] = {}
    several = 0
    for attempt in attempts:
        if attempt.delivery is None:
            several += attempt.bytes_in
        elif not attempt.before:
            most = max(by_delivery.get(attempt.delivery, 0), attempt.bytes_in)
            by_delivery[attempt.delivery] = most
    return several + sum(by_delivery.values())


def _delivered_rows(by_attempt: Sequence[Mapping[str, int]], *, before_window: bool) -> int:
    """Return the rows that a vendor delivered, from the rows by place of each attempt at them.

    Of a delivery before the window, only the rows count about which something new was decided.
    """
    not_new = (IDENTICAL, RETRY, WAITING) if before_window else (IDENTICAL,)
    most = max(
        sum(number for place, number in rows.items() if place not in not_new) for rows in by_attempt
    )
    return max(most, sum(rows[GOOD] for rows in by_attempt))


def _of_delivery(
    attempts: Sequence[GoodputAttempt],
) -> Iterator[tuple[GoodputAttempt, dict[str, int]]]:
    """Yield the attempts at one delivery with their rows by place.

    Attempts without a publication before the last decisive one count as `retry`. A failed attempt
    decides nothing.
    """
    last = max((n for n, attempt in enumerate(attempts) if attempt.state in _SETTLED), default=0)
    for n, attempt in enumerate(attempts):
        if n < last and not attempt.publications:
            yield attempt, {**dict.fromkeys(PLACES, 0), RETRY: attempt.rows}
        else:
            yield attempt, places(attempt)


def _with_corrected_ends(attempts: Sequence[GoodputAttempt]) -> list[GoodputAttempt]:
    """Return the attempts of one node with corrected ends of publications.

    A publication that an identical one replaced stays current as long as its replacement.
    """
    every = [
        (publication.at_us, n, publication)
        for n, attempt in enumerate(attempts)
        for publication in attempt.publications
    ]
    following: dict[str, GoodputPublication] = {}
    results: list[list[GoodputPublication]] = [[] for _ in attempts]
    for _, n, publication in sorted(every, key=lambda item: item[:2], reverse=True):
        after, goodput_publication = following.get(publication.partition), publication
        same = after if after is not None and after.identical and not after.wrong else None
        if same is not None and same.at_us == publication.ended_us:
            goodput_publication = msgspec.structs.replace(publication, ended_us=same.ended_us)
        following[publication.partition] = goodput_publication
        results[n].append(goodput_publication)
    return [
        msgspec.structs.replace(attempt, publications=tuple(results[n]))
        for n, attempt in enumerate(attempts)
    ]


# Scores of a source: utility, stability and quality, never combined into one. Shares are lower
# bounds (Wilson, 95 %), so that a few good deliveries don't make a good score.

DELIVERIES_LEAST = 10
"""With fewer deliveries there is no score."""
_Z = 1.959963984540054


class SourceDeliveries(msgspec.Struct, frozen=True):
    """What a source delivered over a window.

    `expected` counts the intervals that were due, `on_time` those whose first delivery came by the
    promised time. Deliveries that repeat the content of an earlier one aren't counted. `changed`
    counts deliveries with another schema or format, or that restated data. `refused` counts the
    other deliveries that were held, rejected or replaced.
    """

    source: str
    owner: str
    deliveries: int
    expected: int
    on_time: int
    missing: int
    changed: int
    refused: int
    rows_accepted: int
    rows_refused: int
    rows_missing: int
    """Estimated: the median rows of a delivery for each missing interval."""
    consumers: int
    reads: int


class SourceScore(msgspec.Struct, frozen=True):
    """Scores between 0 and 1; None with fewer than `DELIVERIES_LEAST` deliveries."""

    stability: float | None
    quality: float | None


def score_source(deliveries: SourceDeliveries) -> SourceScore:
    """Return stability (on time and unchanged) and quality (accepted rows) of a source.

    A refused delivery says nothing of stability, so that corrections don't raise it. Quality is the
    share of accepted rows in all rows that were delivered or should have been.
    """
    if deliveries.deliveries < DELIVERIES_LEAST:
        return SourceScore(None, None)
    punctual = (
        lower_bound(deliveries.on_time / deliveries.expected, deliveries.expected)
        if deliveries.expected
        else 1.0
    )
    usable = deliveries.deliveries - deliveries.refused
    steady = lower_bound((usable - deliveries.changed) / usable, usable) if usable else 0.0
    rows = deliveries.rows_accepted + deliveries.rows_refused + deliveries.rows_missing
    accepted = (
        lower_bound(deliveries.rows_accepted / rows, deliveries.deliveries + deliveries.missing)
        if rows
        else 0.0
    )
    return SourceScore(punctual * steady, accepted)


def lower_bound(share: float, n: int) -> float:
    """Return the lower bound of the true share if `share` of `n` was observed (Wilson, 95 %)."""
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    return max(0.0, (share + _Z * _Z / (2 * n) - spread) / (1 + _Z * _Z / n))
