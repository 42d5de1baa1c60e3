"""The demo's fault, found and repaired by an agent through tools alone, over both transports."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from agent_lab import Agent, over_stdio
from serve_lab import HEADRACE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def headrace(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [HEADRACE, *arguments], capture_output=True, text=True, timeout=200, check=False, cwd=folder
    )
    assert done.returncode == 0, (arguments, done.stdout[-1500:], done.stderr[-1500:])
    return done.stdout


async def repair(agent: Agent) -> dict[str, Any]:
    """Find what is wrong, plan its repair, and do exactly what was planned."""
    before = await agent.call("status")
    late = [row["name"] for row in before["consumers"] if row["state"] != "served"]
    incident = next(
        item["command"].split()[-1] for item in before["open"] if item["kind"] == "incident"
    )
    cause = await agent.call("incident", incident=incident)
    why = await agent.call("why", subject=late[0])
    planned = await agent.call("fix_preview", incident=incident)
    wrong = await agent.error("fix", incident=incident, agreed="p-0123456789abcdef")
    done = await agent.call(
        "fix", incident=incident, agreed=planned["plan_id"], reason="the columns were renamed"
    )
    after = await agent.call("status")
    return {
        "late": late,
        "cause": cause,
        "why": why,
        "planned": planned,
        "wrong": wrong,
        "done": done,
        "after": after,
    }


def test_an_agent_finds_and_repairs_the_fault(tmp_path: Path) -> None:
    """Would catch: a tool whose result doesn't lead to the next one; a repair that isn't the one
    that was planned; an act of an agent that the trail doesn't tell from a person's."""
    headrace(tmp_path, "demo", "--no-serve")
    folder = tmp_path / "demo"
    created = json.loads(
        headrace(
            folder, "token", "create", "agent", "--scope", "operator", "--scope", "owner", "--json"
        )
    )
    story = over_stdio(folder, repair, "--on-behalf-of", "ana", token=created["token"])
    assert len(story["late"]) == 3
    assert story["cause"]["cause"]["kind"] == "schema_change"
    assert "flights" in json.dumps(story["why"])
    assert story["planned"]["fix"] == "planned"
    assert story["wrong"]["code"] == "plan_changed"
    assert story["done"]["fix"] == "done"
    assert story["done"]["plan_id"] == story["planned"]["plan_id"]
    assert {row["state"] for row in story["after"]["consumers"]} == {"served"}
    entries = json.loads(headrace(folder, "audit", "show", "--limit", "1000", "--json"))
    acted = [entry for entry in entries if entry["action"] == "agent.acted"]
    assert [entry["object"] for entry in acted] == ["tool:fix", "tool:fix"]
    assert {entry["after"]["on_behalf_of"] for entry in acted} == {"ana"}
    [fixed] = [entry for entry in entries if entry["action"] == "incident.fixed"]
    assert fixed["actor"] == "token:agent"
