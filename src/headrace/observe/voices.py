"""Who speaks for an owner: an exception that somebody else made isn't the owner's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from headrace.observe.availability.wrongness import Speaks

if TYPE_CHECKING:
    from headrace.model import Project


def speaks_for(project: Project) -> Speaks:
    """(owner, actor) → whether the actor speaks for the owner."""
    return partial(_speaks, voices(project))


def voices(project: Project) -> dict[str, frozenset[str]]:
    """Owner → the names and addresses that speak for it: its own name, and its contacts."""
    results = {}
    for name, owner in project.owners.items():
        addresses = [contact.partition(":")[2] or contact for contact in owner.contact]
        known = (name, *addresses, *(address.partition("@")[0] for address in addresses))
        results[name] = frozenset(item.casefold() for item in known)
    return results


def _speaks(known: Mapping[str, Collection[str]], owner: str, actor: str) -> bool:
    """Whether an actor speaks for an owner. Who isn't known to doesn't."""
    return actor.casefold() in known.get(owner, {owner.casefold()})
