"""What dbt itself compiled (`--with-dbt`): its manifest, and its SQL as SQL of the new project.

The manifest is dbt's artifact of that name (https://schemas.getdbt.com/dbt/manifest/v12.json).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace_import.importers.dbt.context import Rendered
from headrace_import.importers.dbt.dialects import DUCKDB
from headrace_import.importers.dbt.nodes import Node, Nodes
from headrace_import.importers.dbt.templates import NotStatic
from headrace_import.importers.dbt.values import sql_name
from headrace_import.importers.sql_depth import parse_statements

_HARMLESS = {"macro.dbt.is_incremental", "macro.dbt.should_full_refresh"}
"""dbt's macros that ask the warehouse, but not when it compiles with --full-refresh."""
_ASKS = re.compile(
    r"\b(run_query|statement|load_result|load_relation|get_columns_in_query)\s*\("
    r"|\badapter\s*\.\s*(get_|list_|execute|check_|expand_|is_)"
)
_CLOCK = re.compile(r"\b(run_started_at|invocation_id)\b|\bmodules\s*\.\s*(datetime|pytz)\b")
_ENVIRONMENT = re.compile(r"\benv_var\s*\(\s*['\"](\w+)['\"]")
_VARIABLE = re.compile(r"\bvar\s*\(\s*['\"](\w+)['\"]")
_TARGET = re.compile(r"\btarget\s*\.\s*(?!type\b)\w+")


class _DependsOn(msgspec.Struct, frozen=True):
    macros: tuple[str, ...] = ()


class _ExtraCte(msgspec.Struct, frozen=True):
    """An ephemeral model that dbt wrote into a query as a CTE."""

    id: str
    sql: str = ""


class _ManifestNode(msgspec.Struct, frozen=True):
    relation_name: str | None = None
    raw_code: str | None = None
    compiled_code: str | None = None
    config: dict[str, Any] = {}
    unrendered_config: dict[str, Any] = {}
    """What the project configures; `config` has all other settings of dbt, too."""
    depends_on: _DependsOn = _DependsOn()
    extra_ctes: tuple[_ExtraCte, ...] = ()


class _ManifestMacro(msgspec.Struct, frozen=True):
    macro_sql: str = ""
    depends_on: _DependsOn = _DependsOn()


class _Metadata(msgspec.Struct, frozen=True):
    dbt_version: str = ""


class DbtManifest(msgspec.Struct, frozen=True):
    """The part of dbt's manifest that an import reads."""

    metadata: _Metadata
    nodes: dict[str, _ManifestNode]
    sources: dict[str, _ManifestNode] = {}
    macros: dict[str, _ManifestMacro] = {}
    disabled: dict[str, Any] = {}


class _Result(msgspec.Struct, frozen=True):
    unique_id: str
    status: str = ""
    message: str | None = None


class DbtResults(msgspec.Struct, frozen=True):
    """The part of dbt's run results that an import reads."""

    results: tuple[_Result, ...] = ()


@dataclass(slots=True)
class CompiledProject:
    """A project that dbt compiled, with the answer to what the static reader can't know."""

    manifest: DbtManifest
    errors: Mapping[str, str] = field(default_factory=dict)
    """Unique id of a node → why dbt couldn't compile it."""

    @property
    def version(self) -> str:
        """The version of dbt."""
        return self.manifest.metadata.dbt_version

    @property
    def templates(self) -> int:
        """Number of templates that dbt compiled."""
        return sum(node.compiled_code is not None for node in self.manifest.nodes.values())

    def is_enabled(self, uid: str) -> bool | None:
        """Return whether dbt runs a node; None for one that it doesn't know."""
        if uid in self.manifest.nodes or uid in self.manifest.sources:
            return True
        return False if uid in self.manifest.disabled else None

    def render(self, uid: str, nodes: Nodes, dialect: str, *, as_self: str = "") -> CompiledSql:
        """Return a node's SQL with the names of the new project. Raise NotStatic.

        A reference to the node with the id `as_self` is written as `$self`.
        """
        node = self.manifest.nodes.get(uid)
        if node is None or node.compiled_code is None:
            raise NotStatic(f"dbt didn't compile it: {self.errors.get(uid, 'it is not known why')}")
        relations = _Relations(self.manifest, nodes, dialect)
        ephemeral = {_cte_name(cte): cte.id for cte in node.extra_ctes}
        text = _without_ctes(node.compiled_code, node.extra_ctes)
        text, refs, uses = relations.renamed(text.strip(), as_self, ephemeral)
        if uid in refs and uid != as_self:
            raise NotStatic("it reads the rows that it has already")
        macros = [name for name in node.depends_on.macros if not name.startswith("macro.dbt.")]
        rendered = Rendered(text=text, refs=refs, uses=uses, macros=macros, by_dbt=True)
        texts = [node.raw_code or "", *self._macro_texts(node)]
        return CompiledSql(rendered, _configured(node), _doubts(texts), _notes(texts))

    def _macro_texts(self, node: _ManifestNode) -> Iterator[str]:
        """Yield the texts of the macros that a node uses, directly or through others."""
        left, known = list(node.depends_on.macros), set(_HARMLESS)
        while left:
            name = left.pop()
            macro = self.manifest.macros.get(name)
            if macro is not None and name not in known:
                known.add(name)
                left += macro.depends_on.macros
                yield macro.macro_sql


@dataclass(frozen=True, slots=True)
class CompiledSql:
    """SQL that dbt compiled, with its configuration. `doubts` are why a person must look at it."""

    rendered: Rendered
    config: dict[str, Any]
    doubts: list[str]
    notes: list[str]


def _doubts(texts: list[str]) -> list[str]:
    """Return what was true only when dbt compiled these templates, and is written into the SQL."""
    doubts = []
    if any(map(_ASKS.search, texts)):
        doubts.append("what the warehouse answered when dbt compiled it is written in")
    if any(map(_CLOCK.search, texts)):
        doubts.append("the time when dbt compiled it is written in")
    if any(map(_TARGET.search, texts)):
        doubts.append("it depends on dbt's target, whose values are written in")
    names = dict.fromkeys(name for text in texts for name in _ENVIRONMENT.findall(text))
    return [*doubts, *(f"the environment variable {name} is written in" for name in names)]


def _notes(texts: list[str]) -> list[str]:
    names = dict.fromkeys(name for text in texts for name in _VARIABLE.findall(text))
    return [f"var {name} is written in" for name in names]


def _configured(node: _ManifestNode) -> dict[str, Any]:
    """Return what the project configures for a node."""
    names = {key.lstrip("+").replace("-", "_") for key in node.unrendered_config}
    return {key: value for key, value in node.config.items() if key.replace("-", "_") in names}


def _cte_name(cte: _ExtraCte) -> str:
    return cte.sql.split(maxsplit=1)[0].strip('"`[]').lower() if cte.sql.split() else ""


def _without_ctes(text: str, ctes: Sequence[_ExtraCte]) -> str:
    """Return a query without the CTEs of ephemeral models that dbt wrote before all others.

    The query stays as it is if they aren't there as expected.
    """
    start = re.match(r"\s*with\b", text, re.IGNORECASE)
    if start is None or not ctes:
        return text
    left, wanted = text[start.end() :], [cte.sql.strip() for cte in ctes]
    while wanted:
        left = left.lstrip(" \t\r\n,")
        cte = next((sql for sql in wanted if left.startswith(sql)), None)
        if cte is None:
            return text
        wanted.remove(cte)
        left = left[len(cte) :]
    left = left.lstrip()
    return f"with {left[1:].lstrip()}" if left.startswith(",") else left


class _Relations:
    """The tables of dbt's warehouse by their parts, and the nodes that they are."""

    def __init__(self, manifest: DbtManifest, nodes: Nodes, dialect: str) -> None:
        self._nodes, self._dialect = nodes, dialect or DUCKDB
        self._by_parts: dict[tuple[str, ...], set[str]] = {}
        for uid, node in {**manifest.nodes, **manifest.sources}.items():
            if node.relation_name:
                self._add(uid, node.relation_name)

    def _add(self, uid: str, relation: str) -> None:
        try:
            table = exp.to_table(relation, dialect=self._dialect)
        except (SqlglotError, ValueError):
            return
        parts = _parts(table)
        for start in range(max(1, len(parts) - 1)):
            self._by_parts.setdefault(parts[start:], set()).add(uid)

    def renamed(
        self, text: str, as_self: str, ephemeral: Mapping[str, str]
    ) -> tuple[str, dict[str, str], Counter[str]]:
        """Return a query in which each table has the name of its node, those nodes, and how often
        it reads each. Everything else stays as dbt wrote it. Raise NotStatic.

        `ephemeral` has the id of an ephemeral model by the name of its CTE.
        """
        try:
            trees: list[exp.Expr] = parse_statements(text, self._dialect)
        except (SqlglotError, RecursionError, ValueError):
            raise NotStatic(f"what dbt compiled can't be read as {self._dialect}") from None
        refs: dict[str, str] = {}
        uses: Counter[str] = Counter()
        columns = [column for tree in trees for column in tree.find_all(exp.Column)]
        qualifiers = {column.table.lower() for column in columns}
        changes = _without_schemas(columns)
        for table in _tables(trees):
            node = self._node(table, ephemeral)
            refs[node.uid] = node.target
            uses[node.target.lower()] += 1
            name = "$self" if node.uid == as_self else sql_name(node.target)
            changes.append((*_span(table.parts), _aliased(table, name, qualifiers)))
        for start, end, name in sorted(changes, reverse=True):
            text = text[:start] + name + text[end + 1 :]
        return text, refs, uses

    def _node(self, table: exp.Table, ephemeral: Mapping[str, str]) -> Node:
        uids = self._by_parts.get(_parts(table), set())
        if not table.db:
            uids = {ephemeral[table.name.lower()]} if table.name.lower() in ephemeral else set()
        known = [self._nodes.by_id[uid] for uid in uids if uid in self._nodes.by_id]
        if len(known) == 1:
            return known[0]
        uid = min(uids, default="")
        if uid and not known:
            raise NotStatic(f"it reads {uid}, which isn't of this project")
        name = ".".join(part.name for part in table.parts)
        raise NotStatic(f"it reads {name} by its name in the warehouse, without ref or source")


def _tables(trees: list[exp.Expr]) -> Iterator[exp.Table]:
    """Yield the tables of the warehouse that statements read."""
    for tree in trees:
        defined = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
        for table in tree.find_all(exp.Table):
            if table.db or (table.name and table.name.lower() not in defined):
                yield table


def _parts(table: exp.Table) -> tuple[str, ...]:
    return tuple(part.name.lower() for part in table.parts)


def _aliased(table: exp.Table, name: str, qualifiers: Collection[str]) -> str:
    """Return a table's new name, with its former one as alias if columns are qualified by that."""
    is_known = table.alias or name.lower() == table.name.lower()
    if is_known or table.name.lower() not in qualifiers:
        return name
    return f"{name} as {sql_name(table.name)}"


def _without_schemas(columns: Sequence[exp.Column]) -> list[tuple[int, int, str]]:
    """Return the changes that qualify columns by their table's name only."""
    return [
        (*_span(column.parts[:-1]), sql_name(column.table))
        for column in columns
        if column.args.get("db")
    ]


def _span(parts: Sequence[exp.Expr]) -> tuple[int, int]:
    """Return the first and the last position of a name in its text. Raise NotStatic."""
    places = [part.meta for part in parts if "start" in part.meta]
    if len(places) != len(parts):
        raise NotStatic(f"the place of {parts[-1].name} in what dbt compiled can't be told")
    return min(place["start"] for place in places), max(place["end"] for place in places)
