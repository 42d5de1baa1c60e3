"""What a page keeps while it stays open and however much it is given: memory over an hour of
events, rows of a long table.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_lab import Site, open_page, site
from playwright.sync_api import Page, expect

from benchmarks.ui_browser import memory, multiplied

pytestmark = pytest.mark.timeout(300)
WARM, HOUR = 100, 720
"""Changes until everything is there that stays, and of an hour: one each five seconds, without the
seconds between them."""
MB_MAX, NODES_MAX = 2.0, 500
ROWS, IN_PAGE_MAX = 100_000, 150
COMPRESSED = """
const answers = new Map(), later = window.setTimeout, fetched = window.fetch;
let source, said = 0;
window.setTimeout = (act, wait, ...more) => later(act, wait === 250 ? 0 : wait, ...more);
window.EventSource = class extends EventTarget {
  constructor() { super(); source = this; later(() => this.onopen()); }
};
window.fetch = async (asked) => {
  const url = asked.url ?? asked;
  if (!answers.has(url)) answers.set(url, await (await fetched(asked)).text());
  const body = answers.get(url).replaceAll(/"(reason|summary)":"/g, `$&${said} `);
  return new Response(body, {headers: {'content-type': 'application/json'}});
};
window.changed = async (times) => {
  const until = said + times;
  while (said < until) {
    said += 1;
    source.dispatchEvent(new MessageEvent('changes', {data: '{"changes": [{}]}'}));
    while (!document.querySelector('main').innerText.includes(`${said} INC-1`)) await new Promise(found => later(found));
  }
};
"""
"""What the server says is kept in the page and said again with another number in it, so that each
event brings documents that changed, as fast as the page takes them in; the quarter of a second for
which events are gathered is left out."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("small") / "shop") as result:
        yield result


def rows_in(page: Page) -> int:
    return page.locator("main tbody tr[data-row]").count()


@pytest.mark.slow
def test_an_hour_of_events_leaves_nothing_behind(shop: Site) -> None:
    """Would catch: documents, nodes or listeners that each event adds and nothing takes away, in a
    page that an operator keeps open.
    """
    with shop.page() as page:
        page.add_init_script(COMPRESSED)
        open_page(page, "/")
        page.evaluate(f"changed({WARM})")
        before, nodes_before = memory(page)
        page.evaluate(f"changed({HOUR})")
        after, nodes_after = memory(page)
        expect(page.locator("main")).to_contain_text(f"{WARM + HOUR} INC-1")
    assert after - before < MB_MAX
    assert nodes_after - nodes_before < NODES_MAX


@pytest.mark.long
@pytest.mark.parametrize("width", [1280, 375])
def test_a_hundred_thousand_rows_are_in_the_page_as_they_are_seen(shop: Site, width: int) -> None:
    """Would catch: a table that is there as a whole, one that ends where its first rows do, or
    whose height is another than that of all; on a phone, too, where each row is a card.
    """
    with shop.page() as page:
        page.set_viewport_size({"width": width, "height": 800})
        multiplied(page, "/api/v1/assets", ROWS)
        open_page(page, "/assets")
        table = page.get_by_role("table")
        expect(table).to_have_attribute("aria-rowcount", str(ROWS + 1))
        assert rows_in(page) < IN_PAGE_MAX
        scroller = page.locator(".scroll.many")
        assert scroller.evaluate("one => one.scrollHeight") > 20 * ROWS
        for part, name in ((0.5, None), (1.0, f"asset_{ROWS - 1}"), (0.0, "asset_0")):
            scroller.evaluate("(one, part) => { one.scrollTop = part * one.scrollHeight; }", part)
            shown = (
                page.get_by_role("link", name=name, exact=True)
                if name
                else page.locator('tr[data-row^="5"], tr[data-row^="49"]').first
            )
            expect(shown).to_be_visible()
            assert rows_in(page) < IN_PAGE_MAX
    assert shop.problems == []
