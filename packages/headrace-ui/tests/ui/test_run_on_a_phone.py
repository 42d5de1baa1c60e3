"""A run's attempts over time on a phone: a bar that can be read, a log that a thumb hits."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_lab import Site, axed, browser, open_page
from serve_lab import deliver, headrace, project, serving

pytestmark = pytest.mark.timeout(300)


@pytest.mark.long
def test_each_attempt_is_low_with_a_bar_as_wide_as_the_card(tmp_path: Path) -> None:
    """Would catch: six lines an attempt, with a bar of half the width."""
    root = project(tmp_path / "shop")
    deliver(root, "2025-03-03", 10)
    headrace(root, "tick", "--now", "2025-03-04T08:00")
    with browser() as result, serving(root) as server:
        site = Site(result, server)
        with site.page(width=375, height=800) as page:
            open_page(page, "/runs/1")
            rows = page.locator(".gantt tbody tr")
            assert rows.count() >= 2
            for row in rows.all():
                box, bar = row.bounding_box(), row.locator(".bar").bounding_box()
                log = row.get_by_role("link", name="Log").bounding_box()
                assert box and bar and log
                assert box["height"] < 150
                assert bar["width"] > 0.85 * box["width"]
                assert min(log["width"], log["height"]) >= 44
            assert axed(page) == []
        assert site.problems == []
