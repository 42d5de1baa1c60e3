"""Whether what somebody wants to do needs an approval, and which line of headrace.toml says so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from headrace.model import Project, Settings, toml
from headrace.model.documents import LocatedMapping
from headrace.model.environments import PRODUCTION
from headrace.model.files import SETTINGS_FILE
from headrace.model.policy import APPROVAL, Approval, Facts, parse_rule
from headrace.model.reporting import Report


def needed(root: Path, settings: Settings, project: Project, nodes: Iterable[str], *, partitions: int, size: int = 0) -> Approval | None:
    """The approval that making so many partitions of these nodes needs; None where policy asks for none."""
    rule = settings.policy.get(APPROVAL)
    if rule is None or not parse_rule(rule)(facts(project, nodes, partitions, size)):
        return None
    return stated(root, settings)


def stated(root: Path, settings: Settings) -> Approval:
    """The rule that asks for approvals, of settings that have one."""
    return Approval(settings.policy[APPROVAL], SETTINGS_FILE, _line(root, settings.environment))


def facts(project: Project, nodes: Iterable[str], partitions: int, size: int) -> Facts:
    """What rules are asked about."""
    results = [node for name in nodes if (node := project.node(name)) is not None]
    return Facts(
        partitions=partitions,
        bytes=size,
        tags=frozenset(tag for node in results for tag in node.tags),
        owners=frozenset(node.owner for node in results),
        domains=frozenset(node.domain for node in results if node.domain is not None),
    )


def _line(root: Path, environment: str) -> int:
    """Where the rule stands: an environment may have one of its own."""
    document = toml.load((root / SETTINGS_FILE).read_text(encoding="utf-8"), Report(SETTINGS_FILE))
    tables: list[object] = [document.get("policy") if document else None]
    if document and environment != PRODUCTION:
        mapping = document.get("environments", {}).get(environment, {})
        tables.insert(0, mapping.get("policy") if isinstance(mapping, LocatedMapping) else None)
    return next((table.lines[APPROVAL] for table in tables if isinstance(table, LocatedMapping) and APPROVAL in table.lines), 1)
