"""The response of `optimize`: what the advisor proposes, with premises and diffs."""

from __future__ import annotations

from headrace.extension import Response
from headrace_advisor.responses.advice import DismissalRow


class PremiseRow(Response, frozen=True, kw_only=True):
    """A statement that a proposal depends on. `guard` is the check, the contract or the part of the
    query that enforces it; null: nothing does."""

    text: str
    guard: str | None


class JoinRow(Response, frozen=True, kw_only=True):
    """A joined table, and the columns of it that the join compares."""

    table: str
    columns: list[str]


class EqualityRow(Response, frozen=True, kw_only=True):
    """Partitions in which the result was compared, as multisets of rows. Those of several assets
    are ASSET@PARTITION."""

    partitions: list[str]
    rows: int
    equal: bool


class MeasuredRow(Response, frozen=True, kw_only=True):
    """Times of interleaved runs before and after the change, and the change in percent with its
    confidence interval of 95 %. `before_peak_bytes` and `after_peak_bytes` are the most that
    DuckDB's buffers held in a run."""

    before_ms: list[float]
    after_ms: list[float]
    before_peak_bytes: int | None = None
    after_peak_bytes: int | None = None
    change_percent: float
    ci95: list[float]


class SavingRow(Response, frozen=True, kw_only=True):
    """What a proposal saves a month; null where nothing was measured."""

    seconds: float | None


class OptimizeRow(Response, frozen=True, kw_only=True):
    """One finding. `verdict` is `proven` (each premise has a guard), `measured_equal`, `refuted`
    (the finding doesn't hold, for the reasons in `premises`) or `unknown`. `diff` is a unified diff
    of the file; null where there is nothing to edit, and where it has code that your roles don't
    show, which `unmeasured` says.

    With `--prove`, `equality` and `measured` say what the change came to, `unmeasured` why it
    wasn't measured, and `waited_seconds` how long it waited for an idle worker slot. `command`
    applies it, and `adds_checks` are the checks that it adds. `asset_command` applies all
    applicable findings of the asset at once, if there are several.

    `dismissal` says who dismissed it, and why; the finding is open unless its `ended` is null."""

    id: str
    asset: str | None
    file: str
    line: int
    rule: str
    kind: str
    verdict: str
    message: str
    premises: list[PremiseRow]
    diff: str | None
    columns: list[str] = []
    join: JoinRow | None = None
    equality: EqualityRow | None = None
    measured: MeasuredRow | None = None
    saves_month: SavingRow = SavingRow(seconds=None)
    plan_id: str | None = None
    command: str | None = None
    asset_command: str | None = None
    adds_checks: list[str] = []
    unmeasured: str | None = None
    waited_seconds: float = 0.0
    dismissal: DismissalRow | None = None
