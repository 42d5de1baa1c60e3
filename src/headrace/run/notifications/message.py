"""One message as a channel gets it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.model.errors import HeadraceError


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is said, to whom. `subject` is what it is about, the same for all that belongs together; `reference` is what the channel
    calls the first message about it; `at` is when it was queued, microseconds."""

    project: str
    kind: str
    subject: str
    incident: str | None
    recipient: str
    title: str
    body: str
    at: int
    reference: str | None = None

    @property
    def values(self) -> dict[str, str]:
        """What a template may name."""
        return {
            "project": self.project, "kind": self.kind, "subject": self.subject, "incident": self.incident or "",
            "recipient": self.recipient, "title": self.title, "body": self.body, "reference": self.reference or "",
        }  # fmt: skip


class NotificationChannel(msgspec.Struct, frozen=True):
    """Where it goes: the table of [notify], its secrets resolved, the project's folder, and the address where the contact is one."""

    table: Mapping[str, Any]
    root: Path
    to: str | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return str(self.table.get("url", ""))


class Unsent(HeadraceError):
    """A channel didn't take a message."""
