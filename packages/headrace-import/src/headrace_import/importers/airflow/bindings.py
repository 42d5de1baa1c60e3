"""The values of a query's tokens: `$partition_start`, parameters and texts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlglot import exp

from headrace_import.importers.airflow.intervals import normal
from headrace_import.importers.airflow.schedules import Schedule
from headrace_import.importers.airflow.statements_sql import NotCarried, token_parts
from headrace_import.importers.airflow.templates import NO_DASHES, Instant, Setting
from headrace_import.importers.airflow.values import Value

_DAY = dt.timedelta(days=1)


def bound(
    query: exp.Query,
    values: Sequence[Instant | Setting],
    schedule: Schedule,
    parameters: dict[str, Value],
) -> exp.Query:
    """Put `$partition_start` and parameters in the place of tokens."""

    def replaced(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Literal | exp.Column):
            if isinstance(node, exp.Identifier) and len(token_parts(node.name)) > 1:
                raise NotCarried("a name in its SQL changes from run to run")
            return node
        parts = token_parts(node.name)
        if not any(isinstance(part, int) for part in parts):
            return node
        quoted = isinstance(node, exp.Literal) and node.is_string
        return _replacement(parts, values, schedule, parameters, quoted=quoted)

    result = query.transform(replaced)
    assert isinstance(result, exp.Query)
    return result


def _replacement(
    parts: list[str | int],
    values: Sequence[Instant | Setting],
    schedule: Schedule,
    parameters: dict[str, Value],
    *,
    quoted: bool,
) -> exp.Expr:
    if len(parts) == 1 and isinstance(parts[0], int):
        return _value_expression(values[parts[0]], schedule, parameters, quoted=quoted)
    if not quoted:
        raise NotCarried("a name in its SQL changes from run to run")
    if len(parts) == 2 and isinstance(parts[0], int) and isinstance(parts[1], str):
        midnight = parts[1].strip(" T").removesuffix("Z").rstrip("+0:.")
        value = values[parts[0]]
        if not midnight and isinstance(value, Instant) and value.is_date:
            return exp.cast(_time(value, schedule), "timestamp")
    pieces = [_as_text(part, values, schedule, parameters) for part in parts]
    result = pieces[0]
    for piece in pieces[1:]:
        result = exp.DPipe(this=result, expression=piece)
    return exp.paren(result)


def _as_text(
    part: str | int,
    values: Sequence[Instant | Setting],
    schedule: Schedule,
    parameters: dict[str, Value],
) -> exp.Expr:
    if isinstance(part, str):
        return exp.Literal.string(part)
    value = values[part]
    if isinstance(value, Instant):
        if not value.pattern:
            raise NotCarried("a text in its SQL contains a time with an offset")
        return _strftime(value, schedule)
    return exp.cast(_parameter(value, parameters), "text")


def _value_expression(
    value: Instant | Setting,
    schedule: Schedule,
    parameters: dict[str, Value],
    *,
    quoted: bool,
) -> exp.Expr:
    if isinstance(value, Setting):
        return _parameter(value, parameters)
    if not quoted and value.pattern != NO_DASHES:
        raise NotCarried("a time stands in its SQL without quotes")
    if value.is_date or not value.pattern or value.pattern.startswith("%Y-%m-%dT%H:%M:%S+"):
        return _time(value, schedule)
    text = _strftime(value, schedule)
    return text if quoted else exp.cast(text, "bigint")


def plain_dates(query: exp.Query, schedule: Schedule) -> exp.Query:
    """Drop casts of `$partition_start` to the type that it has."""
    if schedule.grain in ("", "hour"):
        return query

    def plain(node: exp.Expr) -> exp.Expr:
        inner = node.this if isinstance(node, exp.Cast) else None
        is_date = isinstance(node, exp.Cast) and node.to.is_type("date")
        return inner if is_date and isinstance(inner, exp.Parameter) else node

    result = query.transform(plain)
    assert isinstance(result, exp.Query)
    return result


def _parameter(value: Setting, parameters: dict[str, Value]) -> exp.Expr:
    if not value.name.isidentifier() or value.name.startswith("partition_"):
        raise NotCarried(f"its param `{value.name}` can't be the name of a parameter")
    parameters[value.name] = value.default
    return exp.Parameter(this=exp.Var(this=value.name))


def _time(value: Instant, schedule: Schedule) -> exp.Expr:
    value = normal(value, schedule)
    name = "partition_end" if value.end else "partition_start"
    result: exp.Expr = exp.Parameter(this=exp.Var(this=name))
    if value.intervals:
        if schedule.grain not in ("week", "month", "quarter", "year", "hour"):
            raise NotCarried("it uses the interval before its own")
        unit, count = (
            ("month", 3 * value.intervals)
            if schedule.grain == "quarter"
            else (schedule.grain, value.intervals)
        )
        moved = exp.Add(
            this=result,
            expression=exp.Interval(this=exp.Literal.string(str(count)), unit=exp.Var(this=unit)),
        )
        result = exp.cast(moved, "date") if schedule.grain != "hour" else exp.paren(moved)
    if value.offset:
        result = _shifted(result, value.offset, schedule)
    return result


def _shifted(start: exp.Expr, offset: dt.timedelta, schedule: Schedule) -> exp.Expr:
    if schedule.grain == "hour":
        minutes = int(offset.total_seconds() // 60)
        step: exp.Expr = exp.Interval(
            this=exp.Literal.string(str(minutes)), unit=exp.Var(this="minute")
        )
        return exp.paren(exp.Add(this=start, expression=step))
    kind = exp.Add if offset > dt.timedelta(0) else exp.Sub
    step = exp.Literal.number(abs(offset // _DAY))
    return exp.paren(kind(this=start, expression=step))


def _strftime(value: Instant, schedule: Schedule) -> exp.Expr:
    time = _time(Instant(value.end, value.offset, value.intervals, ""), schedule)
    return exp.func("strftime", time, exp.Literal.string(value.pattern), dialect="duckdb")
