"""The types of what `@asset` takes, for editors and type checkers. What a value means is checked when the file is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, TypedDict

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
