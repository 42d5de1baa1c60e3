"""Deliveries by hand, and the command that shows what arrived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab
from test_leaders import answer, begin, slow_project, until, wait_for

HEADER = "order_id,customer,amount,day"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql(
        "clean",
        "select order_id, cast(amount as decimal(18,2)) as amount, cast(day as date) as day from"
        " orders",
    )
    return made


def headrace(lab: Lab, *arguments: str, code: int | None = 0) -> Any:
    """Each call a minute later: a replay's clock only goes forward."""
    from datetime import timedelta

    lab.now += timedelta(minutes=1)
    return lab.headrace(*arguments, "--now", lab.now.isoformat(), code=code)


def by_hand(lab: Lab, amount: str = "9.00", day: str = DAYS[0]) -> Path:
    file = lab.root.parent / "from the vendor.csv"
    file.write_text(f"{HEADER}\n1,c1,{amount},{day}\n")
    return file


def test_a_file_handed_in_is_taken_in_published_and_marked(lab: Lab) -> None:
    """Would catch: a file outside the project refused, a delivery by hand that looks like the
    vendor's, one that nothing follows."""
    lab.orders(DAYS[0])
    lab.tick()
    response = headrace(
        lab,
        "receive",
        "orders",
        str(by_hand(lab)),
        "--for",
        DAYS[0],
        "--reason",
        "the vendor mailed it",
    )
    assert response["state"] == "succeeded"
    assert sorted(item["asset"] for item in response["published"]) == ["clean", "orders"]
    assert [row["amount"] for row in lab.read("clean")] == ["9.00"]
    newest, first = headrace(lab, "deliveries", "orders")
    assert newest["received"]["reason"] == "the vendor mailed it"
    assert newest["received"]["file"].endswith("from the vendor.csv")
    assert (newest["state"], newest["rows"], newest["partition"], newest["node"]) == (
        "published",
        1,
        DAYS[0],
        "orders",
    )
    assert (first["received"], first["rows"], first["path"]) == (
        None,
        10,
        f"landing/orders_{DAYS[0]}.csv",
    )
    (entry,) = [
        text for (text,) in lab.rows("select event from audit") if "delivery.received" in text
    ]
    assert "the vendor mailed it" in entry
    assert lab.tick().state == "nothing_due"


def test_a_file_handed_in_is_checked_like_any_other(lab: Lab) -> None:
    """Would catch: a way around drift and checks; a held interval that can't be mended by hand."""
    lab.orders(DAYS[0])
    lab.tick()
    bad = lab.root.parent / "bad.csv"
    bad.write_text("order_id,customer,sum,day\n1,c,1.00,2025-01-02\n")
    held = headrace(lab, "receive", "orders", str(bad), "--for", DAYS[1], "--reason", "try", code=1)
    assert [item["state"] for item in held["attempts"]] == ["held"]
    good = headrace(
        lab,
        "receive",
        "orders",
        str(by_hand(lab, day=DAYS[1])),
        "--for",
        DAYS[1],
        "--reason",
        "mended",
    )
    assert {item["partition"] for item in good["published"]} == {DAYS[1]}
    assert [row["state"] for row in headrace(lab, "deliveries", "orders", "--limit", "2")] == [
        "published",
        "held",
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nope", "FILE", "--for", DAYS[0], "--reason", "x"], 2),
        (["orders", "FILE", "--for", "2025-02-30", "--reason", "x"], 2),
        (["orders", "FILE", "--reason", "x"], 2),
        (["orders", "/nonexistent", "--for", DAYS[0], "--reason", "x"], 2),
        (["orders", "FILE", "--for", DAYS[0]], 3),
        (["clean", "FILE", "--for", DAYS[0], "--reason", "x"], 2),
    ],
)
def test_what_cannot_be_received_leaves_nothing_behind(
    lab: Lab, arguments: list[str], code: int
) -> None:
    """Would catch: copies of files that nothing refers to, wrong keys as new partitions, a delivery
    without a reason.
    """
    lab.orders(DAYS[0])
    lab.tick()
    headrace(
        lab,
        "receive",
        *(str(by_hand(lab)) if argument == "FILE" else argument for argument in arguments),
        code=code,
    )
    assert not (lab.root / ".headrace/received").exists()
    assert lab.rows("select count(*) from delivery") == [(1,)]


@pytest.mark.long
def test_the_screen_of_deliveries(lab: Lab) -> None:
    """Would catch: a screen that doesn't say what became of a delivery, or that fails where nothing
    came.
    """
    import subprocess

    command = [part for part in lab.command("deliveries", "orders") if part != "--json"]
    empty = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True).stdout
    assert "nothing was delivered yet" in empty
    lab.orders(DAYS[0])
    lab.deliver(DAYS[1], ["1,c,1.00,x"], header="order_id,client,amount,day")
    lab.tick()
    shown = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True).stdout
    assert "held" in shown
    assert "published" in shown
    assert f"headrace quarantine orders@{DAYS[1]}" in shown


@pytest.mark.long
def test_a_running_leader_is_asked_to_receive(lab: Lab) -> None:
    """Would catch: a delivery by hand that fails, or waits for nobody, while another
    process leads."""
    flag, go = slow_project(lab)
    leader = begin(lab, "tick", "--now", "2025-01-10T12:00:00+00:00")
    wait_for(flag)
    lab.now = lab.now.replace(hour=13)
    command = ("receive", "orders", str(by_hand(lab)), "--for", DAYS[0], "--reason", "mailed")
    asking = begin(lab, *command, "--now", lab.now.isoformat())
    until(lambda: lab.rows("select 1 from request"), "it never asked")
    go.touch()
    response = answer(asking)
    assert answer(leader)["state"] == "succeeded"
    assert ("orders", DAYS[0]) in [
        (item["asset"], item["partition"]) for item in response["published"]
    ]
    assert lab.rows("select epoch from lease") == [(1,)], "the second command led itself"


def test_a_delivery_by_hand_for_a_source_that_is_no_folder(lab: Lab) -> None:
    """Would catch: a file for an API's source fetched from the API, whose server is why somebody
    hands it in.
    """
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nstart: '2025-01-01'\nhttp:"
        " 'http://127.0.0.1:9/{date:%Y-%m-%d}.csv'\n",
    )
    response = headrace(
        lab,
        "receive",
        "orders",
        str(by_hand(lab)),
        "--for",
        DAYS[0],
        "--reason",
        "the server is gone",
    )
    assert ("orders", DAYS[0]) in [
        (item["asset"], item["partition"]) for item in response["published"]
    ]
