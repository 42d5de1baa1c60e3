"""Deliveries that are odd as a whole: types that come and go, a thousand columns, names that are
nearly the same, nothing at all.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from runlab import DAYS, Lab, published

from headrace.model import HeadraceError
from headrace.project.session import Silent
from headrace.services.contract_accept import accept

HEADER = "order_id,customer,amount,day"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql(
        "totals",
        "select day, customer, sum(amount) as total, count(order_id) as n from orders group by all",
    )
    return made


def states(lab: Lab) -> list[tuple[str, str]]:
    """What became of each day's delivery."""
    return [
        (day, state)
        for day, state in lab.rows(
            "select partition, state from partition where node = 'orders' order by partition"
        )
    ]


@pytest.mark.long
def test_types_that_alternate_from_day_to_day(lab: Lab) -> None:
    """Would catch: numbers that are text for good after one day of words; a held day that is
    forgotten, or pinned; a type that is told of as changed each time it comes back; an incident for
    every day of the same trouble."""
    amounts = ("1.5", "many", "2.5", "few", "4")
    for day, amount in zip(DAYS, amounts, strict=False):
        lab.deliver(day, [f"1,a,{amount},{day}", f"2,b,1,{day}"], HEADER)
        lab.tick()
    assert [state for _, state in states(lab)] == [
        "published",
        "held",
        "published",
        "held",
        "published",
    ]
    result = lab.headrace("sql", "select amount from orders order by day, order_id")
    assert [list(row.values()) for row in result["rows"]] == [
        [1.5],
        [1.0],
        [2.5],
        [1.0],
        [4.0],
        [1.0],
    ]
    assert lab.rows("select partition, kind, column_name, policy from drift order by id") == [
        (DAYS[1], "type", "amount", "block"),
        (DAYS[3], "type", "amount", "block"),
    ]
    assert {item["cause"]["kind"] for item in lab.headrace("incidents")} == {"type_change"}


@pytest.mark.long
def test_a_thousand_columns_of_which_three_change(lab: Lab) -> None:
    """Would catch: a statement with too many parts, a rename that is lost among a thousand names,
    an incident of a thousand lines."""
    names = [f"c{number}" for number in range(996)]
    values = [[str((row * 31 + column) % 997) for column in range(996)] for row in range(20)]

    def deliver(day: str, header: list[str]) -> None:
        lab.deliver(
            day,
            [",".join([f"{n}", "a", f"{n}.5", day, *row]) for n, row in enumerate(values)],
            ",".join(header),
        )

    deliver(DAYS[0], [*HEADER.split(","), *names])
    lab.tick()
    deliver(
        DAYS[1],
        [
            "order_id",
            "customer",
            "sum_of_amount",
            "day",
            *["cc500" if name == "c500" else name for name in names],
        ],
    )
    lab.tick()
    assert [state for _, state in states(lab)] == ["published", "held"]
    result = dict(lab.rows("select column_name, to_name from drift where kind = 'renamed'"))
    assert result == {"amount": "sum_of_amount", "c500": "cc500"}
    assert lab.rows("select count(*) from drift") == [(2,)]


def test_names_that_differ_in_case_and_accents_only(lab: Lab) -> None:
    """Would catch: `Amount` beside `amount` read as one of the two by chance; a name that only lost
    its accent taken for a new column beside one that is gone; both in one file that fail inside the
    database."""
    lab.sql(
        "totals", 'select day, sum(amount) as total, count("prénom") as n from orders group by all'
    )
    lab.deliver(DAYS[0], [f"1,Zoë,1.5,{DAYS[0]}"], "order_id,prénom,amount,day")
    lab.tick()
    lab.deliver(DAYS[1], [f"2,Bo,2.5,{DAYS[1]}"], "Order_ID,Prenom,AMOUNT,day")
    lab.deliver(DAYS[2], [f"3,Cy,3.5,9.5,{DAYS[2]}"], "order_id,prénom,amount,Amount,day")
    lab.deliver(DAYS[3], [f"4,Di,x,4.5,{DAYS[3]}"], "order_id,prénom,prenom,amount,day")
    lab.tick()
    held = dict(states(lab))
    assert (held[DAYS[1]], held[DAYS[2]], held[DAYS[3]]) == ("held", "held", "published")
    [(why,)] = lab.rows(
        "select reason from partition where node = 'orders' and partition = ?", DAYS[2]
    )
    assert "the header names both columns 3 and 4 `amount`" in why, (
        "which of the two is meant is a person's to say"
    )
    result = lab.rows(
        "select column_name, to_name from drift where partition = ? order by column_name", DAYS[1]
    )
    assert result == [("amount", "AMOUNT"), ("order_id", "Order_ID"), ("prénom", "Prenom")]
    added = lab.rows(
        "select partition, kind, column_name from drift where partition > ? and kind = 'added'"
        " order by partition",
        DAYS[1],
    )
    assert added == [(DAYS[2], "added", "Amount_2"), (DAYS[3], "added", "prenom")]
    assert [(row["order_id"], row["amount"]) for row in lab.read("orders")] == [(1, 1.5), (4, 4.5)]


def test_nothing_and_a_header_alone(lab: Lab) -> None:
    """Would catch: a day of no rows published where there always were some; an empty file that
    fails without a word, or counts as a day without rows; the next sound day held because of
    either."""
    lab.deliver(DAYS[0], [f"1,a,1.5,{DAYS[0]}"], HEADER)
    lab.tick()
    path = lab.root / f"landing/orders_{DAYS[1]}.csv"
    path.write_bytes(b"")
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    lab.deliver(DAYS[2], [], HEADER)
    lab.deliver(DAYS[3], [], "order_id,client,amount,day")
    lab.tick()
    reasons = dict(lab.rows("select partition, reason from partition where node = 'orders'"))
    assert states(lab) == [
        (DAYS[0], "published"),
        (DAYS[1], "rejected"),
        (DAYS[2], "held"),
        (DAYS[3], "held"),
    ]
    assert "the file is empty" in reasons[DAYS[1]]
    assert "no rows" in reasons[DAYS[2]]
    assert "client" in reasons[DAYS[3]]
    lab.deliver(DAYS[4], [f"5,a,2.5,{DAYS[4]}"], HEADER)
    assert ("totals", DAYS[4]) in published(lab.tick())


@pytest.mark.long
def test_a_mapping_to_a_column_that_exists(lab: Lab) -> None:
    """Would catch: a column read from another one's values because somebody mistyped a name; a
    contract that is left half written, or that the next reading is held by."""
    lab.deliver(DAYS[0], [f"1,a,1.5,{DAYS[0]}"], HEADER)
    lab.tick()
    lab.deliver(DAYS[1], [f"1,a,1.5,{DAYS[1]}"], "order_id,client,amount,day")
    lab.tick()
    for pair in ("customer=amount", "customer=clinet", "nobody=client", "amount=client"):
        with pytest.raises(HeadraceError) as refused:
            accept(
                lab.session(),
                f"orders@{DAYS[1]}",
                pairs=[pair],
                patch=False,
                yes=False,
                progress=Silent(),
            )
        assert refused.value.hint, pair
        assert not list(lab.root.glob("contracts/*")), pair
    assert (
        lab.headrace("contract", "accept", f"orders@{DAYS[1]}", "--map", "customer=client")["state"]
        == "accepted"
    )
