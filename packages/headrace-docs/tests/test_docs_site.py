"""`docs build`: the site says what `status` says, to whom it may be said, and nothing runs in it."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
from documented_shop import LONG, NOW, RTL, UNSEEN_VALUE, Parsed, opened

from headrace.cli.main import run
from headrace.model import HeadraceError, Refused, UsageError
from headrace.services.status import status
from headrace_docs.responses.description import Description, ReadEdge
from headrace_docs.services.flow import drawn, flow
from headrace_docs.services.folders import MARK
from headrace_docs.services.site import build_site, described_as
from headrace_docs.site.consequences import Downstream, first_columns
from headrace_docs.site.files import site_files


@pytest.fixture(scope="module")
def site(described: Description) -> dict[str, str]:
    """Path → text of each file of its site."""
    files = list(site_files(described))
    assert len({file.path.lower() for file in files}) == len(files), "one overwrites the other"
    return {file.path: file.text for file in files}


def pages(site: dict[str, str]) -> dict[str, Parsed]:
    return {path: Parsed(text) for path, text in site.items() if path.endswith(".html")}


def test_every_address_leads_somewhere(site: dict[str, str]) -> None:
    """Would catch: a link to a page or a column that isn't there, or to a network."""
    parsed = pages(site)
    for path, page in parsed.items():
        assert len(page.ids) == len(set(page.ids)), path
        for address in page.addresses:
            file, _, fragment = address.partition("#")
            parts = [*path.split("/")[:-1], *file.split("/")] if file else path.split("/")
            while ".." in parts:
                del parts[parts.index("..") - 1 : parts.index("..") + 1]
            target = unquote("/".join(parts))
            assert target in site, (path, address)
            assert not fragment or fragment in parsed[target].ids, (path, address)


def test_names_with_markup_stay_text(site: dict[str, str]) -> None:
    """Would catch: an element or a handler that a description, a domain or a column brought in."""
    scripts = set()
    for path, page in pages(site).items():
        names = {name for name, _ in page.elements}
        assert not names & {"img", "b", "iframe", "object"}, path
        assert not [key for _, held in page.elements for key in held if key.startswith("on")], path
        scripts |= {path for name, _ in page.elements if name == "script"}
    assert scripts == {"search.html"}
    clean = pages(site)["nodes/clean.html"].words
    assert "<img src=x onerror=document.title='hacked'>&\"'" in clean
    assert RTL in clean and LONG in clean and "<b>bold</b> & 'so' #1 %20" in clean
    index = site["search-index.js"].removeprefix("var headraceIndex = ").rstrip(";\n")
    assert "</" not in index.replace("<b>bold</b>", "")
    assert {row[0] for row in json.loads(index)} >= {"clean", "morning-report", "order"}


def test_promises_are_those_of_status(shop: Path, site: dict[str, str]) -> None:
    """Would catch: a site that counts for itself, or says nothing of a promise that was missed."""
    past = status(opened(shop)).consumers[-1].availability
    assert past is not None
    assert (past.kept, past.promised) == (1, 2), "the shop's second day was late"
    words = pages(site)["consumers/morning-report.html"].words
    assert "promises kept 1 of 2" in words
    assert past.text in words
    foot = pages(site)["index.html"].words
    assert "True at 2025-03-04 06:30 (UTC), version 1" in foot and "Environment prod" in foot


def test_columns_have_what_is_known_of_them(described: Description, site: dict[str, str]) -> None:
    """Would catch: a profile, a class or lineage that is lost; values of rows on a page."""
    node = next(node for node in described.nodes if node.name == "clean")
    columns = {column.name: column for column in node.columns}
    amount = columns["amount"]
    assert (amount.type, amount.nulls, amount.profiled) == ("DECIMAL(18,2)", 0, 2)
    assert [(step.node, step.column) for step in amount.comes_from] == [("orders", "amount")]
    assert [(step.node, step.column) for step in amount.goes_into] == [
        ("page", "day"),
        ("secret_margin", "revenue"),
    ]
    derived = columns["customer"]
    assert (derived.classification, derived.masked) == ("personal", True), "it isn't declared there"
    assert columns["amount"].classification is None
    source = next(node for node in described.nodes if node.name == "orders")
    assert {column.name: column.masked for column in source.columns}["customer"]
    assert not [path for path, text in site.items() if UNSEEN_VALUE in text]


def test_pages_say_what_depends_on_a_node_and_how_it_did(described: Description) -> None:
    """Would catch: consumers behind other assets that are left out, and a wrong last good day."""
    downstream = Downstream(described)
    assert downstream.of("orders") == (3, ["board", "morning-report"])
    assert downstream.of("page") == (0, [])
    origins = first_columns(described)
    assert origins["secret_margin", "revenue"] == {("orders", "amount"), ("orders", "day")}
    assert origins["orders", "amount"] == {("orders", "amount")}
    history = described.history["clean"]
    assert (history.passed, history.attempts) == ("2025-03-03", 2)
    assert history.median_seconds is not None
    assert history.median_seconds <= history.total_seconds
    checks = {check.name: check for node in described.nodes for check in node.checks}
    assert {(check.outcome, check.failing) for check in checks.values()} == {("passed", 0)}
    reads_itself = [ReadEdge(node="orders", mode="required")]
    looped = [
        msgspec.structs.replace(node, read_by=[*node.read_by, *reads_itself])
        for node in described.nodes
        if node.name == "orders"
    ]
    assert Downstream(msgspec.structs.replace(described, nodes=looped)).of("orders") == (0, [])


def test_terms_are_checked_against_columns(described: Description, site: dict[str, str]) -> None:
    """Would catch: a term that nobody defines or uses, and a column that is gone, unsaid."""
    by_name = {term.term: term for term in described.terms}
    assert by_name["basket"].definition == ""
    assert [(row.column, row.exists) for row in by_name["order"].used_by] == [("id", True)]
    assert [row.exists for row in by_name["margin"].used_by] == [False, True]
    (problem,) = described.problems
    assert (problem.severity, problem.code, problem.line) == ("warning", "unknown_column", 3)
    words = pages(site)["glossary.html"].words
    assert "Without a definition basket" in words
    assert "Without a column <img" in words


def test_a_node_that_all_read_has_pages_of_its_readers(described: Description) -> None:
    """Would catch: a page of a megabyte, and readers that are named nowhere."""
    (clean, *others) = described.nodes
    edges = [ReadEdge(node=f"reader_{at}", mode="required") for at in range(9_000)]
    wide = msgspec.structs.replace(clean, read_by=edges)
    files = {
        file.path: file.text
        for file in site_files(msgspec.structs.replace(described, nodes=[wide, *others]))
    }
    lists = [path for path in files if path.startswith("readers/clean/")]
    assert sum(files[path].count('href="../../nodes/reader_') for path in lists) == 9_000
    assert 'href="../readers/clean/index.html"' in files["nodes/clean.html"]
    sizes = {path: len(text) for path, text in files.items() if path.endswith(".html")}
    assert max(sizes.values()) < 200_000, max(sizes, key=sizes.__getitem__)


def test_same_state_gives_the_same_bytes(shop: Path, site: dict[str, str]) -> None:
    """Would catch: an order of a set, or a time of the machine, in a file."""
    again = {file.path: file.text for file in site_files(described_as(opened(shop), None))}
    assert again == site


def test_a_role_gets_what_it_may_see(shop: Path) -> None:
    """Would catch: a hidden name in any file: lists, lineage, pictures, the search, terms, files."""
    described = described_as(opened(shop), "viewer:domain=sales")
    assert described.reader == "viewer:domain=sales"
    assert {node.name for node in described.nodes} == {"clean", "orders", "page"}
    for file in site_files(described):
        assert "secret_margin" not in file.text, file.path
        assert "board" not in file.text, file.path
    limited = opened(shop)
    described_as(limited, "viewer:domain=sales")
    with pytest.raises(Refused, match="sees the whole project"):
        described_as(limited, "viewer")
    with pytest.raises(UsageError, match="is no role"):
        described_as(opened(shop), "king")


def test_a_site_replaces_only_a_site(shop: Path, described: Description, tmp_path: Path) -> None:
    """Would catch: somebody's folder that is removed, and pages of nodes that are gone."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        build_site(opened(shop), mine, described)
    with pytest.raises(UsageError, match="around the project"):
        build_site(opened(shop), shop.parent.parent, described)
    assert (mine / "thesis.txt").is_file()
    out = tmp_path / "made/site"
    response = build_site(opened(shop), out, described)
    assert response.pages == len([*out.rglob("*.html")])
    (out / "nodes/gone.html").write_text("old")
    before = (out / "nodes/clean.html").stat()
    response = build_site(opened(shop), out, described)
    assert (response.changed, response.removed) == (0, 1)
    after = (out / "nodes/clean.html").stat()
    assert (after.st_ino, after.st_mtime) == (before.st_ino, before.st_mtime), "it is the same file"
    later = msgspec.structs.replace(described, at=described.at + timedelta(hours=1))
    assert build_site(opened(shop), out, later).changed == 1, "the overview alone has a new time"
    assert "True at 2025-03-04 07:30" in (out / "index.html").read_text(encoding="utf-8")
    assert "True at 2025-03-04 06:30" in (out / "nodes/clean.html").read_text(encoding="utf-8")
    later = msgspec.structs.replace(described, project="another")
    assert build_site(opened(shop), out, later).changed > response.pages - 1
    assert not (out / "nodes/gone.html").exists() and (out / MARK).is_file()
    assert [path.name for path in out.parent.iterdir()] == ["site"]
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(HeadraceError, match="can't be written"):
        build_site(opened(shop), file / "site", described)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("- {term: [", "yaml_syntax", 2),
        ("term: x\n", "wrong_type", 1),
        ("- x\n- {term: a}\n- {term: a}\n", "duplicate_name", 3),
        ("- {definition: x}\n", "missing_field", 1),
        ("- {term: a, columns: [a]}\n", "wrong_value", 1),
        ("\xff", "not_utf8", 1),
    ],
)
def test_a_faulty_glossary_stops_nothing(
    text: str, code: str, line: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: a site that isn't built, or terms that vanish without a word."""
    (tmp_path / "headrace.toml").write_text('[project]\nname = "empty"\ntimezone = "UTC"\n')
    (tmp_path / "glossary.yaml").write_bytes(text.encode("latin-1"))
    out = tmp_path / "site"
    command = ["docs", "build", "--out", str(out), "--project", str(tmp_path), "--json"]
    assert run([*command, "--now", NOW]) == 0
    response = json.loads(capsys.readouterr().out)
    assert (code, line) in {(row["code"], row["line"]) for row in response["problems"]}
    words = Parsed((out / "glossary.html").read_text(encoding="utf-8")).words
    assert f"glossary.yaml:{line}" in words


def test_an_empty_project_has_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Would catch: a division by no nodes, or a page that is missing."""
    (tmp_path / "headrace.toml").write_text('[project]\nname = "empty"\ntimezone = "UTC"\n')
    assert run(["docs", "build", "--project", str(tmp_path), "--now", NOW]) == 0
    assert "nothing applied" in capsys.readouterr().out
    out = tmp_path / "target/docs"
    site = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*.*")}
    test_every_address_leads_somewhere(site)
    assert "Nothing is declared yet." in Parsed(site["index.html"]).words
    shutil.rmtree(out)
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources/x.yaml").write_text("source: [")
    assert run(["docs", "build", "--project", str(tmp_path)]) == 1
    assert "has 1 error" in capsys.readouterr().err
    assert not out.exists()


def test_a_diagram_has_what_ran_and_what_did_not(changed_shop: Path) -> None:
    """Would catch: a line for what never ran, a vanished asset that isn't there, or a hidden one."""
    root = changed_shop
    response = drawn(flow(opened(root), "sales"))
    kinds = {node.node: (node.kind, node.rows) for node in response.nodes}
    assert kinds["orders"] == ("source", 4)
    assert kinds["secret_margin"] == ("gone", 2)
    edges = {(edge.from_, edge.to): edge.ran for edge in response.edges}
    assert edges == {
        ("orders", "clean"): True,
        ("clean", "page"): True,
        ("clean", "later"): False,
        ("later", "morning-report"): False,
    }
    ids = {name: f"n{at}" for at, name in enumerate(kinds, 1)}
    assert f'{ids["orders"]} -->|"4 rows"| {ids["clean"]}' in response.diagram
    assert f"{ids['clean']} -.-> {ids['later']}" in response.diagram
    assert response.diagram.count(":::gone") == 1
    other = drawn(flow(opened(root), "morning-report", "plantuml")).diagram
    assert other.startswith("@startuml\n") and other.endswith("@enduml\n")
    short = flow(opened(root, "2025-06-01T00:00+00:00"), "sales", window="1d")
    before = {node.node: node.ran_before for node in short.nodes if node.kind != "consumer"}
    assert before == {"clean": True, "later": False, "orders": True, "page": True}
    words = drawn(flow(opened(root), "sales", "structurizr")).diagram
    assert f'{ids["orders"]} -> {ids["clean"]} "4 rows" "" "ran"' in words
    assert words.count("{") == words.count("}")
    with pytest.raises(UsageError, match="neither a domain nor a consumer"):
        flow(opened(root), "nobody")
    with pytest.raises(UsageError, match="no format"):
        flow(opened(root), "sales", "visio")
