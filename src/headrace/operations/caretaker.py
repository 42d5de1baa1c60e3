"""The lake's daily upkeep beside a server's work: in a thread with a connection of its own, so that nothing waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from headrace.govern.state import open_state
from headrace.model import HeadraceError
from headrace.operations.session import Session
from headrace.run import reclaiming, upkeep
from headrace.run.garbage import Keep
from headrace.run.leader import Leader


class Caretaker:
    """Looks after the lake when that is due. Its thread ends with the process: each step of the upkeep is a transaction."""

    def __init__(self, session: Session, leader: Leader, tell: Callable[[str], None]) -> None:
        self._session, self._leader, self._tell = session, leader, tell
        self._thread: threading.Thread | None = None

    def go(self) -> None:
        """Begin, if a day has passed and nothing of it is under way."""
        if self._thread is not None and self._thread.is_alive():
            return
        leader = self._leader
        with leader.store.write(leader.lease.epoch) as tx:
            now = leader.clock.mark(tx)
            pressed = reclaiming.due(tx, now)
            if not pressed and not upkeep.due(tx, now):
                return
        keep = Keep.declared(leader.applied.compiled.project)
        self._thread = threading.Thread(
            target=self._keep_up, args=(leader.lease.epoch, keep, now, pressed), name="headrace upkeep", daemon=True
        )
        self._thread.start()

    def _keep_up(self, epoch: int, keep: Keep, now: int, pressed: bool) -> None:
        try:
            with open_state(self._session.root, self._session.settings) as store:
                attend = reclaiming.reclaim if pressed else upkeep.keep_up
                attend(store, epoch, self._session.folders, keep, now)
        except HeadraceError as error:
            self._tell(f"the lake couldn't be looked after: {error}")
