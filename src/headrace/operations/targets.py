"""`ASSET[@K]` and `EPOCH.N`, as they are typed."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from headrace.model import Asset, Consumer, Project, Source, UsageError
from headrace.model.intervals import parse_key
from headrace.model.reporting import did_you_mean

_ATTEMPT = re.compile(r"(\d{1,18})\.(\d{1,18})")


class Target(NamedTuple):
    """A node, and one of its partitions where one was named."""

    node: str
    partition: str | None

    def __str__(self) -> str:
        return self.node if self.partition is None else f"{self.node}@{self.partition}"


def target(text: str, project: Project, *, kinds: tuple[type, ...] = (Source, Asset)) -> Target:
    """`asset` or `asset@key`, checked against the project. UsageError, with what is close, for what isn't there."""
    name, at, key = text.partition("@")
    node = project.node(name)
    if not isinstance(node, kinds):
        raise unknown(name, _names(project, kinds), also=node)
    if not at:
        return Target(name, None)
    assert isinstance(node, Source | Asset)
    return Target(name, partition(node, key))


def partition(node: Source | Asset, key: str) -> str:
    """A partition's key as typed, in its one written form. UsageError if the node has no such partitions."""
    spec = node.partition
    if spec.whole:
        if key != "*":
            raise UsageError(f"{node.name} isn't partitioned: it has no {key[:40]!r}", hint=f"leave @{key[:40]} away")
        return key
    if spec.grain is not None and spec.key is None:
        return parse_key(key, spec.grain, node.timezone)
    if not key:
        raise UsageError(f"{node.name}@ names no partition", hint=f"{node.name}@KEY")
    return key


def attempt(text: str) -> tuple[int, int] | None:
    """`3.17` as (epoch, n); None for anything else."""
    found = _ATTEMPT.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


def unknown(name: str, names: Collection[str], *, also: Source | Asset | Consumer | None = None) -> UsageError:
    """What to raise for a name that isn't one of `names`."""
    if also is not None:
        return UsageError(f"{name} is a {type(also).__name__.lower()}, which this verb can't take", hint="headrace ls")
    return UsageError(f"there is no {name[:60]!r}", hint=did_you_mean(name, names) or "headrace ls")


def _names(project: Project, kinds: tuple[type, ...]) -> list[str]:
    found: list[str] = []
    for kind, group in ((Source, project.sources), (Asset, project.assets), (Consumer, project.consumers)):
        if kind in kinds:
            found += group
    return found
