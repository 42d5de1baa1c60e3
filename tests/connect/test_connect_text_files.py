"""What one pass over a text file says: its lines, its rows, where it breaks off, and bytes that
aren't text.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.connect.deliveries import CannotRead
from headrace.connect.text_files import (
    TEXT_CHUNK_BYTES,
    ends_open,
    has_both_line_ends,
    is_cut_in_line,
    mixed_line,
    require_text,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"a\n1\n2\n", 2),
        (b"a\n1\n2", 2),
        (b"a\r\n1\r\n2\r\n", 2),
        (b"a", 0),
        (b"a\n", 0),
        (b'a\n"1\n2"\n', None),
        (b"a\n\n1\n", None),
        (b"a\r\n\r\n1\r\n", None),
        (b"\na\n1\n", None),
        (b"\r\na\n", None),
        (b"a\r1\r2\r", None),
        (b"a\n1\r2\n", None),
        (b"a\n1\r", None),
    ],
)
def test_lines_are_counted_as_rows_where_they_are_rows(
    path: Path, data: bytes, rows: int | None
) -> None:
    """Would catch: a sound delivery rejected for a count of lines that aren't rows, and lost rows
    that no count shows.
    """
    path.write_bytes(data)
    assert require_text(path, line_bytes_max=100).rows == rows


@pytest.mark.parametrize(
    ("end", "rows"),
    [(b"\n", 3), (b"\r\n", 3), (b"\n\n", None), (b"\r\n\r\n", None), (b"\r", None)],
)
@pytest.mark.parametrize("before", [2, 1, 0])
def test_lines_across_the_edge_of_a_chunk_count_the_same(
    path: Path, end: bytes, rows: int | None, before: int
) -> None:
    """Would catch: a line end that two chunks share counted twice, or taken for a blank line."""
    first = b"a\n1\n"
    second = b"x" * (TEXT_CHUNK_BYTES - len(first) - before)
    path.write_bytes(first + second + end + b"3\n")
    lines = require_text(path, line_bytes_max=TEXT_CHUNK_BYTES)
    assert lines.rows == rows
    assert lines.ends == 3 + end.count(b"\n")


def test_a_line_has_a_greatest_length(path: Path) -> None:
    """Would catch: a line that a reader drops without an error, and the longest allowed refused."""
    for data, line in ((b"a\nb\n" + b"x" * 2_000_000, 3), (b"x" * 1_500_000 + b"\na", 1)):
        path.write_bytes(data)
        with pytest.raises(
            CannotRead, match=rf"^line {line}: longer than 1,499,999 bytes$"
        ) as caught:
            require_text(path, line_bytes_max=1_499_999)
        assert caught.value.value.line == line
    path.write_bytes(b"x" * 1_500_000 + b"\na")
    assert require_text(path, line_bytes_max=1_500_000).ends == 1


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        (b"", None, "the file is empty: there isn't even a header"),
        (b" \n \n", None, "the file is empty"),
        (
            b"a\nb\xe9c\n",
            2,
            "line 2: byte 0xE9 isn't UTF-8; in Windows-1252 it would be `é`; deliver",
        ),
        (b"a\nb\x80c\n", 2, "line 2: byte 0x80 isn't UTF-8; deliver"),
        (b"a\n" * 600_000 + b"\xff\n", 600_001, "line 600001: byte 0xFF isn't UTF-8; in"),
        (b"a\nb\xc3", 2, "ends in the middle of a character"),
        (b"a\nb\nc\0d\n", 3, "line 3: a nul byte; the file is binary, or damaged"),
        (b"a\n" * 600_000 + b"\0\n", 600_001, "line 600001: a nul byte"),
        (b"a\0b\0\n\0", 1, "it looks like UTF-16 without a byte order mark, or like binary data"),
        (b"a\0\0\0b\0\0\0", 1, "it looks like UTF-32, or like binary data"),
        (b"\xff\xfe\0\0abcdefgh", 1, "it looks like UTF-32"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_line(
    path: Path, data: bytes, line: int | None, message: str
) -> None:
    """Would catch: a line counted from a chunk's beginning, and a wrong guess at the encoding."""
    path.write_bytes(data)
    with pytest.raises(CannotRead) as caught:
        require_text(path, line_bytes_max=1 << 24)
    assert message in str(caught.value)
    assert caught.value.value.line == line
    code = "delivery_empty" if line is None else "delivery_encoding"
    assert caught.value.value.code == code


def test_a_blank_file_may_be_allowed(path: Path) -> None:
    """Would catch: a file of records refused for having none."""
    path.write_bytes(b"\n")
    assert require_text(path, line_bytes_max=9, blank=True).rows is None
    path.write_bytes(b"")
    assert require_text(path, line_bytes_max=9, blank=True).rows is None


@pytest.mark.parametrize("lines", [2, 600_000])
def test_a_line_is_cut_if_the_file_ends_in_it(path: Path, lines: int) -> None:
    """Would catch: a mistake in a line called a truncated file, and the other way round."""
    path.write_bytes(b"a\n" * lines)
    assert [is_cut_in_line(path, lines + more) for more in (-1, 0, 1, 2)] == [
        False,
        False,
        True,
        False,
    ]
    assert not ends_open(path)
    path.write_bytes(b"a\n" * lines + b"b")
    assert [is_cut_in_line(path, lines + more) for more in (0, 1, 2)] == [False, True, False]
    assert ends_open(path)


@pytest.mark.parametrize("data", [b"", b"a\r", b"a\r\n"])
def test_a_last_line_with_any_line_end_is_not_open(path: Path, data: bytes) -> None:
    """Would catch: an empty file, or one with a Macintosh's line ends, taken for a truncated one."""
    path.write_bytes(data)
    assert not ends_open(path)


@pytest.mark.parametrize(
    ("data", "both"),
    [
        (b"", False),
        (b"a\nb\n", False),
        (b"a\r\nb\r\n", False),
        (b"a\r\nb", False),
        (b"a\nb\r\n", True),
        (b"a\r\nb\n", True),
        (b"a\rb\n", False),
        (b"x" * ((1 << 20) - 1) + b"\r\na\r\n", False),
        (b"x" * ((1 << 20) - 1) + b"\r\na\n", True),
        (b"x" * ((1 << 20) - 1) + b"\r" + b"a\n", False),
    ],
)
def test_both_line_ends_are_noticed(path: Path, data: bytes, both: bool) -> None:
    """Would catch: a line end that two chunks share taken for another kind."""
    path.write_bytes(data)
    assert has_both_line_ends(path) is both


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a\n\xe9\n\xc3\xa9\n", 3),
        (b"\xc3\xa9\n\xe9\n", 1),
        (b"\xe9\n\xe8\n", None),
        (b"a\nb", None),
    ],
)
def test_the_line_of_another_encoding(data: bytes, line: int | None) -> None:
    """Would catch: one of two encodings by which the other's lines are read wrongly."""
    assert mixed_line(data) == line
