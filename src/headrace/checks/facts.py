"""Anomalies of a delivery or a partition as facts: what was expected and what was observed.

Diagnosis finds causes from these facts. Also how the values of a column differ from those of earlier sound partitions.
"""

from __future__ import annotations

import enum
import itertools
import math
import statistics
from collections.abc import Iterator, Sequence

import msgspec

from headrace.checks.column_similarity import Agreement, ColumnTraits, RenameCandidate
from headrace.checks.metrics import ColumnMetrics

# How a column's values differ from those in earlier sound partitions: type, unit, sign, nulls.
# Few earlier partitions are enough, since a difference leads to a question and never holds a
# delivery by itself. Pure.

KNOWN_MIN = 3
"""So many sound partitions have a size that can be compared; fewer only where rows are known again."""
ASK = math.log(1.5)
"""Sizes that are off by so much are asked about, …"""
TIMES_APART = 2.0
"""… if that is so many times as far as the sound partitions are apart."""
UNITS = (10.0, 100.0, 1000.0, 1e6, 60.0, 3600.0, 1.609344, 3.28084, 2.20462, 2.54)
UNIT_NEAR = 0.2
"""Sizes of a day are off by so much by themselves: 83 times may be 100 times."""
NULLS = 0.2
SIGNS, MIRRORED = 0.5, 0.1
TAIL = 0.05


class ValueDifferenceKind(enum.StrEnum):
    """How values differ from those before."""

    TYPE = "type"
    SCALE = "scale"
    SIGN = "sign"
    NULLS = "nulls"


class Differs(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. `factor` is what earlier values would have to be multiplied by (of a scale);
    `known` is how many sound partitions that was compared with."""

    kind: ValueDifferenceKind
    text: str
    """For people, without values of cells; begins with `values`, and after a comma says by what."""
    factor: float | None = None
    known: int = 0

    @property
    def times(self) -> str:
        """The factor as people read it: `× 100`, `÷ 60`; empty without one."""
        if self.factor is None:
            return ""
        return f"× {self.factor:g}" if self.factor >= 1 else f"÷ {1 / self.factor:g}"


def differences(was: Sequence[ColumnMetrics], now: ColumnTraits, kind: str, rows: Agreement | None) -> tuple[Differs, ...]:
    """What is other about `now` than in the partitions `was`, the oldest first; `kind` is the type
    that the column has, `rows` how values agree row by row, where that is known."""
    return tuple(_differences(was, now, kind, rows))


def _differences(was: Sequence[ColumnMetrics], now: ColumnTraits, kind: str, rows: Agreement | None) -> Iterator[Differs]:
    if _is_number(kind) and now.values and not now.numbers:
        yield Differs(kind=ValueDifferenceKind.TYPE, text=f"values of another type, {kind} became {now.type}", known=len(was))
        return
    scale = _scale(was, now, rows)
    if scale is not None:
        yield scale
    if len(was) < KNOWN_MIN:
        return
    negative = [metrics.negative for metrics in was if metrics.negative is not None]
    if len(negative) >= KNOWN_MIN and now.numbers:
        share = sum(value < 0 for value in now.numbers) / len(now.numbers)
        before = statistics.median(negative)
        # Other rows have other shares; a sign that was turned round mirrors the share that was.
        mirrored = abs(share - (1 - before)) <= MIRRORED
        if mirrored and abs(share - before) >= SIGNS:
            text = f"values of another sign, {share:.0%} negative and {before:.0%} before"
            yield Differs(kind=ValueDifferenceKind.SIGN, text=text, known=len(was))
    most = max(metrics.nulls for metrics in was)
    if now.nulls - most >= NULLS:
        text = f"values missing, {now.nulls:.0%} null and at most {most:.0%} before"
        yield Differs(kind=ValueDifferenceKind.NULLS, text=text, known=len(was))


def _scale(was: Sequence[ColumnMetrics], now: ColumnTraits, rows: Agreement | None) -> Differs | None:
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
    """Whether they rise as ids do, and the next step is no greater than the ones before."""
    steps = [b - a for a, b in itertools.pairwise(sizes)]
    return all(step > 0 for step in steps) and 0 < size - sizes[-1] <= max(steps)


def _scaled(factor: float, known: int, rows: int = 0) -> Differs:
    basis = f"in {rows:,} rows" if rows else f"by {known} sound partitions"
    scaled = Differs(kind=ValueDifferenceKind.SCALE, text="", factor=factor, known=known)
    return msgspec.structs.replace(scaled, text=f"values {scaled.times}, {basis}")


def nearest_unit(off: float) -> float:
    """The factor between two units that is nearest to a distance of sizes (a logarithm); where none
    is near, the factor itself, in two digits."""
    sign = 1.0 if off > 0 else -1.0
    unit = min(UNITS, key=lambda item: abs(abs(off) - math.log(item)))
    if abs(abs(off) - math.log(unit)) <= UNIT_NEAR:
        return float(unit**sign)
    return float(f"{math.exp(off):.2g}")


def location(quantiles: Sequence[float]) -> float | None:
    """Mean of ln|x| between the 5th and the 95th of a hundred, as profiles have it."""
    ordered = sorted(abs(quantile) for quantile in quantiles)
    cut = int(len(ordered) * TAIL)
    logs = [math.log(item) for item in ordered[cut : len(ordered) - cut or None] if item > 0]
    return statistics.fmean(logs) if logs else None


def conversion(name: str, differs: Sequence[Differs]) -> str | None:
    """The expression that undoes the differences of a column called `name`; None where there is none
    that is known."""
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
    """How a delivery's schema differs from what is expected of its interval. Another order of the columns is no difference."""

    RENAMED = "renamed"
    DROPPED = "dropped"
    ADDED = "added"
    TYPE = "type"
    NULLABILITY = "nullability"
    FORMAT = "format"
    KEYS = "keys"
    NESTED = "nested"


class Policy(enum.StrEnum):
    """What is done about a change of a delivery's schema (`on_drift`)."""

    BLOCK = "block"
    MAP = "map"
    ALLOW = "allow"
    WARN = "warn"


class DriftChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `column` is the expected one (of one that was added: its own name), `to` what stands in its place."""

    kind: DriftKind
    column: str
    to: str | None = None
    score: float | None = None
    """Of a rename: how sure it is, from 0 to 1."""
    evidence: tuple[str, ...] = ()
    """One clause each, for people: names, types, overlap of values."""
    policy: Policy = Policy.BLOCK
    used_by: tuple[str, ...] = ()
    """The assets and consumers that use the column."""
    candidates: tuple[RenameCandidate, ...] = ()
    """Of a rename: what the column may be called now, the most probable first."""
    differs: tuple[Differs, ...] = ()
    """Of a rename: how the values are other than they were."""
    was: str = ""
    """Of a type: the one that values had to be of."""
    declared: str = ""
    """Of a type: where the contract says it (`contracts/orders.odcs.yaml:11`), if the delivery is as it
    was expected before that was declared: then the declaration holds it."""


class RenameFindings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found out about a rename, as it is kept."""

    candidates: tuple[RenameCandidate, ...] = ()
    differs: tuple[Differs, ...] = ()


class FactSeverity(enum.StrEnum):
    """How far a fact is from what was ever seen."""

    HOLD = "hold"
    WARN = "warn"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is odd. `kind` is of INTERFACE's causes (`stale_data`, `null_spike`, …); `strength` is in nats: what it would cost
    to explain it by chance. Values of classified columns never stand in it."""

    kind: str
    column: str = ""
    severity: FactSeverity
    expected: str
    observed: str
    strength: float
    detail: str = ""
    partition: str = ""
    """Of several that were judged together: which it is about."""
    of: str = ""
    """The attempt whose publication it is about (`3.17`), where that isn't the one that found it:
    what readers saw
    until now turns out to have been wrong."""
