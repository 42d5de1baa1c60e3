"""The records of a mainframe's file: of fixed length, with descriptor words, or lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from headrace.extension.formats import CannotRead
from headrace_legacy.byte_tables import Bytes, Whole
from headrace_legacy.copybook_layout import Layout
from headrace_legacy.copybooks import RECORDS

CHUNK_BYTES = 8 << 20
BATCH_RECORDS_MAX = 1 << 16
DESCRIPTOR_BYTES = 4
_TRUNCATED = "delivery_truncated"


class Batch(NamedTuple):
    """Records one after another, as rows of bytes."""

    data: Bytes
    """Two dimensions; shorter records are filled up with blanks."""
    lengths: Whole | None
    """The bytes of each record; None if all are complete."""
    offsets: Whole
    """The place of each record in the file."""
    first: int
    """The number of the first record, from 1."""

    def __len__(self) -> int:
        return len(self.data)

    def part(self, rows: Whole) -> Batch:
        """Return some of the records, whose numbers aren't kept."""
        lengths = None if self.lengths is None else self.lengths[rows]
        return Batch(self.data[rows], lengths, self.offsets[rows], self.first)

    def at(self, row: int) -> int:
        """Return the offset of a record in the file."""
        return int(self.offsets[row])


def batches(path: Path, layout: Layout) -> Iterator[Batch]:
    """Yield the records of a file. Raises CannotRead."""
    records = layout.options.get("records", RECORDS[0])
    with path.open("rb") as file:
        if records == "fixed":
            yield from _fixed(file, path.stat().st_size, layout)
        else:
            pieces = _lines(file, layout) if records == "lines" else _described(file, records)
            yield from _gathered(pieces, layout, is_text=records == "lines")


def _fixed(file: IO[bytes], size: int, layout: Layout) -> Iterator[Batch]:
    width = layout.root.size
    length = layout.length or width
    if size % length:
        whole = size // length
        raise CannotRead(
            f"{size:,} bytes aren't a whole number of records of {length:,} bytes: record"
            f" {whole + 1:,}, from byte {whole * length:,} on, has {size % length:,}",
            line=whole + 1,
            code=_TRUNCATED,
        )
    count = max(1, min(BATCH_RECORDS_MAX, CHUNK_BYTES // length))
    done = 0
    while chunk := file.read(count * length):
        data = np.frombuffer(chunk, np.uint8).reshape(-1, length)
        offsets = np.arange(done, done + len(data)) * length
        lengths = None
        if length < width:
            data = _filled(data, width, layout)
            lengths = np.full(len(data), length, np.int64)
        yield Batch(data[:, :width], lengths, offsets, done + 1)
        done += len(data)


def _filled(data: Bytes, width: int, layout: Layout) -> Bytes:
    blanks = np.full((len(data), width), layout.page.encoded(" "), np.uint8)
    blanks[:, : data.shape[1]] = data
    return blanks


class _Found(NamedTuple):
    """Records in a piece of a file: their places in it and their lengths."""

    piece: bytes
    base: int
    """The place of the piece in the file."""
    starts: list[int]
    lengths: list[int]


def _gathered(pieces: Iterator[_Found], layout: Layout, *, is_text: bool) -> Iterator[Batch]:
    width, first = layout.root.size, 1
    for piece in pieces:
        for at in range(0, len(piece.starts), count := max(1, CHUNK_BYTES // width)):
            starts = np.array(piece.starts[at : at + count], np.int64)
            lengths = np.array(piece.lengths[at : at + count], np.int64)
            offsets = starts + piece.base
            if (longer := np.flatnonzero(lengths > width)).size:
                row = int(longer[0])
                raise CannotRead(
                    f"record {first + row:,}, from byte {offsets[row]:,} on, has"
                    f" {lengths[row]:,} bytes where the copybook has {width:,}",
                    line=first + row,
                )
            data = np.full((len(starts), width), layout.page.encoded(" "), np.uint8)
            buffer = np.frombuffer(piece.piece, np.uint8)
            for length in np.unique(lengths[lengths > 0]):
                rows = np.flatnonzero(lengths == length)
                windows = np.lib.stride_tricks.sliding_window_view(buffer, length)
                data[rows, :length] = windows[starts[rows]]
            yield Batch(data, None if is_text else lengths, offsets, first)
            first += len(starts)


def _lines(file: IO[bytes], layout: Layout) -> Iterator[_Found]:
    end = re.compile(b"[" + b"".join(map(re.escape, layout.page.line_ends)) + b"]")
    longest = layout.root.size + 2
    rest, base = b"", 0
    while True:
        chunk = file.read(CHUNK_BYTES)
        piece = rest + chunk
        starts, lengths, at = [], [], 0
        for match in end.finditer(piece):
            starts.append(at)
            bare = match.start() - (piece[match.start() - 1 : match.start()] == b"\r")
            lengths.append(max(0, bare - at))
            at = match.end()
        if not chunk and at < len(piece):
            starts.append(at)
            lengths.append(len(piece) - at)
            at = len(piece)
        yield _Found(piece, base, starts, lengths)
        rest, base = piece[at:], base + at
        if not chunk:
            return
        if len(rest) > longest + CHUNK_BYTES:
            raise CannotRead(f"from byte {base:,} on: no line ends within {len(rest):,} bytes")


def _described(file: IO[bytes], records: str) -> Iterator[_Found]:
    """Yield the records behind descriptor words."""
    walk = _Walk(records)
    while chunk := file.read(CHUNK_BYTES):
        yield walk.feed(chunk)
    walk.end()


class _Walk:
    """Finds records by their descriptor words, in a file that comes in pieces."""

    def __init__(self, records: str) -> None:
        self._in_blocks, self._is_little = records == "bdw", records == "rdw-little"
        self._rest = b""
        self._base = self._found = self._block_end = 0

    def feed(self, chunk: bytes) -> _Found:
        """Return the records that are complete."""
        piece = self._rest + chunk
        base = self._base
        starts: list[int] = []
        lengths: list[int] = []
        at = 0
        while at + DESCRIPTOR_BYTES <= len(piece):
            if self._in_blocks and base + at == self._block_end:
                self._block_end += self._block(piece[at : at + DESCRIPTOR_BYTES], base + at)
                at += DESCRIPTOR_BYTES
                continue
            length = self._record(piece, at, base)
            if at + DESCRIPTOR_BYTES + length > len(piece):
                break
            starts.append(at + DESCRIPTOR_BYTES)
            lengths.append(length)
            self._found += 1
            at += DESCRIPTOR_BYTES + length
        self._rest, self._base = piece[at:], base + at
        return _Found(piece, base, starts, lengths)

    def _block(self, word: bytes, at: int) -> int:
        length = int.from_bytes(word) & 0x7FFFFFFF if word[0] & 0x80 else int.from_bytes(word[:2])
        if length < 2 * DESCRIPTOR_BYTES or (not word[0] & 0x80 and word[2:] != b"\0\0"):
            raise CannotRead(f"byte {at:,}: 0x{word.hex().upper()} doesn't describe a block")
        return length

    def _record(self, piece: bytes, at: int, base: int) -> int:
        """Return the length of a record, without its descriptor."""
        high, low, third, fourth = piece[at : at + DESCRIPTOR_BYTES]
        if self._is_little:
            length, zero = fourth << 8 | third, high | low
        else:
            length, zero = (high << 8 | low) - DESCRIPTOR_BYTES, third | fourth
        end = base + at + DESCRIPTOR_BYTES + length
        if zero or length < 0 or (self._in_blocks and end > self._block_end):
            word = piece[at : at + DESCRIPTOR_BYTES].hex().upper()
            what = (
                "is a piece of a spanned record, which isn't read"
                if zero == third and 0 < third < 4
                else ""
            )
            raise CannotRead(
                f"record {self._found + 1:,}, from byte {base + at:,} on: its descriptor word"
                f" 0x{word} {what or 'is wrong'}",
                line=self._found + 1,
            )
        return length

    def end(self) -> None:
        """Raise CannotRead if a record or a block isn't complete."""
        if self._rest or self._base < self._block_end:
            raise CannotRead(
                f"the file is cut off: record {self._found + 1:,}, from byte {self._base:,} on, has"
                f" {len(self._rest):,} bytes",
                line=self._found + 1,
                code=_TRUNCATED,
            )
