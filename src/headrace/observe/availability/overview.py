"""How consumers stand and were served, in one go: what `status` shows and what incidents are judged by. One derivation for all views."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from headrace.observe.availability.carrying import Carrying
from headrace.observe.availability.gathering import Gathering
from headrace.observe.availability.timeline import Past
from headrace.observe.availability.wrongness import Wrongness
from headrace.observe.freshness import Stood
from headrace.observe.incidents.reach import Reach
from headrace.observe.obligations import Scene
from headrace.observe.states import ConsumerStatus, Status, Wronged
from headrace.observe.status import judged
from headrace.store.database import Transaction

if TYPE_CHECKING:
    from headrace.model import Project
    from headrace.plan import Compiled
    from headrace.plan.bodies import Lines


class Overview:
    """Over a window (from, now), in one transaction; `nodes`: how all nodes stand, where that is known."""

    def __init__(self, tx: Transaction, compiled: Compiled, scene: Scene, window: tuple[int, int], nodes: Stood | None = None) -> None:
        self._tx, self._window = tx, window
        self._scene, self._nodes = scene, nodes
        self._wrongness = Wrongness(tx, self._scene, Carrying(lineage_of(compiled)), *window)
        self._speaks = partial(speaks, voices(compiled.project))

    def wronged(self) -> dict[str, Wronged]:
        """Consumer → what incidents make wrong of what it can read now."""
        return self._wrongness.now()

    def status(self) -> Status:
        """How everything stands now."""
        return judged(self._scene, self._window[1], self.wronged(), self._nodes)

    def pasts(self, consumers: Sequence[ConsumerStatus]) -> list[Past]:
        """How each of these was served."""
        known = {one.name: one.obligations for one in consumers}
        return [self._gathering.past(terms, known[terms.consumer]) for terms in self._scene.declared.consumers if terms.consumer in known]

    def removed(self) -> list[Past]:
        """How those were served that were removed within the window."""
        return self._gathering.removed()

    def pasts_of(self, node: str, consumers: Sequence[ConsumerStatus]) -> list[Past]:
        """How a node had what each of these consumers needs of it, of those that read it or what is made of it."""
        known = {one.name: one.obligations for one in consumers}
        below = set(self._reach.consumers(node)) & known.keys()
        terms = [one for one in self._scene.declared.consumers if one.consumer in below]
        return [self._gathering.of_node(self._scene.declared.nodes[node], one, known[one.consumer]) for one in terms]

    def consumers_of(self, node: str) -> tuple[str, ...]:
        """The consumers that read a node or what is made of it."""
        return self._reach.consumers(node)

    def assets_of(self, node: str) -> tuple[str, ...]:
        """What is made of a node, directly or not."""
        return self._reach.assets(node)

    def unsound(self) -> set[tuple[str, str, int]]:
        """(node, partition, when it was published) of all that isn't sound, as known now."""
        return self._wrongness.unsound()

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self._scene.declared)

    @cached_property
    def _gathering(self) -> Gathering:
        return Gathering(self._tx, self._scene, self._wrongness, self._speaks, *self._window)


def lineage_of(compiled: Compiled) -> Callable[[], Callable[[str], Lines]]:
    """The lineage of what is applied, when it is first needed."""

    def load() -> Callable[[str], Lines]:
        from headrace.plan.lineage import compile_lineage

        return compile_lineage(compiled).of

    return load


def voices(project: Project) -> dict[str, frozenset[str]]:
    """Owner → the names and addresses that speak for it: its own name, and its contacts."""
    found = {}
    for name, owner in project.owners.items():
        addresses = [contact.partition(":")[2] or contact for contact in owner.contact]
        found[name] = frozenset(one.casefold() for one in (name, *addresses, *(address.partition("@")[0] for address in addresses)))
    return found


def speaks(known: Mapping[str, Collection[str]], owner: str, actor: str) -> bool:
    """Whether an actor speaks for an owner. Who isn't known to doesn't."""
    return actor.casefold() in known.get(owner, {owner.casefold()})
