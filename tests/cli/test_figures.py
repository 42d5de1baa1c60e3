"""Figures of `status`, of `status --explain` and of `/metrics`, recomputed from the raw tables by
code that shares nothing with them.
"""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from clilab import Project

from headrace.model import Settings
from headrace.responses.figures import FIGURES
from headrace.runtime import usage as runtime_usage
from headrace.runtime.folders import Folders
from headrace.services.figures import WORKED
from headrace.store import Store
from headrace.store.queries import usage as stored_usage

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2025, 3, 6, 8, tzinfo=ZONE)
BEGAN = datetime(2025, 2, 4, 8, tzinfo=ZONE)
STEP = 600_000_000
"""All that is made up happens on a full ten minutes."""
Window = tuple[int, int]
LATER = ("--now", "2025-03-06T09:00+01:00")


def us(at: datetime) -> int:
    return round(at.astimezone(UTC).timestamp() * 1e6)


@contextmanager
def tables(shop: Project) -> Iterator[sqlite3.Connection]:
    with closing(
        sqlite3.connect(shop.root / ".headrace" / "state.db", isolation_level=None)
    ) as result:
        yield result


def made_up(db: sqlite3.Connection, dice: random.Random) -> None:
    """A history before the real one: obligations met, late, open and waived, looks that didn't
    happen, runs of all states with retries, rebuilds, held and lost work, publications that were
    replaced, taken back or the same again, and incidents."""
    db.execute(
        "insert into delivery (source, partition, path, size_bytes, modified_us, claimed_at,"
        " observed_at, arrived_at, state) values ('orders', '2025-01-01', 'x', 0, 0, 0, 0, 0,"
        " 'published')"
    )
    _promises(db, dice)
    for _ in range(dice.randint(0, 4)):
        began = us(BEGAN) + dice.randrange(-200, 4000) * STEP
        db.execute(
            "insert or ignore into look_gap values ('orders', ?, ?)",
            (began, began + dice.randint(1, 90) * STEP),
        )
    for number in range(dice.randint(0, 6)):
        _incident(db, dice, number + 1)
    for number in range(dice.randint(5, 30)):
        _run(db, dice, number + 1000)


def _promises(db: sqlite3.Connection, dice: random.Random) -> None:
    db.execute(
        "update promise set from_at = :at, begins_at = :at",
        {"at": us(datetime(2025, 1, 1, tzinfo=ZONE))},
    )
    for consumer, promise in db.execute("select consumer, id from promise").fetchall():
        for ago in range(50, -1, -1):
            day = date(2025, 2, 28) - timedelta(ago)
            start = datetime(day.year, day.month, day.day, tzinfo=ZONE)
            due = start + (
                timedelta(hours=30) if consumer == "dashboard" else timedelta(days=1, hours=7)
            )
            met = (
                us(due) + dice.choice([-6, -6, -6, -1, 3, 40, 400]) * STEP
                if dice.random() < 0.95 or ago == 50
                else None
            )
            waived = (
                us(due) + dice.randint(0, 100) * STEP
                if met is None and dice.random() < 0.9
                else None
            )
            db.execute(
                "insert into obligation values (?, ?, ?, ?, ?, ?)",
                (consumer, str(day), us(due), promise, met, waived),
            )


def _incident(db: sqlite3.Connection, dice: random.Random, number: int) -> None:
    began = us(BEGAN) + dice.randrange(-300, 4000) * STEP
    opened = began + dice.randint(0, 50) * STEP
    restored = opened + dice.randint(0, 500) * STEP if dice.random() < 0.7 else None
    state = "open" if restored is None else "resolved"
    db.execute(
        "insert into incident (id, state, kind, node, fingerprint, owner, summary, confidence,"
        " evidence, affected, began_at, opened_at, restored_at, resolved_at, updated_at,"
        " recurrence_of) values (?, ?, ?, 'orders', '', 'acme', 'odd', '1', '[]', '{\"assets\": [],"
        ' "consumers": [], "partitions": []}\', ?, ?, ?, ?, ?, ?)',
        (
            number + 100,
            state,
            dice.choice(["reported", "null_spike"]),
            began,
            opened,
            restored,
            restored,
            opened,
            dice.choice([None, 1]) and number + 99 if number > 1 else None,
        ),
    )


def _run(db: sqlite3.Connection, dice: random.Random, number: int) -> None:
    at = us(BEGAN) + dice.randrange(-300, 4000) * STEP
    state = dice.choice(["succeeded", "partial", "failed", "nothing_due", "lost", "succeeded"])
    cancelled = at if dice.random() < 0.1 else None
    db.execute(
        "insert into run (id, kind, request, actor, state, started_at, finished_at, cancelled_at)"
        " values (?, 'run', '{}', 'x', ?, ?, ?, ?)",
        (number, state, at, at, cancelled),
    )
    for n in range(0 if state == "nothing_due" else dice.randint(1, 4)):
        _attempt(db, dice, number, n, at)


def _attempt(db: sqlite3.Connection, dice: random.Random, run: int, n: int, at: int) -> None:
    state = dice.choice(
        ["published", "published", "held", "failed", "lost", "rejected", "cancelled", "staged"]
    )
    node, rows = dice.choice(["orders_clean", "revenue"]), dice.randint(0, 50)
    measures = json.dumps({"rows_out": rows}) if dice.random() < 0.9 else None
    db.execute(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, snapshot_read,"
        " queued_at, started_at, finished_at, measures) values (?, ?, ?, ?, 'produce', '[]', ?, 0,"
        " ?, ?, ?, ?)",
        (run, n, run, node, state, at, at, at + STEP, measures),
    )
    for part in range(dice.randint(1, 3) if state == "published" and measures else 0):
        ended = at + dice.randint(1, 5000) * STEP
        db.execute(
            "insert into publication (id, node, partition, epoch, n, snapshot, ended_snapshot,"
            " published_at, ended_at, rows, bytes, verdict, identical, version) values (?, ?, ?, ?,"
            " ?, 1, 2, ?, ?, ?, 0, 'passed', ?, 1)",
            (
                run * 100 + n * 10 + part,
                node,
                f"2024-01-{part + 1:02}",
                run,
                n,
                at + STEP,
                ended,
                rows // 3,
                int(dice.random() < 0.2),
            ),
        )


# The recomputation
# --------------------------------------------------------------------------------------------------


def uptime_of(db: sqlite3.Connection, window: Window) -> tuple[int, int]:
    bad = {
        run
        for run, state in db.execute("select run_id, state from attempt")
        if state in ("failed", "rejected", "lost")
    }
    runs = [
        item
        for item in db.execute("select id, state, started_at, cancelled_at from run")
        if window[0] < item[2] <= window[1]
    ]
    runs = [run for run in runs if run[1] != "nothing_due" or run[3] is not None]
    good = [
        state == "succeeded" or (state in ("partial", "failed") and run not in bad)
        for run, state, _, cancelled in runs
        if cancelled is None
    ]
    return len(runs), sum(good)


def goodput_of(db: sqlite3.Connection, window: Window) -> dict[str, Counter[str]]:
    made: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for epoch, n, rows, identical, at, ended in db.execute(
        "select epoch, n, rows, identical, published_at, ended_at from publication"
    ):
        if at <= window[1]:
            made[epoch, n].append((rows, identical, ended))
    result: dict[str, Counter[str]] = defaultdict(Counter)
    for epoch, n, node, state, at, measures in db.execute(
        "select epoch, n, node, state, finished_at, measures from attempt"
    ):
        if at is None or not window[0] < at <= window[1]:
            continue
        waits = db.execute(
            "select coalesce(sum(rows), 0) from quarantine where epoch = ? and n = ?", (epoch, n)
        ).fetchone()[0]
        staged = max(json.loads(measures).get("rows_out", 0) if measures else 0, waits)
        if state == "published":
            for rows, identical, ended in made[epoch, n]:
                where = (
                    "identical"
                    if identical
                    else "superseded"
                    if ended is not None and ended <= window[1]
                    else "good"
                )
                result[node][where] += rows
            result[node]["rejected"] += max(0, staged - sum(rows for rows, _, _ in made[epoch, n]))
        else:
            result[node][
                {"held": "held", "rejected": "rejected", "staged": "waiting"}.get(state, "retry")
            ] += staged
    return result


def served_of(db: sqlite3.Connection, consumer: str) -> tuple[int, int]:
    """(moments that count, moments served), asked in the middle of each ten minutes."""
    rows = db.execute(
        "select interval, due_at, met_at, waived_at from obligation where consumer = ? order by"
        " due_at",
        (consumer,),
    ).fetchall()
    gaps = db.execute("select from_at, until_at from look_gap").fetchall()
    counts = served = 0
    for at in range(us(BEGAN) + STEP // 2, us(NOW), STEP):
        counts += 1
        if any(began <= at < ended for began, ended in gaps):
            continue
        due = [row for row in rows if row[1] <= at]
        missing = any(map(_open(at), due))
        served += not (missing or (consumer == "dashboard" and _too_old(rows, at)))
    return counts, served


def _open(at: int) -> Callable[[Any], bool]:
    return lambda item: (
        not ((item[2] is not None and item[2] <= at) or (item[3] is not None and item[3] <= at))
    )


def _too_old(rows: list[Any], at: int) -> bool:
    """The newest day that was met before any hole, waived ones passed over: a day after it fell due
    it is older than 30 hours."""
    readable = list(itertools.takewhile(lambda item: not _open(at)(item), rows))
    newest = max((due for _, due, met, _ in readable if met is not None and met <= at), default=0)
    return at >= newest + 24 * 6 * STEP


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]
)
def test_all_views_say_what_the_raw_tables_say(shop: Project, seed: int) -> None:
    """Would catch a figure that counts otherwise than another view of it, or than its rows."""
    dice = random.Random(seed)
    with tables(shop) as db:
        made_up(db, dice)
        response = shop.json("status")
        until = datetime.fromisoformat(response["now"]).astimezone(ZONE)
        window = (us(until - timedelta(30)), us(until))
        runs, good = uptime_of(db, window)
        assert (response["runs_started"], response["classic_uptime"]) == (runs, floored(good, runs))
        assert (
            sum(item["runs"] for item in shop.json("status", "--explain", "uptime")["rows"]) == runs
        )
        goodput_agrees(shop, goodput_of(db, window))
        incidents_agree(shop, db, window)
        for consumer in response["consumers"]:
            served_agrees(shop, consumer, *served_of(db, consumer["name"]))
    worst = min(response["consumers"], key=lambda item: float(item["availability"]["honest"]))
    assert response["honest_availability"] == worst["availability"]["honest"]
    assert response["minutes_lost"] == sum(
        item["availability"]["lost_minutes"] for item in response["consumers"]
    )


def test_a_run_with_nothing_due_doesnt_raise_the_uptime(shop: Project) -> None:
    """Would catch: an uptime that a scheduler raises by calling `tick` more often, and 100 % of
    runs none of which had anything to do."""
    before = shop.json("status")
    assert shop.json("tick")["state"] == "nothing_due"
    with tables(shop) as db:
        after = shop.json("status")
        same = ("runs_started", "classic_uptime", "uptime_text")
        assert [after[name] for name in same] == [before[name] for name in same]
        db.execute("update run set state = 'nothing_due'")
    response = shop.json("status")
    assert (response["runs_started"], response["classic_uptime"]) == (0, None)
    assert response["uptime_text"] == "no data: no run had anything due"
    assert shop.json("status", "--explain", "uptime")["rows"] == []


def floored(part: int, whole: int) -> str:
    tenths = part * 1000 // whole
    return f"{tenths // 10}.{tenths % 10}"


def goodput_agrees(shop: Project, expected: dict[str, Counter[str]]) -> None:
    rows = {row["node"]: row for row in shop.json("status", "--explain", "goodput")["rows"]}
    assert set(rows) == set(expected)
    for node, places in expected.items():
        result = {
            place: rows[node][place]
            for place in (
                "good",
                "retry",
                "held",
                "rejected",
                "superseded",
                "identical",
                "wrong",
                "waiting",
            )
        }
        assert result == {place: places[place] for place in result}
        assert rows[node]["staged"] == sum(places.values())


def incidents_agree(shop: Project, db: sqlite3.Connection, window: Window) -> None:
    rows = {row["id"]: row for row in shop.json("status", "--explain", "incidents")["rows"]}
    wanted = {}
    for number, state, began, opened, restored in db.execute(
        "select id, state, began_at, opened_at, restored_at from incident"
    ):
        if opened <= window[1] and (opened > window[0] or state != "resolved"):
            ends = window[1] if restored is None else restored
            wanted[f"INC-{number}"] = (max(0, opened - began) / 1e6, max(0, ends - began) / 1e6)
    assert set(rows) == set(wanted)
    for number, (detect, restore) in wanted.items():
        assert rows[number]["detect_seconds"] == detect
        assert rows[number]["restore_seconds"] == pytest.approx(restore)


def served_agrees(shop: Project, consumer: dict[str, Any], counts: int, served: int) -> None:
    """What really happened, happened within a second after a full ten minutes."""
    result = consumer["availability"]
    assert (consumer["name"], abs(result["minutes"] - counts * 10) <= 1) == (consumer["name"], True)
    assert (consumer["name"], result["lost_minutes"]) == (
        consumer["name"],
        pytest.approx((counts - served) * 10, abs=2),
    )
    spans = [
        row
        for row in shop.json("status", "--explain", "availability")["rows"]
        if row["consumer"] == consumer["name"]
    ]
    lost = sum(row["seconds"] for row in spans if row["state"] != "served")
    assert result["lost_minutes"] == pytest.approx(lost / 60, abs=1)
    assert spans[-1]["state"] == consumer["state"]
    promises = [
        row
        for row in shop.json("status", "--explain", "promises")["rows"]
        if row["consumer"] == consumer["name"]
    ]
    assert (result["promised"], result["kept"]) == (
        len(promises),
        sum(row["kept"] for row in promises),
    )


# What else is counted
# --------------------------------------------------------------------------------------------------


def test_what_is_promised_less_and_who_is_removed_stay_in_the_figures(shop: Project) -> None:
    """Would catch a promise that looks kept because it was weakened, and lateness that goes away
    with the consumer.
    """
    path = shop.root / "consumers.yaml"
    path.write_text(
        "- {consumer: morning-report, owner: core, reads: [revenue, page], due: '09:00'}\n"
    )
    before = {
        row["consumer"] + row["interval"]: row
        for row in shop.json("status", "--explain", "promises")["rows"]
    }
    shop.json("apply", "--yes", *LATER)
    response = shop.json("status")
    assert response["promises_weakened"] == 2
    weakened = shop.json("status", "--explain", "weakened")["rows"]
    assert [(row["node"], row["what"], row["before"]) for row in weakened] == [
        ("dashboard", "promise", "no older than 30h"),
        ("morning-report", "due", "by 07:00"),
    ]
    assert [row["name"] for row in response["removed"]] == ["dashboard"]
    assert response["removed"][0]["availability"]["lost_minutes"] > 0
    after = {
        row["consumer"] + row["interval"]: row
        for row in shop.json("status", "--explain", "promises")["rows"]
    }
    assert {key: row for key, row in after.items() if key in before} == before


def test_reads_are_seen_once(shop: Project) -> None:
    """Would catch reads that are counted twice when the leader adds them up, and a node that is
    called unused although it is read.
    """
    assert all(row["reader"] is None for row in shop.json("status", "--explain", "use")["rows"])
    shop.json("read", "orders_clean")
    shop.json("sql", "select count(*) from orders_clean, revenue")
    seen = {
        (row["node"], row["via"], row["reads"])
        for row in shop.json("status", "--explain", "use")["rows"]
        if row["reader"]
    }
    assert seen == {("orders_clean", "read", 1), ("orders_clean", "sql", 1), ("revenue", "sql", 1)}
    settings = Settings(name="shop")
    folders = Folders.of(shop.root, settings)
    with Store.open(shop.root, settings) as store:
        runtime_usage.add_up(store, None, folders, "2024-01-01")
        assert runtime_usage.waiting(folders) == []
        with store.read() as tx:
            assert sum(item.reads for item in stored_usage.reads_since(tx, "2025-01-01")) == 3
        (Path(folders.data) / "usage" / "reads.adding").write_bytes(b"")
        runtime_usage.add_up(store, None, folders, "2024-01-01")
        with store.read() as tx:
            assert sum(item.reads for item in stored_usage.reads_since(tx, "2025-01-01")) == 3
    again = {
        (row["node"], row["via"], row["reads"])
        for row in shop.json("status", "--explain", "use")["rows"]
        if row["reader"]
    }
    assert again == seen


def test_each_figure_has_a_screen_and_no_other_name_is_one(shop: Project) -> None:
    assert set(FIGURES) == set(WORKED)
    for figure in FIGURES:
        assert figure in shop.text("status", "--explain", figure)
    assert "these can be explained" in shop.refused("status", "--explain", "happiness")
    assert "nothing lies in it" in shop.refused("status", "--window", "0d")
