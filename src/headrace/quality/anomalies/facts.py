"""Odd numbers as facts: which cause they are evidence of, and what was expected and observed, for people."""

from __future__ import annotations

import math
from collections.abc import Mapping

from headrace.model.clauses import SIZE
from headrace.quality.anomalies.odd import MetricAnomaly

EXACT = 30.0
"""What it costs, in nats, to explain by chance what was compared exactly."""
NEVER = "never before"
"""Of nulls: there was none in all of the history, so nothing that comes and goes brings them."""
UNITS = {
    100.0: "per cent, or cents", 1000.0: "a thousand", 1e6: "a million", 1.609344: "miles and kilometres", 3.28084: "metres and feet",
    2.20462: "kilograms and pounds", 60.0: "minutes, or seconds", 3600.0: "hours and seconds", 2.54: "inches and centimetres", 10.0: "ten",
}  # fmt: skip
"""What a constant ratio may be."""
NEAR = 0.03
"""Sizes are off by a unit if they are this near to it, as logarithms, …"""
LARGE, LARGE_NEAR = 60.0, 0.2
"""… or this near to a large one: values of two days differ by so much by themselves, and hardly anything
else multiplies them by that."""
_KINDS = {"rows": "volume_anomaly", "nulls": "null_spike", "empty": "null_spike"}
_WORDS = {
    "empty": "empty texts", "negative": "negative values", "zero": "zeros", "spread": "× between quartiles",
    "length": "characters on average",
}  # fmt: skip


def told(anomaly: MetricAnomaly, *, of_rows: bool = False) -> tuple[str, str, str, str]:
    """The kind of cause, what was expected, what was observed, and what it may be. `of_rows`: rows moved by the same factor, which is
    no unit then."""
    family = anomaly.metric.family
    kind = kind_of(family)
    expected, observed = _said(anomaly, anomaly.expected), _said(anomaly, anomaly.observed)
    return kind, expected, observed, _detail(anomaly, {} if of_rows else UNITS)


def kind_of(family: str) -> str:
    """Which cause an odd number is evidence of."""
    return _KINDS.get(family, "distribution_shift")


def percent(share: float) -> str:
    """A share for people: 12 %, 0.3 %."""
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def number(value: float) -> float:
    """Short enough to be kept."""
    return round(min(value, 700.0), 3)


def _said(anomaly: MetricAnomaly, value: float) -> str:
    family = anomaly.metric.family
    match family:
        case "rows":
            count = _count(math.exp(value) - 1)
            return f"{count} row{'' if count == '1' else 's'}"
        case "nulls":
            return f"{percent(max(value, 0.0))} nulls"
        case "share":
            return f"{percent(max(value, 0.0))} are {anomaly.metric.value!r}"
        case "empty" | "negative" | "zero":
            return f"{percent(max(value, 0.0))} {_WORDS[family]}"
        case "location":
            return f"sizes around {_short(math.exp(value))}"
        case "distinct":
            count = _short(math.exp(value))
            return f"{count} distinct value{'' if count == '1' else 's'}"
        case "spread" | "length":
            return f"{_short(math.exp(value))} {_WORDS[family]}"
        case _:
            return f"{'on average' if family == 'hour_mean' else 'nearly all before'} {value:.1f} h"


def _detail(anomaly: MetricAnomaly, units: Mapping[float, str]) -> str:
    match anomaly.metric.family:
        case "location":
            return f"{SIZE}{_ratio(anomaly.off, units)}"
        case "rows":
            expected = max(math.exp(anomaly.expected) - 1, 0.0)  # one more than there are rows is what is compared
            return f"× {_short(max(math.exp(anomaly.observed) - 1, 0.0) / expected if expected > 0 else math.exp(anomaly.off))}"
        case "share":
            return "category mix"
        case "negative":
            return "sign"
        case "hour_mean" | "hour_q95":
            return "hours of the day"
        case "spread":
            return "spread"
        case "length":
            return f"length: {_ratio(anomaly.off, units)}"
        case _:
            return ""


def _ratio(off: float, units: Mapping[float, str]) -> str:
    ratio = math.exp(off)
    for known, meaning in units.items():
        apart = abs(abs(off) - math.log(known))
        if apart < (LARGE_NEAR if known >= LARGE else NEAR):
            return f"{'' if apart < NEAR else 'about '}{'×' if off > 0 else '÷'} {known:g} ({meaning}?)"
    return f"× {_short(ratio)}"


def _count(value: float) -> str:
    return f"{max(value, 0):,.0f}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
