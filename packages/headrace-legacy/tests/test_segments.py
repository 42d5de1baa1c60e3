"""What the formats of segments have in common: what they publish is what the file has."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from test_edifact import DESPATCH, interchange
from test_edifact import INVOICE as EDIFACT_INVOICE
from test_edifact import ORDER as EDIFACT_ORDER
from test_hl7 import ADMISSION, RESULT, batch
from test_x12 import ACKNOWLEDGED, CLAIM, INVOICE, ORDER, PAYMENT, SHIPMENT
from test_x12 import interchange as x12_interchange

from headrace.connect.deliveries import CannotRead
from headrace_legacy.edifact import Edifact
from headrace_legacy.hl7 import Hl7
from headrace_legacy.segments import SegmentFormat
from headrace_legacy.x12 import X12

MUTATIONS = int(os.environ.get("HEADRACE_MUTATIONS", "300"))
"""Mutated files per format."""
X12_FILE = x12_interchange(PAYMENT, CLAIM, ORDER, INVOICE, SHIPMENT, ACKNOWLEDGED)
EDIFACT_FILE = interchange(
    EDIFACT_ORDER, EDIFACT_INVOICE, DESPATCH, service="UNA:+.? '\n", group=True
)
HL7_FILE = batch(RESULT, ADMISSION, end="\n")


def x12_text(row: dict[str, Any]) -> str:
    elements = (
        "^".join(
            ":".join(part or "" for part in repetition or [""]) for repetition in element or [""]
        )
        for element in row["elements"]
    )
    return "*".join([row["id"], *elements])


def x12_segments(content: bytes) -> list[str]:
    """Return the segments of transaction sets, read in the plainest way."""
    found = (segment.lstrip(" \t\r\n") for segment in content.decode().split("~"))
    return [text for text in found if text and text[:3] not in ("ISA", "GS*", "GE*", "IEA")]


def edifact_text(row: dict[str, Any]) -> str:
    elements = (
        ":".join(_released(part) for part in (element or [[""]])[0]) for element in row["elements"]
    )
    return "+".join([row["id"], *elements])


def _released(value: str | None) -> str:
    return re.sub(r"([:+?'])", r"?\1", value or "")


def edifact_segments(content: bytes) -> list[str]:
    found = re.findall(r"((?:[^?']|\?.)*)'", content.decode(), re.DOTALL)
    texts = (
        re.sub(r"\?(.)", _only_special, text.lstrip(" \t\r\n"), flags=re.DOTALL) for text in found
    )
    return [text for text in texts if text and text[:3] not in ("UNA", "UNB", "UNG", "UNE", "UNZ")]


def _only_special(match: re.Match[str]) -> str:
    return match[0] if match[1] in ":+?'" else match[1]


def hl7_text(row: dict[str, Any]) -> str:
    fields = [
        "~".join(
            "^".join(
                "&".join(_escaped(part) for part in component or [""])
                for component in repetition or [""]
            )
            for repetition in field or [""]
        )
        for field in row["fields"]
    ]
    if row["id"] == "MSH":
        fields[:2] = [r"^~\&"]
    return "|".join([row["id"], *fields])


def _escaped(value: str | None) -> str:
    names = {"|": "F", "^": "S", "~": "R", "&": "T", "\n": ".br"}
    return re.sub(r"[|^~&\n]", lambda match: f"\\{names[match[0]]}\\", value or "")


def hl7_segments(content: bytes) -> list[str]:
    found = (text.lstrip(" \t\r\n") for text in content.decode().split("\n"))
    return [text for text in found if text and text[:3] not in ("FHS", "BHS", "BTS", "FTS")]


class Case(NamedTuple):
    form: SegmentFormat
    content: bytes
    text_of: Callable[[Any], str]
    segments_of: Callable[[bytes], list[str]]
    header: bytes
    """What declares the separators that the two functions know."""

    def is_declared(self, data: bytes) -> bool:
        """Return whether all headers of the file still declare them."""
        name = self.header[:3]
        return name in data and data.count(name) == data.count(self.header)


FORMATS = {
    "x12": Case(X12(), X12_FILE, x12_text, x12_segments, X12_FILE[:106]),
    "edifact": Case(Edifact(), EDIFACT_FILE, edifact_text, edifact_segments, b"UNA:+.? '"),
    "hl7": Case(Hl7(), HL7_FILE, hl7_text, hl7_segments, rb"MSH|^~\&|"),
}


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Return a file with some bytes lost, changed, doubled or moved, or whole lines of it."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(data))
        size = chance.choice((1, 1, 2, 8, 40, 200))
        lines = data.split(b"\n")
        line = chance.randrange(len(lines))
        match chance.randrange(8):
            case 0:
                del data[at : at + size]
            case 1:
                data[at] = chance.randrange(1, 128)
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at:at] = bytes(chance.choices(b"*:^~'+?|&\\\r\n 0Aa-", k=min(size, 8)))
            case 4:
                data = data[:at]
            case 5:
                data = bytearray(b"\n".join([*lines[:line], *lines[line + 1 :]]))
            case 6:
                data = bytearray(b"\n".join([*lines[: line + 1], *lines[line:]]))
            case _:
                other = chance.randrange(len(lines))
                lines[line], lines[other] = lines[other], lines[line]
                data = bytearray(b"\n".join(lines))
        if not data:
            return b"~"
    return bytes(data)


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_refused_or_read_to_the_letter(name: str, tmp_path: Path) -> None:
    """Would catch: a crash, and segments that are published otherwise than the file has them."""
    case = FORMATS[name]
    form = case.form
    chance = random.Random(name)
    path = tmp_path / "a"
    read = 0
    for number in range(MUTATIONS):
        data = mutated(case.content, chance)
        path.write_bytes(data)
        for kind in form.kinds_of_rows:
            try:
                rows = [*form.records(path, {"rows": kind})]
            except (CannotRead, UnicodeDecodeError):
                continue
            for row in rows:
                assert [*row] == [*form.kinds_of_rows[kind]]
            if kind == "segments" and case.is_declared(data):
                read += 1
                assert [case.text_of(row) for row in rows] == case.segments_of(data), number
    assert 0 < read < MUTATIONS


@pytest.mark.parametrize("name", ["edifact", "x12"])
def test_lines_of_one_length_are_joined(name: str, tmp_path: Path) -> None:
    """Would catch: a file that a mainframe has cut into lines of 80 bytes, with line breaks in its
    values; a line break that a sender has put into a value, which would be lost."""
    form, content = FORMATS[name][:2]
    plain, wrapped = tmp_path / "plain", tmp_path / "wrapped"
    joined = content.replace(b"\n", b"")
    plain.write_bytes(joined)
    expected = [*form.records(plain, {})]
    for end in (b"\n", b"\r\n"):
        lines = [joined[at : at + 80] for at in range(0, len(joined), 80)]
        wrapped.write_bytes(end.join(lines) + end)
        assert [*form.records(wrapped, {})] == expected
        lines[3] = lines[3][:40] + end + lines[3][40:]
        wrapped.write_bytes(end.join(lines))
        with pytest.raises(CannotRead, match="not all lines have one length"):
            list(form.records(wrapped, {}))


@pytest.mark.parametrize("name", FORMATS)
def test_a_page_names_all_rows_and_columns(name: str) -> None:
    """Would catch: a column that the how-to page doesn't have."""
    page = (Path(__file__).parents[3] / f"docs/how-to/legacy/{name}.md").read_text()
    for kind, columns in FORMATS[name].form.kinds_of_rows.items():
        assert f"`{kind}`" in page
        assert [column for column in columns if f"`{column}`" not in page] == []
