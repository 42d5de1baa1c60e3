"""A search in the graph in a real browser: what it finds comes into the window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_lab import Site, browser, open_page
from playwright.sync_api import Locator, Page, expect
from serve_lab import project, serving, write

pytestmark = pytest.mark.timeout(300)
ASSET = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\nselect day from %s\n"
LENGTH = 30
LAST = f"step_{LENGTH}"
FOCUSED = "document.activeElement.closest('.react-flow__node')?.dataset.id"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A chain of nodes that is wider than any window."""
    root = project(tmp_path_factory.mktemp("search") / "shop")
    for number in range(1, LENGTH + 1):
        before = f"step_{number - 1}" if number > 1 else "orders"
        write(root / f"assets/step_{number}.sql", ASSET % before)
    with browser() as result, serving(root) as server:
        yield Site(result, server)


def _card(page: Page, name: str) -> Locator:
    return page.locator(f'.react-flow__node[data-id="asset:{name}"]')


def _expect_in_window(page: Page, name: str) -> None:
    """Wait until all of a card is in the graph's window."""
    page.wait_for_function(
        """(id) => {
          const inner = document.querySelector(`.react-flow__node[data-id="${id}"]`)?.getBoundingClientRect();
          const outer = document.querySelector('.react-flow').getBoundingClientRect();
          return inner && inner.left >= outer.left && inner.right <= outer.right
            && inner.top >= outer.top && inner.bottom <= outer.bottom;
        }""",
        arg=f"asset:{name}",
        timeout=5_000,
    )


@pytest.mark.long
@pytest.mark.parametrize("width", [375, 1280])
def test_what_a_search_finds_comes_into_the_window(site: Site, width: int) -> None:
    """Would catch: a match that is somewhere outside, while typing, in a link to the search, or
    after a tap on "Next match", which gives no focus that the graph follows.
    """
    site.problems.clear()
    with site.page(width=width) as page:
        open_page(page, "/graph")
        expect(_card(page, LAST)).not_to_be_in_viewport()
        page.get_by_label("Find").fill(LAST)
        _expect_in_window(page, LAST)
        open_page(page, f"/graph?find={LAST}")
        _expect_in_window(page, LAST)
        page.get_by_label("Find").fill("step_")
        page.get_by_text(f"{LENGTH} match").wait_for()
        for _ in range(3):
            page.get_by_role("button", name="Next match").click()
            page.wait_for_function(f"{FOCUSED} !== undefined")
            name = page.evaluate(FOCUSED).removeprefix("asset:")
            _expect_in_window(page, name)
    assert site.problems == []


@pytest.mark.long
def test_the_window_jumps_for_those_who_want_no_motion(site: Site) -> None:
    """Would catch: a graph that slides although the reader asked for no motion."""
    with site.page(width=375) as page:
        page.emulate_media(reduced_motion="reduce")
        open_page(page, "/graph")
        page.evaluate(
            """() => {
              window.moves = 0;
              new MutationObserver(() => { window.moves += 1; }).observe(
                document.querySelector('.react-flow__viewport'), {attributeFilter: ['style']});
            }"""
        )
        page.get_by_label("Find").fill(LAST)
        _expect_in_window(page, LAST)
        assert page.evaluate("window.moves") == 1
