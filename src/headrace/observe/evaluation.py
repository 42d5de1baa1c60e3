"""How consumers are served at one time, evaluated as `status` does: incidents close, and people are told so, by nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from headrace.observe.availability.tainted import Carry
from headrace.observe.availability.wrongness import Wrongness
from headrace.observe.freshness import Stood, stood
from headrace.observe.obligations import Scene
from headrace.observe.states import ConsumerStatus, State, Wronged
from headrace.observe.status import judged
from headrace.store.database import Transaction

SERVED = (State.SERVED, State.AT_RISK)


class Evaluation:
    """One transaction at one time; each answer is found when it is first asked for."""

    def __init__(self, tx: Transaction, scene: Scene, carry: Carry, now: int) -> None:
        self._scene, self._now = scene, now
        self._wrongness = Wrongness(tx, scene, carry, now, now)

    @cached_property
    def behind(self) -> frozenset[int]:
        """The incidents that make wrong what a consumer can read now."""
        return self._wrongness.behind()

    def replaced_at(self, incident: int) -> int | None:
        """When the last of what an incident made wrong was replaced for its readers; None where it made nothing wrong."""
        return self._wrongness.replaced_at(incident)

    def unserved(self, consumers: Iterable[str]) -> list[ConsumerStatus]:
        """Those of these consumers that aren't served."""
        found = (self._status(name) for name in consumers)
        return [one for one in found if one is not None and one.state not in SERVED]

    def _status(self, consumer: str) -> ConsumerStatus | None:
        """None for one that isn't declared any more."""
        found = judged(self._scene, self._now, self._wronged, self._nodes, only=consumer).consumers
        return found[0] if found else None

    @cached_property
    def _wronged(self) -> Mapping[str, Wronged]:
        return self._wrongness.now()

    @cached_property
    def _nodes(self) -> Stood:
        return stood(self._scene, self._now)


def clause(one: ConsumerStatus) -> str:
    """`report is wrong`: names and states only, so that messages may hold it."""
    return f"{one.name} is {one.state.value.replace('_', ' ')}"
