"""What is written down when a vendor sends an interval again: a restatement with what it changes,
or a correction, which is none.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from http_server_lab import Server, reply
from runlab import DAYS, ORDERS, Lab

from headrace.checks.restatement import PreviousPublication, RestatementCounts, restatement_facts
from headrace.services.deliveries import deliveries

SOURCE = (
    "source: orders\nowner: acme\npartition: day\nfiles:"
    " landing/orders_{date:%Y-%m-%d}.csv\nexpect: {rows: 5..50}\n"
)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """One day of ten orders, published; fewer than five a day are held."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/orders.yaml", SOURCE)
    lab.orders(DAYS[0])
    lab.tick()
    return lab


def facts(lab: Lab) -> list[tuple[str, str, str, str]]:
    return lab.rows(
        "select partition, expected, observed, detail from fact where kind = 'restatement' order"
        " by id"
    )


def test_what_is_sent_again_is_a_restatement_with_its_difference(lab: Lab) -> None:
    """Would catch: a past that is rewritten without a word; one that is told of where the same rows
    are written otherwise as if they had changed; a first delivery, or the same bytes, taken for
    one."""
    assert facts(lab) == []
    lab.orders(DAYS[0], n=12)
    lab.tick()
    lab.deliver(
        DAYS[0], [f"01{i},c{i % 3},{'9.00' if i == 5 else '1.50'},{DAYS[0]}" for i in range(12)]
    )
    lab.tick()
    lab.deliver(
        DAYS[0],
        [f"01{i},c{i % 3},{'9.00' if i == 5 else '1.5'},{DAYS[0]}" for i in reversed(range(12))],
    )
    lab.tick()
    assert facts(lab) == [
        (DAYS[0], "10 rows", "12 rows", "2 rows added"),
        (DAYS[0], "12 rows", "12 rows", "1 row added, 1 row removed; amount: 1 row"),
        (DAYS[0], "12 rows", "12 rows", "the same rows, written otherwise"),
    ]


def test_what_follows_a_delivery_that_was_refused_is_a_correction(lab: Lab) -> None:
    """Would catch: a vendor that mends its file at once being told of as rewriting its past."""
    lab.orders(DAYS[1], n=2)
    assert [attempt.state for attempt in lab.tick().attempts] == ["held"]
    lab.orders(DAYS[1])
    lab.tick()
    assert facts(lab) == []


def test_only_the_days_that_changed_in_a_file_of_many_are_restated(tmp_path: Path) -> None:
    """Would catch: a file that grows by a day telling of all days before as restated."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: {by: day, column: day}\nfiles:"
        " landing/orders.csv\n",
    )
    rows = [f"{n},c{n % 3},1.50,{day}" for day in DAYS[:2] for n in range(3)]
    path = lab.root / "landing/orders.csv"
    path.write_text("\n".join([ORDERS[0], *rows]) + "\n")
    lab.tick()
    path.write_text("\n".join([ORDERS[0], *rows[1:], f"9,c1,1.50,{DAYS[2]}"]) + "\n")
    lab.tick()
    assert facts(lab) == [(DAYS[0], "3 rows", "2 rows", "1 row removed")]


def test_what_an_api_says_now_restates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an incident over rates that are others today, which is what they are
    asked for.
    """
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    lab = Lab(tmp_path / "p")
    with Server() as server:
        source = f"source: rates\nowner: acme\nhttp: {server.url}/rates\nevery: 10s\n"
        lab.write("sources/rates.yaml", source)
        for rate in ("1.08", "1.09"):
            server.answers["/rates"] = lambda _, rate=rate: reply(
                f'[{{"currency": "USD", "rate": {rate}}}]'
            )
            assert [attempt.state for attempt in lab.tick().attempts] == ["published"]
    assert facts(lab) == []
    assert lab.headrace("incidents") == []


@pytest.mark.long
def test_a_list_that_grows_restates_nothing(tmp_path: Path) -> None:
    """Would catch: an incident that never ends over a list of customers because some are new each
    day; a list that lost a fifth of its rows, or has other codes, without a word."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/shops.yaml", "source: shops\nowner: acme\nfiles: landing/shops.csv\n")
    path = lab.root / "landing/shops.csv"

    def deliver(rows: list[str]) -> None:
        path.write_text("\n".join(["shop,city", *rows]) + "\n")
        assert [attempt.state for attempt in lab.tick().attempts] == ["published"]

    rows = [f"s{n:03},{'Kiel' if n % 2 else 'Bonn'}" for n in range(100)]
    deliver(rows)
    deliver([*rows, "s100,Jena", "s101,Kiel"])
    deliver(["s000,Jena", *rows[1:], "s100,Jena", "s101,Kiel"])
    assert facts(lab) == []
    assert lab.headrace("incidents") == []
    deliver(rows[:80])
    assert facts(lab) == [("*", "102 rows", "80 rows", "1 row added, 23 rows removed")]
    deliver([row.replace("Kiel", "KIEL") for row in rows[:80]])
    ((_, *rows_told, how),) = facts(lab)[1:]
    assert rows_told == ["80 rows", "80 rows"]
    assert how.endswith("city: 40 rows, 1 code written otherwise, one for one")


def test_bytes_read_again_restate_nothing() -> None:
    """Would catch: a mapping that was accepted turning all that is read again into restatements."""
    before = {"k": PreviousPublication(3, "h1", "bytes")}
    assert (
        restatement_facts(before, {"k": (4, "h2")}, "bytes", {"k": RestatementCounts(1, 0, 0)})
        == ()
    )
    (fact,) = restatement_facts(
        before, {"k": (4, "h2")}, "others", {"k": RestatementCounts(1, 0, 2)}
    )
    assert (fact.kind, fact.partition, fact.detail) == (
        "restatement",
        "k",
        "1 row added, 2 rows changed",
    )


def test_one_file_under_two_names_is_told_of(lab: Lab) -> None:
    """Would catch: a file that came under the wrong day's name, was held for another reason, and
    then comes under its own, without anybody being told that the two are one; a small file taken
    for another's by chance."""
    rows = [f"{n},customer{n % 5},1.50,{DAYS[2]}" for n in range(60)]
    for day in (DAYS[1], DAYS[2]):
        lab.deliver(day, rows)
        assert [attempt.state for attempt in lab.tick().attempts] == ["held"]
    for day in (DAYS[3], DAYS[4]):
        lab.orders(day, n=2)
        lab.deliver(day, ["1,c1,1.50,2025-01-01"])
        lab.tick()
    told = lab.rows("select partition, observed from fact where kind = 'stale_data'")
    assert told == [(DAYS[2], f"the very file that was delivered for {DAYS[1]}")]


def test_the_same_rows_written_otherwise_are_no_incident(tmp_path: Path) -> None:
    """Would catch: a vendor that sorts its file told to have rewritten its past."""
    lab = Lab(tmp_path / "p")
    lab.orders(DAYS[0])
    lab.tick()
    lab.deliver(DAYS[0], [f"01{i},c{i % 3},1.5,{DAYS[0]}" for i in reversed(range(10))])
    lab.tick()
    assert [detail for *_, detail in facts(lab)] == ["the same rows, written otherwise"]
    assert lab.rows("select kind from incident") == []
    lab.orders(DAYS[0], n=12)
    lab.tick()
    assert lab.rows("select kind from incident") == [("restatement",)]


def test_a_touched_file_is_the_delivery_that_it_was(lab: Lab) -> None:
    """Would catch: two deliveries, the second of them "again", of a file whose content nobody
    changed."""
    (first,) = deliveries(lab.session(), "orders", limit=9)
    path = lab.root / f"landing/orders_{DAYS[0]}.csv"
    os.utime(path)
    lab.tick()
    assert (
        len(lab.rows("select 1 from delivery where partition = ?", DAYS[0])) == 2
    )  # it was looked into
    (touched,) = deliveries(lab.session(), "orders", limit=9)
    assert (touched.at, touched.state, touched.rows) == (first.at, "published", first.rows)
    lab.orders(DAYS[0], n=12)
    lab.tick()
    assert [delivery.rows for delivery in deliveries(lab.session(), "orders", limit=9)] == [12, 10]
