"""`init --from`: what the files of a new project are read as: columns, types, and a key."""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import duckdb

from headrace.connect.deliveries import CSV_ENDINGS, WRONG_ENCODING, CannotRead, UnreadableFile
from headrace.connect.file_inference import FileGroup, InferredColumns
from headrace.connect.formats.csv_dialect import above_header, beginning, is_name
from headrace.connect.ingest import ReadRules, prepare
from headrace.connect.prepared import PreparedDelivery, Result, kind_of
from headrace.connect.raw_files import CHUNK_BYTES, Opened, open_readable
from headrace.connect.text_files import LEGACY, foreign_encoding, legacy_encoding, other_readings
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal, quote
from headrace.model import UsageError
from headrace.model.connectors import SINGLE_BYTE, json_path
from headrace.model.texts import plain

Options: TypeAlias = Mapping[str, Mapping[str, Any]]
"""What a source declares of its format: format → option → value."""

SAMPLES_MAX = 10
"""Maximum number of further files of a group that are read to complete the types of the first."""
ROWS_MAX = 1_000_000
COLUMNS_MAX = 20
"""Maximum number of columns examined as a possible key."""
SAMPLE_ROWS = 3
"""Number of rows that `init` shows of each source."""
DOCUMENT_BYTES_MAX = 64 << 20
"""64 MiB: a larger JSON document isn't searched for its records."""
_TOTAL = re.compile(
    r"\s*((grand[- ]?)?totals?|sum|(gesamt)?summe|gesamt|insgesamt|totale|somme|suma)\s*:?\s*",
    re.IGNORECASE,
)
"""How a last row is called that is the sum of the others."""
_AMOUNT = re.compile(
    r"\(?-?[$€£¥]? ?-?(?:[1-9]\d{0,2}((?:[.,]\d{3})+)|\d+)(?:([.,])(\d+))? ?(?:[$€£¥]|%)?[-)]?",
)
"""An amount: its thousands, its decimal point, and the decimals."""
_IS_MONEY = re.compile("[$€£¥%)]|[.,].*[.,]|-$")
"""What only amounts have: a currency, %, both separators, or a sign as accountants write it."""
_DIGITS = "[-+]?[0-9][0-9.,]*"
_DECLARED = re.compile(
    r'declare (?!csv)(\w+): \{(header|records): (\d+|\[\d+, \d+\]|"//[\w.-]+")\}'
)
"""What the reason of a rejected first delivery says to declare: a sheet's header, XML's records."""


def learn(group: FileGroup) -> InferredColumns:
    """Read the group's first file as a delivery. Raise UsageError if it can't be read as data."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        files = _linked(group, Path(folder))
        data, temporary = Path(folder, "lake"), Path(folder, "unpacked")
        for new_folder in (data, temporary):
            new_folder.mkdir()
        readable = [temporary, Path(folder), *(path.resolve() for path in group.files.values())]
        with DuckDBSession(data, readable=readable, ordered=True) as session:
            first, *others = files

            def read(options: dict[str, Any]) -> Result:
                rules = ReadRules(
                    temporary=temporary, options=options, samples=others[:SAMPLES_MAX]
                )
                return prepare(*first, rules, connection=session.connection, pinned=None)

            options = {kind: {**declared} for kind, declared in group.options.items()}
            delivery = read(options)
            try:
                opened = open_readable(*first, temporary)
            except CannotRead as refusal:
                raise _unreadable(group, refusal.value) from refusal
            lower = partial(_lower_names, session.connection, options)
            for proposed in (*_PROPOSALS, lower):
                if more := proposed(delivery, opened):
                    options |= {kind: {**options.get(kind, {}), **more[kind]} for kind in more}
                    delivery = read(options)
            if not isinstance(delivery, PreparedDelivery):
                raise _unreadable(group, delivery)
            learnt = _described(session.connection, delivery)
            notes = (*_other_readings(opened, options), *_notes(group.name, learnt))
            return learnt._replace(options=options, warnings=notes)


def _unreadable(group: FileGroup, result: Result) -> UsageError:
    reason = getattr(result, "reason", "") or getattr(result, "detail", "")
    line = getattr(result, "line", None)
    where = f"{next(iter(group.files.values()))}{f':{line}' if line else ''}"
    return UsageError(
        f"{where} can't be read as data: {plain(reason)}",
        hint="name CSV, JSON, Parquet, Excel or XML files, with column names",
    )


def _described(
    connection: duckdb.DuckDBPyConnection, delivery: PreparedDelivery
) -> InferredColumns:
    """Return the schema, and what the first `ROWS_MAX` rows say of it, if they can be read."""
    names = delivery.schema.names
    keys = [name for i, name in enumerate(names) if i == 0 or name.lower().endswith("id")]
    keys = keys[:COLUMNS_MAX]
    facts = (f"count({quote(name)}), count(DISTINCT {quote(name)})" for name in keys)
    texts = ", ".join(f"CAST({quote(name)} AS VARCHAR)" for name in names)
    data = f"(SELECT * FROM ({delivery.select_sql}) LIMIT {ROWS_MAX})"
    try:
        total, data = _total(connection, names, texts, data)
        [(rows, *counts)] = connection.execute(
            f"SELECT {', '.join(['count(*)', *facts])} FROM {data}"
        ).fetchall()
        sample = connection.execute(f"SELECT {texts} FROM {data} LIMIT {SAMPLE_ROWS}").fetchall()
    except duckdb.Error:
        return InferredColumns(delivery.schema)
    counted = {name: (counts[2 * i], counts[2 * i + 1]) for i, name in enumerate(keys) if rows}
    filled = frozenset(name for name, (count, _) in counted.items() if count == rows)
    unique = frozenset(name for name in filled if counted[name][1] == rows)
    return InferredColumns(delivery.schema, filled, unique, sample=tuple(sample), total=total)


def _total(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], texts: str, data: str
) -> tuple[tuple[str, str] | None, str]:
    """Return the column and the word by which the last of several rows is a total, if it is.

    With it come the rows without those that have the word there, as SQL.
    """
    rows = connection.execute(
        f"SELECT {texts} FROM {data} OFFSET (SELECT greatest(1, count(*) - 1) FROM {data})"
    ).fetchall()
    for name, text in zip(names, rows[0] if rows else (), strict=False):
        if _TOTAL.fullmatch(text or ""):
            others = f"(FROM {data} WHERE {quote(name)} IS DISTINCT FROM {literal(text)})"
            return (name, text), others
    return None, data


def _notes(name: str, learnt: InferredColumns) -> Iterator[str]:
    """Yield what the rows of a source have that its asset leaves out, or leaves as it is."""
    if learnt.total is not None:
        column, word = learnt.total
        yield (
            f"the last row of {name} is a total: {name}_clean leaves out rows with {word!r} in"
            f" {column}"
        )
    columns = learnt.schema.columns
    for of_column, texts in zip(columns, zip(*learnt.sample, strict=True), strict=False):
        values = [text for text in texts if text]
        if of_column.type == "VARCHAR" and (number := _number(of_column.name, values)):
            yield (
                f"{of_column.name} of {name} is text, such as {values[0]}; for numbers, write"
                f" {number} in assets/{name}_clean.sql"
            )


def _number(column: str, values: Sequence[str]) -> str:
    """Return a column's amounts as numbers, in SQL; empty if the values aren't amounts of money."""
    matches = list(filter(None, map(_AMOUNT.fullmatch, values)))
    if len(matches) < len(values) or not any(map(_IS_MONEY.search, values)):
        return ""
    point = _point(matches)
    is_percent = {"%" in value for value in values}
    if not point or len(is_percent) > 1:
        return ""
    scale = max(2, *(len(match[3] or "") for match in matches))
    after = any(value.endswith((")", "-")) for value in values)
    signs = "".join(sorted({*"".join(values)} - {*("" if after else "-"), *"0123456789", point}))
    number = f"translate({quote(column)}, {literal(signs)}, '')"
    if point == ",":
        number = f"replace({number}, ',', '.')"
    number = f"cast({number} as decimal(18, {scale}))"
    if after:
        number = f"if(regexp_matches({quote(column)}, '[-(]'), -1, 1) * {number}"
    return f"{number} * 0.01" if True in is_percent else number


def _point(amounts: Sequence[re.Match[str]]) -> str:
    """Return the decimal point; empty if it isn't clear: 1.250 may be a thousand or one."""
    points = {match[2] for match in amounts if match[2]}
    separators = {*"".join(match[1] or "" for match in amounts)}
    return "" if len(points) > 1 or (points or {"."}) & separators else next(iter(points), ".")


# What a first delivery that can't be read, or is read otherwise than it was meant, lets its source
# declare. Each is asked once, with the result of reading what those before it declared.


def _in_reason(delivery: Result, opened: Opened) -> Options:  # noqa: ARG001
    """Return what the format's own reader proposes, such as the row of a sheet with the names."""
    match = _DECLARED.search(getattr(delivery, "reason", ""))
    return {match[1]: {match[2]: json.loads(match[3])}} if match else {}


def _records(delivery: Result, opened: Opened) -> Options:
    """Return the path of the longest array of objects in a JSON document that is one object."""
    path = Path(opened.path)
    is_lines = isinstance(delivery, PreparedDelivery) and Path(opened.name).suffix != ".json"
    if kind_of(opened) != "jsonl" or is_lines or path.stat().st_size > DOCUMENT_BYTES_MAX:
        return {}
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    arrays = _arrays(document, "$") if isinstance(document, dict) else {}
    if isinstance(document, dict) and (keyed := _keyed(document, arrays)):
        return {"json": keyed}
    if not arrays and isinstance(delivery, UnreadableFile):
        return {"json": {"records": "$"}}
    return {"json": {"records": max(arrays, key=arrays.__getitem__)}} if arrays else {}


def _keyed(document: Mapping[str, Any], arrays: Mapping[str, int]) -> Mapping[str, Any] | None:
    """Return options for several objects with the same keys, each by a key of its own.

    Objects that are fewer than those of an array beside them aren't the records.
    """
    places = {"$": document} | {f"$.{key}": part for key, part in document.items()}
    for path, value in places.items():
        beside = [arrays[at] for at in arrays if not at.startswith((f"{path}.", f"{path}["))]
        if json_path(path) is None or not _are_alike(value, max([2, *beside])):
            continue
        names = {name.lower() for name in itertools.chain(*value.values())}
        key = min({"id", "key", "record_key"} - names, key=len, default="record_key")
        return {"keys": key} if path == "$" else {"records": path, "keys": key}
    return None


def _are_alike(value: Any, least: int) -> bool:
    """Whether these are at least `least` objects, of which those with keys have some in common.

    Two have all of them in common.
    """
    records = list(value.values()) if isinstance(value, dict) else []
    filled = [set(record) for record in records if isinstance(record, dict) and record]
    if not filled or len(records) < least or not all(isinstance(each, dict) for each in records):
        return False
    common = set.intersection(*filled)
    return bool(common) if len(records) > 2 else common == set.union(*filled)


def _arrays(value: Mapping[str, Any], path: str) -> dict[str, int]:
    """Return the paths of arrays that hold objects only, with their lengths."""
    results: dict[str, int] = {}
    for key, item in value.items():
        at = f"{path}.{key}" if re.fullmatch("[A-Za-z_][A-Za-z0-9_-]*", key) else f'{path}["{key}"]'
        if isinstance(item, dict):
            results |= _arrays(item, at)
        elif isinstance(item, list) and item and all(isinstance(each, dict) for each in item):
            results[at] = len(item)
    return {at: length for at, length in results.items() if json_path(at) is not None}


def _encoding(delivery: Result, opened: Opened) -> Options:
    if not _is_csv(opened) or getattr(delivery, "code", "") != WRONG_ENCODING:
        return {}
    path = Path(opened.path)
    with path.open("rb") as file:
        start = file.read(CHUNK_BYTES)
    encoding = foreign_encoding(start) or legacy_encoding(path)
    return {"csv": {"encoding": encoding}} if encoding in SINGLE_BYTE else {}


def _lines_above(delivery: Result, opened: Opened) -> Options:
    if isinstance(delivery, PreparedDelivery) or not _is_csv(opened):
        return {}
    above = above_header(beginning(Path(opened.path)))
    return {"csv": above[0]} if above else {}


def _decimal_comma(delivery: Result, opened: Opened) -> Options:  # noqa: ARG001
    lesson = getattr(getattr(delivery, "schema", None), "lesson", None)
    comma = lesson is not None and any(column.comma for column in lesson.almost)
    return {"csv": {"decimal": ","}} if comma else {}


def _lower_names(
    connection: duckdb.DuckDBPyConnection,
    options: Options,
    delivery: Result,
    opened: Opened,  # noqa: ARG001
) -> Options:
    """Return options for a header one row lower, if names above numbers are in the first row."""
    if not isinstance(delivery, PreparedDelivery):
        return {}
    kind, columns = delivery.schema.format.kind, delivery.schema.columns
    above = {"csv": ("skip", 0), "excel": ("header", 1)}.get(kind)
    declared = options.get(kind, {})
    if (
        above is None
        or "comment" in declared
        or isinstance(declared.get("header"), list)
        or any(column.type != "VARCHAR" for column in columns)
    ):
        return {}
    data = f"(SELECT * FROM ({delivery.select_sql}) LIMIT {ROWS_MAX})"
    words = ", ".join(
        f"count_if(NOT regexp_full_match({quote(column.name)}, '{_DIGITS}'))" for column in columns
    )
    try:
        [(rows, *counts)] = connection.execute(f"SELECT count(*), {words} FROM {data}").fetchall()
        first = connection.execute(f"FROM {data} LIMIT 1").fetchall()
    except duckdb.Error:  # a row that can't be read
        return {}
    if rows < 3 or counts.count(1) < 2 or not all(is_name(cell or "") for cell in first[0]):
        return {}
    option, least = above
    return {kind: {option: declared.get(option, least) + 1}}


_PROPOSALS = (_in_reason, _records, _encoding, _lines_above, _decimal_comma)


def _is_csv(opened: Opened) -> bool:
    return Path(opened.name).suffix.lower() in CSV_ENDINGS


def _other_readings(opened: Opened, options: Options) -> tuple[str, ...]:
    """Return a warning if other encodings than Windows-1252 would read other letters."""
    if options.get("csv", {}).get("encoding") != LEGACY:
        return ()
    readings = other_readings(Path(opened.path))
    return (f"{readings}: {LEGACY} is declared",) if readings else ()


def _linked(group: FileGroup, folder: Path) -> list[tuple[Path, str]]:
    """Link the files under names without special meaning to DuckDB.

    Return links and names in landing/.
    """
    results = []
    for number, (landed, path) in enumerate(group.files.items()):
        link = folder / f"file{number}"
        link.symlink_to(path.resolve())
        results.append((link, landed))
    return results
