"""The rows of an asset in a real browser: filtered, sorted and opened by mouse and keys."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_lab import AXE, MARKUP, Site, axed, browser, open_page
from playwright.sync_api import expect
from serve_lab import headrace, project, serving, write

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
NOW = "2025-03-02T08:00"
TOWNS = ("Ulm", "Köln", MARKUP, "\u202eBonn")


def town(root: Path) -> Path:
    """250 rows whose words are hostile, and 45 more columns."""
    project(root)
    more = ", ".join(f"n * {number} as c{number}" for number in range(45))
    write(
        root / "assets/wide.sql",
        "/* headrace\nowner: core\n*/\nselect n, ['"
        + "', '".join(town.replace("'", "''") for town in TOWNS)
        + "'][1 + n % 4] as town, case when n % 10 > 0 then n / 4.0 end as part,"
        f" {{'n': n, 'of': [n]}} as nested, {more} from range(250) as t(n)\n",
    )
    headrace(root, "tick", "--now", NOW)
    return root


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = town(tmp_path_factory.mktemp("data") / "shop")
    with browser() as result, serving(root) as server:
        yield Site(result, server)


def test_rows_are_filtered_sorted_and_downloaded_as_they_are_on_the_page(
    site: Site, tmp_path: Path
) -> None:
    """Would catch: an order of the first page only, a filter that isn't in the address, or a file
    with other rows than the page."""
    site.problems.clear()
    with site.page() as page:
        open_page(page, "/assets/wide?part=preview")
        panel = page.get_by_role("region", name="Data")
        expect(panel).to_contain_text("250 rows; snapshot")
        page.get_by_role("button", name="n", exact=True).click()
        page.get_by_role("button", name="n", exact=True).click()
        expect(page).to_have_url(re.compile("sort=-n"))
        expect(page.get_by_role("columnheader", name=re.compile("^n "))).to_have_attribute(
            "aria-sort", "descending"
        )
        cells = page.locator("table.rows tbody tr").first.locator("td")
        expect(cells.nth(1)).to_have_text("249")
        page.get_by_text("Add filter").click()
        page.get_by_label("Column", exact=True).select_option(label="town")
        page.get_by_label("Value", exact=True).fill("Ulm")
        page.keyboard.press("Enter")
        expect(panel).to_contain_text("63 of 250 rows")
        page.get_by_label("Text in any column").fill("24")
        page.keyboard.press("Enter")
        expect(panel).not_to_contain_text("63 of 250 rows")
        address = page.url
        expect(page.locator("table.rows tbody tr").first).to_contain_text("Ulm")
        count = int(panel.inner_text().split(" of 250 rows")[0].split()[-1])
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        download.value.save_as(tmp_path / "rows.csv")
        with (tmp_path / "rows.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == count and {row["town"] for row in rows} == {"Ulm"}
        assert [int(row["n"]) for row in rows] == sorted(int(row["n"]) for row in rows)[::-1]
        open_page(page, address)
        expect(panel).to_contain_text(f"{count} of 250 rows")
        page.get_by_role("button", name="Remove filter town = Ulm").click()
        page.get_by_label("Text in any column").fill("")
        expect(panel).to_contain_text("250 rows; snapshot")
        page.get_by_role("button", name="More rows").click()
        expect(page.locator("table.rows tbody tr")).to_have_count(200)
    assert site.problems == []


def test_wide_and_nested_rows_are_read_by_keys_and_by_everybody(site: Site) -> None:
    """Would catch: a nested value that nobody can read, columns that can't be reached, a profile
    that is only drawn, or markup in a value that runs."""
    with site.page() as page:
        open_page(page, "/assets/wide?part=preview")
        expect(page.get_by_role("img", name=re.compile("^Spread of n: 0 to"))).to_be_visible()
        assert page.locator("main img").count() == 0 and page.title() != "hacked"
        assert "\u202e" not in page.locator("main").inner_text()
        page.get_by_text("Columns 40 of 49").click()
        expect(page.get_by_label("c44", exact=True)).to_be_disabled()
        page.get_by_label("c0", exact=True).click()
        page.get_by_label("c44", exact=True).click()
        expect(page.get_by_role("columnheader", name=re.compile("^c44"))).to_be_attached()
        page.get_by_text("Column profiles as a table").click()
        profiles = page.get_by_role("group", name="Column profiles")
        expect(profiles.locator("tr", has_text="part").first).to_contain_text("25 (10.0 % nulls)")
        profiles.get_by_role("link", name="Köln").click()
        expect(page.get_by_role("region", name="Data")).to_contain_text("63 of 250 rows")
        page.get_by_role("button", name="Row 1, all values").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text('"of": [')
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Row 1, all values")).to_be_focused()
        if AXE.is_file():
            assert axed(page) == []
            page.emulate_media(color_scheme="dark")
            assert axed(page) == []
        page.set_viewport_size({"width": 375, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
