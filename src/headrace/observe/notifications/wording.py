"""Messages: names, counts and times. Never the value of a cell, nor an error's text, which may hold one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from headrace.model import Project
from headrace.model.zones import HOUR_US
from headrace.observe.diagnosis.causes import HEADRACE, CauseKind
from headrace.observe.diagnosis.details import DISK
from headrace.observe.diagnosis.wording import WITHDRAWN
from headrace.observe.incidents.evidence_text import RENAMED, turned
from headrace.observe.incidents.reach import still_declared
from headrace.observe.notifications.recipients import Recipient
from headrace.observe.states import AtRisk
from headrace.observe.wording import ago, dated
from headrace.store.queries.incidents import Incident, shown

NAMES_TOLD = 5
LINE_MAX = 200
_OF_ERRORS = frozenset(
    {
        CauseKind.CODE_ERROR, CauseKind.UNKNOWN, CauseKind.CONFIGURATION_ERROR, CauseKind.DESTINATION_UNAVAILABLE,
        CauseKind.RESOURCE_EXHAUSTED, CauseKind.SOURCE_UNAVAILABLE, CauseKind.ACCESS_DENIED, CauseKind.FORMAT_CHANGE,
        CauseKind.TYPE_CHANGE, CauseKind.REPORTED,
    }
)  # fmt: skip
"""What is said of these begins with what an error, or a person, said."""
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_. ]{0,60}(?=:|$)")
_IN_NODES = re.compile(r"(\d+ nodes): (.*)", re.DOTALL)
_FIRST = re.compile(r"\d+ partitions, .*?, first: ", re.DOTALL)
_MODULE = re.compile(r"ModuleNotFoundError: (No module named [\w.]{1,60})")
"""What Python itself says of a package that isn't there holds its name and nothing else."""
_LAPSED = re.compile(r"; ((?:the exception of \S+ has|\d+ exceptions of .+ have) lapsed)$")
_UNSEEN = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


RepairOf: TypeAlias = Callable[[Incident], tuple[str, Sequence[str]] | None]
"""What repairs an incident, as `incident` says it, and the commands to be typed then; None where
nothing is left to repair."""


class Typed(str):
    """A command to be typed, whole on a line of its own: it is never cut or wrapped."""

    __slots__ = ()


class MessageText(msgspec.Struct, frozen=True):
    """What a message consists of."""

    title: str
    body: str


class Words:
    """Messages of one project at one time."""

    def __init__(
        self,
        project: Project,
        now: int,
        repair: RepairOf,
        late: Mapping[str, int] = MappingProxyType({}),
        warnings: Collection[int] = (),
        wrong: Mapping[str, tuple[int, int]] = MappingProxyType({}),
    ) -> None:
        """`late` are consumers and since when, `warnings` the incidents that make nobody late, `wrong` consumers with the incident
        that makes them wrong and since when."""
        self._repair, self._late, self._warnings, self._wrong = repair, late, warnings, wrong
        self._project, self._now, self._zone = project, now, project.settings.timezone

    def opened(self, one: Incident, to: Recipient, risks: Mapping[str, AtRisk], *, again: bool) -> MessageText:
        """There is a cause. `risks` are the consumers that it will make late."""
        title = f"{one.shown} {subject(one)}{' (again)' if again else ''}"
        return self._page(title, [*self._cause(one, to), *self._reach(one, to, risks), *self._next(one)])

    def changed(self, one: Incident, to: Recipient, risks: Mapping[str, AtRisk], was: str) -> MessageText:
        """It is something else than was said."""
        kind, _, node = was.partition("@")
        says = turned((kind, node), (one.kind, one.node))
        lines = [
            f"{says[0].upper()}{says[1:]}.",
            *self._cause(one, to),
            *self._reach(one, to, risks),
            *self._next(one),
        ]
        return self._page(f"{one.shown} {subject(one)}", lines)

    def escalated(self, one: Incident, to: Recipient, told: Recipient, risks: Mapping[str, AtRisk]) -> MessageText:
        """It is open, and somebody else was told of it: long before, or just now where it makes a consumer late."""
        lines = [f"It is open since {self._at(one.opened_at)}; {told.name} was told.", *self._cause(one, to)]
        return self._page(f"{one.shown} is open: {subject(one)}", [*lines, *self._reach(one, to, risks), *self._next(one)])

    def resolved(self, one: Incident, ended: str) -> MessageText:
        """It is over; `ended` says by what, and how those are served whom it affected."""
        over = one.resolved_at or self._now
        restored = one.restored_at or over
        lines = [
            *wrapped(ended),
            f"Found {ago(one.opened_at - one.began_at)} after it began.",
            f"Over at {self._at(restored)}, {ago(restored - one.began_at)} after it began.",
            *([f"It was shown as open until {self._at(over)}."] if over - restored >= HOUR_US else []),
            f"What was done: headrace incident {one.shown}",
        ]
        return self._page(f"{one.shown} resolved: {subject(one)}", lines)

    def at_risk(self, consumer: str, risk: AtRisk) -> MessageText:
        """A deadline will be missed."""
        place = risk.node if risk.partition == "*" else f"{risk.node}@{risk.partition}"
        when = "nothing says when it will be there" if risk.predicted_us is None else (
            f"expected at {self._at(risk.predicted_us)}, {ago(risk.predicted_us - risk.due_us)} late"
        )  # fmt: skip
        waits = [f"It waits for {place}."] if not risk.withdrawn else wrapped(f"It waits for {place}, withdrawn: {risk.withdrawn}.")
        lines = [f"{risk.interval} is due at {self._at(risk.due_us)}; {when}.", *waits, f"Why: headrace why {consumer}"]
        return self._page(f"{consumer} will be late, due {self._at(risk.due_us)}", lines)

    def late(self, consumer: str, since: int, withdrawn: str) -> MessageText:
        """A deadline was missed, and no incident is the cause. `withdrawn` is what it waits for, and why and by whom that was withdrawn;
        empty where no cause is known."""
        waits = wrapped(f"It is late since {self._at(since)}; {f'it waits for {withdrawn}' if withdrawn else 'no cause is known yet'}.")
        lines = [*waits, f"Why: headrace why {consumer}"]
        return self._page(f"{consumer} is late since {self._at(since)}", lines)

    def wrong(self, consumer: str, since: int, said: str) -> MessageText:
        """What a consumer can read isn't right, and no incident is the cause."""
        lines = [*wrapped(f"It is wrong since {self._at(since)}: {said}."), f"Why: headrace why {consumer}"]
        return self._page(f"{consumer} is wrong since {self._at(since)}", lines)

    def more(self, count: int) -> MessageText:
        """So many more that aren't told one by one."""
        return self._page("more incidents are open", [f"More than {count} messages in an hour: the rest isn't told one by one.",
                                                      "All of them: headrace incidents"])  # fmt: skip

    def page(self, title: str, lines: Sequence[str]) -> MessageText:
        """Any other message."""
        return self._page(title, lines)

    def _page(self, title: str, lines: Sequence[str]) -> MessageText:
        return MessageText(plain(f"[{self._project.settings.name}] {title}"), "\n".join(_line(line) for line in lines))

    def _cause(self, one: Incident, to: Recipient) -> Iterator[str]:
        where = "source " if one.node in self._project.sources else "asset " if one.node in self._project.assets else ""
        place = "Headrace itself" if one.node == HEADRACE else f"{where}{one.node}"
        yield f"{one.kind} at {place}, since {self._at(one.began_at)}, found {ago(max(0, one.opened_at - one.began_at))} later"
        if renamed := list(dict.fromkeys(f"{said.expected} → {said.observed}" for said in one.evidence if said.what.startswith(RENAMED))):
            yield f"renamed: {listed(renamed)}"
        elif one.columns:
            yield f"columns: {listed(one.columns)}"
        if one.affected.partitions:
            yield f"partitions: {listed(one.affected.partitions)}"
        yield f"owner: {one.owner}{self._instead(to)}"
        if one.recurrence_of is not None:
            yield f"the same cause as {shown(one.recurrence_of)}: `headrace incident {one.shown}` says what was done then"

    def _instead(self, to: Recipient) -> str:
        return f"; you are told for {to.instead_of[0]}, which isn't written to" if to.instead_of else ""

    def _reach(self, one: Incident, to: Recipient, risks: Mapping[str, AtRisk]) -> Iterator[str]:
        one = still_declared(one, self._project)
        if one.affected.assets or one.affected.consumers:
            yield f"reaches {_counted(len(one.affected.assets), 'asset')} and {_counted(len(one.affected.consumers), 'consumer')}"
        mine = [name for name in one.affected.consumers if self._is_of(name, to.name)]
        if mine:
            yield f"yours: {listed(mine)}"
        wrong = [(name, self._wrong[name][1]) for name in one.affected.consumers if self._wrong.get(name, (0, 0))[0] == one.id]
        for name, since in wrong[:NAMES_TOLD]:
            yield f"{name} is wrong since {self._at(since)}"
        late = {} if one.id in self._warnings else self._late
        for name in [name for name in one.affected.consumers if name in late][:NAMES_TOLD]:
            yield f"{name} is late since {self._at(late[name])}"
        for name in [name for name in one.affected.consumers if name in risks and name not in late][:NAMES_TOLD]:
            yield f"{name} will be late: {risks[name].interval} is due at {self._at(risks[name].due_us)}"

    def _is_of(self, consumer: str, owner: str) -> bool:
        declared = self._project.consumers.get(consumer)
        return declared is not None and declared.owner == owner

    def _next(self, one: Incident) -> Iterator[str]:
        repair = self._repair(one) if one.state == "open" else None
        if repair is not None:
            text, commands = repair
            if not text:
                yield Typed(f"Repair: {', then '.join(commands)}")
            else:
                yield from wrapped(f"Repair: {text}{':' if commands else ''}")
                yield from (Typed(f"  {command}") for command in commands)
        yield f"More: headrace incident {one.shown}"

    def _at(self, at: int) -> str:
        """A message is read whenever: it names the day."""
        return dated(at, self._zone)


def subject(one: Incident) -> str:
    """What is the matter and where, for the line by which mails are told apart: where the clause leaves out what an error said, the
    partitions tell one such incident of a node from another."""
    place = one.node
    if one.kind in _OF_ERRORS and one.affected.partitions:
        first, *more = one.affected.partitions
        place = f"{one.node}@{first}" + (f" and {len(more)} more" if more else "")
    return f"{place}: {clause(one)}"


def clause(one: Incident) -> str:
    """What is the matter, without what an error or a person said besides."""
    if one.kind not in _OF_ERRORS or one.summary.startswith(WITHDRAWN) or one.detail == DISK:  # these are Headrace's own words
        return one.summary
    nodes, what = found.groups() if (found := _IN_NODES.match(one.summary)) else ("", one.summary)
    what = _FIRST.sub("", what, count=1) if _FIRST.match(what) else what
    kind = f"{one.kind.replace('_', ' ')}{f' in {nodes}' if nodes else ''}"
    if (module := _MODULE.fullmatch(what)) is not None:
        return f"{kind}, {module[1]}"
    if (lapsed := _LAPSED.search(what)) is not None:
        return f"{kind}; {lapsed[1]}"
    named = _CLASS.match(what) if one.kind in (CauseKind.CODE_ERROR, CauseKind.UNKNOWN, CauseKind.CONFIGURATION_ERROR) else None
    return f"{kind}, {named[0]}" if named is not None and ":" in what else kind


def plain(text: str) -> str:
    """One line that shows what it says: names of columns are whatever a vendor writes."""
    return _UNSEEN.sub(" ", text)[:LINE_MAX]


def _line(text: str) -> str:
    return _UNSEEN.sub(" ", text) if isinstance(text, Typed) else plain(text)


def wrapped(text: str) -> list[str]:
    """A text that may be longer than a line, in lines."""
    return textwrap.wrap(text, LINE_MAX, break_on_hyphens=False)


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more."""
    more = len(names) - NAMES_TOLD
    return ", ".join(names[:NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
