#!/usr/bin/env bash
# With drop_invalid_rows=True, pandera 0.35.0 returns rows that aren't what the schema says when a value can't be coerced: of
# "1" and "x" for a column of integers "1" stays, as text. unique drops all rows of a repeated value, not all but one. And
# coerce=True with bool makes True of "False", "0" and of a missing value in a column that isn't nullable, before it checks.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "pandera[pandas]==0.35.0" pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import pandas
import pandera.pandas as pandera

print(*(f"{name} {version(name)}" for name in ("pandera", "pandas")))
seen = []
for values, options, dropping in (
    (["1", "x"], {"dtype": int, "coerce": True}, True),
    ([1, 1, 2], {"dtype": int, "unique": True}, True),
    (["False", "0"], {"dtype": bool, "coerce": True}, False),
    ([1.0, None], {"dtype": bool, "coerce": True, "nullable": False}, False),
):
    schema = pandera.DataFrameSchema({"a": pandera.Column(**options)}, drop_invalid_rows=dropping)
    result = schema.validate(pandas.DataFrame({"a": values}), lazy=True)["a"].tolist()
    print(f"{values} by {options}{', dropping rows' if dropping else ''}: {result}")
    seen.append(result)
sys.exit(0 if seen == [["1"], [2], [True, True], [True, True]] else 1)
PYTHON
