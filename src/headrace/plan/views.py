"""Views have no partitions: whoever reads one requires what the view reads. One place says what that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from headrace.model import InputMode, InputSpec, Project
from headrace.model.times import Duration
from headrace.plan.values import Compiled


def is_view(project: Project, name: str) -> bool:
    """Whether the node is a view."""
    asset = project.assets.get(name)
    return asset is not None and asset.materialize == "view"


def expanded(compiled: Compiled, inputs: Sequence[InputSpec]) -> tuple[InputSpec, ...]:
    """The inputs without views: each is replaced by what it reads, as the reader reads it. A node may be there more than once."""
    return tuple(dict.fromkeys(_expanded(compiled, inputs)))


def expanded_names(compiled: Compiled, names: Sequence[str]) -> tuple[str, ...]:
    """The nodes without views: each is replaced by what it reads, once."""
    return tuple(dict.fromkeys(name for item in names for name in _leaves(compiled, item)))


def inputs_of(compiled: Compiled, reader: InputSpec) -> tuple[InputSpec, ...]:
    """What a view reads, as somebody reads it who reads the view like this."""
    return tuple(composed(reader, inner) for inner in compiled.nodes[reader.node].inputs)


def composed(outer: InputSpec, inner: InputSpec) -> InputSpec:
    """How a view's input is read by who reads the view: `all` wherever either says so, looking back as far as both together."""
    mode = _mode(outer.mode, inner.mode)
    lookback = _together(outer.lookback, inner.lookback) if mode is not InputMode.ALL else None
    return msgspec.structs.replace(inner, mode=mode, lookback=lookback, optional=outer.optional or inner.optional, place=outer.place)


def _expanded(compiled: Compiled, inputs: Sequence[InputSpec]) -> Iterator[InputSpec]:
    for spec in inputs:
        if is_view(compiled.project, spec.node):
            yield from _expanded(compiled, inputs_of(compiled, spec))
        else:
            yield spec


def _leaves(compiled: Compiled, name: str) -> Iterator[str]:
    if not is_view(compiled.project, name):
        yield name
        return
    for spec in compiled.nodes[name].inputs:
        yield from _leaves(compiled, spec.node)


def _mode(outer: InputMode, inner: InputMode) -> InputMode:
    if InputMode.ALL in (outer, inner):
        return InputMode.ALL
    return inner if outer is InputMode.REQUIRED else outer


def _together(outer: str | None, inner: str | None) -> str | None:
    if outer is None or inner is None:
        return outer or inner
    duration, other = Duration.parse(outer), Duration.parse(inner)
    return f"{duration.days + other.days}d{duration.seconds + other.seconds}s"
