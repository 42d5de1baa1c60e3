"""Formats are found by their names, Headrace's own and those of packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headrace.connect.formats.registry import own_readers, reader
from headrace.model.errors import HeadraceError
from headrace.model.exports import ENDINGS, FORMAT_OPTIONS
from headrace.model.plugin_fields import export_declaration
from headrace.model.plugins import EXPORTS, own_kinds


def test_own_formats() -> None:
    """Would catch: a module of the folder that is taken for a format, or a format that isn't."""
    assert [kind.name for kind in own_readers()] == ["csv", "json", "jsonl", "parquet"]


def test_a_format_that_nobody_has() -> None:
    with pytest.raises(HeadraceError, match="no installed package reads the format `abacus`"):
        reader("abacus")


def test_own_formats_of_exports_are_those_of_declarations() -> None:
    """Would catch: an ending that is declared and not written, or the other way round."""
    own = {name: export_declaration(name) for name in own_kinds(EXPORTS)}
    assert own.keys() == FORMAT_OPTIONS.keys()
    for name, declaration in own.items():
        assert declaration is not None
        assert [ending for ending, kind in ENDINGS.items() if kind == name] == [
            *declaration.endings
        ]


def test_reading_declarations_imports_no_duckdb() -> None:
    """Would catch: DuckDB beside the state database in the process that leads."""
    code = (
        "import sys, headrace.extension.formats; from headrace.model.plugin_fields import"
        " format_by_ending; format_by_ending('.none'); sys.exit('duckdb' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
