"""One token, used as a tool for agents, over the HTTP API, by a command and in Python."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from clilab import Project, call, filled, shop
from serve_lab import Answer, ask, deliver, headrace, project, response, serving

import headrace as library
from headrace.access.permissions import COMMANDS
from headrace.model.errors import OverCeiling
from headrace.services.agent_acts import CONSEQUENCES

__all__ = ["call", "filled", "shop"]
"""Fixtures of the command line's tests."""
DAYS = ("2025-03-01", "2025-03-02", "2025-03-03")


def limit(root: Path, text: str) -> None:
    settings = root / "headrace.toml"
    settings.write_text(f"{settings.read_text()}\n[mcp]\n{text}\n")


def acted(rows: list[Any]) -> list[tuple[str, str, str]]:
    return [
        (row["object"], row["outcome"], row["after"]["transport"])
        for row in reversed(rows)
        if row["action"] == "agent.acted"
    ]


def test_ceilings_of_a_command_and_of_python(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a token that computes by command or in Python what it may not, acts without end
    by changing the way in, or leaves no trace of its acts."""
    token = str(shop.json("token", "create", "agent", "--scope", "operator")["token"])
    limit(shop.root, "partitions_max = 1\nacts_per_hour = 5")
    again = ("run", "orders_clean", "--again", "--reason", "all of it again")

    with monkeypatch.context() as patched:
        patched.setenv("HEADRACE_TOKEN", token)
        code, _, err = shop.call(shop.root, *again)
        assert code == 3 and "partitions_max" in err and "a person" in err
        backfill = ("backfill", "orders_clean", "--from", DAYS[0], "--to", DAYS[2], "--mode", "all")
        assert shop.call(shop.root, *backfill, "--dry-run")[0] == 0
        code, _, err = shop.call(shop.root, *backfill, "--reason", "again", "--yes")
        assert code == 3 and "partitions_max" in err
        session = library.Session(shop.root, now="2025-03-06T08:00+01:00")
        with pytest.raises(OverCeiling, match="partitions_max"):
            session.run("orders_clean", again=True, reason="again")
        assert shop.call(shop.root, "pause", "revenue", "--reason", "it waits")[0] == 0
        assert shop.call(shop.root, "resume", "revenue")[0] == 0
        code, _, err = shop.call(shop.root, "pause", "revenue", "--reason", "it waits")
        assert code == 3 and "acts_per_hour" in err
        assert shop.call(shop.root, "status")[0] == 0
    assert acted(shop.json("audit", "show", "--limit", "1000")) == [
        ("tool:run", "denied", ""),
        ("tool:backfill", "denied", ""),
        ("tool:run", "denied", ""),
        ("tool:pause", "allowed", ""),
        ("tool:resume", "allowed", ""),
        ("tool:pause", "denied", ""),
    ]
    assert "3 done" in shop.call(shop.root, *again)[2]


def test_an_exempt_token_computes_all_and_is_recorded(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a program's token that can't be let do more than an agent's."""
    token = str(shop.json("token", "create", "ci", "--scope", "operator")["token"])
    limit(shop.root, 'partitions_max = 0\nacts_per_hour = 0\nexempt = ["ci"]')
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    shop.text("pause", "revenue", "--reason", "it waits")
    assert "3 done" in shop.call(shop.root, "run", "orders_clean", "--again", "--reason", "x")[2]
    monkeypatch.delenv("HEADRACE_TOKEN")
    rows = shop.json("audit", "show", "--limit", "1000")
    assert acted(rows) == [("tool:pause", "allowed", ""), ("tool:run", "allowed", "")]


def test_ceilings_over_http(tmp_path: Path) -> None:
    """Would catch: the same over the HTTP API, or a refusal without its code."""
    root = project(tmp_path / "shop")
    for day in DAYS:
        deliver(root, day)
    headrace(root, "tick")
    token = response(root, "token", "create", "agent", "--scope", "operator")["token"]
    limit(root, "partitions_max = 1")
    with serving(root) as server:
        body = {"select": ["revenue"], "from": DAYS[0], "to": DAYS[2], "mode": "all", "reason": "x"}
        answer = sent(server.port, "/api/v1/backfills", token, body)
        assert answer["code"] == "over_ceiling" and "partitions_max" in answer["detail"]
        run = {"select": ["revenue"], "again": True, "reason": "again"}
        assert sent(server.port, "/api/v1/runs", token, run)["code"] == "over_ceiling"
        rows = server.get("/api/v1/audit?limit=100").json
    entries = rows if isinstance(rows, list) else rows["entries"]
    assert [row["object"] for row in entries if row["action"] == "agent.acted"] == [
        "tool:run",
        "tool:backfill",
    ]


def sent(port: int, path: str, token: str, body: dict[str, Any]) -> Any:
    """Send an act and wait for its problem."""
    bearer = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer: Answer = ask(port, path, method="POST", body=json.dumps(body).encode(), **bearer)
    while answer.status == 202 or (answer.status == 200 and answer.json.get("state") == "running"):
        answer = ask(port, f"/api/v1/acts/{answer.json['id']}", **bearer)
    return answer.json.get("problem") or answer.json


def test_each_act_that_computes_partitions_says_how_many() -> None:
    """Would catch: a second function of a command for which no ceiling holds."""
    commands = {COMMANDS[path].name for path in CONSEQUENCES}
    lacking = {
        path for path, row in COMMANDS.items() if row.name in commands and path not in CONSEQUENCES
    }
    # these only plan, or only read
    assert {path for path in lacking if COMMANDS[path].permission not in ("see", "read")} == set()
    assert os.environ.get("HEADRACE_TOKEN") is None
