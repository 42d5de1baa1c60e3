"""Folders that are watched, and looks that overlap."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serve_lab import until

from headrace.connect import DetectedDelivery
from headrace.model import Grain, PartitionSpec, Place, Settings, Source
from headrace.runtime.inotify import is_written_to
from headrace.runtime.observations import SourceObservation, record_observations
from headrace.runtime.source_watch import Closes, FolderWatcher, places
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


@contextmanager
def _watching(root: Path, files: str) -> Iterator[FolderWatcher]:
    """A watcher of one source's folder that has begun."""
    rung = threading.Event()
    watch = FolderWatcher(rung.set)
    watch.watch(places(root, root / ".headrace", [source("s", files, None)]))
    try:
        assert rung.wait(10)
        yield watch
    finally:
        watch.close()


def _finished(watch: FolderWatcher, root: Path, path: str) -> bool:
    """Wait until a file that nobody writes to counts as finished."""
    return until(lambda: path in watch.finished(root))


ROWS = "day,amount\n2025-03-01,1\n"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says it")


@linux
def test_a_file_that_is_open_for_writing_isnt_finished(tmp_path: Path) -> None:
    """Would catch: half a file that is ingested, because its last line is complete and nothing was
    written for a moment.
    """
    (tmp_path / "landing").mkdir()
    with _watching(tmp_path, "landing/*.csv") as watch:
        with (tmp_path / "landing/slow.csv").open("w") as writer:
            writer.write(ROWS)
            writer.flush()
            (tmp_path / "landing/slow.csv").open("a").close()  # another writer has closed it
            (tmp_path / "landing/later.csv").write_text(ROWS)
            assert _finished(watch, tmp_path, "landing/later.csv")
            assert "landing/slow.csv" not in watch.finished(tmp_path)
        (tmp_path / "landing/whole.csv").write_text(ROWS)
        (tmp_path / "landing/.part").write_text(ROWS)
        (tmp_path / "landing/.part").rename(tmp_path / "landing/moved.csv")
        for name in ("whole", "moved"):
            assert _finished(watch, tmp_path, f"landing/{name}.csv")
        assert "s" in watch.changed()


@linux
def test_a_file_that_is_written_in_pieces_must_become_quiet(tmp_path: Path) -> None:
    """Would catch: a file of a script that opens and closes it for each of its parts."""
    folder = tmp_path / "landing"
    folder.mkdir()
    closes = Closes()
    path, other = folder / "a.csv", folder / "b.csv"
    path.write_text(ROWS)
    closes.note(path, 100.0, moved=False)
    assert closes.check(100.03) == []
    path.write_text(ROWS * 2)  # the second part, before the first counted
    closes.note(path, 100.03, moved=False)
    assert closes.check(200.0) == []
    closes.note(path, 200.0, moved=False)  # a correction, long after
    assert closes.check(201.0) == [path]
    path.write_text(ROWS * 3)  # a part after the file counted as finished
    closes.note(path, 201.0, moved=False)
    assert closes.finished_below(tmp_path, 201.0) == {}
    other.write_text(ROWS)
    closes.note(other, 300.0, moved=False)
    assert closes.check(400.0) == [], "the writers of this folder write in pieces"
    closes.note(other, 400.0, moved=True)
    assert closes.check(400.0) == [other], "what is moved here is whole"
    facts = other.stat()
    signature = facts.st_size, facts.st_mtime_ns // 1000
    assert closes.finished_below(tmp_path, 401.0) == {"landing/b.csv": signature}
    assert closes.finished_below(folder, 401.0) == {"b.csv": signature}
    assert closes.finished_below(tmp_path, 500.0) == {}
    other.unlink()
    closes.note(other, 600.0, moved=False)
    assert closes.check(700.0) == []


@linux
def test_folders_that_come_later_are_watched(tmp_path: Path) -> None:
    """Would catch: a month's new folder whose files are found by rounds only, and a folder that was
    deleted and made again.
    """
    (tmp_path / "landing").mkdir()
    with _watching(tmp_path, "landing/*/*.csv") as watch:
        (tmp_path / "landing/2025").mkdir()
        until(lambda: watch.changed() == {"s"})

        def written() -> bool:  # the new folder's watch begins at an unknown time
            (tmp_path / "landing/2025/03-01.csv").unlink(missing_ok=True)
            (tmp_path / "landing/2025/.part").write_text(ROWS)
            (tmp_path / "landing/2025/.part").rename(tmp_path / "landing/2025/03-01.csv")
            return "landing/2025/03-01.csv" in watch.finished(tmp_path)

        until(written)
        shutil.rmtree(tmp_path / "landing")
        (tmp_path / "landing").mkdir()
        until(lambda: "s" in watch.changed())
        sources = [source("s", "landing/*.csv", None)]
        assert until(lambda: watch.watch(places(tmp_path, tmp_path / ".headrace", sources)))
        (tmp_path / "landing/x.csv").write_text(ROWS)
        assert _finished(watch, tmp_path, "landing/x.csv")


@linux
def test_asking_whether_a_file_is_written_to_harms_nobody(tmp_path: Path) -> None:
    """Would catch: a process that is ended by the signal which the system sends when somebody opens
    the file meanwhile, and a writer that is refused.
    """
    path = tmp_path / "x.csv"
    path.write_text(ROWS)
    assert not is_written_to(path)
    assert not is_written_to(tmp_path / "nothing")
    program = f"for n in range(20000): open({str(path)!r}, 'a').close()"
    with subprocess.Popen([sys.executable, "-c", program]) as writer:
        while writer.poll() is None:
            is_written_to(path)
    assert writer.returncode == 0
    with path.open("a"):
        assert is_written_to(path)
    assert not is_written_to(path)


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
