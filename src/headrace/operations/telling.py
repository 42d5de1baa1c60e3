"""Messages that a command's work has brought about are sent when it has ended, and a server's while it works."""

from __future__ import annotations

from headrace.operations.session import Session
from headrace.run.leading import Held
from headrace.run.telling.process import Telling


def telling(session: Session, held: Held) -> Telling | None:
    """Who sends for this project; nobody in an environment."""
    return None if session.production is not None else Telling(held.store, held.clock, session.root, session.settings)


def begin(session: Session, held: Held) -> Telling | None:
    """Begin to send what is due; None where nothing is."""
    found = telling(session, held)
    return found if found is not None and found.begin() else None
