"""Decides who may do what: default deny, and a rule that forbids overrides every grant.

The rules are those of Cedar (https://docs.cedarpolicy.com/auth/authorization.html): the order of
rules has no meaning, and a decision depends on nothing but its arguments. TRUST Z1-Z3.
"""

from __future__ import annotations

import enum
import grp
import os
import pwd
import time
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache

import msgspec

from headrace.model.access import (
    PERMISSIONS,
    AccessRules,
    Forbid,
    Grant,
    Permission,
    Role,
    Scope,
)
from headrace.model.errors import Refused
from headrace.model.nodes import Asset, Consumer, Source
from headrace.model.partitions import command_line

Node = Source | Asset | Consumer
GROUPS_SECONDS = 5.0
"""How long a server goes on with the groups that the operating system has named for its user."""


class IdentityKind(enum.StrEnum):
    """How somebody was identified."""

    LOCAL = "local"
    """The operating system's user who runs the command or the server."""
    TOKEN = "token"  # noqa: S105 - the name of a kind
    """An API token."""
    USER = "user"
    """A person who signed in to the server."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs a command. `name` is what the audit trail records."""

    name: str
    kind: IdentityKind
    subjects: frozenset[str]
    """The subjects of `access.yaml` that it is: `user:ana`, `group:ops`, `token:ci`."""
    grants: tuple[Grant, ...] = ()
    """The roles that a token has of its own."""

    @property
    def who(self) -> str:
        """The subject's name, without its groups: `user:ana` or `token:ci`."""
        return next((name for name in self.subjects if not name.startswith("group:")), self.name)


class Decision(msgspec.Struct, frozen=True):
    """Whether something is allowed, and the rule that decided."""

    allowed: bool
    reason: str
    rule: Grant | Forbid | None = None
    """None if no rule matched, or where a token's own role decided."""


def local_identity() -> Identity:
    """Return the operating system's user with their groups.

    Environment variables such as USER, which the user could change, are ignored.
    """
    period = int(time.monotonic() / GROUPS_SECONDS)
    user, groups = _user_and_groups(os.getuid(), period)
    return Identity(
        name=f"{user}@{os.uname().nodename}",
        kind=IdentityKind.LOCAL,
        subjects=frozenset({f"user:{user}", *(f"group:{group}" for group in groups)}),
    )


@lru_cache(maxsize=4)
def _user_and_groups(uid: int, period: int) -> tuple[str, tuple[str, ...]]:
    """Return a user's name and groups; another `period` looks them up again."""
    del period
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return f"uid-{uid}", ()
    names = []
    for gid in os.getgrouplist(user.pw_name, user.pw_gid):
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            names.append(f"gid-{gid}")
    return user.pw_name, tuple(names)


_WITHOUT_RULES = (
    "the project has no access.yaml: local users may do everything, people who sign in nothing"
)


def decide(
    rules: AccessRules | None,
    identity: Identity,
    permission: Permission,
    node: Node | None,
    *,
    env: str,
    today: date,
) -> Decision:
    """Return whether an identity may use a permission on a node.

    Without a node the question is about the whole project: only roles that are limited to no nodes
    allow it. `rules` is None for a project without `access.yaml`; local users may then do
    everything.
    """
    if rules is None and identity.kind is IdentityKind.LOCAL:
        return Decision(True, _WITHOUT_RULES)
    rules = rules or AccessRules()
    forbid = next(
        (rule for rule in rules.forbids if _forbids(rule, identity, permission, node, env)), None
    )
    if forbid is not None:
        return Decision(False, f"a rule forbids `{permission}`", forbid)
    grant = next(
        (
            grant
            for grant in _grants(rules, identity, today)
            if grant.gives(permission) and _covers(grant.scope, node, env)
        ),
        None,
    )
    if grant is None:
        return Decision(False, _why_denied(rules, identity, permission, node, env, today))
    if grant.break_glass is not None:
        return Decision(True, f"the role {grant.role}, taken by break-glass, allows it", grant)
    declared = None if grant in identity.grants else grant
    return Decision(True, f"the role {grant.role} allows it", declared)


def allowed_nodes(
    rules: AccessRules | None,
    identity: Identity,
    permission: Permission,
    nodes: Iterable[Node],
    *,
    env: str,
    today: date,
) -> frozenset[str]:
    """Return the names of the nodes on which an identity may use a permission, as `decide` says.

    Rules about other people, permissions and environments are left out once for all nodes.
    """
    rules = rules or AccessRules()
    forbidden = [
        rule.scope
        for rule in rules.forbids
        if not rule.columns
        and rule.permission is permission
        and not identity.subjects.isdisjoint(rule.to)
        and _in_environment(rule.scope, env)
    ]
    granted = [
        grant.scope
        for grant in _grants(rules, identity, today)
        if grant.gives(permission) and _in_environment(grant.scope, env)
    ]
    return frozenset(
        node.name
        for node in nodes
        if any(has_node(scope, node) for scope in granted)
        and not any(has_node(scope, node) for scope in forbidden)
    )


def forbidden_columns(
    rules: AccessRules | None, identity: Identity, node: str, *, env: str
) -> frozenset[str]:
    """Return the columns of a node that rules forbid to read, in lower case."""
    if rules is None:
        return frozenset()
    return frozenset(
        column.partition(".")[2]
        for forbid in rules.forbids
        if forbid.permission is Permission.READ
        and not identity.subjects.isdisjoint(forbid.to)
        and _in_environment(forbid.scope, env)
        for column in forbid.columns
        if column.partition(".")[0] == node.lower()
    )


def roles_of(rules: AccessRules | None, identity: Identity, *, today: date) -> list[Grant]:
    """Return the grants that hold for an identity today."""
    return list(_grants(rules or AccessRules(), identity, today))


def _grants(rules: AccessRules, identity: Identity, today: date) -> Iterator[Grant]:
    yield from (grant for grant in identity.grants if grant.break_glass is None)
    for grant in rules.grants:
        if not identity.subjects.isdisjoint(grant.to) and (
            grant.until is None or today <= grant.until
        ):
            yield grant
    # last: what somebody may do anyway isn't decided by an emergency
    yield from (grant for grant in identity.grants if grant.break_glass is not None)


def has_role(
    rules: AccessRules | None,
    identity: Identity,
    role: Role,
    permission: Permission,
    node: Node | None,
    *,
    env: str,
    today: date,
) -> bool:
    """Return whether an identity has a role, or a greater one, and may use a permission of it.

    Without a node, the role must hold for the whole project.
    """
    if not decide(rules, identity, permission, node, env=env, today=today).allowed:
        return False
    return any(
        PERMISSIONS[role] <= PERMISSIONS[grant.role]
        and grant.gives(permission)
        and _covers(grant.scope, node, env)
        for grant in _grants(rules or AccessRules(), identity, today)
    )


def _forbids(
    forbid: Forbid, identity: Identity, permission: Permission, node: Node | None, env: str
) -> bool:
    if forbid.columns or forbid.permission is not permission:
        return False
    if identity.subjects.isdisjoint(forbid.to) or not _in_environment(forbid.scope, env):
        return False
    # of a whole project: it contains the forbidden nodes, too
    return node is None or has_node(forbid.scope, node)


def _covers(scope: Scope, node: Node | None, env: str) -> bool:
    if not _in_environment(scope, env):
        return False
    return not scope.of_nodes if node is None else has_node(scope, node)


def _in_environment(scope: Scope, env: str) -> bool:
    return not scope.env or env in scope.env


def has_node(scope: Scope, node: Node) -> bool:
    """Whether a rule with these limits is about a node, in the environments that it names."""
    return (
        (not scope.domain or node.domain in scope.domain)
        and (not scope.owner or node.owner in scope.owner)
        and (not scope.tag or not set(scope.tag).isdisjoint(node.tags))
    )


def _why_denied(
    rules: AccessRules,
    identity: Identity,
    permission: Permission,
    node: Node | None,
    env: str,
    today: date,
) -> str:
    grants = list(_grants(rules, identity, today))
    if not grants:
        return f"no rule gives {identity.who} a role"
    able = [grant for grant in grants if grant.gives(permission)]
    if not able:
        include = _of_roles(grants, "doesn't include", "includes")
        return f"{include} `{permission}`"
    here = [grant for grant in able if _in_environment(grant.scope, env)]
    if not here:
        hold = _of_roles(able, "doesn't hold", "holds")
        return f"{hold} in {env}, only in {_environments(able)}"
    if node is None:
        limited = _of_roles(here, "is limited to some nodes", "is for all nodes")
        return f"{limited}, and this is about all of them"
    reach = _of_roles(here, "doesn't reach", "reaches")
    return f"{reach} {node.name} in {env}"


def _of_roles(grants: Iterable[Grant], of_one: str, of_none: str) -> str:
    """Return that the only role lacks something, or that none of several has it."""
    names = list(dict.fromkeys(str(grant.role) for grant in grants))
    if len(names) == 1:
        return f"the role {names[0]} {of_one}"
    return f"none of the roles {', '.join(names)} {of_none}"


def _environments(grants: Iterable[Grant]) -> str:
    return ", ".join(sorted({env for grant in grants for env in grant.scope.env}))


def environment_lacking(
    rules: AccessRules | None, identity: Identity, permission: Permission, *, env: str, today: date
) -> bool:
    """Whether roles give a permission in other environments, and none gives it in this one."""
    able = [
        grant
        for grant in _grants(rules or AccessRules(), identity, today)
        if grant.gives(permission)
    ]
    return bool(able) and not any(_in_environment(grant.scope, env) for grant in able)


class NotAllowed(Refused):
    """An identity has no role that allows a command."""

    code = "not_allowed"
    """What a program decides by."""

    def __init__(
        self, identity: Identity, command: str, decision: Decision, owners: Iterable[str]
    ) -> None:
        self.who, self.command, self.decision = identity.who, command, decision
        self.owners = tuple(owners)
        """Who can give the right: owners, or managers of vendors; without any, an admin."""
        where = f" (access.yaml:{decision.rule.line})" if decision.rule is not None else ""
        super().__init__(
            f"{self.who} may not {command}: {decision.reason}{where}",
            hint=f"ask {', '.join(self.owners) or 'an admin of the project'};"
            " `headrace access whoami` lists your roles",
        )


class Frozen(NotAllowed):
    """An admin has stopped an identity."""

    code = "frozen"

    def __init__(self, identity: Identity, command: str, why: str, *, everybody: bool) -> None:
        who = "everybody but admins" if everybody else identity.who
        super().__init__(identity, command, Decision(False, f"{who} is frozen: {why}"), ())
        lifted = command_line(
            "unfreeze", "--all" if everybody else identity.who, "--reason", "TEXT"
        )
        self.hint = f"an admin lifts it: {lifted}"
