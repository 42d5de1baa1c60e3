"""Five questions of somebody on call, answered by mouse and by keys only, on the demo's morning.

`pytest -m slow -s packages/headrace-ui/tests/ui/test_questions.py` prints each path with the seconds of the pages; the
seconds decide nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from browser_lab import Site, browser, open_page
from playwright.sync_api import Page, expect
from serve_lab import headrace, serving
from test_acts_by_keys import tab_to
from test_pictures import ZONE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DEEP = 120
"""Tabs at most from the top of a page to its tables."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("questions")
    headrace(folder, "demo", str(folder / "demo"), "--no-serve")
    with browser() as result, serving(folder / "demo") as server:
        yield Site(result, server)


class Mouse:
    """Clicks links and buttons by their names."""

    word = "mouse"

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).or_(
            self.page.get_by_role("button", name=name, exact=True)
        ).first.click()

    def unfold(self, name: str) -> None:
        self.page.get_by_text(name).first.click()

    def asset(self, name: str) -> None:
        self.press("Assets")
        self.press(name)

    def consumer(self, name: str) -> None:
        self.press(name)


class Keys(Mouse):
    """Presses Tab until the name has the focus, then Enter; goes to things by the palette."""

    word = "keys"

    def press(self, name: str) -> None:
        tab_to(self.page, name, DEEP)
        self.page.keyboard.press("Enter")

    def unfold(self, name: str) -> None:
        self.press(name)

    def asset(self, name: str) -> None:
        self.page.keyboard.press("Control+k")
        self.page.keyboard.type(name)
        expect(self.page.locator("#palette-found [aria-selected=true]")).to_contain_text(name)
        self.page.keyboard.press("Enter")

    consumer = asset


def who_waits_and_why(hand: Mouse) -> str:
    hand.press("Open INC-1")
    expect(hand.page.get_by_role("heading", level=1)).to_contain_text("2 columns renamed")
    expect(hand.page.locator("main")).to_contain_text("flight-feed-inc")
    expect(hand.page.locator("main")).to_contain_text("regulator-extract")
    return "Today › Open INC-1"


def why_was_yesterday_slow(hand: Mouse) -> str:
    hand.consumer("morning-report")
    hand.press("Older delivery")
    delivery = hand.page.get_by_role("region", name="Deliveries and deadlines")
    expect(delivery).to_contain_text(re.compile(r"2013-02-10: .*flight-feed-inc 4 h 40 min"))
    return "Today › morning-report › Older delivery"


def what_did_this_column_look_like_last_month(hand: Mouse) -> str:
    hand.asset("flights_clean")
    hand.press("History")
    hand.press("dep_delay")
    expect(hand.page).to_have_url(re.compile("column=dep_delay"))
    figures = hand.page.get_by_role("main")
    expect(figures.get_by_role("img", name=re.compile("dep_delay")).first).to_be_visible()
    return "Assets › flights_clean › History › dep_delay"


def who_is_hurt_if_it_is_dropped(hand: Mouse) -> str:
    hand.asset("flights_clean")
    hand.press("Columns")
    hand.press("dep_delay")
    affected = hand.page.get_by_role("region", name="A change affects")
    expect(affected).to_contain_text("regulator-extract")
    expect(affected).not_to_contain_text("fleet_use")
    return "Assets › flights_clean › Columns › dep_delay"


def is_tonight_at_risk(hand: Mouse) -> str:
    coming = hand.page.get_by_role("region", name="Next 12 hours")
    expect(coming).to_contain_text("at risk")
    hand.press("regulator-extract")
    expect(hand.page.get_by_role("heading", level=1)).to_contain_text("late")
    return "Today: Next 12 hours › regulator-extract"


QUESTIONS = (
    who_waits_and_why,
    why_was_yesterday_slow,
    what_did_this_column_look_like_last_month,
    who_is_hurt_if_it_is_dropped,
    is_tonight_at_risk,
)


@pytest.mark.parametrize("hand", [Mouse, Keys])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered(
    demo: Site, question: Callable[[Mouse], str], hand: type[Mouse]
) -> None:
    """Would catch: an answer that no page gives, or that only a mouse reaches."""
    demo.problems.clear()
    with demo.page(zone=ZONE) as page:
        open_page(page, "/")
        began = time.perf_counter()
        path = question(hand(page))
        seconds = time.perf_counter() - began
        print(f"\n{question.__name__} by {hand.word}: {path}, {seconds:.1f} s")
    assert demo.problems == []
