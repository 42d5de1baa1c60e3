"""`docs build`: write the site into a folder that it alone has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from headrace.extension import (
    HeadraceError,
    Identity,
    IdentityKind,
    ProjectSession,
    Refused,
    UsageError,
    grant_typed,
    rules_of,
    visible_nodes,
)
from headrace_docs.responses.description import Description, SiteResponse
from headrace_docs.services.describe import WINDOW, describe
from headrace_docs.site.files import site_files
from headrace_docs.site.frame import Page

MARK = "headrace-docs.txt"
"""A file of each site: a folder that has it may be replaced."""


def described_as(session: ProjectSession, role: str | None, window: str = WINDOW) -> Description:
    """Return the description of a project with the caller's rights, or with those of a role.

    A role is typed as for tokens, `ROLE[:SCOPE]`. Raise Refused for a role of somebody who doesn't
    see the whole project, UsageError for an invalid one.
    """
    if role is None:
        return describe(session, window=window)
    grant = grant_typed(f"role:{role}", role)
    if visible_nodes(session, rules_of(session)) is not None:
        raise Refused(
            "--as needs a role that sees the whole project",
            hint="leave it out: the site then has what you may see",
        )
    session.identify_as(
        Identity(name=session.actor, kind=IdentityKind.TOKEN, subjects=frozenset(), grants=(grant,))
    )
    return describe(session, window=window, reader=role)


def build_site(session: ProjectSession, folder: Path, described: Description) -> SiteResponse:
    """Write the site of a project into a folder, in place of an earlier one.

    Readers see the old site or the new one. Raise UsageError for a folder that is something else,
    HeadraceError if it can't be written.
    """
    target = Path(os.path.realpath(folder))
    if target == session.root or target in session.root.parents:
        raise UsageError(f"{folder} is a folder around the project", hint="--out NAME")
    _require_replaceable(target)
    beside = target.with_name(f".{target.name}.headrace-docs")
    try:
        _remove(beside)
        pages, size = _write(beside, site_files(described))
        _replace(target, beside)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise HeadraceError(
            f"{error.filename or folder} can't be written: {error.strerror}",
            hint="name another folder: --out DIR",
        ) from error
    return SiteResponse(
        folder=str(folder),
        pages=pages,
        bytes=size,
        project=described.project,
        at=described.at,
        version=described.version,
        reader=described.reader,
        problems=described.problems,
    )


def _require_replaceable(target: Path) -> None:
    if not target.exists() or (target / MARK).is_file():
        return
    if not target.is_dir() or any(target.iterdir()):
        raise UsageError(
            f"{target} isn't a site of `headrace docs`, and isn't replaced",
            hint="name another folder: --out DIR",
        )


def _write(folder: Path, files: Iterable[Page]) -> tuple[int, int]:
    """Write the files; return the number of pages and of bytes."""
    pages = size = 0
    folders = set()
    for page in files:
        path = folder / page.path
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.add(path.parent)
        data = page.text.encode("utf-8", "replace")
        path.write_bytes(data)
        pages += path.suffix == ".html"
        size += len(data)
    (folder / MARK).write_text("`headrace docs build` replaces this folder.\n", encoding="utf-8")
    return pages, size


def _replace(target: Path, new: Path) -> None:
    """Put the new folder in the place of the old one."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        new.rename(target)
        return
    old = target.with_name(f".{target.name}.headrace-docs-old")
    _remove(old)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    _remove(old)


def _remove(folder: Path) -> None:
    """Remove what an earlier build left behind."""
    if folder.is_symlink() or folder.is_file():
        raise OSError(17, "it is no folder", str(folder))
    if folder.exists():
        shutil.rmtree(folder)
