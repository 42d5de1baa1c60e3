"""`GET /api/v1/what-if`: the answer of the command, small enough for a request."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from door_lab import Opened, opened
from serve_lab import deliver, headrace, project, response, write

from headrace.access.permissions import COMMANDS
from headrace.model import Refused
from headrace.project.session import ProjectSession
from headrace_advisor.services import what_if_page
from headrace_advisor.services.what_if_page import WhatIfQuery

PROMISED = '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n'
LATER = "/api/v1/what-if?set=source.orders.delay%3D90m"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(Path(tmp_path_factory.mktemp("what_if")) / "shop")
    write(root / "consumers.yaml", PROMISED)
    for day in ("2025-03-02", "2025-03-03"):
        deliver(root, day)
    headrace(root, "tick")
    with opened(root) as result:
        yield result


def test_the_answer_is_that_of_the_command_that_it_names(door: Opened) -> None:
    """Would catch: a page whose figures aren't those of the command line, or a change that is
    lost on the way.
    """
    answer = door.get(f"{LATER}&samples=20")
    assert answer.status == 200, answer.body
    page = answer.json
    assert page["command"].startswith("headrace what-if --set source.orders.delay=90m --days 1 ")
    simulated = page["simulated"]
    again = response(door.root, *shlex.split(page["command"])[1:])
    for key in ("begins", "days", "samples", "changes", "consumers", "lacking", "notes"):
        assert simulated[key] == again[key], key
    assert simulated["changes"] == ["orders delivers 1 h 30 min later"]
    row = simulated["consumers"]["report"]
    assert row["then"]["p50"] > row["now"]["p50"] and row["due"] == "07:00"


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("days=8", "`days` can't be '8': it is a whole number from 1 to 7"),
        ("samples=101", "`samples` can't be '101': it is a whole number from 1 to 100"),
        ("seed=x", "`seed` can't be 'x': it is a whole number from 0 to 2,147,483,648"),
        ("keep=07:00", "there is no parameter `keep`"),
        ("backfill=revenue", "there is no parameter `backfill`"),
        ("set=memory%3Dmuch", "`memory=much`: 'much' isn't an amount of memory"),
    ],
)
def test_what_takes_long_or_is_wrong_is_refused(door: Opened, query: str, detail: str) -> None:
    """Would catch: a request that keeps the server busy for minutes; a refusal in the words of a
    library, or without the parameter, what was given or what is allowed.
    """
    answer = door.get(f"/api/v1/what-if?{query}")
    assert (answer.status, answer.json["detail"]) == (400, detail)


def test_large_projects_are_simulated_on_the_command_line(
    door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a simulation of ten thousand assets in a request."""
    with closing(ProjectSession(door.root, "prod", None, "test", trusted=True)) as session:
        monkeypatch.setattr(what_if_page, "PARTITIONS_MAX", 80)
        page = what_if_page.what_if_page(session, WhatIfQuery(days=2))
        assert page.simulated.samples == 10, "two nodes, two days, twice"
        monkeypatch.setattr(what_if_page, "A_DAY_MAX", 1)
        with pytest.raises(Refused, match="2 partitions a day") as refused:
            what_if_page.what_if_page(session, WhatIfQuery(days=2))
    assert refused.value.hint == "headrace what-if --days 2 --samples 100 --seed 1"


def test_before_the_first_apply_it_says_so(tmp_path: Path) -> None:
    """Would catch: a page that fails on a new project."""
    with opened(project(tmp_path / "shop")) as door:
        answer = door.get("/api/v1/what-if")
    assert answer.status == 400
    assert "nothing is applied yet" in answer.json["detail"]


def test_it_needs_the_permission_of_the_command() -> None:
    """Would catch: a page that shows nodes to a role that the command refuses."""
    command, page = (
        COMMANDS[f"headrace_advisor.services.{path}"]
        for path in ("what_if:what_if", "what_if_page:what_if_page")
    )
    assert (page.permission, page.of, page.lists) == (command.permission, command.of, command.lists)
