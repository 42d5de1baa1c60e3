"""The server goes away and comes back: what is shown stays, says how old it is, and goes on by
itself. A page that is opened meanwhile comes once the server is back.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser_lab import Site, axed, browser, open_page, waiting
from playwright.sync_api import expect
from serve_lab import serving

pytestmark = pytest.mark.timeout(300)
HELD = "1 cause holds"
STALE_MS = 40_000
AS_OF = re.compile(r"as of \w{3} \d\d:\d\d Europe/Berlin, \d+ s old")


@pytest.mark.long
def test_a_server_that_is_gone_makes_the_page_say_so_and_one_that_is_back_goes_on(
    tmp_path: Path,
) -> None:
    """Would catch: zeros in the place of numbers, a page that looks live and isn't, or one that
    only a reload brings back.
    """
    root = waiting(tmp_path / "shop")
    with browser() as chromium, serving(root) as first:
        shop, port = Site(chromium, first), first.port
        with shop.page() as page:
            page.clock.install()  # time flows; the half minute after which it is stale needn't
            open_page(page, "/")
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
            expect(page.get_by_role("heading", level=1)).to_contain_text(HELD)
            first.stop()
            expect(page.get_by_text("Connecting")).to_be_visible()
            page.clock.fast_forward(STALE_MS)
            expect(page.get_by_role("banner").get_by_text("Stale")).to_be_visible()
            expect(page.get_by_role("heading", level=1)).to_contain_text(HELD)
            expect(page.locator("main .notice").first).to_contain_text(AS_OF)
            shown = page.locator("main .shown")
            assert "grayscale(1)" in shown.evaluate("node => getComputedStyle(node).filter")
            assert axed(page) == []
            with serving(root, "--port", str(port)):
                expect(page.get_by_text("Live", exact=True)).to_be_visible()
                expect(page.get_by_role("banner").get_by_text("Stale")).to_have_count(0)
                assert shown.evaluate("node => getComputedStyle(node).filter") == "none"
                expect(page.locator("main .notice.tone-bad")).to_have_count(0)
                expect(page.get_by_role("heading", level=1)).to_contain_text(HELD)
            heading = page.get_by_role("heading", level=1)
            expect(page.get_by_text("Connecting")).to_be_visible()
            page.get_by_role("link", name="Audit").click()
            expect(heading).to_have_text("The server can’t be reached")
            expect(page.locator("main")).to_contain_text("opens by itself once the server is back")
            page.get_by_role("link", name="Today", exact=True).click()
            expect(heading).to_contain_text(HELD)
            page.get_by_role("link", name="Audit").click()
            with serving(root, "--port", str(port)):
                expect(heading).to_have_text("Audit")
