"""Keeps a delivery's bytes by content: `<raw>/<aa>/<sha256>`. What is read afterwards is this copy, never the vendor's file."""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from pathlib import Path

import msgspec

from headrace.connect.deliveries import CannotRead, DetectedDelivery
from headrace.connect.shown import shown
from headrace.faults import FaultPoint, reached
from headrace.model.errors import HeadraceError

CHUNK_BYTES = 1 << 20
DELIVERY_BYTES_MAX = 64 << 30
"""A file larger than this isn't ingested: 64 GiB."""


class ChangedWhileRead(HeadraceError):
    """The file changed (or vanished) between the look and the end of the copy. Transient: the next look sees what it became."""


class RawCopy(msgspec.Struct, frozen=True):
    """A delivery's bytes, kept. `path` is absolute."""

    sha256: str
    path: str
    size_bytes: int
    parts: tuple[tuple[str, str], ...] = ()
    """Path and name of each file, where the delivery is several; the hash is over theirs, the path the first one's."""


def keep(root: Path, delivery: DetectedDelivery, raw: Path, *, bytes_max: int = DELIVERY_BYTES_MAX) -> RawCopy:
    """Copy `found` below `raw` while hashing it, in constant memory; the same content is kept once.

    Raises ChangedWhileRead (transient) if the file isn't what the look saw, CannotRead where it leads out of the project
    or is too large, and HeadraceError where the copy can't be written. The copy isn't synced: the leader syncs with the rest.
    """
    source = _inside(root, delivery)
    temporary = raw / f"{uuid.uuid4().hex}.tmp"
    descriptor = _open(source, delivery)
    try:
        raw.mkdir(parents=True, exist_ok=True)
        _expect(os.fstat(descriptor), delivery, bytes_max)
        digest = _copy(descriptor, temporary, delivery)
        _expect(os.fstat(descriptor), delivery, bytes_max)
        return _settle(temporary, raw, digest, delivery.size_bytes)
    except OSError as error:
        raise HeadraceError(
            f"{shown(delivery.path, 200)} ({delivery.size_bytes:,} bytes) can't be kept in {raw}: {error.strerror}",
            hint="look at the free space and the permissions of that folder",
        ) from error
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def keep_fetched(fetched: Path, raw: Path, *, bytes_max: int = DELIVERY_BYTES_MAX) -> RawCopy:
    """Move a file that was fetched below `raw`, by its content; the same content is kept once. `fetched` is gone afterwards.

    Raises CannotRead where it is too large, and HeadraceError where it can't be moved. Not synced, as with `keep`.
    """
    try:
        size = fetched.stat().st_size
        if size > bytes_max:
            raise CannotRead(f"{size:,} bytes; a delivery holds at most {bytes_max:,}", code="delivery_too_large")
        raw.mkdir(parents=True, exist_ok=True)
        with fetched.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return _settle(fetched, raw, sha256, size)
    except OSError as error:
        raise HeadraceError(
            f"what was fetched can't be kept in {raw}: {error.strerror}", hint="look at the free space and the permissions of that folder"
        ) from error
    finally:
        fetched.unlink(missing_ok=True)


def keep_parts(root: Path, delivery: DetectedDelivery, raw: Path) -> RawCopy:
    """Keep each file of a delivery that consists of several. Raises as `keep` does."""
    copies = [
        keep(root, DetectedDelivery(delivery.source, delivery.partition, part.path, part.size_bytes, part.modified_us), raw)
        for part in delivery.parts
    ]
    digest = hashlib.sha256("\n".join(copy.sha256 for copy in copies).encode()).hexdigest()
    names = tuple((copy.path, part.path) for copy, part in zip(copies, delivery.parts, strict=True))
    return RawCopy(digest, copies[0].path, sum(copy.size_bytes for copy in copies), names)


def kept_as(raw: Path, sha256: str) -> RawCopy | None:
    """What was kept under a content's name; None if it isn't there any more."""
    target = raw / sha256[:2] / sha256
    return RawCopy(sha256, str(target), target.stat().st_size) if target.is_file() else None


def _inside(root: Path, delivery: DetectedDelivery) -> Path:
    """The real path, refused if any part of it leads out of the project."""
    real_root = Path(os.path.realpath(root))
    real = Path(os.path.realpath(real_root / delivery.path))
    if not real.is_relative_to(real_root):
        raise CannotRead(f"{shown(delivery.path, 200)} leads out of the project", code="delivery_outside_project")
    return real


def _open(source: Path, delivery: DetectedDelivery) -> int:
    """O_NOFOLLOW: a link put there since the path was resolved isn't followed; O_NONBLOCK: a named pipe isn't waited for."""
    try:
        return os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ChangedWhileRead(f"{shown(delivery.path, 200)} can't be opened any more: {error.strerror}") from error


def _expect(facts: os.stat_result, delivery: DetectedDelivery, bytes_max: int) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise CannotRead(f"{shown(delivery.path, 200)} isn't a regular file", code="delivery_not_a_file")
    if facts.st_size > bytes_max:
        raise CannotRead(f"{facts.st_size:,} bytes; a delivery holds at most {bytes_max:,}", code="delivery_too_large")
    if (facts.st_size, facts.st_mtime_ns // 1000) != (delivery.size_bytes, delivery.modified_us):
        raise ChangedWhileRead(f"{shown(delivery.path, 200)} changed while it was read", hint="it is taken when it is quiet again")


def _copy(descriptor: int, target: Path, delivery: DetectedDelivery) -> str:
    digest = hashlib.sha256()
    copied = 0
    with target.open("xb") as out:
        while chunk := os.read(descriptor, CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
            copied += len(chunk)
            if copied > delivery.size_bytes:  # it grows as fast as it is read
                break
    if copied != delivery.size_bytes:
        raise ChangedWhileRead(f"{shown(delivery.path, 200)} changed while it was read", hint="it is taken when it is quiet again")
    return digest.hexdigest()


def _settle(temporary: Path, raw: Path, sha256: str, size_bytes: int) -> RawCopy:
    """Move the copy to its place. A file of that content that is there already stays, unless its size says that it was cut."""
    target = raw / sha256[:2] / sha256
    reached(FaultPoint.RAW_COPIED)
    if not (target.is_file() and target.stat().st_size == size_bytes):
        target.parent.mkdir(exist_ok=True)
        temporary.chmod(0o440)
        temporary.replace(target)
    reached(FaultPoint.RAW_KEPT)
    return RawCopy(sha256, str(target), size_bytes)
