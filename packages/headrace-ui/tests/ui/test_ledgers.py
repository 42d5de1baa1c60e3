"""The ledger of each delivery of a consumer, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from browser_lab import Site, browser, open_page
from playwright.sync_api import expect
from serve_lab import deliver, headrace, project, response, serving

pytestmark = pytest.mark.timeout(300)
DAYS = [(date(2025, 3, 1) + timedelta(days=number)).isoformat() for number in range(14)]


@pytest.fixture(scope="module")
def fortnight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Path]]:
    """Two weeks that are served: more deliveries than a page has ledgers of."""
    root = project(tmp_path_factory.mktemp("ledgers") / "shop")
    headrace(root, "tick", "--now", "2025-03-01T06:00")  # from here on it is promised
    for day in DAYS:
        deliver(root, day)
    headrace(root, "tick", "--now", "2025-03-15T06:00")
    with browser() as result, serving(root) as server:
        yield Site(result, server), root


@pytest.mark.long
def test_the_ledger_of_any_delivery_opens(fortnight: tuple[Site, Path]) -> None:
    """Would catch: a delivery of which `why` prints the ledger, and of which the page says that no
    wait is known.
    """
    site, root = fortnight
    with site.page() as page:
        for day in (DAYS[0], DAYS[-1]):
            told = response(root, "why", f"report@{day}")
            assert told["segments"]
            open_page(page, f"/consumers/report?interval={day}")
            panel = page.get_by_role("group", name="Delay ledger")
            expect(panel.locator("tbody tr")).to_have_count(len(told["segments"]))
            expect(page.get_by_text(told["said"])).to_have_count(1)
            expect(page.get_by_text("No wait is known")).to_have_count(0)
    assert site.problems == []
