"""The page that follows saved files: problems, changes, and what the environment computed."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_lab import Site, axed, browser, open_page
from playwright.sync_api import expect
from serve_lab import deliver, headrace, project, serving

pytestmark = pytest.mark.timeout(300)
NOW = "2025-03-05T08:00"
DAYS = ("2025-03-03", "2025-03-04")
REVENUE = "assets/revenue.sql"


def edit(root: Path, old: str, new: str) -> None:
    path = root / REVENUE
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def shop(folder: Path) -> Path:
    root = project(folder / "shop")
    for day in DAYS:
        deliver(root, day, 10)
    headrace(root, "tick", "--now", NOW)
    return root


@pytest.mark.long
def test_what_is_saved_is_shown_with_its_problems_and_its_rows(tmp_path: Path) -> None:
    """Would catch: a page that must be reloaded, keeps problems that are mended, or shows rows of
    the code before."""
    root = shop(tmp_path)
    with browser() as result, serving(root, command="dev") as server:
        site = Site(result, server)
        with site.page() as page:
            open_page(page, "/dev")
            expect(page.get_by_role("heading", level=1)).to_contain_text("No changes")
            expect(page.locator("main")).to_contain_text("follows the files")
            edit(root, "select cast", "selec cast")
            expect(page.get_by_role("heading", level=1)).to_contain_text("1 error")
            expect(page.get_by_role("region", name="Problems")).to_contain_text(f"{REVENUE}:")
            assert axed(page) == []
            edit(root, "selec cast", "select cast")
            edit(root, "sum(amount)", "sum(amount) * 2")
            expect(page.get_by_role("heading", level=1)).to_contain_text("1 changed node")
            expect(page.get_by_role("region", name="Problems")).to_have_count(0)
            changes = page.get_by_role("region", name="Changes")
            expect(changes.get_by_role("link", name="report")).to_be_visible()
            graph = page.get_by_role("group", name="Changed nodes")
            expect(graph.get_by_role("link", name="revenue")).to_contain_text("asset code")
            expect(graph.get_by_role("link", name="report")).to_contain_text("downstream")
            difference = page.get_by_label(f"Difference of {REVENUE}")
            expect(difference.locator(".added")).to_contain_text("sum(amount) * 2")
            rows = page.get_by_role("group", name="Rows of revenue")
            expect(rows).to_contain_text("20")
            assert axed(page) == []
        assert [text for text in site.problems if "409" not in text] == []


@pytest.mark.long
def test_a_server_of_production_says_that_it_computes_nothing(tmp_path: Path) -> None:
    """Would catch: rows of the published code beside a change that didn't make them, a node that
    counts twice because its code and its checks changed, a sentence cut into columns."""
    root = shop(tmp_path)
    edit(root, "sum(amount)", "sum(amount) * 2")
    edit(root, "*/", "checks:\n  - not_null: [day]\n*/")
    with browser() as result, serving(root) as server:
        site = Site(result, server)
        with site.page() as page:
            open_page(page, "/dev")
            expect(page.get_by_role("heading", level=1)).to_have_text("1 changed node")
            expect(page.get_by_role("region", name="Changes")).to_contain_text("2 changes")
            expect(page.locator("main")).to_contain_text("doesn’t compute what you save")
            expect(page.locator(".notice p code")).to_have_text("headrace dev")
            expect(page.get_by_role("group", name="Rows of revenue")).to_have_count(0)
            owners = root / "owners.yaml"
            owners.write_text(owners.read_text(encoding="utf-8").replace("core@", "desk@"), "utf-8")
            expect(page.get_by_role("heading", level=1)).to_have_text(
                "1 changed node, 1 other file"
            )
            page.get_by_role("link", name="Plan", exact=True).last.click()
            expect(page.get_by_role("heading", level=1)).to_contain_text("to apply")
        assert site.problems == []
