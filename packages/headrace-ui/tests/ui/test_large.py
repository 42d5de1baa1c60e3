"""Ten thousand nodes: a few dozen cards at a time, and what is searched for is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_lab import browser, open_page
from playwright.sync_api import Browser, Page, expect

from benchmarks.large_project import Size, make, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CARDS_MAX = 150


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, str]]:
    made = make(Path(tmp_path_factory.mktemp("large"), "large"), Size(layers=100, days=1, tries=1))
    with browser() as chromium, opened(made.folder) as (port, token):
        yield chromium, f"http://127.0.0.1:{port}/?token={token}"


def entered(chromium: Browser, url: str) -> Page:
    page = chromium.new_context(
        base_url=url.partition("/?")[0], viewport={"width": 1280, "height": 900}
    ).new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    return page


def test_the_graph_is_never_all_of_it(large: tuple[Browser, str]) -> None:
    """Would catch: a view of thousands of cards, a focus without its neighbours, or a node that the
    search doesn't find.
    """
    page = entered(*large)
    for path in ("/graph", "/graph?mode=focus&root=a50_7", "/graph?mode=blast&root=s7"):
        open_page(page, path)
        page.locator(".react-flow__node").first.wait_for()
        assert 1 < page.locator(".react-flow__node").count() <= CARDS_MAX, path
    open_page(page, "/graph?mode=focus&root=a50_7")
    expect(page.get_by_label("Graph as list")).to_contain_text("a49_7")
    expect(page.get_by_label("Graph as list")).to_contain_text("a51_7")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Find or do anything").fill("a99_99")
    expect(page.get_by_role("option").filter(has_text="a99_99").first).to_be_visible()
    page.context.close()
