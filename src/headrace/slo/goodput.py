"""Goodput and waste of rows, and scores of sources over a window (SEMANTICS §7). Pure.

Rows come in; figures, and the rows that they are made of, come out. Figures are never summed over layers, and nothing is said of what
nobody observed.
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
"""`retry`: of attempts that failed or were lost, and of a delivery that was ingested again. `held`:
kept from readers until somebody decides. `rejected`: of what didn't pass, or was dropped.
`superseded`: replaced or taken back since, or delivered again while held. `identical`: the same as
what was there. `wrong`: named by an incident. `waiting`: of a plan that isn't published."""
REWORKED = (RETRY, SUPERSEDED, IDENTICAL)
"""Rows that were computed or ingested more than once."""
SEGMENTS = ("run", "audit", "publish")
_SETTLED = ("published", "held", "rejected")
"""States of an attempt that decided about its delivery; what was before no longer counts."""
_OF_DECISION = {"superseded": SUPERSEDED, "dropped": REJECTED, "released": RETRY}
"""Where held rows are that nobody can decide about any more."""
_OF_STATE = {"held": HELD, "rejected": REJECTED, "staged": WAITING, "queued": WAITING, "running": WAITING}


class GoodputPublication(msgspec.Struct, frozen=True):
    """A publication of an attempt, and how it stood when the window ended."""

    partition: str
    rows: int
    identical: bool
    ended_us: int | None
    """None: readers still saw it."""
    wrong: bool
    bytes: int = 0
    at_us: int = 0

    @property
    def place(self) -> str:
        """Where its rows went."""
        if self.wrong:
            return WRONG
        if self.identical:
            return IDENTICAL
        return GOOD if self.ended_us is None else SUPERSEDED


class GoodputAttempt(msgspec.Struct, frozen=True):
    """An attempt that ended in the window: its state, the rows that it was about, and what of them was published.

    `delivery` is that of a source, `work_us` how long it took by segment. `decided` is what became
    of what it held; `before`: an attempt before the window had decided about its delivery.
    """

    node: str
    attempt: str
    state: str
    at_us: int
    rows: int
    made: tuple[GoodputPublication, ...] = ()
    delivery: int | None = None
    work_us: Mapping[str, int] = {}
    decided: str = ""
    before: bool = False


class Goodput(msgspec.Struct, frozen=True):
    """Of one node: rows staged, and where they went. The places sum to `staged`."""

    node: str
    attempts: int
    staged: int
    delivered: int
    """Of a source the rows that its vendor delivered, each once: of each delivery the most that an
    attempt was about, of one that was ingested before the window what was decided anew; of an asset
    all that attempts staged."""
    places: dict[str, int]
    good_bytes: int = 0
    work_us: Mapping[str, int] = {}

    @property
    def good(self) -> int:
        """Rows of publications that are sound and still stand."""
        return self.places[GOOD]

    @property
    def reworked(self) -> int:
        """Rows that were computed or ingested more than once."""
        return sum(self.places[place] for place in REWORKED)

    @property
    def rows_per_second(self) -> float | None:
        """Good rows in a second of all its work, wasted work too; None where it did none."""
        return self._per_second(self.good)

    @property
    def bytes_per_second(self) -> float | None:
        """The same of bytes."""
        return self._per_second(self.good_bytes)

    @property
    def slowest(self) -> str | None:
        """The segment that took the most of its work; None where it did none."""
        return max(SEGMENTS, key=lambda item: self.work_us.get(item, 0)) if self.seconds else None

    @property
    def seconds(self) -> float:
        """What all its attempts took."""
        return sum(self.work_us.values()) / 1e6

    def _per_second(self, amount: int) -> float | None:
        return amount / self.seconds if self.seconds else None


def places(attempt: GoodputAttempt) -> dict[str, int]:
    """Where the rows of one attempt went. What was held and accepted is published by the attempt that was held."""
    results = dict.fromkeys(PLACES, 0)
    for publication in attempt.made:
        results[publication.place] += publication.rows
    rest = max(0, attempt.rows - sum(publication.rows for publication in attempt.made))
    place = REJECTED if attempt.state == "published" else _OF_STATE.get(attempt.state, RETRY)
    results[_OF_DECISION.get(attempt.decided, HELD) if place == HELD else place] += rest
    return results


def by_node(rows: Iterable[GoodputAttempt]) -> list[Goodput]:
    """Per node, in the order in which they come first."""
    results: dict[str, list[GoodputAttempt]] = {}
    for row in rows:
        results.setdefault(row.node, []).append(row)
    return [_sum(node, attempts) for node, attempts in results.items()]


def _sum(node: str, attempts: Sequence[GoodputAttempt]) -> Goodput:
    deliveries: dict[int, list[GoodputAttempt]] = {}
    for attempt in attempts:
        if attempt.delivery is not None:
            deliveries.setdefault(attempt.delivery, []).append(attempt)
    went = [(attempt, places(attempt)) for attempt in attempts if attempt.delivery is None]
    delivered = sum(sum(each.values()) for _, each in went)
    for several in deliveries.values():
        results = list(_of_delivery(several))
        most = max(_anew(each) if several[0].before else sum(each.values()) for _, each in results)
        delivered += max(most, sum(each[GOOD] for _, each in results))
        went += results
    total = {place: sum(each[place] for _, each in went) for place in PLACES}
    return Goodput(
        node=node,
        attempts=len(attempts),
        staged=sum(total.values()),
        delivered=delivered,
        places=total,
        good_bytes=sum(publication.bytes for attempt, _ in went for publication in attempt.made if publication.place == GOOD),
        work_us={name: sum(attempt.work_us.get(name, 0) for attempt in attempts) for name in SEGMENTS},
    )


def _anew(results: Mapping[str, int]) -> int:
    """Rows about which an attempt decided something else than was decided before."""
    return sum(rows for place, rows in results.items() if place not in (IDENTICAL, RETRY, WAITING))


def _of_delivery(attempts: Sequence[GoodputAttempt]) -> Iterator[tuple[GoodputAttempt, dict[str, int]]]:
    """The attempts at one delivery, and where their rows went: what was decided of it before the
    last that decided was ingested again. One that failed decided nothing."""
    last = max((n for n, attempt in enumerate(attempts) if attempt.state in _SETTLED), default=0)
    for n, attempt in enumerate(_kept(attempts)):
        if n < last and not attempt.made:
            yield attempt, {**dict.fromkeys(PLACES, 0), RETRY: attempt.rows}
        else:
            yield attempt, places(attempt)


def _kept(attempts: Sequence[GoodputAttempt]) -> list[GoodputAttempt]:
    """The same attempts at one delivery; what an identical publication of it replaced stands for as
    long as that one."""
    every = [(publication.at_us, n, publication) for n, attempt in enumerate(attempts) for publication in attempt.made]
    following: dict[str, GoodputPublication] = {}
    results: list[list[GoodputPublication]] = [[] for _ in attempts]
    for _, n, publication in sorted(every, key=lambda item: item[:2], reverse=True):
        after, goodput_publication = following.get(publication.partition), publication
        same = after if after is not None and after.identical and not after.wrong else None
        if same is not None and same.at_us == publication.ended_us:
            goodput_publication = msgspec.structs.replace(publication, ended_us=same.ended_us)
        following[publication.partition] = goodput_publication
        results[n].append(goodput_publication)
    return [msgspec.structs.replace(attempt, made=tuple(results[n])) for n, attempt in enumerate(attempts)]


# Scores of a source: utility, stability and quality, never blended into one. Shares are lower
# bounds (Wilson, 95 %) of what the deliveries show, so that a few good deliveries don't make a
# good score.

DELIVERIES_LEAST = 10
"""With fewer nothing is scored."""
WINDOW = "90d"
_Z = 1.959963984540054


class SourceDeliveries(msgspec.Struct, frozen=True):
    """What a source delivered over a window. `expected` counts the intervals that were due, `on_time` those of them whose first delivery
    came by when it was promised, `changed` the deliveries whose schema or format was another, or that restated what was sound."""

    source: str
    owner: str
    deliveries: int
    expected: int
    on_time: int
    missing: int
    changed: int
    rows_accepted: int
    rows_refused: int
    rows_missing: int
    """Estimated: as many for each missing interval as the median delivery has."""
    consumers: int
    reads: int


class SourceScore(msgspec.Struct, frozen=True):
    """Between 0 and 1; None with fewer than DELIVERIES_LEAST deliveries."""

    stability: float | None
    quality: float | None


def score_source(deliveries: SourceDeliveries) -> SourceScore:
    """Stability: on time, and without a change. Quality: rows accepted of those that were or should have been delivered."""
    if deliveries.deliveries < DELIVERIES_LEAST:
        return SourceScore(None, None)
    punctual = lower_bound(deliveries.on_time / deliveries.expected, deliveries.expected) if deliveries.expected else 1.0
    steady = lower_bound((deliveries.deliveries - deliveries.changed) / deliveries.deliveries, deliveries.deliveries)
    rows = deliveries.rows_accepted + deliveries.rows_refused + deliveries.rows_missing
    accepted = lower_bound(deliveries.rows_accepted / rows, deliveries.deliveries + deliveries.missing) if rows else 0.0
    return SourceScore(punctual * steady, accepted)


def lower_bound(share: float, n: int) -> float:
    """Of the true share, where so many of n were seen."""
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    return max(0.0, (share + _Z * _Z / (2 * n) - spread) / (1 + _Z * _Z / n))
