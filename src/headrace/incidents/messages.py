"""Texts of notifications and who receives them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from headrace.incidents.diagnosis.evidence import DISK
from headrace.incidents.diagnosis.wording import WITHDRAWN, listed
from headrace.incidents.evidence.records import RENAMED, reclassified_text
from headrace.model import texts
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.intervals import HOUR_US
from headrace.model.nodes import Owner, Project
from headrace.model.settings import CI
from headrace.model.times import Duration, Quiet
from headrace.model.wording import counted
from headrace.slo.consumer_states import AtRisk
from headrace.slo.incident_impact import still_declared
from headrace.slo.times import ago, dated
from headrace.store.queries.incidents import Incident, display_id

# An owner is notified over its contacts. A vendor's manager is notified in the vendor's place,
# unless the vendor has `tell: true`.

MAIL = "mail"
"""The channel in [notify] that sends mail."""
MAILTO = "mailto:"


class Recipient(msgspec.Struct, frozen=True):
    """An owner who is notified.

    `instead_of` are the owners in whose place this one is notified, the nearest first.
    """

    owner: Owner
    instead_of: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The owner's name."""
        return self.owner.name

    def not_before(self, now: int, timezone: str, *, urgent: bool) -> int:
        """Return the earliest time to send, in microseconds: now, or after the quiet hours."""
        if urgent or self.owner.quiet is None:
            return now
        return Quiet.parse(self.owner.quiet).over_at(now, timezone)

    def escalates_at(self, opened_at: int, timezone: str) -> int | None:
        """Return when an open incident is escalated to the manager; None if it never is."""
        return (
            None
            if self.owner.escalate is None
            else Duration.parse(self.owner.escalate).after_us(opened_at, timezone)
        )


class Recipients:
    """The recipients of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        tries_out = (
            project.settings.environment == CI
        )  # nobody is notified of what may never be merged
        self._owners = {} if tries_out else project.owners

    @property
    def anybody(self) -> bool:
        """Whether anybody can be notified."""
        return any(owner.contact for owner in self._owners.values())

    def of(self, name: str) -> Recipient | None:
        """Return who is notified for an owner: the owner, or its nearest manager with contacts."""
        passed: list[str] = []
        for owner in self._chain(name):
            if is_told(owner) and owner.contact:
                return Recipient(owner, tuple(passed))
            passed.append(owner.name)
        return None

    def above(self, recipient: Recipient) -> Recipient | None:
        """Return the recipient's manager, or who is notified for that manager."""
        manager = recipient.owner.manager
        return None if manager is None or manager == recipient.name else self.of(manager)

    def concerned(self, owners: Sequence[str]) -> list[Recipient]:
        """Return who is notified for several owners: each once, in their order."""
        recipients = {
            recipient.name: recipient
            for name in reversed(owners)
            if (recipient := self.of(name)) is not None
        }
        first = [recipient.name for name in owners if (recipient := self.of(name)) is not None]
        return [recipients[name] for name in dict.fromkeys(first)]

    def wrong(self, contact: str, *, cause: bool) -> str | None:
        """Return why a contact can't be notified as declared; None if it can.

        `cause`: the message is about a cause; some channels accept nothing else.
        """
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
        while name in self._owners and name not in seen:
            seen.add(name)
            owner = self._owners[name]
            yield owner
            name = owner.manager or ""


def is_told(owner: Owner) -> bool:
    """Return whether an owner is notified itself; vendors aren't by default."""
    return owner.tell if owner.tell is not None else owner.kind != "vendor"


# Messages contain names, counts and times. They never contain a cell value or the text of an error,
# which may quote one.

NAMES_TOLD = 5
LINE_MAX = 200
_OF_ERRORS = frozenset(
    {
        CauseKind.CODE_ERROR,
        CauseKind.UNKNOWN,
        CauseKind.CONFIGURATION_ERROR,
        CauseKind.DESTINATION_UNAVAILABLE,
        CauseKind.RESOURCE_EXHAUSTED,
        CauseKind.SOURCE_UNAVAILABLE,
        CauseKind.ACCESS_DENIED,
        CauseKind.FORMAT_CHANGE,
        CauseKind.TYPE_CHANGE,
        CauseKind.REPORTED,
    }
)
"""Kinds whose summary begins with the text of an error or of a person."""
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_. ]{0,60}(?=:|$)")
_IN_NODES = re.compile(r"(\d+ nodes): (.*)", re.DOTALL)
_FIRST = re.compile(r"\d+ partitions, .*?, first: ", re.DOTALL)
_MODULE = re.compile(r"ModuleNotFoundError: (No module named '[\w.]{1,60}')")
"""Python's text about a missing package contains only the package's name."""
_LAPSED = re.compile(r"; ((?:the exception of \S+ has|\d+ exceptions of .+ have) lapsed)$")
_UNSEEN = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


RepairOf: TypeAlias = Callable[[Incident], tuple[str, Sequence[str]] | None]
"""Incident → its repair as `incident` words it, and the commands to type.

None if nothing is left to repair.
"""


class Typed(str):
    """A command to type, on a line of its own: never cut or wrapped."""

    __slots__ = ()


class MessageText(msgspec.Struct, frozen=True):
    """The title and the body of a message."""

    title: str
    body: str


class Words:
    """The messages of one project at one time."""

    def __init__(
        self,
        project: Project,
        now: int,
        repair: RepairOf,
        late: Mapping[str, int] = MappingProxyType({}),
        warnings: Collection[int] = (),
        wrong: Mapping[str, tuple[int, int]] = MappingProxyType({}),
    ) -> None:
        """Set up the messages.

        `late`: consumers and since when. `warnings`: incidents that make nobody late. `wrong`:
        consumers with the incident that makes them wrong and since when.
        """
        self._repair, self._late, self._warnings, self._wrong = repair, late, warnings, wrong
        self._project, self._now, self._zone = project, now, project.settings.timezone

    def opened(
        self, incident: Incident, to: Recipient, risks: Mapping[str, AtRisk], *, again: bool
    ) -> MessageText:
        """Return the message about a new incident; it will make the consumers in `risks` late."""
        title = f"{incident.label} {subject(incident)}{' (again)' if again else ''}"
        return self._page(
            title,
            [*self._cause(incident, to), *self._reach(incident, to, risks), *self._next(incident)],
        )

    def changed(
        self, incident: Incident, to: Recipient, risks: Mapping[str, AtRisk], was: str
    ) -> MessageText:
        """Return the message about an incident with another cause than reported."""
        kind, _, node = was.partition("@")
        says = reclassified_text((kind, node), (incident.kind, incident.node))
        lines = [
            f"{says[0].upper()}{says[1:]}.",
            *self._cause(incident, to),
            *self._reach(incident, to, risks),
            *self._next(incident),
        ]
        return self._page(f"{incident.label} {subject(incident)}", lines)

    def escalated(
        self, incident: Incident, to: Recipient, recipient: Recipient, risks: Mapping[str, AtRisk]
    ) -> MessageText:
        """Return the message to the manager of `recipient`, who was notified before or just now."""
        lines = [
            f"It is open since {self._at(incident.opened_at)}; {recipient.name} was told.",
            *self._cause(incident, to),
        ]
        return self._page(
            f"{incident.label} is open: {subject(incident)}",
            [*lines, *self._reach(incident, to, risks), *self._next(incident)],
        )

    def resolved(self, incident: Incident, ended: str) -> MessageText:
        """Return the message about a resolved incident.

        `ended` says what ended it and how the affected consumers are served.
        """
        over = incident.resolved_at or self._now
        restored = incident.restored_at or over
        lines = [
            *wrapped(ended),
            f"{_found_when(incident, 'after it began').capitalize()}.",
            f"Over at {self._at(restored)}, {ago(restored - incident.began_at)} after it began.",
            *(
                [f"It was shown as open until {self._at(over)}."]
                if over - restored >= HOUR_US
                else []
            ),
            f"What was done: headrace incident {incident.label}",
        ]
        return self._page(f"{incident.label} resolved: {subject(incident)}", lines)

    def at_risk(self, consumer: str, risk: AtRisk) -> MessageText:
        """Return the message about a deadline that will be missed."""
        assert risk.due_us is not None, "a deadline"
        place = risk.node if risk.partition == "*" else f"{risk.node}@{risk.partition}"
        when = (
            "nothing says when it will be there"
            if risk.predicted_us is None
            else (
                f"expected at {self._at(risk.predicted_us)}, {ago(risk.predicted_us - risk.due_us)}"
                " late"
            )
        )
        waits = (
            [f"It waits for {place}."]
            if not risk.withdrawn
            else wrapped(f"It waits for {place}, withdrawn: {risk.withdrawn}.")
        )
        lines = [
            f"{risk.interval} is due at {self._at(risk.due_us)}; {when}.",
            *waits,
            f"Why: headrace why {consumer}",
        ]
        return self._page(f"{consumer} will be late, due {self._at(risk.due_us)}", lines)

    def late(self, consumer: str, since: int, withdrawn: str) -> MessageText:
        """Return the message about a missed deadline without an incident.

        `withdrawn` is the withdrawn data that the consumer waits for, why and by whom; empty if no
        cause is known.
        """
        waits = wrapped(
            f"It is late since {self._at(since)};"
            f" {f'it waits for {withdrawn}' if withdrawn else 'no cause is known yet'}."
        )
        lines = [*waits, f"Why: headrace why {consumer}"]
        return self._page(f"{consumer} is late since {self._at(since)}", lines)

    def wrong(self, consumer: str, since: int, reason: str) -> MessageText:
        """Return the message about a consumer's wrong data without an incident."""
        lines = [
            *wrapped(f"It is wrong since {self._at(since)}: {reason}."),
            f"Why: headrace why {consumer}",
        ]
        return self._page(f"{consumer} is wrong since {self._at(since)}", lines)

    def more(self, count: int) -> MessageText:
        """Return the message that replaces all after the first `count` in an hour."""
        return self._page(
            "more incidents are open",
            [
                f"More than {count} messages in an hour: the rest isn't sent one by one.",
                "All of them: headrace incidents",
            ],
        )

    def page(self, title: str, lines: Sequence[str]) -> MessageText:
        """Return any other message."""
        return self._page(title, lines)

    def _page(self, title: str, lines: Sequence[str]) -> MessageText:
        """Return the message, without values of rows where roles say who may read them."""
        render = texts.plain if self._project.access is None else texts.hidden
        return MessageText(
            plain(render(f"[{self._project.settings.name}] {title}")),
            "\n".join(
                _UNSEEN.sub(" ", line) if isinstance(line, Typed) else plain(render(line))
                for line in lines
            ),
        )

    def _cause(self, incident: Incident, to: Recipient) -> Iterator[str]:
        where = (
            "source "
            if incident.node in self._project.sources
            else "asset "
            if incident.node in self._project.assets
            else ""
        )
        place = "Headrace itself" if incident.node == HEADRACE else f"{where}{incident.node}"
        began = self._at(incident.began_at)
        yield f"{incident.kind} at {place}, since {began}, {_found_when(incident, 'later')}"
        if renamed := list(
            dict.fromkeys(
                f"{evidence.expected} → {evidence.observed}"
                for evidence in incident.evidence
                if evidence.what.startswith(RENAMED)
            )
        ):
            yield f"renamed: {listed(renamed, NAMES_TOLD)}"
        elif incident.columns:
            yield f"columns: {listed(incident.columns, NAMES_TOLD)}"
        if incident.affected.partitions:
            yield f"partitions: {listed(incident.affected.partitions, NAMES_TOLD)}"
        yield f"owner: {incident.owner}{self._instead(to)}"
        if incident.recurrence_of is not None:
            yield (
                f"the same cause as {display_id(incident.recurrence_of)}: `headrace incident"
                f" {incident.label}` says what was done then"
            )

    def _instead(self, to: Recipient) -> str:
        return (
            f"; you are told for {to.instead_of[0]}, which gets no messages"
            if to.instead_of
            else ""
        )

    def _reach(
        self, incident: Incident, to: Recipient, risks: Mapping[str, AtRisk]
    ) -> Iterator[str]:
        incident = still_declared(incident, self._project)
        if incident.affected.assets or incident.affected.consumers:
            yield (
                f"reaches {counted(len(incident.affected.assets), 'asset')} and"
                f" {counted(len(incident.affected.consumers), 'consumer')}"
            )
        mine = [name for name in incident.affected.consumers if self._is_of(name, to.name)]
        if mine:
            yield f"yours: {listed(mine, NAMES_TOLD)}"
        consumers = incident.affected.consumers
        late = {} if incident.id in self._warnings else self._late
        yield from _first(
            [
                f"{name} is wrong since {self._at(self._wrong[name][1])}"
                for name in consumers
                if self._wrong.get(name, (0, 0))[0] == incident.id
            ],
            "wrong",
        )
        yield from _first(
            [f"{name} is late since {self._at(late[name])}" for name in consumers if name in late],
            "late",
        )
        yield from _first(
            [
                f"{name} will be late: {risks[name].interval} is due at {self._at(due)}"
                for name in consumers
                if name in risks and name not in late and (due := risks[name].due_us) is not None
            ],
            "at risk",
        )

    def _is_of(self, consumer: str, owner: str) -> bool:
        declared = self._project.consumers.get(consumer)
        return declared is not None and declared.owner == owner

    def _next(self, incident: Incident) -> Iterator[str]:
        repair = self._repair(incident) if incident.state == "open" else None
        if repair is not None:
            text, commands = repair
            if not text:
                yield Typed(f"Repair: {', then '.join(commands)}")
            else:
                yield from wrapped(f"Repair: {text}{':' if commands else ''}")
                yield from (Typed(f"  {command}") for command in commands)
        yield f"More: headrace incident {incident.label}"

    def _at(self, at: int) -> str:
        """Return a time with its day, since a message may be read on another."""
        return dated(at, self._zone)


def subject(incident: Incident) -> str:
    """Return the subject line: the place and the clause.

    If the clause leaves out an error's text, the partitions distinguish such incidents of a node.
    """
    place = incident.node
    if incident.kind in _OF_ERRORS and incident.affected.partitions:
        first, *more = incident.affected.partitions
        place = f"{incident.node}@{first}" + (f" and {len(more)} more" if more else "")
    return f"{place}: {clause(incident)}"


def clause(incident: Incident) -> str:
    """Return an incident's summary without the text of an error or of a person."""
    if (
        incident.kind not in _OF_ERRORS
        or incident.summary.startswith(WITHDRAWN)
        or incident.detail == DISK
    ):  # Headrace's own words
        return incident.summary
    nodes, what = (
        match.groups() if (match := _IN_NODES.match(incident.summary)) else ("", incident.summary)
    )
    what = _FIRST.sub("", what, count=1) if _FIRST.match(what) else what
    kind = f"{incident.kind.replace('_', ' ')}{f' in {nodes}' if nodes else ''}"
    if (module := _MODULE.fullmatch(what)) is not None:
        return f"{kind}, {module[1]}"
    if (lapsed := _LAPSED.search(what)) is not None:
        return f"{kind}; {lapsed[1]}"
    named = (
        _CLASS.match(what)
        if incident.kind in (CauseKind.CODE_ERROR, CauseKind.UNKNOWN, CauseKind.CONFIGURATION_ERROR)
        else None
    )
    return f"{kind}, {named[0]}" if named is not None and ":" in what else kind


def plain(text: str) -> str:
    """Return a text as one line without control characters, since vendors choose column names."""
    return _UNSEEN.sub(" ", text)[:LINE_MAX]


def wrapped(text: str) -> list[str]:
    """Return a long text as several lines."""
    return textwrap.wrap(text, LINE_MAX, break_on_hyphens=False)


def _found_when(incident: Incident, later: str) -> str:
    detected_us = incident.opened_at - incident.began_at
    return f"found {ago(detected_us)} {later}" if detected_us > 0 else "found at once"


def _first(lines: Sequence[str], state: str) -> Iterator[str]:
    """Yield the first lines on consumers in a state, and how many more there are."""
    yield from lines[:NAMES_TOLD]
    more = len(lines) - NAMES_TOLD
    if more > 0:
        yield f"{counted(more, 'more consumer')} {'is' if more == 1 else 'are'} {state}"
