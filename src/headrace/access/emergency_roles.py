"""The roles that somebody has taken by break-glass, for each decision about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.model.access import (
    SCOPE_FIELDS,
    AccessRules,
    BreakGlass,
    Grant,
    Permission,
    Role,
    Scope,
)
from headrace.store.clock import real_us
from headrace.store.queries import emergencies
from headrace.store.queries.emergencies import Emergency

if TYPE_CHECKING:
    from datetime import date

    from headrace.project.session import ProjectSession
    from headrace.security.access import Identity


def with_emergencies(
    session: ProjectSession, rules: AccessRules | None, identity: Identity
) -> Identity:
    """Return an identity with the roles that it has taken by break-glass and still may have.

    Without such a rule in `access.yaml`, the state isn't read.
    """
    lasting = [grant for grant in identity.grants if grant.break_glass is None]
    taken: list[Grant] = []
    if rules is not None and rules.emergencies and session.store is not None:
        with session.store.read() as tx:
            in_force = emergencies.in_force(tx, real_us())
        today = session.now().date()
        grants = (grant_of(rules, identity, item, today) for item in in_force)
        taken = [grant for grant in grants if grant is not None]
    if not taken and len(lasting) == len(identity.grants):
        return identity
    return msgspec.structs.replace(identity, grants=(*lasting, *taken))


def take_emergencies(session: ProjectSession, rules: AccessRules | None) -> None:
    """Give the session's identity the roles that it has taken by break-glass, until they end."""
    session.identify_as(with_emergencies(session, rules, session.identity))


def grant_of(rules: AccessRules, identity: Identity, item: Emergency, today: date) -> Grant | None:
    """Return what an emergency gives an identity; None if it is another one's, or without a rule.

    An admin who removes the rule takes the role away at once.
    """
    if item.subject not in identity.subjects:
        return None
    scope = msgspec.json.decode(item.scope, type=Scope)
    rule = rule_for(rules, identity, Role(item.role), scope, today)
    if rule is None:
        return None
    return Grant(
        role=rule.role,
        to=(item.subject,),
        scope=scope,
        line=rule.line,
        break_glass=item.expires_at,
        without=() if rule.administer else (Permission.ADMINISTER,),
    )


def rule_for(
    rules: AccessRules, identity: Identity, role: Role, scope: Scope, today: date
) -> BreakGlass | None:
    """Return the rule by which an identity may take a role with these limits; None without one."""
    return next(
        (
            rule
            for rule in rules_for(rules, identity, today)
            if rule.role is role and _covers(rule.scope, scope)
        ),
        None,
    )


def rules_for(rules: AccessRules, identity: Identity, today: date) -> list[BreakGlass]:
    """Return the rules by which an identity may take roles in an emergency."""
    return [
        rule
        for rule in rules.emergencies
        if identity.subjects & set(rule.to) and (rule.until is None or today <= rule.until)
    ]


def scope_for(
    rules: AccessRules, identity: Identity, role: Role, asked: Scope, today: date
) -> Scope | None:
    """Return the limits with which an identity may take a role; None if no rule allows it."""
    for rule in rules_for(rules, identity, today):
        scope = within(rule, asked)
        if rule.role is role and rule_for(rules, identity, role, scope, today) is not None:
            return scope
    return None


def within(rule: BreakGlass, scope: Scope) -> Scope:
    """Return the limits that somebody asks for, and for the others those of the rule."""
    limits = {field: getattr(scope, field) or getattr(rule.scope, field) for field in SCOPE_FIELDS}
    return Scope(**limits)


def _covers(outer: Scope, inner: Scope) -> bool:
    """Whether the limits `inner` reach no further than `outer`."""
    return all(
        not (allowed := getattr(outer, field))
        or (bool(asked := getattr(inner, field)) and set(asked) <= set(allowed))
        for field in SCOPE_FIELDS
    )
