"""Benchmarks measure an installation, not a checkout without bytecode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from headrace.cli import __file__ as imported
from scripts.tree_copy import ROOT


def test_benchmarks_measure_what_is_compiled_already() -> None:
    """Would catch: figures with the compilation of all imported modules in each process, as they
    were where `PYTHONDONTWRITEBYTECODE` is set.
    """
    cached = Path(imported).parent / "__pycache__" / f"__init__.{sys.implementation.cache_tag}.pyc"
    cached.unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-c", "from benchmarks import harness; harness.compile_bytecode()"],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
    assert cached.exists()
