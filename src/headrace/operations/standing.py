"""How everything stands now, for all that shows it: judged once for a state of the store, and from one to the next only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from headrace.observe.freshness import Stood, stood
from headrace.observe.kept import Kept
from headrace.observe.obligations import Scene
from headrace.observe.world import World
from headrace.operations.remembering import of_version
from headrace.operations.session import Session
from headrace.store import Transaction


class Standing(NamedTuple):
    """One snapshot."""

    tx: Transaction
    world: World
    scene: Scene
    nodes: Stood


@contextmanager
def standing(session: Session, now_us: int) -> Iterator[Standing]:
    """How everything that is applied stands. There must be a store, and something applied. In an environment that borrows nodes all are
    judged each time: two stores change."""
    with session.world() as (tx, world):
        if session.borrowed:
            scene = Scene(session.watched, world)
            yield Standing(tx, world, scene, stood(scene, now_us))
            return
        found = of_version(session, "kept", lambda: Kept(session.watched)).at(tx, now_us)
        yield Standing(tx, found.world, found.scene, found.nodes)
