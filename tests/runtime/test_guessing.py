"""What is guessed of a backfill of which too little has run: by kind of code, bytes and machine."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from runlab import Lab

from headrace.plan import Compiled
from headrace.plan.backfills import Backfill, BackfillSpan, Chosen, Mode, Publishes
from headrace.project.session import Silent
from headrace.runtime import estimates
from headrace.runtime.estimates import Machine, guess_backfill

FIRST, LAST = "2025-01-01", "2025-12-31"


def backfill(*names: str) -> Backfill:
    span = (BackfillSpan(FIRST, LAST),)
    chosen = tuple(
        Chosen(name, span, 365, "missing", "taken_in" if name == "orders" else "staged")
        for name in names
    )
    return Backfill(
        mode=Mode.MISSING, chosen=chosen, skipped=(), steps=(), publishes=Publishes.ATOMICALLY
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """One source, and an asset of each kind of code."""
    lab = Lab(Path(tmp_path_factory.mktemp("guessing")) / "p")
    day = "partition: {by: day, column: day}"
    lab.sql("sums", "select day, sum(amount) as total from orders group by day", day)
    lab.python(
        "script",
        "def script(ctx: Context, sums):\n    return sums",
        partition="day",
        inputs=["sums"],
    )
    lab.write(
        "assets/program.yaml",
        "asset: program\nowner: core\npartition: day\ninputs: [sums]\ncommand: ['true']\n",
    )
    session = lab.session()
    files, compilation = session.declared_exactly(Silent())
    assert files and compilation.compiled is not None
    return compilation.compiled


def seconds(compiled: Compiled, *names: str, slowness: float = 1.0, size: float = 0.0) -> float:
    return guess_backfill(compiled, backfill(*names), 2, Machine(slowness, {"orders": size}))


def test_a_guess_follows_the_kind_of_code(compiled: Compiled) -> None:
    """Would catch: 18.6 s for a year of four assets that takes 7: SQL in batches counted as if each
    of its days were an attempt, and a program that is started for each as if it weren't."""
    sql, script, program = (seconds(compiled, name) for name in ("sums", "script", "program"))
    assert sql < script < program
    assert program > 365 * estimates.COMMAND.seconds_partition / 2
    assert seconds(compiled, "orders", "sums") > seconds(compiled, "orders")


def test_a_guess_follows_bytes_and_machine(compiled: Compiled) -> None:
    """Would catch: gigabytes guessed like kilobytes, and a machine taken for one three times as
    fast."""
    assert seconds(compiled, "orders", size=50e6) > 20 * seconds(compiled, "orders", size=50e3)
    slow = seconds(compiled, "orders", "sums", slowness=3.0)
    # Batches take about a second, so a worker may be without work at the end.
    assert slow == pytest.approx(3 * seconds(compiled, "orders", "sums"), rel=0.25)


def test_how_slow_a_machine_is_is_measured_once_a_day(tmp_path: Path) -> None:
    """Would catch: a measurement with each plan, one that a damaged file stops, and one that is
    believed for ever."""
    kept = tmp_path / "cache" / estimates.SPEED_FILE
    result = estimates.slowness(tmp_path / "cache")
    assert 1 / estimates.SLOWNESS_MAX <= result <= estimates.SLOWNESS_MAX
    assert estimates.slowness(tmp_path / "cache") == result

    kept.write_text(json.dumps({"slowness": 7.5, "at": time.time() - 60}))
    assert estimates.slowness(tmp_path / "cache") == 7.5
    for other in (
        "{",
        "[]",
        '{"slowness": "nan", "at": 0}',
        json.dumps({"slowness": 7.5, "at": time.time() - 2 * estimates.SPEED_CACHE_SECONDS}),
    ):
        kept.write_text(other)
        assert estimates.slowness(tmp_path / "cache") != 7.5


def test_a_folder_that_cannot_be_written_keeps_nobody_from_planning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert estimates.slowness(tmp_path / "file" / "cache") > 0
