"""The page for queries in a real browser: completed, run, cancelled, drawn and saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_lab import AXE, Site, axed, browser, open_page
from playwright.sync_api import Page, expect
from serve_lab import deliver, headrace, project, serving

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
NOW = "2025-03-04T08:00"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = project(tmp_path_factory.mktemp("sql") / "shop")
    for day in ("2025-03-01", "2025-03-02", "2025-03-03"):
        deliver(root, day, 10)
    headrace(root, "tick", "--now", NOW)
    with browser() as result, serving(root) as server:
        yield Site(result, server)


def accessible(page: Page) -> None:
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert not AXE.is_file() or axed(page) == []


def test_a_query_is_written_run_drawn_and_saved_by_keys(site: Site, tmp_path: Path) -> None:
    """Would catch: a query that only a mouse can run, names that aren't offered, a chart without
    a table, or a file with other rows than the page."""
    site.problems.clear()
    with site.page() as page:
        open_page(page, "/sql")
        query = page.get_by_role("textbox", name="Query")
        query.focus()
        page.keyboard.type("select * from rev")
        expect(page.get_by_role("option", name=re.compile("^revenue"))).to_be_visible()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(query).to_have_value("select * from revenue")
        page.keyboard.type(" where revenue.da")
        option = page.get_by_role("listbox").get_by_role("option").first
        expect(option).to_contain_text("column")
        page.keyboard.press("Tab")
        page.keyboard.type(" is not null order by 1")
        page.keyboard.press("Escape")
        page.keyboard.press("Control+Enter")
        result = page.get_by_role("region", name="Result")
        expect(result).to_contain_text(re.compile("3 rows; in .*snapshot"))
        expect(page).to_have_url(re.compile("query=select"))
        with page.expect_download() as download:
            result.get_by_role("button", name="CSV").click()
        download.value.save_as(tmp_path / "result.csv")
        lines = (tmp_path / "result.csv").read_text(encoding="utf-8").splitlines()
        assert len(lines) == 4 and lines[1].startswith("2025-03-01,")
        result.get_by_role("button", name="Chart").click()
        expect(result.get_by_role("img", name=re.compile("3 points"))).to_be_visible()
        result.get_by_text("As a table (3)").click()
        accessible(page)
        open_page(page, "/sql")
        page.get_by_role("button", name=re.compile("^select \\* from revenue")).click()
        expect(page.get_by_role("textbox", name="Query")).to_have_value(re.compile("order by 1$"))
        page.get_by_role("button", name="Clear history").click()
        expect(page.get_by_text("No query yet.")).to_be_visible()
        page.set_viewport_size({"width": 375, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert site.problems == []


def test_a_query_is_cancelled_and_a_wrong_one_says_why(site: Site) -> None:
    """Would catch: a page that waits for a minute, or an error that nobody understands."""
    with site.page() as page:
        open_page(page, "/sql")
        query = page.get_by_role("textbox", name="Query")
        query.fill("select sum(a.range * b.range) from range(1000000) a, range(1000000) b")
        page.get_by_role("button", name="Run query").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Cancelled.")).to_be_visible()
        query.fill("select nothing from revenue")
        page.get_by_role("button", name="Run query").click()
        expect(page.get_by_role("alert")).to_contain_text("nothing")
        query.fill("drop table revenue")
        page.get_by_role("button", name="Run query").click()
        expect(page.get_by_role("alert")).to_contain_text("only one query that returns rows")


def test_the_tables_are_beside_the_query_and_below_it_on_a_phone(site: Site) -> None:
    """Would catch: a name that a click doesn't write, text without colours or beside them, a page
    wider than a phone."""
    site.problems.clear()
    with site.page() as page:
        page.set_viewport_size({"width": 1280, "height": 800})
        open_page(page, "/sql")
        query = page.get_by_role("textbox", name="Query")
        query.fill("select count(*) from")
        page.get_by_role("textbox", name="Filter tables").fill("reven")
        tables = page.get_by_role("list", name="Tables")
        expect(tables.get_by_role("button", name="orders", exact=True)).to_have_count(0)
        tables.get_by_role("button", name="revenue", exact=True).first.click()
        expect(query).to_have_value("select count(*) from revenue")
        expect(page.locator(".query-text .hljs-keyword").first).to_have_text("select")
        text, colours = (
            page.locator(f".query-text > {part}").bounding_box() for part in ("textarea", "pre")
        )
        assert text == colours
        beside = page.get_by_role("region", name="Tables").bounding_box()
        above = page.get_by_role("region", name="Query").bounding_box()
        assert beside and above and beside["x"] > above["x"] + above["width"]
        page.keyboard.press("Control+Enter")
        number = page.get_by_role("columnheader", name=re.compile("count"))
        expect(number).to_have_css("text-align", "right")
        accessible(page)
        page.set_viewport_size({"width": 375, "height": 800})
        below = page.get_by_role("region", name="Tables").bounding_box()
        above = page.get_by_role("region", name="Query").bounding_box()
        assert below and above and below["y"] >= above["y"] + above["height"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        accessible(page)
    assert site.problems == []
