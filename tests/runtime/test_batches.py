"""Several days that lie ready are computed by one attempt, where the body allows it; what is
published is the same.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from runlab import Lab, published

from headrace.project.session import Silent
from headrace.responses import RunResponse
from headrace.services.pause import pause, resume

CLEAN = (
    "select order_id, customer, cast(amount as decimal(18,2)) as amount, cast(day as date) as day"
    " from orders"
)
TOTAL = "select day, sum(amount) as total, count(*) as n from clean group by day"
MANY = [str(date(2025, 1, 1) + timedelta(days=n)) for n in range(60)]
BY_DAY = "partition: {by: day, column: day}"


@pytest.fixture
def lab(sqlite_lab: Lab) -> Lab:
    return sqlite_lab


def sixty_days(lab: Lab, batch: str = "auto") -> None:
    lab.sql("clean", CLEAN, f"{BY_DAY}\nbatch: {batch}")
    lab.sql("total", TOTAL, f"{BY_DAY}\nbatch: {batch}")
    # As many rows every day: with other sizes, which day is warned about depends on which of the
    # batches that run at once has been published when it is judged.
    for place, day in enumerate(MANY):
        lab.deliver(day, [f"{place + 1000}{i},c{i % 3},1.50,{day}" for i in range(3)])
    lab.now = datetime.fromisoformat("2025-03-10T12:00:00+00:00")


def tick_when_all_is_there(lab: Lab) -> RunResponse:
    """All deliveries are ingested before anything is made of them: how many days lie ready at once
    is no question of who is quicker."""
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    pause(
        lab.session(),
        ["clean"],
        exclude=[],
        reason="deliveries first",
        until=None,
        progress=Silent(),
    )
    lab.tick()
    resume(lab.session(), ["clean"], exclude=[], reason="all is there", progress=Silent())
    return lab.tick()


def attempts(lab: Lab, node: str) -> list[tuple[str, int]]:
    """State and number of partitions of each attempt."""
    result = lab.rows(
        f"select state, partitions from attempt where node = '{node}' order by epoch, n"
    )
    return [(state, keys.count(",") + 1) for state, keys in result]


def contents(lab: Lab) -> list[tuple[object, ...]]:
    return sorted(
        lab.rows(
            "select node, partition, content_hash, rows, verdict from publication where node in"
            " ('clean', 'total')"
        )
    )


@pytest.mark.long
def test_sixty_days_are_caught_up_in_few_attempts_and_come_to_the_same(
    lab: Lab, tmp_path: Path
) -> None:
    """Catches batches that aren't made, and publications that differ from those of days computed
    one by one."""
    sixty_days(lab)
    assert tick_when_all_is_there(lab).state == "succeeded"
    for node in ("clean", "total"):
        made = attempts(lab, node)
        assert sum(size for _, size in made) == 60, made
        assert len(made) <= 15, made
    other = Lab(tmp_path / "one_by_one")
    sixty_days(other, batch="off")
    other.tick()
    assert len(attempts(other, "clean")) == 60
    assert contents(lab) == contents(other)
    assert lab.rows("select node, proven from batching order by node") == [
        ("clean", 1),
        ("total", 1),
    ]


@pytest.mark.long
def test_one_bad_day_is_rejected_alone(lab: Lab) -> None:
    """Catches a batch that is held back because of one of its days, and days that are quarantined
    without fault.
    """
    lab.sql("clean", CLEAN, f"{BY_DAY}\nchecks: [{{unique: [order_id]}}]")
    for day in MANY[:20]:
        lab.orders(day, n=3)
    rows = [f"7,c1,1.00,{MANY[13]}", f"8,c2,1.00,{MANY[13]}"]
    lab.deliver(MANY[13], [rows[0], *rows])
    lab.now = datetime.fromisoformat("2025-03-10T12:00:00+00:00")
    response = tick_when_all_is_there(lab)
    assert [(item.asset, item.partition) for item in response.rejected] == [("clean", MANY[13])]
    assert sorted(
        key for node, key in lab.rows("select node, partition from publication") if node == "clean"
    ) == [day for day in MANY[:20] if day != MANY[13]]
    assert lab.rows("select partition, rows from quarantine") == [(MANY[13], 3)]
    assert lab.rows(
        "select count(*) from partition where node = 'clean' and state = 'rejected'"
    ) == [(1,)]
    assert (
        max(size for state, size in attempts(lab, "clean") if state == "rejected") > 1
    )  # else nothing was tried here
    lab.deliver(MANY[13], [*rows, f"9,c0,1.00,{MANY[13]}"])
    assert published(lab.tick()) == [("clean", MANY[13]), ("orders", MANY[13])]


@pytest.mark.long
@pytest.mark.parametrize("batch", ["auto", "off"])
def test_a_day_without_rows_is_held_if_its_input_has_some(lab: Lab, batch: str) -> None:
    """Catches a batch that publishes a day without rows although each day before had one."""
    lost = MANY[45]
    body = f"{CLEAN} where customer is not null qualify row_number() over (partition by day) = 1"
    lab.sql("clean", body, f"{BY_DAY}\nbatch: {batch}")
    lab.write(
        "sources/orders.yaml",
        (lab.root / "sources/orders.yaml").read_text() + "on_anomaly: ignore\n",
    )
    lab.now = datetime.fromisoformat("2025-03-10T12:00:00+00:00")
    for days in (MANY[:40], MANY[40:50]):
        for place, day in enumerate(days, 1000 + int(days[0][5:7]) * 100):
            customer = "" if day == lost else "c"
            lab.deliver(day, [f"{place}{i},{customer},1.50,{day}" for i in range(3)])
        tick_when_all_is_there(lab)
    assert batch == "off" or max(size for _, size in attempts(lab, "clean")[-9:]) > 1
    states = dict(lab.rows("select partition, state from partition where node = 'clean'"))
    assert {key: state for key, state in states.items() if state != "published"} == {lost: "held"}
