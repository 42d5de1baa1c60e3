"""Checks, audits, profiles, drift and anomalies: what must hold before data is published."""

from headrace.checks.results import Audit, CheckResult, CheckState, ColumnProfile, PartitionAudit, Verdict

__all__ = ["Audit", "CheckResult", "CheckState", "ColumnProfile", "PartitionAudit", "Verdict"]
