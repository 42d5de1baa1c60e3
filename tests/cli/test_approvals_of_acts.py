"""Acts that compute nothing and need an approval: releasing, unpublishing, erasing, accepting."""

from __future__ import annotations

from typing import Any

import pytest
from clilab import Project
from test_approval_messages import become, outbox

from headrace.security.access import local_identity as real_identity

RULE = """
[[policy.rule]]
name = "rows"
when = "rows > 0"
[notify.mail]
url = "file:outbox"
"""
ACCESS = """\
- {{role: admin, to: ["user:{me}", "user:ana"]}}
- {{role: admin, to: ["user:bo"]}}
"""
OWNERS = """
ana: {kind: person, contact: ["mailto:ana@example.com"]}
bo: {kind: person, contact: ["mailto:bo@example.com"]}
"""


@pytest.fixture
def people(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which whatever touches rows needs another person."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    me = real_identity().who.partition(":")[2]
    for name, text in (("headrace.toml", RULE), ("owners.yaml", OWNERS)):
        (shop.root / name).write_text((shop.root / name).read_text() + text)
    (shop.root / "access.yaml").write_text(ACCESS.format(me=me))
    shop.text("apply", "--yes", "--reason", "begin")
    return shop


def held_back(project: Project, *arguments: str) -> dict[str, Any]:
    """The request that a command leads to; the command does nothing."""
    error = project.refused(*arguments, code=3)
    assert "it needs an approval" in error and "headrace approve A" in error
    row: dict[str, Any] = project.json("approvals")[0]
    assert row["state"] == "open"
    return row


def test_unpublishing_waits_for_another_person(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: readers who lose rows because one person wanted it, a second act with one
    approval, and an approval that holds after the partition was published again."""
    act = ("unpublish", "revenue@2025-03-01", "--reason", "wrong rate")
    become(monkeypatch, "ana")
    row = held_back(people, *act)
    assert (row["kind"], row["consequence"]["partitions"]) == ("unpublish", 1)
    assert row["consequence"]["rows"] > 0 and row["reason"] == "wrong rate"
    assert f"approval-{row['id']}.bo.txt" in outbox(people)
    assert held_back(people, *act)["id"] == row["id"]
    become(monkeypatch, "bo")
    answered = people.json("approve", row["id"], "--reason", "agreed")
    assert answered["next"] == "headrace unpublish revenue@2025-03-01 --reason TEXT"
    become(monkeypatch, "ana")
    assert people.json(*act)["state"] == "withdrawn"
    assert people.json("approvals")[0]["state_reason"] == "it was approved and done"
    people.text("run", "revenue", "--partition", "2025-03-01", "--reason", "again", code=0)
    assert held_back(people, *act)["id"] != row["id"]


def test_an_approval_of_unpublishing_ends_when_the_partition_changes(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an approval of rows that somebody saw, used for other rows."""
    act = ("unpublish", "revenue@2025-03-01", "--reason", "wrong rate")
    become(monkeypatch, "ana")
    first = held_back(people, *act)
    become(monkeypatch, "bo")
    people.text("approve", first["id"], "--reason", "agreed")
    become(monkeypatch, None)
    people.call(
        people.root, "backfill", "revenue", "--from", "2025-03-01", "--to", "2025-03-01",
        "--mode", "all", "--only", "--yes", "--reason", "x", "--json",
    )  # fmt: skip
    plan = next(row for row in people.json("approvals") if row["kind"] == "backfill")
    become(monkeypatch, "bo")
    people.text("approve", plan["id"], "--reason", "agreed")
    become(monkeypatch, "ana")
    second = held_back(people, *act)
    assert second["id"] != first["id"]
    states = {row["id"]: row["state"] for row in people.json("approvals")}
    assert states[first["id"]] == "void"


def test_releasing_held_rows_waits_for_another_person(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: rows that failed a check, published by one person."""
    act = ("quarantine", "accept", "orders_clean@2025-03-04", "--reason", "Linus did order twice")
    become(monkeypatch, "ana")
    row = held_back(people, *act)
    assert (row["kind"], row["consequence"]["rows"]) == ("release", 4)
    become(monkeypatch, "bo")
    people.text("approve", row["id"], "--reason", "agreed")
    become(monkeypatch, "ana")
    assert people.json(*act)["state"] == "published"
    waits = people.json("why", "orders_clean@2025-03-04")["segments"]
    asked = [item for item in waits if item["kind"] == "approval"]
    assert "accepting held data: approved by bo" in asked[0]["note"], waits
    dropped = people.json("quarantine", "drop", "orders@2025-03-05", "--reason", "never")
    assert dropped["state"] == "dropped"


def test_a_rejected_act_is_not_done(people: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a rejection that its asker goes around by typing the command again."""
    act = ("unpublish", "revenue@2025-03-01", "--reason", "wrong rate")
    become(monkeypatch, "ana")
    row = held_back(people, *act)
    assert "another person must decide" in people.refused(
        "approve", row["id"], "--reason", "me", code=3
    )
    become(monkeypatch, "bo")
    assert people.json("reject", row["id"], "--reason", "no")["state"] == "rejected"
    become(monkeypatch, "ana")
    assert held_back(people, *act)["id"] != row["id"]
