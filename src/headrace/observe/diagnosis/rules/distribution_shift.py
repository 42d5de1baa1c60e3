"""Values are others than they used to be: another unit, sign, mix, hour, grain."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.rules.rule import Covers, Rule, named, rewritten

_SHOWS_IN = frozenset(
    {
        Family.CHECK, Family.DISTRIBUTION, Family.NULLS, Family.VOLUME, Family.REFERENCE, Family.DUPLICATES,
        Family.RESOURCES, Family.DURATION,
    }
)  # fmt: skip

RULE = Rule(CauseKind.DISTRIBUTION_SHIFT, named(CauseKind.DISTRIBUTION_SHIFT), Covers.COLUMNS, _SHOWS_IN, against=rewritten)
