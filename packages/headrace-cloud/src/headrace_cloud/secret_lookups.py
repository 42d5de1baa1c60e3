"""Secrets of managers, kept for a few seconds, and never waited for longer than a few seconds.

An attempt asks for a secret when it starts, so a changed value is used without a restart. Many
small attempts would ask too often: a value is kept for `CACHE_SECONDS` in each process.

The process that leads asks, too, and must renew its lease meanwhile. A thread asks the manager; who
waits gives up after `WAIT_SECONDS`, and the answer serves the next attempt when it arrives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from headrace.extension.secrets import SecretMissing, SecretUnreachable

CACHE_SECONDS = 10.0
"""How long a value or a refusal is used before the manager is asked again."""
WAIT_SECONDS = 5.0
"""Longest wait for a manager; an attempt that got no answer is retried like after an outage."""


class Manager(NamedTuple):
    """One kind of secret manager."""

    kind: str
    """As in `secret://KIND/…`."""
    title: str
    """Its name in messages."""
    form: str
    """How a reference is written."""
    read: Callable[[str], str]
    """Return the secret that a reference names after the kind.

    Raises SecretMissing and SecretUnreachable, with a message that continues the name of the
    secret, and no part of a response.
    """


class _Lookup:
    """One question to a manager, which a thread asks."""

    def __init__(self, manager: Manager, name: str) -> None:
        self._manager, self._name = manager, name
        self._answered = threading.Event()
        self._value, self._error = "", SecretMissing("")
        self.answered_at: float | None = None
        """When the answer arrived, by the monotonic clock; None while it is awaited."""
        threading.Thread(target=self._ask, name=f"secret-{manager.kind}", daemon=True).start()

    def _ask(self) -> None:
        try:
            self._value = self._manager.read(self._name)
        except SecretMissing as error:
            text = f"secret://{self._manager.kind}/{self._name} {error}"
            self._error = type(error)(text, hint=error.hint)
        except Exception as error:  # noqa: BLE001 of the manager's library, with unknown words
            self._error = SecretMissing(
                f"secret://{self._manager.kind}/{self._name} can't be read from"
                f" {self._manager.title}: {type(error).__name__}",
                hint=f"write {self._manager.form}",
            )
        self._answered.set()
        self.answered_at = time.monotonic()

    def answer(self, seconds: float) -> str:
        """Return the value, waiting at most so long. Raises SecretMissing."""
        if not self._answered.wait(seconds):
            raise SecretUnreachable(
                f"secret://{self._manager.kind}/{self._name} can't be read now:"
                f" {self._manager.title} didn't answer within {WAIT_SECONDS:g} s",
                hint=f"check the network between this machine and {self._manager.title}",
            )
        if str(self._error):
            raise type(self._error)(str(self._error), hint=self._error.hint)
        return self._value


_lookups: dict[tuple[str, str], _Lookup] = {}
"""The newest question about each secret."""
_silent_since: dict[str, float] = {}
"""Manager that didn't answer in time → when it was asked; for `CACHE_SECONDS` nobody waits."""
_lock = threading.Lock()


def looked_up(manager: Manager, name: str) -> str:
    """Return a secret of a manager. Raises SecretMissing and SecretUnreachable."""
    now = time.monotonic()
    with _lock:
        lookup = _lookups.get((manager.kind, name))
        at = None if lookup is None else lookup.answered_at
        if lookup is None or (at is not None and now - at >= CACHE_SECONDS):
            lookup = _lookups[manager.kind, name] = _Lookup(manager, name)
    silent = now - _silent_since.get(manager.kind, -CACHE_SECONDS) < CACHE_SECONDS
    try:
        return lookup.answer(0.0 if silent else WAIT_SECONDS)
    except SecretUnreachable:
        if lookup.answered_at is None and not silent:
            _silent_since[manager.kind] = now
        raise
