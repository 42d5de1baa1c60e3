"""A file of the lake is gone, or isn't what was published: what fails over it further down is put down to that."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules.rule import BROKEN, Covers, Rule, always, named

RULE = Rule(CauseKind.DATA_CORRUPTED, named(CauseKind.DATA_CORRUPTED), Covers.PARTITION, BROKEN, opens=always)
