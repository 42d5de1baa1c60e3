"""Names of columns from headers, and what a header says that isn't the pinned one."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.connect.deliveries import CannotRead, Drift, Format, SourceSchema, UnreadableFile
from headrace.connect.formats.headers import (
    column_names,
    doubled_names,
    header_drift,
    listed,
    other_document,
)
from headrace.connect.formats.registry import FileHeader
from headrace.lake import LakeColumn


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        ((), ()),
        (("a", "b"), ("a", "b")),
        (("  a\t b\r\n c ", "x\x00y"), ("a b c", "x y")),
        (("", " ", "a", "\x1b"), ("column_1", "column_2", "a", "column_4")),
        (("a", "A", "a", "b", "B"), ("a", "A_2", "a_3", "b", "B_2")),
        (("a", "a_2", "a", "a"), ("a", "a_2", "a_3", "a_4")),
        (("a", "a", "A_2", "a_3", "a"), ("a", "a_4", "A_2", "a_3", "a_5")),
        (
            ("_partition", "_Partition", "_partition"),
            ("_partition_2", "_Partition_3", "_partition_4"),
        ),
        (("", "column_1"), ("column_1", "column_1_2")),
    ],
)
def test_each_column_has_a_name_of_its_own(cells: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Would catch: two columns that become one, and a name that depends on the file's rows."""
    assert column_names(cells) == names
    assert column_names(cells) == column_names(list(cells))


def test_limits_of_a_header() -> None:
    """Would catch: a binary file whose first line becomes a hundred thousand columns, and a limit
    that refuses the last header that is allowed.
    """
    assert len(column_names([str(number) for number in range(4_096)])) == 4_096
    with pytest.raises(CannotRead, match=r"^4,097 columns; a delivery has at most 4,096$") as many:
        column_names([str(number) for number in range(4_097)])
    assert column_names(["x" * 255]) == ("x" * 255,)
    with pytest.raises(
        CannotRead, match="name of column 2 has 1,256 characters, at most 255"
    ) as long:
        column_names(["a", "x" * 1_256])
    for caught in (many, long):
        assert (caught.value.value.line, caught.value.value.code) == (1, "delivery_header")
    assert "x" * 50 not in str(long.value)


def test_names_that_a_header_gives_twice_are_said_with_both_positions() -> None:
    """Would catch: an amount that is taken from the wrong one of two columns, without a word."""
    assert doubled_names(["a", "b", "", "", "column_1"]) == ()
    assert doubled_names(["id", "Amount", "amount ", "id", "ID"]) == (
        ("amount_2", "the header names both columns 2 and 3 `Amount` (the second as `amount`)"),
        ("id_2", "the header names both columns 1 and 4 `id`"),
        ("ID_3", "the header names both columns 1 and 5 `id` (the second as `ID`)"),
    )


def pinned(*names: str, optional: tuple[str, ...] = (), **form: str) -> SourceSchema:
    columns = tuple(LakeColumn(name, "VARCHAR", 0) for name in names)
    return SourceSchema(columns, Format("csv", **form), optional=optional)


@pytest.mark.parametrize(
    ("header", "schema", "drift"),
    [
        (("b", "a"), pinned("a", "b"), None),
        (("a",), pinned("a", "b", optional=("b",)), None),
        (
            ("a", "c"),
            pinned("a", "b"),
            Drift(("b",), ("c",), "1 column gone, 1 new (gone: b; new: c)"),
        ),
        (("a",), pinned("a", "b", "c"), Drift(("b", "c"), (), "2 columns gone (gone: b, c)")),
        (("a", "b", "c"), pinned("a"), Drift((), ("b", "c"), "2 columns new (new: b, c)")),
        (("a", "b", "c"), pinned("a", "b"), Drift((), ("c",), "1 column new (new: c)")),
        (
            ("a", "B"),
            pinned("A", "b"),
            Drift(
                ("A", "b"),
                ("a", "B"),
                "2 columns gone, 2 new (gone: A, b; new: a, B; only upper and lower case differ)",
            ),
        ),
        (
            ("1", "2", "3"),
            pinned("a", "b"),
            Drift(
                ("a", "b"),
                ("1", "2", "3"),
                "2 columns gone, 3 new (gone: a, b; new: 1, 2, 3; nothing of the pinned header is"
                " left; the file may have no header, or be another one)",
            ),
        ),
    ],
)
def test_a_drift_says_what_is_gone_and_new(
    header: tuple[str, ...], schema: SourceSchema, drift: Drift | None
) -> None:
    """Would catch: a changed order called a drift, and a clause that names the wrong columns."""
    assert header_drift(FileHeader(header), schema) == drift


def test_long_lists_of_names_are_cut() -> None:
    """Would catch: a message of four thousand names."""
    names = [f"n{number}" for number in range(22)]
    assert listed(names[:20]) == ", ".join(names[:20])
    assert listed(names[:21]) == ", ".join(names[:20]) + " and 1 more"
    assert listed(names) == ", ".join(names[:20]) + " and 2 more"


HTML = "the file is an HTML page, as a server's answer may be, not rows under a header"
XML = "the file is an XML document, not rows under a header"
JSON = "the file is a JSON document, not rows under a header"


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (b"\xef\xbb\xbf\n <!DOCTYPE html><p>", HTML, 1),
        (b"<html lang=en>", HTML, 1),
        (b"<?xml version='1.0'?><html>", XML, 1),
        (b"<rows><row/></rows>", XML, 1),
        (b'[{"id": 1}]', JSON, 1),
        (b'{"id": 1}', JSON, 1),
        (b"%PDF-1.7", "the file is a PDF document, not rows under a header", 1),
        (
            b"Report\nid,name\n1,a\n",
            (
                "1 line comes before the header, which is line 2; if they always do, declare csv:"
                " {skip: 1}"
            ),
            2,
        ),
        (
            b"Report\r\n\r\n 'id' , name ,note\r\n",
            (
                "2 lines come before the header, which is line 3; if they always do, declare csv:"
                " {skip: 2}"
            ),
            3,
        ),
        (
            b"Report\r\rname,id,more\r",
            (
                "2 lines come before the header, which is line 3; if they always do, declare csv:"
                " {skip: 2}"
            ),
            3,
        ),
        (
            b"x\n" * 50 + b"id,name\n",
            (
                "50 lines come before the header, which is line 51; if they always do, declare csv:"
                " {skip: 50}"
            ),
            51,
        ),
        (b"x\n" * 51 + b"id,name\n", None, None),
        (b"id,name\n1,a\n", None, None),
        (b"Report\nid;name\n", None, None),
        (b"Report\nid,note\n", None, None),
        (b"x" * 65_530 + b"\nid,name\n", None, None),
        (b"<3 of them\n[id]\n", None, None),
        (b"", None, None),
    ],
)
def test_a_file_without_the_header_is_named_for_what_it_is(
    tmp_path: Path, data: bytes, reason: str | None, line: int | None
) -> None:
    """Would catch: an error page of a server reported as a drift of all columns, and a title above
    the header that nobody is told of.
    """
    (tmp_path / "x").write_bytes(data)
    schema = pinned("id", "name", "note", optional=("note",), quote="'")
    result = other_document(str(tmp_path / "x"), schema)
    expected = None if reason is None else UnreadableFile(reason, line, "delivery_header")
    assert result == expected


def test_a_single_column_is_no_header_that_stands_lower(tmp_path: Path) -> None:
    """Would catch: a file of one column in which a value equals the column's name."""
    (tmp_path / "x").write_bytes(b"other\nid\n1\n")
    assert other_document(str(tmp_path / "x"), pinned("id")) is None
