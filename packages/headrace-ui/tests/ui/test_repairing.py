"""The story: a person finds who waits and why, and repairs it with the mouse; and every other page
shows it by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_lab import open_page, site
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(300)
HELD = "1 cause holds"


def test_a_cause_is_found_and_repaired_and_others_see_it(tmp_path: Path) -> None:
    """Would catch: a repair that isn't the one that was shown, one that only a reload shows, or a
    page that hides that it is old."""
    with site(tmp_path / "shop") as shop, shop.page() as page, shop.page() as other:
        open_page(other, "/")
        expect(other.get_by_role("heading", level=1)).to_contain_text(HELD)
        expect(other.get_by_text("Live", exact=True)).to_be_visible()

        page.get_by_role("link", name="Open INC-1").first.click()
        expect(page.locator("main")).to_contain_text("amount")
        page.get_by_role("button", name="Repair…").click()
        expect(page.get_by_role("dialog").get_by_role("listitem").first).to_contain_text(
            "Take the new names for the old ones"
        )
        page.get_by_role("button", name="Do this").click()
        expect(page.get_by_role("dialog")).to_contain_text("partitions published")
        expect(page.get_by_role("dialog")).to_contain_text("served")
        page.get_by_role("button", name="Close", exact=True).last.click()
        expect(page.get_by_text("Resolved.", exact=False).first).to_be_visible()

        expect(other.get_by_role("heading", level=1)).to_contain_text("The consumer is served.")
        shop.server.stop()
        expect(other.get_by_text("Connecting")).to_be_visible()
        expect(other.get_by_role("heading", level=1)).to_contain_text("The consumer is served.")
