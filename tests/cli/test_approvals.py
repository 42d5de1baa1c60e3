"""`approvals`, `approve` and `reject`: two people, one plan, and what is recorded of it."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
from clilab import Project

from headrace import Session
from headrace.model import Refused, UnknownName
from headrace.project.session import ProjectSession
from headrace.security.access import Identity, IdentityKind
from headrace.services.approvals import approval

RULE = '[policy]\nbackfill_approval = "partitions > 1"\n'
BACKFILL = (
    "backfill", "revenue", "--from", "2025-03-01", "--to", "2025-03-03", "--mode", "all", "--only",
    "--reason", "the euro was a pound",
)  # fmt: skip


@pytest.fixture
def asked(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose token `asker`, created by the user of the tests, has asked for a backfill."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text() + RULE)
    shop.text("apply", "--yes")
    return shop


def token(project: Project, name: str, *scopes: str) -> str:
    words = [word for scope in scopes for word in ("--scope", scope)]
    return str(project.json("token", "create", name, *words)["token"])


def ask(project: Project) -> dict[str, Any]:
    code, out, err = project.call(project.root, *BACKFILL, "--yes", "--json")
    assert code == 3, err
    response: dict[str, Any] = json.loads(out)
    assert response["state"] == "awaiting_approval"
    return response


def as_another_person(project: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Run the next commands as another user of the machine."""
    identity = Identity(
        name=f"{name}@db1", kind=IdentityKind.LOCAL, subjects=frozenset({f"user:{name}"})
    )
    monkeypatch.setattr("headrace.cli.invocation.local_actor", lambda: f"{name}@db1")
    monkeypatch.setattr("headrace.security.access.local_identity", lambda: identity)


def test_nobody_approves_their_own_plan(asked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: four eyes that are two, by a token of one's own or in its name."""
    number = ask(asked)["id"]
    assert "another person must decide" in asked.refused(
        "approve", number, "--reason", "fine", code=3
    )
    monkeypatch.setenv("HEADRACE_TOKEN", token(asked, "mine", "admin"))
    for command in ("approve", "reject"):
        assert "another person must decide" in asked.refused(
            command, number, "--reason", "fine", code=3
        )
    assert asked.json("approvals")[0]["state"] == "open"


def test_the_same_backfill_is_asked_for_once(asked: Project) -> None:
    """Would catch: a second plan of the same partitions, with a second message to those who decide."""
    first = ask(asked)
    assert (second := ask(asked)) == first | {"now": second["now"]}
    assert [row["id"] for row in asked.json("approvals")] == [first["id"]]
    asked.text("backfills", "cancel", str(first["id"]), "--reason", "not today")
    assert ask(asked)["id"] != first["id"]
    leaf = ["page" if word == "revenue" else word for word in BACKFILL]
    alone, all_ = (
        json.loads(asked.call(asked.root, *words, "--yes", "--json")[1])
        for words in (leaf, [word for word in leaf if word != "--only"])
    )
    assert (alone["plan_id"], alone["id"]) == (all_["plan_id"], all_["id"])


def test_a_plan_that_a_token_asked_for_isnt_approved_by_who_created_the_token(
    asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a person who lets a token ask, and approves it."""
    text = token(asked, "robot", "operator", "viewer")
    monkeypatch.setenv("HEADRACE_TOKEN", text)
    number = ask(asked)["id"]
    assert "includes `approve`" in asked.refused("approve", number, "--reason", "fine", code=3)
    monkeypatch.delenv("HEADRACE_TOKEN")
    assert "token:robot asked for plan" in asked.refused(
        "approve", number, "--reason", "fine", code=3
    )


def test_a_token_that_a_token_created_is_no_second_person(
    asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a person whose token creates another token, which approves the person's plan,
    or asks for one that the person approves."""
    number = ask(asked)["id"]
    monkeypatch.setenv("HEADRACE_TOKEN", token(asked, "first", "admin"))
    monkeypatch.setenv("HEADRACE_TOKEN", token(asked, "second", "admin"))
    text = asked.refused("approve", number, "--reason", "fine", code=3)
    assert "another person must decide" in text
    monkeypatch.delenv("HEADRACE_TOKEN")
    asked.text("backfills", "cancel", number, "--reason", "again")
    monkeypatch.setenv("HEADRACE_TOKEN", token(asked, "third", "admin"))
    monkeypatch.setenv("HEADRACE_TOKEN", token(asked, "fourth", "operator", "viewer"))
    number = ask(asked)["id"]
    monkeypatch.delenv("HEADRACE_TOKEN")
    text = asked.refused("approve", number, "--reason", "fine", code=3)
    assert "token:fourth asked for plan" in text


def test_another_person_approves_and_it_runs(
    asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an approval that starts nothing or something else, or whose reason is lost."""
    response = ask(asked)
    row = asked.json("approvals")[0]
    assert row["id"] == response["id"] and row["plan_id"] == response["plan_id"]
    assert row["reason"] == "the euro was a pound" and row["given"] == []
    assert row["consequence"]["partitions"] == 3
    assert row["consequence"]["consumers"] == ["morning-report"]
    assert "backfill_approval" in row["rule"] and row["needs"][0]["count"] == 1
    text = asked.text("approvals")
    assert "open" in text and f"headrace approve {row['id']} --reason TEXT" in text
    as_another_person(asked, monkeypatch, "bo")
    assert "needs --reason" in asked.refused("approve", row["id"], code=3)
    answered = asked.json("approve", row["plan_id"], "--reason", "checked with finance")
    assert answered["state"] == "approved"
    assert [(item["by"], item["answer"], item["reason"]) for item in answered["given"]] == [
        ("bo@db1", "approved", "checked with finance")
    ]
    assert asked.json("backfills", row["id"])["state"] == "succeeded"
    events = {entry["action"]: entry for entry in asked.json("audit", "show", "--limit", "40")}
    assert events["plan.approved"]["actor"] == "bo@db1"
    assert events["plan.approved"]["reason"] == "checked with finance"
    assert events["plan.started"]["actor"] == row["asked_by"]
    assert "is approved" in asked.refused("approve", row["id"], "--reason", "again")
    assert "no plan 99 needs" in asked.refused("approve", "99", "--reason", "x")
    with closing(ProjectSession.open(asked.root, "prod", None, "tester")) as session:
        for text in ("abc", "A99", "p-0123456789abcdef"):
            with pytest.raises(UnknownName, match="there is no approval"):
                approval(session, text)


def test_a_rejected_plan_never_runs(asked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a rejection that is only written down."""
    number = ask(asked)["id"]
    as_another_person(asked, monkeypatch, "bo")
    assert asked.json("reject", number, "--reason", "not before the audit")["state"] == "rejected"
    assert asked.json("backfills", number)["state"] == "cancelled"
    assert "is rejected" in asked.refused("approve", number, "--reason", "after all")
    assert "has ended" in asked.refused("backfills", "resume", number, "--reason", "x")
    text = asked.text("approvals")
    assert "rejected by bo@db1: not before the audit" in text


def test_a_plan_that_would_be_another_one_by_now_is_void(
    asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an approval of something else than what was shown."""
    number = ask(asked)["id"]
    query = asked.root / "assets/revenue.sql"
    query.write_text(query.read_text().replace("sum(amount)", "2 * sum(amount)"))
    asked.text("apply", "--yes", "--keep", "revenue", "--reason", "only the future")
    as_another_person(asked, monkeypatch, "bo")
    assert "is void" in asked.refused("approve", number, "--reason", "fine", code=3)
    row = asked.json("approvals")[0]
    assert (row["state"], row["state_reason"]) == (
        "void",
        "version 3 was applied after it was asked for",
    )
    assert asked.json("backfills")["backfills"][0]["state"] == "void"
    assert asked.json("backfills", number)["state"] == "void"
    text = asked.text("backfills", number)
    assert "void: another version was applied" in text and "next: headrace backfill " in text


def test_a_plan_expires(asked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: an approval of a plan whose reason nobody remembers."""
    number = ask(asked)["id"]
    asked.text("tick", "--now", "2025-03-14T08:00+01:00")
    assert asked.json("approvals")[0]["state"] == "expired"
    as_another_person(asked, monkeypatch, "bo")
    assert "is expired" in asked.refused("approve", number, "--reason", "fine")


def test_a_cancelled_plan_is_void_and_none_is_said_plainly(asked: Project) -> None:
    """Would catch: a plan that its author took back and that still asks for an answer."""
    assert "no plan needs or needed an approval" in asked.text("approvals")
    number = ask(asked)["id"]
    asked.text("backfills", "cancel", number, "--reason", "a mistake")
    row = asked.json("approvals")[0]
    assert (row["state"], row["state_reason"]) == ("void", "the backfill was cancelled")


def test_a_name_that_a_program_gives_itself_is_no_second_person(asked: Project) -> None:
    """Would catch: an approval by the same user under another name."""
    number = ask(asked)["id"]
    for actor in ("bo@db1", None):
        with pytest.raises(Refused, match="another person must decide"):
            Session(asked.root, actor=actor).approve(number, reason="fine")


def test_names_that_a_rule_gives_one_person_are_no_second_person(
    asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: one person who answers their own plan under the name of a provider."""
    me = asked.json("access", "whoami")["who"]
    rules = (
        f"- {{role: admin, to: [{me}, user:bo, user:cy]}}\n"
        f"- {{same_person: [{me}, 'user:7@login']}}\n"
        "- {same_person: ['user:7@login', user:bo]}\n"
    )
    (asked.root / "access.yaml").write_text(rules)
    asked.text("apply", "--yes")
    number = ask(asked)["id"]
    with monkeypatch.context() as other:
        as_another_person(asked, other, "bo")
        text = asked.refused("approve", number, "--reason", "fine", code=3)
        assert "another person must decide" in text and "are names of one person" in text
    as_another_person(asked, monkeypatch, "cy")
    assert asked.json("approve", number, "--reason", "fine")["state"] == "approved"


def test_a_refusal_says_why_another_name_is_the_same_person(
    asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: "another person must decide" to somebody whose name differs from the one that
    asked, without the token that makes them one."""
    me = asked.json("access", "whoami")["who"].partition(":")[2]
    first, second = token(asked, "first", "admin"), token(asked, "second", "admin")
    number = ask(asked)["id"]
    monkeypatch.setenv("HEADRACE_TOKEN", first)
    text = asked.refused("approve", number, "--reason", "fine", code=3)
    assert f"{me}@" in text and "created token:first" in text
    asked.text("backfills", "cancel", number, "--reason", "again")
    number = ask(asked)["id"]
    monkeypatch.delenv("HEADRACE_TOKEN")
    text = asked.refused("approve", number, "--reason", "fine", code=3)
    assert "token:first asked for plan" in text and "created token:first" in text
    monkeypatch.setenv("HEADRACE_TOKEN", second)
    text = asked.refused("approve", number, "--reason", "fine", code=3)
    assert "created both token:first and token:second" in text


def test_a_plan_of_new_nodes_only_can_be_approved(
    asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a plan that nobody can ever approve, because nothing of it is applied yet."""
    me = asked.json("access", "whoami")["who"]
    (asked.root / "access.yaml").write_text(
        f"- {{role: admin, to: [{me}, user:cy]}}\n- {{role: owner, to: [user:bo], owner: core}}\n"
    )
    settings = asked.root / "headrace.toml"
    settings.write_text(
        settings.read_text() + '\n[[policy.rule]]\nname = "law"\nwhen = "tag:law"\n'
    )
    asked.text("apply", "--yes")
    (asked.root / "assets/fresh.sql").write_text(
        "/* headrace\nowner: core\ntags: [law]\n*/\nselect 1 as one\n"
    )
    asked.call(asked.root, "apply", "--yes", "--reason", "new")
    with monkeypatch.context() as other:
        as_another_person(asked, other, "bo")
        asked.refused("approve", "A1", "--reason", "mine", code=3)
    with monkeypatch.context() as other:
        as_another_person(asked, other, "cy")
        assert asked.json("approve", "A1", "--reason", "fine")["state"] == "approved"
    asked.text("apply", "--yes", "--reason", "new")
