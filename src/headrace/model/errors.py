"""The failure vocabulary, the problems of declarations, and the wording that they share.

    HeadraceError                  anything that Headrace itself refuses or reports
    ├── UsageError                 the command line is wrong                     exit 2
    │   └── UnknownName            it names something that doesn't exist
    ├── ProjectError               the project can't be read, or has problems    exit 1
    ├── Refused                    policy says no: `--yes`, `apply` first, …     exit 3
    │   ├── ColumnRefused            a query names a column that its reader may not see
    │   ├── DataUnsound              only sound data was asked for, and this isn't
    │   └── OverCeiling              an agent would do more than agents may do
    ├── NotBuilt                   declared or typed, but unsupported            exit 2
    ├── StoreError                 the state can't be read or written            exit 1
    │   ├── StateMissing             no command that writes has created it
    │   ├── StoreUnreachable         the database's server can't be reached just now
    │   └── LeaseLost              another leader took over; nothing was committed
    └── LakeError                  the lake's files or catalog can't be used     exit 1

A message says what was touched, why it was refused, and what to do next. Problems of a file are
collected while it is read, so that a person gets all of them at once.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from headrace.model.nodes import Place, Value
from headrace.model.texts import plain


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class name if the message is empty.

    Marks of values (`model.texts`) are Headrace's own: data that has them can't pass for words.
    """
    message = str(error) if isinstance(error, HeadraceError) else plain(str(error))
    lines = message.strip().splitlines()
    return lines[0] if lines else type(error).__name__


class HeadraceError(Exception):
    """Base class of all errors. `hint` is one line with the next step."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(HeadraceError):
    """The command line or a value in it is invalid."""

    exit_code = 2


class UnknownName(UsageError):
    """A node, run, incident or other name doesn't exist. The HTTP API answers with status 404."""


class ProjectError(HeadraceError):
    """The project's declarations can't be used."""


class Refused(HeadraceError):
    """Policy refuses: not allowed, or needs `--yes`, an approval, or `apply` first."""

    exit_code = 3


class ColumnRefused(Refused):
    """A query names a column that its reader may not see. The HTTP API answers with status 403."""


class DataUnsound(Refused):
    """Data that was asked for only if it is sound is wrong, or was accepted as an exception."""


class OverCeiling(Refused):
    """An agent would do more than agents may do with one act, or within an hour."""


class NotBuilt(HeadraceError):
    """The name is reserved for a feature that is unsupported so far."""

    exit_code = 2


class StoreError(HeadraceError):
    """The state database can't be read or written."""


class StateMissing(StoreError):
    """No command that writes has created the state, or its database was emptied."""


class StoreUnreachable(StoreError):
    """The state's server is unreachable, starting or shutting down: a retry may succeed."""


class LeaseLost(StoreError):
    """Another leader has taken over; this leader's transaction was not committed."""


class OutOfMemory(HeadraceError):
    """A read needs more memory than there is. The HTTP API answers with status 503."""

    def __init__(self) -> None:
        super().__init__(
            "there is no memory left to read this",
            hint="select fewer columns or rows, or ask again while less is read",
        )


class LakeError(HeadraceError):
    """The lake's files or its catalog can't be used. `code` is that of a problem, if it has one."""

    code = ""


_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPELT_OUT = {
    "OS": "operating system",
    "IO": "input or output",
    "EOF": "end of file",
    "gaierror": "name lookup error",
    "herror": "name lookup error",
}


def words_of(error: BaseException) -> str:
    """Return the name of an exception's class in words: `read timeout` for a ReadTimeout."""
    words = _WORDS.sub(" ", type(error).__name__).split()
    return " ".join(
        _SPELT_OUT.get(word, word if word.isupper() else word.lower()) for word in words
    )


def message_of(error: BaseException) -> str:
    """Return another library's error message on one line, or its class in words if it is empty."""
    return " ".join(str(error).split()) or words_of(error)


# Problems of declarations, with location and correction.


class ProblemLevel(enum.StrEnum):
    """Level of a problem: an error stops `apply`, a warning doesn't."""

    ERROR = "error"
    WARNING = "warning"


UNREADABLE_CODES = frozenset(
    {
        "file_too_large",
        "file_unreadable",
        "not_utf8",
        "python_syntax",
        "sql_syntax",
        "toml_syntax",
        "yaml_syntax",
    }
)
"""Codes of files of which nothing, or not all, could be read."""


class Problem(Value, kw_only=True):
    """A problem that `validate` reports. `headrace explain` has a page for each `code`."""

    code: str
    message: str
    hint: str = ""
    place: Place
    level: ProblemLevel = ProblemLevel.ERROR

    @property
    def order(self) -> tuple[bool, str, int, str, str]:
        """The key by which lists are sorted: by file and line, unreadable files first.

        What such a file declares is unknown elsewhere, and those problems are its consequences.
        """
        return (
            self.code not in UNREADABLE_CODES,
            self.place.file,
            self.place.line,
            self.code,
            self.message,
        )


# The problems of one file, collected while it is read, and the parts of their messages.

SHOWN_CHARACTERS_MAX = 60
"""Longer values are shortened in messages."""
PROBLEMS_MAX = 200
"""At most this number of problems are reported per file; more wouldn't help the reader."""


class Report:
    """Collects the problems of one file. `file` is its path relative to the project."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.plugins: set[tuple[str, str]] = set()
        """Names that aren't built in, by group of entry points (`headrace.model.plugins`)."""
        self.defaults: Mapping[str, Any] = {}
        """The fields of declarations that lack them (`headrace.model.defaults`)."""

    def uses_plugin(self, group: str, name: str) -> None:
        """Record that the file's meaning depends on which installed package has this name."""
        self.plugins.add((group, name))

    def place(self, line: int) -> Place:
        """Return the location of a line in this file."""
        return Place(file=self.file, line=line)

    def error(self, code: str, line: int, message: str, hint: str = "") -> None:
        """Report a problem that stops `apply`."""
        self.add(Problem(code=code, message=message, hint=hint, place=self.place(line)))

    def warning(self, code: str, line: int, message: str, hint: str = "") -> None:
        """Report a problem that doesn't stop `apply`."""
        self.add(
            Problem(
                code=code,
                message=message,
                hint=hint,
                place=self.place(line),
                level=ProblemLevel.WARNING,
            )
        )

    def add(self, problem: Problem) -> None:
        """Add a problem, unless the file has too many."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)
        elif len(self.problems) == PROBLEMS_MAX:
            hint = "mend those above, then validate again"
            text = f"there are more than {PROBLEMS_MAX} problems in this file"
            self.problems.append(
                Problem(code="too_many_problems", message=text, hint=hint, place=problem.place)
            )


def shown(value: object) -> str:
    """Return a value for messages: on one line, shortened, with control characters escaped."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > SHOWN_CHARACTERS_MAX:
        text = text[: SHOWN_CHARACTERS_MAX - 1] + "…"
    if not text.isprintable():
        text = text.encode("unicode_escape", "backslashreplace").decode("ascii")
    return f"`{text}`"


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return `did you mean `flights_clean`?`, or an empty text if no known name is similar."""
    results = close_names(name, known, 1)
    return f"did you mean {shown(results[0])}?" if results else ""


def close_names(name: str, known: Collection[str], limit: int) -> list[str]:
    """Return at most `limit` known names that are similar to a name, the most similar first.

    Names whose length differs by more than a third (at least 2 characters) aren't compared, so
    10,000 known names take a few milliseconds.
    """
    room = max(2, len(name) // 3)
    near = {other.lower(): other for other in known if abs(len(other) - len(name)) <= room}
    return [near[text] for text in get_close_matches(name.lower(), near, n=limit, cutoff=0.6)]


def one_of(names: Collection[str]) -> str:
    """Return the names as `a, b or c`, for messages."""
    words = [f"`{name}`" for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


# Fields and values of dbt, Airflow, Dagster and SQLMesh with Headrace's equivalents, as hints for
# users of those tools.

_SCHEDULE = (
    "leave it out: an asset runs when its inputs are there and a consumer needs it; or write"
    " trigger: {cron: '0 6 * * *'}"
)

_WRITTEN = re.compile(r"\bwrite ([a-z_]+):")
_EVERY = "leave it out: Headrace looks for new data by itself; or write every: 1h"
_OF_SOURCES = {"schedule": _EVERY, "schedule_interval": _EVERY, "cron": _EVERY, "trigger": _EVERY}


def hint_of_field(name: str, known: Collection[str]) -> str:
    """Return the hint for a field that isn't known here; it proposes known fields only."""
    for hint in (FIELDS.get(name, ""), _OF_SOURCES.get(name, "")):
        fits = all(field in known for field in _WRITTEN.findall(hint))
        if hint and (fits or "consumers.yaml" in hint):
            return hint
    return ""


FIELDS = {
    "command": "a program is an asset of its own: write it in assets/NAME.yaml, with asset: NAME",
    "tests": "write checks: [{unique: [id]}, {not_null: [id]}]",
    "data_tests": "write checks: [{unique: [id]}, {not_null: [id]}]",
    "audits": "write checks: [{unique: [id]}, {not_null: [id]}]",
    "models": (
        "this is dbt's: each asset has a file of its own, and its checks are in its front matter"
    ),
    "config": "write its fields here directly: materialize: …, tags: […]",
    "unique_key": "write materialize: merge and merge: {keys: [id]}",
    "incremental_strategy": (
        "write partition: day, which replaces each day's rows; or materialize: merge"
    ),
    "materialized": "write materialize: table, view, merge, snapshot or append",
    "schedule": _SCHEDULE,
    "schedule_interval": _SCHEDULE,
    "cron": "write trigger: {cron: '0 6 * * *'}",
    "retries": "write attempts_max: 3",
    "retry_policy": "write attempts_max: 3",
    "retry_delay": (
        "leave it out: delays between attempts grow by themselves; attempts_max says how many"
        " there are"
    ),
    "execution_timeout": "write timeout: 1h",
    "start_date": "write start: 2025-01-01",
    "partitions_def": "write partition: day",
    "partition_by": "write partition: {by: day, column: order_date}",
    "partitioned_by": "write partition: {by: day, column: order_date}",
    "time_column": "write partition: {by: day, column: order_date}",
    "catchup": (
        "write trigger: {cron: …, catch_up: latest}; without it all missed partitions are computed"
    ),
    "depends_on": "write depends: [name]; what the SQL reads needs no mention",
    "deps": "write depends: [name]; what the SQL reads needs no mention",
    "ins": "write inputs: [name]",
    "email": "write owner: with a name from owners.yaml, whose contact is mailto:…",
    "email_on_failure": "write owner: with a name from owners.yaml, whose contact is mailto:…",
    "sla": 'write due: "07:00" at a consumer in consumers.yaml',
    "freshness_policy": "write max_age: 30h at a consumer in consumers.yaml",
    "group": "write domain: …, or tags: […]",
    "group_name": "write domain: …, or tags: […]",
    "io_manager_key": "leave it out: what an asset returns is published in the lake",
    "enabled": "leave it out; `headrace pause NAME --reason TEXT` stops it",
    "alias": "write name: …",
    "meta": "write tags: […] or description: …",
}
"""Hints for fields of assets and sources that only other tools have."""

VALUES = {
    (
        "materialize",
        "incremental",
    ): (
        "write partition: day with materialize: table (each day's rows are replaced), or merge or"
        " append"
    ),
    ("materialize", "ephemeral"): "write view",
    ("materialize", "materialized_view"): "write table, or view",
    ("materialize", "full"): "write table",
    (
        "materialize",
        "incremental_by_time_range",
    ): "write partition: {by: day, column: …} with materialize: table",
    ("materialize", "incremental_by_unique_key"): "write merge, with merge: {keys: [id]}",
    ("materialize", "scd_type_2"): "write snapshot",
    ("partition", "daily"): "write day",
    ("partition", "hourly"): "write hour",
    ("partition", "weekly"): "write week",
    ("partition", "monthly"): "write month",
    ("partition", "yearly"): "write year",
}
"""Hints for values that other tools use in fields that Headrace has too, by field and value."""

CHECKS = {
    "relationships": "write references: {column: customer_id, to: customers.id}",
    "accepted_range": "write range: {column: amount, min: 0, max: 100}",
    "expression_is_true": (
        'write sql: {name: amount_is_positive, query: "select * from $self where not (amount >='
        ' 0)"}'
    ),
    "expect_column_values_to_not_be_null": "write not_null: [id]",
    "expect_column_values_to_be_unique": "write unique: [id]",
    "expect_column_values_to_be_between": "write range: {column: amount, min: 0, max: 100}",
    "expect_column_values_to_be_in_set": "write accepted_values: {column: kind, values: [a, b]}",
    "expect_column_values_to_match_regex": "write regex: {column: code, pattern: '[A-Z]{3}'}",
    "expect_table_row_count_to_be_between": "write row_count: {min: 1, max: 1000}",
    "unique_combination_of_columns": "write unique: [order_id, line]",
    "not_empty": "write row_count: {min: 1}",
    "not_empty_string": "write regex: {column: code, pattern: '.+'}",
    "recency": "write freshness: {column: loaded_at, max_age: 2d}",
    "primary_key": "write unique: [id] and not_null: [id]",
}
"""Hints for checks of dbt, its packages and Great Expectations."""

CRON = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Cron nicknames with their five fields."""

_CONVERT = "convert it to Parquet or CSV"
_READ = "read it in a Python asset or a command, which gives a table"
_PACK = "unpack it, or pack it as .gz, .tar or .zip"
LEGACY_HINT = "pip install headrace-legacy"
FILES = {
    **dict.fromkeys(("xlsx", "xlsm", "xls", "xlsb", "ods", "xml"), LEGACY_HINT),
    **dict.fromkeys(
        ("sta", "mt940", "940", "ach", "nacha", "bai", "bai2", "hl7", "fix", "naaccr"), LEGACY_HINT
    ),
    **dict.fromkeys(
        ("x12", "835", "837", "850", "856", "810", "820", "997", "edifact"), LEGACY_HINT
    ),
    **dict.fromkeys(("avro", "orc", "feather", "arrow", "h5", "hdf5", "pkl", "pickle"), _CONVERT),
    **dict.fromkeys(("sas7bdat", "xpt", "sav", "zsav", "por", "dta", "dbf"), LEGACY_HINT),
    **dict.fromkeys(("mdb", "accdb"), _CONVERT),
    **dict.fromkeys(("pdf", "docx", "html"), _READ),
    **dict.fromkeys(("7z", "rar"), _PACK),
}
"""Hints for file formats that Headrace itself has no reader for, by file ending."""


# Fixed clauses in the details of evidence. One package writes them and another one recognises
# them, so both use the same constant.

SIZE = "location: "
"""Precedes the factor by which a column's values are larger or smaller than expected."""
BESIDES = "whatever its columns are called"
"""Ends the detail of an anomaly that holds a delivery regardless of its column names."""
DELIVERED_AS = "delivered as "
"""Precedes the delivery's own name for the column in the same detail, if that differs."""
OUTSIZED = ("takes more memory than an attempt may use", "takes more time than an attempt may take")
"""Begins the detail of a delivery that is too large to be read; its size follows."""
FRACTIONS = "the conversion gives fractions"
"""Follows the name of an integer column whose conversion yields fractions; its type follows."""
UNRESOLVED = "a secret of it can't be had"
"""Begins the failure of an attempt with an unresolved secret; the missing secret follows."""
LAKE_CLOSED = "the lake can't be written"
"""Begins the reason why a delivery waits for a writable lake; the system's error follows."""
LAKE_FILE = "the lake's file "
"""Begins the reason why an attempt waits for a damaged file; its path and the damage follow."""
