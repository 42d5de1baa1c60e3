"""Script, Lookup and Copy activities whose SQL is one query: assets in SQL."""

from __future__ import annotations

import re
from typing import Any

import sqlglot
from sqlglot import exp

from headrace_import.importers.adf.activities import Activity
from headrace_import.importers.adf.copying import (
    STORED,
    Context,
    carried_copy,
    check_copy,
    check_sink,
    mapping,
    only_place,
    query_of,
    require_replaced,
)
from headrace_import.importers.adf.drafts import Draft
from headrace_import.importers.adf.evaluate import resolve
from headrace_import.importers.adf.file_users import user_of_file
from headrace_import.importers.adf.origin import Resource
from headrace_import.importers.adf.reading import object_of, objects_of, text_at
from headrace_import.importers.adf.refusals import (
    NeedsDecisionError,
    NotCarriedError,
    newest_window_only,
)
from headrace_import.importers.adf.settings import ONE_SCRIPT, SCRIPT, SOURCE, require_known
from headrace_import.importers.adf.sql_tasks import (
    NotTranslatedError,
    Translated,
    queries_of,
    translate,
)
from headrace_import.importers.adf.stores import DATABASES, DIALECTS, Place, table_name
from headrace_import.importers.adf.values import Scope, has_moment, unknown_in
from headrace_import.importers.adf.windows import bound_query
from headrace_import.importers.imported import CONDITION

_QUOTED = f"{CONDITION} who reads its file needs each text in quotes; "
_FEW = f"{CONDITION} it has more than 5,000 rows, of which a Lookup reads the first"
"""https://learn.microsoft.com/en-us/azure/data-factory/control-flow-lookup-activity"""
_BOUNDS = re.compile(r"\$partition_(start|end)\b")


def carried_sql(activity: Activity, scope: Scope, context: Context) -> tuple[list[Draft], str]:
    """Return the asset of a Script or a Lookup, and what is left to do.

    Raise NotCarriedError.
    """
    store, dialect = _store(activity, scope, context)
    _check_settings(activity)
    text, is_bound = _text(activity, scope, context)
    try:
        translated = translate(text, dialect, store.name, context.stores.columns)
    except NotTranslatedError as error:
        raise NotCarriedError(str(error)) from None
    fields: dict[str, Any] = {"description": activity.description} if activity.description else {}
    if is_bound:
        if translated.target is not None and translated.replaces:
            raise newest_window_only(translated.target.table)
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
    is_lookup = activity.type.lower() == "lookup"
    return [draft], "; ".join(filter(None, [_todo(translated, store), _FEW if is_lookup else ""]))


def _check_settings(activity: Activity) -> None:
    settings = activity.settings
    if activity.type.lower() == "lookup":
        require_known(object_of(settings, "source"), SOURCE)
        if settings.get("firstRowOnly") is not False:
            raise NotCarriedError("it reads the first row alone")
        return
    require_known(settings, SCRIPT)
    for script in objects_of(settings, "scripts"):
        require_known(script, ONE_SCRIPT)


def carried_transfer(activity: Activity, scope: Scope, context: Context) -> tuple[list[Draft], str]:
    """Return the source of a Copy, or the asset of the query that it reads, and what is left to do.

    Raise NotCarriedError.
    """
    try:
        return carried_copy(activity, scope, context)
    except NeedsDecisionError:
        raise
    except NotCarriedError:
        source = resolve(activity.settings.get("source"), scope)
        if not isinstance(source, dict) or query_of(source) is None:
            raise
        return _carried_query(activity, source, scope, context)


def _carried_query(
    activity: Activity, source: dict[str, Any], scope: Scope, context: Context
) -> tuple[list[Draft], str]:
    origin = only_place(activity.raw, "inputs", scope, context)
    if origin.store is None:
        raise NotCarriedError(origin.problem or "its database isn't among the files")
    dialect = _dialect(origin.store)
    target = only_place(activity.raw, "outputs", scope, context)
    sink = resolve(activity.settings.get("sink"), scope)
    sink = sink if isinstance(sink, dict) else {}
    check_copy(activity.settings, source)
    wanted, todo = _target(activity, target, sink, context)
    if objects_of(source, "additionalColumns"):
        raise NotCarriedError("it adds columns to what it copies")
    query = query_of(source)
    if (unknown := unknown_in(query)) is not None:
        raise NotCarriedError(f"only a run knows its SQL: {unknown.reason}")
    try:
        translated = translate(
            _statement(query, context), dialect, origin.store.name, context.stores.columns
        )
    except NotTranslatedError as error:
        raise NotCarriedError(str(error)) from None
    if translated.target is not None:
        raise NotCarriedError("its query writes a table")
    fields: dict[str, Any] = {"description": activity.description} if activity.description else {}
    if has_moment(query):
        fields |= _window(translated, wanted, context, is_replaced=_is_replaced(target, sink))
    if target.kind == "table":
        require_replaced(sink, is_window="partition" in fields)
    columns = mapping(resolve(activity.settings.get("translator"), scope))
    sql = _mapped(translated.sql, columns)
    node = context.names.take(wanted, f"{context.folder}_{wanted}")
    draft = Draft(
        "sql", node, context.folder, fields, sql, list(translated.reads), target=target.table
    )
    return [draft], "; ".join(filter(None, (todo, _todo(translated, origin.store))))


def _is_replaced(target: Place, sink: dict[str, Any]) -> bool:
    """Whether each run removes what earlier runs wrote."""
    return target.kind == "file" or bool(sink.get("preCopyScript"))


def _window(
    translated: Translated, table: str, context: Context, *, is_replaced: bool
) -> dict[str, Any]:
    """Return the partition of a query over a window. Raise NotCarriedError."""
    if is_replaced:
        raise newest_window_only(table)
    return _partition(translated.sql, context)


def _target(
    activity: Activity, place: Place, sink: dict[str, Any], context: Context
) -> tuple[str, str]:
    """Return the name for the node of what a Copy writes, and what is left to do."""
    check_sink(sink, place)
    if place.kind == "table":
        if place.table is None or place.problem:
            raise NotCarriedError(f"its target isn't known: {place.problem}")
        return table_name(place.table), STORED
    if place.kind != "file" or place.dataset is None or not isinstance(place.path, str):
        raise NotCarriedError("its target is neither a table nor one file that each run replaces")
    if not place.path and place.problem:
        raise NotCarriedError(f"its target isn't known: {place.problem}")
    if user := user_of_file(activity, place, context):
        raise NotCarriedError(f"`{user}` needs the file that it writes")
    quoted = _QUOTED if object_of(sink, "formatSettings").get("quoteAllText") else ""
    return place.dataset.name, f"{quoted}if others read its file, add a consumer with `export:`"


def _mapped(sql: str, columns: list[str]) -> str:
    if not columns:
        return sql
    listed = ",\n    ".join(columns)
    inner = sql.replace("\n", "\n    ")
    return f"select\n    {listed}\nfrom (\n    {inner}\n) as copied"


def _store(activity: Activity, scope: Scope, context: Context) -> tuple[Resource, str]:
    reference = activity.raw.get("linkedServiceName")
    store = context.stores.linked_service(reference, context.factory)
    if store is None and activity.type.lower() == "lookup":
        place = context.stores.place(activity.settings.get("dataset"), scope, context.factory)
        store = place.store
    if store is None:
        raise NotCarriedError("its database isn't among the files")
    return store, _dialect(store)


def _dialect(store: Resource) -> str:
    dialect = DIALECTS.get(text_at(store.raw, "type").lower())
    if dialect is None:
        raise NotCarriedError(f"the SQL of `{text_at(store.raw, 'type')}` isn't translated")
    return dialect


def _text(activity: Activity, scope: Scope, context: Context) -> tuple[str, bool]:
    written = list(queries_of(activity.type.lower(), activity.settings))
    if not written:
        raise NotCarriedError("it has no query")
    values = [resolve(query, scope) for query in written]
    if (unknown := unknown_in(values)) is not None:
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


def _todo(translated: Translated, store: Resource) -> str:
    notes: list[str] = []
    if text_at(store.raw, "type").lower() not in DATABASES:
        notes.append("the tables that it reads must be exported where the new sources expect them")
    if translated.target is not None:
        notes.append(STORED)
    return "; ".join(filter(None, [*notes, translated.note]))
