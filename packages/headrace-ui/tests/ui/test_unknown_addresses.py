"""Addresses that name nothing: a page with the nearest names, for whoever mistyped one."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from browser_lab import Site, axed, browser, waiting
from playwright.sync_api import expect
from serve_lab import serving

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = waiting(tmp_path_factory.mktemp("unknown") / "shop")
    with browser() as chromium, serving(root) as server:
        yield Site(chromium, server)


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "name", "leads_to"),
    [
        ("/revenu", "revenue", "/assets/revenue"),
        ("/assets/revenues", "revenue", "/assets/revenue"),
        ("/consumer/reprot", "report", "/consumers/report"),
        ("/sources/order", "orders", "/sources/orders"),
        ("/incidents/INC-99", "Incidents", "/incidents"),
        ("/run", "Runs", "/runs"),
    ],
)
def test_an_unknown_address_is_404_and_offers_what_is_called_alike(
    shop: Site, path: str, name: str, leads_to: str
) -> None:
    """Would catch: raw JSON, an empty page, or a dead end for who mistyped a name."""
    for theme in ("light", "dark"):
        with shop.page(theme) as page:
            answer = page.goto(path)
            assert answer is not None and answer.status == 404, path
            nearest = page.get_by_role("region", name="Nearest names")
            link = nearest.get_by_role("link", name=name, exact=True).first
            expect(link).to_have_attribute("href", leads_to)
            assert axed(page) == []
            link.click()
            page.wait_for_url(f"**{leads_to}")


@pytest.mark.long
def test_hostile_addresses_are_text(shop: Site) -> None:
    """Would catch: markup or a reversed writing direction from an address."""
    shop.problems.clear()
    for name in ("<img src=x onerror=alert(1)>", "x\u202eelif", "a" * 3000, "%", "..%2f..%2fetc"):
        with shop.page(width=375) as page:
            page.on("dialog", lambda dialog: pytest.fail(dialog.message))
            answer = page.goto(f"/nope/{quote(name)}")
            assert answer is not None and answer.status == 404
            expect(page.get_by_role("heading", level=1)).to_have_text(
                "There is no page at this address"
            )
            assert "\u202e" not in page.locator("main").inner_text()
            assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert [text for text in shop.problems if "404" not in text] == []
