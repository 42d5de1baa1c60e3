"""A live project on a machine whose clock is far ahead."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

import pytest
from postgres_cluster import Database
from serve_lab import deliver, headrace, project, response

from headrace.cli.main import run
from headrace.project.session import ProjectSession, Silent
from headrace.runtime import backups, clock_jumps, leadership
from headrace.services import database
from headrace.serving import serving
from headrace.serving.serving import Serving, Stop
from headrace.store import clock as store_clock
from headrace.store.engines.postgresql import PostgresqlTransaction
from headrace.store.engines.sqlite import SqliteTransaction

DAY_S = 86_400
NOW_US = store_clock.real_us
STORE = """
[store]
connection = "state"
schema = "shop"
[connections.state]
url = "postgresql://${STORE_USER}@${STORE_HOST}:${STORE_PORT}/${STORE_NAME}"
password = "secret://env/STORE_PASSWORD"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = project(tmp_path / "shop")
    deliver(root, "2026-03-01")
    headrace(root, "tick")
    return root


def ahead(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Set the machine's clock, as all parts of this process read it."""
    for module in (store_clock, leadership, database, backups):
        monkeypatch.setattr(module, "real_us", lambda: NOW_US() + days * DAY_S * 1_000_000)
    monkeypatch.setattr(SqliteTransaction, "real_us", lambda _: store_clock.real_us())


def last_stored(root: Path) -> str:
    return str(response(root, "db", "clock")["stored_at"])


def test_a_jump_is_asked_about_before_it_is_believed(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: one tick with a wrong clock that dates the whole project 400 days ahead."""
    before = last_stored(shop)
    with monkeypatch.context() as patched:
        ahead(patched, 400)
        assert run(["tick", "--project", str(shop)]) == 3
        text = " ".join(capsys.readouterr().err.split())
        assert "400 days after" in text and "headrace db clock --yes" in text
        assert run(["pause", "revenue", "--reason", "x", "--project", str(shop)]) == 3
        assert response(shop, "db", "clock")["ahead_days"] == 400
        asked = response(shop, "status")
        assert (
            "the machine's clock, 400 days after all that the project stored" in asked["headline"]
        )
        assert asked["next"] == "headrace db clock"
        assert response(shop, "db", "clock", "--yes")["believed"]
        assert "clock" not in response(shop, "status")["headline"]
        clock_jumps.forget_belief(shop / ".headrace")
    with monkeypatch.context() as patched:  # behind, not ahead: nothing is to be taken back
        ahead(patched, -400)
        assert response(shop, "db", "clock")["repair"] is None
        capsys.readouterr()
        run(["db", "clock", "--project", str(shop)])
        assert "behind now, set it" in capsys.readouterr().out
        run(["doctor", "--json", "--project", str(shop)])
        named = [row for row in json.loads(capsys.readouterr().out) if "store's clock" in str(row)]
        assert "set the machine's clock" in str(named) and "BACKUP" not in str(named)
    assert last_stored(shop) == before
    headrace(shop, "tick")  # the clock is set right, and nothing has happened


@pytest.mark.long
def test_a_person_or_a_file_bears_it_out(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a machine that slept for a year and is never believed."""
    ahead(monkeypatch, 20)
    headrace(shop, "tick")
    ahead(monkeypatch, 400)
    landed = shop / "landing" / "orders_2026-03-02.csv"
    landed.write_text("day,amount\n2026-03-02,7\n")
    os.utime(landed, (time.time() + 200 * DAY_S,) * 2)
    headrace(shop, "tick")
    ahead(monkeypatch, 800)
    assert run(["tick", "--project", str(shop)]) == 3
    assert response(shop, "db", "clock", "--yes")["believed"]
    headrace(shop, "tick")
    assert response(shop, "db", "clock")["ahead_days"] == 0


@pytest.mark.long
def test_a_store_that_is_ahead_is_named_with_what_mends_it(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: "it catches up by itself", of 400 days."""
    with monkeypatch.context() as patched:
        ahead(patched, 400)
        assert response(shop, "db", "clock", "--yes")["believed"]
        headrace(shop, "tick")
    assert response(shop, "db", "clock")["ahead_days"] in (-400, -399)
    run(["doctor", "--json", "--project", str(shop)])
    named = [row for row in json.loads(capsys.readouterr().out) if "store's clock" in str(row)]
    assert "headrace db restore" in str(named)


@pytest.mark.long
def test_a_store_that_was_ahead_is_taken_back(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: a status of 2028 that names nothing, and a mend that leaves days that nobody has
    missed, or incidents, behind."""
    before = response(shop, "status")
    with monkeypatch.context() as patched:
        ahead(patched, 400)
        assert response(shop, "db", "clock", "--yes")["believed"]
        headrace(shop, "tick")
    settings = ProjectSession.open(shop, "prod", None, "tester").settings
    for _ in range(settings.backup.keep + 1):  # automatic backups of the wrong time come and go
        backups.make_backup(shop, settings, at_once=True)
    capsys.readouterr()
    run(["tick", "--project", str(shop)])
    assert "headrace db clock" in "".join(capsys.readouterr())
    wrong = response(shop, "status")
    assert "399 days ahead" in wrong["headline"] or "400 days ahead" in wrong["headline"]
    assert wrong["next"] == "headrace db clock"
    repair = response(shop, "db", "clock")["repair"]
    run([*shlex.split(repair)[1:], "--project", str(shop)])
    assert response(shop, "db", "clock")["repair"] is None
    after = response(shop, "status")
    for field in (
        "headline", "assets", "incidents_open", "outages", "undelivered", "open", "next",
        "obligations_due", "obligations_kept",
    ):  # fmt: skip
        assert after[field] == before[field], field
    headrace(shop, "tick")
    with monkeypatch.context() as patched:
        ahead(patched, 400)
        assert run(["tick", "--project", str(shop)]) == 3, "it is asked about once more"


@pytest.mark.long
def test_a_databases_clock_is_evidence(
    tmp_path: Path,
    postgresql: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Would catch: 30 days that the server of the state denies, dated at once; or a server that
    is asked about the three weeks that its machine slept."""
    for name in ("host", "port", "user", "password", "name"):
        monkeypatch.setenv(f"STORE_{name.upper()}", str(getattr(postgresql, name)))
    root = project(tmp_path / "shop")
    settings = root / "headrace.toml"
    settings.write_text(settings.read_text() + STORE)
    deliver(root, "2026-03-01")
    headrace(root, "tick")
    stored = last_stored(root)
    with monkeypatch.context() as patched:
        ahead(patched, 30)
        assert run(["tick", "--project", str(root)]) == 3
        assert "30 days after" in (said := " ".join(capsys.readouterr().err.split()))
        assert "no clock of another machine" in said
        assert response(root, "status")["next"] == "headrace db clock"
        assert last_stored(root) == stored
        server_us = PostgresqlTransaction.real_us
        patched.setattr(
            PostgresqlTransaction, "real_us", lambda tx: server_us(tx) + 30 * DAY_S * 1_000_000
        )
        headrace(root, "tick")


@pytest.mark.long
def test_a_jump_under_a_server_is_asked_about(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a server that dates its next iteration 400 days ahead; it waits, and goes on when
    the clock is set right."""
    stored = last_stored(shop)
    session, stop = ProjectSession.open(shop, "prod", None, "tester"), Stop()
    monkeypatch.setattr(serving, "RETRY_SECONDS", 0.05)
    lines, led = list[str](), list[serving.Role]()
    jumped = monkeypatch.context()

    class Jump:
        def after_iteration(self, _context: object, _leader: object) -> None:
            if not lines:
                ahead(patched, 400)

    def print_line(line: str) -> None:
        lines.append(line)
        if "db clock --yes" in line:
            patched.undo()

    def ready(role: serving.Role) -> None:
        led.append(role)
        stop.asked = len(led) == 2

    with jumped as patched, stop.listening():
        Serving(session, stop, print_line, Silent(), Jump()).run(ready)
    session.close()
    assert led == [serving.Role.LEADER] * 2
    assert "400 days after" in " ".join(lines)
    assert last_stored(shop)[:4] == stored[:4]
