"""The fields of an asset."""

from __future__ import annotations

from headrace.model.assets import ATTEMPTS_MAX, MATERIALIZE
from headrace.model.described.shared import COMMON, CONTRACT, JUDGED, PARTITION, START
from headrace.model.described.vocabulary import (
    ANYTHING,
    DURATION,
    FLAG,
    PARAMETERS,
    SIZE,
    TEXT,
    TEXTS,
    ZONE,
    FieldDescription,
    Schema,
    closed,
    one_of,
    texts_by_name,
    whole,
)
from headrace.model.materializing import DELETES
from headrace.model.nodes import InputMode
from headrace.model.scheduling_fields import ALONE, CATCH_UP, CONCURRENCY_MAX, SLOTS_MAX, TRIGGERS

_HOW: Schema = {
    "anyOf": [
        {"type": "null"},
        one_of(InputMode),
        closed({"lookback": DURATION, "optional": FLAG, "mode": one_of(InputMode), "all": FLAG, "previous": FLAG, "within": FLAG}),
    ]
}
_INPUTS: Schema = {"anyOf": [TEXT, texts_by_name(_HOW), {"type": "array", "items": {"anyOf": [{"type": "string"}, texts_by_name(_HOW)]}}]}
_COLUMNS: Schema = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": TEXT}, texts_by_name({"type": ["string", "null", "object", "array"]})]
}
_POOL: Schema = {"anyOf": [TEXT, {**texts_by_name(whole(1, SLOTS_MAX)), "minProperties": 1}]}
_TRIGGER: Schema = {
    "anyOf": [
        one_of(ALONE),
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
        "command", {"type": "array", "items": {"type": "string"}, "minItems": 1}, "a program and its arguments, never through a shell"
    ),
)
ASSET = (
    FieldDescription("name", TEXT, "its name", "the file's, or the function's"),
    *COMMON,
    FieldDescription("partition", PARTITION, "how its data is cut, and by which column", "'*'"),
    FieldDescription("start", START, "its first partition", "the latest start of its inputs"),
    FieldDescription(
        "inputs", _INPUTS, "what it reads, and how: `lookback: 7d`, `all`, `previous`, `within`, `optional`", "found in the SQL"
    ),
    FieldDescription("depends", TEXTS, "what comes first, without data"),
    FieldDescription("materialize", one_of(MATERIALIZE), "what becomes of its rows", "table"),
    FieldDescription(
        "merge",
        closed({"keys": TEXTS, "delete": TEXT}, "keys"),
        "of `materialize: merge`: the keys, and the column that says that a row goes",
    ),
    FieldDescription(
        "snapshot",
        closed({"keys": TEXTS, "columns": TEXTS, "deletes": one_of(DELETES)}, "keys"),
        "of `materialize: snapshot`: the keys, the columns whose change makes a version, what a missing row means",
    ),
    FieldDescription(
        "columns",
        _COLUMNS,
        "of Python and commands: the columns written, with their types, and those read of each input",
        "all, as they come; decimals and whole numbers widen",
    ),
    FieldDescription("parameters", PARAMETERS, "values bound as `$name` and `ctx.parameters`", "the project's"),
    FieldDescription(
        "secrets",
        {"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT}, texts_by_name(TEXT)]},
        "of Python and commands: secrets that an attempt gets as environment variables: `[NAME]`, or `{NAME: secret://…}`",
        "none",
    ),
    FieldDescription(
        "environment",
        texts_by_name({"type": ["string", "integer"]}),
        "of Python and commands: environment variables besides the fixed ones",
        "none",
    ),
    *JUDGED,
    CONTRACT,
    FieldDescription(
        "trigger", _TRIGGER, "what releases it; a person who names it runs it anyway", "its inputs, as soon as they are complete"
    ),
    FieldDescription("timeout", DURATION, "how long one attempt may take", "1h"),
    FieldDescription("attempts_max", whole(1, ATTEMPTS_MAX), "how often a failure that may pass is tried", "5"),
    FieldDescription("memory_max", SIZE, "how much memory one attempt may use", "the worker's"),
    FieldDescription("pool", _POOL, "whose slots its attempts take: a name of [pools], or names with how many of each"),
    FieldDescription("concurrency", whole(1, CONCURRENCY_MAX), "how many of its attempts run at once", "as many as there is room for"),
    FieldDescription(
        "priority", whole(-1000, 1000), "who comes first where room is scarce: the larger", "derived from consumers' deadlines"
    ),
    FieldDescription("batch", {"enum": ["auto", "off", False]}, "whether many partitions may be computed at once", "auto"),
    FieldDescription("on_reference_change", one_of(("ignore", "rebuild")), "what a newer reference does to published partitions", "ignore"),
    FieldDescription("renamed_from", TEXT, "its former name, whose history it keeps"),
    FieldDescription(
        "code_files",
        TEXTS,
        "files of the project that its code uses, as patterns: `models/*.json`; a change of one is a change of the asset",
        "what it imports, and what its command names",
    ),
    FieldDescription("code_packages", TEXTS, "installed packages whose version is part of the asset: a new version is a change of it"),
)
