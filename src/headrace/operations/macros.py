"""What is wrong with a project's macros: DuckDB says it, in a process of its own, and what it said is kept by content."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headrace.model import HeadraceError, Place, Problem
from headrace.plan import Compilation

SECONDS_MAX = 30.0
CACHE_FILE = "macros"
HINT = "`headrace explain bad_macro` shows what a macro may be"


class MacroDiagnostic(msgspec.Struct, frozen=True):
    """As `engine.macros` tells it."""

    file: str
    line: int
    message: str


class _Kept(msgspec.Struct, frozen=True):
    digest: str
    faults: tuple[MacroDiagnostic, ...]


def with_macros(compilation: Compilation, cache: Path) -> Compilation:
    """The compilation with what is wrong with its macros, which nothing may run with."""
    if compilation.project is None or not compilation.project.macros:
        return compilation
    faults = _faults(compilation.project.macros, cache)
    if not faults:
        return compilation
    problems = [
        Problem(code="bad_macro", message=fault.message, hint=HINT, place=Place(file=fault.file, line=fault.line)) for fault in faults
    ]
    return msgspec.structs.replace(
        compilation, compiled=None, partial=compilation.compiled or compilation.partial, problems=[*compilation.problems, *problems]
    )


def _faults(macros: Mapping[str, str], cache: Path) -> tuple[MacroDiagnostic, ...]:
    text = json.dumps(sorted(macros.items()))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = cache / CACHE_FILE
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        if kept.digest == digest:
            return kept.faults
    except (OSError, msgspec.DecodeError):
        pass
    faults = _asked(json.dumps(dict(macros)))
    _keep(path, _Kept(digest, faults))
    return faults


def _asked(macros: str) -> tuple[MacroDiagnostic, ...]:
    done = subprocess.run(
        [sys.executable, "-m", "headrace.engine.macros"], input=macros, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    try:
        return msgspec.json.decode(done.stdout, type=tuple[MacroDiagnostic, ...])
    except msgspec.DecodeError:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise HeadraceError(f"the macros can't be looked at: {last}", hint="headrace doctor") from None


def _keep(path: Path, kept: _Kept) -> None:
    """What can't be kept is asked again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(msgspec.json.encode(kept))
        part.replace(path)
    except OSError:
        return
