"""Node selection: `+carrier_delays tag:daily,owner:core source:flights` (INTERFACE §2).

A blank means union, a comma intersection. A term consists of an optional `[N]+` (ancestors), a
name, glob, path or `method:value`, and an optional `+[N]` (descendants); `@` before it means
descendants and all ancestors of these. Differences to dbt are in decision 0197.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from headrace.model.errors import UsageError, did_you_mean, shown
from headrace.model.reachability import reachable

TERMS_MAX = 10_000
EXCLUDE = "--exclude"
"""In a declared selector, the word before the terms that are left out."""
SELECTOR = re.compile(r"selector:([A-Za-z0-9_-]+)")
_TERM = re.compile(r"(@|(\d{1,5})?\+)?(.*?)(\+(\d{1,5})?)?", re.DOTALL)
_GLOB = re.compile(r"[*?\[]")


class SelectionGraph(Protocol):
    """The graph to select from. A node's parents are the nodes that it reads or waits for."""

    def names(self) -> Sequence[str]:
        """Return all nodes, in the order of selections."""

    def kind(self, name: str) -> str:
        """Return `source`, `asset` or `consumer`."""

    def parents(self, name: str) -> Iterable[str]:
        """Return the direct upstream nodes."""

    def children(self, name: str) -> Iterable[str]:
        """Return the direct downstream nodes."""

    def tags(self, name: str) -> Collection[str]:
        """Return the node's tags."""

    def owner(self, name: str) -> str:
        """Return the node's owner."""

    def domain(self, name: str) -> str | None:
        """Return the node's domain."""

    def path(self, name: str) -> str:
        """Return the file that declares the node, relative to the project."""

    def changed(self) -> Collection[str]:
        """Return the nodes that differ from the applied version."""

    def selectors(self) -> Mapping[str, str]:
        """Return the declared selections by name."""


def select(selection: Sequence[str], exclude: Sequence[str], graph: SelectionGraph) -> list[str]:
    """Return the selected names in the graph's order; all names if `selection` has no texts.

    Raises UsageError for texts without a term, and for a term that matches nothing.
    """
    names = graph.names()
    if selection and not _terms(selection):
        raise UsageError("the selection is empty", hint="leave it out to select all nodes")
    chosen = _union(selection, graph) if selection else set(names)
    excluded = _union(exclude, graph)
    return [name for name in names if name in chosen and name not in excluded]


def _terms(texts: Sequence[str]) -> list[str]:
    terms = [term for text in texts for term in text.split()]
    if len(terms) > TERMS_MAX:
        raise UsageError(
            f"{len(terms):,} terms are too many", hint=f"at most {TERMS_MAX:,}; use globs or tags"
        )
    return terms


def _union(texts: Sequence[str], graph: SelectionGraph) -> set[str]:
    results: set[str] = set()
    for term in _terms(texts):
        parts = [_matching(part, graph) for part in term.split(",") if part]
        if not parts:
            raise UsageError(f"{shown(term)} selects nothing", hint="put a comma between two terms")
        results |= set.intersection(*parts)
    return results


def _matching(term: str, graph: SelectionGraph) -> set[str]:
    """Return the nodes of one term without commas, with the requested ancestors and descendants."""
    match = _TERM.fullmatch(term)
    assert match is not None
    before, up_levels, core, after, down_levels = match.groups()
    results = named = _named(core, graph)
    if before == "@":
        if after:
            raise UsageError(
                f"{shown(term)} has `@` and `+`", hint="`@` includes all descendants already"
            )
        results = named | reachable(named, graph.children).keys()
        return results | reachable(results, graph.parents).keys()
    if before:
        results = results | reachable(named, graph.parents, _levels(up_levels)).keys()
    if after:
        results = results | reachable(named, graph.children, _levels(down_levels)).keys()
    return results


def _levels(text: str | None) -> int | None:
    return int(text) if text else None


def _named(core: str, graph: SelectionGraph) -> set[str]:
    method, colon, value = core.partition(":")
    if not colon and "/" not in core:
        return _by_name(core, graph.names())
    if not colon:
        method, value = "path", core
    matcher = _METHODS.get(method)
    if matcher is None:
        known = ", ".join(f"{name}:" for name in _METHODS)
        raise UsageError(
            f"unknown selection {shown(core)}",
            hint=did_you_mean(method, _METHODS) or f"known: {known}",
        )
    results = matcher(value, graph)
    if not results and method not in ("state", "selector"):
        raise UsageError(f"{shown(core)} selects nothing", hint=_values_hint(method, value, graph))
    return results


def _by_name(pattern: str, names: Sequence[str]) -> set[str]:
    """Return nodes by name or glob, ignoring case."""
    lowered = pattern.lower()
    if _GLOB.search(pattern):
        results = {name for name in names if fnmatchcase(name.lower(), lowered)}
    else:
        results = {name for name in names if name.lower() == lowered}
    if not results:
        hint = did_you_mean(pattern, names) or "`headrace ls` shows the nodes that there are"
        raise UsageError(f"unknown node {shown(pattern)}", hint=hint)
    return results


def _node(value: str, graph: SelectionGraph) -> set[str]:
    return _by_name(value, graph.names())


def _tag(value: str, graph: SelectionGraph) -> set[str]:
    return {
        name for name in graph.names() if any(fnmatchcase(tag, value) for tag in graph.tags(name))
    }


def _owner(value: str, graph: SelectionGraph) -> set[str]:
    return {name for name in graph.names() if fnmatchcase(graph.owner(name), value)}


def _domain(value: str, graph: SelectionGraph) -> set[str]:
    return {name for name in graph.names() if fnmatchcase(graph.domain(name) or "", value)}


def _source(value: str, graph: SelectionGraph) -> set[str]:
    return _by_name(value, [name for name in graph.names() if graph.kind(name) == "source"])


def _path(value: str, graph: SelectionGraph) -> set[str]:
    """Return nodes by their file, folder, or a glob over files."""
    pattern = value.removeprefix("./").rstrip("/")
    paths = {name: graph.path(name) for name in graph.names()}
    return {
        name
        for name, path in paths.items()
        if path == pattern or path.startswith(pattern + "/") or fnmatchcase(path, pattern)
    }


def _consumer(value: str, graph: SelectionGraph) -> set[str]:
    """Return consumers with all their upstream nodes."""
    consumers = _by_name(value, [name for name in graph.names() if graph.kind(name) == "consumer"])
    return set(reachable(consumers, graph.parents))


def _state(value: str, graph: SelectionGraph) -> set[str]:
    if value not in ("changed", "modified"):
        raise UsageError(f"unknown state {shown(value)}", hint="write state:modified")
    return set(graph.changed()) & set(graph.names())


def _selector(value: str, graph: SelectionGraph) -> set[str]:
    """Return what a declared selector selects; all nodes if it only excludes."""
    selectors = graph.selectors()
    if value not in selectors:
        hint = did_you_mean(value, selectors) or "declare it in `[selectors]` of headrace.toml"
        raise UsageError(f"unknown selector {shown(value)}", hint=hint)
    selection, _, exclude = selectors[value].partition(EXCLUDE)
    selected = [] if exclude.strip() and not selection.strip() else [selection]
    try:
        return set(select(selected, [exclude.replace(EXCLUDE, " ")], graph))
    except UsageError as error:
        raise UsageError(f"selector {shown(value)}: {error}", hint=error.hint) from error


_METHODS: dict[str, Callable[[str, SelectionGraph], set[str]]] = {
    "asset": _node,
    "tag": _tag,
    "owner": _owner,
    "domain": _domain,
    "source": _source,
    "path": _path,
    "consumer": _consumer,
    "exposure": _consumer,
    "state": _state,
    "selector": _selector,
}


def _values_hint(method: str, value: str, graph: SelectionGraph) -> str:
    """Return a hint with valid values."""
    names = graph.names()
    known: set[str] = {
        "tag": lambda: {tag for name in names for tag in graph.tags(name)},
        "owner": lambda: {graph.owner(name) for name in names},
        "domain": lambda: {graph.domain(name) or "" for name in names} - {""},
    }.get(method, set)()
    return did_you_mean(value, known) or (
        f"there are: {', '.join(sorted(known)[:10])}"
        if known
        else "`headrace ls` shows what there is"
    )
