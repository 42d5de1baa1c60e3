"""The code of an asset in a real browser: colours, versions and what a partition runs with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_lab import MARKUP, Site, axed, browser, open_page
from playwright.sync_api import expect
from serve_lab import headrace, project, serving, write

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
NOW = "2025-03-04T08:00"
QUERY = """/* headrace
owner: core
description: {MARKUP}
partition: {{by: day, column: day}}
*/
select day, '{MARKUP}' as town, {number} as n from people
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = project(tmp_path_factory.mktemp("code") / "shop")
    write(
        root / "sources/people.yaml",
        "source: people\nowner: core\npartition: day\nfiles: landing/people_{date:%Y-%m-%d}.csv\n",
    )
    write(root / "landing/people_2025-03-03.csv", "day,n\n2025-03-03,1\n")
    for number in (1, 2):
        text = QUERY.format(MARKUP=MARKUP.replace("'", "''"), number=number)
        write(root / "assets/towns.sql", text)
        headrace(root, "apply", "--yes", "--now", NOW)
    headrace(root, "tick", "--now", NOW)
    with browser() as result, serving(root) as server:
        yield Site(result, server)


def test_code_is_coloured_compared_and_says_what_a_partition_runs_with(site: Site) -> None:
    """Would catch: code that becomes markup, a comparison with the wrong version, values of another
    partition than the one that was asked for."""
    site.problems.clear()
    for theme in ("light", "dark"):
        with site.page(theme) as page:
            open_page(page, "/assets/towns?part=code")
            code = page.get_by_role("group", name="Code", exact=True)
            expect(code.locator(".hljs-keyword").first).to_have_text("select")
            expect(code.locator(".hljs-attr").first).to_have_text("owner:")
            assert MARKUP.replace("'", "''") in code.inner_text()
            page.get_by_role("link", name="1 to 2").click()
            changes = page.get_by_role("region", name="Changes from version 1 to 2")
            expect(changes.locator(".added")).to_contain_text("2 as n from people")
            expect(changes.locator(".removed")).to_contain_text("1 as n from people")
            runs = page.get_by_role("region", name="Parameters and inputs")
            expect(runs).to_contain_text("$partition_start")
            runs.get_by_label("Partition").fill("2025-03-01")
            runs.get_by_role("button", name="Show").click()
            expect(runs.get_by_text("2025-03-02")).to_be_visible()
            expect(runs.get_by_role("row", name="people")).to_contain_text("0 of 1")
            runs.get_by_label("Partition").fill("2025-02-30")
            runs.get_by_role("button", name="Show").click()
            expect(runs).to_contain_text("2025-02-30")
            assert axed(page) == []
    assert [text for text in site.problems if "400" not in text] == []
