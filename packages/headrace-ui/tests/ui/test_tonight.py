"""The coming night on the calendar: simulated, and with a source that delivers later."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from browser_lab import Site, axed, browser, open_page
from playwright.sync_api import Locator, Page, Request, expect
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


@pytest.mark.long
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


@pytest.mark.long
def test_a_delivery_is_dragged_and_put_back(site: Site) -> None:
    """Would catch: a drag without its new time, one that is asked for before the drop or that
    writes something; deadlines that change without a mark; Escape that leaves the delivery there.
    """
    with site.page() as page:
        requests = simulated_by(page)
        panel = simulation(page)
        handle = panel.get_by_role("slider", name="Delivery of orders")
        expect(handle).to_have_attribute("aria-valuetext", "as usual; promised 05:00")
        lane = panel.get_by_role("listitem").filter(has_text="orders promised")
        x, y = middle(handle)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + pixels(handle, 180), y, steps=4)
        expect(lane).to_contain_text("promised 05:00, 3 h 00 min later than usual")
        assert requests == [("GET", [])]
        page.mouse.up()
        expect(panel.get_by_role("status")).to_have_text(
            "What if orders delivers 3 h 00 min later: deliveries of 1 consumer change."
            " Nothing is changed."
        )
        expect(panel).to_contain_text("report: 3 h 00 min later in the typical case")
        marks = page.get_by_role("region", name="Next 14 days").locator(".what-if-mark")
        expect(marks.first).to_have_text("what if: 3 h 00 min later than usual")
        expect(marks.last).to_contain_text("what if: 3 h 00 min later")
        assert marks.count() == 2
        assert requests == [("GET", []), ("GET", ["source.orders.delay=180m"])]
        page.keyboard.press("ArrowLeft")
        expect(handle).to_have_attribute(
            "aria-valuetext", "2 h 45 min later than usual; promised 05:00"
        )
        expect(panel.get_by_role("status")).to_contain_text("2 h 45 min later")
        assert axed(page) == []
        page.keyboard.press("Escape")
        expect(handle).to_have_attribute("aria-valuetext", "as usual; promised 05:00")
        expect(marks).to_have_count(0)
        page.mouse.move(*middle(handle))
        page.mouse.down()
        page.mouse.move(x + 200, y, steps=2)
        page.keyboard.press("Escape")
        page.mouse.up()
        expect(handle).to_have_attribute("aria-valuenow", "0")
        assert {method for method, _ in requests} == {"GET"}
    assert site.problems == []


@pytest.mark.long
def test_a_delivery_is_dragged_by_touch_without_motion(site: Site) -> None:
    """Would catch: a finger that scrolls instead, marks that glide for who asked for no motion."""
    with site.page(width=375, touch=True) as page:
        page.emulate_media(reduced_motion="reduce")
        panel = simulation(page)
        handle = panel.get_by_role("slider", name="Delivery of orders")
        handle.scroll_into_view_if_needed()
        x, y = middle(handle)
        touch = page.context.new_cdp_session(page)
        for kind, to in (("Start", 0), ("Move", 60), ("Move", 120)):
            points = [{"x": x + pixels(handle, to), "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect(handle).to_have_attribute("aria-valuenow", "120")
        expect(panel.get_by_role("status")).to_contain_text("orders delivers 2 h 00 min later")
        glides = panel.locator(".night-then").evaluate("one => getComputedStyle(one).transition")
        assert "left" not in glides
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


def simulation(page: Page) -> Locator:
    """The simulated night, with its first answer."""
    open_page(page, "/calendar")
    page.get_by_role("button", name="Simulate tonight").click()
    panel = page.get_by_role("region", name="Tonight, simulated")
    expect(panel).to_contain_text("headrace what-if --days 1 ")
    return panel


def simulated_by(page: Page) -> list[tuple[str, list[str]]]:
    """The simulations and the writes that the page asks for from now on."""
    requests: list[tuple[str, list[str]]] = []

    def note(request: Request) -> None:
        path, _, query = request.url.partition("?")
        if path.endswith("/what-if") or request.method != "GET":
            requests.append((request.method, parse_qs(query).get("set", [])))

    page.on("request", note)
    return requests


def middle(handle: Locator) -> tuple[float, float]:
    box = handle.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pixels(handle: Locator, minutes: int) -> float:
    """How far minutes are on the night's 24 hours."""
    width: float = handle.evaluate("one => one.parentElement.clientWidth")
    return width * minutes / 1440
