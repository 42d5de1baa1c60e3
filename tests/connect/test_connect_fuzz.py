"""Any bytes, under any name, with any schema: never anything but the four outcomes, within a second
or two and in bounded memory.

HEADRACE_FUZZ_EXAMPLES says how many of each (60). A failure prints the blob that gives it again.
"""

from __future__ import annotations

import io
import os
import resource
import string
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from connect_contract import ORDERS, packed
from connect_workbench import Taken, Workbench
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headrace.connect.deliveries import Drift, SourceSchema, TypeDrift, UnreadableFile

OUTCOMES = Taken | Drift | TypeDrift | UnreadableFile
FUZZ = settings(
    max_examples=int(os.environ.get("HEADRACE_FUZZ_EXAMPLES", "60")),
    deadline=5000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
NAMES = ("x.csv", "x.jsonl", "x.parquet", "x", "x.csv.gz", "x.zip", "x.json.zst")
SPECIAL = "\",;|\t\n\r\\'\0{}[]:/-+.eE0123456789NAtruefalse ZTé☃\ufeff"
TEXT = st.text(alphabet=st.sampled_from(SPECIAL + string.ascii_letters), max_size=300)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


@pytest.fixture(scope="module")
def schemas(bench: Workbench) -> tuple[SourceSchema | None, ...]:
    parquet = io.BytesIO()
    pq.write_table(pa.table(ORDERS), parquet)
    return (
        None,
        bench.schema(b"a,b,c,d\n1,2.5,x,2013-01-01\n", "x.csv"),
        bench.schema(b'{"a":1,"b":2.5,"c":"x","d":[1]}\n', "x.jsonl"),
        bench.schema(parquet.getvalue(), "x.parquet"),
    )


def check(
    bench: Workbench, schemas: tuple[SourceSchema | None, ...], data: bytes, name: str
) -> None:
    for schema in schemas:
        outcome = bench.take(data, name, schema)
        assert isinstance(outcome, OUTCOMES)
        said = (
            outcome.reason
            if isinstance(outcome, TypeDrift | UnreadableFile)
            else outcome.detail
            if isinstance(outcome, Drift)
            else "read"
        )
        assert said
        assert said.isprintable()
        assert len(said) < 6_000
        assert str(bench.root) not in said


@FUZZ
@given(data=st.binary(max_size=2000), name=st.sampled_from(NAMES))
@example(data=b"PAR1PAR1PAR1", name="x.parquet")
@example(data=b"PK\x05\x06" + b"\0" * 18, name="x.zip")
@example(data=b"\x1f\x8b\x08\0\0\0\0\0\0\x03", name="x.csv.gz")
@example(data=b"\xff\xfe\0\0a\0\0\0", name="x.csv")
@example(data=b"\xff\xfea", name="x.csv")
@example(data=b"\xfe\xff\xd8\x00\xd8\x00", name="x.csv")
def test_bytes(
    bench: Workbench, schemas: tuple[SourceSchema | None, ...], data: bytes, name: str
) -> None:
    """Would catch: an exception that escapes, a worker that hangs, a message that isn't text."""
    check(bench, schemas, data, name)


@FUZZ
@given(
    data=TEXT,
    name=st.sampled_from(("x.csv", "x.jsonl")),
    header=st.sampled_from(("", "a,b,c,d\n", "a;b;c;d\n", '"a","b",c,d\r\n')),
)
@example(data='{"a":1e999,"b":-1e999,"c":"","d":{}}', name="x.jsonl", header="")
@example(data='1,2,"x\n', name="x.csv", header="a,b,c,d\n")
def test_text_that_is_nearly_right(
    bench: Workbench, schemas: tuple[SourceSchema | None, ...], data: str, name: str, header: str
) -> None:
    """Would catch: the same, behind a header that is right."""
    check(bench, schemas, (header + data).encode(), name)


@FUZZ
@given(data=st.data(), packing=st.sampled_from(["", "gz", "zip", "zst"]))
def test_damage(
    bench: Workbench, schemas: tuple[SourceSchema | None, ...], data: st.DataObject, packing: str
) -> None:
    """Would catch: what only shows when good files are cut and flipped: footers, checksums,
    dictionaries, directories."""
    parquet = io.BytesIO()
    pq.write_table(pa.table(ORDERS), parquet)
    good = data.draw(
        st.sampled_from(
            [
                parquet.getvalue(),
                b"a,b,c,d\n1,2.5,x,2013-01-01\n" * 20,
                b'{"a":1,"b":2.5,"c":"x","d":[1]}\n' * 20,
            ]
        )
    )
    whole = bytearray(packed(good, packing, "x") if packing else good)
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(whole)))
    check(bench, schemas, bytes(whole[:cut]), data.draw(st.sampled_from(NAMES)))


@FUZZ
@given(
    values=st.lists(
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
        min_size=1,
        max_size=20,
    )
)
def test_text_comes_back_as_it_was(bench: Workbench, schemas: object, values: list[str]) -> None:
    """Would catch: characters lost, trimmed or changed between a writer's quotes and the lake."""
    quoted = "".join('"' + value.replace('"', '""') + '",x\n' for value in values)
    taken = bench.take(
        ("k,v\n" + quoted).encode(), "x.csv", bench.schema(b"k,v\ntext,x\n", "x.csv")
    )
    assert isinstance(taken, Taken)
    assert sorted(str(value or "") for value in taken.column("k")) == sorted(values)


@FUZZ
@given(
    numbers=st.lists(
        st.one_of(
            st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
        ),
        min_size=1,
        max_size=20,
    )
)
def test_numbers_come_back_as_they_were(
    bench: Workbench, schemas: object, numbers: list[float]
) -> None:
    """Would catch: digits lost by a type that was learnt too eagerly."""
    taken = bench.take(
        ("k,v\n" + "".join(f"a,{number!r}\n" for number in numbers)).encode(), "x.csv"
    )
    assert isinstance(taken, Taken)
    kind = taken.types()["v"]
    got = taken.column("v")
    if kind == "VARCHAR":
        assert sorted(got) == sorted(map(repr, numbers))
    else:
        assert kind in ("BIGINT", "DOUBLE")
        assert sorted(got) == sorted(
            float(number) if kind == "DOUBLE" else number for number in numbers
        )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_a_gigabyte_in_one_line(tmp_path: Path, name: str) -> None:
    """Would catch: memory of the size of the line. As the first line, and after a header that is
    fine."""
    with Workbench(tmp_path) as bench:
        start = {"x.csv": b"a,b\n1,", "x.jsonl": b'{"a":1}\n{"a":"'}[name]
        schema = bench.schema({"x.csv": b"a,b\n1,x\n", "x.jsonl": b'{"a":1}\n'}[name], name)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for beginning in (b"", start):
            path = tmp_path / "landing" / name
            with path.open("wb") as file:
                file.write(beginning)
                for _ in range(1024):
                    file.write(b"x" * (1 << 20))
            outcome = bench.take_file(name, schema)
            assert isinstance(outcome, UnreadableFile), outcome
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 * 1024
