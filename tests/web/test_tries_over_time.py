"""A run over time: a try that follows another one says how long it waited for its turn to be tried
again.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from door_lab import opened
from serve_lab import deliver, headrace, project, write

from headrace.model import Settings
from headrace.store import Store

NOW = "2025-03-02T08:00"


def test_the_wait_for_another_try_is_a_segment_and_they_follow_each_other(tmp_path: Path) -> None:
    """Would catch: a retry whose wait looks as if the worker had slept, or a gap in the bar that
    nobody explains.
    """
    root = project(tmp_path / "shop")
    write(
        root / "assets/later.yaml",
        "asset: later\nowner: core\npartition: day\ninputs: [orders]\ncommand: [sh, -c, 'exit"
        " 75']\ncolumns: {day: DATE}\nattempts_max: 2\n",
    )
    deliver(root, "2025-03-01")
    headrace(root, "run", "later", "--now", NOW, code=1)
    with opened(root) as door:
        attempts = [
            item for item in door.get("/api/v1/runs/1").json["attempts"] if item["node"] == "later"
        ]
    first, second = attempts
    kinds = [phase["kind"] for phase in second["phases"]]
    assert "retry" not in [phase["kind"] for phase in first["phases"]] and kinds[0] == "retry"
    assert second["phases"][0]["from"] == first["phases"][-1]["to"]
    assert all(item["to"] == other["from"] for item, other in pairwise(second["phases"]))


def test_a_failure_beyond_the_first_page_is_counted_and_found(tmp_path: Path) -> None:
    """Would catch: "All of them got through" over the first 500 of 701 attempts, one of which
    failed."""
    root = project(tmp_path / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    with Store.open(root, Settings(name="shop")) as store, store.write(None) as tx:
        run = tx.execute("select max(id) from run").fetchone()[0]
        tx.executemany(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
            " started_at, finished_at) values (900, ?, ?, 'revenue', 'produce', '[\"2025-03-01\"]',"
            " ?, 0, 0, 1)",
            [(n, run, "failed" if n == 700 else "published") for n in range(1, 701)],
        )
    with opened(root) as door:
        whole = door.get(f"/api/v1/runs/{run}").json
        failed = door.get(f"/api/v1/runs/{run}?failed=true").json
    assert len(whole["attempts"]) == 500 and whole["next"]
    assert whole["counts"]["failed"] == 1 and sum(whole["counts"].values()) > 700
    assert [item["id"] for item in failed["attempts"]] == ["900.700"] and failed["next"] is None
    assert failed["counts"] == whole["counts"]
