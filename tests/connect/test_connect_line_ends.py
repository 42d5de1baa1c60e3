"""Files whose lines end in CRLF here and in LF there."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from connect_workbench import Taken, Workbench
from legacy_formats import NEEDS_LEGACY

from headrace.connect.deliveries import TypeDrift
from headrace.connect.text_files import (
    LINE_END_CHUNK_BYTES,
    has_both_line_ends,
    require_text,
)

COLUMNS = [{"name": "id", "width": 2, "type": "bigint"}, {"name": "who", "width": 3}]
MIXED = {
    "the header alone": b"id,who\r\n1,a\n2,b\n",
    "a row in the middle": b"id,who\n1,a\r\n2,b\n",
    "the last row": b"id,who\n1,a\n2,b\r\n",
    "no end at the end": b"id,who\r\n1,a\n2,b",
    "other bytes before them": b"\xef\xbb\xbfid,who\r\n1,a\n2,b\r\n",
    "blank lines": b"\r\n\nid,who\r\n1,a\n\r\n2,b\n",
    "semicolons": b"id;who\r\n1;a\n2;b\n",
}


@pytest.mark.parametrize("case", MIXED)
@pytest.mark.parametrize("pinned", [False, True])
def test_mixed_line_ends_are_read(bench: Workbench, case: str, pinned: bool) -> None:
    """Would catch: a good delivery rejected for how its lines end; a carriage return left in the
    last value.
    """
    data = MIXED[case]
    delimiter = b";" if b";" in data else b","
    schema = bench.schema(b"id,who\n1,a\n".replace(b",", delimiter), "x.csv") if pinned else None
    taken = bench.take(data, "x.csv", schema)
    assert isinstance(taken, Taken), taken
    assert sorted(taken.rows) == [(1, "a"), (2, "b")]


def test_line_breaks_in_values_stay_as_they_are(bench: Workbench) -> None:
    """Would catch: values changed by what mends the line ends, whatever stands around
    their quotes.
    """
    data = b'id,who\r\n1,"a\r\nb"\n2,"say ""x""\r\n,y"\r\n3,5" pipe\n4,"c\nd"\r\n'
    taken = bench.take(data, "x.csv")
    assert isinstance(taken, Taken), taken
    assert sorted(taken.rows) == [(1, "a\r\nb"), (2, 'say "x"\r\n,y'), (3, '5" pipe'), (4, "c\nd")]
    escaped = b'id,who\r\n1,"a\\"\r\nb"\n2,"c\\",d"\r\n'
    taken = bench.take(escaped, "x.csv")
    assert isinstance(taken, Taken), taken
    assert sorted(taken.rows) == [(1, 'a"\r\nb'), (2, 'c",d')]


def test_a_bad_value_keeps_its_line(bench: Workbench) -> None:
    """Would catch: lines counted in the mended copy otherwise than in the file."""
    drift = bench.take(
        b'id,who\r\n1,"a\r\nb"\n2,c\r\nx,d\n', "x.csv", bench.schema(b"id,who\n1,a\n", "x.csv")
    )
    assert isinstance(drift, TypeDrift), drift
    assert drift.columns[0].line == 5


@NEEDS_LEGACY
def test_fixed_width_with_mixed_line_ends(bench: Workbench) -> None:
    """Would catch: the same file rejected where its columns are places in a line."""
    for encoding in ("utf-8", "latin-1"):
        said = {"fixed_width": {"columns": COLUMNS, "encoding": encoding}}
        taken = bench.take("01Zoë\r\n02Bob\n".encode(encoding), "x.txt", options=said)
        assert isinstance(taken, Taken), taken
        assert taken.rows == [(1, "Zoë"), (2, "Bob")]


def test_random_values_survive(bench: Workbench) -> None:
    """Would catch: quotes, delimiters and line breaks in an order that nobody thought of."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    draw = random.Random(seed)
    signs = ['"', ",", "\r\n", "\n", "x", ";"]
    rows = [(n, "".join(draw.choices(signs, k=draw.randrange(1, 9))) + "z") for n in range(300)]
    data = "id,who\r\n"
    for number, text in rows:
        quoted = text.replace('"', '""')
        data += f'{number},"{quoted}"' + draw.choice(["\n", "\r\n"])
    taken = bench.take(data.encode(), "x.csv", bench.schema(b"id,who\n1,a\n", "x.csv"))
    assert isinstance(taken, Taken), taken
    assert sorted(taken.rows) == rows


@pytest.mark.parametrize("at", range(-2, 3))
@pytest.mark.parametrize("breaks", [b"\r\n", b"\n\n", b"\n\r\n", b"\r", b"\r\r\n", b"\r\n\r\n"])
def test_line_ends_between_two_chunks(tmp_path: Path, breaks: bytes, at: int) -> None:
    """Would catch: a line end, or a blank line, that isn't seen since a chunk ends within it."""
    for line in (b"x\n", b"x\r\n"):
        before = line * (LINE_END_CHUNK_BYTES // len(line))
        data = before[: LINE_END_CHUNK_BYTES + at - len(breaks)].rstrip() + b"y"
        data = data.ljust(LINE_END_CHUNK_BYTES + at - 1, b"y") + breaks + line * 3
        path = tmp_path / "x.csv"
        path.write_bytes(data)
        pairs = data.count(b"\r\n")
        assert has_both_line_ends(path) == (0 < pairs < data.count(b"\n"))
        plain = re.search(rb"\n\r?\n|\n\r|\r(?!\n)", data) is None
        rows = data.count(b"\n") - 1 if plain else None
        assert require_text(path, line_bytes_max=1 << 30).rows == rows
