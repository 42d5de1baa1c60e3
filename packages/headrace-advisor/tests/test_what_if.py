"""`what-if`: its answer, the changes that it takes, and the mistakes that it names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clilab import FILES, NOW, Project

from headrace_advisor.services import what_if_memory

SHORT = ("--days", "5", "--samples", "3", "--now", NOW)


def test_answer(shop: Project) -> None:
    """Would catch: keys that outside programs read and that are missing, or another answer."""
    answer = shop.json("what-if", "--set", "workers=4", *SHORT)
    assert (answer["seed"], answer["days"], answer["samples"]) == (1, 5, 3)
    assert answer["changes"] == ["workers: 4 instead of 1"]
    assert answer["backtest"] is None
    assert answer.keys() >= {"consumers", "next_bottleneck"}
    assert answer["consumers"].keys() == {"morning-report", "dashboard"}
    for row in answer["consumers"].values():
        assert row["now"].keys() == row["then"].keys() >= {"p50", "p95", "kept"}
        assert row["now"]["p50"] > 0
    assert shop.json("what-if", "--set", "workers=4", *SHORT)["consumers"] == answer["consumers"]


def test_words(shop: Project) -> None:
    """Would catch: an answer that doesn't say what changes for whom, and how good it is."""
    text = shop.text("what-if", "--set", "source.orders.delay=3h", *SHORT)
    assert "orders delivers 3 h 00 min later" in text
    assert "morning-report: 3 h 00 min later in the typical case" in text
    assert "--seed 1" in text
    assert "not tested on past days: too few deliveries are known" in text


def test_what_is_not_delivered_is_named(shop: Project) -> None:
    """Would catch: a change after which nothing is delivered, told as one without an answer."""
    text = shop.text("what-if", "--set", "asset.revenue.cron=0 0 1 1 *", *SHORT)
    never = "morning-report: fewer than half of its intervals are delivered; in time 0.0 %"
    assert never in text
    assert "dashboard: no difference" in text


def test_less_memory_names_what_used_more(shop: Project) -> None:
    """Would catch: durations with less memory that were made up, a change of memory without what
    isn't known of it."""
    less = shop.json("what-if", "--set", "memory=128MiB", *SHORT)
    (change,) = less["changes"]
    assert re.fullmatch(
        r"an attempt may use 128 MiB of memory instead of [\d.]+ [MG]iB on this machine", change
    )
    notes = " ".join(less["notes"])
    assert "not by memory" in notes
    assert "isn't known" in notes or "no measured attempt" in notes
    for row in less["consumers"].values():
        assert row["now"] == row["then"]
    both = shop.json("what-if", "--set", "workers=8", "--set", "memory=900GB", *SHORT)
    assert "never measured" in " ".join(both["notes"])


def test_memory_is_said_in_the_units_of_the_change(shop: Project) -> None:
    """Would catch: 128 MiB answered as 134 MB, and a declared limit told as that of a machine."""
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text().replace("[run]\n", '[run]\nmemory_max = "2GiB"\n'))
    for given, expected in (
        ("512MiB", "an attempt may use 512 MiB of memory instead of 2.0 GiB"),
        ("500MB", "an attempt may use 500 MB of memory instead of 2.1 GB"),
    ):
        answer = shop.json("what-if", "--set", f"memory={given}", *SHORT)
        assert answer["changes"] == [expected]


def test_memory_of_workers_elsewhere_is_not_known(shop: Project) -> None:
    """Would catch: the memory of this machine told as that of the workers of a cluster."""
    settings = shop.root / "headrace.toml"
    cluster = '[run]\nexecutor = "dask"\ndask = "tcp://scheduler.example:8786"\n'
    declared = settings.read_text()
    settings.write_text(declared.replace("[run]\n", cluster))
    answer = shop.json("what-if", "--set", "memory=2GB", *SHORT)
    (change,) = answer["changes"]
    assert change.startswith("an attempt may use 2.0 GB of memory; how much it may use now isn't")
    assert "faster" not in " ".join(answer["notes"])
    settings.write_text(declared.replace("[run]\n", f'{cluster}memory_max = "1GB"\n'))
    answer = shop.json("what-if", "--set", "memory=2GB", *SHORT)
    assert answer["changes"] == ["an attempt may use 2.0 GB of memory instead of 1.0 GB"]


def test_other_changes_ask_nothing_of_memory(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: each simulation reads all Python files to learn what an attempt may use."""
    calls: list[object] = []
    monkeypatch.setattr(what_if_memory, "worker_settings", lambda *given: calls.append(given))
    assert shop.json("what-if", "--set", "workers=4", *SHORT)["changes"]
    assert not calls


def test_nothing_has_run(tmp_path: Path, call: Callable[..., Any]) -> None:
    """Would catch: figures on the first day that come from nowhere."""
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(tmp_path, call)
    assert "nothing is applied yet" in project.refused("what-if", code=1)
    project.text("apply", "--yes")
    answer = project.json("what-if", "--set", "workers=4")
    assert answer["samples"] == 0
    assert all(row["then"]["p50"] is None for row in answer["consumers"].values())
    assert "nothing has run in the last 90 days" in answer["lacking"][0]
    assert "nothing can be simulated" in project.text("what-if", "--set", "workers=4")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("workers=0", "whole number from 1"),
        ("workers=many", "whole number from 1"),
        ("memory=2", "`memory=2`: '2' isn't an amount of memory"),
        ("memory=1MB", "less than an attempt needs"),
        ("memory.x=2GB", "isn't something to simulate"),
        ("worker=4", "--set takes workers=4"),
        ("workers", "isn't something to simulate"),
        ("asset.revenu.speed=2", "did you mean `revenue`?"),
        ("asset.revenue.speed=0", "factor from"),
        ("asset.revenue.speed=fast", "2 is twice"),
        ("asset.revenue.colour=red", "isn't something to simulate"),
        ("asset.revenue.cron=every day", "`asset.revenue.cron=every day`: 'every day' doesn't"),
        ("asset.revenue.priority=high", "such as 10"),
        ("pool.x=2", "there is no pool 'x'"),
        ("source.nobody.delay=1h", "there is no source 'nobody'"),
        ("source.orders.delay=8d", "at most 7 days"),
        ("source.orders.delay=soon", "`source.orders.delay=soon`: 'soon' isn't a duration"),
        ("source.orders.volume=-1", "this is a factor"),
        ("consumer.nobody.due=07:30", "there is no consumer 'nobody'"),
        ("consumer.dashboard.due=late", "`consumer.dashboard.due=late`: 'late' isn't a time"),
        ("consumer.new.reads=revenue", "--set consumer.new.due=07:30"),
        ("consumer.new.reads=nothing", "there is no asset or source 'nothing'"),
        ("consumer.dashboard.reads=revenue", "is declared already"),
        ("consumer.new.reads=,", "names no asset"),
        ("machine.speed=", "isn't something to simulate"),
        ("workers.lost=25:00", "such as 03:00"),
    ],
)
def test_mistakes(shop: Project, typed: str, message: str) -> None:
    """Would catch: a mistake that is simulated as something else, or named without what to do."""
    assert message in shop.refused("what-if", "--set", typed)


def test_assets_that_consumers_read_are_needed(shop: Project) -> None:
    """Would catch: a consumer that is delivered something that isn't there."""
    refused = shop.refused("what-if", "--without", "revenue")
    assert "morning-report reads revenue" in refused
    assert "there is no asset 'nobody'" in shop.refused("what-if", "--without", "nobody")


def test_one_more_consumer(shop: Project) -> None:
    """Would catch: a consumer that isn't declared and has no row, or a row of today's."""
    more = ("--set", "consumer.board.reads=revenue", "--set", "consumer.board.due=06:00")
    row = shop.json("what-if", *more, *SHORT)["consumers"]["board"]
    assert row["now"] is None
    assert row["then"]["kept"] is not None
    assert row["due"] == "06:00"


def test_the_cheapest_way_to_keep_a_time(shop: Project) -> None:
    """Would catch: an answer without the way, its cost or its share; a deadline of another consumer
    than the named one; `now` with the wanted deadline instead of the declared one."""
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text() + '[costs]\ncurrency = "EUR"\nslot_hour = 3600.0\n')
    shop.text("apply", "--yes")
    # two of five deliveries were there by 23:00
    answer = shop.json("what-if", "--keep", "morning-report=23:00", "--in", "10%", *SHORT)
    keep = answer["keep"]
    assert (keep["due"], keep["percent"], keep["consumers"]) == ("23:00", "10", ["morning-report"])
    assert (keep["reached"], keep["changes"]) == (True, [])
    assert answer["consumers"]["morning-report"]["due"] == "23:00"
    busy = answer["busy_seconds"]
    assert answer["cost_month"]["now"] == pytest.approx(busy["now"] * 30, abs=0.01)
    assert answer["cost_month"]["currency"] == "EUR"
    early = shop.json("what-if", "--keep", "00:30", *SHORT)["keep"]
    assert (early["reached"], early["consumers"]) == (False, ["morning-report"])
    assert "can't be kept" in early["text"]
    assert "even if all work took no time" in shop.text("what-if", "--keep", "00:30", *SHORT)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--in", "99%"), "--in belongs to --keep"),
        (("--keep", "nobody=07:00"), "there is no consumer 'nobody'"),
        (("--keep", "25:00"), "no time of day"),
        (("--keep", "07:00", "--in", "120%"), "isn't a percentage"),
        (("--keep", "07:00", "--in", "nan"), "isn't a percentage"),
        (("--keep", ""), "isn't something to simulate"),
    ],
)
def test_a_wish_that_cannot_be_read(shop: Project, arguments: tuple[str, ...], error: str) -> None:
    """Would catch: a wish that is taken for another one."""
    code, _, text = shop.call(shop.root, "what-if", *arguments, *SHORT)
    assert code in (1, 2)
    assert error in text


BACKFILL = ("--backfill", "revenue", "--from", "2025-03-02", "--to", "2025-03-03")


def test_a_backfill_tonight(shop: Project) -> None:
    """Would catch: an answer that doesn't say when the backfill is done and who is late, and one in
    which something is computed or written."""
    before = shop.json("backfills", "--now", NOW)
    answer = shop.json("what-if", *BACKFILL, "--at", "22:00", "--samples", "3", "--now", NOW)
    row = answer["backfill"]
    assert row["partitions"] >= 1
    assert row["at"][11:16] == "22:00"
    assert row["at"] < row["done_p50"] <= row["done_p95"]
    assert (row["not_done"], row["late"]) == (0, [])
    assert row["command"].startswith("headrace backfill revenue --from 2025-03-02")
    assert answer["changes"] == ["a backfill"]
    text = shop.text("what-if", *BACKFILL, "--samples", "3", "--now", NOW)
    assert "nobody is late because of it in 3 samples" in text
    assert " 22:00 and is done " in text
    assert shop.json("backfills", "--now", NOW) == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--from", "2026-03-02"), "belong to --backfill"),
        (("--at", "22:00"), "belong to --backfill"),
        ((*BACKFILL, "--at", "25:00"), "no time of day"),
        ((*BACKFILL, "--at", "22"), "no time of day"),
        ((*BACKFILL, "--keep", "07:00"), "can't be simulated together"),
        ((*BACKFILL, "--without", "orders_clean"), "reads orders_clean"),
        (("--backfill", "revenue"), "needs a range"),
        (("--backfill", "nobody", "--from", "2026-03-02"), "nobody"),
        (("--backfill", "revenue", "--from", "1990-01-01", "--to", "1990-01-02"), "nothing"),
        (("--backfill", "revenue", "--from", "soon"), "soon"),
    ],
)
def test_a_backfill_that_cannot_be_simulated(
    shop: Project, arguments: tuple[str, ...], error: str
) -> None:
    """Would catch: a backfill that is taken for another one, or an answer about none."""
    code, _, text = shop.call(shop.root, "what-if", *arguments, "--samples", "2", "--now", NOW)
    assert code in (1, 2)
    assert error in text
