"""Held rows, a source that is down, an asset whose code fails and a lapsed exception at once: each
sentence names its own cause."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from runlab import SETTINGS, Lab

DAYS = [f"2025-01-{day:02}" for day in range(1, 9)]
DOWN = (
    "source: rates\nowner: core\npartition: day\nhttp: {{url:"
    " 'http://127.0.0.1:{}/{{date:%Y-%m-%d}}.json'}}\n"
)
FAILS = """from headrace import asset

@asset(owner="core", partition="day", inputs=["shops"])
def score(ctx, shops):
    raise KeyError("w")
"""
CONSUMERS = """- {consumer: report, owner: core, reads: [total], due: "07:00"}
- {consumer: scores, owner: core, reads: [score], due: "07:00"}
- {consumer: fx, owner: core, reads: [rates], due: "07:00"}
"""


@pytest.fixture
def refused() -> Iterator[int]:
    """A port on which nobody answers with what was asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def lab(tmp_path: Path, refused: int) -> Lab:
    made = Lab(tmp_path / "p")
    made.write("headrace.toml", SETTINGS)
    made.write("consumers.yaml", CONSUMERS)
    made.write(
        "sources/shops.yaml",
        "source: shops\nowner: core\npartition: day\nfiles: landing/shops_{date:%Y-%m-%d}.csv\n",
    )
    made.write("sources/rates.yaml", DOWN.format(refused))
    made.write("assets/score.py", FAILS)
    checked = "partition: {by: day, column: day}\nchecks:\n  - range: {column: total, min: 0}"
    made.sql(
        "total", "select day, customer, sum(amount) as total from orders group by all", checked
    )
    return made


def deliver(lab: Lab, day: str) -> None:
    lab.orders(day)
    lab.write(f"landing/shops_{day}.csv", f"day,shop\n{day},a\n")


def tick(lab: Lab, when: str) -> None:
    lab.now = datetime.fromisoformat(f"{when}:00+00:00")
    lab.tick()


def consumer(lab: Lab, name: str) -> Any:
    return next(item for item in lab.headrace("status")["consumers"] if item["name"] == name)


@pytest.mark.long
def test_a_consumer_that_has_nothing_yet_names_the_incident_that_keeps_it_from_it(lab: Lab) -> None:
    """Would catch: on the first morning, a day that isn't over is named as missing
    (`orders@2025-01-03: nothing was delivered`), or that nothing was ever published, while an open
    incident says why."""
    for day in DAYS[:2]:
        deliver(lab, day)
    tick(lab, "2025-01-03T08:00")
    ids = {item["cause"]["node"]: item["id"] for item in lab.headrace("incidents")}
    for name, node in (("scores", "score"), ("fx", "rates")):
        row = consumer(lab, name)
        assert (row["state"], row["incident"]) == ("never", ids[node]), row
        assert row["reason"].startswith(f"{ids[node]} {node}: "), row
    assert consumer(lab, "report")["state"] == "served"


@pytest.mark.long
def test_what_makes_it_wrong_isn_t_mixed_up_with_what_it_waits_for(lab: Lab) -> None:
    """Would catch: `report is wrong since 06:05 because of INC-4: 1 column renamed`, where an
    exception lapsed at 06:05."""
    for day in DAYS[:3]:
        deliver(lab, day)
    tick(lab, "2025-01-04T06:00")
    deliver(lab, DAYS[3])
    lab.deliver(DAYS[3], [f"7,c,-4.0,{DAYS[3]}", f"8,d,1.0,{DAYS[3]}"])
    tick(lab, "2025-01-05T06:00")
    lab.headrace(
        "quarantine",
        "accept",
        f"total@{DAYS[3]}",
        "--reason",
        "a refund",
        "--until",
        "1d",
        "--now",
        "2025-01-05T06:05:00Z",
    )
    path = lab.root / f"landing/orders_{DAYS[4]}.csv"
    path.write_text(f"order_id,customer,total,day\n1,c,2.0,{DAYS[4]}\n")
    tick(lab, "2025-01-06T06:30")
    tick(lab, "2025-01-06T12:30")
    row = consumer(lab, "report")
    assert (
        row["state"] == "wrong"
    )  # by the exception that lapsed, or by the sign of the amounts, whose incident is named first
    verdict = lab.headrace("why", "report")["verdict"]
    first, _, second = verdict.partition(". ")
    assert row["reason"] in first and "renamed" not in first, verdict
    assert second.startswith(f"{DAYS[4]} waits because of ") and "renamed" in second, verdict
