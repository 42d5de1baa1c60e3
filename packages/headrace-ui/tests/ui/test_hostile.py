"""A project whose every word is markup or a control character: no page runs it, and every page can
be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from addresses import Things
from browser_lab import MARKUP, Site, browser, open_page, waiting
from playwright.sync_api import Page, expect
from serve_lab import Server, headrace, serving, write

pytestmark = pytest.mark.timeout(300)
CONTROL = (
    "\x1b[31mred\x1b[0m \u202egnp.exe\u202c \x00\x07 \u2028"
    " </script><script>document.title='hacked'</script>"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("hostile") / "shop"
    worded(waiting(root))
    with browser() as chromium, serving(root) as server:
        yield Site(chromium, server)


def worded(root: Path) -> None:
    """Markup wherever a project may have words: descriptions, domains, columns, rows, a reason."""
    said = json.dumps(MARKUP)
    write(
        root / "assets/shouts.sql",
        f"/* headrace\nowner: core\ndescription: {said}\ndomain: {said}\npartition: {{by: day,"
        f" column: day}}\n*/\nselect day, revenue, '{MARKUP.replace(chr(39), chr(39) * 2)}' as"
        f' "{MARKUP}" from revenue\n',
    )
    headrace(root, "apply", "--yes")
    headrace(root, "run", "shouts")
    headrace(root, "pause", "shouts", "--reason", MARKUP + CONTROL.replace("\x00", ""))


def newest_run(server: Server) -> str:
    return str(server.get("/api/v1/runs").json[0]["run_id"])


def unharmed(page: Page, path: str) -> None:
    """Nothing of it ran, nothing of it became an element."""
    assert page.title() != "hacked", path
    assert page.locator("img").count() == 0, path
    assert page.locator("script:not([src])").count() == 0, path
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


@pytest.mark.long
def test_no_page_runs_what_it_shows(hostile: Site) -> None:
    """B16. Would catch: a name, a domain, a row, a log's line or a reason that becomes markup, or that
    makes a page wider than its window.
    """
    things = Things(
        asset="shouts",
        source="orders",
        consumer="report",
        incident="INC-1",
        run=newest_run(hostile.server),
    )
    hostile.problems.clear()
    with hostile.page(width=400) as page:
        for path in things.pages():
            open_page(page, path)
            unharmed(page, path)
        open_page(page, "/assets/shouts")
        expect(page.locator("main")).to_contain_text(MARKUP)
        open_page(page, f"/assets?search={MARKUP}")
        unharmed(page, "search")
    assert hostile.problems == []


@pytest.mark.long
def test_the_palette_and_the_graph_show_it_as_words(hostile: Site) -> None:
    """Would catch: a result of the search, a card of the graph or its accessible name that is made
    of markup.
    """
    with hostile.page() as page:
        for path in ("/graph?by=domain", f"/graph?{urlencode({'by': 'domain', 'open': MARKUP})}"):
            open_page(page, path)
            expect(page.get_by_label("Graph as list")).to_contain_text(MARKUP)
            unharmed(page, path)
        page.keyboard.press("Control+k")
        page.get_by_role("combobox", name="Find or do anything").fill("<img")
        expect(page.get_by_role("status").filter(has_text="found")).to_be_attached()
        unharmed(page, "palette")
        page.get_by_role("combobox", name="Find or do anything").fill("shouts")
        expect(page.locator("#palette-found").get_by_role("option").first).to_contain_text("shouts")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("shouts")
        unharmed(page, "asset")
