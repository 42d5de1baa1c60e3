"""What is said of the time in which nobody ran Headrace, and of a project that is run once a day on
purpose.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from clilab import Project

pytestmark = pytest.mark.long

FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\n',
    "owners.yaml": (
        "core: {kind: team, contact: ['mailto:core@example.com']}\nheadrace: {kind: team, contact:"
        " ['mailto:ops@example.com']}\nacme: {kind: vendor, contact: ['mailto:a@example.com'],"
        " manager: core}\n"
    ),
    "sources/orders.yaml": (
        "source: orders\nowner: acme\npartition: day\n"
        "files: landing/orders_{date:%Y-%m-%d}.csv\nexpect: {by: '05:00'}\n"
    ),
    "assets/revenue.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select cast(day as date) as day, count(*) as orders from orders group by all\n"
    ),
    "consumers.yaml": "- {consumer: report, owner: core, reads: [revenue], due: '07:00'}\n",
}


class Site(Project):
    """A project whose files arrive at 03:00 unless told otherwise, whoever looks at them."""

    def arrived(self, first: str, last: str, clock: str = "03:00") -> None:
        day = date.fromisoformat(first)
        while day <= date.fromisoformat(last):
            path = self.root / f"landing/orders_{day}.csv"
            path.write_text("id,day\n" + "".join(f"{n},{day}\n" for n in range(20)))
            came = datetime.fromisoformat(f"{day + timedelta(1)}T{clock}+01:00").timestamp()
            os.utime(path, (came, came))
            day += timedelta(1)

    def promised(self, due: str, first_pass: str) -> None:
        """Nothing has come by the first pass, and the report is due at another time."""
        consumers = self.root / "consumers.yaml"
        consumers.write_text(consumers.read_text().replace("07:00", due))
        for path in (self.root / "landing").iterdir():
            path.unlink()
        self.ticked(first_pass)

    def ticked(self, *moments: str) -> None:
        for moment in moments:
            self.json("tick", "--now", f"{moment}+01:00")

    def outages(self) -> list[str]:
        return [
            item["cause"]["summary"]
            for item in self.json("incidents", "--all")
            if item["cause"]["kind"] == "runtime_down"
        ]

    def kinds(self) -> list[str]:
        return sorted(item["cause"]["kind"] for item in self.json("incidents", "--all"))


@pytest.fixture
def site(tmp_path: Path, call: object) -> Site:
    """Four days of March delivered, and none looked at yet."""
    root = tmp_path / "site"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    result = Site(root, call)  # type: ignore[arg-type]
    result.arrived("2025-03-01", "2025-03-03")
    return result


def hourly(day: str, hours: Iterable[int]) -> list[str]:
    return [f"{day}T{hour:02d}:00" for hour in hours]


def test_deadlines_missed_because_nobody_ran_headrace_for_25_hours_are_told_as_that(
    site: Site,
) -> None:
    """Would catch: a file that lay there for hours, a deadline missed meanwhile, and "there has
    been no incident".
    """
    site.ticked("2025-03-04T06:30")
    site.arrived("2025-03-04", "2025-03-04")
    site.ticked("2025-03-05T07:30")
    assert site.outages() == [
        "nothing was observed from Tue 2025-03-04 06:30 until Wed 2025-03-05 07:30"
    ]
    (item,) = site.json("incidents", "--all")
    assert (item["cause"]["node"], item["state"], item["affected"]["consumers"]) == (
        "headrace",
        "resolved",
        ["report"],
    )
    assert (
        item["cause"]["evidence"][0]["expected"]
        == "an observation before Wed 2025-03-05 07:00, when report was due"
    )
    status = site.json("status")
    assert [(row["incident"], row["text"]) for row in status["outages"]] == [
        (item["id"], item["cause"]["summary"])
    ]
    page = site.text("status")
    assert (
        "outage" in page
        and f"{item['cause']['summary']} (over; headrace incident {item['id']})" in page
    )
    why = site.json("why", "report@2025-03-04")
    assert max(why["shares"], key=lambda share: share["seconds"])["owner"] == "headrace"
    site.arrived("2025-03-05", "2025-03-05")
    site.ticked("2025-03-06T06:30", "2025-03-06T07:31")
    assert site.json("status")["outages"] == []


def test_a_runtime_that_was_down_for_days_is_one_outage_and_no_deadline_is_called_infeasible(
    site: Site,
) -> None:
    """Would catch: five deadlines missed in one outage are "usually there at 09:30", and the outage
    stays open over that.
    """
    site.ticked(*hourly("2025-03-04", range(6, 20)))
    site.arrived("2025-03-04", "2025-03-09")
    site.ticked("2025-03-10T09:30")
    assert site.kinds() == ["runtime_down"]
    assert [item["state"] for item in site.json("incidents", "--all")] == ["resolved"]
    site.arrived("2025-03-10", "2025-03-10")
    site.ticked(*hourly("2025-03-11", range(4, 9)))
    assert site.kinds() == ["runtime_down"]
    assert site.json("incidents") == []


def test_an_outage_names_the_first_deadline_that_was_missed_in_it(site: Site) -> None:
    """Would catch: an outage told by the deadline of another consumer, an hour after the first that
    was missed.
    """
    consumers = site.root / "consumers.yaml"
    consumers.write_text(
        consumers.read_text() + "- {consumer: early, owner: core, reads: [revenue], due: '06:00'}\n"
    )
    site.ticked(*hourly("2025-03-04", range(4, 20)))
    site.arrived("2025-03-04", "2025-03-06")
    site.ticked("2025-03-07T11:00")
    (item,) = site.json("incidents", "--all")
    assert (
        item["cause"]["evidence"][0]["expected"]
        == "an observation before Wed 2025-03-05 06:00, when early was due"
    )
    assert item["began_at"] < "2025-03-05T06:00"


@pytest.mark.parametrize("declared", [False, True])
def test_a_project_run_once_a_day_on_purpose_is_told_that_its_deadline_does_not_fit(
    site: Site, declared: bool
) -> None:
    """Would catch: an outage each morning of a project that is run at eight because its owner wants
    that.
    """
    if declared:
        path = site.root / "headrace.toml"
        path.write_text(path.read_text() + 'tick_every = "24h"\n')
    site.ticked("2025-03-04T08:00")
    for day in range(4, 11):
        site.arrived(f"2025-03-{day:02d}", f"2025-03-{day:02d}")
        site.ticked(f"2025-03-{day + 1:02d}T08:00")
    (item,) = site.json("incidents", "--all")
    assert item["cause"]["kind"] == "deadline_infeasible"
    assert (
        item["cause"]["summary"]
        == "usually there at 08:01 (orders at 03:00, but isn't observed before 08:00); due by 07:00;"
        " fits if due by 08:01, or if looked at 1 h 01 min earlier"
    )
    site.arrived("2025-03-11", "2025-03-13")
    site.ticked("2025-03-14T13:00")
    assert site.outages() == [
        "nothing was observed from Tue 2025-03-11 08:00 until Fri 2025-03-14 13:00"
    ]
    assert site.json("incidents")[0]["cause"]["summary"].startswith(
        "usually there at 08:01 (orders at 03:00, but isn't observed"
    )


def test_whoever_runs_it_three_times_a_day_is_not_away_at_night(site: Site) -> None:
    """Would catch: an outage every morning because nobody ever looks at night, and the median of
    all breaks is two hours.
    """
    path = site.root / "consumers.yaml"
    path.write_text(path.read_text().replace("07:00", "05:00"))
    site.ticked("2025-03-04T08:00", "2025-03-04T10:00", "2025-03-04T12:00")
    for day in range(4, 10):
        site.arrived(f"2025-03-{day:02d}", f"2025-03-{day:02d}")
        site.ticked(*hourly(f"2025-03-{day + 1:02d}", (8, 10, 12)))
    assert len(site.outages()) <= 1
    (told,) = [
        item for item in site.json("incidents", "--all") if item["cause"]["kind"] == "runtime_down"
    ] or [None]
    assert told is None or told["opened_at"] < "2025-03-08"


def test_a_source_that_nobody_can_read_is_no_outage(site: Site) -> None:
    """Would catch: Headrace accused of not having looked, when it looked and the folder wasn't
    there."""
    site.ticked(*hourly("2025-03-04", range(6, 9)))
    site.arrived("2025-03-04", "2025-03-04")
    (site.root / "landing").rename(site.root / "away")
    site.ticked(*hourly("2025-03-05", range(4, 8)))
    (site.root / "away").rename(site.root / "landing")
    site.ticked("2025-03-05T08:00")
    assert site.outages() == []


def test_one_look_that_finds_a_day_of_hourly_deliveries_says_nothing_of_what_is_usual(
    site: Site,
) -> None:
    """Would catch: "nobody looks before 13:15" the morning after a project began, of a
    single look."""
    (site.root / "sources/meters.yaml").write_text(
        "source: meters\nowner: acme\npartition: hour\nfiles:"
        " landing/meters_{date:%Y-%m-%dT%H%z}.csv\nexpect: {by: '+20m'}\n"
    )
    (site.root / "assets/power.sql").write_text(
        "/* headrace\nowner: core\npartition: {by: hour, column: hour}\n*/\nselect $partition_start"
        " as hour, sum(kw) as kw from meters\n"
    )
    (site.root / "consumers.yaml").write_text(
        "- {consumer: board, owner: core, reads: [power], per: hour, due: '+40m'}\n"
    )
    hour, until = (
        datetime.fromisoformat("2025-03-03T00:00+01:00"),
        datetime.fromisoformat("2025-03-05T01:00+01:00"),
    )
    while hour < until:
        path = site.root / f"landing/meters_{hour:%Y-%m-%dT%H%z}.csv"
        path.write_text("meter,kw\n1,2\n")
        came = (hour + timedelta(hours=1, minutes=5)).timestamp()
        os.utime(path, (came, came))
        hour += timedelta(hours=1)
        if hour == datetime.fromisoformat("2025-03-04T01:00+01:00"):
            site.ticked("2025-03-04T01:10")
    site.ticked("2025-03-05T01:15")
    told = [item["cause"]["summary"] for item in site.json("incidents", "--all")]
    assert not [item for item in told if "usually" in item], told


def test_an_interval_that_was_waived_isnt_said_to_be_there(site: Site) -> None:
    """Would catch: "all that is due can be read" of a day that somebody let go."""
    site.ticked("2025-03-04T06:30", "2025-03-05T07:30")
    site.json("waive", "report@2025-03-04", "--reason", "closed")
    (report,) = site.json("status")["consumers"]
    assert (report["state"], report["reason"]) == (
        "served",
        "2025-03-04 was waived, all else that is due can be read",
    )


def test_a_deadline_that_cannot_be_met_is_over_when_it_was_changed(site: Site) -> None:
    """Would catch: "over 08:00" of a promise that was changed at 10:00, since the last interval was
    there by then; and a repair whose command shows nothing of the promise."""
    for day in range(4, 10):
        site.arrived(f"2025-03-{day:02d}", f"2025-03-{day:02d}")
        site.ticked(f"2025-03-{day + 1:02d}T08:00")
    (item,) = site.json("incidents")
    assert item["repair"]["commands"] == ["headrace apply", "headrace tick"]
    assert item["repair"]["first"].startswith(
        "promise what can be kept (consumers.yaml:1), or run `headrace tick` earlier, or "
    )
    consumers = site.root / "consumers.yaml"
    consumers.write_text(consumers.read_text().replace("07:00", "09:00"))
    site.json("apply", "--yes", "--now", "2025-03-10T10:00+01:00")
    site.ticked("2025-03-10T10:10")
    (over,) = site.json("incidents", "--all")
    assert (over["state"], over["restored_at"][:16]) == ("resolved", "2025-03-10T10:00")


@pytest.mark.parametrize("touched", [True, False])
def test_a_promise_of_a_source_isnt_called_usual(site: Site, touched: bool) -> None:
    """Would catch: "usually there at 05:01", "or there 1 h 01 min earlier", of a file that was
    there at 04:05 each day, and whose source promises it by five; for ever, where each file is
    dated after the look that finds it."""
    site.promised("04:00", "2025-03-04T12:00")
    for day in range(4, 11):
        site.arrived(f"2025-03-{day:02d}", f"2025-03-{day:02d}", "04:10" if touched else "04:03")
        site.ticked(f"2025-03-{day + 1:02d}T04:05", f"2025-03-{day + 1:02d}T07:05")
        (item,) = site.json("incidents")
        said = item["cause"]["summary"]
        if day < 8:
            last = "the last was" if day == 4 else f"the last {day - 3} were"
            assert said.startswith("there at 05:01 (if orders comes by 05:00 as promised, then ")
            assert said.endswith(
                f"; {last} there by 04:06); due by 04:00; fits if due by 05:01, or promised 1 h 01"
                " min earlier"
            )
        else:
            assert said.startswith("usually there at 04:06 (")
            earlier = (
                "there 6 min earlier" if touched else "there 4 min, and looked at 6 min, earlier"
            )
            assert said.endswith(f"; due by 04:00; fits if due by 04:06, or {earlier}")


@pytest.mark.parametrize(
    ("came", "earlier", "asked"),
    [
        (
            "03:45",
            "if looked at 11 min earlier",
            "or run `headrace tick` earlier, or `headrace serve`: ",
        ),
        (
            "04:02",
            "there 3 min, and looked at 11 min, earlier",
            "or have it there, or looked at, earlier: ",
        ),
    ],
)
def test_an_earlier_file_isnt_asked_for_where_nobody_looks_earlier(
    site: Site, came: str, earlier: str, asked: str
) -> None:
    """Would catch: "usually there at 04:11 (orders at 04:02, then 255 ms); … or there 11 min
    earlier" of files that nobody looks for before 04:10: a vendor who delivers at 03:45 is late all
    the same."""
    site.promised("04:00", "2025-03-03T12:00")
    for day in range(3, 10):
        site.arrived(f"2025-03-{day:02d}", f"2025-03-{day:02d}", came if day > 7 else "04:02")
        site.ticked(f"2025-03-{day + 1:02d}T04:10")
    (item,) = site.json("incidents")
    summary = item["cause"]["summary"]
    assert summary.startswith("usually there at 04:11 (orders at 04:02, then ")
    said = f"2025-03-09 came at {came}, but wasn't observed before 04:10"
    assert summary.endswith(f"; {said}); due by 04:00; fits if due by 04:11, or {earlier}")
    first = item["repair"]["first"]
    assert f"promise what can be kept (consumers.yaml:1), {asked}" in first


def test_files_that_are_there_in_time_and_seen_minutes_late_ask_for_an_earlier_look(
    site: Site,
) -> None:
    """Would catch: "the last 5 were; fits if … there 3 min earlier" of files that were there before
    the deadline each day."""
    site.promised("03:05", "2025-03-03T12:00")
    for day in range(3, 10):
        site.arrived(f"2025-03-{day:02d}", f"2025-03-{day:02d}")
        site.ticked(f"2025-03-{day + 1:02d}T03:07")
    (item,) = site.json("incidents")
    assert (
        item["cause"]["summary"]
        == "usually there at 03:08 (the last 5 were; 2025-03-09 came at 03:00, but wasn't observed"
        " before 03:07); due by 03:05; fits if due by 03:08, or if looked at 3 min earlier"
    )


def test_what_nobody_has_looked_for_is_not_said_to_be_missing(site: Site) -> None:
    """Would catch: "nothing was delivered" and "acme 100 %" of a file that lies there in time,
    which nobody has looked for since the day before."""
    site.ticked("2025-03-03T05:40", "2025-03-04T05:40")
    site.arrived("2025-03-04", "2025-03-04")
    said = "orders@2025-03-04: not observed since Tue 03-04 05:40, promised by 05:00"
    (row,) = site.json("status", "--now", "2025-03-05T05:10+01:00")["consumers"]
    assert (row["state"], row["reason"]) == ("at_risk", f"late at 07:00: {said}")
    (row,) = site.json("status", "--now", "2025-03-05T07:10+01:00")["consumers"]
    assert (row["state"], row["reason"]) == ("late", said)
    why = site.json("why", "report@2025-03-04", "--now", "2025-03-05T07:10+01:00")
    assert {share["owner"]: share["seconds"] for share in why["shares"]} == {
        "acme": 5 * 3600,
        "headrace": 2 * 3600 + 600,
    }
    assert "been observed" in str(why["waiting_for"]), why


def test_a_deadline_that_cannot_be_met_stays_open_until_the_promise_fits(site: Site) -> None:
    """Would catch: "usually there at 08:11" of a single look, and an incident that ends with a
    `due` of 07:45, which its own sentence says doesn't fit, while the next deadline is missed
    again."""
    source, consumers = site.root / "sources/orders.yaml", site.root / "consumers.yaml"
    source.write_text(source.read_text().replace("05:00", "07:30"))
    for day in ("01", "02"):
        (site.root / f"landing/orders_2025-03-{day}.csv").unlink()
    site.ticked("2025-03-04T08:10", "2025-03-05T05:40")
    site.arrived("2025-03-04", "2025-03-04", "07:20")
    site.ticked("2025-03-05T08:10")
    (item,) = site.json("incidents")
    said = item["cause"]["summary"]
    assert said.startswith("there at 08:11 (if orders comes by 07:30 as promised, then ")
    looked = (
        "2025-03-04 came at 07:20, but wasn't observed before 08:10); due by 07:00; fits if due by"
        " 08:11, or "
    )
    assert looked in said

    def due(clock: str, now: str) -> None:
        consumers.write_text(consumers.read_text().rpartition("due: ")[0] + f"due: '{clock}'}}\n")
        site.json("apply", "--yes", "--now", f"{now}+01:00")

    due("07:45", "2025-03-05T08:12")
    site.ticked("2025-03-05T08:14")
    (item,) = site.json("incidents")
    assert looked.replace("due by 07:00", "due by 07:45") in item["cause"]["summary"]
    site.ticked("2025-03-06T05:40")
    site.arrived("2025-03-05", "2025-03-05", "07:20")
    site.ticked("2025-03-06T08:20")
    (item,) = site.json("incidents")
    said = item["cause"]["summary"]
    assert said.startswith("there at 08:21 (if orders comes by 07:30 as promised, then ")
    assert (
        "2025-03-05 came at 07:20, but wasn't observed before 08:20); due by 07:45; fits if due by"
        " 08:21, or " in said
    )
    site.ticked("2025-03-07T05:40")
    site.arrived("2025-03-06", "2025-03-06", "07:20")
    site.ticked("2025-03-07T07:40", "2025-03-07T07:50")
    assert site.json("incidents") == []  # in time: it fits
