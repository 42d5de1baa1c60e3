"""X12: interchanges of health care and trade. A row is a segment, a transaction set, or a loop.

References and counts of interchanges, groups and transaction sets must be those of their trailers,
a payment (835) that of its claims, and the number of line items that of the lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from headrace_legacy.segments import (
    COUNT,
    DAY,
    MONEY,
    NEVER,
    QUANTITY,
    TEXT,
    TIME,
    Column,
    Level,
    Loop,
    Message,
    Open,
    Segment,
    SegmentFormat,
    Syntax,
    Table,
    Total,
    decimal,
    decimal_column,
    given_column,
    instant,
    kinds_of,
    places,
    text_column,
)

TRANSACTIONS, CLAIMS, SERVICES, ADJUSTMENTS = "transactions", "claims", "services", "adjustments"
LINES, REMITTANCES, ACKNOWLEDGEMENTS = "lines", "remittances", "acknowledgements"
_REPEATS_FROM = "00402"
"""The version from which on ISA11 is a separator."""
_BARE = re.compile(rb"ST([^A-Za-z0-9\s])[0-9]{3}\1[A-Za-z0-9]+(?:\1[A-Za-z0-9]*)?([^A-Za-z0-9 ])")
"""A transaction set without an envelope."""


def _first_day(segment: Segment, text: str) -> str:
    return instant(segment, text.partition("-")[0][:8], "%Y%m%d", "%y%m%d")


def _last_day(segment: Segment, text: str) -> str:
    return instant(segment, text.rpartition("-")[2][:8], "%Y%m%d", "%y%m%d")


def _money(text: str, point: int = 0) -> Column:
    return decimal_column(MONEY, text, point)


def _quantity(text: str) -> Column:
    return decimal_column(QUANTITY, text)


def _day(text: str) -> Column:
    return Column(DAY, places(text), _first_day)


def _end(text: str) -> Column:
    return Column(DAY, places(text), _last_day)


def _product(*qualifiers: str) -> Column:
    """Return the column of a product's number, which follows its qualifier."""

    def read(segment: Segment, _text: str) -> str | None:
        begin = 2 if segment.id == "LIN" else 6
        for element in range(begin, len(segment.parts), 2):
            if segment.at(element) in qualifiers:
                return segment.at(element + 1)
        return None

    return Column(TEXT, places("PO106 IT106 LIN02"), read)


def _amount(segment: Segment, text: str) -> str:
    """Return the amount of a payment, or of an invoice, which is written in cents."""
    return decimal(segment, text, 16, 2, point=2 if segment.id == "TDS" else 0)


def _modifiers(segment: Segment, _text: str) -> str:
    procedure = 2 if segment.id == "SV2" else 1
    parts = (segment.at(procedure, 1, component) for component in range(3, 7))
    return ":".join(part for part in parts if part)


_HEAD = {
    "interchange": TEXT,
    "functional_group": TEXT,
    "transaction": COUNT,
    "transaction_set": TEXT,
    "control_number": TEXT,
}
_PAYER = {"payer": text_column("N1[PR]02"), "payee": text_column("N1[PE]02")}
_CLAIM_OF = {"claim": given_column(COUNT), "claim_id": text_column("CLP01 CLM01")}
_PATIENT = {
    "patient_last": text_column("NM1[QC]03 NM1[IL]03"),
    "patient_first": text_column("NM1[QC]04 NM1[IL]04"),
    "patient_id": text_column("NM1[QC]09 NM1[IL]09"),
}
TABLES = {
    TRANSACTIONS: Table(
        "",
        "ST",
        {},
        {
            "sender": text_column("ISA06"),
            "receiver": text_column("ISA08"),
            "sent": given_column(TIME),
            "usage": text_column("ISA15"),
            "group_sender": text_column("GS02"),
            "group_receiver": text_column("GS03"),
            "version": text_column("ST03"),
            "segments": given_column(COUNT),
            "purpose": text_column("BHT02 BEG01 BSN01 BPR01"),
            "document": text_column("BHT03 BEG03 BIG02 BSN02 TRN02 AK102"),
            "document_date": _day("BHT04 BEG05 BIG01 BSN03 BPR16"),
            "purchase_order": text_column("BEG03 BIG04"),
            "amount": Column(MONEY, places("BPR02 TDS01"), _amount),
            "direction": text_column("BPR03"),
            "method": text_column("BPR04"),
            **_PAYER,
            "payee_id": text_column("N1[PE]04"),
            "buyer": text_column("N1[BY]02"),
            "seller": text_column("N1[SE]02 N1[VN]02 N1[SU]02"),
            "ship_to": text_column("N1[ST]02"),
            "group_status": text_column("AK901"),
        },
    ),
    CLAIMS: Table(
        "claim",
        {"835": "CLP", "837": "CLM"},
        {
            "claim": given_column(COUNT),
            **_PAYER,
            "payment": text_column("TRN02"),
            "payment_date": _day("BPR16"),
            "provider": text_column("NM1[85]03"),
            "provider_id": text_column("NM1[85]09"),
            **_PATIENT,
        },
        {
            "claim_id": text_column("CLP01 CLM01"),
            "status": text_column("CLP02"),
            "charge": _money("CLP03 CLM02"),
            "paid": _money("CLP04"),
            "patient_responsibility": _money("CLP05"),
            "filing": text_column("CLP06"),
            "payer_claim": text_column("CLP07 REF[F8]02"),
            "facility": text_column("CLP08 CLM05-1"),
            "frequency": text_column("CLP09 CLM05-3"),
            "begins": _day("DTM[232]02 DTP[434]03 DTP[472]03"),
            "ends": _end("DTM[233]02 DTP[434]03 DTP[472]03"),
            "diagnosis": text_column("HI[ABK]01-2 HI[BK]01-2"),
        },
    ),
    SERVICES: Table(
        "service",
        {"835": "SVC", "837": "LX"},
        {**_CLAIM_OF, "service": given_column(COUNT), **_PATIENT},
        {
            "line": text_column("LX01"),
            "control": text_column("REF[6R]02"),
            "revenue": text_column("SV201 SVC04"),
            "procedure_kind": text_column("SVC01-1 SV101-1 SV202-1 SV301-1"),
            "procedure": text_column("SVC01-2 SV101-2 SV202-2 SV301-2"),
            "modifiers": Column(TEXT, places("SVC01-3 SV101-3 SV202-3 SV301-3"), _modifiers),
            "charge": _money("SVC02 SV102 SV203 SV302"),
            "paid": _money("SVC03"),
            "allowed": _money("AMT[B6]02"),
            "units": _quantity("SVC05 SV104 SV205 SV306"),
            "billed_units": _quantity("SVC07"),
            "unit": text_column("SV103 SV204"),
            "begins": _day("DTM[150]02 DTM[472]02 DTP[472]03"),
            "ends": _end("DTM[151]02 DTM[472]02 DTP[472]03"),
            "remark": text_column("LQ[HE]02"),
        },
    ),
    LINES: Table(
        "line",
        {"850": "PO1", "810": "IT1", "856": "LIN"},
        {
            "line": given_column(COUNT),
            "document": text_column("BEG03 BIG02 BSN02"),
            "purchase_order": text_column("BEG03 BIG04 PRF01"),
            "pack": text_column("MAN[GM]02"),
        },
        {
            "line_id": text_column("PO101 IT101 LIN01"),
            "quantity": _quantity("PO102 IT102 SN102"),
            "unit": text_column("PO103 IT103 SN103"),
            "price": _quantity("PO104 IT104"),
            "upc": _product("UP"),
            "gtin": _product("UK", "EN", "EO"),
            "vendor_item": _product("VN", "VP"),
            "buyer_item": _product("IN", "BP", "SK"),
            "description": text_column("PID05"),
        },
    ),
    REMITTANCES: Table(
        "remittance",
        {"820": "RMR"},
        {
            "remittance": given_column(COUNT),
            **_PAYER,
            "payment": text_column("TRN02"),
            "payment_date": _day("BPR16"),
        },
        {
            "kind": text_column("RMR01"),
            "reference": text_column("RMR02"),
            "paid": _money("RMR04"),
            "invoiced": _money("RMR05"),
            "discount": _money("RMR06"),
        },
    ),
    ACKNOWLEDGEMENTS: Table(
        "acknowledgement",
        {"997": "AK2", "999": "AK2"},
        {
            "acknowledgement": given_column(COUNT),
            "acknowledged_group": text_column("AK102"),
        },
        {
            "acknowledged_set": text_column("AK201"),
            "acknowledged_control": text_column("AK202"),
            "status": text_column("AK501 IK501"),
            "error": text_column("AK502 IK502"),
        },
    ),
}
_ADJUSTMENT = {
    "claim": COUNT,
    "claim_id": TEXT,
    "service": COUNT,
    "group_code": TEXT,
    "reason": TEXT,
    "reference": TEXT,
    "amount": MONEY,
    "quantity": QUANTITY,
}
_PAYMENT = Total(
    places("BPR02")[0],
    "as the payment",
    adds=places("CLP04"),
    subtracts=places("PLB04 PLB06 PLB08 PLB10 PLB12 PLB14"),
)
_ITEMS = places("CTT01")[0]
_ITEMS_ARE = "line items"
COLUMNS = kinds_of(_HEAD, TABLES, {ADJUSTMENTS: _ADJUSTMENT})
LOOPS = {
    "": {"HL": 0},
    "810": {"IT1": 0},
    "820": {"ENT": 0, "RMR": 1},
    "834": {"INS": 0, "HD": 1, "LS": 1, "COB": 2, "LX": 2},
    "835": {"LX": 0, "CLP": 1, "SVC": 2},
    "837": {"HL": 0, "CLM": 1, "SBR": 2, "LX": 2},
    "850": {"PO1": 0},
    "856": {"HL": 0, "LIN": 1},
    "997": {"AK2": 0},
    "999": {"AK2": 0},
}
LEAVES = {"": ("N1", "NM1"), "835": ("N1",), "997": ("AK3",), "999": ("IK3",)}
ENDS = {
    "": "",
    "810": "TDS",
    "835": "PLB",
    "850": "CTT",
    "856": "CTT",
    "997": "AK9",
    "999": "AK9",
}
TOTALS = {
    "810": Total(_ITEMS, _ITEMS_ARE, counts="IT1"),
    "835": _PAYMENT,
    "850": Total(_ITEMS, _ITEMS_ARE, counts="PO1"),
    "856": Total(_ITEMS, "levels (HL)", counts="HL"),
}


def _envelope(isa: Segment, gs: Segment) -> dict[str, str]:
    """Return what the headers of an interchange and a group say of their transaction sets."""
    return {
        "sender": isa.at(6) or "",
        "receiver": isa.at(8) or "",
        "sent": instant(isa, f"{isa.at(9)}{isa.at(10)}", "%y%m%d%H%M"),
        "usage": isa.at(15) or "",
        "group_sender": gs.at(2) or "",
        "group_receiver": gs.at(3) or "",
        "version": gs.at(8) or "",
    }


class X12(SegmentFormat):
    """Interchanges of ANSI ASC X12, such as 835, 837, 850, 856, 810, 820 and 997."""

    name = "x12"
    meaning = "which rows of X12 interchanges are read"
    endings = (".x12", ".835", ".837", ".850", ".856", ".810", ".820", ".997")
    begins = ("ISA", "ST")
    outside = ("TA1",)
    levels = (
        Level("ISA", "IEA", "interchange", "groups", (13, 2), 1),
        Level("GS", "GE", "group", "transaction sets", (6, 2), 1, numbered=True),
        Level("ST", "SE", "transaction set", "segments", (2, 2), 1),
    )
    kinds = TABLES
    kinds_of_rows = COLUMNS
    loops = LOOPS
    leaves = LEAVES
    ends = ENDS
    totals = TOTALS

    def syntax(self, start: bytes) -> Syntax | None:
        """Return the separators of an ISA; the usual ones for a transaction set without it."""
        if bare := _BARE.match(start):
            inner: tuple[str, str] = ("^", ":")
            syntax = Syntax(bare[2], bare[1].decode(), inner, is_bare=True)
            return syntax.checked()
        text = start.decode("latin-1")
        element = text[3:4]
        fields = text.split(element, 16) if text[:3] == "ISA" and element else []
        fields[:16] = [field.replace("\r", "").replace("\n", "") for field in fields[:16]]
        if len(fields) < 17:
            return None
        repeats = fields[12] >= _REPEATS_FROM and not fields[11].isalnum()
        component, terminator = fields[16][:1], fields[16][1:2]
        inner = (fields[11] if repeats else NEVER, component)
        return Syntax(terminator.encode("latin-1"), element, inner).checked()

    def message(self, opened: Sequence[Open], number: int) -> Message:
        """Return the transaction set that a header begins."""
        *envelope, header = (level.header for level in opened)
        isa, gs = envelope or (None, None)
        head = {
            "interchange": isa and isa.at(13),
            "functional_group": gs and gs.at(6),
            "transaction": str(number),
            "transaction_set": header.at(1) or "",
            "control_number": header.at(2),
        }
        values = None if isa is None or gs is None else _envelope(isa, gs)
        return Message.begun(header, header.at(1), head, values)

    def enclosing(self, segment: Segment, rank: int, loops: Sequence[Loop]) -> int:
        """Return the loops around one: an HL names its own, and an SBR begins one in a claim."""
        if segment.id == "SBR" and not any(loop.begin.id == "CLM" for loop in loops):
            return 0
        if segment.id != "HL":
            return super().enclosing(segment, rank, loops)
        parent = segment.at(2)
        for place, loop in enumerate(loops):
            if parent is not None and loop.begin.id == "HL" and loop.begin.at(1) == parent:
                return place + 1
        return 1

    def rows_in(self, segment: Segment, message: Message) -> Iterator[dict[str, Any]]:
        """Yield the adjustments of a claim, a service or a provider."""
        if message.type != "835" or segment.id not in ("CAS", "PLB"):
            return
        claim = next((loop.begin for loop in message.loops if loop.begin.id == "CLP"), None)
        size, begin = (3, 2) if segment.id == "CAS" else (2, 3)
        for element in range(begin, len(segment.parts), size):
            values = [segment.at(element + place) for place in range(size)]
            quantity = values[2] if size == 3 else None
            if any(values):
                yield {
                    **message.head,
                    "claim": message.value("claim"),
                    "claim_id": claim and claim.at(1),
                    "service": message.value("service"),
                    "group_code": segment.at(1) if size == 3 else None,
                    "reason": values[0],
                    "reference": segment.at(element, 1, 2),
                    "amount": decimal(segment, values[1] or "", 16, 2),
                    "quantity": decimal(segment, quantity, 12, 6) if quantity else None,
                }
