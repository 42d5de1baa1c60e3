"""The responses of `ab`: trials of changes, and what came of them."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response
from headrace_advisor.responses.optimize import SavingRow


class TrialRunRow(Response, frozen=True, kw_only=True):
    """One timed run; `side` is `before` or `after`. `peak_bytes` are DuckDB's buffers."""

    partition: str
    side: str
    ms: float
    peak_bytes: int | None


class FollowedUpRow(Response, frozen=True, kw_only=True):
    """How much the real runs changed after the change was applied, and over how many days."""

    days: int
    percent: float


class StoredBytesRow(Response, frozen=True, kw_only=True):
    """The size of the files of the compared partitions before and after a change."""

    before: int
    after: int


class ReaderTrialRow(Response, frozen=True, kw_only=True):
    """The trial of an asset that reads a table whose rows were sorted for it."""

    id: str
    asset: str
    verdict: str
    change_percent: float | None
    ci95: list[float] | None


class LeftOutRow(Response, frozen=True, kw_only=True):
    """An asset that reads a table, wasn't run over its sorted rows, and why."""

    asset: str
    reason: str


class TrialRow(Response, frozen=True, kw_only=True):
    """A trial. `verdict` is `faster`, `slower`, `no_effect`, `not_equal` or `inconclusive`.

    `change_percent` with its interval of 95 % is about durations; null with too few runs. `equal`
    is null if no rows were compared, and `difference` says how the results differ. `unreached` are
    partitions that weren't compared: a difference ended the trial, or else its budget did, for
    `waited_seconds` of which no worker slot was idle. `followed_up` is null until the change is
    applied and has run.

    The trial of an order has the size of the files (`stored_bytes`), the assets that read them
    (`readers`), those that weren't run (`left_out`), and what it saves a month in the asset and
    its `readers` together. `edit` is what `headrace apply` then applies; null unless that saves.
    The list of trials has only `stored_bytes` of these."""

    id: str
    asset: str
    finding: str | None
    change: str
    verdict: str
    change_percent: float | None
    ci95: list[float] | None
    runs: list[TrialRunRow]
    equal: bool | None
    rows: int
    partitions: list[str]
    difference: str | None
    unreached: list[str]
    waited_seconds: float = 0.0
    by: str
    at: datetime
    followed_up: FollowedUpRow | None = None
    edit: str | None = None
    stored_bytes: StoredBytesRow | None = None
    readers: list[ReaderTrialRow] = []
    left_out: list[LeftOutRow] = []
    saves_month: SavingRow | None = None


class RecordedTrial(Response, frozen=True, kw_only=True):
    """The number of a stored trial."""

    number: int
