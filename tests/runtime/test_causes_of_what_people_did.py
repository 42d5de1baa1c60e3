"""Causes after people did something: a repair that changed a contract, a release, asset code that
never worked. What is said then must not blame what they did, or send a machine to do a person's
work."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runlab import DAYS, Lab, built_once

from headrace.incidents.diagnosis.evidence import Evidence

SOURCE = (
    "source: orders\nowner: acme\npartition: day\n{more}files:"
    " {folder}/orders_{{date:%Y-%m-%d}}.csv\nexpect: {{by: '05:00'}}\n"
)
CONSUMER = "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n"
HEADER = "order_id,customer,amount,day"
FAILS = "def totals(ctx: Context, orders):\n    raise KeyError('amount')"
WORKS = "def totals(ctx: Context, orders):\n    return orders"


def rows(day: str) -> list[str]:
    return [f"{day[-2:]}{n},c{n % 3},{n}.50,{day}" for n in range(12)]


def declare(lab: Lab, *, folder: str = "landing", more: str = "") -> None:
    lab.write("sources/orders.yaml", SOURCE.format(folder=folder, more=more))


@built_once
def lab(root: Path) -> Lab:
    made = Lab(root)
    made.sql("totals", "select day, customer, sum(amount) as total from orders group by all")
    made.write("consumers.yaml", CONSUMER)
    declare(made)
    for day in DAYS[:2]:
        made.deliver(day, rows(day), HEADER)
    made.now = datetime.fromisoformat("2025-01-03T05:30:00+00:00")
    made.tick()
    return made


def next_morning(lab: Lab) -> None:
    lab.now = lab.now.replace(hour=8, minute=0) + timedelta(days=1)
    lab.tick()


def open_ones(lab: Lab) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = lab.headrace("incidents")
    return result


@pytest.mark.long
def test_a_file_that_is_missing_after_a_repair(lab: Lab) -> None:
    """Would catch: `configuration_error`, "correct sources/orders.yaml:1", for a file that nobody
    delivered, because a contract was changed by the repair of the day before."""
    lab.deliver(DAYS[2], rows(DAYS[2]), HEADER.replace("amount", "betrag"))
    next_morning(lab)
    (renamed,) = open_ones(lab)
    assert renamed["cause"]["kind"] == "schema_change"
    lab.headrace("fix", renamed["id"], "--yes")
    assert open_ones(lab) == []
    next_morning(lab)
    (missing,) = open_ones(lab)
    assert (missing["cause"]["kind"], missing["cause"]["node"]) == ("missing_source", "orders")
    assert missing["owner"] == "acme"


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"more": "description: 'orders of the day'\nrestate_within: 9d\n"}, "missing_source"),
        ({"folder": "inbox"}, "configuration_error"),
    ],
)
def test_what_a_redeclaration_is_to_blame_for(lab: Lab, changed: dict[str, str], kind: str) -> None:
    """Would catch: a description, a check or a promise blamed for a file that isn't there; a path
    that leads elsewhere not blamed for it."""
    declare(lab, **changed)
    (lab.root / "inbox").mkdir()
    lab.headrace("apply", "--yes")
    next_morning(lab)
    (result,) = open_ones(lab)
    assert (result["cause"]["kind"], result["cause"]["node"]) == (kind, "orders")
    moved = "nothing was delivered; version 2 changed where or when it is observed"
    assert (result["cause"]["summary"] == moved) == (kind == "configuration_error")


@pytest.mark.parametrize("by", ["04:40", "05:10"])
def test_another_promise_keeps_no_file_away(lab: Lab, by: str) -> None:
    """Would catch: "correct sources/orders.yaml:1" for a file that the vendor didn't send, because
    somebody here wrote down that it comes ten minutes earlier, or later."""
    lab.write("sources/orders.yaml", SOURCE.format(folder="landing", more="").replace("05:00", by))
    lab.headrace("apply", "--yes")
    next_morning(lab)
    (result,) = open_ones(lab)
    assert (result["cause"]["kind"], result["owner"]) == ("missing_source", "acme")


@pytest.mark.long
@pytest.mark.parametrize("partition", ["day", None])
@pytest.mark.parametrize("worked", [False, True])
def test_an_error_in_python_is_a_persons(
    tmp_path: Path, partition: str | None, worked: bool
) -> None:
    """Would catch: an error in code that never worked put down to the vendor's data; a repair by a
    machine that only looks again, of what comes out the same until somebody corrects the code."""
    lab = Lab(tmp_path / "p")
    lab.write("consumers.yaml", CONSUMER.replace("due: '07:00'", "max_age: 400d"))
    declared = {"inputs": ["orders"]} | ({"partition": partition} if partition else {})
    lab.python("totals", WORKS if worked else FAILS, **declared)
    lab.deliver(DAYS[0], rows(DAYS[0]), HEADER)
    lab.tick()
    if worked:
        lab.python("totals", FAILS, **declared)
        lab.headrace("apply", "--yes")
        lab.deliver(DAYS[1], rows(DAYS[1]), HEADER)
        lab.tick()
    (result,) = open_ones(lab)
    assert (result["cause"]["kind"], result["cause"]["node"]) == ("code_error", "totals")
    assert result["owner"] == "core"
    assert result["repair"]["first"].startswith("correct assets/totals.py")
    assert result["repair"]["command"] == "headrace apply"
    assert not result["repair"]["automatic"]


@pytest.mark.long
def test_code_that_fails_over_a_delivery_about_which_nothing_was_noticed(lab: Lab) -> None:
    """Would catch: a repair that computes the same again from the same."""
    body = "def checked(ctx: Context, orders):\n    assert_known(orders['customer'].to_pylist())\n"
    helper = (
        "    return orders\n\n\ndef assert_known(names):\n    dict.fromkeys(['c0', 'c1', 'c2'])\n"
    )
    look = "    for name in names:\n        {'c0': 1, 'c1': 1, 'c2': 1}[name]\n"
    lab.python("checked", body + helper + look, partition="day", inputs=["orders"])
    lab.headrace("apply", "--yes")
    lab.tick()
    next_morning_rows = [row.replace(",c1,", ",c9,") for row in rows(DAYS[2])]
    lab.now += timedelta(days=3)
    lab.deliver(DAYS[2], next_morning_rows, HEADER)
    lab.tick()
    (result,) = [item for item in open_ones(lab) if item["cause"]["kind"] == "schema_change"]
    assert "nothing was noticed at orders itself" in result["cause"]["summary"]
    assert result["repair"]["first"].startswith("ask acme whether the data of orders is as agreed")
    assert "correct assets/checked.py" in result["repair"]["first"]


@pytest.mark.long
@pytest.mark.parametrize("alike", [False, True])
def test_two_mistakes_over_one_source_are_two(lab: Lab, alike: bool) -> None:
    """Would catch: the vendor asked whether its data is as agreed, for two mistakes that have
    nothing in common; a source that isn't asked about where all that is made of it fails in the
    same way."""
    errors = {
        "counted": "RuntimeError('the quota is spent')",
        "listed": "ZeroDivisionError('division by zero')",
    }
    for name, error in errors.items():
        raised = errors["counted"] if alike else error
        body = (
            f"def {name}(ctx: Context, orders):\n    if str(ctx.partition) == '{DAYS[2]}':\n       "
            f" raise {raised}\n    return orders\n"
        )
        lab.python(name, body, partition="day", inputs=["orders"])
    lab.headrace("apply", "--yes")
    lab.tick()
    lab.now += timedelta(days=3)
    lab.deliver(DAYS[2], rows(DAYS[2]), HEADER)
    lab.tick()
    rest = [item for item in open_ones(lab) if item["cause"]["kind"] != "missing_source"]
    result = {(item["cause"]["kind"], item["cause"]["node"]) for item in rest}
    assert result == (
        {("unknown", "orders")} if alike else {("code_error", name) for name in errors}
    )
    if alike:
        (item,) = rest
        others = {"counted": "listed", "listed": "counted"}
        named = next(
            name for name in errors if f"correct assets/{name}.py" in item["repair"]["first"]
        )
        assert item["repair"]["first"].endswith(f"; likewise {others[named]}")
        assert repaired(item) == {"counted", "listed"}


def repaired(item: Any) -> set[str]:
    """The assets that the commands of an incident's repair compute again."""
    return {
        command.split()[2]
        for command in item["repair"]["commands"]
        if command.startswith("headrace backfill ")
    }


def test_a_mistake_that_several_assets_share_is_repaired_at_each(lab: Lab) -> None:
    """Would catch: one file and one command for an error that four assets raise, three of which
    stay as they are."""
    names = ["first", "second", "third", "fourth"]
    for name in names:
        raised = "raise ValueError('the rows do not add up')"
        body = (
            f"def {name}(ctx: Context, orders):\n    if str(ctx.partition) == '{DAYS[2]}':\n       "
            f" {raised}\n    return orders\n"
        )
        lab.python(name, body, partition="day", inputs=["orders"])
    lab.headrace("apply", "--yes")
    lab.tick()
    lab.deliver(DAYS[2], rows(DAYS[2]), HEADER)
    next_morning(lab)
    (item,) = open_ones(lab)
    assert (item["cause"]["kind"], len(set(names) - {item["cause"]["node"]})) == ("code_error", 3)
    assert repaired(item) == set(names)
    said = item["repair"]["first"].partition("; likewise ")[2]
    assert {item["cause"]["node"], *said.split(", ")} == set(names)


@pytest.mark.long
@pytest.mark.parametrize("left", ["customer = 'c1'", "false"])
def test_code_that_loses_groups_of_a_table_that_always_had_as_many(
    tmp_path: Path, left: str
) -> None:
    """Would catch: one of three groups a day left, or none, because the code was changed: published
    to readers without a word."""
    lab = Lab(tmp_path / "p")
    lab.write("consumers.yaml", CONSUMER)
    declare(lab)
    sql = "select day, customer, sum(amount) as total from orders group by all"
    lab.sql("totals", sql)
    lab.now = datetime.fromisoformat("2025-01-06T05:30:00+00:00")
    for number in range(9):
        day = (lab.now - timedelta(days=1)).date().isoformat()
        if number == 8:
            lab.sql("totals", f"select * from ({sql}) where {left}")
            lab.headrace("apply", "--yes")
        lab.deliver(day, rows(day), HEADER)
        lab.tick()
        assert [item["cause"]["kind"] for item in open_ones(lab)] == (
            ["code_error"] if number == 8 else []
        )
        lab.now += timedelta(days=1)
    (result,) = open_ones(lab)
    assert (result["cause"]["node"], result["cause"]["partition"]) == ("totals", day)
    said = f"{'1 row' if '=' in left else '0 rows'}, expected 3 rows"
    assert result["cause"]["summary"] == f"{said}; version 2 changed its code"


def test_code_that_gives_rows_of_another_day_is_to_blame_for_them(lab: Lab) -> None:
    """Would catch: `stale_data`, an earlier file again, of rows whose day asset code miscounts
    since it was changed; a file that is another day's once more, put down to that code."""
    lab.sql(
        "totals", "select day + 1 as day, customer, sum(amount) as total from orders group by all"
    )
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[2], rows(DAYS[2]), HEADER)
    next_morning(lab)
    (result,) = open_ones(lab)
    assert (result["cause"]["kind"], result["cause"]["node"]) == ("code_error", "totals")
    assert (
        result["cause"]["summary"]
        == "check row_outside_partition fails; version 2 changed its code"
    )
    lab.deliver(DAYS[3], rows(DAYS[2]), HEADER)
    next_morning(lab)
    assert {(item["cause"]["kind"], item["cause"]["node"]) for item in open_ones(lab)} == {
        ("code_error", "totals"),
        ("stale_data", "orders"),
    }


@pytest.mark.long
@pytest.mark.parametrize("written", [True, False])
def test_a_target_that_can_not_be_written_is_no_fault_of_its_declaration(
    lab: Lab, written: bool
) -> None:
    """Would catch: "correct consumers.yaml:1" for a disk that is gone, because the export was
    declared the day before; the same of the first export, which goes on by itself once the folder
    can be written."""
    export = "  export: {to: 'out/totals_{date:%Y-%m-%d}.csv'}\n"
    lab.write(
        "consumers.yaml",
        "- consumer: report\n  owner: core\n  reads: [totals]\n  due: '07:00'\n" + export,
    )
    lab.headrace("apply", "--yes")
    if written:
        lab.tick()
        assert (lab.root / f"out/totals_{DAYS[1]}.csv").exists()
        (lab.root / "out").rename(lab.root / "out.old")
    lab.write("out", "a file where the folder was\n")
    lab.deliver(DAYS[2], rows(DAYS[2]), HEADER)
    next_morning(lab)
    (result,) = open_ones(lab)
    assert (result["cause"]["kind"], result["cause"]["node"]) == (
        "destination_unavailable",
        "report",
    )


def test_a_folder_where_a_file_is_declared_asks_for_what_is_tried_again(lab: Lab) -> None:
    """Would catch: "Headrace goes on trying" of an export that nothing but a person tries again;
    commands after which it isn't there.
    """
    export = "  export: {to: 'out/totals_{date:%Y-%m-%d}.csv'}\n"
    lab.write(
        "consumers.yaml",
        "- consumer: report\n  owner: core\n  reads: [totals]\n  due: '07:00'\n" + export,
    )
    lab.headrace("apply", "--yes")
    lab.tick()
    target = lab.root / f"out/totals_{DAYS[2]}.csv"
    target.mkdir()
    lab.deliver(DAYS[2], rows(DAYS[2]), HEADER)
    next_morning(lab)
    (result,) = open_ones(lab)
    assert result["cause"]["kind"] == "configuration_error"
    assert result["repair"]["commands"] == [
        "headrace apply",
        f"headrace retry report@{DAYS[2]}",
        "headrace tick",
    ]
    target.rmdir()
    lab.headrace("retry", f"report@{DAYS[2]}")
    assert (target.is_file(), open_ones(lab)) == (True, [])


BETTER = "select day, customer, sum(amount) + 0 as total from orders group by all"


@pytest.mark.parametrize(("published", "blamed"), [(False, 0), (True, 1)])
def test_code_that_was_put_back_before_it_gave_anything_is_to_blame_for_nothing(
    lab: Lab, published: bool, blamed: int
) -> None:
    """Would catch: "code_error: amount × 0.277; version 4 changed its code", of an asset that runs
    with the code of all days before, and reads a third of its usual rows because somebody accepted
    them. What was published with other code stays open to blame."""
    before = (lab.root / "assets/totals.sql").read_text()
    lab.sql("totals", BETTER)
    lab.headrace("apply", "--yes")
    if published:
        lab.deliver(DAYS[2], rows(DAYS[2]), HEADER)
        next_morning(lab)
    lab.tick()
    lab.write("assets/totals.sql", before)
    lab.headrace("apply", "--yes")
    lab.tick()
    standing = lab.rows(
        "select id from evidence where id like 'version:%:totals' and ended_at is null"
    )
    assert len(standing) == blamed, standing


@pytest.mark.parametrize("ticked", [False, True])
def test_code_that_failed_is_what_failed_after_it_was_put_back(lab: Lab, ticked: bool) -> None:
    """Would catch: "it is type_change at orders, not code_error at totals", in the vendor's name,
    once the code of before was put back and the failed day computed, as the repair said."""
    before = (lab.root / "assets/totals.sql").read_text()
    lab.sql(
        "totals",
        "select day, customer, sum(cast(replace(customer, 'c', 'x') as int)) as total from orders"
        " group by all",
    )
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.deliver(DAYS[2], rows(DAYS[2]), HEADER)
    next_morning(lab)
    (result,) = open_ones(lab)
    assert (result["cause"]["kind"], result["cause"]["node"]) == ("code_error", "totals")
    lab.write("assets/totals.sql", before)
    lab.now += timedelta(minutes=5)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.now += timedelta(minutes=5)
    if ticked:
        lab.tick()
    day = ("--from", DAYS[2], "--to", DAYS[2])
    lab.headrace(
        "backfill",
        "totals",
        *day,
        "--mode",
        "all",
        "--reason",
        "repair",
        "--yes",
        "--now",
        lab.now.isoformat(),
    )
    (over,) = lab.headrace("incidents", "--all")
    assert (over["state"], over["cause"]["kind"], over["cause"]["node"], over["owner"]) == (
        "resolved",
        "code_error",
        "totals",
        "core",
    )


@pytest.mark.long
def test_code_that_was_put_back_twice_was_first_put_back_at_its_own_time(lab: Lab) -> None:
    """Would catch: a change that was taken back being blamed for what failed under the old code, up
    to the time when a later change was taken back."""
    code = (
        "select day, customer, cast(replace(customer, 'c', '{}') as int) as total from orders group"
        " by all"
    )

    def apply(put: str) -> None:
        lab.sql("totals", code.format(put))
        lab.now += timedelta(minutes=5)
        lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
        lab.tick()

    def taken_back() -> list[int]:
        result = lab.rows(
            "select content from evidence where id like 'version:%:totals' and ended_at is null"
        )
        each = [msgspec.msgpack.decode(content, type=Evidence) for (content,) in result]
        return sorted(item.taken_back_us for item in each if item.taken_back_us is not None)

    apply("0")
    lab.deliver(DAYS[2], rows(DAYS[2]), HEADER)
    next_morning(lab)
    apply("x")
    lab.deliver(DAYS[3], [row.replace(",c", ",q") for row in rows(DAYS[3])], HEADER)
    next_morning(lab)
    apply("0")
    first = taken_back()
    assert first
    apply("y")
    apply("0")
    assert taken_back()[: len(first)] == first
