"""Faults of every kind played in random projects: what they let be seen, as it flows, next to
warnings and changes that mean nothing.

What is emitted follows from what happens to data and machines (`StateFacts.reached`), not from the
rules under test: one fault shows itself at its own node mostly, further down sometimes, now and
then late, and clocks disagree by minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from simulated_worlds import DAYS, HOUR_US, StateFacts, facts, key, midnight

from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.model.causes import HEADRACE, Cause, CauseKind

MINUTE_US = 60_000_000
K, F = CauseKind, Family
NOTICED = 0.97
"""How often what is wrong with data is noticed where it comes in."""
HARMLESS = (F.NULLS, F.DISTRIBUTION, F.VOLUME)
KIND_OF = {
    F.NULLS: K.NULL_SPIKE,
    F.DISTRIBUTION: K.DISTRIBUTION_SHIFT,
    F.VOLUME: K.VOLUME_ANOMALY,
    F.DUPLICATES: K.DUPLICATE_ROWS,
    F.STALE: K.STALE_DATA,
    F.REFERENCE: K.REFERENCE_BROKEN,
}
SHOWS: dict[CauseKind, tuple[Family, ...]] = {
    K.SCHEMA_CHANGE: (F.ERROR, F.ERROR, F.NULLS),
    K.TYPE_CHANGE: (F.ERROR, F.ERROR, F.NULLS),
    K.FORMAT_CHANGE: (F.ERROR, F.DISTRIBUTION, F.NULLS),
    K.STALE_DATA: (F.STALE, F.VOLUME),
    K.DUPLICATE_ROWS: (F.DUPLICATES, F.VOLUME),
    K.VOLUME_ANOMALY: (F.VOLUME, F.VOLUME, F.DISTRIBUTION),
    K.NULL_SPIKE: (F.NULLS, F.NULLS, F.DISTRIBUTION),
    K.DISTRIBUTION_SHIFT: (F.DISTRIBUTION,),
}
ERRORS = {
    K.SCHEMA_CHANGE: "Binder Error: Referenced column \"x\" not found in FROM clause",
    K.TYPE_CHANGE: "Conversion Error: Could not convert string 'n/a' to INT32",
    K.FORMAT_CHANGE: "Conversion Error: date field value out of range",
}  # fmt: skip
OWN = {K.SCHEMA_CHANGE: F.SCHEMA, K.TYPE_CHANGE: F.TYPE, K.FORMAT_CHANGE: F.FORMAT} | {
    kind: family for family, kind in KIND_OF.items()
}
BUGS = (
    "division by zero",
    "KeyError: 'total'",
    "AttributeError: 'NoneType' object has no attribute 'x'",
    "list index out of bounds",
)


@dataclass
class Injected:
    """A fault: any of `nodes` is right. `ids` is the evidence that it made, `own` what of it is
    seen at these nodes.
    """

    kind: CauseKind
    nodes: set[str]
    ids: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)


@dataclass
class Case:
    seed: int
    facts: StateFacts
    evidence: list[Evidence]
    injected: list[Injected]
    now_us: int


class Story:
    """One project in which things go wrong."""

    def __init__(self, random: Random) -> None:
        self.random, self.facts = random, facts(random)
        self.evidence: list[Evidence] = []
        self.injected: list[Injected] = []

    def see(
        self,
        fault: Injected | None,
        node: str,
        day: int | None,
        family: Family,
        kind: str = "",
        column: str = "",
        **more: object,
    ) -> None:
        hours = float(more.pop("hours", 6.0))  # type: ignore[arg-type]
        at = (
            midnight(day if day is not None else DAYS - 2)
            + int(hours * HOUR_US)
            + self.random.randint(-5, 5) * MINUTE_US
        )
        item = Evidence(
            id=f"e{len(self.evidence):04d}",
            node=node,
            partition="" if day is None or self._whole(node) else key(day),
            family=family,
            kind=kind,
            column=column,
            **({"strength": 12.0, "at_us": at} | more),  # type: ignore[arg-type]
        )
        self.evidence.append(item)
        if fault is not None:
            fault.ids.append(item.id)
            if node in fault.nodes:
                fault.own.append(item.id)

    def fault(self, kind: CauseKind, *nodes: str) -> Injected:
        item = Injected(kind, set(nodes))
        self.injected.append(item)
        return item

    def pick(self, **of: bool) -> str:
        taken = {name for item in self.injected for name in item.nodes}
        free = [name for name in self.facts.of(**of) if name not in taken]
        return self.random.choice(free or self.facts.of(**of))

    def _whole(self, node: str) -> bool:
        return node in self.facts.nodes and (
            self.facts.nodes[node].whole or self.facts.nodes[node].consumer
        )

    def days(self) -> list[int]:
        first = self.random.randint(3, DAYS - 5)
        return list(range(first, first + self.random.choice((1, 1, 3))))

    def noise(self) -> None:
        """Warnings about nothing, and changes that broke nothing."""
        for _ in range(self.random.randint(0, 5)):
            name = self.pick(source=True, asset=True)
            family, day = self.random.choice(HARMLESS), self.random.randrange(DAYS)
            if any(item.family is F.CHANGE and item.node == name for item in self.evidence):
                continue  # what is odd right after a body was changed is no coincidence
            column = (
                "" if family is F.VOLUME else self.random.choice(self.facts.nodes[name].columns)
            )
            times = f"× {self.random.choice((0.5, 0.8, 1.3, 1.8))}" if family is F.VOLUME else ""
            self.see(
                None,
                name,
                day,
                family,
                KIND_OF[family],
                column,
                held=False,
                strength=self.random.uniform(9, 15),
                detail=times,
            )
        for _ in range(self.random.randint(0, 2)):
            detail, hours = (
                self.random.choice(("body", "checks", "metadata")),
                self.random.uniform(-30, 20),
            )
            warned = {item.node for item in self.evidence if not item.held}
            name = self.pick(asset=True)
            if name not in warned:
                self.see(
                    None,
                    name,
                    self.random.randrange(DAYS),
                    F.CHANGE,
                    detail=detail,
                    held=False,
                    hours=hours,
                )


# -- data that is wrong where it comes in


def data(story: Story, kind: CauseKind) -> None:
    random, days = story.random, story.days()
    name = story.pick(source=True)
    fault = story.fault(kind, name)
    rows = kind in (K.VOLUME_ANOMALY, K.DUPLICATE_ROWS, K.STALE_DATA, K.FORMAT_CHANGE)
    columns = random.sample(story.facts.nodes[name].columns, random.randint(1, 2))
    held, noticed = random.random() < 0.6, random.random() < NOTICED
    reached = [
        place for day in days for place in story.facts.reached(name, day, None if rows else columns)
    ]
    if not reached:
        held = noticed = True
    if noticed:
        for day in days:
            at_source(story, fault, name, day, columns, held=held)
    if held and noticed:
        without(story, fault, reached)
    else:
        further_down(story, fault, reached)


def at_source(
    story: Story, fault: Injected, name: str, day: int, columns: Sequence[str], *, held: bool
) -> None:
    kind, random = fault.kind, story.random
    exact = kind in (
        K.SCHEMA_CHANGE,
        K.TYPE_CHANGE,
        K.FORMAT_CHANGE,
        K.STALE_DATA,
        K.DUPLICATE_ROWS,
    )
    strength = 20.0 if exact else random.uniform(8.0 if held else 9.0, 30.0)
    details = {
        K.SCHEMA_CHANGE: "renamed; same type",
        K.VOLUME_ANOMALY: "× 0.42",
        K.DISTRIBUTION_SHIFT: "location: × 100 (per cent?)",
    }
    whole = kind in (K.VOLUME_ANOMALY, K.DUPLICATE_ROWS, K.STALE_DATA)
    for column in [""] if whole else columns:
        story.see(
            fault,
            name,
            day,
            OWN[kind],
            kind,
            column,
            held=held,
            strength=strength,
            hours=5,
            detail=details.get(kind, ""),
        )
    if held and random.random() < 0.3:  # what else is odd about it follows from that
        side = random.choice((F.DISTRIBUTION, F.CHECK))
        about = "" if side is F.CHECK else random.choice(columns)
        story.see(
            fault,
            name,
            day,
            side,
            K.DISTRIBUTION_SHIFT,
            about,
            hours=5,
            strength=9.0,
            detail="values_known" if side is F.CHECK else "",
        )


def without(story: Story, fault: Injected, reached: Sequence[tuple[str, int, list[str]]]) -> None:
    """What is held isn't there for those that read whatever there is."""
    for name, day, _ in reached:
        if story.facts.nodes[name].whole and story.random.random() < 0.2:
            story.see(fault, name, day, F.CHECK, K.STALE_DATA, hours=9, detail="fresh")


def further_down(
    story: Story, fault: Injected, reached: Sequence[tuple[str, int, list[str]]]
) -> None:
    """Warnings and failures where wrong data was read; at least one failure, else nobody would call
    it an incident.
    """
    random, least = story.random, story.random.randrange(min(3, len(reached)))
    for number, (name, day, columns) in enumerate(reached[:60]):
        if story.facts.nodes[name].consumer:
            continue
        late = random.uniform(0, 20) if random.random() < 0.2 else 0.0
        if number == least or random.random() < 0.25:
            fails(story, fault, name, day, 7 + late)
        elif random.random() < 0.3:
            family = random.choice([item for item in SHOWS[fault.kind] if item is not F.ERROR])
            column = (
                ""
                if family in (F.VOLUME, F.DUPLICATES, F.STALE) or not columns
                else random.choice(columns)
            )
            held = random.random() < 0.3
            story.see(
                fault,
                name,
                day,
                family,
                KIND_OF[family],
                column,
                held=held,
                strength=random.uniform(8, 20),
                hours=7 + late,
            )


def fails(story: Story, fault: Injected, name: str, day: int, hours: float) -> None:
    family = story.random.choice((*SHOWS[fault.kind], F.CHECK))
    if family is F.ERROR:
        story.see(
            fault,
            name,
            day,
            F.ERROR,
            hours=hours,
            observed=ERRORS[fault.kind],
            error_kind="deterministic",
        )
    else:
        kind = story.random.choice(
            [KIND_OF.get(item, K.DISTRIBUTION_SHIFT) for item in SHOWS[fault.kind]]
        )
        story.see(fault, name, day, F.CHECK, kind, hours=hours, detail=f"{name}_ok", strength=30.0)


def restated(story: Story) -> None:
    name = story.pick(source=True)
    fault, day = story.fault(K.RESTATEMENT, name), story.random.randint(0, 5)
    story.see(
        fault,
        name,
        day,
        F.RESTATED,
        K.RESTATEMENT,
        held=False,
        strength=20.0,
        hours=60,
        detail="12 rows changed",
    )
    for other, at, _ in story.facts.reached(name, day, None)[:10]:
        if story.random.random() < 0.1 and not story.facts.nodes[other].consumer:
            story.see(
                fault,
                other,
                at,
                F.VOLUME,
                K.VOLUME_ANOMALY,
                held=False,
                strength=9.5,
                hours=62 + 24 * max(0, day - at),
            )


def reference(story: Story) -> None:
    """Keys of one input that another doesn't have: seen where they are joined."""
    name = story.pick(asset=True)
    fault = story.fault(K.REFERENCE_BROKEN, name)
    for day in story.days():
        story.see(
            fault,
            name,
            day,
            story.random.choice((F.CHECK, F.REFERENCE)),
            K.REFERENCE_BROKEN,
            detail="known",
            strength=30.0,
        )


# -- what isn't there


def late(story: Story, kind: CauseKind) -> None:
    name, days = story.pick(source=True), story.days()
    fault = story.fault(kind, name)
    for day in days:
        item = kind if day == days[0] else story.random.choice((kind, K.LATE_SOURCE))
        story.see(
            fault,
            name,
            day,
            F.ARRIVAL,
            item,
            hours=8,
            expected="by 05:00",
            observed="nothing was delivered",
        )
    without(story, fault, [place for day in days for place in story.facts.reached(name, day, None)])


def observations(story: Story, kind: CauseKind) -> None:
    """A source, or all that a host holds, can't be inspected: deliveries are late with it."""
    random, first = story.random, story.pick(source=True)
    host = story.facts.nodes[first].host
    same = [name for name in story.facts.of(source=True) if story.facts.nodes[name].host == host]
    names = same if len(same) >= 3 and random.random() < 0.7 else [first]
    fault, day = story.fault(kind, *names), story.days()[0]
    said = (
        "HTTP 403 Forbidden"
        if kind is K.ACCESS_DENIED
        else random.choice(("connection refused", "timed out", "HTTP 503"))
    )
    named = kind.value if random.random() < 0.8 else ""
    for name in names:
        story.see(
            fault,
            name,
            None,
            F.ACCESS,
            named,
            observed=said,
            host=host,
            error_kind="transient",
            at_us=midnight(day) + 2 * HOUR_US,
        )
        if random.random() < 0.6:
            story.see(
                fault,
                name,
                day,
                F.ARRIVAL,
                random.choice(("", K.LATE_SOURCE.value)),
                hours=8,
                observed="nothing was delivered",
            )


# -- code and machines


def code(story: Story) -> None:
    """A body that fails, or gives out other data, since it was changed; or fails for no known
    reason."""
    random, name = story.random, story.pick(asset=True)
    fault, days = story.fault(K.CODE_ERROR, name), story.days()
    changed = random.random() < 0.7
    if changed:
        story.see(
            None, name, days[0], F.CHANGE, held=False, detail="body", hours=random.uniform(-10, 4)
        )
    if not changed or random.random() < 0.5:
        said = random.choice(BUGS)
        for day in days:
            story.see(fault, name, day, F.ERROR, observed=said, error_kind="deterministic", hours=7)
        return
    kind = random.choice((K.DISTRIBUTION_SHIFT, K.NULL_SPIKE, K.VOLUME_ANOMALY, K.DUPLICATE_ROWS))
    rows = kind in (K.VOLUME_ANOMALY, K.DUPLICATE_ROWS)
    columns = random.sample(story.facts.nodes[name].columns, 1)
    held = random.random() < 0.5
    reached = [
        place for day in days for place in story.facts.reached(name, day, None if rows else columns)
    ]
    reached = [place for place in reached if not story.facts.nodes[place[0]].consumer]
    for day in days:
        story.see(
            fault,
            name,
            day,
            OWN[kind],
            kind,
            "" if rows else columns[0],
            held=held or not reached,
            strength=18.0,
            hours=7,
        )
    if not held and reached:
        further_down(story, Injected(kind, {name}, fault.ids, fault.own), reached)


def resources(story: Story) -> None:
    random = story.random
    full = random.random() < 0.4
    names = (
        random.sample(story.facts.of(asset=True), random.randint(2, 6))
        if full
        else [story.pick(asset=True)]
    )
    fault, day = story.fault(K.RESOURCE_EXHAUSTED, *names), story.days()[0]
    for name in names:
        said = (
            "IO Error: No space left on device"
            if full
            else "Out of Memory Error: could not allocate"
        )
        story.see(
            fault,
            name,
            day,
            F.RESOURCES,
            observed=said,
            error_kind="resources",
            hours=7 + random.uniform(0, 0.1),
        )


def workers(story: Story) -> None:
    random = story.random
    names = random.sample(story.facts.of(asset=True), random.choice((1, 1, 3, 4)))
    fault, day = story.fault(K.WORKER_LOST, *names), story.days()[0]
    for name in names:
        story.see(
            fault,
            name,
            day,
            F.LOST,
            observed="its worker was ended by SIGKILL",
            error_kind="lost_worker",
            hours=7,
            host="machine-1",
        )


def slow(story: Story) -> None:
    name = story.pick(asset=True)
    story.see(
        story.fault(K.SLOW_RUN, name),
        name,
        story.days()[0],
        F.DURATION,
        K.SLOW_RUN,
        held=False,
        strength=8.0,
        hours=8,
    )


def deadline(story: Story) -> None:
    name = story.pick(consumer=True)
    story.see(
        story.fault(K.DEADLINE_INFEASIBLE, name),
        name,
        story.days()[0],
        F.ARRIVAL,
        K.DEADLINE_INFEASIBLE,
        strength=6.0,
        hours=9,
    )


def destination(story: Story) -> None:
    name = story.pick(consumer=True)
    fault = story.fault(K.DESTINATION_UNAVAILABLE, name)
    for day in story.days():
        story.see(
            fault,
            name,
            day,
            F.EXPORT,
            observed="connection refused",
            detail="destination_unavailable",
            error_kind="transient",
        )


def configuration(story: Story) -> None:
    name = story.pick(source=True)
    fault, day = story.fault(K.CONFIGURATION_ERROR, name), story.days()[0]
    story.see(None, name, day, F.CHANGE, held=False, detail="body", hours=2)
    if story.random.random() < 0.5:
        story.see(
            fault,
            name,
            None,
            F.ACCESS,
            K.CONFIGURATION_ERROR,
            observed="no such folder",
            at_us=midnight(day) + 3 * HOUR_US,
        )
    else:
        story.see(fault, name, day, F.ARRIVAL, K.LATE_SOURCE, hours=8)


# -- what people do, and Headrace's absence


def act(story: Story, kind: CauseKind) -> None:
    name = story.pick(source=True, asset=True)
    fault = story.fault(kind, name)
    story.see(fault, name, None, F.ACT, kind, observed="by maria: upgrade", strength=12.0)


def absence(story: Story) -> None:
    fault, day = story.fault(K.RUNTIME_DOWN, HEADRACE), story.days()[0]
    down = midnight(day) + 2 * HOUR_US
    story.see(
        fault, HEADRACE, None, F.ABSENCE, K.RUNTIME_DOWN, at_us=down + 9 * HOUR_US, began_us=down
    )
    for name in story.facts.of(consumer=True)[:2]:
        due = down + 3 * HOUR_US
        story.see(
            fault,
            name,
            day,
            F.ARRIVAL,
            K.DEADLINE_INFEASIBLE,
            strength=6.0,
            hours=11.5,
            began_us=due,
        )


def report(story: Story) -> None:
    name, day = story.pick(source=True, asset=True), story.days()[0]
    fault = story.fault(K.REPORTED, name)
    story.see(fault, name, day, F.ACT, K.REPORTED, observed="fares look halved", hours=30)
    for other, at, _ in story.facts.reached(name, day, None)[:5]:
        if story.random.random() < 0.3 and not story.facts.nodes[other].consumer:
            story.see(fault, other, at, F.CHECK, K.DISTRIBUTION_SHIFT, hours=32, detail="plausible")


def riddle(story: Story) -> None:
    name = story.pick(asset=True)
    story.see(
        story.fault(K.UNKNOWN, name),
        name,
        story.days()[0],
        F.CHECK,
        observed="held by a person's policy",
        strength=4.0,
    )


def _of(play: Callable[[Story, CauseKind], None], kind: CauseKind) -> Callable[[Story], None]:
    return lambda story: play(story, kind)


PLAYS: dict[CauseKind, Callable[[Story], None]] = {
    **{kind: _of(data, kind) for kind in SHOWS},
    K.RESTATEMENT: restated,
    K.REFERENCE_BROKEN: reference,
    K.LATE_SOURCE: _of(late, K.LATE_SOURCE),
    K.MISSING_SOURCE: _of(late, K.MISSING_SOURCE),
    K.SOURCE_UNAVAILABLE: _of(observations, K.SOURCE_UNAVAILABLE),
    K.ACCESS_DENIED: _of(observations, K.ACCESS_DENIED),
    K.CODE_ERROR: code,
    K.RESOURCE_EXHAUSTED: resources,
    K.WORKER_LOST: workers,
    K.SLOW_RUN: slow,
    K.DEADLINE_INFEASIBLE: deadline,
    K.DESTINATION_UNAVAILABLE: destination,
    K.CONFIGURATION_ERROR: configuration,
    K.PAUSED: _of(act, K.PAUSED),
    K.APPROVAL_PENDING: _of(act, K.APPROVAL_PENDING),
    K.RUNTIME_DOWN: absence,
    K.REPORTED: report,
    K.UNKNOWN: riddle,
}


def case(kind: CauseKind, seed: int, *, two: bool = False) -> Case:
    """A project in which a fault of a kind is played, and with `two` another one at some other
    node.
    """
    story = Story(Random(f"{kind}:{seed}:{two}"))
    PLAYS[kind](story)
    if two:
        PLAYS[story.random.choice(list(PLAYS))](story)
    story.noise()
    story.random.shuffle(story.evidence)
    return Case(seed, story.facts, story.evidence, story.injected, midnight(DAYS + 3))


def found(item: Injected, causes: Sequence[Cause]) -> Cause | None:
    """The cause that most of a fault's own evidence is put down to; where none was noticed, most of
    what it brought about.
    """
    mine = set(item.own or item.ids)
    best = max(causes, key=lambda cause: len(mine & set(cause.explains)), default=None)
    return best if best is not None and mine & set(best.explains) else None


def right(item: Injected, cause: Cause | None) -> bool:
    return cause is not None and cause.kind == item.kind and cause.node in item.nodes


def story_of_nothing(seed: int) -> Case:
    """A project in which nothing is wrong, and a good deal is warned of."""
    story = Story(Random(f"nothing:{seed}"))
    for _ in range(3):
        story.noise()
    return Case(seed, story.facts, story.evidence, [], midnight(DAYS + 3))
