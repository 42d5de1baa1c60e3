from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import msgspec
import pytest

from headrace.connect.deliveries import (
    CannotRead,
    DetectedDelivery,
    Observation,
    arrival,
    claimed_arrival,
)
from headrace.connect.files import NOTES_MAX, observe
from headrace.connect.patterns import compile_pattern
from headrace.connect.raw_files import ChangedWhileRead, store_raw
from headrace.model import Complete, Grain, NotBuilt, PartitionSpec, Place, ProjectError, Source

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
pytestmark = pytest.mark.usefixtures("waits_of_users")


def source(
    files: str,
    grain: Grain | None = Grain.DAY,
    *,
    timezone: str = "UTC",
    complete: Complete | None = None,
) -> Source:
    return Source(
        name="s",
        owner="o",
        files=files,
        partition=PartitionSpec(grain=grain),
        timezone=timezone,
        complete=complete or Complete(),
        place=Place(file="sources/s.yaml"),
    )


def put(root: Path, path: str, data: bytes = b"a,b\n1,2\n", *, age: float = 3600) -> Path:
    """A file that was last written `age` seconds before NOW."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    os.utime(file, ns=(int(NOW - age * SECOND) * 1000,) * 2)
    return file


def seen(root: Path, item: Source, **known: tuple[int, int]) -> Observation:
    return observe(root, item, known=known, now_us=NOW)


def keys(result: Observation) -> list[str]:
    return [found.partition for found in result.found]


NAMES = [
    ("x_{date:%Y-%m-%d}.csv", Grain.DAY, "UTC", "x_2013-02-11.csv", "2013-02-11"),
    ("{date:%Y/%m/%d}/x.csv", Grain.DAY, "UTC", "2013/02/11/x.csv", "2013-02-11"),
    ("x_{date:%Y%m%d}_*.csv", Grain.DAY, "UTC", "x_20130211_v 2.csv", "2013-02-11"),
    ("x_{date:%y%j}.csv", Grain.DAY, "UTC", "x_13042.csv", "2013-02-11"),
    ("x_{date:%d%b%Y}.csv", Grain.DAY, "UTC", "x_11Feb2013.csv", "2013-02-11"),
    ("x_{date:%G-W%V-%u}.csv", Grain.DAY, "UTC", "x_2013-W07-1.csv", "2013-02-11"),
    ("x_{date:%G-W%V}.csv", Grain.WEEK, "UTC", "x_2013-W07.csv", "2013-W07"),
    ("x_{date:%Y-%m-%d}.csv", Grain.WEEK, "UTC", "x_2013-02-11.csv", "2013-W07"),
    ("x_{date:%Y-%m}.csv", Grain.MONTH, "UTC", "x_2013-02.csv", "2013-02"),
    ("x_{date:%Y-Q%q}.csv", Grain.QUARTER, "UTC", "x_2013-Q1.csv", "2013-Q1"),
    ("x_{date:%Y}.csv", Grain.YEAR, "UTC", "x_2013.csv", "2013"),
    (
        "x_{date:%Y%m%d%H}.csv",
        Grain.HOUR,
        "America/New_York",
        "x_2013021113.csv",
        "2013-02-11T13:00-05:00",
    ),
    (
        "x_{date:%Y%m%dT%H%M%z}.csv",
        Grain.HOUR,
        "America/New_York",
        "x_20131103T0130-0500.csv",
        "2013-11-03T01:00-05:00",
    ),
    (
        "x_{date:%Y%m%dT%H%z}.csv",
        Grain.HOUR,
        "America/New_York",
        "x_20130211T18Z.csv",
        "2013-02-11T13:00-05:00",
    ),
    ("{date:%Y}/x_{date}.csv".replace("{date}", "*"), Grain.YEAR, "UTC", "2013/x_any.csv", "2013"),
    ("{date:%Y/%Y-%m-%d}.csv", Grain.DAY, "UTC", "2013/2013-02-11.csv", "2013-02-11"),
    ("*/x_{date:%Y-%m-%d}.csv", Grain.DAY, "UTC", "vendor a/x_2013-02-11.csv", "2013-02-11"),
    ("x.(1)+[{date:%Y}]$.csv", Grain.YEAR, "UTC", "x.(1)+[2013]$.csv", "2013"),
    ("ref/planes.csv", None, "UTC", "ref/planes.csv", "*"),
    ("ref/planes_*.csv", None, "UTC", "ref/planes_2.csv", "*"),
]


@pytest.mark.parametrize(("pattern", "grain", "zone", "path", "key"), NAMES)
def test_the_interval_is_in_the_name(
    tmp_path: Path, pattern: str, grain: Grain | None, zone: str, path: str, key: str
) -> None:
    """Would catch: another interval than the name says, for each grain."""
    put(tmp_path, f"landing/{path}")
    result = seen(tmp_path, source(f"landing/{pattern}", grain, timezone=zone))
    assert [(found.partition, found.path) for found in result.found] == [(key, f"landing/{path}")]
    assert result.notes == ()


NOT_MATCHING = [
    "x_2013-2-11.csv",
    "x_2013-02-11.csv.bak",
    "ax_2013-02-11.csv",
    "x_2013-02-11xcsv",
    "X_2013-02-11.csv",
    "x_٢٠١٣-02-11.csv",
    ".x_2013-02-11.csv",
    "x_2013-02-11.csv.tmp",
    "x_2013-02-11.csv.part",
    "x_2013-02-11.csv~",
    "x_2013-02-11.csv\n",
]


@pytest.mark.parametrize("name", NOT_MATCHING)
def test_names_match_strictly(tmp_path: Path, name: str) -> None:
    """Would catch: half-copied, hidden and merely similar files ingested."""
    put(tmp_path, f"landing/{name}")
    assert seen(tmp_path, source("landing/x_{date:%Y-%m-%d}.csv")) == Observation()


@pytest.mark.parametrize(
    "name",
    ["x_2013-02-11.csv.part", ".x_2013-02-11.csv", "~x_2013-02-11.csv", "x_2013-02-11.csv.tmp"],
)
def test_unfinished_files_do_not_match_a_star(tmp_path: Path, name: str) -> None:
    """Would catch: a wildcard that takes what a copying program is still writing."""
    put(tmp_path, f"landing/{name}")
    assert seen(tmp_path, source("landing/*x_{date:%Y-%m-%d}*")) == Observation()


@pytest.mark.parametrize(
    ("pattern", "grain", "name"),
    [
        ("x_{date:%Y-%m-%d}.csv", Grain.DAY, "x_2013-02-30.csv"),
        ("x_{date:%Y%j}.csv", Grain.DAY, "x_2013366.csv"),
        ("x_{date:%G%V}.csv", Grain.WEEK, "x_201353.csv"),
        ("x_{date:%Y-%m}.csv", Grain.MONTH, "x_2013-13.csv"),
        ("x_{date:%Y%m%d%H}.csv", Grain.HOUR, "x_2013031002.csv"),
        ("x_{date:%Y-%m-%d}.csv", Grain.DAY, "x_0000-01-01.csv"),
        ("x_{date:%Y%m%d%H}.csv", Grain.HOUR, "x_0999123123.csv"),
        ("x_{date:%d%b%Y}.csv", Grain.DAY, "x_11Foo2013.csv"),
        ("x_{date:%Y%m%d%H%z}.csv", Grain.HOUR, "x_2013021113+9999.csv"),
    ],
)
def test_dates_that_do_not_exist_are_noted(
    tmp_path: Path, pattern: str, grain: Grain, name: str
) -> None:
    """Would catch: 30 February taken as 2 March, and a file that is ignored without a word."""
    put(tmp_path, f"landing/{name}")
    result = seen(tmp_path, source(f"landing/{pattern}", grain, timezone="America/New_York"))
    assert result.found == ()
    assert [(note.code, note.path) for note in result.notes] == [
        ("delivery_date", f"landing/{name}")
    ]


@pytest.mark.parametrize(
    ("pattern", "grain"),
    [
        ("x.csv", Grain.DAY),
        ("x_{date:%Y-%m}.csv", Grain.DAY),
        ("x_{date:%Y-%m-%d}.csv", Grain.HOUR),
        ("x_{date:%Y-%m-%d}.csv", None),
        ("x_{date:%Q}.csv", Grain.DAY),
        ("{date:%Y}{date:%m}.csv", Grain.MONTH),
        ("../x_{date:%Y-%m-%d}.csv", Grain.DAY),
        ("/x_{date:%Y}.csv", Grain.YEAR),
        ("{day}_{date:%Y}.csv", Grain.YEAR),
        ("a*b*c*d*e.csv", None),
        ("", None),
        ("x\0", None),
        ("..", None),
    ],
)
def test_patterns_that_cannot_be_used(pattern: str, grain: Grain | None) -> None:
    """Would catch: a pattern that leaves the project, or that silently never matches."""
    with pytest.raises(ProjectError) as refused:
        compile_pattern(pattern, grain)
    assert refused.value.hint


def test_a_source_without_files_is_not_looked_at_here() -> None:
    """Would catch: a source of another kind that silently finds nothing."""
    with pytest.raises(NotBuilt):
        observe(Path("/nonexistent"), Source(name="s", owner="o", place=Place(file="x")), known={})


@pytest.mark.parametrize(
    ("pattern", "grain", "path", "key"),
    [
        ("{key}.csv", None, "it's.csv", "it's"),
        ("{key}/x.csv", None, "a b/x.csv", "a b"),
        ("x_{key}_y_*.csv", None, "x_1_2_y_z.csv", "1_2"),
        ("{key}/{date:%Y-%m-%d}.csv", Grain.DAY, "EMEA/2013-02-11.csv", "2013-02-11/EMEA"),
        ("{date:%Y}/{key}.{date}.csv".replace(".{date}", ""), Grain.YEAR, "2013/..x.csv", None),
        ("x{key}.csv", None, "x.csv", None),
    ],
)
def test_keys_in_names(
    tmp_path: Path, pattern: str, grain: Grain | None, path: str, key: str | None
) -> None:
    """Would catch: keys cut short, hidden files as keys, an empty key."""
    put(tmp_path, f"landing/{path}")
    item = msgspec.structs.replace(
        source(f"landing/{pattern}", grain), partition=PartitionSpec(grain=grain, key="region")
    )
    assert keys(seen(tmp_path, item)) == ([key] if key else [])


# -- what is new


def test_only_new_and_changed_files_are_found(tmp_path: Path) -> None:
    """Would catch: a restated file that isn't seen, an old one ingested again."""
    for day in ("11", "12", "13"):
        put(tmp_path, f"landing/x_2013-02-{day}.csv")
    item = source("landing/x_{date:%Y-%m-%d}.csv")
    first = seen(tmp_path, item)
    assert keys(first) == ["2013-02-11", "2013-02-12", "2013-02-13"]
    known = {result.path: (result.size_bytes, result.modified_us) for result in first.found}
    assert observe(tmp_path, item, known=known, now_us=NOW) == Observation(seen=3)
    put(tmp_path, "landing/x_2013-02-12.csv", b"a,b\n1,3\n", age=1800)
    put(tmp_path, "landing/x_2013-02-13.csv", b"a,b\n1,2\n3,4\n")
    assert keys(observe(tmp_path, item, known=known, now_us=NOW)) == ["2013-02-12", "2013-02-13"]


def test_no_folder_yet(tmp_path: Path) -> None:
    """Would catch: an error for a vendor that hasn't delivered anything."""
    assert seen(tmp_path, source("landing/x_{date:%Y-%m-%d}.csv")) == Observation()


def test_two_files_for_one_interval_are_reported_and_not_guessed(tmp_path: Path) -> None:
    """Would catch: whichever of two deliveries the file system lists last."""
    put(tmp_path, "landing/x_2013-02-11.csv")
    put(tmp_path, "landing/x_2013-02-11.csv.gz")
    put(tmp_path, "landing/x_2013-02-12.csv")
    item = source("landing/x_{date:%Y-%m-%d}.csv*")
    result = seen(tmp_path, item)
    assert keys(result) == ["2013-02-12"]
    assert [note.code for note in result.notes] == ["several_deliveries"]
    assert "x_2013-02-11.csv, landing/x_2013-02-11.csv.gz" in result.notes[0].message
    taken = observe(tmp_path, item, known={"landing/x_2013-02-11.csv": (1, 1)}, now_us=NOW)
    assert [result.path for result in taken.found] == [
        "landing/x_2013-02-11.csv",
        "landing/x_2013-02-12.csv",
    ]
    assert "only landing/x_2013-02-11.csv" in taken.notes[0].message


def test_an_interval_of_several_files_is_one_delivery(tmp_path: Path) -> None:
    """Would catch: a part taken for the whole, one file too many taken without a word, a part that
    changed not seen."""
    for name in ("x_2013-02-11_a.csv", "x_2013-02-11_b.csv", "x_2013-02-12_a.csv"):
        put(tmp_path, f"landing/{name}")
    two = source("landing/x_{date:%Y-%m-%d}_*.csv", complete=Complete(files=2))
    result = seen(tmp_path, two)
    (found,) = result.found
    assert (found.partition, found.path) == ("2013-02-11", "landing/x_2013-02-11_a.csv")
    assert [part.path for part in found.parts] == [
        "landing/x_2013-02-11_a.csv",
        "landing/x_2013-02-11_b.csv",
    ]
    assert [(note.code, note.message) for note in result.notes] == [
        ("delivery_incomplete", "2013-02-12: 1 of 2 files")
    ]
    known = {found.path: (found.size_bytes, found.modified_us)}
    assert observe(tmp_path, two, known=known, now_us=NOW).found == ()
    put(tmp_path, "landing/x_2013-02-11_b.csv", b"a,b\n3,4\n5,6\n", age=1800)
    assert len(observe(tmp_path, two, known=known, now_us=NOW).found) == 1
    put(tmp_path, "landing/x_2013-02-11_c.csv")
    third = observe(tmp_path, two, known=known, now_us=NOW)
    assert third.found == ()
    assert "several_deliveries" in [note.code for note in third.notes]


def test_several_reference_files(tmp_path: Path) -> None:
    """Would catch: one of two reference files taken at random."""
    put(tmp_path, "ref/planes_1.csv")
    put(tmp_path, "ref/planes_2.csv")
    result = seen(tmp_path, source("ref/planes_*.csv", None))
    assert result.found == ()
    assert "2 files match for the source" in result.notes[0].message


# -- what is hostile


def test_links_that_leave_the_project(tmp_path: Path) -> None:
    """Would catch: /etc/passwd ingested through a link to the file or to its folder; a link inside
    the project is fine (TRUST B10).
    """
    root, outside = tmp_path / "project", tmp_path / "project-evil"
    put(outside, "x_2013-02-11.csv")
    inside = put(root, "elsewhere/any.csv")
    (root / "landing").mkdir()
    (root / "landing/x_2013-02-11.csv").symlink_to(outside / "x_2013-02-11.csv")
    (root / "landing/x_2013-02-12.csv").symlink_to(inside)
    (root / "landing/x_2013-02-13.csv").symlink_to(root / "nothing")
    (root / "far").symlink_to(outside)
    result = seen(root, source("landing/x_{date:%Y-%m-%d}.csv"))
    assert keys(result) == ["2013-02-12"]
    assert [(note.code, note.path) for note in result.notes] == [
        ("delivery_outside_project", "landing/x_2013-02-11.csv")
    ]
    assert [note.code for note in seen(root, source("far/x_{date:%Y-%m-%d}.csv")).notes] == [
        "delivery_outside_project"
    ]
    assert seen(root, source("*/x_{date:%Y-%m-%d}.csv")).found == result.found


def test_what_is_no_file(tmp_path: Path) -> None:
    """Would catch: a named pipe that is opened and waited for, a folder that is read."""
    (tmp_path / "landing/x_2013-02-11.csv").mkdir(parents=True)
    os.mkfifo(tmp_path / "landing/x_2013-02-12.csv")
    result = seen(tmp_path, source("landing/x_{date:%Y-%m-%d}.csv"))
    assert result.found == ()
    assert {note.code for note in result.notes} == {"delivery_not_a_file"}


def test_names_that_are_not_text(tmp_path: Path) -> None:
    """Would catch: a name that can't be stored or sent, and an escape sequence in a note."""
    landing = tmp_path / "landing"
    landing.mkdir()
    for name in (b"x_2013-02-11_\xff.csv", b"x_2013-02-30_\x1b[31m.csv"):
        Path(os.fsdecode(os.fsencode(landing) + b"/" + name)).write_bytes(b"a\n")
    result = seen(tmp_path, source("landing/x_{date:%Y-%m-%d}_*.csv"))
    assert result.found == ()
    assert sorted(note.code for note in result.notes) == ["delivery_date", "delivery_name"]
    assert all(note.message.isprintable() and note.path.isprintable() for note in result.notes)


def test_notes_are_bounded(tmp_path: Path) -> None:
    """Would catch: a state filled by a folder of impossible names."""
    for number in range(NOTES_MAX + 50):
        put(tmp_path, f"landing/x_2013-02-30_{number}.csv")
    notes = seen(tmp_path, source("landing/x_{date:%Y-%m-%d}_*.csv")).notes
    assert len(notes) == NOTES_MAX + 1
    assert "50 more" in notes[-1].message


def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    """Would catch: a look that raises; and one that takes no access for no files."""
    (tmp_path / "landing").mkdir()
    long = "landing/" + "d" * 300
    result = seen(tmp_path, source(f"{long}/x_{{date:%Y-%m-%d}}.csv"))
    assert result.unlisted is not None
    assert result.unlisted.code == "source_unavailable"


def test_a_folder_that_had_files_and_is_gone(tmp_path: Path) -> None:
    """Would catch: a disk that isn't mounted taken for a vendor who has delivered nothing; and an
    error of a source whose first file is still to come."""
    declared = source("landing/x_{date:%Y-%m-%d}.csv")
    assert seen(tmp_path, declared).unlisted is None, "nothing was ever there"
    had = {"landing/x_2013-01-01.csv": (1, 1)}
    gone = observe(tmp_path, declared, known=had)
    assert gone.unlisted is not None
    assert gone.unlisted.message == "landing isn't there any more"
    (tmp_path / "landing").write_text("")
    replaced = observe(tmp_path, declared, known=had)
    assert replaced.unlisted is not None
    assert replaced.unlisted.message == "landing isn't a folder any more"


def test_the_look_needs_no_duckdb() -> None:
    """Would catch: two SQLite libraries in the leader, which looks (LAKE.md)."""
    code = (
        "import sys, headrace.connect.files, headrace.connect.deliveries; assert not {'duckdb',"
        " 'pyarrow', 'sqlglot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_10_000_files_are_looked_at_in_one_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a listing per file."""
    landing = tmp_path / "landing"
    landing.mkdir()
    for number in range(10_000):
        (
            landing
            / f"x_{1900 + number // 336:04}-{number // 28 % 12 + 1:02}-{number % 28 + 1:02}.csv"
        ).touch()
    item = source("landing/x_{date:%Y-%m-%d}.csv")
    listed: list[Path] = []
    list_folder = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or list_folder(path))
    result = observe(tmp_path, item, known={}, now_us=time.time_ns() // 1000 + 3600 * SECOND)
    assert len(result.found) == 10_000
    assert listed == [landing]


# -- what is still being written


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.csv", b"a,b\n1,2\n")
    return out.getvalue()


WHOLE = {
    "csv": b"a,b\n1,2\n",
    "gz": gzip.compress(b"a,b\n1,2\n") * 2,
    "zip": zipped(),
    "parquet": b"PAR1" + b"x" * 20 + b"PAR1",
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("whole", [True, False])
def test_a_file_settles_after_a_second_if_its_end_is_there_else_after_three(
    tmp_path: Path, kind: str, whole: bool
) -> None:
    """Would catch: half a file ingested because its writer paused; a whole one that waits for
    nothing."""
    data = WHOLE[kind] if whole else WHOLE[kind][:-3]
    item, needed = source("landing/x_{date:%Y-%m-%d}.*"), 1 if whole else 3
    for age, expected in (
        (0.25, needed - 0.25),
        (0.999, needed - 0.999),
        (needed - 0.001, 0.001),
        (needed, 0),
    ):
        put(tmp_path, f"landing/x_2013-02-11.{kind}", data, age=age)
        result = seen(tmp_path, item)
        assert result.wait_seconds == pytest.approx(expected, abs=1e-5)
        assert bool(result.found) == (expected == 0)
        assert [waiting.path for waiting in result.settling] == (
            [] if result.found else [f"landing/x_2013-02-11.{kind}"]
        )


def test_an_empty_file_waits_for_the_long_silence(tmp_path: Path) -> None:
    """Would catch: a file taken between its creation and its first byte."""
    put(tmp_path, "landing/x_2013-02-11.csv", b"", age=2.5)
    assert seen(tmp_path, source("landing/x_{date:%Y-%m-%d}.csv")).wait_seconds == pytest.approx(
        0.5
    )


def test_times_of_writing_in_the_future(tmp_path: Path) -> None:
    """Would catch: a file dated next year that never settles; one of a clock a little ahead taken
    while it is written.
    """
    item = source("landing/x_{date:%Y-%m-%d}.csv")
    put(tmp_path, "landing/x_2013-02-11.csv", b"half", age=-86_400)
    assert keys(seen(tmp_path, item)) == ["2013-02-11"]
    put(tmp_path, "landing/x_2013-02-11.csv", b"half", age=-2)
    assert seen(tmp_path, item).wait_seconds == pytest.approx(5)


def test_a_writer_at_work_is_waited_for(tmp_path: Path) -> None:
    """Would catch: a file taken while a real process appends to it."""
    item = source("landing/x_{date:%Y-%m-%d}.csv")
    (tmp_path / "landing").mkdir()
    code = (
        "import sys\nf = open(sys.argv[1], 'w')\nfor line in sys.stdin:\n    f.write(line);"
        " f.flush(); print('written', flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "landing/x_2013-02-11.csv")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin
        assert writer.stdout
        for number in range(5):
            writer.stdin.write(f"{number},{number}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            result = observe(tmp_path, item, known={})
            assert result.found == ()
            assert 0 < result.wait_seconds <= 1
        writer.stdin.close()
    assert keys(observe(tmp_path, item, known={}, now_us=time.time_ns() // 1000 + 2 * SECOND)) == [
        "2013-02-11"
    ]


def test_a_finished_file_is_taken_at_once(tmp_path: Path) -> None:
    """Would catch: a second of waiting for a file that its writer has closed; and one that is taken
    although it has changed since, or has no end.
    """
    item = source("landing/x_{date:%Y-%m-%d}.csv")
    for data, ends in ((b"a,b\n1,2\n", True), (b"a,b\n1,2", False)):
        file = put(tmp_path, "landing/x_2013-02-11.csv", data, age=0)
        facts = file.stat()
        for size, modified_us, same in (
            (facts.st_size, facts.st_mtime_ns // 1000, True),
            (facts.st_size - 1, facts.st_mtime_ns // 1000, False),
            (facts.st_size, facts.st_mtime_ns // 1000 - 1, False),
        ):
            finished = {"landing/x_2013-02-11.csv": (size, modified_us)}
            result = observe(tmp_path, item, known={}, finished=finished, now_us=NOW)
            assert bool(result.found) == (ends and same)
            assert bool(result.settling) != bool(result.found)


@pytest.mark.parametrize("marker", ["x_2013-02-11.csv.done", "x_2013-02-11.done"])
def test_a_marker_says_when(tmp_path: Path, marker: str) -> None:
    """Would catch: a file taken before its marker, the marker taken for a delivery, a rewritten
    file taken by its old marker.
    """
    item = source("landing/x_{date:%Y-%m-%d}*", complete=Complete(marker=".done"))
    put(tmp_path, "landing/x_2013-02-11.csv", b"half", age=10)
    assert seen(tmp_path, item) == Observation(seen=1)
    put(tmp_path, f"landing/{marker}", b"", age=9)
    assert [result.path for result in seen(tmp_path, item).found] == ["landing/x_2013-02-11.csv"]
    put(tmp_path, "landing/x_2013-02-11.csv", b"half of the next", age=0.5)
    assert seen(tmp_path, item).wait_seconds == pytest.approx(2.5)


# -- when it arrived


def test_arrival() -> None:
    """Would catch: a late file called punctual because of its own time, and one that waited for us
    called late.
    """
    assert arrival(claimed_arrival(50, 100), observed_us=100, last_unseen_us=None) == 50
    assert arrival(claimed_arrival(50, 100), observed_us=100, last_unseen_us=40) == 50
    assert arrival(claimed_arrival(50, 100), observed_us=100, last_unseen_us=80) == 80, (
        "it wasn't there at 80, whatever it claims"
    )
    assert arrival(claimed_arrival(500, 100), observed_us=100, last_unseen_us=80) == 100, (
        "a time after now counts as now"
    )
    assert arrival(claimed_arrival(500, 100), observed_us=90, last_unseen_us=80) == 90


# -- what is kept


def found_at(root: Path, path: str) -> DetectedDelivery:
    facts = (root / path).stat()
    return DetectedDelivery("s", "*", path, facts.st_size, facts.st_mtime_ns // 1000)


def test_bytes_are_kept_once_by_content(tmp_path: Path) -> None:
    """Would catch: a copy that overwrites another, or whose name isn't its content."""
    import hashlib

    raw = tmp_path / ".headrace/raw"
    put(tmp_path, "landing/a", b"same")
    put(tmp_path, "landing/b", b"same")
    item, other = (store_raw(tmp_path, found_at(tmp_path, f"landing/{name}"), raw) for name in "ab")
    assert item == other
    assert item.sha256 == hashlib.sha256(b"same").hexdigest()
    assert Path(item.path) == raw / item.sha256[:2] / item.sha256
    assert Path(item.path).read_bytes() == b"same"
    assert [file.name for file in raw.rglob("*") if file.is_file()] == [item.sha256]


def test_a_file_that_changed_since_the_look_is_not_kept(tmp_path: Path) -> None:
    """Would catch: a hash over half of the old and half of the new bytes."""
    raw = tmp_path / ".headrace/raw"
    put(tmp_path, "landing/a", b"one")
    result = found_at(tmp_path, "landing/a")
    for change in (
        lambda: put(tmp_path, "landing/a", b"longer"),
        lambda: put(tmp_path, "landing/a", b"two", age=1),
        (tmp_path / "landing/a").unlink,
    ):
        change()
        with pytest.raises(ChangedWhileRead):
            store_raw(tmp_path, result, raw)
    assert [file for file in raw.rglob("*") if file.is_file()] == []


def test_links_and_pipes_put_there_after_the_look(tmp_path: Path) -> None:
    """Would catch: the race between a look and the copy (TRUST B10): a link out, a folder that
    became a link, a pipe that blocks.
    """
    root, raw = tmp_path / "project", tmp_path / "project/.headrace/raw"
    secret = put(tmp_path, "secret/a", b"key")
    put(root, "landing/a", b"key")
    result = found_at(root, "landing/a")
    (root / "landing/a").unlink()
    (root / "landing/a").symlink_to(secret)
    with pytest.raises(CannotRead):
        store_raw(root, result, raw)
    (root / "landing/a").unlink()
    os.mkfifo(root / "landing/a")
    with pytest.raises(CannotRead):
        store_raw(root, result, raw)
    (root / "landing/a").unlink()
    (root / "landing").rmdir()
    (root / "landing").symlink_to(secret.parent)
    with pytest.raises(CannotRead):
        store_raw(root, result, raw)


def test_a_delivery_that_is_too_large(tmp_path: Path) -> None:
    """Would catch: a disk filled by one file."""
    put(tmp_path, "landing/a", b"x" * 1001)
    with pytest.raises(CannotRead) as refused:
        store_raw(tmp_path, found_at(tmp_path, "landing/a"), tmp_path / "raw", bytes_max=1000)
    assert refused.value.value.code == "delivery_too_large"
