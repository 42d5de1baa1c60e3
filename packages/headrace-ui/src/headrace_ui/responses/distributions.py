"""The response of a column's distribution over time."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response


class DistributionPointRow(Response, frozen=True, kw_only=True):
    """The distribution of a column's values in one partition, by its newest audit.

    Numbers are numbers, dates and times are local and without a zone (`2025-02-10T05:15`).
    """

    partition: str
    published: bool
    """Whether the audited rows are the published ones; false for held or rejected ones."""
    recorded: bool
    """Whether a profile is stored; without one, the other fields are null."""
    rows: int | None
    nulls: int | None
    sampled: int | None
    """The number of rows from which percentiles and shares come; null if from all."""
    least: float | str | None
    greatest: float | str | None
    percentiles: list[float | str | None] | None
    """The 5th, 25th, 50th, 75th and 95th percentile; null if they weren't recorded."""
    median_between: list[float] | None
    """The lowest and the highest median expected by earlier published partitions. Null for times,
    with too few of them, and if this or one of them isn't positive."""
    shares: list[float | None] | None
    """The share of the rows (0 to 1) with each of the response's `values`.

    A share is null if it isn't recorded: such rows are part of `others`.
    """
    shares_between: list[list[float] | None] | None
    """The lowest and the highest expected share of each of the response's `values`, by earlier
    published partitions and this one's nulls; null for a share that isn't compared with them."""
    others: float | None
    """The share of the rows with another value; null if no frequent values are recorded."""
    anomalies: list[str]
    """The kinds of reported anomalies of this column, for example `null_spike`."""


class DistributionResponse(Response, frozen=True, kw_only=True):
    """How the values of a column were distributed in each of the newest partitions, oldest first.

    `kind` is `numbers`, `times`, `values` (texts and flags) or `none` (nothing is recorded).
    `classified`: the column is classified, and its values are shown to nobody.
    """

    now: datetime
    node: str
    column: str
    key: str | None
    timezone: str | None
    """The zone of the times; null for numbers, dates, and times without a zone."""
    classified: bool
    kind: str
    values: list[str]
    """The most frequent values; empty if no share of single values is recorded."""
    values_left_out: int
    """The number of other recorded values, whose rows are part of `others`."""
    points: list[DistributionPointRow]
