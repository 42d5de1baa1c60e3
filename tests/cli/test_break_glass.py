"""`access break-glass`: a role in an emergency, its end, and what it never gives."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import date
from typing import Any

import msgspec
import pytest
from clilab import Project
from test_approvals import as_another_person

from headrace.access import emergency_roles
from headrace.access.emergency_roles import grant_of, rule_for, within
from headrace.model.access import AccessRules, BreakGlass, Permission, Role, Scope
from headrace.security.access import Identity, IdentityKind, decide
from headrace.store import clock
from headrace.store.queries.emergencies import Emergency

RULES = """\
- {role: admin, to: [user:%s]}
- {role: viewer, to: [user:bo], owner: core}
- {break_glass: operator, to: [user:bo], owner: core}
- {break_glass: admin, to: [user:bo, token:declared]}
"""
WHY = ("--reason", "the night's load fails")


@pytest.fixture
def governed(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    who = shop.json("access", "whoami")["who"].partition(":")[2]
    (shop.root / "access.yaml").write_text(RULES % who)
    shop.text("apply", "--yes")
    return shop


def test_a_role_is_taken_and_ends(governed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: an emergency without a reason, an end, a message or an entry in the trail."""
    with monkeypatch.context() as bo:
        as_another_person(governed, bo, "bo")
        assert governed.refused("pause", "revenue", "--reason", "x", code=3)
        text = governed.refused("access", "break-glass", "operator", "--reason", " ", code=3)
        assert "needs --reason" in text
        text = governed.refused("access", "break-glass", "operator", *WHY, "--for", "61m")
        assert "1 to 60 minutes" in text
        row = governed.json("access", "break-glass", "operator:owner=core", *WHY, "--for", "30m")
        assert (row["who"], row["role"], row["scope"]) == ("user:bo", "operator", "owner=core")
        assert "already" in governed.refused("access", "break-glass", "operator", *WHY, code=3)
        governed.text("pause", "revenue", "--reason", "it spreads wrong rows")
        roles = governed.json("access", "whoami")["roles"]
        assert [item["role"] for item in roles if item["expires_at"]] == ["operator"]
        assert "by break-glass until" in governed.text("access", "whoami")
    answer = governed.json("access", "explain", "user:bo", "pause", "revenue")
    assert answer["decision"] == "allow" and "taken by break-glass" in answer["reason"]
    assert answer["rule"]["line"] == 3
    answer = governed.json("access", "explain", "user:bo", "access break-glass")
    assert answer["decision"] == "allow" and "operator, admin" in answer["reason"]
    assert governed.json("access", "explain", "user:al", "access break-glass")["decision"] == "deny"
    status = governed.json("status")
    opened = {item["kind"]: item for item in status["open"]}
    assert "user:bo (operator)" in opened["break_glass"]["text"]
    assert "access break-glass --end user:bo" in opened["break_glass"]["command"]
    with closing(sqlite3.connect(governed.root / ".headrace/state.db")) as store:
        sent = store.execute(
            "select recipient, title, body, state, error from notice where kind = 'break_glass'"
        ).fetchall()
    assert [item[0] for item in sent] == ["core"]
    assert row["messages"] == sum(item[3] != "dropped" for item in sent)
    assert "user:bo took the role operator" in sent[0][1] and WHY[1] in sent[0][2]
    ended = governed.json("access", "break-glass", "user:bo", "--end", "--reason", "it is over")
    assert [item["who"] for item in ended["ended"]] == ["user:bo"]
    with monkeypatch.context() as bo:
        as_another_person(governed, bo, "bo")
        assert governed.refused("resume", "revenue", "--reason", "x", code=3)
    events = governed.json("audit", "show", "--action", "break_glass.*")
    assert [(item["action"], item["object"], item["reason"]) for item in events] == [
        ("break_glass.ended", "subject:user:bo", "it is over"),
        ("break_glass.started", "subject:user:bo", WHY[1]),
    ]
    assert governed.json("audit", "verify")["ok"]


def test_the_number_of_messages_is_true(governed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: "the owners get a message" where none has a contact that works."""
    settings = governed.root / "headrace.toml"
    with monkeypatch.context() as bo:
        as_another_person(governed, bo, "bo")
        text = governed.text("access", "break-glass", "operator", *WHY)
        assert "0 messages to owners queued" in text
    settings.write_text(settings.read_text() + '[notify.mail]\nurl = "file:outbox"\n')
    governed.text("apply", "--yes")
    with monkeypatch.context() as bo:
        as_another_person(governed, bo, "bo")
        assert governed.json("access", "break-glass", "admin", *WHY)["messages"] == 1


def test_it_expires_by_itself(governed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: an emergency that outlives its end, or its rule."""
    now = clock.real_us()
    with monkeypatch.context() as bo:
        as_another_person(governed, bo, "bo")
        governed.text("access", "break-glass", "operator", *WHY, "--for", "10m")
        bo.setattr(emergency_roles, "real_us", lambda: now + 599_000_000)
        governed.text("pause", "revenue", "--reason", "it spreads wrong rows")
        bo.setattr(emergency_roles, "real_us", lambda: now + 700_000_000)
        assert governed.refused("resume", "revenue", "--reason", "x", code=3)
        assert all(not row["expires_at"] for row in governed.json("access", "whoami")["roles"])


def test_admin_by_break_glass_changes_no_rules_and_administers_nothing(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an hour as admin that somebody makes last by a rule, a token or a key."""
    with monkeypatch.context() as bo:
        as_another_person(governed, bo, "bo")
        governed.text("access", "break-glass", "admin", *WHY)
        assert governed.json("audit", "show", "--limit", "1")
        for refused in (
            ("token", "create", "mine", "--scope", "admin"),
            ("keys", "rotate", "--reason", "x"),
            ("freeze", "token:x", "--reason", "x"),
        ):
            assert "includes `administer`" in governed.refused(*refused, code=3), refused
        rules = governed.root / "access.yaml"
        rules.write_text(rules.read_text() + "- {role: admin, to: [user:bo]}\n")
        text = governed.refused("apply", "--yes", code=3)
        assert "break-glass doesn't reach it" in text
    assert {row["role"] for row in governed.json("access", "whoami")["roles"]} == {"admin"}


def test_tokens_and_frozen_people_take_no_role_unless_a_rule_names_them(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an agent that helps itself; a frozen person who does."""
    for name, allowed in (("agent", False), ("declared", True)):
        text = governed.json("token", "create", name, "--scope", "viewer")["token"]
        with monkeypatch.context() as program:
            program.setenv("HEADRACE_TOKEN", text)
            if allowed:
                assert (
                    governed.json("access", "break-glass", "admin", *WHY)["who"] == f"token:{name}"
                )
            else:
                assert "no rule" in governed.refused("access", "break-glass", "admin", *WHY, code=3)
            for_others = ("access", "break-glass", "user:bo", "--end", "--reason", "x")
            assert governed.refused(*for_others, code=3)
    governed.text("freeze", "user:bo", "--reason", "on leave")
    with monkeypatch.context() as bo:
        as_another_person(governed, bo, "bo")
        assert "frozen" in governed.refused("access", "break-glass", "operator", *WHY, code=3)
    governed.text("tick")
    denied = governed.json("audit", "show", "--action", "access.denied")
    assert {row["after"]["code"] for row in denied} == {"not_allowed", "frozen"}


def test_an_emergency_never_reaches_further_than_its_rule() -> None:
    """Would catch: limits that somebody leaves out or widens (500 random rules and questions)."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    today = date(2027, 3, 1)
    who = Identity(name="user:bo", kind=IdentityKind.USER, subjects=frozenset({"user:bo"}))

    def limits() -> Scope:
        def some(*names: str) -> tuple[str, ...]:
            return tuple(draw.sample(names, draw.choice((0, 0, 1, 2))))

        return Scope(
            domain=some("a", "b", "c"),
            owner=some("x", "y"),
            tag=some("t", "u"),
            env=some("dev", "prod"),
        )

    for _ in range(500):
        rule = BreakGlass(role=Role.ADMIN, to=("user:bo",), scope=limits())
        rules = AccessRules(emergencies=(rule,))
        asked = within(rule, limits())
        taken = rule_for(rules, who, Role.ADMIN, asked, today)
        for field in ("domain", "owner", "tag", "env"):
            allowed, wanted = getattr(rule.scope, field), getattr(asked, field)
            if allowed and not set(wanted) <= set(allowed):
                assert taken is None
        item = Emergency(1, "user:bo", "user:bo", "admin", _json(asked), "why", 0, 10)
        grant = grant_of(rules, who, item, today)
        assert (grant is None) == (taken is None)
        if grant is not None:
            assert not grant.gives(Permission.ADMINISTER) and grant.gives(Permission.READ)
            assert not decide(
                AccessRules(), who, Permission.READ, None, env="prod", today=today
            ).allowed


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
