"""The fields of an asset, with their readers: they are the same in every kind of file.

A new field is one entry here, a field of `Asset` and, for Python files, a parameter of `@asset`.
"""

from __future__ import annotations

from typing import Any

from headrace.model.checks import (
    DELETES,
    read_code_files,
    read_code_packages,
    read_inputs,
    read_requirements,
)
from headrace.model.common_fields import (
    CATCH_UP,
    CHECKED,
    COMMON,
    CONCURRENCY_MAX,
    CONTRACT,
    PARTITION,
    RETAIN,
    SLOTS_MAX,
    START,
    TRIGGERS,
    TRIGGERS_WITHOUT_VALUE,
    read_partition,
    read_pool,
    read_start,
    read_trigger,
)
from headrace.model.declassification import PEOPLE_MAX, PEOPLE_MIN, read_declassify
from headrace.model.errors import shown
from headrace.model.fields import Fields, LocatedMapping, refuse_huge_integers
from headrace.model.nodes import InputFormat, InputMode, MaterializationKind, ReferenceEffect
from headrace.model.retention import parse_retention
from headrace.model.sandbox import PORT_MAX, read_sandbox
from headrace.model.schemas import (
    ANYTHING,
    DURATION,
    FLAG,
    PARAMETERS,
    SIZE,
    TEXT,
    TEXTS,
    ZONE,
    Field,
    Schema,
    choice_field,
    closed,
    duration_field,
    one_of,
    text_field,
    texts_by_name,
    whole,
    whole_field,
)
from headrace.model.secrets import read_environment, read_parameters, read_secrets

MATERIALIZATIONS = tuple(kind.value for kind in MaterializationKind)
REFERENCE_EFFECTS = tuple(effect.value for effect in ReferenceEffect)
ATTEMPTS_MAX = 100


# Readers of fields that only assets have.


def _columns(fields: Fields) -> dict[str, Any] | None:
    """Return the written columns, given as a list or `{column: type}`; or `writes` and `reads`."""
    inner = reads_and_writes(fields)
    if inner is not None:
        return {
            "writes": _writes(inner, "writes") if "writes" in inner else {},
            "reads": _reads(inner),
        }
    results = _writes(fields, "columns")
    return {"writes": results, "reads": {}} if results else None


def reads_and_writes(fields: Fields) -> Fields | None:
    """Return the fields of `columns: {writes, reads}`; None if it names columns."""
    written = fields.raw("columns")
    if (
        isinstance(written, LocatedMapping)
        and set(written) <= {"writes", "reads"}
        and isinstance(written.get("reads", {}), dict)
    ):
        return Fields(written, fields.report, ("writes", "reads"), what="`columns`")
    return None


def _writes(fields: Fields, name: str) -> dict[str, str | None]:
    written = fields.raw(name)
    if isinstance(written, list):
        return dict.fromkeys(fields.texts(name))
    block = fields.block_of(name)
    if block is None:
        return {}
    inner = Fields(block, fields.report, tuple(block), what=f"`{name}`")
    return {column: _column_type(inner, column) for column in block}


def _column_type(inner: Fields, column: str) -> str | None:
    """Return the written type, which a column with other fields has in `type`."""
    value = inner.raw(column)
    if isinstance(value, LocatedMapping):
        typed = Fields(value, inner.report, tuple(value), what=f"the column {shown(column)}")
        return typed.checked("type", refuse_huge_integers, "wrong_value")
    return inner.checked(column, refuse_huge_integers, "wrong_value") if value is not None else None


def _reads(fields: Fields) -> dict[str, list[str]]:
    block = fields.block_of("reads") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="`reads`")
    return {name: list(inner.texts(name)) for name in block}


def _batch(fields: Fields) -> str:
    if fields.raw("batch") is False:
        return "off"
    return fields.choice("batch", ("auto", "off"), "auto")


_INPUT_MODE: Schema = {
    "anyOf": [
        {"type": "null"},
        one_of(InputMode),
        closed(
            {
                "lookback": DURATION,
                "optional": FLAG,
                "mode": one_of(InputMode),
                "all": FLAG,
                "previous": FLAG,
                "within": FLAG,
            }
        ),
    ]
}
_INPUTS: Schema = {
    "anyOf": [
        TEXT,
        texts_by_name(_INPUT_MODE),
        {"type": "array", "items": {"anyOf": [{"type": "string"}, texts_by_name(_INPUT_MODE)]}},
    ]
}
_COLUMNS: Schema = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": TEXT},
        texts_by_name({"type": ["string", "null", "object", "array"]}),
    ]
}
_POOL: Schema = {"anyOf": [TEXT, {**texts_by_name(whole(1, SLOTS_MAX)), "minProperties": 1}]}
_TRIGGER: Schema = {
    "anyOf": [
        one_of(TRIGGERS_WITHOUT_VALUE),
        closed(
            {
                **dict.fromkeys(TRIGGERS, ANYTHING),
                "cron": TEXT,
                "interval": DURATION,
                "catch_up": one_of(CATCH_UP),
                "timezone": ZONE,
            }
        ),
    ]
}

COMMAND = (
    Field("asset", TEXT, "its name", "the file's"),
    Field(
        "command",
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "a program and its arguments, never through a shell",
    ),
    Field(
        "input_format",
        one_of(InputFormat),
        "the format of the files in which the program gets its inputs",
        "parquet",
    ),
)
ASSET = (
    Field("name", TEXT, "its name", "the file's, or the function's"),
    *COMMON,
    Field(
        "partition",
        PARTITION,
        "how its data is partitioned, and by which column",
        "'*'",
        read=read_partition,
    ),
    Field(
        "start",
        START,
        "its first partition",
        "the first interval for which all inputs have started and one has data; if none is "
        "partitioned by time, the newest interval",
        read=read_start,
    ),
    Field(
        "inputs",
        _INPUTS,
        "what it reads, and how: `lookback: 7d`, `all`, `previous`, `within`, `optional`",
        "found in the SQL",
        read=read_inputs,
    ),
    Field(
        "depends",
        TEXTS,
        "what comes first, without data",
        read=lambda fields: tuple(dict.fromkeys(fields.texts("depends"))),
    ),
    choice_field("materialize", MATERIALIZATIONS, "what becomes of its rows", "table"),
    Field(
        "merge",
        closed({"keys": TEXTS, "delete": TEXT}, "keys"),
        "of `materialize: merge`: the keys, and the column that says that a row goes",
    ),
    Field(
        "snapshot",
        closed({"keys": TEXTS, "columns": TEXTS, "deletes": one_of(DELETES)}, "keys"),
        "of `materialize: snapshot`: the keys, the columns whose change makes a version, what a"
        " missing row means",
    ),
    Field(
        "columns",
        _COLUMNS,
        "of Python and commands: the columns written, with their types, and those read of each"
        " input; of all assets: `{NAME: {classification: …, mask: …}}`",
        "all, as they come; decimals and whole numbers widen",
        read=_columns,
    ),
    Field(
        "declassify",
        texts_by_name(
            {
                "anyOf": [
                    TEXT,
                    closed(
                        {"reason": TEXT, "k": whole(PEOPLE_MIN, PEOPLE_MAX), "people": TEXT},
                        *("reason", "k", "people"),
                    ),
                ]
            }
        ),
        "columns that are shown although they derive from classified ones, with reasons; of SQL"
        " also `{NAME: {reason: …, k: 10, people: COLUMN}}`: in rows of at least `k` people",
        "none",
        read=read_declassify,
    ),
    Field(
        "parameters",
        PARAMETERS,
        "values bound as `$name` and `ctx.parameters`",
        "the project's",
        read=read_parameters,
    ),
    Field(
        "secrets",
        {"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT}, texts_by_name(TEXT)]},
        "of Python and commands: secrets that an attempt gets as environment variables: `[NAME]`,"
        " or `{NAME: secret://…}`",
        "none",
        read=read_secrets,
    ),
    Field(
        "environment",
        texts_by_name({"type": ["string", "integer"]}),
        "of Python and commands: environment variables besides the fixed ones",
        "none",
        read=read_environment,
    ),
    Field(
        "sandbox",
        closed(
            {
                "off": TEXT,
                "read": TEXTS,
                "write": TEXTS,
                "ports": {"type": "array", "items": whole(1, PORT_MAX)},
                "hosts": TEXTS,
            }
        ),
        "of Python and commands: paths, TCP ports and hosts that the code may reach besides its"
        " inputs, or `{off: the reason}`",
        "its inputs, its own folders and the whole network",
        read=read_sandbox,
    ),
    *CHECKED,
    CONTRACT,
    Field(
        "trigger",
        _TRIGGER,
        "what releases it; a person who names it runs it anyway",
        "its inputs, as soon as they are complete",
        read=read_trigger,
    ),
    duration_field("timeout", "how long one attempt may take", "1h"),
    whole_field("attempts_max", 1, ATTEMPTS_MAX, "how often a failure that may pass is tried", "5"),
    Field(
        "memory_max",
        SIZE,
        "how much memory one attempt may use",
        "the worker's",
        read=lambda fields: fields.size("memory_max"),
    ),
    Field(
        "pool",
        _POOL,
        "whose slots its attempts take: a name of [pools], or names with how many of each",
        read=read_pool,
    ),
    whole_field(
        "concurrency",
        1,
        CONCURRENCY_MAX,
        "how many of its attempts run at once",
        "no limit but workers and pools",
    ),
    RETAIN,
    Field(
        "retain_rebuildable",
        {**TEXT, "examples": ["30d"]},
        "how long rows are kept that a partition gives again when it is computed; `db gc` proves"
        " it",
        "as `retain`",
        read=lambda fields: fields.checked("retain_rebuildable", parse_retention, "bad_duration"),
    ),
    whole_field(
        "priority",
        -1000,
        1000,
        "priority where capacity is short: the larger runs first",
        "derived from consumers' deadlines",
    ),
    Field(
        "batch",
        {"enum": ["auto", "off", False]},
        "whether many partitions may be computed at once",
        "auto",
        read=_batch,
    ),
    choice_field(
        "on_reference_change",
        REFERENCE_EFFECTS,
        "what a newer reference does to published partitions",
        "ignore",
    ),
    text_field("renamed_from", "its former name, whose history it keeps"),
    Field(
        "code_files",
        TEXTS,
        "files of the project that its code uses, as patterns: `models/*.json`; a change of one is"
        " a change of the asset",
        "what it imports, and what its command names",
        read=read_code_files,
    ),
    Field(
        "code_packages",
        TEXTS,
        "installed packages whose version is part of the asset: a new version is a change of it",
        read=read_code_packages,
    ),
    Field(
        "requirements",
        TEXTS,
        "of Python and commands: packages that its code runs with, as lines of a requirements file:"
        " `[pandas==2.2.3]`, or `[-r FILE]`; `headrace lock` writes which they are",
        "those beside Headrace",
        read=read_requirements,
    ),
)

ASSET_FIELDS = frozenset(field.name for field in ASSET)
COMMAND_FIELDS = ASSET_FIELDS | {field.name for field in COMMAND}
