"""FIX logs: messages, groups, and what lengths, checksums and numbers say of them."""

from __future__ import annotations

import os
import random
import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import CannotRead, UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.fix import COLUMNS, Fix

MUTATIONS = int(os.environ.get("HEADRACE_MUTATIONS", "300"))
SOH = "\x01"
HEAD = "49=BUY|56=SELL|34={}|52=20240102-10:00:00.123456789|"
ORDER = "35=D|" + HEAD + "11=C1|55=ACME|54=1|38=100|40=2|44=1.10|60=20240102-10:00:00|"
FILL = "35=8|" + HEAD + "37=O1|17=E1|150=F|39=2|31=1.099|32=100|14=100|151=0|6=1.099|75=20240102|"
CROSS = (
    "35=s|" + HEAD + "548=X|549=2|552=2|54=1|11=A|453=2|448=P1|447=D|452=1|448=P2|447=D|452=3|"
    "38=9|54=2|11=B|453=1|448=P3|447=D|452=1|802=1|523=S|803=2|38=9|58=of a side|55=ACME|"
)
PRICES = (
    "35=X|" + HEAD + "262=R|268=2|279=0|269=0|55=ACME|270=1.10|271=5|273=10:00:00.5|"
    "279=2|269=1|55=ACME|9001=own|290=1|"
)


def message(
    body: str, version: str = "FIX.4.4", separator: str = SOH, encoding: str = "utf-8"
) -> bytes:
    """A message with the right length and checksum, whose separators are then exchanged."""
    content = body.replace("|", SOH).encode(encoding)
    whole = f"8={version}{SOH}9={len(content)}{SOH}".encode() + content
    whole += f"10={sum(whole) % 256:03}{SOH}".encode()
    return whole.replace(SOH.encode(), separator.encode())


def log(*bodies: str, **more: Any) -> bytes:
    """Messages in lines, numbered from 1."""
    return b"\n".join(message(body.format(at), **more) for at, body in enumerate(bodies, 1)) + b"\n"


def take(bench: Workbench, content: bytes, rows: str = "fields", **more: Any) -> Any:
    accepted = more.pop("accepted", False)
    return bench.take(content, "a.fix", options={"fix": {"rows": rows, **more}}, accepted=accepted)


@pytest.mark.parametrize(
    "separator", [SOH, "|", " | ", "^", "^A", ";", "<SOH>", "\\x01", "\\u0001", "␁"]
)
def test_orders_and_fills(bench: Workbench, separator: str) -> None:
    """Would catch: prices through a double, nanoseconds cut, lengths counted with the separators
    that a log shows instead of SOH."""
    content = log(ORDER, FILL, separator=separator)
    (order,) = rows_of(take(bench, content, "orders"))
    assert (order["price"], order["quantity"]) == (Decimal("1.10"), Decimal(100))
    assert (order["message"], order["message_type"], order["sequence"]) == (1, "D", 1)
    assert order["transacted"] == datetime(2024, 1, 2, 10)  # noqa: DTZ001
    (fill,) = rows_of(take(bench, content, "executions"))
    assert (fill["last_price"], fill["open_quantity"]) == (Decimal("1.099"), Decimal(0))
    found = rows_of(take(bench, content, "messages"))
    assert [row["message_type"] for row in found] == ["D", "8"]


def test_nanoseconds_are_kept(bench: Workbench, tmp_path: Path) -> None:
    """Would catch: a time that is cut to microseconds."""
    assert take(bench, log(ORDER), "messages").types()["sent"] == "TIMESTAMP_NS"
    path = tmp_path / "a"
    path.write_bytes(log(ORDER))
    (row,) = Fix().records(path, {"rows": "messages"})
    assert row["sent"] == "2024-01-02 10:00:00.123456789"


def test_groups(bench: Workbench) -> None:
    """Would catch: parties of one side that are given to the other, an entry that takes the fields
    after it, a field of a venue's own that ends its entry."""
    content = log(CROSS, PRICES)
    parties = rows_of(take(bench, content, "parties"))
    assert [(row["path"], row["party"]) for row in parties] == [
        ("552[1]/453[1]", "P1"),
        ("552[1]/453[2]", "P2"),
        ("552[2]/453[1]", "P3"),
    ]
    entries = rows_of(take(bench, content, "market_data"))
    assert [(row["action"], row["price"], row["position"]) for row in entries] == [
        ("0", Decimal("1.1"), None),
        ("2", None, 1),
    ]
    fields = {
        row["tag"]: row["path"] for row in rows_of(take(bench, content)) if row["message"] == 1
    }
    assert fields[803] == "552[2]/453[1]/802[1]"
    assert (fields[55], fields[58]) == (None, "552[2]"), "58 is of a side in this message"
    assert fields[549] is None


def test_declared_groups(bench: Workbench) -> None:
    body = ORDER + "9100=2|9101=a|9102=b|9101=c|9102=d|"
    refused = take(bench, log(body))
    assert isinstance(refused, UnreadableFile)
    assert "field 9101 stands twice" in plain(refused.reason)
    found = rows_of(take(bench, log(body), groups={9100: [9101, 9102]}))
    assert [row["path"] for row in found][-4:] == ["9100[1]"] * 2 + ["9100[2]"] * 2


def test_data_with_separators_and_other_encodings(bench: Workbench) -> None:
    """Would catch: data that ends at its first separator, and letters of another encoding."""
    body = "35=B|" + HEAD + "148=x|95=5|96=a|b=c|347=SHIFT_JIS|354=4|355=日本|58=Zoë|"
    content = message(body.format(1), encoding="utf-8")
    refused = take(bench, content)
    assert isinstance(refused, UnreadableFile), "355 isn't as long in UTF-8"
    parts = body.format(1).replace("|", SOH).partition("日本")
    raw = parts[0].encode() + "日本".encode("shift_jis") + parts[2].encode("latin-1")
    whole = f"8=FIX.4.4{SOH}9={len(raw)}{SOH}".encode() + raw
    whole += f"10={sum(whole) % 256:03}{SOH}".encode()
    values = {row["tag"]: row["value"] for row in rows_of(take(bench, whole, encoding="latin-1"))}
    assert (values[96], values[355], values[58]) == (f"a{SOH}b=c", "日本", "Zoë")
    assert "declare its encoding" in plain(take(bench, whole).reason)


@pytest.mark.parametrize(
    ("prefix", "logged"),
    [
        ("20240102-10:00:00.123456789 : ", "2024-01-02T10:00:00.123456789"),
        ("2024-01-02 10:00:00,5 INFO [in] ", "2024-01-02T10:00:00.5"),
        ("<2024-01-02T10:00:00Z, FIX.4.4:A->B, incoming> (", "2024-01-02T10:00:00Z"),
        ("IN ", None),
    ],
)
def test_prefixes_of_logs(bench: Workbench, prefix: str, logged: str | None) -> None:
    tail = b")" if prefix.endswith("(") else b""
    content = (
        b"# session created\n" + prefix.encode() + message(ORDER.format(1)) + tail + b"\nbye\n"
    )
    (row,) = rows_of(take(bench, content, "messages"))
    assert (row["logged"], row["prefix"]) == (logged, prefix.rstrip("( "))


@pytest.mark.parametrize("kind", ["messages", "fields"])
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"38=100", b"38=200", "message 1 at byte 0 states the checksum"),
        (b"38=100", b"38=10", "and has"),
        (b"9=1", b"9=2", "bytes (9), and has"),
        (b"10=", b"10=9", "checksum"),
    ],
)
def test_a_message_that_contradicts_itself_is_held(
    bench: Workbench, old: bytes, new: bytes, reason: str, kind: str
) -> None:
    """Would catch: an amount that somebody has edited."""
    content = log(ORDER)
    at = content.rindex(old) if old == b"10=" else content.index(old)
    size = len(old) + (1 if old == b"10=" else 0)
    content = content[:at] + new + content[at + size :]
    held = take(bench, content, kind)
    assert isinstance(held, UnreadableFile), held
    assert held.code == "delivery_total"
    assert reason in plain(held.reason)
    assert isinstance(take(bench, content, kind, accepted=True), Taken), "a person decides"


@pytest.mark.parametrize("tail", [b'"', b"]", b"\t", b",", b""])
def test_any_byte_but_a_digit_ends_a_checksum(bench: Workbench, tail: bytes) -> None:
    """Would catch: a log that quotes its messages, and is refused as cut off."""
    one, two = numbered(1, 2)
    content = one.rstrip(b"\x01") + tail + b"\n" + two.rstrip(b"\x01") + tail + b"\n"
    assert len(rows_of(take(bench, content, "messages"))) == 2
    refused = take(bench, one.rstrip(b"\x01") + b"9\n" + two, "messages")
    assert isinstance(refused, UnreadableFile)
    assert "has no checksum (10): it is cut off" in plain(refused.reason)


def test_a_log_may_speak_of_fix(bench: Workbench) -> None:
    content = b"unexpected 8=FIX.4.4 from B\n" + log(ORDER) + b"8=FIX.4.4; expected 8=FIX.4.2\n"
    assert len(rows_of(take(bench, content, "messages"))) == 1


def test_allocations_end_before_fields_of_the_fill(bench: Workbench) -> None:
    """Would catch: an amount of the whole fill that is given to its last allocation."""
    allocations = "78=2|79=A1|661=1|80=60|79=A2|80=40|119=109.90|120=USD|"
    found = rows_of(take(bench, log(FILL + allocations, "35=J|" + HEAD + "70=1|" + allocations)))
    paths = {(row["message"], row["tag"]): row["path"] for row in found}
    assert (paths[1, 80], paths[1, 119], paths[1, 120]) == ("78[2]", None, None)
    assert (paths[2, 80], paths[2, 119], paths[2, 120]) == ("78[2]", "78[2]", "78[2]")


def of_subs(*numbers: str) -> list[bytes]:
    """Messages of senders' subs, such as `A1`."""
    return [
        message(ORDER.replace("56=", f"50={sub}|56=").format(number)) for sub, number in numbers
    ]


def numbered(*numbers: int, body: str = ORDER) -> list[bytes]:
    return [message(body.format(number)) for number in numbers]


RESENT = [message(ORDER.replace("52=", "43=Y|52=").format(number)) for number in (2, 3)]
FILLED = message(("35=4|" + HEAD.replace("52=", "43=Y|52=") + "123=Y|36=4|").format(2))
RESET = message(("35=4|" + HEAD + "36=9|").format(7))
LOGON = message(("35=A|" + HEAD + "98=0|108=30|141=Y|").format(1))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (numbered(5, 6), ""),
        (numbered(1, 4), "messages 2 to 3 (34) from BUY to SELL are missing"),
        (numbered(1, 3, 5), "messages 2, 4 (34) from BUY to SELL are missing"),
        ([*numbered(1, 4), *RESENT], ""),
        ([*numbered(1, 4), RESENT[1]], "messages 2 (34) from BUY to SELL are missing"),
        ([*numbered(1, 4), FILLED], ""),
        (numbered(1, 3, 2), ""),
        (numbered(3, 2, 1), ""),
        (numbered(2, 1, 3), ""),
        (numbered(5, 3, 2), "messages 4 (34) from BUY to SELL are missing"),
        (numbered(3, 2, 3), "message 3 at byte 280: number 3 (34) from BUY to SELL stands twice"),
        ([*numbered(8, 9), *RESENT], ""),
        ([*numbered(1), RESENT[1]], "messages 2 (34) from BUY to SELL are missing"),
        ([*numbered(1, 2), RESET, *numbered(10)], "messages 9 (34) from BUY to SELL are missing"),
        ([*numbered(1, 3), LOGON, *numbered(2)], "messages 2 (34) from BUY to SELL are missing"),
        (of_subs("A1", "B1", "A2", "B2"), ""),
        (of_subs("A1", "B2", "A3"), ""),
        (of_subs("A1", "B2", "A4"), "messages 3 (34) from BUY to SELL are missing"),
        (of_subs("A1", "B1", "A3"), "messages 2 (34) from BUY, A to SELL are missing"),
        (of_subs("A1", "B1", "B1"), "number 1 (34) from BUY, B to SELL stands twice"),
        (numbered(1, 2, 2), "message 3 at byte 280: number 2 (34) from BUY to SELL stands twice"),
        ([*numbered(1, 2), RESET, *numbered(9)], ""),
        ([*numbered(8, 9), LOGON, *numbered(2)], ""),
    ],
)
def test_missing_numbers_are_named(bench: Workbench, messages: list[bytes], reason: str) -> None:
    """Would catch: a lost fill that nobody is told of, and an incident for messages that were
    sent again."""
    content = b"\n".join(messages)
    taken = take(bench, content, "messages")
    if not reason:
        assert isinstance(taken, Taken), taken
        return
    assert isinstance(taken, UnreadableFile), taken
    assert taken.code == "delivery_total"
    assert reason in plain(taken.reason)
    assert isinstance(take(bench, content, sequence="unchecked"), Taken)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello\n", "it has no FIX message"),
        (log(ORDER)[:-30], "has no checksum (10): it is cut off"),
        (log(ORDER)[5:], "a part of a message without its beginning"),
        (log(ORDER) + b"8=FIX.4.4\x0135=D\x01", "a part of a message without its beginning"),
        (log(ORDER.replace("44=1.10", "44=1.1e5")), "field 44 is no number"),
        (log(ORDER.replace("44=1.10", "44=1.0000000000000001")), "field 44 is no number"),
        (log(ORDER.replace("60=20240102", "60=20240230")), "field 60 is no time in UTC"),
        (log(ORDER.replace("10:00:00|", "10:00:00.1234567891|")), "field 60 is no time in UTC"),
        (
            log(ORDER.replace("60=20240102", "60=99991231")),
            "message 1 at byte 0: field 60 is no time in UTC",
        ),
        (log(ORDER)[:-30] + b"\n8=FIX.4.4", "is cut off"),
        (log(ORDER) + b"8=FIX.4.4\x019=1", "a part of a message without its beginning"),
        (log(ORDER) + b"8=FIX.", "a part of a message without its beginning"),
        (log(ORDER.replace("54=1", "54")), "54 is no field"),
        (log(ORDER + "54=2|"), "field 54 stands twice"),
        (log(ORDER + "95=9|96=abc|"), "a field with data isn't as long"),
    ],
)
def test_what_isnt_fix_is_refused(bench: Workbench, content: bytes, reason: str) -> None:
    refused = take(bench, content, "orders")
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)


def test_kinds_of_rows_that_a_file_has(tmp_path: Path) -> None:
    path = tmp_path / "a.fix"
    path.write_bytes(log(ORDER, FILL))
    assert [*Fix().tables(path)] == ["messages", "orders", "executions", "fields"]


@needs_samples
@pytest.mark.parametrize(
    ("name", "reason", "count"),
    [
        ("42_order_single", "states 153 bytes (9), and has 152", 1),
        ("44_new_order_cross", "states 244 bytes (9), and has 247", 4),
    ],
)
def test_samples(bench: Workbench, name: str, reason: str, count: int) -> None:
    """Both samples were edited by hand: their lengths and checksums are wrong. They are held, and
    read once a person accepts them."""
    content = (SAMPLES / f"fix/{name}.txt").read_bytes()
    held = take(bench, content)
    assert isinstance(held, UnreadableFile)
    assert reason in plain(held.reason)
    found = rows_of(take(bench, content, "messages", accepted=True))
    assert len(found) == count
    fields = rows_of(take(bench, content, accepted=True))
    pairs = re.findall(rb"(?<=\x01)([0-9]+)=([^\x01]*)", content)
    assert [(row["tag"], row["value"]) for row in fields] == [
        (int(tag), value.decode()) for tag, value in pairs if tag not in (b"8", b"9", b"10")
    ]


def test_mutated_files_are_refused_or_read_to_the_letter(tmp_path: Path) -> None:
    """Would catch: a crash, and a changed byte that is published without an error."""
    chance, form, path = random.Random("fix"), Fix(), tmp_path / "a"
    good = log(ORDER, FILL, CROSS, PRICES)
    path.write_bytes(good)
    right = {kind: [*form.records(path, {"rows": kind})] for kind in COLUMNS}
    outcomes = set()
    for number in range(MUTATIONS):
        data = bytearray(good)
        for _ in range(chance.choice((1, 1, 2, 4))):
            at, size = chance.randrange(len(data)), chance.choice((1, 1, 3, 30))
            match chance.randrange(4):
                case 0:
                    del data[at : at + size]
                case 1:
                    data[at] = chance.randrange(256)
                case 2:
                    data[at:at] = data[at : at + size]
                case _:
                    data[at:at] = bytes(chance.choices(b"\x01=|0189\n8", k=min(size, 5)))
        if sorted(data) == sorted(good):
            continue  # sums don't tell bytes that are in other places
        path.write_bytes(data)
        for kind in COLUMNS:
            try:
                found = [*form.records(path, {"rows": kind})]
            except CannotRead:
                outcomes.add("refused")
                continue
            outcomes.add("read")
            named = [{**row, "prefix": None, "logged": None} for row in found]
            known = [{**row, "prefix": None, "logged": None} for row in right[kind]]
            lost = len(known) - len(named)
            if kind != "fields" and lost > 0:
                continue  # the last messages are gone as a whole
            assert named == known, (number, kind)
    assert outcomes == {"refused", "read"}


def test_a_page_names_all_rows_and_columns() -> None:
    """Would catch: a column that the how-to page doesn't have."""
    page = (Path(__file__).parents[3] / "docs/how-to/legacy/fix.md").read_text()
    for kind, columns in COLUMNS.items():
        missing = [name for name in (kind, *columns) if f"`{name}`" not in page]
        assert not missing, kind
