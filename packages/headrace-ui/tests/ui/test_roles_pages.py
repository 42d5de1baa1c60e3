"""What readers with roles are offered on pages: acts that the server would refuse are disabled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from browser_lab import NOW, Site, axed, browser, open_page
from playwright.sync_api import Locator, Page, expect
from serve_lab import deliver, headrace, project, response, serving, write

pytestmark = pytest.mark.timeout(300)
SCOPES = {"viewer": ("viewer",), "limited": ("viewer", "operator:domain=sales")}


class Shop(NamedTuple):
    site: Site
    tokens: dict[str, str]
    admin: str

    @contextmanager
    def page(self, who: str) -> Iterator[Page]:
        """A page of a reader with an API token."""
        with self.site.page(bearer=self.tokens[who]) as page:
            yield page


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A source of the domain sales, and an asset of none."""
    root: Path = project(tmp_path_factory.mktemp("roles") / "shop")
    source = (root / "sources/orders.yaml").read_text(encoding="utf-8")
    write(root / "sources/orders.yaml", source + "\ndomain: sales\n")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    admin = response(root, "access", "whoami")["who"]
    write(root / "access.yaml", f"- {{role: admin, to: [{admin}]}}\n")
    headrace(root, "apply", "--yes")
    tokens = {}
    for name, scopes in SCOPES.items():
        options = [text for scope in scopes for text in ("--scope", scope)]
        tokens[name] = response(root, "token", "create", name, *options)["token"]
    with browser() as result, serving(root) as server:
        yield Shop(Site(result, server), tokens, admin)


def _button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


@pytest.mark.long
def test_a_viewer_is_told_whom_to_ask(shop: Shop) -> None:
    """Would catch: an enabled act that only fails, a link into its dialog, a reason without a name."""
    with shop.page("viewer") as page:
        open_page(page, "/assets/revenue?act=run")
        for name in ("Run…", "Pause…", "Backfill…"):
            expect(_button(page, name)).to_be_disabled()
        text = "Run, Pause, Backfill: needs the role operator for revenue; ask core."
        expect(page.get_by_text(text)).to_be_visible()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert axed(page) == []
        open_page(page, "/assets/revenue?partition=2025-03-01")
        expect(_button(page, "Recompute…")).to_be_disabled()
        open_page(page, "/backfills/new?select=revenue&from=2025-03-01&to=2025-03-01&mode=all")
        expect(_button(page, "Start it…")).to_be_disabled()
        expect(page.get_by_text(f"needs the role operator; ask {shop.admin}")).to_be_visible()
    assert shop.site.problems == []


@pytest.mark.long
def test_an_operator_of_one_domain_acts_there(shop: Shop) -> None:
    """Would catch: acts on others' nodes, or on the project, that are offered to a limited role."""
    with shop.page("limited") as page:
        open_page(page, "/sources/orders")
        expect(_button(page, "Run…")).to_be_enabled()
        expect(page.locator(".refused")).to_have_count(0)
        _button(page, "Pause…").click()
        page.get_by_label("Why").fill("looking")
        _button(page, "Pause it").click()
        expect(page.get_by_role("dialog")).to_contain_text("until somebody resumes it")
        open_page(page, "/assets/revenue")
        expect(_button(page, "Run…")).to_be_disabled()
        open_page(page, "/checks")
        open_page(page, "/backfills/new?select=revenue&from=2025-03-01&to=2025-03-01&mode=all")
        expect(_button(page, "Start it…")).to_be_enabled()
    assert shop.site.problems == []
