"""SELECT as text cases."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence

import pytest
from model_cases import cases

from headrace.model import UsageError, select

EDGES = {
    "clean": ["flights"],
    "conditions": ["weather"],
    "delays": ["clean", "conditions"],
    "ranking": ["delays"],
    "reader": ["ranking"],
    "board": ["clean"],
    "flights": [],
    "weather": [],
}


class Graph:
    """A small graph (see the head of cases/selection.txt)."""

    def names(self) -> Sequence[str]:
        return sorted(EDGES)

    def kind(self, name: str) -> str:
        return {
            "flights": "source",
            "weather": "source",
            "reader": "consumer",
            "board": "consumer",
        }.get(name, "asset")

    def parents(self, name: str) -> Iterable[str]:
        return EDGES[name]

    def children(self, name: str) -> Iterable[str]:
        return [child for child, parents in EDGES.items() if name in parents]

    def tags(self, name: str) -> Collection[str]:
        return {"clean": ("daily",), "delays": ("daily", "heavy")}.get(name, ())

    def owner(self, name: str) -> str:
        return "core" if name in ("clean", "conditions", "delays") else "other"

    def domain(self, name: str) -> str | None:
        return "ops" if name == "ranking" else None

    def path(self, name: str) -> str:
        folder = {"source": "sources", "asset": "assets"}.get(self.kind(name), "")
        return {"ranking": "assets/ops/ranking.sql"}.get(
            name, f"{folder}/{name}.yaml" if folder else "consumers.yaml"
        )

    def changed(self) -> Collection[str]:
        return {"delays"}

    def selectors(self) -> Mapping[str, str]:
        return {
            "nightly": "tag:daily --exclude delays",
            "more": "selector:nightly ranking+",
            "broken": "claen",
            "rest": "--exclude +delays",
            "empty": " --exclude ",
        }


def _select(text: str) -> list[str]:
    selection, _, exclude = text.partition("--exclude")
    return select(shlex.split(selection), [exclude] if exclude else [], Graph())


@pytest.mark.parametrize("case", [line for line in cases("selection") if not line.startswith("!")])
def test_selections(case: str) -> None:
    """What is selected is what is run: one node too many is a publication that nobody asked for."""
    text, _, expected = case.partition(" =")
    assert _select(text) == expected.split()


@pytest.mark.parametrize("case", [line for line in cases("selection") if line.startswith("!")])
def test_a_selection_of_nothing_is_refused(case: str) -> None:
    """A typing mistake must not select nothing in silence, or everything."""
    text, _, expected = case[1:].partition(" = ")
    with pytest.raises(UsageError) as refused:
        _select(text)
    assert expected in f"{refused.value} {refused.value.hint}"


def test_a_long_chain_is_no_problem() -> None:
    """Ancestors are found without recursion."""

    class Chain(Graph):
        def names(self) -> Sequence[str]:
            return [f"a{i}" for i in range(5000)]

        def kind(self, name: str) -> str:
            return "asset"

        def parents(self, name: str) -> Iterable[str]:
            return [f"a{int(name[1:]) - 1}"] if name != "a0" else []

    assert len(select(["+a4999"], [], Chain())) == 5000
