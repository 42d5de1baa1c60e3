"""Rows that go into a file or a pipe: in which format, and whole or not at all."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from headrace.cli.text import clean_lines
from headrace.model.errors import UsageError

FORMATS = ("table", "csv", "json", "parquet", "arrow")
BINARY = ("parquet", "arrow")


def format_of(form: str | None, out: Path | None, *, json: bool) -> str:
    """What was asked for, or what the file's ending says."""
    if form is not None and form not in FORMATS:
        raise UsageError(f"--format {form} isn't known", hint=f"one of {', '.join(FORMATS)}")
    chosen = form or ("json" if json else (out.suffix.lstrip(".").lower() if out is not None else "table"))
    if json and chosen != "json":
        raise UsageError(f"--json and --format {chosen} exclude each other", hint="leave one of them away")
    if out is not None and (chosen == "table" or chosen not in FORMATS):
        raise UsageError(f"--out {out} doesn't say in which format", hint="--format csv, json, parquet or arrow")
    if out is None and chosen in BINARY and sys.stdout.isatty():
        raise UsageError(f"{chosen} isn't for terminals", hint="--out FILE")
    return chosen


def replace_file(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Writes a file beside `path` and renames it: readers see the old one or the new one."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def write_out(fill: Callable[[BinaryIO], object], out: Path | None) -> None:
    """Writes rows into a file, or to standard output: on a terminal without what would control it."""
    if out is not None:
        replace_file(out, fill)
    elif sys.stdout.isatty():
        buffer = io.BytesIO()
        fill(buffer)
        sys.stdout.write(clean_lines(buffer.getvalue().decode(errors="backslashreplace")))
    else:
        fill(sys.stdout.buffer)
        sys.stdout.buffer.flush()
