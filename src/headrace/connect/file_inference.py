"""`init --from`: sources, contracts, assets and consumers inferred from data files."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.lake.sqltext import quote
from headrace.model import UsageError
from headrace.model.fields import NODE, SQL_KEYWORDS, is_system

if TYPE_CHECKING:
    from headrace.connect.prepared import PreparedDelivery, Result
    from headrace.lake.session import DuckDBSession


# Files are grouped by the shape of their names. Each group becomes a source with a contract, an
# asset and a consumer.

_SUFFIX = re.compile(r"((\.[a-z0-9]{1,8})?\.(gz|zip|zst)|\.[a-z0-9]{1,8})$", re.IGNORECASE)
_DATES = (
    ("%Y-%m-%d", r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)"),
    ("%Y_%m_%d", r"(?<!\d)\d{4}_\d\d_\d\d(?!\d)"),
    ("%Y.%m.%d", r"(?<!\d)\d{4}\.\d\d\.\d\d(?!\d)"),
    ("%Y%m%d", r"(?<!\d)\d{8}(?!\d)"),
    ("%m-%d-%Y", r"(?<!\d)\d\d-\d\d-\d{4}(?!\d)"),
    ("%d-%m-%Y", r"(?<!\d)\d\d-\d\d-\d{4}(?!\d)"),
    ("%d.%m.%Y", r"(?<!\d)\d\d\.\d\d\.\d{4}(?!\d)"),
    ("%m_%d_%Y", r"(?<!\d)\d\d_\d\d_\d{4}(?!\d)"),
    ("%d_%m_%Y", r"(?<!\d)\d\d_\d\d_\d{4}(?!\d)"),
)
"""Formats of dates in file names, most common first.

If two formats fit all names of a group, the earlier one is used, with a note.
"""

_LOGICAL = {
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIME": "time",
    "DOUBLE": "number",
    "FLOAT": "number",
    "DECIMAL": "number",
    "VARCHAR": "string",
}


class FileGroup(NamedTuple):
    """The files of one source: its name, its pattern below landing/, and each file's target."""

    name: str
    pattern: str
    daily: bool
    files: dict[str, Path]
    """Name in landing/ → the original file."""
    warnings: tuple[str, ...] = ()
    sheet: str = ""
    """The sheet that is read; empty for the first one, and for files without sheets."""


class InferredColumns(NamedTuple):
    """The columns of a group's data with DuckDB types, and the candidates for its key."""

    columns: tuple[tuple[str, str], ...]
    filled: frozenset[str]
    """Columns without a null in the sampled file."""
    unique: frozenset[str]
    """Those of them whose values are all different."""
    csv: str = ""
    """How lines above the header are declared: `csv: {skip: 4}`; empty if there are none."""
    header: int = 0
    """The row of a sheet with the names, if it isn't the first one."""


def groups(paths: Sequence[Path]) -> list[FileGroup]:
    """Group the files whose names differ only in a date; every other file is a group of its own.

    A workbook of several sheets with rows makes a group of each.
    """
    used_names: set[str] = set()
    file_groups: list[FileGroup] = []
    for shape, members in _by_shape(paths).items():
        dated = _date_format(shape, members) if len(members) > 1 else None
        if dated is None:
            file_groups += [_whole(path, used_names) for path in members]
        else:
            file_groups.append(_daily(shape, members, *dated, used_names))
    return [sheet for group in file_groups for sheet in _sheets(group, used_names)]


def _sheets(group: FileGroup, used_names: set[str]) -> list[FileGroup]:
    from headrace.connect.formats.excel import Excel, sheets_with_rows

    path = next(iter(group.files.values()))
    if not path.name.lower().endswith(Excel.endings):
        return [group]
    first, names = sheets_with_rows(path)
    if len(names) == 1:
        return [group._replace(sheet=names[0] if names[0] != first else "")]
    return [
        group._replace(name=node_name(f"{group.name}_{name}", used_names), sheet=name)
        for name in names
    ] or [group]


def _by_shape(paths: Iterable[Path]) -> dict[str, list[Path]]:
    shapes: dict[str, list[Path]] = {}
    for path in dict.fromkeys(paths):
        shapes.setdefault(_shape(path.name), []).append(path)
    return shapes


def _shape(name: str) -> str:
    """Return the name with NUL in place of its date, if it holds exactly one."""
    for _, expression in _DATES:
        if len(re.findall(expression, name)) == 1:
            return re.sub(expression, "\0", name)
    return name


def _date_format(shape: str, members: Sequence[Path]) -> tuple[str, tuple[str, ...]] | None:
    """Return the format that reads the dates of all names, each as another day.

    None if there is none.

    It comes with a note if another format fits as well.
    """
    if "\0" not in shape:
        return None
    lead, _, tail = shape.partition("\0")
    texts = [path.name[len(lead) : len(path.name) - len(tail)] for path in members]
    fitting = [
        form
        for form, expression in _DATES
        if all(re.fullmatch(expression, text) for text in texts)
        and _days(texts, form) == len(texts)
    ]
    if not fitting:
        return None
    note = (
        (
            (
                f"the dates in {members[0].name} and others could also be {fitting[1]};"
                f" {fitting[0]} was taken"
            ),
        )
        if len(fitting) > 1
        else ()
    )
    return fitting[0], note


def _days(texts: Sequence[str], form: str) -> int:
    days = set()
    for text in texts:
        try:
            # a calendar date in a name has no zone
            days.add(datetime.strptime(text, form).date())  # noqa: DTZ007
        except ValueError:
            return -1
    return len(days)


def _daily(
    shape: str, members: Sequence[Path], form: str, warnings: tuple[str, ...], used_names: set[str]
) -> FileGroup:
    lead, _, tail = shape.partition("\0")
    stem = node_name(lead + _split(tail)[0], used_names)
    safe_lead, safe_tail = _safe(lead), _safe(tail)
    files = {
        f"{safe_lead}{path.name[len(lead) : len(path.name) - len(tail)]}{safe_tail}": path
        for path in members
    }
    return FileGroup(stem, f"{safe_lead}{{date:{form}}}{safe_tail}", True, files, warnings)


def _whole(path: Path, used_names: set[str]) -> FileGroup:
    stem, suffix = _split(path.name)
    name = node_name(stem, used_names)
    landed = f"{name}{suffix}"
    return FileGroup(name, landed, False, {landed: path})


def _split(name: str) -> tuple[str, str]:
    """Return stem and suffix; a compression's suffix belongs to it (`.csv.gz`)."""
    match = _SUFFIX.search(name)
    return (name[: match.start()], match[0].lower()) if match else (name, "")


def _safe(text: str) -> str:
    """Return text with `_` for every character that is special to a shell, a pattern or YAML."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


def node_name(text: str, used_names: set[str]) -> str:
    """Return a valid, unused name for a source, and add it to `used_names`."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:50]
    if not name or not NODE.fullmatch(name):
        name = f"data_{name}".rstrip("_")
    if name in SQL_KEYWORDS or is_system(name):
        name += "_data"
    base, number = name, 2
    while name in used_names:
        name, number = f"{base}_{number}", number + 1
    used_names.add(name)
    return name


def source_yaml(group: FileGroup, learnt: InferredColumns) -> str:
    """Return the text of sources/NAME.yaml."""
    partition = (
        "partition: day"
        if group.daily
        else "partition: '*'          # one file, replaced as a whole"
    )
    excel = [
        *([f"sheet: {_text(group.sheet)}"] if group.sheet else []),
        *([f"header: {learnt.header}"] if learnt.header else []),
    ]
    return (
        f"source: {group.name}\nowner: me\n{partition}\nfiles:"
        f" {_text(f'landing/{group.pattern}')}\ncontract: {group.name}\n"
        + (f"excel: {{{', '.join(excel)}}}\n" if excel else "")
        + (f"{learnt.csv}\n" if learnt.csv else "")
    )


def contract_yaml(group: FileGroup, learnt: InferredColumns) -> str:
    """Return the text of contracts/NAME.odcs.yaml: the inferred columns, to be edited."""
    lines = [
        "apiVersion: v3.0.2",
        "kind: DataContract",
        f"id: {group.name}",
        "version: 1.0.0",
        "status: draft",
        "schema:",
        f"  - name: {group.name}",
        "    properties:",
    ]
    for name, kind in learnt.columns:
        lines.append(
            f"      - {{name: {_text(name)}, logicalType: {logical(kind)}, physicalType:"
            f" {_text(kind)}}}"
        )
    return "\n".join(lines) + "\n"


def logical(kind: str) -> str:
    """Return the ODCS logical type of a DuckDB type."""
    base = re.split(r"[( ]", kind)[0]
    if base.endswith("INT") or base in ("INTEGER", "UINTEGER"):
        return "integer"
    if kind.endswith("]"):
        return "array"
    return _LOGICAL.get(base, "object" if base in ("STRUCT", "MAP", "JSON") else "string")


def asset_sql(group: FileGroup, learnt: InferredColumns) -> str:
    """Return the text of assets/NAME_clean.sql: the unchanged columns, with inferred checks."""
    day = day_column([name for name, _ in learnt.columns])
    head = ["/* headrace", "owner: me"]
    if group.daily:
        head.append(f"partition: {{by: day, column: {_text(day)}}}")
    head += ["checks:", *(f"  - {check}" for check in _checks(learnt)), "*/"]
    columns = [quoted(name) for name, _ in learnt.columns]
    if group.daily:
        columns.insert(0, f"$partition_start as {quoted(day)}")
    return (
        "\n".join([*head, "select", "    " + ",\n    ".join(columns), f"from {group.name}"]) + "\n"
    )


def consumer_yaml(group: FileGroup) -> str:
    """Return one entry of consumers.yaml."""
    age = "48h" if group.daily else "7d"
    return (
        f"- consumer: {group.name}-report\n  owner: me\n  reads: [{group.name}_clean]\n  max_age:"
        f" {age}\n"
    )


def _checks(learnt: InferredColumns) -> list[str]:
    names = [name for name, _ in learnt.columns]
    key = next(
        (
            name
            for name in names
            if name in learnt.unique and (name == names[0] or name.lower().endswith("id"))
        ),
        None,
    )
    checks = ["row_count: {min: 1}"]
    if key is not None:
        checks.append(f"unique: [{_text(key)}]")
    elif names and names[0] in learnt.filled:
        checks.append(f"not_null: [{_text(names[0])}]")
    return checks


def day_column(names: Collection[str]) -> str:
    """Return a name for the column with the delivery's day that no column of the file has."""
    lowered = {name.lower() for name in names}
    return next(
        name
        for name in (
            "day",
            "delivery_day",
            *(f"delivery_day_{i}" for i in range(2, len(lowered) + 3)),
        )
        if name not in lowered
    )


def quoted(name: str) -> str:
    """Return a column as SQL: bare if possible, else in double quotes."""
    return (
        name
        if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _KEYWORDS
        else '"' + name.replace('"', '""') + '"'
    )


_RESERVED = """
    all analyse analyze and any array as asc asymmetric both case cast check collate column
    constraint create default deferrable desc describe distinct do else end except false fetch
    for foreign from grant group having in initially intersect into lambda lateral leading limit
    not null offset on only or order pivot pivot_longer pivot_wider placing primary qualify
    references returning select show some summarize symmetric table then to trailing true union
    unique unpivot using variadic when where window with
"""
_KEYWORDS = frozenset(_RESERVED.split())
"""The reserved words of DuckDB."""


def _text(value: str) -> str:
    """Return a string as YAML: bare if unambiguous, else as JSON, which is YAML."""
    bare = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_/.]*", value) and value.lower() not in (
        "true",
        "false",
        "null",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
    )
    return value if bare else json.dumps(value, ensure_ascii=False)


# Learns from the files of a new project: columns, types, and candidates for a key.

SAMPLES_MAX = 10
"""Maximum number of further files of a group that are read to complete the types of the first."""
ROWS_MAX = 1_000_000
COLUMNS_MAX = 20
"""Maximum number of columns examined as a possible key."""
_SHEET_HEADER = re.compile(r"declare excel: \{header: (\d+)\}")


def learn(group: FileGroup) -> InferredColumns:
    """Read the group's first file as a delivery. Raise UsageError if it can't be read as data."""
    # imports DuckDB: only this command needs it, and it opens no state
    from headrace.connect.deliveries import CSV_ENDINGS
    from headrace.connect.formats.csv_dialect import above_header, beginning, declaration
    from headrace.connect.ingest import prepare
    from headrace.connect.prepared import PreparedDelivery
    from headrace.lake.session import DuckDBSession

    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        files = _linked(group, Path(folder))
        data, temporary = Path(folder, "lake"), Path(folder, "unpacked")
        for new_folder in (data, temporary):
            new_folder.mkdir()
        readable = [temporary, Path(folder), *(path.resolve() for path in group.files.values())]
        with DuckDBSession(data, readable=readable) as session:
            first, *others = files
            sheet = {"sheet": group.sheet} if group.sheet else {}
            read = partial(
                prepare,
                first[0],
                first[1],
                connection=session.connection,
                temporary=temporary,
                pinned=None,
                samples=others[:SAMPLES_MAX],
                options={"excel": sheet} if sheet else {},
            )
            delivery, csv, declared = read(), "", dict[str, Any]()
            if header := _header_asked(delivery):
                delivery = read(options={"excel": {**sheet, "header": header}})
            is_csv = Path(first[1]).suffix in CSV_ENDINGS
            if (
                not isinstance(delivery, PreparedDelivery)
                and is_csv
                and (above := above_header(beginning(first[0])))
            ):
                declared = above[0]
                delivery, csv = read(options={"csv": declared}), declaration(declared)
            if isinstance(delivery, PreparedDelivery) and _has_decimal_commas(delivery):
                delivery.discard()
                declared = {**declared, "decimal": ","}
                delivery, csv = read(options={"csv": declared}), declaration(declared)
            if not isinstance(delivery, PreparedDelivery):
                reason = getattr(delivery, "reason", "") or getattr(delivery, "detail", "")
                line = getattr(delivery, "line", None)
                where = f"{next(iter(group.files.values()))}{f':{line}' if line else ''}"
                raise UsageError(
                    f"{where} can't be read as data: {reason}",
                    hint="name CSV, JSON lines, Parquet or Excel files, with column names",
                )
            try:
                columns = tuple((column.name, column.type) for column in delivery.schema.columns)
                names = [name for name, _ in columns]
                keys = _keys(session, delivery.select_sql, names)
                return InferredColumns(columns, *keys, csv, header)
            finally:
                delivery.discard()


def _header_asked(delivery: Result) -> int:
    """Return the row of a sheet whose names a first workbook seems to have; else 0."""
    match = _SHEET_HEADER.search(getattr(delivery, "reason", ""))
    return int(match[1]) if match else 0


def _has_decimal_commas(delivery: PreparedDelivery) -> bool:
    lesson = delivery.schema.lesson
    return lesson is not None and any(column.comma for column in lesson.almost)


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


def _keys(
    session: DuckDBSession, select_sql: str, names: list[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the columns without nulls, and of those the ones whose values are all different."""
    import duckdb

    candidates = [name for i, name in enumerate(names) if i == 0 or name.lower().endswith("id")][
        :COLUMNS_MAX
    ]
    facts = ", ".join(f"count({quote(name)}), count(DISTINCT {quote(name)})" for name in candidates)
    if not candidates:
        return frozenset(), frozenset()
    try:
        row = session.connection.execute(
            f"SELECT count(*), {facts} FROM (SELECT * FROM ({select_sql}) LIMIT {ROWS_MAX})"
        ).fetchone()
    except duckdb.Error:
        return frozenset(), frozenset()
    assert row is not None
    rows, counts = row[0], row[1:]
    filled = {name for i, name in enumerate(candidates) if rows and counts[2 * i] == rows}
    return frozenset(filled), frozenset(
        name for i, name in enumerate(candidates) if name in filled and counts[2 * i + 1] == rows
    )
