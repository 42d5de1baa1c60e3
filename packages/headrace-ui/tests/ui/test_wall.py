"""The wall view of a team's screen, and what installs the pages on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_lab import Site, axed, open_page, site, waiting
from playwright.sync_api import expect
from serve_lab import serving

pytestmark = pytest.mark.timeout(300)
STALE_MS = 40_000
PHONE = 375
TAP = 44
"""Pixels that a thumb hits."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("wall") / "shop") as result:
        yield result


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (PHONE, 800)])
def test_the_wall_says_who_waits_and_nothing_is_pressed(
    shop: Site, theme: str, width: int, height: int
) -> None:
    """Would catch: a screen that needs scrolling or a mouse, or that leaves out why."""
    with shop.page(theme=theme, width=width, height=height) as page:
        open_page(page, "/wall")
        waiting = page.get_by_role("list", name="Consumers that wait")
        for part in ("late", "report", "INC-1 orders: 1 column renamed", "data through 2025-03-02"):
            expect(waiting).to_contain_text(part)
        assert page.locator("main a, main button, nav").count() == 0
        size = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollHeight]")
        assert size[0] <= width and (width == PHONE or size[1] <= height)
        expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        assert axed(page) == []
        assert shop.problems == []


@pytest.mark.long
def test_the_wall_says_when_it_is_stale(shop: Site, tmp_path: Path) -> None:
    """Would catch: yesterday's state on a screen that looks as if it were of now."""
    with serving(waiting(tmp_path / "shop")) as server:
        elsewhere = Site(shop.browser, server)
        with elsewhere.page() as page:
            page.clock.install()  # the half minute after which it is stale needn't pass
            open_page(page, "/wall")
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
            server.stop()
            expect(page.get_by_text("Connecting")).to_be_visible()
            page.clock.fast_forward(STALE_MS)
            expect(page.get_by_role("alert").first).to_contain_text("Stale: as of")
            expect(page.get_by_role("list", name="Consumers that wait")).to_contain_text("report")
            assert axed(page) == []


def test_a_browser_can_install_it(shop: Site) -> None:
    """Would catch: a manifest that a browser refuses, or icons that aren't there."""
    with shop.page() as page:
        open_page(page, "/")
        session = page.context.new_cdp_session(page)
        found = session.send("Page.getAppManifest")
        assert found["errors"] == [] and found["url"].endswith("/ui/manifest.webmanifest")
        problems = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
        assert [item["errorId"] for item in problems if item["errorId"] != "in-incognito"] == []


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("path", "button"), [("/", "Open INC-1"), ("/incidents/INC-1", "Repair…"), ("/approvals", "")]
)
def test_a_thumb_reaches_what_matters_on_a_phone(
    shop: Site, theme: str, path: str, button: str
) -> None:
    """Would catch: a page that is wider than a phone, a button that a thumb misses."""
    context = shop.browser.new_context(
        color_scheme=theme,
        viewport={"width": PHONE, "height": 800},
        has_touch=True,
        is_mobile=True,
        base_url=f"http://127.0.0.1:{shop.server.port}",
    )
    page = context.new_page()
    page.goto(f"/?token={shop.server.token}")
    open_page(page, path)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    places = page.locator("nav a").first.bounding_box()
    assert places is not None and places["y"] > 700 and places["height"] >= TAP
    if button:
        target = page.locator("main").get_by_text(button, exact=True)
        box = target.bounding_box()
        assert box is not None and box["height"] >= TAP, box
        target.tap()
    if button == "Repair…":
        act = page.get_by_role("button", name="Do this")
        expect(act).to_be_visible()
        box = act.bounding_box()
        assert box is not None and box["height"] >= TAP and box["y"] > 400, box
    assert axed(page) == []
    context.close()
