"""What the formats of lines with several kinds of rows have in common."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from connect_workbench import Taken, Workbench
from runlab import DAYS, Lab
from test_mt940 import statement
from test_nacha import GOOD, data, entry

from headrace.connect.deliveries import WRONG_ENCODING, Drift, UnreadableFile
from headrace_legacy.text_lines import LINE_BYTES_MAX

STATEMENT = statement(":61:240102C1,NTRFX", ":86:Müller", closing="C240102EUR1001,").decode()
ENTRIES = data(
    [*GOOD[:2], entry("22", 10050, addenda=1, name="Müller".ljust(22)), *GOOD[3:]]
).decode()
FILES = {"mt940": (STATEMENT, "details"), "nacha": (ENTRIES, "name")}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_accepted_other_encoding_than_the_declared_one(
    bench: Workbench, kind: str, encoding: str
) -> None:
    """Would catch: `MÃ¼ller` published after somebody has accepted that the file is UTF-8."""
    text, column = FILES[kind]
    options = {kind: {"encoding": "cp1252"}}
    first = bench.take(text.encode("cp1252"), f"a.{kind}", options=options)
    assert isinstance(first, Taken), first
    drift = bench.take(text.encode(encoding), f"a.{kind}", first.schema, options=options)
    assert isinstance(drift, Drift), drift
    assert drift.detail == f"the encoding is {encoding.upper()} instead of CP1252"
    taken = bench.take(text.encode(encoding), f"a.{kind}", drift.reads_as, options=options)
    assert isinstance(taken, Taken), taken
    assert taken.column(column)[0] == first.column(column)[0] == "Müller"


@pytest.mark.parametrize("kind", FILES)
def test_a_first_file_in_utf16_where_another_encoding_is_declared(
    bench: Workbench, kind: str
) -> None:
    """Would catch: a file that was converted by its mark, and is decoded once more."""
    text, column = FILES[kind]
    taken = bench.take(text.encode("utf-16"), f"a.{kind}", options={kind: {"encoding": "cp1252"}})
    assert isinstance(taken, Taken), taken
    assert taken.column(column)[0] == "Müller"


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    ("line", "reason", "code"),
    [
        (
            b"M\xfcller",
            "line 1: byte 0xFC isn't UTF-8; in Windows-1252 it would be `ü`",
            WRONG_ENCODING,
        ),
        (b"ab\0", "line 1: a nul byte", WRONG_ENCODING),
        (b"x" * (LINE_BYTES_MAX + 1), "line 1: longer than 65,536 bytes", "unreadable_delivery"),
    ],
)
def test_lines_that_are_no_text(
    bench: Workbench, kind: str, end: bytes, line: bytes, reason: str, code: str
) -> None:
    refused = bench.take(end.join((line, line)), f"a.{kind}", options={kind: {}})
    assert isinstance(refused, UnreadableFile), refused
    assert (refused.line, refused.code) == (1, code)
    assert reason in refused.reason


def test_a_file_in_windows_1252_where_utf8_is_pinned(tmp_path: Path) -> None:
    """Would catch: bank statements rejected where the same change of a CSV file is read and told."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/bank.yaml",
        'source: bank\nowner: acme\npartition: day\nfiles: "landing/{date:%Y-%m-%d}.sta"\n',
    )
    for day, encoding in ((DAYS[0], "utf-8"), (DAYS[1], "cp1252")):
        path = lab.root / f"landing/{day}.sta"
        path.write_bytes(STATEMENT.encode(encoding))
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)
        lab.tick()
    ((why, policy),) = lab.rows("select evidence, policy from drift")
    assert "the encoding is CP1252 instead of UTF-8" in why
    assert policy == "map"
    assert [row["details"] for row in lab.read("bank")] == ["Müller", "Müller"]
