"""Why a run took as long as it did: its critical path, and slots and pools meanwhile."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from door_lab import Opened, opened
from serve_lab import deliver, headrace, project, write

from headrace.model import Settings
from headrace.store import Store
from headrace_ui.services.run_load import _Axis, _Mean

SLOW = (
    "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\nselect day, revenue,"
    " (select count(*) from range(20000000) where range % 7 = 1) as n from revenue\n"
)
QUICK = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\nselect day from orders\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    root = project(tmp_path_factory.mktemp("load") / "shop")
    write(root / "assets/slow.sql", SLOW)
    write(root / "assets/quick.sql", QUICK)
    deliver(root, "2025-03-01")
    headrace(root, "run", "orders", "revenue", "slow", "quick")
    with opened(root) as result:
        yield result


def test_the_critical_path_goes_from_the_last_attempt_back_to_the_start(door: Opened) -> None:
    """Would catch: a path with a gap, one through an asset that nobody waited for, or one that adds
    up to another time than the run took."""
    run = door.get("/api/v1/runs/1").json
    path = door.get("/api/v1/runs/1/path").json
    ledger, segments = path["ledger"], path["ledger"]["segments"]
    assert ledger["from"] == run["started_at"] and ledger["to"] <= run["finished_at"]
    assert all(one["to"] == other["from"] for one, other in pairwise(segments))
    assert sum(segment["seconds"] for segment in segments) == pytest.approx(ledger["wait_seconds"])
    nodes = [segment["node"] for segment in segments]
    assert nodes[-1] == "slow" and "quick" not in nodes and "revenue" in nodes
    by_id = {attempt["id"]: attempt["node"] for attempt in run["attempts"]}
    assert [by_id[number] for number in path["attempts"]] == ["orders", "revenue", "slow"]
    assert "took" in ledger["said"] and path["hidden"] is False


def test_slots_are_busy_while_attempts_run(door: Opened) -> None:
    """Would catch: more busy slots than there are, or a run that is busy by nobody."""
    run = door.get("/api/v1/runs/1").json
    load = door.get("/api/v1/runs/1/slots?steps=40").json
    (lane,) = load["lanes"]
    assert lane["name"] == "slots" and lane["size"] == 1
    assert load["from"] == run["started_at"] and load["to"] == run["finished_at"]
    assert len(lane["busy"]) == len(lane["by_run"]) == len(lane["waiting"]) == 40
    assert all(
        0 <= own <= busy <= 1 for own, busy in zip(lane["by_run"], lane["busy"], strict=True)
    )
    busy = sum(lane["by_run"]) * load["step_seconds"]

    def seconds(*kinds: str) -> float:
        phases = (phase for attempt in run["attempts"] for phase in attempt["phases"])
        return sum(phase["seconds"] for phase in phases if phase["kind"] in kinds)

    # A slot is free again before the leader has published, which takes long on a busy machine.
    assert 0.5 * seconds("run") <= busy <= 1.5 * seconds("run", "audit", "publish")
    assert sum(lane["waiting"]) > 0  # four nodes, one worker


def test_unknown_runs_and_steps_are_refused(door: Opened) -> None:
    """Would catch: a run that isn't there as an empty chart, or a request for a million steps."""
    for path in ("/runs/99/path", "/runs/99/slots", "/runs/x'/path", "/runs/1/slots?steps=100000"):
        assert door.get(f"/api/v1{path}").status in (400, 404), path


def test_a_run_that_failed_has_the_path_to_its_failure(tmp_path: Path) -> None:
    """Would catch: no path for the runs that somebody wants to understand."""
    root = project(tmp_path / "shop")
    write(
        root / "assets/broken.yaml",
        "asset: broken\nowner: core\npartition: day\ninputs: [orders]\ncommand: [sh, -c, 'sleep 0.3;"
        " exit 1']\ncolumns: {day: DATE}\n",
    )
    deliver(root, "2025-03-01")
    headrace(root, "run", "broken", code=1)
    with opened(root) as door:
        path = door.get("/api/v1/runs/1/path").json
        run = door.get("/api/v1/runs/1").json
    ledger = path["ledger"]
    assert ledger["segments"][-1]["node"] == "broken"
    assert ledger["wait_seconds"] == pytest.approx(
        sum(segment["seconds"] for segment in ledger["segments"])
    )
    nodes = {attempt["id"]: attempt["node"] for attempt in run["attempts"]}
    assert [nodes[number] for number in path["attempts"]] == ["orders", "broken"]


def test_pools_have_lanes_with_the_slots_that_attempts_take(tmp_path: Path) -> None:
    """Would catch: a full pool beside free slots that nobody sees, or other runs counted as this."""
    root = project(tmp_path / "shop")
    settings = (root / "headrace.toml").read_text(encoding="utf-8")
    write(root / "headrace.toml", settings + "[pools]\nvendor = 4\n")
    revenue = (root / "assets/revenue.sql").read_text(encoding="utf-8")
    write(root / "assets/revenue.sql", revenue.replace("owner: core", "owner: core\npool: vendor"))
    deliver(root, "2025-03-01")
    headrace(root, "run", "revenue")
    with Store.open(root, Settings(name="shop")) as store, store.write(None) as tx:
        for number in (800, 801):
            tx.execute(
                "insert into run (id, kind, request, actor, state, started_at, finished_at) values"
                " (?, 'run', '{}', 'ana', 'succeeded', 1000000, 5000000)",
                (number,),
            )
        tx.executemany(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
            " started_at, finished_at) values (900, ?, ?, 'revenue', 'produce', '[\"2025-03-02\"]',"
            " 'published', ?, ?, ?)",
            [
                (1, 800, 1_000_000, 1_000_000, 3_000_000),
                (2, 801, 1_000_000, 2_000_000, 4_000_000),
                (3, 800, 2_000_000, 4_000_000, 5_000_000),
                (4, 801, 4_500_000, 6_000_000, 7_000_000),
            ],
        )
    with opened(root) as door:
        lanes = {
            lane["name"]: lane for lane in door.get("/api/v1/runs/800/slots?steps=4").json["lanes"]
        }
    assert set(lanes) == {"slots", "vendor"} and lanes["vendor"]["size"] == 4
    assert lanes["vendor"]["busy"] == [1, 2, 1, 1]
    assert lanes["vendor"]["by_run"] == [1, 1, 0, 1]
    assert lanes["vendor"]["waiting"] == [1, 1, 1, 0.5]
    assert lanes["slots"]["size"] is None  # no leader with this number ever was


def test_means_add_up_to_the_spans_that_they_are_of() -> None:
    """Would catch: a part of a step that is counted twice or not at all."""
    for spans in ([(0, 10)], [(3, 4)], [(1, 9), (2, 3)], [(-5, 50)], [(7, 7)], [(9, None)]):
        mean = _Mean(_Axis(0, 10, 3))
        for begin, end in spans:
            mean.add(begin, end, 2)
        total = sum(
            2 * max(0, min(10, 10 if end is None else end) - max(0, begin)) for begin, end in spans
        )
        assert sum(mean.means()) * 10 / 3 == pytest.approx(total, abs=0.02), spans
