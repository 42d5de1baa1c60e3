"""The stored files of applied versions, and a session that takes them for its declared files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.compiler.project_files import ChangedFiles
from headrace.model import StoreError, UsageError
from headrace.model.errors import shown
from headrace.model.files import sha256_of
from headrace.project.session import ProjectSession
from headrace.store.queries import applied_versions


def stored_files(
    session: ProjectSession, number: int, manifest: dict[str, str]
) -> dict[str, bytes]:
    """Return the bytes of files of a version by path. Raise StoreError for damaged ones."""
    with session.existing_store.read() as tx:
        contents = applied_versions.contents(tx, manifest)
    for path, data in contents.items():
        if sha256_of(data) != manifest[path]:
            raise StoreError(
                f"the stored bytes of {shown(path)} aren't those of version {number}",
                hint="headrace db check",
            )
    return contents


@contextmanager
def declared_version(session: ProjectSession, number: int | None) -> Iterator[None]:
    """Take the files of an applied version for the declared ones within the block.

    None leaves those of the folder. Raise UsageError for an unknown version.
    """
    if number is None:
        yield
        return
    with session.existing_store.read() as tx:
        version = applied_versions.get(tx, number)
    if version is None:
        raise UsageError(f"there is no version {number}", hint="headrace versions lists them")
    contents = stored_files(session, number, version.manifest)
    # code is also found by listing folders
    with tempfile.TemporaryDirectory(prefix="headrace-version-") as folder:
        for path, data in contents.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        with session.declaring(ChangedFiles(Path(folder), contents)):
            yield
