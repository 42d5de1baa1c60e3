"""A world of plain lists for tests of what is judged, and short ways to declare what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place
from headrace.model.intervals import to_us
from headrace.slo.declared_promises import WHOLE, DeclaredPromises, Node, Terms
from headrace.slo.facts import (
    AcceptedPartition,
    BackfillFailure,
    Damage,
    Newest,
    PartitionStateFacts,
    Pausing,
    RecordedObligation,
    StateFacts,
    UnreadableSource,
    Unusual,
    VisiblePublication,
)
from headrace.slo.obligations import EvaluationContext
from headrace.slo.status import Status, evaluate_in_context

ZONE = "America/New_York"


def at(text: str, zone: str = ZONE) -> int:
    """`2013-02-12 04:40` in the zone, as microseconds."""
    return to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def reads(
    name: str,
    *,
    mode: InputMode = InputMode.REQUIRED,
    lookback: str | None = None,
    optional: bool = False,
) -> InputSpec:
    return InputSpec(
        node=name, mode=mode, lookback=lookback, optional=optional, place=Place(file="x")
    )


def node(
    name: str, grain: Grain | None, *inputs: InputSpec | str, source: bool = False, **more: object
) -> Node:
    specs = tuple(reads(item) if isinstance(item, str) else item for item in inputs)
    return Node(
        name, source, PartitionSpec(grain=grain), str(more.pop("timezone", ZONE)), specs, **more
    )  # type: ignore[arg-type]


def consumer(
    name: str, *assets: str, per: Grain = Grain.DAY, zone: str = ZONE, **more: object
) -> Terms:
    return Terms(name, f"owner of {name}", assets, per, zone, **more)  # type: ignore[arg-type]


def declare(nodes: list[Node], *consumers: Terms) -> DeclaredPromises:
    return DeclaredPromises(ZONE, {node.name: node for node in nodes}, consumers)


def evaluate_status(declared: DeclaredPromises, facts: StateFacts, now_us: int) -> Status:
    return evaluate_in_context(EvaluationContext(declared, facts), now_us)


@dataclass
class Publication:
    node: str
    partition: str
    at_us: int
    snapshot: int
    rows: int
    verdict: str
    read: int


@dataclass
class SmallFacts:
    """The facts as lists. `publish` numbers snapshots by itself; what reads, reads the newest
    snapshot unless told.
    """

    publications: list[Publication] = field(default_factory=list)
    partition_states: dict[tuple[str, str], PartitionStateFacts] = field(default_factory=dict)
    looked: dict[str, list[int]] = field(default_factory=dict)
    delivered: dict[str, str] = field(default_factory=dict)
    obligations: dict[str, list[RecordedObligation]] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    led: bool = True
    promised: dict[str, int] = field(default_factory=dict)
    paused: dict[str, Pausing] = field(default_factory=dict)
    taken_back: set[tuple[str, str]] = field(default_factory=set)
    accepted: list[AcceptedPartition] = field(default_factory=list)
    p95: dict[str, float] = field(default_factory=dict)
    odd: list[Unusual] = field(default_factory=list)
    cut_short: dict[tuple[str, str], Damage] = field(default_factory=dict)
    unread: dict[str, UnreadableSource] = field(default_factory=dict)

    def publish(
        self,
        name: str,
        key: str,
        at_us: int,
        *,
        rows: int = 10,
        verdict: str = "passed",
        read: int | None = None,
        snapshot: int | None = None,
    ) -> None:
        last = max((publication.snapshot for publication in self.publications), default=0)
        read_snapshot = last if read is None else read
        self.publications.append(
            Publication(name, key, at_us, snapshot or last + 1, rows, verdict, read_snapshot)
        )
        self.partition_states[name, key] = PartitionStateFacts("published", True, False, "", at_us)

    def stand(self, name: str, key: str, state: str, since_us: int, reason: str = "") -> None:
        self.partition_states[name, key] = PartitionStateFacts(
            state, any(self._of(name, key)), False, reason, since_us
        )

    def look(self, name: str, *times: int) -> None:
        self.looked.setdefault(name, []).extend(times)

    def _of(self, name: str, key: str | None = None) -> list[Publication]:
        result = [
            publication
            for publication in self.publications
            if publication.node == name and key in (None, publication.partition)
        ]
        return sorted(result, key=lambda item: item.at_us)

    # headrace.slo.facts.StateFacts

    def expect(self, *_names: object) -> None:
        pass

    def first(self, node: str, partition: str) -> VisiblePublication | None:
        result = self._of(node, partition) if (node, partition) not in self.taken_back else []
        return VisiblePublication(result[0].at_us, result[0].snapshot) if result else None

    def first_reading(self, node: str, snapshot: int, since_us: int) -> VisiblePublication | None:
        result = [
            item
            for item in self._of(node, WHOLE)
            if item.read >= snapshot and item.at_us >= since_us
        ]
        return VisiblePublication(result[0].at_us, result[0].snapshot) if result else None

    def newest(self, node: str) -> Newest | None:
        result = self._of(node)
        if not result:
            return None
        newest = max(result, key=lambda item: (item.partition, item.at_us))
        return Newest(
            newest.partition, newest.at_us, newest.verdict, min(item.partition for item in result)
        )

    def exported(self, node: str, export: str) -> int | None:
        written = self._of(export)
        result = [
            item
            for item in self._of(node)
            if not written or item.snapshot <= max(each.read for each in written)
        ]
        return None if not result else result[-1 if written else 0].at_us

    def rows(self, node: str, partition: str) -> int | None:
        result = self._of(node, partition)
        return result[-1].rows if result else None

    def published_between(self, node: str, first: str, last: str) -> int:
        return len({item.partition for item in self._of(node) if first <= item.partition <= last})

    def keys(self, node: str, moment: str) -> list[str]:
        result = {key for name, key in self.partition_states if name == node}
        return sorted(
            key.removeprefix(f"{moment}/")
            for key in result
            if not moment or key.startswith(f"{moment}/")
        )

    def partition_state(self, node: str, partition: str) -> PartitionStateFacts | None:
        return self.partition_states.get((node, partition))

    def stale_nodes(self) -> set[str]:
        return self.stale

    def stopped_nodes(self) -> set[str]:
        stopped = ("held", "rejected", "failed", "withdrawn", "waived")
        return {name for (name, _), row in self.partition_states.items() if row.state in stopped}

    def quarantined_nodes(self) -> set[str]:
        return {
            name
            for (name, _), state in self.partition_states.items()
            if state.state in ("held", "rejected")
        }

    def oldest_delivery(self, source: str) -> str | None:
        return self.delivered.get(source)

    def observations(self, source: str) -> list[int]:
        return sorted(self.looked.get(source, []), reverse=True)[:50]

    def recorded_obligations(self, consumer: str) -> list[RecordedObligation]:
        return self.obligations.get(consumer, [])

    def promised_at(self, consumer: str) -> int | None:
        """Ever since, unless a test says when."""
        return self.promised.get(consumer, 0)

    def promised_since(self, consumer: str) -> int | None:
        return self.promised.get(consumer, 0)

    def pauses(self) -> dict[str, Pausing]:
        return self.paused

    def is_led(self) -> bool:
        return self.led

    def withdrawn(self) -> frozenset[tuple[str, str]]:
        return frozenset(self.taken_back)

    def damaged(self) -> Mapping[tuple[str, str], Damage]:
        return self.cut_short

    def failed_in_backfill(self, node: str, partition: str) -> BackfillFailure | None:
        return None

    def unreadable(self) -> Mapping[str, UnreadableSource]:
        return self.unread

    def unusual(self) -> list[Unusual]:
        return self.odd

    def exceptions(self) -> list[AcceptedPartition]:
        return self.accepted

    def seconds(self, node: str) -> float | None:
        return self.p95.get(node)
