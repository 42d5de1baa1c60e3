"""What `fix` says, the incident, its mails and `status` come from one evaluation: after every kind
of repair they say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from runlab import ORDERS, Lab

DAYS = [f"2025-01-{d:02d}" for d in range(1, 10)]
"""All that were due when the lab's clock stands still."""
SUM = "select day, customer, sum(amount) as total from orders group by all"
DOUBLED = "select day, customer, 2 * sum(amount) as total from orders group by all"
BROKEN = (
    "select day, customer, sum(amount) / (case when count(*) > 0 then error('x') else 1 end) as"
    " total from orders group by all"
)
CONSUMERS = """\
- {consumer: report, owner: core, reads: [twice], due: '09:00'}
- {consumer: direct, owner: core, reads: [totals], due: '09:00'}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql("totals", SUM)
    made.sql("twice", "select day, 2 * total as total from totals")
    made.write("consumers.yaml", CONSUMERS)
    for day in DAYS:
        made.deliver(day, rows(day))
    made.tick()
    return made


def rows(day: str) -> list[str]:
    return [f"{day[-2:]}{i},c{i % 3},{1.5 + i % 5},{day}" for i in range(30)]


def report(lab: Lab) -> None:
    lab.headrace(
        "incidents",
        "report",
        "totals",
        "--from",
        DAYS[2],
        "--to",
        DAYS[4],
        "--reason",
        "twice as much as was sold",
    )


def test_the_same_rows_are_refused_before_anything_runs(lab: Lab) -> None:
    """Catches: a repair that computes what is wrong once more, and says that everybody is served
    again.
    """
    report(lab)
    before = lab.rows(
        "select (select count(*) from plan), (select count(*) from attempt), (select count(*) from"
        " audit)"
    )
    for how in ("--yes", "--dry-run"):
        lab.headrace("fix", "INC-1", how, code=3)
    assert (
        lab.rows(
            "select (select count(*) from plan), (select count(*) from attempt), (select count(*)"
            " from audit)"
        )
        == before
    )
    assert lab.headrace("incident", "INC-1")["repair"] == {
        "command": "headrace apply",
        "automatic": False,
        "first": "correct assets/totals.sql:1, or what it reads",
        "note": None,
        "same": True,
        "expected_at": None,
        "commands": ["headrace apply", "headrace fix INC-1"],
        "text": "correct assets/totals.sql:1, or what it reads",
    }

    again = lab.headrace("fix", "INC-1", "--yes", "--again", code=1)
    assert (again["fix"], again["state"], again["restored_at"]) == ("open", "open", None)
    assert again["recomputed"] == {"node": "totals", "same": 3, "differ": 0}
    assert {(row["what"], row["state"]) for row in again["still"]} == {
        ("report", "wrong"),
        ("direct", "wrong"),
        (f"totals@{DAYS[2]}", "wrong"),
    }
    assert agreed(lab) == {"report": "wrong", "direct": "wrong"}


def test_a_correction_ends_it_for_all_who_read_it(lab: Lab) -> None:
    """Catches: what a backfill computed from its own corrected inputs, and published with them,
    counted as computed from the wrong ones.
    """
    report(lab)
    lab.sql("totals", DOUBLED)
    lab.headrace("apply", "--yes")
    done = lab.headrace("fix", "INC-1", "--yes")
    assert (done["fix"], done["state"], done["still"], done["recomputed"]) == (
        "done",
        "resolved",
        [],
        None,
    )
    assert agreed(lab) == {"report": "served", "direct": "served"}


def test_a_repair_of_which_nothing_was_published_is_none(lab: Lab) -> None:
    """Catches: `0 of 6 partitions published` with a tick before it, and exit code 0."""
    report(lab)
    lab.sql("totals", BROKEN)
    lab.headrace("apply", "--yes")
    tried = lab.headrace("fix", "INC-1", "--yes", code=1)
    assert (tried["fix"], tried["state"], tried["backfill"]["published"]) == ("open", "open", 0)
    assert agreed(lab) == {"report": "wrong", "direct": "wrong"}


def test_a_corrected_input_is_a_change(lab: Lab) -> None:
    """Catches: a repair refused although what it is computed from was delivered anew."""
    report(lab)
    for day in DAYS[2:5]:
        lab.deliver(day, rows(day)[:-1])
    lab.tick()
    assert agreed(lab) == {"report": "served", "direct": "served"}
    assert lab.headrace("incident", "INC-1")["state"] == "resolved"


def test_what_was_wrong_is_wrong_when_it_comes_again(lab: Lab) -> None:
    """Catches: rows that were taken back as wrong, published once more as they were, and served."""
    report(lab)
    for day in DAYS[2:5]:
        lab.headrace("unpublish", f"totals@{day}", "--reason", "wrong")
    lab.headrace(
        "run", "totals", "--from", DAYS[2], "--to", DAYS[4], "--again", "--reason", "once more"
    )
    lab.tick()
    assert lab.headrace("incident", "INC-1")["state"] == "open"
    assert set(agreed(lab).values()) == {"wrong"}


def corrected(lab: Lab) -> None:
    report(lab)
    lab.sql("totals", DOUBLED)
    lab.headrace("apply", "--yes")


def unchanged(lab: Lab) -> None:
    report(lab)


def failing(lab: Lab) -> None:
    report(lab)
    lab.sql("totals", BROKEN)
    lab.headrace("apply", "--yes")


def half(lab: Lab) -> None:
    """One of the partitions can't be computed."""
    report(lab)
    lab.sql(
        "totals",
        SUM.replace(
            "sum(amount)",
            f"sum(case when day = date '{DAYS[3]}' then error('x') else 2 * amount end)",
        ),
    )
    lab.headrace("apply", "--yes")


def paused(lab: Lab) -> None:
    lab.headrace("pause", "totals", "--reason", "maintenance")
    next_day(lab)
    lab.deliver("2025-01-10", rows("2025-01-10"))
    lab.tick()


def late(lab: Lab) -> None:
    next_day(lab)
    lab.tick()
    lab.deliver("2025-01-10", rows("2025-01-10"))


def later(lab: Lab) -> None:
    """Nothing comes."""
    next_day(lab)
    lab.tick()


def renamed(lab: Lab) -> None:
    next_day(lab)
    lab.deliver("2025-01-10", rows("2025-01-10"), "order_id,client_name,total_amount,day")
    lab.tick()


def next_day(lab: Lab) -> None:
    lab.now = datetime.fromisoformat("2025-01-11T12:00:00+00:00")


def held(lab: Lab) -> None:
    next_day(lab)
    lab.deliver("2025-01-10", ["x,c,many,2025-01-10"])
    lab.tick()


@pytest.mark.long
@pytest.mark.parametrize(
    "others",
    [
        pytest.param(False, id="alone"),
        pytest.param(True, id="beside others", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "kind", [corrected, unchanged, failing, half, paused, late, later, renamed, held]
)
def test_after_every_repair_all_say_the_same(
    lab: Lab, kind: Callable[[Lab], None], others: bool
) -> None:
    """Catches: any of `fix`, `incident`, the mails and `status` that takes something for repaired
    which the others don't.
    """
    if (
        others
    ):  # a second report on what `twice` is computed from, and a delivery that can't be read
        lab.headrace("incidents", "report", "orders", "--from", DAYS[5], "--reason", "cents")
        lab.deliver(DAYS[6], ["x,c,many,x"])
        lab.tick()
    kind(lab)
    agreed(lab)
    for row in lab.headrace("incidents"):
        for how in ((), ("--again",)):
            done = lab.headrace("fix", row["id"], "--yes", *how, code=None)
            if done is not None:
                assert (done["fix"] == "done") == (done["state"] == "resolved" and _whole(done)), (
                    done
                )
            agreed(lab)


def _whole(done: dict[str, Any]) -> bool:
    return done["backfill"] is None or done["backfill"]["state"] in ("succeeded", "nothing_due")


def agreed(lab: Lab) -> dict[str, str]:
    """Consumer → its state, once incidents, their timelines and mails are seen to say what `status`
    says."""
    consumers = {row["name"]: row for row in lab.headrace("status")["consumers"]}
    incidents = {row["id"]: row for row in lab.headrace("incidents", "--all")}
    for row in consumers.values():
        if row["incident"] is not None:
            assert incidents[row["incident"]]["state"] != "resolved", (
                row,
                incidents[row["incident"]],
            )
            assert row["state"] != "served", row
    mails: dict[str, list[tuple[str, str]]] = {}
    for number, kind, body in lab.rows(
        "select incident_id, kind, body from notice where incident_id is not null order by id"
    ):
        mails.setdefault(f"INC-{number}", []).append((kind, body))
    for name, row in incidents.items():
        _one(row, mails.get(name, []), consumers)
    return {name: row["state"] for name, row in consumers.items()}


def _one(
    row: dict[str, Any], mails: list[tuple[str, str]], consumers: dict[str, dict[str, Any]]
) -> None:
    over = row["state"] == "resolved"
    assert (row["restored_at"] is not None) == over, row
    if over:
        assert row["restored_at"] >= row["opened_at"] >= row["began_at"], row
        assert row["repair"] is None
    if not mails:
        return
    assert (mails[-1][0] == "resolved") == over, (row, mails)
    if over and row["resolved_at"] == max(line["at"] for line in row["timeline"]):
        named = [
            name
            for name in row["affected"]["consumers"]
            if f"{name} is " in row["timeline"][-1]["what"]
        ]
        assert all(
            (f"{name} is " in mails[-1][1]) == (name in named)
            for name in row["affected"]["consumers"]
        ), (row, mails)
        assert ("all whom it affected" in mails[-1][1].lower()) == (not named)
    assert all(name in consumers for name in row["affected"]["consumers"])


def test_a_step_of_one_row_is_a_row(lab: Lab) -> None:
    """Would catch: `1 partition, 1 rows`."""
    lab.deliver("2025-01-10", ["100,c1,1.50,2025-01-10"], ORDERS[0].replace("amount", "total"))
    lab.now = datetime.fromisoformat("2025-01-11T06:00:00+00:00")
    lab.tick()
    steps = lab.headrace("fix", "INC-1", "--dry-run")["steps"]
    assert [step["text"] for step in steps if step["act"] == "read"] == ["1 partition, 1 row"]
