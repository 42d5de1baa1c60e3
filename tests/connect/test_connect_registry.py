"""Kinds of files are all known, whatever was imported before."""

from __future__ import annotations

import subprocess
import sys


def test_a_module_that_is_imported_by_itself_hides_no_other_kind() -> None:
    """Would catch: a registry that takes one registered kind for a sign that all are, so that a CSV
    has no reader.
    """
    code = (
        "import headrace.connect.formats.xml; from headrace.connect.formats.registry import"
        " readers; print(*sorted(readers()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"csv", "excel", "fixed_width", "json", "jsonl", "parquet", "xml"} <= set(
        done.stdout.split()
    )
