"""Bytecode of applied files with many assets, compiled once instead of by each worker.

A worker imports an asset's file before it runs the first asset in it, and compiling takes about 80
times as long as reading bytecode. The files lie where Python looks for them (`__pycache__`), and
each names the hash of its source: Python compiles a source again that differs from it, and one
whose bytecode is of another Python.
"""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from headrace.model import Project, PythonBody

ASSETS_MIN = 10
"""Files with fewer assets are compiled by the workers that run them.

Few workers run assets of the same small file.
"""
_HEADER = importlib.util.MAGIC_NUMBER + bytes([0b11, 0, 0, 0])
"""How bytecode of this Python begins that names its source's hash, which is to be checked."""


def files_to_compile(project: Project) -> list[str]:
    """Return the files with at least ASSETS_MIN Python assets, relative to the code folder."""
    bodies = [asset.body for asset in project.assets.values()]
    assets = Counter(body.file for body in bodies if isinstance(body, PythonBody))
    return sorted(file for file, count in assets.items() if count >= ASSETS_MIN)


def write_bytecode(files: Iterable[str], folder: Path, before: Path | None) -> Iterator[Path]:
    """Write the bytecode of these files of a new code folder; yield the paths of what was written.

    Bytecode of unchanged files is copied from the folder `before`. A file that doesn't compile, or
    not without a warning, is left to the workers, which report that in the attempt's log.
    """
    if sys.pycache_prefix is not None:  # Python doesn't look into the folder then
        return
    for file in files:
        source = folder / file
        target = Path(importlib.util.cache_from_source(str(source)))
        known = None if before is None else _known(before / file, source)
        with contextlib.suppress(OSError, ValueError, RecursionError, SyntaxError):
            _write(target, _compiled(source) if known is None else known)
            yield target


def _known(before: Path, source: Path) -> bytes | None:
    """Return the bytecode of an earlier copy of a file, if it is the same file."""
    with contextlib.suppress(OSError):
        bytecode = Path(importlib.util.cache_from_source(str(before))).read_bytes()
        if bytecode.startswith(_HEADER) and before.read_bytes() == source.read_bytes():
            return bytecode
    return None


def _compiled(source: Path) -> bytes:
    """Return the bytecode of a file; raise SyntaxError for a warning, too."""
    text = source.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)
        code = compile(text, str(source), "exec", dont_inherit=True)
    return _HEADER + importlib.util.source_hash(text) + marshal.dumps(code)


def _write(target: Path, bytecode: bytes) -> None:
    """Write all of the bytecode, or nothing: Python can't import a file with a part of it.

    `py_compile` leaves a part on a full disk (before Python 3.12.8).
    """
    target.parent.mkdir(exist_ok=True)
    try:
        target.write_bytes(bytecode)
    except OSError:
        target.unlink(missing_ok=True)
        raise
