"""Whether the files say something else than what is applied. A server is asked again and again: it reads only what changed."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import msgspec

from headrace.model.files import folders, scan
from headrace.operations.session import ProjectSession

LOOK_SECONDS = 10.0
"""Files are looked at again after so long at the earliest."""
RACY_NS = 2_000_000_000
"""What was written so lately may be written again without looking otherwise, so it is read again."""
_LOOKING = threading.Lock()
"""Who asks while somebody looks waits for what they find: two who look take twice as long."""
_Mark = tuple[int, int, int] | None


class _Looked(msgspec.Struct):
    """How files and folders looked, and how many nodes differ then."""

    marks: dict[str, _Mark]
    nodes: int | None
    at: float


def unapplied(session: ProjectSession) -> int | None:
    """How many nodes' files differ from what is applied; None where the files have errors. Free while no file differs."""
    with _LOOKING:
        word, known = session.memory.get("unapplied", ("", None))
        if word != str(session.version) or known is None or not _still(known):
            known = _looked(session)
            session.memory["unapplied"] = (str(session.version), known)
    nodes: int | None = known.nodes
    return nodes


def _still(known: _Looked) -> bool:
    """Whether everything looks as it did."""
    now = time.monotonic()
    if now - known.at < LOOK_SECONDS:
        return True
    lately = time.time_ns() - RACY_NS
    if any(mark is not None and mark[0] > lately for mark in known.marks.values()):
        return False
    known.at = now
    return all(_mark(path) == mark for path, mark in known.marks.items())


def _mark(path: str) -> _Mark:
    """What tells a file or a folder from what it was."""
    try:
        results = os.stat(path)  # noqa: PTH116 - ten thousand paths would be taken apart and put together again
    except OSError:
        return None
    return results.st_mtime_ns, results.st_size, results.st_ino


def _looked(session: ProjectSession) -> _Looked:
    applied, at = session.manifest, time.monotonic()
    declared = {file.path for file in scan(session.root).files}
    marks = {path: _mark(path) for path in (*folders(session.root), *(f"{session.root}/{name}" for name in (*applied, *declared)))}
    same = declared <= applied.keys() and all(_digest(f"{session.root}/{path}") == digest for path, digest in applied.items())
    return _Looked(marks, 0 if same else _differing(session), at)


def _digest(path: str) -> str | None:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def _differing(session: ProjectSession) -> int | None:
    from headrace.plan import changes

    compiled = session.declared().compiled
    return None if compiled is None else len({change.node for change in changes(session.compiled, compiled)})
