"""Deliveries whose columns aren't what was expected, through real ticks: what is published, what is
held, and what is kept of it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from legacy_formats import NEEDS_LEGACY
from runlab import DAYS, Lab, published

from headrace.model.texts import plain
from headrace.plan import impact

HEADER = "order_id,customer,amount,day,note"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """`orders` with an asset that uses all but `note`, and a consumer."""
    made = Lab(tmp_path / "p")
    made.sql(
        "totals",
        "select day, customer, sum(amount) as total, count(order_id) as n from orders group by all",
    )
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '09:00'}\n"
    )
    return made


def rows(day: str, amount: str = "1.50", n: int = 6) -> list[str]:
    return [f"{day[-2:]}{i},c{i % 3},{amount},{day},x{i}" for i in range(n)]


def drift(lab: Lab) -> list[tuple[Any, ...]]:
    return lab.rows(
        "select partition, kind, column_name, to_name, policy, used_by from drift order by id"
    )


@pytest.mark.long
def test_what_nobody_uses_may_go_and_come_what_is_used_may_not(lab: Lab) -> None:
    """Catches: an added column that stops a delivery or is lost; a dropped one that stops it
    although nobody uses it, or warns for ever; one that is used and is published without; users
    that aren't named."""
    lab.deliver(DAYS[0], rows(DAYS[0]), HEADER)
    assert published(lab.tick())[0] == ("orders", DAYS[0])
    lab.deliver(DAYS[1], [f"{row},{i}.5" for i, row in enumerate(rows(DAYS[1]))], f"{HEADER},tax")
    assert ("totals", DAYS[1]) in published(lab.tick())
    assert drift(lab) == [(DAYS[1], "added", "tax", None, "allow", "[]")]
    assert lab.rows("select verdict from publication where node = 'orders' order by id") == [
        ("unchecked",),
        ("unchecked",),
    ]

    lab.deliver(
        DAYS[2],
        [row.rpartition(",")[0] + ",2.5" for row in rows(DAYS[2])],
        "order_id,customer,amount,day,tax",
    )
    assert ("totals", DAYS[2]) in published(lab.tick()), "nobody uses `note`"
    assert drift(lab)[1:] == [(DAYS[2], "dropped", "note", None, "warn", "[]")]
    assert lab.rows("select kind, column_name, severity from fact") == [
        ("schema_change", "note", "warn")
    ]
    assert lab.rows(
        "select verdict from publication where node = 'orders' and partition = ?", DAYS[2]
    ) == [("warned",)]
    lab.deliver(
        DAYS[3],
        [row.rpartition(",")[0] + ",2.5" for row in rows(DAYS[3])],
        "order_id,customer,amount,day,tax",
    )
    lab.tick()
    assert len(drift(lab)) == 2, "that it is gone was said once"

    lab.deliver(
        DAYS[4],
        [row.rpartition(",")[0] + ",2.5" for row in rows(DAYS[4])],
        "order_id,customer,sum,day,tax",
    )
    lab.tick()
    held = lab.rows(
        "select state, reason from partition where node = 'orders' and partition = ?", DAYS[4]
    )
    assert held == [("held", "renamed: amount → sum; used by totals, report")]
    assert [(kind, name, json.loads(users)) for _, kind, name, _, _, users in drift(lab)[2:]] == [
        ("renamed", "amount", ["totals", "report"]),
    ]
    lab.deliver(DAYS[0], rows(DAYS[0], "2.50"), HEADER)
    assert ("totals", DAYS[0]) in published(lab.tick())
    assert len(drift(lab)) == 3, "a day from before it came is as it should be without `tax`"
    result = lab.headrace(
        "sql", "select day, count(note), count(tax), sum(tax) from orders group by all order by all"
    )["rows"]
    assert [list(row.values()) if isinstance(row, dict) else row for row in result] == [
        ["2025-01-01", 6, 0, None],
        ["2025-01-02", 6, 6, 18.0],
        ["2025-01-03", 0, 6, 15.0],
        ["2025-01-04", 0, 6, 15.0],
    ]


@pytest.mark.long
def test_what_is_written_otherwise_is_read_otherwise(lab: Lab) -> None:
    """Catches: a delimiter, a decimal comma, a date's order, an encoding or a lost header that
    holds a delivery although it can be read; a form that sticks to the source after one such file;
    day and month that change places unseen."""
    plain = "order_id,customer,amount,day,at"
    lab.write(
        "assets/totals.sql",
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\nselect * from orders\n",
    )
    put(
        lab,
        DAYS[0],
        [plain, f"1,Zoë,1.50,{DAYS[0]},01/23/2025 10:00", f"2,b,2,{DAYS[0]},01/24/2025 10:00"],
    )
    lab.tick()  # what it is written like is learnt from all that waits
    put(
        lab,
        DAYS[1],
        [
            plain.replace(",", ";"),
            f"3;c;1234,50;{DAYS[1]};2025-01-02T10:00:00",
            f"4;d;2,25;{DAYS[1]};2025-01-02T10:00:00",
        ],
    )
    put(lab, DAYS[2], [plain, f"5,Zoé,3,{DAYS[2]},1/25/25 9:30"], encoding="cp1252")
    put(lab, DAYS[3], [f"6,e,4,{DAYS[3]},01/26/2025 09:00", f"7,f,5,{DAYS[3]},01/26/2025 09:01"])
    put(lab, DAYS[4], [plain, f"8,g,6,{DAYS[4]},27/01/2025 10:00"])
    put(lab, DAYS[5], [plain, f"9,h,many,{DAYS[5]},01/28/2025 10:00"])
    lab.tick()
    result = lab.headrace(
        "sql",
        'select order_id, customer, amount, cast("at" as varchar) as moment from totals order by 1',
    )["rows"]
    assert [tuple(row.values()) for row in result] == [
        (1, "Zoë", 1.5, "2025-01-23 10:00:00"),
        (2, "b", 2.0, "2025-01-24 10:00:00"),
        (3, "c", 1234.5, "2025-01-02 10:00:00"),
        (4, "d", 2.25, "2025-01-02 10:00:00"),
        (5, "Zoé", 3.0, "2025-01-25 09:30:00"),
        (6, "e", 4.0, "2025-01-26 09:00:00"),
        (7, "f", 5.0, "2025-01-26 09:01:00"),
    ]
    kinds = lab.rows(
        "select partition, kind, column_name, policy from drift order by partition, id"
    )
    assert kinds == [
        (DAYS[1], "format", "", "map"),
        (DAYS[1], "format", "amount", "map"),
        (DAYS[2], "format", "", "map"),
        (DAYS[2], "format", "at", "map"),
        (DAYS[3], "format", "", "map"),
        (DAYS[4], "format", "at", "block"),
        (DAYS[5], "type", "amount", "block"),
    ]
    assert lab.rows("select partition, kind, severity from fact order by partition") == [
        (DAYS[4], "format_change", "hold"),
        (DAYS[5], "type_change", "hold"),
    ]

    put(lab, DAYS[6], [f"{plain},extra", f"10,i,7,{DAYS[6]},01/29/2025 10:00,yes"])
    assert ("totals", DAYS[6]) in published(lab.tick()), "`select *` takes what came"


@pytest.mark.long
def test_whole_numbers_become_decimal_where_that_loses_nothing(lab: Lab) -> None:
    """Would catch: a price list held for its first cents; history that is null, or another number,
    once the type is wider; a wider type that takes the last digits of long numbers."""
    header = "order_id,customer,amount,day"
    lab.deliver(DAYS[0], [f"{2**60},a,2,{DAYS[0]}", f"1,a,3,{DAYS[0]}"], header)
    assert ("totals", DAYS[0]) in published(lab.tick())
    lab.deliver(DAYS[1], [f"2,a,0.25,{DAYS[1]}"], header)
    assert ("totals", DAYS[1]) in published(lab.tick())
    assert drift(lab) == [(DAYS[1], "type", "amount", "DOUBLE", "allow", '["totals","report"]')]
    assert lab.rows("select count(*) from fact where kind = 'type_change'") == [(0,)], (
        "nothing to be told of"
    )
    lab.deliver(DAYS[2], [f"3,a,7,{DAYS[2]}"], header)
    assert ("totals", DAYS[2]) in published(lab.tick())
    assert len(drift(lab)) == 1, "it is a DOUBLE from then on"
    assert [(row["day"], row["total"]) for row in lab.read("totals")] == [
        (DAYS[0], 5),
        (DAYS[1], 0.25),
        (DAYS[2], 7),
    ]
    assert sum(row["amount"] for row in lab.read("orders")) == 12.25

    lab.deliver(DAYS[3], [f"4.5,a,1,{DAYS[3]}"], header)
    lab.tick()
    assert lab.rows(
        "select state from partition where node = 'orders' and partition = ?", DAYS[3]
    ) == [("held",)], "2^60 isn't a DOUBLE"
    assert max(row["order_id"] for row in lab.read("orders")) == 2**60


def put(lab: Lab, day: str, lines: list[str], encoding: str = "utf-8") -> None:
    """A delivery as these lines, an hour old."""
    lab.deliver(day, [])
    path = lab.root / f"landing/orders_{day}.csv"
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    past = path.stat().st_mtime - 3600
    os.utime(path, (past, past))


CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.2.0
status: active
schema:
  - name: orders
    quality: [{metric: rowCount, mustBeGreaterThan: 1}]
    properties:
      - {name: order_id, logicalType: integer, required: true}
      - name: customer
        logicalType: string
        customProperties:
          - {property: headrace.names, value: [{name: client, from: 2025-01-03, to: 2025-01-05}, {name: buyer, from: 2025-01-05}]}
      - {name: amount, logicalType: number}
      - {name: day, logicalType: date}
"""


@pytest.mark.long
def test_a_contract_reads_each_day_by_the_names_of_its_time(lab: Lab) -> None:
    """Catches: a year of files with three headers that isn't one table; an old day that comes again
    under today's names and is held; a file with both names that is read by chance; rules of the
    contract that nobody runs; a broken promise that is published."""
    (lab.root / "contracts").mkdir()
    lab.write("contracts/orders.odcs.yaml", CONTRACT)
    for day, name in zip(DAYS, ("customer", "customer", "client", "client", "buyer"), strict=False):
        lab.deliver(
            day, [row.rpartition(",")[0] for row in rows(day)], f"order_id,{name},amount,day"
        )
    assert len([item for item in published(lab.tick()) if item[0] == "totals"]) == 5
    assert drift(lab) == []
    lab.deliver(
        DAYS[1],
        [row.rpartition(",")[0] for row in rows(DAYS[1], "3.50")],
        "order_id,buyer,amount,day",
    )
    assert ("totals", DAYS[1]) in published(lab.tick())
    assert drift(lab) == [(DAYS[1], "renamed", "customer", "buyer", "map", "[]")]
    lab.deliver(DAYS[5], rows(DAYS[5]), "order_id,buyer,amount,day,customer")
    lab.deliver(DAYS[6], [f",c,1,{DAYS[6]}", f"2,c,1,{DAYS[6]}"], "order_id,buyer,amount,day")
    lab.tick()
    assert lab.rows(
        "select partition, state from quarantine where state in ('held', 'rejected') order by"
        " partition"
    ) == [
        (DAYS[5], "held"),
        (DAYS[6], "rejected"),
    ]
    assert lab.rows(
        "select name, outcome from check_result where partition = ? order by name", DAYS[6]
    ) == [
        ("contract_required", "failed"),
        ("contract_rowCount", "passed"),
    ]
    shown = lab.headrace("contract", "show", "orders")
    assert (shown["version"], shown["rules"]) == (
        "1.2.0",
        [{"name": "contract_rowCount", "kind": "row_count", "severity": "blocking"}],
    )
    assert [(item["name"], item["used_by"]) for item in shown["columns"]][1] == (
        "customer",
        ["totals", "report"],
    )
    told = lab.headrace("contract", "diff", f"orders@{DAYS[5]}")
    assert told["breaking"]
    assert [(item["kind"], item["column"], item["policy"]) for item in told["changes"]] == [
        ("added", "customer", "block")
    ]
    lab.write("contracts/orders.odcs.yaml", CONTRACT.replace(", required: true", ""))
    told = lab.headrace("contract", "diff", "orders")
    assert (told["applied"], told["needs"]) == ("1.2.0", "2.0.0")


@pytest.mark.long
def test_a_backfill_over_three_headers_is_one_table(lab: Lab) -> None:
    """Would catch: a backfill that finds nothing under the names of today in what came under those
    of then; an old day that comes again the old way, long after the names have changed, held for it
    or read as null."""
    (lab.root / "contracts").mkdir()
    lab.write("contracts/orders.odcs.yaml", CONTRACT)
    headers = dict(zip(DAYS, ("customer", "customer", "client", "client", "buyer"), strict=False))
    for day, name in headers.items():
        lab.deliver(
            day, [row.rpartition(",")[0] for row in rows(day)], f"order_id,{name},amount,day"
        )
    lab.tick()
    for day in (DAYS[0], DAYS[2]):
        lab.deliver(
            day,
            [row.rpartition(",")[0] for row in rows(day, "2.50")],
            f"order_id,{headers[day]},amount,day",
        )
    lab.tick()
    lab.sql(
        "totals",
        "select day, customer, sum(amount) as total, count(order_id) as n, max(amount) as most from"
        " orders group by all",
    )
    lab.headrace("apply", "--yes")
    lab.headrace(
        "backfill",
        "totals",
        "--from",
        DAYS[0],
        "--to",
        DAYS[4],
        "--mode",
        "all",
        "--reason",
        "the greatest, too",
        "--yes",
    )
    result = lab.headrace(
        "sql",
        "select day, count(customer) as c, sum(n) as n, max(most) as most from totals group by all"
        " order by all",
    )
    assert [list(row.values()) for row in result["rows"]] == [
        [DAYS[0], 3, 6, 2.5],
        [DAYS[1], 3, 6, 1.5],
        [DAYS[2], 3, 6, 2.5],
        [DAYS[3], 3, 6, 1.5],
        [DAYS[4], 3, 6, 1.5],
    ]
    assert drift(lab) == []


def test_who_uses_a_column_is_read_where_it_was_kept(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a leader that finds lineage out once more, for half a second inside a turn,
    because it looks for what is kept in another folder than the one where it was kept."""

    def refuse(*_: object) -> Any:
        raise AssertionError("lineage is computed again")

    lab.deliver(DAYS[0], rows(DAYS[0]), HEADER)
    lab.tick()
    monkeypatch.setattr(impact, "lines_of", refuse)
    lab.deliver(
        DAYS[1], [row.rpartition(",")[0] for row in rows(DAYS[1])], "order_id,customer,sum,day"
    )
    lab.tick()
    assert lab.rows("select used_by from drift where kind = 'renamed'") == [
        ('["totals","report"]',)
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("encoding", "policy"),
    [("utf-16", "map"), ("utf-16", "allow"), ("utf-16-le", "warn"), ("utf-16-le", "block")],
)
def test_another_encoding_is_seen(lab: Lab, encoding: str, policy: str) -> None:
    """Would catch: UTF-16 for UTF-8 (with a mark, or without) that nobody is told of; `on_drift:
    {format: …}` that doesn't count for it; an incident of another name; values that change with the
    encoding; the encoding of one day pinned for all others."""
    source = (
        "source: orders\nowner: acme\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    )
    lab.write("sources/orders.yaml", f"{source}on_drift: {{format: {policy}}}\n")
    plain = "order_id,customer,amount,day"
    put(lab, DAYS[0], [plain, f"1,Zoë,1.50,{DAYS[0]}"])
    lab.tick()
    put(lab, DAYS[1], [plain, f"2,Zoë,2.50,{DAYS[1]}"], encoding=encoding)
    put(lab, DAYS[2], [plain, f"3,Zoë,3.50,{DAYS[2]}"])
    lab.tick()
    ((day, kind, why, used),) = lab.rows("select partition, kind, evidence, policy from drift")
    assert (day, kind, used) == (DAYS[1], "format", policy)
    assert json.loads(why)[0].startswith(f"the encoding is {encoding.upper()} instead of UTF-8")
    result = lab.headrace("sql", "select order_id, customer from orders order by 1")["rows"]
    days = [1, 3] if policy == "block" else [1, 2, 3]
    assert [tuple(row.values()) for row in result] == [(day, "Zoë") for day in days]
    causes = [
        item["cause"]["kind"]
        for item in lab.headrace("incidents")
        if item["cause"]["partition"] == DAYS[1]
    ]
    assert causes == ([] if policy == "allow" else ["format_change"])


WIDTHS = (
    "{columns: [{name: id, width: 2, type: bigint}, {name: who, width: 4}], encoding: ENCODING}"
)
LINES = " 1Zoé \n 2Bo  \n"


@pytest.mark.parametrize(
    ("was", "now"),
    [("utf-8", "cp1252"), ("latin-1", "utf-16-le"), ("utf-8", "utf-16-be"), ("latin-1", "utf-32")],
)
@NEEDS_LEGACY
def test_lines_of_fixed_width_in_another_encoding(tmp_path: Path, was: str, now: str) -> None:
    """Would catch: lines by places rejected where the same change of a CSV file is read otherwise;
    the change told against UTF-8 where something else is declared."""
    lab = Lab(tmp_path / "p")
    files = "landing/orders_{date:%Y-%m-%d}.txt"
    lab.write(
        "sources/orders.yaml",
        f"source: orders\nowner: acme\npartition: day\nfiles: {files}\nfixed_width: {WIDTHS}\n".replace(
            "ENCODING", was
        ),
    )
    for day, encoding in ((DAYS[0], was), (DAYS[1], now)):
        path = lab.root / f"landing/orders_{day}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(LINES.encode(encoding))
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)
        lab.tick()
    ((why, policy),) = lab.rows("select evidence, policy from drift")
    assert json.loads(why)[0].startswith(f"the encoding is {now.upper()} instead of {was.upper()}")
    assert policy == "map"
    assert sorted((row["id"], row["who"]) for row in lab.read("orders")) == [
        (1, "Zoé"),
        (1, "Zoé"),
        (2, "Bo"),
        (2, "Bo"),
    ]


def deliver_json(lab: Lab, day: str, key: str, unused: str = "old") -> None:
    objects = [
        {"order_id": n, "day": day, "to": {"name": f"c{n}", key: f"10{n}0"}, "extra": {unused: n}}
        for n in range(3)
    ]
    path = lab.root / f"landing/orders_{day}.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in objects), encoding="utf-8")
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)


@pytest.mark.long
def test_a_key_inside_json_that_gets_another_name(tmp_path: Path) -> None:
    """Would catch: nulls for everybody who reads the old key; a delivery held for what nobody uses,
    or said of it every day; a change that somebody allowed and that is found again in every
    delivery."""
    lab = Lab(tmp_path / "p")
    source = lab.root / "sources/orders.yaml"
    source.write_text(source.read_text().replace(".csv", ".jsonl"))
    lab.sql("places", "select day, \"to\"->>'$.zip' as zip, count(*) as n from orders group by all")
    deliver_json(lab, DAYS[0], "zip")
    assert ("places", DAYS[0]) in published(lab.tick())
    deliver_json(lab, DAYS[1], "zip", "new")
    assert ("places", DAYS[1]) in published(lab.tick())
    deliver_json(lab, DAYS[2], "postcode", "new")
    lab.tick()
    held = lab.rows(
        "select state, reason from partition where node = 'orders' and partition = ?", DAYS[2]
    )
    assert held == [("held", "column to.zip is gone, to.postcode is new; used by places")]
    assert [(day, kind, name, policy) for day, kind, name, _, policy, _ in drift(lab)] == [
        (DAYS[1], "nested", "extra", "warn"),
        (DAYS[2], "nested", "to", "block"),
    ]
    assert {item["cause"]["kind"] for item in lab.headrace("incidents")} == {"schema_change"}
    source.write_text(source.read_text() + "on_drift: {nested: warn}\n")
    lab.headrace("apply", "--yes")
    deliver_json(lab, DAYS[2], "postcode", "new")
    lab.tick()
    assert lab.rows(
        "select state from partition where node = 'orders' and partition = ?", DAYS[2]
    ) == [("published",)]
    said = len(drift(lab))
    deliver_json(lab, DAYS[3], "postcode", "new")
    lab.tick()
    assert lab.rows(
        "select state from partition where node = 'orders' and partition = ?", DAYS[3]
    ) == [("published",)]
    assert len(drift(lab)) == said, "what was published is what is known"


def test_a_name_that_the_header_gives_twice(lab: Lab) -> None:
    """Catches: a second `amount` that becomes `amount_2` and is published in silence; the same
    header warned of every day.
    """
    lab.sql("totals", "select day, customer, count(*) as n from orders group by all")
    said = "the header names both columns 3 and 6 `amount`"
    twice = f"{HEADER},amount"
    lab.deliver(DAYS[0], [f"{row},2.5" for row in rows(DAYS[0])], twice)
    assert ("orders", DAYS[0]) in published(lab.tick())
    assert lab.rows("select verdict from publication where node = 'orders'") == [("warned",)]
    assert lab.rows("select kind, column_name, severity, detail from fact") == [
        ("schema_change", "amount_2", "warn", f"added; {said}")
    ]
    assert drift(lab) == [(DAYS[0], "added", "amount_2", None, "warn", "[]")]
    lab.deliver(DAYS[1], [f"{row},2.5" for row in rows(DAYS[1])], twice)
    assert ("orders", DAYS[1]) in published(lab.tick())
    assert len(drift(lab)) == 1, "it was said once"
    lab.deliver(DAYS[2], [f"{row},2.5,3.5" for row in rows(DAYS[2])], f"{twice},Day")
    lab.tick()
    held = lab.rows(
        "select state, reason from partition where node = 'orders' and partition = ?", DAYS[2]
    )
    assert held == [
        (
            "held",
            (
                "1 column new: Day_2 (the header names both columns 4 and 7 `day` (the second as"
                " `Day`))"
            ),
        )
    ]


def test_a_doubled_name_where_the_columns_are_known(lab: Lab) -> None:
    """Catches: a column of a made-up name that a pinned table gets without a decision; a declared
    decision that isn't heard.
    """
    lab.deliver(DAYS[0], rows(DAYS[0]), HEADER)
    lab.tick()
    twice = f"{HEADER},amount"
    lab.deliver(DAYS[1], [f"{row},2.5" for row in rows(DAYS[1])], twice)
    lab.tick()
    held = lab.rows(
        "select state, reason from partition where node = 'orders' and partition = ?", DAYS[1]
    )
    assert held == [
        ("held", "1 column new: amount_2 (the header names both columns 3 and 6 `amount`)")
    ]
    assert drift(lab) == [(DAYS[1], "added", "amount_2", None, "block", "[]")]
    source = (lab.root / "sources/orders.yaml").read_text()
    lab.write("sources/orders.yaml", f"{source}on_drift: {{added: warn}}\n")
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[2], [f"{row},2.5" for row in rows(DAYS[2])], twice)
    # what was held by the old declaration is read again by the new one, in either order
    assert {("orders", DAYS[1]), ("orders", DAYS[2])} <= set(published(lab.tick()))
    assert {(day, "added", "amount_2", None, "warn", "[]") for day in DAYS[1:3]} <= set(drift(lab))


def test_a_bad_day_among_the_first(lab: Lab) -> None:
    """Catches: a source of good days and one bad one, seen together, whose dates and amounts are
    text for ever.
    """
    lab.sql("totals", "select day, customer, sum(amount) as total from orders group by all")
    for day in DAYS[:4]:
        lab.deliver(day, rows(day, "x.50" if day == DAYS[1] else "1.50"), HEADER)
    done = {key for node, key in published(lab.tick()) if node == "orders"}
    assert done == {DAYS[0], DAYS[2], DAYS[3]}
    held = lab.rows(
        "select partition, state, reason from partition where state in ('held', 'rejected') and"
        " node = 'orders'"
    )
    assert [(key, state) for key, state, _ in held] == [(DAYS[1], "held")]
    assert "line 2" in held[0][2]
    result = lab.headrace(
        "sql", "select typeof(amount) as t, typeof(day) as d from orders group by all"
    )["rows"]
    assert [list(row.values()) if isinstance(row, dict) else row for row in result] == [
        ["DOUBLE", "DATE"]
    ]


def test_a_single_date_that_is_none_is_named_with_its_line_and_the_format(tmp_path: Path) -> None:
    """Would catch: "another type in placed" of a column of dates as they always were, in which one
    value is none.
    """
    lab = Lab(tmp_path / "p")

    def deliver(day: str, seventh: str) -> None:
        dates = [f"{n + 1:02d}/02/2025" for n in range(28)]
        dates[6] = seventh
        lab.deliver(
            day,
            [f"{day[-2:]}{n},c,{when},{day}" for n, when in enumerate(dates)],
            "order_id,customer,placed,day",
        )

    for day in DAYS[:2]:
        deliver(day, "07/02/2025")
    lab.tick()
    deliver(DAYS[2], "31/02/2025")
    lab.tick()
    ((reason,),) = lab.rows("select reason from quarantine")
    assert plain(reason).startswith(
        "column placed: first value that isn't DATE (%d/%m/%Y): '31/02/2025' at line 8, 1 row"
    )
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "type_change"
    assert incident["cause"]["summary"] == "1 value of placed isn't DATE (%d/%m/%Y), at line 8"


@pytest.mark.long
@pytest.mark.parametrize("change", ["wider", "added"])
def test_columns_that_deliveries_taught_stay_pinned_by_other_applies(lab: Lab, change: str) -> None:
    """Would catch: a source that learns its columns anew after any apply, because it had learnt
    since the apply before; renamed columns and texts instead of amounts were published then."""
    lab.deliver(DAYS[0], rows(DAYS[0], "2"), HEADER)
    lab.tick()
    other = "- {consumer: other, owner: core, reads: [totals], due: '10:00'}\n"
    lab.write("consumers.yaml", other)
    lab.headrace("apply", "--yes")
    if change == "wider":
        lab.deliver(DAYS[1], rows(DAYS[1], "2.50"), HEADER)
    else:
        lab.deliver(DAYS[1], [f"{row},1" for row in rows(DAYS[1], "2")], f"{HEADER},tax")
    assert ("totals", DAYS[1]) in published(lab.tick())

    lab.write("consumers.yaml", other.replace("10:00", "11:00"))
    steps = lab.headrace("plan")["steps"]
    assert ("unpin", "orders") not in {(step["kind"], step["node"]) for step in steps}
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[2], rows(DAYS[2], "much"), HEADER.replace("customer", "client"))
    assert ("orders", DAYS[2]) not in published(lab.tick())


def test_columns_that_nobody_changed_are_no_change_of_a_plan(lab: Lab) -> None:
    """Would catch: `schema (breaking)` and `unpin` of assets whose input had learnt a wider type
    since the apply before, in the plan of a change of something else; one that is missing where
    a person changed a column above."""
    lab.python(
        "priced",
        "def priced(ctx: Context, orders):\n    return orders.select(['day', 'amount'])",
        inputs=["orders"],
        partition={"by": "day", "column": "day"},
    )
    lab.sql("prices", "select day, amount * 2 as twice from priced")
    lab.sql("twice", "select day, twice from prices")
    lab.deliver(DAYS[0], rows(DAYS[0], "2"), HEADER)
    lab.tick()
    other = "- {consumer: other, owner: core, reads: [totals, twice], due: '10:00'}\n"
    lab.write("consumers.yaml", other)
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[1], rows(DAYS[1], "2.50"), HEADER)
    assert ("twice", DAYS[1]) in published(lab.tick())

    lab.write("consumers.yaml", other.replace("10:00", "09:00"))
    plan = lab.headrace("plan")
    assert [(item["node"], item["change"]) for item in plan["changes"]] == [("other", "promise")]
    assert {step["kind"] for step in plan["steps"]} == {"declare"}

    lab.sql("prices", "select day, amount::varchar as twice from priced")
    changes = [(item["node"], item["change"]) for item in lab.headrace("plan")["changes"]]
    assert sorted(changes) == [("other", "promise"), ("prices", "body"), ("twice", "schema")]


def test_a_decimal_comma_after_whole_numbers_names_its_option(lab: Lab) -> None:
    """Would catch: `2,50` after whole numbers that is only "not BIGINT", with a vendor to be asked,
    where a declaration reads it; the option named for values that it doesn't read."""
    header = HEADER.replace(",", ";")

    def deliver(day: str, amount: str) -> None:
        lab.deliver(
            day, [row.replace(",", ";").replace("A", amount) for row in rows(day, "A")], header
        )

    deliver(DAYS[0], "2")
    lab.tick()
    deliver(DAYS[1], "2,50")
    deliver(DAYS[2], "2 or so")
    lab.tick()
    option = 'csv: {decimal: ","}'
    waiting = {row["partition"]: row["reason"] for row in lab.headrace("quarantine", "orders")}
    assert {day: option in reason for day, reason in waiting.items()} == {
        DAYS[1]: True, DAYS[2]: False,
    }  # fmt: skip
    path = lab.root / "sources/orders.yaml"
    path.write_text(f"{path.read_text(encoding='utf-8')}{option}\n", encoding="utf-8")
    lab.headrace("apply", "--yes")
    assert ("totals", DAYS[1]) in published(lab.tick())
    assert lab.headrace("sql", "select sum(amount) as amount from orders")["rows"] == [
        {"amount": 27.0}
    ]
