"""Raw copies of deliveries: stored by content, then unpacked so that a reader can open them."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import os
import re
import stat
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

import msgspec

from headrace.connect.deliveries import (
    DELIVERY_BYTES_MAX,
    WRONG_ENCODING,
    CannotRead,
    DetectedDelivery,
    printable,
)
from headrace.faults import FaultPoint, reached
from headrace.lake.files import file_digest
from headrace.model.errors import HeadraceError

# A delivery's bytes are stored as `<raw>/<aa>/<sha256>`. All later reads use this copy, never the
# vendor's file.

CHUNK_BYTES = 1 << 20


class ChangedWhileRead(HeadraceError):
    """The file changed or vanished between its observation and the end of the copy.

    Transient: the next observation finds the new state. A delivery whose bytes were kept before is
    read from them instead.
    """


class RawCopy(msgspec.Struct, frozen=True):
    """The stored bytes of a delivery. `path` is absolute."""

    sha256: str
    path: str
    size_bytes: int
    parts: tuple[tuple[str, str], ...] = ()
    """Path and name of each file, if there are several.

    `sha256` is then the hash of their hashes, and `path` the first file's.
    """
    version: str | None = None
    """The delivery's version as its source gave it with the bytes (`connectors.Fetched`)."""


def store_raw(
    root: Path, delivery: DetectedDelivery, raw: Path, *, bytes_max: int = DELIVERY_BYTES_MAX
) -> RawCopy:
    """Copy a delivery below `raw` while hashing it, in constant memory; store equal content once.

    Raises ChangedWhileRead (transient) if the file differs from its observation, CannotRead if it
    lies outside the project, isn't a regular file or is too large, and HeadraceError if the copy
    can't be written. The leader syncs the copy to disk later, together with other files.
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
            f"{printable(delivery.path, 200)} ({delivery.size_bytes:,} bytes) can't be kept in"
            f" {raw}: {error.strerror}",
            hint="look at the free space and the permissions of that folder",
        ) from error
    finally:
        os.close(descriptor)
        with suppress(OSError):  # it is seldom there, and the folder may be why
            temporary.unlink()


def store_fetched(fetched: Path, raw: Path, *, bytes_max: int = DELIVERY_BYTES_MAX) -> RawCopy:
    """Move a fetched file below `raw`, named by its content; equal content is stored once.

    `fetched` is deleted in any case. Raises CannotRead if it is too large, and HeadraceError if it
    can't be moved. As with `store_raw`, the leader syncs it later.
    """
    try:
        size = fetched.stat().st_size
        if size > bytes_max:
            raise CannotRead(
                f"{size:,} bytes; a delivery holds at most {bytes_max:,}", code="delivery_too_large"
            )
        raw.mkdir(parents=True, exist_ok=True)
        return _settle(fetched, raw, file_digest(fetched), size)
    except OSError as error:
        raise HeadraceError(
            f"what was fetched can't be kept in {raw}: {error.strerror}",
            hint="look at the free space and the permissions of that folder",
        ) from error
    finally:
        fetched.unlink(missing_ok=True)


def store_parts(root: Path, delivery: DetectedDelivery, raw: Path) -> RawCopy:
    """Store each file of a delivery that has several. Raises the errors of `store_raw`."""
    copies = [
        store_raw(
            root,
            DetectedDelivery(
                delivery.source, delivery.partition, part.path, part.size_bytes, part.modified_us
            ),
            raw,
        )
        for part in delivery.parts
    ]
    digest = hashlib.sha256("\n".join(copy.sha256 for copy in copies).encode()).hexdigest()
    names = tuple((copy.path, part.path) for copy, part in zip(copies, delivery.parts, strict=True))
    return RawCopy(digest, copies[0].path, sum(copy.size_bytes for copy in copies), names)


def raw_path(raw: Path, sha256: str) -> RawCopy | None:
    """Return the stored copy with this hash; None if it was deleted."""
    target = raw / sha256[:2] / sha256
    return RawCopy(sha256, str(target), target.stat().st_size) if target.is_file() else None


def _inside(root: Path, delivery: DetectedDelivery) -> Path:
    """Resolve the path; raise CannotRead if it leads out of the project."""
    real_root = Path(os.path.realpath(root))
    real = Path(os.path.realpath(real_root / delivery.path))
    if not real.is_relative_to(real_root):
        raise CannotRead(
            f"{printable(delivery.path, 200)} leads out of the project",
            code="delivery_outside_project",
        )
    return real


def _open(source: Path, delivery: DetectedDelivery) -> int:
    """Open the file without following a new link or waiting for a pipe.

    O_NOFOLLOW refuses a link created after the path was resolved; O_NONBLOCK doesn't wait for a
    named pipe's writer.
    """
    try:
        return os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ChangedWhileRead(
            f"{printable(delivery.path, 200)} can't be opened any more: {error.strerror}"
        ) from error


def _expect(facts: os.stat_result, delivery: DetectedDelivery, bytes_max: int) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise CannotRead(
            f"{printable(delivery.path, 200)} isn't a regular file", code="delivery_not_a_file"
        )
    if facts.st_size > bytes_max:
        raise CannotRead(
            f"{facts.st_size:,} bytes; a delivery holds at most {bytes_max:,}",
            code="delivery_too_large",
        )
    if (facts.st_size, facts.st_mtime_ns // 1000) != (delivery.size_bytes, delivery.modified_us):
        raise ChangedWhileRead(
            f"{printable(delivery.path, 200)} changed while it was read",
            hint="it is taken when it is quiet again",
        )


def _copy(descriptor: int, target: Path, delivery: DetectedDelivery) -> str:
    digest = hashlib.sha256()
    copied = 0
    with target.open("xb") as out:
        while chunk := os.read(descriptor, CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
            copied += len(chunk)
            if copied > delivery.size_bytes:  # the file grows as fast as it is read
                break
    if copied != delivery.size_bytes:
        raise ChangedWhileRead(
            f"{printable(delivery.path, 200)} changed while it was read",
            hint="it is taken when it is quiet again",
        )
    return digest.hexdigest()


def _settle(temporary: Path, raw: Path, sha256: str, size_bytes: int) -> RawCopy:
    """Move the copy to its final path, unless a file of that content and size is already there.

    A file there with another size is truncated, and is replaced.
    """
    target = raw / sha256[:2] / sha256
    reached(FaultPoint.RAW_COPIED)
    if not (target.is_file() and target.stat().st_size == size_bytes):
        target.parent.mkdir(exist_ok=True)
        temporary.chmod(0o440)
        temporary.replace(target)
    reached(FaultPoint.RAW_KEPT)
    return RawCopy(sha256, str(target), size_bytes)


# Stored files are made readable: decompressed, and UTF-16 converted to UTF-8.
#
# The first bytes decide the compression, whatever the name says. Unpacked bytes go to one temporary
# file with a generated name (a zip member's name is never part of a path). Their number and their
# ratio to the packed size are limited.

UNPACKED_BYTES_MAX = 64 << 30
"""64 GiB: no delivery may unpack to more."""
UNPACKED_RATIO_MAX = 250
UNPACKED_FREE_BYTES = 256 << 20
"""256 MiB: the ratio is checked above this size only, as small files may compress 1,000 to 1."""
ZIP_MEMBERS_MAX = 1_000
ZIP_DIRECTORY_BYTES_MAX = 1 << 20

GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
TAR = b"ustar\x0000", b"ustar  \0"
"""What headers of tar files have at byte 257: no text has a nul byte."""
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""First bytes of Excel files in the format from before 2007."""
ZIP_EMPTY = b"PK\x05\x06"
_PACKINGS = {
    "gzip": re.escape(GZIP),
    "bz2": rb"BZh[1-9](1AY&SY|\x17rE8P\x90)",  # the other is an empty file's
    "zstd": re.escape(ZSTD),
    "zip": ZIP + b"|" + ZIP_EMPTY,
    "xz": rb"\xfd7zXZ\0",
    "7z": rb"7z\xbc\xaf\x27\x1c",
    "rar": rb"Rar!\x1a\x07",
}
"""Patterns of the first bytes of packed files."""
ENDINGS = {".bz2", ".gz", ".gzip", ".tar", ".tgz", ".zip", ".zst", ".zstd"}
TAR_EXTENSION_BYTES_MAX = 1 << 20
UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
BOM = b"\xef\xbb\xbf"
UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")


LARGE_BYTES = 64 * 2**20


class Opened(msgspec.Struct, frozen=True):
    """A file that readers can open directly.

    `name` is the delivery's name, or that of the zip's member, without the ending of the
    compression.
    """

    path: str
    name: str
    temporary: bool = False
    """Whether `path` is a temporary file, to be deleted after use."""
    encoding: str = "utf-8"
    """The delivery's original encoding; `path` itself is UTF-8 or binary."""
    options: Mapping[str, Any] = {}
    """The source's declared reading options: `excel:`, `fixed_width:`, `json:`, `xml:`, `csv:`."""
    array: bool = False
    """Whether `path` is one JSON array of objects rather than one object per line."""
    document: Opened | None = None
    """The JSON array, or the file of JSON lines, whose records are the lines of `path`."""
    accepted: bool = False
    """Whether a person has accepted that the file contradicts its own totals."""

    @property
    def large(self) -> bool:
        """Whether the file is so large that types are first inferred from a sample."""
        return Path(self.path).stat().st_size >= LARGE_BYTES

    def discard(self) -> None:
        """Delete the temporary files, if there are any. May be called twice."""
        if self.temporary:
            Path(self.path).unlink(missing_ok=True)
        if self.document is not None:
            self.document.discard()


class UnpackLimits(msgspec.Struct, frozen=True):
    """Limits on the bytes that a packed file may unpack to."""

    bytes_max: int = UNPACKED_BYTES_MAX
    ratio_max: int = UNPACKED_RATIO_MAX
    free_bytes: int = UNPACKED_FREE_BYTES

    def check(self, unpacked_bytes: int, packed: int) -> None:
        """Raise CannotRead if `unpacked_bytes` unpacked bytes exceed the limits for
        `packed` bytes.
        """
        if unpacked_bytes > self.bytes_max:
            raise CannotRead(
                f"unpacks to more than {self.bytes_max:,} bytes", code="delivery_too_large"
            )
        if unpacked_bytes > self.free_bytes and unpacked_bytes > packed * self.ratio_max:
            raise CannotRead(
                f"unpacks to more than {self.ratio_max} times its {packed:,} bytes: it looks like a"
                " bomb",
                code="delivery_too_large",
            )


def open_readable(
    path: Path,
    name: str,
    temporary: Path,
    *,
    bounds: UnpackLimits | None = None,
    options: Mapping[str, Any] | None = None,
) -> Opened:
    """Return `path` itself if readers can open it directly, else a readable copy in `temporary`.

    `name` is the delivery's file name. A workbook is a zip file and isn't unpacked. Raises
    CannotRead for damaged, encrypted, ambiguous, too large or twice packed files.
    """
    pure, bounds = PurePosixPath(name), bounds or UnpackLimits()
    name = pure.stem if pure.suffix.lower() in ENDINGS else pure.name
    opened = Opened(str(path), name, options=options or {})
    packing = _packing(path)
    if packing == "gzip":
        opened = _unpacked(path, opened, temporary, bounds, _gzip(path))
    elif packing in ("bz2", "zstd"):
        opened = _unpacked(path, opened, temporary, bounds, _arrow(path, packing))
    elif packing == "zip":
        with _zip(path) as (archive, member):
            inner = PurePosixPath(member.filename.replace("\\", "/")).name or opened.name
            opened = msgspec.structs.replace(opened, name=inner)
            opened = _unpacked(path, opened, temporary, bounds, _zip_chunks(archive, member))
    opened = _untarred(opened, temporary, bounds)
    if packing := _packing(Path(opened.path)):
        opened.discard()
        raise CannotRead(
            f"the file {'in it ' if opened.temporary else ''}is packed as {packing}; pack it once,"
            " as .gz, .bz2, .zst, .zip or .tar"
        )
    return _in_utf8(opened, temporary, bounds)


def _packing(path: Path) -> str:
    """Return how a file is packed, other than as a tar file or a workbook; empty if it isn't."""
    with path.open("rb") as file:
        start = file.read(10)
    packing = next((name for name, first in _PACKINGS.items() if re.match(first, start)), "")
    return "" if packing == "zip" and is_workbook(path) else packing


def place_for(opened: Opened, temporary: Path) -> Opened:
    """Return `opened` with the path of a temporary file that a reader may create for its output."""
    temporary.mkdir(parents=True, exist_ok=True)
    return msgspec.structs.replace(
        opened, path=str(temporary / f"{uuid.uuid4().hex}.unfolded"), temporary=True
    )


def is_workbook(path: Path) -> bool:
    """Whether a zip file is an Office or OpenDocument file, judging by its members."""
    try:
        _refuse_large_directory(path)
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
    except (CannotRead, zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return False
    return "[Content_Types].xml" in members or {"mimetype", "content.xml"} <= members


def recoded(opened: Opened, encoding: str, temporary: Path, bounds: UnpackLimits) -> Opened:
    """Return a UTF-8 copy of a file in another encoding.

    Raises CannotRead with the line of the first byte that is invalid in `encoding`.
    """
    return written(
        msgspec.structs.replace(opened, encoding=encoding),
        temporary,
        bounds,
        _from_encoding(opened.path, encoding),
    )


def written(
    opened: Opened, temporary: Path, bounds: UnpackLimits, chunks: Iterator[bytes]
) -> Opened:
    """Write `chunks` to a temporary file, within the limits; delete it if they raise."""
    return _unpacked(Path(opened.path), opened, temporary, bounds, chunks)


def _from_encoding(path: str, encoding: str) -> Iterator[bytes]:
    line = 1
    decoder = codecs.getincrementaldecoder(encoding)()
    with Path(path).open("rb") as file:
        while True:
            chunk = file.read(CHUNK_BYTES)
            try:
                piece = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                at = line + error.object[: error.start].count(b"\n")
                byte = error.object[error.start]
                raise CannotRead(
                    f"line {at}: byte 0x{byte:02X} isn't {encoding}",
                    line=at,
                    code=WRONG_ENCODING,
                ) from error
            yield piece.encode()
            line += piece.count("\n")
            if not chunk:
                return


def _unpacked(
    path: Path, opened: Opened, temporary: Path, bounds: UnpackLimits, chunks: Iterator[bytes]
) -> Opened:
    """Write `chunks` to a temporary file; delete it if they raise."""
    packed, unpacked_bytes = path.stat().st_size, 0
    temporary.mkdir(parents=True, exist_ok=True)
    target = temporary / f"{uuid.uuid4().hex}.unpacked"
    try:
        with target.open("xb") as out:
            for chunk in chunks:
                unpacked_bytes += len(chunk)
                bounds.check(unpacked_bytes, packed)
                out.write(chunk)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return msgspec.structs.replace(opened, path=str(target), temporary=True)


def _gzip(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as stream:
            yield from _chunks(stream)
    except EOFError as error:
        raise CannotRead("the gzip file is truncated", code="delivery_truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise CannotRead("the gzip file is damaged") from error


class _TarHeader(tarfile.TarInfo):
    """The header of a member; extensions that would fill the memory are refused."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the header in a block."""
        header = super().frombuf(buf, encoding, errors)
        if not (header.isreg() or header.isdir()) and header.size > TAR_EXTENSION_BYTES_MAX:
            raise tarfile.ReadError
        return header


def _untarred(opened: Opened, temporary: Path, bounds: UnpackLimits) -> Opened:
    """Return `opened`, or the only file in it if it is a tar archive; links are refused.

    A member's name is never part of a path.
    """
    path = Path(opened.path)
    with path.open("rb") as file:
        file.seek(257)
        if file.read(8) not in TAR:
            return opened
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:", tarinfo=_TarHeader) as archive:
                member = _tar_member(archive)
                file.seek(archive.offset)
                if file.read(tarfile.BLOCKSIZE).strip(b"\0") or not file.tell() > archive.offset:
                    raise tarfile.ReadError  # `tarfile` takes a damaged header for the end
                name = PurePosixPath(member.name).name or opened.name
                inner = msgspec.structs.replace(opened, name=name, temporary=False)
                return _unpacked(
                    path, inner, temporary, bounds, _chunks(archive.fileobject(archive, member))
                )
        except tarfile.TarError as error:
            raise CannotRead(
                "the tar file is damaged or truncated", code="delivery_truncated"
            ) from error
        finally:
            opened.discard()


def _tar_member(archive: tarfile.TarFile) -> tarfile.TarInfo:
    """Return the only file; folders and macOS's `._` files aren't counted."""
    files = [
        member
        for member in islice(archive, ZIP_MEMBERS_MAX + 1)
        if not member.isdir() and not PurePosixPath(member.name).name.startswith("._")
    ]
    if len(files) != 1 or not files[0].isreg():
        raise CannotRead(
            f"the tar file holds {len(files)} files or links; exactly one file is expected",
            code="delivery_zip_members",
        )
    return files[0]


def _arrow(path: Path, codec: str) -> Iterator[bytes]:
    """Decompress with pyarrow: `bz2.open` leaves out what follows a stream if it is damaged."""
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, codec) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except (OSError, pa.ArrowException) as error:
        raise CannotRead(
            f"the {codec} file is damaged or truncated", code="delivery_truncated"
        ) from error


@contextmanager
def _zip(path: Path) -> Iterator[tuple[zipfile.ZipFile, zipfile.ZipInfo]]:
    """Return the archive and its only file; folders and macOS's `__MACOSX/` aren't counted."""
    _refuse_large_directory(path)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CannotRead(
            "the zip file is damaged or truncated", code="delivery_truncated"
        ) from error
    with archive:
        members = [
            item
            for item in archive.infolist()
            if not item.is_dir() and not item.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            listing = ", ".join(printable(member.filename) for member in members[:3]) + (
                "…" if len(members) > 3 else ""
            )
            raise CannotRead(
                (
                    f"the zip file holds {len(members)} files ({listing}); exactly one is expected"
                    if members
                    else "the zip file is empty; exactly one file is expected"
                ),
                code="delivery_zip_members",
            )
        if members[0].flag_bits & 1:
            raise CannotRead("the zip file is encrypted", code="delivery_encrypted")
        yield archive, members[0]


def _refuse_large_directory(path: Path) -> None:
    """Refuse a large directory before `zipfile` reads all of its entries into memory."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 22 - 65_535))
        tail = file.read()
    at = tail.rfind(ZIP_EMPTY)
    if at < 0 or len(tail) < at + 22:
        raise CannotRead(
            "the zip file is truncated: its directory is missing", code="delivery_truncated"
        )
    members = int.from_bytes(tail[at + 10 : at + 12], "little")
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    if members > ZIP_MEMBERS_MAX or directory_bytes > ZIP_DIRECTORY_BYTES_MAX:
        raise CannotRead(
            "the zip file holds more than 1,000 files; exactly one is expected",
            code="delivery_zip_members",
        )


def _zip_chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(member) as stream:
            yield from _chunks(stream)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
    ) as error:
        raise CannotRead("the zip file is damaged") from error


def _chunks(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _in_utf8(opened: Opened, temporary: Path, bounds: UnpackLimits) -> Opened:
    """Return `opened`, or a UTF-8 copy without its byte order mark.

    UTF-16 (Excel's "Unicode text") is converted to UTF-8; UTF-8 loses the mark, which JSON forbids.
    """
    with Path(opened.path).open("rb") as file:
        start = file.read(4)
    wide = UTF16.get(start[:2]) if start not in UTF32 else None
    if wide is None and not start.startswith(BOM):
        return opened
    unmarked = msgspec.structs.replace(
        opened, temporary=False, encoding="utf-16" if wide else "utf-8"
    )
    chunks = _decoded(opened.path, wide) if wide else _after_mark(opened.path)
    try:
        return _unpacked(Path(opened.path), unmarked, temporary, bounds, chunks)
    finally:
        opened.discard()


def _after_mark(path: str) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        file.seek(len(BOM))
        yield from _chunks(file)


def _decoded(path: str, encoding: str) -> Iterator[bytes]:
    line = 1
    try:
        with Path(path).open(encoding=encoding, newline="") as text:
            text.read(1)  # the byte order mark
            while piece := text.read(CHUNK_BYTES):
                line += piece.count("\n")
                yield piece.encode()
    except UnicodeError as error:
        raise CannotRead(
            f"line {line} or later: starts as UTF-16, but isn't ({printable(error)})",
            line=line,
            code=WRONG_ENCODING,
        ) from error
