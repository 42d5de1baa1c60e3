"""The calendar: what is expected on the coming days, and nothing that isn't."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from serve_lab import deliver, headrace, project, write

from headrace.project.session import ProjectSession
from headrace_ui.responses.calendar import CalendarResponse, CalendarRow
from headrace_ui.services.calendar import CalendarQuery, calendar
from headrace_ui.services.today import TodayQuery, today

NOW = "2025-03-28T05:00"
"""A Friday, two days before clocks go forward in Berlin."""


def ahead(root: Path, days: int = 7, now: str = NOW) -> CalendarResponse:
    return calendar(ProjectSession(root, "prod", now, "t"), CalendarQuery(days=days))


def of(response: CalendarResponse, kind: str, node: str) -> list[CalendarRow]:
    return [row for row in response.rows if (row.kind, row.node) == (kind, node)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A promised source with days off, a consumer of each day, and assets that run by cron."""
    root = project(tmp_path_factory.mktemp("calendar") / "shop")
    write(root / "calendars/closed.yaml", "dates: ['2025-03-29', '2025-03-30', '2025-04-02']\n")
    source = root / "sources/orders.yaml"
    write(source, source.read_text() + 'expect: {by: "05:30"}\ncalendar: closed\n')
    for name, cron in (("hourly", "0 * * * *"), ("nightly", "30 2 * * *"), ("paused", "0 4 * * *")):
        write(
            root / f"assets/{name}.sql",
            f"/* headrace\nowner: core\npartition: '*'\ntrigger: {{cron: '{cron}'}}\n*/\n"
            "select count(*) as n from orders\n",
        )
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n',
    )
    headrace(root, "tick", "--now", "2025-03-26T12:00")
    deliver(root, "2025-03-26")
    headrace(root, "tick", "--now", "2025-03-27T05:00")
    words = ("--reason", "moves", "--until", "2025-03-31T03:00", "--now", NOW)
    headrace(root, "pause", "paused", *words)
    return root


def test_deadlines_and_deliveries_are_those_ahead(shop: Path) -> None:
    """Would catch: a deadline that has passed, a delivery on a day off, an hour lost to summer
    time."""
    response = ahead(shop)
    assert (response.dates[0], len(response.dates)) == ("2025-03-28", 7)
    due = of(response, "deadline", "report")
    assert [row.interval for row in due][:2] == ["2025-03-27", "2025-03-28"]
    assert {row.first_at.strftime("%H:%M") for row in due} == {"07:00"}, "on both sides"
    deliveries = of(response, "delivery", "orders")
    for row in (*due, *deliveries):
        assert row.interval is not None and row.ends_at is not None
        after = dt.date.fromisoformat(row.interval) + dt.timedelta(days=1)
        assert (row.ends_at.date(), row.ends_at.strftime("%H:%M")) == (after, "00:00")
    assert {row.ends_at for row in response.rows if row.kind == "run"} == {None}
    assert [row.interval for row in of(response, "delivery", "orders")] == [
        "2025-03-27", "2025-03-28", "2025-03-31", "2025-04-01",
    ]  # fmt: skip
    assert [(row.calendar, row.dates, row.nodes) for row in response.days_off] == [
        ("closed", ["2025-03-29", "2025-03-30", "2025-04-02"], 1)
    ]


def test_runs_of_one_day_are_one_row(shop: Path) -> None:
    """Would catch: hundreds of rows for an hourly asset, the hour that the clock skips."""
    hourly = of(ahead(shop), "run", "hourly")
    assert [(row.date, row.times) for row in hourly][:3] == [
        ("2025-03-28", 18), ("2025-03-29", 24), ("2025-03-30", 23),
    ]  # fmt: skip
    assert hourly[0].first_at.strftime("%H:%M") == "06:00"
    assert [row.date for row in of(ahead(shop, 2), "run", "nightly")] == ["2025-03-29"]


def test_a_paused_asset_runs_after_its_pause(shop: Path) -> None:
    """Would catch: a calendar that announces runs which don't happen."""
    response = ahead(shop)
    assert min(row.date for row in of(response, "run", "paused")) == "2025-03-31"
    assert [(row.node, row.until is None) for row in response.pauses] == [("paused", False)]


def test_a_pause_without_an_end_is_named(tmp_path: Path) -> None:
    """Would catch: an asset without runs in the calendar, and no reason why."""
    root = project(tmp_path / "shop")
    headrace(root, "tick", "--now", "2025-03-26T12:00")
    headrace(root, "pause", "revenue", "--reason", "moves", "--now", NOW)
    assert [(row.node, row.until) for row in ahead(root, 1).pauses] == [("revenue", None)]


def test_what_has_arrived_is_no_longer_expected(shop: Path) -> None:
    """Would catch: a vendor who is waited for though the file is there."""
    assert len(of(ahead(shop, 1), "delivery", "orders")) == 1
    deliver(shop, "2025-03-27")
    headrace(shop, "tick", "--now", NOW)
    assert of(ahead(shop, 1), "delivery", "orders") == []


def test_before_the_first_apply_it_is_empty(tmp_path: Path) -> None:
    """Would catch: a first day that ends in an error."""
    response = ahead(project(tmp_path / "shop"))
    assert (response.rows, response.days_off, response.pauses) == ([], [], [])


def test_a_deadline_that_a_pause_makes_late_is_at_risk_before_its_interval_ends(
    tmp_path: Path,
) -> None:
    """Would catch: the usual time as a prediction, while what is needed doesn't run."""
    root = project(tmp_path / "shop")
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n',
    )
    for day in range(21, 27):
        deliver(root, f"2025-03-{day}")
        headrace(root, "tick", "--now", f"2025-03-{day + 1}T01:00")
    now = "2025-03-27T05:00"
    for until, state, predicted in (
        ("2025-03-27T06:00", "due", "2025-03-28T01:00"),
        ("2025-03-28T06:00", "due", "2025-03-28T06:00"),
        ("2025-03-28T09:00", "at_risk", "2025-03-28T09:00"),
        (None, "at_risk", None),
    ):
        ends = ("--until", until) if until else ()
        headrace(root, "pause", "revenue", "--reason", "moves", *ends, "--now", now)
        row = of(ahead(root, 2, now), "deadline", "report")[-1]
        assert row.interval == "2025-03-27"
        assert row.state == state
        at = None if row.predicted_at is None else f"{row.predicted_at:%Y-%m-%dT%H:%M}"
        assert at == predicted
        headrace(root, "resume", "revenue", "--now", now)


def test_only_the_pause_that_makes_a_deadline_late_is_named(tmp_path: Path) -> None:
    """Would catch: a pause that ends in time as the reason, beside one that nobody ends; a pause
    that is over long before a late source delivers."""
    root = project(tmp_path / "shop")
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n',
    )
    for day in range(21, 27):
        deliver(root, f"2025-03-{day}")
        headrace(root, "tick", "--now", f"2025-03-{day + 1}T01:00")
    now = "2025-03-27T05:00"
    words = ("--reason", "short", "--until", "2025-03-28T02:00", "--now", now)
    headrace(root, "pause", "orders", *words)
    session = ProjectSession(root, "prod", now, "t")
    row = today(session, TodayQuery(hours=48)).deadlines[-1]
    assert (row.interval, row.state, row.reason) == ("2025-03-27", "due", "")
    headrace(root, "pause", "revenue", "--reason", "moves", "--now", now)
    row = today(session, TodayQuery(hours=48)).deadlines[-1]
    assert (row.interval, row.state) == ("2025-03-27", "at_risk")
    assert row.reason.startswith("revenue is paused")


def test_a_deadline_that_held_data_makes_late_is_at_risk_before_its_interval_ends(
    tmp_path: Path,
) -> None:
    """Would catch: a prediction for a day that reads the days before it, one of which is held."""
    root = project(tmp_path / "shop")
    write(
        root / "assets/recent.sql",
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n"
        "inputs: {orders: {lookback: 3d}}\n*/\n"
        "select $partition_start::date as day, sum(amount) as total from orders group by all\n",
    )
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [recent], due: "07:00"}\n',
    )
    for day in range(19, 26):
        deliver(root, f"2025-03-{day}")
        headrace(root, "tick", "--now", f"2025-03-{day + 1}T01:00")
    write(root / "landing/orders_2025-03-26.csv", "day,total\n2025-03-26,1\n")
    headrace(root, "tick", "--now", "2025-03-27T08:00")
    deadlines = today(
        ProjectSession(root, "prod", "2025-03-27T08:00", "t"), TodayQuery(hours=24)
    ).deadlines
    assert [(row.interval, row.state) for row in deadlines] == [("2025-03-27", "at_risk")]
    assert deadlines[0].reason.startswith("orders is held")
    assert deadlines[0].predicted_at is None


def test_no_time_is_predicted_while_code_fails(tmp_path: Path) -> None:
    """Would catch: "due, predicted 05:15" under an open incident: the code of an asset fails; "fails
    until it is corrected" after a failure for the rows of one day."""
    root = project(tmp_path / "shop")
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n',
    )
    for day in range(19, 26):
        deliver(root, f"2025-03-{day}")
        headrace(root, "tick", "--now", f"2025-03-{day + 1}T01:00")

    def next_deadline(now: str) -> tuple[str, bool, str]:
        (row,) = today(ProjectSession(root, "prod", now, "t"), TodayQuery(hours=24)).deadlines
        return str(row.state), row.predicted_at is not None, row.reason

    usual = ("due", True, "")
    assert next_deadline("2025-03-26T08:00") == usual
    asset = root / "assets/revenue.sql"
    write(asset, asset.read_text().replace("sum(amount)", "sum(cast('x' || amount as integer))"))
    headrace(root, "apply", "--yes", "--now", "2025-03-26T09:00")
    for day, state in ((26, usual), (27, ("at_risk", False, "revenue keeps failing"))):
        deliver(root, f"2025-03-{day}")
        headrace(root, "tick", "--now", f"2025-03-{day + 1}T08:00")
        assert next_deadline(f"2025-03-{day + 1}T08:00") == state
