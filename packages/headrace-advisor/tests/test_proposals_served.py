"""Commands in responses of the API: those that the reader's role may run (TRUST Z4)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clilab import Project, call, filled, shop
from door_lab import opened
from readers_lab import proposed_in, session_of, tokens
from serve_lab import ask

from headrace.access.permissions import needed_role

__all__ = ["call", "filled", "shop", "tokens"]
"""Fixtures of the command line's tests."""

ADDRESSES = (
    "status",
    "today",
    "ls",
    "calendar",
    "assets",
    "assets/fails",
    "assets/fails/partitions",
    "assets/revenue",
    "assets/orders_clean/partitions",
    "consumers/morning-report",
    "consumers/dashboard",
    "why/morning-report",
    "why/fails",
    "incidents",
    "incidents/INC-1",
    "incidents/INC-2",
    "incidents/INC-1/repair",
    "incidents/INC-2/repair",
    "incidents/INC-1/failure",
    "incidents/INC-2/failure",
    "runs",
    "runs/list",
    "runs/1",
    "runs/2",
    "quarantine",
    "quarantine?target=orders_clean",
    "checks",
    "checks/list",
    "deliveries/orders",
    "paused",
    "plan",
    "versions",
    "backfills",
    "backfills/preview?select=revenue&from=2025-03-01&to=2025-03-01",
    "approvals",
    "costs",
    "bottleneck",
    "complexity",
    "optimize",
    "audit",
    "audit/verify",
    "contract/revenue",
    "possible-acts?q=repair",
    "sessions",
)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_api_proposes_no_command_that_its_reader_may_not_run(
    shop: Project, tokens: dict[str, Path]
) -> None:
    """Would catch: a page of the web UI with the command of another role; a field that is missing
    for one role instead of null."""
    proposals, refused, fields = {}, [], dict[str, set[str]]()
    with opened(shop.root) as server:
        for name, file in tokens.items():
            session = session_of(shop, file)
            proposals[name] = 0
            for path in ADDRESSES:
                answer = ask(
                    server.port, f"/api/v1/{path}", Authorization=f"Bearer {file.read_text()}"
                )
                assert answer.status < 500, (name, path, answer.body)
                response = json.loads(answer.body)
                for field, command in proposed_in(response):
                    if needed_role(session, command):
                        refused.append((name, path, field, command))
                    proposals[name] += 1
                if answer.status == 200 and isinstance(response, dict):
                    assert fields.setdefault(path, {*response}) == {*response}, (name, path)
            session.close()
    assert not refused
    assert all(proposals.values()), proposals
    assert proposals["admin"] > proposals["operator"] > proposals["viewer"], proposals
