"""Refused attempts, failed sign-ins and clear reads of classified columns in the trail (TRUST A6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clilab import Project, call, filled, shop
from door_lab import Opened, opened
from serve_lab import ask
from test_sign_in import PASSWORD, send, typed

from headrace.security import access_events
from headrace.security.access_events import (
    EVENTS_FILE,
    EVENTS_MAX,
    OTHERS,
    AccessEvent,
    note,
    taken,
    waiting,
)
from headrace.security.audit import Action

__all__ = ["call", "filled", "shop"]
"""Fixtures of the command line's tests."""


@pytest.fixture
def governed(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    who = shop.json("access", "whoami")["who"]
    source = shop.root / "sources/orders.yaml"
    source.write_text(source.read_text() + "columns: {customer: {classification: personal}}\n")
    (shop.root / "access.yaml").write_text(
        f"- {{role: admin, to: [{who}]}}\n- {{role: viewer, to: [user:ana], owner: core}}\n"
    )
    shop.text("apply", "--yes")
    return shop


@pytest.fixture
def door(governed: Project) -> Iterator[Opened]:
    with opened(governed.root) as result:
        yield result


def entries(project: Project, action: str) -> list[dict[str, Any]]:
    """The trail's entries of an action, once a command has led."""
    project.text("tick")
    return list(project.json("audit", "show", "--action", action, "--limit", "100"))


def test_a_refused_command_is_recorded_once_with_its_number(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a refusal that leaves no entry, or one entry for each of many."""
    monkeypatch.setattr(access_events, "MINUTE_SECONDS", 1 << 30)
    text = governed.json("token", "create", "reader", "--scope", "viewer:owner=core")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", text)
    for _ in range(3):
        governed.call(governed.root, "token", "list")
    governed.call(governed.root, "why", "orders")
    monkeypatch.delenv("HEADRACE_TOKEN")
    rows = entries(governed, "access.denied")
    seen = [
        (row["actor"], row["outcome"], row["object"], row["after"]["code"], row["after"]["count"])
        for row in rows
    ]
    assert sorted(seen) == [
        ("token:reader", "denied", "command:token list", "not_allowed", 3),
        ("token:reader", "denied", "node:orders", "hidden", 1),
    ]
    governed.text("freeze", "token:reader", "--reason", "runs wild")
    monkeypatch.setenv("HEADRACE_TOKEN", text)
    governed.call(governed.root, "status")
    monkeypatch.delenv("HEADRACE_TOKEN")
    assert entries(governed, "access.denied")[0]["after"]["code"] == "frozen"
    assert governed.json("audit", "verify")["ok"]
    assert not (governed.root / ".headrace" / EVENTS_FILE).exists()


def test_failed_sign_ins_are_recorded_without_what_was_typed(
    governed: Project, door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S8. Would catch: guesses that nobody sees; a password typed as a name that is stored."""
    monkeypatch.setattr(access_events, "MINUTE_SECONDS", 1 << 30)
    typed(governed, monkeypatch, "user", "add", "ana")
    for _ in range(2):
        assert send(door, "ana", "wrong").status == 401
    assert send(door, PASSWORD, "").status == 401
    ask(door.port, "/api/v1/status", Authorization="Bearer hdr_" + "x" * 43)
    ask(door.port, "/api/v1/status", Authorization="Bearer nothing")
    ask(door.port, "/sign-in/provider/callback?state=guessed&code=x")
    rows = entries(governed, "sign_in.failed")
    assert {row["actor"] for row in rows} == {"unknown"}
    assert sorted((row["object"], row["after"]["code"], row["after"]["count"]) for row in rows) == [
        ("provider:unknown", "state", 1),
        ("token:unknown", "unknown", 2),
        ("user:ana", "password", 2),
        ("user:unknown", "password", 1),
    ]
    files = [file.read_bytes() for file in governed.root.rglob("*") if file.is_file()]
    assert not any(PASSWORD.encode() in content for content in files)


def test_a_classified_column_in_the_clear_is_recorded(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A6. Would catch: a reader of clear values of whom nobody knows; entries for masked reads."""
    governed.text("read", "orders", "--partition", "2025-03-01")
    governed.text("read", "revenue")
    governed.text("sql", "select count(*) from orders_clean")
    text = governed.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", text)
    governed.text("read", "orders", "--partition", "2025-03-01")
    monkeypatch.delenv("HEADRACE_TOKEN")
    rows = entries(governed, "classified.read")
    assert sorted((row["object"], row["after"]["command"]) for row in rows) == [
        ("node:orders", "read"),
        ("node:orders_clean", "sql"),
    ]
    assert all(row["after"]["columns"] == ["customer"] for row in rows)
    assert not any(row["actor"].startswith("token:") for row in rows)


def test_clear_values_arent_returned_if_the_read_cant_be_recorded(
    governed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a full disk behind which somebody reads without an entry."""

    def full(folder: Path, event: AccessEvent) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headrace.access.access_events.note", full)
    code, out, err = governed.call(governed.root, "read", "orders", "--partition", "2025-03-01")
    assert code != 0 and "Ada" not in out and "No space left" in err
    governed.text("read", "revenue")


def test_a_flood_of_refusals_stays_small(tmp_path: Path) -> None:
    """Would catch: a file or a trail that grows with each refused attempt."""
    for number in range(EVENTS_MAX + 200):
        event = AccessEvent(
            action=Action.ACCESS_DENIED, actor=f"user:{number}", kind="command", id="run"
        )
        note(tmp_path, event)
    assert waiting(tmp_path) == EVENTS_MAX + 1
    with taken(tmp_path, ended_minutes=False) as counted:
        others = [item for item in counted if item.event.id == OTHERS]
        assert [item.count for item in others] == [200]
    assert waiting(tmp_path) == 0


def test_events_stay_until_they_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an event that is lost with a leader that ends; a minute recorded in pieces."""
    event = AccessEvent(action=Action.ACCESS_DENIED, actor="user:ana", kind="command", id="run")
    monkeypatch.setattr(access_events.time, "time", lambda: 1_000_000_020.0)
    note(tmp_path, event)
    with taken(tmp_path, ended_minutes=True) as counted:
        assert counted == []
    with pytest.raises(RuntimeError), taken(tmp_path, ended_minutes=False):
        raise RuntimeError("the leader ends here")
    monkeypatch.setattr(access_events.time, "time", lambda: 1_000_000_080.0)
    with taken(tmp_path, ended_minutes=True) as counted:
        assert [(item.event, item.count) for item in counted] == [(event, 1)]
    (tmp_path / EVENTS_FILE).write_text("damaged")
    note(tmp_path, event)
    assert [item["count"] for item in json.loads((tmp_path / EVENTS_FILE).read_text())] == [1]
