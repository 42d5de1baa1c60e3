"""A delivery that somebody withdrew: who reads what was computed from it is told, and it isn't
published again unasked.
"""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab, published

DAY = DAYS[2]
AT = f"orders@{DAY}"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Three days in `totals`, computed from `clean`, which is computed from `orders`; the last of
    `orders` is withdrawn.
    """
    made = Lab(tmp_path / "p")
    made.sql("clean", "select order_id, amount, day from orders")
    made.sql("totals", "select day, sum(amount) as total from clean group by all")
    made.write(
        "consumers.yaml",
        "- {consumer: report, owner: core, reads: [totals], max_age: 9d}\n- {consumer: desk, owner:"
        " core, reads: [orders], max_age: 9d}\n",
    )
    for day in DAYS[:3]:
        made.orders(day)
    made.tick()
    _command(made, "withdraw", AT, "--reason", "test rows")
    return made


def _command(lab: Lab, *words: str, code: int | None = 0) -> Any:
    lab.now += timedelta(minutes=1)
    return lab.headrace(*words, "--now", lab.now.isoformat(), code=code)


def _status(lab: Lab, name: str = "report") -> dict[str, Any]:
    return next(dict(item) for item in _command(lab, "status")["consumers"] if item["name"] == name)


def _type(lab: Lab, command: str) -> None:
    _command(lab, *shlex.split(command.replace("TEXT", "too"))[1:])


def _redeliver(lab: Lab, **how: Any) -> list[tuple[str, str]]:
    """The day's file is written once more, which its time says."""
    lab.orders(DAY, n=9)
    lab.orders(DAY, **how)
    path = lab.root / f"landing/orders_{DAY}.csv"
    path.touch()
    lab.now += timedelta(minutes=5)
    return published(lab.tick())


def test_who_reads_what_was_computed_from_it_is_wrong(lab: Lab) -> None:
    """Would catch: a consumer that is called served while it reads sums of withdrawn rows."""
    result = _status(lab)
    assert result["state"] == "wrong"
    assert result["reason"].startswith(f"{AT} was withdrawn: test rows (by ")
    assert result["reason"].endswith(f"); totals@{DAY} was computed from it")
    assert result["next"] == f"headrace unpublish totals@{DAY} --reason TEXT"
    lab.tick()
    assert _status(lab)["state"] == "wrong"


def test_the_next_command_ends_it(lab: Lab) -> None:
    """Would catch: a command that leaves its reader wrong."""
    _type(lab, _status(lab)["next"])
    assert _status(lab)["state"] != "wrong"


def test_other_rows_end_it(lab: Lab) -> None:
    """Would catch: a reader that stays wrong after all was computed again from a corrected
    delivery.
    """
    done = _redeliver(lab, amount="2.50")
    assert ("totals", DAY) in done
    assert _status(lab)["state"] == "served"


def test_the_same_rows_are_held(lab: Lab) -> None:
    """Would catch: withdrawn rows that are published again by the next file of the same content."""
    assert _redeliver(lab) == []
    (row,) = _command(lab, "quarantine")
    assert (row["node"], row["state"]) == ("orders", "held")
    assert row["reason"].startswith("the same rows as were withdrawn: test rows (by ")
    assert _status(lab)["state"] == "wrong"
    assert DAY not in {item["day"] for item in lab.read("orders")}


def test_the_same_rows_are_served_once_somebody_accepts_them(lab: Lab) -> None:
    """Would catch: a withdrawal that can't be undone."""
    _redeliver(lab)
    _command(lab, "quarantine", "accept", AT, "--reason", "they were right")
    lab.tick()
    assert _status(lab)["state"] == "served"
    assert _command(lab, "incidents") == []
    # and the file may come once more
    _redeliver(lab)
    assert _command(lab, "quarantine") == []


def test_what_is_withdrawn_again_is_held_again(lab: Lab) -> None:
    """Would catch: an acceptance that outlives the next withdrawal."""
    _redeliver(lab)
    _command(lab, "quarantine", "accept", AT, "--reason", "they were right")
    _command(lab, "withdraw", AT, "--reason", "they weren't")
    assert _status(lab)["state"] == "wrong"
    assert _redeliver(lab) == []
    assert _status(lab)["state"] == "wrong"


def test_nothing_of_it_can_be_read_while_its_rows_are_held(lab: Lab) -> None:
    """Would catch: an interval that counts as there, by its first publication, although its
    successor is held."""
    before = _status(lab, "desk")
    assert before["data_through"] == DAYS[1]
    _redeliver(lab)
    assert _status(lab, "desk")["data_through"] == DAYS[1]


def test_a_table_over_all_days_is_wrong_until_it_is_computed_without_it(tmp_path: Path) -> None:
    """Would catch: a command that withdraws all days because of one."""
    lab = Lab(tmp_path / "p")
    lab.sql("ever", "select sum(amount) as total from orders", front="")
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [ever], max_age: 9d}\n")
    for day in DAYS[:3]:
        lab.orders(day)
    lab.tick()
    _command(lab, "withdraw", AT, "--reason", "test rows")
    result = _status(lab)
    assert result["state"] == "wrong"
    _type(lab, result["next"])
    assert _status(lab)["state"] != "wrong"
    assert float(lab.read("ever")[0]["total"]) == 30.0


def test_a_merged_table_names_what_is_to_be_asked_for(tmp_path: Path) -> None:
    """Would catch: a command that is refused, because no partition of a merged table can be
    withdrawn."""
    lab = Lab(tmp_path / "p")
    lab.sql(
        "clean",
        "select order_id, amount, day from orders",
        front="partition: {by: day, column: day}\nmaterialize: merge\nmerge: {keys: [order_id]}",
    )
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [clean], max_age: 9d}\n")
    for day in DAYS[:3]:
        lab.orders(day)
    lab.tick()
    _command(lab, "withdraw", AT, "--reason", "test rows")
    result = _status(lab)
    assert (result["state"], result["next"]) == ("wrong", f"headrace why {AT}")
    _redeliver(lab, amount="2.50")
    assert _status(lab)["state"] == "served"


@pytest.mark.long
def test_a_wait_is_put_down_to_what_was_withdrawn_first(tmp_path: Path) -> None:
    """Would catch: the owner of `totals` blamed for a day that can't be read because the delivery
    that it was computed from was withdrawn: once `totals` was withdrawn too, as `status` proposes,
    and all was computed again; "it was withdrawn" of `totals` with a command that it can't follow
    yet."""
    lab, day = Lab(tmp_path / "p"), "2025-01-03"
    lab.write(
        "owners.yaml",
        "core: {kind: team}\nacme: {kind: vendor, manager: core}\nmid: {kind: team}\n",
    )
    lab.sql("clean", "select order_id, amount, day from orders")
    lab.sql("totals", "select day, sum(amount) as total from clean group by all")
    totals = lab.root / "assets/totals.sql"
    totals.write_text(totals.read_text().replace("owner: core", "owner: mid"))
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n"
    )
    for number in range(1, 4):
        lab.now = datetime.fromisoformat(f"2025-01-{number + 1:02d}T01:05:00+00:00")
        lab.orders(f"2025-01-{number:02d}")
        came = lab.now.timestamp() - 300
        os.utime(lab.root / f"landing/orders_2025-01-{number:02d}.csv", (came, came))
        _command(lab, "tick")
    for what in ("orders", "totals"):
        lab.now += timedelta(hours=2)
        _command(lab, "unpublish", f"{what}@{day}", "--reason", "test rows")
    lab.now += timedelta(hours=4)
    waits = _command(lab, "why", f"totals@{day}")
    assert f"waits for orders {day}, which was withdrawn" in waits["verdict"]
    expected = _shares(_command(lab, "why", f"report@{day}"))
    assert list(expected) == ["acme"] and expected["acme"] >= 7, "while it waits"
    lab.orders(day, amount="2.50")
    path = lab.root / f"landing/orders_{day}.csv"
    os.utime(path, (lab.now.timestamp(),) * 2)
    lab.now += timedelta(minutes=5)
    assert ("totals", day) in published(lab.tick())
    assert _shares(_command(lab, "why", f"report@{day}")).keys() == expected.keys(), (
        "once it is there"
    )
    _command(lab, "unpublish", f"orders@{day}", "--reason", "test rows again")
    assert _shares(_command(lab, "why", f"report@{day}")).keys() == expected.keys(), "and later"


def _shares(told: dict[str, Any]) -> dict[str, float]:
    """Owner → hours, of those that had more than ten minutes."""
    result = {item["owner"]: item["seconds"] / 3600 for item in told["shares"]}
    return {owner: hours for owner, hours in result.items() if hours > 1 / 6}
