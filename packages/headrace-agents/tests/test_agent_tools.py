"""Which commands are tools for agents, and what a client is told about each (TRUST Z4)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from headrace.access.permissions import COMMANDS
from headrace.cli.command_table import COMMANDS as CLI_COMMANDS
from headrace.cli.declared_commands import load
from headrace.model.access import Permission
from headrace.model.nodes import AgentCeilings
from headrace.services.agent_acts import CONSEQUENCES, Consequence, over_ceiling
from headrace.web.http import HttpProblem
from headrace_agents import results
from headrace_agents.declarations import (
    ACTING,
    APPROVAL_KEY,
    CUT_KEY,
    READING,
    tools,
    why_no_tool,
)

DECISIONS = Path(__file__).with_name("agent_tools.txt")
WITHOUT_A_PROJECT = {
    "explain:explain",
    "import_project:import_project", "init:init", "init:schemas",
    "serving:refuse_production",
}  # fmt: skip
ONE_THING = {
    "backfills:cancel_backfill", "backfills:pause_backfill", "backfills:resume_backfill",
    "headrace_testing.services.connections:test_channels",
    "headrace_testing.services.connections:test_connections",
    "contract_accept:accept_names", "incident_handling:assign",
    "incident_handling:link_ticket", "incident_mutes:mute", "incident_mutes:unmute",
    "incident_records:note", "incident_records:report",
    "interventions:cancel", "interventions:take_over", "interventions:unpublish",
    "interventions:waive", "pause:pause", "pause:resume", "receive:fire",
    "run_results:tick",
    "headrace_advisor.services.challenge_process:challenge_in_process",
}  # fmt: skip
"""Acts on one named thing, on a failure, or of what the schedule does anyway: no ceiling but the
number of acts."""


def test_each_command_is_decided_and_reviewed() -> None:
    """Would catch: a new command that agents may call without anybody having looked at it."""
    chosen = {tool.function: tool for tool in tools().values()}
    lines = []
    for path, row in sorted(COMMANDS.items(), key=lambda item: (item[1].name, item[0])):
        reason = why_no_tool(path)
        assert bool(reason) != (path in chosen), path
        what = f"no tool: {reason}" if reason else "acts" if chosen[path].acts else "reads"
        lines.append(f"{row.name} ({path}): {what}")
    if os.environ.get("HEADRACE_FIXTURES") == "write":
        DECISIONS.write_text("\n".join(lines) + "\n")
    assert lines == DECISIONS.read_text().splitlines()
    typed = {path for row in CLI_COMMANDS for path in load(row.name).functions.values() if path}
    assert typed - COMMANDS.keys() - WITHOUT_A_PROJECT == set(), "a command without a decision"


def test_what_is_destructive_is_no_tool() -> None:
    """Would catch: a tool that restores, purges, creates tokens or approves."""
    people_only = {Permission.ADMINISTER, Permission.APPROVE, Permission.REVEAL}
    assert {*READING, *ACTING} == set(Permission) - people_only
    first_words = {tool.command.split()[0] for tool in tools().values() if tool.acts}
    assert first_words.isdisjoint(
        {"token", "db", "serve", "dev", "approve", "reject", "freeze", "unfreeze", "erase", "keys"}
    )
    paths = {
        name
        for tool in tools().values()
        for name in tool.input["properties"]
        if name in ("file", "folder", "directory", "out", "into", "masked")
    }
    assert paths == set(), "an agent names files of the server, or unmasks rows"


def test_each_act_has_a_ceiling_or_needs_none() -> None:
    """Would catch: a new act that computes or drops without a limit."""
    acts = {tool.function for tool in tools().values() if tool.acts}
    others = {path for path in CONSEQUENCES if path not in acts}
    assert acts == (CONSEQUENCES.keys() - others) | ONE_THING
    assert {COMMANDS[path].name for path in others} <= {tool.command for tool in tools().values()}
    assert CONSEQUENCES.keys().isdisjoint(ONE_THING)


@pytest.mark.long
def test_schemas_are_valid_and_complete() -> None:
    """Would catch: a schema that clients refuse, or that refers to what isn't in it."""
    for tool in tools().values():
        assert tool.name.isidentifier() and tool.description.strip(), tool.name
        for schema in (tool.input, tool.output):
            assert schema["type"] == "object", tool.name
            jsonschema.Draft202012Validator.check_schema(schema)
            rendered = json.dumps(schema)
            for name in set(rendered.split('"#/$defs/')[1:]):
                assert name.partition('"')[0] in schema["$defs"], (tool.name, name)
        assert tool.input["additionalProperties"] is False, tool.name
        assert {CUT_KEY, APPROVAL_KEY}.isdisjoint(tool.output["properties"]), tool.name


def test_large_results_are_cut_and_say_how_to_get_more() -> None:
    """Would catch: a result that fills the agent's context, a cut result that looks whole, or one
    that no longer fits its schema."""
    tool = tools()["runs"]
    row = {"name": "x" * 10_000, "texts": ["y" * 300] * 5}
    result = results.bounded(tool, [row] * 5_000)
    assert len(json.dumps(result)) <= results.RESULT_BYTES_MAX
    notes = result["cut"]["parts"]
    assert notes[0]["at"] == "result" and notes[0]["of"] == 5_000
    assert notes[0]["shown"] == len(result["result"]) > 0
    assert "`limit`" in result["cut"]["more"] and "headrace runs --json" in result["cut"]["more"]
    assert results.bounded(tool, {"a": 1}) == {"a": 1}
    with pytest.raises(HttpProblem, match="too large"):
        results.bounded(tool, {f"key_{n}": "x" * 50 for n in range(20_000)})


def test_ceilings_name_themselves() -> None:
    """Would catch: a limit that lets one more through, or a refusal that doesn't say which."""
    ceilings = AgentCeilings(partitions_max=2, rows_max=3, bytes_max=4)
    assert over_ceiling(ceilings, Consequence(2, 3, 4)) == ""
    assert over_ceiling(ceilings, Consequence()) == ""
    for expected, name in (
        (Consequence(partitions=3), "partitions_max"),
        (Consequence(rows=4), "rows_max"),
        (Consequence(bytes=5), "bytes_max"),
    ):
        assert name in over_ceiling(ceilings, expected)
