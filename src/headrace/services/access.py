"""`access`: who somebody is, what they may do, and the rule that decides it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from headrace.access.emergency_roles import rules_for, take_emergencies, with_emergencies
from headrace.access.permissions import (
    AUDIT,
    SEE,
    Command,
    by_name,
    command,
    decision,
    freeze_of,
    listed_nodes,
    rules_of,
    visible_nodes,
)
from headrace.model import Asset, Source, UnknownName
from headrace.model.access import ACCESS_FILE, PERMISSIONS, Grant, Permission, Role
from headrace.model.errors import did_you_mean
from headrace.privacy.masking import column_limits
from headrace.project.parameters import Argument
from headrace.project.session import ProjectSession
from headrace.responses.access import (
    AccessDecisionResponse,
    AccessRow,
    RoleRow,
    RuleRow,
    WhoAmIResponse,
)
from headrace.security.access import Decision, Identity, IdentityKind, Node, roles_of
from headrace.security.tokens import identity_of
from headrace.services.tokens import scope_text, token_of
from headrace.store.queries import access_tokens

BREAK_GLASS = "access break-glass"
ADMIN_ROW = RoleRow(role=Role.ADMIN, scope="", until=None, file=None, line=None)
"""The role of local users in a project without rules."""


@command("access whoami", SEE, session="whoami", own_check=True)
def whoami(session: ProjectSession) -> WhoAmIResponse:
    """Return who runs this command, and with which roles. Everybody may ask this."""
    rules = rules_of(session)
    take_emergencies(session, rules)
    identity = session.identity
    enforced, frozen = rules is not None, freeze_of(session)
    grants = roles_of(rules, identity, today=session.now().date())
    rows = [_role_row(session, identity, grant) for grant in grants]
    return WhoAmIResponse(
        who=identity.who,
        kind=identity.kind,
        groups=sorted(_groups(identity)),
        roles=rows if enforced or not session.local else [ADMIN_ROW],
        enforced=enforced,
        frozen=None if frozen is None else frozen.reason,
        token=token_of(session, identity),
    )


@command("access explain", AUDIT, session="explain_access")
def explain(
    session: ProjectSession,
    who: Annotated[str, Argument("WHO", help="user:NAME, group:NAME or token:NAME")],
    command: Annotated[str, Argument("COMMAND", help="as typed: `backfill`, `quarantine accept`")],
    node: Annotated[str | None, Argument("[NODE]", help="a source, asset or consumer")] = None,
) -> AccessDecisionResponse:
    """Return whether somebody may run a command, and the rule, file and line that decide.

    Raise UnknownName for an unknown command, token or node.
    """
    needed = _command(command)
    rules = rules_of(session)
    identity, about = _identity(session, who), _node(session, node)
    identity = with_emergencies(session, rules, identity)
    if needed.name.startswith(BREAK_GLASS):
        return _explained_emergency(session, identity, command)
    result = decision(session, rules, needed.permission, None, identity)
    if about is not None and (needed.of or needed.anywhere) and not result.allowed:
        result = decision(session, rules, needed.permission, about, identity)
    if about is None and needed.anywhere and not result.allowed:
        result = _of_some_node(session, needed, identity) or result
    if about is None and needed.lists and not result.allowed:
        result = _of_list(session, needed, identity) or result
    masked = (
        column_limits(session, about.name, identity).names
        if isinstance(about, Source | Asset)
        else []
    )
    return AccessDecisionResponse(
        who=identity.who,
        command=command,
        node=None if about is None else about.name,
        decision="allow" if result.allowed else "deny",
        rule=None if result.rule is None else RuleRow(file=ACCESS_FILE, line=result.rule.line),
        masked=masked,
        reason=result.reason,
    )


def _explained_emergency(
    session: ProjectSession, identity: Identity, command: str
) -> AccessDecisionResponse:
    """Return whether somebody may take a role by break-glass: no role allows it, a rule does."""
    rules = rules_of(session)
    mine = [] if rules is None else rules_for(rules, identity, session.now().date())
    roles = ", ".join(dict.fromkeys(str(rule.role) for rule in mine))
    return AccessDecisionResponse(
        who=identity.who,
        command=command,
        node=None,
        decision="allow" if mine else "deny",
        rule=RuleRow(file=ACCESS_FILE, line=mine[0].line) if mine else None,
        masked=[],
        reason=(
            f"in an emergency, for at most 60 minutes: {roles}"
            if mine
            else f"no rule `break_glass` names {identity.who}"
        ),
    )


def _of_some_node(session: ProjectSession, needed: Command, identity: Identity) -> Decision | None:
    """Return the decision about a command that needs a role for what it is about, wherever."""
    rules, nodes = rules_of(session), session.project().nodes()
    decisions = (decision(session, rules, needed.permission, node, identity) for node in nodes)
    allowed = next((item for item in decisions if item.allowed), None)
    if allowed is None:
        return None
    return msgspec.structs.replace(
        allowed, reason=f"{allowed.reason}, for the nodes that it reaches"
    )


def _of_list(session: ProjectSession, needed: Command, identity: Identity) -> Decision | None:
    """Return the decision about a command that lists nodes; None if it would list none."""
    rules = rules_of(session)
    if needed.permission is Permission.SEE:
        visible = visible_nodes(session, rules, identity)
    else:
        visible = listed_nodes(session, rules, needed.permission, identity)
    return Decision(True, "it shows the nodes that the roles reach") if visible else None


@command("access matrix", SEE)
def matrix(session: ProjectSession) -> list[AccessRow]:
    """Return each command with each role: whether a role without a limit allows it."""
    del session
    return [
        AccessRow(
            command=name,
            permission=row.permission,
            role=role,
            decision="allow" if row.permission in PERMISSIONS[role] else "deny",
        )
        for name, row in sorted(by_name().items())
        for role in Role
    ]


def _command(command: str) -> Command:
    names = by_name()
    name = " ".join(command.removeprefix("headrace ").split())
    if name not in names:
        hint = did_you_mean(name, names) or "headrace access matrix lists the commands"
        raise UnknownName(f"there is no command {command[:60]!r}", hint=hint)
    return names[name]


def _identity(session: ProjectSession, who: str) -> Identity:
    """Return the identity of a subject; a user has no groups here, and a token its own roles."""
    kind, _, name = who.partition(":")
    if kind not in ("user", "group", "token") or not name:
        raise UnknownName(f"{who[:60]!r} is nobody", hint="user:NAME, group:NAME or token:NAME")
    if kind != "token":
        return Identity(name=who, kind=IdentityKind.LOCAL, subjects=frozenset({who}))
    existing = []
    if session.store is not None:
        with session.store.read() as tx:
            existing = access_tokens.every(tx)
    for token in existing:
        if token.name == name:
            return identity_of(name, token.grants)
    hint = did_you_mean(name, [token.name for token in existing]) or "headrace token list"
    raise UnknownName(f"there is no token {name[:60]!r}", hint=hint)


def _node(session: ProjectSession, text: str | None) -> Node | None:
    if text is None:
        return None
    project = session.project()
    name = text.partition("@")[0].partition(".")[0]
    about = project.node(name)
    if about is None:
        known = [*project.sources, *project.assets, *project.consumers]
        hint = did_you_mean(name, known) or "headrace ls"
        raise UnknownName(f"there is no {name[:60]!r}", hint=hint)
    return about


def _role_row(session: ProjectSession, identity: Identity, grant: Grant) -> RoleRow:
    ends = grant.break_glass
    of_token = grant in identity.grants and ends is None
    return RoleRow(
        role=grant.role,
        scope=scope_text(grant.scope),
        until=None if grant.until is None else grant.until.isoformat(),
        file=None if of_token else ACCESS_FILE,
        line=None if of_token else grant.line,
        expires_at=None if ends is None else session.instant(ends),
    )


def _groups(identity: Identity) -> list[str]:
    return [name.partition(":")[2] for name in identity.subjects if name.startswith("group:")]
