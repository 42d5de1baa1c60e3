"""Script and Lookup activities whose SQL is one query: assets in SQL."""

from __future__ import annotations

import re
from typing import Any

import sqlglot
from sqlglot import exp

from headrace.importers.adf.activities import Activity
from headrace.importers.adf.copying import Context, NotCarriedError
from headrace.importers.adf.drafts import Draft
from headrace.importers.adf.evaluate import resolve
from headrace.importers.adf.origin import Resource
from headrace.importers.adf.reading import text_at
from headrace.importers.adf.sql_tasks import NotTranslatedError, queries_of, translate
from headrace.importers.adf.stores import DATABASES, DIALECTS, table_name
from headrace.importers.adf.values import Scope, has_moment, unknown_in
from headrace.importers.adf.windows import bound_query

_BOUNDS = re.compile(r"\$partition_(start|end)\b")


def carried_sql(activity: Activity, scope: Scope, context: Context) -> tuple[list[Draft], str]:
    """Return the asset of a Script or a Lookup, and what is left to do.

    Raise NotCarriedError.
    """
    store, dialect = _store(activity, scope, context)
    text, is_bound = _text(activity, scope, context)
    try:
        translated = translate(text, dialect, store.name)
    except NotTranslatedError as error:
        raise NotCarriedError(str(error)) from None
    fields: dict[str, Any] = {"description": activity.description} if activity.description else {}
    if is_bound:
        fields |= _partition(translated.sql, context)
    elif translated.target is not None and not translated.replaces:
        raise NotCarriedError("each run adds the rows of its query to the table once more")
    name = table_name(translated.target) if translated.target else activity.name
    node = context.names.take(name, f"{context.folder}_{name}")
    draft = Draft(
        "sql",
        node,
        context.folder,
        fields,
        translated.sql,
        list(translated.reads),
        target=translated.target,
    )
    return [draft], _todo(dialect, store)


def _store(activity: Activity, scope: Scope, context: Context) -> tuple[Resource, str]:
    reference = activity.raw.get("linkedServiceName")
    store = context.stores.linked_service(reference, context.factory)
    if store is None and activity.type.lower() == "lookup":
        place = context.stores.place(activity.settings.get("dataset"), scope, context.factory)
        store = place.store
    if store is None:
        raise NotCarriedError("its database isn't among the files")
    kind = text_at(store.raw, "type").lower()
    dialect = DIALECTS.get(kind)
    if dialect is None:
        raise NotCarriedError(f"the SQL of `{text_at(store.raw, 'type')}` isn't translated")
    return store, dialect


def _text(activity: Activity, scope: Scope, context: Context) -> tuple[str, bool]:
    written = list(queries_of(activity.type.lower(), activity.settings))
    if not written:
        raise NotCarriedError("it has no query")
    values = [resolve(query, scope) for query in written]
    unknown = unknown_in(values)
    if unknown is not None:
        raise NotCarriedError(f"only a run knows its SQL: {unknown.reason}")
    texts = [_statement(value, context) for value in values]
    return ";\n".join(texts), has_moment(values)


def _statement(value: Any, context: Context) -> str:
    if has_moment(value):
        grain = context.schedule.partition if context.schedule.is_window else ""
        value = bound_query(value, grain) if grain else None
    if not isinstance(value, str):
        raise NotCarriedError("its SQL depends on the time of the run")
    if _BOUNDS.search(value) is None and re.search(r"\$[A-Za-z_]", value):
        raise NotCarriedError("its SQL has a `$` that Headrace would bind")
    return value.strip().rstrip(";")


def _partition(sql: str, context: Context) -> dict[str, Any]:
    """Return the partition of a query that filters a column by the window."""
    query = sqlglot.parse_one(re.sub(r"\{table:(\d+)\}", r"table_\1", sql), read="duckdb")
    columns: set[str] = set()
    for bound in query.find_all(exp.Parameter, exp.Placeholder):
        compared = bound.parent
        side = compared.this if isinstance(compared, exp.GTE | exp.LT) else None
        if not isinstance(side, exp.Column):
            raise NotCarriedError("its window isn't `column >= start and column < end`")
        columns.add(side.name.lower())
    if len(columns) != 1 or not isinstance(query, exp.Select):
        raise NotCarriedError("its window isn't a range of one column")
    column = columns.pop()
    for expression in query.expressions:
        if (
            isinstance(expression.unalias(), exp.Column)
            and expression.unalias().name.lower() == column
        ):
            schedule = context.schedule
            routed = {"by": schedule.partition, "column": expression.alias_or_name}
            return {"partition": routed, "start": schedule.start}
    raise NotCarriedError(f"its result lacks the column `{column}`, by which it takes the window")


def _todo(dialect: str, store: Resource) -> str:
    if text_at(store.raw, "type").lower() in DATABASES:
        return ""
    note = "the tables that it reads must be exported where the new sources expect them"
    if dialect == "tsql":
        note += "; SQL Server compares text without regard to case, DuckDB doesn't"
    return note
