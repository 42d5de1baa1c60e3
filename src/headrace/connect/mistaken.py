"""A file in which nothing of the pinned header is left: what it is instead, where that can be told from its beginning."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.connect.deliveries import SourceSchema, UnreadableFile

BEGINNING_BYTES = 1 << 16
LINES_BEFORE_MAX = 50
"""A header that comes later than after this many lines isn't looked for."""
_DOCUMENTS = (
    (re.compile(rb"(?i)<(!doctype html|html|head|body)\b"), "an HTML page, as a server's answer may be"),
    (re.compile(rb"<\?xml\b|<[A-Za-z][\w:.-]*[\s>/]"), "an XML document"),
    (re.compile(rb"[\[{]\s*[\[{\"\]}]"), "a JSON document"),
    (re.compile(rb"%PDF-"), "a PDF document"),
)
_BREAKS = re.compile(r"\r\n|\r|\n")


def another_thing(opened: str, pinned: SourceSchema) -> UnreadableFile | None:
    """Why a text file with rows has nothing of the pinned header: it is another kind of document, or
    its header comes after lines that are none of its rows. None where neither is so."""
    with Path(opened).open("rb") as file:
        beginning = file.read(BEGINNING_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    known = next((text for like, text in _DOCUMENTS if like.match(beginning)), None)
    if known is not None:
        return UnreadableFile(f"the file is {known}, not rows under a header", 1, code="delivery_header")
    lines = _BREAKS.split(beginning.decode("utf-8", errors="replace"))[: LINES_BEFORE_MAX + 1]
    for before, line in enumerate(lines):
        if before and _is_header(line, pinned):
            item = before == 1
            text = f"{before} line{' comes' if item else 's come'} before the header"
            return UnreadableFile(f"{text}, which is line {before + 1}", before + 1, "delivery_header")
    return None


def _is_header(line: str, pinned: SourceSchema) -> bool:
    form = pinned.format
    cells = [cell.strip().strip(form.quote).strip() for cell in line.split(form.delimiter)]
    return len(cells) > 1 and {*pinned.names} - {*pinned.optional} <= {*cells}
