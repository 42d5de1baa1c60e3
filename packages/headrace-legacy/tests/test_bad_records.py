"""Bad records of a copybook, which are kept as rows that say so, and what totals say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from connect_workbench import Workbench, rows_of
from runlab import DAYS, Lab

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.copybook_records import Batch
from headrace_legacy.copybook_values import BadValue, table_of
from headrace_legacy.copybooks import CopybookError

BOOK = """
01 HEADER.
   05 KIND PIC X.
   05 ON-DAY PIC 9(8).
01 DETAIL.
   05 FILLER PIC X.
   05 ACCT PIC 9(4).
   05 AMOUNT PIC 9(3).
   05 STATE PIC X.
      88 OPEN-ONE VALUE 'O'.
01 TRAILER.
   05 FILLER PIC X.
   05 DETAILS PIC 9(4).
   05 TOTAL PIC 9(4).
"""
OPTIONS = {
    "text": BOOK,
    "code_page": "latin-1",
    "rows": "DETAIL",
    "choose": {"HEADER": {"by": "KIND", "values": {"H": "HEADER", "D": "DETAIL", "T": "TRAILER"}}},
    "conditions": ["STATE"],
    "bad_records": "keep",
}
TRAILER = {"record": "TRAILER", "of": "DETAIL", "count": "DETAILS", "sums": {"TOTAL": "AMOUNT"}}


def take(bench: Workbench, records: list[str], **more: Any) -> Any:
    accepted = more.pop("accepted", False)
    data = "".join(records).encode()
    return bench.take(data, "a.dat", options={"copybook": {**OPTIONS, **more}}, accepted=accepted)


FILE = ["H20240102", "D0001100O", "D00x2200O", "X0003300O", "D0004400O", "D0005500Z", "T00031500"]


def test_bad_records_are_rows_with_their_place_and_reason(bench: Workbench) -> None:
    """Would catch: a good record lost beside a bad one, rows in another order, a bad one without
    its place, another reason than its own, a value in the reason, which would be read by whoever
    may not read its column."""
    found = rows_of(take(bench, FILE))
    assert [(row["acct"], row["record_number"], row["record_byte"]) for row in found] == [
        (1, 2, 9),
        (None, 3, 18),
        (None, 4, 27),
        (4, 5, 36),
        (None, 6, 45),
    ]
    assert [row["record_problem"] for row in found] == [
        None,
        "ACCT isn't a number: …",
        "KIND is …, which `choose` doesn't name",
        None,
        "STATE is …, which is in none of its conditions",
    ]
    refused = take(bench, FILE, bad_records="refuse")
    assert isinstance(refused, UnreadableFile)
    assert "from byte" in plain(refused.reason)


def test_bad_records_of_all_columns_are_found_at_once() -> None:
    """Would catch: a batch that is read once for each item with bad values."""
    book = "01 REC. " + " ".join(f"05 N{at} PIC 9." for at in range(9))
    table = table_of({"text": book, "code_page": "latin-1", "bad_records": "keep"})
    data = np.frombuffer(b"".join(b"1" * at + b"x" + b"1" * (8 - at) for at in range(9)), np.uint8)
    batch = Batch(data.reshape(9, 9), None, np.arange(9) * 9, 1)
    with pytest.raises(BadValue) as raised:
        table.read(batch)
    assert [raised.value.reasons[at][:2] for at in range(9)] == [f"N{at}" for at in range(9)]


def test_only_bad_records(bench: Workbench) -> None:
    found = rows_of(take(bench, ["Dxxxx100O", "Dyyyy100O"]))
    assert [row["record_problem"] for row in found] == ["ACCT isn't a number: …"] * 2


@pytest.mark.parametrize(
    ("bad", "trailer", "reason"),
    [
        ("D00x2200O", "T00020300", ""),
        ("D00022x0O", "T00020300", "TOTAL is 300, and the records come to 100, without 1 that"),
        ("Q0002200O", "T00020300", "DETAILS is 2, and the records come to 1, without 1 that"),
        ("D00x2200O", "T00010100", "DETAILS is 1, and the records come to 2"),
    ],
)
def test_totals_are_those_of_all_records(
    bench: Workbench, bad: str, trailer: str, reason: str
) -> None:
    """Would catch: a total that nobody could compare, taken for right; bad records left out of a
    total that the file states with them."""
    file = ["D0001100O", bad, trailer]
    taken = take(bench, file, trailer=TRAILER)
    if not reason:
        assert len(rows_of(taken)) == 2
        return
    assert isinstance(taken, UnreadableFile), taken
    assert taken.code == "delivery_total"
    assert reason in plain(taken.reason)
    assert len(rows_of(take(bench, file, trailer=TRAILER, accepted=True))) == 2


def test_a_file_without_a_readable_trailer_is_refused(bench: Workbench) -> None:
    refused = take(bench, ["D0001100O", "T0001010x"], trailer=TRAILER)
    assert isinstance(refused, UnreadableFile)
    assert refused.code == "delivery_truncated"
    after = take(bench, ["T00000000", "D0001100O"], trailer=TRAILER)
    assert "isn't the last record" in plain(after.reason)


def test_names_of_columns_are_free() -> None:
    with pytest.raises(CopybookError, match="record_byte"):
        table_of({"text": "01 A. 05 RECORD-BYTE PIC X.", "bad_records": "keep"})


SOURCE = """
source: accounts
owner: acme
partition: day
files: "landing/{date:%Y-%m-%d}.dat"
on_fail: quarantine_rows
checks:
  - sql: {name: readable, query: "select * from $self where record_problem is not null"}
copybook:
  code_page: latin-1
  bad_records: keep
  text: |
    01 REC.
       05 ACCT PIC 9(4).
       05 NAME PIC X.
"""


def test_bad_records_in_quarantine(tmp_path: Path) -> None:
    """Would catch: good records that wait with bad ones, and a bad one that is published."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/accounts.yaml", SOURCE)
    (lab.root / f"landing/{DAYS[0]}.dat").write_bytes(b"0001a00x2b0003c")
    lab.tick()
    assert [row["acct"] for row in lab.read("accounts")] == [1, 3]
    (waiting,) = lab.headrace("quarantine")
    assert (waiting["node"], waiting["rows"]) == ("accounts", 1)
