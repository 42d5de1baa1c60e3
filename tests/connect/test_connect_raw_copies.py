"""Raw copies: what is stored of a delivery, what is refused, and how a packed file is opened."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.connect.deliveries import CannotRead, DeliveryPart, DetectedDelivery
from headrace.connect.raw_files import (
    ChangedWhileRead,
    Opened,
    UnpackLimits,
    is_workbook,
    open_readable,
    place_for,
    raw_path,
    recoded,
    store_fetched,
    store_parts,
    store_raw,
)
from headrace.model.errors import HeadraceError

DATA = b"a,b\n1,2\n"
SHA256 = hashlib.sha256(DATA).hexdigest()


def found(root: Path, name: str, data: bytes = DATA) -> DetectedDelivery:
    """A file of the project, as an observation finds it."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    facts = path.stat()
    return DetectedDelivery("s", "*", name, facts.st_size, facts.st_mtime_ns // 1000)


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# Stored copies
# --------------------------------------------------------------------------------------------------


def test_equal_content_is_stored_once(tmp_path: Path) -> None:
    """Would catch: a second copy of a file that is delivered again, one that can be written to, a
    truncated copy that is trusted, and temporary files that stay.
    """
    raw = tmp_path / "raw"
    assert raw_path(raw, SHA256) is None
    first = store_raw(tmp_path, found(tmp_path, "in/a.csv"), raw)
    target = raw / SHA256[:2] / SHA256
    assert (first.sha256, first.path, first.size_bytes) == (SHA256, str(target), 8)
    assert raw_path(raw, SHA256) == first
    assert target.read_bytes() == DATA
    assert target.stat().st_mode & 0o777 == 0o440
    inode = target.stat().st_ino
    assert store_raw(tmp_path, found(tmp_path, "in/b.csv"), raw) == first
    assert target.stat().st_ino == inode
    target.chmod(0o600)
    target.write_bytes(DATA[:5])
    assert store_raw(tmp_path, found(tmp_path, "in/b.csv"), raw) == first
    assert target.read_bytes() == DATA
    other = store_raw(tmp_path, found(tmp_path, "in/c.csv", b"other"), raw)
    assert files_below(raw) == sorted([target, Path(other.path)])


def test_several_files_are_one_delivery(tmp_path: Path) -> None:
    """Would catch: the hash of the first part only, and parts without their names."""
    parts = [found(tmp_path, "in/a.csv", b"first"), found(tmp_path, "in/b.csv", b"second part")]
    delivery = DetectedDelivery(
        "s",
        "*",
        "in/a.csv",
        16,
        1,
        parts=tuple(DeliveryPart(part.path, part.size_bytes, part.modified_us) for part in parts),
    )
    copy = store_parts(tmp_path, delivery, tmp_path / "raw")
    hashes = [hashlib.sha256(data).hexdigest() for data in (b"first", b"second part")]
    assert copy.sha256 == hashlib.sha256(f"{hashes[0]}\n{hashes[1]}".encode()).hexdigest()
    assert copy.size_bytes == 16
    assert [(Path(path).read_bytes(), name) for path, name in copy.parts] == [
        (b"first", "in/a.csv"),
        (b"second part", "in/b.csv"),
    ]
    assert copy.path == copy.parts[0][0]


def test_a_file_that_is_not_the_observed_one_is_read_later(tmp_path: Path) -> None:
    """Would catch: half a file stored as a delivery, or a file that is refused for good because its
    vendor still writes to it.
    """
    raw = tmp_path / "raw"
    seen = found(tmp_path, "in/a.csv")
    path = tmp_path / seen.path
    os.utime(path, ns=(0, (seen.modified_us + 1) * 1000))
    with pytest.raises(ChangedWhileRead, match=r"in/a\.csv changed while it was read"):
        store_raw(tmp_path, seen, raw)
    path.write_bytes(DATA + b"3,4\n")
    os.utime(path, ns=(0, seen.modified_us * 1000))
    with pytest.raises(ChangedWhileRead, match="changed while it was read"):
        store_raw(tmp_path, seen, raw)
    path.unlink()
    with pytest.raises(ChangedWhileRead, match="can't be opened any more: No such file"):
        store_raw(tmp_path, seen, raw)
    os.mkfifo(path)
    with pytest.raises(CannotRead, match="isn't a regular file") as caught:
        store_raw(tmp_path, seen, raw)
    assert caught.value.value.code == "delivery_not_a_file"
    assert files_below(raw) == []


def test_a_file_outside_the_project_is_refused(tmp_path: Path) -> None:
    """Would catch: a link, or a path with `..`, through which any file of the machine is stored."""
    root = tmp_path / "project"
    outside = found(tmp_path, "secret.csv")
    root.mkdir()
    (root / "link.csv").symlink_to(tmp_path / "secret.csv")
    for name in ("link.csv", "../secret.csv"):
        delivery = DetectedDelivery("s", "*", name, outside.size_bytes, outside.modified_us)
        with pytest.raises(CannotRead, match="leads out of the project") as caught:
            store_raw(root, delivery, root / "raw")
        assert caught.value.value.code == "delivery_outside_project"


def test_a_delivery_has_a_largest_size(tmp_path: Path) -> None:
    """Would catch: a disk filled by one file, and the largest allowed one refused."""
    raw = tmp_path / "raw"
    assert store_raw(tmp_path, found(tmp_path, "a.csv"), raw, bytes_max=8).sha256 == SHA256
    with pytest.raises(CannotRead, match="9 bytes; a delivery holds at most 8") as stored:
        store_raw(tmp_path, found(tmp_path, "b.csv", DATA + b"5"), raw, bytes_max=8)
    fetched = tmp_path / "fetched"
    fetched.write_bytes(DATA + b"5")
    with pytest.raises(CannotRead, match="9 bytes; a delivery holds at most 8") as taken:
        store_fetched(fetched, raw, bytes_max=8)
    for caught in (stored, taken):
        assert caught.value.value.code == "delivery_too_large"
    assert not fetched.exists()
    assert len(files_below(raw)) == 1


def test_what_was_fetched_is_moved(tmp_path: Path) -> None:
    """Would catch: fetched files that pile up, and a second copy of what is stored."""
    raw, fetched = tmp_path / "deep/raw", tmp_path / "fetched"
    for _ in range(2):
        fetched.write_bytes(DATA)
        copy = store_fetched(fetched, raw, bytes_max=8)
        assert (copy.sha256, copy.size_bytes) == (SHA256, 8)
        assert not fetched.exists()
        assert [path.read_bytes() for path in files_below(raw)] == [DATA]
    with pytest.raises(HeadraceError, match=r"can't be kept in .*raw: No such file"):
        store_fetched(fetched, raw)


def test_a_folder_that_takes_no_copy_is_said(tmp_path: Path) -> None:
    """Would catch: a traceback where somebody put a file in place of the folder."""
    (tmp_path / "raw").write_bytes(b"")
    (tmp_path / "fetched").write_bytes(DATA)
    with pytest.raises(
        HeadraceError, match=r"a\.csv \(8 bytes\) can't be kept in .*raw: File exists"
    ):
        store_raw(tmp_path, found(tmp_path, "a.csv"), tmp_path / "raw")
    with pytest.raises(
        HeadraceError, match=r"what was fetched can't be kept in .*raw: File exists"
    ):
        store_fetched(tmp_path / "fetched", tmp_path / "raw")
    assert not (tmp_path / "fetched").exists()


# Packed files
# --------------------------------------------------------------------------------------------------


def named(value: object) -> str | None:
    """Packed bytes hold the time; two processes would give the same test two names."""
    return "data" if isinstance(value, bytes) else None


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return packed


def tarred(
    *members: tuple[str, bytes],
    kind: bytes = tarfile.REGTYPE,
    mode: str = "w",
    form: int = tarfile.PAX_FORMAT,
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size, header.type = len(data), kind if data else tarfile.DIRTYPE
            archive.addfile(header, io.BytesIO(data))
    return out.getvalue()


def extended(size: int) -> bytes:
    """A tar archive whose first header is a long name of that size."""
    return tarred(("n", b"n" * size), ("x.csv", DATA), kind=tarfile.GNUTYPE_LONGNAME)


def opened(tmp_path: Path, data: bytes, name: str = "x.csv", **limits: int) -> Opened:
    path = tmp_path / "packed"
    path.write_bytes(data)
    return open_readable(path, name, tmp_path / "tmp", bounds=UnpackLimits(**limits))


@pytest.mark.parametrize(
    ("data", "name", "opened_name", "encoding"),
    [
        (DATA, "in/x.csv", "x.csv", "utf-8"),
        (DATA, "x.csv.GZ", "x.csv", "utf-8"),
        (gzip.compress(DATA), "x.csv.gz", "x.csv", "utf-8"),
        (gzip.compress(DATA), "x.csv", "x.csv", "utf-8"),
        (zstd(DATA), "x.csv.zst", "x.csv", "utf-8"),
        (bz2.compress(DATA), "x.csv.bz2", "x.csv", "utf-8"),
        (bz2.compress(DATA[:5]) + bz2.compress(DATA[5:]), "x.csv", "x.csv", "utf-8"),
        (tarred(("a/", b""), ("../../a/inner.csv", DATA)), "x.tar", "inner.csv", "utf-8"),
        (tarred(("._x.csv", b"z"), (200 * "n" + ".csv", DATA)), "x", 200 * "n" + ".csv", "utf-8"),
        (tarred(("x.csv", DATA), mode="w:gz"), "x.tgz", "x.csv", "utf-8"),
        (tarred(("x.csv", DATA), mode="w:bz2"), "x.tar.bz2", "x.csv", "utf-8"),
        (tarred(("x.csv", DATA), form=tarfile.GNU_FORMAT), "x", "x.csv", "utf-8"),
        (zipped(("a/b/inner.csv", DATA)), "x.zip", "inner.csv", "utf-8"),
        (zipped(("a\\b\\inner.csv", DATA)), "x.zip", "inner.csv", "utf-8"),
        (
            zipped(("folder/", b""), ("__MACOSX/._x.csv", b"z"), ("folder/x.csv", DATA)),
            "y.zip",
            "x.csv",
            "utf-8",
        ),
        (b"\xef\xbb\xbf" + DATA, "x.csv", "x.csv", "utf-8"),
        (DATA.decode().encode("utf-16"), "x.csv", "x.csv", "utf-16"),
        (b"\xfe\xff" + DATA.decode().encode("utf-16-be"), "x.csv", "x.csv", "utf-16"),
        (gzip.compress(DATA.decode().encode("utf-16")), "x.csv.gz", "x.csv", "utf-16"),
    ],
    ids=named,
)
def test_a_file_is_opened_by_its_first_bytes(
    tmp_path: Path, data: bytes, name: str, opened_name: str, encoding: str
) -> None:
    """Would catch: a file opened by what its name says, and copies of one that can be read as it is
    or that stay behind.
    """
    result = opened(tmp_path, data, name)
    assert Path(result.path).read_bytes() == DATA
    assert (result.name, result.encoding, result.temporary) == (opened_name, encoding, data != DATA)
    assert len(files_below(tmp_path / "tmp")) == (data != DATA)
    result.discard()
    result.discard()
    assert files_below(tmp_path) == [tmp_path / "packed"]


@pytest.mark.parametrize(
    "data",
    [
        b"id,name\n".ljust(257, b"m") + b"ustard  \n",
        b"x".ljust(257, b"m") + b"ustar  \n",
        b"BZhours,n\n",
    ],
)
def test_text_with_a_packed_files_letters_is_text(tmp_path: Path, data: bytes) -> None:
    """Would catch: a CSV file with `mustard` at the right byte taken for a damaged tar file."""
    assert Path(opened(tmp_path, data).path).read_bytes() == data


BROKEN = gzip.compress(bytes(range(256)) * 20)
MEMBERS = ("a", b""), ("b", b""), ("c", b""), ("d", b"")


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (BROKEN[:-9], "delivery_truncated", "the gzip file is truncated"),
        (
            BROKEN[:30] + b"\xff" * 9 + BROKEN[39:],
            "unreadable_delivery",
            "the gzip file is damaged",
        ),
        (zstd(DATA * 9)[:-5], "delivery_truncated", "the zstd file is damaged or truncated"),
        (bz2.compress(DATA)[:-5], "delivery_truncated", "the bz2 file is damaged or truncated"),
        (bz2.compress(DATA) + b"BZx", "delivery_truncated", "the bz2 file is damaged"),
        (tarred(("x.csv", DATA))[:600], "delivery_truncated", "tar file is damaged or truncated"),
        (tarred(("x.csv", DATA))[:1024], "delivery_truncated", "tar file is damaged or truncated"),
        (
            tarred(("x.csv", DATA), ("y.csv", DATA)).replace(b"y.csv", b"z.csv"),
            "delivery_truncated",
            "the tar file is damaged or truncated",
        ),
        (extended(2 << 20), "delivery_truncated", "the tar file is damaged or truncated"),
        (tarred(("a", b"1"), ("b", b"1")), "delivery_zip_members", "holds 2 files or links"),
        (tarred(("a", b"1"), kind=tarfile.SYMTYPE), "delivery_zip_members", "holds 1 files or"),
        (tarred(("a/", b"")), "delivery_zip_members", "holds 0 files or links"),
        (zipped(("a", DATA))[:-5], "delivery_truncated", "its directory is missing"),
        (zipped(), "delivery_zip_members", "the zip file is empty; exactly one file is expected"),
        (zipped(*MEMBERS[:2]), "delivery_zip_members", r"holds 2 files \(a, b\); exactly one"),
        (zipped(*MEMBERS[:3]), "delivery_zip_members", r"holds 3 files \(a, b, c\); exactly one"),
        (zipped(*MEMBERS), "delivery_zip_members", r"holds 4 files \(a, b, c…\); exactly one"),
        (
            zipped(*((str(number), b"") for number in range(1_000))),
            "delivery_zip_members",
            r"holds 1000 files \(0, 1, 2…\)",
        ),
        (
            zipped(*((str(number), b"") for number in range(1_001))),
            "delivery_zip_members",
            "holds more than 1,000 files; exactly one is expected",
        ),
        (
            zipped(*((f"{number:060000}", b"") for number in range(18))),
            "delivery_zip_members",
            "holds more than 1,000 files",
        ),
        (b"\xff\xfea\0\x00\xd8b\0", "delivery_encoding", "starts as UTF-16, but isn't"),
        (
            lzma.compress(tarred(("x.csv", DATA))),
            "unreadable_delivery",
            "the file is packed as xz;",
        ),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "unreadable_delivery", "the file is packed as 7z;"),
        (
            tarred(("x.csv.gz", gzip.compress(DATA))),
            "unreadable_delivery",
            "the file in it is packed as gzip;",
        ),
        (
            gzip.compress(bz2.compress(DATA)),
            "unreadable_delivery",
            "the file in it is packed as bz2;",
        ),
        (
            zipped(("x", zipped(("y", DATA)))),
            "unreadable_delivery",
            "the file in it is packed as zip;",
        ),
    ],
    ids=named,
)
def test_a_file_that_can_not_be_unpacked_is_refused(
    tmp_path: Path, data: bytes, code: str, message: str
) -> None:
    """Would catch: half a file taken for a whole one, one of several files taken by chance, and a
    directory that fills the memory.
    """
    with pytest.raises(CannotRead, match=message) as caught:
        opened(tmp_path, data)
    assert caught.value.value.code == code
    assert files_below(tmp_path / "tmp") == []


def test_an_encrypted_or_altered_member_is_refused(tmp_path: Path) -> None:
    """Would catch: a traceback for a password, and bytes that fail their checksum."""
    whole = bytearray(zipped(("a", os.urandom(500))))
    whole[200] ^= 1
    with pytest.raises(CannotRead, match="the zip file is damaged"):
        opened(tmp_path, bytes(whole))
    locked = bytearray(zipped(("a", DATA)))
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(CannotRead, match="the zip file is encrypted") as caught:
        opened(tmp_path, bytes(locked))
    assert caught.value.value.code == "delivery_encrypted"


def test_limits_of_unpacking(tmp_path: Path) -> None:
    """Would catch: a small file that fills the disk, and a limit that refuses what it allows."""
    data = gzip.compress(b"x" * 50_000)
    packed = len(data)
    assert packed < 250
    assert opened(tmp_path, data, bytes_max=50_000).temporary
    with pytest.raises(CannotRead, match=r"unpacks to more than 49,999 bytes$") as large:
        opened(tmp_path, data, bytes_max=49_999)
    assert opened(tmp_path, data, free_bytes=50_000, ratio_max=1).temporary
    message = f"unpacks to more than 1 times its {packed:,} bytes: it looks like a bomb"
    with pytest.raises(CannotRead, match=message) as bomb:
        opened(tmp_path, data, free_bytes=49_999, ratio_max=1)
    for caught in (large, bomb):
        assert caught.value.value.code == "delivery_too_large"
    UnpackLimits(free_bytes=10, ratio_max=3).check(30, 10)
    with pytest.raises(CannotRead):
        UnpackLimits(free_bytes=10, ratio_max=3).check(31, 10)
    gib = 1 << 30
    UnpackLimits().check(64 * gib, gib)
    with pytest.raises(CannotRead, match="more than 68,719,476,736 bytes"):
        UnpackLimits().check(64 * gib + 1, gib)
    UnpackLimits().check(250 * 2_000_000, 2_000_000)
    with pytest.raises(CannotRead, match="more than 250 times"):
        UnpackLimits().check(250 * 2_000_000 + 1, 2_000_000)
    UnpackLimits().check(gib // 4, 1)
    with pytest.raises(CannotRead, match="more than 250 times"):
        UnpackLimits().check(gib // 4 + 1, 1)


def test_a_workbook_is_no_archive(tmp_path: Path) -> None:
    """Would catch: a workbook refused for its many members, and a zip file taken for one."""
    sheet = zipped(("[Content_Types].xml", b""), ("xl/workbook.xml", b""))
    spreadsheet = zipped(("mimetype", b""), ("content.xml", b""))
    for data in (sheet, spreadsheet):
        result = opened(tmp_path, data, "x.xlsx")
        assert (Path(result.path).read_bytes(), result.temporary) == (data, False)
    for data in (zipped(("mimetype", b"")), zipped(("content.xml", b"")), b"PK\x03\x04", DATA):
        (tmp_path / "x").write_bytes(data)
        assert not is_workbook(tmp_path / "x")


@pytest.mark.parametrize(
    ("data", "line", "byte"),
    [
        (b"a\nb\xe9\n", 2, "0xE9"),
        (b"a\n" * 700_000 + b"\xff", 700_001, "0xFF"),
        (b"\xc3", 1, "0xC3"),
    ],
)
def test_the_line_of_a_byte_that_is_not_of_the_encoding(
    tmp_path: Path, data: bytes, line: int, byte: str
) -> None:
    """Would catch: a line counted from the last part that was read."""
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    limits = UnpackLimits()
    with pytest.raises(CannotRead, match=f"^line {line}: byte {byte} isn't utf-8$") as caught:
        recoded(Opened(str(path), "x.csv"), "utf-8", tmp_path / "tmp", limits)
    assert (caught.value.value.line, caught.value.value.code) == (line, "delivery_encoding")
    result = recoded(Opened(str(path), "x.csv"), "latin-1", tmp_path / "tmp", limits)
    assert Path(result.path).read_bytes() == data.decode("latin-1").encode()
    assert (result.encoding, result.temporary) == ("latin-1", True)
    assert files_below(tmp_path / "tmp") == [Path(result.path)]


def test_the_line_after_which_a_file_is_no_utf16(tmp_path: Path) -> None:
    """Would catch: a search that begins at the first of a million lines."""
    data = "\ufeff" + "a\n" * 600_000
    with pytest.raises(CannotRead, match="or later: starts as UTF-16, but isn't") as caught:
        opened(tmp_path, data.encode("utf-16-le") + b"\x00\xd8b\0")
    assert 500_000 < (caught.value.value.line or 0) <= 600_001
    assert files_below(tmp_path / "tmp") == []


def test_a_place_for_output_and_a_large_file(tmp_path: Path) -> None:
    """Would catch: two outputs in one file, and a sample taken of a small one."""
    path = tmp_path / "x"
    path.touch()
    small = Opened(str(path), "x")
    first, second = (place_for(small, tmp_path / "deep/tmp") for _ in range(2))
    assert first.path != second.path
    assert first.temporary and not Path(first.path).exists()
    assert Path(first.path).parent == tmp_path / "deep/tmp"
    os.truncate(path, (64 << 20) - 1)
    assert not small.large
    os.truncate(path, 64 << 20)
    assert small.large
