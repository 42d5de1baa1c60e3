"""The coming night on the calendar: simulated, and with a source that delivers later."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from browser_lab import Site, axed, browser, open_page
from playwright.sync_api import expect
from serve_lab import deliver, headrace, project, serving, write

pytestmark = pytest.mark.timeout(300)
PROMISED = '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project whose source is promised by 05:00, and that ran on two days."""
    root = project(tmp_path_factory.mktemp("tonight") / "shop")
    write(root / "consumers.yaml", PROMISED)
    source = root / "sources/orders.yaml"
    write(source, source.read_text(encoding="utf-8") + "expect: {by: '05:00'}\n")
    today = dt.datetime.now(dt.UTC).date()
    for days in (2, 1):
        deliver(root, str(today - dt.timedelta(days=days)))
    headrace(root, "tick")
    with browser() as result, serving(root) as server:
        yield Site(result, server)


def test_a_later_source_is_simulated_by_keys(site: Site) -> None:
    """Would catch: a button that shows nothing, a slider that keys don't move, a command without
    the change.
    """
    with site.page(width=375) as page:
        open_page(page, "/calendar")
        page.get_by_role("button", name="Simulate tonight").click()
        panel = page.get_by_role("region", name="Tonight, simulated")
        row = panel.get_by_role("row").filter(has=page.get_by_role("link", name="report"))
        expect(row).to_contain_text("07:00")
        expect(panel).to_contain_text("headrace what-if --days 1 ")
        slider = panel.get_by_role("slider", name="orders arrives later")
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(panel).to_contain_text("orders delivers 5 min later")
        expect(panel).to_contain_text("--set source.orders.delay=5m --days 1 ")
        expect(panel).to_contain_text("report: 5 min later in the typical case")
        assert axed(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
