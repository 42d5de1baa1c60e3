"""Short partitions of a Python asset are computed by one attempt, one call after another: what is
published, logged and blamed is the same as with an attempt for each.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import Lab
from warm_fork_servers import headrace

from headrace.model.texts import plain
from headrace.project.session import Silent
from headrace.services.logs import logs
from headrace.services.pause import pause, resume

START = date(2025, 1, 1)
MANY = [str(START + timedelta(days=n)) for n in range(60)]
NOW = datetime.fromisoformat("2025-03-02T12:00:00+00:00")
ROWS = """
def rows_of(day):
    draw = random.Random(f"{SEED} {day}")
    columns = {
        "n": lambda: draw.randint(-5, 5),
        "share": lambda: draw.choice([None, 0.25, -0.0, 1e-7, 3.5]),
        "name": lambda: draw.choice([None, "", "a", "ü" * 3, "z" * 300]),
        "flag": lambda: draw.choice([True, False, None]),
        "at": lambda: datetime(draw.randint(1, 2030), 5, 17, 3, 4, 5),
        "big": lambda: Decimal(f"{draw.randint(1, 9)}.50"),
        "zoned": lambda: datetime(2025, 1, draw.randint(1, 9), tzinfo=UTC),
    }
    names = ["n", *random.Random(SEED).sample(sorted(columns.keys() - {"n"}), 3)]
    rows = draw.choice([0, 1, 1, 1, 2, 5]) if day > FIRST else 1
    made = [{name: columns[name]() for name in names} for _ in range(rows)]
    while day == FIRST and None in made[0].values():
        made = [{name: columns[name]() for name in names}]
    return made
"""
"""Code with the rows of a day; those of the first, which has no nulls, give the columns their types.
DuckDB is needed for the last two columns, and Arrow writes the
others alone."""


@pytest.fixture
def lab(sqlite_lab: Lab) -> Lab:
    sqlite_lab.now = NOW
    return sqlite_lab


def called(lab: Lab, body: str, batch: str = "auto", **declared: Any) -> None:
    """A daily Python asset without inputs; its calls are counted in the file `calls`."""
    arguments = {"partition": "day", "start": MANY[0], "batch": batch, **declared}
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    lab.write(
        "assets/daily.py",
        "import logging, os, random\nfrom datetime import UTC, datetime\nfrom decimal import Decimal\n"
        "from headrace import asset, Context\n\n"
        f"CALLS = {str(lab.root / 'calls')!r}\n\n"
        f"@asset(owner='core', {given})\ndef daily(ctx: Context):\n"
        f"    day = ctx.partition\n    with open(CALLS, 'a') as file:\n"
        f"        file.write(f'{{day}} {{ctx.start:%F}} {{ctx.end:%F}}\\n')\n{body}\n",
    )


def calls(lab: Lab) -> Counter[str]:
    return Counter(line.split()[0] for line in (lab.root / "calls").read_text().splitlines())


def sizes(lab: Lab, state: str = "published") -> list[int]:
    rows = lab.rows(
        f"select partitions from attempt where state = '{state}' and node = 'daily'"
        " order by epoch, n"
    )
    return [len(json.loads(keys)) for (keys,) in rows]


def stored(lab: Lab) -> dict[str, list[tuple[Any, ...]]]:
    """What the store says of partitions, besides attempts, files and times."""
    return {
        table: sorted(lab.rows(f"select {columns} from {table} where node = 'daily'"), key=repr)
        for table, columns in {
            "publication": "partition, rows, verdict, content_hash, identical, version",
            "partition": "partition, state, stale, not_before, reason, proposed",
            "check_result": "partition, name, kind, severity, outcome, rows, failing, detail",
            "profile": "partition, columns",
            "metric": "partition, vector",
        }.items()
    }


@pytest.mark.long
def test_random_days_come_to_the_same_together_and_alone(lab: Lab, tmp_path: Path) -> None:
    """Catches rows, hashes, verdicts, checks, profiles or states that depend on what ran together:
    with days without rows, one that raises, one that is rejected and one that is warned about."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    raising, rejected, warned = random.Random(seed).sample(MANY[10:], 3)
    body = (
        f"    if day == {raising!r}:\n        raise ValueError('no such day')\n"
        "    rows = rows_of(day)\n"
        f"    if day == {rejected!r}:\n        return [{{**rows_of(FIRST)[0], 'n': None}}]\n"
        f"    if day == {warned!r}:\n        return [{{**rows_of(FIRST)[0], 'n': 77}}]\n"
        f"    return rows\n\nSEED, FIRST = {seed}, {MANY[0]!r}\n{ROWS}"
    )
    checks = [
        {"not_null": ["n"]},
        {"range": {"column": "n", "max": 50, "severity": "warning"}},
    ]
    other = Lab(tmp_path / "alone")
    other.now = NOW
    for each, batch in ((lab, "auto"), (other, "off")):
        called(each, body, batch, checks=checks, on_anomaly="ignore")
        each.run("daily", partitions=MANY[:1])
        each.tick()
    assert max(sizes(lab)) > 5, "else nothing was tried here"
    assert set(sizes(other)) == {1}
    assert stored(lab) == stored(other)
    assert lab.read("daily") == other.read("daily")
    states = dict(lab.rows("select partition, state from partition where node = 'daily'"))
    assert (states[raising], states[rejected], states[warned]) == (
        "failed",
        "rejected",
        "published",
    )
    assert max(calls(lab).values()) <= 2, "code is called once more for an unsuccessful batch"


@pytest.mark.long
def test_a_call_sees_its_own_day_and_its_own_inputs(lab: Lab) -> None:
    """Catches calls that see the batch's interval, or the inputs of other days."""
    for place, day in enumerate(MANY[:40]):
        lab.orders(day, n=place % 3 + 1)
    lab.write(
        "assets/daily.py",
        "from headrace import asset, Context\nimport pyarrow as pa\n\n"
        "@asset(owner='core', partition='day', inputs=['orders'])\n"
        "def daily(ctx: Context, orders: pa.Table):\n"
        "    days = sorted({str(day) for day in orders['day'].to_pylist()})\n"
        "    return [{'day': ctx.partition, 'n': len(orders), 'days': ','.join(days),\n"
        "             'start': str(ctx.start), 'end': str(ctx.end), 'all': len(ctx.partitions)}]\n",
    )
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    why = {"reason": "deliveries first", "until": None, "exclude": [], "progress": Silent()}
    pause(lab.session(), ["daily"], **why)
    lab.tick()
    resume(lab.session(), ["daily"], exclude=[], reason="all is there", progress=Silent())
    lab.tick()
    assert max(sizes(lab)) > 3, "else nothing was tried here"
    for place, row in enumerate(lab.read("daily")):
        day = MANY[place]
        after = str(date.fromisoformat(day) + timedelta(days=1))
        assert row == {
            "day": day,
            "n": place % 3 + 1,
            "days": day,
            "start": f"{day} 00:00:00+00:00",
            "end": f"{after} 00:00:00+00:00",
            "all": 1,
        }


DAILY = """
from headrace import asset, Context

@asset(owner="core", partition="day", inputs=["orders"], batch={batch!r})
def daily(ctx: Context, orders):
    rows = {{{none!r}: 0, {more!r}: 30}}.get(ctx.partition, 1)
    return [{{"day": ctx.partition, "n": 1}}] * rows
"""


def ready_together(lab: Lab, *accepted: str) -> None:
    """All deliveries are published before anything is made of them, these as exceptions."""
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    session, why = lab.session(), "deliveries first"
    pause(session, ["daily"], exclude=[], reason=why, until=None, progress=Silent())
    lab.tick()
    for key in accepted:
        lab.now += timedelta(minutes=1)
        lab.headrace(
            "quarantine", "accept", f"orders@{key}", "--reason", "a storm",
            "--now", lab.now.isoformat(),
        )  # fmt: skip
    resume(lab.session(), ["daily"], exclude=[], reason="all is there", progress=Silent())


@pytest.mark.long
@pytest.mark.parametrize("batch", ["auto", "off"])
def test_a_day_is_held_for_its_own_rows_and_inputs_alone(lab: Lab, batch: str) -> None:
    """Catches a batch that publishes a day without rows though its inputs have some, or a day with
    far more rows because a day beside it is made of an exception."""
    before, more, after = MANY[43:46]
    none = MANY[25]
    for place, key in enumerate(MANY[:56], 1000):
        count = 2 if key in (before, after) else 10
        lab.deliver(key, [f"{place}{i},c{i % 3},1.50,{key}" for i in range(count)])
    lab.write("assets/daily.py", DAILY.format(batch=batch, none=none, more=more))
    ready_together(lab, before, after)
    lab.tick()
    if batch == "auto":
        together = {key for keys in tried(lab) if len(keys) > 1 for key in keys}
        assert {more, none} <= together, "else nothing was tried here"
    states = dict(lab.rows("select partition, state from partition where node = 'daily'"))
    withheld = {key: state for key, state in states.items() if state != "published"}
    assert withheld == {more: "held", none: "held"}


def tried(lab: Lab) -> list[list[str]]:
    rows = lab.rows("select partitions from attempt where node = 'daily' order by epoch, n")
    return [json.loads(keys) for (keys,) in rows]


def errors(lab: Lab) -> list[tuple[int, str]]:
    """Number of partitions and message of each failed attempt."""
    rows = lab.rows("select partitions, error from attempt where state = 'failed' order by n")
    return [(len(json.loads(keys)), json.loads(error)["message"]) for keys, error in rows]


def test_the_day_that_raises_is_named_and_alone_to_blame(lab: Lab) -> None:
    """Catches a failure without the partition, and siblings that fail too or are called again
    and again."""
    called(
        lab,
        f"    if day == {MANY[40]!r}:\n        raise ValueError('no such day')\n    return [{{'n': 1}}]",
    )
    lab.tick()
    (together, message), *alone = errors(lab)
    assert together > 1, "else nothing was tried here"
    assert plain(message).startswith(f"{MANY[40]}: ValueError: no such day")
    assert [size for size, _ in alone] == [1]
    states = Counter(lab.rows("select state from partition where node = 'daily'"))
    assert states == {("published",): 59, ("failed",): 1}
    assert max(calls(lab).values()) <= 2


@pytest.mark.parametrize("ends", ["os._exit(9)", "os.kill(os.getpid(), 9)"])
def test_a_day_that_ends_the_worker_is_alone_to_blame(lab: Lab, ends: str) -> None:
    """Catches siblings that count as poison, and the dead call's last words under another day."""
    called(
        lab,
        f"    print('here is', day, flush=True)\n    if day == {MANY[40]!r}:\n        {ends}\n"
        "    return [{'n': 1}]",
    )
    lab.tick()
    lost = sizes(lab, "lost")
    assert lost[0] > 1 and set(lost[1:]) == {1}, lost
    states = dict(lab.rows("select partition, state from partition where node = 'daily'"))
    assert [day for day, state in states.items() if state != "published"] == [MANY[40]]
    assert states[MANY[40]] == "failed"
    assert {day: count for day, count in calls(lab).items() if count > 2} == {MANY[40]: 4}
    assert texts(lab, f"daily@{MANY[40]}")[-1] == f"here is {MANY[40]}"


def texts(lab: Lab, target: str) -> list[str]:
    found = logs(lab.session(), target)
    assert found is not None
    return [row.text for row in found.rows]


def test_each_day_has_its_own_lines(lab: Lab) -> None:
    """Catches lines of other days of the batch, and a line that is lost because the one before it
    didn't end."""
    called(
        lab,
        "    logging.warning('warned of %s', day)\n    os.system(f'echo from a child: {day}')\n"
        "    print('open end', day, end='')\n    return [{'n': 1}]",
    )
    lab.tick()
    assert max(sizes(lab)) > 3, "else nothing was tried here"
    for day in MANY:
        assert sorted(texts(lab, f"daily@{day}")) == [
            f"from a child: {day}",
            f"open end {day}",
            f"warned of {day}",
        ]
    epoch, n, keys = lab.rows(
        "select epoch, n, partitions from attempt order by length(partitions) desc limit 1"
    )[0]
    found = logs(lab.session(), f"{epoch}.{n}")
    assert found is not None
    assert {row.partition for row in found.rows} == set(json.loads(keys))
    assert len(found.rows) == 3 * len(json.loads(keys))


def test_a_run_says_how_many_days_of_a_batch_are_warned(lab: Lab) -> None:
    """Catches a warning about one day that is shown as one about each day of its batch."""
    checks = [{"range": {"column": "n", "max": 50, "severity": "warning"}}]
    body = f"    return [{{'n': 77 if day == {MANY[40]!r} else 1}}]"
    called(lab, body, checks=checks, on_anomaly="ignore")
    lab.tick()
    rows = lab.headrace("runs", "1")
    assert [row["partition"] for row in rows if row["verdict"] == "warned"] == [MANY[40]]
    together = next(keys for keys in tried(lab) if MANY[40] in keys)
    assert len(together) > 1, "else nothing was tried here"
    done = headrace(["runs", "1", "--project", str(lab.root)], Path.cwd(), os.environ, 150)
    assert f"! warned: 1 of {len(together)} " in done.stdout


def test_rows_that_dont_fit_together_are_computed_one_by_one_from_then_on(lab: Lab) -> None:
    """Catches days cast to the types of others, and batches that are tried in vain again."""
    short = f"pa.int32() if day == {MANY[30]!r} else pa.int64()"
    called(lab, f"    import pyarrow as pa\n    return pa.table({{'n': pa.array([1], {short})}})")
    lab.tick()
    assert [size > 1 for size in sizes(lab, "failed")] == [True]
    rows = lab.rows("select state, partitions from attempt order by n")
    attempts = [(state, json.loads(keys)) for state, keys in rows]
    together = next(keys for state, keys in attempts if state == "failed")
    again = attempts.index(("published", together[:1]))  # all after it were sent knowing that
    assert {len(keys) for _, keys in attempts[again:]} == {1}
    assert lab.rows("select node, proven from batching") == [("daily", 0)]
    assert {row["n"] for row in lab.read("daily")} == {1}
    assert max(calls(lab).values()) <= 2


@pytest.mark.parametrize("more", [{"batch": "off"}, {"materialize": "none"}])
def test_what_may_not_is_never_batched(lab: Lab, more: dict[str, str]) -> None:
    """Catches `batch: off` that is ignored, and effects (`materialize: none`) in batches."""
    called(lab, f"    return {None if 'materialize' in more else [{'n': 1}]}", **more)
    assert lab.tick().state == "succeeded"
    assert sizes(lab) == [1] * 60
