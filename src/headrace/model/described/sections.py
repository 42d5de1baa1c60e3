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
    Described,
    Section,
    closed,
    one_of,
    texts_by_name,
    whole,
)
from headrace.model.nodes import Grain
from headrace.model.scheduling_fields import CONCURRENCY_MAX

_OWNER = (
    Described("kind", one_of(owners._KINDS), "what it is; a vendor isn't written to unless `tell: true`", "team"),
    Described("contact", TEXTS, "where messages go: names of [notify.…], or mailto:…"),
    Described("manager", TEXT, "the owner who is told instead, or as well"),
    Described("tell", FLAG, "whether messages go to it itself", "true for teams, false for vendors"),
    Described("concurrency", whole(1, CONCURRENCY_MAX), "how many attempts at what it owns run at once", "as many as there is room for"),
    Described("quiet", {**TEXT, "examples": ["22:00-07:00"]}, "hours in which only what can't wait is sent, in the project's zone"),
    Described("escalate", DURATION, "how long an incident may be open before the manager is told as well"),
    Described("digest", {**TEXT, "examples": ["08:00"]}, "when it is told each day what has changed; on days without a change nothing"),
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
    Described("consumer", TEXT, "its name", required=True),
    *COMMON,
    Described("reads", TEXTS, "the assets (or sources) that it needs", required=True),
    Described("per", one_of(Grain), "how often it is due", "day"),
    Described("due", MOMENT, "by when after each interval; one of `due` and `max_age`"),
    Described("max_age", DURATION, "how old its data may be; one of `due` and `max_age`"),
    Described(
        "since",
        {**TEXT, "examples": ["2013-02-11"]},
        "a date or a time: what is due from then on is promised; what was due before never was",
        "when it is applied",
    ),
    Described("export", _EXPORT, "where what it reads is written: a file, a URL, or a table of a connection"),
    Described("importance", TEXT, "how much depends on it, in your own words"),
)
_TEST = (
    Described("test", TEXT, "its name", required=True),
    Described("asset", TEXT, "what is computed", required=True),
    Described("description", TEXT, "what it is about, for people"),
    Described("partition", TEXT, "which partition is computed; needed where the asset is cut by time", "*"),
    Described("given", texts_by_name(ROWS), "rows of what the asset reads: a list, or a CSV, JSON, JSON lines or Parquet file", "no rows"),
    Described("expect", ROWS, "the rows that must come of it; columns that aren't named are ignored"),
    Described("ordered", FLAG, "whether the rows must come in this order", "false"),
    Described("expect_error", TEXT, "text of the error that the body must fail with, instead of `expect`"),
    Described("checks", texts_by_name(one_of(tests_files.OUTCOMES)), "how the asset's own checks must come out", "only reported"),
    Described("parameters", PARAMETERS, "other values of the asset's parameters"),
)
_DATES = {"type": "array", "items": TEXT}
_CALENDAR = (
    Described("calendar", TEXT, "its name", "the file's"),
    Described("description", TEXT, "what it is about, for people"),
    Described("dates", _DATES, "the dates on which nothing is due", required=True),
)

SECTIONS: tuple[Section, ...] = (
    Section("project", "headrace.toml", ("headrace.toml",), tuple(one.name for one in SETTINGS), SETTINGS),
    Section("owners", "Owners", ("owners.yaml",), owners._FIELDS, _OWNER, named=True),
    Section(
        "sources",
        "Sources",
        ("sources/**/*.yaml",),
        sources._FIELDS,
        (
            *SOURCE[:1],
            *COMMON,
            Described("partition", PARTITION, "how its data is cut", "'*'"),
            Described(
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
