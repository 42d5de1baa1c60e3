"""A consumer's history as its page draws it: deliveries, waits, and the days that strips show."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from door_lab import Opened, opened
from serve_lab import Answer, ask, deliver, headrace, project, response, write

from headrace_ui.services.consumer_history import DELIVERIES_MAX

BEFORE, FIRST = date(2025, 3, 25), date(2025, 3, 26)
LATE, WAITING = "2025-03-28", "2025-03-30"
NOW = "2025-03-31T12:00"


class Door(NamedTuple):
    opened: Opened
    root: Path
    limited: str

    def history(self, query: str = "", consumer: str = "report") -> Any:
        answer = self.opened.get(f"/api/v1/consumers/{consumer}/history{query}")
        assert answer.status == 200, answer.body
        return answer.json

    def as_limited(self, path: str) -> Answer:
        return ask(self.opened.port, path, Authorization=f"Bearer {self.limited}")


def promised(root: Path) -> Path:
    """A vendor's deliveries, and a consumer who needs them by 07:00 in Berlin."""
    project(root)
    write(
        root / "owners.yaml",
        "core: {kind: team, contact: ['mailto:core@example.com']}\n"
        "acme: {kind: vendor, manager: core, contact: ['mailto:acme@example.com']}\n",
    )
    source = root / "sources/orders.yaml"
    write(source, source.read_text().replace("owner: core", "owner: acme"))
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n'
        "- {consumer: elsewhere, owner: core, reads: [revenue], due: '07:00',"
        " timezone: Pacific/Auckland}\n",
    )
    return root


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Five days: one is late, on the last the clock goes forward and nothing arrives."""
    root = promised(tmp_path_factory.mktemp("history") / "shop")
    who = response(root, "access", "whoami")["who"]
    write(root / "access.yaml", f"- {{role: admin, to: [{who}]}}\n")
    headrace(root, "tick", "--now", f"{BEFORE}T12:00")
    for number in range(4):
        day = FIRST + timedelta(days=number)
        deliver(root, day.isoformat())
        hour = "09:30" if day.isoformat() == LATE else "05:00"
        headrace(root, "tick", "--now", f"{day + timedelta(days=1)}T{hour}")
    headrace(root, "tick", "--now", NOW)
    token = response(root, "token", "create", "limited", "--scope", "viewer:owner=core")["token"]
    with opened(root) as result:
        yield Door(result, root, str(token))


def by_interval(history: Any) -> dict[str, Any]:
    return {row["interval"]: row for row in history["deliveries"]}


def test_deliveries_stand_against_their_deadlines(door: Door) -> None:
    """Would catch: a late delivery without its deviation, one that is missing drawn as if it came,
    the next one as missing."""
    rows = by_interval(door.history())
    states = {interval: row["state"] for interval, row in rows.items()}
    assert (states[LATE], states[WAITING], states["2025-03-31"]) == ("late", "missing", "due")
    assert rows[LATE]["late_seconds"] == pytest.approx(2.5 * 3600, abs=120)
    assert rows["2025-03-27"]["late_seconds"] == pytest.approx(-2 * 3600, abs=120)
    assert rows[WAITING]["late_seconds"] == pytest.approx(5 * 3600, abs=120)
    assert rows["2025-03-31"]["late_seconds"] is None


def test_waits_are_those_of_why(door: Door) -> None:
    """Would catch: a second sum of the same wait, an owner that `why` doesn't name."""
    for interval, row in by_interval(door.history()).items():
        why = response(door.root, "why", f"report@{interval}")
        if why["wait_seconds"] is None:
            assert (row["wait_seconds"], row["segments"]) == (None, [])
            continue
        assert row["wait_seconds"] == pytest.approx(why["wait_seconds"], abs=0.001)
        seconds: dict[str, float] = {}
        for segment in why["segments"]:
            seconds[segment["kind"]] = seconds.get(segment["kind"], 0) + segment["seconds"]
        owners: dict[str, float] = {}
        for share in why["shares"]:
            owners[share["owner"]] = owners.get(share["owner"], 0) + share["seconds"]
        for field, expected in (("kind", seconds), ("owner", owners)):
            summed: dict[str, float] = {}
            for part in row["segments"]:
                summed[part[field]] = summed.get(part[field], 0) + part["seconds"]
            assert summed == pytest.approx({key: at for key, at in expected.items() if at})


def test_days_are_those_of_honest_availability(door: Door) -> None:
    """Would catch: a strip that disagrees with the figure above it; 24 hours of the day on which
    the clock goes forward; days before the promise."""
    history = door.history("?days=30")
    assert history["timezone"] == "Europe/Berlin"
    states = {day["date"]: day["state"] for day in history["days"]}
    assert len(states) == 30
    assert list(states.values())[-7:] == [
        None,
        None,
        "served",
        "served",
        "late",
        "served",
        "late",
    ]
    changed = next(day for day in history["days"] if day["date"] == "2025-03-30")
    assert sum(changed["seconds"].values()) == 23 * 3600
    status = response(door.root, "status")
    row = next(item for item in status["consumers"] if item["name"] == "report")
    lost = sum(
        seconds
        for day in history["days"]
        for state, seconds in day["seconds"].items()
        if state != "served"
    )
    assert -(-lost // 60) == row["availability"]["lost_minutes"]


def test_the_range_is_bounded_and_an_older_delivery_is_left_out(door: Door) -> None:
    """Would catch: a request for all of the past, or for days that there aren't."""
    newest = by_interval(door.history("?days=1"))
    assert list(newest) == [WAITING, "2025-03-31"]
    assert DELIVERIES_MAX >= 90
    for days in ("0", "-1", "367", "x"):
        path = f"/api/v1/consumers/report/history?days={days}"
        assert door.opened.get(path).status == 400, days


def test_a_consumer_elsewhere_has_the_projects_days(door: Door) -> None:
    """Would catch: strips of Today whose columns are different days."""
    history = door.history("?days=7", "elsewhere")
    assert history["timezone"] == "Europe/Berlin"
    assert [day["date"] for day in history["days"]] == [
        day["date"] for day in door.history("?days=7")["days"]
    ]
    row = by_interval(history)[WAITING]
    assert row["due_at"].startswith("2025-03-30T20:00:00+02:00")


def test_a_limited_role_sees_no_wait_of_a_hidden_node(door: Door) -> None:
    """Would catch: the owner of a source that is hidden from the reader, and a consumer that is."""
    path = "/api/v1/consumers/report/history"
    answer = door.as_limited(path)
    assert answer.status == 200
    assert b"acme" in door.opened.get(path).body
    assert b"acme" not in answer.body
    row, whole = by_interval(answer.json)[LATE], by_interval(door.history())[LATE]
    assert row["wait_seconds"] == whole["wait_seconds"]
    assert 0 < sum(part["seconds"] for part in row["segments"]) < whole["wait_seconds"]


def test_an_unknown_consumer_is_refused(door: Door) -> None:
    """Would catch: an empty chart of a consumer that is misspelt."""
    refused = door.opened.get("/api/v1/consumers/reprot/history")
    assert refused.status == 404
    assert "report" in refused.json["hint"]


def test_before_the_first_apply_and_delivery_it_is_empty(tmp_path: Path) -> None:
    """Would catch: an error, or days that count before anything was promised."""
    root = promised(tmp_path / "shop")
    with opened(root) as result:
        history = result.get("/api/v1/consumers/report/history").json
    assert history["deliveries"] == []
    assert {day["state"] for day in history["days"]} <= {None}


# What Today draws.


def test_today_has_the_days_of_each_consumer(door: Door) -> None:
    """Would catch: a strip that disagrees with the consumer's own page."""
    today = door.opened.get("/api/v1/today?days=7").json
    assert today["dates"][-1] == "2025-03-31"
    assert {row["consumer"] for row in today["consumers"]} == {"report", "elsewhere"}
    for row in today["consumers"]:
        days = door.history("?days=7", row["consumer"])["days"]
        assert [day["date"] for day in days] == today["dates"]
        assert [day["state"] for day in days] == row["states"]
        lost = [
            sum(seconds for state, seconds in day["seconds"].items() if state != "served")
            for day in days
        ]
        assert [-(-seconds // 60) for seconds in lost] == row["lost_minutes"]


def test_the_next_deadlines_come_in_their_order(door: Door) -> None:
    """Would catch: a deadline that has passed, one beyond the hours, a prediction from too few
    deliveries."""
    today = door.opened.get("/api/v1/today?hours=24").json
    due = [row["due_at"] for row in today["deadlines"]]
    assert due == sorted(due)
    assert [(row["consumer"], row["interval"]) for row in today["deadlines"]] == [
        ("elsewhere", "2025-03-31"),
        ("report", "2025-03-31"),
    ]
    assert all(today["now"] < at <= "2025-04-01T12:00:01+02:00" for at in due)
    report = today["deadlines"][-1]
    assert (report["state"], report["predicted_at"], report["deliveries"]) == ("due", None, 0)
    assert door.opened.get("/api/v1/today?hours=49").status == 400


def test_a_limited_role_sees_its_consumers_only(door: Door) -> None:
    """Would catch: a deadline or a strip of a hidden consumer."""
    other = response(door.root, "token", "create", "other", "--scope", "viewer:owner=acme")["token"]
    answer = ask(door.opened.port, "/api/v1/today", Authorization=f"Bearer {other}")
    assert answer.status == 200
    assert (answer.json["consumers"], answer.json["deadlines"]) == ([], [])
    assert b"report" not in answer.body
    own = door.as_limited("/api/v1/today").json
    assert {row["consumer"] for row in own["consumers"]} == {"report", "elsewhere"}


def test_today_is_empty_before_the_first_apply(tmp_path: Path) -> None:
    """Would catch: an error of the first page that somebody opens."""
    root = promised(tmp_path / "shop")
    with opened(root) as result:
        today = result.get("/api/v1/today").json
    assert len(today["dates"]) == 14
    assert today["deadlines"] == []
