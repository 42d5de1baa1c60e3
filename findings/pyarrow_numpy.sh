#!/usr/bin/env bash
# pyarrow 26.0.1 declares no dependency, works without NumPy, and can't be imported beside NumPy 1.26.4 ("requires NumPy 2.0 or
# newer"). pip installs both without a word, and `pip check` finds nothing.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
alone=$("$folder/venv/bin/python" -c "import pyarrow; print(pyarrow.table({'n': [1]}).to_pylist())")
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==1.26.4
checked=$("$folder/venv/bin/pip" check)
"$folder/venv/bin/python" - "$alone" "$checked" <<'PYTHON'
import sys
from importlib.metadata import requires, version

print(*(f"{name} {version(name)}" for name in ("pyarrow", "numpy")))
try:
    import pyarrow
except ImportError as error:
    refusal = str(error)
else:
    refusal = f"imported {pyarrow.__version__}"
print(f"without NumPy: {sys.argv[1]}; declared: {requires('pyarrow')}; pip check: {sys.argv[2]}; beside it: {refusal}")
needed = [each for each in requires("pyarrow") or () if "extra ==" not in each]
right = sys.argv[1] == "[{'n': 1}]" and not needed and "No broken" in sys.argv[2] and "NumPy 2.0" in refusal
sys.exit(0 if right else 1)
PYTHON
