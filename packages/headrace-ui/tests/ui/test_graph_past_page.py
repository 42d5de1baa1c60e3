"""The graph of a past time and its time-lapse, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser_lab import AXE, Site, axed, browser, open_page
from playwright.sync_api import Page, expect
from serve_lab import deliver, headrace, project, serving, write

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
COUNT = "asset: daily\nowner: core\npartition: day\ninputs: [orders]\ncommand: [sh, -c, '{}']\n"
LATER = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\nselect day from orders\n"
NOW = "2025-03-03T09:00"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An asset that fails at 03:10 and is replaced by code that works at 04:00; one from 05:00."""
    root = project(tmp_path_factory.mktemp("past") / "shop")
    deliver(root, "2025-03-01", 10)
    headrace(root, "tick", "--now", "2025-03-02T23:00")
    write(root / "assets/daily.yaml", COUNT.format("exit 1") + "columns: {day: DATE}\n")
    headrace(root, "apply", "--yes", "--now", "2025-03-03T03:00")
    headrace(root, "tick", "--now", "2025-03-03T03:10")
    (root / "assets/daily.yaml").unlink()
    write(root / "assets/daily.sql", LATER)
    headrace(root, "apply", "--yes", "--now", "2025-03-03T04:00")
    headrace(root, "tick", "--now", "2025-03-03T04:01")
    write(root / "assets/later.sql", LATER)
    headrace(root, "apply", "--yes", "--now", "2025-03-03T05:00")
    headrace(root, "tick", "--now", "2025-03-03T05:01")
    headrace(root, "tick", "--now", NOW)
    with browser() as result, serving(root) as server:
        yield Site(result, server)


def card(page: Page, name: str) -> str:
    """The card of an asset, with its state for those who hear it."""
    return page.locator(f".react-flow__node[data-id='asset:{name}']").inner_text()


def at(page: Page, text: str) -> None:
    expect(page.get_by_text(re.compile(f"^As it stood at .*{text}"))).to_be_visible()


def accessible(page: Page) -> None:
    """Check both themes, and that a phone's width is enough."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert not AXE.is_file() or axed(page) == []
    page.set_viewport_size({"width": 375, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= 375")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_graph_goes_back_to_a_time_and_its_link_is_shared(site: Site) -> None:
    """Would catch: a past without its label, a node that wasn't there yet, a link that forgets the
    time, or a way back to now that doesn't exist."""
    site.problems.clear()
    with site.page() as page:
        open_page(page, "/graph?at=2025-03-03T02:30:00Z")
        at(page, "03:30:00 GMT[+]1")
        assert "failed" in card(page, "daily")
        assert page.locator("[data-id='asset:later']").count() == 0
        accessible(page)
        page.get_by_role("slider", name="As it stood at").focus()
        page.keyboard.press("ArrowRight")
        at(page, "04:0")
        page.get_by_role("link", name=re.compile("^revenue")).first.click()
        page.get_by_role("link", name="Around it").click()
        expect(page).to_have_url(re.compile("root=revenue.*at=2025-03-03T03"))
        at(page, "04:0")
        page.get_by_role("button", name="Now").click()
        expect(page.get_by_text("As it stood at")).to_have_count(0)
        assert "at=" not in page.url and "root=revenue" in page.url
        page.get_by_role("button", name="As it stood…").click()
        at(page, "09:0")
    assert site.problems == []


def test_a_night_is_played_without_a_request_for_each_frame(site: Site) -> None:
    """Would catch: a time-lapse that asks for a hundred views, that stops at an apply, or whose
    last frame isn't what the server says."""
    site.problems.clear()
    with site.page() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        open_page(page, "/graph?at=2025-03-03T02:05:00Z&until=2025-03-03T04:10:00Z")
        at(page, "03:05:00")
        expect(page.get_by_text(re.compile(r"\d+ changes"))).to_be_visible()
        page.get_by_role("button", name="Play").click()
        expect(page.get_by_text(re.compile("daily: .* failed"))).to_be_visible()
        at(page, "05:10:00")
        expect(page.get_by_role("button", name="Play")).to_be_visible()
        for name in ("later", "daily"):
            expect(page.locator(f"[data-id='asset:{name}']")).to_contain_text("published")
        views = [url for url in asked if "/graph/view" in url]
        assert len(views) <= 8, views
    assert site.problems == []
