"""A vendor renames columns: one proposal, one command, and what was held is published; past and
future are read by their own names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from runlab import DAYS, Lab, published

from headrace.faults import FaultPoint
from headrace.project.session import Silent
from headrace.responses.repairs import AcceptResponse
from headrace.services.contract_accept import accept

OLD = "order_id,customer,amount,day"
NEW = "order_id,client_name,total_amount,day"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql(
        "totals",
        "select day, customer, sum(amount) as total, count(order_id) as n from orders group by all",
    )
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '09:00'}\n"
    )
    return made


def rows(day: str, start: int = 0) -> list[str]:
    return [f"{day[-2:]}{i},c{i % 3},{1.5 + i % 5},{day}" for i in range(start, start + 30)]


@pytest.mark.long
def test_a_rename_is_accepted_by_one_command(lab: Lab) -> None:
    """Catches: a mapping that isn't applied, or not from the first held day on; held days that
    nobody reads again; old files read by new names; a later name that overwrites an earlier one;
    comments of a contract that get lost."""
    for day in DAYS[:2]:
        lab.deliver(day, rows(day), OLD)
    lab.tick()
    for day in DAYS[2:4]:
        lab.deliver(day, rows(day), NEW)
    assert published(lab.tick()) == []

    assert _accept(lab, f"orders@{DAYS[3]}", patch=True).state == "patch"
    assert not (lab.root / "contracts").exists()
    (
        lab.root / f"landing/orders_{DAYS[2]}.csv"
    ).unlink()  # what was ingested is kept, whatever the vendor cleans up
    done = lab.headrace("contract", "accept", f"orders@{DAYS[3]}")
    assert (done["partition"], done["file"], done["made"]) == (
        DAYS[2],
        "contracts/orders.odcs.yaml",
        True,
    )
    assert {(item["column"], item["to"]) for item in done["mappings"]} == {
        ("customer", "client_name"),
        ("amount", "total_amount"),
    }
    assert done["reread"] == DAYS[2:4]
    assert {node for node, _ in published(lab.tick())} == {"orders", "totals"}
    lab.deliver(DAYS[4], rows(DAYS[4]), NEW)
    lab.deliver(
        DAYS[0], rows(DAYS[0], 1), OLD
    )  # the past is delivered again as it was written then
    assert ("totals", DAYS[4]) in published(lab.tick())
    result = lab.headrace(
        "sql", "select day, sum(n) as n, count(customer) as c from totals group by all order by all"
    )["rows"]
    assert [(row["n"], row["c"]) for row in result] == [(30, 3)] * 5
    assert lab.rows(
        "select count(*) from drift where accepted_at is not null and accepted_by <> ''"
    ) == [(4,)]
    assert lab.rows("select count(*) from quarantine where state = 'held'") == [(0,)]

    path = lab.root / "contracts/orders.odcs.yaml"
    path.write_text(
        "# ours\n" + path.read_text().replace('name: "customer"', 'name: "customer"   # who pays')
    )
    lab.deliver(DAYS[5], rows(DAYS[5]), "order_id,cust,total_amount,day")
    assert published(lab.tick()) == []
    assert _accept(lab, "orders", "customer=cust").reread == [DAYS[5]]
    text = path.read_text()
    assert "# ours\n" in text
    assert "# who pays" in text
    assert f"{{name: client_name, from: '{DAYS[2]}', to: '{DAYS[5]}'}}" in text
    assert ("totals", DAYS[5]) in published(lab.tick())


@pytest.mark.long
def test_names_of_later_files_end_nothing_earlier(lab: Lab) -> None:
    """Would catch: "names accepted by ann from 2025-01-03 on" as what ended the incident of the
    empty file of 2025-01-02."""
    lab.deliver(DAYS[0], rows(DAYS[0]), OLD)
    lab.tick()
    (lab.root / f"landing/orders_{DAYS[1]}.csv").write_bytes(b"")
    lab.deliver(DAYS[2], rows(DAYS[2]), NEW)
    lab.tick()
    assert _accept(lab, f"orders@{DAYS[2]}").reread == [DAYS[2]]
    lab.deliver(DAYS[1], rows(DAYS[1]), OLD)
    lab.tick()
    ended = {
        item["cause"]["partition"]: item["ended"]
        for item in lab.headrace("incidents", "--all", "--now", lab.now.isoformat())
    }
    assert (
        ended[DAYS[1]].startswith("Delivered again") and "names accepted" not in ended[DAYS[1]]
    ), ended
    assert ended[DAYS[2]].startswith(f"Names accepted by tester from {DAYS[2]} on"), ended


def _accept(lab: Lab, target: str, *pairs: str, patch: bool = False) -> AcceptResponse:
    return accept(lab.session(), target, pairs=pairs, patch=patch, yes=False, progress=Silent())


@pytest.mark.long
def test_names_are_accepted_as_they_were_shown(lab: Lab) -> None:
    """Catches: a file that is saved between the look and the acceptance, and comes into force with
    it."""
    for day in DAYS[:2]:
        lab.deliver(day, rows(day), OLD)
    lab.tick()
    lab.deliver(DAYS[2], rows(DAYS[2]), NEW)
    lab.tick()
    shown = _accept(lab, "orders", patch=True)
    assert shown.plan_id is not None and shown.plan_id == _accept(lab, "orders", patch=True).plan_id
    lab.write("helpers.py", "x = 1\n")
    said = lab.headrace("contract", "accept", "orders", "--plan", shown.plan_id, code=3)
    assert (said["state"], said["plan_id"]) == ("refused", shown.plan_id)
    assert (said["refused"]["code"], said["refused"]["files"]) == ("plan_changed", ["helpers.py"])
    assert not (lab.root / "contracts").exists()
    assert lab.rows("select count(*) from version") == [(1,)]
    done = lab.headrace("contract", "accept", "orders", "--plan", said["refused"]["plan_id_now"])
    assert (done["state"], done["plan_id"], done["refused"]) == (
        "accepted",
        said["refused"]["plan_id_now"],
        None,
    )
    assert published(lab.tick()) == [("orders", DAYS[2]), ("totals", DAYS[2])]


@pytest.mark.long
def test_a_file_that_is_saved_while_names_are_accepted_isn_t_applied(lab: Lab) -> None:
    """The leader applies what was read when the names were shown, or nothing, and the contract is
    as it was.
    """
    for day in DAYS[:2]:
        lab.deliver(day, rows(day), OLD)
    lab.tick()
    lab.deliver(DAYS[2], rows(DAYS[2]), NEW)
    lab.tick()
    command = lab.command("contract", "accept", "orders")
    # the first reading is what is shown, the second the leader's
    process = subprocess.Popen(
        command,
        env={**os.environ, "HEADRACE_FAULT": f"{FaultPoint.FILES_READ}:2=stop"},
        stdout=subprocess.PIPE,
    )
    os.waitpid(process.pid, os.WUNTRACED)
    lab.write("helpers.py", "x = 1\n")
    process.send_signal(signal.SIGCONT)
    said = json.loads(process.communicate(timeout=300)[0])
    assert (process.returncode, said["state"], said["refused"]["files"]) == (
        3,
        "refused",
        ["helpers.py"],
    )
    assert not (lab.root / "contracts/orders.odcs.yaml").exists()
    assert lab.rows("select count(*) from version") == [(1,)]
