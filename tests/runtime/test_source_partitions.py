"""Sources whose partitions come from rows, from a key in the file's name, or from several files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab, published

from headrace.lake.staging import HASHED_BYTES_MAX
from headrace.model.texts import plain

HEADER = "order_id,customer,amount,day"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "p")


def source(lab: Lab, text: str) -> None:
    lab.write("sources/orders.yaml", f"source: orders\nowner: acme\nrestate_within: 30d\n{text}\n")


def put(lab: Lab, path: str, text: str, age: float = 3600) -> None:
    file = lab.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    past = file.stat().st_mtime - age
    os.utime(file, (past, past))


def lines(*days: str, amount: str = "1.50") -> str:
    return (
        "\n".join([HEADER, *(f"{n},c{n % 3},{amount},{day}" for n, day in enumerate(days))]) + "\n"
    )


def rows(lab: Lab, key: str | None = None) -> list[dict[str, Any]]:
    arguments = (f"--partition={key}",) if key else ()
    return lab.headrace("read", "orders", "--format", "json", "--limit", "1000", *arguments)["rows"]  # type: ignore[no-any-return]


MANY_DAYS = "partition: {by: day, column: day}\nfiles: landing/orders*.csv"


def test_a_file_of_many_days_is_one_attempt_and_a_partition_a_day(lab: Lab) -> None:
    """Would catch: a file of many days refused, ingested once a day, or published as one."""
    source(lab, MANY_DAYS)
    lab.sql(
        "daily",
        "select day, count(*) as n from orders where day >= $partition_start and day <"
        " $partition_end group by day",
    )
    put(lab, "landing/orders.csv", lines(DAYS[0], DAYS[0], DAYS[1], DAYS[4]))
    response = lab.tick()
    assert published(response) == sorted(
        (n, d) for n in ("daily", "orders") for d in (DAYS[0], DAYS[1], DAYS[4])
    )
    taken = [attempt for attempt in response.attempts if attempt.asset == "orders"]
    assert [sorted(item.partitions) for item in taken] == [[DAYS[0], DAYS[1], DAYS[4]]]
    assert len(rows(lab, DAYS[0])) == 2
    assert lab.tick().state == "nothing_due"


@pytest.mark.long
def test_a_later_file_replaces_the_days_that_it_holds_and_no_others(lab: Lab) -> None:
    """Would catch: days lost that the newer file doesn't hold, and days that didn't change computed
    again.
    """
    source(lab, MANY_DAYS)
    lab.sql(
        "daily",
        "select day, sum(amount) as n from orders where day >= $partition_start and day <"
        " $partition_end group by day",
    )
    put(lab, "landing/orders.csv", lines(DAYS[0], DAYS[1], DAYS[2]))
    lab.tick()
    put(
        lab, "landing/orders.csv", f"{HEADER}\n1,c1,1.50,{DAYS[1]}\n7,c7,9.00,{DAYS[2]}\n", age=1800
    )
    again = lab.tick()
    assert [p.partition for p in again.published if p.asset == "orders"] == [DAYS[1], DAYS[2]]
    assert [p.partition for p in again.published if p.asset == "daily"] == [DAYS[2]]
    assert [row["order_id"] for row in rows(lab, DAYS[0])] == [0]


@pytest.mark.long
def test_unchanged_days_of_a_large_file_are_identical(lab: Lab) -> None:
    """Would catch: every day of a large file counted as changed because its hash was left out."""
    source(lab, MANY_DAYS)
    text = (
        "\n".join(
            [
                HEADER,
                *(
                    f"{n},customer {n * 7919 % 100_003},{n % 977}.25,{DAYS[n % 5]}"
                    for n in range(60_000)
                ),
            ]
        )
        + "\n"
    )
    put(lab, "landing/orders.csv", text)
    lab.tick()
    assert sum(size for (size,) in lab.rows("select bytes from publication")) > HASHED_BYTES_MAX
    put(lab, "landing/orders.csv", text + f"60001,x,1.00,{DAYS[6]}\n", age=1800)
    again = lab.tick()
    assert {p.partition: p.identical for p in again.published} == {
        **dict.fromkeys(DAYS[:5], True),
        DAYS[6]: False,
    }


def last_observation(lab: Lab) -> tuple[str, str]:
    return lab.rows(
        "select error, code from look where source = 'orders' order by at desc limit 1"
    )[0]  # type: ignore[return-value]


@pytest.mark.parametrize("bad", ["", "not a day"])
def test_rows_of_no_day_keep_the_whole_file_back(lab: Lab, bad: str) -> None:
    """Would catch: rows without a day dropped in silence; days of a broken file published all the
    same.
    """
    source(lab, MANY_DAYS)
    put(lab, "landing/orders.csv", lines(DAYS[0], DAYS[1]))
    lab.tick()
    put(lab, "landing/orders.csv", lines(DAYS[0], DAYS[2]) + f"9,c,1.00,{bad}\n", age=1800)
    response = lab.tick()
    assert response.published == []
    assert {attempt.state for attempt in response.attempts} == (set() if bad else {"rejected"})
    if bad:
        assert "'not a day' at line 4" in plain(last_observation(lab)[0])
    assert len(rows(lab)) == 2


def test_a_file_that_cannot_be_looked_into_is_an_error_of_the_look(lab: Lab) -> None:
    """Would catch: a file that is passed over without a word, and one that keeps others from being
    taken.
    """
    source(lab, MANY_DAYS)
    put(lab, "landing/orders_1.csv", "order_id,customer,amount\n1,c,1.00\n")
    put(lab, "landing/orders_2.csv", lines(DAYS[0]))
    put(lab, "landing/orders_3.csv", HEADER + "\n")
    assert published(lab.tick()) == [("orders", DAYS[0])]
    error, code = last_observation(lab)
    assert "landing/orders_1.csv" in error
    assert code == "delivery_partition"


@pytest.mark.slow
def test_ten_thousand_days_in_one_file(lab: Lab) -> None:
    """Would catch: one statement a day, a recursion as deep as there are days."""
    from datetime import date, timedelta

    source(lab, MANY_DAYS)
    days = [(date(1990, 1, 1) + timedelta(days=n)).isoformat() for n in range(10_000)]
    put(lab, "landing/orders.csv", lines(*days))
    response = lab.tick()
    assert response.state == "succeeded"
    assert len(response.published) == 10_000
    assert len(response.attempts) == 1


KEYS = [
    "emea",
    "EMEA",
    "a'; drop table x; --",
    "..",
    "naïve ☃",
    "$self",
    "%41",
    "{date:%Y}",
    "-rf",
    "x" * 200,
]


@pytest.mark.long
def test_keys_in_names_are_data(lab: Lab) -> None:
    """Would catch: keys that differ in case in one partition, keys that change a statement or a
    path (TRUST B9)."""
    source(lab, "partition: {key: region}\nfiles: landing/r_{key}.csv")
    for n, key in enumerate(KEYS):
        put(lab, f"landing/r_{key}.csv", f"order_id,amount\n{n},1.50\n")
    response = lab.tick()
    assert published(response) == sorted(("orders", key) for key in KEYS)
    for n, key in enumerate(KEYS):
        assert [row["order_id"] for row in rows(lab, key)] == [n]


def test_keys_that_cannot_be_are_noted(lab: Lab) -> None:
    """Would catch: the partition `*` made by a file of that name, a key that isn't among the listed
    ones.
    """
    source(lab, "partition: {key: region, values: [a, b]}\nfiles: landing/{key}.csv")
    for key in ("a", "c", "*"):
        put(lab, f"landing/{key}.csv", "order_id\n1\n")
    assert published(lab.tick()) == [("orders", "a")]


def test_days_and_keys_in_names(lab: Lab) -> None:
    """Would catch: the key's folder taken for part of the date, rows that name another key
    published.
    """
    source(lab, "partition: [day, {key: region}]\nfiles: 'landing/{key}/{date:%Y-%m-%d}.csv'")
    put(lab, f"landing/EMEA/{DAYS[0]}.csv", "order_id,region\n1,EMEA\n")
    put(lab, f"landing/APAC/{DAYS[0]}.csv", "order_id,region\n2,APAC\n")
    put(lab, f"landing/LATAM/{DAYS[0]}.csv", "order_id,region\n3,EMEA\n")
    response = lab.tick()
    assert published(response) == [("orders", f"{DAYS[0]}/APAC"), ("orders", f"{DAYS[0]}/EMEA")]
    assert {
        attempt.state for attempt in response.attempts if attempt.partitions == [f"{DAYS[0]}/LATAM"]
    } == {"rejected"}


@pytest.mark.parametrize(
    ("cut", "files", "name"),
    [
        ("{key: region}", "landing/all.csv", "all"),
        ("[{by: day, column: day}, {key: region}]", "landing/all.csv", "all"),
        ("[day, {key: region}]", "'landing/{date:%Y-%m-%d}.csv'", DAYS[0]),
        ("[{by: day, column: day}, {key: region}]", "'landing/{key}.csv'", "EMEA"),
    ],
)
def test_keys_of_rows(lab: Lab, cut: str, files: str, name: str) -> None:
    """Would catch: what the file's name says forgotten, keys of rows that change a statement, rows
    in another's partition.
    """
    source(lab, f"partition: {cut}\nfiles: {files}")
    quoted = ["EMEA", "it's", "a/b"] if "{key}" not in files else ["EMEA"]
    days = [DAYS[0]] if "{date" in files else [DAYS[0], DAYS[1]]
    body = "".join(
        f"{n},{region},{day}\n"
        for n, (region, day) in enumerate((r, d) for r in quoted for d in days)
    )
    put(lab, f"landing/{name}.csv", "order_id,region,day\n" + body)
    response = lab.tick()
    keyed = {f"{d}/{r}" for r in quoted for d in days} if "day" in cut else set(quoted)
    assert {key for _, key in published(response)} == keyed
    for key in keyed:
        assert {
            (f"{row['day']}/" if "day" in cut else "") + row["region"] for row in rows(lab, key)
        } == {key}


def test_a_delivery_of_several_files(lab: Lab) -> None:
    """Would catch: a part taken for the whole, rows of the second file lost, types learnt from the
    first alone."""
    source(lab, "partition: day\nfiles: 'landing/{date:%Y-%m-%d}_*.csv'\ncomplete: {files: 3}")
    put(lab, f"landing/{DAYS[0]}_a.csv", "order_id,amount\n1,1\n")
    put(lab, f"landing/{DAYS[0]}_b.csv", "amount,order_id\n2.5,2\n")
    waiting = lab.tick()
    assert waiting.published == []
    put(lab, f"landing/{DAYS[0]}_c.csv", "order_id,amount\n3,3\n")
    assert published(lab.tick()) == [("orders", DAYS[0])]
    assert sorted((row["order_id"], row["amount"]) for row in rows(lab)) == [
        (1, 1.0),
        (2, 2.5),
        (3, 3.0),
    ]
    assert lab.tick().state == "nothing_due"
    put(lab, f"landing/{DAYS[0]}_c.csv", "order_id,amount\n4,x\n", age=1800)
    held = lab.tick()
    assert [attempt.state for attempt in held.attempts] == ["held"]
    assert f"landing/{DAYS[0]}_c.csv" in (held.attempts[0].reason or str(held.attempts[0]))
    put(lab, f"landing/{DAYS[0]}_d.csv", "order_id,amount\n5,1\n")
    assert lab.tick().published == []
