"""What an incident of a wrong declaration says has to be typed ends it: each is played as it is
printed.
"""

from __future__ import annotations

import shlex
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab

CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {{name: order_id, physicalType: BIGINT}}
      - {{name: customer, physicalType: VARCHAR}}
      - {{name: amount, physicalType: '{amount}'}}
      - {{name: day, physicalType: DATE}}
"""
SCORE = """from headrace import asset, Context

@asset(owner="core", partition="day", inputs=["totals"], secrets=["SCORE_KEY"])
def score(ctx: Context, totals):
    return totals
"""
EXPORT = """- consumer: report
  owner: core
  reads: [totals]
  max_age: 400d
  export: {{to: {{connection: bank, table: {table}}}}}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    (made.root / "contracts").mkdir()
    made.write("contracts/orders.odcs.yaml", CONTRACT.format(amount="DOUBLE"))
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    return made


def at(lab: Lab, *arguments: str) -> Any:
    lab.now += timedelta(minutes=1)
    return lab.headrace(*arguments, "--now", lab.now.isoformat(), code=None)


def repaired(lab: Lab) -> tuple[str, list[str]]:
    """What the open incident says a person does first, and the commands that follow, once they are
    played.
    """
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "configuration_error"
    repair = incident["repair"]
    for command in repair["commands"]:
        name, *arguments = shlex.split(command)[1:]
        at(lab, name, *arguments, *(["--yes"] if name == "apply" else []))
    assert lab.headrace("incidents") == []
    return repair["first"], repair["commands"]


@pytest.mark.long
def test_a_type_that_is_too_narrow(lab: Lab) -> None:
    """Would catch: a repair that ends with `headrace validate`, after which the delivery is still
    held.
    """
    lab.orders(DAYS[0], amount="14.25")
    lab.tick()
    lab.write("contracts/orders.odcs.yaml", CONTRACT.format(amount="DECIMAL(3,2)"))
    at(lab, "apply", "--yes")
    lab.orders(DAYS[1], amount="14.25")
    lab.tick()
    lab.write("contracts/orders.odcs.yaml", CONTRACT.format(amount="DOUBLE"))
    assert repaired(lab) == (
        "correct contracts/orders.odcs.yaml:11",
        ["headrace apply", "headrace tick"],
    )


@pytest.mark.long
def test_a_secret_that_is_not_set(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: "correct assets/score.py:3, then headrace apply, then headrace tick" of a
    variable that isn't set: nothing is applied, and no pass makes it again."""
    lab.write("assets/score.py", SCORE)
    lab.orders(DAYS[0])
    (repair,) = lab.tick().repairs
    first = "do what its error asks, or correct assets/score.py"
    assert (repair.first, repair.commands) == (
        first,
        ["headrace apply", f"headrace retry score@{DAYS[0]}"],
    )
    monkeypatch.setenv("SCORE_KEY", "abc")
    assert repaired(lab) == (f"{first}:4", repair.commands)


@pytest.mark.parametrize("inside", [True, False])
def test_a_table_that_an_export_can_not_write(lab: Lab, inside: bool) -> None:
    """Would catch: commands that end it only where the project's files were changed, or only where
    the table was.
    """
    lab.write(
        "headrace.toml",
        (lab.root / "headrace.toml").read_text() + '[connections.bank]\nurl = "sqlite:bank.db"\n',
    )
    lab.write("consumers.yaml", EXPORT.format(table="a"))
    with closing(sqlite3.connect(lab.root / "bank.db")) as bank, bank:
        bank.execute("create table a (day text, total real)")
        bank.execute("create table b (day text, total real, _interval text)")
    lab.orders(DAYS[0])
    lab.tick()
    if inside:
        lab.write("consumers.yaml", EXPORT.format(table="b"))
    else:
        with closing(sqlite3.connect(lab.root / "bank.db")) as bank, bank:
            bank.execute("alter table a add column _interval text")
    first, _ = repaired(lab)
    assert first == "do what its error asks, or correct consumers.yaml:1"
