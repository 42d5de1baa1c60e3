"""The decorator `asset` and the class `Context`, which a project's Python files import.

Headrace finds assets in the syntax tree without importing anything, so the decorator only marks the
function. Its arguments are the fields of any asset and must be literals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Required, TypeAlias, TypedDict, TypeVar

# Types of the arguments of `@asset`, for editors and type checkers. Their values are validated
# when the file is read.

GrainName: TypeAlias = Literal["hour", "day", "week", "month", "quarter", "year"]
Scalar: TypeAlias = str | int | float | bool
Materialization: TypeAlias = Literal[
    "table", "append", "merge", "snapshot", "view", "files", "none"
]
OnFail: TypeAlias = Literal["reject", "hold", "warn", "quarantine_rows"]
OnAnomaly: TypeAlias = Literal["hold", "warn", "ignore"]
Batch: TypeAlias = Literal["auto", "off", False]
OnReferenceChange: TypeAlias = Literal["ignore", "rebuild"]
InputModeName: TypeAlias = Literal["required", "all", "previous", "within"]
TriggerName: TypeAlias = Literal["manual", "upstream", "webhook", "arrival"]
Texts: TypeAlias = str | Sequence[str]


class By(TypedDict, total=False):
    """Partitions by time, with the column that assigns a row to its partition."""

    by: Required[GrainName]
    column: str


class Key(TypedDict, total=False):
    """Partitions by a key column; `values` lists the keys if they are fixed."""

    key: Required[str]
    values: Sequence[str]


Partition: TypeAlias = GrainName | Literal["*"] | By | Key | Sequence[GrainName | By | Key]


class Input(TypedDict, total=False):
    """Options of an input. `lookback` is a duration such as `7d`.

    The asset doesn't wait for a late `optional` input.
    """

    lookback: str
    optional: bool
    mode: InputModeName
    all: bool
    previous: bool
    within: bool


Inputs: TypeAlias = (
    str
    | Mapping[str, Input | InputModeName | None]
    | Sequence[str | Mapping[str, Input | InputModeName | None]]
)


class ReadsWrites(TypedDict, total=False):
    """Columns that the asset writes, optionally with types, and columns that it reads, by input."""

    writes: Mapping[str, str | None] | Sequence[str]
    reads: Mapping[str, Texts]


Columns: TypeAlias = ReadsWrites | Mapping[str, str | None] | Texts


class Merge(TypedDict, total=False):
    """The key columns of `materialize="merge"`, and the column that marks a row as deleted."""

    keys: Required[Texts]
    delete: str


class Snapshot(TypedDict, total=False):
    """Options of `materialize="snapshot"`.

    A change in one of `columns` creates a new version of the row with these `keys`. `deletes` says
    whether a missing row's last version stays current (`ignore`) or is closed (`close`).
    """

    keys: Required[Texts]
    columns: Texts
    deletes: Literal["ignore", "close"]


class Trigger(TypedDict, total=False):
    """One kind of trigger with its value; `catch_up` applies after downtime."""

    cron: str
    interval: str
    arrival: str | bool
    upstream: str | bool
    webhook: bool
    manual: bool
    catch_up: Literal["all", "latest"]
    timezone: str


class CheckOptions(TypedDict, total=False):
    """What every check may have."""

    name: str
    severity: Literal["blocking", "warning"]
    where: str


class Range(CheckOptions, total=False):
    """Arguments of the check `range`."""

    column: str
    min: Scalar
    max: Scalar


class AcceptedValues(CheckOptions, total=False):
    """Arguments of the check `accepted_values`."""

    column: str
    values: Sequence[Scalar]


class ColumnsOf(CheckOptions, total=False):
    """Arguments of the checks `unique` and `not_null`, in the long form."""

    columns: Texts


class Regex(CheckOptions, total=False):
    """Arguments of the check `regex`."""

    column: str
    pattern: str


class References(CheckOptions, total=False):
    """Arguments of the check `references`: `to` is `asset.column`."""

    column: str
    to: str


class Freshness(CheckOptions, total=False):
    """Arguments of the check `freshness`: both are durations such as `2d`."""

    column: str
    max_age: str
    max_ahead: str


class RowCount(CheckOptions, total=False):
    """Arguments of the check `row_count`."""

    min: int
    max: int


class Sql(CheckOptions, total=False):
    """Arguments of the check `sql`: the query returns the wrong rows of `$self`, the partition."""

    query: str


class Check(CheckOptions, total=False):
    """One check: one kind with its arguments, and optionally `name`, `severity` and `where`."""

    unique: Texts | ColumnsOf
    not_null: Texts | ColumnsOf
    accepted_values: AcceptedValues
    range: Range
    regex: Regex
    references: References
    freshness: Freshness
    row_count: RowCount
    sql: Sql


# The decorator and the context.

Function = TypeVar("Function", bound=Callable[..., Any])
MARK = "__headrace_asset__"
"""Attribute of a decorated function with the decorator's arguments that aren't None."""
LogLevel = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class Context:
    """The current attempt: its asset, partition, interval and parameters.

    A function gets it as its first parameter if that is named `ctx` or annotated with `Context`. In
    tests, `headrace_testing.run_asset` creates one; `Context(asset="report")` works too.
    """

    asset: str
    """The asset's name."""
    partition: str = "*"
    """The key of the partition to compute; `*` if the asset isn't partitioned.

    For example `2013-02-11`, `2013-02`, `EWR` or `2013-02-11/EWR`.
    """
    partitions: tuple[str, ...] = ("*",)
    """All keys of the attempt: `(partition,)`, because Python assets compute one at a time."""
    start: datetime | None = None
    """The interval's start in the asset's time zone; None if not partitioned by time."""
    end: datetime | None = None
    """The interval's end (exclusive) in the asset's time zone; None if not partitioned by time."""
    timezone: str = "UTC"
    """IANA name of the asset's time zone."""
    attempt: str = ""
    """The attempt's id, as shown by `headrace runs` and `headrace logs`."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """`[parameters]` of headrace.toml, overridden by the asset's own."""
    output_directory: Path | None = None
    """For `materialize="files"`: the empty folder to write files into; None for other assets."""
    partition_key: str | None = None
    """The key's value if the asset is partitioned by a key; else None."""

    def log(self, message: str, level: LogLevel = "info") -> None:
        """Write a line to the attempt's log, which `headrace logs` shows.

        Raises ValueError for an unknown level. Python's `logging` and `print` also write to the
        log; `print` has no levels.
        """
        import logging

        number = logging.getLevelNamesMapping().get(level.upper())
        if number is None:
            raise ValueError(f"{level!r} is no level: debug, info, warning, error or critical")
        logging.getLogger(f"headrace.asset.{self.asset}").log(number, "%s", message)

    def progress(self, fraction: float, message: str = "") -> None:
        """Write the attempt's progress as a line to its log. `fraction` is from 0 to 1."""
        self.log(f"progress {min(max(fraction, 0.0), 1.0):.0%} {message}".rstrip())


def asset(  # noqa: PLR0913 - one parameter for each field that a file may declare
    *,
    owner: str | None = None,
    name: str | None = None,
    description: str | None = None,
    tags: Texts | None = None,
    domain: str | None = None,
    calendar: str | None = None,
    timezone: str | None = None,
    for_each: Sequence[Mapping[str, Scalar | Sequence[Scalar]]] | None = None,
    partition: Partition | None = None,
    start: str | int | None = None,
    inputs: Inputs | None = None,
    depends: Texts | None = None,
    materialize: Materialization | None = None,
    merge: Merge | None = None,
    snapshot: Snapshot | None = None,
    columns: Columns | None = None,
    declassify: Mapping[str, str] | None = None,
    parameters: Mapping[str, Scalar | Sequence[Scalar]] | None = None,
    secrets: Texts | Mapping[str, str] | None = None,
    environment: Mapping[str, str | int] | None = None,
    sandbox: Mapping[str, str | Sequence[str] | Sequence[int]] | None = None,
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
    retain: str | None = None,
    retain_rebuildable: str | None = None,
    code_files: Texts | None = None,
    code_packages: Texts | None = None,
    requirements: Texts | None = None,
) -> Callable[[Function], Function]:
    """Declare a function as an asset.

    For example `@asset(owner="flight-data", partition="day", inputs=["flights_clean"])`.

    Every argument must be a literal, because Headrace reads the decorator without running the file.
    docs/reference/files.md lists the defaults of omitted arguments.

    Args:
        owner: Owner of the asset: a name in owners.yaml.
        name: Name of the asset; the function's name by default.
        description: Description for readers.
        tags: Short words; `tag:` selects by them.
        domain: Group of the asset; `domain:` selects by it.
        calendar: Dates on which nothing is due: a file in calendars/, or a market or country such
            as `"NYSE"` or `"US"`.
        timezone: IANA name of the time zone of its partitions; the project's by default.
        for_each: The values of many assets that the function computes:
            `[{"table": "orders"}, {"table": "customers"}]`; in texts of the other arguments
            `$value(table)` stands for one of them.
        partition: Partitioning: `"day"`, `{"by": "day", "column": "flight_date"}`,
            `{"key": "region"}`, `["day", {"key": "region"}]` or `"*"`.
        start: First partition; by default the first for which all inputs have started.
        inputs: Inputs and their options: `["flights"]`, `{"flights": {"lookback": "7d"}}`; by
            default the function's parameters name the inputs.
        depends: Nodes that must finish first, though no data of them is read.
        materialize: How its rows are stored; `"table"` by default.
        merge: For `materialize="merge"`: the key columns, and the column that marks a row as
            deleted.
        snapshot: For `materialize="snapshot"`: the key columns, the columns whose change creates a
            version, and the treatment of missing rows.
        columns: Columns that it writes, with DuckDB's types, and columns that it reads, by input.
        declassify: Columns that aren't classified although they derive from classified ones, with
            reasons: `{"customers": "a count of at least 20 people"}`.
        parameters: Values in `ctx.parameters`; they are part of the asset's identity.
        secrets: Names of secrets, passed to its code as environment variables of the same names; or
            names with references: `{"PASSWORD": "secret://file/run/password"}`.
        environment: Environment variables for its code: `{"TZ": "UTC"}`; they are part of the
            asset's identity.
        sandbox: Paths, TCP ports and hosts that its code may reach beyond its inputs:
            `{"read": ["/mnt/ref"], "hosts": ["api.example.org"]}`, or `{"off": "the reason"}`.
        checks: Checks of each partition, evaluated before it is published:
            `[{"not_null": ["id"]}]`.
        on_fail: Effect of a failed blocking check; `"reject"` by default.
        on_anomaly: Effect of anomalies against the asset's history, for all columns or by column.
        contract: Name of its contract in contracts/; the asset's name by default.
        trigger: Trigger of its runs; by default, complete inputs.
        timeout: Time limit of one attempt; `"1h"` by default.
        attempts_max: Maximum number of attempts for transient failures; 5 by default.
        memory_max: Memory limit of one attempt: `"2GB"`.
        pool: Concurrency pool of its attempts, or the number of slots by pool.
        concurrency: Maximum number of its attempts that run concurrently.
        priority: Assets with a larger number get a free worker first.
        batch: Whether one attempt may compute many partitions. The function is called once for
            each of them; `"off"` gives each an attempt of its own.
        on_reference_change: Effect of a newer reference on published partitions; `"ignore"` by
            default.
        renamed_from: Its former name, whose history it keeps.
        retain: How long the rows of a partition are kept: `"30d"`, `"13mo"`, `"7y"`.
        retain_rebuildable: Only for SQL assets.
        code_files: Patterns of project files that its code uses: `["models/*.json"]`. A change of
            one of them is a change of the asset.
        code_packages: Installed packages that its code uses; a new version is a change of the
            asset.
        requirements: Packages that its code runs with, in an environment of its own:
            `["pandas==2.2.3"]`, or `["-r FILE"]`. `headrace lock` writes which they
            are.
    """
    declared = {name: value for name, value in locals().items() if value is not None}

    def mark(function: Function) -> Function:
        setattr(function, MARK, declared)
        return function

    return mark
