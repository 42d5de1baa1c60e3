"""A browser on a server, over a project in which somebody waits and every word is hostile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from addresses import Things
from playwright.sync_api import Browser, Page, expect
from serve_lab import Server, deliver, headrace, project, serving, write

from benchmarks.ui_browser import CHROMIUM
from benchmarks.ui_browser import browser as chromium
from headrace_ui.web.bundle import BUNDLE, Bundle

ROOT = Path(__file__).parents[4]
AXE = ROOT / "ui/node_modules/axe-core/axe.min.js"
WITHOUT = (
    None
    if CHROMIUM and Bundle(BUNDLE).built
    else (
        "no chromium here (apt install chromium)"
        if Bundle(BUNDLE).built
        else "the web UI isn't built (make ui)"
    )
)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BY_COLOUR = ("color-contrast", "link-in-text-block")
"""The rules that a theme can break."""
MARKUP = "<img src=x onerror=document.title='hacked'>"
BEFORE, NOW = "2025-03-03T06:00", "2025-03-04T08:00"
SHOP = Things(asset="revenue", source="orders", consumer="report", incident="INC-1", run="2")
PAGES = SHOP.pages()
SECONDS = 100.0
expect.set_options(timeout=SECONDS * 1000)


def waiting(root: Path) -> Path:
    """A replay on whose third day the vendor renamed a column to markup; so are the project's name
    and the consumer's description.
    """
    project(root)
    settings = (root / "headrace.toml").read_text(encoding="utf-8")
    write(root / "headrace.toml", settings.replace('"shop"', f'"{MARKUP}"'))
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [revenue], due: "07:00", description:'
        f' "{MARKUP}"}}\n',
    )
    for day in ("2025-03-01", "2025-03-02"):
        deliver(root, day, 10)
    headrace(root, "tick", "--now", BEFORE)
    write(root / "landing/orders_2025-03-03.csv", f"day,amount_{MARKUP}\n2025-03-03,12\n")
    headrace(root, "tick", "--now", NOW)
    return root


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium. It is ended with the module: while it is there no other event loop can run in this
    thread."""
    if WITHOUT:
        pytest.skip(WITHOUT)
    with chromium() as result:
        yield result


class Site:
    """A server, seen by one browser. `problems` are what pages complained of."""

    def __init__(self, browser: Browser, server: Server) -> None:
        self.browser, self.server = browser, server
        self.problems: list[str] = []

    @contextmanager
    def page(
        self,
        theme: str = "light",
        width: int = 1280,
        height: int = 900,
        zone: str = "Asia/Tokyo",
        scale: float = 1,
        bearer: str = "",
        touch: bool = False,
    ) -> Iterator[Page]:
        """A page of a viewer, elsewhere than the project, who has been let in.

        `bearer` is an API token; without one it is the page of the server's user.
        """
        context = self.browser.new_context(
            color_scheme=theme,
            viewport={"width": width, "height": height},
            timezone_id=zone,
            device_scale_factor=scale,
            has_touch=touch,
            base_url=f"http://127.0.0.1:{self.server.port}",
            extra_http_headers={"Authorization": f"Bearer {bearer}"} if bearer else None,
        )
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.problems.append(f"{message.text} {message.location}")
                if message.type in ("error", "warning")
                else None
            ),
        )
        try:
            page.goto("/" if bearer else f"/?token={self.server.token}")
            yield page
        finally:
            # a request that a test answers itself may be on its way
            page.unroute_all(behavior="ignoreErrors")
            context.close()


@contextmanager
def site(root: Path) -> Iterator[Site]:
    """The server that leads the project, and a browser."""
    with browser() as result, serving(waiting(root)) as server:
        yield Site(result, server)


def open_page(page: Page, path: str) -> None:
    """Go there, until its documents are there."""
    page.goto(path)
    page.locator("h1").first.wait_for()
    for waiting_for in (
        "Loading…",
        "Comparing…",
        "Laying it out…",
        "Working out what would be done…",
    ):
        expect(page.get_by_text(waiting_for)).to_have_count(0)


def axed(page: Page, *only: str) -> list[str]:
    """What axe-core finds that keeps somebody out of what is shown, by all rules or `only` some.

    Skips the test if axe-core isn't installed.
    """
    if not AXE.is_file():
        pytest.skip(f"axe-core isn't installed: {AXE}")
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    result = page.evaluate(f"axe.run({{runOnly: {json.dumps(only or RULES)}}})")
    assert len(result["passes"]) > (0 if only else 15), page.url
    return [
        f"{item['id']}: {[node['html'][:200] for node in item['nodes']]}"
        for item in result["violations"]
    ]
