"""Files whose shape is wrong, in a real project: the incident says what the file is, and what to do
about it.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from runlab import DAYS, Lab

DAY = DAYS[5]
LONG = [f"measurement_of_station_{number:02d}" for number in range(14)]
HEADER = ",".join(["order_id", "customer", "amount", "day", *LONG])
AMISS = dict[str, tuple[Callable[[str], str | bytes], str, str]]


def rows(day: str) -> list[str]:
    chance = random.Random(day)
    of_stations = ",".join(["0.5"] * len(LONG))
    amounts = [chance.uniform(1, 50) for _ in range(40)]
    result = enumerate(amounts)
    return [f"{day[-2:]}{n:03d},c{n % 7},{item:.2f},{day},{of_stations}" for n, item in result]


def ragged(change: Callable[[str], str]) -> Callable[[str], str]:
    """Every row from the eleventh on is another one."""

    def shaped(text: str) -> str:
        lines = text.splitlines()
        return "\n".join([*lines[:11], *map(change, lines[11:])]) + "\n"

    return shaped


def within_row(text: str) -> str:
    return text[: text.index("0.5", len(text) * 2 // 3)]


def within_value(text: str) -> str:
    return text[: text.index("\n", len(text) * 2 // 3) - 1]


SHAPES: AMISS = {
    "cut within a row": (within_row, "volume_anomaly", "the file is cut off: line "),
    "cut within a value": (within_value, "volume_anomaly", "it is cut off"),
    "a packed file that is cut": (
        lambda text: gzip.compress(text.encode())[:300],
        "volume_anomaly",
        "the gzip file is truncated",
    ),
    "empty": (lambda _: "", "volume_anomaly", "the file is empty"),
    "short rows": (
        ragged(lambda row: row.rpartition(",")[0]),
        "format_change",
        "line 12: 17 values where the header has 18 columns",
    ),
    "long rows": (
        ragged(lambda row: row + ",7"),
        "format_change",
        "line 12: 19 values where the header has 18 columns",
    ),
    "a new column without values": (
        lambda text: text.replace("customer", "customer,status", 1),
        "format_change",
        "line 2: 18 values where the header has 19 columns",
    ),
    "another delimiter under a long header": (
        lambda text: text.replace(",", ";"),
        "format_change",
        "columns are separated by a semicolon, pinned is a comma",
    ),
    "an open quote": (
        lambda text: text.replace(",c3,", ',"c3,', 1),
        "format_change",
        "a quote that is never closed",
    ),
    "an error page": (
        lambda _: "<html><body>502 Bad gateway</body></html>\n",
        "format_change",
        "the file is an HTML page",
    ),
    "a JSON document": (
        lambda _: json.dumps([{"order_id": 1, "customer": "a"}]),
        "format_change",
        "the file is a JSON document",
    ),
    "lines before the header": (
        lambda text: f"Report of the day\n\n{text}",
        "format_change",
        "2 lines come before the header, which is line 3",
    ),
}


def deliver(lab: Lab, day: str, text: str | bytes) -> None:
    path = lab.root / f"landing/orders_{day}.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    past = path.stat().st_mtime - 3600
    os.utime(path, (past, past))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql("totals", "select day, customer, sum(amount) as total from orders group by all")
    consumer = "{consumer: report, owner: core, reads: [totals], max_age: 400d}"
    made.write("consumers.yaml", f"- {consumer}\n")
    for day in DAYS[:5]:
        deliver(made, day, "\n".join([HEADER, *rows(day)]) + "\n")
    made.tick()
    return made


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_the_shape_is_the_cause(lab: Lab, shape: str) -> None:
    """Would catch: `unknown`, a wrong name of a column or asset code blamed for a file that is cut
    off or ragged; a `retry` of what can't come to anything else; rows of a delivery in a message;
    a redelivery that doesn't end it."""
    change, kind, said = SHAPES[shape]
    sound = "\n".join([HEADER, *rows(DAY)]) + "\n"
    deliver(lab, DAY, change(sound))
    lab.tick()
    (incident,) = lab.headrace("incidents")
    cause = incident["cause"]
    assert (cause["kind"], cause["node"], cause["partition"]) == (kind, "orders", DAY)
    assert said in cause["summary"]
    evidence = [item["observed"] for item in cause["evidence"]]
    assert any(said in item for item in evidence), evidence
    assert not any(row[:12] in item for row in rows(DAY) for item in evidence)
    state = "select state from partition where node = 'orders' and partition = ?"
    if lab.rows(state, DAY) == [("published",)]:
        return  # another delimiter is mapped, and told of
    assert incident["repair"]["command"] == "headrace tick"
    assert incident["repair"]["first"].startswith("ask acme for the file as it was agreed")
    deliver(lab, DAY, sound)
    lab.tick()
    lab.tick()
    assert lab.headrace("incidents") == []
    assert lab.headrace("status")["consumers"][0]["state"] == "served"


@pytest.mark.parametrize(("end", "kind"), [("2025-0", "volume_anomaly"), ("soon", "type_change")])
def test_a_file_that_ends_within_a_date(tmp_path: Path, end: str, kind: str) -> None:
    """Would catch: "another type in day" for a copy that broke off within the last value of a row;
    a word in the last line of a file without a line end taken for a file that is cut off."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, customer, sum(amount) as total from orders group by all")
    for day in DAYS[:5]:
        lab.orders(day, n=30)
    lab.tick()
    lab.orders(DAY, n=30)
    whole = (lab.root / f"landing/orders_{DAY}.csv").read_text()
    deliver(lab, DAY, whole[: whole.index(DAY, len(whole) // 2)] + end)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    cause = incident["cause"]
    assert (cause["kind"], cause["partition"]) == (kind, DAY), cause
    assert ("the file is cut off: line " in cause["summary"]) == (kind == "volume_anomaly"), cause


@pytest.mark.long
def test_files_that_never_end_their_last_line(tmp_path: Path) -> None:
    """Would catch: a vendor whose files never end with a line end, held every day for it; one who
    begins to leave it out in files that are whole held for it."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, sum(amount) as total from orders group by all")
    for day in DAYS[:4]:
        deliver(lab, day, "\n".join([HEADER, *rows(day)]))
        lab.tick()
    assert lab.headrace("incidents") == []
    other = Lab(tmp_path / "q")
    other.sql("totals", "select day, sum(amount) as total from orders group by all")
    for day in DAYS[:3]:
        deliver(other, day, "\n".join([HEADER, *rows(day)]) + "\n")
    other.tick()
    deliver(other, DAYS[3], "\n".join([HEADER, *rows(DAYS[3])]))
    other.tick()
    verdict = "select verdict from publication where node = 'orders' and partition = ?"
    assert other.rows(verdict, DAYS[3]) == [("warned",)]
    for day in DAYS[4:6]:
        deliver(other, day, "\n".join([HEADER, *rows(day)]))
        other.tick()
    assert other.headrace("incidents") == []


@pytest.mark.long
def test_an_encoding_that_is_learnt_is_told(tmp_path: Path) -> None:
    """Would catch: a source that is held to UTF-16 since its first delivery, of which nobody is
    told, and a day in Windows-1252 after it that is said to be UTF-8, too."""
    lab = Lab(tmp_path / "p")
    for day, encoding in zip(DAYS[:3], ("cp1252", "utf-16", "cp1252"), strict=True):
        rows = "".join(f"{day[-2:]}{n},Café Müller {n % 3},1.50,{day}\n" for n in range(12))
        (lab.root / f"landing/orders_{day}.csv").write_bytes(
            f"order_id,customer,amount,day\n{rows}".encode(encoding)
        )
        lab.tick()
    learnt = next(item["learnt"] for item in lab.headrace("deliveries", "orders") if item["learnt"])
    assert any("the first delivery is UTF-16" in warning for warning in learnt["warnings"]), learnt
    told = [text for (text,) in lab.rows("select evidence from drift where kind = 'format'")]
    assert len(told) == 1 and "the encoding is CP1252 instead of UTF-16" in told[0], told
