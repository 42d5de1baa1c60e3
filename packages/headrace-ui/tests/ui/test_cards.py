"""A card in a frame of another page: it is shown, small, and readable in both themes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from browser_lab import Site, axed, site
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("card") / "shop") as result:
        yield result


@contextmanager
def report(body: str) -> Iterator[str]:
    """A page of another server; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_report_shows_the_card_and_no_other_page(shop: Site, theme: str) -> None:
    """Would catch: a card that a browser refuses in a frame, a page that it doesn't refuse."""
    here = f"http://127.0.0.1:{shop.server.port}"
    with shop.page(theme=theme) as page:
        link = page.request.get("/api/v1/consumers/report/badge").json()
        frame = link["iframe"].replace('src="', f'src="{here}')
        page.context.clear_cookies()
        body = f'<h1>Report</h1>{frame}<iframe id="other" src="{here}/"></iframe>'
        with report(body) as address:
            page.goto(address)
            card = page.frame_locator("iframe >> nth=0")
            expect(card.locator("main")).to_contain_text("data through 2 Mar")
            expect(card.locator("b")).to_have_text("late")
            expect(card.locator("small")).to_contain_text("as of 4 Mar 2025")
            assert page.frame_locator("#other").locator("#root").count() == 0
        page.goto(f"{here}{link['card']}")
        assert axed(page, "wcag2a", "wcag2aa", "best-practice") == []
