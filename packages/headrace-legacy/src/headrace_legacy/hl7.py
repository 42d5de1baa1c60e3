"""HL7 v2: messages of hospitals and laboratories. A row is a segment, message, patient or result.

Batches and files state how many messages and batches they have, and must have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

from headrace.extension.formats import CannotRead
from headrace_legacy.segments import (
    COUNT,
    NEVER,
    TEXT,
    Column,
    Level,
    Message,
    Open,
    Segment,
    SegmentFormat,
    Stream,
    Syntax,
    Table,
    given_column,
    kinds_of,
    places,
    text_column,
)

MESSAGES, PATIENTS, OBSERVATIONS = "messages", "patients", "observations"
FIELDS = "VARCHAR[][][][]"
"""Field → repetition → component → subcomponent."""
_HEADERS = ("FHS", "BHS", "MSH")
_NEXT = re.compile(rb"[\r\n]+[A-Z][A-Z0-9]{2}[^A-Za-z0-9\s]")
"""A line break with what seems to be another segment."""
_BLOCK = b"\x0b\x1c"
"""The bytes around a message in the protocol MLLP."""
_TIME = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})"
    r"(?:([0-9]{2})(?:([0-9]{2})([0-9]{2}(?:\.[0-9]{1,4})?)?)?)?)?)?"
    r"(?:([+-][0-9]{2})([0-9]{2}))?"
)


def _iso(_segment: Segment, text: str) -> str:
    """Return a time as ISO 8601, as precise as it is written; other texts as they are."""
    match = _TIME.fullmatch(text)
    if match is None:
        return text
    year, month, day, hour, minute, second, zone, zone_minutes = match.groups()
    date = "-".join(part for part in (year, month, day) if part)
    time = ":".join(part for part in (hour, minute, second) if part)
    return f"{date}{time and 'T'}{time}{f'{zone}:{zone_minutes}' if zone and time else ''}"


def _time(text: str) -> Column:
    return Column(TEXT, places(text), _iso)


def _value(component: int) -> Column:
    """Return the column of an observed value: a line for each repetition.

    A structured number (SN) is written together: `>100`, `1:128`.
    """

    def read(segment: Segment, _text: str) -> str | None:
        repetitions = range(1, segment.repetitions(5) + 1)
        lines = (_one_value(segment, repetition, component) for repetition in repetitions)
        return "\n".join(lines).strip() or None

    return Column(TEXT, places("OBX02"), read)


def _one_value(segment: Segment, repetition: int, component: int) -> str:
    if segment.at(2) != "SN":
        return segment.at(5, repetition, component) or ""
    parts = range(1, 5) if component == 1 else ()
    return "".join(segment.at(5, repetition, part) or "" for part in parts)


_HEAD = {
    "batch": TEXT,
    "message": COUNT,
    "message_type": TEXT,
    "trigger_event": TEXT,
    "control_id": TEXT,
}
_PATIENT = {
    "patient_id": text_column("PID03-1"),
    "patient_last": text_column("PID05-1"),
    "patient_first": text_column("PID05-2"),
}
TABLES = {
    MESSAGES: Table(
        "",
        "MSH",
        {},
        {
            "sending_application": text_column("MSH03"),
            "sending_facility": text_column("MSH04"),
            "receiving_application": text_column("MSH05"),
            "receiving_facility": text_column("MSH06"),
            "sent": _time("MSH07"),
            "processing": text_column("MSH11"),
            "version": text_column("MSH12"),
            "segments": given_column(COUNT),
            "recorded": _time("EVN02"),
            "acknowledgement": text_column("MSA01"),
            "acknowledged_id": text_column("MSA02"),
        },
    ),
    PATIENTS: Table(
        "patient",
        "PID",
        {"patient": given_column(COUNT)},
        {
            **_PATIENT,
            "patient_id_kind": text_column("PID03-5"),
            "patient_id_authority": text_column("PID03-4"),
            "patient_middle": text_column("PID05-3"),
            "born": _time("PID07"),
            "sex": text_column("PID08"),
            "street": text_column("PID11-1"),
            "city": text_column("PID11-3"),
            "state": text_column("PID11-4"),
            "postal_code": text_column("PID11-5"),
            "country": text_column("PID11-6"),
            "account": text_column("PID18-1"),
            "prior_patient_id": text_column("MRG01-1"),
            "patient_class": text_column("PV102"),
            "ward": text_column("PV103-1"),
            "room": text_column("PV103-2"),
            "bed": text_column("PV103-3"),
            "attending_id": text_column("PV107-1"),
            "attending_last": text_column("PV107-2"),
            "visit": text_column("PV119-1"),
            "admitted": _time("PV144"),
            "discharged": _time("PV145"),
        },
    ),
    OBSERVATIONS: Table(
        "observation",
        "OBX",
        {
            "observation": given_column(COUNT),
            **_PATIENT,
            "placer_order": text_column("OBR02-1"),
            "filler_order": text_column("OBR03-1"),
            "service": text_column("OBR04-1"),
            "service_text": text_column("OBR04-2"),
        },
        {
            "set_id": text_column("OBX01"),
            "value_kind": text_column("OBX02"),
            "code": text_column("OBX03-1"),
            "code_text": text_column("OBX03-2"),
            "code_system": text_column("OBX03-3"),
            "sub_id": text_column("OBX04"),
            "value": _value(1),
            "value_text": _value(2),
            "unit": text_column("OBX06-1"),
            "reference_range": text_column("OBX07"),
            "abnormal": text_column("OBX08"),
            "status": text_column("OBX11"),
            "observed": _time("OBX14"),
        },
    ),
}
COLUMNS = kinds_of(_HEAD, TABLES, elements=("fields", FIELDS))
LOOPS = {"": {"PID": 0, "OBR": 1, "OBX": 2}}
LEAVES: dict[str, tuple[str, ...]] = {"": ()}


class Hl7(SegmentFormat):
    """Messages of HL7 version 2, alone, in batches, or framed by MLLP."""

    name = "hl7"
    meaning = "which rows of HL7 messages are read"
    endings = (".hl7",)
    begins = _HEADERS
    segment_bytes_max = 1 << 23
    blank = b" \t\r\n" + _BLOCK
    levels = (
        Level("FHS", "FTS", "file", "batches", (0, 0), 1, optional=True, counts="BHS"),
        Level("BHS", "BTS", "batch", "messages", (0, 0), 1, optional=True),
        Level("MSH", "", "message", "segments", (0, 0), 0),
    )
    kinds = TABLES
    kinds_of_rows = COLUMNS
    loops = LOOPS
    leaves = LEAVES
    elements = "fields"

    def syntax(self, start: bytes) -> Syntax | None:
        """Return the separators of a header; its line end is that of the file."""
        end = re.search(rb"[\r\n]", start)
        terminator = end[0] if end else b"\r"
        return _declared(start.decode(errors="replace"), terminator)

    def unwrapped(self, piece: bytes, offset: int, stream: Stream) -> bytes:
        """Return a segment without the end of a block. Line breaks in values stay."""
        del stream
        if _NEXT.search(piece):
            raise CannotRead(
                f"the segment at byte {offset:,} has a line break inside that ends no other segment"
            )
        piece = piece.rstrip(_BLOCK)
        if any(sign in piece for sign in _BLOCK):
            raise CannotRead(
                f"the segment at byte {offset:,} has the end of an MLLP block inside: put a CR"
                " before and after 0x1C"
            )
        return piece

    def segment(self, text: str, number: int, offset: int, syntax: Syntax) -> Segment:
        """Return the segment; a header declares its separators, which are its first two fields."""
        if not text.startswith(_HEADERS):
            return super().segment(text, number, offset, syntax)
        declared = _declared(text, syntax.terminator)
        segment = super().segment(text, number, offset, declared or syntax)
        if declared is None:
            raise segment.refused("it declares no separators")
        escape = declared.escape
        written = segment.parts[1]
        names = dict(zip((*declared.inner, escape), "RSTE", strict=True))
        escaped = (f"{escape}{names[each]}{escape}" if each in names else each for each in written)
        segment.parts[1:2] = [declared.element, "".join(escaped)]
        return segment

    def message(self, opened: Sequence[Open], number: int) -> Message:
        """Return the message that a header begins."""
        header = opened[-1].header
        batches = (level.header.at(11) for level in opened if level.header.id == "BHS")
        head = {
            "batch": next(batches, None),
            "message": str(number),
            "message_type": header.at(9),
            "trigger_event": header.at(9, 1, 2),
            "control_id": header.at(10),
        }
        return Message.begun(header, header.at(9), head)


def _declared(text: str, terminator: bytes) -> Syntax | None:
    r"""Return the separators of a header such as `MSH|^~\&|…`; None if it declares none."""
    if not text.startswith(_HEADERS) or len(text) < len("MSH|^"):
        return None
    field = text[3]
    characters = re.split(r"[\r\n]", text[4:].partition(field)[0])[0]
    component, repetition, escape, subcomponent = (*characters[:4], *([NEVER] * 4))[:4]
    names = {"F": field, "S": component, "R": repetition, "E": escape, "T": subcomponent}
    inner = (repetition, component, subcomponent)
    return Syntax(
        terminator, field, inner, escape=escape, value=partial(_unescaped, escape, names)
    ).checked(escape)


def _unescaped(escape: str, names: Mapping[str, str], text: str) -> str:
    """Return a value with the characters that its escapes stand for; others stay as written."""
    return _escapes(escape).sub(lambda match: _characters(names, match), text)


def _characters(names: Mapping[str, str], match: re.Match[str]) -> str:
    name = match[1]
    if name is None:
        return match[0]
    if name == ".br":
        return "\n"
    return names[name] if name in names else bytes.fromhex(name[1:]).decode()


@lru_cache(maxsize=16)
def _escapes(escape: str) -> re.Pattern[str]:
    """Return the pattern of all escapes, whose group is the name of those that are replaced."""
    mark = re.escape(escape)
    replaced = r"[FSRET]|\.br|X(?:[0-7][0-9A-Fa-f])+"
    return re.compile(rf"{mark}(?:({replaced})|[HN]|[XCM][0-9A-Fa-f]*|[Z.][^{mark}]*){mark}")
