"""`[[policy.rule]]`: consequences that ask for approvals, whose they are, and `[[policy.tests]]`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from clilab import Project

from headrace.security.access import Identity, IdentityKind
from headrace.security.access import local_identity as real_identity

BACKFILL = (
    "backfill", "revenue", "--from", "2025-03-01", "--to", "2025-03-03", "--mode", "all", "--only",
    "--reason", "the euro was a pound",
)  # fmt: skip
ACCESS = """\
- {{role: admin, to: ["user:{me}"]}}
- {{role: operator, to: ["user:ana"]}}
- {{role: viewer, to: ["user:ana"]}}
- {{role: owner, to: ["user:bo", "user:di"], owner: {owner}}}
- {{role: owner, to: ["user:cy"], domain: other}}
"""
SOURCE_OF_OTHER = """\
source: other
owner: {owner}
domain: other
files: landing/other.csv
"""


def rules(project: Project, text: str) -> None:
    settings = project.root / "headrace.toml"
    settings.write_text(settings.read_text() + text)


@pytest.fixture
def people(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which ana operates, bo and di own the assets, and cy owns something else."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    owner = shop.json("ls", "revenue")[0]["owner"]
    me = real_identity().who.partition(":")[2]
    (shop.root / "access.yaml").write_text(ACCESS.format(me=me, owner=owner))
    (shop.root / "sources/other.yaml").write_text(SOURCE_OF_OTHER.format(owner=other_owner(shop)))
    return shop


def other_owner(project: Project) -> str:
    text = (project.root / "owners.yaml").read_text()
    (project.root / "owners.yaml").write_text(
        text + '\nstrangers: {kind: team, contact: ["mailto:s@example.com"]}\n'
    )
    return "strangers"


def become(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    """Run the next commands as another user of the machine; None: as oneself again."""
    identity = real_identity() if name is None else Identity(
        name=f"{name}@db1", kind=IdentityKind.LOCAL, subjects=frozenset({f"user:{name}"})
    )  # fmt: skip
    monkeypatch.setattr("headrace.cli.invocation.local_actor", lambda: identity.name)
    monkeypatch.setattr("headrace.security.access.local_identity", lambda: identity)


def ask(project: Project) -> dict[str, Any]:
    code, out, err = project.call(project.root, *BACKFILL, "--yes", "--json")
    assert code == 3, err
    response: dict[str, Any] = json.loads(out)
    assert response["state"] == "awaiting_approval", out
    return response


TWO_OWNERS = """
[[policy.rule]]
name = "large"
when = "rows > 1 and partitions > 2"
needs = [{role = "owner", of = "affected"}]
count = 2
"""


def test_two_owners_must_agree_and_one_person_counts_once(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: two approvals of one person, an owner of something else, an operator who
    approves, and a backfill that starts after the first of two approvals."""
    rules(people, TWO_OWNERS)
    people.text("apply", "--yes")
    assert "needs an approval: headrace.toml" in people.text(*BACKFILL, "--dry-run")
    become(monkeypatch, "ana")
    number = ask(people)["id"]
    row = people.json("approvals")[0]
    assert row["needs"] == [
        {**row["needs"][0], "role": "owner", "of": "affected", "count": 2, "given": 0}
    ]
    assert row["consequence"]["rows"] > 1 and row["consequence"]["partitions"] == 3
    assert "rule 'large': rows > 1 and partitions > 2" in row["rule"]
    assert "includes `approve`" in people.refused("approve", number, "--reason", "mine", code=3)
    become(monkeypatch, "cy")
    assert "can't answer plan" in people.refused("approve", number, "--reason", "hm", code=3)
    become(monkeypatch, "bo")
    first = people.json("approve", number, "--reason", "checked")
    assert (first["state"], first["needs"][0]["given"]) == ("open", 1)
    assert "approved plan" in people.refused("approve", number, "--reason", "twice", code=3)
    become(monkeypatch, "di")
    assert people.json("approve", number, "--reason", "me too")["state"] == "approved"
    become(monkeypatch, None)
    assert people.json("backfills", number)["state"] == "succeeded"


WEAKENS = """
[[policy.rule]]
name = "promises"
when = "weakens or breaks"
"""


def test_a_weakened_promise_is_applied_after_an_approval(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an apply that policy lets through, one that an approval of another plan lets
    through, and an approval that can be used twice."""
    rules(people, WEAKENS)
    people.text("apply", "--yes")
    consumers = people.root / "consumers.yaml"
    before = consumers.read_text()
    consumers.write_text(before.replace("07:00", "11:00"))
    planned = people.json("plan")
    assert planned["weakens"] and planned["approval"]["name"] == "promises"
    assert "needs an approval: headrace.toml" in people.text("plan")
    code, out, err = people.call(people.root, "apply", "--yes", "--json")
    assert code == 3, err
    refused = json.loads(out)
    assert (code, refused["refused"]["code"]) == (3, "needs_approval")
    row = people.json("approvals")[0]
    assert (row["id"], row["kind"], row["state"]) == ("A1", "apply", "open")
    assert row["consequence"]["weakens"] and row["plan_id"] == planned["plan_id"]
    assert "another person must decide" in people.refused(
        "approve", "A1", "--reason", "fine", code=3
    )
    assert len(people.json("approvals")) == 1
    people.call(people.root, "apply", "--yes")
    assert len(people.json("approvals")) == 1, "asking twice is one request"
    become(monkeypatch, "bo")
    approved = people.json("approve", planned["plan_id"], "--reason", "agreed with the desk")
    assert approved["state"] == "approved"
    assert approved["next"] is None, "applying is not for the role of who approved"
    become(monkeypatch, None)
    assert people.json("apply", planned["plan_id"], "--yes")["state"] == "applied"
    assert people.json("approvals")[0]["state_reason"] == "it was approved and done"
    events = [entry["action"] for entry in people.json("audit", "show", "--limit", "40")]
    assert {"approval.asked", "plan.approved"} <= set(events)


CLASSIFIED = """
[[policy.rule]]
name = "personal"
when = "classified"
"""


def test_classes_of_sources_and_assets_count_as_those_of_contracts(shop: Project) -> None:
    """Would catch: a rule about classified data that looks at contracts only, and one that a
    reason in `declassify` goes around."""
    source = next(shop.root.glob("sources/orders*.yaml"))
    text = source.read_text()
    classified = "columns: {customer: {classification: personal, mask: {method: hash}}}\n"
    source.write_text(text + classified)
    rules(shop, CLASSIFIED)
    shop.text("apply", "--yes")
    asked = ("backfill", "orders_clean", "--from", "2025-03-01", "--to", "2025-03-01", "--only")
    dry = shop.json(*asked, "--reason", "x", "--mode", "all", "--dry-run")
    assert dry["approval"]["name"] == "personal"
    assert dry["approval"]["consequence"]["classified"] == ["orders_clean.customer"]
    for weaker in ("", classified.replace("hash", "redact")):
        source.write_text(text + weaker)
        assert shop.json("plan")["approval"]["name"] == "personal", weaker
    source.write_text(text + classified)
    assert shop.json("plan")["approval"] is None
    asset = shop.root / "assets/orders_clean.sql"
    asset.write_text(
        asset.read_text().replace(
            "/* headrace\n", "/* headrace\ndeclassify: {customer: a number of the shop}\n"
        )
    )
    assert shop.json("plan")["approval"]["name"] == "personal"


def test_a_rule_cant_be_removed_by_the_plan_that_it_holds_back(people: Project) -> None:
    """Would catch: policy that one person removes in the change that it would hold back."""
    settings = people.root / "headrace.toml"
    before = settings.read_text()
    rules(people, WEAKENS)
    people.text("apply", "--yes")
    settings.write_text(before)
    code, out, err = people.call(people.root, "apply", "--yes", "--json")
    assert code == 3, err
    assert code == 3 and json.loads(out)["refused"]["code"] == "needs_approval"
    assert people.json("approvals")[0]["consequence"]["weakens"] == [
        "headrace.toml: the rule promises is removed"
    ]


def test_a_changed_plan_is_void_and_asked_for_again(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an approval of something else than what is then applied."""
    rules(people, WEAKENS)
    people.text("apply", "--yes")
    consumers = people.root / "consumers.yaml"
    before = consumers.read_text()
    consumers.write_text(before.replace("07:00", "11:00"))
    people.call(people.root, "apply", "--yes")
    become(monkeypatch, "bo")
    assert people.json("approve", "A1", "--reason", "fine")["state"] == "approved"
    become(monkeypatch, None)
    consumers.write_text(before.replace("07:00", "12:00"))
    code, _, _ = people.call(people.root, "apply", "--yes", "--json")
    assert code == 3
    newest, older = people.json("approvals")
    assert (newest["id"], newest["state"]) == ("A2", "open")
    assert (older["state"], older["state_reason"]) == ("void", "a changed plan was asked for: A2")


WRONG = """
[policy]
backfill_approval = "partitions > 1 or colour:red"
[[policy.rule]]
name = "a"
when = "rows > many"
[[policy.rule]]
name = "b"
when = "partitions > 5 and partitions < 3"
needs = [{role = "operator", of = "affected"}]
[[policy.rule]]
name = "c"
when = "weakens"
needs = [{role = "owner", of = "domain:nowhere"}, {role = "boss"}]
count = 0
[[policy.rule]]
name = "d"
when = "weakens or tag:nowhere"
[[policy.rule]]
name = "d"
when = "partitions > 5 and partitions < 3"
whom = "me"
[[policy.tests]]
actor = "ana"
plan = {rows = -1, colour = "red"}
expect = "maybe"
"""


def test_all_errors_of_rules_are_reported_at_once_with_their_lines(shop: Project) -> None:
    """Would catch: a rule file that is corrected one error at a time, or that asks nobody."""
    start = len((shop.root / "headrace.toml").read_text().splitlines())
    rules(shop, WRONG)
    code, out, _ = shop.call(shop.root, "validate", "--json")
    assert code != 0
    found = {(row["line"] - start, row["message"]) for row in json.loads(out)["problems"]}
    expected = [
        (3, "colour:red"), (5, "isn't a whole number"), (8, "the role operator can't approve"),
        (11, "there is no role"), (11, "count"), (18, "line"), (18, "no plan can meet it"),
        (18, "whom"), (22, "is no actor"), (22, "`expect` can't be"), (22, "colour"),
    ]  # fmt: skip
    missing = [
        (line, text)
        for line, text in expected
        if not any(abs(at - line) <= 4 and text in message for at, message in found)
    ]
    assert not missing, sorted(found)


TESTS = """
[[policy.rule]]
name = "large"
when = "rows > 1e6 or consumers_crossing_domain > 0"
[[policy.tests]]
actor = "user:ana"
plan = {rows = 10}
expect = "allow"
[[policy.tests]]
actor = "user:ana"
plan = {rows = 2000000}
expect = "approve"
[[policy.tests]]
actor = "user:nobody"
plan = {rows = 10}
expect = "refuse"
[[policy.tests]]
actor = "user:ana"
plan = {crossing = ["report"]}
expect = "allow"
"""


def test_tests_of_the_policy_run_in_validate(people: Project) -> None:
    """Would catch: a loosened rule that CI lets through, and a failure without its line."""
    before = len((people.root / "headrace.toml").read_text().splitlines())
    rules(people, TESTS)
    code, out, _ = people.call(people.root, "validate", "--json")
    (problem,) = [row for row in json.loads(out)["problems"] if row["code"] == "policy_test"]
    assert code != 0
    assert problem["file"] == "headrace.toml" and problem["line"] == before + 17
    assert "says `approve` to `user:ana`, and the test expects `allow`" in problem["message"]


COSTS = """
[costs]
currency = "EUR"
slot_hour = {slot_hour}
"""
COST_RULE = """
[[policy.rule]]
name = "expensive"
when = "cost > 5"
"""


def test_a_rule_about_cost_needs_rates(shop: Project) -> None:
    """Would catch: a rule that no plan can meet, or that every plan meets, unnoticed."""
    rules(shop, COST_RULE)
    code, out, _ = shop.call(shop.root, "validate")
    assert code == 1 and "is about `cost`, and there are no rates in [costs]" in out
    rules(shop, COSTS.format(slot_hour=1))
    assert shop.json("validate")["ok"]


def test_the_predicted_cost_of_a_plan_asks_for_an_approval(shop: Project) -> None:
    """Would catch: a cost of 0 for what is unknown, and rates that don't count."""
    rules(shop, COST_RULE + COSTS.format(slot_hour=0.001))
    shop.text("apply", "--yes")
    assert shop.json(*BACKFILL, "--dry-run")["approval"] is None, "milliseconds cost nearly nothing"
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text().replace("0.001", "100000000"))
    shop.text("apply", "--yes")
    dry = shop.json(*BACKFILL, "--dry-run")
    assert dry["approval"]["name"] == "expensive"
    cost = dry["approval"]["consequence"]["cost"]
    assert cost > 5 and f"predicted cost: {cost:,.2f}" in shop.text(*BACKFILL, "--dry-run")
    (shop.root / "assets/novel.sql").write_text(
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\nselect * from revenue\n"
    )
    settings.write_text(settings.read_text().replace("100000000", "0.001"))
    shop.text("apply", "--yes")
    never = (*BACKFILL[:1], "novel", *BACKFILL[2:])
    unknown = shop.json(*never, "--dry-run")
    assert unknown["approval"]["consequence"]["cost"] is None
    assert "predicted cost: it isn't known" in shop.text(*never, "--dry-run")


def test_policy_tests_may_name_a_cost(shop: Project) -> None:
    """Would catch: a rule that nobody can test."""
    test = '\n[[policy.tests]]\nactor = "user:ana"\nplan = {cost = 6}\nexpect = "approve"\n'
    rules(shop, COST_RULE + COSTS.format(slot_hour=1) + test)
    assert shop.json("validate")["ok"]
