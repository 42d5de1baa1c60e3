"""The nodes of a dbt project: models, seeds, snapshots and sources, with their configuration."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes as syntax

from headrace.extension import LocatedMapping
from headrace.model.fields import NODE, SQL_KEYWORDS, is_system
from headrace_import.importers.dbt.evaluator import Evaluator
from headrace_import.importers.dbt.project_files import (
    ProjectFiles,
    SourceFile,
    flag,
    listed,
    mapped,
)
from headrace_import.importers.dbt.templates import (
    SNAPSHOT_PREFIX,
    NotStatic,
    is_template,
    macros_in,
    parse,
)
from headrace_import.importers.dbt.values import Function, Template

_MAPPING_CONFIGS = {
    "meta",
    "docs",
    "persist_docs",
    "grants",
    "contract",
    "column_types",
    "freshness",
}


_NAME_CHARACTERS_MAX = 63
"""Longer names are cut and get a suffix."""


@dataclass(slots=True)
class Node:
    """A model, seed, snapshot or source table."""

    kind: str
    uid: str
    name: str
    file: str
    line: int
    text: str
    properties: LocatedMapping
    properties_file: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    target: str = ""
    """Its name in the new project."""
    renamed: str = ""
    """Why that isn't its own name; empty if it is."""
    version: str = ""
    source_name: str = ""
    language: str = "sql"
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Of a model that was read: the kinds of its columns that are known, by name."""

    @property
    def enabled(self) -> bool:
        """Whether dbt runs it, as far as that is known."""
        return flag(self.config.get("enabled"), True)

    @property
    def disabled_because(self) -> str:
        """Why it isn't imported, if it isn't enabled."""
        if is_template(str(self.config.get("enabled"))):
            return f"only dbt knows whether it is enabled: {self.config['enabled']}"
        return "it is disabled in dbt"


@dataclass(slots=True)
class Nodes:
    """All nodes of a project, with what its properties declare."""

    files: ProjectFiles
    by_id: dict[str, Node] = field(default_factory=dict)
    macros: dict[str, Template] = field(default_factory=dict)
    macro_files: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    """Id of a macro → file, line and text."""
    docs: dict[str, str] = field(default_factory=dict)
    documents: list[tuple[str, str, int, LocatedMapping]] = field(default_factory=list)
    """Section, file, line and entry of every declaration in properties files."""
    duplicates: list[Node] = field(default_factory=list)
    by_name: dict[str, list[Node]] = field(default_factory=dict)
    """Name for `ref` → nodes: several for a model with versions."""
    properties: dict[tuple[str, str], tuple[str, LocatedMapping]] = field(default_factory=dict)
    """Section and name → file and entry; the first one counts."""

    def section(self, name: str) -> Iterator[tuple[str, int, LocatedMapping]]:
        """Yield file, line and entry of a section (`exposures`)."""
        yield from (
            (file, line, entry) for kind, file, line, entry in self.documents if kind == name
        )

    def find_ref(self, name: str, version: object = None) -> Node | None:
        """Return the node that `ref(name)` names; of several versions the latest."""
        candidates = [node for node in self.by_name.get(name, ()) if node.enabled]
        if version is not None:
            return next((node for node in candidates if node.version == str(version)), None)
        latest = [node for node in candidates if is_latest(node)]
        return next(iter(latest or candidates), None)

    def find_source(self, source: str, table: str) -> Node | None:
        """Return the node of `source(source, table)`."""
        return self.by_id.get(f"source.{self.files.name}.{source}.{table}")


def is_latest(node: Node) -> bool:
    """Return whether `ref` without a version means this node."""
    if not node.version:
        return True
    latest = node.properties.get("latest_version")
    versions = [str(mapped(entry).get("v")) for entry in listed(node.properties.get("versions"))]
    newest = max(versions, key=lambda text: (len(text), text), default=node.version)
    return node.version == str(latest if latest is not None else newest)


def read_nodes(files: ProjectFiles) -> Nodes:
    """Return the nodes of a project. Files that can't be read are items of `files`."""
    nodes = Nodes(files)
    _read_properties(nodes)
    _read_macros(nodes)
    _read_docs(nodes)
    for node in [*_models(nodes), *_seeds(nodes), *_snapshots(nodes), *_sources(nodes)]:
        if node.uid in nodes.by_id:
            nodes.duplicates.append(node)
        else:
            nodes.by_id[node.uid] = node
            if node.kind != "source":
                nodes.by_name.setdefault(node.name, []).append(node)
    _name_targets(nodes)
    return nodes


_SECTIONS = (
    "models",
    "seeds",
    "snapshots",
    "sources",
    "exposures",
    "groups",
    "unit_tests",
    "macros",
    "analyses",
    "metrics",
    "semantic_models",
    "saved_queries",
    "data_tests",
)


def _read_properties(nodes: Nodes) -> None:
    roles = [role for role in nodes.files.by_role if role.endswith("-paths")]
    seen: set[str] = set()
    for role in roles:
        for file in nodes.files.role(role, "yml", "yaml"):
            if file.path in seen:
                continue
            seen.add(file.path)
            document = nodes.files.yaml(file.path)
            if isinstance(document, LocatedMapping):
                nodes.documents += _entries(document, file.path)
    for section, path, _, entry in nodes.documents:
        nodes.properties.setdefault((section, str(entry.get("name"))), (path, entry))


def _entries(document: LocatedMapping, path: str) -> Iterator[tuple[str, str, int, LocatedMapping]]:
    for section in _SECTIONS:
        items = document.get(section)
        for entry in listed(items):
            if isinstance(entry, LocatedMapping):
                yield section, path, entry.line, entry


def _read_macros(nodes: Nodes) -> None:
    """Read macros and generic tests of the project's folders for them."""
    for role in ("macro-paths", "test-paths"):
        for file in nodes.files.role(role, "sql"):
            try:
                macros = macros_in(parse(file.text))
            except NotStatic as error:
                if role == "macro-paths":
                    nodes.files.refuse(file.path, error.line, error.reason)
                continue
            _add_macros(nodes, file, macros)


def _add_macros(nodes: Nodes, file: SourceFile, macros: list[syntax.Macro]) -> None:
    lines = file.text.split("\n")
    for macro in macros:
        uid = f"macro.{nodes.files.name}.{macro.name}"
        nodes.macros[macro.name] = Template(uid, macro, nodes.files.name)
        text = "\n".join(lines[macro.lineno - 1 : _last_line(macro) + 1])
        nodes.macro_files[uid] = (file.path, macro.lineno, text)


def _last_line(macro: Any) -> int:
    lines: list[int] = [node.lineno for node in macro.find_all(syntax.Node) if node.lineno]
    return max(lines, default=int(macro.lineno))


_DOC = re.compile(r"\{%-?\s*docs\s+(\w+)\s*-?%\}(.*?)\{%-?\s*enddocs\s*-?%\}", re.DOTALL)


def _read_docs(nodes: Nodes) -> None:
    for role in nodes.files.by_role:
        for file in nodes.files.role(role, "md"):
            for match in _DOC.finditer(file.text):
                nodes.docs.setdefault(match[1], match[2].strip())


def _node(nodes: Nodes, kind: str, section: str, file: SourceFile, name: str) -> Node:
    nothing = ("", LocatedMapping(1))
    properties_file, properties = nodes.properties.get((section, name), nothing)
    node = Node(
        kind=kind,
        uid=f"{kind}.{nodes.files.name}.{name}",
        name=name,
        file=file.path,
        line=1,
        text=file.text,
        properties=properties,
        properties_file=properties_file,
        language="python" if file.ending == "py" else "sql",
    )
    node.config = config_of(nodes.files, section, file.path, name)
    _merge_declared(nodes.files, node.config, properties)
    return node


def _merge_declared(files: ProjectFiles, config: dict[str, Any], *entries: LocatedMapping) -> None:
    """Merge the `config:` of entries in a properties file into a node's configuration."""
    for entry in entries:
        for key, value in mapped(entry.get("config")).items():
            merge_config(config, key, settled(files, value))


def _models(nodes: Nodes) -> Iterator[Node]:
    versioned = _versioned(nodes)
    for file in nodes.files.role("model-paths", "sql", "py"):
        if file.stem in versioned:
            name, version, properties_file, properties, entry = versioned[file.stem]
            node = _node(nodes, "model", "models", file, name)
            node.uid += f".v{version}"
            node.version, node.properties = version, properties
            node.properties_file = properties_file
            _merge_declared(nodes.files, node.config, properties, entry)
            yield node
        else:
            yield _node(nodes, "model", "models", file, file.stem)


def _versioned(nodes: Nodes) -> dict[str, tuple[str, str, str, LocatedMapping, LocatedMapping]]:
    """Return the stem of a versioned model's file → name, version and declarations."""
    versions = {}
    for file, _, entry in nodes.section("models"):
        name = str(entry.get("name"))
        for version in listed(entry.get("versions")):
            v = str(mapped(version).get("v"))
            stem = mapped(version).get("defined_in") or f"{name}_v{v}"
            versions[str(stem)] = (name, v, file, entry, mapped(version))
            if str(entry.get("latest_version", "")) == v:
                versions.setdefault(name, (name, v, file, entry, mapped(version)))
    return versions


def _seeds(nodes: Nodes) -> Iterator[Node]:
    for file in nodes.files.role("seed-paths", "csv"):
        yield _node(nodes, "seed", "seeds", file, file.stem)


def _snapshots(nodes: Nodes) -> Iterator[Node]:
    for file in nodes.files.role("snapshot-paths", "sql"):
        try:
            macros = macros_in(parse(file.text))
        except NotStatic as error:
            nodes.files.refuse(file.path, error.line, error.reason)
            continue
        for macro in macros:
            if macro.name.startswith(SNAPSHOT_PREFIX):
                name = macro.name.removeprefix(SNAPSHOT_PREFIX)
                node = _node(nodes, "snapshot", "snapshots", file, name)
                node.line, node.text = macro.lineno, _snapshot_text(file.text, name)
                yield node
    for path, line, entry in nodes.section("snapshots"):
        if entry.get("relation") and isinstance(entry.get("name"), str):
            file = SourceFile(path, "select * from {{ " + str(entry["relation"]) + " }}")
            node = _node(nodes, "snapshot", "snapshots", file, entry["name"])
            node.line = line
            yield node


def _snapshot_text(text: str, name: str) -> str:
    pattern = rf"\{{%-?\s*snapshot\s+{re.escape(name)}\s*-?%\}}(.*?)\{{%-?\s*endsnapshot\s*-?%\}}"
    match = re.search(pattern, text, re.DOTALL)
    return match[1] if match else text


def _sources(nodes: Nodes) -> Iterator[Node]:
    for file, line, entry in nodes.section("sources"):
        source = str(entry.get("name"))
        for table in listed(entry.get("tables")):
            if not isinstance(table, LocatedMapping):
                continue
            name = str(table.get("name"))
            node = Node(
                kind="source",
                uid=f"source.{nodes.files.name}.{source}.{name}",
                name=name,
                file=file,
                line=table.line or line,
                text="",
                properties=table,
                properties_file=file,
                source_name=source,
            )
            parent = LocatedMapping(line)
            parent.update({key: value for key, value in entry.items() if key != "tables"})
            node.config = {
                **config_of(nodes.files, "sources", file, name, source),
                "_source": parent,
            }
            _merge_declared(nodes.files, node.config, entry, table)
            yield node


def config_of(
    files: ProjectFiles, section: str, path: str, name: str, *more: str
) -> dict[str, Any]:
    """Return what dbt_project.yml configures for a node, from the general to the special."""
    folders = path.split("/")[1:-1]
    level = mapped(files.settings.get(section))
    result: dict[str, Any] = {}
    _merge(files, result, level)
    for part in (files.name, *folders, *more, name):
        level = mapped(level.get(part))
        _merge(files, result, level)
    return result


def _merge(files: ProjectFiles, result: dict[str, Any], level: Mapping[str, Any]) -> None:
    for key, value in level.items():
        plain = key.removeprefix("+")
        is_config = key.startswith("+") or not isinstance(value, dict) or plain in _MAPPING_CONFIGS
        if not is_config:
            continue
        merge_config(result, plain, settled(files, value))


def settled(files: ProjectFiles, value: Any) -> Any:
    """Return a configured value; one that is Jinja is evaluated, if it is known without dbt."""
    if not isinstance(value, str) or not is_template(value):
        return value
    variables = project_variables(files)
    names = {
        "var": Function("var", lambda name, default=None: variables.get(name, default)),
        "env_var": Function("env_var", _only_default),
    }
    try:
        return Evaluator(names).value(value)
    except NotStatic:
        return value


def _only_default(name: str, default: str | None = None) -> str:
    if default is None:
        raise NotStatic(f"env_var('{name}') is known only where dbt runs")
    return default


def project_variables(files: ProjectFiles) -> dict[str, Any]:
    """Return the variables of dbt_project.yml, those of the project itself last."""
    variables = mapped(files.settings.get("vars"))
    return {**variables, **mapped(variables.get(files.name))}


def merge_config(result: dict[str, Any], key: str, value: Any) -> None:
    """Set a configuration as dbt merges it: tags and hooks are added up, `meta` is merged."""
    if key in ("tags", "pre_hook", "post_hook", "pre-hook", "post-hook"):
        result[key] = [*listed(result.get(key)), *listed(value)]
    elif key == "meta" and isinstance(value, dict):
        result[key] = {**(result.get(key) or {}), **value}
    else:
        result[key] = value


def _name_targets(nodes: Nodes) -> None:
    """Give each node its name in the new project; collisions get a suffix that stays the same."""
    taken: set[str] = set()
    order = {"model": 0, "snapshot": 1, "seed": 2, "source": 3}
    names = Counter(node.name.lower() for node in nodes.by_id.values() if node.enabled)
    in_order = sorted(
        nodes.by_id.values(), key=lambda node: (not node.enabled, order[node.kind], node.uid)
    )
    for node in in_order:
        node.target = free_name(clean_name(_wanted_name(node, names)), node.uid, taken)
        taken.add(node.target.lower())
        if node.target != node.name:
            node.renamed = f"`{node.name}` is named `{node.target}` here"


def _wanted_name(node: Node, names: Mapping[str, int]) -> str:
    """Return the name that a node would have: its own, unless another one means it as well."""
    if node.version and not is_latest(node):
        return f"{node.name}_v{node.version}"
    if node.kind == "source" and names[node.name.lower()] > 1:
        return f"{node.source_name}_{node.name}"
    return node.name


def clean_name(name: str) -> str:
    """Return a valid name of a node that is as close to `name` as possible."""
    cleaned = re.sub(r"[^A-Za-z0-9_]+", "_", name) or "node"
    if len(cleaned) > _NAME_CHARACTERS_MAX:
        digest = hashlib.sha256(name.encode()).hexdigest()[:6]
        cleaned = f"{cleaned[:50]}_{digest}"
    if cleaned[0].isdigit():
        cleaned = f"_{cleaned}"
    if cleaned.lower() in SQL_KEYWORDS or is_system(cleaned) or not NODE.fullmatch(cleaned):
        cleaned = f"{cleaned.lstrip('_')}_data"
    return cleaned


def free_name(name: str, uid: str, taken: set[str]) -> str:
    """Return `name`, with a suffix made of the id if another node has it already."""
    if name.lower() not in taken:
        return name
    return f"{name[:50]}_{hashlib.sha256(uid.encode()).hexdigest()[:6]}"
