"""Fields of sources and assets in words and as JSON Schemas.

The readers decide which fields exist. Enumerations and bounds are taken from the readers; a test
compares what both accept and refuse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from headrace.model.assets import ATTEMPTS_MAX, MATERIALIZATIONS, REFERENCE_EFFECTS
from headrace.model.check_kinds import CheckDeclaration, built_in_checks
from headrace.model.checks import COMMON_ARGUMENTS as CHECK_COMMON
from headrace.model.checks import DELETES
from headrace.model.common_fields import (
    CATCH_UP,
    CONCURRENCY_MAX,
    ON_ANOMALY,
    ON_FAIL,
    SLOTS_MAX,
    TRIGGERS,
    TRIGGERS_WITHOUT_VALUE,
)
from headrace.model.declassification import PEOPLE_MAX, PEOPLE_MIN
from headrace.model.masks import KEPT_CHARACTERS_MAX, METHODS, SHIFT_DAYS_MAX, TIME_UNITS
from headrace.model.nodes import Grain, InputFormat, InputMode, Severity
from headrace.model.sandbox import PORT_MAX
from headrace.model.yaml_files import _ON_DRIFT, DRIFTS, FILES_MAX

# The parts of a field's description, and schemas that many fields share.

Schema = dict[str, Any]


class FieldDescription(NamedTuple):
    """One field: its JSON Schema, what it means, and its default in words where it has one."""

    name: str
    schema: Schema
    meaning: str
    default: str = ""
    required: bool = False


class Section(NamedTuple):
    """One kind of mapping in a project's files. `known` are the names that its reader takes."""

    name: str
    title: str
    files: tuple[str, ...]
    known: Collection[str]
    fields: tuple[FieldDescription, ...]
    listed: bool = False
    """Whether a file may hold a list of these."""
    named: bool = False
    """Whether a file is a mapping from names to these."""

    def field(self, name: str) -> FieldDescription:
        """The description of a field; one that nobody has described takes anything."""
        return next(
            (field for field in self.fields if field.name == name), FieldDescription(name, {}, "")
        )


ANYTHING: Schema = {}
TEXT: Schema = {"type": "string", "pattern": r"\S"}
FLAG: Schema = {"type": "boolean"}
MAPPING: Schema = {"type": "object"}
TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT}]}
DURATION: Schema = {**TEXT, "examples": ["7d", "30h", "90m", "1d12h"]}
TIME_OFFSET: Schema = {**TEXT, "examples": ["05:00", "+2d 06:00", "+3bd 09:00", "+20m"]}
SIZE: Schema = {**TEXT, "examples": ["512MiB", "2GB"]}
ZONE: Schema = {**TEXT, "examples": ["Europe/Berlin", "America/New_York", "UTC"]}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
PARAMETERS: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [SCALAR, {"type": "array", "items": SCALAR}]},
}
FREE: Schema = {"type": ["object", "string", "array", "boolean", "integer", "null"]}
"""A mapping with a reader of its own, or its short form."""
ROWS: Schema = {"anyOf": [TEXT, {"type": "array", "items": {"type": "object"}}]}


def one_of(values: Iterable[object]) -> Schema:
    """One of a few words."""
    return {"enum": [str(value) for value in values]}


def whole(minimum: int, maximum: int) -> Schema:
    """A whole number between bounds."""
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def closed(properties: dict[str, Schema], *required: str) -> Schema:
    """A mapping with these fields and no others."""
    results: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**results, "required": list(required)} if required else results


def listed(schema: Schema) -> Schema:
    """A list of such values."""
    return {"type": "array", "items": schema}


def texts_by_name(schema: Schema) -> Schema:
    """A mapping whose names are free."""
    return {"type": "object", "additionalProperties": schema}


# Fields that several kinds of files have.

_BY = closed({"by": one_of(Grain), "column": TEXT}, "by")
_KEY = closed({"key": TEXT, "values": TEXTS}, "key")
PARTITION: Schema = {
    "anyOf": [
        {"enum": ["*", *Grain]},
        _BY,
        _KEY,
        {
            "type": "array",
            "items": {"anyOf": [one_of(Grain), _BY, _KEY]},
            "minItems": 2,
            "maxItems": 2,
        },
    ]
}
START: Schema = {"type": ["string", "integer"]}

COMMON = (
    FieldDescription("owner", TEXT, "who answers for it: a name in owners.yaml", required=True),
    FieldDescription("description", TEXT, "what it is, for people"),
    FieldDescription("tags", TEXTS, "short words; `tag:` selects by them"),
    FieldDescription("domain", TEXT, "the group that it belongs to; `domain:` selects by it"),
    FieldDescription("calendar", TEXT, "dates on which nothing is due: a file in calendars/"),
    FieldDescription(
        "timezone", ZONE, "the zone that cuts its days, an IANA name", "the project's"
    ),
)


def checks_schema(kinds: Iterable[CheckDeclaration]) -> Schema:
    """Checks of these kinds, in a list."""
    return {"type": "array", "items": {"anyOf": [_check(kind) for kind in kinds]}}


def _check(kind: CheckDeclaration) -> Schema:
    """A check of one kind: its arguments, and what may stand beside them or in them."""
    beside: dict[str, Schema] = {"name": TEXT, "severity": one_of(Severity), "where": TEXT}
    assert set(beside) == set(CHECK_COMMON)
    inner: list[Schema] = [closed({**kind.schema(), **beside})]
    if kind.short is not None:
        inner += [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]
    return closed({kind.name: {"anyOf": inner}, **beside}, kind.name)


CHECKS: Schema = checks_schema(built_in_checks())

_ANOMALY: Schema = {"anyOf": [one_of(ON_ANOMALY), texts_by_name(one_of(ON_ANOMALY))]}
CHECKED = (
    FieldDescription(
        "checks", CHECKS, "statements about each partition, made before anybody can read it"
    ),
    FieldDescription("on_fail", one_of(ON_FAIL), "what a blocking check that fails does", "reject"),
    FieldDescription(
        "on_anomaly", _ANOMALY, "what figures unlike the history do; by column, too", "by size"
    ),
)
CONTRACT = FieldDescription(
    "contract", TEXT, "the contract in contracts/", "the one of its own name"
)


# Fields that only sources have.

_ROWS: Schema = {"type": ["string", "integer"], "examples": ["500..1500", "500..", 1]}

_COLUMN_CLASS: Schema = closed(
    {
        "classification": TEXT,
        "personal": FLAG,
        "mask": {
            **closed(
                {
                    "method": one_of(METHODS),
                    "keep": whole(1, KEPT_CHARACTERS_MAX),
                    "from": one_of(("start", "end")),
                    "to": {"anyOf": [{"type": "number"}, one_of(TIME_UNITS)]},
                    "days": whole(1, SHIFT_DAYS_MAX),
                    "by": TEXT,
                    "domain": TEXT,
                },
                "method",
            )
        },
    }
)
SOURCE = (
    FieldDescription("source", TEXT, "its name", required=True),
    FieldDescription(
        "files", TEXT, "where its files land: a path or URL with one {date:…}, `*` for what varies"
    ),
    FieldDescription(
        "http",
        FREE,
        "an address, or a mapping with `url`, `records`, `headers`, `page` …; see"
        " how-to/http-api.md",
    ),
    FieldDescription(
        "connection", TEXT, "a name of [connections]: of a database, or of where `files:` leads"
    ),
    FieldDescription("csv", FREE, "how its CSV is written, where that can't be seen from the file"),
    FieldDescription(
        "json", FREE, "where the records are, and whether nested values become columns"
    ),
    FieldDescription(
        "every", DURATION, "how often a source that can't say whether it changed is read again"
    ),
    FieldDescription(
        "expect",
        closed({"by": TIME_OFFSET, "rows": _ROWS, "unchanged": one_of(("ok",))}),
        "what its owner promised: by when after each interval, how many rows; `unchanged: ok` where"
        " an interval may hold the rows of another one, as a list that seldom changes does",
    ),
    FieldDescription(
        "complete",
        closed(
            {
                "files": whole(1, FILES_MAX),
                "marker": TEXT,
                "watermark": one_of(("later",)),
                "after": TIME_OFFSET,
            }
        ),
        "when an interval is complete",
        "one file",
    ),
    FieldDescription(
        "retain",
        {**TEXT, "examples": ["30d", "13mo", "7y"]},
        "how long the rows of a partition are kept, with its stored deliveries and quarantine",
        "for ever",
    ),
    FieldDescription("retain_raw", DURATION, "how long the bytes of a delivery are kept", "90d"),
    FieldDescription(
        "restate_within",
        DURATION,
        "how old an interval may be that is rebuilt without asking when it is delivered again",
        "7d",
    ),
    FieldDescription(
        "ignore_in_comparison",
        TEXTS,
        "columns that loading changes, besides those of dlt, Fivetran, Airbyte and Stitch: a"
        " delivery that differs in them alone restates nothing",
        "none",
    ),
    FieldDescription(
        "columns",
        texts_by_name(_COLUMN_CLASS),
        "classified columns, besides those that the contract classifies, and their masks",
        "none",
    ),
    FieldDescription(
        "on_drift",
        closed(dict.fromkeys(DRIFTS, one_of(_ON_DRIFT))),
        "what a delivery with other columns does, by the kind of change",
        "by kind",
    ),
    FieldDescription(
        "concurrency",
        whole(1, CONCURRENCY_MAX),
        "how many of its deliveries are ingested at once",
        "no limit but workers and pools",
    ),
)


# Fields of an asset.

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
    FieldDescription("asset", TEXT, "its name", "the file's"),
    FieldDescription(
        "command",
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "a program and its arguments, never through a shell",
    ),
    FieldDescription(
        "input_format",
        one_of(InputFormat),
        "the format of the files in which the program gets its inputs",
        "parquet",
    ),
)
ASSET = (
    FieldDescription("name", TEXT, "its name", "the file's, or the function's"),
    *COMMON,
    FieldDescription(
        "partition", PARTITION, "how its data is partitioned, and by which column", "'*'"
    ),
    FieldDescription(
        "start",
        START,
        "its first partition",
        "the first interval for which all inputs have started and one has data; if none is "
        "partitioned by time, the newest interval",
    ),
    FieldDescription(
        "inputs",
        _INPUTS,
        "what it reads, and how: `lookback: 7d`, `all`, `previous`, `within`, `optional`",
        "found in the SQL",
    ),
    FieldDescription("depends", TEXTS, "what comes first, without data"),
    FieldDescription("materialize", one_of(MATERIALIZATIONS), "what becomes of its rows", "table"),
    FieldDescription(
        "merge",
        closed({"keys": TEXTS, "delete": TEXT}, "keys"),
        "of `materialize: merge`: the keys, and the column that says that a row goes",
    ),
    FieldDescription(
        "snapshot",
        closed({"keys": TEXTS, "columns": TEXTS, "deletes": one_of(DELETES)}, "keys"),
        "of `materialize: snapshot`: the keys, the columns whose change makes a version, what a"
        " missing row means",
    ),
    FieldDescription(
        "columns",
        _COLUMNS,
        "of Python and commands: the columns written, with their types, and those read of each"
        " input; of all assets: `{NAME: {classification: …, mask: …}}`",
        "all, as they come; decimals and whole numbers widen",
    ),
    FieldDescription(
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
    ),
    FieldDescription(
        "parameters", PARAMETERS, "values bound as `$name` and `ctx.parameters`", "the project's"
    ),
    FieldDescription(
        "secrets",
        {"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT}, texts_by_name(TEXT)]},
        "of Python and commands: secrets that an attempt gets as environment variables: `[NAME]`,"
        " or `{NAME: secret://…}`",
        "none",
    ),
    FieldDescription(
        "environment",
        texts_by_name({"type": ["string", "integer"]}),
        "of Python and commands: environment variables besides the fixed ones",
        "none",
    ),
    FieldDescription(
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
    ),
    *CHECKED,
    CONTRACT,
    FieldDescription(
        "trigger",
        _TRIGGER,
        "what releases it; a person who names it runs it anyway",
        "its inputs, as soon as they are complete",
    ),
    FieldDescription("timeout", DURATION, "how long one attempt may take", "1h"),
    FieldDescription(
        "attempts_max", whole(1, ATTEMPTS_MAX), "how often a failure that may pass is tried", "5"
    ),
    FieldDescription("memory_max", SIZE, "how much memory one attempt may use", "the worker's"),
    FieldDescription(
        "pool",
        _POOL,
        "whose slots its attempts take: a name of [pools], or names with how many of each",
    ),
    FieldDescription(
        "concurrency",
        whole(1, CONCURRENCY_MAX),
        "how many of its attempts run at once",
        "no limit but workers and pools",
    ),
    FieldDescription(
        "retain",
        {**TEXT, "examples": ["30d", "13mo", "7y"]},
        "how long the rows of a partition are kept, with its stored deliveries and quarantine",
        "for ever",
    ),
    FieldDescription(
        "retain_rebuildable",
        {**TEXT, "examples": ["30d"]},
        "how long rows are kept that a partition gives again when it is computed; `db gc` proves"
        " it",
        "as `retain`",
    ),
    FieldDescription(
        "priority",
        whole(-1000, 1000),
        "priority where capacity is short: the larger runs first",
        "derived from consumers' deadlines",
    ),
    FieldDescription(
        "batch",
        {"enum": ["auto", "off", False]},
        "whether many partitions may be computed at once",
        "auto",
    ),
    FieldDescription(
        "on_reference_change",
        one_of(REFERENCE_EFFECTS),
        "what a newer reference does to published partitions",
        "ignore",
    ),
    FieldDescription("renamed_from", TEXT, "its former name, whose history it keeps"),
    FieldDescription(
        "code_files",
        TEXTS,
        "files of the project that its code uses, as patterns: `models/*.json`; a change of one is"
        " a change of the asset",
        "what it imports, and what its command names",
    ),
    FieldDescription(
        "code_packages",
        TEXTS,
        "installed packages whose version is part of the asset: a new version is a change of it",
    ),
)
