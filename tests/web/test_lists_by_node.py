"""Somebody whose roles are limited to some nodes finds nothing of the others (TRUST Z4, Z5, B14)."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clilab import Project, call
from door_lab import Opened, opened
from serve_lab import Answer, ask

from headrace.cli.main import run

__all__ = ["call"]
"""A fixture of the command line's tests."""

DOMAINS = ("finance", "people", "logistics")
NAMES = {
    "finance": ("kestrelpay", "ospreyledger", "merlinreport"),
    "people": ("badgerstaff", "otterpayroll", "stoatboard"),
    "logistics": ("salmonfreight", "troutroutes", "pikedesk"),
}
"""Domain → source, asset and consumer. Each asset also reads the source of the domain before it."""
READER = "minkcopy"
"""An asset of people that reads an asset of finance."""
NOW = "2025-03-04T08:00+01:00"
THEN = "2025-03-04T07:00:01Z"
"""A second after the tick began."""


SETTINGS = '[project]\nname = "firm"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\n'
SOURCE = """\
source: {source}
{head}partition: day
files: landing/{source}_{{date:%Y-%m-%d}}.csv
expect: {{by: '05:00'}}
"""
ASSET = """\
/* headrace
{head}partition: {{by: day, column: day}}
checks:
  - unique: [id]
*/
select s.id, cast(s.day as date) as day
from {source} s left join {before} b on s.id = b.id and s.day = b.day
"""
CONSUMER = (
    "- {{consumer: {consumer}, owner: {domain}_team, domain: {domain}, tags: [tag_{domain}],"
    " reads: [{asset}], due: '07:00'}}\n"
)


def _files() -> dict[str, str]:
    files = {
        "headrace.toml": SETTINGS + "[environments.elsewhere]\n",
        "owners.yaml": "".join(f"{domain}_team: {{kind: team}}\n" for domain in DOMAINS),
        "consumers.yaml": "",
    }
    before = NAMES["logistics"][0]
    for domain, (source, asset, consumer) in NAMES.items():
        head = f"owner: {domain}_team\ndomain: {domain}\ntags: [tag_{domain}]\n"
        files[f"sources/{source}.yaml"] = SOURCE.format(source=source, head=head)
        files[f"assets/{asset}.sql"] = ASSET.format(source=source, head=head, before=before)
        files["consumers.yaml"] += CONSUMER.format(consumer=consumer, domain=domain, asset=asset)
        before = source
    files[f"assets/{READER}.sql"] = (
        "/* headrace\nowner: people_team\ndomain: people\ntags: [tag_people]\n"
        "partition: {by: day, column: day}\n*/\nselect id, day from ospreyledger\n"
    )
    return files


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of three domains: one day that a check rejects, and a source without a delivery."""
    root = tmp_path_factory.mktemp("firm") / "firm"
    for path, text in _files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    for source in ("kestrelpay", "badgerstaff", "salmonfreight"):
        for day in ("2025-03-01", "2025-03-02"):
            again = "1," + day + "\n" if source == "badgerstaff" and day == "2025-03-02" else ""
            file = root / "landing" / f"{source}_{day}.csv"
            file.write_text(f"id,day\n1,{day}\n{again}")
    assert run(["tick", "--now", NOW, "--project", str(root)]) == 0
    (root / "access.yaml").write_text(
        f"- {{role: admin, to: [{_me(root)}]}}\n"
        "- {role: viewer, to: [token:t-tag], tag: tag_people}\n"
        "- {role: viewer, to: [token:t-forbidden]}\n"
        "- {forbid: see, to: [token:t-forbidden], domain: logistics}\n"
        "- {role: operator, to: [token:t-owner], owner: finance_team}\n"
    )
    assert run(["apply", "--yes", "--now", NOW, "--project", str(root)]) == 0
    return root


def _me(root: Path) -> str:
    from headrace import Session

    return Session(root).whoami().who


TOKENS = {
    "t-domain": (("viewer:domain=finance",), ("finance",)),
    "t-two": (("viewer:domain=finance", "operator:domain=logistics"), ("finance", "logistics")),
    "t-tag": (("viewer:env=elsewhere",), ("people",)),
    "t-owner": (("viewer:env=elsewhere",), ("finance",)),
    "t-forbidden": (("viewer:env=elsewhere",), ("finance", "people")),
    "t-auditor": (("auditor:domain=finance",), ("finance",)),
    "t-auditors": (("viewer:domain=people", "auditor:domain=logistics"), ("people", "logistics")),
    "t-nothing": (("viewer:env=elsewhere",), ()),
}
"""Token → its scopes, and the domains that it sees by these and by access.yaml."""


@pytest.fixture(scope="module")
def tokens(firm: Path) -> dict[str, str]:
    from headrace import Session

    session = Session(firm, now=NOW)
    return {
        name: session.create_token(name, scopes=list(scopes)).token
        for name, (scopes, _) in TOKENS.items()
    }


@pytest.fixture(scope="module")
def door(firm: Path, tokens: dict[str, str]) -> Iterator[Opened]:
    del tokens
    with opened(firm) as result:
        yield result


def hidden_from(token: str) -> list[str]:
    seen = TOKENS[token][1]
    names = [name for domain in DOMAINS if domain not in seen for name in NAMES[domain]]
    return names if "people" in seen else [*names, READER]


def seen_by(token: str) -> list[str]:
    return [name for domain in TOKENS[token][1] for name in NAMES[domain]]


def addresses(names: list[str]) -> list[str]:
    listing = [
        "/api/v1/status", "/api/v1/assets", "/api/v1/assets?sort=state", "/api/v1/search?q=r",
        "/api/v1/search?q=INC-1", "/api/v1/sql/tables", "/api/v1/runs/list?node=r", "/api/v1/incidents", "/api/v1/incidents?every=true",
        "/api/v1/incidents/1", "/api/v1/incidents/2", "/api/v1/runs", "/api/v1/runs?failed=true",
        "/api/v1/runs?run=1", "/api/v1/runs/list", "/api/v1/ls", "/api/v1/paused",
        "/api/v1/runs/grid", "/api/v1/runs/grid?failed=true",
        "/api/v1/graph/view", f"/api/v1/graph/view?at={THEN}",
        f"/api/v1/graph/changes?from=2025-03-04&to={THEN}", "/api/v1/checks", "/api/v1/checks/list", "/api/v1/quarantine",
        "/api/v1/approvals", "/api/v1/backfills", "/api/v1/plan", "/api/v1/versions",
        "/api/v1/audit", "/api/v1/figures/goodput", "/metrics", "/api/v1/runs/1",
        "/api/v1/runs/1/path", "/api/v1/runs/1/slots",
        "/api/v1/possible-acts?q=r", "/api/v1/possible-acts?q=pause", "/api/v1/possible-acts?q=a",
        "/api/v1/status?select=tag:tag_people", "/api/v1/ls?select=*", "/api/v1/effect?select=*",
    ]  # fmt: skip
    for name in names:
        listing += [
            f"/api/v1/assets/{name}", f"/api/v1/consumers/{name}", f"/api/v1/assets/{name}/code",
            f"/api/v1/assets/{name}/partitions", f"/api/v1/why/{name}", f"/api/v1/lineage/{name}",
            f"/api/v1/lineage/{name}.id", f"/api/v1/graph/view?mode=focus&root={name}&hops=9",
            f"/api/v1/graph/view?mode=focus&root={name}&hops=9&at={THEN}",
            f"/api/v1/graph/view?mode=blast&root={name}", f"/api/v1/effect?select={name}",
            f"/api/v1/deliveries/{name}", f"/api/v1/runs?node={name}", f"/data/{name}.json",
            f"/api/v1/contract/{name}", f"/api/v1/backfills/preview?select={name}",
            f"/api/v1/render/{name}",
        ]  # fmt: skip
    return listing


def get(door: Opened, text: str, path: str) -> Answer:
    return ask(door.port, path, Authorization=f"Bearer {text}")


@pytest.mark.parametrize("token", TOKENS)
def test_no_response_names_a_hidden_node(door: Opened, tokens: dict[str, str], token: str) -> None:
    """Would catch: a list, count, neighbour, search, hint or text that gives a hidden node away."""
    hidden = re.compile("|".join(hidden_from(token)) or "$^", re.IGNORECASE)
    answered = 0
    for path in addresses(seen_by(token)):
        answer = get(door, tokens[token], path)
        found = hidden.search(answer.body.decode())
        assert found is None, (path, answer.status, found, answer.body[:3000])
        assert answer.status in (200, 400, 403, 404), (path, answer.status, answer.body[:300])
        answered += answer.status == 200
    assert answered >= (10 if seen_by(token) else 0)


@pytest.mark.parametrize("token", ["t-domain", "t-forbidden"])
def test_a_hidden_node_is_answered_as_one_that_does_not_exist(
    door: Opened, tokens: dict[str, str], token: str
) -> None:
    """Would catch: a status or message by which somebody can find out which names exist (IDOR)."""
    for name in hidden_from(token):
        absent = name[::-1] + "x"
        for path, other in zip(addresses([name]), addresses([absent]), strict=True):
            if name not in path:
                continue
            answer, control = (get(door, tokens[token], item) for item in (path, other))
            assert answer.status == control.status != 200, (path, answer.body, control.body)
            said = answer.body.decode().replace(name, absent)
            assert said == control.body.decode(), path


def test_counts_are_those_of_the_rows_that_are_shown(door: Opened, tokens: dict[str, str]) -> None:
    """Would catch: a total by which somebody learns how much they don't see."""
    text = tokens["t-domain"]
    status = get(door, text, "/api/v1/status").json
    assert [row["name"] for row in status["consumers"]] == ["merlinreport"]
    assets = status["assets"]
    assert sum(assets[state] for state in ("fresh", "behind", "stale", "never")) == 1
    assert status["quarantine"] == {"deliveries": 0, "partitions": 0, "rows": 0}
    assert (status["lake"]["files"], status["runs_started"], status["not_applied"]) == (0, 0, 0)
    catalog = get(door, text, "/api/v1/assets").json
    assert catalog["total"] == 2, catalog
    graph = get(door, text, "/api/v1/graph/view").json
    assert graph["total"] == 3 and [card["count"] for card in graph["cards"]] == [1, 1, 1]
    now = status["now"].replace("+", "%2B")
    past = get(door, text, f"/api/v1/graph/view?at={now}").json
    assert past["total"] == 3 and {card["name"] for card in past["cards"]} == set(NAMES["finance"])
    window = get(door, text, f"/api/v1/graph/changes?from=2025-03-04&to={now}").json
    assert window["changes"] and {row["node"] for row in window["changes"]} <= set(NAMES["finance"])
    listed = get(door, text, "/api/v1/checks/list").json
    assert listed["total"] == len(listed["checks"]) == 1
    checks = get(door, text, "/api/v1/checks").json
    assert [row["node"] for row in checks] == ["ospreyledger"]
    nothing = get(door, tokens["t-nothing"], "/api/v1/status")
    assert nothing.status == 403


def test_a_run_has_the_attempts_of_visible_nodes(door: Opened, tokens: dict[str, str]) -> None:
    """Would catch: a run refused as a whole, counts of hidden nodes, a run that names exist by."""
    text, runs = tokens["t-domain"], 0
    for number in range(1, 10):
        answer = get(door, text, f"/api/v1/runs/{number}")
        if answer.status == 404:
            continue
        runs, run = runs + 1, answer.json
        nodes = [row["node"] for row in run["attempts"]]
        assert nodes and set(nodes) <= set(NAMES["finance"]), nodes
        assert run["total"] == sum(run["counts"].values()) == len(nodes)
        first = get(door, text, f"/api/v1/runs/{number}?limit=1").json
        assert first["total"] == len(nodes) and (first["next"] is None) == (len(nodes) == 1)
        lines = get(door, text, f"/api/v1/runs?run={number}").json
        assert {row["node"] for row in lines} == set(nodes)
    assert runs
    hidden = get(door, tokens["t-nothing"], "/api/v1/runs/1")
    assert hidden.status == 403
    absent = get(door, text, "/api/v1/runs/999").body.decode()
    for number in range(1, 10):
        answer = get(door, text, f"/api/v1/runs/{number}")
        if answer.status == 404:
            assert answer.body.decode().replace(f"'{number}'", "'999'") == absent


def test_the_trail_has_the_entries_about_visible_nodes(
    door: Opened, tokens: dict[str, str], firm: Path
) -> None:
    """Would catch: entries about hidden nodes, and a viewer who reads the trail by a filter."""
    from headrace import Session

    everything = Session(firm, now=NOW).audit(limit=1_000)
    rows = get(door, tokens["t-auditor"], "/api/v1/audit?limit=1000").json
    nodes = {row["object"].partition(":")[2].partition("@")[0] for row in rows}
    assert nodes and nodes <= set(NAMES["finance"]), nodes
    assert {row["object"].partition(":")[0] for row in rows} == {"partition"}
    of_finance = [row for row in everything if row.seq in {row["seq"] for row in rows}]
    assert [row.hash for row in of_finance] == [row["hash"] for row in rows]
    both = get(door, tokens["t-auditors"], "/api/v1/audit?limit=1000").json
    nodes = {row["object"].partition(":")[2].partition("@")[0] for row in both}
    assert nodes and nodes <= set(NAMES["logistics"]), "it audits logistics only"
    for token in ("t-domain", "t-tag", "t-forbidden", "t-nothing"):
        assert get(door, tokens[token], "/api/v1/audit").status == 403, token


def test_one_entry_about_a_hidden_node_does_not_exist(
    firm: Path, tokens: dict[str, str], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an entry that a list leaves out, and its number gives."""
    from headrace import Session

    entries = Session(firm, now=NOW).audit(limit=1_000)
    project = Project(firm, call)
    monkeypatch.setenv("HEADRACE_TOKEN", tokens["t-auditor"])
    visible = {row["seq"] for row in project.json("audit", "show", "--limit", "1000")}
    hidden = next(row.seq for row in entries if "badgerstaff" in row.object)
    whole = next(row.seq for row in entries if row.action == "project.applied")
    for seq in (hidden, whole, 999_999):
        code, out, err = project.call(firm, "audit", "show", str(seq))
        assert code != 0 and f"no entry {seq}" in out + err
    assert project.json("audit", "show", str(max(visible)))[0]["seq"] == max(visible)
    assert "may not" in project.refused("audit", "verify", code=3)


def test_metrics_are_the_series_of_visible_nodes(door: Opened, tokens: dict[str, str]) -> None:
    """Would catch: a series or a total of a hidden node, also from the cache of another's scrape."""
    pytest.importorskip("headrace_observe")
    everything = ask(door.port, "/metrics", Authorization=f"Bearer {door.token}").body.decode()
    assert "stoatboard" in everything and "headrace_not_applied" in everything
    text = get(door, tokens["t-domain"], "/metrics").body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    consumers = {name for name in values if name.startswith("headrace_consumer_backlog")}
    assert consumers == {'headrace_consumer_backlog{consumer="merlinreport"}'}
    sources = {name for name in values if name.startswith("headrace_source_deliveries_late")}
    assert sources == {'headrace_source_deliveries_late{source="kestrelpay"}'}
    assert values["headrace_quarantine_rows"] == "0", "the rejected day is of people"
    for name in ("not_applied", "classic_uptime_ratio", "requests_waiting", "partitions_total"):
        assert f"headrace_{name}" not in text, name
    rates = [name for name in values if name.startswith("headrace_throughput_rows")]
    named = {name.split('name="')[1].split('"')[0] for name in rates}
    assert named == {"finance", "kestrelpay", "ospreyledger"}, named
    opened = [name for name in values if name.startswith("headrace_incidents_open")]
    seen = get(door, tokens["t-domain"], "/api/v1/incidents").json
    assert sum(int(values[name]) for name in opened) == len(seen)
    of_people = get(door, tokens["t-tag"], "/metrics").body.decode()
    assert "merlinreport" not in of_people and "stoatboard" in of_people
    again = ask(door.port, "/metrics", Authorization=f"Bearer {door.token}").body.decode()
    assert "stoatboard" in again and "merlinreport" in again
    assert get(door, tokens["t-nothing"], "/metrics").status == 403


def test_validate_has_the_problems_of_visible_files(
    firm: Path, tokens: dict[str, str], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: the name or the file of a node of another domain that isn't applied yet."""
    project = Project(firm, call)
    secret = "name: {name}\nowner: people_team\ndomain: people\nsource: {name}\nfiles: 3\n"
    new = {
        "sources/newtsalary.yaml": secret.format(name="newtsalary"),
        "assets/newtbonus.sql": "/* headrace\nowner: people_team\ndomain: people\n*/\nselect nope",
        "assets/ospreynext.sql": (
            "/* headrace\nowner: finance_team\ndomain: finance\ncolour: red\n*/\n"
            "select * from newtbonus"
        ),
        "assets/ospreylast.sql": (
            "/* headrace\nowner: finance_team\ndomain: finance\n*/\nselect x from newtbonux"
        ),
    }
    for path, text in new.items():
        (firm / path).write_text(text)
    try:
        whole = project.json("validate")
        monkeypatch.setenv("HEADRACE_TOKEN", tokens["t-domain"])
        code, out, _ = project.call(firm, "validate", "--json")
        answer = json.loads(out)
        _, out, err = project.call(firm, "validate")
        assert code == 1
        both = json.dumps(answer) + out + err
        for name in ("newtsalary", "newtbonus ", "badgerstaff", "troutroutes"):
            assert name not in both, (name, both)
        files = {row["file"] for row in answer["problems"]}
        assert files <= {"assets/ospreynext.sql", "assets/ospreylast.sql"}
        assert answer["left_out"] == len(whole["problems"]) - len(answer["problems"]) > 0
        assert not answer["ok"] and answer["binding"] is None
        assert answer["counts"]["consumers"] <= 1 and "left out" in out
    finally:
        for path in new:
            (firm / path).unlink()
    answer = project.json("validate")
    assert answer["ok"] and answer["counts"]["sources"] == answer["counts"]["consumers"] == 1


def changed_files(firm: Path, changes: dict[str, str]) -> dict[str, str]:
    """Write these files, and return what they held ("" for new ones)."""
    before = {}
    for path, text in changes.items():
        file = firm / path
        before[path] = file.read_text() if file.exists() else ""
        file.write_text(text)
    return before


def restore(firm: Path, before: dict[str, str]) -> None:
    for path, text in before.items():
        (firm / path).write_text(text) if text else (firm / path).unlink()


def asset(name: str) -> str:
    return _files()[f"assets/{name}.sql"]


def test_a_plan_has_what_it_does_to_visible_nodes(
    firm: Path, tokens: dict[str, str], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a file, a step, a count, an owner or a consumer of another domain in a plan."""
    project = Project(firm, call)
    mine = asset("ospreyledger").replace("select s.id,", "select s.id + 1 as id,")
    theirs = asset("otterpayroll").replace("select s.id,", "select s.id + 1 as id,")
    new = "/* headrace\nowner: people_team\ndomain: people\n*/\nselect 1 as weaselsecret"
    before = changed_files(firm, {"assets/ospreyledger.sql": mine})
    try:
        whole = project.json("plan")
        monkeypatch.setenv("HEADRACE_TOKEN", tokens["t-domain"])
        alone = project.json("plan")
        assert alone["plan_id"] == whole["plan_id"] and alone["left_out"] == "effects"
        assert {file["path"] for file in alone["files"]} == {
            "assets/ospreyledger.sql",
            "sources/kestrelpay.yaml",
        }, "consumers.yaml declares consumers of other domains"
        monkeypatch.delenv("HEADRACE_TOKEN")
        before |= changed_files(
            firm, {"assets/otterpayroll.sql": theirs, "assets/weaselbonus.sql": new}
        )
        whole = project.json("plan")
        monkeypatch.setenv("HEADRACE_TOKEN", tokens["t-domain"])
        plan, text = project.json("plan"), project.text("plan")
        markdown = project.text("plan", "--format", "markdown")
        for hidden in ("otterpayroll", "weasel", "badgerstaff", "people", "stoatboard"):
            assert hidden not in (json.dumps(plan) + text + markdown).lower(), hidden
        assert plan["plan_id"] is plan["approval"] is plan["estimate"] is None
        assert plan["left_out"] == "changes" and "left out: other changes" in text
        assert "Left out: other changes" in markdown and "no approval needed" not in text
        assert [row["node"] for row in plan["changes"]] == ["ospreyledger"]
        assert [row["n"] for row in plan["steps"]] == [*range(1, len(plan["steps"]) + 1)]
        assert plan["affects"] == {"consumers": ["merlinreport"], "owners": ["finance_team"]}
        assert len(whole["changes"]) == 3 and whole["left_out"] is None
        project.refused("apply", whole["plan_id"], "--yes", code=3)
    finally:
        monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
        restore(firm, before)


def test_effects_on_hidden_nodes_are_left_out_of_a_plan(
    firm: Path, tokens: dict[str, str], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: readers in another domain by their names, partitions or owners."""
    project = Project(firm, call)
    mine = asset("ospreyledger").replace("select s.id,", "select s.id + 1 as id,")
    before = changed_files(firm, {"assets/ospreyledger.sql": mine})
    try:
        whole = project.json("plan")
        assert READER in json.dumps(whole["stale"])
        monkeypatch.setenv("HEADRACE_TOKEN", tokens["t-domain"])
        plan, text = project.json("plan"), project.text("plan")
        for hidden in (READER, "people"):
            assert hidden not in json.dumps(plan) + text, hidden
        assert plan["left_out"] == "effects" and plan["plan_id"] == whole["plan_id"]
        assert "left out: what becomes of nodes" in text and plan["estimate"] is None
        assert all(row["counts"] is None for row in plan["backfills"])
        assert [row["node"] for row in plan["stale"]] == ["ospreyledger"]
    finally:
        monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
        restore(firm, before)


def test_a_refused_apply_names_nothing_hidden(
    firm: Path, tokens: dict[str, str], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: another domain's new node in the reason, and its file or step in what differs
    from an earlier plan."""
    from headrace import Session

    del tokens
    project, session = Project(firm, call), Session(firm, now=NOW)
    maker = session.create_token("t-maker", scopes=["owner:domain=finance"]).token
    mine = "/* headrace\nowner: finance_team\ndomain: finance\n*/\nselect 1 as id"
    reads = asset("ospreyledger").replace("select s.id,", "select s.id + 1 as id,")
    new = "/* headrace\nowner: people_team\ndomain: people\n*/\nselect 1 as weaselsecret"
    before = changed_files(firm, {"assets/ospreynew.sql": mine})
    changed_files(firm, {"assets/weaselbonus.sql": new})
    try:
        both = project.json("plan")["plan_id"]
        monkeypatch.setenv("HEADRACE_TOKEN", maker)
        answers = [
            project.call(firm, *words) for words in (["apply", "--yes"], ["apply", both, "--yes"])
        ]
        (firm / "assets/weaselbonus.sql").unlink()
        answers += [project.call(firm, "apply", both, "--yes", *more) for more in ((), ("--json",))]
        assert json.loads(answers[-1][1])["refused"]["code"] == "plan_changed"
        before |= changed_files(firm, {"assets/ospreyledger.sql": reads})
        answers.append(project.call(firm, "apply", "--yes"))
        for code, out, err in answers:
            assert code != 0, (out, err)
            for hidden in ("weasel", "people", "salmonfreight", "logistics"):
                assert hidden not in out + err, out + err
    finally:
        monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
        (firm / "assets/weaselbonus.sql").unlink(missing_ok=True)
        restore(firm, before)


def test_a_plan_of_broken_files_names_none_of_them(
    firm: Path, tokens: dict[str, str], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an error of another domain's new file, which no list of hidden names has."""
    project = Project(firm, call)
    broken = {"assets/weaselbonus.sql": "/* headrace\nowner: nobody\n*/\nselect x from weasels"}
    before = changed_files(firm, broken)
    try:
        assert "weaselbonus" in project.refused("plan", code=1)
        monkeypatch.setenv("HEADRACE_TOKEN", tokens["t-domain"])
        for words in (["plan"], ["plan", "--json"], ["apply", "--yes"]):
            code, out, err = project.call(firm, *words)
            assert code != 0 and "weasel" not in out + err, (words, out, err)
    finally:
        monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
        restore(firm, before)


COMMANDS = (
    "status", "status --explain goodput", "ls", "incidents", "incidents --all", "runs",
    "runs --failed", "quarantine", "checks", "approvals", "backfills", "plan", "validate", "doctor",
    "connections", "notify", "versions", "audit", "pause", "access whoami", "access matrix",
    "ls *r*", "incident INC-1", "incident INC-2", "why NODE", "lineage NODE", "deliveries NODE",
    "read NODE", "runs 1", "contract NODE", "render NODE", "run tag:tag_* --reason x",
    "pause tag:tag_* --reason x", "why NODEx", "read NODEx", "ls NODEx",
)  # fmt: skip


def test_no_command_names_a_hidden_node(
    firm: Path, tokens: dict[str, str], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a screen or a document of the command line that gives a hidden node away."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    choice, project = random.Random(seed), Project(firm, call)
    for words in COMMANDS:
        token = choice.choice([name for name in TOKENS if seen_by(name)])
        hidden = hidden_from(token)
        node = choice.choice([*seen_by(token), *hidden])
        monkeypatch.setenv("HEADRACE_TOKEN", tokens[token])
        for more in ((), ("--json",)):
            code, out, err = project.call(firm, *words.replace("NODE", node).split(), *more)
            text = (out + err).lower()
            if node in hidden:  # typed, so it may be repeated
                text = text.replace(node, "")
            found = [name for name in hidden if name in text]
            assert not found, (token, words, node, code, out, err)
            assert "traceback" not in text
            if more and out and code == 0:
                json.loads(out)
