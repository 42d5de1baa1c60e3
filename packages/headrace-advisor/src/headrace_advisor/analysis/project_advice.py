"""What the rules about a whole project start from, and what they say about one asset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

from sqlglot import exp

from headrace.extension import Asset
from headrace.model import SqlBody
from headrace.plan import Compiled
from headrace_advisor.analysis.advice import Edit, Finding, Premise, finding_id
from headrace_advisor.analysis.complexity import ProjectShape
from headrace_advisor.analysis.edits import edited, unified_diff
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.statements import Statement
from headrace_advisor.queries.costs import StoredPartitions


class Equality(NamedTuple):
    """Partitions in which two nodes have equal rows, by the hashes of what is published."""

    partitions: tuple[str, ...]
    rows: int


class FileEdits(NamedTuple):
    """Edits of one file of the project, whose whole text is `text`."""

    file: str
    text: str
    edits: tuple[Edit, ...]

    @property
    def diff(self) -> str:
        """The edits as a unified diff."""
        return unified_diff(self.file, self.text, self.edits)

    @property
    def after(self) -> str:
        """The file's text after the edits."""
        return edited(self.text, self.edits)


class ProjectFinding(NamedTuple):
    """What a rule says about an asset in its project."""

    asset: str
    finding: Finding
    edits: tuple[FileEdits, ...] = ()
    """The edits of each file that its change is about."""
    command: str | None = None
    equality: Equality | None = None

    @property
    def diff(self) -> str | None:
        """A diff of one or several files; None without edits."""
        return "".join(item.diff for item in self.edits) or None

    @property
    def id(self) -> str:
        """An id that stays while the subject does: the rule, the asset, its columns and join."""
        finding = self.finding
        words = " ".join((finding.kind, *finding.columns, *(finding.join or ("",))[0:1]))
        return finding_id(self.asset, finding.rule, words, 0)


class QueryText(NamedTuple):
    """The query of an asset as it stands in its file."""

    statement: Statement
    queries: Queries
    file: str
    text: str
    """The whole file."""
    offset: int
    """Where the query begins in the file."""

    def in_file(self, edits: tuple[Edit, ...]) -> FileEdits:
        """Return edits of the query as edits of the file."""
        moved = (Edit(e.start + self.offset, e.end + self.offset, e.replacement) for e in edits)
        return FileEdits(self.file, self.text, tuple(moved))

    def edited(self, edits: tuple[Edit, ...]) -> str:
        """Return the query after edits."""
        return edited(self.statement.text, edits)


class ProjectView:
    """A compiled project with the queries of its assets, as the rules read it.

    `file_text` returns the text of a file of the project, or None. `sizes` are those of stored
    partitions, empty without a history; `same_rows` are pairs of nodes with equal rows.
    """

    def __init__(
        self,
        compiled: Compiled,
        tables: ProjectTables,
        shape: ProjectShape,
        file_text: Callable[[str], str | None],
        sizes: Mapping[str, StoredPartitions],
        same_rows: Mapping[tuple[str, str], Equality],
    ) -> None:
        self.compiled, self.tables, self.shape = compiled, tables, shape
        self.project = compiled.project
        self.sizes, self.same_rows = sizes, same_rows
        self._file_text = file_text
        self._queries: dict[str, Queries | None] = {}
        self._names: dict[str, frozenset[str]] = {}
        self.takes_all: dict[str, bool] = {}
        """Asset → whether it takes the columns of its inputs as they are, once that is known."""

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """Node → the assets that read it, in order."""
        readers: dict[str, list[str]] = {name: [] for name in self.compiled.nodes}
        for name in self.compiled.order:
            for spec in self.compiled.nodes[name].inputs:
                readers[spec.node].append(name)
        return readers

    def consumers(self, name: str) -> list[str]:
        """Return the consumers that read a node directly."""
        return [c.name for c in self.project.consumers.values() if name in c.reads]

    def queries(self, name: str) -> Queries | None:
        """Return the query of an asset; None if it isn't SQL, or can't be followed."""
        if name not in self._queries:
            self._queries[name] = self._read(name)
        return self._queries[name]

    def names_in(self, name: str) -> frozenset[str] | None:
        """Return the names, in lower case, in an asset's query; None if it can't be read."""
        statement = self.tables.statement(name)
        if statement is None:
            return None
        if name not in self._names:
            nodes = statement.tree.find_all(exp.Column, exp.Identifier)
            self._names[name] = frozenset(node.name.lower() for node in nodes)
        return self._names[name]

    def _read(self, name: str) -> Queries | None:
        statement = self.tables.statement(name) if name in self.project.assets else None
        if statement is None:
            return None
        try:
            return Queries(statement, self.tables.catalog(name))
        except RecursionError:
            return None

    def text(self, name: str) -> QueryText | None:
        """Return an asset's query in its file; None if it can't be edited there."""
        asset, queries = self.project.assets.get(name), self.queries(name)
        if asset is None or queries is None or not isinstance(asset.body, SqlBody):
            return None
        if self.compiled.nodes[name].sql != asset.body.text:  # macros are expanded
            return None
        text = self.file(asset.body.file)
        offset = -1 if text is None else text.find(asset.body.text)
        if text is None or offset < 0:
            return None
        return QueryText(queries.statement, queries, asset.body.file, text, offset)

    def file(self, path: str) -> str | None:
        """Return the text of a file of the project; None if it can't be read."""
        return self._file_text(path)

    def is_sql(self, asset: Asset) -> bool:
        """Return whether an asset is a query."""
        return isinstance(asset.body, SqlBody)

    def nobody_else(self, name: str) -> Premise:
        """Return the premise that only the project reads a node. Nothing guards it."""
        return Premise(f"nobody reads {name} past the consumers of the project", None)


def unstable(queries: Queries | None) -> frozenset[Premise]:
    """Return the premises under which a query gives the same in each run."""
    texts = queries.instabilities if queries is not None else ["the code gives the same each time"]
    return frozenset(Premise(text, None) for text in texts)


def names_all_columns(statement: Statement) -> bool:
    """Return whether a query takes the columns of a table as they are: `*`, COLUMNS, NATURAL.

    Of a table that loses a column it would then give other rows, or fail.
    """
    stars = (s for s in statement.tree.find_all(exp.Star) if not isinstance(s.parent, exp.Count))
    return next(stars, None) is not None or takes_rows_as_values(statement)


def takes_rows_as_values(statement: Statement) -> bool:
    """Return whether a query takes all columns without a star: COLUMNS, NATURAL, PIVOT, a table's
    name as a value."""
    tree = statement.tree
    if tree.find(exp.Columns, exp.Pivot) is not None:
        return True
    if any(join.method == "NATURAL" for join in tree.find_all(exp.Join)):
        return True
    tables = {table.alias_or_name.lower() for table in tree.find_all(exp.Table)}
    columns = tree.find_all(exp.Column)
    return any(column.name.lower() in tables for column in columns if not column.table)
