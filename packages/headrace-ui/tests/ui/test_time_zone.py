"""The time zone of the pages: chosen in the header, kept in the browser, followed everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser_lab import PAGES, Site, axed, open_page, site
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(300)
PROJECT, MINE = "Europe/Berlin", "Asia/Tokyo"
TIMES = """() => [...document.querySelectorAll('main time')]
  .filter(one => one.checkVisibility()).map(one => [one.dateTime, one.innerText])"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("zone") / "shop") as result:
        yield result


@pytest.mark.long
def test_every_time_of_every_page_follows_and_days_stay(shop: Site) -> None:
    """Would catch: a time of another zone without a word, a day of a partition that shifts."""
    with shop.page() as page:
        open_page(page, "/")
        expect(page.get_by_label("Time zone")).to_have_value("project")
        expect(page.locator("header .project")).to_contain_text(f"08:00 {PROJECT}")
        page.get_by_label("Time zone").select_option("utc")
        expect(page.locator("header .project")).to_contain_text(
            f"Tue 2025-03-04 07:00 UTC (Tue 08:00 {PROJECT} in sentences and on dates)"
        )
        times = 0
        for path in PAGES:
            open_page(page, path)
            for at, text in page.evaluate(TIMES):
                assert re.search(r"UTC|^\d\d:\d\d:\d\d$", text), (path, at, text)
                times += 1
        assert times > 10
        open_page(page, "/assets/revenue")
        expect(page.get_by_role("button", name="2025-03-03", exact=True)).to_be_visible()
        page.get_by_label("Time zone").select_option("mine")
        expect(page.locator("header .project")).to_contain_text(f"16:00 {MINE}")
        expect(page.get_by_role("button", name="2025-03-03", exact=True)).to_be_visible()
        page.reload()
        expect(page.get_by_label("Time zone")).to_have_value("mine")
        assert shop.problems == []


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_switch_by_keys_keeps_nobody_out(shop: Site, theme: str) -> None:
    """Would catch: a switch that only a mouse reaches, or that pushes the page out of the screen."""
    with shop.page(theme=theme, width=375, height=800) as page:
        open_page(page, "/consumers/report")
        page.keyboard.press("Control+k")
        page.keyboard.type("time zone utc")
        expect(page.locator("#palette-found [aria-selected=true]")).to_contain_text("UTC")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Time zone")).to_have_value("utc")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert axed(page) == []
        assert shop.problems == []
