"""Messages that a command's work has brought about are sent when it has ended, and a server's while it works."""

from __future__ import annotations

from headrace.operations.session import ProjectSession
from headrace.run.leading import Leadership
from headrace.run.notifications.process import NotificationSender


def sender(session: ProjectSession, held: Leadership) -> NotificationSender | None:
    """Who sends for this project; nobody in an environment."""
    return None if session.production is not None else NotificationSender(held.store, held.clock, session.root, session.settings)


def begin(session: ProjectSession, held: Leadership) -> NotificationSender | None:
    """Begin to send what is due; None where nothing is."""
    notification_sender = sender(session, held)
    return notification_sender if notification_sender is not None and notification_sender.begin() else None
