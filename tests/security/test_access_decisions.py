"""Who may do what: the decision against a reference of its own, and its properties (TRUST Z1-Z3)."""

from __future__ import annotations

import random
from datetime import date, timedelta

import msgspec
import pytest

from headrace.model.access import (
    PERMISSIONS,
    AccessRules,
    Forbid,
    Grant,
    Permission,
    Role,
    Scope,
)
from headrace.model.nodes import Place, Source
from headrace.security.access import (
    Identity,
    IdentityKind,
    allowed_nodes,
    decide,
    forbidden_columns,
)

TODAY = date(2027, 3, 1)
SUBJECTS = ("user:ana", "user:bo", "group:ops", "token:ci")
DOMAINS, OWNERS, TAGS, ENVS = (
    ("finance", "sales"),
    ("core", "risk"),
    ("pii", "daily"),
    ("prod", "dev"),
)
PAIRS = 2_000


def source(domain: str | None, owner: str, tags: tuple[str, ...]) -> Source:
    return Source(
        name="orders",
        owner=owner,
        domain=domain,
        tags=tags,
        place=Place(file="sources/orders.yaml"),
    )


def anyone(draw: random.Random) -> Identity:
    names = frozenset(draw.sample(SUBJECTS, draw.randint(1, 2)))
    return Identity(name="x", kind=IdentityKind.LOCAL, subjects=names)


def some(draw: random.Random, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(draw.sample(values, draw.choice((0, 0, 1))))


def scope(draw: random.Random) -> Scope:
    return Scope(
        domain=some(draw, DOMAINS),
        owner=some(draw, OWNERS),
        tag=some(draw, TAGS),
        env=some(draw, ENVS),
    )


def rules(draw: random.Random) -> AccessRules:
    grants = tuple(
        Grant(
            role=draw.choice(tuple(Role)),
            to=tuple(draw.sample(SUBJECTS, draw.randint(1, 2))),
            scope=scope(draw),
            until=draw.choice((None, TODAY - timedelta(1), TODAY, TODAY + timedelta(1))),
        )
        for _ in range(draw.randint(0, 4))
    )
    forbids = tuple(
        Forbid(
            permission=draw.choice(tuple(Permission)),
            to=tuple(draw.sample(SUBJECTS, 1)),
            scope=scope(draw),
            columns=draw.choice(((), (), ("orders.iban",))),
        )
        for _ in range(draw.randint(0, 2))
    )
    return AccessRules(grants=grants, forbids=forbids)


def reference(
    given: AccessRules, who: Identity, permission: Permission, node: Source | None, env: str
) -> bool:
    """The rules as `docs/how-to/access.md` says them, written without the product's code."""

    def reaches(limits: Scope, *, whole: bool) -> bool:
        if limits.env and env not in limits.env:
            return False
        if node is None:
            return whole or not (limits.domain or limits.owner or limits.tag)
        if limits.domain and node.domain not in limits.domain:
            return False
        if limits.owner and node.owner not in limits.owner:
            return False
        return not limits.tag or any(tag in limits.tag for tag in node.tags)

    for rule in given.forbids:
        mine = any(name in who.subjects for name in rule.to)
        applies = mine and not rule.columns and rule.permission == permission
        if applies and reaches(rule.scope, whole=True):
            return False
    for grant in given.grants:
        ended = grant.until is not None and grant.until < TODAY
        mine = any(name in who.subjects for name in grant.to)
        applies = mine and not ended and permission in PERMISSIONS[grant.role]
        if applies and reaches(grant.scope, whole=False):
            return True
    return False


def asked(draw: random.Random) -> tuple[Identity, Permission, Source | None, str]:
    node = source(
        draw.choice((None, *DOMAINS)),
        draw.choice(OWNERS),
        tuple(draw.sample(TAGS, draw.randint(0, 2))),
    )
    return (
        anyone(draw),
        draw.choice(tuple(Permission)),
        draw.choice((None, node)),
        draw.choice(ENVS),
    )


def allowed(
    given: AccessRules | None, question: tuple[Identity, Permission, Source | None, str]
) -> bool:
    who, permission, node, env = question
    return decide(given, who, permission, node, env=env, today=TODAY).allowed


def test_decisions_are_those_of_the_reference() -> None:
    """Would catch: a scope that is ignored, a grant that has ended, a forbid that loses (Z1)."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    outcomes = set()
    for _ in range(PAIRS):
        given, question = rules(draw), asked(draw)
        assert allowed(given, question) == reference(given, *question), (given, question)
        outcomes.add(allowed(given, question))
    assert outcomes == {True, False}


def test_more_grants_never_remove_and_more_forbids_never_add() -> None:
    """Would catch: rules whose order or number decides (Z3)."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(PAIRS):
        given, more, question = rules(draw), rules(draw), asked(draw)
        before = allowed(given, question)
        granted = AccessRules(grants=more.grants + given.grants, forbids=given.forbids)
        forbidden = AccessRules(grants=given.grants, forbids=more.forbids + given.forbids)
        turned = AccessRules(grants=given.grants[::-1], forbids=given.forbids[::-1])
        assert allowed(granted, question) >= before
        assert allowed(forbidden, question) <= before
        assert allowed(turned, question) == before
        assert not allowed(AccessRules(), question)


def test_without_rules_local_users_may_do_everything_and_tokens_what_they_were_given() -> None:
    """Would catch: a project on one machine that asks its user for a role; a token without limits."""
    viewer = Grant(role=Role.VIEWER, to=("token:ci",))
    token = Identity(
        name="token:ci", kind=IdentityKind.TOKEN, subjects=frozenset({"token:ci"}), grants=(viewer,)
    )
    local = Identity(name="ana@db", kind=IdentityKind.LOCAL, subjects=frozenset({"user:ana"}))
    for permission in Permission:
        assert allowed(None, (local, permission, None, "prod"))
        assert allowed(None, (token, permission, None, "prod")) is (
            permission in PERMISSIONS[Role.VIEWER]
        )
        assert not allowed(AccessRules(), (local, permission, None, "prod"))


@pytest.mark.parametrize(
    ("who", "node", "env", "columns"),
    [
        ("user:ana", "customers", "prod", {"iban"}),
        ("user:ana", "Customers", "prod", {"iban"}),
        ("user:bo", "customers", "prod", set()),
        ("user:ana", "orders", "prod", set()),
        ("user:ana", "customers", "dev", set()),
    ],
)
def test_a_forbidden_column_is_left_out(who: str, node: str, env: str, columns: set[str]) -> None:
    """Would catch: a column of another node, person or environment left out, or one shown."""
    rule = Forbid(
        permission=Permission.READ,
        to=("user:ana",),
        scope=Scope(env=("prod",)),
        columns=("customers.iban",),
    )
    identity = Identity(name=who, kind=IdentityKind.LOCAL, subjects=frozenset({who}))
    result = forbidden_columns(AccessRules(forbids=(rule,)), identity, node, env=env)
    assert result == columns


def test_rules_survive_the_store() -> None:
    """Would catch: a rule that reads differently from the applied version than from the file."""
    draw = random.Random(7)
    for _ in range(50):
        given = rules(draw)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(given), type=AccessRules) == given


def test_visible_nodes_are_those_that_single_decisions_allow() -> None:
    """Would catch: a list that shows a node which `read` says doesn't exist, or hides another one."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(PAIRS):
        given, who, env = rules(draw), anyone(draw), draw.choice(ENVS)
        permission = draw.choice(tuple(Permission))
        nodes = [
            msgspec.structs.replace(
                source(draw.choice((None, *DOMAINS)), draw.choice(OWNERS), some(draw, TAGS)),
                name=f"n{number}",
            )
            for number in range(4)
        ]
        single = {
            node.name
            for node in nodes
            if decide(given, who, permission, node, env=env, today=TODAY).allowed
        }
        assert allowed_nodes(given, who, permission, nodes, env=env, today=TODAY) == single
