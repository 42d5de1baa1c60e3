"""Two snapshots and two environments of an asset in a real browser: by mouse, by keys, hostile."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_lab import MARKUP, Site, axed, browser, open_page
from playwright.sync_api import expect
from serve_lab import headrace, project, serving, write

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
DAYS = ("2025-03-01", "2025-03-02")
LATER = "2025-03-03"
CODE = """/* headrace
owner: core
partition: {by: day, column: day}
checks:
  - unique: [n]
*/
select day, n, town, town as "%s" from people
"""
BEFORE = "2025-03-03T09:00"
COLUMN = "<img src=x onerror=fail()>"


def _deliver(root: Path, day: str, rows: list[tuple[int, str]]) -> None:
    lines = "".join(f'{day},{n},"{town}"\n' for n, town in rows)
    write(root / f"landing/people_{day}.csv", f"day,n,town\n{lines}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = project(tmp_path_factory.mktemp("difference") / "shop")
    write(
        root / "sources/people.yaml",
        "source: people\nowner: core\npartition: day\nfiles: landing/people_{date:%Y-%m-%d}.csv\n",
    )
    write(root / "assets/towns.sql", CODE % COLUMN)
    for number, day in enumerate(DAYS):
        _deliver(root, day, [(10 * number + n, "Ulm") for n in range(6)])
    headrace(root, "tick", "--now", f"{LATER}T08:00")
    changed = [
        (10, MARKUP.replace('"', "'")),
        (11, "\u202eKiel"),
        *((n, "Ulm") for n in range(12, 15)),
    ]
    _deliver(root, DAYS[1], changed)
    _deliver(root, LATER, [(20, "Bonn")])
    headrace(root, "tick", "--now", "2025-03-04T08:00")
    with browser() as result, serving(root) as server:
        yield Site(result, server)


def test_what_differs_is_found_by_mouse_and_its_address_shows_the_same(site: Site) -> None:
    """Would catch: a difference of other snapshots than the address names, a change that only a
    colour tells, markup of a value or a column's name that becomes an element.
    """
    site.problems.clear()
    with site.page() as page:
        open_page(page, "/assets/towns")
        page.get_by_role("link", name="Difference", exact=True).click()
        expect(page.get_by_role("region", name="Rows")).to_contain_text("1 only right")
        open_page(page, f"/assets/towns?part=difference&left={BEFORE}")
        panel = page.get_by_role("region", name="Partitions")
        expect(panel).to_contain_text("1 only right, 1 changed, 1 equal")
        strip = panel.get_by_role("list", name=re.compile("^Partitions: arrows"))
        expect(strip.get_by_role("link", name=f"{DAYS[1]}: changed, 6 → 5 rows")).to_have_text("C")
        rows = page.get_by_role("region", name="Rows")
        expect(rows).to_contain_text("2 rows changed, 1 only left, 1 only right")
        expect(rows).to_contain_text("the same if n are equal")
        first = rows.locator("table.differences tbody tr").first
        expect(first.get_by_role("rowheader")).to_have_text("changed")
        expect(first.locator("td.differs").first.locator("del")).to_have_text("Ulm")
        expect(rows).to_contain_text("\\u202eKiel")
        assert page.locator("table.differences img, table.cards img").count() == 0
        columns = page.get_by_role("region", name="Columns")
        expect(columns).to_contain_text("2 of 2")
        strip.get_by_role("link", name=f"{LATER}: only right, 1 row").click()
        expect(page).to_have_url(re.compile(f"partition={LATER}"))
        expect(rows).to_contain_text("0 rows changed, 0 only left, 1 only right")
        page.get_by_role("button", name="Swap sides").click()
        expect(rows).to_contain_text("0 rows changed, 1 only left, 0 only right")
        address = page.url
    with site.page() as page:
        page.goto(address)
        expect(page.get_by_role("region", name="Rows")).to_contain_text("1 only left, 0 only right")
    assert site.problems == []


def test_partitions_are_reached_by_keys(site: Site) -> None:
    """Would catch: a strip that Tab has to pass cell by cell, or that arrows don't move in."""
    site.problems.clear()
    with site.page() as page:
        open_page(page, f"/assets/towns?part=difference&left={BEFORE}")
        strip = page.get_by_role("list", name=re.compile("^Partitions: arrows"))
        expect(strip).to_be_visible()
        assert strip.locator("a[tabindex='0']").count() == 1
        strip.locator("a[tabindex='0']").focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        expect(strip.locator("a:focus")).to_have_attribute("aria-label", re.compile(DAYS[1]))
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(f"partition={DAYS[1]}"))
        expect(page.get_by_role("region", name="Rows")).to_contain_text("2 rows changed")
    assert site.problems == []


def test_a_chosen_partition_and_environments_lead_to_what_changed(site: Site) -> None:
    """Would catch: a link of a partition that compares it with itself, and an environment without
    data that shows an empty page instead of a reason.
    """
    site.problems.clear()
    with site.page() as page:
        open_page(page, f"/assets/towns?partition={DAYS[1]}")
        page.goto(f"/assets/towns?part=difference&partition={DAYS[0]}")
        expect(page.get_by_role("region", name="Rows")).to_contain_text("6 only right")
        page.goto("/assets/towns?part=difference&left=dev")
        expect(page.get_by_role("link", name="Compare the newest change")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_fits_and_can_be_read(site: Site, theme: str, width: int) -> None:
    """Would catch: letters of too little contrast, and a page wider than a telephone."""
    site.problems.clear()
    with site.page(width=width, theme=theme) as page:
        open_page(page, f"/assets/towns?part=difference&left={BEFORE}")
        expect(page.get_by_role("region", name="Rows")).to_contain_text("2 rows changed")
        if folder := os.environ.get("HEADRACE_LOOK"):
            page.screenshot(path=f"{folder}/difference-{theme}-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert axed(page) == []
