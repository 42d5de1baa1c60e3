"""Checks, audits, profiles and drift: what must hold before anything is published."""

from headrace.checks.results import Audit, CheckResult, CheckState, ColumnProfile, PartitionAudit, Verdict

__all__ = ["Audit", "CheckResult", "CheckState", "ColumnProfile", "PartitionAudit", "Verdict"]
