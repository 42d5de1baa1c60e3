"""Checks, audits, profiles and drift: what must hold before anything is published."""

from headrace.quality.results import Audit, CheckResult, ColumnProfile, Outcome, Verdict

__all__ = ["Audit", "CheckResult", "ColumnProfile", "Outcome", "Verdict"]
