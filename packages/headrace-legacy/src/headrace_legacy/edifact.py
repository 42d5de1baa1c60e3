"""EDIFACT: messages of trade, such as orders and invoices. A row is a segment, a message or a line.

References and counts of interchanges, groups and messages must be those of their trailers, and the
stated number of lines that of the message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace_legacy.segments import (
    COUNT,
    NEVER,
    QUANTITY,
    TEXT,
    TIME,
    Column,
    Level,
    Message,
    Open,
    Segment,
    SegmentFormat,
    Syntax,
    Table,
    Total,
    decimal_column,
    given_column,
    instant,
    kinds_of,
    places,
    text_column,
)

MESSAGES, LINES = "messages", "lines"
_SERVICE = b"UNA"
_SERVICE_BYTES = 9
_USUAL = b":+.?*'"
"""The characters where no service string (UNA) declares others."""
_OF_LEVEL_B = b"\x1f\x1d.  \x1c"
"""The same for UNOB, which may have the others, too."""
_REPEATS_FROM = "4"
"""The version of the syntax from which on there is a separator of repetitions."""
_MONEY = "DECIMAL(23,5)"
_FULL_FORMS = ("%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S")
_DATE_FORMS = {
    "": _FULL_FORMS,
    "101": ("%y%m%d",),
    "102": _FULL_FORMS,
    "203": _FULL_FORMS,
    "204": _FULL_FORMS,
}
"""Code of the form → what its writers use it for, told apart by length."""


def _time(qualifier: str) -> Column:
    """Return the column of a point in time, in one of the forms that are a day or a time."""

    def read(segment: Segment, text: str) -> str | None:
        forms = _DATE_FORMS.get(segment.at(1, 1, 3) or "")
        return instant(segment, text, *forms) if forms else None

    return Column(TIME, places(f"DTM[{qualifier}]01-2"), read)


def _item(*kinds: str) -> Column:
    """Return the column of an additional number of an item, by its kind in PIA."""

    def read(segment: Segment, _text: str) -> str | None:
        for element in range(2, len(segment.parts)):
            if segment.at(element, 1, 2) in kinds:
                return segment.at(element)
        return None

    return Column(TEXT, places("PIA02"), read)


def _description(segment: Segment, _text: str) -> str:
    """Return the two halves of a description as lines."""
    return "\n".join(filter(None, (segment.at(3, 1, component) for component in (4, 5))))


_HEAD = {
    "interchange": TEXT,
    "functional_group": TEXT,
    "message": COUNT,
    "message_type": TEXT,
    "reference": TEXT,
}
_DOCUMENT = {"document": text_column("BGM02")}
TABLES = {
    MESSAGES: Table(
        "",
        "UNH",
        {},
        {
            "sender": text_column("UNB02"),
            "receiver": text_column("UNB03"),
            "sent": given_column(TIME),
            "version": text_column("UNH02-3"),
            "subset": text_column("UNH02-5"),
            "segments": given_column(COUNT),
            "document_kind": text_column("BGM01"),
            **_DOCUMENT,
            "function": text_column("BGM03"),
            "document_time": _time("137"),
            "delivery_time": _time("2"),
            "despatch_time": _time("11"),
            "purchase_order": text_column("RFF[ON]01-2"),
            "buyer": text_column("NAD[BY]02"),
            "supplier": text_column("NAD[SU]02 NAD[SE]02"),
            "delivery_party": text_column("NAD[DP]02 NAD[ST]02"),
            "invoicee": text_column("NAD[IV]02 NAD[BT]02"),
            "currency": text_column("CUX[2]01-2"),
            "invoice_amount": decimal_column(_MONEY, "MOA[77]01-2"),
            "amount_due": decimal_column(_MONEY, "MOA[9]01-2"),
            "lines_amount": decimal_column(_MONEY, "MOA[79]01-2"),
            "tax_amount": decimal_column(_MONEY, "MOA[176]01-2"),
        },
    ),
    LINES: Table(
        "line",
        dict.fromkeys(("ORDERS", "ORDRSP", "ORDCHG", "DESADV", "RECADV", "INVOIC"), "LIN"),
        {
            "line": given_column(COUNT),
            **_DOCUMENT,
            "purchase_order": text_column("RFF[ON]01-2"),
            "pack": text_column("CPS01"),
            "sscc": text_column("GIN[BJ]02"),
        },
        {
            "line_id": text_column("LIN01"),
            "item": text_column("LIN03-1"),
            "item_kind": text_column("LIN03-2"),
            "buyer_item": _item("IN", "BP"),
            "supplier_item": _item("SA"),
            "description": Column(TEXT, places("IMD03-4 IMD03-5"), _description),
            "ordered": decimal_column(QUANTITY, "QTY[21]01-2"),
            "despatched": decimal_column(QUANTITY, "QTY[12]01-2"),
            "invoiced": decimal_column(QUANTITY, "QTY[47]01-2"),
            "unit": text_column("QTY[21]01-3 QTY[12]01-3 QTY[47]01-3"),
            "net_price": decimal_column(QUANTITY, "PRI[AAA]01-2"),
            "gross_price": decimal_column(QUANTITY, "PRI[AAB]01-2"),
            "price_basis": decimal_column(QUANTITY, "PRI[AAA]01-5 PRI[AAB]01-5"),
            "amount": decimal_column(_MONEY, "MOA[203]01-2"),
            "tax_rate": decimal_column(QUANTITY, "TAX[7]05-4"),
            "delivery_time": _time("2"),
            "despatch_time": _time("11"),
        },
    ),
}
COLUMNS = kinds_of(_HEAD, TABLES)
LOOPS = {"": {"CPS": 0, "LIN": 1}}
LEAVES = {"": ("NAD", "CUX", "PAT", "TDT", "ALC", "TAX")}
ENDS = {"": "UNS", **dict.fromkeys(("DESADV", "RECADV"), "CNT")}
_LINES_STATED = Total(places("CNT[2]01-2")[0], "lines", counts="LIN")
TOTALS = dict.fromkeys(TABLES[LINES].begins, _LINES_STATED)


class Edifact(SegmentFormat):
    """Interchanges of UN/EDIFACT, such as ORDERS, DESADV and INVOIC."""

    name = "edifact"
    meaning = "which rows of EDIFACT interchanges are read"
    endings = (".edifact",)
    begins = ("UNA", "UNB")
    levels = (
        Level("UNB", "UNZ", "interchange", "groups or messages", (5, 2), 1),
        Level("UNG", "UNE", "group", "messages", (5, 2), 1, optional=True),
        Level("UNH", "UNT", "message", "segments", (1, 2), 1),
    )
    kinds = TABLES
    kinds_of_rows = COLUMNS
    loops = LOOPS
    leaves = LEAVES
    ends = ENDS
    totals = TOTALS

    def syntax(self, start: bytes) -> Syntax | None:
        """Return the characters of the service string; the usual ones without it."""
        is_declared = start.startswith(_SERVICE)
        header = start[_SERVICE_BYTES:].lstrip(self.blank) if is_declared else start
        usual = _OF_LEVEL_B if header[3:4] == _OF_LEVEL_B[1:2] else _USUAL
        service = start[len(_SERVICE) : _SERVICE_BYTES] if is_declared else usual
        if len(service) < len(_USUAL) or not header.startswith(b"UNB" + service[1:2]):
            return None
        component, element, _, release, repetition, terminator = (*service.decode("latin-1"),)
        version = header[4:12].decode("latin-1").partition(component)[2][:1]
        if version < _REPEATS_FROM or repetition == " ":
            repetition = NEVER
        inner = (repetition, component)
        return Syntax(
            terminator.encode("latin-1"),
            element,
            inner,
            escape=_RELEASED,
            release=release.strip(),
            value=_released,
            declared_bytes=_SERVICE_BYTES if is_declared else 0,
        ).checked(release.strip() or NEVER)

    def segment(self, text: str, number: int, offset: int, syntax: Syntax) -> Segment:
        """Return the segment, in which released characters don't separate."""
        if syntax.release and syntax.release in text:
            text = re.sub(f"{re.escape(syntax.release)}(.)", _protected, text, flags=re.DOTALL)
        return super().segment(text, number, offset, syntax)

    def message(self, opened: Sequence[Open], number: int) -> Message:
        """Return the message that a header begins."""
        unb, header = opened[0].header, opened[-1].header
        group = opened[1].header if len(opened) == len(self.levels) else None
        head = {
            "interchange": unb.at(5),
            "functional_group": group and group.at(5),
            "message": str(number),
            "message_type": header.at(2) or "",
            "reference": header.at(1),
        }
        sent = f"{unb.at(4) or ''}{unb.at(4, 1, 2) or ''}"
        values = {
            "sender": unb.at(2) or "",
            "receiver": unb.at(3) or "",
            "sent": instant(unb, sent, "%y%m%d%H%M", "%Y%m%d%H%M"),
        }
        return Message.begun(header, header.at(2), head, values)


_RELEASED = "\0"
"""Stands before the code point of a released character, and a blank behind it."""


def _protected(match: re.Match[str]) -> str:
    return f"{_RELEASED}{ord(match[1])} "


def _released(text: str) -> str:
    return re.sub(f"{_RELEASED}([0-9]+) ", lambda match: chr(int(match[1])), text)
