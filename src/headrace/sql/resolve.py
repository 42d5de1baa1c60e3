"""A body's columns, types and lineage, known its inputs' columns."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from headrace.model import Place, Problem, ProblemLevel
from headrace.model.errors import words_of
from headrace.sql.binding import BindingContext, NameScope, Relation, as_edges
from headrace.sql.parsing import InvalidSelect, parse
from headrace.sql.queries import bind_query
from headrace.sql.values import Analysis, Edge, Resolved

Schemas = Mapping[str, tuple[tuple[str, str], ...]]


MALFORMED = (AttributeError, TypeError, KeyError, IndexError, ValueError)
"""What following a tree may meet where sqlglot has read a nearly right statement into a tree that no right one gives."""


class BoundQuery:
    """One bound body: the relation that it gives, and the context that the structural rules look at."""

    def __init__(self, analysis: Analysis, schemas: Schemas, parameters: Mapping[str, str]) -> None:
        self.tree: exp.Expr = parse(analysis.sql).tree
        self.context = BindingContext(schemas, parameters, analysis.sql, Place(file=analysis.file, line=analysis.line))
        self.context.bind_query = bind_query
        self.relation: Relation = bind_query(self.context, self.tree, NameScope({}))


def resolve(analysis: Analysis, schemas: Schemas, *, parameters: Mapping[str, str] | None = None) -> Resolved:
    """What `analysis` gives. `schemas`: input → its (column, DuckDB type) pairs; an input that is absent isn't known yet.

    `parameters`: placeholder → DuckDB type. Never raises: what is wrong is in `problems`.
    """
    if not analysis.usable:
        return Resolved(columns=None)
    try:
        return resolved(BoundQuery(analysis, schemas, parameters or {}), analysis)
    except RecursionError:
        return _too_deep(analysis)
    except InvalidSelect:
        return Resolved(columns=None)
    except MALFORMED as error:
        return Resolved(columns=None, problems=(not_followed(analysis, error),))


def not_followed(analysis: Analysis, error: Exception) -> Problem:
    """A statement that was read, and whose columns couldn't be found out: it may run, but nothing is known before."""
    return Problem(
        code="sql_not_followed",
        message=f"the statement's columns can't be followed ({words_of(error)})",
        hint="if DuckDB runs it, this is our mistake: please report the statement",
        place=Place(file=analysis.file, line=analysis.line),
        level=ProblemLevel.WARNING,
    )


def _too_deep(analysis: Analysis) -> Resolved:
    problem = Problem(
        code="sql_too_large",
        message="the statement is nested too deeply to be followed",
        place=Place(file=analysis.file, line=analysis.line),
    )
    return Resolved(columns=None, problems=(problem,))


def resolved(binding: BoundQuery, analysis: Analysis) -> Resolved:
    """The values of a binding, to be kept."""
    relation, context = binding.relation, binding.context
    names = [column.name for column in relation.columns]
    problems = [*context.problems, *_doubled(names, analysis), *_unnamed(names, analysis)]
    lineage: dict[str, tuple[Edge, ...]] = {}
    for column in relation.columns:
        if column.name is not None:
            lineage.setdefault(column.name, as_edges(column.edges))
    if not relation.complete:
        lineage["*"] = as_edges(relation.everything())
    known = relation.complete and None not in names and bool(names)
    columns = tuple((column.name or "", column.type) for column in relation.columns) if known else None
    return Resolved(columns=columns, lineage=lineage, filters=as_edges(relation.filters), problems=tuple(problems))


def _unnamed(names: list[str | None], analysis: Analysis) -> list[Problem]:
    if None not in names:
        return []
    place = Place(file=analysis.file, line=analysis.line)
    positions = ", ".join(str(at + 1) for at, name in enumerate(names) if name is None)
    hint = "give each expression a name with `AS`; until then what reads this asset can't be checked before it runs"
    return [
        Problem(
            code="unnamed_column", message=f"column {positions} has no name of its own", hint=hint, place=place, level=ProblemLevel.WARNING
        )
    ]


def _doubled(names: list[str | None], analysis: Analysis) -> list[Problem]:
    """Two columns of one name can't be stored in a table."""
    seen: set[str] = set()
    twice: list[str] = []
    for name in names:
        if name is not None and name.lower() in seen and name not in twice:
            twice.append(name)
        seen.add((name or "").lower())
    place = Place(file=analysis.file, line=analysis.line)
    return [
        Problem(
            code="duplicate_column",
            message=f"two output columns are called `{name}`",
            hint="leave one out, or rename it with `AS`",
            place=place,
        )
        for name in twice
    ]
