"""What agents may do and see, over both transports (TRUST Z4, B13)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_lab import LEGACY, Agent, over_http, over_stdio
from clilab import Project, call, filled, shop
from door_lab import Opened, opened
from mcp import MCPError
from serve_lab import HEADRACE, ask

from headrace_agents.declarations import tools

__all__ = ["call", "filled", "shop"]
"""Fixtures of the command line's tests."""
ACTS = {tool.name for tool in tools().values() if tool.acts}
HOSTILE = (
    ("status", {"select": 3}),
    ("status", {"no_such_argument": 1}),
    ("status", {"select": ["x" * 100_000]}),
    ("status", {"window": "'; drop table audit; --"}),
    ("read", {"asset": "../../etc/passwd"}),
    ("read", {"asset": "orders_clean", "limit": -1}),
    ("read", {"asset": "orders_clean", "limit": 2**70}),
    ("read", {"asset": None}),
    ("read", {}),
    ("sql", {"query": "select * from read_csv('/etc/passwd')"}),
    ("sql", {"query": "drop table orders_clean"}),
    ("sql", {"query": "select 1", "masked": False}),
    ("incident", {"incident": "INC-1\u0000"}),
    ("no_such_tool", {}),
    ("token_create", {"name": "mine", "scopes": ["admin"]}),
)


def token(shop: Project, name: str, scope: str) -> str:
    return str(shop.json("token", "create", name, "--scope", scope)["token"])


@pytest.fixture
def guarded(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with rules: a viewer may not see who the customers are."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    who = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(
        f"- {{role: admin, to: [{who}]}}\n"
        "- {forbid: read, to: [token:viewer], column: orders.customer}\n"
    )
    shop.text("apply", "--yes")
    return shop


@pytest.fixture
def door(guarded: Project) -> Iterator[Opened]:
    with opened(guarded.root) as result:
        yield result


@pytest.mark.long
@pytest.mark.parametrize("mode", ["auto", LEGACY])
def test_a_viewer_reads_over_http(guarded: Project, door: Opened, mode: str) -> None:
    """Would catch: other results than the commands have, a masked value, an act in the list of
    somebody who may not act."""
    viewer = token(guarded, "viewer", "viewer")

    async def look(agent: Agent) -> tuple[set[str], Any, Any, Any, Any]:
        rows = await agent.call("read", asset="orders_clean")
        sql = await agent.call("sql", query="select * from orders_clean")
        lists = await agent.call("incidents")
        return await agent.names(), await agent.call("status"), rows, sql, lists

    names, status, rows, sql, incidents = over_http(door.port, look, token=viewer, mode=mode)
    assert {"status", "read", "why", "incident"} <= names and names.isdisjoint(ACTS)
    expected = json.loads(door.get("/api/v1/status").body)
    assert {name: status[name] for name in ("project", "consumers")} == {
        name: expected[name] for name in ("project", "consumers")
    }
    assert rows["masked"] == ["customer"] and rows["rows"]
    assert "Grace" not in json.dumps(rows) and "Grace" not in json.dumps(sql)
    assert [row["id"] for row in incidents["result"]] == [
        row["id"] for row in guarded.json("incidents")
    ]


def test_hostile_arguments_are_errors_and_the_server_goes_on(
    guarded: Project, door: Opened
) -> None:
    """Would catch: a call that ends the connection, reads a file of the server, or tells more than
    a code, a message and a hint."""
    viewer = token(guarded, "viewer", "viewer")

    async def attack(agent: Agent) -> None:
        for tool, arguments in HOSTILE:
            error = await agent.error(tool, **arguments)
            assert set(error) <= {"code", "message", "hint", "refused"}, error
            assert len(error["message"]) <= 600 and "root:" not in json.dumps(error)
            assert "Traceback" not in error["message"]
        assert (await agent.call("status"))["project"] == "shop"

    over_http(door.port, attack, token=viewer)


def test_without_its_token_nobody_calls_a_tool(guarded: Project, door: Opened) -> None:
    """Would catch: a browser's session, a foreign page or a revoked token that reaches the tools."""
    viewer = token(guarded, "viewer", "viewer")
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    def status(**headers: str) -> int:
        return ask(door.port, "/mcp", method="POST", body=body, **{**sent, **headers}).status

    bearer = {"Authorization": f"Bearer {viewer}"}
    assert status() == 401
    assert status(Authorization="Bearer hdr_" + "x" * 43) == 401
    start = ask(door.port, f"/?token={door.token}")
    cookie = start.headers["set-cookie"].partition(";")[0]
    page = {"Cookie": cookie, "X-Headrace-Act": "1", "Sec-Fetch-Site": "same-origin"}
    assert status(**page) == 401
    by_address = ask(door.port, f"/mcp?token={door.token}", method="POST", body=body, **sent)
    assert by_address.status == 401
    assert status(**bearer, Origin="http://evil.example") == 403
    assert status(**bearer, Host="evil.example") == 421
    assert status(**bearer, **{"Content-Length": str(300 << 10)}) in (400, 413)

    async def look(agent: Agent) -> None:
        await agent.call("ls")
        guarded.text("token", "revoke", "viewer")
        with pytest.raises((MCPError, ExceptionGroup)):
            await agent.call("ls")

    over_http(door.port, look, token=viewer)


def test_an_agent_without_a_token_only_reads(shop: Project) -> None:
    """Would catch: acts for whoever starts the command, or an invalid line that ends it."""

    async def look(agent: Agent) -> None:
        assert (await agent.names()).isdisjoint(ACTS)
        error = await agent.error("pause", select=["orders_clean"], reason="it waits")
        assert error["code"] == "token_needed" and "headrace token create" in error["hint"]
        for tool, arguments in HOSTILE:
            await agent.error(tool, **arguments)
        assert (await agent.call("status"))["project"] == "shop"

    over_stdio(shop.root, look)
    assert [entry["action"] for entry in shop.json("audit", "show", "--limit", "1000")].count(
        "agent.acted"
    ) == 0


def test_invalid_lines_are_answered_and_the_next_ones_too(shop: Project) -> None:
    """Would catch: a process that ends at a line that isn't JSON, or answers with a stack trace."""
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "raw", "version": "0"},
        },
    }
    lines = [
        b"not json",
        b'{"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": 5}}',
        b"\xff\xfe",
        b'{"jsonrpc": "2.0", "method": "notifications/initialized"}',
        b'{"jsonrpc": "2.0", "id": 2, "method": "tools/call",'  # noqa: ISC004
        b' "params": {"name": "ls", "arguments": [1]}}',
        b"[" * 5_000,
        b'{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "ls"}}',
    ]
    with subprocess.Popen(
        [HEADRACE, "mcp", "--project", str(shop.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"\n".join([json.dumps(hello).encode(), *lines]) + b"\n")
        process.stdin.flush()
        answers: dict[Any, Any] = {}
        while 3 not in answers:
            answer = json.loads(process.stdout.readline())
            answers[answer.get("id")] = answer
        _, errors = process.communicate(timeout=50)
    assert process.returncode == 0 and errors == b""
    assert answers[1]["result"]["serverInfo"]["name"] == "headrace"
    assert "error" in answers[2] and "error" in answers[9]
    assert not answers[3]["result"]["isError"]


def test_an_act_is_recorded_with_the_agent_and_for_whom(shop: Project) -> None:
    """Would catch: an act in the name of the person whom the agent names, or one without a
    trace of the client."""
    operator = token(shop, "agent", "operator")

    async def act(agent: Agent) -> Any:
        assert {"pause", "fix"} <= await agent.names()
        assert {"unpublish", "apply", "quarantine_drop"}.isdisjoint(await agent.names())
        error = await agent.error("apply", plan_id="p-0123456789abcdef")
        assert error["code"] == "not_allowed" and error["who"] == "token:agent"
        await agent.call("pause", select=["orders_clean"], reason="the vendor \u202e calls")
        return await agent.call("pauses")

    paused = over_stdio(shop.root, act, "--on-behalf-of", "ana\n\x1b[31m", token=operator)
    assert [row["node"] for row in paused["paused"]] == ["orders_clean"]
    entries = shop.json("audit", "show", "--limit", "1000")
    by_action = {entry["action"]: entry for entry in reversed(entries)}
    assert by_action["node.paused"]["actor"] == "token:agent"
    acted = [entry for entry in entries if entry["action"] == "agent.acted"]
    assert [(item["object"], item["outcome"]) for item in acted] == [
        ("tool:pause", "allowed"),
        ("tool:apply", "denied"),
    ]
    for entry in acted:
        assert entry["actor"] == "token:agent"
        assert entry["after"]["client"] == {"name": "test-agent", "version": "1.2"}
        assert entry["after"]["on_behalf_of"].startswith("ana")
        assert entry["after"]["transport"] == "stdio"
    assert "\u202e" not in json.dumps(acted, ensure_ascii=False)
    assert shop.json("audit", "verify")["ok"]


def test_ceilings_hold_and_are_recorded(shop: Project) -> None:
    """Would catch: an act that computes more than agents may, or acts without an end; a limit that
    a new connection gets around."""
    operator = token(shop, "agent", "operator")
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text() + "\n[mcp]\npartitions_max = 1\nacts_per_hour = 3\n")

    async def act(agent: Agent) -> None:
        error = await agent.error(
            "run", select=["orders_clean"], again=True, reason="all of it again"
        )
        assert error["code"] == "over_ceiling" and "partitions_max" in error["message"]
        assert "a person" in error["hint"]
        await agent.call("pause", select=["orders_clean"], reason="it waits")

    over_stdio(shop.root, act, token=operator)

    async def again(agent: Agent) -> None:
        await agent.call("resume", select=["orders_clean"])
        for _ in range(2):
            error = await agent.error("pause", select=["orders_clean"], reason="it waits")
            assert error["code"] == "over_ceiling" and "acts_per_hour" in error["message"]
        await agent.call("status")

    over_stdio(shop.root, again, token=operator)
    acted = [
        entry
        for entry in shop.json("audit", "show", "--limit", "1000")
        if entry["action"] == "agent.acted"
    ]
    assert [entry["outcome"] for entry in acted] == ["denied", "allowed", "allowed", "denied"]
    assert shop.json("pause")["paused"] == []


def test_an_act_that_needs_an_approval_says_what_to_tell(shop: Project) -> None:
    """Would catch: an agent that waits for ever, or that thinks the backfill is done."""
    operator = token(shop, "agent", "operator")
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text() + '\n[policy]\nbackfill_approval = "partitions > 0"\n')

    async def act(agent: Agent) -> Any:
        result = await agent.call(
            "backfill",
            select=["orders_clean"],
            mode="all",
            reason="corrected prices",
            **{"from": "2025-03-01", "to": "2025-03-03"},
        )
        return result, await agent.call("approvals")

    result, approvals = over_stdio(shop.root, act, token=operator)
    number = result["waits_for_approval"]["id"]
    assert f"headrace approve {number}" in result["waits_for_approval"]["tell"]
    assert [(row["id"], row["asked_by"], row["state"]) for row in approvals["result"]] == [
        (number, "token:agent", "open")
    ]


def test_a_cancelled_query_ends_and_the_server_goes_on(guarded: Project, door: Opened) -> None:
    """Would catch: a query that goes on computing for a client that has left."""
    viewer = token(guarded, "viewer", "viewer")

    async def cancel(agent: Agent) -> None:
        await agent.call("read", asset="orders_clean")
        query = "select count(*) from range(100000000000) a, range(100000) b"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await agent.call("sql", query=query)
        await agent.call("ls")

    over_http(door.port, cancel, token=viewer)
    deadline = 40
    while forks_of(door.reads.pid) and deadline:
        deadline -= 1
        asyncio.run(asyncio.sleep(0.25))
    assert forks_of(door.reads.pid) == []


@pytest.mark.long
def test_no_tool_loads_duckdb_beside_the_open_state(shop: Project) -> None:
    """Would catch: a tool that brings a second SQLite into the process, which then loses locks."""

    async def look(agent: Agent) -> str:
        arguments: dict[str, dict[str, Any]] = {
            "asset": {"name": "orders_clean"},
            "code": {"name": "orders_clean"},
            "contract": {"node": "orders"},
            "deliveries": {"source": "orders"},
            "diff": {"target": "orders_clean", "before": "1"},
            "lineage": {"column": "orders_clean"},
            "logs": {"target": "orders_clean"},
            "partitions": {"name": "orders_clean"},
            "read": {"asset": "orders_clean"},
            "render": {"target": "orders_clean"},
            "sql": {"query": "select count(*) from orders_clean"},
            "why": {"subject": "orders_clean"},
        }
        for name in sorted(await agent.names()):
            if "effect" not in name:
                await agent.client.call_tool(name, arguments.get(name, {}))
        [pid] = [pid for pid in children(os.getpid()) if b"\0mcp\0" in cmdline(pid)]
        return mapped(pid)

    maps = over_stdio(shop.root, look)
    assert "_sqlite3" in maps and "/_duckdb" not in maps and "duckdb_ext" not in maps


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def mapped(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def forks_of(pid: int | None) -> list[int]:
    return [] if pid is None else children(pid)


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
