"""The palette: acts and things by keys only; nothing is done before its plan is confirmed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser_lab import Site, axed, open_page, site
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("palette") / "shop") as result:
        yield result


def order(page: Page, text: str, choice: str) -> None:
    """Type into the palette, and press Enter once the choice is the first one."""
    page.keyboard.press("Control+k")
    page.keyboard.type(text)
    expect(page.locator("#palette-found [aria-selected=true]")).to_contain_text(choice)
    page.keyboard.press("Enter")


@pytest.mark.long
def test_an_order_asks_before_anything_is_done(shop: Site) -> None:
    """Would catch: an act without its plan, a question that comes back on reload, a step that
    needs a mouse.
    """
    with shop.page() as page:
        open_page(page, "/")
        order(page, "pause ord", "Pause orders…")
        dialog = page.get_by_role("dialog", name="Pause orders")
        expect(dialog.get_by_role("button", name="Pause it")).to_be_disabled()
        expect(page).to_have_url(re.compile("/sources/orders$"))
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_contain_text("orders")
        expect(dialog).to_have_count(0)
        order(page, "pause ord", "Pause orders…")  # on the page itself
        expect(dialog).to_be_visible()
        dialog.get_by_label("Why").fill("looking")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("until somebody resumes it")
        page.keyboard.press("Escape")
        order(page, "resume", "Resume orders…")
        expect(page.get_by_role("dialog", name="Resume orders")).to_be_visible()
        assert shop.problems == []


@pytest.mark.long
def test_repairs_backfills_and_records_are_opened(shop: Site) -> None:
    """Would catch: an order that ends on a page without its plan."""
    with shop.page() as page:
        open_page(page, "/")
        order(page, "repair", "Repair INC-1…")
        expect(page.get_by_role("button", name="Do this")).to_be_visible()
        page.keyboard.press("Escape")
        order(
            page,
            "backfill revenue from 2025-03-01 to 2025-03-02",
            "Backfill revenue from 2025-03-01 to 2025-03-02…",
        )
        expect(page.get_by_text("No partition needs computing.")).to_be_visible()
        order(page, "open inc-1", "INC-1")
        expect(page).to_have_url(re.compile("/incidents/INC-1$"))
        page.keyboard.press("Control+k")
        expect(page.locator("#palette-found").get_by_role("option").first).to_contain_text("INC-1")
        assert shop.problems == []


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_palette_keeps_nobody_out(shop: Site, theme: str) -> None:
    """Would catch: a choice that can't be read, a list without names."""
    with shop.page(theme=theme) as page:
        open_page(page, "/")
        page.keyboard.press("Control+k")
        page.keyboard.type("re")
        expect(page.locator("#palette-found").get_by_role("option").first).to_contain_text("…")
        assert axed(page) == []
        page.keyboard.press("Escape")
        order(page, "density comp", "Density: compact")
        assert page.evaluate("document.documentElement.dataset.density") == "compact"
        page.reload()
        assert page.evaluate("document.documentElement.dataset.density") == "compact"
        assert axed(page) == []
        assert shop.problems == []
