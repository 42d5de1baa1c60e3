"""Who is told: an owner over its contacts; a vendor's manager in its place, unless `tell: true`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from headrace.model.nodes import Owner, Project
from headrace.model.quiet import Quiet
from headrace.model.times import Duration

MAIL = "mail"
"""The channel in [notify] that mail is sent through."""
MAILTO = "mailto:"


class Recipient(msgspec.Struct, frozen=True):
    """Somebody who is written to. `instead_of` are those whom this one is told for, the nearest first."""

    owner: Owner
    instead_of: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The owner's name."""
        return self.owner.name

    def not_before(self, now: int, timezone: str, *, urgent: bool) -> int:
        """When a message may go out, microseconds: at once, or when the quiet hours are over."""
        if urgent or self.owner.quiet is None:
            return now
        return Quiet.parse(self.owner.quiet).over_at(now, timezone)

    def escalates_at(self, opened_at: int, timezone: str) -> int | None:
        """When an incident has been open for so long that the manager is told as well."""
        return None if self.owner.escalate is None else Duration.parse(self.owner.escalate).after_us(opened_at, timezone)


class Recipients:
    """The people of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project

    @property
    def anybody(self) -> bool:
        """Whether anybody can be written to."""
        return any(owner.contact for owner in self._project.owners.values())

    def of(self, name: str) -> Recipient | None:
        """Who is told what concerns an owner: it, or the first of its managers who is written to."""
        passed: list[str] = []
        for owner in self._chain(name):
            if is_told(owner) and owner.contact:
                return Recipient(owner, tuple(passed))
            passed.append(owner.name)
        return None

    def above(self, recipient: Recipient) -> Recipient | None:
        """The manager of somebody who is told."""
        manager = recipient.owner.manager
        return None if manager is None or manager == recipient.name else self.of(manager)

    def concerned(self, owners: Sequence[str]) -> list[Recipient]:
        """Who is told what concerns several owners: each once, in their order."""
        recipients = {recipient.name: recipient for name in reversed(owners) if (recipient := self.of(name)) is not None}
        first = [recipient.name for name in owners if (recipient := self.of(name)) is not None]
        return [recipients[name] for name in dict.fromkeys(first)]

    def wrong(self, contact: str, *, cause: bool) -> str | None:
        """Why a contact can't be written to of a cause, or of something else, as declared; None where it can."""
        channels = self._project.settings.notify
        if not cause and "update" in channels.get(contact, {}):
            return "only causes become tickets"
        if contact.startswith(MAILTO):
            return None if MAIL in channels else f"there is no [notify.{MAIL}] to send mail through"
        if ":" in contact or contact in channels:
            return None
        return f"there is no [notify.{contact}]"

    def _chain(self, name: str) -> Iterator[Owner]:
        seen = set[str]()
        while name in self._project.owners and name not in seen:
            seen.add(name)
            owner = self._project.owners[name]
            yield owner
            name = owner.manager or ""


def is_told(owner: Owner) -> bool:
    """Whether an owner is written to itself: vendors aren't unless that is said."""
    return owner.tell if owner.tell is not None else owner.kind != "vendor"
