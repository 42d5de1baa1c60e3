"""`ab`: what trials of changes say, what they leave behind, and what they refuse."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from clilab import Project

from headrace.compiler.cache import RACY_NS

EQUAL = "select day, sum(amount) as revenue, count(id) as orders from orders_clean group by day"
SHORT = ("--budget", "5s")


def _change(shop: Project, text: str) -> tuple[str, ...]:
    (shop.root / "new.sql").write_text(text)
    return ("ab", "revenue", "--change", "new.sql", *SHORT)


def _files(root: Path) -> set[str]:
    lake = root / ".headrace/lake"
    return {str(path.relative_to(lake)) for path in lake.rglob("*") if path.is_file()}


@pytest.mark.long
def test_equal_change(shop: Project) -> None:
    """Would catch: keys that outside programs read and that are missing, rows counted wrongly, or
    anything left behind in the lake."""
    before = _files(shop.root)
    row = shop.json(*_change(shop, EQUAL))
    assert row.keys() >= {"id", "verdict", "change_percent", "ci95", "runs", "equal", "followed_up"}
    assert (row["equal"], row["rows"], row["difference"]) == (True, 3, None)
    assert row["verdict"] in ("faster", "slower", "no_effect", "inconclusive")
    assert row["partitions"][0] == "2025-03-03"
    assert row["ci95"][0] <= row["change_percent"] <= row["ci95"][1]
    sides = [run["side"] for run in row["runs"][:4]]
    assert sides == ["before", "after", "after", "before"]
    assert all(run["ms"] > 0 and run["peak_bytes"] >= 0 for run in row["runs"])
    assert _files(shop.root) == before
    (listed,) = shop.json("ab")
    assert (listed["id"], listed["verdict"], listed["runs"]) == (row["id"], row["verdict"], [])
    assert row["id"] in shop.text("ab")


def test_tried_code_is_never_taken_for_that_of_the_files(shop: Project) -> None:
    """Would catch: a trial's query in the cache, which later commands show, try and advise on."""
    time.sleep(RACY_NS / 1e9 + 0.1)  # the contents of files that were just written are compared
    shop.json("plan")
    failing = EQUAL.replace("count(id)", "count(cast(id as date))")
    code, _, _ = shop.call(shop.root, *_change(shop, failing))
    assert code != 0
    assert "as date" not in shop.text("render", "revenue")
    shop.json("optimize")
    assert shop.json("plan")["steps"] == []


@pytest.mark.parametrize(
    ("query", "difference"),
    [
        ("select day, sum(amount) as revenue, count(*) + 1 as orders from orders_clean group by day",
         "1 rows are missing and 1 are new"),
        ("select day, sum(amount) as total, count(*) as orders from orders_clean group by day",
         "the columns differ"),
        ("select day, sum(amount)::double as revenue, count(*) as orders from orders_clean group by 1",
         "the types differ: revenue is"),
        (f"select * from ({EQUAL}) union all select * from ({EQUAL})", "0 rows are missing"),
    ],
)  # fmt: skip
def test_different_results(shop: Project, query: str, difference: str) -> None:
    """Would catch: sets compared instead of multisets, names or types that aren't compared."""
    row = shop.json(*_change(shop, query))
    assert (row["verdict"], row["equal"], row["change_percent"]) == ("not_equal", False, None)
    assert difference in row["difference"]
    assert shop.json("ab")[0]["verdict"] == "not_equal"


def test_last_places_of_floats_are_named(shop: Project) -> None:
    """Would catch: floats that differ in their last places taken as equal, or as another result."""
    asset = "assets/orders_clean.sql"
    text = (shop.root / asset).read_text().replace("cast(amount as decimal(18,2))", "0.3::double")
    (shop.root / asset).write_text(text)
    (shop.root / "new.sql").write_text(text.replace("0.3::double", "0.1::double + 0.2::double"))
    row = shop.json("ab", "orders_clean", "--change", "new.sql", *SHORT)
    assert row["verdict"] == "not_equal"
    assert "only in the last places of floats" in row["difference"]
    (shop.root / "new.sql").write_text(text.replace("0.3::double", "-0.0::double"))
    (shop.root / asset).write_text(text.replace("0.3::double", "0.0::double"))
    row = shop.json("ab", "orders_clean", "--change", "new.sql", *SHORT)
    assert row["verdict"] == "not_equal"


def test_setting(shop: Project) -> None:
    """Would catch: a setting that is compared by other rows, or one beyond the machine."""
    row = shop.json("ab", "revenue", "--setting", "threads=1", *SHORT)
    assert (row["equal"], row["change"], row["followed_up"]) == (True, "threads=1", None)
    for typed in ("threads=0", "threads=9999", "speed=2", "threads", "memory=1KB"):
        shop.refused("ab", "revenue", "--setting", typed)


def test_chosen_partitions(shop: Project) -> None:
    """Would catch: other partitions than those that were named, or invented ones."""
    typed = ("ab", "revenue", "--setting", "threads=1", *SHORT, "--partitions")
    assert shop.json(*typed, "2025-03-01", "--partitions", "2025-03-02")["partitions"] == [
        "2025-03-01",
        "2025-03-02",
    ]
    assert shop.json(*typed, "2")["partitions"] == ["2025-03-03", "2025-03-01"]
    assert "isn't published" in shop.refused(*typed, "2024-01-01", code=3)
    shop.refused(*typed, "0")
    shop.refused(*typed, "nothing")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select day, random() as revenue from orders_clean", "random"),
        ("select day, now() as revenue from orders_clean", "now"),
        ("select day, amount from orders_clean limit 1", "LIMIT"),
        ("select day, first(amount) as amount from orders_clean group by day", "order of rows"),
        ("select day, my_function(amount) as amount from orders_clean", "my_function"),
    ],
)
def test_unrepeatable_queries_are_refused(shop: Project, query: str, reason: str) -> None:
    """Would catch: two runs of a query that differ by themselves, told as a change."""
    (shop.root / "new.sql").write_text(query)
    code, _, error = shop.call(shop.root, "ab", "revenue", "--change", "new.sql")
    assert code in (1, 2, 3)
    assert reason.lower() in error.lower()
    assert shop.json("ab") == []


def test_other_mistakes(shop: Project, new: Project) -> None:
    """Would catch: a trial without a change, of something else than SQL, or over nothing."""
    (shop.root / "new.sql").write_text(EQUAL)
    assert "one change" in shop.refused("ab", "revenue")
    assert "did you mean" in shop.refused("ab", "revenu", "--change", "new.sql")
    assert "only SQL assets" in shop.refused("ab", "page", "--setting", "threads=1", code=3)
    assert "can't be read" in shop.refused("ab", "revenue", "--change", "absent.sql")
    assert "can't be read" in shop.refused("ab", "revenue", "--change", "assets")
    same = (shop.root / "assets/revenue.sql").read_text()
    (shop.root / "new.sql").write_text(same)
    assert "as it is" in shop.refused("ab", "revenue", "--change", "new.sql")
    (shop.root / "new.sql").write_text(same.replace("by: day, column: day", "by: month"))
    assert "partition" in shop.refused("ab", "revenue", "--change", "new.sql")
    (shop.root / "new.sql").write_bytes(b"select \xff")
    assert "isn't UTF-8" in shop.refused("ab", "revenue", "--change", "new.sql")
    assert "is between" in shop.refused(
        "ab", "revenue", "--change", "new.sql", "--budget", "0s"
    ).replace("isn't", "is")
    (new.root / "new.sql").write_text(EQUAL)
    refusal = new.refused("ab", "revenue", "--change", "new.sql", code=3)
    assert "no published partition" in refusal
    assert new.json("ab") == []


def test_follow_up(shop: Project) -> None:
    """Would catch: a promise without what came of it, or real runs of other code counted."""
    row = shop.json(*_change(shop, EQUAL))
    asset = shop.root / "assets/revenue.sql"
    header = asset.read_text().split("*/\n")[0]
    asset.write_text(f"{header}*/\n{EQUAL}\n")
    shop.text("apply", "--yes")
    version = shop.json("versions")[0]["version"]
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state, state:
        (run, at) = state.execute("select max(run_id), max(finished_at) from attempt").fetchone()
        for n in range(12):
            old = n < 6
            after = at + (n - 20 if old else n + 1) * 3_600_000_000
            state.execute(
                "insert into attempt (epoch, n, run_id, node, kind, partitions, state, version,"
                " queued_at, started_at, finished_at, measures)"
                " values (0, ?, ?, 'revenue', 'produce', ?, 'published', ?, ?, ?, ?, ?)",
                (n + 1, run, json.dumps([f"day {n}"]), 1 if old else version, *[after] * 3,
                 json.dumps({"seconds": 2.0 if old else 1.5})),
            )  # fmt: skip
    (listed,) = shop.json("ab", "--now", "2025-03-08T08:00+01:00")
    assert listed["id"] == row["id"]
    assert listed["followed_up"]["percent"] == pytest.approx(-25.0)
    assert listed["followed_up"]["days"] == 1
