"""Open items besides the states of consumers, and the headline that sums everything up. Pure.

Every view renders these items. The headline says "All 3 consumers are served." and then what else
is open; it never says that nothing is wrong while anything is.
"""

from __future__ import annotations

import enum
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from headrace.model.partitions import command_line
from headrace.model.wording import counted
from headrace.slo.times import days, time_text

NAMES_MAX = 4
_NOT_SERVED = frozenset({"unknown", "never", "wrong", "late"})
_WAITING = frozenset({"never", "late"})


class OpenKind(enum.StrEnum):
    """The kinds of open items, in the order in which they are listed."""

    CONSUMER = "consumer"
    CLOCK_AHEAD = "clock_ahead"
    DATA_CORRUPTED = "data_corrupted"
    INCIDENT = "incident"
    QUARANTINE = "quarantine"
    FAILING = "failing"
    SOURCE_UNREACHABLE = "source_unreachable"
    SOURCE_THROTTLED = "source_throttled"
    SUPERSEDED_UPSTREAM = "superseded_upstream"
    STALE = "stale"
    APPROVAL = "approval"
    NOT_APPLIED = "not_applied"
    FROZEN = "frozen"
    BREAK_GLASS = "break_glass"
    ROLE_ENDS = "role_ends"


class OpenItem(msgspec.Struct, frozen=True):
    """All open items of one kind. `text` is a noun phrase with a count, such as `2 incidents`."""

    kind: OpenKind
    count: int
    nodes: tuple[str, ...]
    text: str
    command: str


class ConsumerFact(msgspec.Struct, frozen=True):
    """A consumer's state."""

    name: str
    state: str


class IncidentFact(msgspec.Struct, frozen=True):
    """An unresolved incident.

    `reach` are its node, other nodes with the same cause, and the assets that it affects.
    """

    display_id: str
    node: str
    kind: str
    reach: frozenset[str] = frozenset()


class NodeQuarantine(msgspec.Struct, frozen=True):
    """The quarantined partitions of one node.

    `rows` is the number of known rows; `rejected` is how many of the partitions are rejected
    instead of held.
    """

    partitions: int
    rows: int
    rejected: int = 0


class Throttled(msgspec.Struct, frozen=True):
    """A source that throttles Headrace: since when, and how many of its intervals are loaded."""

    source: str
    since_us: int
    loaded: int | None = None
    expected: int | None = None


class EnvironmentDamage(msgspec.Struct, frozen=True):
    """Damaged files of an environment, where no incident is opened for them.

    Holds the number of files, their nodes, the consumers that read those, and the command that
    repairs the first file.
    """

    files: int
    nodes: tuple[str, ...]
    consumers: tuple[str, ...]
    command: str


class Superseded(msgspec.Struct, frozen=True):
    """Stale published partitions of an asset, because its inputs or its code changed.

    `command` recomputes them, or shows the incident of the code that must be corrected first.
    """

    node: str
    partitions: int
    first: str
    last: str
    unit: str
    command: str
    own_code: bool = False
    """Whether its own code changed, not its inputs."""


class OpenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts behind all open items, at one time."""

    now_us: int
    timezone: str
    consumers: Sequence[ConsumerFact]
    incidents: Sequence[IncidentFact] = ()
    held: Mapping[str, NodeQuarantine] = {}
    failing: Collection[str] = ()
    """Nodes with a failed partition that wasn't published since.

    A source that can't be observed is reported only as that, even if it is also in here.
    """
    unobserved: Mapping[str, int] = {}
    """Source → since when every observation of it has failed."""
    throttled: Sequence[Throttled] = ()
    superseded: Sequence[Superseded] = ()
    approvals: Sequence[str] = ()
    """Backfills, by number, and other plans that wait for approval."""
    frozen: Sequence[str] = ()
    """Who is frozen, as `token:ci`; `*` for everybody but admins."""
    emergencies: Sequence[tuple[str, str]] = ()
    """Who has taken which role by break-glass, as (`user:ana`, `operator`)."""
    roles_end: Sequence[str] = ()
    """Rules of access that end within 14 days, in words, the first to end first."""
    damaged: EnvironmentDamage | None = None
    broken_since: int | None = None
    """Since when no worker starts, in microseconds; None if workers start."""
    closed_since: int | None = None
    """Since when the lake can't be written, in microseconds."""
    not_applied: int | None = 0
    """Number of nodes that differ from the applied version; None if the files have errors."""
    days_ahead: int = 0
    """How far the project's clock is ahead of the machine's, so that all times are wrong; negative
    if the machine's is ahead of all that was stored, and nobody has confirmed it."""


class Explained(msgspec.Struct, frozen=True):
    """What the headline's first sentence already covers: the causes that consumers wait for."""

    incidents: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()


def explained_by(facts: OpenFacts, waiting: frozenset[str]) -> Explained:
    """Return what the incidents that consumers wait for explain.

    A node with an open incident of its own isn't explained by another node's incident.
    """
    others = {incident.node for incident in facts.incidents if incident.display_id not in waiting}
    reach = {
        name
        for incident in facts.incidents
        if incident.display_id in waiting
        for name in incident.reach
    }
    incident_nodes = {
        incident.node for incident in facts.incidents if incident.display_id in waiting
    }
    return Explained(waiting, frozenset(incident_nodes | (reach - others)))


# frozen
def open_items(facts: OpenFacts, explained: Explained = Explained()) -> tuple[OpenItem, ...]:  # noqa: B008
    """Return the open items without those that are already explained."""
    items = (
        _consumers(facts),
        _ahead(facts),
        _damaged(facts),
        *_incidents(facts, explained),
        _quarantine(facts, explained),
        _failing(facts, explained),
        _unobserved(facts, explained),
        _throttled(facts),
        _stale_item(OpenKind.SUPERSEDED_UPSTREAM, [s for s in facts.superseded if not s.own_code]),
        _stale_item(OpenKind.STALE, [s for s in facts.superseded if s.own_code]),
        _approvals(facts),
        _not_applied(facts),
        _frozen(facts),
        _emergencies(facts),
        _roles_end(facts),
    )
    return tuple(item for item in items if item is not None)


def headline(
    facts: OpenFacts,
    causes: str | None,
    explained: Explained,
    *,
    wrong_visible: bool,
    displayed: str = "declared",
) -> str:
    """Return the state of the project in at most four sentences.

    `causes` is the sentence about the causes that consumers wait for. It is dropped if any consumer
    is unserved for another reason than waiting, since it would hide that consumer. `wrong_visible`
    says whether readers can see a publication that is known to be wrong. `explained` are the
    incidents that the consumers' reasons name: they are counted once, with the consumer.
    `displayed` says which consumers the facts have: those declared, visible or selected.
    """
    states = {consumer.state for consumer in facts.consumers}
    if states & _NOT_SERVED - _WAITING:
        causes = None
    sentences = [_served(facts, causes, displayed)]
    if facts.broken_since is not None:
        sentences.append(
            "Nothing can run: no worker starts since"
            f" {time_text(facts.broken_since, facts.now_us, facts.timezone)}."
        )
    elif facts.closed_since is not None:
        sentences.append(
            "Nothing can run: the lake can't be written since"
            f" {time_text(facts.closed_since, facts.now_us, facts.timezone)}."
        )
    if states & {"late", "never"} and "wrong" not in states and not wrong_visible and facts.held:
        sentences.append("Nothing wrong was published.")
    waiting = explained if causes is not None else Explained(explained.incidents)
    apart = set(facts.failing) - _covered(facts.incidents)
    items = open_items(msgspec.structs.replace(facts, failing=apart), waiting)
    also = [_beside(item, facts, waiting) for item in items if item.kind is not OpenKind.CONSUMER]
    if also:
        sentences.append(f"Also open: {', '.join(also)}.")
    return " ".join(sentences)


def _covered(incidents: Iterable[IncidentFact]) -> set[str]:
    """Return the nodes of incidents, and those that they reach."""
    return {name for incident in incidents for name in (incident.node, *incident.reach)}


def _beside(item: OpenItem, facts: OpenFacts, explained: Explained) -> str:
    """Return an item's text, where incidents are "other" if some are named already.

    Nodes that fail because of these incidents are named with them, not counted once more.
    """
    others = [each for each in facts.incidents if each.display_id not in explained.incidents]
    damage = _covered(each for each in others if each.kind == OpenKind.DATA_CORRUPTED)
    failing = set(facts.failing) - explained.nodes - facts.unobserved.keys()
    text = item.text
    if item.kind is OpenKind.DATA_CORRUPTED:
        failing &= damage
    elif item.kind is OpenKind.INCIDENT:
        failing &= _covered(others) - damage
        text = counted(item.count, "other incident") if explained.incidents else text
    else:
        return text
    return f"{text} ({_fails(sorted(failing))})" if failing else text


def _served(facts: OpenFacts, causes: str | None, displayed: str) -> str:
    """Return the sentence on what consumers can read; `causes` replaces it."""
    if not facts.consumers:
        return f"No consumer is {displayed}."
    if causes is not None:
        return causes
    risky = [consumer.name for consumer in facts.consumers if consumer.state == "at_risk"]
    at_risk = f", {_few(risky)} at risk" if risky else ""
    return f"{_served_clause(facts)}{at_risk}."


def _served_clause(facts: OpenFacts) -> str:
    total = len(facts.consumers)
    missed = [consumer for consumer in facts.consumers if consumer.state in _NOT_SERVED]
    if missed:
        verb = "isn't" if len(missed) == 1 else "aren't"
        named = _few([f"{consumer.name} ({consumer.state})" for consumer in missed])
        return f"{len(missed)} of {counted(total, 'consumer')} {verb} served: {named}"
    if facts.damaged is not None and facts.damaged.consumers:
        verb = "reads" if len(facts.damaged.consumers) == 1 else "read"
        return f"{_few(facts.damaged.consumers)} {verb} from a damaged file"
    if total == 1:
        return "The consumer is served"
    return f"{'Both' if total == 2 else f'All {total:,}'} consumers are served"


def _consumers(facts: OpenFacts) -> OpenItem | None:
    open_ones = [consumer for consumer in facts.consumers if consumer.state != "served"]
    if not open_ones:
        return None
    missed = sum(fact.state in _NOT_SERVED for fact in open_ones)
    clauses = [f"{counted(missed, 'consumer')} not served"] if missed else []
    if risky := len(open_ones) - missed:
        clauses.append(f"{counted(risky, 'consumer')} at risk")
    command = f"headrace why {shlex.quote(open_ones[0].name)}"
    names = tuple(fact.name for fact in open_ones)
    return OpenItem(OpenKind.CONSUMER, len(names), names, ", ".join(clauses), command)


def _ahead(facts: OpenFacts) -> OpenItem | None:
    if not facts.days_ahead:
        return None
    days = counted(abs(facts.days_ahead), "day")
    text = (
        f"the project's clock, {days} ahead of the machine's"
        if facts.days_ahead > 0
        else f"the machine's clock, {days} after all that the project stored (to be confirmed)"
    )
    return OpenItem(OpenKind.CLOCK_AHEAD, 1, (), text, "headrace db clock")


def _damaged(facts: OpenFacts) -> OpenItem | None:
    damage = facts.damaged
    if damage is None:
        return None
    text = f"{counted(damage.files, 'damaged file')} ({_few(damage.nodes)})"
    return OpenItem(OpenKind.DATA_CORRUPTED, damage.files, damage.nodes, text, damage.command)


def _incidents(facts: OpenFacts, explained: Explained) -> list[OpenItem | None]:
    others = [
        incident for incident in facts.incidents if incident.display_id not in explained.incidents
    ]
    corrupted = [fact for fact in others if fact.kind == OpenKind.DATA_CORRUPTED]
    rest = [fact for fact in others if fact.kind != OpenKind.DATA_CORRUPTED]
    return [
        _of_incidents(
            OpenKind.DATA_CORRUPTED,
            corrupted,
            "incident of damaged data",
            "incidents of damaged data",
        ),
        _of_incidents(OpenKind.INCIDENT, rest, "incident", "incidents"),
    ]


def _of_incidents(
    kind: OpenKind, facts: Sequence[IncidentFact], item: str, several: str
) -> OpenItem | None:
    if not facts:
        return None
    command = (
        f"headrace incident {facts[0].display_id}" if len(facts) == 1 else "headrace incidents"
    )
    nodes = tuple(dict.fromkeys(incident.node for incident in facts))
    return OpenItem(kind, len(facts), nodes, counted(len(facts), item, several), command)


def _quarantine(facts: OpenFacts, explained: Explained) -> OpenItem | None:
    held = {
        node: quarantine for node, quarantine in facts.held.items() if node not in explained.nodes
    }
    if not held:
        return None
    rows = sum(quarantine.rows for quarantine in held.values())
    partitions = sum(quarantine.partitions for quarantine in held.values())
    rejected = sum(quarantine.rejected for quarantine in held.values())
    state = "held" if not rejected else "rejected" if rejected == partitions else "quarantined"
    text = counted(rows, f"{state} row") if rows else counted(partitions, f"{state} partition")
    return OpenItem(OpenKind.QUARANTINE, partitions, tuple(held), text, "headrace quarantine")


def _failing(facts: OpenFacts, explained: Explained) -> OpenItem | None:
    nodes = tuple(sorted(set(facts.failing) - explained.nodes - facts.unobserved.keys()))
    if not nodes:
        return None
    return OpenItem(OpenKind.FAILING, len(nodes), nodes, _fails(nodes), "headrace runs --failed")


def _fails(nodes: Sequence[str]) -> str:
    return f"{_few(nodes)} {'fails' if len(nodes) == 1 else 'fail'}"


def _unobserved(facts: OpenFacts, explained: Explained) -> OpenItem | None:
    names = [name for name in facts.unobserved if name not in explained.nodes]
    if not names:
        return None
    since = time_text(min(facts.unobserved[name] for name in names), facts.now_us, facts.timezone)
    text = f"{counted(len(names), 'source')} that can't be observed since {since} ({_few(names)})"
    command = f"headrace deliveries {shlex.quote(names[0])}"
    return OpenItem(OpenKind.SOURCE_UNREACHABLE, len(names), tuple(names), text, command)


def _throttled(facts: OpenFacts) -> OpenItem | None:
    results = facts.throttled
    if not results:
        return None
    since = time_text(min(item.since_us for item in results), facts.now_us, facts.timezone)
    names = _few([item.source for item in results])
    loaded = (
        f"; {results[0].loaded} of {results[0].expected} intervals loaded"
        if len(results) == 1 and results[0].expected
        else ""
    )
    text = f"{counted(len(results), 'source')} throttled since {since} ({names}{loaded})"
    command = f"headrace deliveries {shlex.quote(results[0].source)}"
    return OpenItem(
        OpenKind.SOURCE_THROTTLED,
        len(results),
        tuple(item.source for item in results),
        text,
        command,
    )


def _stale_item(kind: OpenKind, items: Sequence[Superseded]) -> OpenItem | None:
    if not items:
        return None
    count = sum(item.partitions for item in items)
    each = [_stale(item) for item in items[:NAMES_MAX]]
    first = items[0]
    keys = first.first if first.first == first.last else f"{first.first} … {first.last}"
    span = f" ({keys})" if len(items) == 1 else ""
    more = len(items) - len(each)
    others = f" and of {more} more" if more else ""
    text = f"{', '.join(each)}{others} {'is' if count == 1 else 'are'} stale{span}"
    return OpenItem(kind, count, tuple(item.node for item in items), text, first.command)


def _stale(item: Superseded) -> str:
    code = " (its own code changed)" if item.own_code else ""
    return f"{days(item.partitions, item.unit)} of {item.node}{code}"


def _approvals(facts: OpenFacts) -> OpenItem | None:
    if not facts.approvals:
        return None
    numbers = [name for name in facts.approvals if name.isdecimal()]
    only_backfills = len(numbers) == len(facts.approvals)
    what = "backfill" if only_backfills else "plan"
    text = f"{counted(len(facts.approvals), what)} waiting for approval"
    command = command_line("backfills", numbers[0]) if only_backfills else "headrace approvals"
    return OpenItem(OpenKind.APPROVAL, len(facts.approvals), (), text, command)


def _not_applied(facts: OpenFacts) -> OpenItem | None:
    if facts.not_applied == 0:
        return None
    if facts.not_applied is None:
        text = "files have errors (the applied version goes on)"
        return OpenItem(OpenKind.NOT_APPLIED, 1, (), text, "headrace validate")
    text = f"{counted(facts.not_applied, 'node')} not applied"
    return OpenItem(OpenKind.NOT_APPLIED, facts.not_applied, (), text, "headrace plan")


def _frozen(facts: OpenFacts) -> OpenItem | None:
    if not facts.frozen:
        return None
    names = ["everybody but admins" if name == "*" else name for name in facts.frozen]
    subject = "--all" if facts.frozen[0] == "*" else facts.frozen[0]
    command = f"{command_line('unfreeze', subject)} --reason TEXT"
    return OpenItem(OpenKind.FROZEN, len(names), (), f"{_few(names)} frozen", command)


def _emergencies(facts: OpenFacts) -> OpenItem | None:
    if not facts.emergencies:
        return None
    names = [f"{who} ({role})" for who, role in facts.emergencies]
    command = command_line("access", "break-glass", "--end", facts.emergencies[0][0])
    text = f"roles taken by break-glass: {_few(names)}"
    return OpenItem(OpenKind.BREAK_GLASS, len(names), (), text, f"{command} --reason TEXT")


def _roles_end(facts: OpenFacts) -> OpenItem | None:
    if not facts.roles_end:
        return None
    text = f"roles that end soon: {_few(facts.roles_end)}"
    return OpenItem(OpenKind.ROLE_ENDS, len(facts.roles_end), (), text, "headrace access review")


def _few(names: Sequence[str]) -> str:
    if len(names) <= NAMES_MAX:
        return " and ".join(", ".join(names).rsplit(", ", 1))
    return f"{', '.join(names[: NAMES_MAX - 1])} and {len(names) - NAMES_MAX + 1} more"
