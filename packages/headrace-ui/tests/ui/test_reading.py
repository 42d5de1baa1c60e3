"""What is only looked at, in a real browser: logs, checks, use, contracts, the trail, and what is
refused.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from browser_lab import AXE, MARKUP, RULES, Site, browser, open_page
from playwright.sync_api import Page, expect
from serve_lab import CONTRACT, deliver, headrace, project, response, serving, write

from headrace.model import Settings
from headrace.project.session import ProjectSession
from headrace.store import Store
from headrace_ui.services.run_pages import NodePartsRow, run_timeline

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
NOW = "2025-03-02T08:00"
LINES = 60_000
SLOW = """asset: slow
owner: core
inputs: [orders]
partition: day
columns: {{day: DATE}}
attempts_max: 1
trigger: manual
command: [sh, -c, 'echo begun; while [ ! -e "{go}" ]; do sleep 0.05; done; echo "over {markup}"; exit 1']
"""


def shop(root: Path) -> Path:
    """A day that is published, a check that can't fail, a contract that changed, a log of many
    lines, and somebody who has read.
    """
    project(root)
    asset, source = root / "assets/revenue.sql", root / "sources/orders.yaml"
    checks = "column: day}\nchecks: [{unique: [day]}, {row_count: {min: 0}}]\n"
    write(asset, asset.read_text(encoding="utf-8").replace("column: day}\n", checks))
    write(source, source.read_text(encoding="utf-8") + "contract: orders\n")
    write(root / "assets/slow.yaml", SLOW.format(go=root / "go", markup="<b>"))
    write(root / "contracts/orders.odcs.yaml", CONTRACT.format(version="1.0.0", type="integer"))
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    write(root / "contracts/orders.odcs.yaml", CONTRACT.format(version="2.0.0", type="number"))
    headrace(root, "apply", "--yes", "--now", NOW)
    headrace(root, "read", "revenue")
    return root


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Path]]:
    root = shop(tmp_path_factory.mktemp("reading") / "shop")
    with browser() as result, serving(root) as server:
        yield Site(result, server), root


def long_log(root: Path) -> str:
    """Gives an attempt many lines, one of them with markup; where its log is."""
    row = next(item for item in response(root, "runs") if item["node"] == "revenue")
    epoch, n = row["attempt"].split(".")
    path = root / f".headrace/logs/{epoch}/{n}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for number in range(1, LINES + 1):
            text = f"needle {MARKUP}" if number in (4, LINES - 4) else f"line {number}"
            file.write(
                msgspec.json.encode({"at_us": 1, "stream": "stdout", "level": "", "text": text})
                + b"\n"
            )
    return f"/runs/{row['run_id']}?attempt={row['attempt']}"


def accessible(page: Page, where: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core isn't here (make ui fetches it)")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    result = page.evaluate(f"axe.run({{runOnly: {json.dumps(RULES)}}})")
    assert not result["violations"], (
        where,
        [
            f"{item['id']}: {[node['html'][:200] for node in item['nodes']]}"
            for item in result["violations"]
        ],
    )


def test_a_hit_keeps_its_number_and_leads_to_the_line_among_its_neighbours(
    seen: tuple[Site, Path],
) -> None:
    """Would catch: a link to line 2 for what stands in line 59,996, a search that ends with the
    first page, or a log that runs markup.
    """
    site, root = seen
    site.problems.clear()
    where = long_log(root)
    with site.page() as page:
        open_page(page, where)
        page.get_by_label("Lines that contain").fill("needle")
        page.keyboard.press("Enter")
        hits = page.locator(".log li").filter(has_text="needle")
        expect(hits).to_have_count(2)
        expect(hits.last).to_contain_text(f"needle {MARKUP}")
        page.get_by_role("link", name=f"Line {LINES - 4}").click()
        expect(page).to_have_url(re.compile(f"line={LINES - 4}$"))
        expect(page.locator(".log li[data-chosen]")).to_contain_text("needle")
        expect(page.get_by_text(f"line {LINES - 5}", exact=True)).to_be_visible()
        open_page(page, f"{where}&line=30000")
        expect(page.locator(".log li[data-chosen]")).to_contain_text("line 30000")
        assert page.locator(".log li").count() <= 1_000
        page.get_by_role("button", name="Last lines").click()
        expect(page.get_by_text(f"line {LINES}", exact=True)).to_be_attached()
        open_page(page, f"{where}&grep=needle")
        accessible(page, where)
    with site.page("dark") as page:
        open_page(page, f"{where}&grep=needle")
        expect(page.locator(".log mark")).to_have_count(2)
        accessible(page, where)
    assert site.problems == []


def test_a_log_is_followed_while_it_is_written(seen: tuple[Site, Path]) -> None:
    """Would catch: a log that shows what was written when it was opened, and then nothing more."""
    site, root = seen
    with site.page() as page:
        run = (
            "fetch('/api/v1/runs', {method: 'POST', headers: {'content-type': 'application/json',"
            " 'x-headrace-act': '1'},"
        )
        page.evaluate(run + " body: JSON.stringify({select: ['slow']})}) && null")
        open_page(page, "/runs")
        page.get_by_role("link", name=re.compile("^run ")).first.click()
        page.get_by_role("link", name=re.compile("^Log of slow")).click()
        expect(page.locator(".log li").first).to_contain_text("begun")
        expect(page.get_by_text("followed: it is under way")).to_be_visible()
        (root / "go").touch()
        expect(page.locator(".log li").last).to_contain_text("over <b>")
        expect(page.get_by_text("followed: it is under way")).to_have_count(0)


def test_a_check_that_cant_fail_is_found_with_the_mouse(seen: tuple[Site, Path]) -> None:
    """Would catch: a page of green checks that hides that one of them could never be red."""
    with seen[0].page() as page:
        open_page(page, "/checks")
        page.get_by_role("button", name="Put 2 checks of 1 node to the test").click()
        expect(page.locator("tr", has_text="row_count").first).to_contain_text("can’t fail")
        expect(page.locator("tr", has_text="unique").first).to_contain_text("effective")
        page.get_by_label("Order").select_option(label="worst verdict")
        expect(page.locator("tbody tr").first).to_contain_text("row_count")
        page.get_by_label("Search").fill("unique")
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page).to_have_url(re.compile("search=unique"))


def test_two_versions_of_a_contract_stand_beside_each_other(seen: tuple[Site, Path]) -> None:
    """Would catch: a history that says that something changed, and not what."""
    with seen[0].page() as page:
        open_page(page, "/assets/orders?part=columns")
        page.get_by_role("link", name=re.compile("^contract orders 2.0.0")).click()
        history = page.get_by_role("region", name="History")
        expect(history.get_by_role("status")).to_contain_text("1 promise changed")
        expect(history.locator(".removed", has_text="version")).to_contain_text("1.0.0")
        expect(history.locator(".added", has_text="version")).to_contain_text("2.0.0")
        history.get_by_label("From").select_option(index=0)
        expect(history.get_by_role("status")).to_contain_text("It promises the same")


def test_use_says_who_reads_and_what_is_for_nobody(seen: tuple[Site, Path]) -> None:
    """Would catch: an asset that is read and is said to be unread, or a cost that isn't shown where
    nobody reads.
    """
    with seen[0].page() as page:
        open_page(page, "/use")
        expect(page.locator("tr", has_text="revenue").first).to_contain_text("by read, 1")
        expect(page.locator("tr", has_text="orders").first).to_contain_text(
            "nobody seen; needed by report"
        )
        page.get_by_label("Order").select_option(label="most read")
        expect(page.locator("tbody tr").first).to_contain_text("revenue")
        open_page(page, "/assets?sort=use")
        expect(page.locator("tbody tr").first).to_contain_text("revenue")
        expect(page.get_by_role("columnheader", name="Duration")).to_be_visible()


def test_the_trail_is_narrowed_by_the_address_and_verified(seen: tuple[Site, Path]) -> None:
    """Would catch: a link to what somebody did that shows what everybody did."""
    with seen[0].page() as page:
        open_page(page, "/audit?action=lease.*")
        expect(page.locator("tbody tr").first).to_contain_text("lease.")
        assert all("lease." in text for text in page.locator("tbody tr").all_inner_texts())
        page.get_by_role("button", name="Verify audit trail").click()
        expect(page.get_by_text("fit together")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_refused_says_what_it_was_about_and_leads_on(
    seen: tuple[Site, Path], theme: str
) -> None:
    """Would catch: a page without a heading, where a screen reader finds nothing, for a link that
    is old.
    """
    with seen[0].page(theme) as page:
        for path in (
            "/assets/nothing",
            "/runs/99",
            "/incidents/INC-99",
            "/consumers/nobody",
            "/figures/none",
            "/backfills/99",
        ):
            open_page(page, path)
            expect(page.get_by_role("alert")).to_be_visible()
            expect(page.get_by_role("heading", level=1)).to_contain_text(path.rpartition("/")[2])
            expect(page.locator("main").get_by_role("link", name="Today")).to_be_visible()
        accessible(page, path)


def attempted(root: Path, states: dict[str, str], standing: dict[str, str]) -> None:
    """One more attempt of run 1 at `revenue` for each partition of `states`, and where its
    partition is now.
    """
    with Store.open(root, Settings(name="shop")) as store, store.write(None) as tx:
        tx.executemany(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
            " started_at, finished_at, reason) values (900, ?, 1, 'revenue', 'produce', ?, ?, 0, 0,"
            " 1, 'it broke')",
            [(n, f'["{key}"]', state) for n, (key, state) in enumerate(states.items(), 1)],
        )
        tx.executemany(
            "insert into partition (node, partition, state, since) values ('revenue', ?, ?, 0)",
            list(standing.items()),
        )


def test_a_run_shows_what_failed_first_however_long_it_is(
    seen: tuple[Site, Path], tmp_path: Path
) -> None:
    """Would catch: "All of them got through" over a page of attempts, and no retry, while a later
    one failed.
    """
    root = project(tmp_path / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    keys = [f"old-{n:03}" for n in range(700)]
    attempted(
        root,
        {key: "failed" if key == keys[-1] else "published" for key in keys},
        {keys[-1]: "failed"},
    )
    with serving(root) as server, Site(seen[0].browser, server).page() as page:
        open_page(page, "/runs/1")
        panel = page.get_by_role("region", name="Unsuccessful attempts")
        expect(panel).to_contain_text("it broke")
        expect(panel).to_contain_text("1 of 70")
        expect(page.get_by_role("button", name="Retry what failed…")).to_be_visible()
        expect(page.get_by_text("got through")).to_have_count(0)


def test_a_retry_says_what_it_takes_and_not_what_is_loaded(
    seen: tuple[Site, Path], tmp_path: Path
) -> None:
    """Would catch: "500 partitions" over a retry of 600, because the page had loaded no more; and
    those counted that were published since."""
    root = project(tmp_path / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    keys = [f"old-{n:03}" for n in range(700)]
    states = {key: "published" if key >= "old-600" else "failed" for key in keys}
    attempted(root, dict.fromkeys(keys, "failed"), states)
    with serving(root) as server, Site(seen[0].browser, server).page() as page:
        open_page(page, "/runs/1")
        page.get_by_role("button", name="Retry what failed…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("is tried again, 600 partitions; nothing else")
        expect(dialog).to_contain_text("revenue 600 partitions, old-000 to old-599")


def test_nothing_is_left_to_retry_of_what_was_published_since(tmp_path: Path) -> None:
    """Would catch: a retry that is offered for attempts of long ago, and that does nothing."""
    root = project(tmp_path / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    attempted(
        root, {"old-1": "failed", "old-2": "failed"}, {"old-1": "published", "old-2": "failed"}
    )
    result = run_timeline(ProjectSession(root, "prod", None, "t"), "1", None)
    assert (result.unpublished, result.retryable) == (2, 1)
    assert result.retries == [
        NodePartsRow(node="revenue", partitions=1, first="old-2", last="old-2")
    ]


def test_a_cancellation_counts_all_that_is_under_way(tmp_path: Path) -> None:
    """Would catch: a count of those attempts under way that a page has loaded."""
    root = project(tmp_path / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    keys = [f"old-{n:03}" for n in range(600)]
    attempted(root, {key: "running" if key > "old-001" else "queued" for key in keys}, {})
    result = run_timeline(ProjectSession(root, "prod", None, "t"), "1", None, limit=10)
    assert (len(result.attempts), result.under_way) == (10, 600)
    assert result.cancels == [
        NodePartsRow(node="revenue", partitions=600, first="old-000", last="old-599")
    ]


def test_what_isnt_there_is_marked_day_by_day(seen: tuple[Site, Path], tmp_path: Path) -> None:
    """Would catch: an incident over two missing days, with a chart that shows one; "Nothing has to
    be done" where the vendor has to deliver."""
    root = project(tmp_path / "shop")
    source = root / "sources/orders.yaml"
    write(source, source.read_text(encoding="utf-8") + 'expect: {by: "05:00"}\n')
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [revenue], due: "07:00"}\n',
    )
    for day in ("2025-03-01", "2025-03-02"):
        deliver(root, day)
        os.utime(root / f"landing/orders_{day}.csv", (1_740_000_000,) * 2)
    for day in ("02", "03", "04", "05"):
        headrace(root, "tick", "--now", f"2025-03-{day}T08:00")
    with serving(root) as server, Site(seen[0].browser, server).page() as page:
        told = response(root, "why", "report")
        incident = response(root, "incidents")[0]
        assert incident["affected"]["partitions"] == ["2025-03-03", "2025-03-04"]
        open_page(page, f"/incidents/{incident['id']}")
        chart = page.get_by_role("group", name="Expected arrivals")
        for day in incident["affected"]["partitions"]:
            expect(chart.get_by_role("button", name=re.compile(f"{day}: missing"))).to_be_visible()
        expect(page.get_by_text("Headrace goes on by itself")).to_be_visible()
        expect(page.get_by_text("Nothing has to be done")).to_have_count(0)
        open_page(page, "/consumers/report")
        assert told["interval"] == "2025-03-03"
        expect(
            page.get_by_role("heading", name=f"Delay ledger of {told['interval']}")
        ).to_be_visible()
        expect(page.get_by_text(told["verdict"], exact=True)).to_be_visible()


def test_an_incident_of_failed_code_shows_the_error_its_line_and_the_traceback(
    seen: tuple[Site, Path], tmp_path: Path
) -> None:
    """Would catch: an engineer who has to look for the run, the attempt and the log of what an
    incident is about.
    """
    root = project(tmp_path / "shop")
    code = (
        "from headrace import asset\n\n@asset(owner='core', partition='day',"
        " inputs=['orders'])\ndef breaks(ctx, orders):\n"
    )
    write(
        root / "assets/breaks.py",
        code
        + "    print('step\\n' * 60 + 'about to \\x1b[1;31mbreak\\x1b[0m; turned \\u202e around')\n    raise ValueError('no such <b>thing</b>')\n",
    )
    write(
        root / "consumers.yaml",
        '- {consumer: report, owner: core, reads: [breaks], due: "07:00"}\n',
    )
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    with serving(root) as server, Site(seen[0].browser, server).page() as page:
        open_page(page, "/incidents/INC-1")
        panel = page.get_by_role("region", name="Failed attempt")
        expect(panel).to_contain_text("no such <b>thing</b>")
        expect(panel).to_contain_text("assets/breaks.py:6")
        expect(panel).to_contain_text("breaks 2025-03-01")
        expect(panel).to_contain_text("about to break")
        expect(panel).to_contain_text("Traceback")
        code = panel.get_by_role("group", name="Code at assets/breaks.py:6")
        expect(code.locator("li[data-failing]")).to_contain_text("raise ValueError(")
        expect(panel.locator(".ansi-red", has_text="break")).to_be_visible()
        expect(panel).to_contain_text(r"turned \u202e around")
        assert panel.get_by_role("group", name="Log before it").evaluate(
            "box => box.scrollTop > 0 && box.scrollTop + box.clientHeight >= box.scrollHeight - 1"
        ), "the last lines are seen first"
        expect(panel).to_contain_text("headrace try breaks@2025-03-01")
        expect(page.get_by_role("region", name="Inputs")).to_contain_text("2025-03-01")
        expect(page.get_by_role("region", name="Changes since")).to_contain_text("no good run")
        expect(page.get_by_text("A machine can repair it")).to_have_count(0)
        accessible(page, "incident")
        panel.get_by_role("link", name="Retry…").click()
        dialog = page.get_by_role("dialog", name="Retry: breaks")
        dialog.get_by_role("button", name="Retry").click()
        expect(dialog).to_contain_text("no such <b>thing</b>")


def test_a_log_has_colours_errors_to_jump_to_and_hits_among_their_neighbours(
    seen: tuple[Site, Path], tmp_path: Path
) -> None:
    """Would catch: escape sequences instead of colours; markup that runs; an error that has to be
    looked for in thousands of lines; a hit without what led to it.
    """
    root = project(tmp_path / "shop")
    write(
        root / "assets/prints.py",
        "from headrace import asset\n\n@asset(owner='core', partition='day', inputs=['orders'])\n"
        "def prints(ctx, orders):\n"
        "    for n in range(1, 3001):\n"
        "        text = '\\x1b[31mERROR\\x1b[0m: <img src=x onerror=document.title=1>'\n"
        "        print(text if n in (1500, 2500) else f'\\x1b[2mline\\x1b[0m {n} \\u200b \\u202e')\n"
        "    return orders\n",
    )
    write(
        root / "consumers.yaml",
        "- {consumer: report, owner: core, reads: [prints], max_age: 30h}\n",
    )
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    attempt = next(row for row in response(root, "runs") if row["node"] == "prints")
    address = f"/runs/{attempt['run_id']}?attempt={attempt['attempt']}"
    with serving(root) as server, Site(seen[0].browser, server).page() as page:
        open_page(page, address)
        lines = page.get_by_role("group", name="Lines")
        expect(lines.get_by_role("listitem").first).to_contain_text(r"line 1 \u200b \u202e")
        expect(lines.locator(".ansi-faint").first).to_have_text("line")
        page.get_by_role("button", name="First error").click()
        page.wait_for_url(re.compile("line=1500"))
        chosen = lines.locator("[data-chosen]")
        expect(chosen).to_contain_text("ERROR: <img src=x onerror=document.title=1>")
        expect(chosen).to_be_in_viewport()
        accessible(page, "log")
        page.get_by_role("button", name="Next error").click()
        page.wait_for_url(re.compile("line=2500"))
        expect(chosen.get_by_role("link", name="Line 2500")).to_be_visible()
        page.get_by_role("button", name="Next error").click()
        expect(page.get_by_text("No further error")).to_be_visible()
        page.get_by_label("Lines that contain").fill("ERROR:")
        page.get_by_role("button", name="Search", exact=True).click()
        expect(lines.get_by_role("listitem")).to_have_count(10)
        expect(page.get_by_text("2 lines with it of 3,000 lines")).to_be_visible()
        expect(lines.locator("mark")).to_have_text(["ERROR", ":", "ERROR", ":"])
        expect(lines.locator("[data-gap]")).to_have_count(1)
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        text = download.value.path().read_text(encoding="utf-8")
        assert download.value.suggested_filename == f"log-{attempt['attempt']}.txt"
        assert text.count("\n") == 3000
