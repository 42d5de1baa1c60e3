"""`headrace checks`: what checks came to, in a project whose store is real."""

from __future__ import annotations

from typing import Any

import pytest
from checked_shop import checked
from clilab import Project

__all__ = ["checked"]


@pytest.fixture
def shop(checked: Any, call: Any) -> Project:
    """The project as it was filled; tests that change files change them back."""
    return Project(checked, call)


def test_checks_and_their_history(shop: Project) -> None:
    """Would catch: a check without its outcomes, one of another node's, a view's that nobody finds
    under its name.
    """
    rows = {(row["node"], row["check"]): row for row in shop.json("checks")}
    unique = rows["orders_clean", "unique_id"]
    assert set(unique) >= {"node", "partition", "state", "verdict", "at", "reason"}
    assert (unique["state"], unique["verdict"], unique["partition"], unique["runs"]) == (
        "passed",
        "passed",
        "2025-03-05",
        5,
    )
    assert [item["partition"] for item in unique["history"]] == [
        f"2025-03-0{day}" for day in (5, 4, 3, 2, 1)
    ]
    assert (unique["file"], unique["line"]) == ("assets/orders_clean.sql", 5)
    assert rows["orders_clean", "large"]["state"] == "unchecked"
    assert rows["large", "not_null_id"]["state"] == rows["large", "huge"]["state"] == "passed"
    assert {row["node"] for row in shop.json("checks", "large")} == {"large"}
    assert len(shop.json("checks", "orders_clean", "--history", "2")[0]["history"]) == 2
    assert "unique_id" in shop.text("checks", "orders_clean")
    assert "did you mean" in shop.refused("checks", "ordrs")
    assert "unknown: --write" in shop.refused("checks", "--write")


def test_before_anything_ran(new: Project) -> None:
    """Would catch: a crash where there is no store."""
    assert [row["state"] for row in new.json("checks")] == ["never"]
    assert "no check" in new.text("checks", "revenue")
