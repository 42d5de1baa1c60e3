#!/usr/bin/env bash
# sqlglot 30.30.0 counts the lines of a DuckDB statement wrongly behind a parameter such as $low: the rest of the statement is
# counted once more for each of them, and columns become negative. An error in line 3 of four is reported in line 5. The offsets of tokens
# (start, end) are right. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sqlglot==30.30.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import sqlglot

print(f"sqlglot {version('sqlglot')}")
text = "select a\nfrom t where a > $low\nand f(a +) > 1\ngroup by a"


def place(text: str, dialect: str) -> tuple[int, int]:
    try:
        sqlglot.parse_one(text, dialect=dialect)
    except sqlglot.ParseError as error:
        return error.errors[0]["line"], error.errors[0]["col"]
    return 0, 0


behind, without = place(text, "duckdb"), place(text.replace("$low", "low"), "duckdb")
tokens = {token.text: token for token in sqlglot.tokenize(text, dialect="duckdb")}
low = tokens["low"]
print(f"the same error: line, column {behind} behind $low, {without} behind low")
print(f"the token low of line 2: line {low.line}, column {low.col}, offset {low.start}")
right = without[0] == 3 and behind[0] > 4 and low.col < 0 and low.start == text.index("low")
sys.exit(0 if right else 1)
PYTHON
