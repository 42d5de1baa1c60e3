"""Answers that somebody who types a command for the first time can act on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from clilab import Project

RUNS_ON = "with recursive t(n) as (select 1 union all select n + 1 from t) select max(n) from t"


def test_gc_says_what_legal_holds_keep(shop: Project) -> None:
    """Would catch: a dry run that doesn't say why so little goes."""
    shop.text("hold", "orders", "--reason", "case 12")
    text = shop.text("db", "gc", "--dry-run")
    assert "orders is under a legal hold of" in text and "case 12" in text
    (hold,) = shop.json("db", "gc", "--dry-run")["holds"]
    assert (hold["node"], hold["reason"]) == ("orders", "case 12")
    shop.text("hold", "release", "orders", "--reason", "closed")
    assert "legal hold" not in shop.text("db", "gc", "--dry-run")


def test_a_plan_of_access_rules_says_who_may_do_what(shop: Project) -> None:
    """Would catch: an internal word for a change of access.yaml."""
    user = os.environ.get("USER") or "root"
    rule = f"- {{role: admin, to: ['user:{user}', 'user:ana']}}\n"
    (shop.root / "access.yaml").write_text(rule)
    text = shop.text("plan")
    assert "who may do what" in text and "metadata" not in text


def test_a_reason_of_an_apply_without_changes_isnt_dropped_silently(shop: Project) -> None:
    """Would catch: a person who believes that the second `apply` has added the reason."""
    code, _, err = shop.call(shop.root, "apply", "--yes", "--reason", "ticket 4711")
    assert code == 0
    assert "--reason isn't recorded" in err
    assert "ticket 4711" not in str(shop.json("audit", "show"))
    _, _, err = shop.call(shop.root, "apply", "--yes")
    assert "--reason" not in err


def test_whoami_says_which_token_with_which_scope_until_when(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a token in the environment that nobody remembers, and one that ends tonight."""
    created = shop.json("token", "create", "ci", "--scope", "viewer", "--expires", "30d")
    assert shop.json("access", "whoami")["token"] is None
    monkeypatch.setenv("HEADRACE_TOKEN", created["token"])
    token = shop.json("access", "whoami")["token"]
    assert (token["id"], token["scopes"]) == (created["id"], ["viewer"])
    assert token["expires_at"] == created["expires_at"]
    text = shop.text("access", "whoami")
    for part in ("the API token ci", created["id"], "it may do: viewer", "it expires "):
        assert part in text, text
    assert created["token"] not in text


def test_a_rotation_isnt_recorded_with_an_empty_reason(shop: Project) -> None:
    """Would catch: a script whose variable is empty, and an entry without a reason."""
    for empty in ("", "  "):
        assert "--reason has no word" in shop.refused("keys", "rotate", "--reason", empty)
    shop.text("keys", "rotate")


@pytest.mark.timeout(60)
def test_ctrl_c_within_duckdb_is_an_interrupt() -> None:
    """Would catch: "unexpected runtime error: Query interrupted" for whoever pressed Ctrl+C."""
    code = (
        "import os, signal, sys, threading, duckdb\n"
        "from headrace.cli import main\n"
        "def command(*_):\n"
        "    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    duckdb.sql('select count(*) from range(1000000000000)').fetchall()\n"
        "main._command = command\n"
        "sys.exit(main.run(['status']))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (process.returncode, process.stderr[:12]) == (4, "interrupted;")


def test_a_query_that_runs_on_says_how_to_stop_it(shop: Project) -> None:
    """Would catch: a recursive query without an end that says nothing, or that Ctrl+C can't end."""
    code = (
        "from headrace.cli.commands import read; read.LONG_QUERY_SECONDS = 0.5\n"
        "import sys; from headrace.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "sql", RUNS_ON, "--project", str(shop.root)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "Ctrl+C stops it" in line, line
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        assert process.wait(20) == 4
        assert time.monotonic() - started < 10
    finally:
        process.kill()
        process.communicate()
