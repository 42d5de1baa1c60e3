"""Checks, audits, profiles, drift and anomalies: the conditions for publishing data."""

from headrace.checks.results import (
    Audit,
    CheckResult,
    CheckState,
    ColumnProfile,
    PartitionAudit,
    Verdict,
)

__all__ = ["Audit", "CheckResult", "CheckState", "ColumnProfile", "PartitionAudit", "Verdict"]
