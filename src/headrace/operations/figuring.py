"""What figures are worked out from: one window, one transaction, one overview that all of them share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.observe.availability.overview import Overview
from headrace.observe.availability.score import Score, score
from headrace.observe.availability.timeline import Past
from headrace.observe.states import ConsumerStatus
from headrace.operations.session import Session
from headrace.operations.standing import Standing
from headrace.run import usage as seen
from headrace.store.queries import usage, worth
from headrace.store.queries.usage import Used
from headrace.store.queries.worth import Attempted

if TYPE_CHECKING:
    from headrace.model import Project
    from headrace.plan import Compiled

_RAN_WELL = frozenset({"published", "held", "staged"})
_RAN_BADLY = frozenset({"failed", "lost", "rejected"})


class Figuring:
    """A window (began, until) in microseconds over what is applied."""

    def __init__(
        self, session: Session, standing: Standing, compiled: Compiled, window: tuple[int, int], names: Collection[str] | None
    ) -> None:
        self.session, self.tx, self.world = session, standing.tx, standing.world
        self.compiled, self.declared = compiled, standing.scene.declared
        self.began, self.until = window
        self._names = names
        self.overview = Overview(standing.tx, compiled, standing.scene, window, standing.nodes)

    @property
    def project(self) -> Project:
        """What is applied."""
        return self.compiled.project

    def chosen(self, name: str) -> bool:
        """Whether a node or consumer is asked for."""
        return self._names is None or name in self._names

    def owner_of(self, name: str) -> str:
        """Who answers for a node or consumer; nobody for one that was removed."""
        found = self.project.node(name)
        return "" if found is None else found.owner

    def instant(self, at_us: int) -> datetime:
        """A time of the store, in the project's zone."""
        return self.session.instant(at_us)

    @cached_property
    def consumers(self) -> Sequence[ConsumerStatus]:
        """All consumers, as they stand now."""
        return self.overview.status().consumers

    @cached_property
    def pasts(self) -> Sequence[Past]:
        """How each consumer that is asked for was served; without a choice, those that were removed meanwhile too."""
        found = self.overview.pasts([one for one in self.consumers if self.chosen(one.name)])
        return found if self._names is not None else [*found, *self.overview.removed()]

    @cached_property
    def scores(self) -> Sequence[Score]:
        """The figures of each of them."""
        return [score(past, self.began, self.until) for past in self.pasts]

    @cached_property
    def attempts(self) -> Sequence[Attempted]:
        """The attempts that ended in the window."""
        return worth.attempts(self.tx, self.began, self.until)

    @cached_property
    def attempts_by_node(self) -> dict[str, tuple[int, int]]:
        """Node → attempts that ran, and those of them that succeeded."""
        found: dict[str, tuple[int, int]] = {}
        for one in self.attempts:
            ran, well = found.get(one.node, (0, 0))
            if one.state in _RAN_WELL | _RAN_BADLY:
                found[one.node] = (ran + 1, well + (one.state in _RAN_WELL))
        return found

    @cached_property
    def reads(self) -> list[Used]:
        """The reads that were seen in the window, by day; those of its first day all count."""
        day = self.instant(self.began).astimezone(UTC).date().isoformat()
        return [*usage.since(self.tx, day), *(one for one in seen.waiting(self.session.folders) if one.day >= day)]
