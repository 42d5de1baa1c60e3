"""Asset code sees the secrets that it declares, and no text that is kept holds one: real runs, and
a search through all that is left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from runlab import DAYS, Lab, published
from secrets_lab import CANARY, ENDS, IN_A_FILE, OTHER, TELLS, leaks, lines

LOOKS = """import json, os, threading
from pathlib import Path
from headrace import asset, Context

@asset(owner="core", materialize="none", environment={"SEEN": "1"})
def looks():
    own = Path("/proc/self/environ")
    parent = Path(f"/proc/{os.getppid()}/environ")
    there = {"names": sorted(os.environ), "values": sorted(os.environ.values())}
    there["own"] = own.read_bytes().decode() if own.exists() else ""
    there["fork server"] = parent.read_bytes().decode() if parent.exists() else ""
    print(json.dumps(there))
"""
COMMAND = """asset: command
owner: core
materialize: none
command: [sh, -c, 'echo "$PASSWORD $KEY $MODE $OTHER_CANARY$CANARY."; [ ${#KEY} = 26 ]']
secrets: {PASSWORD: secret://env/CANARY, KEY: secret://file/keys/bank}
environment: {MODE: 3}
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("CANARY", CANARY)
    monkeypatch.setenv("OTHER_CANARY", OTHER)
    monkeypatch.setenv("SOME_PROXY", "http://proxy.example:3128")
    lab = Lab(tmp_path / "lab")
    lab.write(
        "headrace.toml",
        '[project]\nname = "lab"\n[run]\nworkers = 2\npass_environment = ["SOME_PROXY",'
        ' "NOT_SET"]\n[connections.bank]\nurl = "https://bank.example"\ntoken ='
        ' "secret://file/keys/bank"\nother = "${OTHER_CANARY}"\n',
    )
    (lab.root / "keys").mkdir()
    lab.write("keys/bank", IN_A_FILE + "\n")
    return lab


def test_nothing_that_is_kept_holds_a_declared_secret(lab: Lab) -> None:
    """Would catch: a secret in an attempt's log, a run's error, an incident, the state or its WAL,
    in any form, in two halves, where a message is cut, or of a connection whose file asset code has
    read."""
    lab.write("assets/tells.py", TELLS.replace("__FILE__", repr(str(lab.root / "keys/bank"))))
    lab.write("assets/ends.py", ENDS)
    run = lab.tick()
    assert {attempt.asset for attempt in run.attempts} == {"tells", "ends"} and not run.published
    log = lines(lab, "tells")
    assert f"mode loud length {len(CANARY)}" in log and "say ***" in log and log.count("***") >= 4
    assert any("*** last words" in line for line in lines(lab, "ends"))
    assert leaks(lab, CANARY, IN_A_FILE, OTHER) == []


def test_code_that_declares_nothing_sees_nothing(lab: Lab) -> None:
    """Would catch: the leader's environment in a worker or in the fork server, and what another
    attempt of the same worker was given.
    """
    lab.write(
        "headrace.toml",
        (lab.root / "headrace.toml").read_text().replace("workers = 2", "workers = 1"),
    )
    lab.write(
        "assets/a_tells.py",
        TELLS.replace("def tells", "def a_tells").replace(
            "__FILE__", repr(str(lab.root / "keys/bank"))
        ),
    )
    lab.write("assets/looks.py", LOOKS)
    for order in (["a_tells", "looks"], ["looks"]):
        lab.run(*order, again=True, reason="look again")
    text = lines(lab, "looks")[-1]
    there = json.loads(text)
    assert {"PATH", "SOME_PROXY", "SEEN"} <= set(
        there["names"]
    ) and "http://proxy.example:3128" in there["values"]
    assert not {"CANARY", "OTHER_CANARY", "PYTEST_CURRENT_TEST", "MODE"} & set(there["names"])
    assert not any(secret in text for secret in (CANARY, OTHER, IN_A_FILE))


def test_a_command_gets_what_it_declares(lab: Lab) -> None:
    """Would catch: a command without its credentials, or with more than it asked for."""
    lab.write("assets/command.yaml", COMMAND)
    run = lab.tick()
    assert [item.asset for item in run.published] == ["command"], run
    assert lines(lab, "command") == ["*** *** 3 ."]


def test_a_secret_that_is_not_there_is_said_before_the_code_runs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: code that runs with half of what it needs."""
    monkeypatch.delenv("CANARY")
    lab.write("assets/tells.py", TELLS.replace("__FILE__", repr(str(lab.root / "keys/bank"))))
    run = lab.tick()
    error = run.attempts[0].error
    assert (
        error is not None
        and "the environment variable CANARY isn't set" in error.message
        and error.code == "configuration_error"
    )
    assert not any("mode loud" in line for line in lines(lab, "tells"))


@pytest.mark.long
def test_a_secret_that_was_there_is_no_fault_of_the_code(lab: Lab) -> None:
    """Would catch: `code_error` and "correct assets/bands.py" of code whose secret's file was moved
    away, and nothing that computes it once the file is back."""
    secrets = {"KEY": "secret://file/keys/bank"}
    lab.python(
        "bands",
        "def bands(ctx: Context, orders):\n    return orders",
        inputs=["orders"],
        partition="day",
        secrets=secrets,
    )
    lab.orders(DAYS[0])
    assert ("bands", DAYS[0]) in published(lab.tick())
    (lab.root / "keys/bank").rename(lab.root / "keys/away")
    lab.orders(DAYS[1])
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "configuration_error", incident["cause"]
    assert incident["repair"]["first"] == "do what its error asks, or correct assets/bands.py:4"
    retry = incident["repair"]["commands"][-1]
    assert retry == f"headrace retry bands@{DAYS[1]}"
    (lab.root / "keys/away").rename(lab.root / "keys/bank")
    lab.headrace(*retry.split()[1:])
    assert lab.headrace("incidents") == []


@pytest.mark.long
def test_ten_attempts_of_an_asset_with_secrets_need_no_ten_workers(lab: Lab) -> None:
    """Would catch: a process an attempt, where one that has the same secrets already would do."""
    body = (
        "def pids(ctx: Context, orders):\n    import os\n    print(os.getpid(),"
        " len(os.environ['CANARY']))\n    return orders"
    )
    lab.python("pids", body, partition={"by": "day", "column": "day"}, secrets=["CANARY"])
    for day in DAYS:
        lab.orders(day)
    lab.tick()
    pids = {line for day in DAYS for line in lines(lab, f"pids@{day}")}
    assert 1 <= len(pids) <= 3, pids
    assert os.environ["CANARY"] == CANARY
