"""Messages about approvals: to those who can give one, and afterwards to the one who asked.

Each is queued once, in the transaction that stores the request or sees that it has ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import date

from headrace.incidents.diagnosis.wording import listed
from headrace.incidents.messages import (
    MAILTO,
    MessageText,
    Recipient,
    Recipients,
    Typed,
    Words,
    wrapped,
)
from headrace.incidents.notifications import FLOOD_MAX, TOGETHER
from headrace.model.access import AccessRules
from headrace.model.intervals import HOUR_US, from_us
from headrace.model.nodes import Project
from headrace.model.partitions import command_line
from headrace.model.policy import EXPIRES_US, Consequence, Need
from headrace.runtime.approval_states import (
    APPROVED,
    EXPIRED,
    OPEN,
    REJECTED,
    VOID,
    Pending,
    can_meet,
    of_backfill,
    of_request,
    state_of,
    version_now,
)
from headrace.slo.times import dated, days
from headrace.store import Transaction
from headrace.store.queries import access_tokens, notifications
from headrace.store.queries import approvals as stored
from headrace.store.queries.notifications import Queued

APPROVAL_ASKED, APPROVAL_ENDED = "approval_asked", "approval_ended"
"""The kinds of messages about approvals."""
_STATES = {
    APPROVED: "is approved",
    REJECTED: "was rejected",
    EXPIRED: "has expired",
    VOID: "is void",
}
_MORE = (
    f"More than {FLOOD_MAX} messages in an hour: the rest isn't sent one by one.",
    "All of them: headrace approvals",
)
_USER = "user:"
_TOKEN = "token:"  # noqa: S105 - how the name of a token begins

LinkOf = Callable[[str], str]
"""Recipient → the address of the request's page for this recipient; empty if there is none."""


def announce(
    tx: Transaction, project: Project, pending: Pending, now: int, link_of: LinkOf
) -> None:
    """Queue the messages to those who can give an approval that was just asked for.

    Times are in microseconds since 1970 UTC.
    """
    messages = _Messages(tx, project, now)
    asked_by = {to.name for to in messages.asker(pending.asked_by)}
    for to in messages.deciders(pending.needs):
        if to.name not in asked_by:
            messages.put(APPROVAL_ASKED, pending, to, messages.asked(pending, link_of(to.name)))
    messages.write()
    stored.mark_notified(tx, pending.subject, stored.ASKED)


def announce_ended(tx: Transaction, project: Project, now: int) -> None:
    """Queue the messages to those whose requests are answered, expired or void by now.

    Times are in microseconds since 1970 UTC.
    """
    expired_us = now - EXPIRES_US
    announced = [
        *(of_backfill(tx, record) for record in stored.backfills_maybe_ended(tx, expired_us)),
        *(of_request(tx, request) for request in stored.maybe_ended(tx, expired_us)),
    ]
    version, messages = version_now(tx), _Messages(tx, project, now)
    for pending in announced:
        state, why = state_of(pending, version, now)
        if state == OPEN:
            continue
        for to in messages.asker(pending.asked_by):
            messages.put(APPROVAL_ENDED, pending, to, messages.ended(pending, state, why))
        stored.mark_notified(tx, pending.subject, stored.ENDED)
    messages.write()


class _Messages:
    """The messages of one transaction: who gets them, and their texts."""

    def __init__(self, tx: Transaction, project: Project, now: int) -> None:
        self._tx, self._project, self._now = tx, project, now
        self._words = Words(project, now, lambda _: None)
        self._people, self._zone = Recipients(project), project.settings.timezone
        self._queued: list[Queued] = []
        self._counts: dict[str, int] = {}

    def write(self) -> None:
        notifications.put(self._tx, self._queued, self._now)

    # Recipients

    def deciders(self, needs: Iterable[Need]) -> list[Recipient]:
        """Return the owners that needs are about, and the people in `owners.yaml` with the role."""
        names = [
            name
            for need in needs
            for name in (
                *need.owners,
                *sorted(self._with_role(need, from_us(self._now, self._zone).date())),
            )
        ]
        return self._people.concerned(list(dict.fromkeys(names)))

    def _with_role(self, need: Need, today: date) -> Iterator[str]:
        """Yield the owners that `access.yaml` names as users with the role of a need."""
        rules = self._project.access
        if rules is None:
            return
        from headrace.security.access import Identity, IdentityKind

        env = self._project.settings.environment
        for name in _users_of(rules) & self._project.owners.keys():
            user = Identity(name=name, kind=IdentityKind.LOCAL, subjects=frozenset({_USER + name}))
            if can_meet(need, self._project, rules, user, env=env, today=today):
                yield name

    def asker(self, actor: str) -> list[Recipient]:
        """Return the owners who are the person who asked, or who created the token that asked."""
        is_token = actor.startswith(_TOKEN)
        names = access_tokens.creators(self._tx, actor) if is_token else [actor]
        owners = [owner for name in names for owner in self._owners_named(name)]
        people = [self._people.of(owner) for owner in dict.fromkeys(owners)]
        return [to for to in people if to is not None and not to.instead_of]

    def _owners_named(self, name: str) -> Iterator[str]:
        """Yield the owner with a person's name, mail address, or name on this machine."""
        user, _, host = name.partition("@")
        if name in self._project.owners:
            yield name
        elif host == os.uname().nodename and user in self._project.owners:
            yield user
        elif host:
            yield from (
                owner.name
                for owner in self._project.owners.values()
                if f"{MAILTO}{name}" in owner.contact
            )

    # Texts

    def asked(self, pending: Pending, link: str) -> MessageText:
        """Return the message to somebody who can approve a plan."""
        answer = (pending.id, "--reason", "TEXT")
        what = f"{pending.kind} {pending.id}"
        plan = f", plan {pending.plan_id}" if pending.plan_id else ""
        lines = [
            *wrapped(
                f"{pending.asked_by} asks for an approval of {what}{plan}:"
                f" {pending.reason or 'no reason given'}"
            ),
            *(wrapped(f"Rule: {pending.approval}") if pending.approval.file else []),
            *(
                line
                for text in consequence_texts(pending.approval.consequence)
                for line in wrapped(text)
            ),
            *wrapped(f"It needs {' and '.join(need.text for need in pending.needs)}."),
            f"Until {dated(pending.expires_at, self._zone)}, or until the plan changes.",
            Typed(f"Approve: {command_line('approve', *answer)}"),
            Typed(f"Reject: {command_line('reject', *answer)}"),
            Typed(f"Page: {link}") if link else "More: headrace approvals",
        ]
        return self._words.page(f"{what} waits for an approval", lines)

    def ended(self, pending: Pending, state: str, why: str) -> MessageText:
        """Return the message to the person who asked."""
        what = f"{pending.kind} {pending.id}"
        then = pending.command if state == APPROVED and pending.used_at is None else ""
        lines = [
            *wrapped(f"You asked for it: {pending.reason or 'no reason given'}"),
            *wrapped(f"It {_STATES[state]}: {why}."),
            *(
                line
                for item in pending.answers
                if state == APPROVED
                for line in wrapped(f"{item.actor} {item.answer} it: {item.reason}")
            ),
            *([Typed(f"Next: {then}")] if then else []),
            "More: headrace approvals",
        ]
        return self._words.page(f"{what} {_STATES[state]}", lines)

    # Queue

    def put(self, kind: str, pending: Pending, to: Recipient, page: MessageText) -> None:
        """Queue a message over each contact of a recipient; after 20 in an hour, one for all."""
        subject = f"approval {pending.id}"
        for channel in to.owner.contact:
            if any((item.subject, item.channel) == (subject, channel) for item in self._queued):
                continue  # a shared channel gets one message
            why = self._people.wrong(channel, cause=False)
            if why is None and self._count(to.name) >= FLOOD_MAX:
                hour = self._now // HOUR_US
                more = self._words.page("more plans wait for an approval", _MORE)
                self._queue(kind, f"more approvals/{hour}", to, channel, more)
                why = TOGETHER
            elif why is None:
                self._counts[to.name] += 1
            self._queue(kind, subject, to, channel, page, why)

    def _count(self, recipient: str) -> int:
        if recipient not in self._counts:
            since = self._now - HOUR_US
            self._counts[recipient] = notifications.count_since(self._tx, recipient, since)
        return self._counts[recipient]

    def _queue(
        self,
        kind: str,
        subject: str,
        to: Recipient,
        channel: str,
        page: MessageText,
        error: str | None = None,
    ) -> None:
        self._queued.append(
            Queued(
                incident=None,
                kind=kind,
                subject=subject,
                recipient=to.name,
                channel=channel,
                title=page.title,
                body=page.body,
                not_before=to.not_before(self._now, self._zone, urgent=False),
                state="waiting" if error is None else "dropped",
                error=error,
            )
        )


def _users_of(rules: AccessRules) -> set[str]:
    return {
        subject.removeprefix(_USER)
        for grant in rules.grants
        for subject in grant.to
        if subject.startswith(_USER)
    }


def consequence_texts(consequence: Consequence | None) -> Iterator[str]:
    """Yield what a plan does, in numbers and names."""
    if consequence is None:
        return
    counts = [
        days(consequence.partitions, "partition"),
        days(consequence.rows, "published row"),
        days(len(consequence.consumers), "consumer"),
        days(len(consequence.domains), "domain"),
    ]
    yield f"It changes {counts[0]} and {counts[1]}, and reaches {counts[2]} and {counts[3]}."
    for text, names in (
        (
            "To recompute, if somebody asks for it",
            [days(consequence.stale, "partition")] * bool(consequence.stale),
        ),
        ("Consumers", consequence.consumers),
        ("In other domains", consequence.crossing),
        ("Weaker", consequence.weakens),
        ("Readers must adapt", consequence.breaks),
        ("Classified", consequence.classified),
    ):
        if names:
            yield f"{text}: {listed(names)}"
