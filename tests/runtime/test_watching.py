"""Folders that are watched, and looks that overlap."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from headrace.connect import DetectedDelivery
from headrace.model import Grain, PartitionSpec, Place, Settings, Source
from headrace.runtime.observations import SourceObservation, record_observations
from headrace.runtime.source_watch import FolderWatcher, places
from headrace.security.state import open_state
from headrace.store.queries import deliveries


def source(name: str, files: str, grain: Grain | None = Grain.DAY) -> Source:
    return Source(
        name=name,
        owner="core",
        place=Place(file="x", line=1),
        files=files,
        partition=PartitionSpec(grain=grain),
    )


def test_the_folder_before_the_first_name_that_varies_is_watched(tmp_path: Path) -> None:
    """A folder that nobody watches, or one that holds Headrace's own files and never is quiet."""
    for folder in ("landing", "deep/a", "data"):
        (tmp_path / folder).mkdir(parents=True)
    result = places(
        tmp_path,
        tmp_path / ".headrace",
        [
            source("plain", "landing/x_{date:%Y-%m-%d}.csv"),
            source(
                "deep",
                "deep/{date:%Y}/{date:%m-%d}.csv".replace(
                    "{date:%Y}/{date:%m-%d}", "{date:%Y/%m-%d}"
                ),
            ),
            source("top", "top.csv", None),
            source("everywhere", "*/x.csv", None),
            source("missing", "nowhere/x.csv", None),
            source("far", "s3://bucket/x.csv", None),
        ],
    )
    assert {name: (place.folder, place.deep) for name, place in result.items()} == {
        "plain": (tmp_path / "landing", False),
        "deep": (tmp_path / "deep", True),
        "top": (tmp_path, False),
    }


@pytest.mark.parametrize("deep", [False, True])
def test_a_change_rings_and_names_its_sources(tmp_path: Path, deep: bool) -> None:
    """A file that lands is found by the next round only, or every source is looked at for each
    file.
    """
    for folder in ("one/below", "two"):
        (tmp_path / folder).mkdir(parents=True)
    pattern = "{0}/*/x.csv" if deep else "{0}/*.csv"
    wanted = places(
        tmp_path,
        tmp_path / ".headrace",
        [source(name, pattern.format(name), None) for name in ("one", "two")],
    )
    rung = threading.Event()
    watch = FolderWatcher(rung.set)
    assert watch.watch(wanted) and not watch.watch(wanted)
    try:
        assert rung.wait(10)
        assert watch.changed() == {"one", "two"}, "what happened before is known to nobody"
        rung.clear()
        (tmp_path / "one" / ("below" if deep else "") / "x.csv").touch()
        assert rung.wait(10)
        assert watch.changed() == {"one"}
    finally:
        watch.close()


def test_two_looks_at_once_write_a_delivery_once(tmp_path: Path) -> None:
    """A round comes while a slow look is under way: both find the file, and it is
    ingested twice.
    """
    orders = source("orders", "landing/x_{date:%Y-%m-%d}.csv")
    result = DetectedDelivery("orders", "2026-03-02", "landing/x_2026-03-02.csv", 10, 1_000_000)
    seen = [SourceObservation(orders, (result,), (), None)]
    with open_state(tmp_path, Settings(name="shop"), create=True) as store, store.write(None) as tx:
        assert len(record_observations(tx, seen, now=2_000_000, began=1_500_000)) == 1
        assert record_observations(tx, seen, now=3_000_000, began=1_600_000) == []
        assert len(record_observations(tx, seen, now=4_000_000, began=3_500_000)) == 1, (
            "a look that began later has seen something new"
        )
        assert len(deliveries.found_since(tx, "orders", 0)) == 1
