"""What a page looks like on a desk and on a phone: nothing is cut off, charts have dates and a
scale, old data looks old.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_lab import MARKUP, Site, axed, browser, open_page, waiting
from playwright.sync_api import Page, Route, expect
from serve_lab import serving, write

from headrace.responses.figures import FIGURES

pytestmark = pytest.mark.timeout(300)
LONG = "no_order_is_older_than_its_customer_or_paid_twice"
CHECKED = f"""/* headrace
owner: core
partition: {{by: day, column: day}}
checks:
  - sql: {{name: {LONG}, query: "select * from $self where revenue < 0"}}
*/
select day, revenue from revenue
"""
DELIVERIES = 50
STALE_MS = 31_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("looks") / "shop"
    write(root / "assets/order_payments_with_customers.sql", CHECKED)
    with browser() as result, serving(waiting(root)) as server:
        yield Site(result, server)


def many_deliveries(page: Page) -> None:
    """The consumer had many deliveries, the newest of which is late."""

    def fulfil(route: Route) -> None:
        answer = route.fetch()
        response: dict[str, Any] = json.loads(answer.body())
        days = [f"2025-{1 + n // 28:02}-{1 + n % 28:02}" for n in range(DELIVERIES)]
        response["deliveries"] = [
            {
                **response["deliveries"][0],
                "interval": day,
                "due_at": f"{day}T07:00:00+01:00",
                "state": "late" if day == days[-1] else "met",
                "late_seconds": 7200 if day == days[-1] else -3600 - 60.0 * n,
                "wait_seconds": 14_400,
                "segments": [{"kind": "source", "owner": "core", "seconds": 14_400}],
            }
            for n, day in enumerate(days)
        ]
        route.fulfill(response=answer, json=response)

    page.route(re.compile("/api/v1/consumers/report/history"), fulfil)


@pytest.mark.long
def test_no_column_of_the_checks_is_cut_off_on_a_desk(shop: Site) -> None:
    """Would catch: a last column beyond the right edge, where nobody looks for it."""
    with shop.page(width=1280) as page:
        open_page(page, "/checks")
        table = page.get_by_role("group", name="Checks")
        expect(table).to_contain_text(LONG)
        assert table.evaluate("one => one.scrollWidth <= one.clientWidth")
        expect(page.get_by_role("columnheader", name="Cost")).to_be_in_viewport(ratio=1)
        assert table.locator("td[data-label=Of] wbr").count() > 0


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_the_newest_delivery_is_in_sight_with_dates_and_a_scale(
    shop: Site, width: int, theme: str
) -> None:
    """Would catch: a phone that shows the oldest deliveries and hides the late one; a line without
    its time; a click that opens nothing."""
    with shop.page(width=width, theme=theme) as page:
        many_deliveries(page)
        open_page(page, "/consumers/report")
        panel = page.get_by_role("region", name="Deliveries and deadlines")
        expect(panel).to_contain_text("Europe/Berlin")
        chart = panel.get_by_role("img", name=re.compile("against the deadline"))
        expect(chart).to_have_attribute(
            "aria-label", re.compile(r"49 in time, 1 late \(2025-02-22\)$")
        )
        assert chart.locator(".deadline text").text_content() == "07:00"
        names = chart.locator("text").all_text_contents()
        assert {"2025-01-01", "2025-02-22", "09:00"} <= set(names)
        assert chart.locator("g.tone-bad svg").count() == 1, "its shape isn't that of the others"
        box = chart.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
        chart.click(position={"x": box["width"] - 16, "y": 60})
        expect(page).to_have_url(re.compile("interval=2025-02-22"))
        expect(panel.get_by_text("2025-02-22: late, due Sat 2025-02-22 07:00")).to_be_visible()
        expect(page.get_by_role("heading", name="Delay ledger of 2025-02-22")).to_be_visible()
        page.get_by_role("button", name="Older delivery").press("Enter")
        expect(page).to_have_url(re.compile("interval=2025-02-21"))
        waits = panel.get_by_role("img", name=re.compile("^Waits for report by kind: source or"))
        assert waits.locator("rect.part").count() == DELIVERIES
        page.get_by_role("link", name="owner", exact=True).press("Enter")
        expect(panel.get_by_role("img", name=re.compile("by owner: core"))).to_be_visible()
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
        assert axed(page) == []


@pytest.mark.long
def test_the_days_of_a_consumer_are_a_strip_and_a_table(shop: Site) -> None:
    """Would catch: days in colours only, of which nobody can say when they were."""
    with shop.page() as page:
        open_page(page, "/consumers/report")
        panel = page.get_by_role("region", name="Service by day")
        strip = panel.get_by_role("img", name=re.compile("^Days of report: "))
        assert strip.locator("rect").count() == 90
        heights = {
            one.get_attribute("class"): one.get_attribute("height")
            for one in strip.locator("rect").all()
        }
        assert len(set(heights.values())) == len(heights) >= 2
        panel.get_by_text("As a table (90)").click()
        newest = panel.locator("tbody tr").first
        expect(newest).to_contain_text("2025-03-04")
        expect(newest).to_contain_text("late")
        assert axed(page) == []


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_names_its_day_and_its_time_zone(shop: Site, width: int) -> None:
    """Would catch: an hour of which nobody knows whose it is, a replay without its day, a phone
    without a clock.
    """
    with shop.page(zone="Asia/Tokyo", width=width) as page:
        open_page(page, "/")
        clock = page.get_by_role("banner").locator("time")
        expect(clock).to_have_text(
            re.compile(r"^Tue 2025-03-04 08:00 Europe/Berlin \(Tue 16:00 GMT\+9 here\)$")
        )
        expect(clock).to_be_in_viewport(ratio=1)
        expect(page.get_by_role("banner")).to_contain_text("replay clock")


def test_colours_that_say_something_stay_where_a_system_forces_its_own(shop: Site) -> None:
    """Would catch: a legend without its squares, bars that can't be seen, a chosen day that looks
    like the others.
    """
    colour = "all => new Set(all.map(one => getComputedStyle(one).backgroundColor)).size"
    with shop.page() as page:
        page.emulate_media(forced_colors="active")
        open_page(page, "/consumers/report")
        for of in (".legend .swatch", ".ledger .bar"):
            shown = page.locator(f"main {of}")
            shown.first.wait_for()
            assert shown.evaluate_all(colour) > 1, of
        open_page(page, "/calendar")
        chosen = page.locator(".calendar-days > li.chosen")
        assert chosen.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"


def test_times_are_those_of_the_command_line(shop: Site) -> None:
    """Would catch: `late since 15:00` beside a sentence of the server's that says 07:00 of the same
    instant.
    """
    with shop.page(zone="Asia/Tokyo") as page:
        open_page(page, "/consumers/report")
        since = page.locator(".notice").first
        expect(since).to_contain_text("07:00")
        expect(since).not_to_contain_text("15:00")


def test_each_figure_of_today_names_its_window(shop: Site) -> None:
    """Would catch: `6 days` of all consumers beside `93.1 %` of the worst one's 30 days."""
    with shop.page() as page:
        open_page(page, "/")
        status = page.evaluate("fetch('/api/v1/status').then(one => one.json())")
        rows = [item["availability"] for item in status["consumers"]]
        assert (
            status["minutes_counted"]
            == sum(row["minutes"] for row in rows)
            > status["minutes_lost"]
            > 0
        )
        lost = page.get_by_role("region", name="Time lost")
        expect(lost).to_contain_text(f"{status['minutes_lost']:,} min")
        expect(lost).to_contain_text(f"{status['minutes_counted']:,} min")
        for name in ("Honest availability", "Deliveries kept", "Time lost"):
            expect(page.get_by_role("region", name=name)).to_contain_text("the last 30 days")


def test_a_node_and_its_partition_stand_apart_on_a_phone(shop: Site) -> None:
    """Would catch: a long name written over the partition beside it."""
    with shop.page(width=390) as page:
        open_page(page, "/runs/1")
        for cell in page.locator("td[data-label=Node]").all():
            link, key = (
                cell.get_by_role("link").bounding_box(),
                cell.locator(".muted").bounding_box(),
            )
            assert link and key
            assert link["y"] + link["height"] <= key["y"] + 1


SQUEEZED = """() => [...document.querySelectorAll('main table.cards td :not(svg *)')].filter(one => {
  const box = one.getBoundingClientRect();
  return one.textContent.trim().length > 3 && box.width > 1 && box.height > 4 * box.width;
}).map(one => one.textContent)"""
"""Texts of a table that are written downwards, one letter below the other."""


@pytest.mark.long
def test_no_text_of_a_card_is_squeezed_on_a_phone(shop: Site) -> None:
    """Would catch: "score 0.9900" in a column of one letter, beside the text that it
    belongs below.
    """

    def renamed(route: Route) -> None:
        answer = route.fetch()
        response: dict[str, Any] = json.loads(answer.body())
        response["changes"] = [
            {
                **response["changes"][0],
                "score": "0.9900",
                "evidence": ["the names have words in common"] * 5,
            }
        ]
        route.fulfill(response=answer, json=response)

    with shop.page(width=390) as page:
        page.route(re.compile("/api/v1/contract/orders/diff"), renamed)
        for path in (
            "/sources/orders?part=deliveries",
            "/incidents/INC-1",
            "/checks",
            "/runs/1",
            "/assets/revenue?part=checks",
        ):
            open_page(page, path)
            assert page.evaluate(SQUEEZED) == [], path


@pytest.mark.long
def test_how_long_ago_is_not_said_before_the_projects_now_is_known(shop: Site) -> None:
    """Would catch: "ago" alone, and "Published Mon 06:00, ago", while the status isn't
    there yet.
    """
    with shop.page() as page:
        page.route(re.compile("/api/v1/status"), lambda route: None)
        for path, begins in (
            ("/incidents", "open"),
            ("/incidents/INC-1", "began"),
            ("/assets/revenue", "Published"),
        ):
            open_page(page, path)
            expect(page.locator("main")).to_contain_text(begins)
            expect(page.locator("main")).not_to_contain_text(re.compile(r"\bago\b"))


@pytest.mark.long
def test_a_duration_is_called_one(shop: Site) -> None:
    """Would catch: `seconds: 28 days`."""
    with shop.page() as page:
        for figure in FIGURES:
            open_page(page, f"/figures/{figure}")
            expect(page.get_by_role("heading", name="Rows", exact=True)).to_be_visible()
            expect(page.get_by_role("columnheader", name=re.compile("seconds"))).to_have_count(0)


@pytest.mark.long
def test_a_page_that_hears_nothing_looks_stale_after_thirty_seconds(
    shop: Site, tmp_path: Path
) -> None:
    """Would catch: `Connecting` for ever above figures of an hour ago, which look as
    fresh as ever.
    """
    with serving(waiting(tmp_path / "shop")) as server, Site(shop.browser, server).page() as page:
        page.clock.install()
        open_page(page, "/")
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        heading = page.get_by_role("heading", level=1).inner_text()
        server.stop()
        expect(page.get_by_text("Connecting")).to_be_visible()
        page.clock.run_for(STALE_MS)
        expect(page.get_by_role("banner")).to_contain_text(re.compile(r"Stale3\d s old"))
        expect(page.get_by_role("alert").first).to_have_text("The server doesn’t answer.")
        expect(page.locator("main > .notice").last).to_contain_text(
            re.compile(r"What is shown is as of .*, 3\d s old")
        )
        notice, title = (
            page.locator("main > .notice").last.bounding_box(),
            page.locator("h1").bounding_box(),
        )
        assert notice and title and title["y"] >= notice["y"] + notice["height"] + 8
        page.clock.run_for(300_000)
        expect(page.locator("main > .notice").last).to_contain_text(", 6 min old")
        assert (
            page.locator("main > .shown").evaluate("one => getComputedStyle(one).filter")
            == "grayscale(1)"
        )
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        assert axed(page) == []


@pytest.mark.long
def test_a_page_whose_responses_still_come_isnt_called_stale(shop: Site) -> None:
    """Would catch: figures of this second that are called old, because a proxy lets no stream
    through.
    """
    with shop.page() as page:
        page.route(re.compile("/api/v1/events"), lambda route: route.abort())
        page.clock.install()
        open_page(page, "/")
        for _ in range(9):
            page.clock.run_for(5_000)
            page.wait_for_timeout(200)
        expect(page.get_by_role("banner").get_by_text("Connecting")).to_be_visible()
        expect(page.get_by_text("The server doesn’t answer.")).to_have_count(0)


# What comes next.


def tonight(page: Page) -> None:
    """Four deadlines: one at risk, one usual, one without a past, one that is met."""

    def fulfil(route: Route) -> None:
        answer = route.fetch()
        response: dict[str, Any] = json.loads(answer.body())
        row = {
            "consumer": "report",
            "owner": "core",
            "state": "due",
            "met_at": None,
            "predicted_at": None,
            "earliest_at": None,
            "latest_at": None,
            "deliveries": 0,
            "reason": "",
        }
        usual = {
            "predicted_at": "2025-03-04T14:10:00+01:00",
            "earliest_at": "2025-03-04T13:30:00+01:00",
            "latest_at": "2025-03-04T15:10:00+01:00",
            "deliveries": 30,
        }
        risk = {"state": "at_risk", "predicted_at": "2025-03-05T09:00:00+01:00", "reason": MARKUP}
        met = {"state": "met", "met_at": "2025-03-04T07:00:00+01:00"}
        response["deadlines"] = [
            {**row, "interval": f"2025-03-0{n}", "due_at": f"2025-03-04T1{n}:00:00+01:00", **more}
            for n, more in enumerate((met, {}, risk, {}, {}, usual))
            if n != 4
        ]
        route.fulfill(response=answer, json=response)

    page.route(re.compile("/api/v1/today"), fulfil)


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_today_says_what_comes_next(shop: Site, width: int, theme: str) -> None:
    """Would catch: a prediction without its range, one from nothing, a risk without its reason, a
    strip that a screen reader can't read."""
    with shop.page(width=width, theme=theme) as page:
        tonight(page)
        open_page(page, "/")
        table = page.get_by_role("group", name="Next deadlines")
        rows = table.locator("tbody tr")
        expect(rows).to_have_count(5)
        for number, text in enumerate(
            (
                "there since Tue 07:00",
                "too few past deliveries",
                "Wed 03-05 09:00 at the earliest",
                "too few past deliveries",
                "Tue 14:10",
            )
        ):
            expect(rows.nth(number)).to_contain_text(text)
        expect(rows.nth(2)).to_contain_text(MARKUP)
        expect(rows.nth(2).locator("svg.tone-warn path")).to_have_count(1)
        expect(rows.nth(4)).to_contain_text("Tue 13:30 to Tue 15:10")
        strip = page.get_by_role("img", name=re.compile("^Days of report: .*1 late .2025-03-04"))
        assert strip.locator("rect").count() == 14
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
        assert axed(page) == []
        rows.nth(4).get_by_role("link").press("Enter")
        expect(page).to_have_url(re.compile(r"/consumers/report\?interval=2025-03-05"))
