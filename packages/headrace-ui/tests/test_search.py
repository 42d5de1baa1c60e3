"""The palette's search: records by number, consumers by state, tables before columns, typos."""

from __future__ import annotations

import pytest
from clilab import NOW, Project

from headrace.project.session import ProjectSession
from headrace_ui.services.catalog_search import search


def found(shop: Project, text: str, *, near: bool = True) -> list[str]:
    """Return kind and name of what is found, after a day was rejected and one held."""
    session = ProjectSession(shop.root, "prod", NOW, "t")
    return [f"{row.kind} {row.name}" for row in search(session, text, 50, near).found]


def test_records_are_found_by_their_numbers(shop: Project) -> None:
    """Would catch: a run beside the incident that somebody asked for, or one form of its id only."""
    for text in ("INC-1", "inc 1", "inc1", "  Inc-1 "):
        assert found(shop, text) == ["incident INC-1"]
    assert found(shop, "run 1") == ["run 1"]
    assert {"incident INC-1", "run 1"} <= set(found(shop, "1"))


def test_a_state_finds_the_consumers_in_it(shop: Project) -> None:
    """Would catch: nobody under `late`, or everybody under a letter of it."""
    late = ["consumer dashboard", "consumer morning-report"]
    assert found(shop, "late")[:2] == late
    assert found(shop, "late consumers") == late
    assert found(shop, "lat")[:2] == late
    assert not {*late} & {*found(shop, "la"), *found(shop, "served"), *found(shop, "at risk")}


def test_tables_come_before_their_columns(shop: Project) -> None:
    """Would catch: the column `orders` of one table before the table of that name."""
    orders = found(shop, "orders")
    assert orders[:2] == ["source orders", "asset orders_clean"]
    assert "column orders" in orders[2:]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("ordres", "source orders"),
        ("revnue", "asset revenue"),
        ("revemue", "asset revenue"),
        ("mornign", "consumer morning-report"),
        ("claen orders", "asset orders_clean"),
        ("dashbord", "consumer dashboard"),
    ],
)
def test_a_typo_finds_the_name(shop: Project, typed: str, name: str) -> None:
    """Would catch: nothing for two letters changed about, one left out, or one in a part of a name."""
    assert name in found(shop, typed)
    assert found(shop, typed, near=False) == []


def test_what_resembles_no_name_finds_nothing(shop: Project) -> None:
    assert found(shop, "xyzzy") == []
