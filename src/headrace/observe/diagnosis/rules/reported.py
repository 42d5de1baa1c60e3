"""A person saw that data is wrong: what else is odd about it, and what is made of it, is put down to that."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules.rule import BROKEN, Covers, Rule, always, named

RULE = Rule(CauseKind.REPORTED, named(CauseKind.REPORTED), Covers.COLUMNS, BROKEN, opens=always)
