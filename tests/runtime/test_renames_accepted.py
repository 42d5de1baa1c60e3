"""Held deliveries whose columns have other names: which decisions are offered, and what becomes of
one that is published as it is.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab, built_once

from headrace.model import Refused
from headrace.project.session import Silent
from headrace.services.fix import fix
from headrace.services.quarantine_decisions import accept as accept_all

HEADER = "order_id,customer,amount,day"
RENAMED = "order_id,customer,amount_no,day"
SOURCE = """source: orders
owner: acme
partition: day
files: landing/orders_{date:%Y-%m-%d}.csv
checks:
  - not_null: [amount]
"""
DAY = DAYS[5]
AT = f"orders@{DAY}"


def deliver(lab: Lab, day: str, header: str = HEADER, n: int = 24) -> None:
    lab.deliver(day, [f"{day[-2:]}{i},c{i % 3},{1.5 + i % 7},{day}" for i in range(n)], header)


def command(lab: Lab, *words: str, code: int | None = 0) -> Any:
    lab.now += timedelta(minutes=1)
    return lab.headrace(*words, "--now", lab.now.isoformat(), code=code)


@built_once
def lab(root: Path) -> Lab:
    """Five sound days, and one whose amounts have another name."""
    made = Lab(root)
    made.write("sources/orders.yaml", SOURCE)
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 30d}\n"
    )
    for day in DAYS[:5]:
        deliver(made, day)
    made.tick()
    deliver(made, DAY, RENAMED)
    made.tick()
    return made


def totals(lab: Lab) -> dict[str, float | None]:
    return {row["day"]: row["total"] for row in lab.read("totals")}


def accept(lab: Lab, at: str = AT) -> Any:
    return command(lab, "quarantine", "accept", at, "--reason", "it isn't known yet")


@pytest.mark.long
def test_a_failed_check_that_was_accepted_holds_nothing(lab: Lab) -> None:
    """Would catch: an incident of what readers see as an exception that stays open for ever, with a
    repair that changes nothing, because a check that fails over it is still said to keep it from
    them."""
    accept(lab)
    (incident,) = command(lab, "incidents")
    assert incident["repair"]["automatic"], incident["repair"]
    assert "it ends by itself with the first pass after" in incident["repair"]["text"]
    lab.now += timedelta(days=1, hours=1)
    lab.tick()
    assert command(lab, "incidents") == []
    (ended,) = command(lab, "incidents", "--all")
    assert ended["ended"].startswith(
        f"Accepted as an exception by {ended['timeline'][1]['by']}: {AT}"
    ), ended["ended"]


@pytest.mark.long
def test_names_are_accepted_after_the_delivery_was(lab: Lab) -> None:
    """Would catch: names that are accepted, "re-ingested by the next tick", and then "1 column
    gone: amount", because the table has a column of the new name since the delivery was published
    as it is."""
    sound = totals(lab)[DAYS[4]]
    accept(lab)
    assert totals(lab)[DAY] is None
    done = command(lab, "contract", "accept", AT)
    assert ([(item["column"], item["to"]) for item in done["mappings"]], done["reread"]) == (
        [("amount", "amount_no")],
        [DAY],
    )
    changed = {row.node: (row.cause, row.because) for row in lab.tick().restated}
    assert changed == {
        "orders": ("again", ["orders"]),
        "totals": ("again", ["orders"]),
    }, "nobody delivered anything"
    assert totals(lab)[DAY] == sound
    assert lab.read("orders")[-1]["amount_no"] is None
    assert lab.headrace("quarantine") == []
    assert command(lab, "incidents") == []
    assert [item["state"] for item in command(lab, "status")["consumers"]] == ["served"]
    deliver(lab, DAYS[6], RENAMED)
    lab.tick()
    assert totals(lab)[DAYS[6]] == sound


@pytest.mark.long
@pytest.mark.parametrize("between", [False, True], ids=["the next day", "after a sound day"])
def test_what_comes_after_it_is_proposed_the_same(lab: Lab, between: bool) -> None:
    """Would catch: the next delivery of the same header held as "1 column gone", with no name
    proposed and none that may be mapped, because a column of that name came with the one that was
    published as it is."""
    accept(lab)
    later = ["2025-01-08", "2025-01-09"] if between else [DAYS[6]]
    if between:
        deliver(lab, DAYS[6])
    for day in later:
        deliver(lab, day, RENAMED)
    lab.tick()
    assert [
        (row["partition"], row["reason"].partition(";")[0]) for row in lab.headrace("quarantine")
    ] == [(day, "renamed: amount → amount_no") for day in later]
    assert command(lab, "contract", "accept", f"orders@{later[-1]}")["reread"] == later
    lab.tick()
    assert totals(lab)[later[-1]] == totals(lab)[DAYS[4]]
    assert lab.headrace("quarantine") == []


@pytest.mark.long
def test_a_declared_name_comes_before_a_column_of_that_name(lab: Lab) -> None:
    """Would catch: a contract that says what files call a column, and isn't followed, because a
    policy let that name in as a column of its own before."""
    lab.write(
        "sources/orders.yaml",
        SOURCE.replace("checks:\n  - not_null: [amount]\n", "on_drift: {renamed: warn}\n"),
    )
    lab.headrace("apply", "--yes")
    lab.tick()
    assert totals(lab)[DAY] is None
    names = (
        "customProperties: [{property: headrace.names, value: [{name: amount_no, from:"
        f" '{DAY}'}}]}}]"
    )
    columns = "".join(f"      - {{name: {name}}}\n" for name in ("order_id", "customer", "day"))
    (lab.root / "contracts").mkdir()
    lab.write(
        "contracts/orders.odcs.yaml",
        "apiVersion: v3.1.0\nkind: DataContract\nid: orders\nversion: 1.0.0\nstatus:"
        f" active\nschema:\n  - name: orders\n    properties:\n{columns}      - {{name: amount,"
        f" {names}}}\n",
    )
    lab.headrace("apply", "--yes")
    lab.tick()
    assert lab.headrace("quarantine") == []
    assert totals(lab)[DAY] == totals(lab)[DAYS[4]]


@pytest.mark.long
def test_names_are_decided_before_the_delivery_is(lab: Lab) -> None:
    """Would catch: `quarantine accept` offered beside `contract accept`, as if it were as good:
    readers then have no amount at all."""
    (row,) = lab.headrace("quarantine", AT)
    assert row["repair"]["commands"] == [f"headrace contract accept {AT}", "headrace tick"]
    assert row["decide"] == [f"headrace quarantine drop {AT} --reason TEXT"]
    (incident,) = command(lab, "incidents")
    with pytest.raises(Refused) as refused:
        accept_all(lab.session(), incident["id"], reason="fine", until=None, progress=Silent())
    assert (
        str(refused.value)
        == "the new names of its columns have to be decided first: renamed: amount → amount_no"
    )
    assert refused.value.hint == f"headrace contract accept {AT}"
    assert command(lab, "contract", "accept", AT)["reread"] == [DAY]


def test_an_accepted_rename_says_what_repairs_it(lab: Lab) -> None:
    """Would catch: "ask acme for other data" as the one way, where one command gives the column
    back to readers.
    """
    accept(lab)
    (incident,) = command(lab, "incidents")
    said = (
        f"if the data isn't right, accept the new names (headrace contract accept {AT}), or ask"
        f" acme for other data, or take back what was accepted (headrace unpublish {AT} --reason"
        " TEXT)"
    )
    assert incident["repair"]["note"].endswith(said)
    with pytest.raises(Refused) as refused:
        fix(lab.session(), incident["id"], dry_run=True, confirm=lambda _: True, progress=Silent())
    assert refused.value.hint.startswith(said)
    (told,) = command(lab, "status")["consumers"]
    assert f"{AT} by exception of " in told["reason"]


@pytest.mark.long
def test_one_delivery_is_told_of_once(lab: Lab) -> None:
    """Would catch: "amount_no (2 times)" of one delivery, which was ingested again because somebody
    accepted it, or in vain."""
    accept(lab)
    (incident,) = command(lab, "incidents")
    assert "times" not in incident["cause"]["summary"]
    first, accepted = incident["cause"]["evidence"]
    assert (first["what"], first["observed"]) == ("column renamed", "amount_no")
    assert accepted["what"].startswith("column renamed, accepted by ")
    (lab.root / f"landing/orders_{DAYS[6]}.csv").write_bytes(b"")
    lab.tick()
    command(lab, "quarantine", "accept", f"orders@{DAYS[6]}", "--reason", "nobody bought", code=1)
    empty = next(
        item for item in command(lab, "incidents") if item["cause"]["partition"] == DAYS[6]
    )
    assert len(empty["cause"]["evidence"]) == 1, empty["cause"]["evidence"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("decision", "did"),
    [
        (["--convert", "amount / 100"], "conversion accepted"),
        (["--as-is"], "values accepted as they are"),
    ],
)
def test_values_that_are_decided_about_are_no_names(
    tmp_path: Path, decision: list[str], did: str
) -> None:
    """Would catch: "Names accepted by ann" of a column that keeps its name."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, sum(amount) as total from orders group by all")
    for day in DAYS[:6]:
        deliver(lab, day)
    lab.tick()
    lab.deliver(
        DAYS[6],
        [f"{DAYS[6][-2:]}{i},c{i % 3},{(1.5 + i % 7) * 100},{DAYS[6]}" for i in range(24)],
        HEADER,
    )
    lab.tick()
    (incident,) = command(lab, "incidents")
    assert incident["cause"]["kind"] == "distribution_shift"
    command(lab, "contract", "accept", f"orders@{DAYS[6]}", "--map", "amount=amount", *decision)
    lab.tick()
    (over,) = command(lab, "incidents", "--all")
    who = over["timeline"][1]["by"]
    assert over["timeline"][1]["what"] == f"{did} by {who} from {DAYS[6]} on: orders"
    if over["ended"] is not None:  # values that are taken as they are are shown for another day
        assert over["ended"].startswith(f"{did.capitalize()} by {who} from {DAYS[6]} on: orders"), (
            over["ended"]
        )


def test_what_was_accepted_is_renewed_or_taken_back(lab: Lab) -> None:
    """Would catch: `quarantine drop` proposed for what readers see, where nothing waits, and a pass
    that would find nothing to do.
    """
    accept(lab)
    (row,) = command(lab, "quarantine", AT)
    assert (row["state"], row["decide"]) == (
        "accepted",
        [
            f"headrace quarantine accept {AT} --reason TEXT --until T",
            f"headrace unpublish {AT} --reason TEXT",
        ],
    )


@pytest.mark.long
def test_a_lapsed_exception_of_a_rename_ends_with_its_names(lab: Lab) -> None:
    """Would catch: another exception as the one thing that ends it, where one command gives the
    column back to readers.
    """
    command(lab, "quarantine", "accept", AT, "--reason", "for a day", "--until", "1d")
    lab.now += timedelta(days=1, hours=1)
    lab.tick()
    (incident,) = command(lab, "incidents")
    names = [f"headrace contract accept {AT}", "headrace tick"]
    assert incident["repair"]["commands"] == names
    assert incident["repair"]["first"].startswith(
        "accept the new names, or ask acme for other data, or take it back"
    )
    (row,) = command(lab, "quarantine", AT)
    assert (row["state"], row["repair"]["commands"]) == ("held", names)
    for line in names:
        command(lab, *line.split()[1:])
    assert command(lab, "incidents") == []
    assert [item["state"] for item in command(lab, "status")["consumers"]] == ["served"]
    assert totals(lab)[DAY] == totals(lab)[DAYS[4]]
