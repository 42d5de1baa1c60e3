"""Copy and Validation activities that become sources: files, HTTP and databases into tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from headrace_import.importers.adf import dates
from headrace_import.importers.adf.activities import Activity
from headrace_import.importers.adf.drafts import Draft, Names, clean
from headrace_import.importers.adf.evaluate import resolve
from headrace_import.importers.adf.json_text import JsonObject
from headrace_import.importers.adf.reading import list_of, object_of, objects_of, text_at
from headrace_import.importers.adf.refusals import NotCarriedError, newest_window_only
from headrace_import.importers.adf.schedules import Schedule
from headrace_import.importers.adf.settings import (
    COPY,
    CSV,
    MAPPED,
    OTHER_FILES,
    READING,
    SINK,
    SOURCE,
    TRANSLATOR,
    WRITING,
    require_known,
)
from headrace_import.importers.adf.stores import (
    DATABASES,
    Place,
    Stores,
    address,
    scheme,
    table_key,
    table_name,
)
from headrace_import.importers.adf.values import (
    Moment,
    Scope,
    Template,
    Value,
    has_moment,
    unknown_in,
)
from headrace_import.importers.adf.windows import bound_query
from headrace_import.importers.imported import CONDITION

_DELIMITERS = {",": None, ";": ";", "|": "|", "\t": "\t"}
_SEVERAL_FILES = (
    "wildcardFileName",
    "wildcardFolderPath",
    "fileListPath",
    "prefix",
    "modifiedDatetimeStart",
    "modifiedDatetimeEnd",
)
_ENCODINGS = {
    "utf-8": "",
    "default(utf-8)": "",
    "iso-8859-1": "latin-1",
    "windows-1252": "cp1252",
}
_QUERIES = ("sqlReaderQuery", "query", "oracleReaderQuery")
_TRUNCATE = re.compile(
    r"(?i)\s*(?:truncate\s+table|delete\s+from|delete)\s+((?:\[[^\]]+\]|[\w.\"])+)\s*;?\s*"
)
_COLUMN = re.compile(r"\$?\[?'?([A-Za-z_]\w*)'?\]?")


@dataclass(frozen=True, slots=True)
class Context:
    """What carrying an activity needs."""

    stores: Stores
    names: Names
    schedule: Schedule
    factory: str
    folder: str


def carried_copy(activity: Activity, scope: Scope, context: Context) -> tuple[list[Draft], str]:
    """Return the source of a Copy, with an asset if it maps columns. Raise NotCarriedError."""
    raw, settings = activity.raw, activity.settings
    source = resolve(settings.get("source"), scope)
    sink = resolve(settings.get("sink"), scope)
    if not isinstance(source, dict) or not isinstance(sink, dict):
        raise NotCarriedError("its source or sink has no value in the files")
    target = only_place(raw, "outputs", scope, context)
    if target.dataset is None:
        raise NotCarriedError(target.problem)
    if target.kind != "table":
        raise NotCarriedError("its target isn't a table")
    if target.problem or target.table is None:
        raise NotCarriedError(f"its target isn't known: {target.problem}")
    check_sink(sink, target)
    origin = only_place(raw, "inputs", scope, context)
    check_copy(settings, source)
    fields, connection = _fields(origin, source, context)
    if "partition" in fields and sink.get("preCopyScript"):
        raise newest_window_only(target.table.table)
    require_replaced(sink, is_window="partition" in fields)
    columns = mapping(resolve(settings.get("translator"), scope))
    if objects_of(source, "additionalColumns"):
        raise NotCarriedError("it adds columns to what it copies")
    name = table_name(target.table)
    described = {"description": activity.description} if activity.description else {}
    if not columns:
        node = context.names.take(name, f"{context.folder}_{name}")
        whole = {**described, **fields}
        draft = Draft("source", node, "", whole, target=target.table, connection=connection)
        return [draft], copy_todo(origin)
    raw_node = context.names.take(f"{name}_raw")
    node = context.names.take(name, f"{context.folder}_{name}")
    partition = (
        {"partition": fields["partition"]} if isinstance(fields.get("partition"), str) else {}
    )
    query = "select\n    " + ",\n    ".join(columns) + f"\nfrom {raw_node}"
    asset = Draft("sql", node, context.folder, {**described, **partition}, query)
    asset.inputs, asset.target = [raw_node], target.table
    raw_draft = Draft("source", raw_node, "", fields, connection=connection)
    return [raw_draft, asset], copy_todo(origin)


STORED = f"{CONDITION} the types of its table in the factory round or cut what they store"
"""Said of what fills a table, whose columns are decided by the query or the file here."""


def check_copy(settings: JsonObject, source: dict[str, Any]) -> None:
    """Raise NotCarriedError for settings that aren't known to leave the rows the same."""
    require_known(settings, COPY)
    require_known(source, SOURCE)
    require_known(_of_files(source), READING)


def _of_files(side: dict[str, Any]) -> dict[str, Any]:
    return {**object_of(side, "storeSettings"), **object_of(side, "formatSettings")}


def require_replaced(sink: dict[str, Any], *, is_window: bool) -> None:
    """Raise NotCarriedError for a sink that adds the same rows to its table at each run."""
    if not is_window and not sink.get("preCopyScript"):
        raise NotCarriedError("each run adds its rows to the table once more (no `preCopyScript`)")


def copy_todo(origin: Place) -> str:
    """Return on what condition a table has the rows that are copied."""
    if origin.format != "csv":
        return STORED
    quoted = "a quoted value is empty"
    if origin.settings.get("escapeChar") != '"':
        quoted += (
            " or has a quote or a backslash in it, of which the factory takes one as an escape"
        )
    return f"{STORED}, or {quoted}"


def carried_validation(
    activity: Activity, scope: Scope, context: Context
) -> tuple[list[Draft], str]:
    """Return the source whose file a Validation waits for. Raise NotCarriedError."""
    place = context.stores.place(activity.settings.get("dataset"), scope, context.factory)
    fields, connection = _fields(place, {}, context)
    node = context.names.take(place.dataset.name if place.dataset else activity.name)
    return [Draft("source", node, "", fields, connection=connection)], ""


def only_place(raw: Any, key: str, scope: Scope, context: Context) -> Place:
    """Return where the only dataset of `inputs` or `outputs` is. Raise NotCarriedError."""
    references = list_of(raw, key)
    if len(references) != 1:
        raise NotCarriedError(
            "it names no dataset" if not references else "it names several datasets"
        )
    return context.stores.place(references[0], scope, context.factory)


def check_sink(sink: dict[str, Any], target: Place) -> None:
    """Raise NotCarriedError for a sink that does more than write rows, after emptying its table."""
    if unknown_in(sink) is not None:
        raise NotCarriedError("only a run knows how it writes")
    script = sink.get("preCopyScript")
    emptied = _TRUNCATE.fullmatch(script) if isinstance(script, str) else None
    if script and emptied is None:
        raise NotCarriedError("it runs SQL in its target before it copies")
    store = target.store.name if target.store else ""
    require_known(sink, SINK)
    require_known(_of_files(sink), WRITING)
    if emptied is not None and table_key(store, emptied[1]) != target.table:
        raise NotCarriedError("it removes rows of another table before it copies")
    if sink.get("sqlWriterStoredProcedureName"):
        raise NotCarriedError("it writes through a stored procedure")
    if str(sink.get("writeBehavior", "insert")).lower() not in ("insert", "append"):
        raise NotCarriedError("it updates rows of its target (upsert)")


def _fields(place: Place, source: dict[str, Any], context: Context) -> tuple[dict[str, Any], str]:
    unknown = unknown_in([place.path, source])
    if unknown is not None or (place.problem and place.kind != "table"):
        reason = unknown.reason if unknown is not None else place.problem
        raise NotCarriedError(f"what it reads isn't known: {reason}")
    if place.kind == "file":
        return file_fields(place, source, context)
    if place.kind == "http":
        return _http_fields(place, source, context), ""
    if place.kind == "table" and place.store_type in DATABASES:
        return _database_fields(place, source, context)
    raise NotCarriedError(f"Headrace doesn't read from `{_store(place)}`")


def _store(place: Place) -> str:
    return text_at(place.store.raw, "type") if place.store else "a linked service that is missing"


def file_fields(
    place: Place, source: dict[str, Any], context: Context
) -> tuple[dict[str, Any], str]:
    """Return the fields of a source over a file, and its connection. Raise NotCarriedError."""
    if place.problem or place.kind != "file":
        raise NotCarriedError(f"its file isn't known: {place.problem or 'it reads no file'}")
    prefix = scheme(place.store)
    connection = context.stores.connection(place.store) if prefix and place.store else None
    if prefix is None or connection is None:
        raise NotCarriedError(f"Headrace doesn't read files from `{_store(place)}`")
    _check_reading(object_of(source, "storeSettings"))
    path, grain = _dated(place.path, context.schedule)
    if not re.fullmatch(r"[\w./ =+{}%:()-]+", path) or ".." in path.split("/") or "/" not in path:
        raise NotCarriedError("its path has no container, or characters that a pattern can't have")
    fields: dict[str, Any] = {"connection": connection}
    if grain:
        fields["partition"] = grain
    return {**fields, "files": f"{prefix}://{path}", **_format(place)}, connection


def _check_reading(reading: dict[str, Any]) -> None:
    for key in _SEVERAL_FILES:
        if reading.get(key):
            raise NotCarriedError(
                f"it reads several files (`{key}`), a remote interval is one file"
            )
    if reading.get("deleteFilesAfterCompletion") is True:
        raise NotCarriedError("it deletes the files that it has copied")


def _dated(path: Value, schedule: Schedule) -> tuple[str, str]:
    """Return a path with one `{date:…}` where it has points in time, and the interval's grain."""
    if isinstance(path, str):
        return path, ""
    parts = path.parts if isinstance(path, Template) else (path,)
    positions = [i for i, part in enumerate(parts) if isinstance(part, Moment)]
    first, last = positions[0], positions[-1] + 1
    pattern = "".join(map(_date_code, parts[first:last]))
    grain = _grain_of(set(re.findall(r"%[A-Za-z]", pattern)))
    if schedule.is_window and grain != schedule.partition:
        raise NotCarriedError("its path has another rhythm than its trigger")
    before, after = "".join(map(str, parts[:first])), "".join(map(str, parts[last:]))
    return f"{before}{{date:{pattern}}}{after}", grain


def _grain_of(codes: set[str]) -> str:
    if not codes & {"%Y", "%y"}:
        raise NotCarriedError("its path has a date without a year")
    if "%M" in codes:
        raise NotCarriedError("its path has minutes, which no interval has")
    if "%H" in codes:
        return "hour"
    if "%d" in codes:
        return "day"
    return "month" if codes & {"%m", "%b"} else "year"


def _date_code(part: str | Moment) -> str:
    if isinstance(part, str):
        if "%" in part or "{" in part:
            raise NotCarriedError("its path has signs between dates that a pattern can't have")
        return part
    code = dates.strftime(part.format) if part.format else None
    if code is None or part.shift or part.bound == "end":
        raise NotCarriedError("its path has a date that a pattern can't say")
    return code


def _format(place: Place) -> dict[str, Any]:
    settings = place.settings
    if place.format != "csv":
        require_known(settings, OTHER_FILES)
    if settings.get("compression") or settings.get("compressionCodec") not in (
        None,
        "",
        "snappy",
        "none",
    ):
        raise NotCarriedError("its files are compressed")
    if place.format == "csv":
        return _csv(place)
    if place.format == "excel":
        sheet = settings.get("sheetName")
        if settings.get("firstRowAsHeader") is not True:
            raise NotCarriedError("its workbook has no header")
        return {"excel": {"sheet": sheet}} if isinstance(sheet, str) else {}
    if place.format in ("json", "parquet"):
        return {}
    raise NotCarriedError(f"Headrace doesn't read files of the format `{place.format}`")


def _csv(place: Place) -> dict[str, Any]:
    settings = place.settings
    require_known(settings, CSV)
    options: dict[str, Any] = {}
    delimiter = settings.get("columnDelimiter", ",")
    if delimiter not in _DELIMITERS:
        raise NotCarriedError(f"its columns are separated by `{delimiter}`")
    if _DELIMITERS[delimiter]:
        options["delimiter"] = delimiter
    if settings.get("firstRowAsHeader") is not True:
        options |= {"header": False, "columns": _columns(place)}
    encoding = str(settings.get("encodingName") or "UTF-8").lower()
    if encoding not in _ENCODINGS:
        raise NotCarriedError(f"its files are encoded in {encoding}")
    if _ENCODINGS[encoding]:
        options["encoding"] = _ENCODINGS[encoding]
    null = settings.get("nullValue")
    if isinstance(null, str) and null:
        options["null"] = [null]
    return {"csv": options} if options else {}


def _columns(place: Place) -> list[str]:
    schema = objects_of(place.dataset.raw, "schema") if place.dataset else []
    columns = [text_at(column, "name") for column in schema]
    if not columns or not all(columns) or len(set(columns)) != len(columns):
        raise NotCarriedError("its files have no header, and the dataset names no columns")
    return columns


def _http_fields(place: Place, source: dict[str, Any], context: Context) -> dict[str, Any]:
    base = address(place.store)
    if not base.startswith(("https://", "http://")):
        raise NotCarriedError("its HTTP server asks for authentication, or has no address")
    _check_request(source)
    path, grain = _dated(place.path, context.schedule)
    if not re.fullmatch(r"[^\s\"'<>\\]*", base + path):
        raise NotCarriedError("its address has characters that a URL can't have")
    url = f"{base.rstrip('/')}/{path.lstrip('/')}" if path else base
    fields: dict[str, Any] = {"partition": grain} if grain else {}
    if grain and context.schedule.start:
        fields["start"] = context.schedule.start
    return {**fields, "http": url, **(_format(place) if place.format != "json" else {})}


def _check_request(source: dict[str, Any]) -> None:
    request = {**source, **object_of(source, "storeSettings")}
    if str(request.get("requestMethod") or "GET").upper() != "GET" or request.get("requestBody"):
        raise NotCarriedError("its request isn't a GET")
    if request.get("additionalHeaders"):
        raise NotCarriedError("its request has headers of its own")
    rules = request.get("paginationRules")
    if isinstance(rules, dict) and set(rules) - {"supportRFC5988"}:
        raise NotCarriedError("it follows pages by rules of its own")


def _database_fields(
    place: Place, source: dict[str, Any], context: Context
) -> tuple[dict[str, Any], str]:
    connection = context.stores.connection(place.store) or "" if place.store else ""
    query = query_of(source)
    fields: dict[str, Any] = {"connection": connection}
    if query is None:
        return {**fields, "table": _table(place)}, connection
    if has_moment(query):
        grain = context.schedule.partition if context.schedule.is_window else ""
        query = bound_query(query, grain) if grain else None
        fields |= {"partition": grain, "start": context.schedule.start}
    return {**fields, "query": _checked_query(query)}, connection


def _table(place: Place) -> str:
    if place.table is None or place.problem:
        raise NotCarriedError(f"the table that it reads isn't known: {place.problem}")
    if DATABASES[place.store_type] == "mysql":
        return place.table.table
    return f"{place.table.schema or 'public'}.{place.table.table}"


def _checked_query(query: Any) -> str:
    if query is None:
        raise NotCarriedError(
            "its query depends on the time of the run in another way than a window"
        )
    if not isinstance(query, str) or not re.match(r"\s*(select|with)\b", query, re.IGNORECASE):
        raise NotCarriedError("its query isn't one SELECT")
    statement = query.strip().rstrip(";").strip()
    if ";" in statement:
        raise NotCarriedError("its query has several statements")
    if re.search(r"\$(?!partition_(?:start|end)\b)[A-Za-z_]", statement):
        raise NotCarriedError("its query has a `$` that Headrace would bind")
    return statement


def query_of(source: dict[str, Any]) -> Value:
    """Return the query of a Copy's source; None if it reads a table."""
    return next((source[key] for key in _QUERIES if source.get(key)), None)


def mapping(translator: Any) -> list[str]:
    """Return the columns of a copy's mapping as SQL; empty where it maps by name."""
    if not isinstance(translator, dict):
        return []
    if translator.get("collectionReference") or translator.get("columnMappings"):
        raise NotCarriedError("it maps nested values to columns")
    require_known(translator, TRANSLATOR)
    columns: list[str] = []
    for entry in objects_of(translator, "mappings"):
        origin, target = object_of(entry, "source"), object_of(entry, "sink")
        require_known(origin, MAPPED)
        require_known(target, MAPPED)
        names = [
            text_at(side, "name") or _path_name(text_at(side, "path")) for side in (origin, target)
        ]
        if not all(names):
            raise NotCarriedError("it maps columns by their position or by a path")
        columns.append(_aliased(*names))
    return columns


def _path_name(path: str) -> str:
    match = re.fullmatch(r"\$\['([^']+)'\]|\$\.(\w+)|\['([^']+)'\]|(\w+)", path)
    return next(filter(None, match.groups()), "") if match else ""


def _aliased(origin: str, target: str) -> str:
    written = quoted(origin)
    return written if origin == target else f"{written} as {quoted(target)}"


def quoted(name: str) -> str:
    """Return a column's name as DuckDB takes it."""
    return (
        name
        if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and clean(name) == name and len(name) > 5
        else ('"' + name.replace('"', '""') + '"')
    )
