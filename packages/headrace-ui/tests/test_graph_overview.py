"""The first view of the graph: all of a small project, groups of a larger one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from headrace.model import UsageError
from headrace.project.session import ProjectSession
from headrace_ui.responses.catalog import GraphView
from headrace_ui.services.graph import GraphViewQuery, view
from headrace_ui.views.graph_groups import CARDS_MAX
from headrace_ui.views.graph_past import WORST_FIRST

HEAD = "/* headrace\nowner: {owner}\n{domain}*/\nselect id from {above}\n"


class Firm(NamedTuple):
    root: Path

    def view(self, **query: object) -> GraphView:
        return view(ProjectSession(self.root, "prod", None, "t"), GraphViewQuery(**query))  # type: ignore[arg-type]


def firm(root: Path, assets: int, *, domains: int = 0) -> Firm:
    """A chain of assets behind one source; the n-th is of domain and folder n modulo `domains`."""
    files = {
        "headrace.toml": '[project]\nname = "firm"\ntimezone = "UTC"\n',
        "owners.yaml": "core: {kind: team}\nedge: {kind: team}\n",
        "sources/raw.yaml": "source: raw\nowner: edge\nfiles: raw.csv\n",
        "consumers.yaml": f"- {{consumer: report, owner: core, reads: [a{assets - 1}], max_age: 30h}}\n",
    }
    for number in range(assets):
        domain = f"domain: d{number % domains}\n" if domains else ""
        above = f"a{number - 1}" if number else "raw"
        folder = f"assets/f{number % domains}" if domains else "assets"
        files[f"{folder}/a{number}.sql"] = HEAD.format(owner="core", domain=domain, above=above)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Firm(root)


def edges_of(graph: GraphView) -> set[tuple[str, str]]:
    return {(edge.from_, edge.to) for edge in graph.edges}


def test_a_small_project_is_drawn_whole(tmp_path: Path) -> None:
    """Would catch: one box for all assets, because they have no domain."""
    graph = firm(tmp_path, 5).view()
    assert (graph.mode, graph.by, graph.total, graph.shown) == ("overview", None, 7, 7)
    assert {card.id for card in graph.cards} == {
        "source:raw", *(f"asset:a{number}" for number in range(5)), "consumer:report",
    }  # fmt: skip
    assert {("source:raw", "asset:a0"), ("asset:a4", "consumer:report")} <= edges_of(graph)
    assert len(graph.edges) == 6


def test_groups_open_in_place(tmp_path: Path) -> None:
    """Would catch: a node that is lost when a group opens, or an edge to a card that isn't there."""
    project = firm(tmp_path, 6, domains=2)
    closed = project.view(by="domain")
    assert closed.by == "domain" and closed.shown == 0
    assert {card.id: card.count for card in closed.cards} == {
        "domain:": 2, "domain:d0": 3, "domain:d1": 3,
    }  # fmt: skip
    opened = project.view(by="domain", open=("d1", "d1", "unheard-of"))
    cards = {card.id: card for card in opened.cards}
    assert set(cards) == {"domain:", "domain:d0", "asset:a1", "asset:a3", "asset:a5"}
    assert sum(card.count for card in opened.cards) == opened.total == 8
    assert all({above, below} <= cards.keys() for above, below in edges_of(opened))
    assert ("domain:d0", "asset:a1") in edges_of(opened)
    everything = project.view(by="domain", open=("d0", "d1", ""))
    assert {card.kind for card in everything.cards} == {"source", "asset", "consumer"}


def test_a_project_of_many_nodes_is_grouped_by_what_tells_most(tmp_path: Path) -> None:
    """Would catch: a page of 300 cards; a page of one box where owners or folders would tell."""
    many = firm(tmp_path / "many", CARDS_MAX + 1, domains=3)
    assert many.view().by == "domain"
    without = firm(tmp_path / "without", CARDS_MAX + 1)
    graph = without.view()
    assert graph.by == "owner" and {card.name for card in graph.cards} == {"core", "edge"}
    opened = without.view(open=("core",))
    assert len(opened.cards) <= CARDS_MAX
    assert sum(card.count for card in opened.cards) == opened.total


def test_an_unknown_grouping_is_refused(tmp_path: Path) -> None:
    """Would catch: a misspelt grouping that is answered by another one."""
    with pytest.raises(UsageError, match="no grouping"):
        firm(tmp_path, 1).view(by="domains")


def test_filters_count_the_nodes_that_match_on_each_card(tmp_path: Path) -> None:
    """Would catch: a filter that hides what leads to a node, or misses nodes inside groups."""
    project = firm(tmp_path, 12, domains=2)
    (tmp_path / "assets/f1/a11.sql").write_text(
        "/* headrace\nowner: edge\ndomain: d1\ntags: [daily]\n*/\nselect id from a10\n"
    )
    plain = project.view(by="domain")
    assert plain.matching is None and {card.matching for card in plain.cards} == {None}
    by_name = project.view(by="domain", find="A 1")
    assert by_name.matching == 3, "a1, a10, a11"
    assert {card.id: card.matching for card in by_name.cards} == {
        "domain:": 0, "domain:d0": 1, "domain:d1": 2,
    }  # fmt: skip
    assert by_name.edges == plain.edges
    assert (by_name.found, plain.found) == (["a1", "a10", "a11"], [])
    assert project.view(by="domain", open=("d1",), find="A 1").found == ["a10"]
    assert project.view(owner="edge").matching == 2, "raw, a11"
    assert project.view(owner="edge", tag="daily").matching == 1
    assert project.view(state="never").matching == 14
    assert project.view(tag="unheard-of").matching == 0
    opened = project.view(by="domain", open=("d1",), tag="daily")
    assert {card.name: card.matching for card in opened.cards if card.kind == "asset"} == {
        "a1": 0, "a3": 0, "a5": 0, "a7": 0, "a9": 0, "a11": 1,
    }  # fmt: skip


def test_the_web_ui_orders_states_as_the_server_does() -> None:
    """Would catch: a replayed group whose state isn't the one that the server would say."""
    replay = Path(__file__).parents[3] / "ui/src/pages/graph/replay.ts"
    listed = re.search(r"const WORST_FIRST = \[(.*?)\];", replay.read_text("utf-8"), re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r'"(\w+)"', listed[1])) == WORST_FIRST
