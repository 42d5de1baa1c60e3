"""What a project's Python files import: the decorator `asset` and the class `Context`.

Headrace finds assets in the syntax tree without importing anything, so the decorator only marks the function. Its arguments are
the fields of any asset and must be literals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

# Types of the arguments of `@asset`, for editors and type checkers. Their values are validated
# when the file is read.

GrainName: TypeAlias = Literal["hour", "day", "week", "month", "quarter", "year"]
Scalar: TypeAlias = str | int | float | bool
Materialization: TypeAlias = Literal["table", "append", "merge", "snapshot", "view", "files", "none"]
OnFail: TypeAlias = Literal["reject", "hold", "warn", "quarantine_rows"]
OnAnomaly: TypeAlias = Literal["hold", "warn", "ignore"]
Batch: TypeAlias = Literal["auto", "off", False]
OnReferenceChange: TypeAlias = Literal["ignore", "rebuild"]
InputModeName: TypeAlias = Literal["required", "all", "previous", "within"]
TriggerName: TypeAlias = Literal["manual", "upstream", "webhook", "arrival"]
Texts: TypeAlias = str | Sequence[str]


class _ByRequired(TypedDict):
    by: GrainName


class By(_ByRequired, total=False):
    """Partitions by time, with the column that says which partition a row belongs to."""

    column: str


class _KeyRequired(TypedDict):
    key: str


class Key(_KeyRequired, total=False):
    """Partitions by a key column; `values` lists the keys where they are known."""

    values: Sequence[str]


Partition: TypeAlias = GrainName | Literal["*"] | By | Key | Sequence[GrainName | By | Key]


class Input(TypedDict, total=False):
    """How an input is read: `lookback` is a duration such as `7d`, `optional` inputs are done without once they are late."""

    lookback: str
    optional: bool
    mode: InputModeName
    all: bool
    previous: bool
    within: bool


Inputs: TypeAlias = str | Mapping[str, Input | InputModeName | None] | Sequence[str | Mapping[str, Input | InputModeName | None]]


class ReadsWrites(TypedDict, total=False):
    """Columns that are written, with their types where they are known, and columns that are read of each input."""

    writes: Mapping[str, str | None] | Sequence[str]
    reads: Mapping[str, Texts]


Columns: TypeAlias = ReadsWrites | Mapping[str, str | None] | Texts


class _Keys(TypedDict):
    keys: Texts


class Merge(_Keys, total=False):
    """The key columns of `materialize="merge"`, and the column that says that a row is deleted."""

    delete: str


class Snapshot(_Keys, total=False):
    """The key columns of `materialize="snapshot"`, the columns whose change makes a version, and what a missing row means."""

    columns: Texts
    deletes: Literal["ignore", "close"]


class Trigger(TypedDict, total=False):
    """One kind of trigger with its value, and how it catches up after downtime."""

    cron: str
    interval: str
    arrival: str | bool
    upstream: str | bool
    webhook: bool
    manual: bool
    catch_up: Literal["all", "latest"]
    timezone: str


class Range(TypedDict, total=False):
    """Arguments of the check `range`."""

    column: str
    min: Scalar
    max: Scalar
    name: str
    severity: Literal["blocking", "warning"]
    where: str


class AcceptedValues(TypedDict, total=False):
    """Arguments of the check `accepted_values`."""

    column: str
    values: Sequence[Scalar]
    name: str
    severity: Literal["blocking", "warning"]
    where: str


class ColumnsOf(TypedDict, total=False):
    """Arguments of the checks `unique` and `not_null`, written out."""

    columns: Texts
    name: str
    severity: Literal["blocking", "warning"]
    where: str


class Regex(TypedDict, total=False):
    """Arguments of the check `regex`."""

    column: str
    pattern: str
    name: str
    severity: Literal["blocking", "warning"]
    where: str


class References(TypedDict, total=False):
    """Arguments of the check `references`: `to` is `asset.column`."""

    column: str
    to: str
    name: str
    severity: Literal["blocking", "warning"]
    where: str


class Freshness(TypedDict, total=False):
    """Arguments of the check `freshness`: `max_age` is a duration such as `2d`."""

    column: str
    max_age: str
    name: str
    severity: Literal["blocking", "warning"]
    where: str


class RowCount(TypedDict, total=False):
    """Arguments of the check `row_count`."""

    min: int
    max: int
    name: str
    severity: Literal["blocking", "warning"]
    where: str


class Sql(TypedDict, total=False):
    """Arguments of the check `sql`: the query returns the rows that are wrong; `$self` are the rows that are checked."""

    query: str
    name: str
    severity: Literal["blocking", "warning"]
    where: str


class Check(TypedDict, total=False):
    """One check: one kind with its arguments; `name`, `severity` and `where` may stand beside it."""

    unique: Texts | ColumnsOf
    not_null: Texts | ColumnsOf
    accepted_values: AcceptedValues
    range: Range
    regex: Regex
    references: References
    freshness: Freshness
    row_count: RowCount
    sql: Sql
    name: str
    severity: Literal["blocking", "warning"]
    where: str


# The decorator and the context.

Function = TypeVar("Function", bound=Callable[..., Any])
MARK = "__headrace_asset__"
"""Attribute of a decorated function: the decorator's arguments that aren't None."""
LogLevel = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class Context:
    """What one attempt is for. A function gets it as its first parameter, if that is called `ctx` or annotated `Context`.

    `run_asset` of `headrace.testing` makes one for tests; a test may also write `Context(asset="report")`.
    """

    asset: str
    """The asset's name."""
    partition: str = "*"
    """The key of the partition to compute: `2013-02-11`, `2013-02`, `EWR`, `2013-02-11/EWR`; `*` where data isn't partitioned."""
    partitions: tuple[str, ...] = ("*",)
    """All keys of the attempt. A Python asset computes one at a time, so that it is `(partition,)`."""
    start: datetime | None = None
    """The first instant of the interval, with the asset's time zone; None where data isn't partitioned by time."""
    end: datetime | None = None
    """The first instant after the interval, with the asset's time zone; None where data isn't partitioned by time."""
    timezone: str = "UTC"
    """The IANA name of the zone whose calendar partitions the asset's data."""
    attempt: str = ""
    """The attempt's id, as `headrace runs` and `headrace logs` show it."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """`[parameters]` of headrace.toml, with those of the asset over them."""
    output_directory: Path | None = None
    """Of `materialize="files"`: the empty folder to write files into; None for every other asset."""
    partition_key: str | None = None
    """The key's value where data is partitioned by a key; None elsewhere."""

    def log(self, message: str, level: LogLevel = "info") -> None:
        """Write a line into the attempt's log, which `headrace logs` shows.

        Raises ValueError for a level that there isn't. Python's `logging` and `print` work as well; `print` has no levels.
        """
        import logging

        number = logging.getLevelNamesMapping().get(level.upper())
        if number is None:
            raise ValueError(f"{level!r} is no level: debug, info, warning, error or critical")
        logging.getLogger(f"headrace.asset.{self.asset}").log(number, "%s", message)

    def progress(self, fraction: float, message: str = "") -> None:
        """Write how far the attempt is, from 0 to 1, as a line into its log."""
        self.log(f"progress {min(max(fraction, 0.0), 1.0):.0%} {message}".rstrip())


def asset(  # noqa: PLR0913 - one parameter for each field that a file may declare
    *,
    owner: str,
    name: str | None = None,
    description: str | None = None,
    tags: Texts | None = None,
    domain: str | None = None,
    calendar: str | None = None,
    timezone: str | None = None,
    partition: Partition | None = None,
    start: str | int | None = None,
    inputs: Inputs | None = None,
    depends: Texts | None = None,
    materialize: Materialization | None = None,
    merge: Merge | None = None,
    snapshot: Snapshot | None = None,
    columns: Columns | None = None,
    parameters: Mapping[str, Scalar | Sequence[Scalar]] | None = None,
    secrets: Texts | Mapping[str, str] | None = None,
    environment: Mapping[str, str | int] | None = None,
    checks: Sequence[Check] | None = None,
    on_fail: OnFail | None = None,
    on_anomaly: OnAnomaly | Mapping[str, OnAnomaly] | None = None,
    contract: str | None = None,
    trigger: TriggerName | Trigger | None = None,
    timeout: str | None = None,
    attempts_max: int | None = None,
    memory_max: str | None = None,
    pool: str | Mapping[str, int] | None = None,
    concurrency: int | None = None,
    priority: int | None = None,
    batch: Batch | None = None,
    on_reference_change: OnReferenceChange | None = None,
    renamed_from: str | None = None,
    code_files: Texts | None = None,
    code_packages: Texts | None = None,
) -> Callable[[Function], Function]:
    """Declare a function as an asset: `@asset(owner="flight-data", partition="day", inputs=["flights_clean"])`.

    Every argument must be a literal: Headrace reads the decorator without running the file. What is left out has the default
    of docs/reference/files.md.

    Args:
        owner: Who answers for it: a name in owners.yaml.
        name: Its name, if it isn't the function's.
        description: What it is, for people.
        tags: Short words; `tag:` selects by them.
        domain: The group that it belongs to; `domain:` selects by it.
        calendar: Dates on which nothing is due: a file in calendars/.
        timezone: The IANA name of the zone that cuts its days; the project's if left out.
        partition: How its data is partitioned: `"day"`, `{"by": "day", "column": "flight_date"}`, `{"key": "region"}`,
            `["day", {"key": "region"}]` or `"*"`.
        start: Its first partition; the latest start of its inputs if left out.
        inputs: What it reads, and how: `["flights"]`, `{"flights": {"lookback": "7d"}}`. Without it, the parameters name the inputs.
        depends: Nodes that come first, without data.
        materialize: What becomes of its rows: `"table"` if left out.
        merge: Of `materialize="merge"`: the key columns, and the column that says that a row is deleted.
        snapshot: Of `materialize="snapshot"`: the key columns, the columns whose change makes a version, what a missing row means.
        columns: The columns that it writes, with DuckDB's types, and those that it reads of each input.
        parameters: Values in `ctx.parameters`; they are part of the asset's identity.
        secrets: Names of secrets that its code gets as environment variables of those names, or names with references:
            `{"PASSWORD": "secret://file/run/password"}`.
        environment: Environment variables that its code gets: `{"TZ": "UTC"}`. They are part of its identity.
        checks: Statements about each partition, evaluated before anybody can read it: `[{"not_null": ["id"]}]`.
        on_fail: What a blocking check that fails does: `"reject"` if left out.
        on_anomaly: What figures unlike the history do, also by column.
        contract: The contract in contracts/; the one of its own name if left out.
        trigger: What releases it; its inputs, as soon as they are complete, if left out.
        timeout: How long one attempt may take: `"1h"` if left out.
        attempts_max: How often a failure that may pass is tried: 5 if left out.
        memory_max: How much memory one attempt may use: `"2GB"`.
        pool: The concurrency pool whose slots its attempts take, or pools with how many of each.
        concurrency: How many of its attempts run at once.
        priority: Who comes first where workers are scarce: the larger number.
        batch: Whether many partitions may be computed at once. A Python asset computes one at a time.
        on_reference_change: What a newer reference does to published partitions: `"ignore"` if left out.
        renamed_from: Its former name, whose history it keeps.
        code_files: Files of the project that its code uses, as patterns: `["models/*.json"]`. A change of one is a change of the asset.
        code_packages: Installed packages whose version is part of the asset: a new version is a change of the asset.
    """
    declared = {name: value for name, value in locals().items() if value is not None}

    def mark(function: Function) -> Function:
        setattr(function, MARK, declared)
        return function

    return mark
