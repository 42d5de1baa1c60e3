"""Makes a kept file readable as it is: decompressed, and UTF-16 turned into UTF-8, within bounds.

Compression is told by the first bytes, whatever the name says. What is unpacked goes to one temporary file under a name
of our own (a zip member's name is never part of a path), and is bounded in bytes and in its ratio to the packed size.
"""

from __future__ import annotations

import codecs
import gzip
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import msgspec

from headrace.connect.deliveries import CannotRead
from headrace.connect.shown import shown

CHUNK_BYTES = 1 << 20
UNPACKED_BYTES_MAX = 64 << 30
"""No delivery unpacks to more than 64 GiB."""
UNPACKED_RATIO_MAX = 250
UNPACKED_FREE_BYTES = 256 << 20
"""The ratio counts from 256 MiB on: a small file of equal lines may well be packed 1,000 to 1."""
ZIP_MEMBERS_MAX = 1_000
ZIP_DIRECTORY_BYTES_MAX = 1 << 20

GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""What Excel's files began with before 2007."""
ZIP_EMPTY = b"PK\x05\x06"
ENDINGS = {".gz", ".gzip", ".zip", ".zst", ".zstd"}
UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
BOM = b"\xef\xbb\xbf"
UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")


LARGE_BYTES = 64 * 2**20


class Opened(msgspec.Struct, frozen=True):
    """A file that can be read as it stands. `name` is the delivery's own (of a zip: its member's), without the packing's ending."""

    path: str
    name: str
    temporary: bool = False
    """Whether `path` was made here, and is to be deleted after use."""
    encoding: str = "utf-8"
    """What the delivery was encoded in; `path` itself is UTF-8 (or Parquet)."""
    options: Mapping[str, Any] = {}
    """How the source says that its files are read: `excel:`, `fixed_width:`, `json:`, `xml:`, `csv:` as declared."""
    array: bool = False
    """Whether `path` is one JSON array of objects, and not one object a line."""

    @property
    def large(self) -> bool:
        """Whether it has so many bytes that types are learnt from a sample first."""
        return Path(self.path).stat().st_size >= LARGE_BYTES

    def discard(self) -> None:
        """Delete the temporary file, if there is one. May be called twice."""
        if self.temporary:
            Path(self.path).unlink(missing_ok=True)


class UnpackLimits(msgspec.Struct, frozen=True):
    """How much may come out of a packed file."""

    bytes_max: int = UNPACKED_BYTES_MAX
    ratio_max: int = UNPACKED_RATIO_MAX
    free_bytes: int = UNPACKED_FREE_BYTES

    def check(self, made: int, packed: int) -> None:
        """Raise CannotRead once `made` bytes are more than a file of `packed` bytes may unpack to."""
        if made > self.bytes_max:
            raise CannotRead(f"unpacks to more than {self.bytes_max:,} bytes", code="delivery_too_large")
        if made > self.free_bytes and made > packed * self.ratio_max:
            raise CannotRead(
                f"unpacks to more than {self.ratio_max} times its {packed:,} bytes: it looks like a bomb", code="delivery_too_large"
            )


def open_readable(
    path: Path, name: str, temporary: Path, *, bounds: UnpackLimits | None = None, options: Mapping[str, Any] | None = None
) -> Opened:
    """`kept` itself if it can be read as it stands, else a readable copy in the folder `temporary`.

    `name` is the delivery's file name. A workbook is a zip file that stays one. Raises CannotRead for what is damaged, encrypted,
    ambiguous or too large.
    """
    name = PurePosixPath(name).name
    bounds = bounds or UnpackLimits()
    with path.open("rb") as file:
        start = file.read(4)
    opened = Opened(str(path), _without_ending(name), options=options or {})
    if start == ZIP and is_workbook(path):
        return opened
    if start.startswith(GZIP):
        opened = _unpacked(path, opened, temporary, bounds, _gzip(path))
    elif start == ZSTD:
        opened = _unpacked(path, opened, temporary, bounds, _zstd(path))
    elif start in (ZIP, ZIP_EMPTY):
        with _zip(path) as (archive, member):
            inner = PurePosixPath(member.filename.replace("\\", "/")).name or opened.name
            opened = msgspec.structs.replace(opened, name=inner)
            opened = _unpacked(path, opened, temporary, bounds, _zip_chunks(archive, member))
    return _in_utf8(opened, temporary, bounds)


def place_for(opened: Opened, temporary: Path) -> Opened:
    """Where a reader may write what it makes of `opened`: a path of a temporary file that isn't there yet."""
    temporary.mkdir(parents=True, exist_ok=True)
    return msgspec.structs.replace(opened, path=str(temporary / f"{uuid.uuid4().hex}.unfolded"), temporary=True)


def is_workbook(path: Path) -> bool:
    """Whether a zip file is an Office or OpenDocument file, by the members that only these have."""
    try:
        _refuse_large_directory(path)
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
    except (CannotRead, zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return False
    return "[Content_Types].xml" in members or {"mimetype", "content.xml"} <= members


def recoded(opened: Opened, encoding: str, temporary: Path, bounds: UnpackLimits) -> Opened:
    """A copy in UTF-8 of a file in another encoding. Raises CannotRead with the line for bytes that it doesn't have."""
    return written(msgspec.structs.replace(opened, encoding=encoding), temporary, bounds, _from_encoding(opened.path, encoding))


def written(opened: Opened, temporary: Path, bounds: UnpackLimits, chunks: Iterator[bytes]) -> Opened:
    """What `chunks` make of `opened`, as a temporary file within bounds. Nothing is left behind if they break off."""
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
                raise CannotRead(f"line {at}: byte 0x{byte:02X} isn't {encoding}", line=at, code="delivery_encoding") from error
            yield piece.encode()
            line += piece.count("\n")
            if not chunk:
                return


def _without_ending(name: str) -> str:
    pure = PurePosixPath(name)
    return pure.stem if pure.suffix.lower() in ENDINGS else name


def _unpacked(path: Path, opened: Opened, temporary: Path, bounds: UnpackLimits, chunks: Iterator[bytes]) -> Opened:
    """Write `chunks` to a temporary file. Nothing is left behind if they break off."""
    packed, made = path.stat().st_size, 0
    temporary.mkdir(parents=True, exist_ok=True)
    target = temporary / f"{uuid.uuid4().hex}.unpacked"
    try:
        with target.open("xb") as out:
            for chunk in chunks:
                made += len(chunk)
                bounds.check(made, packed)
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
        raise CannotRead(f"the gzip file is damaged ({shown(error)})") from error


def _zstd(path: Path) -> Iterator[bytes]:
    """Through pyarrow, which has the codec; it says nothing about a last frame that is cut off, so the end is checked here."""
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except (OSError, pa.ArrowException) as error:
        reason = f"the zst file is damaged or truncated ({shown(error)})"
        raise CannotRead(reason, code="delivery_truncated") from error


@contextmanager
def _zip(path: Path) -> Iterator[tuple[zipfile.ZipFile, zipfile.ZipInfo]]:
    """The archive and its one file. Folders, and what macOS adds, don't count."""
    _refuse_large_directory(path)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CannotRead(f"the zip file is damaged or truncated ({shown(error)})", code="delivery_truncated") from error
    with archive:
        members = [item for item in archive.infolist() if not item.is_dir() and not item.filename.startswith("__MACOSX/")]
        if len(members) != 1:
            listing = ", ".join(shown(member.filename) for member in members[:3]) + ("…" if len(members) > 3 else "")
            raise CannotRead(f"the zip file holds {len(members)} files ({listing}); exactly one is expected" if members
                             else "the zip file is empty; exactly one file is expected", code="delivery_zip_members")  # fmt: skip
        if members[0].flag_bits & 1:
            raise CannotRead("the zip file is encrypted", code="delivery_encrypted")
        yield archive, members[0]


def _refuse_large_directory(path: Path) -> None:
    """`zipfile` reads the whole directory into objects; one of a million names is refused before."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 22 - 65_535))
        tail = file.read()
    at = tail.rfind(ZIP_EMPTY)
    if at < 0 or len(tail) < at + 22:
        raise CannotRead("the zip file is truncated: its directory is missing", code="delivery_truncated")
    members = int.from_bytes(tail[at + 10 : at + 12], "little")
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    if members > ZIP_MEMBERS_MAX or directory_bytes > ZIP_DIRECTORY_BYTES_MAX:
        raise CannotRead("the zip file holds more than 1,000 files; exactly one is expected", code="delivery_zip_members")


def _zip_chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(member) as stream:
            yield from _chunks(stream)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise CannotRead(f"the zip file is damaged ({shown(error)})") from error


def _chunks(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _in_utf8(opened: Opened, temporary: Path, bounds: UnpackLimits) -> Opened:
    """`opened`, or a copy in UTF-8 where there is a byte order mark: UTF-16 (Excel's "Unicode text") is turned into UTF-8, and
    UTF-8 loses the mark, which JSON doesn't know."""
    with Path(opened.path).open("rb") as file:
        start = file.read(4)
    wide = UTF16.get(start[:2]) if start not in UTF32 else None
    if wide is None and not start.startswith(BOM):
        return opened
    unmarked = msgspec.structs.replace(opened, temporary=False, encoding="utf-16" if wide else "utf-8")
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
            f"line {line} or later: starts as UTF-16, but isn't ({shown(error)})", line=line, code="delivery_encoding"
        ) from error
