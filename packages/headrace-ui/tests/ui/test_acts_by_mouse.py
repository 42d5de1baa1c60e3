"""Each act of the web UI from the click to what came of it: run again, retry, pause, decide about
held data, backfill.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_lab import MARKUP, Site, axed, browser, open_page
from playwright.sync_api import Locator, Page, Route, expect
from serve_lab import ME, deliver, headrace, project, response, serving, write

pytestmark = pytest.mark.timeout(300)
NOW = "2025-03-06T08:00"
AMOUNTS = {
    "2025-03-01": 10,
    "2025-03-02": 20,
    "2025-03-03": 500,
    "2025-03-04": 600,
    "2025-03-05": 30,
}
CHECKED = f"""/* headrace
owner: core
partition: {{by: day, column: day}}
on_fail: hold
description: "{MARKUP}"
checks: [{{range: {{column: revenue, max: 100}}}}]
*/
select day, revenue from revenue
"""
WAITS = """import time
from pathlib import Path
from headrace import asset

@asset(owner="core", partition="day", inputs=["revenue"])
def {name}(ctx, revenue):
    {body}
    return revenue
"""


def deciding(root: Path) -> Path:
    """Five days; of one asset two are held, of another all fail until a file is there, and one
    doesn't end while a file is there.
    """
    project(root)
    write(root / "assets/checked.sql", CHECKED)
    mended, shut = root / "mended", root / "shut"
    write(
        root / "assets/flaky.py",
        WAITS.format(
            name="flaky",
            body=f"if not Path({str(mended)!r}).exists(): raise ValueError({MARKUP!r})",
        ),
    )
    write(
        root / "assets/gated.py",
        WAITS.format(name="gated", body=f"while Path({str(shut)!r}).exists(): time.sleep(0.05)"),
    )
    write(
        root / "consumers.yaml",
        "- {consumer: report, owner: core, reads: [revenue], max_age: 30h}\n"
        "- {consumer: board, owner: core, reads: [checked], max_age: 30h}\n",
    )
    for day, amount in AMOUNTS.items():
        deliver(root, day, amount)
    headrace(root, "tick", "--now", NOW)
    return root


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Path]]:
    root = deciding(tmp_path_factory.mktemp("acts") / "shop")
    with browser() as result, serving(root) as server:
        yield Site(result, server), root


def cell(page: Page, day: str) -> Locator:
    """A partition in the calendar."""
    return page.get_by_role("button", name=f"{day}: ").first


def agree(page: Page, command: str, reason: str | None = None) -> None:
    """Say why in the dialog that is open, do it, and wait until it says what came of it."""
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Reaches")).to_be_visible()
    if reason is not None:
        expect(dialog.get_by_role("button", name=command, exact=True)).to_be_disabled()
        dialog.get_by_label("Why").fill(reason)
    dialog.get_by_role("button", name=command, exact=True).click()
    expect(dialog.get_by_role("button", name=command, exact=True)).to_have_count(0)
    expect(dialog.get_by_text("This window may be closed")).to_have_count(0)


def close(page: Page) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Close", exact=True).last.click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def trail(root: Path, action: str) -> tuple[str, str]:
    """Who did that last, and why."""
    entry = response(root, "audit", "show", "--action", action, "--limit", "1")[0]
    return entry["actor"], entry["reason"]


@pytest.mark.long
def test_an_incident_is_muted_and_unmuted(shop: tuple[Site, Path]) -> None:
    """Would catch: a reason that is markup in the next reader's page, a mute that nobody signed, and
    a list that doesn't say that nobody gets messages about a cause.

    It comes first: other tests end the incident.
    """
    site, root = shop
    with site.page() as page:
        open_page(page, "/incidents/INC-1")
        page.get_by_role("button", name="Mute…").click()
        page.get_by_role("dialog").get_by_label("How long").select_option("1d")
        page.get_by_role("dialog").get_by_label("Why").fill(MARKUP)
        page.get_by_role("button", name="Mute it").click()
        expect(page.get_by_role("dialog")).to_contain_text("INC-1 is muted until")
        close(page)
        expect(page.locator("strong").filter(has_text="Muted until")).to_be_visible()
        expect(page.get_by_text(f"By {ME}")).to_contain_text(MARKUP)
        assert trail(root, "incident.muted") == (ME, MARKUP)
        open_page(page, "/incidents?all")
        row = page.get_by_role("row").filter(has_text="INC-1")
        expect(row).to_contain_text("muted until")
        open_page(page, "/incidents/INC-1")
        page.get_by_role("button", name="Unmute…").click()
        page.get_by_role("button", name="Unmute it").click()
        expect(page.get_by_role("dialog")).to_contain_text("INC-1 isn’t muted any more.")
        close(page)
        expect(page.get_by_role("button", name="Mute…", exact=True)).to_be_visible()
        assert trail(root, "incident.unmuted")[0] == ME


@pytest.mark.long
def test_a_partition_is_made_again_with_a_reason(shop: tuple[Site, Path]) -> None:
    """Would catch: a click that replaces what readers see without saying whom that reaches, or
    without a reason.
    """
    site, root = shop
    with site.page() as page:
        open_page(page, "/assets/revenue")
        cell(page, "2025-03-01").click()
        page.get_by_role("button", name="Recompute…").click()
        expect(page.get_by_role("dialog")).to_contain_text("report")
        agree(page, "Recompute", MARKUP)
        page.get_by_role("dialog").get_by_role("link", name="Open run").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("run 2")
    assert trail(root, "run.requested") == (ME, MARKUP)


@pytest.mark.long
def test_what_failed_is_retried_once_it_is_mended(shop: tuple[Site, Path]) -> None:
    """Would catch: a retry that says nothing of what still fails, or a page on which it can't be
    asked for.
    """
    site, root = shop
    with site.page() as page:
        open_page(page, "/assets/flaky")
        page.get_by_role("button", name="Retry…").click()
        agree(page, "Retry")
        expect(page.get_by_role("dialog")).to_contain_text(MARKUP)
        close(page)
        write(root / "mended", "")
        page.get_by_role("button", name="Retry…").click()
        agree(page, "Retry")
        expect(page.get_by_role("dialog")).to_contain_text("5 partitions published")
        close(page)
        expect(page.get_by_role("button", name="Retry…")).to_have_count(0)


@pytest.mark.long
def test_an_asset_is_paused_and_resumed(shop: tuple[Site, Path]) -> None:
    """Would catch: a pause that nobody sees on the page, or that can't be ended where
    it was begun.
    """
    site, root = shop
    with site.page() as page:
        open_page(page, "/assets/revenue")
        page.get_by_role("button", name="Pause…").click()
        page.get_by_label("How long").select_option("8h")
        agree(page, "Pause it", "the vendor calls")
        close(page)
        expect(page.locator("h1")).to_contain_text("paused")
        assert trail(root, "node.paused") == (ME, "the vendor calls")
        open_page(page, "/calendar")
        expect(page.locator("main")).to_contain_text("Paused, without runs until then: revenue")
        open_page(page, "/assets/revenue")
        page.get_by_role("button", name="Resume…").click()
        expect(page.get_by_role("dialog")).to_contain_text("the vendor calls")
        agree(page, "Resume it")
        close(page)
        expect(page.get_by_role("button", name="Pause…")).to_be_visible()


@pytest.mark.long
def test_held_data_is_published_or_dropped_with_what_is_wrong_before_ones_eyes(
    shop: tuple[Site, Path],
) -> None:
    """Would catch: an exception that somebody makes without seeing why it was held, or that readers
    aren't told of.
    """
    site, root = shop
    with site.page("dark") as page:
        open_page(page, "/assets/checked")
        cell(page, "2025-03-03").click()
        expect(page.get_by_text("In quarantine:")).to_be_visible()
        page.get_by_role("button", name="Publish as it is…").click()
        expect(page.get_by_role("dialog").get_by_text("Waits because")).to_be_visible()
        assert axed(page) == []
        agree(page, "Publish it", "it was a big day")
        expect(page.get_by_role("dialog")).to_contain_text("as an exception until")
        close(page)
        assert trail(root, "quarantine.accepted") == (ME, "it was a big day")
        cell(page, "2025-03-04").click()
        page.get_by_role("button", name="Drop it…").click()
        agree(page, "Drop it", "they sent it twice")
        expect(page.get_by_role("dialog")).to_contain_text("dropped")
        close(page)
        expect(page.get_by_text("In quarantine:")).to_have_count(0)


@pytest.mark.long
def test_a_backfill_goes_from_clicked_partitions_to_what_it_changed(
    shop: tuple[Site, Path],
) -> None:
    """Would catch: another plan than the one that was shown, or a person who doesn't learn what
    came of it.
    """
    site, root = shop
    with site.page() as page:
        open_page(page, "/assets/revenue")
        cell(page, "2025-03-01").click()
        cell(page, "2025-03-03").click(modifiers=["Shift"])
        expect(page.get_by_role("region", name="Chosen partitions")).to_contain_text("3 partitions")
        page.get_by_role("link", name="Backfill these…").click()
        expect(page.get_by_text("No partition needs computing.")).to_be_visible()
        page.get_by_role("combobox", name="Partitions").select_option("all")
        page.get_by_label("only these").check()
        page.get_by_role("button", name="Show the plan").click()
        expect(page.get_by_text("3 partitions would be computed")).to_be_visible()
        expect(page.get_by_role("region", name="Partition list").locator("strong")).to_have_text(
            ["revenue"] * 3
        )
        page.get_by_role("button", name="Start it…").click()
        page.get_by_role("dialog").get_by_label("Why").fill(MARKUP)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("succeeded")
        expect(page.locator("main")).to_contain_text("3 of 3 partitions published")
        expect(page.get_by_label("What changed").first).to_contain_text("same rows")
        page.get_by_role("link", name="Log of revenue 2025-03-02").click()
        expect(page.get_by_role("region", name="Log").first).to_be_visible()
        assert trail(root, "plan.made") == (ME, MARKUP)


@pytest.mark.long
def test_a_backfill_leaves_out_what_is_named_and_takes_what_failed_since(
    shop: tuple[Site, Path],
) -> None:
    """Would catch: a form that can say less than the command, or a range that stays beside a time
    since when something failed.
    """
    site, _ = shop
    with site.page() as page:
        open_page(page, "/backfills/new?select=revenue%2B&mode=all&from=2025-03-01&to=2025-03-01")
        expect(
            page.get_by_role("region", name="Partition list")
            .locator("strong")
            .filter(has_text="gated")
        ).to_have_count(1)
        page.get_by_label("Leave out").fill("gated checked")
        page.get_by_role("button", name="Show the plan").click()
        expect(
            page.get_by_role("region", name="Partition list")
            .locator("strong")
            .filter(has_text="gated")
        ).to_have_count(0)
        page.get_by_role("combobox", name="Partitions").select_option("failed")
        page.get_by_label("Or: failed since").fill("2025-01-01")
        page.get_by_role("button", name="Show the plan").click()
        expect(page).to_have_url(re.compile("since=2025-01-01"))
        expect(page).not_to_have_url(re.compile("from="))
        expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.long
def test_what_somebody_knows_of_a_cause_stands_in_its_timeline(shop: tuple[Site, Path]) -> None:
    """Would catch: a note that is markup in the next reader's page, or one that nobody signed."""
    site, root = shop
    with site.page() as page:
        open_page(page, "/incidents/INC-1")
        page.get_by_role("button", name="Write a note…").click()
        page.get_by_role("dialog").get_by_label("What is known").fill(MARKUP)
        page.get_by_role("button", name="Write it down").click()
        expect(page.get_by_role("dialog")).to_contain_text("It is written down.")
        close(page)
        line = page.get_by_role("row").filter(has_text=f"note: {MARKUP}")
        expect(line).to_contain_text(ME)
        assert trail(root, "incident.noted") == (ME, MARKUP)


@pytest.mark.long
def test_an_incident_is_assigned_and_linked_to_its_ticket(shop: tuple[Site, Path]) -> None:
    """Would catch: a name that is markup in the next reader's page, a link that tells the ticket
    system which page was left, and a list that doesn't say who handles a cause."""
    site, root = shop
    url = "https://tickets.example.com/browse/DATA-12?x=<b>"
    with site.page() as page:
        open_page(page, "/incidents/INC-1")
        page.get_by_role("button", name="Assign…").click()
        page.get_by_role("dialog").get_by_label("Person").fill(MARKUP)
        page.get_by_role("button", name="Assign", exact=True).click()
        expect(page.get_by_role("dialog")).to_contain_text(f"INC-1 is assigned to {MARKUP}.")
        close(page)
        page.get_by_role("button", name="Link a ticket…").click()
        page.get_by_role("dialog").get_by_label("Address, with https://").fill(url)
        page.get_by_role("button", name="Link", exact=True).click()
        expect(page.get_by_role("dialog")).to_contain_text("INC-1 is linked to its ticket.")
        close(page)
        link = page.get_by_role("link", name="tickets.example.com")
        expect(link).to_have_attribute("href", url)
        expect(link).to_have_attribute("rel", "noopener noreferrer")
        open_page(page, "/incidents?all")
        row = page.get_by_role("row").filter(has_text="INC-1")
        expect(row).to_contain_text(f"assigned to {MARKUP}")
        expect(row.get_by_role("link", name="tickets.example.com")).to_be_visible()
        assert trail(root, "incident.assigned")[0] == ME
        assert trail(root, "incident.ticket_linked")[0] == ME


def test_a_backfill_isnt_started_before_it_is_known_what_there_was(shop: tuple[Site, Path]) -> None:
    """Would catch: a person who is quicker than the server, whose dialog then waits until all is
    made and leads nowhere.
    """
    site, _ = shop
    held: list[Route] = []
    released = False

    def hold(route: Route) -> None:
        held.append(route) if not released else route.continue_()

    with site.page() as page:
        page.route("**/api/v1/backfills", hold)
        open_page(page, "/backfills/new?select=gated&mode=all&from=2025-03-02&to=2025-03-04")
        expect(page.get_by_text("Planning")).to_be_visible()
        page.wait_for_function(
            "() => performance.getEntriesByType('resource').some((one) =>"
            " one.name.includes('/backfills/preview?'))"
        )
        expect(page.get_by_text("Planning")).to_be_visible()
        while not held:
            page.wait_for_timeout(20)
        released = True
        for route in held:
            route.continue_()
        expect(page.get_by_role("button", name="Start it…")).to_be_visible()
    assert site.problems == []


@pytest.mark.long
def test_a_backfill_is_chosen_in_its_own_calendar_then_paused_and_cancelled(
    shop: tuple[Site, Path],
) -> None:
    """Would catch: a backfill that can't be held back once it is seen that it was a mistake."""
    site, root = shop
    write(root / "shut", "")
    with site.page() as page:
        open_page(page, "/backfills/new?select=gated&mode=all")
        cell(page, "2025-03-02").click()
        expect(page.get_by_text("Another click says up to where")).to_be_visible()
        cell(page, "2025-03-04").click()
        expect(page.get_by_text("3 partitions would be computed")).to_be_visible()
        page.get_by_role("button", name="Start it…").click()
        page.get_by_role("dialog").get_by_label("Why").fill("by mistake")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("running")
        page.get_by_role("button", name="Pause…").click()
        page.get_by_role("dialog").get_by_label("Why").fill("let me look")
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Pause it").click()
        close(page)
        expect(page.locator("h1")).to_contain_text("paused")
        page.get_by_role("button", name="Cancel…").click()
        page.get_by_role("dialog").get_by_label("Why").fill("it was a mistake")
        page.get_by_role("button", name="Cancel it").click()
        (root / "shut").unlink()
        close(page)
        expect(page.locator("h1")).to_contain_text("cancelled")
        expect(page.get_by_text("Readers see what they saw before.")).to_be_visible()
    assert site.problems == []
