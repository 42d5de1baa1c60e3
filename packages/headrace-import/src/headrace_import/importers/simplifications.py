"""What could be simpler in a new project, each with the files that say it.

The rules read the files that an importer wrote, so that they hold for every tool. A rule offers a
change only if the tables that stay have the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace_import.importers.declarations import (
    Declaration,
    read_declarations,
    without_comments,
    words,
)
from headrace_import.importers.imported import (
    ORIGINAL_CHARACTERS_MAX,
    ImportedItem,
    ImportedProject,
    Suggestion,
    Verdict,
)
from headrace_import.importers.removals import taken_out
from headrace_import.importers.sql_depth import parse_statements
from headrace_import.importers.yaml_text import flow

BODY_CHARACTERS_MAX = 20_000
"""Longer queries aren't examined."""
WORK_CHARACTERS_MIN = 20
"""Shorter queries may be equal by chance."""
CONSUMERS = "consumers.yaml"
_COMPUTES = frozenset(
    ("where", "join", "group", "having", "order", "limit", "offset", "distinct", "union", "over",
     "qualify", "except", "intersect", "sample", "tablesample", "using", "unnest", "pivot",
     "unpivot", "values", "lateral", "case", "window", "fetch", "recursive")
)  # fmt: skip
_VARIES = frozenset(
    ("random", "uuid", "gen_random_uuid", "setseed", "now", "today", "current_date", "current_time",
     "current_timestamp", "localtime", "localtimestamp", "transaction_timestamp", "nextval",
     "limit", "sample", "tablesample", "any_value", "first", "last", "arbitrary", "row_number",
     "list", "array_agg", "string_agg", "first_value", "last_value", "read_csv", "read_parquet")
)  # fmt: skip
"""Words of queries that may return other rows when they run again."""
_COMPUTING = ("trigger", "timeout", "attempts_max", "pool", "priority", "concurrency", "start")
"""Fields that say when and how an asset is computed; a view is never computed."""
_FOLLOWING = ("append", "merge", "snapshot")
"""Kinds of assets that follow the deliveries of their inputs; a view has none."""


def simplifications(imported: ImportedProject) -> Iterator[Suggestion]:
    """Yield changes of the new project after which the tables that stay have the same rows."""
    project = _Project(imported)
    for rule in _RULES:
        yield from rule(project)


class _Project:
    """The files of the new project, and which names they mention."""

    def __init__(self, imported: ImportedProject) -> None:
        self._imported = imported
        self.files = imported.files
        self.nodes = {node.name.lower(): node for node in read_declarations(imported.files)}
        self._by_path = {node.path: node for node in self.nodes.values()}
        self._items: dict[str, list[str]] = {}
        for item in imported.items:
            for path in item.created:
                self._items.setdefault(path, []).append(item.id)
        self._reads: dict[str, list[str]] = {}

    @cached_property
    def _mentions(self) -> Mapping[str, set[str]]:
        found: dict[str, set[str]] = {}
        for path, text in self.files.items():
            node = self._by_path.get(path)
            named = node.named_in_fields | node.named_in_query if node else words(text)
            for word in named if path.endswith((".sql", ".yaml")) else ():
                found.setdefault(word, set()).add(path)
        return found

    def items(self, *nodes: Declaration) -> tuple[str, ...]:
        """Return the ids of the items that became these nodes."""
        return tuple(dict.fromkeys(i for node in nodes for i in self._items.get(node.path, ())))

    def users(self, node: Declaration) -> set[str]:
        """Return the other files that mention a node's name."""
        return self._mentions.get(node.name.lower(), set()) - {node.path}

    def is_used(self, node: Declaration) -> bool:
        """Whether a file of the project, or of the origin, uses a node.

        What isn't carried may use it, too: the origin's own text says so.
        """
        ids = self._items.get(node.path, [])
        names = {node.name.lower(), *(name.rpartition(".")[2].lower() for name in ids)}
        if self.users(node) or self._origins & set(ids):
            return True
        return self._has_long_rest or bool(self._rest & names)

    @cached_property
    def _origins(self) -> set[str]:
        return {dependency.origin for dependency in self._imported.dependencies}

    @cached_property
    def _not_carried(self) -> list[ImportedItem]:
        declared = {node.path for node in self.nodes.values() if node.is_source}
        return [
            item
            for item in self._imported.items
            if item.verdict is not Verdict.CARRIED and not declared & set(item.created)
        ]

    @cached_property
    def _rest(self) -> set[str]:
        """Every word of the origin's text that isn't carried."""
        return set[str]().union(*(words(item.original) for item in self._not_carried))

    @cached_property
    def _has_long_rest(self) -> bool:
        """Whether the text of something that isn't carried is known only in part."""
        return any(
            not item.original or len(item.original) >= ORIGINAL_CHARACTERS_MAX
            for item in self._not_carried
        )

    def reads(self, node: Declaration) -> list[str]:
        """Return the tables that a node's query reads, in lower case; none if it isn't readable."""
        if node.path not in self._reads:
            tree = _parsed(node.body)
            self._reads[node.path] = [] if tree is None else _tables(tree)
        return self._reads[node.path]

    def can_be_view(self, node: Declaration) -> bool:
        """Whether everything that uses a node's table can use a view in its place."""
        if not node.is_sql or not node.is_stored_table or node.grain or "$" in node.body:
            return False
        checked = words(repr(node.fields.get("checks", ""))) & self.nodes.keys()
        if node.depends or "parameters" in node.fields or checked - {node.name.lower()}:
            return False
        return all(self._can_read_view(path, node) for path in self.users(node))

    def _can_read_view(self, path: str, node: Declaration) -> bool:
        reader = self._by_path.get(path)
        if reader is None:
            return path == CONSUMERS or path.startswith("tests/")
        named = node.name.lower() in reader.named_in_fields  # in `depends:`, `trigger:`, a check
        return not named and reader.fields.get("materialize") not in _FOLLOWING


def _parsed(sql: str) -> exp.Query | None:
    """Return the tree of one query; None for text that can't be read, or is very long."""
    if not sql.strip() or len(sql) > BODY_CHARACTERS_MAX:
        return None
    try:
        trees = parse_statements(sql, "duckdb")
    except (SqlglotError, RecursionError, ValueError):
        return None
    tree = trees[0] if len(trees) == 1 else None
    return tree if isinstance(tree, exp.Query) else None


def _tables(tree: exp.Query) -> list[str]:
    local = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    names = (table.name.lower() for table in tree.find_all(exp.Table))
    return list(dict.fromkeys(name for name in names if name and name not in local))


def _as_view(node: Declaration, body: str | None = None) -> str:
    gone = {name: None for name in _COMPUTING if name in node.fields}
    return node.text({**gone, "materialize": "view"}, body)


# Tables that store another table's rows again


def _pass_through(project: _Project) -> Iterator[Suggestion]:
    """A table with columns of one other table, and nothing computed, as a view."""
    for node in project.nodes.values():
        origin = _copied(project, node)
        if origin is None or not _is_up_to_date(node, origin) or not project.can_be_view(node):
            continue
        held = " If a check of it fails, the delivery of its input is held then."
        yield Suggestion(
            "pass_through",
            project.items(node),
            f"{node.path} only selects columns of `{origin.name}`, and stores them a second time."
            " As a view it stores nothing and has the same rows."
            + (held if node.fields.get("checks") else ""),
            {node.path: _as_view(node)},
        )


def _is_up_to_date(node: Declaration, origin: Declaration) -> bool:
    """Whether a copy follows its input; one with a clock of its own has the rows of that time."""
    trigger = node.fields.get("trigger")
    return trigger in (None, "upstream", origin.fields.get("trigger", "none")) or (
        isinstance(trigger, Mapping) and "upstream" in trigger
    )


def _copied(project: _Project, node: Declaration) -> Declaration | None:
    """Return the stored table whose columns a query selects, doing nothing else; else None."""
    if not node.is_sql or node.named_in_query & _COMPUTES:
        return None
    tree, reads = _parsed(node.body), project.reads(node)
    if tree is None or len(reads) != 1 or not _only_selects(tree):
        return None
    origin = project.nodes.get(reads[0])
    if origin is None or origin.grain or not (origin.is_source or origin.is_stored_table):
        return None
    return origin


_SELECT_PARTS = {"expressions", "from", "from_", "with", "with_", "kind"}


def _only_selects(tree: exp.Query) -> bool:
    selects = list(tree.find_all(exp.Select))
    if len(selects) != 1 + sum(1 for _ in tree.find_all(exp.CTE)):
        return False
    for select in selects:
        used = {key for key, value in select.args.items() if value}
        columns = (column.unalias() for column in select.expressions)
        if used - _SELECT_PARTS or not all(_is_plain(column) for column in columns):
            return False
    return True


def _is_plain(column: exp.Expr) -> bool:
    inner = column.this if isinstance(column, exp.Column) else column
    if isinstance(inner, exp.Star):
        return not any(inner.args.values())
    return isinstance(column, exp.Column) and isinstance(inner, exp.Identifier)


def _duplicates(project: _Project) -> Iterator[Suggestion]:
    """Tables with the same query: each after the first as a view of the first."""
    alike: dict[tuple[str, str, str], list[Declaration]] = {}
    for node in project.nodes.values():
        query = _repeatable_query(node)
        if query and _copied(project, node) is None:
            trigger = repr(node.fields.get("trigger"))
            alike.setdefault((query, trigger, node.grain), []).append(node)
    for first, *others in alike.values():
        possible = [] if first.depends else others
        for other in filter(project.can_be_view, possible):
            yield Suggestion(
                "duplicate",
                project.items(first, other),
                f"{first.path} and {other.path} have the same query. As a view of"
                f" `{first.name}`, `{other.name}` has the same rows and isn't computed again.",
                {other.path: _as_view(other, _reading(first, other))},
            )


def _repeatable_query(node: Declaration) -> str:
    """Return a table's query for comparisons; empty for one that may return other rows again."""
    if not node.is_sql or not node.is_stored_table or node.named_in_query & _VARIES:
        return ""
    query = " ".join(without_comments(node.body).split()).rstrip("; ")
    return _lower(query) if len(query) >= WORK_CHARACTERS_MIN else ""


def _lower(sql: str) -> str:
    """Return SQL in lower case outside of quotes."""
    parts = re.split(r"('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")", sql)
    return "".join(part if n % 2 else part.lower() for n, part in enumerate(parts))


def _reading(first: Declaration, other: Declaration) -> str:
    """Return the query of a view of `first`, below the comments that `other` begins with."""
    lines = other.body.splitlines(keepends=True)
    comments = takewhile(lambda line: line.startswith("--"), lines)
    return "".join([*comments, f"select * from {first.name}\n"])


# Sources that nothing reads


def _unused_sources(project: _Project) -> Iterator[Suggestion]:
    for node in project.nodes.values():
        if not node.is_source or node.fields.get("checks") or project.is_used(node):
            continue
        changes: dict[str, str | None] = {node.path: None}
        file = node.fields.get("files")
        if isinstance(file, str) and file in project.files:
            changes[file] = None
        yield Suggestion(
            "unused_source",
            project.items(node),
            f"nothing reads the source `{node.name}` of {node.path}. Without the file, Headrace"
            " doesn't ingest it.",
            changes,
        )


# Schedules that only wait for other assets


def _schedules(project: _Project) -> Iterator[Suggestion]:
    """An asset that starts by the clock, though its inputs say when it can start."""
    for node in project.nodes.values():
        trigger = node.fields.get("trigger")
        if not isinstance(trigger, Mapping) or not node.is_sql or not node.is_stored_table:
            continue
        time, inputs = _time_of_day(trigger.get("cron")), _inputs_in_time(project, node)
        consumers = _with_consumer(project, node, time, trigger.get("timezone"))
        if not time or not inputs or consumers is None:
            continue
        names = ", ".join(f"`{other.name}`" for other in inputs[:3])
        yield Suggestion(
            "schedule_to_deadline",
            project.items(node, *inputs),
            f"{node.path} starts by the clock (`{trigger['cron']}`), though it reads {names}."
            " Without its trigger it starts as soon as its inputs are complete, and a consumer"
            f" with `due: {time}` says when it is late.",
            {node.path: node.text({"trigger": None}), CONSUMERS: consumers},
        )


def _inputs_in_time(project: _Project, node: Declaration) -> list[Declaration]:
    """Return the assets that a query reads if their publications say when it can run.

    Empty if an asset among its inputs has other partitions, or may have more past ones.
    """
    inputs = [project.nodes[name] for name in project.reads(node) if name in project.nodes]
    assets = [other for other in inputs if not other.is_source]
    same = all(other.is_stored_table and other.grain == node.grain for other in assets)
    sources = all(other.grain in ("", node.grain) for other in inputs if other.is_source)
    if not same or not sources or node.grain not in ("", "day"):
        return []
    return assets if _same_catch_up(project, node, assets) else []


def _time_of_day(cron: object) -> str:
    """Return HH:MM of a cron expression that fires once on each day; empty for others."""
    match = re.fullmatch(r"([0-9]{1,2}) ([0-9]{1,2}) \* \* \*", str(cron))
    return f"{int(match[2]):02}:{int(match[1]):02}" if match else ""


def _same_catch_up(project: _Project, node: Declaration, assets: Sequence[Declaration]) -> bool:
    """Whether the inputs leave out the same past intervals, so that it computes no others."""
    trigger = node.fields["trigger"]
    if not node.grain or "catch_up" not in trigger:
        return True
    return any(_catch_up(project, other, set()) == trigger["catch_up"] for other in assets)


def _catch_up(project: _Project, node: Declaration, seen: set[str]) -> Any:
    """Return the `catch_up` of the trigger that an asset, or what it reads, waits for."""
    trigger = node.fields.get("trigger")
    if isinstance(trigger, Mapping):
        return trigger.get("catch_up")
    seen.add(node.name)
    for name in project.reads(node):
        other = project.nodes.get(name)
        if other is not None and not other.is_source and other.name not in seen:
            inherited = _catch_up(project, other, seen)
            if inherited is not None:
                return inherited
    return None


def _with_consumer(project: _Project, node: Declaration, time: str, timezone: object) -> str | None:
    """Return consumers.yaml with a deadline for a node; None if the name is taken."""
    name = f"{node.name}_readers"
    text = project.files.get(CONSUMERS, "")
    if name.lower() in words(text) | project.nodes.keys() or "owner" not in node.fields:
        return None
    fields: dict[str, Any] = {
        "consumer": name,
        "owner": node.fields["owner"],
        "reads": [node.name],
        "due": time,
    }
    if isinstance(timezone, str):
        fields["timezone"] = timezone
    lines = [f"{key}: {flow(value)}" for key, value in fields.items()]
    note = f"# {node.name} started at {time}: say here when its readers need it.\n"
    return f"{text}\n{note}- ".lstrip("\n") + "\n  ".join(lines) + "\n"


# Assets that only let time pass


def _waits(project: _Project) -> Iterator[Suggestion]:
    sleeping = [(node.path, ()) for node in project.nodes.values() if _only_sleeps(node)]
    for nodes, changes in taken_out(project.files, sleeping):
        paths = ", ".join(node.path for node in nodes[:3])
        more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
        yield Suggestion(
            "waiting",
            project.items(*nodes),
            f"nothing happens in {paths}{more} but waiting. Without that, the assets that follow"
            " start as soon as those before have succeeded.",
            changes,
        )


def _only_sleeps(node: Declaration) -> bool:
    command = node.fields.get("command")
    return isinstance(command, list) and len(command) == 2 and command[0] == "sleep"


_RULES: tuple[Callable[[_Project], Iterator[Suggestion]], ...] = (
    _pass_through,
    _duplicates,
    _unused_sources,
    _schedules,
    _waits,
)
