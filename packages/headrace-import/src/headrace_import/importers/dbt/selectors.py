"""Selectors of dbt (`selectors.yml`): the selectors of headrace.toml that select the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from headrace.extension import LocatedMapping
from headrace_import.importers.dbt.nodes import Node, clean_name
from headrace_import.importers.dbt.outcome import Outcome
from headrace_import.importers.dbt.owners import clean_owner
from headrace_import.importers.dbt.project_files import flag, listed, mapped
from headrace_import.importers.dbt.writing import yaml_file
from headrace_import.importers.imported import Verdict

FILES = ("selectors.yml", "selectors.yaml")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
TERMS_MAX = 200
"""Selectors with more terms aren't written out."""
DEEP_MAX = 20
_CLI = re.compile(r"(?P<at>@)?(?:(?P<up>\d+)?(?P<parents>\+))?(?P<core>.*?)"
                  r"(?:(?P<children>\+)(?P<down>\d+)?)?")  # fmt: skip
_Terms = tuple[tuple[str, ...], ...]
"""A union of intersections: `((a, b), (c,))` is `a,b c`."""


class _NoWords(Exception):
    """A selector that Headrace has no words for; the text says why."""


@dataclass(frozen=True, slots=True)
class _Selected:
    terms: _Terms
    excluded: _Terms = ()


def read_selectors(outcome: Outcome) -> dict[str, str]:
    """Add an item of each selector, and return those that select the same here."""
    selectors: dict[str, str] = {}
    for file in FILES:
        if (outcome.nodes.files.root / file).is_file():
            entries = listed(mapped(outcome.nodes.files.yaml(file)).get("selectors"))
            by_name = {str(mapped(entry).get("name")): mapped(entry) for entry in entries}
            reader = _Reader(outcome, by_name)
            selectors |= {
                name: _item(outcome, reader, file, name, entry) for name, entry in by_name.items()
            }
    return {name: words for name, words in selectors.items() if words}


def _item(outcome: Outcome, reader: _Reader, file: str, name: str, entry: LocatedMapping) -> str:
    """Add the item of a selector; return its words, empty if it is for a person."""
    verdict, why, words, todo = Verdict.CARRIED, f"`selector:{name}` selects the same", "", ""
    try:
        words = _words(name, reader.read(entry.get("definition")))
    except _NoWords as error:
        verdict, why = Verdict.PERSON, "Headrace has no words for it"
        todo = f"where it is used, name the assets: {error}"
    outcome.add(
        f"selector.{outcome.nodes.files.name}.{name}",
        file,
        entry.line,
        verdict,
        why,
        todo=todo,
        created=() if todo else ("headrace.toml",),
        original=yaml_file(entry),
    )
    return words


def _words(name: str, selected: _Selected) -> str:
    """Return a selection as it is typed behind a command."""
    if not _NAME.fullmatch(name):
        raise _NoWords("its name has other signs than letters, digits, `_` and `-`")
    if not selected.terms:
        raise _NoWords("it selects nothing")
    words = [",".join(term) for term in selected.terms]
    for term in selected.excluded:
        words += ["--exclude", ",".join(term)]
    return " ".join(words)


def _implied_method(value: str) -> str:
    """Return the method of a value without one, as dbt chooses it."""
    if "/" in value:
        return "path"
    return "file" if value.endswith((".sql", ".py", ".csv")) else "fqn"


class _Reader:
    """Reads definitions, which may name other selectors."""

    def __init__(self, outcome: Outcome, selectors: Mapping[str, LocatedMapping]) -> None:
        self._outcome, self._selectors = outcome, selectors
        self._read: dict[str, _Selected] = {}

    def read(self, definition: Any, deep: int = 0) -> _Selected:
        """Return what a definition selects. Raise _NoWords."""
        if deep > DEEP_MAX:
            raise _NoWords("it is nested too deeply")
        if isinstance(definition, str):
            return self._command_line(definition)
        entry = mapped(definition)
        if "union" in entry:
            return self._union(listed(entry["union"]), deep)
        if "intersection" in entry:
            return self._intersection(listed(entry["intersection"]), deep)
        if "method" in entry:
            return self._full(entry, deep)
        if len(entry) == 1:
            method, value = next(iter(entry.items()))
            return _Selected(self._named(str(method), str(value)))
        raise _NoWords("its definition can't be read")

    def _command_line(self, text: str) -> _Selected:
        terms: list[tuple[str, ...]] = []
        for word in text.split():
            parts = [self._term(part) for part in word.split(",") if part]
            terms += _all_of(parts)
        return _Selected(_limited(terms))

    def _term(self, word: str) -> _Terms:
        match = _CLI.fullmatch(word)
        assert match is not None
        method, colon, value = match["core"].partition(":")
        if not colon:
            method, value = _implied_method(method), method
        before = "@" if match["at"] else f"{match['up'] or ''}+" if match["parents"] else ""
        after = f"+{match['down'] or ''}" if match["children"] else ""
        return self._around(method, value, before, after)

    def _full(self, entry: LocatedMapping, deep: int) -> _Selected:
        method, value = str(entry["method"]), str(entry.get("value"))
        if method == "selector":
            return self._other(value, deep)
        before = f"{entry.get('parents_depth') or ''}+" if flag(entry.get("parents")) else ""
        if flag(entry.get("childrens_parents")):
            before = "@"
        after = f"+{entry.get('children_depth') or ''}" if flag(entry.get("children")) else ""
        excluded = [self.read(item, deep + 1) for item in listed(entry.get("exclude"))]
        return _Selected(
            self._around(method, value, before, after), _limited(_plain_terms(excluded))
        )

    def _other(self, name: str, deep: int) -> _Selected:
        """Return what another selector selects; each is read once."""
        if name not in self._selectors:
            raise _NoWords(f"the selector {name} isn't there")
        if name not in self._read:
            definition = self._selectors[name].get("definition")
            self._read[name] = self.read(definition, deep + 1)
        return self._read[name]

    def _union(self, parts: list[Any], deep: int) -> _Selected:
        selected, excluded = self._parts(parts, deep)
        if len(selected) > 1 and any(part.excluded for part in selected):
            raise _NoWords("an exclusion of one part only can't be said with --exclude")
        terms = [term for part in selected for term in part.terms]
        inner = [term for part in selected for term in part.excluded]
        return _Selected(_limited(terms), _limited([*inner, *excluded]))

    def _intersection(self, parts: list[Any], deep: int) -> _Selected:
        selected, excluded = self._parts(parts, deep)
        terms = _all_of([part.terms for part in selected])
        inner = [term for part in selected for term in part.excluded]
        return _Selected(_limited(terms), _limited([*inner, *excluded]))

    def _parts(self, parts: list[Any], deep: int) -> tuple[list[_Selected], list[tuple[str, ...]]]:
        """Return what the parts of a set select, and what its `exclude` leaves out."""
        selected: list[_Selected] = []
        excluded: list[_Selected] = []
        for part in parts:
            exclusion = mapped(part)
            if set(exclusion) == {"exclude"}:
                excluded += [self.read(item, deep + 1) for item in listed(exclusion["exclude"])]
            else:
                selected.append(self.read(part, deep + 1))
        return selected, _plain_terms(excluded)

    def _around(self, method: str, value: str, before: str, after: str) -> _Terms:
        if method == "exposure" and before:
            return self._named("consumer", value)
        return tuple((f"{before}{term}{after}",) for (term,) in self._named(method, value))

    def _named(self, method: str, value: str) -> _Terms:
        """Return the terms for a method of dbt and its value, without ancestors or descendants."""
        if re.search(r"[\s,]", value):
            raise _NoWords(f"{value} has a blank or a comma")
        words = list(self._of_method(method, value))
        if not words:
            raise _NoWords(f"{method}:{value} selects nothing that is imported")
        return _limited([(word,) for word in words])

    def _of_method(self, method: str, value: str) -> Iterator[str]:
        if method == "tag":
            yield f"tag:{value}"
        elif method == "group":
            yield f"owner:{clean_owner(value)}"
        elif method == "consumer":
            yield f"consumer:{clean_name(value)}"
        elif method == "state" and value == "modified":
            yield "state:modified"
        elif method == "package" and value in ("this", self._outcome.nodes.files.name):
            yield "path:assets"
        elif method == "source":
            yield from self._sources(value)
        elif method in ("path", "file", "fqn"):
            yield from self._models(method, value)
        else:
            raise _NoWords(f"Headrace has no selection by {method}")

    def _sources(self, value: str) -> Iterator[str]:
        for node in self._imported("source"):
            full = f"{node.source_name}.{node.name}"
            if fnmatchcase(full, value) or fnmatchcase(node.source_name, value):
                yield f"source:{node.target}"

    def _models(self, method: str, value: str) -> Iterator[str]:
        """Yield a folder as `path:`, and single nodes by their names."""
        nodes = list(self._imported("model", "seed", "snapshot"))
        folder, named = self._named_nodes(nodes, method, value)
        within = [node for node in nodes if folder and _is_within(node, folder)]
        yield from (node.target for node in named)
        if within and all(node.kind == "model" for node in within):
            inner = re.sub(r"[^A-Za-z0-9_./-]+", "_", folder.partition("/")[2])
            yield f"path:assets/{inner}" if inner else "path:assets"
        else:
            yield from (node.target for node in within if node not in named)

    def _named_nodes(self, nodes: list[Node], method: str, value: str) -> tuple[str, list[Node]]:
        """Return the folder that a value may mean, with a first part, and the nodes that it names.

        The first part of a folder is that of the project's paths: `models`, or `*` for any.
        """
        if method == "path":
            folder = value.removeprefix("./").rstrip("/")
            return folder, [node for node in nodes if fnmatchcase(node.file, folder)]
        if method == "file":
            return "", [node for node in nodes if value in (_file_name(node), _stem(node))]
        name = value.removeprefix(f"{self._outcome.nodes.files.name}.")
        named = [node for node in nodes if _has_name(node, name)]
        return f"*/{name.removesuffix('.*').replace('.', '/')}", named

    def _imported(self, *kinds: str) -> Iterator[Node]:
        outcome = self._outcome
        for uid, node in outcome.nodes.by_id.items():
            if node.kind in kinds and (uid in outcome.tables or uid in outcome.commands):
                yield node


def _file_name(node: Node) -> str:
    return node.file.rpartition("/")[2]


def _has_name(node: Node, name: str) -> bool:
    """Return whether a node is meant by `orders`, `staging.orders` or `stg_*`."""
    above, _, last = name.rpartition(".")
    if last == "*" or not fnmatchcase(node.name, last):
        return False
    return not above or _inner(node) == above.replace(".", "/")


def _stem(node: Node) -> str:
    return _file_name(node).partition(".")[0]


def _is_within(node: Node, folder: str) -> bool:
    first, _, inner = folder.partition("/")
    return first in ("*", node.file.partition("/")[0]) and (
        f"{_inner(node)}/".startswith(f"{inner}/") or not inner
    )


def _inner(node: Node) -> str:
    """Return the folders of a node's file below the first one."""
    return "/".join(node.file.split("/")[1:-1])


def _all_of(parts: list[_Terms]) -> list[tuple[str, ...]]:
    """Return the intersection of unions as a union of intersections."""
    count = 1
    for part in parts:
        count *= len(part)
    if count > TERMS_MAX:
        raise _NoWords("it has too many terms")
    return [
        tuple(dict.fromkeys(word for term in chosen for word in term)) for chosen in product(*parts)
    ]


def _plain_terms(parts: list[_Selected]) -> list[tuple[str, ...]]:
    """Return the terms of exclusions. Raise _NoWords if one of them has an exclusion itself."""
    if any(part.excluded for part in parts):
        raise _NoWords("an exclusion within an exclusion can't be said with --exclude")
    return [term for part in parts for term in part.terms]


def _limited(terms: list[tuple[str, ...]]) -> _Terms:
    if len(terms) > TERMS_MAX:
        raise _NoWords("it has too many terms")
    return tuple(dict.fromkeys(terms))
