"""The grid of runs, and the critical path and slots of a run, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser_lab import AXE, Site, axed, browser, open_page
from playwright.sync_api import Page, expect
from serve_lab import deliver, headrace, project, serving, write

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
FAILS = (
    "asset: broken\nowner: night\npartition: day\ninputs: [orders]\ncommand: [sh, -c, 'exit 1']\n"
    "columns: {day: DATE}\n"
)
COLOUR = "cell => getComputedStyle(cell).color"
"""Of a letter in a cell and in the key: axe-core doesn't judge the contrast of single letters."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = project(tmp_path_factory.mktemp("grid") / "shop")
    write(root / "owners.yaml", (root / "owners.yaml").read_text() + "night: {kind: team}\n")
    write(root / "assets/broken.yaml", FAILS)
    for day in ("2025-03-01", "2025-03-02"):
        deliver(root, day, 10)
        headrace(root, "tick", "--now", f"{day[:-1]}{int(day[-1]) + 1}T08:00")
    headrace(root, "run", "broken", "--now", "2025-03-03T09:00", code=1)
    with browser() as result, serving(root) as server:
        yield Site(result, server)


def accessible(page: Page) -> None:
    """Check both themes, and that a phone's width is enough."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert not AXE.is_file() or axed(page) == []
    page.set_viewport_size({"width": 375, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= 375")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_grid_has_the_filters_of_the_list_and_opens_attempts(site: Site) -> None:
    """Would catch: filters that are lost between the two views, a cell that opens another run, a
    grid that only a mouse can use, or days of which no month can be seen."""
    site.problems.clear()
    with site.page() as page:
        open_page(page, "/runs?owner=night")
        listed = page.get_by_role("group", name="Runs", exact=True).locator("tbody tr")
        expect(listed).to_have_count(3)
        page.get_by_role("button", name="Grid").click()
        expect(page).to_have_url(re.compile("owner=night.*view=grid"))
        grid = page.get_by_role("grid")
        expect(grid).to_have_attribute("aria-rowcount", "2")
        cell = grid.get_by_role("gridcell", name="2025-03-02: failed")
        expect(cell).to_have_text("F")
        assert cell.evaluate(COLOUR) == page.get_by_text("F", exact=True).last.evaluate(COLOUR)
        accessible(page)
        _months_are_beside_the_names(page)
        cell.click()
        expect(page).to_have_url(re.compile(r"/runs/\d+\?attempt=\d+\.\d+$"))
        page.go_back()
        page.get_by_label("Owner").select_option(label="any")
        expect(grid).to_have_attribute("aria-rowcount", "4")
        grid.get_by_role("link", name="revenue").focus()
        page.keyboard.press("End")
        for _ in range(60):
            if grid.locator(":focus[data-state]").count():
                break
            page.keyboard.press("ArrowLeft")
        expect(page.get_by_label("Chosen cell")).to_contain_text("revenue 2025-03-02: published")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/runs/\d+\?attempt="))
        open_page(page, "/runs?view=grid&failed=")
        expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", "2")
        page.get_by_text("What isn’t published, as a table").click()
        expect(page.get_by_role("group", name="Attempts without a publication")).to_contain_text(
            "broken"
        )
        open_page(page, "/runs?view=grid&state=nothing")
        expect(page.get_by_text("is no state of an attempt")).to_be_visible()
    assert [text for text in site.problems if "400" not in text] == []


def _months_are_beside_the_names(page: Page) -> None:
    grid = page.get_by_role("grid")
    for width in (375, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.reload()
        name, month = grid.locator("thead .name").last, grid.locator(".months span").last
        expect(month).to_be_in_viewport(ratio=1)
        beside, at = name.bounding_box(), month.bounding_box()
        assert beside is not None and at is not None
        assert at["x"] >= beside["x"] + beside["width"] and at["width"] > 15


def test_a_run_shows_its_critical_path_and_slots(site: Site) -> None:
    """Would catch: a path without a mark among the bars, a chart without a table, or bars of no
    width on a phone."""
    site.problems.clear()
    with site.page() as page:
        open_page(page, "/runs/1")
        expect(page.get_by_role("group", name="Delay ledger")).to_contain_text("exit 1")
        expect(
            page.get_by_role("img", name=re.compile("on the critical path")).first
        ).to_be_visible()
        lane = page.get_by_role("region", name="Slots and pools")
        expect(lane).to_be_visible()
        accessible(page)
        page.set_viewport_size({"width": 375, "height": 800})
        bar = page.get_by_role("img", name=re.compile("on the critical path")).first.bounding_box()
        assert bar is not None and bar["width"] > 100
    assert site.problems == []
