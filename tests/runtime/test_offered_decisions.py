"""Each command that `quarantine` and an incident offer for held data does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from legacy_formats import NEEDS_LEGACY
from runlab import DAYS, NOW, Lab, copied

HEADER = "order_id,customer,amount,day,note"
DAY = DAYS[3]
COMMAND = re.compile(r"headrace (?:quarantine|contract) accept [^);\"]+")
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
name: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: order_id, physicalType: BIGINT}
      - {name: customer, physicalType: VARCHAR}
      - {name: amount, physicalType: "DECIMAL(9,2)"}
      - {name: day, physicalType: DATE}
      - {name: note, physicalType: VARCHAR}
"""


def rows(day: str, amount: str = "1.50", n: int = 12) -> list[str]:
    return [f"{day[-2:]}{i},c{i % 3},{amount},{day},{day}-{i}" for i in range(n)]


def put(lab: Lab, day: str, content: Sequence[str] | bytes, ending: str = "csv") -> None:
    path = lab.root / f"landing/orders_{day}.{ending}"
    path.write_bytes(
        content if isinstance(content, bytes) else ("\n".join(content) + "\n").encode()
    )
    os.utime(path, (NOW.timestamp() - 3600, NOW.timestamp() - 3600))


def source(lab: Lab, ending: str = "csv", more: str = "") -> None:
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nrestate_within: 30d\n"
        f"files: landing/orders_{{date:%Y-%m-%d}}.{ending}\n{more}",
    )


def known(lab: Lab) -> None:
    for day in DAYS[:3]:
        put(lab, day, [HEADER, *rows(day)])
    lab.tick()


def csv(*lines: str, more: str = "") -> Callable[[Lab], None]:
    """A day of these lines, after three usual days."""

    def deliver(lab: Lab) -> None:
        source(lab, more=more)
        known(lab)
        put(lab, DAY, lines)

    return deliver


def records(before: object, now: object, ending: str) -> Callable[[Lab], None]:
    """Records with a value of `before` in `b` on three days, then with one of `now`."""

    def encoded(value: object, n: int) -> bytes:
        items = [{"a": number, "b": value} for number in range(n)]
        if ending == "jsonl":
            return "\n".join(map(json.dumps, items)).encode()
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(items), sink)
        return bytes(sink.getvalue())

    def deliver(lab: Lab) -> None:
        source(lab, ending)
        lab.sql("totals", "select count(a) as n, count(b) as m from orders", front="")
        for number, day in enumerate(DAYS[:3]):
            put(lab, day, encoded(before, 10 + number), ending)
        lab.tick()
        put(lab, DAY, encoded(now, 13), ending)

    return deliver


def first(lab: Lab) -> None:
    (lab.root / "contracts").mkdir()
    lab.write("contracts/orders.odcs.yaml", CONTRACT)
    put(lab, DAY, [HEADER, *rows(DAY), f"99,c,much,{DAY},x"])


def workbook(lab: Lab) -> None:
    known(lab)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"order_id": [1], "customer": ["c"]}), sink)
    put(lab, DAY, bytes(sink.getvalue()))


def other_days(lab: Lab) -> None:
    """Rows that belong to no day, in a file whose rows name their day."""
    source(lab)
    path = lab.root / "sources/orders.yaml"
    text = path.read_text(encoding="utf-8").replace("{date:%Y-%m-%d}", "*")
    path.write_text(text.replace(": day\n", ": {by: day, column: day}\n"), encoding="utf-8")
    known(lab)
    put(lab, DAY, [HEADER, *rows(DAY), "1,c,1,,x"])


def swapped(lab: Lab) -> None:
    dates = ["01/23/2025", "02/24/2025"]
    header = "order_id,customer,amount,day,note"
    for day in DAYS[:3]:
        put(lab, day, [header, *[f"{i},c,{i}.5,{day},{dates[i % 2]}" for i in range(9)]])
    lab.tick()
    dates = ["23/01/2025", "24/02/2025"]
    put(lab, DAY, [header, *[f"{i},c,{i}.5,{DAY},{dates[i % 2]}" for i in range(9)]])


RENAMED = HEADER.replace("amount", "price")
DROPPED = [",".join(row.split(",")[:2] + row.split(",")[3:]) for row in (HEADER, *rows(DAY))]
SEMICOLONS = [row.replace(",", ";") for row in (HEADER, *rows(DAY))]
KINDS: dict[str, tuple[Callable[[Lab], None], str]] = {
    "values": (csv(HEADER, *rows(DAY, "much")), "accept"),
    "a column is gone": (csv(*DROPPED), "accept"),
    "renamed": (csv(RENAMED, *rows(DAY)), "contract"),
    "two columns of a name": (csv(f"{HEADER},amount", *[f"{r},2" for r in rows(DAY)]), "accept"),
    "another header": (csv("p,q,r", "k,l,m", "n,o,p"), ""),
    "no header": (csv(*rows(DAY)), ""),
    "the header again": (csv(HEADER, *rows(DAY), HEADER, *rows(DAY, n=2)), ""),
    "another delimiter": (csv(*SEMICOLONS, more="on_drift: {format: block}\n"), "accept"),
    "days for months": (swapped, "accept"),
    "fewer rows": (csv(HEADER, *rows(DAY, n=3), more="expect: {rows: 10..50}\n"), "accept"),
    "a check": (
        csv(HEADER, *rows(DAY), *rows(DAY), more="checks:\n  - unique: [order_id]\n"),
        "accept",
    ),
    "another format": (workbook, ""),
    "the first file": (first, ""),
    "rows of no day": (other_days, ""),
    "text in Parquet": (records(1, "much", "parquet"), ""),
    "a list in Parquet": (records(1, [1, 2], "parquet"), ""),
    "objects for values": (records(1, {"x": 2}, "jsonl"), ""),
    "an array for an object": (records({"x": 1}, [1, 2], "jsonl"), "accept"),
}


@pytest.mark.long
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=NEEDS_LEGACY) if kind == "another format" else kind
        for kind in KINDS
    ],
)
def test_what_is_offered_for_held_data_works(tmp_path: Path, kind: str) -> None:
    """Would catch: `quarantine accept` offered for a delivery that no rule reads, with "readers
    then see NULL"; a `contract accept` of names where only the delimiter changed."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, sum(amount) as n, count(note) as m from orders group by day")
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '09:00'}\n"
    )
    deliver, offered = KINDS[kind]
    deliver(lab)
    lab.tick()
    waiting = lab.headrace("quarantine", "orders")
    assert [row["partition"] for row in waiting] == [DAY]
    incidents = lab.headrace("incidents")
    details: list[Any] = [lab.headrace("incident", item["id"]) for item in incidents]
    commands = sorted(set(COMMAND.findall(json.dumps([waiting, incidents, details]))))
    assert {command.split()[1] for command in commands} == (
        {"contract"} if offered == "contract" else {"quarantine"} if offered else set()
    )
    assert not offered or "NULL" not in waiting[0]["todo"] or offered == "accept"
    for number, command in enumerate(commands):
        tried = copied(lab, tmp_path / str(number))
        tried.headrace(*shlex.split(command.strip())[1:])
        tried.tick()
        assert tried.headrace("quarantine", "orders") == [], command
