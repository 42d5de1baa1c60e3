"""`headrace doctor`: what would go wrong at night is said by day, and nothing is changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

from headrace.cli.main import run


def found(project: Project) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in project.json("doctor")}


def test_a_healthy_project_has_nothing_to_do(shop: Project) -> None:
    rows = found(shop)
    assert {row["state"] for row in rows.values()} <= {"ok", "skipped"} | (
        {"warn"} if rows["open files"]["state"] == "warn" else set()
    ), rows
    assert "started and computed a row" in rows["workers"]["detail"]
    assert rows["applied"]["detail"].startswith("version 1")
    assert "replay" in rows["store"]["detail"]


def test_before_the_first_tick_nothing_is_made(new: Project) -> None:
    rows = found(new)
    assert (rows["store"]["state"], rows["applied"]["state"]) == ("warn", "warn")
    assert rows["source orders"]["state"] == "warn"
    assert "mkdir -p landing" in rows["source orders"]["todo"]
    assert not (new.root / ".headrace/state.db").exists()


def test_the_usual_time_between_passes_is_named(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: states that are `unknown` for hours each day, and nothing that names the
    setting for it."""
    assert "passes" not in found(shop)
    for day in range(6, 10):
        for time in ("07:00", "08:00"):
            shop.text("tick", "--now", f"2025-03-0{day}T{time}:00Z")
    told = found(shop)["passes"]["detail"]
    assert "usually at most 23 h 00 min apart" in told and "tick_every" in told
    toml = shop.root / "headrace.toml"
    toml.write_text(toml.read_text() + '[run]\ntick_every = "24h"\n')
    assert "passes" not in found(shop)


def test_contacts_that_need_no_channel_are_told_of(new: Project) -> None:
    """Would catch: "nobody is notified", of a project whose owners' contact is a file that
    every incident is written to."""
    assert found(new)["contacts"]["detail"] == "headrace.toml has no [notify]: nobody is notified"
    owners = new.root / "owners.yaml"
    owners.write_text(owners.read_text().replace("mailto:core@example.com", "file:mails"))
    assert found(new)["contacts"]["detail"] == "nobody is notified for acme"


def test_secrets_are_looked_for_and_never_shown(
    new: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection whose password nobody set fails at 03:00; a doctor that prints it is worse."""
    toml = new.root / "headrace.toml"
    toml.write_text(
        toml.read_text() + '[connections.w]\nurl = "postgresql://me@db/bank"\npassword ='
        ' "secret://env/DOCTOR_PASSWORD"\n'
    )
    monkeypatch.delenv("DOCTOR_PASSWORD", raising=False)
    missing = found(new)["[connections.w]"]
    assert (missing["state"], missing["todo"]) == (
        "fail",
        "set DOCTOR_PASSWORD where headrace runs",
    )
    text = new.text("doctor", code=1)
    assert "DOCTOR_PASSWORD" in text
    monkeypatch.setenv("DOCTOR_PASSWORD", "canary-7391")
    assert found(new)["[connections.w]"]["state"] == "ok"
    assert "canary-7391" not in new.text("doctor")


def test_the_secrets_of_assets_are_looked_for(new: Project) -> None:
    """Would catch: a doctor that is content the evening before an asset fails because its key was
    moved."""
    (new.root / "assets/rated.py").write_text(
        "from headrace import asset, Context\n\n@asset(owner='core', partition='day',"
        " inputs=['orders'], secrets={'RATES_KEY': 'secret://file/keys/rates'})\ndef rated(ctx:"
        " Context, orders):\n    return orders\n"
    )
    missing = found(new)["asset rated"]
    assert missing["state"] == "fail" and "keys/rates can't be read" in missing["detail"]
    (new.root / "keys").mkdir()
    (new.root / "keys/rates").write_text("canary-7391")
    assert found(new)["asset rated"]["state"] == "ok"
    assert "canary-7391" not in new.text("doctor")


def test_an_invalid_project_and_a_broken_state_are_findings_not_crashes(shop: Project) -> None:
    (shop.root / "consumers.yaml").write_text("- {consumer: c}\n")
    (shop.root / ".headrace/state.db").write_bytes(b"this is no database" * 100)
    rows = found(shop)
    assert rows["project"]["state"] == "fail", (
        "what is learnt of sources is in the state, so it is said there first"
    )
    assert any(row["state"] == "fail" and row["area"] == "state" for row in rows.values()), rows
    assert rows["workers"]["state"] == "ok"
    shop.text("doctor", code=1)


def test_a_readable_state_and_a_wrong_folder_are_said(shop: Project) -> None:
    (shop.root / ".headrace/state.db").chmod(0o644)
    path = shop.root / "sources/orders.yaml"
    path.write_text(path.read_text().replace("landing/", "landings/"))
    rows = found(shop)
    assert rows["permissions"]["todo"] == f"chmod 600 {shop.root}/.headrace/state.db"
    assert rows["source orders"]["state"] == "warn"
    assert rows["applied"]["todo"] == "headrace plan"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_folders_that_cannot_be_used_fail(shop: Project, tmp_path: Path) -> None:
    (shop.root / "landing").chmod(0)
    try:
        assert found(shop)["source orders"]["state"] == "fail"
    finally:
        (shop.root / "landing").chmod(0o755)


@pytest.mark.long
def test_folders_that_others_can_read_fail_once_there_are_roles(shop: Project) -> None:
    """Would catch: roles and masks that a user of the machine passes by, and silence about it."""
    folder = shop.root / ".headrace"
    shop.root.chmod(0o755)
    assert "roles" not in found(shop)
    who = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(f"- {{role: admin, to: [{who}]}}\n")
    shop.text("apply", "--yes")
    folder.chmod(0o755)
    row = found(shop)["roles"]
    assert (row["state"], row["todo"]) == ("fail", f"chmod 700 {folder}")
    assert "other users" in row["detail"] and "access.yaml" in row["detail"]
    folder.chmod(0o700)
    assert found(shop)["roles"]["state"] == "ok"
    folder.chmod(0o755)
    shop.root.chmod(0o700)
    assert found(shop)["roles"]["state"] == "ok"


@pytest.mark.parametrize("first", ["validate", "tick"])
def test_folders_are_made_for_their_user_only(tmp_path: Path, first: str) -> None:
    """Would catch: a lake that others can read because another command came first."""
    (tmp_path / "headrace.toml").write_text('[project]\nname = "x"\n[lake]\npath = "data/lake"\n')
    (tmp_path / "owners.yaml").write_text("core: {kind: team}\n")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/a.sql").write_text("/* headrace\nowner: core\n*/\nselect 1 as a\n")
    for command in (first, "tick"):
        assert run([command, "--project", str(tmp_path)]) == 0
    for folder in (tmp_path / "data", tmp_path / "data/lake"):
        assert folder.stat().st_mode & 0o077 == 0, folder
