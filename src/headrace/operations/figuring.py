"""What figures are worked out from: one window, one transaction, one evaluation that all of them share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.observe.availability.score import AvailabilityScore
from headrace.observe.availability.sentences import AvailabilityWindow
from headrace.observe.availability.timeline import ServiceHistory
from headrace.operations.session import ProjectSession
from headrace.operations.standing import ProjectSnapshot
from headrace.run import usage as seen
from headrace.store.queries import usage, worth
from headrace.store.queries.usage import ReadUsage
from headrace.store.queries.worth import Attempted

if TYPE_CHECKING:
    from headrace.model import Project
    from headrace.plan import Compiled

_RAN_WELL = frozenset({"published", "held", "staged"})
_RAN_BADLY = frozenset({"failed", "lost", "rejected"})


class Figuring:
    """A window over what is applied; `began` and `until` in microseconds."""

    def __init__(
        self,
        session: ProjectSession,
        snapshot: ProjectSnapshot,
        compiled: Compiled,
        window: AvailabilityWindow,
        names: Collection[str] | None,
    ) -> None:
        self.session, self.tx, self.facts = session, snapshot.tx, snapshot.facts
        self.compiled, self.declared = compiled, snapshot.context.declared
        self.began, self.until = window.from_us, window.now_us
        self.window = window
        self._names = names
        self.evaluation = snapshot.evaluation(session, (window.from_us, window.now_us))

    @property
    def project(self) -> Project:
        """What is applied."""
        return self.compiled.project

    def chosen(self, name: str) -> bool:
        """Whether a node or consumer is asked for."""
        return self._names is None or name in self._names

    def owner_of(self, name: str) -> str:
        """Who answers for a node or consumer; nobody for one that was removed."""
        node = self.project.node(name)
        return "" if node is None else node.owner

    def instant(self, at_us: int) -> datetime:
        """A time of the store, in the project's zone."""
        return self.session.instant(at_us)

    @cached_property
    def consumers(self) -> Collection[str] | None:
        """The consumers that are asked for; None: all, with those that were removed meanwhile."""
        return None if self._names is None else {name for name in self.project.consumers if name in self._names}

    @cached_property
    def pasts(self) -> Sequence[ServiceHistory]:
        """How each of them was served."""
        return self.evaluation.pasts(self.consumers)

    @cached_property
    def scores(self) -> Sequence[AvailabilityScore]:
        """The figures of each of them."""
        return self.evaluation.scores(self.consumers)

    def scores_of(self, node: str) -> Sequence[AvailabilityScore]:
        """How a node had what each declared consumer needs of it."""
        return self.evaluation.scores_of(node, self.project.consumers)

    @cached_property
    def attempts(self) -> Sequence[Attempted]:
        """The attempts that ended in the window."""
        return worth.attempts(self.tx, self.began, self.until)

    @cached_property
    def attempts_by_node(self) -> dict[str, tuple[int, int]]:
        """Node → attempts that ran, and those of them that succeeded."""
        results: dict[str, tuple[int, int]] = {}
        for attempt in self.attempts:
            ran, well = results.get(attempt.node, (0, 0))
            if attempt.state in _RAN_WELL | _RAN_BADLY:
                results[attempt.node] = (ran + 1, well + (attempt.state in _RAN_WELL))
        return results

    @cached_property
    def reads(self) -> list[ReadUsage]:
        """The reads that were seen in the window, by day; those of its first day all count."""
        day = self.instant(self.began).astimezone(UTC).date().isoformat()
        return [*usage.since(self.tx, day), *(read_usage for read_usage in seen.waiting(self.session.folders) if read_usage.day >= day)]
