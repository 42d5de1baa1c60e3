"""Locks of assets with `requirements`: resolved once by uv, with hashes, in the project."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from headrace.extension import (
    Asset,
    HeadraceError,
    PythonBody,
    Response,
    included_file,
    lock_path,
    parsed_lock,
    requirements_digest,
    safe_path,
    write_files,
)
from headrace_python.function import versions
from headrace_python.uv import PackagesFailed, run

LOCKED, UNCHANGED, FAILED = "locked", "unchanged", "failed"
_SECRET = re.compile(r"://(?:[^/@:\s]*:[^/@\s]+|[^/@:\s]+)@")
_VARIABLE = re.compile(r"\$\{\w+\}")


class LockRow(Response, frozen=True, kw_only=True):
    """The lock of one asset: `locked`, `unchanged` or `failed`."""

    asset: str
    file: str
    state: str
    packages: int
    changes: list[str]
    """What is another than before: `pandas 2.2.2 → 2.2.3`."""
    message: str = ""
    hint: str = ""


class LocksResponse(Response, frozen=True, kw_only=True):
    """`lock`."""

    locks: list[LockRow]


def locked(root: Path, asset: Asset, *, upgrade: bool = False) -> LockRow:
    """Lock the packages of an asset, and return what changed.

    Versions that are locked stay, unless they no longer fit or with `upgrade`. A failure is in the
    row, and leaves the lock as it was.
    """
    path = lock_path(asset.name)
    row = LockRow(asset=asset.name, file=path, state=UNCHANGED, packages=0, changes=[])
    before = _read(root / path)
    try:
        text = _resolved(root, asset, "" if upgrade else before)
        if text != before:
            write_files(root, {path: text}, "look at the folder's permissions")
    except (HeadraceError, OSError) as error:
        return LockRow(
            asset=asset.name,
            file=path,
            state=FAILED,
            packages=0,
            changes=[],
            message=str(error),
            hint=getattr(error, "hint", ""),
        )
    old, new = parsed_lock(before).versions, parsed_lock(text).versions
    changes = [
        f"{name} {old.get(name, 'none')} → {new.get(name, 'none')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    return LockRow(
        asset=row.asset,
        file=path,
        state=UNCHANGED if text == before else LOCKED,
        packages=len(new),
        changes=changes,
    )


def _resolved(root: Path, asset: Asset, before: str) -> str:
    """Return the text of a lock: what it is for, options, and each package with its hashes."""
    digest = requirements_digest(asset.requirements, lambda path: _sha256(root / safe_path(path)))
    options = list(_options(root, asset))
    ours = versions() if isinstance(asset.body, PythonBody) else {}
    with tempfile.TemporaryDirectory() as folder:
        constraints, output = Path(folder, "constraints.txt"), Path(folder, "output.txt")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in ours.items()))
        output.write_text("\n".join(_pins(before)) + "\n", encoding="utf-8")
        run(
            *("pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"),
            *("--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
            *("--python", sys.executable, "--constraint", str(constraints)),
            *("--output-file", str(output), "-"),
            folder=root,
            variables=os.environ,
            given="\n".join(asset.requirements) + "\n",
        )
        pins = output.read_text(encoding="utf-8")
    head = [
        f"# The packages of {asset.name}. Written by `headrace lock`.",
        f"# for: {digest}",
    ]
    return "\n".join((*head, *options, pins))


def _options(root: Path, asset: Asset) -> Iterator[str]:
    """Yield the options of the declared lines, such as indexes, and of the files they include."""
    for line in asset.requirements:
        path = included_file(line)
        lines = [line] if path is None else _read(root / path).splitlines()
        for option in map(str.strip, lines):
            if option.startswith("-") and included_file(option) is None:
                _refuse_secret(option, path or "`requirements`")
                yield option


def _refuse_secret(option: str, where: str) -> None:
    """Raise PackagesFailed if an address has a name or a password before its host."""
    if _SECRET.search(_VARIABLE.sub("", option)):
        raise PackagesFailed(
            f"{where} has an address with a secret in it",
            hint="write https://${TOKEN}@… and `secrets: [TOKEN]` of the asset",
        )


def _pins(lock: str) -> list[str]:
    """Return the lines of a lock that uv wrote; it goes on with these versions."""
    return [line for line in lock.splitlines() if line and not line.startswith(("#", "-"))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
