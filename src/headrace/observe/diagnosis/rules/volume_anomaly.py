"""Too few rows, or too many; a tail or a group is missing."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.rules.rule import Covers, Rule, named, rewritten

_SHOWS_IN = frozenset({Family.CHECK, Family.VOLUME, Family.DISTRIBUTION, Family.NULLS, Family.REFERENCE, Family.RESOURCES, Family.DURATION})

RULE = Rule(CauseKind.VOLUME_ANOMALY, named(CauseKind.VOLUME_ANOMALY), Covers.ROWS, _SHOWS_IN, against=rewritten)
