"""Several deliveries of a source are ingested by one attempt, and leave what they would have left
one by one.
"""

from __future__ import annotations

import os
import random
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runlab import Lab, built_once, copied

from headrace.runtime import graph
from headrace.scheduler.attempts import HISTORY_NEEDED

HEADER = "order_id,customer,amount,note,day"
FIRST = date(2025, 1, 1)
SOURCE = """source: orders
owner: acme
partition: day
concurrency: 1
restate_within: 90d
files: landing/orders_{date:%Y-%m-%d}.csv
checks: [{not_null: [order_id]}, {accepted_values: {column: note, values: [a, b], severity: warning}}]
"""
TABLES = {
    "delivery": "partition, id",
    "publication": "node, partition, published_at",
    "check_result": "node, partition, name",
    "profile": "node, partition",
    "metric": "node, partition",
    "drift": "source, partition, kind, column_name",
    "fact": "node, partition, kind, column_name",
    "quarantine": "node, partition, state",
    "partition": "node, partition",
    "incident": "node, kind",
    "evidence": "node, partition, held, content",
    "incident_partition": "node, partition",
}
"""Table → the order of its rows, without numbers of attempts."""
VOLATILE = {
    "id", "epoch", "n", "at", "run_id", "incident_id", "attempt", "snapshot", "ended_snapshot",
    "bytes", "publication_id", "since", "revision", "changed_at", "identity", "key",
}  # fmt: skip


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def rows_of(chance: random.Random, key: str, count: int) -> list[str]:
    return [
        f"{key.replace('-', '')}{place:03},c{chance.randrange(45)},{chance.randrange(99, 9999) / 100},"
        f"{chance.choice(('a', 'b', 'b', ''))},{key}"
        for place in range(count)
    ]


def deliver(lab: Lab, key: str, content: str) -> None:
    path = lab.root / f"landing/orders_{key}.csv"
    path.write_bytes(content.encode())
    at = 1_735_700_000 + int(key[-2:])
    os.utime(path, (at, at))


def text(rows: list[str], header: str = HEADER, end: str = "\n") -> str:
    return end.join([header, *rows]) + end


@built_once
def delivered_for_weeks(root: Path) -> Lab:
    """A source with just enough published days, which a join reads."""
    lab = Lab(root / "p")
    lab.write("sources/orders.yaml", SOURCE)
    lab.sql(
        "named",
        "select a.order_id, a.day, b.amount from orders a join orders b on a.customer = b.customer",
        "partition: day",
    )
    chance = random.Random(7)
    for number in range(HISTORY_NEEDED):
        key = day(number)
        deliver(lab, key, text(rows_of(chance, key, 60 + chance.randrange(5))))
    lab.now = lab.now + timedelta(days=90)
    lab.run("orders")
    return lab


def anomalous(chance: random.Random, key: str, kind: str, before: str) -> str:
    """The content of a delivery that isn't like the others."""
    rows = rows_of(chance, key, 62)
    contents: dict[str, str] = {
        "dropped column": text([row.rpartition(",")[0] for row in rows], HEADER.rpartition(",")[0]),
        "added column": text([f"{row},1" for row in rows], f"{HEADER},extra"),
        "bad cell": text([*rows, f"x,c1,many,a,{key}"]),
        "ragged row": text([*rows, "1,2"]),
        "empty": "",
        "header only": text([]),
        "same bytes": before,
        "byte order mark": "\ufeff" + text(rows),
        "CRLF": text(rows, end="\r\n"),
        "quoted line break": text([*rows, f'9,c1,1.5,"a\nb",{key}']),
        "no id": text([*rows, f",c1,1.5,a,{key}"]),
        "warned": text([*rows, f"9,c1,1.5,other,{key}"]),
        "hundred times": text([row.replace(".", "") for row in rows]),
        "half": text(rows[:20]),
        "open end": text(rows)[:-1],
        "twice": text([*rows, *rows]),
    }
    return contents[kind]


KINDS = (
    "dropped column", "added column", "bad cell", "ragged row", "empty", "header only", "same bytes",
    "byte order mark", "CRLF", "quoted line break", "no id", "warned", "hundred times", "half",
    "open end", "twice",
)  # fmt: skip


def fill(lab: Lab, seed: int, *, kinds: tuple[str, ...], days: int = 24) -> None:
    chance, before = random.Random(seed), ""
    chosen = dict(zip(chance.sample(range(1, days), len(kinds)), kinds, strict=True))
    for place in range(days):
        if chance.random() < 0.1 and place not in chosen:
            continue
        key = day(HISTORY_NEEDED + place)
        before = (
            anomalous(chance, key, chosen[place], before)
            if place in chosen
            else text(rows_of(chance, key, 60 + chance.randrange(5)))
        )
        deliver(lab, key, before)


def stored(lab: Lab) -> dict[str, list[tuple[Any, ...]]]:
    """What single deliveries left, without the numbers and times of attempts."""
    result = {}
    for table, order in TABLES.items():
        names = [row[1] for row in lab.rows(f"pragma table_info({table})")]
        kept = [n for n in names if n not in VOLATILE and not n.endswith("_at")]
        rows = lab.rows(f"select {', '.join(kept)} from {table} order by {order}")
        result[table] = [tuple(map(_without_numbers, row)) for row in rows]
    result["evidence"].sort(key=str)
    return result


def _without_numbers(value: Any) -> Any:
    """A text without times, names of files and numbers of attempts."""
    if isinstance(value, bytes) and b"at_us" in value:
        decoded = msgspec.msgpack.decode(value)
        return {name: item for name, item in decoded.items() if not name.endswith("_us")}
    if not isinstance(value, str):
        return value
    value = re.sub(r"\b\d{16}\b|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", value)
    return re.sub(r'"\d+\.\d+"', '"…"', value)


def batches(lab: Lab) -> list[int]:
    """The number of deliveries of each attempt that published any."""
    rows = lab.rows(
        "select partitions from attempt where node = 'orders' and state = 'published' order by n"
    )
    return [keys.count(",") + 1 for (keys,) in rows]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_many_deliveries_at_once_leave_what_they_leave_one_by_one(
    delivered_for_weeks: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Catches a delivery that is judged, counted or described otherwise because others came with
    it, and deliveries that aren't read together.
    """
    kinds = tuple(random.Random(seed).sample(KINDS, (0, 2, 4, 6)[seed]))
    together, alone = delivered_for_weeks, copied(delivered_for_weeks, tmp_path / "alone")
    for lab in (together, alone):
        fill(lab, seed, kinds=kinds)
    together.run("orders")
    monkeypatch.setattr(graph, "BATCH_MAX", 1)
    alone.run("orders")
    assert max(batches(alone)) == 1
    assert max(batches(together)) > 1, f"nothing was read together with {kinds}"
    expected, found = stored(alone), stored(together)
    for table, rows in expected.items():
        unlike = sorted({*map(str, found[table])} ^ {*map(str, rows)})
        assert found[table] == rows, f"{table} with {kinds}, seed {seed}: {unlike}"
    ours, theirs = (sorted(map(str, lab.read("orders"))) for lab in (together, alone))
    assert ours == theirs

    again = day(HISTORY_NEEDED + 20)
    for lab in (together, alone):
        deliver(lab, again, text(rows_of(random.Random(seed), again, 65)))
        lab.run("orders")
    assert stored(together) == stored(alone), "one of them is delivered again"


@pytest.mark.long
@pytest.mark.parametrize(
    "point", ["raw.kept:6", "turn.synced:2", "publish.registered:2", "turn.committed:2"]
)
def test_a_kill_loses_no_delivery_and_publishes_none_twice(
    delivered_for_weeks: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Catches deliveries that end with a worker or a leader that died over many of them."""
    killed, whole = delivered_for_weeks, copied(delivered_for_weeks, tmp_path / "whole")
    for lab in (killed, whole):
        fill(lab, 1, kinds=("warned",))
    fired = tmp_path / "fired"
    with monkeypatch.context() as armed:
        armed.setenv("HEADRACE_FAULT", f"{point}=kill")
        armed.setenv("HEADRACE_FAULT_ONCE", str(fired))
        survives = 0 if point.startswith("raw") else None  # a worker dies, the leader goes on
        killed.headrace("run", "orders", "--now", killed.now.isoformat(), code=survives)
    assert fired.read_text().startswith(point.partition(":")[0])
    killed.run("orders")
    whole.run("orders")
    expected, found = stored(whole), stored(killed)
    for table in ("delivery", "publication", "metric", "check_result", "fact", "partition"):
        assert found[table] == expected[table], table


@pytest.mark.long
def test_a_batch_names_the_delivery_whose_rows_were_published_meanwhile(
    delivered_for_weeks: Lab,
) -> None:
    """Catches a message that says of each delivery of a batch that its rows were published."""
    lab, chance = delivered_for_weeks, random.Random(3)
    lab.write("sources/orders.yaml", SOURCE.replace("concurrency: 1\n", ""))
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    undated = [
        text([f"{row.rpartition(',')[0]}," for row in rows_of(chance, day(number), 62)])
        for number in range(16)
    ]
    for place, content in enumerate([*undated, *undated]):
        deliver(lab, day(HISTORY_NEEDED + place), content)
    lab.run("orders")
    said = lab.rows("select partitions, error from attempt where error like '%published as%'")
    several = [(keys, error) for keys, error in said if "," in keys]
    assert several, "no two batches were ingested at once"
    for keys, error in several:
        named = re.search(r"the rows of (\S+) were published as (\S+) meanwhile", str(error))
        assert named is not None, error
        assert named[1] in keys
        assert named[2] not in keys
    states = dict(lab.rows("select partition, state from partition where node = 'orders'"))
    held = [key for key, state in sorted(states.items()) if state != "published"]
    assert held == [day(HISTORY_NEEDED + 16 + place) for place in range(16)], "not the copies"
