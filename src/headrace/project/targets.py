"""Targets as typed on the command line: `ASSET[@K]`, `SOURCE@K` and `EPOCH.N`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from headrace.model import Asset, Consumer, Grain, Project, Source, UnknownName, UsageError
from headrace.model.errors import did_you_mean, shown
from headrace.model.export_problems import Exported, exported
from headrace.model.intervals import parse_key
from headrace.model.partitions import SEPARATOR, delivery_key, join
from headrace.model.wording import few
from headrace.store import Transaction
from headrace.store.queries.partition_states import has_data_key

DELIVERY_DIGITS = 12
_ATTEMPT = re.compile(r"(\d{1,18})\.(\d{1,18})")
NODE_PREFIX = "asset:"
"""Prefix of a node's name that is also a subcommand."""


class CommandTarget(NamedTuple):
    """A node, and one of its partitions if named."""

    node: str
    partition: str | None

    def __str__(self) -> str:
        return self.node if self.partition is None else f"{self.node}@{self.partition}"


def target(
    text: str, project: Project, *, kinds: tuple[type, ...] = (Source, Asset)
) -> CommandTarget:
    """Return `asset` or `asset@key`, checked against the project.

    With Exported among `kinds`, an exported consumer is accepted as well. `asset:NAME` marks a name
    that is also a subcommand. Raise UsageError, with a suggestion, for unknown names.
    """
    name, at, key = text.removeprefix(NODE_PREFIX).partition("@")
    node: Source | Asset | Consumer | Exported | None = project.node(name)
    if isinstance(node, Consumer) and Exported in kinds:
        node = exported(project, name) or node
    if not isinstance(node, kinds):
        raise unknown(name, _names(project, kinds), also=node)
    if not at:
        return CommandTarget(name, None)
    assert isinstance(node, Source | Asset | Exported)
    return CommandTarget(name, partition(node, key))


def partition(node: Source | Asset | Exported, key: str) -> str:
    """Return a partition's key in its canonical form.

    Raise UsageError if the node has no such key.
    """
    spec = node.partition
    if spec.whole:
        if key != "*":
            raise UsageError(
                f"{node.name} isn't partitioned: it has no {key[:40]!r}",
                hint="leave the key away",
            )
        return key
    if spec.grain is not None:
        return _of_time(node, spec.grain, key)
    if spec.by_delivery:
        return _of_delivery(node, key)
    return _listed(node, key)


def _of_delivery(node: Source | Asset | Exported, key: str) -> str:
    if not (key.isascii() and key.isdigit() and len(key) <= DELIVERY_DIGITS):
        raise UsageError(
            f"{node.name}@{key[:40]} names no delivery", hint=f"{node.name}@1 is the first one"
        )
    return delivery_key(int(key))


def _of_time(node: Source | Asset | Exported, grain: Grain, key: str) -> str:
    """Return the canonical key of a time, with the key for nodes partitioned by both.

    Examples: `2013-02-11`, `2013-02-11/EMEA`; a time alone stands for all its keys.
    """
    if node.partition.key is None:
        return parse_key(key, grain, node.timezone)
    interval, separator, data = key.partition(SEPARATOR)
    interval = parse_key(interval, grain, node.timezone)
    return join(interval, _listed(node, data)) if separator else interval


def _listed(node: Source | Asset | Exported, key: str) -> str:
    values, called = node.partition.values, node.partition.key
    if not key:
        raise UsageError(f"{node.name}@ names no {called}", hint=f"{node.name}@KEY")
    if values is not None and key not in values:
        hint = did_you_mean(key, values) or f"one of {', '.join(values[:12])}"
        raise UsageError(f"{node.name} has no {called} {key[:40]!r}", hint=hint)
    return key


def unknown_keys(
    tx: Transaction, node: Source | Asset | Exported, keys: Iterable[str]
) -> str | None:
    """Return which of the partitions have a key that nothing was delivered with; None if none.

    Declared keys are checked by `partition`.
    """
    spec = node.partition
    if spec.key is None or spec.values is not None:
        return None
    timed = spec.grain is not None
    named = dict.fromkeys(key.partition(SEPARATOR)[2] if timed else key for key in keys)
    unknown = [
        shown(key) for key in named if key and not has_data_key(tx, node.name, key, timed=timed)
    ]
    if not unknown:
        return None
    return f"no partition of {node.name} with the {spec.key} {few(unknown, 3)} is known"


def attempt(text: str) -> tuple[int, int] | None:
    """Return `3.17` as (epoch, n); None for anything else."""
    match = _ATTEMPT.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def consumer_of(project: Project, name: str) -> Consumer:
    """Return a consumer of the project. Raise UnknownName."""
    if name not in project.consumers:
        raise UnknownName(
            f"there is no consumer {name[:60]!r}",
            hint=did_you_mean(name, project.consumers) or "headrace status",
        )
    return project.consumers[name]


def unknown(
    name: str, names: Collection[str], *, also: Source | Asset | Consumer | Exported | None = None
) -> UsageError:
    """Return the error for a name that isn't one of `names`."""
    if isinstance(also, Consumer):
        what = "is a consumer, and has no export" if also.export is None else "is a consumer"
        return UsageError(
            f"{name} {what}: this command takes what it reads",
            hint=f"one of {', '.join(also.reads[:12])}",
        )
    if also is not None:
        return UsageError(
            f"{name} is a {type(also).__name__.lower()}, which this command can't take",
            hint="headrace ls",
        )
    return UnknownName(
        f"there is no {name[:60]!r}", hint=did_you_mean(name, names) or "headrace ls"
    )


def _names(project: Project, kinds: tuple[type, ...]) -> list[str]:
    results: list[str] = []
    for kind, group in (
        (Source, project.sources),
        (Asset, project.assets),
        (Consumer, project.consumers),
    ):
        if kind in kinds:
            results += group
    return results
