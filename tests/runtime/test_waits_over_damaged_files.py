"""What waits over damaged files of the lake: each sentence names one that is still damaged and
holds this reader.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import Lab
from warm_fork_servers import headrace

from headrace.runtime import maintenance

DAYS = [f"2025-01-{day:02}" for day in range(1, 10)]
TODAY = "2025-01-10"
ONE_BY_ONE = "partition: {by: day, column: day}\nbatch: off"
BOTH = """select $partition_start::date as day, (select sum(total) from totals) as total, (select sum(n) from counts) as n"""
CONSUMERS = "- {consumer: board, owner: core, reads: [later], due: '09:00'}\n"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """`later` reads five days of `totals` and `counts`; of each a file that it reads today is
    empty, and of `orders`, from which they were computed before, another."""
    made = Lab(tmp_path / "p")
    made.sql("totals", "select day, sum(amount) as total from orders group by all", ONE_BY_ONE)
    made.sql("counts", "select day, count(*) as n from orders group by all", ONE_BY_ONE)
    made.sql(
        "later",
        BOTH,
        f"{ONE_BY_ONE}\ninputs: [{{totals: {{lookback: 4d}}}}, {{counts: {{lookback: 4d}}}}]",
    )
    made.write("consumers.yaml", CONSUMERS)
    for day in DAYS:
        made.orders(day)
    made.tick()
    for node, day in (("orders", DAYS[-3]), ("totals", DAYS[-1]), ("counts", DAYS[-2])):
        path = file_of(made, node, day)
        path.chmod(0o644)
        os.truncate(path, 0)
    made.orders(TODAY)
    at(made, "04:00")
    return made


def at(lab: Lab, time: str) -> None:
    """A pass at this time of the day after."""
    lab.now = datetime.fromisoformat(f"2025-01-11T{time}+00:00")
    lab.headrace("tick", "--now", lab.now.isoformat())


def asked(lab: Lab, *arguments: str) -> Any:
    return lab.headrace(*arguments, "--now", lab.now.isoformat(), code=None)


def board(lab: Lab) -> tuple[str, str, str | None]:
    (row,) = asked(lab, "status")["consumers"]
    return row["state"], row["reason"], row["next"]


def incident_of(lab: Lab, node: str) -> str:
    (result,) = [row for row in asked(lab, "incidents") if row["cause"]["node"] == node]
    return str(result["id"])


def file_of(lab: Lab, node: str, key: str) -> Path:
    ((path,),) = lab.rows(
        "select s.path || t.path || f.path from ducklake_data_file f join ducklake_table t on"
        " t.table_id = f.table_id join ducklake_schema s on s.schema_id = t.schema_id join"
        " ducklake_file_column_stats c on c.data_file_id = f.data_file_id and c.column_id = 1 where"
        " t.table_name = ? and f.end_snapshot is null and c.min_value = ?",
        node,
        key,
    )
    return lab.root / ".headrace/lake" / path


@pytest.mark.long
def test_it_is_at_risk_before_its_deadline(lab: Lab) -> None:
    """Would catch: "served" of a consumer that no pass serves before somebody repairs a file; `why`
    that proposes `headrace retry` or `headrace tick`, after which it waits again; "could begin now,
    and nothing runs it"."""
    counts = incident_of(lab, "counts")
    state, reason, command = board(lab)
    assert (state, command) == ("at_risk", f"headrace incident {counts}")
    assert reason.startswith(
        "late at 09:00: counts@2025-01-08 can't be read: the file has 0 bytes and not "
    )
    for subject in ("board", f"later@{TODAY}"):
        result = asked(lab, "why", subject)
        assert (
            "waits for counts 2025-01-08, which can't be read: the file has 0 bytes and not "
            in result["verdict"]
        )
        assert {
            (row["node"], row["partition"])
            for row in result["waiting_for"]
            if row["kind"] == "stopped"
        } == {
            ("counts", "2025-01-08"),
            ("totals", "2025-01-09"),
        }
        assert result["next"] == f"headrace incident {counts}"


@pytest.mark.long
def test_what_is_named_is_still_damaged_and_holds_the_reader(lab: Lab) -> None:
    """Would catch: a file that has been repaired in what `fix`, `status` and `why` say of a
    consumer that waits for another one; the damage of what its inputs were computed from before,
    which doesn't hold it."""
    at(lab, "09:30")
    counts, totals = incident_of(lab, "counts"), incident_of(lab, "totals")
    state, reason, _ = board(lab)
    assert (state, reason.partition(":")[0]) == ("late", f"{counts} counts")
    done = asked(lab, "fix", counts, "--yes")
    assert (done["fix"], done["state"]) == ("done", "resolved")
    assert [(row["what"], row["text"].partition(":")[0]) for row in done["still"]] == [
        ("board", f"{totals} totals")
    ]
    assert board(lab)[1].partition(":")[0] == f"{totals} totals"
    assert (
        "waits for totals 2025-01-09, which can't be read" in asked(lab, "why", "board")["verdict"]
    )
    said = page(lab, "fix", totals, "--yes")
    assert (
        f"{totals} is not over yet: its cause is gone, and it closes when those affected are served"
        in said
    )
    assert f"board is late: later@{TODAY}: isn't computed yet" in said
    assert "next: headrace tick" in said
    assert board(lab) == ("late", f"later@{TODAY}: isn't computed yet", "headrace tick")
    at(lab, "10:00")
    assert board(lab)[0] == "served"
    assert [row["cause"]["node"] for row in asked(lab, "incidents")] == ["orders"]


@pytest.mark.long
def test_a_repair_waits_only_for_the_damaged_inputs_that_it_reads(lab: Lab) -> None:
    """Would catch: "counts reads orders, which is damaged too" of a day that isn't computed from
    the damaged day of orders; a repair that reads it, and fails over it."""
    orders, counts = incident_of(lab, "orders"), incident_of(lab, "counts")
    assert asked(lab, "incident", counts)["repair"]["command"] == f"headrace fix {counts}"
    path = file_of(lab, "orders", DAYS[-2])
    path.chmod(0o644)
    os.truncate(path, 0)
    at(lab, "05:00")
    assert asked(lab, "incident", counts)["repair"]["command"] == f"headrace fix {orders}"
    assert asked(lab, "fix", orders, "--yes")["state"] == "resolved"
    assert asked(lab, "fix", counts, "--yes")["state"] == "resolved"


@pytest.mark.long
def test_what_an_attempt_could_not_read_is_looked_at_first(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a consumer that waits over a damaged file of a large lake, for which there is no
    incident, and so no repair, before the rotation comes to that file."""
    monkeypatch.setattr(maintenance, "_rotate", lambda *_: -1)
    for row in asked(lab, "incidents"):
        asked(lab, "fix", row["id"], "--yes")
    path = file_of(lab, "totals", DAYS[-2])
    path.chmod(0o644)
    os.truncate(path, 0)
    lab.now += timedelta(hours=1)
    (opened,) = lab.tick().incidents_opened
    result = asked(lab, "incident", opened)
    assert result["cause"]["node"] == "totals"
    assert DAYS[-2] in result["affected"]["partitions"]
    assert board(lab)[0] == "at_risk"


def page(lab: Lab, *arguments: str) -> str:
    """What a person reads."""
    done = headrace(
        [*arguments, "--now", lab.now.isoformat(), "--project", str(lab.root)],
        Path.cwd(),
        os.environ,
        100,
    )
    assert "Traceback" not in done.stderr
    return " ".join(done.stdout.split())
