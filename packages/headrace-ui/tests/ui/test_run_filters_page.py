"""The filters of the runs in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser_lab import AXE, Site, axed, browser, open_page
from playwright.sync_api import expect
from serve_lab import deliver, headrace, project, serving

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = project(tmp_path_factory.mktemp("runs") / "shop")
    for day in ("2025-03-01", "2025-03-02"):
        deliver(root, day, 10)
        headrace(root, "tick", "--now", f"{day[:-1]}{int(day[-1]) + 1}T08:00")
    with browser() as result, serving(root) as server:
        yield Site(result, server)


def test_runs_are_filtered_by_the_address(site: Site) -> None:
    """Would catch: a filter that is lost when the page is opened again, or a chart without a
    table."""
    site.problems.clear()
    with site.page() as page:
        open_page(page, "/runs")
        rows = page.get_by_role("group", name="Runs", exact=True).locator("tbody tr")
        before = rows.count()
        assert before >= 2
        expect(page.get_by_role("img", name=re.compile("^Duration of runs: "))).to_be_visible()
        page.get_by_label("Cause").select_option(label="tick")
        page.get_by_label("Asset or source").fill("revenue")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("kind=tick&node=revenue|node=revenue&kind=tick"))
        expect(rows).to_have_count(2)
        open_page(page, page.url)
        expect(rows).to_have_count(2)
        page.get_by_label("First day").fill("2030-01-01")
        expect(page.get_by_text("No run fits these filters.")).to_be_visible()
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            assert not AXE.is_file() or axed(page) == []
        page.set_viewport_size({"width": 375, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert site.problems == []
