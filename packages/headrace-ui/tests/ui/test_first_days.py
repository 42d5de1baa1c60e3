"""What pages say on a project's first days, and while several things are wrong at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_lab import Site, axed, browser, open_page
from playwright.sync_api import Browser, expect
from serve_lab import deliver, headrace, project, serving, write

pytestmark = pytest.mark.timeout(300)
PROMISED = '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n'
RATES = '- {consumer: fx, owner: core, reads: [rates], due: "07:00"}\n'
CHECKED = """/* headrace
owner: core
partition: {by: day, column: day}
checks:
  - range: {column: revenue, min: 0}
*/
select cast(day as date) as day, sum(amount) as revenue from orders group by all
"""
DOWN = (
    "source: rates\nowner: core\npartition: day\nhttp: {url:"
    " 'http://127.0.0.1:9/{date:%Y-%m-%d}.json'}\n"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as result:
        yield result


@pytest.fixture(scope="module")
def wrong(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An exception lapsed, the day after is held, and a source can't be reached."""
    root = project(tmp_path_factory.mktemp("wrong") / "shop")
    write(root / "consumers.yaml", PROMISED + RATES)
    write(root / "assets/revenue.sql", CHECKED)
    write(root / "sources/rates.yaml", DOWN)
    for day in ("2025-03-01", "2025-03-02"):
        deliver(root, day)
    headrace(root, "tick", "--now", "2025-03-03T06:00")
    deliver(root, "2025-03-03", -4)
    headrace(root, "tick", "--now", "2025-03-04T06:00")
    headrace(
        root,
        "quarantine",
        "accept",
        "revenue@2025-03-03",
        "--reason",
        "a refund",
        "--until",
        "1d",
        "--now",
        "2025-03-04T06:05",
    )
    write(root / "landing/orders_2025-03-04.csv", "day,total\n2025-03-04,12\n")
    headrace(root, "tick", "--now", "2025-03-05T06:30")
    with serving(root) as server:
        yield Site(chromium, server)


@pytest.mark.long
def test_what_is_wrong_isnt_said_to_wait(wrong: Site) -> None:
    """Would catch: `Waits since 06:05: the exception lapsed`, where nothing is waited for; another
    cause in the same sentence.
    """
    with wrong.page() as page:
        open_page(page, "/consumers/report")
        notice = page.locator("main .notice").first
        expect(notice).to_contain_text("Wrong since")
        expect(notice).to_contain_text("lapsed")
        page.get_by_role("region", name="Deliveries and deadlines").get_by_text(
            "As a table"
        ).click()
        page.get_by_role("button", name="2025-03-04", exact=True).click()
        said = page.get_by_role("region", name="Delay ledger of 2025-03-04")
        expect(said).to_contain_text("2025-03-04 waits because of")
        assert axed(page) == []


@pytest.mark.long
def test_the_ledger_is_whole_on_a_phone(wrong: Site) -> None:
    """Would catch: how long each part lasted, beyond the right edge."""
    with wrong.page(width=390) as page:
        open_page(page, "/consumers/report")
        page.get_by_role("region", name="Deliveries and deadlines").get_by_text(
            "As a table"
        ).click()
        page.get_by_role("button", name="2025-03-04", exact=True).click()
        ledger = page.get_by_role("group", name="Delay ledger")
        assert ledger.evaluate("one => one.scrollWidth <= one.clientWidth")
        expect(ledger).to_contain_text("core could have ended it")
        assert axed(page) == []


@pytest.mark.long
def test_an_incident_before_anything_came_counts_no_nothing(wrong: Site) -> None:
    """Would catch: `0 partitions:` and `0 assets`, and a consumer that doesn't name what keeps it
    empty.
    """
    with wrong.page() as page:
        open_page(page, "/")
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name="fx", exact=True))
        expect(row).to_contain_text("rates: http")
        row.get_by_role("link", name="Open INC-").click()
        expect(page.get_by_role("region", name="Affected consumers")).to_contain_text("fx")
        expect(page.get_by_role("region", name="Affected consumers")).not_to_contain_text(
            "0 partitions"
        )
        open_page(page, "/incidents")
        expect(page.get_by_role("group", name="Incidents")).not_to_contain_text("0 assets")


def test_what_wasnt_published_of_a_run_stands_inside_its_panel(wrong: Site) -> None:
    """Would catch: reasons that stick to the edge of what they are in."""
    with wrong.page() as page:
        open_page(page, "/runs/2")
        panel = page.get_by_role("region", name="Unsuccessful attempts")
        reason = panel.get_by_text("1 row below 0")
        assert reason.bounding_box()["x"] - panel.bounding_box()["x"] >= 8


@pytest.mark.long
def test_an_empty_project_has_no_chart_and_says_what_comes_first(
    chromium: Browser, tmp_path: Path
) -> None:
    """Would catch: an axis of one minute around no delivery, a source that is said to read
    something, a first delivery that there wasn't."""
    root = project(tmp_path / "shop")
    write(root / "consumers.yaml", PROMISED)
    with serving(root) as server, Site(chromium, server).page() as page:
        open_page(page, "/consumers/report")
        panel = page.get_by_role("region", name="Deliveries and deadlines")
        expect(panel).to_contain_text("No delivery was due or published")
        expect(panel).not_to_contain_text("1 min")
        open_page(page, "/sources/orders")
        expect(page.locator("main")).to_contain_text("comes with the first delivery")
        expect(page.locator("main")).not_to_contain_text("what it reads")
        open_page(page, "/contracts/orders")
        expect(page.locator("main")).to_contain_text(
            "Each delivery is held to what the first one had"
        )
        open_page(page, "/use")
        expect(page.locator("main")).not_to_contain_text("no read seen")


@pytest.mark.long
def test_a_project_without_nodes_is_led_through_its_first_steps(
    chromium: Browser, tmp_path: Path
) -> None:
    """Would catch: a first step that names assets which aren't there, an empty calendar and an
    empty graph that teach nothing.
    """
    root = tmp_path / "bare"
    write(root / "headrace.toml", '[project]\nname = "bare"\n')
    with serving(root) as server, Site(chromium, server).page() as page:
        main, first = page.locator("main"), page.get_by_text("Declare a source and an asset")
        open_page(page, "/")
        expect(first).to_be_visible()
        expect(main).to_contain_text("consumers.yaml")
        assert axed(page) == []
        open_page(page, "/calendar")
        expect(main).to_contain_text("Deadlines come from consumers.yaml")
        open_page(page, "/graph")
        expect(main).to_contain_text("No source and no asset to show. Write one into sources")
        write(root / "sources/orders.yaml", "owner: core\npartition: day\nfile: {path: [}\n")
        open_page(page, "/")
        expect(main).to_contain_text("They have errors now")


def test_a_day_of_the_calendar_is_shown_where_it_is_chosen_on_a_phone(wrong: Site) -> None:
    """Would catch: a choice whose answer is drawn far below the screen."""
    with wrong.page(width=390) as page:
        open_page(page, "/calendar")
        page.get_by_role("link", name="Sat 8", exact=True).click()
        expect(page.get_by_role("heading", name="Sat 8 Mar")).to_be_in_viewport()
        assert axed(page) == []
