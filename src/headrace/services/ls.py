"""`ls` and `versions`: the declared nodes, and the applied versions with their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from headrace.access.permissions import SEE, command
from headrace.compiler.installed import Installed
from headrace.model import (
    Asset,
    Project,
    Source,
    UsageError,
)
from headrace.model.errors import did_you_mean, shown
from headrace.model.retention import first_kept
from headrace.privacy.retention import hold_reason, in_force
from headrace.project import code_versions
from headrace.project.applied_files import stored_files
from headrace.project.parameters import Argument, Excluded, Selected
from headrace.project.selection import selected
from headrace.project.session import InvalidProject, Progress, ProjectSession
from headrace.responses import NodeRow, VersionFileRow, VersionRow
from headrace.standing.node_rows import node_row
from headrace.store.queries import applied_versions as stored
from headrace.store.queries.applied_versions import Heading
from headrace.store.queries.holds import Hold


@command(
    "ls",
    SEE,
    of="select",
    lists=True,
    http="GET /ls ls",
    of_files=True,
    session="ls",
    group="look",
    summary="list sources, assets and consumers",
)
def ls(
    session: ProjectSession, select: Selected = (), exclude: Excluded = (), *, progress: Progress
) -> list[NodeRow]:
    """List the declared sources, then assets, then consumers, each sorted by name.

    Raise UsageError for an unknown selection, InvalidProject if the files have errors.
    """
    compilation = session.declared(progress)
    project = compilation.project
    if project is None:
        raise InvalidProject(compilation.problems)
    names = selected(session, select, exclude, compiled=compilation.compiled, project=project)
    if not names:
        progress.note(_why_nothing(session, project, select, exclude))
    compiled = compilation.compiled
    rows = [
        node_row(project, name) for name in sorted(names, key=lambda name: _order(project, name))
    ]
    rows = _with_retention(session, project, rows)
    if compiled is None:
        return rows
    here = Installed()
    return [
        msgspec.structs.replace(
            row, code=code_versions.declared(session.root, compiled, row.name, here)
        )
        for row in rows
    ]


def _why_nothing(
    session: ProjectSession, project: Project, select: Sequence[str], exclude: Sequence[str]
) -> str:
    """Return why a selection has no node."""
    if not any(project.nodes()):
        return "nothing is declared yet"
    if not select:
        return "every node is excluded"
    left = " and isn't excluded" if exclude else ""
    if set(select) <= {"state:modified", "state:changed"}:
        other = "the applied version" if session.production is None else "production"
        return f"no node differs from {other}{left}"
    return f"no node matches {' or '.join(map(shown, select))}{left}"


def _with_retention(
    session: ProjectSession, project: Project, rows: list[NodeRow]
) -> list[NodeRow]:
    """Return the rows with what `retain:` keeps now, and with legal holds."""
    held: dict[str, Hold] = {}
    if session.store is not None:
        with session.store.read() as tx:
            held = in_force(tx)
    now_us, results = session.clock.now_us(), []
    for row in rows:
        node = project.source_or_asset(row.name)
        hold = None if node is None else hold_reason(held, row.name)
        first = None if node is None else first_kept(node, now_us)
        results.append(msgspec.structs.replace(row, kept_from=first, hold=hold))
    return results


def _order(project: Project, name: str) -> tuple[int, str]:
    node = project.node(name)
    return (0 if isinstance(node, Source) else 1 if isinstance(node, Asset) else 2, name)


# `versions`: applied versions, with their files as stored.

DIGITS_MAX = 18


@command("versions", SEE, http="GET /versions versions", session="versions")
def versions(
    session: ProjectSession,
    version: Annotated[
        str | None, Argument("[N]", help="a version's number: its files with their hashes")
    ] = None,
) -> list[VersionRow]:
    """Return all versions, newest first, or one by its version.

    Raise UsageError if it doesn't exist.
    """
    if session.store is None:
        if version is not None:
            raise _unknown(version)
        return []
    with session.store.read() as tx:
        results = stored.headings(tx, None if version is None else _number(version))
    if version is not None and not results:
        raise _unknown(version)
    return [_row(session, item) for item in results]


@command("versions", SEE)
def file_of(session: ProjectSession, number: str, path: str) -> bytes:
    """Return the stored bytes of one file of a version.

    Raise UsageError if there is no such file, StoreError if the bytes don't match their hash.
    """
    (version,) = versions(session, number)
    sha256 = next((file.sha256 for file in version.files if file.path == path), None)
    if sha256 is None:
        paths = [file.path for file in version.files]
        hint = did_you_mean(path, paths) or f"headrace versions {version.version} lists its files"
        raise UsageError(f"version {version.version} has no file {shown(path)}", hint=hint)
    return stored_files(session, version.version, {path: sha256})[path]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX):
        raise UsageError(
            f"{text[:40]!r} is no version's number", hint="headrace versions lists them"
        )
    return int(text)


def _unknown(number: str) -> UsageError:
    return UsageError(f"there is no version {number[:40]}", hint="headrace versions lists them")


def _row(session: ProjectSession, item: Heading) -> VersionRow:
    files = [
        VersionFileRow(path=path, sha256=sha256) for path, sha256 in sorted(item.manifest.items())
    ]
    return VersionRow(
        version=item.id,
        plan_id=item.plan_id,
        by=item.actor,
        at=session.instant(item.applied_at),
        files=files,
    )
