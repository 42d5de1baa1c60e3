"""`docs publish` to an object store: files that others see one by one, in an order that fits."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace.extension import (
    HeadraceError,
    ProjectSession,
    UsageError,
    did_you_mean,
    errors_as_unavailable,
    open_location,
    shown,
)
from headrace.extension.sources import Secrets, Unavailable
from headrace_docs.services.folders import FIRST_PAGE, WrittenFiles, undated, write_files

SCHEMES = ("s3", "s3a", "gs", "gcs")
"""Object stores that show a file when it is complete, and tell a browser that it is a page."""
MANIFEST = "headrace-docs.json"
"""The files that `docs publish` wrote, by path with the SHA-256 of all but the time that they say;
empty while one is written."""


def publish_to_bucket(
    session: ProjectSession,
    url: str,
    connection: str | None,
    files: Iterable[tuple[str, str | bytes]],
) -> WrittenFiles:
    """Write a site below a URL, and remove what an earlier one had more.

    New pages come first and the first page last, then stale ones go: at no time a link leads
    nowhere, and after a break the next call goes on. Raise UsageError for an unknown scheme or
    connection, or a place that has something else; HeadraceError if it can't be reached.
    """
    options = _options(session, url, connection)
    with tempfile.TemporaryDirectory(prefix="headrace-docs-") as name:
        folder = Path(name) / "site"
        sizes, _ = write_files(folder, files)
        try:
            with errors_as_unavailable(url):
                place = open_location(url.rstrip("/"), options, Secrets(session.root))
                bucket = _Bucket(place)
                known = bucket.manifest()
            if known is None:
                raise UsageError(
                    f"{url} holds something else, and isn't replaced",
                    hint="name another folder of the bucket",
                )
            with errors_as_unavailable(url):
                changed, removed = _synchronized(bucket, known, folder, list(sizes))
        except Unavailable as error:
            hint = "headrace connections test tries connections; --connection NAME names one"
            raise HeadraceError(str(error), hint=hint) from error
    return WrittenFiles(sizes, changed, removed)


def _options(session: ProjectSession, url: str, connection: str | None) -> Mapping[str, Any]:
    scheme, _, bucket = url.partition("://")
    if not bucket.strip("/"):
        raise UsageError(f"{shown(url)} names no bucket", hint=f"{scheme}://BUCKET/FOLDER")
    if scheme not in SCHEMES:
        raise UsageError(
            f"a site can't be published to {shown(scheme)}://",
            hint=f"one of {', '.join(f'{name}://' for name in SCHEMES)}, or a folder",
        )
    known = session.settings.connections
    if connection is not None and connection not in known:
        hint = did_you_mean(connection, known) or "headrace.toml declares connections"
        raise UsageError(f"there is no connection {shown(connection)}", hint=hint)
    return known[connection] if connection is not None else {}


class _Bucket:
    """The files below a URL."""

    def __init__(self, place: Any) -> None:
        self._place, self._files = place, place.filesystem

    def path(self, name: str) -> str:
        return str(self._place.inside(f"{self._place.url}/{name}"))

    def manifest(self) -> dict[str, str] | None:
        """Return the files of an earlier call with their hashes; None where others are."""
        with suppress(FileNotFoundError, ValueError):
            stored = json.loads(self._files.cat_file(self.path(MANIFEST)))
            return {str(name): str(digest) for name, digest in stored["files"].items()}
        return None if self._place.entries("") else {}

    def write_manifest(self, files: Mapping[str, str]) -> None:
        text = json.dumps({"by": "headrace docs publish", "files": dict(sorted(files.items()))})
        self._files.pipe_file(self.path(MANIFEST), text.encode())

    def put(self, folder: Path, names: list[str]) -> None:
        if names:
            local = [str(folder / name) for name in names]
            self._files.put(local, [self.path(name) for name in names])

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                self._files.rm_file(self.path(name))


def _synchronized(
    bucket: _Bucket, known: Mapping[str, str], folder: Path, names: list[str]
) -> tuple[int, int]:
    """Make a bucket, of which these are known, equal to a folder.

    Return how many files were written and removed.
    """
    hashes = {name: _hash(folder, name) for name in names}
    changed = [name for name in names if known.get(name) != hashes[name]]
    stale = sorted(known.keys() - hashes.keys())
    if not changed and not stale:
        return 0, 0
    bucket.write_manifest({**known, **dict.fromkeys(changed, "")})
    for batch in _batches(changed, known):
        bucket.put(folder, batch)
    bucket.remove(stale)
    bucket.write_manifest(hashes)
    return len(changed), len(stale)


def _hash(folder: Path, name: str) -> str:
    return hashlib.sha256(undated(name, (folder / name).read_bytes())).hexdigest()


def _batches(changed: list[str], known: Mapping[str, str]) -> tuple[list[str], ...]:
    """Return new files, those that may link to them, and the first page."""
    pages = [name for name in changed if name != FIRST_PAGE]
    return (
        [name for name in pages if name not in known],
        [name for name in pages if name in known],
        [name for name in changed if name == FIRST_PAGE],
    )
