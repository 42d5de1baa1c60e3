"""Mapping data flows as assets in SQL: their sources, their sinks, and their script."""

from __future__ import annotations

import re
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace.model.fields import SQL_KEYWORDS
from headrace_import.importers.adf.activities import Activity
from headrace_import.importers.adf.copying import STORED, Context, file_fields
from headrace_import.importers.adf.dataflow_expressions import CONVERTS, NoCounterpartError
from headrace_import.importers.adf.dataflow_script import (
    BadScriptError,
    Column,
    Function,
    Named,
    Node,
    Step,
    option,
    parse_script,
)
from headrace_import.importers.adf.dataflow_sql import Translation
from headrace_import.importers.adf.drafts import Draft, TableKey
from headrace_import.importers.adf.evaluate import resolve
from headrace_import.importers.adf.file_users import user_of_file
from headrace_import.importers.adf.origin import Resource
from headrace_import.importers.adf.reading import list_of, object_of, objects_of, text_at
from headrace_import.importers.adf.refusals import NotCarriedError
from headrace_import.importers.adf.stores import Place, table_name
from headrace_import.importers.adf.values import Scope, unknown_in
from headrace_import.importers.imported import CONDITION

_CONVERTED = (
    f"{CONDITION} a text that it converts is written otherwise than 12.5, 2024-01-31 or true:"
    " Spark makes a date of 2024 and no number of 1_000"
)
_SOURCE_OPTIONS: dict[str, tuple[str, ...]] = {
    "allowSchemaDrift": (),
    "validateSchema": (),
    "ignoreNoFilesFound": (),
    "inferDriftedColumnTypes": (),
    "isolationLevel": (),
    "format": ("table", "delimited", "json", "parquet", "excel"),
}
_SINK_OPTIONS: dict[str, tuple[str, ...]] = {
    **{key: _SOURCE_OPTIONS[key] for key in ("allowSchemaDrift", "validateSchema", "format")},
    "insertable": ("true",),
    "updateable": ("false",),
    "upsertable": ("false",),
    "deletable": ("false",),
    "truncate": (),
    "recreate": (),
    "keys": (),
    "preSQLs": ("",),
    "postSQLs": ("",),
    "preCommands": ("",),
    "postCommands": ("",),
    "errorHandlingOption": ("stopOnFirstError",),
    "saveOrder": (),
    "batchSize": (),
    "umask": (),
    "staged": (),
    "allowCopyCommand": (),
    "partitionFileNames": (),
    "filePattern": (),
    "skipDuplicateMapInputs": (),
    "skipDuplicateMapOutputs": (),
}
"""Options that change no rows, with their values where only some do."""
_SOURCE_SETTINGS, _SINK_SETTINGS = ("output", "partitionBy"), ("input", "mapColumn", "partitionBy")


def carried_dataflow(activity: Activity, scope: Scope, context: Context) -> tuple[list[Draft], str]:
    """Return the sources and assets of a data flow, one for each sink. Raise NotCarriedError."""
    reference = object_of(activity.settings, "dataFlow") or object_of(activity.settings, "dataflow")
    flow = context.stores.origin.find(
        "data flow", text_at(reference, "referenceName"), context.factory
    )
    if flow is None:
        raise NotCarriedError("its data flow isn't among the files")
    if text_at(flow.raw, "type") not in ("MappingDataFlow", ""):
        raise NotCarriedError(
            f"data flows of the type `{text_at(flow.raw, 'type')}` aren't translated"
        )
    passed = resolve(reference.get("datasetParameters"), scope)
    if unknown_in(resolve(reference, scope)) is not None:
        raise NotCarriedError("only a run knows the parameters of its data flow")
    try:
        steps = parse_script(_script(flow))
        return _Flow(
            flow, activity, scope, context, passed if isinstance(passed, dict) else {}
        ).drafts(steps)
    except (BadScriptError, NoCounterpartError) as error:
        raise NotCarriedError(f"the data flow `{flow.name}`: {error}") from None
    except RecursionError:
        raise NotCarriedError(f"the data flow `{flow.name}` is nested too deep") from None


def _script(flow: Resource) -> str:
    settings = object_of(flow.raw, "typeProperties")
    lines = [line for line in list_of(settings, "scriptLines") if isinstance(line, str)]
    script = text_at(settings, "script") or "\n".join(lines)
    if not script.strip():
        raise BadScriptError("it has no script")
    if "parameters{" in script.replace(" ", ""):
        raise BadScriptError("it has parameters")
    return script


class _Flow:
    def __init__(
        self,
        flow: Resource,
        activity: Activity,
        scope: Scope,
        context: Context,
        passed: dict[str, Any],
    ) -> None:
        self._flow, self._activity, self._scope = flow, activity, scope
        self._context, self._passed = context, passed
        self._sources: dict[str, Draft] = {}
        self._reads: dict[str, TableKey] = {}

    def drafts(self, steps: list[Step]) -> tuple[list[Draft], str]:
        translation = Translation()
        sinks: list[Step] = []
        for step in steps:
            kind = step.transformation.name
            if kind == "source":
                translation.source(step, self._source(step))
            elif kind == "sink":
                sinks.append(step)
            else:
                translation.transform(step)
        assets = [self._sink(step, translation) for step in sinks]
        if not assets:
            raise NotCarriedError("its data flow has no sink")
        used = {name for draft in assets for name in draft.inputs}
        kinds = {self._place("sinks", step.outputs[0]).kind for step in sinks}
        note = _notes(kinds, [draft.sql for draft in assets])
        return [source for source in self._sources.values() if source.name in used] + assets, note

    def _place(self, side: str, name: str) -> Place:
        for entry in objects_of(self._flow.raw, "typeProperties", side):
            if text_at(entry, "name") == name and isinstance(entry.get("dataset"), dict):
                given = object_of(self._passed, name)
                parameters = {**object_of(entry, "dataset", "parameters"), **given}
                reference = {**entry["dataset"], "parameters": parameters}
                return self._context.stores.place(reference, self._scope, self._flow.factory)
        raise NoCounterpartError(f"`{name}` has no dataset")

    def _source(self, step: Step) -> str:
        name = step.outputs[0]
        if (
            option(step, "query")
            or option(step, "format") == "query"
            or option(step, "wildcardPaths")
        ):
            raise NoCounterpartError(f"its source `{name}` has a query or reads several files")
        _check_settings(step, f"its source `{name}`", _SOURCE_OPTIONS, _SOURCE_SETTINGS)
        place = self._place("sources", name)
        if place.kind == "table":
            if place.table is None or place.problem:
                raise NotCarriedError(f"the table that it reads isn't known: {place.problem}")
            self._reads[f"headrace_{name}"] = place.table
            return f"headrace_{name}"
        fields, connection = file_fields(place, {}, self._context)
        node = self._context.names.take(place.dataset.name if place.dataset else name)
        if "partition" in fields:
            raise NoCounterpartError("it reads a file for each day")
        draft = Draft("source", node, "", fields, connection=connection)
        self._sources[name] = draft
        return node

    def _check_users(self, place: Place, name: str) -> None:
        """Raise NotCarriedError for a sink into a file that others may read."""
        user = user_of_file(self._activity, place, self._context) if place.kind == "file" else ""
        if user:
            raise NotCarriedError(f"`{user}` may read the file that its sink `{name}` writes")

    def _sink(self, step: Step, translation: Translation) -> Draft:
        if not step.inputs or step.inputs[0] not in translation.streams:
            raise NoCounterpartError("a sink has no input")
        name = step.outputs[0]
        place = self._place("sinks", name)
        _check_target(step, place, name)
        self._check_users(place, name)
        sql = _pretty(translation.result(step))
        reads: list[TableKey] = []
        for marker, key in self._reads.items():
            if marker in sql:
                reads.append(key)
                sql = sql.replace(marker, f"{{table:{len(reads) - 1}}}")
        inputs = [source.name for source in self._sources.values() if source.name in sql]
        wanted = place.dataset.name if place.dataset else name
        if place.table is not None:
            wanted = table_name(place.table)
        node = self._context.names.take(wanted, f"{self._context.folder}_{wanted}")
        described = self._activity.description or text_at(self._flow.raw, "description")
        fields: dict[str, Any] = {"description": described} if described else {}
        return Draft("sql", node, self._context.folder, fields, sql, reads, inputs, place.table)


def _notes(kinds: set[str], queries: list[str]) -> str:
    """Return what is left to say of a data flow whose sinks are of these kinds."""
    notes = ["only the columns that its sources declare are passed on"]
    if "file" in kinds:
        notes.append("if others read its files, add a consumer with `export:`")
    if "table" in kinds:
        notes.append(STORED)
    if any(CONVERTS in query.lower() for query in queries):
        notes.append(_CONVERTED)
    return "; ".join(notes)


def _check_settings(
    step: Step, what: str, options: dict[str, tuple[str, ...]], functions: tuple[str, ...]
) -> None:
    """Raise NoCounterpartError for a setting that isn't known to change no rows."""
    for argument in step.transformation.arguments:
        if isinstance(argument, Named):
            allowed = options.get(argument.key)
            if allowed is None or (allowed and _value_of(argument.value) not in allowed):
                raise NoCounterpartError(f"{what} has the option `{argument.key}`")
        elif not isinstance(argument, Function) or argument.name not in functions:
            raise NoCounterpartError(f"{what} has settings of its own")


def _value_of(node: Node) -> str:
    """Return an option's value as text: empty for an array without entries."""
    if isinstance(node, Function):
        return "[…]" if node.arguments or node.name != "[" else ""
    return node.name if isinstance(node, Column) else getattr(node, "value", "")


def _check_target(step: Step, place: Place, name: str) -> None:
    replaces = option(step, "truncate") == "true" or option(step, "recreate") == "true"
    changes = any(option(step, key) == "true" for key in ("updateable", "upsertable", "deletable"))
    if changes or (place.kind == "table" and not replaces):
        raise NoCounterpartError(f"its sink `{name}` adds to or changes rows that are there")
    if place.kind not in ("table", "file"):
        raise NotCarriedError(f"its sink `{name}` is neither a table nor a file")
    _check_settings(step, f"its sink `{name}`", _SINK_OPTIONS, _SINK_SETTINGS)
    if place.kind == "table" and (place.table is None or place.problem):
        raise NotCarriedError(f"the table that it writes isn't known: {place.problem}")


def _pretty(sql: str) -> str:
    try:
        query = sqlglot.parse_one(sql, read="duckdb")
    except SqlglotError as error:
        reason = str(error).partition("\n")[0]
        raise NoCounterpartError(f"its query isn't SQL: {reason}") from None
    for identifier in query.find_all(exp.Identifier):
        is_word = re.fullmatch(r"[A-Za-z_]\w*", identifier.name, re.ASCII)
        if is_word and identifier.name.lower() not in SQL_KEYWORDS:
            identifier.set("quoted", False)
    return query.sql(dialect="duckdb", pretty=True, normalize_functions="lower", max_text_width=90)
