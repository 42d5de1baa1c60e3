"""What is asked of a simulation: changes of workers, pools, assets, sources and consumers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import time
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from headrace.extension import UsageError, did_you_mean
from headrace.model import Project, UnknownName
from headrace.model.fields import memory_in_bytes
from headrace.model.times import Duration, Offset, check_cron
from headrace.scheduler import Graph, GraphNode, NodeTrigger

WORKERS_MAX = 1_000
FACTOR_MAX = 1_000.0
DELAY_DAYS_MAX = 7
_SECOND_US = 1_000_000
FORMS = (
    "workers=4",
    "workers.lost=03:00",
    "memory=2GB",
    "pool.NAME=2",
    "machine.speed=2",
    "asset.NAME.speed=2",
    "asset.NAME.priority=10",
    "asset.NAME.cron=0 5 * * *",
    "source.NAME.delay=1h",
    "source.NAME.volume=2",
    "consumer.NAME.due=07:30",
    "consumer.NAME.reads=ASSET",
)
"""What `--set` takes."""


T = TypeVar("T")


class Changes(msgspec.Struct, frozen=True):
    """The changes, by the names that they are about.

    `memory` is the most that an attempt may use, as it was given. `speeds`, `machine` and `volumes`
    are factors, `delays` are microseconds. `readers` are additional consumers with their reads.
    """

    workers: int | None = None
    lost_at: time | None = None
    memory: str | None = None
    machine: float = 1.0
    pools: Mapping[str, int] = {}
    speeds: Mapping[str, float] = {}
    priorities: Mapping[str, int] = {}
    crons: Mapping[str, str] = {}
    delays: Mapping[str, int] = {}
    volumes: Mapping[str, float] = {}
    dues: Mapping[str, str] = {}
    readers: Mapping[str, tuple[str, ...]] = {}
    without: frozenset[str] = frozenset()


def parse_changes(project: Project, texts: Sequence[str], without: Sequence[str] = ()) -> Changes:
    """Return the changes that texts such as `workers=4` ask for.

    Raises UnknownName for a name that isn't declared, UsageError for everything else that can't be
    simulated.
    """
    changes = Changes(without=frozenset(_asset(project, name) for name in without))
    for text in texts:
        changes = _with(project, changes, text)
    for name, reads in changes.readers.items():
        if name not in changes.dues:
            raise UsageError(
                f"the consumer {name} needs a deadline",
                hint=f"add --set consumer.{name}.due=07:30 (it reads {', '.join(reads)})",
            )
    for name in changes.dues.keys() - project.consumers.keys() - changes.readers.keys():
        raise _unknown("consumer", name, project.consumers)
    return changes


def _with(project: Project, changes: Changes, text: str) -> Changes:
    path, equals, value = text.partition("=")
    subject, dot, rest = path.strip().partition(".")
    name, _, field = rest.rpartition(".") if subject not in ("pool", "machine") else (rest, "", "")
    value = value.strip()
    if not equals or not value:
        raise _no_form(text)
    if (subject, rest) == ("workers", ""):
        return replace(changes, workers=_whole(text, value, WORKERS_MAX))
    if (subject, rest) == ("workers", "lost"):
        return replace(changes, lost_at=_clock(text, value))
    if (subject, rest) == ("memory", ""):
        _checked(text, memory_in_bytes, value)
        return replace(changes, memory=value)
    if (subject, rest) == ("machine", "speed"):
        return replace(changes, machine=_factor(text, value))
    form = _FORMS.get((subject, field))
    if form is None or not dot or not name:
        raise _no_form(text)
    changed, of, to = form(_Setting(project, text, name, value))
    return replace(changes, **{changed: {**getattr(changes, changed), of: to}})


class _Setting(NamedTuple):
    """One text of a change: `text` as typed, about the thing `name`, with a new `value`."""

    project: Project
    text: str
    name: str
    value: str


_Field = tuple[str, str, object]
"""The field of `Changes`, the name that it is about, and its value."""


def _pool(setting: _Setting) -> _Field:
    pools = setting.project.settings.pools
    if setting.name not in pools:
        raise _unknown("pool", setting.name, pools)
    return "pools", setting.name, _whole(setting.text, setting.value, WORKERS_MAX)


def _speed(setting: _Setting) -> _Field:
    name = _asset(setting.project, setting.name)
    return "speeds", name, _factor(setting.text, setting.value)


def _priority(setting: _Setting) -> _Field:
    if re.fullmatch(r"-?\d{1,6}", setting.value) is None:
        raise UsageError(f"`{setting.text}`: a priority is a whole number", hint="such as 10")
    return "priorities", _asset(setting.project, setting.name), int(setting.value)


def _cron(setting: _Setting) -> _Field:
    _checked(setting.text, check_cron, setting.value)
    return "crons", _asset(setting.project, setting.name), setting.value


def _delay(setting: _Setting) -> _Field:
    value = setting.value
    sign = -1 if value.startswith("-") else 1
    number = value.removeprefix("-").removeprefix("+")
    duration = _checked(setting.text, Duration.parse, number)
    seconds = duration.days * 86_400 + duration.seconds
    if seconds > DELAY_DAYS_MAX * 86_400:
        raise UsageError(f"`{setting.text}`: at most {DELAY_DAYS_MAX} days can be simulated")
    return "delays", _source(setting), sign * seconds * _SECOND_US


def _volume(setting: _Setting) -> _Field:
    return "volumes", _source(setting), _factor(setting.text, setting.value)


def _due(setting: _Setting) -> _Field:
    _checked(setting.text, Offset.parse, setting.value)
    return "dues", setting.name, setting.value


def _reads(setting: _Setting) -> _Field:
    project, text, name, value = setting
    if name in project.consumers:
        raise UsageError(
            f"`{text}`: the consumer {name} is declared already",
            hint="simulate another one under a new name",
        )
    names = tuple(item.strip() for item in value.split(",") if item.strip())
    known = {**project.assets, **project.sources}
    if not names:
        raise UsageError(f"`{text}` names no asset", hint=f"such as consumer.{name}.reads=ASSET")
    for item in names:
        if item not in known:
            raise _unknown("asset or source", item, known)
    return "readers", name, names


_FORMS: Mapping[tuple[str, str], Callable[[_Setting], _Field]] = {
    ("pool", ""): _pool,
    ("asset", "speed"): _speed,
    ("asset", "priority"): _priority,
    ("asset", "cron"): _cron,
    ("source", "delay"): _delay,
    ("source", "volume"): _volume,
    ("consumer", "due"): _due,
    ("consumer", "reads"): _reads,
}


def _checked(text: str, parse: Callable[[str], T], value: str) -> T:
    """Return the parsed value of a change. Its UsageError names the change."""
    try:
        return parse(value)
    except UsageError as error:
        raise UsageError(f"`{text[:80]}`: {error}", hint=error.hint) from error


def _whole(text: str, value: str, most: int) -> int:
    if re.fullmatch(r"\d{1,9}", value) is None or not 1 <= int(value) <= most:
        raise UsageError(f"`{text}`: this is a whole number from 1 to {most:,}")
    return int(value)


def _factor(text: str, value: str) -> float:
    if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value) is None:
        raise UsageError(f"`{text}`: this is a factor", hint="2 is twice, 0.5 is half")
    if not 1 / FACTOR_MAX <= float(value) <= FACTOR_MAX:
        raise UsageError(f"`{text}`: this is a factor from {1 / FACTOR_MAX} to {FACTOR_MAX:,.0f}")
    return float(value)


def _clock(text: str, value: str) -> time:
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", value)
    if match is None:
        raise UsageError(f"`{text}`: this is a time of day", hint="such as 03:00")
    return time(int(match[1]), int(match[2]))


def _asset(project: Project, name: str) -> str:
    if name not in project.assets:
        raise _unknown("asset", name, project.assets)
    return name


def _source(setting: _Setting) -> str:
    if setting.name not in setting.project.sources:
        raise _unknown("source", setting.name, setting.project.sources)
    return setting.name


def _unknown(kind: str, name: str, known: Collection[str]) -> UnknownName:
    hint = did_you_mean(name, known) or (
        f"there are: {', '.join(sorted(known)[:10])}" if known else f"no {kind} is declared"
    )
    return UnknownName(f"there is no {kind} {name[:60]!r}", hint=hint)


def _no_form(text: str) -> UsageError:
    return UsageError(
        f"`{text[:80]}` isn't something to simulate", hint=f"--set takes {', '.join(FORMS)}"
    )


# The graph with the changes


def changed_graph(graph: Graph, changes: Changes) -> Graph:
    """Return the graph with the changes of pools, priorities, triggers and assets.

    Readers of an asset that is gone read its inputs instead.
    """
    nodes = {node.name: node for node in graph.nodes}
    for name in changes.without:
        gone = nodes.pop(name, None)
        if gone is not None:
            nodes = {other: _past(node, gone) for other, node in nodes.items()}
    results = tuple(_changed(node, changes) for node in nodes.values())
    return replace(graph, nodes=results, pools={**graph.pools, **changes.pools})


def _past(node: GraphNode, gone: GraphNode) -> GraphNode:
    """Return a node that reads the inputs of a node that is gone instead of it."""
    if gone.name not in node.parents:
        return node
    inputs = {spec.node: spec for spec in node.inputs if spec.node != gone.name}
    for spec in gone.inputs:
        inputs.setdefault(spec.node, spec)
    fields: dict[str, Any] = {
        "inputs": tuple(inputs.values()),
        "depends": tuple(name for name in node.depends if name != gone.name),
        "checked_against": tuple(name for name in node.checked_against if name != gone.name),
    }
    return replace(node, **fields)


def _changed(node: GraphNode, changes: Changes) -> GraphNode:
    if node.name in changes.priorities:
        node = replace(node, priority=changes.priorities[node.name])
    if node.name in changes.crons:
        trigger = node.trigger or NodeTrigger(timezone=node.timezone)
        trigger = replace(
            trigger, cron=changes.crons[node.name], every_us=None, arrival=None, upstream=None
        )
        node = replace(node, trigger=trigger)
    return node
