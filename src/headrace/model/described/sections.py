"""All kinds of files."""

from __future__ import annotations

from headrace.model import assets, consumers, owners, sources, tests_files
from headrace.model.described.assets import ASSET, COMMAND
from headrace.model.described.settings import SETTINGS
from headrace.model.described.shared import COMMON, CONTRACT, JUDGED, PARTITION, START
from headrace.model.described.sources import SOURCE
from headrace.model.described.vocabulary import (
    DURATION,
    FLAG,
    MOMENT,
    PARAMETERS,
    ROWS,
    TEXT,
    TEXTS,
    FieldDescription,
    Section,
    closed,
    one_of,
    texts_by_name,
    whole,
)
from headrace.model.nodes import Grain
from headrace.model.scheduling_fields import CONCURRENCY_MAX

_OWNER = (
    FieldDescription("kind", one_of(owners._KINDS), "what it is; a vendor isn't written to unless `tell: true`", "team"),
    FieldDescription("contact", TEXTS, "where messages go: names of [notify.…], or mailto:…"),
    FieldDescription("manager", TEXT, "the owner who is told instead, or as well"),
    FieldDescription("tell", FLAG, "whether messages go to it itself", "true for teams, false for vendors"),
    FieldDescription(
        "concurrency", whole(1, CONCURRENCY_MAX), "how many attempts at what it owns run at once", "as many as there is room for"
    ),
    FieldDescription("quiet", {**TEXT, "examples": ["22:00-07:00"]}, "hours in which only what can't wait is sent, in the project's zone"),
    FieldDescription("escalate", DURATION, "how long an incident may be open before the manager is told as well"),
    FieldDescription(
        "digest", {**TEXT, "examples": ["08:00"]}, "when it is told each day what has changed; on days without a change nothing"
    ),
)
_TABLE_FIELDS = {"connection": TEXT, "table": TEXT, "interval_column": {"type": ["string", "null"]}}
_TABLE = closed(_TABLE_FIELDS, "connection", "table")
_AGAIN = one_of(("redeliver", "tell"))
_EXPORT = {
    "anyOf": [
        closed(
            {
                "to": {"anyOf": [TEXT, _TABLE]},
                "format": one_of(("csv", "parquet", "excel", "json", "jsonl")),
                "connection": TEXT,
                "on_restatement": _AGAIN,
                "options": {"type": "object"},
                "csv": closed({"escape_formulas": {"type": "boolean"}}),
            },
            "to",
        ),
        closed({**_TABLE_FIELDS, "on_restatement": _AGAIN}, "connection", "table"),
    ]
}
_CONSUMER = (
    FieldDescription("consumer", TEXT, "its name", required=True),
    *COMMON,
    FieldDescription("reads", TEXTS, "the assets (or sources) that it needs", required=True),
    FieldDescription("per", one_of(Grain), "how often it is due", "day"),
    FieldDescription("due", MOMENT, "by when after each interval; one of `due` and `max_age`"),
    FieldDescription("max_age", DURATION, "how old its data may be; one of `due` and `max_age`"),
    FieldDescription(
        "since",
        {**TEXT, "examples": ["2013-02-11"]},
        "a date or a time: what is due from then on is promised; what was due before never was",
        "when it is applied",
    ),
    FieldDescription("export", _EXPORT, "where what it reads is written: a file, a URL, or a table of a connection"),
    FieldDescription("importance", TEXT, "how much depends on it, in your own words"),
)
_TEST = (
    FieldDescription("test", TEXT, "its name", required=True),
    FieldDescription("asset", TEXT, "what is computed", required=True),
    FieldDescription("description", TEXT, "what it is about, for people"),
    FieldDescription("partition", TEXT, "which partition is computed; needed where the asset is cut by time", "*"),
    FieldDescription(
        "given", texts_by_name(ROWS), "rows of what the asset reads: a list, or a CSV, JSON, JSON lines or Parquet file", "no rows"
    ),
    FieldDescription("expect", ROWS, "the rows that must come of it; columns that aren't named are ignored"),
    FieldDescription("ordered", FLAG, "whether the rows must come in this order", "false"),
    FieldDescription("expect_error", TEXT, "text of the error that the body must fail with, instead of `expect`"),
    FieldDescription("checks", texts_by_name(one_of(tests_files.OUTCOMES)), "how the asset's own checks must come out", "only reported"),
    FieldDescription("parameters", PARAMETERS, "other values of the asset's parameters"),
)
_DATES = {"type": "array", "items": TEXT}
_CALENDAR = (
    FieldDescription("calendar", TEXT, "its name", "the file's"),
    FieldDescription("description", TEXT, "what it is about, for people"),
    FieldDescription("dates", _DATES, "the dates on which nothing is due", required=True),
)

SECTIONS: tuple[Section, ...] = (
    Section("project", "headrace.toml", ("headrace.toml",), tuple(setting.name for setting in SETTINGS), SETTINGS),
    Section("owners", "Owners", ("owners.yaml",), owners._FIELDS, _OWNER, named=True),
    Section(
        "sources",
        "Sources",
        ("sources/**/*.yaml",),
        sources._FIELDS,
        (
            *SOURCE[:1],
            *COMMON,
            FieldDescription("partition", PARTITION, "how its data is cut", "'*'"),
            FieldDescription(
                "start",
                START,
                "the first interval that is expected",
                "the oldest delivery; before there is one and with `expect`, the interval in which the source was declared",
            ),
            *SOURCE[1:],
            *JUDGED,
            CONTRACT,
        ),
        listed=True,
    ),
    Section(
        "assets",
        "Assets in YAML: commands, and front matters of .sql files",
        ("assets/**/*.yaml",),
        assets.COMMAND_FIELDS,
        (*COMMAND, *ASSET),
        listed=True,
    ),
    Section("front_matter", "The front matter of an asset in SQL, and the arguments of @asset", (), assets.FIELDS, ASSET),
    Section("consumers", "Consumers", ("consumers.yaml",), consumers._FIELDS, _CONSUMER, listed=True),
    Section("tests", "Tests", ("tests/**/*.yaml",), tests_files.FIELDS, _TEST, listed=True),
    Section("calendars", "Calendars", ("calendars/**/*.yaml",), ("calendar", "description", "dates"), _CALENDAR),
)
"""Contracts aren't among them: they are ODCS v3 documents, which has a schema of its own."""
