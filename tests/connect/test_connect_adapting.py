"""Files with other names, more columns and fewer, read as they are told to be: the same for every
kind that has names."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from connect_workbench import Taken, Workbench
from legacy_formats import forms

from headrace.connect.deliveries import Drift
from headrace.connect.formats.registry import FileHeader
from headrace.connect.schemas import Adapted

FIRST = [{"id": 1, "delay": 5, "gone": "x"}, {"id": 2, "delay": 7, "gone": "y"}]
LATER = [
    {"late": 9, "id": 3, "more": 1.5, "none": None},
    {"late": 11, "id": 4, "more": None, "none": None},
]


def written(rows: list[dict[str, object]], kind: str) -> bytes:
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind == "json":
        return json.dumps(rows).encode()
    if kind == "xml":
        elements = (
            "".join(f"<{name}>{'' if v is None else v}</{name}>" for name, v in row.items())
            for row in rows
        )
        return f"<d>{''.join(f'<r>{row}</r>' for row in elements)}</d>".encode()
    if kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return sink.getvalue()
    lines = [
        ",".join(rows[0]),
        *(",".join("" if value is None else str(value) for value in row.values()) for row in rows),
    ]
    return ("\n".join(lines) + "\n").encode()


RECORDS = {"json": {"json": {"records": "$"}}, "xml": {"xml": {"records": "/d/r"}}}


@pytest.mark.parametrize("kind", forms("csv", "json", "jsonl", "parquet", "xml"))
def test_other_names_more_columns_and_fewer(bench: Workbench, kind: str) -> None:
    """Catches: a value under the wrong name, a missing column that is an error, a new one without
    its type, one without values that gets a type by guessing, a kind of file for which none of it
    works."""
    options = RECORDS.get(kind)
    first = bench.take(written(FIRST, kind), f"a.{kind}", options=options)
    assert isinstance(first, Taken)

    def adapt(header: FileHeader) -> Adapted:
        assert set(header.names) == {"late", "id", "more", "none"}
        return Adapted({"late": "delay", "id": "id"}, ("more", "none"))

    data = written(LATER, kind)
    later = bench.take(data, f"b.{kind}", first.schema, adapt=adapt, options=options)
    assert isinstance(later, Taken), later
    assert later.learnt, "what came is to be pinned"
    assert {name: later.column(name) for name in ("id", "delay", "gone", "more")} == {
        "id": [3, 4],
        "delay": [9, 11],
        "gone": [None, None],
        "more": [1.5, None],
    }
    assert later.types()["more"] == "DOUBLE"
    assert "none" not in later.types()
    again = bench.take(data, f"b.{kind}", later.schema, adapt=adapt, options=options)
    assert isinstance(again, Taken)
    assert not again.learnt


@pytest.mark.system
@pytest.mark.long
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_thousand_columns_and_one(bench: Workbench, kind: str) -> None:
    """Catches: a limit or a quadratic step that a wide file runs into."""
    wide: dict[str, object] = {f"c{i}": i for i in range(1000)}
    first = bench.take(written([wide], kind), f"a.{kind}")
    assert isinstance(first, Taken)
    later = bench.take(
        written([{**wide, "c1000": 1000}], kind),
        f"b.{kind}",
        first.schema,
        adapt=lambda header: Adapted(
            {name: name for name in header.names[:1000]}, header.names[1000:]
        ),
    )
    assert isinstance(later, Taken)
    assert (len(later.names), later.column("c1000")) == (1001, [1000])


def test_a_header_alone_and_what_may_not_be_read(bench: Workbench) -> None:
    """Catches: a header without rows that fails for its new column; a refusal that leaves files
    behind or is forgotten.
    """
    first = bench.take(written(FIRST, "csv"), "a.csv")
    assert isinstance(first, Taken)
    empty = bench.take(
        b"id,delay,more\n",
        "b.csv",
        first.schema,
        adapt=lambda _: Adapted({"id": "id", "delay": "delay"}, ("more",)),
    )
    assert isinstance(empty, Taken)
    assert (empty.rows, empty.learnt) == ([], False)
    refused = bench.take(
        written(LATER, "csv"),
        "c.csv",
        first.schema,
        adapt=lambda _: Drift(("delay",), ("late",), "ask somebody"),
    )
    assert refused == Drift(("delay",), ("late",), "ask somebody")
