"""What an edit of the project's own files holds is theirs who wrote it, and ends with the next
edit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab, built_once

from headrace.incidents.updates import owner_of
from headrace.model.causes import CauseKind

SOURCE = "source: orders\nowner: acme\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
BY_DAY = "partition: {by: day, column: day}"
OWNERS = (
    "core: {kind: team, contact: ['mailto:core@example.com']}\nacme: {kind: vendor, manager:"
    " core}\n"
)


def contract(amount: str, more: str = "") -> str:
    columns = "".join(
        f"      - {{name: {name}, physicalType: '{kind}'{more if name == 'amount' else ''}}}\n"
        for name, kind in (
            ("order_id", "BIGINT"),
            ("customer", "VARCHAR"),
            ("amount", amount),
            ("day", "DATE"),
        )
    )
    return (
        "apiVersion: v3.1.0\nkind: DataContract\nid: orders\nversion: 1.0.0\nstatus:"
        f" active\nschema:\n  - name: orders\n    properties:\n{columns}"
    )


@built_once
def lab(root: Path) -> Lab:
    """A day that was published by the contract."""
    made = begun(root, "DOUBLE", "sum(amount)")
    made.orders(DAYS[0])
    made.tick()
    return made


def begun(root: Path, amount: str, total: str) -> Lab:
    """A project with a contract, without a delivery."""
    made = Lab(root)
    (made.root / "contracts").mkdir()
    made.write("owners.yaml", OWNERS)
    made.write("sources/orders.yaml", f"{SOURCE}contract: orders\n")
    made.write("contracts/orders.odcs.yaml", contract(amount))
    made.sql("totals", f"select day, {total} as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    return made


def apply(lab: Lab) -> Any:
    lab.now += timedelta(minutes=1)
    return lab.headrace("apply", "--yes", "--now", lab.now.isoformat())


@pytest.mark.long
def test_a_type_that_the_contract_narrows_is_no_vendors_change(lab: Lab) -> None:
    """Would catch: a vendor that is asked for another file, since somebody here wrote
    DECIMAL(3,2).
    """
    lab.write("contracts/orders.odcs.yaml", contract("DECIMAL(3,2)"))
    apply(lab)
    lab.orders(DAYS[1], amount="14.25")
    run = lab.tick()
    assert [(item.asset, item.state) for item in run.rejected] == [("orders", "held")]
    (repair,) = run.repairs
    assert (repair.first or "").startswith("correct contracts/orders.odcs.yaml:11, or ask acme")
    assert repair.commands == ["headrace apply", "headrace tick"]
    (incident,) = lab.headrace("incidents")
    cause = incident["cause"]
    assert (cause["kind"], cause["columns"], incident["owner"]) == (
        "configuration_error",
        ["amount"],
        "core",
    )
    assert (
        cause["summary"]
        == "amount is declared DECIMAL(3,2) at contracts/orders.odcs.yaml:11, and delivered as"
        " DOUBLE"
    )
    assert incident["repair"]["first"] == "correct contracts/orders.odcs.yaml:11"

    lab.write("contracts/orders.odcs.yaml", contract("DOUBLE"))
    lab.now += timedelta(minutes=1)
    planned = lab.headrace("plan", "--now", lab.now.isoformat())
    assert [
        (step["node"], step["partitions"]) for step in planned["steps"] if step["kind"] == "remap"
    ] == [("orders", 1)]
    apply(lab)
    assert {(item.asset, item.partition) for item in lab.tick().published} == {
        ("orders", DAYS[1]),
        ("totals", DAYS[1]),
    }
    assert lab.headrace("incidents") == []
    assert lab.headrace("quarantine") == []


@pytest.mark.long
def test_values_that_no_declaration_ever_allowed_are_the_vendors(lab: Lab) -> None:
    """Would catch: a vendor's text in an amount that is put down to an edit of the same day."""
    lab.write("contracts/orders.odcs.yaml", contract("DECIMAL(9,2)"))
    apply(lab)
    lab.orders(DAYS[1], amount="n/a")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["owner"]) == ("type_change", "acme")
    assert incident["cause"]["evidence"][0]["expected"] == "DECIMAL(9,2)"


@pytest.mark.long
def test_values_that_break_a_declaration_others_kept_are_the_vendors(lab: Lab) -> None:
    """Would catch: an edit of last month that is blamed for what a vendor sends today."""
    lab.write("contracts/orders.odcs.yaml", contract("DECIMAL(3,2)"))
    apply(lab)
    lab.orders(DAYS[1], amount="1.25")
    lab.tick()
    lab.orders(DAYS[2], amount="14.25")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["owner"]) == ("type_change", "acme")


def commas(lab: Lab, day: str) -> None:
    lab.deliver(
        day, [f'{n},c{n},"{n},25",{day}' for n in range(1, 11)], "order_id,customer,amount,day"
    )


@pytest.mark.long
def test_an_incident_ends_with_the_type_that_somebody_accepts(lab: Lab) -> None:
    """Would catch: the type that a vendor changed, accepted, and the same delivery told once more
    as another change of the vendor's, open for a day."""
    lab.write("contracts/orders.odcs.yaml", contract("INTEGER"))
    apply(lab)
    lab.orders(DAYS[1], amount="3")
    lab.tick()
    commas(lab, DAYS[2])
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["owner"]) == ("type_change", "acme")
    lab.write("contracts/orders.odcs.yaml", contract("DOUBLE"))
    apply(lab)
    assert {(item.asset, item.partition) for item in lab.tick().published} >= {("orders", DAYS[2])}
    (over,) = lab.headrace("incidents", "--all")
    assert (over["id"], over["state"]) == (incident["id"], "resolved")
    assert over["ended"].startswith("Changed by ")
    commas(lab, DAYS[3])
    lab.tick()
    assert lab.headrace("incidents") == []


@pytest.mark.long
def test_a_type_that_published_values_can_take_is_given_to_them(lab: Lab) -> None:
    """Would catch: a delivery that fails, since the contract declares text for what has been a
    number."""
    lab.orders(DAYS[1], amount="n/a")
    lab.tick()
    lab.sql("totals", "select day, count(amount) as total from orders group by all")
    lab.write("contracts/orders.odcs.yaml", contract("VARCHAR"))
    apply(lab)
    assert {(item.asset, item.partition) for item in lab.tick().published} == {
        ("orders", DAYS[1]),
        ("totals", DAYS[1]),
    }
    assert lab.headrace("incidents") == []
    assert {row["amount"] for row in lab.read("orders")} == {"1.5", "n/a"}


@pytest.mark.long
@pytest.mark.parametrize("delivered", [commas, Lab.orders])
def test_a_type_that_published_values_cant_take_is_no_vendors_failure(
    tmp_path: Path, delivered: Callable[[Lab, str], None]
) -> None:
    """Would catch: "code_error", and a vendor that has to answer for a type that somebody here
    declared and that published values don't fit, whatever the next file looks like."""
    lab = begun(tmp_path / "q", "VARCHAR", "count(amount)")
    for day in DAYS[:2]:
        commas(lab, day)
        lab.tick()
    lab.write("contracts/orders.odcs.yaml", contract("DOUBLE"))
    apply(lab)
    delivered(lab, DAYS[2])
    (attempt,) = lab.tick().attempts
    assert attempt.error is not None
    assert (attempt.error.hint or "").startswith("declare the type again"), "recomputing can't help"
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["owner"]) == ("configuration_error", "core")
    assert (
        "contracts/orders.odcs.yaml:11: column `amount` of table `orders` is to become DOUBLE, and"
        " published values can't be written so" in incident["cause"]["summary"]
    )
    first = "do what its error asks, or correct contracts/orders.odcs.yaml:11"
    assert incident["repair"]["first"] == first
    lab.write("contracts/orders.odcs.yaml", contract("VARCHAR"))
    apply(lab)
    assert ("orders", DAYS[2]) in {(item.asset, item.partition) for item in lab.tick().published}
    assert lab.headrace("incidents") == []


@pytest.mark.long
@pytest.mark.parametrize("where", ["contract", "source"])
def test_a_check_that_is_taken_back_lets_pass_what_it_held(lab: Lab, where: str) -> None:
    """Would catch: what an own check rejected, and that waits for ever once it isn't declared any
    more.
    """
    if where == "contract":
        lab.write("contracts/orders.odcs.yaml", contract("DOUBLE", ", unique: true"))
    else:
        lab.write(
            "sources/orders.yaml", f"{SOURCE}contract: orders\nchecks:\n  - unique: [amount]\n"
        )
    apply(lab)
    lab.orders(DAYS[1])
    assert [item.state for item in lab.tick().rejected] == ["rejected"]
    lab.write("contracts/orders.odcs.yaml", contract("DOUBLE"))
    lab.write("sources/orders.yaml", f"{SOURCE}contract: orders\n")
    assert apply(lab)["backfills"] == [], "the next pass ingests it: a backfill would make nothing"
    assert {(item.asset, item.partition) for item in lab.tick().published} == {
        ("orders", DAYS[1]),
        ("totals", DAYS[1]),
    }
    assert lab.headrace("incidents") == []


@pytest.mark.long
def test_a_check_that_published_deliveries_would_fail_is_our_own(lab: Lab) -> None:
    """Would catch: a vendor asked "for the file as it was agreed", since somebody here wrote a
    limit that no file ever kept.
    """
    lab.write(
        "sources/orders.yaml",
        f"{SOURCE}contract: orders\nchecks:\n  - range: {{column: amount, min: 100}}\n",
    )
    apply(lab)
    for day in DAYS[1:3]:
        lab.orders(day)
        (repair,) = lab.tick().repairs
        assert (repair.first or "").startswith("correct sources/orders.yaml:7, or ask acme")
    (incident,) = lab.headrace("incidents")
    cause = incident["cause"]
    assert (cause["kind"], incident["owner"]) == ("configuration_error", "core")
    assert (
        cause["summary"] == "check range_amount fails, and would have failed before it was declared"
    )
    assert incident["repair"]["first"] == "correct sources/orders.yaml:7"


@pytest.mark.long
def test_a_number_of_rows_that_no_delivery_ever_had_is_asked_of_nobody_outside(lab: Lab) -> None:
    """Would catch: a vendor asked for another file, since somebody here allowed fewer rows than
    ever came; "1 of 10 rows fail", of rows that are only too many."""
    lab.write(
        "sources/orders.yaml", f"{SOURCE}contract: orders\nchecks:\n  - row_count: {{max: 9}}\n"
    )
    apply(lab)
    lab.orders(DAYS[1])
    (repair,) = lab.tick().repairs
    assert (repair.first or "").startswith("correct sources/orders.yaml:7, or ask acme")
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["owner"]) == ("configuration_error", "core")
    assert incident["cause"]["evidence"][0]["observed"].startswith(
        "10 rows, at most 9 expected, as what was published before"
    )


@pytest.mark.long
def test_too_few_rows_for_a_number_that_was_always_kept_are_the_vendors(lab: Lab) -> None:
    """Would catch: each number of rows that is new put down to who wrote it."""
    lab.write(
        "sources/orders.yaml", f"{SOURCE}contract: orders\nchecks:\n  - row_count: {{min: 10}}\n"
    )
    apply(lab)
    lab.orders(DAYS[1], n=4)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["owner"]) == ("volume_anomaly", "acme")
    assert "4 rows, at least 10 expected" in [
        item["observed"] for item in incident["cause"]["evidence"]
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("column", "promise"), [("amount", "unique: true"), ("customer", "required: true")]
)
def test_a_promise_that_no_delivery_ever_kept_is_ours_who_added_it_to_the_contract(
    lab: Lab, column: str, promise: str
) -> None:
    """Would catch: a vendor blamed since somebody here made its contract stricter, though its data
    is as it always was."""

    def deliver(day: str) -> None:
        lab.deliver(day, [f"{day[-2:]}{i},{'c' if i else ''},1.50,{day}" for i in range(10)])

    deliver(DAYS[1])
    lab.tick()
    text = contract("DOUBLE")
    line = next(
        n for n, item in enumerate(text.splitlines(), start=1) if f"name: {column}," in item
    )
    lab.write(
        "contracts/orders.odcs.yaml",
        text.replace(f"name: {column},", f"name: {column}, {promise},"),
    )
    apply(lab)
    deliver(DAYS[2])
    (repair,) = lab.tick().repairs
    assert (repair.first or "").startswith(
        f"correct contracts/orders.odcs.yaml:{line}, or ask acme"
    )
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["owner"]) == ("configuration_error", "core")
    assert "would have failed before it was declared" in incident["cause"]["summary"]
    assert incident["repair"]["first"] == f"correct contracts/orders.odcs.yaml:{line}"
    lab.write("contracts/orders.odcs.yaml", text)
    apply(lab)
    assert DAYS[2] in {item.partition for item in lab.tick().published}


@pytest.mark.long
def test_a_column_that_was_never_empty_before_stays_the_vendors_beside_a_promise_of_ours(
    lab: Lab,
) -> None:
    """Would catch: a vendor's nulls in one required column put down to whoever required another one
    today."""
    text = contract("DOUBLE").replace("name: order_id,", "name: order_id, required: true,")
    lab.write("contracts/orders.odcs.yaml", text)
    apply(lab)
    lab.deliver(DAYS[1], [f"{i},{'c' if i else ''},1.50,{DAYS[1]}" for i in range(10)])
    lab.tick()
    lab.write(
        "contracts/orders.odcs.yaml",
        text.replace("name: customer,", "name: customer, required: true,"),
    )
    apply(lab)
    lab.deliver(DAYS[2], [f"{i or ''},c,1.50,{DAYS[2]}" for i in range(10)])
    lab.tick()
    assert [item["owner"] for item in lab.headrace("incidents")] == ["acme"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("check", "is_own"),
    [("range: {column: total, max: 0.5}", True), ("range: {column: total, max: 1000}", False)],
)
def test_a_check_of_an_asset_that_published_rows_would_fail_is_its_owners(
    lab: Lab, check: str, is_own: bool
) -> None:
    """Would catch: data that is said to have shifted, since somebody declared what it never kept;
    and a check that is to be corrected, since the first wrong data came after it was declared."""
    lab.sql(
        "totals",
        "select day, sum(amount) as total from orders group by all",
        f"{BY_DAY}\nchecks: [{{{check}}}]",
    )
    apply(lab)
    lab.orders(DAYS[1], amount="14.25" if is_own else "9999.00")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"] == "configuration_error") is is_own
    if not is_own:
        return
    assert incident["owner"] == "core"
    assert (
        incident["cause"]["summary"]
        == "check range_total fails, and would have failed before it was declared"
    )
    assert incident["repair"]["first"] == "correct assets/totals.sql:4"
    lab.sql("totals", "select day, sum(amount) as total from orders group by all", BY_DAY)
    apply(lab)
    lab.tick()
    assert lab.headrace("incidents") == []


@pytest.mark.long
def test_a_check_that_published_deliveries_pass_is_the_vendors(lab: Lab) -> None:
    """Would catch: every check that is new put down to who wrote it."""
    lab.write(
        "sources/orders.yaml",
        f"{SOURCE}contract: orders\nchecks:\n  - range: {{column: amount, min: 0}}\n",
    )
    apply(lab)
    lab.orders(DAYS[1], amount="-3.25")
    lab.tick()
    assert [item["owner"] for item in lab.headrace("incidents")] == ["acme"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("max_age", "day", "is_own"), [("2h", DAYS[1], True), ("36h", DAYS[0], False)]
)
def test_an_age_that_no_delivery_ever_had_is_asked_of_nobody_outside(
    lab: Lab, max_age: str, day: str, is_own: bool
) -> None:
    """Would catch: a vendor asked for newer data, since somebody here declared an age that each
    delivery exceeds; old data put down to who declared the age that all data before it kept."""
    lab.write(
        "sources/orders.yaml",
        f"{SOURCE}contract: orders\nchecks:\n  - freshness: {{column: day, max_age: {max_age}}}\n",
    )
    apply(lab)
    lab.deliver(DAYS[1], [f"9{i},d{i % 3},2.50,{day}" for i in range(10)])
    lab.tick()
    (incident,) = lab.headrace("incidents")
    cause = incident["cause"]
    expected = ("configuration_error", "core") if is_own else ("stale_data", "acme")
    assert (cause["kind"], incident["owner"]) == expected, cause
    if is_own:
        assert (
            cause["summary"]
            == "check freshness_day fails, and would have failed before it was declared"
        )


@pytest.mark.long
@pytest.mark.parametrize("more", [", unique: true", ", required: true", ", classification: secret"])
def test_what_a_contract_says_of_a_column_besides_its_type_is_applied(lab: Lab, more: str) -> None:
    """Would catch: a column that is classified in the file, and whose values are kept and shown all
    the same.
    """
    lab.write("contracts/orders.odcs.yaml", contract("DOUBLE", more))
    assert lab.headrace("status")["not_applied"] == 1
    assert apply(lab)["state"] == "applied"
    assert lab.headrace("status")["not_applied"] == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "owners", "owner"),
    [
        (CauseKind.DATA_CORRUPTED, OWNERS, "core"),
        (CauseKind.CONFIGURATION_ERROR, OWNERS, "core"),
        (CauseKind.TYPE_CHANGE, OWNERS, "acme"),
        (CauseKind.DATA_CORRUPTED, OWNERS.replace(", manager: core", ""), "headrace"),
    ],
)
def test_no_vendor_owns_what_nobody_outside_did(
    lab: Lab, kind: CauseKind, owners: str, owner: str
) -> None:
    """Would catch: a vendor that is written to over a file of the lake that was deleted here."""
    lab.write("owners.yaml", owners)
    apply(lab)
    assert owner_of(lab.session().project(), "orders", kind) == owner


@pytest.mark.long
def test_names_of_a_delivery_that_was_replaced_are_not_offered(lab: Lab) -> None:
    """Would catch: "accept the new names" of a delivery whose names are as agreed, since the one
    before it had others.
    """
    lab.write("contracts/orders.odcs.yaml", contract("DOUBLE", ", unique: true"))
    apply(lab)
    lab.deliver(
        DAYS[1],
        [f"{n},c{n},{n}.25,{DAYS[1]}" for n in range(10)],
        "order_id,customer,amount_eur,day",
    )
    (repair,) = lab.tick().repairs
    assert "accept the new names" in (repair.first or "")
    lab.orders(DAYS[1], n=20)
    (repair,) = lab.tick().repairs
    assert (repair.first or "").startswith(
        "correct contracts/orders.odcs.yaml:11, or ask acme for data as it says"
    )
    assert repair.commands == ["headrace apply", "headrace tick"]


EDITS = {
    "type": (
        "contracts/orders.odcs.yaml",
        contract("DECIMAL(3,2)"),
        contract("DOUBLE"),
        "amount is declared DECIMAL(3,2)",
    ),
    "range": (
        "sources/orders.yaml",
        f"{SOURCE}contract: orders\nchecks:\n  - range: {{column: amount, min: 100}}\n",
        f"{SOURCE}contract: orders\n",
        "check range_amount fails",
    ),
    "unique": (
        "sources/orders.yaml",
        f"{SOURCE}contract: orders\nchecks:\n  - unique: [customer]\n",
        f"{SOURCE}contract: orders\n",
        "check unique_customer fails",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("edit", EDITS)
def test_a_wait_over_our_own_declaration_is_charged_to_its_owner(lab: Lab, edit: str) -> None:
    """Would catch: a vendor charged with hours in which its file was as agreed, and a check of ours
    rejected it.
    """
    path, wrong, right, summary = EDITS[edit]
    lab.write(path, wrong)
    apply(lab)
    lab.orders(DAYS[1], amount="14.25")
    lab.tick()
    lab.now += timedelta(hours=3)

    def told() -> None:
        for subject in ("report@", "orders@"):
            response = lab.headrace("why", subject + DAYS[1], "--now", lab.now.isoformat())
            (hold,) = [item for item in response["segments"] if item["kind"] == "hold"]
            assert (hold["incident"], hold["note"].startswith(summary)) == ("INC-1", True)
            charged = sum(item["seconds"] for item in response["shares"] if item["owner"] == "core")
            assert charged == pytest.approx(hold["seconds"], abs=5), (subject, response["shares"])

    told()
    lab.write(path, right)
    apply(lab)
    told()
    lab.tick()
    told()
