"""`with teardown(setup()):`: the edges that Airflow adds around the tasks within.

As `SetupTeardownContext` of Airflow 2.7 to 3.3 does it: the setups come before the first tasks of
the block, the teardowns after its last ones; setups and teardowns of a nested block come between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from headrace_import.importers.airflow.values import Task, Value, tasks_in

Link = tuple[Value, Value]
_Neighbours = Callable[[Task], dict[int, Task]]


@dataclass(slots=True)
class _Block:
    """A `with` over setups or teardowns."""

    setups: list[Task]
    teardowns: list[Task]
    members: list[Task] = field(default_factory=list)
    """Tasks that are built directly within it, without those of nested blocks."""


class SetupBlocks:
    """The blocks of a file. `links` are the dependencies that it declares; blocks add theirs."""

    def __init__(self, links: list[Link]) -> None:
        self._links = links
        self._links_read = 0
        self._before: dict[int, dict[int, Task]] = {}
        self._after: dict[int, dict[int, Task]] = {}
        self._open: list[_Block] = []

    def add(self, task: Task) -> None:
        """Record a task that the file builds."""
        if self._open:
            self._open[-1].members.append(task)

    @contextmanager
    def within(self, value: Value) -> Iterator[None]:
        """Record what follows as the block of `with value:`, if the value has a role."""
        managing = [task for task in tasks_in(value) if task.role]
        if not managing:
            yield
            return
        self._read_links()
        if managing[0].role == "teardown":
            block = _Block(_nearest(managing, "setup", self._tasks_before), managing)
        else:
            block = _Block(managing, _nearest(managing, "teardown", self._tasks_after))
        self._open.append(block)
        try:
            yield
        finally:  # a function may return from within the block
            self._open.pop()
            self._close(block)

    def _close(self, block: _Block) -> None:
        self._read_links()
        members = [task for task in block.members if not task.role]
        if members:
            first = [task for task in members if not self._tasks_before(task)] or members[:1]
            last = [task for task in members if not self._tasks_after(task)] or members[-1:]
            self._links += [(list(block.setups), first), (last, list(block.teardowns))]
        if self._open:
            outer = self._open[-1]
            self._links.append((list(outer.setups), list(block.setups)))
            self._links.append((list(block.teardowns), list(outer.teardowns)))

    def _read_links(self) -> None:
        """Read what the file has declared since the last time.

        A link to a group counts for each task of it: those that aren't its first or last ones have
        neighbours within the group anyway.
        """
        for left, right in self._links[self._links_read :]:
            lefts, rights = list(tasks_in(left)), list(tasks_in(right))
            for task in rights:
                self._before.setdefault(id(task), {}).update({id(other): other for other in lefts})
            for task in lefts:
                self._after.setdefault(id(task), {}).update({id(other): other for other in rights})
        self._links_read = len(self._links)

    def _tasks_before(self, task: Task) -> dict[int, Task]:
        return task.edges | self._before.get(id(task), {})

    def _tasks_after(self, task: Task) -> dict[int, Task]:
        return task.downstream | self._after.get(id(task), {})


def _nearest(start: list[Task], role: str, neighbours: _Neighbours) -> list[Task]:
    """Return the tasks of this role that are the fewest steps away from `start`."""
    level = {id(task): task for task in start}
    seen: set[int] = set()
    while level:
        seen |= level.keys()
        following: dict[int, Task] = {}
        for task in level.values():
            following |= neighbours(task)
        level = {key: task for key, task in following.items() if key not in seen}
        nearest = [task for task in level.values() if task.role == role]
        if nearest:
            return nearest
    return []
