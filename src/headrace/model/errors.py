"""The failure vocabulary, the problems of declarations, and the wording that they share.

    HeadraceError                  anything that Headrace itself refuses or reports
    ├── UsageError                 the command line is wrong                     exit 2
    │   └── UnknownName            it names something that doesn't exist
    ├── ProjectError               the project can't be read, or has problems    exit 1
    ├── Refused                    policy says no: `--yes`, `apply` first, …     exit 3
    ├── NotBuilt                   declared or typed, but unsupported            exit 2
    ├── StoreError                 the state can't be read or written            exit 1
    │   ├── StoreUnreachable         the database's server can't be reached just now
    │   └── LeaseLost              another leader took over; nothing was committed
    └── LakeError                  the lake's files or catalog can't be used     exit 1

A message says what was touched, why it was refused, and what to do next. Problems of a file are collected while it is read, so
that a person gets all of them at once.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from difflib import get_close_matches

from headrace.model.nodes import Place, Value


def first_line(error: BaseException) -> str:
    """The first line of what an error says; of one that says nothing, what it is."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class HeadraceError(Exception):
    """Base. `hint` says what to do next, in one line."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(HeadraceError):
    """What was typed can't be understood."""

    exit_code = 2


class UnknownName(UsageError):
    """A node, run, incident or the like is named that doesn't exist. Over HTTP that is 404."""


class ProjectError(HeadraceError):
    """The project's declarations can't be used."""


class Refused(HeadraceError):
    """Policy says no: it isn't allowed, needs `--yes` or an approval, or `apply` first."""

    exit_code = 3


class NotBuilt(HeadraceError):
    """The name is known, what it names isn't built yet."""

    exit_code = 2


class StoreError(HeadraceError):
    """The state database can't be read or written."""


class StoreUnreachable(StoreError):
    """The state's server can't be reached, is starting or is ending: another try may reach it."""


class LeaseLost(StoreError):
    """Another leader has taken over; what this one tried to commit was not committed."""


class LakeError(HeadraceError):
    """The lake's files or its catalog can't be used."""


_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPELT_OUT = {
    "OS": "operating system",
    "IO": "input or output",
    "EOF": "end of file",
    "gaierror": "name lookup error",
    "herror": "name lookup error",
}


def words_of(error: BaseException) -> str:
    """The name of an exception's class in words: `read timeout` for a ReadTimeout."""
    words = _WORDS.sub(" ", type(error).__name__).split()
    return " ".join(_SPELT_OUT.get(word, word if word.isupper() else word.lower()) for word in words)


def message_of(error: BaseException) -> str:
    """What an exception of another library says, on one line; where it says nothing, its class in words."""
    return " ".join(str(error).split()) or words_of(error)


# A problem of a declaration: what is wrong, where, and what to write instead.


class ProblemLevel(enum.StrEnum):
    """An error stops `apply`; a warning doesn't."""

    ERROR = "error"
    WARNING = "warning"


class Problem(Value, kw_only=True):
    """One thing that `validate` reports. `code` is stable and has a page (`headrace explain CODE`)."""

    code: str
    message: str
    hint: str = ""
    place: Place
    level: ProblemLevel = ProblemLevel.ERROR


# The problems of one file, collected while it is read, and the parts of their messages.

SHOWN_CHARACTERS_MAX = 60
"""How much of a value a message repeats."""
PROBLEMS_MAX = 200
"""How many problems of one file are kept: the thousandth adds nothing for who reads them."""


class Report:
    """Collects the problems of one file; `file` is its path relative to the project."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def place(self, line: int) -> Place:
        """A place in this file."""
        return Place(file=self.file, line=line)

    def error(self, code: str, line: int, message: str, hint: str = "") -> None:
        """Something that stops `apply`."""
        self._add(Problem(code=code, message=message, hint=hint, place=self.place(line)))

    def warning(self, code: str, line: int, message: str, hint: str = "") -> None:
        """Something worth saying that stops nothing."""
        self._add(Problem(code=code, message=message, hint=hint, place=self.place(line), level=ProblemLevel.WARNING))

    def _add(self, problem: Problem) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)
        elif len(self.problems) == PROBLEMS_MAX:
            hint = "mend those above, then validate again"
            text = f"there are more than {PROBLEMS_MAX} problems in this file"
            self.problems.append(Problem(code="too_many_problems", message=text, hint=hint, place=problem.place))


def shown(value: object) -> str:
    """A value as a message shows it: short, on one line, without anything that a terminal would obey."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > SHOWN_CHARACTERS_MAX:
        text = text[: SHOWN_CHARACTERS_MAX - 1] + "…"
    if not text.isprintable():
        text = text.encode("unicode_escape", "backslashreplace").decode("ascii")
    return f"`{text}`"


def did_you_mean(name: str, known: Collection[str]) -> str:
    """`did you mean `flights_clean`?`, or nothing where no known name is close.

    Names whose length differs by more than a third can't be close and aren't compared: 10,000 known names cost few milliseconds.
    """
    room = max(2, len(name) // 3)
    lowered = name.lower()
    near = {other.lower(): other for other in known if abs(len(other) - len(name)) <= room}
    results = get_close_matches(lowered, near, n=1, cutoff=0.6)
    return f"did you mean {shown(near[results[0]])}?" if results else ""


def one_of(names: Collection[str]) -> str:
    """`a, b or c`, for messages."""
    words = [f"`{name}`" for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


# Words of dbt, Airflow, Dagster and SQLMesh with what to write here instead: hints for people who
# know those tools.

_SCHEDULE = "leave it out: an asset runs when its inputs are there and a consumer needs it; or write trigger: {cron: '0 6 * * *'}"

FIELDS = {
    "tests": "write checks: [{unique: [id]}, {not_null: [id]}]",
    "data_tests": "write checks: [{unique: [id]}, {not_null: [id]}]",
    "audits": "write checks: [{unique: [id]}, {not_null: [id]}]",
    "models": "this is dbt's: each asset has a file of its own, and its checks stand in its front matter",
    "config": "its fields stand here directly: materialize: …, tags: […]",
    "unique_key": "write materialize: merge and merge: {keys: [id]}",
    "incremental_strategy": "write partition: day, which replaces each day's rows; or materialize: merge",
    "materialized": "write materialize: table, view, merge, snapshot or append",
    "schedule": _SCHEDULE,
    "schedule_interval": _SCHEDULE,
    "cron": "write trigger: {cron: '0 6 * * *'}",
    "retries": "write attempts_max: 3",
    "retry_policy": "write attempts_max: 3",
    "retry_delay": "leave it out: delays between attempts grow by themselves; attempts_max says how many there are",
    "execution_timeout": "write timeout: 1h",
    "start_date": "write start: 2025-01-01",
    "partitions_def": "write partition: day",
    "partition_by": "write partition: {by: day, column: order_date}",
    "partitioned_by": "write partition: {by: day, column: order_date}",
    "time_column": "write partition: {by: day, column: order_date}",
    "catchup": "write trigger: {cron: …, catch_up: latest}; without it all missed partitions are computed",
    "depends_on": "write depends: [name]; what the SQL reads needs no mention",
    "deps": "write depends: [name]; what the SQL reads needs no mention",
    "ins": "write inputs: [name]",
    "email": "write owner: with a name from owners.yaml, whose contact is mailto:…",
    "email_on_failure": "write owner: with a name from owners.yaml, whose contact is mailto:…",
    "sla": "write due: \"07:00\" at a consumer in consumers.yaml",
    "freshness_policy": "write max_age: 30h at a consumer in consumers.yaml",
    "group": "write domain: …, or tags: […]",
    "group_name": "write domain: …, or tags: […]",
    "io_manager_key": "leave it out: what an asset returns is published in the lake",
    "enabled": "leave it out; `headrace pause NAME --reason TEXT` stops it",
    "alias": "write name: …",
    "meta": "write tags: […] or description: …",
}  # fmt: skip
"""Fields of assets and sources that another tool has and that aren't fields here."""

VALUES = {
    ("materialize", "incremental"): "write partition: day with materialize: table (each day's rows are replaced), or merge or append",
    ("materialize", "ephemeral"): "write view",
    ("materialize", "materialized_view"): "write table, or view",
    ("materialize", "full"): "write table",
    ("materialize", "incremental_by_time_range"): "write partition: {by: day, column: …} with materialize: table",
    ("materialize", "incremental_by_unique_key"): "write merge, with merge: {keys: [id]}",
    ("materialize", "scd_type_2"): "write snapshot",
    ("partition", "daily"): "write day",
    ("partition", "hourly"): "write hour",
    ("partition", "weekly"): "write week",
    ("partition", "monthly"): "write month",
    ("partition", "yearly"): "write year",
}
"""Values of such fields."""

CHECKS = {
    "relationships": "write references: {column: customer_id, to: customers.id}",
    "accepted_range": "write range: {column: amount, min: 0, max: 100}",
    "expression_is_true": 'write sql: {name: amount_is_positive, query: "select * from $self where not (amount >= 0)"}',
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
"""Checks of dbt, its packages and Great Expectations."""

CRON = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
"""Nicknames of cron."""

_CONVERT = "convert it to Parquet or CSV"
_READ = "read it in a Python asset or a command, which gives a table"
_PACK = "unpack it, or pack it as .gz or .zip"
FILES = {
    **dict.fromkeys(("avro", "orc", "feather", "arrow", "h5", "hdf5", "pkl", "pickle"), _CONVERT),
    **dict.fromkeys(("sas7bdat", "xpt", "dta", "sav", "dbf", "mdb", "accdb"), _CONVERT),
    **dict.fromkeys(("pdf", "docx", "html"), _READ),
    **dict.fromkeys(("7z", "rar", "tar", "tgz"), _PACK),
}
"""Endings of files that no reader has, and what to do instead."""


# Fixed clauses in the details of facts. One package writes them and another one recognises them,
# so both use the same constant.

SIZE = "location: "
"""Before the factor by which a column's values are larger or smaller than expected."""
BESIDES = "whatever its columns are called"
"""The end of the detail of what is odd about a delivery that is held for its names, and would be with the names decided."""
DELIVERED_AS = "delivered as "
"""Before the name that the delivery has for the column, in the same detail, where it is another."""
OUTSIZED = ("takes more memory than an attempt may use", "takes more time than an attempt may take")
"""The beginning of the detail of a delivery that is too large to be read; its size follows."""
FRACTIONS = "the conversion gives fractions"
"""After the name of a column of whole numbers, which can't take what its conversion gives; its type follows."""
UNRESOLVED = "a secret of it can't be had"
"""The beginning of why an attempt failed whose secrets couldn't be resolved; what is missing follows."""
LAKE_CLOSED = "the lake can't be written"
"""The beginning of why a delivery waits that nothing can be published of; the system's reason follows."""
LAKE_FILE = "the lake's file "
"""The beginning of why an attempt waits that was to read a damaged file; its path and what is wrong with it follow."""
