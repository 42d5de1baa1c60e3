"""Locks of `requirements`: a file of each such asset that names its packages, with hashes.

A lock is a requirements file (pip's format) whose first lines say for which declared lines it was
made. Its fingerprint covers versions and markers: another file of the same version, which a
registry may gain at any time, is no other version of the asset.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

from headrace.model import Value

LOCK = ".lock"
MARK = "# for: "
"""Begins the line with the digest of the declared lines."""
_INCLUDED = re.compile(r"(?:-r|-c|--requirement|--constraint)[ =]?(\S+)")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])? ?==(=?[^\s;\\]+)[^\n\\]*")


class Lock(Value):
    """What a lock says: for which declaration it was made, and the versions of its packages."""

    declared: str
    digest: str
    versions: dict[str, str]


def lock_path(asset: str) -> str:
    """Return the path of an asset's lock, relative to the project's folder."""
    return f"requirements/{asset}{LOCK}"


def parsed_lock(text: str) -> Lock:
    """Return what a lock says; lines that no lock has count, so that a change of them is one."""
    lines = [line.strip() for line in re.sub(r"\\\n", " ", text).splitlines()]
    declared = next((line.removeprefix(MARK) for line in lines if line.startswith(MARK)), "")
    counted = [re.sub(r"\s+--hash=\S+", "", line) for line in lines if line and line[0] != "#"]
    versions = {pin[1]: pin[2] for line in counted if (pin := _PIN.match(line))}
    digest = hashlib.sha256("\n".join(counted).encode()).hexdigest()
    return Lock(declared=declared, digest=digest, versions=versions)


def included_file(line: str) -> str | None:
    """Return the file that a declared line includes (`-r FILE`, `-c FILE`)."""
    match = _INCLUDED.fullmatch(line)
    return None if match is None else match[1]


def requirements_digest(lines: Sequence[str], sha256: Callable[[str], str]) -> str:
    """Return the digest of declared lines, with the contents of the files that they include.

    `sha256` returns the hash of a file of the project, and raises OSError.
    """
    included = [sha256(path) for line in lines if (path := included_file(line)) is not None]
    return hashlib.sha256("\n".join((*lines, *included)).encode()).hexdigest()
