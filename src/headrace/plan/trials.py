"""Trials of a change: what interleaved runs of both sides say about their results and times."""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Sequence

import msgspec

NO_EFFECT_PERCENT = 5.0
"""A change whose whole interval is within this many percent of zero has no effect."""
PAIRS_MIN = 3
"""Fewer pairs of runs have no confidence interval."""
_T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""The 97.5 % quantile of Student's t for 1 to 30 degrees of freedom."""
_NORMAL_975 = 1.960


class TrialVerdict(enum.StrEnum):
    """What a trial came to."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_EFFECT = "no_effect"
    NOT_EQUAL = "not_equal"
    INCONCLUSIVE = "inconclusive"


class Side(enum.StrEnum):
    """The side of a trial that a run belongs to."""

    BEFORE = "before"
    AFTER = "after"


class TrialRun(msgspec.Struct, frozen=True):
    """One timed run of one side over one partition. `peak_bytes` are DuckDB's buffers."""

    partition: str
    side: Side
    ms: float
    peak_bytes: int | None


class Compared(msgspec.Struct, frozen=True):
    """The results of both sides over one partition, compared as multisets of rows.

    `difference` says how they differ; None if they are equal. `before_bytes` and `after_bytes` are
    the sizes of the files that the sides read, if files were written for them.
    """

    partition: str
    rows: int
    difference: str | None
    before_bytes: int | None = None
    after_bytes: int | None = None


class Interval(msgspec.Struct, frozen=True):
    """A change of durations in percent, with its confidence interval of 95 %."""

    percent: float
    low: float
    high: float


class Trial(msgspec.Struct, frozen=True):
    """A finished trial.

    `unreached` are the partitions that weren't compared: those after a difference, or those that
    the budget didn't reach. Of the budget, `waited_s` seconds went by without an idle worker slot.
    `proposal` is the id by which its finding is dismissed; None if that is the finding's own.
    """

    compared: tuple[Compared, ...]
    runs: tuple[TrialRun, ...]
    unreached: tuple[str, ...] = ()
    waited_s: float = 0.0
    proposal: str | None = None

    def part(self, prefix: str) -> Trial:
        """Return the trial of the partitions whose keys begin with a prefix, without it."""
        replace, size = msgspec.structs.replace, len(prefix)
        return replace(
            self,
            compared=tuple(
                replace(item, partition=item.partition[size:])
                for item in self.compared
                if item.partition.startswith(prefix)
            ),
            runs=tuple(
                replace(run, partition=run.partition[size:])
                for run in self.runs
                if run.partition.startswith(prefix)
            ),
            unreached=tuple(key[size:] for key in self.unreached if key.startswith(prefix)),
        )

    @property
    def equal(self) -> bool | None:
        """Whether all compared results are equal; None if nothing was compared, or no rows were."""
        if any(item.difference is not None for item in self.compared):
            return False
        return True if self.rows else None

    @property
    def rows(self) -> int:
        """The number of rows that were compared."""
        return sum(item.rows for item in self.compared)

    @property
    def difference(self) -> str | None:
        """How the results differ in the first partition in which they do."""
        texts = (f"{c.partition}: {c.difference}" for c in self.compared if c.difference)
        return next(texts, None)

    @property
    def interval(self) -> Interval | None:
        """The change of durations; None with too few runs."""
        return change_of(pairs_of(self.runs))

    @property
    def verdict(self) -> TrialVerdict:
        """The verdict: about the results first, about the durations only if they are equal."""
        if self.equal is False:
            return TrialVerdict.NOT_EQUAL
        interval = self.interval
        if self.equal is None or interval is None:
            return TrialVerdict.INCONCLUSIVE
        return verdict_of(interval)


def verdict_of(interval: Interval) -> TrialVerdict:
    """Return what a change of durations means."""
    if interval.low >= -NO_EFFECT_PERCENT and interval.high <= NO_EFFECT_PERCENT:
        return TrialVerdict.NO_EFFECT
    if interval.high < 0:
        return TrialVerdict.FASTER
    return TrialVerdict.SLOWER if interval.low > 0 else TrialVerdict.INCONCLUSIVE


def pairs_of(runs: Sequence[TrialRun]) -> list[tuple[float, float]]:
    """Return the milliseconds of each run before with those of the run after it was paired with.

    Runs of one partition are in the order before, after, after, before: neighbours are pairs.
    """
    pairs = []
    for first, second in zip(runs[::2], runs[1::2], strict=False):
        if first.side is second.side:
            continue
        before, after = (first, second) if first.side is Side.BEFORE else (second, first)
        pairs.append((before.ms, after.ms))
    return pairs


def change_of(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    """Return the geometric mean of the ratios of pairs as a change in percent, with its interval.

    None with fewer than `PAIRS_MIN` pairs. The interval is Student's t over the logarithms of the
    ratios: section 3.2 of Georges, Buytaert, Eeckhout, "Statistically rigorous Java performance
    evaluation" (OOPSLA 2007). Pairs are neighbours in time, so that a machine that becomes slower
    meanwhile affects both sides.
    """
    if len(pairs) < PAIRS_MIN:
        return None
    logs = [math.log(max(after, 1e-6) / max(before, 1e-6)) for before, after in pairs]
    mean = statistics.fmean(logs)
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    freedom = len(logs) - 1
    margin = error * (_T_975[freedom - 1] if freedom <= len(_T_975) else _NORMAL_975)
    return Interval(_percent(mean), _percent(mean - margin), _percent(mean + margin))


def _percent(log_ratio: float) -> float:
    return round((math.exp(log_ratio) - 1) * 100, 2)
