"""Selections in commands: what matches nothing, what isn't applied, and what the project names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

Call = Callable[..., Any]


@pytest.fixture
def shop(tmp_path: Path, call: Call) -> Project:
    """The starter, run once, with selectors."""
    assert call(tmp_path, "init", "shop")[0] == 0
    settings = tmp_path / "shop/headrace.toml"
    selectors = (
        '[selectors]\nmoney = "+daily_revenue --exclude orders"\nedited = "state:modified+"\n'
    )
    settings.write_text(f"{settings.read_text()}\n{selectors}")
    project = Project(tmp_path / "shop", call)
    assert project.json("run")["state"] == "succeeded"
    return project


RANGE = ("--from", "2020-01-01", "--to", "2020-01-02", "--reason", "x", "--yes")


def test_a_selection_of_nothing_is_no_claim_about_the_project(
    shop: Project, tmp_path: Path, call: Call
) -> None:
    """Would catch: `nobody has said who needs what`, and a CI job that fails where nothing changed."""
    for words, message in (
        (("run",), "no node matches the selection"),
        (("backfill", *RANGE), "nothing to do"),
        (("status",), "No consumer is selected."),
        (("checks",), "no checks are declared for these nodes"),
        (("checks", "challenge"), "no checks are declared for these nodes"),
        (("test",), "no tests are declared for these nodes"),
        (("ls",), ""),
    ):
        for selection in ("state:modified", "orders,orders_clean", "selector:edited"):
            code, out, err = call(tmp_path / "shop", *words, selection)
            assert (code, message in out) == (0, True), (words, selection, out, err)
    code, _, err = call(tmp_path / "shop", "pause", "state:modified", "--reason", "x")
    assert (code, "no node matches the selection" in err) == (2, True)


def test_an_empty_text_selects_nothing_by_accident(
    shop: Project, tmp_path: Path, call: Call
) -> None:
    """Would catch: `headrace run "$CHANGED"` that runs everything where the variable is empty."""
    for command in ("run", "ls", "status"):
        code, _, err = call(tmp_path / "shop", command, "")
        assert (code, "the selection is empty" in err) == (2, True)


def test_a_node_that_only_the_files_have_is_not_unknown(
    shop: Project, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "shop/assets/new.sql").write_text(
        (tmp_path / "shop/assets/daily_revenue.sql").read_text()
    )
    for command in ("run", "status", "checks"):
        code, _, err = call(tmp_path / "shop", command, "new")
        assert (code, "only the files have it" in err) == (2, True), err
        code, _, err = call(tmp_path / "shop", command, "newer")
        assert (code, "only the files have it" in err) == (2, False), err


def test_edges_of_a_project_with_errors_are_unknown(
    shop: Project, tmp_path: Path, call: Call
) -> None:
    """Would catch: a KeyError where the applied version lacks a node, or only some of the edges."""
    (tmp_path / "shop/assets/new.sql").write_text(
        (tmp_path / "shop/assets/daily_revenue.sql").read_text()
    )
    (tmp_path / "shop/assets/broken.sql").write_text("select from from")
    assert [row["name"] for row in shop.json("ls", "new")] == ["new"]
    code, _, err = call(tmp_path / "shop", "ls", "+new")
    assert (code, "it isn't known what reads what" in err) == (2, True), err


def test_selectors_are_declared_and_combine(shop: Project, tmp_path: Path, call: Call) -> None:
    assert [row["name"] for row in shop.json("ls", "selector:money,asset:*")] == [
        "daily_revenue",
        "orders_clean",
    ]
    assert shop.json("plan")["changes"] == [], "a selector changes no data"
    settings = tmp_path / "shop/headrace.toml"
    settings.write_text(settings.read_text() + 'a = "selector:b"\nb = "selector:a"\n')
    code, out, _ = call(tmp_path / "shop", "validate")
    said = "`a` uses selector `b`, which isn't declared above it"
    assert (code, said in out) == (1, True), out
    settings.write_text(settings.read_text() + 'c = "selector:mony"\n')
    code, out, _ = call(tmp_path / "shop", "validate")
    assert (code, "did you mean `money`?" in out) == (1, True), out


def test_an_environment_is_compared_with_production(
    shop: Project, tmp_path: Path, call: Call
) -> None:
    """Would catch: `state:modified` that is empty as soon as an environment has built the edit."""
    asset = tmp_path / "shop/assets/daily_revenue.sql"
    asset.write_text(asset.read_text().replace("count(*)", "2 * count(*)"))
    assert call(tmp_path / "shop", "--env", "dev", "run")[0] == 0
    rows = shop.json("--env", "dev", "ls", "state:modified")
    assert [row["name"] for row in rows] == ["daily_revenue"]
