"""Assets that can be taken out of a new project: what comes after them follows others instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from headrace_import.importers.declarations import Declaration, read_declarations, words


def taken_out(
    files: Mapping[str, str], removals: Iterable[tuple[str, Sequence[str]]]
) -> Iterator[tuple[list[Declaration], dict[str, str | None]]]:
    """Yield the assets that can be taken out, with the changes of files.

    `removals` are paths of assets, each with names that what follows it comes after instead, in
    addition to what came before it. Those that change the same files come together. An asset stays
    if something else than `depends:` and `trigger: {upstream: …}` names it.
    """
    texts: dict[str, str | None] = dict(files)
    declarations = _by_path(files)
    groups: list[tuple[list[Declaration], set[str]]] = []
    for path, others in removals:
        node = declarations.pop(path, None)
        if node is None:
            continue
        readers = _followers(node, declarations, files)
        if readers is None:
            declarations[path] = node
            continue
        written = {reader.path: _coming_after(reader, node, others) for reader in readers}
        declarations |= _by_path(written)
        texts |= {**written, path: None}
        _join(groups, node, {path, *written})
    for nodes, paths in groups:
        yield nodes, {path: texts[path] for path in sorted(paths)}


def _by_path(files: Mapping[str, str]) -> dict[str, Declaration]:
    return {node.path: node for node in read_declarations(files)}


def _join(
    groups: list[tuple[list[Declaration], set[str]]], node: Declaration, paths: set[str]
) -> None:
    """Add an asset and the files that change with it to the groups that change one of them."""
    nodes = [node]
    for group in [group for group in groups if group[1] & paths]:
        groups.remove(group)
        nodes, paths = [*group[0], *nodes], group[1] | paths
    groups.append((nodes, paths))


def _followers(
    node: Declaration, declarations: Mapping[str, Declaration], files: Mapping[str, str]
) -> list[Declaration] | None:
    """Return the assets that depend on one; None if something names it in another way."""
    name, followers = node.name.lower(), []
    for reader in declarations.values():
        if node.name in reader.depends:
            followers.append(reader)
        elif name in reader.named_in_fields | reader.named_in_query:
            return None
    for path, text in files.items():
        is_rest = path != node.path and path not in declarations and path.endswith(".yaml")
        if is_rest and path.partition("/")[0] not in ("assets", "sources") and name in words(text):
            return None
    return followers


def _coming_after(reader: Declaration, node: Declaration, others: Sequence[str]) -> str:
    read, others = reader.named_in_query, [*node.depends, *others]
    depends = [name for name in reader.depends if name != node.name]
    depends += [name for name in others if name not in depends and name.lower() not in read]
    edits: dict[str, Any] = {"depends": depends or None}
    trigger = reader.fields.get("trigger")
    follows = isinstance(trigger, Mapping) and trigger.get("upstream") == node.name
    if follows and depends:
        edits["trigger"] = {"upstream": depends[-1]}
    elif follows or not (trigger or depends or any(name.lower() in read for name in others)):
        edits["trigger"] = node.fields.get("trigger")  # it is the first one now
    return reader.text(edits)
