"""A run that is slow because of what went into it: the vendor's delivery is the cause, not the
asset.
"""

from __future__ import annotations

import random
import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from runlab import Lab

pytestmark = pytest.mark.long

FIRST = date(2024, 11, 1)
DAYS = [(FIRST + timedelta(days=day)).isoformat() for day in range(43)]
"""Runs of the first days load Python's packages: of so many they are the few that took longest."""
HEADER = "order_id,customer,amount,day"
BUSY = """def totals(ctx: Context, orders):
    import time
    time.sleep(min(sum(orders['amount'].to_pylist()) / 2400, 12))
    return orders"""
PER_ROW = """def totals(ctx: Context, orders):
    import time
    time.sleep(min(orders.num_rows / 460, 12))
    return orders"""


def rows(day: str, count: int = 40, factor: float = 1.0) -> list[str]:
    chance = random.Random(day)
    amounts = [chance.uniform(1, 3) * factor for _ in range(count)]
    return [f"{day[-2:]}{n:04d},c{n % 3},{item:.2f},{day}" for n, item in enumerate(amounts)]


@pytest.mark.parametrize(
    ("body", "fault", "kind"),
    [
        (BUSY, {"factor": 364.0}, "distribution_shift"),
        (PER_ROW, {"count": 5600}, "volume_anomaly"),
    ],
)
def test_a_vendors_day_that_takes_long(
    tmp_path: Path, body: str, fault: dict[str, float], kind: str
) -> None:
    """Would catch: `slow_run`, owner the asset's, "Headrace repairs it by itself", for values that
    are 364 times too large or 140 times the rows; the vendor's warning apart from it, or not told
    of."""
    lab = Lab(tmp_path / "p")
    lab.python("totals", body, partition="day", inputs=["orders"])
    source = (tmp_path / "p/sources/orders.yaml").read_text()
    lab.write("sources/orders.yaml", source + "on_anomaly: warn\n")
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    for day in DAYS[:-1]:
        lab.deliver(day, rows(day), HEADER)
    lab.tick()
    lab.deliver(DAYS[-1], rows(DAYS[-1], **fault), HEADER)  # type: ignore[arg-type]
    lab.tick()
    result = lab.headrace("incidents")
    causes = [(item["cause"]["kind"], item["cause"]["node"], item["owner"]) for item in result]
    assert causes == [(kind, "orders", "acme")]
    for incident in result:
        assert [item["node"] for item in incident["symptoms"]].count("totals") >= 1
        # Of 140 times the rows a run may take 140 times as long.
        slow = "slow run" in {item["what"] for item in incident["symptoms"]}
        assert slow is (body is BUSY)


ASLEEP = f"""def totals(ctx: Context, orders):
    import time
    if ctx.partition == "{DAYS[-1]}":
        time.sleep(7)
    return orders"""


def test_a_slow_run_asks_for_a_look_at_the_machine_and_at_the_inputs(tmp_path: Path) -> None:
    """Would catch: "if the data isn't right, correct assets/totals.py" of a run whose data is
    right; "8.3 s" as all that is the matter; an end a day before it was shown as open last."""
    lab = Lab(tmp_path / "p")
    lab.python("totals", ASLEEP, partition="day", inputs=["orders"])
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    for day in DAYS[-14:]:
        lab.deliver(day, rows(day), HEADER)
    lab.tick()
    (item,) = lab.headrace("incidents")
    assert item["cause"]["kind"] == "slow_run"
    assert re.fullmatch(r"it ran for 7\.\d s, usually up to 0\.\d s", item["cause"]["summary"])
    (said,) = item["cause"]["evidence"]
    assert said["observed"].endswith("; it read 40 rows, usually 40")
    first = (
        "look at assets/totals.py:4 if its code has changed, at the machine, and at the size of"
        " what totals reads"
    )
    assert item["repair"]["first"] in (None, first) and item["repair"]["text"].endswith(
        f"unless it is slow again; {first}"
    )
    lab.now += timedelta(days=1, hours=1)
    lab.tick()
    (over,) = lab.headrace("incidents", "--all")
    assert over["ended"] == "No run was slow again within a day; all whom it affected are served."


def test_a_run_that_is_slow_since_its_code_changed_says_so(tmp_path: Path) -> None:
    """Would catch: the machine looked at, where the version applied the day before made it slow."""
    lab = Lab(tmp_path / "p")
    lab.python(
        "totals",
        "def totals(ctx: Context, orders):\n    return orders",
        partition="day",
        inputs=["orders"],
    )
    for day in DAYS[-14:-1]:
        lab.deliver(day, rows(day), HEADER)
    lab.tick()
    lab.python("totals", ASLEEP, partition="day", inputs=["orders"])
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[-1], rows(DAYS[-1]), HEADER)
    lab.tick()
    (item,) = lab.headrace("incidents")
    assert item["cause"]["kind"] == "slow_run"
    assert item["cause"]["summary"].endswith("; version 2 changed its code")


CROWDED = f"""def totals(ctx: Context, orders):
    import os, subprocess, sys, time
    others = []
    usual = os.sched_getaffinity(0)
    if ctx.partition == "{DAYS[-1]}":
        os.sched_setaffinity(0, {{min(usual)}})
        busy = [sys.executable, "-c", "import time; end = time.time() + 60\\nwhile time.time() < end: pass"]
        others = [subprocess.Popen(busy) for _ in range(24)]
    end = time.process_time() + 0.25
    while time.process_time() < end:
        pass
    for one in others:
        one.kill()
        one.wait()
    os.sched_setaffinity(0, usual)
    return orders"""


@pytest.mark.timeout(240)
@pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(), reason="the system doesn't count it"
)
def test_a_run_that_others_on_the_machine_slow_down(tmp_path: Path) -> None:
    """Would catch: `slow_run`, owner the asset's, because other programs had the processors."""
    lab = Lab(tmp_path / "p")
    lab.python("totals", CROWDED, partition="day", inputs=["orders"])
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    for day in DAYS[-14:-1]:
        lab.deliver(day, rows(day), HEADER)
    lab.tick()
    lab.deliver(DAYS[-1], rows(DAYS[-1]), HEADER)
    lab.tick()
    assert [item["cause"]["kind"] for item in lab.headrace("incidents")] == []
