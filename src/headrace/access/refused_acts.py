"""The acts that a reader's roles refuse, with who can give the role: pages don't offer them.

The decisions are those of `permissions`, without an attempt. A project without `access.yaml`
refuses nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

from headrace.access.emergency_roles import take_emergencies
from headrace.access.permissions import (
    COMMANDS,
    LOOKING,
    Command,
    admins,
    allows_somewhere,
    decision,
    may_call,
    people_to_ask,
    rules_of,
    unrestricted,
)
from headrace.model import Asset, HeadraceError, Source
from headrace.model.access import ACCESS_FILE, PERMISSIONS, Forbid, Permission, Role
from headrace.project.session import ProjectSession
from headrace.responses.access import RefusedActRow
from headrace.security.access import Decision, environment_lacking

NODE_ACTS = (
    "run:run",
    "run:retry",
    "pause:pause",
    "pause:resume",
    "backfills:run_backfill",
    "contract_accept:accept_names",
    "quarantine_decisions:accept",
    "quarantine_decisions:drop",
    "read:read",
)
"""Functions of acts on a source or an asset, and of the rows that its page asks for by itself."""


def refused_on_node(session: ProjectSession, node: Source | Asset) -> list[RefusedActRow]:
    """Return the acts on a visible node that the reader's roles refuse."""
    if unrestricted(session):
        return []
    rules = rules_of(session)
    ask = people_to_ask(session, node.owner) or admins(session)
    rows = []
    for function in NODE_ACTS:
        needed = COMMANDS[function]
        if not may_call(session, function, node):
            result = decision(session, rules, needed.permission, node)
            reason = _reason(session, needed.permission, result, f" for {node.name}", ask)
            rows.append(RefusedActRow(act=needed.name, reason=reason))
    return rows


def refused_in_project(session: ProjectSession, functions: Iterable[str]) -> list[RefusedActRow]:
    """Return the acts, of functions in COMMANDS, that the reader's roles refuse.

    Acts that name nodes are asked about the whole project; `somewhere` says whether the roles allow
    them for some nodes. Nothing is refused here if the rules can't be read: the act reports it.
    """
    try:
        if unrestricted(session):
            return []
        take_emergencies(session, rules_of(session))
        somewhere = functools.cache(functools.partial(allows_somewhere, session))
        rows = (_in_project(session, COMMANDS[function], somewhere) for function in functions)
        return [row for row in rows if row is not None]
    except HeadraceError:
        return []


def _in_project(
    session: ProjectSession, needed: Command, somewhere: Callable[[Permission], bool]
) -> RefusedActRow | None:
    """Return why the roles refuse an act for the whole project; None if they don't."""
    result = decision(session, rules_of(session), needed.permission, None)
    if needed.permission in LOOKING or result.allowed:
        return None
    partly = somewhere(needed.permission)
    if partly and needed.anywhere:
        return None
    limit = " without a limit" if partly else ""
    return RefusedActRow(
        act=needed.name,
        reason=_reason(session, needed.permission, result, limit, admins(session)),
        somewhere=partly and bool(needed.of),
    )


def _reason(
    session: ProjectSession,
    permission: Permission,
    result: Decision,
    limit: str,
    ask: Sequence[str],
) -> str:
    if isinstance(result.rule, Forbid):
        refused = f"a rule forbids it ({ACCESS_FILE}:{result.rule.line})"
    else:
        role = next(role for role in Role if permission in PERMISSIONS[role])
        rules, today = rules_of(session), session.now().date()
        elsewhere = environment_lacking(
            rules, session.identity, permission, env=session.env, today=today
        )
        where = f" in {session.env}" if elsewhere else ""
        refused = f"needs the role {role}{limit}{where}"
    return f"{refused}; ask {', '.join(ask) or 'an admin of the project'}"
