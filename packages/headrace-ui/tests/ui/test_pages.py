"""Each page in a real browser: readable by everybody, at every width, whatever its words are."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from addresses import PAGES as ADDRESSES
from browser_lab import BY_COLOUR, MARKUP, PAGES, ROOT, Site, axed, open_page, site
from playwright.sync_api import expect

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
WIDTHS, WIDTH = (320, 768, 2560), 1280
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("ui") / "shop") as result:
        yield result


def test_every_page_is_looked_at() -> None:
    """Would catch: a page that was added and that no test of pages opens."""
    routes = re.findall(
        r'path: "([^"*/][^"]*)"', (ROOT / "ui/src/app/routes.tsx").read_text(encoding="utf-8")
    )
    assert len(routes) > 10
    for route in routes:
        pattern = re.sub(r":\w+", r"({[a-z]+}|[a-z]+)", route)
        assert any(re.fullmatch(f"/{pattern}", page.partition("?")[0]) for page in ADDRESSES), route


def test_every_page_is_for_everybody_at_every_width_and_keeps_words_words(shop: Site) -> None:
    """Would catch: a control without a name, text without contrast in one theme, a table that keys
    don't reach or that makes a telephone's page scroll sideways; markup in a name, a description or
    a vendor's column that runs in the reader's browser."""
    shop.problems.clear()
    with shop.page() as page:
        for path in PAGES:
            open_page(page, path)
            assert page.locator("img").count() == 0 and page.title() != "hacked", path
            assert axed(page) == [], path
            page.emulate_media(color_scheme="dark")
            assert axed(page, *BY_COLOUR) == [], path
            page.emulate_media(color_scheme="light")
            for width in (*WIDTHS, WIDTH):
                page.set_viewport_size({"width": width, "height": 900})
                page.evaluate(DRAWN)  # charts have their new width a frame later
                assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        for path in ("/incidents/INC-1", "/consumers/report"):
            open_page(page, path)
            assert MARKUP in page.locator("main").inner_text(), path
    assert shop.problems == []


def test_the_theme_is_really_there(shop: Site) -> None:
    """Would catch: tokens that a build has made invalid, so that everything is black on white and
    axe is content.
    """
    grounds = {}
    for theme in ("light", "dark"):
        with shop.page(theme) as page:
            open_page(page, "/")
            grounds[theme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (
                page.locator(".state").first.evaluate(
                    "one => getComputedStyle(one).backgroundColor"
                )
                != "rgba(0, 0, 0, 0)"
            )
    assert grounds == {"light": "rgb(247, 247, 245)", "dark": "rgb(19, 20, 22)"}


def test_the_first_page_says_who_waits_why_and_what_to_do(shop: Site) -> None:
    """Would catch: a first page that shows runs, and not who waits for what."""
    with shop.page() as page:
        open_page(page, "/")
        expect(page.get_by_role("heading", level=1)).to_contain_text("1 cause holds")
        row = page.locator("tr", has_text="report")
        expect(row.first).to_contain_text("late")
        expect(row.first.get_by_role("link", name="Open INC-1")).to_be_visible()
        expect(page.get_by_label("Honest availability")).to_contain_text("Classic uptime")
        expect(row.first).to_contain_text(
            "since Tue 07:00"
        )  # the project's time, for a viewer in Tokyo too


def test_everything_is_done_by_keys_too(shop: Site) -> None:
    """Would catch: a page that only a mouse can open, or a key that fires while somebody types."""
    with shop.page() as page:
        open_page(page, "/")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/consumers/report$"))
        page.keyboard.press("g")
        page.keyboard.press("i")
        expect(page.get_by_role("heading", level=1)).to_have_text("Incidents")
        page.keyboard.press("Control+k")
        expect(page.get_by_role("combobox", name="Find or do anything")).to_be_focused()
        page.keyboard.type("revenue")  # with its g's and j's
        expect(page.locator("#palette-found").get_by_role("option").first).to_contain_text(
            "revenue"
        )
        page.keyboard.press("Escape")
        expect(page.get_by_role("combobox", name="Find or do anything")).to_have_count(0)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("next and previous row")


def test_a_page_without_the_token_says_how_to_get_in(shop: Site) -> None:
    """Would catch: a browser that isn't let in and shows an empty page."""
    context = shop.browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{shop.server.port}/incidents")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    context.close()


def test_today_comes_with_little_script(shop: Site) -> None:
    """Would catch: a dependency that makes the first page slow for everybody."""
    sizes: list[int] = []
    with shop.page() as page:
        page.on(
            "response",
            lambda answer: (
                sizes.append(int(answer.headers["content-length"]))
                if answer.url.endswith(".js")
                else None
            ),
        )
        page.goto("/?again")
        page.get_by_role("heading", level=1).wait_for()
    assert 0 < sum(sizes) <= 180_000, sizes
