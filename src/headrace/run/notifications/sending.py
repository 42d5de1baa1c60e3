"""What waits is sent: each channel in a thread of its own, one message after the other; who hangs is given up, and tried again."""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.model.nodes import Settings
from headrace.observe.diagnosis.causes import HEADRACE
from headrace.run.notifications.channels import send
from headrace.run.notifications.message import Message, Unsent
from headrace.store import Clock, Store, Transaction
from headrace.store.queries import incidents, notifications
from headrace.store.queries.incidents import Happened
from headrace.store.queries.notifications import DueNotification

BATCH = 50
SEND_SECONDS = 20.0
"""So long one message may take."""
BATCH_SECONDS = 90.0
"""So long a batch may take: less than what is taken stays this process's."""
WAITS_SECONDS = (5, 30, 120, 600, 1_800, 3_600, 10_800)
"""After each try in vain, by the store's clock; then it is given up."""
_SECOND_US = 1_000_000


class Sent(msgspec.Struct, frozen=True):
    """What came of one message."""

    notice: DueNotification
    reference: str | None
    error: str | None


class Sending:
    """Sends what waits in one project's state."""

    def __init__(self, store: Store, root: Path, settings: Settings, *, send_seconds: float = SEND_SECONDS) -> None:
        self._store, self._root, self._settings, self._patience = store, root, settings, send_seconds

    def all(self) -> int:
        """Send until nothing more is to be sent now; how many went out."""
        done = 0
        while batch := self._taken():
            done += self._batch(batch)
        return done

    def _taken(self) -> list[DueNotification]:
        with self._store.write(None) as tx:
            return notifications.take(tx, _now(tx), BATCH)

    def _batch(self, batch: Sequence[DueNotification]) -> int:
        """Send these, beside each other by channel."""
        by_channel = defaultdict[str, list[DueNotification]](list)
        for notification in batch:
            by_channel[notification.channel].append(notification)
        results: queue.SimpleQueue[Sent] = queue.SimpleQueue()
        begun: dict[str, float] = dict.fromkeys(by_channel, time.monotonic())
        for channel, waiting in by_channel.items():
            threading.Thread(target=self._over, args=(channel, waiting, results, begun), daemon=True).start()
        return self._kept({notification.id: notification for notification in batch}, results, begun)

    def _over(self, channel: str, waiting: Sequence[DueNotification], results: queue.SimpleQueue[Sent], begun: dict[str, float]) -> None:
        for notification in waiting:
            begun[channel] = time.monotonic()
            try:
                results.put(Sent(notification, send(self._root, self._settings, channel, _message(self._settings, notification)), None))
            except Unsent as error:
                results.put(Sent(notification, None, str(error)))

    def _kept(self, left: dict[int, DueNotification], results: queue.SimpleQueue[Sent], begun: dict[str, float]) -> int:
        """Write down what came of each; who doesn't answer in time is given up."""
        done, until = 0, time.monotonic() + BATCH_SECONDS
        while left and (patience := self._patience_left(left, begun, until)) > 0:
            try:
                sent = results.get(timeout=patience)
            except queue.Empty:
                continue
            left.pop(sent.notice.id, None)
            done += sent.error is None
            self._write(sent)
        for notice in left.values():
            self._write(Sent(notice, None, f"no answer within {self._patience:g} s"))
        return done

    def _patience_left(self, left: dict[int, DueNotification], begun: dict[str, float], until: float) -> float:
        """Seconds until the last channel that isn't done is given up."""
        last = max(begun[notification.channel] for notification in left.values()) + self._patience
        return min(last, until) - time.monotonic()

    def _write(self, sent: Sent) -> None:
        with self._store.write(None) as tx:
            now, notice = _now(tx), sent.notice
            if sent.error is None:
                notifications.sent(tx, notice.id, now, sent.reference)
                _note(tx, notice, now, f"told {notice.recipient} over {notice.channel}: {_SAID.get(notice.kind, notice.kind)}")
            elif notice.tries < len(WAITS_SECONDS):
                notifications.again(tx, notice.id, now + WAITS_SECONDS[notice.tries] * _SECOND_US, sent.error)
            else:
                notifications.fail(tx, notice.id, sent.error)
                _note(tx, notice, now, f"{notice.recipient} couldn't be told over {notice.channel}: {sent.error}")


_SAID = {"opened": "it is open", "changed": "it has changed", "resolved": "it is over", "escalated": "it is open (as the manager)"}


def _note(tx: Transaction, notice: DueNotification, now: int, what: str) -> None:
    if notice.incident is not None:
        incidents.happened(tx, notice.incident, [Happened(now, what, HEADRACE)])


def _message(settings: Settings, notification: DueNotification) -> Message:
    return Message(
        project=settings.name,
        kind=notification.kind,
        subject=notification.subject,
        incident=None if notification.incident is None else incidents.shown(notification.incident),
        recipient=notification.recipient,
        title=notification.title,
        body=notification.body,
        at=notification.created_at,
        reference=notification.reference,
    )


def _now(tx: Transaction) -> int:
    return Clock.for_reading(tx, None).now_us()
