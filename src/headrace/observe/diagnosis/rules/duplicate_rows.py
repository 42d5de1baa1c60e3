"""Rows or keys come more than once."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Family
from headrace.observe.diagnosis.rules.rule import Covers, Rule, named, rewritten

_SHOWS_IN = frozenset({Family.CHECK, Family.DUPLICATES, Family.VOLUME, Family.DISTRIBUTION, Family.RESOURCES, Family.DURATION})

RULE = Rule(CauseKind.DUPLICATE_ROWS, named(CauseKind.DUPLICATE_ROWS), Covers.ROWS, _SHOWS_IN, against=rewritten)
