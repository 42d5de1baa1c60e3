"""EDIFACT: messages as segments, documents and lines, and what envelopes say of them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.edifact import COLUMNS

ORDER = [
    "UNH+1+ORDERS:D:96A:UN:EAN008",
    "BGM+220+PO-7+9",
    "DTM+137:20240102:102",
    "DTM+2:202401051530:203",
    "FTX+AAI+++It?'s 5 ?+ 6??:second",
    "NAD+BY+4012345000009::9",
    "NAD+SU+4012345000016::9",
    "CUX+2:EUR:9",
    "LIN+1++4012345678901:EN",
    "PIA+1+B-1:IN+S-1:SA",
    "IMD+F++:::Blue paint",
    "QTY+21:12,5:LTR",
    "PRI+AAA:1.2345::NTP:100:LTR",
    "LIN+2++4012345678902:EN",
    "QTY+21:3",
    "UNS+S",
    "CNT+2:2",
]
INVOICE = [
    "UNH+2+INVOIC:D:96A:UN",
    "BGM+380+INV-1+9",
    "DTM+137:20240110:102",
    "RFF+ON:PO-7",
    "LIN+1++4012345678901:EN",
    "QTY+47:12",
    "MOA+203:100.50",
    "TAX+7+VAT+++:::19",
    "UNS+S",
    "MOA+77:119.60",
    "MOA+79:100.50",
]
DESPATCH = [
    "UNH+3+DESADV:D:96A:UN",
    "BGM+351+SHIP-1+9",
    "CPS+1",
    "CPS+2+1",
    "GIN+BJ+340123450000000017",
    "LIN+1++4012345678901:EN",
    "QTY+12:12",
    "RFF+ON:PO-7",
    "CNT+2:1",
]


def interchange(
    *messages: list[str], service: str = "", syntax: str = "UNOC:3", group: bool = False
) -> bytes:
    lines = [f"UNB+{syntax}+SENDER:14+RECEIVER:14+240102:1253+REF1"]
    lines += ["UNG+ORDERS+S+R+240102:1253+G1+UN+D:96A"] if group else []
    for message in messages:
        lines += [*message, f"UNT+{len(message) + 1}+{message[0][4]}"]
    lines += [f"UNE+{len(messages)}+G1"] if group else []
    lines.append(f"UNZ+{1 if group else len(messages)}+REF1")
    return (service + "".join(line + "'\n" for line in lines)).encode()


def take(bench: Workbench, content: bytes, rows: str = "segments", **more: Any) -> Any:
    return bench.take(content, "a.edifact", options={"edifact": {"rows": rows}}, **more)


def test_released_characters_are_part_of_a_value(bench: Workbench) -> None:
    """Would catch: a segment that ends at a released apostrophe, a question mark lost."""
    rows = {row["id"]: row for row in rows_of(take(bench, interchange(ORDER)))}
    assert rows["FTX"]["elements"][3] == [["It's 5 + 6?", "second"]]
    assert rows["PIA"]["elements"] == [[["1"]], [["B-1", "IN"]], [["S-1", "SA"]]]
    assert (rows["QTY"]["loop"], rows["QTY"]["message_type"]) == (14, "ORDERS")


def test_other_service_characters(bench: Workbench) -> None:
    """Would catch: separators that nothing declares, a repetition as a component."""
    text = interchange(ORDER).decode().translate(str.maketrans(":+'", "|^~"))
    rows = rows_of(take(bench, f"UNA|^.? ~\r\n{text}".encode(), "lines"))
    assert [row["item"] for row in rows] == ["4012345678901", "4012345678902"]
    repeated = [*INVOICE[:3], "RFF+ON:PO-7*ON:PO-8", *INVOICE[4:]]
    content = interchange(repeated, syntax="UNOC:4")
    assert {row["id"]: row for row in rows_of(take(bench, content))}["RFF"]["elements"] == [
        [["ON", "PO-7"], ["ON", "PO-8"]]
    ]
    content = interchange(repeated)
    assert {row["id"]: row for row in rows_of(take(bench, content))}["RFF"]["elements"] == [
        [["ON", "PO-7*ON", "PO-8"]]
    ]


def test_a_star_separates_nothing_before_version_4(bench: Workbench) -> None:
    """Would catch: a value cut at a star, where UNA has one in the place that versions before 4
    leave unused."""
    lines = [*ORDER[:4], "FTX+AAI+++4 * 5", *ORDER[5:]]
    for version, value in (("3", [["4 * 5"]]), ("4", [["4 "], [" 5"]])):
        content = interchange(lines, service="UNA:+.?*'", syntax=f"UNOC:{version}")
        rows = {row["id"]: row for row in rows_of(take(bench, content))}
        assert rows["FTX"]["elements"][3] == value


def test_level_b_without_a_service_string(bench: Workbench) -> None:
    """Would catch: UNOB, whose usual separators are characters of information separation, refused;
    and UNOB with those of UNOA."""
    content = interchange(ORDER, syntax="UNOB:3")
    assert len(rows_of(take(bench, content, "lines"))) == 2
    bare = content.replace(b"?'", b"'").replace(b"'\n", b"\x1c").replace(b"?+", b"\x01")
    bare = bare.translate(bytes.maketrans(b"+:\x01", b"\x1d\x1f+"))
    rows = {row["id"]: row for row in rows_of(take(bench, bare))}
    assert rows["FTX"]["elements"][3] == [["It's 5 + 6??", "second"]]
    assert len(rows_of(take(bench, bare, "lines"))) == 2


def test_amounts_and_descriptions_are_whole(bench: Workbench) -> None:
    """Would catch: the second half of a description lost; amounts with three decimals, or of 18
    digits, refused."""
    invoice = [*INVOICE[:5], "IMD+F++:::Blue paint:for outside", *INVOICE[5:]]
    content = interchange(invoice).replace(b"203:100.50", b"203:123456789012345678,125")
    (line,) = rows_of(take(bench, content, "lines"))
    assert line["description"] == "Blue paint\nfor outside"
    assert line["amount"] == Decimal("123456789012345678.125")


@pytest.mark.parametrize("group", [False, True])
def test_orders_invoices_and_shipments(bench: Workbench, group: bool) -> None:
    """Would catch: a decimal comma refused, a price without its basis, lines without their order."""
    content = interchange(ORDER, INVOICE, DESPATCH, group=group)
    order, invoice, despatch = rows_of(take(bench, content, "messages"))
    assert (order["document"], order["buyer"], order["supplier"], order["currency"]) == (
        "PO-7",
        "4012345000009",
        "4012345000016",
        "EUR",
    )
    assert (order["document_time"], order["delivery_time"]) == (
        datetime.fromisoformat("2024-01-02"),
        datetime.fromisoformat("2024-01-05T15:30"),
    )
    assert (invoice["invoice_amount"], invoice["lines_amount"], invoice["purchase_order"]) == (
        Decimal("119.60"),
        Decimal("100.50"),
        "PO-7",
    )
    assert despatch["functional_group"] == ("G1" if group else None)
    lines = rows_of(take(bench, content, "lines"))
    assert [(row["ordered"], row["invoiced"], row["despatched"]) for row in lines] == [
        (Decimal("12.5"), None, None),
        (3, None, None),
        (None, 12, None),
        (None, None, 12),
    ]
    assert (lines[0]["net_price"], lines[0]["price_basis"]) == (Decimal("1.2345"), 100)
    assert (lines[0]["buyer_item"], lines[0]["supplier_item"]) == ("B-1", "S-1")
    assert (lines[0]["description"], lines[0]["unit"]) == ("Blue paint", "LTR")
    assert (lines[2]["amount"], lines[2]["tax_rate"]) == (Decimal("100.50"), 19)
    assert [row["purchase_order"] for row in lines] == [None, None, "PO-7", "PO-7"]
    assert (lines[3]["pack"], lines[3]["sscc"]) == ("2", "340123450000000017")


@pytest.mark.parametrize("rows", COLUMNS)
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("UNT+18+1", "UNT+17+1", "it states 17 segments, of 18"),
        ("UNT+18+1", "UNT+18+2", "it ends 2, and segment 3 (UNH)"),
        ("UNE+1+G1", "UNE+2+G1", "it states 2 messages, of 1"),
        ("UNE+1+G1", "UNE+1+G2", "it ends G2, and segment 2 (UNG)"),
        ("UNZ+1+REF1", "UNZ+2+REF1", "it states 2 groups or messages, of 1"),
        ("UNZ+1+REF1", "UNZ+1+REF2", "it ends REF2, and segment 1 (UNB)"),
        ("CNT+2:2", "CNT+2:3", "its message states 3 lines, of 2"),
    ],
)
def test_a_file_that_contradicts_its_envelope_is_held(
    bench: Workbench, old: str, new: str, reason: str, rows: str
) -> None:
    content = interchange(ORDER, group=True).replace(old.encode(), new.encode())
    refused = take(bench, content, rows)
    assert isinstance(refused, UnreadableFile), refused
    assert refused.code == "delivery_total"
    assert reason in plain(refused.reason)
    assert isinstance(take(bench, content, rows, accepted=True), Taken)


@pytest.mark.parametrize(
    ("content", "reason", "code"),
    [
        (interchange(ORDER)[:-12], "has no end (UNZ)", "delivery_truncated"),
        (interchange(ORDER)[:200], "has no end (UNT)", "delivery_truncated"),
        (b"UNA:+.? '", "no header (UNA, UNB) declares separators", "unreadable_delivery"),
        (b"ISA*00*", "at byte 0 no header (UNA, UNB)", "unreadable_delivery"),
        (interchange(ORDER).replace(b"UNB+", b"UNB*"), "no header", "unreadable_delivery"),
        (interchange(ORDER).replace(b"12,5", b"12,5,0"), "12,5,0 is no number", ""),
        (interchange(ORDER).replace(b"202401051530:203", b"20240105:610"), "", ""),
        (interchange(ORDER).replace(b"20240102:102", b"20240132:102"), "is no date or time", ""),
    ],
)
def test_what_isnt_edifact_is_refused(
    bench: Workbench, content: bytes, reason: str, code: str
) -> None:
    refused = take(bench, content, "lines" if b"12,5,0" in content else "messages")
    if not reason:  # a form that is neither a day nor a time
        assert rows_of(refused)[0]["delivery_time"] is None
        return
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)
    assert refused.code == (code or "unreadable_delivery")


@needs_samples
def test_samples(bench: Workbench) -> None:
    """One sample is whole. The other one has no UNZ, and an empty service character."""
    content = (SAMPLES / "edifact/invoice1.edi").read_bytes()
    (message,) = rows_of(take(bench, content, "messages"))
    assert (message["segments"], message["invoice_amount"]) == (24, Decimal("1960.29"))
    (line,) = rows_of(take(bench, content, "lines"))
    assert (line["despatched"], line["net_price"], line["purchase_order"]) == (
        54,
        Decimal("3630.1724"),
        "X18V00003",
    )
    cut = (SAMPLES / "edifact/order.edi").read_bytes()
    refused = take(bench, cut, "lines")
    assert isinstance(refused, UnreadableFile)
    assert refused.code == "delivery_truncated"
    lines = rows_of(take(bench, cut + b"UNZ+1+807'", "lines"))
    assert [(row["item"], row["ordered"]) for row in lines] == [
        ("5020436373085", 8),
        ("5020436373108", 8),
    ]
