"""Messages about approvals: to those who can give one, and to the one who asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clilab import Project

from headrace import Session
from headrace.security.access import Identity, IdentityKind
from headrace.security.access import local_identity as real_identity

RULES = """
[notify.mail]
url = "file:outbox"
[[policy.rule]]
name = "large"
when = "partitions > 2"
[[policy.rule]]
name = "promises"
when = "weakens"
"""
ACCESS = """\
- {{role: admin, to: ["user:{me}"]}}
- {{role: operator, to: ["user:ana"]}}
- {{role: owner, to: ["user:bo", "user:ana", "user:quiet"]}}
"""
OWNERS = """
ana: {kind: person, contact: ["mailto:ana@example.com"]}
bo: {kind: person, contact: ["mailto:bo@example.com"]}
cy: {kind: person, contact: ["mailto:cy@example.com"]}
"""
BACKFILL = (
    "backfill", "revenue", "--from", "2025-03-01", "--to", "2025-03-03", "--mode", "all", "--only",
)  # fmt: skip


@pytest.fixture
def people(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which ana may ask for backfills, and bo may approve them."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    me = real_identity().who.partition(":")[2]
    for name, text in (("headrace.toml", RULES), ("owners.yaml", OWNERS)):
        (shop.root / name).write_text((shop.root / name).read_text() + text)
    (shop.root / "access.yaml").write_text(ACCESS.format(me=me))
    shop.text("apply", "--yes", "--reason", "begin")
    return shop


def become(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    """Run the next commands as a signed-in user of that name; None: as oneself again."""
    identity = real_identity() if name is None else Identity(
        name=name, kind=IdentityKind.LOCAL, subjects=frozenset({f"user:{name}"})
    )  # fmt: skip
    monkeypatch.setattr("headrace.cli.invocation.local_actor", lambda: identity.name)
    monkeypatch.setattr("headrace.security.access.local_identity", lambda: identity)


def outbox(project: Project) -> dict[str, str]:
    """The messages about approvals, by their file."""
    files = Path(project.root / "outbox").glob("approval-*")
    return {path.name: path.read_text() for path in sorted(files)}


def ask(project: Project, monkeypatch: pytest.MonkeyPatch, reason: str = "a wrong rate") -> None:
    become(monkeypatch, "ana")
    code, _, error = project.call(project.root, *BACKFILL, "--reason", reason, "--yes")
    assert code == 3, error


def test_those_who_can_approve_are_told_once(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: nobody who knows of an open request, the asker who is told of it, somebody
    without the role who is, and the same message again after the next command."""
    ask(people, monkeypatch)
    become(monkeypatch, None)
    people.text("tick")
    people.text("tick")
    messages = outbox(people)
    assert "approval-1.bo.txt" in messages and "approval-1.ana.txt" not in messages
    assert "approval-1.cy.txt" not in messages
    message = messages["approval-1.bo.txt"]
    assert message.count("Subject:") == 1
    assert "ana asks for an approval of backfill 1, plan p-" in message
    assert ": a wrong rate" in message and "It changes 3 partitions and " in message
    assert "Until " in message and "Approve: headrace approve 1 --reason TEXT\n" in message


def test_who_approves_a_change_is_told_what_becomes_stale(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: "changes 0 partitions and 0 published rows" of a change after which everything
    that is published is stale."""
    for name, old, new in (
        ("assets/revenue.sql", "sum(amount)", "2 * sum(amount)"),
        ("consumers.yaml", "due: '07:00'", "due: '09:00'"),
    ):
        path = people.root / name
        path.write_text(path.read_text().replace(old, new))
    become(monkeypatch, "ana")
    code, _, error = people.call(people.root, "apply", "--reason", "other rate", "--yes")
    assert code == 3, error
    row = people.json("approvals")[0]["consequence"]
    become(monkeypatch, None)
    people.text("tick")
    [(_, message)] = [item for item in outbox(people).items() if ".bo." in item[0]]
    assert row["partitions"] == 0 and row["stale"] == 6
    assert "To recompute, if somebody asks for it: 6 partitions" in message
    assert "6 to recompute" in people.text("approvals")
    assert "to recompute, if you ask for it: 6 partitions" in people.text("plan")


def test_the_one_who_asked_is_told_of_the_answer(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an answer that its asker learns of by looking, and a second message of it."""
    ask(people, monkeypatch)
    become(monkeypatch, "bo")
    people.text("reject", "1", "--reason", "not before the audit")
    become(monkeypatch, None)
    people.text("tick")
    message = outbox(people)["approval-1.ana.txt"]
    assert message.count("Subject:") == 1
    assert "backfill 1 was rejected" in message and "not before the audit" in message


def test_the_one_who_asked_is_told_when_nobody_answers(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: requests that expire, or that a newer version makes void, in silence."""
    ask(people, monkeypatch)
    become(monkeypatch, None)
    consumers = people.root / "owners.yaml"
    consumers.write_text(consumers.read_text() + "di: {kind: person}\n")
    people.text("apply", "--yes", "--reason", "another person")
    people.text("tick")
    message = outbox(people)["approval-1.ana.txt"]
    assert "backfill 1 is void" in message and "was applied after it was asked for" in message


def test_hostile_reasons_stay_text(people: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a reason that adds a header to a mail, or clears the reader's terminal."""
    ask(people, monkeypatch, "x\r\nBcc: evil@example.com\r\n\x1b[2J<script>\u202e" + "y" * 5_000)
    message = outbox(people)["approval-1.bo.txt"]
    assert "\x1b" not in message and "\r" not in message and "\u202e" not in message
    assert not any(line.startswith("Bcc:") for line in message.splitlines())
    assert max(map(len, message.splitlines())) <= 300


def link_of(project: Project, name: str) -> str:
    """The link of the message to somebody about backfill 1."""
    text = outbox(project)[f"approval-1.{name}.txt"]
    (link,) = re.findall(r"Page: https://hr\.example\.com/approvals/1\?link=(\S+)", text)
    return str(link)


@pytest.fixture
def linked(people: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose messages have links, in which ana has asked for a backfill."""
    settings = people.root / "headrace.toml"
    settings.write_text(settings.read_text() + '[serve]\nurl = "https://hr.example.com/"\n')
    people.text("apply", "--yes", "--reason", "links")
    ask(people, monkeypatch)
    return people


def refusals(project: Project) -> list[str]:
    """The refused answers in the audit trail."""
    rows = project.json("audit", "show", "--action", "approval.refused")
    return [row["reason"] for row in rows]


def test_a_link_is_for_one_person_one_plan_and_one_answer(
    linked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a link that another person, a changed plan id or a second answer can use, and a
    refusal that the trail doesn't have."""
    link = link_of(linked, "bo")
    answer = ("--reason", "checked", "--link")
    become(monkeypatch, "quiet")
    another = linked.refused("approve", "1", *answer, link, code=3)
    assert "the link is for bo, and you are quiet" in another
    become(monkeypatch, "bo")
    changed = linked.refused("approve", "1", *answer, f"{link[:-2]}zz", code=3)
    assert "isn't one to plan 1, or it was changed" in changed
    for hostile in ("", ".", "é.x", "a" * 5_000, "Ym8.", "../..", link + "."):
        linked.refused("approve", "1", *answer, hostile, code=3)
    assert linked.json("approve", "1", *answer, link)["state"] == "approved"
    used = linked.refused("reject", "1", "--reason", "no", "--link", link, code=3)
    assert "was already answered through this link: bo approved it" in used
    become(monkeypatch, None)
    trail = refusals(linked)
    assert any("the link is for bo" in text for text in trail)
    assert any("already answered" in text for text in trail)


def test_a_link_alone_approves_nothing(linked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a mail scanner or a person without the role who approves by following a link."""
    link = link_of(linked, "bo")
    become(monkeypatch, "bo")
    with Session(linked.root) as session:
        assert session.approval("1", link=link).state == "open"
    assert linked.json("approvals")[0]["given"] == []
    access = linked.root / "access.yaml"
    access.write_text(access.read_text().replace('"user:bo", ', ""))
    become(monkeypatch, None)
    linked.text("apply", "--yes", "--reason", "bo has left")
    become(monkeypatch, "bo")
    linked.refused("approve", "1", "--reason", "still here", "--link", link, code=3)
    become(monkeypatch, None)
    assert linked.json("approvals")[0]["given"] == []
