"""Which activities come after which, through containers and calls of pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace_import.importers.adf.activities import Activity, Pipeline
from headrace_import.importers.adf.drafts import Outcome
from headrace_import.importers.imported import Dependency, DependencyKind

_PASSED_MAX = 10_000


class Graph:
    """The order of the activities of all pipelines.

    `callers` has the activities that call a pipeline, `calls` the pipeline that an activity calls,
    `before` the pipelines whose windows come before those of a pipeline; all by pipeline id.
    """

    def __init__(
        self,
        outcomes: Mapping[str, Outcome],
        callers: Mapping[str, list[Activity]],
        calls: Mapping[str, Pipeline],
        before: Mapping[str, list[Pipeline]],
    ) -> None:
        self._outcomes, self._callers = outcomes, callers
        self._calls, self._before = calls, before
        self._all_before: dict[str, set[str]] = {}

    def nodes_before(self, activity: Activity) -> list[str]:
        """Return the names of the nearest nodes that come before an activity."""
        nodes: dict[str, None] = {}
        seen: set[tuple[str, str]] = set()
        pending: list[tuple[str, Activity]] = [("before", activity)]
        while pending and len(seen) < _PASSED_MAX:
            step, current = pending.pop()
            if (step, current.id) not in seen:
                seen.add((step, current.id))
                names = self._nodes(current) if step == "of" else []
                nodes.update(dict.fromkeys(names))
                pending += [] if names else self._further(step, current)
        return list(nodes)

    def _nodes(self, activity: Activity) -> list[str]:
        return [draft.name for draft in self._outcomes[activity.id].drafts]

    def _further(self, step: str, activity: Activity) -> list[tuple[str, Activity]]:
        if step == "before":
            return self._steps_before(activity)
        ends = self._ends(activity)
        return [("of", end) for end in ends] or [("before", activity)]

    def _steps_before(self, activity: Activity) -> list[tuple[str, Activity]]:
        upstream = list(activity.directly_before())
        if upstream:
            return [("of", earlier) for earlier in upstream]
        if activity.container is not None:
            return [("before", activity.container)]
        pipeline = activity.pipeline
        steps = [("before", caller) for caller in self._callers.get(pipeline.id, [])]
        windows = self._before.get(pipeline.id, [])
        return steps + [("of", end) for earlier in windows for end in _last(earlier.inside(None))]

    def _ends(self, activity: Activity) -> list[Activity]:
        called = self._calls.get(activity.id)
        inner = called.inside(None) if called is not None else activity.children
        return _last(inner)

    def all_before(self, activity: Activity) -> set[str]:
        """Return the ids of all activities that come before an activity, in all pipelines."""
        if activity.id not in self._all_before:
            steps = self._all_steps(("before", activity))
            before = {name for step, name in steps if step == "of"}
            self._all_before[activity.id] = before - {activity.id}
        return self._all_before[activity.id]

    def _all_steps(self, start: tuple[str, Activity]) -> set[tuple[str, str]]:
        seen: set[tuple[str, str]] = set()
        pending = [start]
        while pending and len(seen) < _PASSED_MAX:
            step, current = pending.pop()
            if (step, current.id) not in seen:
                seen.add((step, current.id))
                pending += [*self._further(step, current), ("before", current)]
        return seen

    def dependencies(self, activity: Activity) -> Iterator[Dependency]:
        """Yield what an activity comes after, as the origin says it."""
        for other in activity.directly_before():
            uses = other.name.lower() in activity.uses
            how = DependencyKind.EXPRESSION if uses else DependencyKind.EDGE
            yield Dependency(other.id, activity.id, how)
        named = {upstream.name.lower() for upstream in activity.upstream}
        for other in activity.pipeline.activities:
            if other.name.lower() in activity.uses - named and other is not activity:
                yield Dependency(other.id, activity.id, DependencyKind.EXPRESSION)
        yield from self._by_trigger(activity)

    def _by_trigger(self, activity: Activity) -> Iterator[Dependency]:
        called = self._calls.get(activity.id)
        firsts = [first for first in called.inside(None) if not first.upstream] if called else []
        yield from (Dependency(activity.id, first.id, DependencyKind.TRIGGER) for first in firsts)
        if activity.container is None and not activity.upstream:
            windows = self._before.get(activity.pipeline.id, [])
            ends = [end for pipeline in windows for end in _last(pipeline.inside(None))]
            yield from (Dependency(end.id, activity.id, DependencyKind.TRIGGER) for end in ends)


def _last(activities: list[Activity]) -> list[Activity]:
    named = {upstream.name.lower() for activity in activities for upstream in activity.upstream}
    return [activity for activity in activities if activity.name.lower() not in named]
