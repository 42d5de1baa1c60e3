"""`optimize dismiss` and `reopen`: proposals that stay away until their facts change."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clilab import Project
from readers_lab import session_of, tokens

from headrace.project.session import Silent
from headrace.security.access import NotAllowed
from headrace_advisor.services import dismissals, dismissed
from headrace_advisor.services.complexity import complexity

__all__ = ["tokens"]
"""A fixture of other tests."""

WHY = "the vendor may send a key twice"
TWICE = (
    "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
    "select distinct day, count(*) as orders from orders_clean group by day\n"
)
COPY = (
    "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
    "select id, customer, amount, day from orders_clean\n"
)


def _declared(project: Project, name: str, text: str) -> None:
    (project.root / f"assets/{name}.sql").write_text(text)
    project.json("apply", "--yes")


def _finding(project: Project, rule: str = "distinct_redundant") -> Any:
    rows = [row for row in project.json("optimize") if row["asset"] in ("daily", "copies")]
    (row,) = [row for row in rows if row["rule"] == rule]
    return row


def _dismiss(project: Project, *ids: str) -> Any:
    return project.json("optimize", "dismiss", *ids, "--reason", WHY)


def test_a_dismissed_finding_is_listed_as_such_until_it_is_reopened(shop: Project) -> None:
    """Would catch: a finding that comes back the next day, that disappears without a word of who
    decided it and why, or that nobody can take back."""
    with (shop.root / "consumers.yaml").open("a") as consumers:
        consumers.write("- {consumer: board, owner: core, reads: [daily], max_age: 30h}\n")
    _declared(shop, "daily", TWICE)
    row = _finding(shop)
    name = row["id"]
    assert row["dismissal"] is None
    response = _dismiss(shop, name)
    assert response["ids"] == [name]
    assert response["dismissal"]["reason"] == WHY
    dismissal = _finding(shop)["dismissal"]
    assert (dismissal["reason"], dismissal["ended"]) == (WHY, None)
    assert dismissal["by"]
    text = shop.text("optimize", "daily")
    assert "nothing to propose" in text
    assert f"dismissed by {dismissal['by']}" in text
    assert WHY in text
    assert dismissal["command"] == f"headrace optimize reopen {name}"
    assert dismissal["command"] in text
    assert shop.text("optimize", "daily", "--exit-code", code=0)
    assert WHY in shop.refused("optimize", "apply", name, "--yes", code=3)  # nobody measured it

    trail = [item for item in shop.json("audit", "show") if item["action"] == "proposal.dismissed"]
    assert [item["reason"] for item in trail] == [WHY]
    assert name in json.dumps(trail[0])
    assert shop.json("optimize", "reopen", name)["dismissal"] is None
    assert _finding(shop)["dismissal"] is None
    assert name in shop.text("optimize", "daily")
    assert "isn't dismissed" in shop.call(shop.root, "optimize", "reopen", name)[2]
    assert any(item["action"] == "proposal.reopened" for item in shop.json("audit", "show"))


def test_the_proof_spends_nothing_on_what_is_dismissed(shop: Project) -> None:
    """Would catch: a budget spent on a finding that nobody wants, or a command that applies it."""
    _declared(shop, "daily", TWICE)
    _dismiss(shop, _finding(shop)["id"])
    (row,) = [
        row
        for row in shop.json("optimize", "daily", "--prove", "--budget", "5s")
        if row["rule"] == "distinct_redundant"
    ]
    assert (row["unmeasured"], row["command"], row["measured"]) == ("it was dismissed", None, None)
    assert shop.json("ab") == []


def test_a_changed_query_or_check_brings_it_back(shop: Project) -> None:
    """Would catch: a finding about a query that is another one by now, and stays hidden; one that
    comes back because of a comment or because another asset changed."""
    _declared(shop, "daily", TWICE)
    _dismiss(shop, _finding(shop)["id"])
    _declared(shop, "copies", COPY)
    _declared(shop, "daily", TWICE.replace("*/\n", "*/\n-- once a day\n"))
    assert _finding(shop)["dismissal"]["ended"] is None

    _declared(shop, "daily", TWICE.replace("count(*) as orders", "max(id) as orders"))
    row = _finding(shop)
    if row["dismissal"] is not None:  # its line, and by that its id, may be another one
        assert "code, trigger, checks or contract" in row["dismissal"]["ended"]
    assert row["id"] in shop.text("optimize", "daily")

    _declared(shop, "daily", TWICE)
    assert _finding(shop)["dismissal"]["ended"] is None  # the facts are those of the decision
    clean = shop.root / "assets/orders_clean.sql"
    clean.write_text(clean.read_text().replace("[id]", "[id, day]"))
    shop.json("apply", "--yes")
    assert "or those of a node that it reads" in _finding(shop)["dismissal"]["ended"]
    assert "proposed again: its code, trigger, checks or contract" in shop.text("optimize", "daily")


def test_a_doubled_cost_brings_it_back(shop: Project) -> None:
    """Would catch: a decision about seconds that holds when the asset takes hours; one that ends
    over a slower day of a few milliseconds."""
    _declared(shop, "daily", TWICE)
    shop.text("run", "daily", "--from", "2025-03-01", "--to", "2025-03-03")
    _dismiss(shop, _finding(shop)["id"])
    _take(shop, "daily", 0.2)
    assert _finding(shop)["dismissal"]["ended"] is None
    _take(shop, "daily", 600.0)
    ended = _finding(shop)["dismissal"]["ended"]
    assert ended.startswith("computing daily took ")
    assert ended.endswith("min now")
    _dismiss(shop, _finding(shop)["id"])
    assert _finding(shop)["dismissal"]["ended"] is None


def _take(project: Project, node: str, seconds: float) -> None:
    with closing(sqlite3.connect(project.root / ".headrace/state.db")) as state, state:
        state.execute(
            "update attempt set measures = ? where node = ?",
            (json.dumps({"seconds": seconds}), node),
        )


def test_findings_of_complexity_are_dismissed_by_the_same_command(shop: Project) -> None:
    """Would catch: a count or a prune that ignores the decision, or an asset that `optimize`
    proposes to delete although it was decided in `complexity` that it stays."""
    _declared(shop, "copies", COPY)
    before = shop.json("complexity")
    assert before["dismissed"] == []
    name = "unread_asset:copies"
    _dismiss(shop, name)
    after = shop.json("complexity")
    assert name not in {row["id"] for row in after["findings"]}
    (row,) = after["dismissed"]
    assert (row["id"], row["dismissal"]["reason"], row["dismissal"]["ended"]) == (name, WHY, None)
    assert sum(after["counts"].values()) == sum(before["counts"].values()) - 1
    assert WHY in shop.text("complexity")
    assert _finding(shop, "unread_asset")["dismissal"]["reason"] == WHY
    assert WHY in shop.refused("complexity", "prune", name, code=3)
    assert (shop.root / "assets/copies.sql").exists()

    shop.json("optimize", "reopen", _finding(shop, "unread_asset")["id"])
    assert name in {row["id"] for row in shop.json("complexity")["findings"]}
    _dismiss(shop, _finding(shop, "unread_asset")["id"])
    assert name in {row["id"] for row in shop.json("complexity")["dismissed"]}


def test_several_are_dismissed_by_one_list(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a list of proposals that is computed again for each id."""
    names = [row["id"] for row in shop.json("complexity")["findings"]]
    assert len(names) > 1
    calls: list[object] = []

    def counted(session: Any) -> Any:
        calls.append(session)
        return complexity(session)

    monkeypatch.setattr(dismissals, "complexity", counted)
    assert _dismiss(shop, *names)["ids"] == names
    assert len(calls) == 1
    assert {row["id"] for row in shop.json("complexity")["dismissed"]} == {*names}


def test_waits_are_read_without_the_cost_of_each_attempt(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: all attempts of 30 days read for a page that compares none of their costs."""
    _dismiss(shop, "unread_asset:fails")
    calls: list[object] = []
    monkeypatch.setattr(dismissed, "costs_of_nodes", lambda *given: calls.append(given) or {})
    assert shop.json("bottleneck")
    assert not calls
    assert shop.json("complexity")["dismissed"]
    assert calls, "the cost of a node is what else brings a proposal back"


def test_a_refusal_names_the_command_that_was_refused(
    shop: Project, tokens: dict[str, Path]
) -> None:
    """Would catch: somebody who may not reopen, and reads that they may not dismiss."""
    del tokens
    token = shop.root.parent / "some"
    token.write_text(
        shop.json("token", "create", "some", "--scope", "viewer", "--scope", "owner:owner=acme")[
            "token"
        ]
    )
    name = "unread_asset:fails"
    _dismiss(shop, name)
    with pytest.raises(NotAllowed, match="may not optimize reopen"):
        dismissals.reopen(session_of(shop, token), ids=[name], progress=Silent())
    with pytest.raises(NotAllowed, match="may not optimize dismiss"):
        dismissals.dismiss(session_of(shop, token), ids=[name], reason=WHY, progress=Silent())


def test_the_page_says_what_reopens_a_proposal(shop: Project) -> None:
    """Would catch: a cost that doubled from one second to two, or one that isn't known, said to
    bring a proposal back; a change of code awaited of what has no code."""
    (shop.root / "macros").mkdir()
    (shop.root / "macros/money.sql").write_text("create macro cents(x) as x * 100;\n")
    owners = shop.root / "owners.yaml"
    owners.write_text(owners.read_text().replace("['mailto:a@example.com']", "[]"))
    _declared(shop, "daily", TWICE)
    finding, of_code = _finding(shop)["id"], "until the code, trigger, checks or contract of"
    response = shop.json(
        "optimize", "dismiss", finding, "unread_asset:fails", "unused_macro:cents", "--reason", WHY
    )
    unknown, known, macro = response["until"]
    assert unknown == (
        f"{of_code} daily or of its inputs change; what daily costs isn't known, so that no larger"
        " cost reopens it"
    )
    assert known == (
        f"{of_code} fails or of its inputs change, or computing fails takes at least twice as long"
        " a month and a minute more"
    )
    assert macro == "until somebody reopens it"
    text = shop.text("optimize", "dismiss", finding, "no_contact:acme", "--reason", WHY)
    assert f"{finding}: {unknown}" in text
    assert f"no_contact:acme: {macro}" in text
    text = shop.text("optimize", "dismiss", "no_contact:acme", "--reason", WHY)
    assert of_code not in text
    assert f"  {macro}" in text


def test_two_names_of_a_proposal_are_one_decision(shop: Project) -> None:
    """Would catch: two entries in the trail over one decision, or over its end."""
    _declared(shop, "copies", COPY)
    names = (_finding(shop, "unread_asset")["id"], "unread_asset:copies")
    assert _dismiss(shop, *names)["ids"] == ["unread_asset:copies"]
    assert shop.json("optimize", "reopen", *names)["ids"] == ["unread_asset:copies"]
    actions = [item["action"] for item in shop.json("audit", "show")]
    assert actions.count("proposal.dismissed") == actions.count("proposal.reopened") == 1


def test_a_changed_trigger_is_named(shop: Project) -> None:
    """Would catch: a proposal that is open again over its code, although only its trigger is new."""
    _declared(shop, "daily", TWICE)
    name = "unread_asset:daily"
    _dismiss(shop, name)
    at_six = TWICE.replace("owner: core\n", "owner: core\ntrigger: {cron: 0 6 * * *}\n")
    _declared(shop, "daily", at_six)
    (row,) = [row for row in shop.json("complexity")["findings"] if row["id"] == name]
    assert row["dismissal"]["ended"].startswith(
        "its code, trigger, checks or contract, or those of a node"
    )


def test_bad_input(shop: Project) -> None:
    """Would catch: a decision without a reason, or about something that isn't proposed."""
    _declared(shop, "daily", TWICE)
    name = _finding(shop)["id"]
    assert "--reason" in shop.refused("optimize", "dismiss", name, code=3)
    assert "--reason" in shop.refused("optimize", "dismiss", name, "--reason", " ", code=3)
    assert "which proposal" in shop.refused("optimize", "dismiss", "--reason", WHY)
    for unknown in ("o-0000000000", "trigger:daily", "unread_asset:nothing", "daily", "o-';--"):
        code, _, error = shop.call(shop.root, "optimize", "dismiss", unknown, "--reason", WHY)
        assert (code, "there is no proposal" in error) == (2, True)
    assert "--reason belongs to" in shop.refused("optimize", "--reason", WHY)
    for words in (("reopen", name), ("apply", name), ("check", "a.sql")):
        assert "--reason belongs to" in shop.refused("optimize", *words, "--reason", WHY)
    assert "optimize dismiss" in shop.refused("complexity", "dismiss", name)
    assert "optimize dismiss" in shop.refused("bottleneck", "dismiss", "daily")
    assert "isn't dismissed" in shop.call(shop.root, "optimize", "reopen", name)[2]
    assert _finding(shop)["dismissal"] is None


def test_hostile_reasons_are_text(shop: Project) -> None:
    """Would catch: a reason that is read as SQL, or that draws on the terminal."""
    _declared(shop, "daily", TWICE)
    name = _finding(shop)["id"]
    hostile = "'); drop table dismissal; -- \x1b[31m<script>"
    shop.json("optimize", "dismiss", name, "--reason", hostile)
    assert _finding(shop)["dismissal"]["reason"] == hostile
    assert "\x1b[31m" not in shop.text("optimize", "daily")
