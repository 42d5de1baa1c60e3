#!/usr/bin/env bash
# pygls 2.1.1 counts the lines of a document as Python's str.splitlines does. A U+2028, U+0085, vertical tab or form feed within a
# line, which ends no line in the Language Server Protocol, moves an editor's next change to another line, without an error: the
# server then has another text than the editor. A position beyond the end of the last line, which the protocol puts at its end,
# is put before its last character. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pygls==2.1.1 lsprotocol==2025.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from lsprotocol.types import Position, Range, TextDocumentContentChangePartial
from pygls.workspace import TextDocument


def changed(text: str, line: int, character: int, new: str) -> str:
    document = TextDocument("file:///a.sql", text)
    place = Position(line, character)
    document.apply_change(TextDocumentContentChangePartial(Range(place, place), new))
    return document.source


print(f"pygls {version('pygls')}")
moved = True
for name, mark in {"U+2028": "\u2028", "U+0085": "\x85", "U+000B": "\x0b", "U+000C": "\x0c"}.items():
    text = f"-- one{mark}line\nselect a\nfrom t\n"
    got = changed(text, 1, 8, ", b")
    print(f"{name}: ', b' after 'select a' gives {got!r}")
    moved &= got == f"-- one{mark}line, b\nselect a\nfrom t\n"
end = changed("select a\nfrom t", 1, 99, "s")
print(f"'s' beyond the end of 'from t' gives {end!r}")
sys.exit(0 if moved and end == "select a\nfrom st" else 1)
PYTHON
