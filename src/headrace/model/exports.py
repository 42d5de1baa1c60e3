"""Reads and validates `export:` of a consumer: target, format and partitioning (SEMANTICS §5)."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from headrace.model.access import ACCESS_FILE
from headrace.model.errors import did_you_mean, one_of, shown
from headrace.model.fields import Fields, LocatedMapping, plain
from headrace.model.locations import (
    DATE_PLACEHOLDER,
    REMOTE_SCHEMES,
    read_path,
    scheme_of,
    tells_apart,
)
from headrace.model.nodes import (
    Consumer,
    Grain,
    PartitionSpec,
    Value,
)
from headrace.model.plugin_fields import export_by_ending, export_declaration
from headrace.model.plugins import (
    ANY,
    CONNECTIONS,
    EXPORTS,
    IN_PACKAGES,
    BrokenPlugin,
    plugin_names,
    report_missing,
)

# The field `export:`: a file, or rows of a table, for each interval.

ASSET_PLACEHOLDER = "{asset}"
INTERVAL_COLUMN = "_interval"
"""Default of `interval_column`, the table's column with the interval of each row."""
_EXPORT_FIELDS = ("to", "format", "connection", "on_restatement", "options", "csv", "clear")
_TARGET_FIELDS = ("connection", "table", "interval_column")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_TABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PASSWORD = re.compile(r"://[^/@{]*:[^/@${]+@")
_DECLARATIONS = (
    "assets",
    "sources",
    "contracts",
    "calendars",
    "macros",
    "tests",
    "headrace.toml",
    "owners.yaml",
    ACCESS_FILE,
    "consumers.yaml",
)


class ExportFormat(enum.StrEnum):
    """File format of an export that Headrace itself writes."""

    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"
    JSONL = "jsonl"


class OnRestatement(enum.StrEnum):
    """Effect of a restatement on exported intervals: export them again, or mark as superseded."""

    REDELIVER = "redeliver"
    TELL = "tell"


class Export(Value, kw_only=True):
    """A parsed `export:`.

    Exports to files have `path` (project-relative, or a URL) and `format`; exports to tables have
    `connection` and `table`.
    """

    path: str | None = None
    format: str | None = None
    """An ExportFormat, or the name of an installed package's format."""
    connection: str | None = None
    table: str | None = None
    interval_column: str | None = INTERVAL_COLUMN
    on_restatement: OnRestatement = OnRestatement.REDELIVER
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    clear: dict[str, str] = msgspec.field(default_factory=dict)
    """Classified columns, in lower case, that are written as they are, each with its reason."""

    @property
    def label(self) -> str:
        """The target for messages; URLs without credentials and query string."""
        if self.path is None:
            return f"{self.connection}.{self.table}"
        return re.sub(r"://[^/@]*@", "://", self.path.partition("?")[0])


ENDINGS: dict[str, str] = {
    "csv": ExportFormat.CSV,
    "parquet": ExportFormat.PARQUET,
    "xlsx": "excel",
    "json": ExportFormat.JSON,
    "jsonl": ExportFormat.JSONL,
    "ndjson": ExportFormat.JSONL,
}
"""Endings of file names that name a format, without a dot."""
FORMAT_OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    ExportFormat.CSV: {"delimiter": (",", ";", "\t", "|")},
    ExportFormat.PARQUET: {"compression": ("zstd", "snappy", "gzip", "none")},
    ExportFormat.JSON: {},
    ExportFormat.JSONL: {},
}
"""Options of each of Headrace's own formats with their values, the default first."""


def export_of(consumer: Consumer) -> Export | None:
    """Return a consumer's export, if it has one; it was validated when the file was read."""
    if consumer.export is None:
        return None
    declared, to = consumer.export, consumer.export["to"]
    clear = {column.lower(): reason for column, reason in declared.get("clear", {}).items()}
    again = OnRestatement(declared.get("on_restatement", OnRestatement.REDELIVER))
    if isinstance(to, Mapping):
        column = to.get("interval_column", INTERVAL_COLUMN)
        return Export(
            connection=to["connection"],
            table=to["table"],
            interval_column=column,
            on_restatement=again,
            clear=clear,
        )
    kind = _format(to, declared.get("format"))
    options = {**declared.get("options", {}), **declared.get("csv", {})}
    return Export(
        path=to,
        format=kind,
        connection=declared.get("connection"),
        on_restatement=again,
        options=options,
        clear=clear,
    )


def clear_columns(consumer: Consumer) -> dict[str, str]:
    """Return the classified columns, in lower case, that an export writes as they are: reasons."""
    export = export_of(consumer)
    return {} if export is None else export.clear


def holds_all(export: Export) -> bool:
    """Whether one file has the rows of all assets that the consumer reads. Raises BrokenPlugin."""
    if export.path is None or ASSET_PLACEHOLDER in export.path:
        return False
    return export.format is not None and _several(export.format)


def _several(kind: str) -> bool:
    added = None if kind in FORMAT_OPTIONS else export_declaration(kind)
    return added is not None and added.several


def _format(path: str, declared: str | None) -> str | None:
    if declared is None:
        return ENDINGS.get(path.rpartition(".")[2].lower())
    return ExportFormat(declared) if declared in tuple(ExportFormat) else declared


def export_partition(consumer: Consumer, reads: Collection[PartitionSpec]) -> PartitionSpec:
    """Return an export's partitioning: by `per`, if any input is partitioned by time."""
    return PartitionSpec(
        grain=consumer.per if any(spec.grain is not None for spec in reads) else None
    )


def path_of(pattern: str, start: datetime | None, asset: str) -> str:
    """Return one interval's path. `start` is its local start; None if not partitioned by time."""
    dated = (
        pattern
        if start is None
        else DATE_PLACEHOLDER.sub(lambda match: formatted_date(match[1], start), pattern)
    )
    return dated.replace(ASSET_PLACEHOLDER, asset)


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def formatted_date(spec: str, start: datetime) -> str:
    """Format `start` by strftime directives, in English regardless of the machine's locale."""
    week = start.isocalendar()
    values = {
        "Y": f"{start.year:04}",
        "y": f"{start.year % 100:02}",
        "G": f"{week.year:04}",
        "V": f"{week.week:02}",
        "u": str(week.weekday),
        "q": str((start.month + 2) // 3),
        "m": f"{start.month:02}",
        "b": _MONTHS[start.month - 1],
        "d": f"{start.day:02}",
        "j": f"{start.timetuple().tm_yday:03}",
        "H": f"{start.hour:02}",
        "M": f"{start.minute:02}",
        "S": f"{start.second:02}",
        "z": start.strftime("%z"),
        "%": "%",
    }
    return re.sub(r"%(.)", lambda match: values[match[1]], spec)


# Reading the declaration.


def read_export(fields: Fields, reads: Collection[str], per: Grain) -> dict[str, Any] | None:
    """Return `export` as written, with its location; None if it is missing or invalid."""
    block = fields.block_of("export")
    if block is None:
        return None
    block = _long_form(block)
    inner = Fields(block, fields.report, _EXPORT_FIELDS, what="`export`")
    target = inner.raw("to")
    reasons = _has_reasons(inner)
    if "on_restatement" in inner and not inner.choice("on_restatement", tuple(OnRestatement), ""):
        good = False
    elif isinstance(target, LocatedMapping):
        good = _read_table(inner, target, reads)
    elif "to" in inner:
        good = _read_file(inner, reads, per)
    else:
        inner.required("to", 'write export: {to: "exports/name_{date:%Y-%m-%d}.csv"}')
        good = False
    if not good or not reasons:
        return None
    place = fields.report.place(fields.line("export"))
    written = {**plain(block), "place": {"file": place.file, "line": place.line}}
    if isinstance(target, str) and "format" not in block and _format(target, None) is None:
        written["format"] = _read_format(inner, target)  # workers needn't look for the package
    return written


def _has_reasons(export: Fields) -> bool:
    """Return whether `clear: {column: reason}` is valid or absent; report each missing reason."""
    block = export.block_of("clear")
    if block is None:
        return "clear" not in export
    inner = Fields(block, export.report, tuple(block), what="`clear`")
    return None not in [inner.text(column) for column in block]


def _long_form(block: LocatedMapping) -> LocatedMapping:
    """Expand `{connection: …, table: …}` to `{to: {connection: …, table: …}}`."""
    if "table" not in block or "to" in block:
        return block
    whole, target = LocatedMapping(block.line), LocatedMapping(block.line)
    for name, value in block.items():
        (target if name in _TARGET_FIELDS else whole).put(name, value, block.lines[name])
    whole.put("to", target, block.line)
    return whole


def _read_table(export: Fields, target: LocatedMapping, reads: Collection[str]) -> bool:
    export.report.uses_plugin(CONNECTIONS, ANY)
    to = Fields(target, export.report, _TARGET_FIELDS, what="`export.to`")
    connection, table = to.required("connection"), to.required("table")
    for name in ("format", "connection", "options", "csv"):
        if name in export:
            export.refuse(
                name,
                f"{shown(name)} is for exports to files",
                "take it out",
                code="conflicting_fields",
            )
            return False
    column = to.raw("interval_column")
    if (
        "interval_column" in to
        and column is not None
        and not (isinstance(column, str) and _COLUMN.fullmatch(column))
    ):
        to.refuse(
            "interval_column",
            "`interval_column` can't be a column's name",
            "letters, digits and `_`, or null for none",
        )
        return False
    if connection is None or table is None:
        return False
    if not _TABLE.fullmatch(table.replace(ASSET_PLACEHOLDER, "x")):
        to.refuse(
            "table",
            f"{shown(table)} can't name a table",
            "letters, digits and `_`, with a schema: `reports.delays`",
        )
        return False
    return _has_asset(to, "table", table, reads)


def _read_file(export: Fields, reads: Collection[str], per: Grain) -> bool:
    path = export.text("to")
    if path is None:
        return False
    usable, kind = _is_path(export, path), _read_format(export, path)
    if kind is None or not usable:
        return False
    dates = DATE_PLACEHOLDER.findall(path)
    if len(dates) > 1:
        export.refuse(
            "to",
            f"{shown(path)} has more than one `{{date:…}}`",
            "put it into one: {date:%Y/%m/%d}",
            code="bad_path",
        )
        return False
    if dates and not tells_apart(export, "to", dates[0], per):
        return False
    return (
        _csv(export, kind)
        and _options(export, kind)
        and (_several(kind) or _has_asset(export, "to", path, reads))
    )


def _csv(export: Fields, kind: str) -> bool:
    """Return whether `csv: {escape_formulas: true}` is valid or absent; report problems."""
    if "csv" not in export:
        return True
    if kind is not ExportFormat.CSV:
        export.refuse(
            "csv",
            f"`csv` is for exports to CSV, and this is {kind}",
            "take it out",
            code="conflicting_fields",
        )
        return False
    block = export.block_of("csv")
    if block is None:
        return False
    inner = Fields(block, export.report, ("escape_formulas",), what="`csv`")
    return "escape_formulas" not in inner or inner.flag("escape_formulas") is not None


def _read_format(export: Fields, path: str) -> str | None:
    if "format" in export:
        return _declared_format(export)
    result = _format(path, None)
    if result is not None and result not in FORMAT_OPTIONS:
        return _installed(export, "to", result)
    if result is None:
        ending = path.rpartition(".")[2].lower() if "." in path else ""
        export.report.uses_plugin(EXPORTS, ANY)
        added = export_by_ending(ending)
        if added is not None:
            return added.name
        hint = (
            ending and did_you_mean(ending, ENDINGS)
        ) or f"write format: {one_of(tuple(ExportFormat))}, or end the path in .csv"
        export.refuse(
            "to",
            f"{shown(path)} doesn't say in which format it is written",
            hint,
            code="unknown_export_format",
        )
    return result


def _declared_format(export: Fields) -> str | None:
    text = export.text("format")
    known: tuple[str, ...] = tuple(ExportFormat)
    if text is not None and text not in known:
        known = tuple(dict.fromkeys((*known, *plugin_names(EXPORTS), *IN_PACKAGES[EXPORTS])))
    text = export.choice("format", known, "") if text is not None else None
    if not text or text in tuple(ExportFormat):
        return ExportFormat(text) if text else None
    return _installed(export, "format", text)


def _installed(export: Fields, field: str, kind: str) -> str | None:
    """Return a package's format that `field` names; report one that can't be used."""
    what = f"the format {shown(kind)}"
    if report_missing(export.report, export.line(field), what, EXPORTS, kind):
        return None
    try:
        export_declaration(kind)
    except BrokenPlugin as error:
        export.report.error("broken_plugin", export.line(field), str(error), error.hint)
        return None
    return kind


def _is_path(export: Fields, path: str) -> bool:
    remote = "://" in path
    rest = DATE_PLACEHOLDER.sub("", path).replace(ASSET_PLACEHOLDER, "")
    if remote:
        rest = _VARIABLE.sub("", rest)
    if "{" in rest or "}" in rest:
        export.refuse(
            "to",
            f"{shown(path)} has braces that are neither `{{date:…}}` nor `{{asset}}`",
            "write for example delays_{date:%Y-%m-%d}.csv",
            code="bad_path",
        )
        return False
    if remote:
        return _is_url(export, path)
    if "connection" in export:
        export.refuse(
            "connection",
            "`connection` is for exports to a URL",
            "take it out, or write to: s3://…",
            code="conflicting_fields",
        )
        return False
    return read_path(export, "to") is not None and _is_free(export, path)


def _is_url(export: Fields, path: str) -> bool:
    if _PASSWORD.search(path):
        hint = "put it into [connections.X] as a reference, and name the connection"
        export.refuse("to", "`to` holds a password", hint, code="literal_secret")
        return False
    folder, _, name = path.partition("://")[2].rpartition("/")
    inside = path.isprintable() and ".." not in DATE_PLACEHOLDER.sub(r"\1", path).split("/")
    if (
        scheme_of(path) not in REMOTE_SCHEMES
        or "::" in path
        or not folder
        or not name
        or not inside
    ):
        hint = (
            "a URL such as s3://bucket/delays_{date:%Y-%m-%d}.csv; known: s3, gs, abfs, sftp and"
            " their like"
        )
        export.refuse("to", f"{shown(path)} can't be written to", hint, code="bad_path")
        return False
    return "connection" not in export or export.text("connection") is not None


def _is_free(export: Fields, path: str) -> bool:
    """Return whether a path is outside of the project's own files; report it otherwise."""
    parts = [part for part in DATE_PLACEHOLDER.sub(r"\1", path).split("/") if part not in ("", ".")]
    if (
        parts
        and not parts[0].startswith(".")
        and parts[0] not in _DECLARATIONS
        and not path.endswith("/")
    ):
        return True
    export.refuse(
        "to",
        f"{shown(path)} is where the project's own files lie",
        "write into a folder such as exports/",
        code="bad_path",
    )
    return False


def _has_asset(fields: Fields, name: str, written: str, reads: Collection[str]) -> bool:
    """Return whether a target is unambiguous: with several assets it must contain `{asset}`."""
    if len(reads) < 2 or ASSET_PLACEHOLDER in written:
        return True
    fields.refuse(
        name,
        f"{shown(written)} is one target for {len(reads)} reads",
        "put {asset} into it, so that each has its own",
        code="bad_path",
    )
    return False


def _options(export: Fields, kind: str) -> bool:
    if "options" not in export:
        return True
    block = export.block_of("options")
    if block is None:
        return False
    added = None if kind in FORMAT_OPTIONS else export_declaration(kind)
    known: Mapping[str, tuple[str, ...]] = (
        added.options if added is not None else FORMAT_OPTIONS[kind]
    )
    inner = Fields(block, export.report, tuple(known), what=f"`options` of {kind}")
    return all(inner.choice(name, values, "") for name, values in known.items() if name in inner)
