"""`headrace complexity` and `costs`: what can go, pruned and restored, and what work costs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clilab import GOOD, NOW, Project

COPY = (
    "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
    "select id, customer, amount, day from orders_clean\n"
)


def finding_ids(project: Project) -> set[str]:
    return {row["id"] for row in project.json("complexity")["findings"]}


def test_an_unread_asset_is_pruned_and_comes_back(shop: Project) -> None:
    """Would catch: a file that is deleted without a way back, or a plan that doesn't delete it."""
    place = shop.root / "assets/copy_of_orders.sql"
    place.write_text(COPY)
    shop.json("apply", "--yes")
    assert "unread_asset:copy_of_orders" in finding_ids(shop)
    pruned = shop.json("complexity", "prune", "unread_asset:copy_of_orders")
    assert pruned["deleted"] == ["assets/copy_of_orders.sql"]
    assert pruned["owners"] == ["core"]
    assert not place.exists()
    assert shop.json("apply", pruned["plan_id"], "--yes")["state"] == "applied"
    assert "unread_asset:copy_of_orders" not in finding_ids(shop)
    assert pruned["undo"].startswith("headrace complexity undo ")
    *_, version = pruned["undo"].split()
    restored = shop.json("complexity", "restore", version)
    assert restored["restored"] == ["assets/copy_of_orders.sql"]
    assert place.read_text() == COPY


def test_no_command_deletes_a_file_of_several_nodes(shop: Project) -> None:
    """Would catch: `optimize` naming a command that refuses, for the file declares other nodes."""
    several = COPY.replace(
        "owner: core", "owner: core\nname: copy_$value(n)\nfor_each: [{n: a}, {n: b}]"
    )
    (shop.root / "assets/copies.sql").write_text(several)
    commands = {
        row["asset"]: row["command"]
        for row in shop.json("optimize")
        if row["rule"] == "unread_asset"
    }
    assert (commands["copy_a"], commands["copy_b"]) == (None, None)
    assert commands["fails"] == "headrace complexity prune unread_asset:fails"


def _pruned(project: Project) -> tuple[Path, str]:
    """Prune an asset that nobody reads and has published data; return its file, and the version."""
    place = project.root / "assets/copy_of_orders.sql"
    place.write_text(COPY)
    project.json("apply", "--yes")
    project.text("tick", "--now", "2025-03-07T06:00+01:00")
    pruned = project.json("complexity", "prune", "unread_asset:copy_of_orders")
    return place, pruned["undo"].split()[-1]


def _rows(project: Project) -> list[Any]:
    rows = project.json("read", "copy_of_orders", "--limit", "10000")["rows"]
    return sorted(str(sorted(row.items())) for row in rows)


def test_one_command_takes_a_prune_back_with_its_data(shop: Project) -> None:
    """Would catch: data that is gone or computed again after the undo, a delivery of the time in
    between that is never computed, or a file that isn't byte for byte what was deleted."""
    place, version = _pruned(shop)
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state:
        query = "select count(*), min(id), max(id) from publication where node = 'copy_of_orders'"
        before = state.execute(query).fetchone()
    assert before[0] >= 3
    shop.json("apply", "--yes")
    assert "copy_of_orders" not in {row["name"] for row in shop.json("ls")}
    shop.text("tick", "--now", "2025-03-07T07:00+01:00")
    undone = shop.json("complexity", "undo", version, "--yes")
    assert undone["state"] == "applied"
    assert place.read_text() == COPY
    assert shop.json("plan")["steps"] == []
    rows = _rows(shop)
    assert rows
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state:
        assert state.execute(query).fetchone() == before
    (shop.root / "landing/orders_2025-03-07.csv").write_text(
        (shop.root / "landing/orders_2025-03-03.csv").read_text().replace("-03-03", "-03-07")
    )
    shop.text("tick", "--now", "2025-03-08T07:00+01:00")
    assert len(_rows(shop)) > len(rows)


def test_undo_before_the_plan_is_applied(shop: Project) -> None:
    """Would catch: an undo that needs the prune to be applied first, one that applies other edits
    with it, and files left behind by an undo that nobody confirmed."""
    place, version = _pruned(shop)
    assert shop.json("complexity", "undo", version, "--yes")["state"] == "nothing"
    assert place.read_text() == COPY
    assert "nothing has to be undone" in shop.refused("complexity", "undo", version, code=3)
    place.unlink()
    shop.json("apply", "--yes")
    revenue = shop.root / "assets/revenue.sql"
    text = revenue.read_text()
    revenue.write_text(text.replace("sum(amount)", "sum(amount + 0)"))
    error = shop.refused("complexity", "undo", version, "--yes", code=3)
    assert "assets/revenue.sql differs from what is applied, too" in error
    assert not place.exists()
    revenue.write_text(text)
    assert shop.call(shop.root, "complexity", "undo", version)[0] == 3  # nobody can be asked
    assert not place.exists()
    shop.refused("complexity", "undo", "999")


def test_a_prune_is_applied_by_the_one_command(shop: Project) -> None:
    """Would catch: files deleted although nobody agreed, or a prune that needs a second command."""
    place, _ = _pruned(shop)
    place.write_text(COPY)
    revenue = shop.root / "assets/revenue.sql"
    text = revenue.read_text()
    revenue.write_text(text.replace("sum(amount)", "sum(amount + 0)"))
    prune = ("complexity", "prune", "unread_asset:copy_of_orders", "--yes")
    assert "aren't applied" in shop.refused(*prune, code=3)
    assert place.exists()
    revenue.write_text(text)
    assert shop.json(*prune)["state"] == "applied"
    assert not place.exists()
    assert "copy_of_orders" not in {row["name"] for row in shop.json("ls")}


@pytest.mark.system
@pytest.mark.long
def test_pruned_data_ends_after_its_time(new: Project) -> None:
    """Would catch: data that stays for ever although its end is declared, or goes too early or
    silently; data of a declared node that goes with it; an undo that brings an empty asset back."""
    shop, place = new, new.root / "assets/copy_of_orders.sql"
    place.write_text(COPY)
    (shop.root / "landing").mkdir()
    for day in ("2025-03-05", "2025-03-06"):
        (shop.root / f"landing/orders_{day}.csv").write_text(
            "id,customer,amount,day\n" + GOOD.format(day)
        )
    shop.call(shop.root, "tick", "--now", DAY)
    assert _visible_rows(shop, "copy_of_orders") > 0
    assert shop.json("plan", "--now", DAY)["pruned"] == []
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text() + '[retention]\npruned = "20d"\n')
    shop.json("apply", "--yes", "--now", DAY)
    *_, version = shop.json("complexity", "prune", "unread_asset:copy_of_orders", "--now", DAY)[
        "undo"
    ].split()
    page = shop.text("plan", "--now", DAY)
    assert "the data of copy_of_orders stays (" in page
    assert "for 20d, then maintenance removes it for good" in page
    (row,) = shop.json("plan", "--now", DAY)["pruned"]
    assert (row["node"], row["keep"]) == ("copy_of_orders", "20d")
    shop.json("apply", "--yes", "--now", DAY)
    early, late = "2025-03-26T08:00+01:00", "2025-03-29T08:00+01:00"
    shop.call(shop.root, "tick", "--now", early)
    shop.text("db", "gc", "--now", early)
    assert _visible_rows(shop, "copy_of_orders") > 0
    others = _visible_rows(shop, "orders_clean")
    shop.call(shop.root, "tick", "--now", late)
    shop.text("db", "gc", "--now", late)
    assert _visible_rows(shop, "copy_of_orders") == 0
    assert _visible_rows(shop, "orders_clean") == others > 0
    trail = shop.json("audit", "show", "--action", "data.retired")
    assert "copy_of_orders" in str(trail) and "20d" in str(trail)
    error = shop.refused("complexity", "undo", version, "--yes", "--now", late, code=3)
    assert "too late to undo" in error and "copy_of_orders" in error
    assert not place.exists()


def test_a_prune_of_an_asset_without_rows_can_be_undone(shop: Project) -> None:
    """Would catch: an asset whose rows were never any taken for one whose rows were removed."""
    place = shop.root / "assets/copy_of_orders.sql"
    place.write_text(f"{COPY}where id < 0\n")
    shop.json("apply", "--yes")
    shop.text("tick", "--now", "2025-03-07T06:00+01:00")
    assert _visible_rows(shop, "copy_of_orders") == 0
    *_, version = shop.json("complexity", "prune", "unread_asset:copy_of_orders")["undo"].split()
    shop.json("apply", "--yes")
    assert shop.json("complexity", "undo", version, "--yes")["state"] == "applied"
    assert place.exists()


DAY = "2025-03-07T08:00+01:00"


def _visible_rows(project: Project, node: str) -> int:
    with closing(sqlite3.connect(project.root / ".headrace/state.db")) as state:
        query = "select coalesce(sum(rows), 0) from publication where node = ? and ended_snapshot is null"
        (rows,) = state.execute(query, (node,)).fetchone()
    return int(rows)


def test_what_is_read_or_edited_stays(shop: Project) -> None:
    """Would catch: a file deleted of which nobody has the contents, or that an asset still reads."""
    place = shop.root / "assets/copy_of_orders.sql"
    place.write_text(COPY)
    (shop.root / "assets/copy_again.sql").write_text(COPY.replace("orders_clean", "copy_of_orders"))
    shop.json("apply", "--yes")
    error = shop.refused("complexity", "prune", "unread_asset:copy_of_orders", code=3)
    assert "copy_again reads copy_of_orders" in error
    assert place.exists()
    both = ("unread_asset:copy_of_orders", "unread_asset:copy_again")
    place.write_text(COPY + "-- edited\n")
    assert "isn't as it was applied" in shop.refused("complexity", "prune", *both, code=3)
    shop.refused("complexity", "prune", "unread_asset:nothing")


def test_an_asset_that_passes_its_input_on_is_listed(shop: Project) -> None:
    """Would catch: an asset that filters or counts called a copy; hops that can't be left out."""
    text = (shop.root / "assets/revenue.sql").read_text()
    (shop.root / "assets/plain.sql").write_text(COPY)
    (shop.root / "assets/positive.sql").write_text(COPY.rstrip() + " where amount > 0\n")
    (shop.root / "assets/revenue.sql").write_text(text.replace("from orders_clean", "from plain"))
    shop.json("apply", "--yes")
    response = shop.json("complexity")
    ids = {row["id"] for row in response["findings"]}
    assert "pass_through:plain" in ids
    assert "pass_through:positive" not in ids
    assert (
        response["hops"]["morning-report"]["least"] < response["hops"]["morning-report"]["actual"]
    )
    assert len(response["trend"]) == 2


def test_optimize_follows_the_history(shop: Project) -> None:
    """Would catch: advice without stored sizes, reads and hashes, or a crash where there are some."""
    (shop.root / "assets/plain.sql").write_text(COPY)
    again = "select 'x' as extra, day, sum(amount) as revenue, count(*) as orders from"
    (shop.root / "assets/again.sql").write_text(
        f"/* headrace\nowner: core\npartition: {{by: day, column: day}}\n*/\n{again}"
        " orders_clean group by day\n"
    )
    (shop.root / "assets/total.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect sum(revenue) as revenue from again\n"
    )
    (shop.root / "consumers.yaml").write_text(
        "- {consumer: board, owner: core, reads: [total], max_age: 30h}\n"
        "- {consumer: copies, owner: core, reads: [plain], max_age: 30h}\n"
    )
    shop.json("apply", "--yes")
    shop.call(shop.root, "run", "plain", "--now", NOW)
    rows = {(row["asset"], row["rule"]): row for row in shop.json("optimize", "--now", NOW)}
    unread = rows["again", "unread_column"]
    assert set(unread["columns"]) == {"extra", "orders"}
    assert (unread["kind"], unread["verdict"]) == ("drop_column", "unknown")
    assert "- select" not in unread["diff"]
    assert rows["plain", "pass_through"]["kind"] == "merge_assets"
    assert rows["fails", "unread_asset"]["command"].startswith("headrace complexity prune")
    assert {row["asset"] for row in shop.json("optimize", "plain", "--now", NOW)} == {"plain"}


def test_costs_add_up_and_need_no_rates(shop: Project) -> None:
    """Would catch: groups that disagree about the whole, and money without a rate."""
    totals = set()
    for by in ("asset", "consumer", "owner", "domain", "run", "incident", "backfill"):
        response = shop.json("costs", "--by", by)
        assert (
            abs(
                sum(row["slot_seconds"] for row in response["rows"])
                - response["total"]["slot_seconds"]
            )
            < 0.05
        ), by
        assert response["currency"] is None
        assert {row["cost"] for row in response["rows"]} == {None}
        totals.add(response["total"]["slot_seconds"])
    assert len(totals) == 1
    wasted = {row["of"] for row in shop.json("costs", "--by", "waste")["rows"]}
    assert "retry" in wasted
    shop.refused("costs", "--by", "colour")


def test_what_only_a_check_needs_is_not_waste(shop: Project) -> None:
    """Would catch: costs that call an asset unread, and findings that don't."""
    customers = "/* headrace\nowner: core\n*/\nselect distinct customer from orders\n"
    (shop.root / "assets/customers.sql").write_text(customers)
    place = shop.root / "assets/orders_clean.sql"
    needs = "  - unique: [id]\n  - references: {column: customer, to: customers.customer}\n"
    place.write_text(place.read_text().replace("  - unique: [id]\n", needs))
    shop.json("apply", "--yes")
    shop.call(shop.root, "run", "customers", "--now", NOW)
    costs = {row["of"]: row["slot_seconds"] for row in shop.json("costs", "--now", NOW)["rows"]}
    assert costs["customers"] > 0
    waste = {row["of"]: row for row in shop.json("costs", "--by", "waste", "--now", NOW)["rows"]}
    assert "unread_asset:fails" in finding_ids(shop)
    assert "unread_asset:customers" not in finding_ids(shop)
    assert waste.get("unread", {"byte_months": 0})["byte_months"] == 0


def test_rates_and_budgets_are_declared(shop: Project) -> None:
    """Would catch: a typing error in a rate that makes everything free."""
    settings = shop.root / "headrace.toml"
    text = settings.read_text()
    rates = '[costs]\ncurrency = "EUR"\nslot_hour = 3600\nbudget_month = 0.001\n'
    settings.write_text(text + rates)
    response = shop.json("costs")
    assert response["currency"] == "EUR"
    assert response["total"]["cost"] > 0
    (budget,) = response["budgets"]
    assert budget["state"] == "exceeded"
    settings.write_text(text + rates.replace("3600", '"much"'))
    assert "slot_hour" in shop.text("validate", code=1)
    settings.write_text(text + rates.replace("EUR", "euros"))
    assert "currency" in shop.text("validate", code=1)


def test_a_young_project_is_measured_by_its_age(shop: Project) -> None:
    """Would catch: two days of work spread over a month, and two days of storage that count 30."""
    settings = shop.root / "headrace.toml"
    rates = '[costs]\ncurrency = "EUR"\nslot_hour = 3600\nbudget_month = 1000\n'
    settings.write_text(settings.read_text() + rates)
    response = shop.json("costs", "--now", NOW)
    of_a_day = shop.json("costs", "--window", "1d", "--now", NOW)["total"]["byte_months"]
    assert response["total"]["byte_months"] == pytest.approx(of_a_day * 2.08, rel=0.02)
    (budget,) = response["budgets"]
    assert budget["forecast"] == pytest.approx(budget["spent"] * (1 + 25.6 / 2.08), rel=0.02)


def test_files_out_of_reach_stay(new: Project, tmp_path: Path) -> None:
    """Would catch: a file deleted that can't come back, or one that isn't the project's."""
    place = new.root / "assets/copy_of_orders.sql"
    place.write_text(COPY)
    findings = [row for row in new.json("complexity")["findings"] if row["files"]]
    assert findings
    assert all(row["command"] is None for row in findings)
    prune = ("complexity", "prune", "unread_asset:copy_of_orders")
    assert "nothing is applied yet" in new.refused(*prune, code=3)
    new.json("apply", "--yes")
    shared = (new.root / "assets").rename(tmp_path / "shared")
    (new.root / "assets").symlink_to(shared, target_is_directory=True)
    assert "leads out of the project" in new.refused(*prune, code=3)
    assert (shared / "copy_of_orders.sql").read_text() == COPY


def test_nothing_has_run_yet(new: Project) -> None:
    """Would catch: a new project whose costs are an error, or whose assets all look unread."""
    assert new.json("costs")["total"]["slot_seconds"] == 0
    assert "no data" in new.text("costs")
    assert all(row["kind"] != "unread_column" for row in new.json("complexity")["findings"])


def test_the_same_code_proves_no_equal_rows(shop: Project) -> None:
    """Would catch: "proven" here and `unknown` in `optimize`, of one pair of assets."""
    for name in ("drawn", "drawn_too"):
        (shop.root / f"assets/{name}.sql").write_text(
            COPY.replace("select id", "select random() as drawn, id")
        )
    shop.json("apply", "--yes")
    rows = {row["id"]: row for row in shop.json("complexity")["findings"]}
    row = rows["duplicate:drawn_too"]
    assert row["evidence"] == "the same code and inputs as drawn"
    assert row["command"] == "headrace optimize drawn_too"
    (found,) = [row for row in shop.json("optimize", "drawn_too") if row["rule"] == "duplicate"]
    assert found["verdict"] == "unknown"
