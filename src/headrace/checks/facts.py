"""Anomalies of a delivery or a partition as facts: the expected and the observed value.

Diagnosis derives causes from these facts. The module also compares the values of a column with
those of earlier sound partitions.
"""

from __future__ import annotations

import enum
import itertools
import math
import statistics
from collections.abc import Iterator, Sequence

import msgspec

from headrace.checks.column_similarity import Agreement, ColumnTraits, RenameCandidate, RenameRival
from headrace.checks.metrics import ColumnMetrics

# How a column's values differ from those in earlier sound partitions: type, unit, sign, nulls.
# A few earlier partitions are enough, because a difference only leads to a question; it never holds
# a delivery by itself. Pure.

KNOWN_MIN = 3
"""Sound partitions needed to compare sizes; fewer suffice if rows are matched by key."""
ASK = math.log(1.5)
"""The difference of sizes (ln) from which on a person is asked, …"""
TIMES_APART = 2.0
"""… if it is also at least this multiple of the range of sizes of the sound partitions."""
UNITS = (10.0, 100.0, 1000.0, 1e6, 60.0, 3600.0, 1.609344, 3.28084, 2.20462, 2.54)
UNIT_NEAR = 0.2
"""Sizes vary by up to this much (ln) from day to day: a factor of 83 may be 100."""
NULLS = 0.2
SIGNS, MIRRORED = 0.5, 0.1
TAIL = 0.05


class ValueDifferenceKind(enum.StrEnum):
    """How the values of a column differ from earlier ones."""

    TYPE = "type"
    SCALE = "scale"
    SIGN = "sign"
    NULLS = "nulls"


class Differs(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between the values of a column and earlier ones.

    `factor` (for a scale) is the factor from earlier values to these; `known` is the number of
    sound partitions compared.
    """

    kind: ValueDifferenceKind
    text: str
    """A text for people without cell values; starts with `values`, then the basis after a comma."""
    factor: float | None = None
    known: int = 0

    @property
    def times(self) -> str:
        """Return the factor as text: `× 100`, `÷ 60`; empty if there is none."""
        if self.factor is None:
            return ""
        return f"× {self.factor:g}" if self.factor >= 1 else f"÷ {1 / self.factor:g}"


def differences(
    was: Sequence[ColumnMetrics], now: ColumnTraits, kind: str, rows: Agreement | None
) -> tuple[Differs, ...]:
    """Return how `now` differs from the earlier partitions `was` (oldest first).

    `kind` is the expected type of the column; `rows` is the agreement row by row, if it is known.
    """
    return tuple(_differences(was, now, kind, rows))


def _differences(
    was: Sequence[ColumnMetrics], now: ColumnTraits, kind: str, rows: Agreement | None
) -> Iterator[Differs]:
    if _is_number(kind) and now.values and not now.numbers:
        yield Differs(
            kind=ValueDifferenceKind.TYPE,
            text=f"values of another type, {kind} became {now.type}",
            known=len(was),
        )
        return
    scale = _scale(was, now, rows)
    if scale is not None:
        yield scale
    if len(was) < KNOWN_MIN:
        return
    sign = _inverted_sign(was, now)
    if sign is not None:
        yield sign
    most = max(metrics.nulls for metrics in was)
    if now.nulls - most >= NULLS:
        text = f"values missing, {now.nulls:.0%} null and at most {most:.0%} before"
        yield Differs(kind=ValueDifferenceKind.NULLS, text=text, known=len(was))


def _inverted_sign(was: Sequence[ColumnMetrics], now: ColumnTraits) -> Differs | None:
    negative = [metrics.negative for metrics in was if metrics.negative is not None]
    if len(negative) < KNOWN_MIN or not now.numbers:
        return None
    share = sum(value < 0 for value in now.numbers) / len(now.numbers)
    before = statistics.median(negative)
    # Shares vary between partitions, but an inverted sign mirrors the earlier share.
    mirrored = abs(share - (1 - before)) <= MIRRORED
    if not mirrored or abs(share - before) < SIGNS:
        return None
    text = f"values of another sign, {share:.0%} negative and {before:.0%} before"
    return Differs(kind=ValueDifferenceKind.SIGN, text=text, known=len(was))


def _scale(
    was: Sequence[ColumnMetrics], now: ColumnTraits, rows: Agreement | None
) -> Differs | None:
    if rows is not None and rows.weight > 0.5 and rows.factor > 0:
        return None if rows.factor == 1.0 else _scaled(rows.factor, 1, rows=rows.equal)
    sizes = [metrics.location for metrics in was if metrics.location is not None]
    size = location(now.numbers)
    if len(sizes) < KNOWN_MIN or size is None:
        return None
    off = size - statistics.median(sizes)
    apart = max(sizes) - min(sizes)
    if abs(off) < max(ASK, TIMES_APART * apart) or _counts_on(sizes, size):
        return None
    return _scaled(nearest_unit(off), len(sizes))


def _counts_on(sizes: Sequence[float], size: float) -> bool:
    """Return whether sizes rise as ids do: the last step is no greater than earlier ones."""
    steps = [b - a for a, b in itertools.pairwise(sizes)]
    return all(step > 0 for step in steps) and 0 < size - sizes[-1] <= max(steps)


def _scaled(factor: float, known: int, rows: int = 0) -> Differs:
    basis = f"in {rows:,} rows" if rows else f"by {known} sound partitions"
    scaled = Differs(kind=ValueDifferenceKind.SCALE, text="", factor=factor, known=known)
    return msgspec.structs.replace(scaled, text=f"values {scaled.times}, {basis}")


def nearest_unit(off: float) -> float:
    """Return the unit conversion factor that is nearest to `off`, a difference of sizes (ln).

    If no known conversion is near, return the factor itself, rounded to two digits.
    """
    sign = 1.0 if off > 0 else -1.0
    unit = min(UNITS, key=lambda item: abs(abs(off) - math.log(item)))
    if abs(abs(off) - math.log(unit)) <= UNIT_NEAR:
        return float(unit**sign)
    return float(f"{math.exp(off):.2g}")


def location(quantiles: Sequence[float]) -> float | None:
    """Return the mean of ln|x| between the 5th and the 95th percentile, as in profiles."""
    ordered = sorted(abs(quantile) for quantile in quantiles)
    cut = int(len(ordered) * TAIL)
    logs = [math.log(item) for item in ordered[cut : len(ordered) - cut or None] if item > 0]
    return statistics.fmean(logs) if logs else None


def conversion(name: str, differs: Sequence[Differs]) -> str | None:
    """Return the SQL expression that undoes the differences of the column `name`, or None.

    A change of type or of nulls can't be undone.
    """
    text = name if name.isidentifier() else '"' + name.replace('"', '""') + '"'
    kinds = {item.kind for item in differs}
    factor = next((item.factor for item in differs if item.factor is not None), None)
    if ValueDifferenceKind.TYPE in kinds or ValueDifferenceKind.NULLS in kinds or not kinds:
        return None
    if ValueDifferenceKind.SIGN in kinds:
        text = f"-{text}"
    if factor is not None:
        text = f"{text} / {factor:g}" if factor >= 1 else f"{text} * {1 / factor:g}"
    return text


def _is_number(kind: str) -> bool:
    head = kind.partition("(")[0].upper()
    return head in {"DOUBLE", "FLOAT", "DECIMAL"} or head.endswith("INT") or head == "INTEGER"


class DriftKind(enum.StrEnum):
    """A difference between a delivery's schema and the expected one. The order is irrelevant."""

    RENAMED = "renamed"
    DROPPED = "dropped"
    ADDED = "added"
    TYPE = "type"
    FORMAT = "format"
    NESTED = "nested"


class Policy(enum.StrEnum):
    """The reaction to a change of a delivery's schema (`on_drift`)."""

    BLOCK = "block"
    MAP = "map"
    ALLOW = "allow"
    WARN = "warn"


class DriftChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the schema.

    `column` is the expected column, or the new one if a column was added; `to` is its replacement.
    """

    kind: DriftKind
    column: str
    to: str | None = None
    score: float | None = None
    """The confidence in a rename, from 0 to 1."""
    evidence: tuple[str, ...] = ()
    """One clause per item, for people: names, types, overlap of values."""
    policy: Policy = Policy.BLOCK
    used_by: tuple[str, ...] = ()
    """The assets and consumers that use the column."""
    candidates: tuple[RenameCandidate, ...] = ()
    """What a renamed column may be called now, the most probable name first."""
    rivals: tuple[RenameRival, ...] | None = None
    """Other new columns that came close to `to`; None if they weren't compared."""
    differs: tuple[Differs, ...] = ()
    """How the values of a renamed column differ from earlier ones."""
    was: str = ""
    """The expected type, if the type changed."""
    declared: str = ""
    """Where the contract declares the type (`contracts/orders.odcs.yaml:11`).

    Set only if the delivery conforms to the schema from before that declaration: then the
    declaration, not the delivery, is the reason for the hold.
    """


class RenameFindings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The findings about a rename, as stored."""

    candidates: tuple[RenameCandidate, ...] = ()
    differs: tuple[Differs, ...] = ()
    rivals: tuple[RenameRival, ...] | None = None
    """None if other columns weren't compared, and of deliveries read before Headrace kept them."""


class FactSeverity(enum.StrEnum):
    """Whether a fact holds the data or only warns."""

    HOLD = "hold"
    WARN = "warn"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One anomaly.

    `kind` is one of INTERFACE's causes (`stale_data`, `null_spike`, …). `strength` is the
    improbability of a chance explanation, in nats. A fact never holds values of classified columns.
    """

    kind: str
    column: str = ""
    severity: FactSeverity
    expected: str
    observed: str
    strength: float
    detail: str = ""
    partition: str = ""
    """The partition that the fact is about, if several were evaluated together."""
    of: str = ""
    """The attempt (`3.17`) whose publication the fact is about, if another attempt found it.

    Readers then saw wrong data until now.
    """
    let_through: bool = False
    """Whether its size would hold the data, and only the declared policy makes it a warning."""
