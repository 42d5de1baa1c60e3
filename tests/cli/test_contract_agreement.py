"""A contract that takes something back names the domains that read it, and who agreed (issue 19)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clilab import Project, call

__all__ = ["call"]
"""A fixture of the command line's tests."""

NOW = "2025-03-04T08:00+00:00"
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: people
version: {version}
status: active
schema:
  - name: people
    properties:
      - {{name: id, logicalType: integer, required: true{unique}}}
      - {{name: city, logicalType: string, logicalTypeOptions: {{pattern: '(?=K)K'}}}}
"""
ASSET = "/* headrace\nowner: {owner}\ndomain: {domain}\n*/\nselect {columns} from {reads}\n"
RULE = """
[[policy.rule]]
name = "read elsewhere"
when = "contracts_crossing_domain > 0"
needs = [{role = "owner", of = "reading_domains"}]
"""


@pytest.fixture
def firm(tmp_path: Path, call: Any) -> Project:
    """The contract of a source of retail, read by an asset of finance and a consumer of risk."""
    files = {
        "headrace.toml": '[project]\nname = "firm"\ntimezone = "UTC"\n[environments.dev]\n',
        "owners.yaml": "".join(f"{name}: {{kind: team}}\n" for name in ("shop", "money", "limits")),
        "sources/people.yaml": (
            "source: people\nowner: shop\ndomain: retail\ncontract: people\nfiles: landing/people.csv\n"
        ),
        "contracts/people.odcs.yaml": CONTRACT.format(version="1.0.0", unique=", unique: true"),
        "assets/cities.sql": ASSET.format(
            owner="shop", domain="retail", columns="id, city", reads="people"
        ),
        "assets/totals.sql": ASSET.format(
            owner="money",
            domain="finance",
            columns="city, count(*) as n",
            reads="cities group by city",
        ),
        "consumers.yaml": (
            "- {consumer: desk, owner: limits, domain: risk, reads: [cities], max_age: 30d}\n"
        ),
        "landing/people.csv": "id,city\n1,Kiel\n2,Bremen\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(tmp_path, call)
    project.text("tick", "--now", NOW)
    return project


def weaken(firm: Project, **changes: str) -> None:
    values = {"version": "1.0.0", "unique": ""} | changes
    (firm.root / "contracts/people.odcs.yaml").write_text(CONTRACT.format(**values))


def test_a_plan_names_who_should_agree_without_a_rule(firm: Project) -> None:
    """Would catch: a promise taken back from another domain that nobody is told of."""
    weaken(firm, version="2.0.0")
    plan = firm.json("plan", "--now", NOW)
    assert plan["approval"] is None
    rows = [
        (row["domain"], row["owners"], row["readers"], row["needed"]) for row in plan["agreements"]
    ]
    assert rows == [
        ("finance", ["money"], ["totals"], False),
        ("risk", ["limits"], ["desk"], False),
    ]
    (finance, _) = plan["agreements"]
    assert (finance["before"], finance["after"]) == ("1.0.0", "2.0.0")
    assert finance["changes"] == ["id needn't be unique"] and finance["agreed"] == []
    text = firm.text("plan", "--now", NOW)
    assert "contract of people 1.0.0 → 2.0.0: id needn't be unique" in text
    assert "its owner should agree: money; no rule of [policy] asks for it" in text
    assert "| should agree |" in firm.text("plan", "--format", "markdown", "--now", NOW)
    assert firm.json("apply", "--yes", "--now", NOW)["state"] == "applied"
    assert firm.json("plan", "--now", NOW)["agreements"] == []
    assert firm.json("contract", "show", "people")["agreed"] == []
    shown = firm.text("contract", "show", "people")
    assert "not checked: `pattern: (?=K)K` of `city`" in shown, "dropped without a word"


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("contracts/people.odcs.yaml", "name: city,", "name: city, description: where,"),
        ("contracts/people.odcs.yaml", "name: city,", "name: city, required: true,"),
        ("assets/totals.sql", "count(*)", "count(*) + 0"),
        # moves after which all are asked still
        ("sources/people.yaml", "domain: retail", "domain: supply"),
        ("assets/cities.sql", "domain: retail", "domain: supply"),
        ("consumers.yaml", "max_age: 30d", "max_age: 20d"),
    ],
)
def test_nobody_needs_to_agree_to_what_takes_nothing_back(
    firm: Project, path: str, before: str, after: str
) -> None:
    """Would catch: an agreement for each change of a contract or a domain, which people then give
    unread."""
    file = firm.root / path
    file.write_text(file.read_text().replace(before, after))
    assert firm.json("plan", "--now", NOW)["agreements"] == []


def test_readers_of_the_same_domain_and_environments_need_no_agreement(firm: Project) -> None:
    """Would catch: an owner who is asked to agree with themselves."""
    for path in ("assets/totals.sql", "consumers.yaml"):
        file = firm.root / path
        text = file.read_text().replace("domain: finance", "domain: retail")
        file.write_text(text.replace("domain: risk", "domain: retail"))
    firm.text("apply", "--yes", "--now", NOW)
    weaken(firm)
    assert firm.json("plan", "--now", NOW)["agreements"] == []


def test_an_environment_asks_nobody(firm: Project) -> None:
    """Would catch: a domain that is asked to agree to somebody's trial."""
    weaken(firm)
    assert firm.json("--env", "dev", "plan", "--now", NOW)["agreements"] == []


def test_a_contract_that_goes_is_a_change_of_it(firm: Project) -> None:
    """Would catch: a way around the rule: the contract is removed instead of weakened."""
    source = firm.root / "sources/people.yaml"
    source.write_text(source.read_text().replace("contract: people\n", ""))
    (firm.root / "contracts/people.odcs.yaml").unlink()
    rows = firm.json("plan", "--now", NOW)["agreements"]
    assert [row["domain"] for row in rows] == ["finance", "risk"]
    assert rows[0]["after"] is None and rows[0]["changes"] == ["the contract is gone"]


def test_a_renamed_node_is_asked_about_under_its_new_name(firm: Project) -> None:
    """Would catch: a way around the rule: the node is renamed in the same change."""
    (firm.root / "contracts/cities.odcs.yaml").write_text(
        CONTRACT.format(version="1.0.0", unique=", unique: true").replace("people", "cities")
    )
    asset = firm.root / "assets/cities.sql"
    text = asset.read_text().replace("owner: shop", "owner: shop\ncontract: cities")
    asset.write_text(text)
    firm.text("apply", "--yes", "--now", NOW)
    asset.unlink()
    (firm.root / "assets/towns.sql").write_text(
        text.replace("owner: shop", "renamed_from: cities\nowner: shop")
    )
    for path in ("assets/totals.sql", "consumers.yaml"):
        file = firm.root / path
        file.write_text(file.read_text().replace("cities", "towns"))
    contract = firm.root / "contracts/cities.odcs.yaml"
    contract.write_text(
        CONTRACT.format(version="2.0.0", unique="").replace("people", "cities")
        + "customProperties: [{property: headrace.breaks, value: [desk]}]\n"
    )
    rows = firm.json("plan", "--now", NOW)["agreements"]
    assert [(row["node"], row["domain"]) for row in rows] == [
        ("towns", "finance"), ("towns", "risk"),
    ]  # fmt: skip


def test_a_node_that_goes_takes_its_contract_along(firm: Project) -> None:
    """Would catch: a way around the rule: the node is removed, and another one without a contract
    takes its place, also in the files of the other domains."""
    asset = firm.root / "assets/cities.sql"
    text = asset.read_text()
    contract = firm.root / "contracts/cities.odcs.yaml"
    weak = CONTRACT.format(version="1.0.0", unique="").replace("people", "cities")
    contract.write_text(weak)
    asset.write_text(text.replace("owner: shop", "owner: shop\ncontract: cities"))
    settings = firm.root / "headrace.toml"
    settings.write_text(settings.read_text() + RULE)
    firm.text("apply", "--yes", "--now", NOW)
    asset.unlink()
    contract.unlink()
    (firm.root / "assets/towns.sql").write_text(text)
    for path in ("assets/totals.sql", "consumers.yaml"):
        file = firm.root / path
        file.write_text(file.read_text().replace("cities", "towns"))
    rows = firm.json("plan", "--now", NOW)["agreements"]
    assert [(row["node"], row["domain"], row["changes"]) for row in rows] == [
        ("cities", "finance", ["the contract is gone"]),
        ("cities", "risk", ["the contract is gone"]),
    ]
    assert "contract of cities 1.0.0" in firm.text("plan", "--now", NOW)
    firm.text("apply", "--yes", "--now", NOW, code=3)


def test_a_rule_asks_an_owner_of_each_domain_that_reads_it(firm: Project) -> None:
    """Would catch: a rule that holds for any contract, and an approval of the wrong domain."""
    settings = firm.root / "headrace.toml"
    settings.write_text(settings.read_text() + RULE)
    firm.text("apply", "--yes", "--now", NOW)
    weaken(firm)
    plan = firm.json("plan", "--now", NOW)
    needs = [(need["of"], need["owners"], need["nodes"]) for need in plan["approval"]["needs"]]
    assert needs == [
        ("domain:finance", ["money"], ["totals"]),
        ("domain:risk", ["limits"], ["desk"]),
    ]
    assert all(row["needed"] for row in plan["agreements"])
    code, out, err = firm.call(firm.root, "apply", "--yes", "--json", "--now", NOW)
    assert code == 3 and json.loads(out)["refused"]["code"] == "needs_approval", err
    (row,) = firm.json("approvals", "--now", NOW)
    (contract,) = row["consequence"]["contracts"]
    assert (contract["node"], contract["domains"]) == ("people", ["finance", "risk"])
    assert firm.json("audit", "show", "--action", "contract.agreed") == []


@pytest.mark.parametrize(
    ("path", "before", "after", "domain", "owners", "text"),
    [
        (
            "sources/people.yaml", "domain: retail", "domain: finance", "finance", ["money"],
            "people moves from the domain retail to the domain finance",
        ),
        (
            "consumers.yaml", "domain: risk", "domain: retail", "risk", ["limits"],
            "desk moves from the domain risk to the domain retail",
        ),
        (
            "consumers.yaml", "domain: risk, ", "", "risk", ["limits"],
            "desk moves from the domain risk to no domain",
        ),
        (
            "consumers.yaml", "domain: risk", "domain: other", "risk", ["limits"],
            "desk moves from the domain risk to the domain other",
        ),
    ],
)  # fmt: skip
def test_a_domain_that_would_lose_its_say_agrees_to_the_move(
    firm: Project, path: str, before: str, after: str, domain: str, owners: list[str], text: str
) -> None:
    """Would catch: a way around the rule in two plans: first a node moves to another domain, then
    the contract is weakened, and nobody of the other domain is asked."""
    settings = firm.root / "headrace.toml"
    settings.write_text(settings.read_text() + RULE)
    firm.text("apply", "--yes", "--now", NOW)
    file = firm.root / path
    file.write_text(file.read_text().replace(before, after))
    (row,) = firm.json("plan", "--now", NOW)["agreements"]
    assert (row["node"], row["domain"], row["owners"]) == ("people", domain, owners)
    assert row["changes"] == [text] and row["before"] == row["after"] == "1.0.0" and row["needed"]
    assert f"contract of people 1.0.0: {text}" in firm.text("plan", "--now", NOW)
    firm.text("apply", "--yes", "--now", NOW, code=3)


def test_a_domain_that_keeps_its_say_isnt_asked_about_a_node_that_leaves_it(firm: Project) -> None:
    """Would catch: an agreement to a loss that there isn't: other nodes of the domain read on."""
    file = firm.root / "consumers.yaml"
    file.write_text(file.read_text() + file.read_text().replace("desk", "board"))
    firm.text("apply", "--yes", "--now", NOW)
    text = file.read_text()
    file.write_text(text.replace("domain: risk", "domain: other", 1))
    assert firm.json("plan", "--now", NOW)["agreements"] == []
    file.write_text(text.replace("domain: risk", "domain: other"))
    (row,) = firm.json("plan", "--now", NOW)["agreements"]
    assert (row["domain"], row["readers"]) == ("risk", ["board", "desk"])


def test_a_weakened_contract_names_the_moves_by_which_a_domain_loses_its_say(firm: Project) -> None:
    """Would catch: a domain that agrees to one change, and isn't told of its last say."""
    weaken(firm, version="2.0.0")
    file = firm.root / "consumers.yaml"
    file.write_text(file.read_text().replace("domain: risk", "domain: other"))
    moves = "desk moves from the domain risk to the domain other"
    rows = firm.json("plan", "--now", NOW)["agreements"]
    assert [(row["domain"], row["changes"]) for row in rows] == [
        ("finance", ["id needn't be unique", moves]),
        ("risk", ["id needn't be unique", moves]),
    ]
    source = firm.root / "sources/people.yaml"
    source.write_text(source.read_text().replace("domain: retail", "domain: supply"))
    file.write_text(file.read_text().replace("domain: other", "domain: risk"))
    rows = firm.json("plan", "--now", NOW)["agreements"]
    assert [row["changes"] for row in rows] == [["id needn't be unique"]] * 2


def test_an_owner_limited_to_a_domain_sees_and_answers_its_plans(
    firm: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an owner who must agree and can't see to what, or who sees other domains."""
    me = firm.json("access", "whoami")["who"]
    (firm.root / "access.yaml").write_text(f"- {{role: admin, to: [{me}]}}\n")
    settings = firm.root / "headrace.toml"
    settings.write_text(settings.read_text() + RULE)
    firm.text("apply", "--yes", "--now", NOW)
    tokens = {
        name: firm.json("token", "create", name, "--scope", scope, "--now", NOW)["token"]
        for name, scope in (("money", "owner:domain=finance"), ("guest", "viewer:domain=risk"))
    }
    weaken(firm)
    firm.call(firm.root, "apply", "--yes", "--reason", "desk people asked for it", "--now", NOW)
    monkeypatch.setenv("HEADRACE_TOKEN", tokens["guest"])
    assert firm.json("approvals", "--now", NOW) == []
    monkeypatch.setenv("HEADRACE_TOKEN", tokens["money"])
    (row,) = firm.json("approvals", "--now", NOW)
    assert row["id"] == "A1" and row["state"] == "open"
    (contract,) = row["consequence"]["contracts"]
    assert contract["changes"] == ["id needn't be unique"] and contract["node"] == "…"
    assert "id needn't be unique (read in finance, risk)" in firm.text("approvals", "--now", NOW)
    seen = json.dumps(row) + firm.text("approvals", "--now", NOW)
    assert not [name for name in ("people", "cities", "desk") if name in seen], seen
    # its own approval is refused: an admin, who asked, has created the token
    refused = firm.refused("approve", "A1", "--reason", "fine", "--now", NOW, code=3)
    assert "created token:money" in refused
