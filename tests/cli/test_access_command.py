"""`access`, `token`, and what people with a role see and may do on the command line."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

from headrace import Session
from headrace.model import Refused
from headrace.security.token_use import USES_FILE

RULES = """\
- {role: admin, to: [user:%s]}
- {role: viewer, to: [token:reader]}
- {forbid: read, to: [token:reader], column: orders.customer}
"""


@pytest.fixture
def governed(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project with rules of access, in which the user of the tests is admin."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    who = shop.json("access", "whoami")["who"].partition(":")[2]
    (shop.root / "access.yaml").write_text(RULES % who)
    shop.text("apply", "--yes")
    return shop


def token(project: Project, name: str, *scopes: str) -> str:
    arguments = [word for scope in scopes for word in ("--scope", scope)]
    return str(project.json("token", "create", name, *arguments)["token"])


def refusal(project: Project, *arguments: str) -> dict[str, Any]:
    code, out, err = project.call(project.root, *arguments, "--json")
    assert code == 3 and err.startswith("error: "), (code, out, err)
    error: dict[str, Any] = json.loads(out)["error"]
    return error


def test_without_rules_nothing_changes(shop: Project) -> None:
    """Would catch: a project on one machine whose user needs a role."""
    answer = shop.json("access", "whoami")
    assert answer["kind"] == "local" and not answer["enforced"]
    assert [row["role"] for row in answer["roles"]] == ["admin"]
    assert "every local user may do everything" in shop.text("access", "whoami")


def test_a_token_is_shown_once_and_acts_under_its_name(
    governed: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Would catch: an act recorded under another name, a role that reaches further than it says,
    a token that works on after its end."""
    me = governed.json("access", "whoami")["who"]
    text = token(governed, "ci", "operator:owner=core", "viewer:owner=acme")
    assert text not in (governed.root / ".headrace/state.db").read_bytes().decode("latin-1")
    assert text not in governed.text("token", "list")
    governed.refused("token", "create", "ci", "--scope", "viewer", code=3)
    file = tmp_path / "ci.token"
    file.write_text(text + "\n")
    monkeypatch.setenv("HEADRACE_TOKEN", text)
    unlimited = {"until": None, "expires_at": None, "file": None, "line": None}
    answer = governed.json("access", "whoami")
    assert answer.pop("token")["id"] == "token-1"
    assert answer == {
        "who": "token:ci",
        "kind": "token",
        "groups": [],
        "roles": [
            {"role": "operator", "scope": "owner=core", **unlimited},
            {"role": "viewer", "scope": "owner=acme", **unlimited},
        ],
        "enforced": True,
        "frozen": None,
    }
    governed.text("pause", "revenue", "--reason", "by ci")
    error = refusal(governed, "pause", "orders", "--reason", "not ours")
    assert error.pop("message").startswith("token:ci may not pause: ")
    assert error.pop("hint") == f"ask {me}; `headrace access whoami` lists your roles"
    assert error == {
        "code": "not_allowed", "who": "token:ci", "command": "pause", "rule": None, "ask": [me],
    }  # fmt: skip
    assert refusal(governed, "apply", "--yes")["command"] == "apply"
    assert refusal(governed, "audit", "show")["command"] == "audit show"  # as typed
    assert refusal(governed, "read", "revenue")["ask"] == ["core"]
    assert {row["owner"] for row in governed.json("ls")} == {"acme", "core"}
    monkeypatch.delenv("HEADRACE_TOKEN")
    paused = governed.json("audit", "show", "--action", "node.paused")[0]
    assert paused["actor"] == "token:ci"
    assert governed.json("access", "whoami", "--token-file", str(file))["who"] == "token:ci"
    governed.text("token", "revoke", "ci", "--reason", "over")
    error = governed.refused("access", "whoami", "--token-file", str(file), code=3)
    assert "revoked" in error and text not in error
    actions = [row["action"] for row in governed.json("audit", "show", "--limit", "2")]
    assert actions[0] == "token.revoked"


def test_a_node_that_somebody_may_not_see_does_not_exist_for_them(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: names that a refusal gives away (TRUST Z5)."""
    monkeypatch.setenv("HEADRACE_TOKEN", token(governed, "core-reader", "viewer:owner=core"))
    hidden = governed.refused("read", "orders")
    unknown = governed.refused("read", "ordersx")
    assert "there is no 'orders'" in hidden and "there is no 'ordersx'" in unknown
    assert "revenue" in governed.text("read", "revenue", "--limit", "1")


def test_a_forbidden_column_is_left_out_wherever_rows_are_read(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a way of reading that shows the column, or a column derived from it."""
    everything = governed.json("read", "orders_clean")
    assert "customer" in everything["rows"][0] and everything["masked"] == []
    monkeypatch.setenv("HEADRACE_TOKEN", token(governed, "reader", "viewer"))
    for name in ("orders", "orders_clean"):
        response = governed.json("read", name)
        assert response["masked"] == ["customer"]
        assert response["rows"] and all("customer" not in row for row in response["rows"])
        assert "Grace" not in governed.text("read", name, "--format", "csv")
        assert "Grace" not in governed.text("sql", f"select * from {name}")
        assert "left out, because you may not read it: customer" in governed.text("read", name)
        assert "customer" in governed.refused("sql", f"select customer from {name}", code=3)
        difference = governed.json("diff", name, "--at", "1", "--at", "2")
        assert difference["masked"] == ["customer"] and "customer" not in difference["cells"]
    for command in ("try", "contract infer"):
        name = "orders" if command == "contract infer" else "orders_clean"
        assert "customer" in governed.refused(*command.split(), name, code=3)
    assert "Grace" not in json.dumps(governed.json("quarantine"))
    assert governed.json("read", "revenue")["masked"] == []


def test_explain_names_the_rule_and_the_line(governed: Project) -> None:
    """Would catch: an explanation that isn't the decision."""
    token(governed, "reader", "viewer")
    answer = governed.json("access", "explain", "token:reader", "read", "orders")
    assert answer["decision"] == "allow" and answer["masked"] == ["customer"]
    answer = governed.json("access", "explain", "user:nobody", "backfill")
    assert answer["decision"] == "deny" and answer["rule"] is None
    assert answer["reason"] == "no rule gives user:nobody a role"
    who = governed.json("access", "whoami")["who"]
    answer = governed.json("access", "explain", who, "quarantine accept", "revenue")
    assert answer["rule"] == {"file": "access.yaml", "line": 1}
    token(governed, "core", "viewer:owner=core")
    # `plan` isn't about a node, so a role that reaches this node doesn't allow it
    answer = governed.json("access", "explain", "token:core", "plan", "revenue")
    assert answer["decision"] == "deny"
    answer = governed.json("access", "explain", "token:core", "status")
    assert answer["reason"] == "it shows the nodes that the roles reach"
    answer = governed.json("access", "explain", "token:core", "serve")
    assert answer["reason"] == "the role viewer doesn't include `administer`"
    assert "did you mean `backfill`" in governed.refused("access", "explain", who, "backfil")
    assert "token list" in governed.refused("access", "explain", "token:nobody", "read")
    assert "user:NAME" in governed.refused("access", "explain", "ana", "read")


def test_rules_are_in_force_once_they_are_applied(governed: Project) -> None:
    """Would catch: an edited file that gives its author a role before anybody has agreed."""
    who = governed.json("access", "whoami")["who"]
    (governed.root / "access.yaml").write_text(
        f"- {{role: viewer, to: [{who}]}}\n- {{role: admin, to: [user:somebody]}}\n"
    )
    assert governed.json("access", "whoami")["roles"][0]["role"] == "admin"
    changes = governed.json("plan")["changes"]
    assert [change["node"] for change in changes] == ["access.yaml"]
    assert governed.json("plan")["locks_out"] is None
    governed.text("apply", "--yes")
    assert refusal(governed, "apply", "--yes")["who"] == who
    for words in (["db", "gc"], ["serve", "--port", "0"], ["tick"], ["token", "list"]):
        governed.refused(*words, code=3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["token", "create", "a b", "--scope", "viewer"], "is no name of a token"),
        (["token", "create", "x"], "needs a role"),
        (["token", "create", "x", "--scope", "vewer"], "did you mean `viewer`"),
        (["token", "create", "x", "--scope", "viewer:colour=red"], "limits nothing"),
        (["token", "create", "x", "--scope", "viewer", "--expires", "2y"], "2y"),
        (["token", "create", "x", "--scope", "viewer", "--expires", "400d"], "at most 366 days"),
        (["token", "revoke", "x"], "there is no token 'x'"),
        (["token", "create"], "missing: NAME"),
        (["token", "make", "x"], "one of create, list, revoke"),
        (["access", "explain"], "missing: WHO, COMMAND"),
        (["freeze", "--reason", "x"], "name one subject, or --all"),
        (["freeze", "token:x", "--all", "--reason", "x"], "name one subject, or --all"),
        (["freeze", "token:x", "--reason", "x"], "there is no token 'x'"),
        (["freeze", "robot:x", "--reason", "x"], "is nobody"),
        (["unfreeze", "--all", "--reason", "x"], "everybody but admins isn't frozen"),
        (["access", "whois"], "did you mean `headrace access whoami`?"),
        (["access", "zzz"], "one of whoami, explain, matrix"),
    ],
    ids=str,
)
def test_mistakes_get_an_answer(shop: Project, words: list[str], message: str) -> None:
    """Would catch: a traceback, or a message that doesn't say what to write."""
    assert message in shop.refused(*words)


def test_tokens_that_are_none_are_refused(
    governed: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Would catch: a forged token taken for the local user."""
    good = token(governed, "ci", "admin")
    for text in ("x", good[:-1] + ("A" if good[-1] != "A" else "B"), "hdr_" + "x" * 49, "é"):
        monkeypatch.setenv("HEADRACE_TOKEN", text)
        assert "this token isn't known" in governed.refused("status", code=3)
    monkeypatch.delenv("HEADRACE_TOKEN")
    assert "can't be read" in governed.refused("status", "--token-file", str(tmp_path / "none"))


def test_python_acts_as_the_token_too(governed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a notebook that reads what its token may not, or acts under another name."""
    text = token(governed, "reader", "viewer")
    with pytest.raises(Refused, match="may not pause"):
        Session(governed.root, token=text).pause("revenue", reason="x")
    assert "customer" not in Session(governed.root, token=text).read("orders").arrow.column_names
    monkeypatch.setenv("HEADRACE_TOKEN", text)
    assert Session(governed.root).whoami().who == "token:reader"
    monkeypatch.delenv("HEADRACE_TOKEN")
    Session(governed.root, actor="somebody").pause("revenue", reason="x")
    entry = governed.json("audit", "show", "--action", "node.paused")[0]
    assert entry["actor"] != "somebody"


def test_a_frozen_token_is_refused_until_it_is_lifted(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a freeze that reaches one interface only, or that nobody sees afterwards."""
    text = token(governed, "ci", "owner")
    rows = governed.json("freeze", "ci", "--reason", "it runs wild")["frozen"]
    assert [(row["who"], row["reason"]) for row in rows] == [("token:ci", "it runs wild")]
    governed.json("freeze", "token:ci", "--reason", "again")  # changes nothing
    assert [row["state"] for row in governed.json("token", "list")] == ["frozen"]
    items = [item for item in governed.json("status")["open"] if item["kind"] == "frozen"]
    assert [item["text"] for item in items] == ["token:ci frozen"]
    assert items[0]["command"] == "headrace unfreeze token:ci --reason TEXT"
    assert "token:ci frozen" in governed.json("status")["headline"]
    doctor = {row["name"]: row["detail"] for row in governed.json("doctor")}
    assert doctor["frozen"].startswith("token:ci:")
    monkeypatch.setenv("HEADRACE_TOKEN", text)
    for words in (["read", "revenue"], ["status"], ["pause", "revenue", "--reason", "x"]):
        error = refusal(governed, *words)
        assert (error["code"], error["who"]) == ("frozen", "token:ci")
    assert governed.json("access", "whoami")["frozen"] == "it runs wild"
    with pytest.raises(Refused, match="it runs wild"):
        Session(governed.root, token=text).status()
    monkeypatch.delenv("HEADRACE_TOKEN")
    assert governed.json("unfreeze", "ci", "--reason", "mended") == {"frozen": []}
    assert "frozen" not in governed.json("status")["headline"]
    actions = [
        row["action"] for row in governed.json("audit", "show", "--action", "access.*frozen")
    ]
    assert actions == ["access.unfrozen", "access.frozen"]
    assert governed.json("access", "whoami")["frozen"] is None


def test_a_freeze_of_everybody_leaves_admins(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an admin who locks themselves out, or a token that works on."""
    who = governed.json("access", "whoami")["who"]
    assert "stop yourself" in governed.refused("freeze", who, "--reason", "x", code=3)
    reader, admin = token(governed, "reader", "viewer"), token(governed, "root", "admin")
    governed.text("freeze", "--all", "--reason", "an incident")
    monkeypatch.setenv("HEADRACE_TOKEN", reader)
    error = governed.refused("read", "revenue", code=3)
    assert "everybody but admins is frozen: an incident" in error and "unfreeze --all" in error
    monkeypatch.setenv("HEADRACE_TOKEN", admin)
    states = {row["name"]: row["state"] for row in governed.json("token", "list")}
    assert states == {"reader": "frozen", "root": "valid"}
    assert "needs --reason" in governed.refused("unfreeze", "--all", "--reason", " ", code=3)
    governed.text("unfreeze", "--all", "--reason", "over")
    monkeypatch.setenv("HEADRACE_TOKEN", reader)
    governed.text("read", "revenue")


def test_the_last_use_of_a_token_is_listed(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a token that nobody uses any more and nobody can tell (TRUST S8); a file that
    others can read, or that each request writes."""
    text = token(governed, "ci", "viewer")
    assert [row["last_used_at"] for row in governed.json("token", "list")] == [None]
    assert "never" in governed.text("token", "list")
    monkeypatch.setenv("HEADRACE_TOKEN", text)
    governed.json("ls")
    file = governed.root / ".headrace" / USES_FILE
    assert file.stat().st_mode & 0o077 == 0
    written = file.stat().st_mtime_ns
    governed.json("ls")
    assert file.stat().st_mtime_ns == written
    monkeypatch.delenv("HEADRACE_TOKEN")
    (row,) = governed.json("token", "list")
    age = datetime.now(UTC) - datetime.fromisoformat(row["last_used_at"])
    assert timedelta(0) <= age < timedelta(minutes=5)
    file.write_text("not JSON")
    assert governed.json("token", "list")[0]["last_used_at"] is None


def test_first_rules_that_lock_out_their_user_arent_applied_without_a_question(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a new project whose first `tick` applies rules without its user, after which
    every command is refused; `apply --yes` that refuses rules for others."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    root = tmp_path / "new"
    root.mkdir()
    project = Project(root, call)
    (root / "headrace.toml").write_text('[project]\nname = "new"\ntimezone = "UTC"\n')
    (root / "access.yaml").write_text("- {role: admin, to: [user:somebody-else]}\n")
    assert "gives user:" in project.refused("tick", code=3)
    assert not project.json("access", "whoami")["enforced"]
    who = project.json("access", "whoami")["who"]
    (root / "access.yaml").write_text(f"- {{role: admin, to: [user:somebody-else, {who}]}}\n")
    project.text("tick")
    assert project.json("access", "whoami")["enforced"]
    (root / "access.yaml").write_text("- {role: admin, to: [user:somebody-else]}\n")
    assert f"access.yaml gives {who} no role" in project.text("plan")
    assert project.json("plan")["locks_out"] == who
    other = tmp_path / "other"
    other.mkdir()
    (other / "headrace.toml").write_text('[project]\nname = "new"\ntimezone = "UTC"\n')
    (other / "access.yaml").write_text("- {role: admin, to: [user:somebody-else]}\n")
    agreed = Project(other, call)
    agreed.text("apply", "--yes")
    assert agreed.json("access", "whoami")["roles"] == []


def test_a_token_of_a_scope_that_nothing_has_is_refused(governed: Project) -> None:
    """Would catch: a token for a misspelt domain, which is created and may do nothing."""
    for scope, problem in (
        ("operator:owner=coer", "no node has the owner `coer`"),
        ("viewer:env=stage", "there is no environment `stage`"),
    ):
        error = governed.refused("token", "create", "ci", "--scope", scope, code=2)
        assert problem in error, error
    assert "did you mean" in governed.refused(
        "token", "create", "ci", "--scope", "operator:owner=coer", code=2
    )
    assert governed.json("token", "list") == []


def test_validate_names_a_forbidden_column_that_is_not_there(governed: Project) -> None:
    """Would catch: a misspelt column, whose values are read although a rule forbids it."""
    file = governed.root / "access.yaml"
    file.write_text(file.read_text() + "- {forbid: read, to: [user:ana], column: Orders.custmer}\n")
    problems = [
        (row["line"], row["severity"], row["message"], row["hint"])
        for row in governed.json("validate")["problems"]
        if row["code"] == "unknown_column"
    ]
    message = "`orders` has no column `custmer`: the rule forbids nothing"
    assert problems == [(4, "warning", message, "did you mean `customer`?")]


def test_an_unknown_user_is_named_before_the_password_is_judged(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an admin who types three passwords for a name that isn't there."""
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert "nobody" in governed.refused("user", "password", "nobody", code=2)
