"""`versions`: what was applied, with its files as they are stored."""

from __future__ import annotations

from headrace.model import StoreError, UsageError
from headrace.model.contents import sha256_of
from headrace.model.reporting import did_you_mean, shown
from headrace.operations.responses import VersionFileRow, VersionRow
from headrace.operations.session import ProjectSession
from headrace.store.queries import applying
from headrace.store.queries import versions as stored
from headrace.store.queries.versions import Heading

DIGITS_MAX = 18


def versions(session: ProjectSession, number: str | None = None) -> list[VersionRow]:
    """All versions, newest first; with a number that one. UsageError where there is none of that number."""
    if session.store is None:
        if number is not None:
            raise _unknown(number)
        return []
    with session.store.read() as tx:
        results = stored.headings(tx, None if number is None else _number(number))
    if number is not None and not results:
        raise _unknown(number)
    return [_row(session, item) for item in results]


def file_of(session: ProjectSession, number: str, path: str) -> bytes:
    """The stored bytes of one file of a version. UsageError where there is none, StoreError where they aren't what was applied."""
    (version,) = versions(session, number)
    sha256 = next((file.sha256 for file in version.files if file.path == path), None)
    if sha256 is None:
        paths = [file.path for file in version.files]
        hint = did_you_mean(path, paths) or f"headrace versions {version.version} lists its files"
        raise UsageError(f"version {version.version} has no file {shown(path)}", hint=hint)
    assert session.store is not None
    with session.store.read() as tx:
        data = applying.contents(tx, {path: sha256})[path]
    if sha256_of(data) != sha256:
        raise StoreError(f"the stored bytes of {shown(path)} aren't those of version {version.version}", hint="headrace db check")
    return data


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX):
        raise UsageError(f"{text[:40]!r} is no version's number", hint="headrace versions lists them")
    return int(text)


def _unknown(number: str) -> UsageError:
    return UsageError(f"there is no version {number[:40]}", hint="headrace versions lists them")


def _row(session: ProjectSession, item: Heading) -> VersionRow:
    files = [VersionFileRow(path=path, sha256=sha256) for path, sha256 in sorted(item.manifest.items())]
    return VersionRow(version=item.id, plan_id=item.plan_id, by=item.actor, at=session.instant(item.applied_at), files=files)
