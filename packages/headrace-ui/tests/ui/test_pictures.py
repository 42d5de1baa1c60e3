"""Each page of the demo as it stands when the vendor has broken the morning report: what it is made
of, and its picture.

Pixels differ between machines (fonts, a browser's version), so pictures are looked at and not
compared; what is compared is what a page is made of: headings, panels, columns, buttons, in
`made_of.json`. `make screenshots` writes both anew. The demo's clock stands still, so that both are
the same each time, but for how long things took.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from addresses import Things
from browser_lab import Site, browser, open_page
from playwright.sync_api import Locator, Page, expect
from serve_lab import headrace, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
KEPT = Path(__file__).with_name("made_of.json")
PICTURES = os.environ.get("HEADRACE_PICTURES")
"""Where pictures are kept; without it they aren't, and what pages are made of is
compared instead."""
DEMO = Things(
    asset="flights_clean", source="flights", consumer="morning-report", incident="INC-1", run="40"
)
ZONE = "America/New_York"
WINDOW = {"width": 1280, "height": 800}
CLICKS_MAX = 6
SCALE = 0.66
"""Of pictures: a desk's window in the width of a page."""
EDITED = "assets/operations/carrier_delays.sql"
EDITS = ((">= $threshold) as late,", "> $threshold) as late,"), ('due: "07:00"', 'due: "08:00"'))
"""Of that asset, and of the consumers: a body, and a promise that becomes less."""
MADE_OF = """() => {
  const plain = (text) => text.replace(/[0-9][0-9.,:–-]*( (ms|s|min|h|days)\\b)?/g, '#').trim();
  const all = (what) => [...document.querySelectorAll(what)];
  const texts = (what) => [...new Set(all(what).map(one => plain(one.textContent)))].filter(text => text);
  return {
    headings: texts('main :is(h1, h2, h3)'), panels: all('main :is(section, nav)[aria-label]').map(one => plain(one.ariaLabel)),
    columns: texts('main th'), buttons: texts('main button.button'),
  };
}"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures") / "demo"
    headrace(made.parent, "demo", str(made), "--no-serve")
    return made


@pytest.fixture(scope="module")
def demo(root: Path) -> Iterator[Site]:
    with browser() as chromium, serving(root) as server:
        yield Site(chromium, server)


def test_every_page_is_made_of_what_it_was(demo: Site, root: Path) -> None:
    """Would catch: a panel, a column or a button that is gone from a page, and nobody
    wanted that."""
    result = {}
    with demo.page(**WINDOW, zone=ZONE, scale=SCALE) as page:
        pages = DEMO.named()
        last = pages.pop("plan")
        for name, path in pages.items():
            result[name] = made_of(page, name, path)
        with edited(root):  # or there is no plan to look at
            result["plan"] = made_of(page, "plan", last)
    if PICTURES is not None:
        KEPT.write_text(
            json.dumps(result, indent=1, ensure_ascii=False, sort_keys=True) + "\n",
            encoding="utf-8",
        )
    assert result == json.loads(KEPT.read_text(encoding="utf-8"))


def made_of(page: Page, name: str, path: str) -> object:
    """What a page is made of; where pictures are wanted it is taken, too."""
    open_page(page, path)
    expect(page.locator("body")).to_contain_text("replay clock")
    if PICTURES is not None and "part=" not in path:
        page.screenshot(path=Path(PICTURES, f"{name}.png"), animations="disabled", caret="hide")
    return page.evaluate(MADE_OF)


@contextmanager
def edited(root: Path) -> Iterator[None]:
    """Meanwhile an asset's file says something else than what is applied, and a promise
    is later."""
    paths = (root / EDITED, root / "consumers.yaml")
    before = [path.read_text(encoding="utf-8") for path in paths]
    for path, text, (old, new) in zip(paths, before, EDITS, strict=True):
        assert old in text, path
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        yield
    finally:
        for path, text in zip(paths, before, strict=True):
            path.write_text(text, encoding="utf-8")


def test_a_stranger_repairs_it_with_the_mouse(demo: Site) -> None:
    """Would catch: a first page that doesn't lead to who waits, since when, why, whose cause it is,
    and the repair, on two pages and with six clicks; a sentence that has gone, or a repair that
    needs the keyboard."""
    with demo.page(zone=ZONE) as page:
        hand, main = Hand(page), page.locator("main")
        expect(page.get_by_role("heading", level=1)).to_contain_text(
            "1 cause holds 8 assets and 3 consumers."
        )
        expect(main).to_contain_text("Nothing wrong was published.")
        row = page.get_by_role("row").filter(has_text="morning-report")
        for said in (
            "late",
            "since Tue 02-12 07:00",
            "needs data by 07:00 daily",
            "flights: 2 columns renamed",
        ):  # who, since when, why
            expect(row).to_contain_text(said)
        hand.click(row.get_by_role("link", name="Open INC-1"))
        expect(page.get_by_role("heading", level=1)).to_contain_text("flights: 2 columns renamed")
        expect(main).to_contain_text("owner flight-feed-inc")  # whose cause
        for shown in ("Evidence", "Changed columns"):
            table = page.get_by_role("region", name=shown)
            expect(table.get_by_role("row").filter(has_text="departure_delay")).to_contain_text(
                "dep_delay"
            )
        expect(main).to_contain_text(
            "A machine can repair it. The preview says what will be done before anything is."
        )
        hand.click(page.get_by_role("button", name="Repair…"))
        plan = page.get_by_role("dialog")
        for said in (
            "dep_delay",
            "departure_delay",
            "morning-report",
            "not needed",
            "It goes into the audit trail.",
        ):
            expect(plan).to_contain_text(said)
        hand.click(plan.get_by_role("button", name="Do this"))
        expect(plan).to_contain_text("30 of 30 partitions published")
        hand.click(plan.get_by_role("button", name="Close", exact=True).last)
        expect(main).to_contain_text("Resolved. Repaired by")
        expect(main).to_contain_text("all whom it affected are served.")
        hand.click(page.get_by_role("link", name="Today", exact=True))
        expect(page.get_by_role("heading", level=1)).to_contain_text("consumers are served")
        assert hand.clicks <= CLICKS_MAX
        assert hand.pages == {"/", "/incidents/INC-1"}
    assert demo.problems == []


class Hand:
    """A mouse, and where it was: what is clicked is seen without scrolling."""

    def __init__(self, page: Page) -> None:
        self._page, self.clicks, self.pages = page, 0, set[str]()

    def click(self, what: Locator) -> None:
        """Moves there and clicks, where a person would see it."""
        expect(what).to_be_in_viewport(ratio=1)
        box = what.bounding_box()
        assert box is not None
        self.pages.add(urlsplit(self._page.url).path)
        self.clicks += 1
        self._page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
