"""COBOL copybooks: the values of mainframes' records, and what is refused or held."""

from __future__ import annotations

import json
import random
import struct
from decimal import Decimal
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from modellab import FILES_OF_A_SOURCE, Parse
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain
from headrace_legacy import copybook_records
from headrace_legacy.byte_tables import code_page
from headrace_legacy.code_pages import EBCDIC
from headrace_legacy.copybook_values import table_of
from headrace_legacy.copybooks import CopybookError, parse_picture

CARDS, COBRIX = SAMPLES / "carddemo", SAMPLES / "ebcdic_cobrix"


def take(bench: Workbench, data: bytes, text: str, **options: Any) -> Any:
    more = {name: options.pop(name) for name in ("accepted", "pinned") if name in options}
    return bench.take(data, "a.dat", options={"copybook": {"text": text, **options}}, **more)


def book(*lines: str) -> str:
    """A copybook in the columns of punched cards."""
    return "".join(f"000000 {line}\n" for line in ("01 REC.", *lines))


def ebcdic(text: str) -> bytes:
    return text.encode("cp037")


def packed(number: int, digits: int, sign: str = "") -> bytes:
    sign = sign or ("d" if number < 0 else "c")
    return bytes.fromhex(f"{abs(number):0{digits // 2 * 2 + 1}d}{sign}")


@pytest.mark.parametrize(
    ("item", "data", "value", "kind"),
    [
        ("PIC 9(3)", b"\xf0\xf4\xf2", 42, "BIGINT"),
        ("PIC S9(3)", b"\xf0\xf4\xd2", -42, "BIGINT"),
        ("PIC S9(3)V99", b"\xf0\xf0\xf4\xf2\xc0", Decimal("4.20"), "DECIMAL(5,2)"),
        ("PIC S9(3) SIGN LEADING", b"\xd0\xf4\xf2", -42, "BIGINT"),
        ("PIC S9(3) SIGN IS TRAILING SEPARATE CHARACTER", b"\xf0\xf4\xf2\x60", -42, "BIGINT"),
        ("PIC S9(3) LEADING SEPARATE", b"\x4e\xf0\xf4\xf2", 42, "BIGINT"),
        ("PIC S9(20)V9", b"\xf1" * 20 + b"\xd5", -Decimal("1" * 20 + ".5"), "DECIMAL(21,1)"),
        ("PIC 99PP", b"\xf4\xf2", Decimal(4200), "DECIMAL(4,0)"),
        ("PIC VPP99", b"\xf4\xf2", Decimal("0.0042"), "DECIMAL(4,4)"),
        *[("PIC S9(3) COMP-3", packed(42, 3, sign), 42, "BIGINT") for sign in "acef"],
        *[("PIC S9(3) PACKED-DECIMAL", packed(42, 3, sign), -42, "BIGINT") for sign in "bd"],
        ("PIC S9(4)V99 COMP-3", packed(-4217, 6), Decimal("-42.17"), "DECIMAL(6,2)"),
        ("PIC S9(31) COMP-3", packed(-(10**30), 31), Decimal(-(10**30)), "DECIMAL(31,0)"),
        ("PIC S9(4) COMP", b"\xff\xd6", -42, "BIGINT"),
        ("PIC 9(9) USAGE IS BINARY", b"\x3b\x9a\xc9\xff", 999_999_999, "BIGINT"),
        ("PIC S9(9)V99 COMP-4", struct.pack(">q", -4217), Decimal("-42.17"), "DECIMAL(11,2)"),
        ("PIC 9(4) COMP-5", b"\xff\xff", 65_535, "BIGINT"),
        ("PIC 9(18) COMP-5", b"\xff" * 8, Decimal(2**64 - 1), "DECIMAL(20,0)"),
        ("COMP-1", b"\xc2\x2a\x80\x00", -42.5, "DOUBLE"),
        ("USAGE COMPUTATIONAL-2", b"\x42\x2a\x80\0\0\0\0\0", 42.5, "DOUBLE"),
        ("PIC -(4)9.99", ebcdic("   -4.20"), Decimal("-4.20"), "DECIMAL(7,2)"),
        ("PIC ZZ,ZZ9.99CR", ebcdic(" 1,042.50CR"), Decimal("-1042.50"), "DECIMAL(7,2)"),
        ("PIC 9(8).9(2)", ebcdic("789.09     "), Decimal("789.09"), "DECIMAL(10,2)"),
        ("PIC X(5)", ebcdic("  a\0 "), "a", "VARCHAR"),
        ("PIC X(3)", ebcdic("   "), None, "VARCHAR"),
        ("PIC XX", b"\x1c\x01", "\N{REPLACEMENT CHARACTER}" * 2, "VARCHAR"),
        ("PIC N(3)", "a\u0142 ".encode("utf-16-be"), "a\u0142", "VARCHAR"),
        ("PIC 99/99/99", ebcdic("01/02/24"), "01/02/24", "VARCHAR"),
        ("PIC Z9 BLANK WHEN ZERO", ebcdic("  "), 0, "BIGINT"),
        ("PIC ZZZ", ebcdic("   "), 0, "BIGINT"),
        ("PIC $Z,ZZZ.ZZ-", ebcdic("          "), 0, "DECIMAL(8,2)"),
        ("PIC ***.**", ebcdic("***.**"), 0, "DECIMAL(5,2)"),
        ("PIC ***,***", ebcdic("*******"), 0, "BIGINT"),
        ("PIC $$$,$$$.99", ebcdic("  $1,234.50"[1:]), Decimal("1234.50"), "DECIMAL(8,2)"),
        ("PIC 99 OCCURS 3", ebcdic("010203"), [1, 2, 3], "BIGINT[]"),
    ],
)
def test_values(bench: Workbench, item: str, data: bytes, value: Any, kind: str) -> None:
    """Would catch: amounts through a double, a sign nibble that is misread, the wrong byte order,
    numbers of more than 18 digits cut."""
    taken = take(bench, data * 2, book(f"   05 A {item}."))
    assert [row["a"] for row in rows_of(taken)] == [value] * 2
    assert taken.types() == {"a": kind}


@pytest.mark.parametrize(
    ("item", "data", "value"),
    [
        ("PIC S9(9) COMP-5", struct.pack("<i", -42), -42),
        ("COMP-2", struct.pack("<d", 0.1), 0.1),
        ("PIC S9(3)", b"04r", -42),
        ("PIC S9(3)", b"04K", -42),
        ("PIC S9(3)V9", b"004B", Decimal("4.2")),
    ],
)
def test_files_of_other_computers(bench: Workbench, item: str, data: bytes, value: Any) -> None:
    taken = take(bench, data, book(f"   05 A {item}."), code_page="latin-1")
    assert [row["a"] for row in rows_of(taken)] == [value]


@pytest.mark.parametrize(
    ("item", "data", "reason"),
    [
        ("PIC 9(3)", b"\xf1\x40\xf2", "A isn't a number: 0xF140F2"),
        ("PIC 9(3)", b"\xf0\xf4\xd2", "A isn't a number: 0xF0F4D2"),
        ("PIC S9(3) LEADING SEPARATE", b"\x40\xf0\xf4\xf2", "A isn't a number"),
        ("PIC 9(3) COMP-3", b"\x40\x40", "A isn't a packed number: 0x4040"),
        ("PIC S9(3) COMP-3", b"\x1a\x2c", "A isn't a packed number"),
        ("PIC 9(3) COMP-3", b"\x04\x2d", "A isn't a packed number"),
        ("PIC S9(2) COMP-3", b"\x10\x0c", "A has more than 2 digits"),
        ("PIC S9(4) COMP", b"\x7f\xff", "A has more than 4 digits"),
        ("PIC ZZ9.99", ebcdic("1.2.3 "), "A isn't a number"),
        ("PIC ZZ9", ebcdic("   "), "A is blank"),
        ("PIC ZZ9.99", ebcdic("   .  "), "A is blank"),
        ("PIC N", b"\xd8\x00", "A has characters that aren't read"),
    ],
)
def test_what_isnt_a_value_is_refused_with_its_record_and_byte(
    bench: Workbench, item: str, data: bytes, reason: str
) -> None:
    """Would catch: blanks that are published as 0, and a layout that is off by a byte."""
    text = book("   05 K PIC X.", f"   05 A {item}.", "   05 B PIC X(4).")
    good = {"PIC N": b"\0a", "PIC ZZ9.99": ebcdic("  1.00"), "PIC ZZ9": ebcdic("  1")}
    fine = good.get(item) or (
        packed(0, 2) if "COMP-3" in item else b"\0\0" if "COMP" in item else b"\xf0" * 3
    )
    fine = b"\x4e" + fine if "SEPARATE" in item else fine
    refused = take(bench, b"\x40%b\x40\x40\x40\x40" % fine + b"\x40%b\x40\x40\x40\x40" % data, text)
    assert isinstance(refused, UnreadableFile), refused
    assert f"record 2, from byte {5 + len(data)} on: {reason}" in plain(refused.reason)
    assert refused.line == 2


@pytest.mark.parametrize("blank", [b"\x40", b"\0", b"\xff"])
@pytest.mark.parametrize("item", ["PIC S9(3)V9", "PIC 9(7) COMP-3", "PIC S9(30)"])
def test_blanks_are_null_where_that_is_declared(bench: Workbench, item: str, blank: bytes) -> None:
    text = book(f"   05 A {item}.", "   05 B PIC X.")
    size = {"PIC S9(3)V9": 4, "PIC S9(30)": 30}.get(item, 4)
    data = blank * size + b"\xc1"
    assert isinstance(take(bench, data, text), UnreadableFile)
    assert rows_of(take(bench, data, text, null_blanks=True)) == [{"a": None, "b": "A"}]


def test_change_tags_are_no_part_of_a_copybook(bench: Workbench) -> None:
    """Would catch: a copybook refused because programmers mark lines that they change in its first
    six columns, and a free one whose words are cut off for such marks."""
    text = (
        "CH0042 01  REC.                                                         ACME0010\n"
        "       * a comment\n"
        "000020     05 A PIC X.\n"
        "JD0124     05 B PIC X.\n"
        "+          05 C PIC X\n"
        "      -    .\n"
    )
    assert rows_of(take(bench, ebcdic("xyz"), text)) == [{"a": "x", "b": "y", "c": "z"}]
    free = "01 REC.\n05 A  PIC X\nVALUE  'A'.\n   05 B PIC X.\n"
    assert rows_of(take(bench, ebcdic("xy"), free)) == [{"a": "x", "b": "y"}]


STATUS = book(
    "   05 STATUS-OF PIC X(2).",
    "      88 OPEN-ONE VALUES ARE 'A' 'B1' THRU 'B3', SPACES.",
    "      88 DONE VALUE 'Z' WHEN SET TO FALSE 'Q'.",
    "   05 CODE-OF PIC S9(3).",
    "      88 SMALL VALUES -1 THROUGH +10.",
    "      88 NONE VALUE ZEROS.",
    "   05 FREE PIC X.",
    "      88 FREE-A VALUE 'A'.",
)


def test_conditions_say_which_values_there_are(bench: Workbench) -> None:
    """Would catch: a value that no condition has in an item whose conditions are all there are; one
    refused that is in a range, or blank."""
    for text in ("A 005x", "B2010x", "  00Jx", "Z 000x"):
        assert (
            len(rows_of(take(bench, ebcdic(text), STATUS, conditions=["STATUS-OF", "code-of"])))
            == 1
        )
    for text, reason in (
        ("Q 005x", "STATUS-OF is Q, which is in none of its conditions"),
        ("B4005x", "STATUS-OF is B4"),
        ("A 011x", "CODE-OF is 11"),
        ("A 00Kx", "CODE-OF is -2"),
    ):
        refused = take(bench, ebcdic(text), STATUS, conditions=["STATUS-OF", "CODE-OF"])
        assert isinstance(refused, UnreadableFile)
        assert f"record 1, from byte 0 on: {reason}" in plain(refused.reason)
        assert len(rows_of(take(bench, ebcdic(text), STATUS))) == 1
    for name in ("FREE-A", "REC"):
        with pytest.raises(CopybookError):
            table_of({"text": STATUS, "conditions": [name]})


LITERALS = book(
    "   05 A PIC X(3).",
    "      88 BLANK-FIRST VALUE ' Y'.",
    "      88 STARS VALUE ALL '*'.",
    "      88 CODED VALUE X'C1C2C3'.",
)


def test_conditions_with_blanks_and_other_literals(bench: Workbench) -> None:
    """Would catch: a value that differs by the blank before it, and one of literals."""
    for text in (" Y ", "***", "ABC"):
        assert len(rows_of(take(bench, ebcdic(text), LITERALS, conditions=["A"]))) == 1
    for text, reason in (
        ("Y  ", "A is Y, which is in none of its conditions"),
        ("** ", "A is **, which"),
        ("   ", "A is empty, which"),
    ):
        refused = take(bench, ebcdic(text), LITERALS, conditions=["A"])
        assert isinstance(refused, UnreadableFile), refused
        assert reason in plain(refused.reason)
    for literal in ("HIGH-VALUES", "X'FF'", "X'C'", "ALL"):
        with pytest.raises(CopybookError, match="isn't read"):
            table_of({"text": f"01 A. 05 B PIC X. 88 C VALUE {literal}.", "conditions": ["B"]})


def test_groups_tables_and_names(bench: Workbench) -> None:
    """Would catch: a table whose elements are shifted, names that two items share, FILLER as a
    column, an item of a group that is left out."""
    text = book(
        "   05 HOME.",
        "      10 CITY PIC X(2).",
        "      10 FILLER PIC X.",
        "   05 WORK.",
        "      10 CITY PIC X(2).",
        "   05 LINES-OF OCCURS 2 TIMES INDEXED BY I.",
        "      10 QTY PIC 9.",
        "      10 CODES PIC X OCCURS 2.",
        "   05 THE-END PIC X VALUE 'Q'.",
        "      88 IS-DONE VALUES 'Q' THRU 'Z'.",
    )
    taken = take(bench, ebcdic("AA-BB1xy2z Q"), text)
    assert rows_of(taken) == [
        {
            "home_city": "AA",
            "work_city": "BB",
            "lines_of": [{"qty": 1, "codes": ["x", "y"]}, {"qty": 2, "codes": ["z", None]}],
            "the_end": "Q",
        }
    ]


ODO = book(
    "   05 N PIC 9.",
    "   05 M PIC 9.",
    "   05 A PIC XX OCCURS 1 TO 3 TIMES DEPENDING ON N.",
    "   05 B OCCURS 0 TO 2 DEPENDING ON M.",
    "      10 C PIC X.",
    "   05 D PIC X.",
)


@pytest.mark.parametrize("records", ["rdw", "bdw", "rdw-little", "lines", "fixed"])
def test_what_follows_a_table_with_fewer_elements(bench: Workbench, records: str) -> None:
    """Would catch: what follows the table read at the place that it has behind a full one."""
    lines = [ebcdic(text) for text in ("20aabb!", "11aax?", "32aabbccxy.")]
    more: dict[str, Any] = {}
    if records == "fixed":
        data, more = b"".join(line.ljust(11, b"\x40") for line in lines), {"length": 11}
    elif records == "lines":
        data = b"\x25".join(lines) + b"\x25"
    elif records == "rdw-little":
        data = b"".join(b"\0\0" + struct.pack("<H", len(line)) + line for line in lines)
    else:
        data = b"".join(described(line) for line in lines)
    if records == "bdw":
        blocks = [described(described(lines[0])), described(b"".join(map(described, lines[1:])))]
        data = b"".join(blocks)
    taken = take(bench, data, ODO, records=records, **more)
    assert [(row["a"], row["b"], row["d"]) for row in rows_of(taken)] == [
        (["aa", "bb"], [], "!"),
        (["aa"], [{"c": "x"}], "?"),
        (["aa", "bb", "cc"], [{"c": "x"}, {"c": "y"}], "."),
    ]


def described(data: bytes) -> bytes:
    return struct.pack(">HH", len(data) + 4, 0) + data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (described(ebcdic("40aabb!")), "N is 4, and A has at most 3 elements"),
        (described(ebcdic("20aabb")), "it ends before D"),
        (described(ebcdic("20aabb!!")), "it is longer than REC"),
        (described(ebcdic("x" * 12)), "record 1, from byte 4 on, has 12 bytes"),
        (described(ebcdic("20aabb!"))[:-1], "the file is cut off: record 1, from byte 0 on"),
        (b"\0\x0b\1\0" + ebcdic("20aabb!"), "a piece of a spanned record"),
        (b"\0\x03\0\0" + ebcdic("20aabb!"), "its descriptor word 0x00030000 is wrong"),
        (ebcdic("20aabb!"), "its descriptor word 0xF2F08181 is wrong"),
    ],
)
def test_records_of_another_length_are_refused(bench: Workbench, data: bytes, reason: str) -> None:
    refused = take(bench, data, ODO, records="rdw")
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)


@pytest.mark.parametrize("records", ["rdw", "bdw", "lines", "fixed"])
def test_records_that_begin_in_one_piece_of_a_file_and_end_in_the_next(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, records: str
) -> None:
    """Would catch: a record that is lost, or read twice, where a piece ends."""
    monkeypatch.setattr(copybook_records, "CHUNK_BYTES", 7)
    texts = [f"{number:03}" for number in range(50)]
    lines = map(ebcdic, texts)
    data = {
        "rdw": lambda: b"".join(map(described, lines)),
        "bdw": lambda: b"".join(described(described(line)) for line in lines),
        "lines": lambda: b"".join(line + b"\x15" for line in lines),
        "fixed": lambda: b"".join(lines),
    }[records]()
    taken = take(bench, data, book("   05 A PIC XXX."), records=records)
    assert [row["a"] for row in rows_of(taken)] == texts


def test_a_file_of_fixed_records_that_is_cut_off(bench: Workbench) -> None:
    refused = take(bench, ebcdic("abcab"), book("   05 A PIC X(3)."))
    assert isinstance(refused, UnreadableFile)
    assert refused.code == "delivery_truncated"
    assert "record 2, from byte 3 on, has 2" in refused.reason


PAID = book(
    "   05 KIND PIC X.",
    "   05 CARD.",
    "      10 NUMBER-OF PIC 9(4).",
    "   05 CASH REDEFINES CARD.",
    "      10 TILL PIC XX.",
    "      10 FILLER PIC XX.",
    "   05 FILLER REDEFINES CARD PIC X(4).",
)
BY_KIND = {"CARD": {"by": "KIND", "values": {"C": "CARD", "M": "CASH", "*": "FILLER"}}}


def test_the_value_of_an_item_says_what_redefines_it(bench: Workbench) -> None:
    """Would catch: a till that is read as the number of a card."""
    data = ebcdic("C1234MaabbX----")
    assert rows_of(take(bench, data, PAID, choose=BY_KIND)) == [
        {"kind": "C", "number_of": 1234, "till": None},
        {"kind": "M", "number_of": None, "till": "aa"},
        {"kind": "X", "number_of": None, "till": None},
    ]
    assert rows_of(take(bench, data, PAID, choose=BY_KIND, rows="CASH")) == [
        {"kind": "M", "till": "aa"}
    ]
    without = {"CARD": {"by": "KIND", "values": {"C": "CARD", "M": "CASH"}}}
    refused = take(bench, data, PAID, choose=without)
    assert isinstance(refused, UnreadableFile)
    assert "record 3, from byte 10 on: KIND is X, which `choose`" in plain(refused.reason)
    assert rows_of(take(bench, ebcdic("Caa--"), PAID, choose={"CARD": "CASH"}))[0]["till"] == "aa"


SEVERAL = """
       01 HEADER.
          05 KIND PIC 9.
          05 FILE-DATE PIC X(8).
       01 PAYMENT.
          05 FILLER PIC 9.
          05 N PIC 9.
          05 PARTS PIC 9 OCCURS 9 DEPENDING ON N.
          05 AMOUNT PIC S9(5)V99 COMP-3.
       01 TRAILER.
          05 FILLER PIC 9.
          05 PAYMENTS PIC 9(3).
          05 TOTAL PIC S9(9)V99 COMP-3.
"""
CHOICES: dict[str, Any] = {
    "records": "rdw",
    "choose": {"HEADER": {"by": "KIND", "values": {"1": "HEADER", "2": "PAYMENT", "9": "TRAILER"}}},
    "trailer": {
        "record": "TRAILER",
        "of": "PAYMENT",
        "count": "PAYMENTS",
        "sums": {"TOTAL": "AMOUNT"},
    },
}


def night(count: int = 2, total: int = 2000) -> bytes:
    return b"".join(
        map(
            described,
            [
                ebcdic("120240131"),
                ebcdic("2212") + packed(-500, 7),
                ebcdic("20") + packed(2500, 7),
                ebcdic(f"9{count:03}") + packed(total, 11),
            ],
        )
    )


def test_several_records_in_a_file_are_several_tables(bench: Workbench) -> None:
    """Would catch: the fields of one record in another's table, and totals that are only checked
    where payments are read."""
    payments = take(bench, night(), SEVERAL, rows="PAYMENT", **CHOICES)
    assert rows_of(payments) == [
        {"n": 2, "parts": [1, 2], "amount": Decimal("-5.00")},
        {"n": 0, "parts": [], "amount": Decimal("25.00")},
    ]
    assert rows_of(take(bench, night(), SEVERAL, rows="HEADER", **CHOICES)) == [
        {"kind": 1, "file_date": "20240131"}
    ]
    assert rows_of(take(bench, night(), SEVERAL, rows="TRAILER", **CHOICES)) == [
        {"payments": 2, "total": Decimal("20.00")}
    ]


@pytest.mark.parametrize("name", ["PAYMENT", "HEADER", "TRAILER"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (night(count=3), "record 4: PAYMENTS is 3, and the records come to 2"),
        (night(total=2001), "record 4: TOTAL is 20.01, and the records come to 20.00"),
    ],
)
def test_a_file_that_contradicts_its_trailer_is_held(
    bench: Workbench, name: str, data: bytes, reason: str
) -> None:
    held = take(bench, data, SEVERAL, rows=name, **CHOICES)
    assert isinstance(held, UnreadableFile)
    assert held.code == "delivery_total"
    assert reason in plain(held.reason)
    assert isinstance(take(bench, data, SEVERAL, rows=name, accepted=True, **CHOICES), Taken)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (night()[: -len(described(ebcdic("9002") + packed(0, 11)))], "has no TRAILER"),
        (night() + described(ebcdic("20") + packed(2500, 7)), "TRAILER isn't the last record"),
        (night() + night(), "TRAILER isn't the last record"),
    ],
)
def test_a_file_without_its_trailer_at_the_end_is_rejected(
    bench: Workbench, data: bytes, reason: str
) -> None:
    refused = take(bench, data, SEVERAL, rows="PAYMENT", **CHOICES)
    assert isinstance(refused, UnreadableFile)
    assert refused.code != "delivery_total"
    assert reason in plain(refused.reason)


@pytest.mark.parametrize("page", EBCDIC)
def test_letters_of_each_code_page(bench: Workbench, page: str) -> None:
    """Would catch: a code page that isn't there, or whose letters are another one's."""
    text = "Az09 ÄÖÜäöüß" + ("€" if page[2:5] == "114" else "")
    data = text.encode(page)
    taken = take(bench, data, book(f"   05 A PIC X({len(text)})."), code_page=page)
    assert rows_of(taken) == [{"a": text}]
    assert code_page(page).encoded("+") == 0x4E


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "`text` must be text"),
        ("       01 A.\n          05 B PIC X", "line 2 of the copybook: the statement has no full"),
        ("       01 A.\n          05 B.\n", "line 2 of the copybook: B has neither a picture nor"),
        (book("  05 A PIC Q."), "line 2 of the copybook: the picture `Q` isn't understood"),
        (book("  05 A PIC 9 SYNC."), "`SYNC` isn't understood"),
        (book("  05 A PIC X COMP-3."), "A has a usage that its picture can't have"),
        (book("  05 A POINTER."), "`POINTER` isn't understood"),
        (book("  05 A PIC X.", "  05 B REDEFINES C PIC X."), "B redefines C, which isn't the item"),
        (
            book("  05 A PIC X.", "  05 B REDEFINES A PIC X."),
            "`choose` doesn't say when A is meant",
        ),
        (book("  05 A PIC X OCCURS 3 DEPENDING ON N."), "no number before it is called N"),
        (book("  05 A PIC X(9999999)."), "isn't read"),
        (book("  05 A OCCURS 999999.", "    10 B PIC X(999)."), "more than 1,000,000 bytes"),
        (book("  05 FILLER PIC X."), "has no named item"),
        (book("  05 A PIC X.", "  05 A PIC X."), "two items are called A"),
        ("COPY OTHER.\n", "`COPY` isn't the number of a level"),
    ],
)
def test_a_copybook_that_isnt_read_is_refused_with_its_line(
    parse: Parse, text: str, reason: str
) -> None:
    source = f"{FILES_OF_A_SOURCE}copybook: {json.dumps({'text': text})}\n"
    problems = parse("sources/s.yaml", source).problems
    assert any(reason in f"{item.code} {item.message}" for item in problems), problems


def test_free_lines_comments_and_tabs(bench: Workbench) -> None:
    text = "01 rec.\n* a comment\n  05 a pic x. *> another\n\t05\tb\tpic\tx.\n"
    assert rows_of(take(bench, ebcdic("xy"), text)) == [{"a": "x", "b": "y"}]


def nested(value: Any) -> Any:
    """Cobrix's records, without groups, as our columns: blanks are null."""
    if isinstance(value, dict):
        results: dict[str, Any] = {}
        for key, item in value.items():
            inner = nested(item)
            results |= inner if isinstance(item, dict) else {key.lower(): inner}
        return results
    if isinstance(value, list):
        return [nested(item) for item in value]
    return None if value == "" else value


def expected(name: str, folder: str = "") -> list[Any]:
    lines = (COBRIX / f"{folder or name}_expected/{name}.txt").read_text().splitlines()
    return [nested(json.loads(line, parse_float=Decimal)) for line in lines]


@needs_samples
@pytest.mark.parametrize("name", ["test1", "test1a", "test3"])
def test_samples_of_cobrix(bench: Workbench, name: str) -> None:
    """Would catch: another value than Cobrix's own tests expect."""
    text = (COBRIX / f"{name}_copybook.cob").read_text()
    choose = {"COMPANY-ID-NUM": "COMPANY-ID-NUM", "ACCOUNT-TYPE-N": "ACCOUNT-TYPE-N"}
    more: dict[str, Any] = {} if name == "test3" else {"choose": choose}
    path = COBRIX / (
        "test3_data/TRAN2.AUG31.DATA.dat" if name == "test3" else "test1_data/example.bin"
    )
    if name == "test1a":  # its test skips two bytes
        text = text.replace("01  RECORD.", "01  RECORD.\n           05  FILLER PIC X(2).")
        more["length"] = 2202
    ours = rows_of(take(bench, path.read_bytes(), text, **more))
    wanted = expected(name)
    for row in wanted:  # the texts at the place of packed numbers
        row.pop("company_id_str", None)
        for element in row.get("account_detail", ()):
            element.pop("account_type_x")
    assert ours[: len(wanted)] == wanted
    assert len(ours) == path.stat().st_size // {"test3": 45}.get(name, 2202)


@needs_samples
def test_sample_of_numbers_in_characters(bench: Workbench) -> None:
    """Cobrix reads blank integers as null and blank decimals as 0; letters are null there."""
    text = (COBRIX / "test19_display_num.cob").read_text()
    data = (COBRIX / "test19_display_num/data.dat").read_bytes()
    wanted = expected("test19", "test19_display_num")
    for row in wanted:
        del row["file_id"], row["record_id"]
    assert rows_of(take(bench, data[:400], text)) == wanted[:5]
    blank = rows_of(take(bench, data[:480], text, null_blanks=True))[5]
    assert {name for name, value in blank.items() if value is None} == {
        "ws_date_num",
        "ws_amount_numeric",
        "ws_amount_fraction",
    }
    refused = take(bench, data, text, null_blanks=True)
    assert isinstance(refused, UnreadableFile)
    assert "record 7, from byte 480 on: WS_DATE_NUM isn't" in plain(refused.reason).replace(
        "-", "_"
    )


@needs_samples
@pytest.mark.parametrize(
    ("data", "text", "ours"),
    [
        ("ACCTDATA.PS", "CVACT01Y.cpy", "ascii_acctdata.txt"),
        ("CUSTDATA.PS", "CVCUS01Y.cpy", "ascii_custdata.txt"),
        ("TCATBALF.PS", "CVTRA01Y.cpy", "ascii_tcatbal.txt"),
        ("TRANTYPE.PS", "CVTRA03Y.cpy", "ascii_trantype.txt"),
    ],
)
def test_samples_of_carddemo(bench: Workbench, data: str, text: str, ours: str) -> None:
    """Would catch: values in EBCDIC that differ from the same ones in ASCII."""
    copybook = (CARDS / text).read_text()
    in_ebcdic = rows_of(take(bench, (CARDS / data).read_bytes(), copybook))
    lines = (CARDS / ours).read_bytes()
    in_ascii = rows_of(take(bench, lines, copybook, code_page="ascii", records="lines"))
    differing = [row for row, other in zip(in_ebcdic, in_ascii, strict=True) if row != other]
    # one account of the sample was changed in its text file
    assert [row.get("acct_id") for row in differing] == ([49] if data == "ACCTDATA.PS" else [])


@pytest.mark.parametrize("seed", range(3))
def test_mutated_files_are_read_or_refused(bench: Workbench, seed: int) -> None:
    """Would catch: an exception of a library, and totals that a flipped bit passes by."""
    chance = random.Random(seed)
    for _ in range(40):
        data = bytearray(night())
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[place] ^= 1 << chance.randrange(8)
                case 1:
                    del data[place : place + chance.randint(1, 9)]
                case _:
                    data[place:place] = chance.randbytes(chance.randint(1, 9))
            if not data:
                data = bytearray(night())
        outcome = take(bench, bytes(data), SEVERAL, rows="PAYMENT", **CHOICES)
        if isinstance(outcome, Taken):
            amounts = [row["amount"] for row in rows_of(outcome)]
            assert (len(amounts), sum(amounts)) == (2, 20)
        else:
            assert isinstance(outcome, UnreadableFile), outcome


@pytest.mark.parametrize("picture", ["ZZ.ZZ9,99", "ZZ9,99", "ZZ9V99", "---9V99"])
def test_points_that_would_be_guessed_are_refused(picture: str) -> None:
    """Would catch: 12.345,67 read as 12.34567, and 12.50 as 1250."""
    with pytest.raises(CopybookError, match=r"(are|is)n't read"):
        parse_picture(picture, 1)


@pytest.mark.parametrize(
    "picture", ["Z,ZZZ,ZZ9.99-", "$$,$$9.99CR", "--,--9.99", "**9.99", "+9,999"]
)
def test_pictures_with_thousands_are_read(picture: str) -> None:
    assert parse_picture(picture, 1).scale == 2 * ("." in picture)
