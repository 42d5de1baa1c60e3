"""What somebody may apply whose roles are limited to some nodes, such as the owner of a domain.

Every changed node must be theirs, before and after the change. What a changed asset reads must be
open to them, or they could copy values of another domain into their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

from headrace.access.permissions import (
    COMMANDS,
    decision,
    people_to_ask,
    rules_of,
    unrestricted,
    visible_of,
)
from headrace.model.access import AccessRules, Grant, Permission
from headrace.plan import Compiled
from headrace.project.session import ProjectSession

if TYPE_CHECKING:
    from headrace.security.access import Decision

FOLDERS = ("assets/", "sources/", "contracts/", "consumers/", "consumers.")
"""Files that declare nodes. Any other file, such as headrace.toml, concerns the whole project."""
_APPLY = COMMANDS["apply:apply"]


def require_scope(
    session: ProjectSession,
    old: Compiled | None,
    new: Compiled,
    *,
    files: Iterable[str],
    nodes: Iterable[str],
) -> None:
    """Raise NotAllowed if these changes are beyond the roles of the session's identity.

    `files` are the paths that changed, `nodes` the names of what changed.
    """
    if unrestricted(session):
        return
    rules = rules_of(session)
    whole = decision(session, rules, Permission.CHANGE, None)
    if whole.allowed and not _by_break_glass(whole):
        return
    why = "break-glass doesn't reach it" if whole.allowed else whole.reason
    for path in files:
        if not path.startswith(FOLDERS):
            _refuse(session, f"{path} concerns the whole project: {why}")
    if whole.allowed:
        return
    for name in dict.fromkeys(nodes):
        _require_node(session, rules, name, [item for item in (old, new) if item is not None])
        _require_inputs(session, rules, name, new)


def _by_break_glass(result: Decision) -> bool:
    """Whether only an emergency allows it: it changes no rules and no settings.

    Otherwise somebody could give themselves a role that stays.
    """
    return isinstance(result.rule, Grant) and result.rule.break_glass is not None


def _require_node(
    session: ProjectSession, rules: AccessRules | None, name: str, projects: list[Compiled]
) -> None:
    declared = [node for item in projects if (node := item.project.node(name)) is not None]
    if not declared:
        _refuse(session, f"{name} isn't a node, so the change concerns the whole project")
    for node in declared:
        result = decision(session, rules, Permission.CHANGE, node)
        if not result.allowed:
            if not visible_of(session, declared[:1]):  # somebody moves what isn't theirs to see
                _refuse(session, "it also changes what your roles don't reach")
            asked = people_to_ask(session, node.owner)
            _refuse(session, f"it changes {name}: {result.reason}", *asked)


def _require_inputs(
    session: ProjectSession, rules: AccessRules | None, name: str, new: Compiled
) -> None:
    compiled = new.nodes.get(name)
    for read in [spec.node for spec in compiled.inputs] if compiled is not None else ():
        node = new.project.source_or_asset(read)
        if node is None:
            continue
        if not any(decision(session, rules, Permission.READ, at).allowed for at in (None, node)):
            if not visible_of(session, [node]):
                _refuse(session, f"{name} reads what your roles don't reach")
            asked = people_to_ask(session, node.owner)
            _refuse(session, f"{name} reads {read}, which you may not read", *asked)


def _refuse(session: ProjectSession, reason: str, *owners: str) -> NoReturn:
    from headrace.security.access import Decision, NotAllowed

    raise NotAllowed(session.identity, _APPLY.name, Decision(False, reason), owners)
