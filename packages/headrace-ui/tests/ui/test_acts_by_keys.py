"""One whole repair with nothing but keys: from who waits to who is served again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser_lab import Site, open_page, site
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.timeout(300)
TABS_MAX = 80
FOCUSED = "(one => one.getAttribute('aria-label') || one.innerText || '')(document.activeElement)"


def tab_to(page: Page, name: str, most: int = TABS_MAX) -> None:
    """Press Tab until what is named has the focus, and can be seen to have it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED).strip() == name:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
    raise AssertionError(f"{most} times Tab don't lead to {name!r}")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("keys") / "shop") as result:
        yield result


@pytest.mark.long
def test_a_range_is_chosen_in_the_calendar_with_arrows(shop: Site) -> None:
    """Would catch: a backfill whose partitions only a mouse can choose."""
    with shop.page() as page:
        open_page(page, "/sources/orders")
        page.get_by_role("button", name="2025-03-03: ").first.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Partition 2025-03-03")).to_contain_text(
            "In quarantine"
        )
        open_page(page, "/assets/revenue")
        page.get_by_role("button", name="2025-03-02: ").first.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Partition 2025-03-02")).to_be_visible()
        page.keyboard.press("Shift+ArrowUp")
        expect(page.get_by_role("region", name="Chosen partitions")).to_contain_text("2 partitions")
        tab_to(page, "Backfill these…")
        page.keyboard.press("Enter")
        expect(page.get_by_role("combobox", name="Assets")).to_have_value("revenue")
        expect(page.get_by_role("textbox", name="From", exact=True)).to_have_value("2025-03-01")
        expect(page.get_by_role("textbox", name="To, included")).to_have_value("2025-03-02")


@pytest.mark.long
def test_who_waits_is_found_and_served_again_with_keys_only(shop: Site) -> None:
    """Would catch: a step of a repair that only a mouse can do, a focus that nobody sees, or one
    that is lost when a dialog closes.
    """
    with shop.page() as page:
        open_page(page, "/")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/consumers/report$"))
        expect(page.get_by_role("link", name="Open INC-1")).to_be_visible()
        tab_to(page, "Open INC-1")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Repair…")).to_be_visible()
        tab_to(page, "Repair…")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_role("listitem").first).to_contain_text(
            "Take the new names for the old ones"
        )
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert page.evaluate(FOCUSED).strip() == "Repair…"
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Do this")).to_be_visible()
        tab_to(page, "Do this")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("partitions published")
        page.keyboard.press("Escape")
        expect(page.get_by_text("Resolved.", exact=False).first).to_be_visible()
        page.keyboard.press("g")
        page.keyboard.press("t")
        expect(page.get_by_role("heading", level=1)).to_contain_text("The consumer is served.")
        assert shop.problems == []
