"""The rules about a whole project, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from headrace_advisor.analysis import column_rules, merge_rules, partition_rules
from headrace_advisor.analysis.project_advice import ProjectFinding, ProjectView


class ProjectRule(NamedTuple):
    """One rule: its name in findings, and the function that finds them."""

    name: str
    find: Callable[[ProjectView], Iterator[ProjectFinding]]


PROJECT_RULES = (
    ProjectRule("unread_column", column_rules.unread_columns),
    ProjectRule("unused_join", column_rules.joins_for_unread_columns),
    ProjectRule("pass_through", merge_rules.pass_through),
    ProjectRule("duplicate", merge_rules.duplicates),
    ProjectRule("unread_asset", merge_rules.unread_assets),
    ProjectRule("incremental", partition_rules.incremental),
    ProjectRule("grain", partition_rules.grain),
)


def project_findings(view: ProjectView) -> list[ProjectFinding]:
    """Return what the rules say about a project's assets, by asset."""
    order = {name: number for number, name in enumerate(view.compiled.order)}
    results = [finding for rule in PROJECT_RULES for finding in rule.find(view)]
    return sorted(results, key=lambda finding: order[finding.asset])
