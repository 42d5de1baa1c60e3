"""`access review`: everybody with their rules, and the rules that end soon."""

from __future__ import annotations

import csv
import json

from clilab import Project

RULES = """\
- {role: admin, to: [%s]}
- {role: operator, to: [user:ana, "group:ops"], owner: core, until: 2025-03-20}
- {forbid: read, to: [user:ana], column: orders.customer}
- {break_glass: admin, to: [user:ana], until: 2025-03-01}
- {role: viewer, to: ["token:ci"], until: 2025-03-21}
"""


def test_everybody_is_listed_with_every_rule(shop: Project) -> None:
    """Would catch: a subject or rule that a review leaves out, or a line that isn't the rule's."""
    assert "every local user may do everything" in shop.text("access", "review")
    me = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(RULES % me)
    shop.text("apply", "--yes")
    text = shop.json("token", "create", "ci", "--scope", "operator:owner=core")["token"]
    shop.text("token", "create", "gone", "--scope", "admin")
    shop.text("token", "revoke", "gone")
    rows = {row["who"]: row for row in shop.json("access", "review")}
    assert set(rows) == {me, "user:ana", "group:ops", "token:ci"}
    ana = [
        (rule["kind"], rule["name"], rule["scope"], rule["columns"], rule["until"], rule["ended"])
        for rule in rows["user:ana"]["rules"]
    ]
    assert ana == [
        ("role", "operator", "owner=core", [], "2025-03-20", False),
        ("forbid", "read", "", ["orders.customer"], None, False),
        ("break_glass", "admin", "", [], "2025-03-01", True),
    ]
    assert [rule["line"] for rule in rows["user:ana"]["rules"]] == [2, 3, 4]
    assert [rule["line"] for rule in rows["token:ci"]["rules"]] == [5, None]
    assert rows["token:ci"]["rules"][1]["scope"] == "owner=core"
    assert text not in str(rows)
    out = shop.root / "review.csv"
    shop.text("access", "review", "--out", str(out))
    lines = list(csv.DictReader(out.read_text().splitlines()))
    assert len(lines) == sum(len(row["rules"]) for row in rows.values())
    assert lines[0]["rule"].startswith("access.yaml:")


def test_validate_names_rules_that_end_soon(shop: Project) -> None:
    """Would catch: a role that ends from one day to the next; a warning about a far end."""
    me = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(RULES % me)
    problems = [item for item in shop.json("validate")["problems"] if item["code"] == "rule_ends"]
    assert [(item["line"], item["severity"]) for item in problems] == [
        (2, "warning"), (4, "warning"),
    ]  # fmt: skip
    assert "ends after 2025-03-20" in problems[0]["message"]
    assert "ended on 2025-03-01" in problems[1]["message"]


def test_status_and_doctor_name_roles_before_they_end(shop: Project) -> None:
    """Would catch: an operator who learns at night that the role ended yesterday."""
    me = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(RULES % me)
    shop.text("apply", "--yes")
    (item,) = [row for row in shop.json("status")["open"] if row["kind"] == "role_ends"]
    assert item["count"] == 1 and item["command"] == "headrace access review"
    assert item["text"] == "roles that end soon: user:ana and 1 more (2025-03-20)"
    assert "roles that end soon" in shop.text("status")
    _, out, _ = shop.call(shop.root, "doctor", "--json")
    roles = [row for row in json.loads(out) if row["name"] == "ending roles"]
    assert [(row["state"], row["todo"].rpartition(":")[2]) for row in roles] == [
        ("warn", "4"), ("warn", "2"),
    ]  # fmt: skip
    (shop.root / "access.yaml").write_text(f"- {{role: admin, to: [{me}]}}\n")
    shop.text("apply", "--yes")
    assert not [row for row in shop.json("status")["open"] if row["kind"] == "role_ends"]
