"""Every page without a mouse, on a narrow screen: whatever can be done there is reached by Tab, is
seen, and shows that it is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_lab import PAGES, open_page, site
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.timeout(300)
WIDTH, HEIGHT = 380, 800
CONTROLS = """() => {
  const shown = (one) => one.checkVisibility({visibilityProperty: true}) && one.getClientRects().length > 0;
  const kinds = 'a[href], button:not([disabled]), input:not([disabled]), select, textarea, summary, [tabindex="0"]';
  const found = [...document.querySelectorAll(kinds)].filter(one => one.tabIndex >= 0 && shown(one));
  found.forEach((one, index) => { one.dataset.control = index; });
  document.activeElement?.blur?.();
  return found.length;
}"""
CHOSEN = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const box = one.getBoundingClientRect(), looks = getComputedStyle(one);
  return {control: one.dataset.control ?? null, name: one.outerHTML.slice(0, 160),
          seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
          marked: looks.outlineStyle !== 'none' || looks.boxShadow !== 'none' || one.matches('.react-flow__node')};
}"""
MORE = 5
DATE_FIELDS = 4
"""Tab goes through day, month, year and the button of a date."""
FOCUSED = "document.activeElement.closest('.react-flow__node')?.dataset.id"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One page that goes everywhere."""
    with (
        site(tmp_path_factory.mktemp("keys") / "shop") as result,
        result.page(width=WIDTH, height=HEIGHT) as page,
    ):
        yield page


@pytest.mark.long
@pytest.mark.parametrize("path", PAGES)
def test_tab_reaches_everything_and_it_is_seen(narrow: Page, path: str) -> None:
    """Would catch: a control that only a mouse reaches, one chosen out of sight, a focus nobody
    sees, a trap."""
    open_page(narrow, path)
    wanted = narrow.evaluate(CONTROLS)
    reached: set[str] = set()
    fields = narrow.locator('input[type="date"]').count() * DATE_FIELDS
    for _ in range(wanted + MORE + fields):
        if len(reached) == wanted:
            break
        narrow.keyboard.press("Tab")
        chosen = narrow.evaluate(CHOSEN)
        if chosen is None or chosen["control"] is None:
            continue
        assert chosen["seen"], (path, chosen)
        assert chosen["marked"], (path, chosen)
        reached.add(chosen["control"])
    lacking = [n for n in range(wanted) if str(n) not in reached]
    assert not lacking, [
        narrow.locator(f'[data-control="{n}"]').evaluate("one => one.outerHTML.slice(0, 160)")
        for n in lacking
    ]


@pytest.mark.long
def test_arrow_keys_follow_the_edges_of_the_graph(narrow: Page) -> None:
    """Would catch: a graph in which keys move the picture, and not from card to card."""
    open_page(narrow, "/graph")
    narrow.locator('.react-flow__node[data-id="source:orders"]').focus()
    for key, card in (
        ("ArrowRight", "asset:revenue"),
        ("ArrowRight", "consumer:report"),
        ("ArrowRight", "consumer:report"),
        ("ArrowLeft", "asset:revenue"),
    ):
        narrow.keyboard.press(key)
        assert narrow.evaluate(FOCUSED) == card, key
    narrow.keyboard.press("Enter")
    drawer = narrow.get_by_role("complementary", name="revenue")
    expect(drawer.get_by_role("heading", name="revenue")).to_be_focused()
    narrow.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    assert narrow.evaluate(FOCUSED) == "asset:revenue"
    narrow.keyboard.press("Enter")
    drawer.get_by_role("link", name="Around it").click()
    narrow.wait_for_url("**/graph?mode=focus&root=revenue")


def test_the_graph_is_searched_by_keys_and_saved_as_pictures(narrow: Page) -> None:
    """Would catch: a match that isn't gone to, a filter that is lost when a node is opened, a
    picture that isn't one."""
    open_page(narrow, "/graph")
    narrow.get_by_label("Find").fill("REV")
    narrow.get_by_text("1 match").wait_for()
    narrow.keyboard.press("Enter")
    focused = narrow.locator(".react-flow__node:focus-within")  # once it is in view
    expect(focused).to_have_attribute("data-id", "asset:revenue")
    narrow.keyboard.press("Enter")
    narrow.get_by_role("link", name="Around it").click()
    narrow.wait_for_url("**/graph?mode=focus&root=revenue&find=REV")
    narrow.get_by_role("link", name="Whole graph").click()
    narrow.wait_for_url("**/graph?find=REV")
    for button, start in (("Save SVG", b"<svg "), ("Save PNG", b"\x89PNG\r\n")):
        with narrow.expect_download() as download:
            narrow.get_by_role("button", name=button).click()
        assert download.value.path().read_bytes().startswith(start)
