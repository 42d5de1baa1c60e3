"""Analysis of one SQL asset: its text, and its output once the columns of its inputs are known.

Importing this module loads sqlglot; callers import it only for SQL that isn't in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.model import Problem
from headrace.model.errors import shown
from headrace.plan.schemas import (
    AssetText,
    AssetTextAnalysis,
    ColumnLineage,
    OutputSchema,
    OutputSchemaRequest,
)
from headrace.sql.analysis import analyse
from headrace.sql.partitions import not_separable_because, routing_column
from headrace.sql.queries import MALFORMED, BoundQuery, not_followed, resolve, resolved_values
from headrace.sql.thresholds import UnsafeThreshold, check_threshold
from headrace.sql.values import SELF, Resolved


def analyse_text(text: AssetText) -> AssetTextAnalysis:
    """Return the analysis of an asset's query and SQL checks.

    Never raises, problems are in the result.
    """
    analysis = None
    if text.body is not None:
        body, file, line = text.body
        analysis = analyse(body, file=file, line=line, name=text.name)
    return AssetTextAnalysis(
        analysis,
        tuple(
            analyse(check.text, file=check.file, line=check.line, name=check.name)
            for check in text.checks
        ),
    )


def analyse_output(request: OutputSchemaRequest) -> tuple[OutputSchema, ColumnLineage]:
    """Return a query's output columns and their lineage."""
    schema, lines = _analysed_output(request)
    unsafe = tuple(_unsafe_thresholds(request))
    if unsafe:
        schema = msgspec.structs.replace(schema, problems=(*schema.problems, *unsafe))
    return schema, lines


def _analysed_output(request: OutputSchemaRequest) -> tuple[OutputSchema, ColumnLineage]:
    analysis = request.analysis
    schemas = {
        input_.name: input_.columns for input_ in request.inputs if input_.columns is not None
    }
    try:
        binding = BoundQuery(analysis, schemas, dict(request.parameters))
        result = resolved_values(binding, analysis)
        column, problems = _routing(binding, request)
        mixes = request.mixing or _mixes(binding, request, column)
    except RecursionError:
        problem = Problem(
            code="sql_too_large",
            message="the statement is nested too deeply to be followed",
            place=request.place,
        )
        return OutputSchema(None, (problem,), None, "its structure isn't known"), ColumnLineage({})
    except MALFORMED as error:
        return OutputSchema(
            None, (not_followed(analysis, error),), None, "its structure isn't known"
        ), ColumnLineage({})
    lines = ColumnLineage(result.lineage, result.filters, result.mentions)
    return OutputSchema(
        result.columns,
        (
            *result.problems,
            *problems,
            *_unknown_routing(result, request),
            *_checks(result, request),
        ),
        column,
        mixes,
    ), lines


def _unsafe_thresholds(request: OutputSchemaRequest) -> Iterator[Problem]:
    """Yield a problem for each threshold whose people the query doesn't count."""
    for column, people in request.thresholds:
        try:
            check_threshold(request.analysis.sql, column, people)
        except UnsafeThreshold as error:
            yield Problem(
                code="unsafe_threshold",
                message=f"{shown(column)} of {shown(request.analysis.name)} can't have a threshold:"
                f" {error}",
                hint=error.hint,
                place=request.place,
            )


def _checks(result: Resolved, request: OutputSchemaRequest) -> list[Problem]:
    """Return problems for columns in SQL checks that `$self` doesn't have.

    Inputs of a check other than `$self` are unknown here and may have columns of any name.
    """
    if result.columns is None:
        return []
    problems = [
        problem
        for check in request.checks
        for problem in resolve(check, {SELF: (*result.columns, *request.added)}).problems
    ]
    return [
        problem for problem in problems if problem.code in ("unknown_column", "ambiguous_column")
    ]


def _routing(binding: BoundQuery, request: OutputSchemaRequest) -> tuple[str | None, list[Problem]]:
    if not request.cut_by_time:
        return None, []
    if request.column is not None:
        output = binding.relation.get(request.column.lower())
        return (output.name if output is not None and output.name else request.column), []
    return routing_column(
        binding, {input_.name: input_.routing for input_ in request.inputs}, request.place
    )


def _mixes(binding: BoundQuery, request: OutputSchemaRequest, column: str | None) -> str:
    if not request.cut_by_time:
        return "it isn't partitioned by time"
    return not_separable_because(
        binding, request.analysis, column, [input_.name for input_ in request.inputs if input_.cut]
    )


def _unknown_routing(result: Resolved, request: OutputSchemaRequest) -> list[Problem]:
    if request.column is None or result.columns is None or not request.cut_by_time:
        return []
    types = {name.lower(): type_ for name, type_ in result.columns}
    if request.column.lower() not in types:
        hint = f"its columns are: {', '.join(name for name, _ in result.columns[:12])}"
        message = (
            f"`partition: {{column: {request.column}}}` names a column that the body doesn't give"
        )
        return [
            Problem(
                code="unknown_partition_column", message=message, hint=hint, place=request.place
            )
        ]
    return []
