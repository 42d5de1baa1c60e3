#!/usr/bin/env bash
# pycoda 1.1.0, the Python parser of Belgian statements (CODA), takes every structured communication for a payment
# reference of twelve digits: of a SEPA direct debit (structure 127), whose text has the creditor and the mandate, it
# returns +++010/1242/11BE1+++, made of the day, four codes and the start of the creditor. Mandate and creditor are lost. And a
# free text that goes on in record 2.2 gets a blank in the middle of a word. Nothing is raised. Exits with 0 while this
# is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycoda==1.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from coda.parser import Parser


def record(*placed: tuple[int, str]) -> str:
    text = " " * 127 + "0"
    for first, part in placed:
        text = text[: first - 1] + part + text[first - 1 + len(part) :]
    return text


account = (40, "EUR"), (59, "010124")
debit = "1127010124211" + "BE12ZZZ3456789".ljust(35) + "MANDATE-1".ljust(35)
text = "0" + "invoice 2024-17, and the text goes on within a wo".rjust(53, "-") + "rd"
movement = (48, "020124"), (54, "00150000"), (116, "020124"), (125, "0")
lines = [
    record((1, "00000020124"), (12, "000"), (15, "05 "), (128, "2")),
    record((1, "12001BE68539007547034"), (43, "0000000000100000"), *account, (126, "007")),
    record((1, "2100010000"), (32, "1000000000005000"), *movement, (62, debit[:54])),
    record((1, "2200010000"), (11, debit[54:])),
    record((1, "2100020000"), (32, "0000000000007000"), *movement, (62, text[:54])),
    record((1, "2200020000"), (11, text[54:])),
    record((1, "8001BE68539007547034"), (39, "EUR"), (42, "0000000000102000"), (58, "020124")),
    record((1, "9"), (17, "000006" + "000000000005000" + "000000000007000"), (128, "2")),
]
assert {len(line) for line in lines} == {128}
(statement,) = Parser().parse("\n".join(lines).encode())
seen = [movement.communication for movement in statement.movements]
print("pycoda", version("pycoda"))
print(f"a direct debit of BE12ZZZ3456789 with MANDATE-1: {seen[0]}")
print(f"a text of two records: {seen[1]}")
is_so = seen[0].startswith("+++010/1242/11BE1+++") and "MANDATE" not in seen[0] and seen[1].endswith("wo rd")
sys.exit(0 if is_so else 1)
PYTHON
