"""Plans in the browser: what applying the files does, and only exactly that; what somebody decides
about a repair.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_lab import MARKUP, Site, axed, browser, open_page
from playwright.sync_api import Locator, Page, expect
from serve_lab import ME, deliver, headrace, project, response, serving, write

from headrace.security.access import Identity, IdentityKind

pytestmark = pytest.mark.timeout(300)
NOW = "2025-03-05T08:00"
DAYS = ("2025-03-01", "2025-03-02", "2025-03-03", "2025-03-04")
REVENUE = "assets/revenue.sql"
CENTS = 100


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Site, Path]]:
    """Four days are published."""
    root = project(tmp_path / "shop")
    for day in DAYS:
        deliver(root, day, 10)
    headrace(root, "tick", "--now", NOW)
    with browser() as result, serving(root) as server:
        yield Site(result, server), root


def edit(root: Path, old: str, new: str) -> None:
    path = root / REVENUE
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def close(page: Page) -> None:
    dialog(page).get_by_role("button", name="Close", exact=True).last.click()
    expect(dialog(page)).to_have_count(0)


def applied(root: Path) -> str:
    """The id of the plan that the newest version was applied by."""
    return str(response(root, "versions")[0]["plan_id"])


def test_exactly_the_plan_that_is_shown_is_applied(  # noqa: PLR0915 - one story
    shop: tuple[Site, Path],
) -> None:
    """Would catch: a page that applies another text than the one that was agreed to, that doesn't
    name the file, or that agrees to the new plan in somebody's place."""
    site, root = shop
    edit(root, "sum(amount)", "sum(amount) * 2")
    planned = response(root, "plan")
    with site.page() as page:
        open_page(page, "/")
        expect(page.get_by_role("region", name="Assets and quarantine")).to_contain_text(
            "1 node; the plan"
        )
        page.get_by_role("link", name="the plan").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("2 steps to apply")
        expect(page.locator("main")).to_contain_text(planned["plan_id"])
        steps = page.get_by_role("region", name="Steps").get_by_role("row")
        expect(steps.filter(has_text="invalidate")).to_contain_text("revenue4")
        for said in (DAYS[0], DAYS[-1], "stale until it is requested again"):
            expect(steps.filter(has_text="invalidate")).to_contain_text(said)
        expect(page.get_by_role("region", name="Files")).to_contain_text(REVENUE)
        expect(page.get_by_role("region", name="Reach and cost")).to_contain_text("report")
        difference = page.get_by_label(f"Difference of {REVENUE}")
        expect(difference.locator(".added")).to_contain_text("sum(amount) * 2")
        assert axed(page) == []
        page.get_by_role("button", name="Apply…").click()
        expect(dialog(page)).to_contain_text(planned["plan_id"])
        assert axed(page) == []

        edit(root, "* 2", "* 1000")
        dialog(page).get_by_role("button", name="Apply this").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("Nothing was applied.")
        expect(alert).to_contain_text(f"{REVENUE} isn’t as it was in the plan")
        now = response(root, "plan")["plan_id"]
        assert now != planned["plan_id"] and len(response(root, "versions")) == 1
        expect(alert).to_contain_text(now)
        expect(page.get_by_role("region", name="Reach and cost")).to_contain_text(now)
        assert axed(page) == []

        page.get_by_role("button", name="Apply…").click()
        dialog(page).get_by_role("button", name="Apply this").click()
        expect(dialog(page)).to_contain_text("Applied as version 2")
        expect(dialog(page)).to_contain_text("headrace backfill revenue")
        close(page)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Nothing to apply")
        expect(page.get_by_role("link", name="Plan", exact=True)).to_be_visible()
    assert applied(root) == now
    files = {item["path"]: item["sha256"] for item in response(root, "versions", "2")[0]["files"]}
    assert files[REVENUE] == hashlib.sha256((root / REVENUE).read_bytes()).hexdigest()
    entry = response(root, "audit", "show", "--action", "project.applied", "--limit", "1")[0]
    assert (entry["actor"], entry["after"]["plan_id"]) == (ME, now)
    assert [problem for problem in site.problems if "409" not in problem] == []


@pytest.mark.long
def test_published_data_is_kept_under_new_code(shop: tuple[Site, Path]) -> None:
    """Would catch: a choice on the page that makes another plan than `apply --keep`, or needs no
    reason.
    """
    site, root = shop
    edit(root, "sum(amount)", "sum(amount) * 2")
    plain = response(root, "plan")["plan_id"]
    with site.page() as page:
        open_page(page, "/plan")
        page.get_by_label("revenue: 4 partitions").click()
        steps = page.get_by_role("region", name="Steps")
        expect(steps).not_to_contain_text("invalidate")
        expect(steps).to_contain_text("what is published is kept")
        expect(page).to_have_url(re.compile("keep=revenue"))
        expect(page.locator("main")).not_to_contain_text(plain)
        page.get_by_role("button", name="Apply…").click()
        expect(dialog(page).get_by_role("button", name="Apply this")).to_be_disabled()
        dialog(page).get_by_label("Why published data").fill(MARKUP)
        dialog(page).get_by_role("button", name="Apply this").click()
        expect(dialog(page)).to_contain_text("Applied as version 2")
        close(page)
    entry = response(root, "audit", "show", "--action", "project.applied", "--limit", "1")[0]
    assert (entry["reason"], entry["after"]["plan_id"]) == (MARKUP, applied(root))
    assert response(root, "status")["assets"]["stale"] == 0


@pytest.mark.long
def test_files_with_errors_are_named_instead_of_a_plan(shop: tuple[Site, Path]) -> None:
    """Would catch: a page that says only that something failed here, or one that shows the last
    plan.
    """
    site, root = shop
    edit(root, "select", "selec")
    with site.page() as page:
        open_page(page, "/plan")
        expect(page.get_by_role("alert")).to_contain_text(f"the project has 1 error: {REVENUE}:")
        expect(page.get_by_role("region", name="Problems")).to_contain_text(f"{REVENUE}:")
        expect(page.get_by_role("button", name="Apply…")).to_have_count(0)
        edit(root, "selec", "select")
        page.get_by_role("button", name="Refresh").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Nothing to apply")


RULE = """
[[policy.rule]]
name = "past"
when = "owner:core"
"""


@pytest.mark.long
def test_a_plan_waits_for_the_approval_of_another_person(
    shop: tuple[Site, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a button that applies what a rule holds back, that asks twice, or that doesn't
    apply once another person has approved.
    """
    site, root = shop
    settings = root / "headrace.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + RULE, encoding="utf-8")
    headrace(root, "apply", "--yes")
    edit(root, "sum(amount)", "sum(amount) * 2")
    planned = response(root, "plan")["plan_id"]
    with site.page() as page:
        open_page(page, "/plan")
        panel = page.get_by_role("region", name="Approval")
        expect(panel).to_contain_text("owner:core")
        expect(panel).to_contain_text("Nobody has asked for it yet")
        assert axed(page) == []
        page.get_by_role("button", name="Apply…").click()
        button = dialog(page).get_by_role("button", name="Ask for approval")
        expect(button).to_be_disabled()
        dialog(page).get_by_label("Why").fill(MARKUP)
        button.click()
        expect(dialog(page)).to_contain_text("It waits for an approval.")
        expect(dialog(page)).to_contain_text(MARKUP)
        expect(dialog(page).get_by_role("button", name="Apply this")).to_have_count(0)
        assert axed(page) == []
        assert len(response(root, "versions")) == 2
        dialog(page).get_by_role("link", name="Open approval A1").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Approval A1")

        with monkeypatch.context() as patch:
            bo = Identity(name="bo", kind=IdentityKind.LOCAL, subjects=frozenset({"user:bo"}))
            patch.setattr("headrace.cli.invocation.local_actor", lambda: bo.name)
            patch.setattr("headrace.security.access.local_identity", lambda: bo)
            headrace(root, "approve", "A1", "--reason", "checked")
        open_page(page, "/plan")
        expect(page.get_by_role("region", name="Approval")).to_contain_text("approved")
        page.get_by_role("button", name="Apply…").click()
        dialog(page).get_by_label("Why").fill("approved by bo")
        dialog(page).get_by_role("button", name="Apply this").click()
        expect(dialog(page)).to_contain_text("Applied as version 3")
        dialog(page).get_by_role("link", name="Audit entry").click()
        expect(page.get_by_role("region", name="Entries")).to_contain_text("approved by bo")
    assert applied(root) == planned
    assert [problem for problem in site.problems if "409" not in problem] == []


@pytest.fixture
def cents(tmp_path: Path) -> Iterator[tuple[Site, Path]]:
    """On the fifth day the amounts are cents, and the column is called so."""
    root = project(tmp_path / "cents")
    for number, day in enumerate(DAYS):
        rows = "".join(f"{day},{3 + (i * 7 + number) % 11 / 2}\n" for i in range(30))
        write(root / f"landing/orders_{day}.csv", f"day,amount\n{rows}")
    headrace(root, "tick", "--now", NOW)
    rows = "".join(f"2025-03-05,{(3 + (i * 7 + 4) % 11 / 2) * CENTS:g}\n" for i in range(30))
    write(root / "landing/orders_2025-03-05.csv", f"day,amount_cents\n{rows}")
    headrace(root, "tick", "--now", "2025-03-06T08:00")
    with browser() as result, serving(root) as server:
        yield Site(result, server), root


@pytest.mark.long
def test_values_that_differ_are_converted_as_somebody_decides(cents: tuple[Site, Path]) -> None:
    """Would catch: a page that publishes a hundred times too much, or that can't decide what the
    command line can."""
    site, root = cents
    (incident,) = (
        item["id"]
        for item in response(root, "incidents")
        if item["cause"]["kind"] == "schema_change"
    )
    with site.page() as page:
        open_page(page, f"/incidents/{incident}")
        page.get_by_role("button", name="Repair…").click()
        decide = dialog(page).get_by_role("region", name="Decide about values")
        expect(decide).to_contain_text("The values differ.")
        expect(dialog(page).get_by_role("button", name="Do this")).to_be_disabled()
        expression = decide.get_by_label("Convert amount_cents by")
        expect(expression).to_have_value("amount_cents / 100")
        assert axed(page) == []
        expression.fill("read_text('/etc/passwd')")
        decide.get_by_role("button", name="Convert", exact=True).click()
        expect(dialog(page).get_by_role("alert")).to_contain_text("can't be used")
        dialog(page).get_by_role("button", name="Reset decision").click()
        decide.get_by_role("button", name="Convert", exact=True).click()
        expect(decide).to_contain_text("amount ← amount_cents / 100")
        dialog(page).get_by_label("Why").fill("the shop says cents")
        dialog(page).get_by_role("button", name="Do this").click()
        expect(dialog(page)).to_contain_text("partitions published")
        close(page)
    entry = response(root, "audit", "show", "--action", "contract.accepted", "--limit", "1")[0]
    assert (entry["reason"], entry["after"]["convert"]) == (
        "the shop says cents",
        {"amount": "amount_cents / 100"},
    )
    result = response(root, "read", "orders", "--partition", "2025-03-05")["rows"]
    assert max(float(row["amount"]) for row in result) < CENTS


@pytest.mark.long
def test_a_held_delivery_s_names_are_accepted_on_its_page(cents: tuple[Site, Path]) -> None:
    """Would catch: a contract that can be accepted on the command line only, or without the
    decision; a delivery that can be published without its amounts as well as with them."""
    site, root = cents
    with site.page() as page:
        open_page(page, "/sources/orders")
        page.get_by_role("button", name="2025-03-05: ").first.click()
        expect(page.get_by_role("button", name="Drop it…")).to_be_visible()
        expect(page.get_by_role("button", name="Publish as it is…")).to_have_count(0)
        page.get_by_role("button", name="Accept names…").click()
        expect(dialog(page).get_by_role("button", name="Accept", exact=True)).to_be_disabled()
        dialog(page).get_by_role("button", name="Accept as is").click()
        expect(dialog(page)).to_contain_text("contracts/orders.odcs.yaml")
        dialog(page).get_by_role("button", name="Accept", exact=True).click()
        expect(dialog(page)).to_contain_text("re-ingested")
        close(page)
    entry = response(root, "audit", "show", "--action", "contract.accepted", "--limit", "1")[0]
    assert entry["after"]["convert"] == {"amount": '"amount_cents"'}


@pytest.mark.long
def test_what_was_reported_is_computed_again_although_nothing_changed(
    shop: tuple[Site, Path],
) -> None:
    """Would catch: a page on which nothing can be done about data that somebody says is wrong, or
    one that doesn't say that the same came out."""
    site, root = shop
    reported = response(
        root, "incidents", "report", "revenue", "--from", DAYS[0], "--reason", "too low"
    )
    with site.page() as page:
        open_page(page, f"/incidents/{reported['id']}")
        expect(page.locator("main")).to_contain_text("A person does this first:")
        page.get_by_role("button", name="Compute it again…").click()
        expect(dialog(page).get_by_role("alert")).to_contain_text(
            "neither the code of revenue nor its inputs have changed"
        )
        dialog(page).get_by_role("button", name="Compute it all the same").click()
        expect(dialog(page)).to_contain_text("Recompute:")
        dialog(page).get_by_role("button", name="Do this").click()
        expect(dialog(page)).to_contain_text("with the same rows as before")
        close(page)
