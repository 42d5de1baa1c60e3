"""Evidence that Headrace itself wasn't there: nobody looked, and what had arrived was found after it was due."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.observe.diagnosis.causes import HEADRACE, CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.incidents.reach import Reach
from headrace.observe.obligations import Scene
from headrace.observe.wording import dated
from headrace.store.database import Transaction
from headrace.store.queries import absences

NATS = 12.0


def gather(tx: Transaction, scene: Scene, reach: Reach, after: int) -> tuple[list[Evidence], int]:
    """The gaps between looks that ended after a time and made somebody wait, and when the last gap ended."""
    gaps = absences.gaps(tx, after)
    found = {one.id: one for gap in gaps for one in _of_gap(tx, scene, reach, gap)}
    return list(found.values()), max((gap.until_at for gap in gaps), default=after)


def _of_gap(tx: Transaction, scene: Scene, reach: Reach, gap: absences.Gap) -> Iterator[Evidence]:
    for consumer in reach.consumers(gap.source):
        due = absences.missed_due(tx, consumer, gap)
        if due is not None and absences.waited(tx, gap, due):
            zone = scene.declared.timezone
            yield Evidence(
                id=f"gap:{gap.from_at}", node=HEADRACE, family=Family.ABSENCE, kind=CauseKind.RUNTIME_DOWN.value,
                expected=f"a look before {dated(due, zone)}", observed=f"nobody looked until {dated(gap.until_at, zone)}",
                strength=NATS, at_us=gap.until_at, began_us=gap.from_at,
            )  # fmt: skip
            return
