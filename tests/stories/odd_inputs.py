"""Deliveries that are odd but valid, or damaged, and odd results of Python assets."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq


class Odd(NamedTuple):
    """A delivery: what is odd, a name whose ending says its format, and its bytes."""

    name: str
    file: str
    data: bytes


CSV = b"id,name,amount,day\n" + b"".join(
    b"%d,Zo\xc3\xab %d,%d.50,2025-01-01\n" % (n, n, n) for n in range(1, 40)
)
JSONL = b"".join(
    b'{"id": %d, "name": "Zo\xc3\xab", "amount": %d.5, "tags": ["a"], "of": {"x": 1}}\n' % (n, n)
    for n in range(1, 40)
)
JSON = json.dumps([{"id": n, "name": "Zoë", "amount": n / 2} for n in range(40)]).encode()
XML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<rows>'
    + "".join(f"<row><id>{n}</id><name>Zoë</name><amount>{n}.5</amount></row>" for n in range(40))
    + "</rows>"
).encode()
TEXT_ENCODINGS = ("utf-16-le", "utf-32", "cp1252", "cp500", "cp437")


def parquet(**columns: pa.Array) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def good_parquet() -> bytes:
    n = range(1, 40)
    return parquet(
        id=pa.array(n),
        name=pa.array(["Zoë"] * 39),
        amount=pa.array([Decimal(i) / 2 for i in n], pa.decimal128(9, 2)),
        at=pa.array([datetime(2025, 1, 1, tzinfo=UTC)] * 39),
        tags=pa.array([["a"]] * 39),
    )


def workbook(rows: list[list[Any]], formats: dict[str, str] | None = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    for cell, form in (formats or {}).items():
        sheet[cell].number_format = form
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def good_workbook() -> bytes:
    return workbook([["id", "name", "amount"], *([n, "Zoë", n / 2] for n in range(1, 40))])


PARQUET_ARRAYS: dict[str, Callable[[], pa.Array]] = {
    "decimal256": lambda: pa.array([Decimal("0.10")], pa.decimal256(50, 2)),
    "float16": lambda: pa.array([1.5], pa.float16()),
    "duration": lambda: pa.array([timedelta(hours=36)]),
    "durations of nanoseconds": lambda: pa.array([1], pa.duration("ns")),
    "nanoseconds": lambda: pa.array([1], pa.timestamp("ns")),
    "time of nanoseconds": lambda: pa.array([1], pa.time64("ns")),
    "time": lambda: pa.array([time(1, 2, 3)]),
    "null": lambda: pa.nulls(1),
    "map": lambda: pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    "map of bytes": lambda: pa.array([[(b"a", 1)]], pa.map_(pa.binary(), pa.int64())),
    "list of nulls": lambda: pa.array([[None]], pa.list_(pa.null())),
    "list of decimal256": lambda: pa.array([[Decimal(1)]], pa.list_(pa.decimal256(50, 2))),
    "struct of float16": lambda: pa.array([{"a": 1.5}], pa.struct({"a": pa.float16()})),
    "empty struct": lambda: pa.array([{"a": None}], pa.struct({"a": pa.null()})),
    "fixed bytes": lambda: pa.array([b"ab"], pa.binary(2)),
    "uuid": lambda: pa.array([b"a" * 16], pa.uuid()),
    "dictionary": lambda: pa.array(["a"]).dictionary_encode(),
    "large text": lambda: pa.array(["a"], pa.large_string()),
    "text view": lambda: pa.array(["a"], pa.string_view()),
    "bool": lambda: pa.array([True]),
    "uint64": lambda: pa.array([2**64 - 1], pa.uint64()),
    "nan": lambda: pa.array([float("nan"), float("inf")]),
    "far dates": lambda: pa.array([-(2**31), 2**31 - 1], pa.date32()),
    "far times": lambda: pa.array([-(2**63) + 1, 2**63 - 1], pa.timestamp("us")),
    "far times with zone": lambda: pa.array([2**62], pa.timestamp("us", "America/New_York")),
    "times of an unknown zone": lambda: pa.array([1], pa.timestamp("us", "Mars/Olympus")),
    "bad text": lambda: pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers()),
    "json": lambda: pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}'])),
    "zero in text": lambda: pa.array(["a\0b"]),
    "decimal of no scale": lambda: pa.array([Decimal(10)], pa.decimal128(38, 0)),
}

CELLS: dict[str, tuple[Any, str]] = {
    "36 hours": (1.5, "[h]:mm"),
    "24 hours": (1.0, "h:mm"),
    "negative hours": (-1.5, "[h]:mm"),
    "many hours": (1e9, "[h]:mm:ss"),
    "elapsed seconds": (0.5, "[ss].000"),
    "a far date": (2_958_466, "yyyy-mm-dd"),
    "a negative date": (-1, "yyyy-mm-dd"),
    "the leap day of 1900": (60, "yyyy-mm-dd"),
    "an error": ("#DIV/0!", "General"),
    "a formula": ("=1/0", "General"),
    "leading zeros": (7, "00000"),
    "percent": (0.5, "0%"),
    "a large number": (1e300, "0"),
    "true": (True, "General"),
}

CSV_TEXTS = {
    "ragged": b"id,name\n1,a\n2\n3,b,c,d\n",
    "an open quote": b'id,name\n1,"a\n2,b\n',
    "a stray quote": b'id,name\n1,"a"b\n2,b\n',
    "NUL": b"id,name\n1,a\0b\n",
    "only NULs": b"\0" * 300,
    "a header only": b"id,name\n",
    "line ends only": b"\n\n\n",
    "blanks": b"   \n",
    "doubled header": b"id,id\n1,2\n",
    "empty header": b",,\n1,2,3\n",
    "a header of quotes": b'"",""\n1,2\n',
    "sep=": b"sep=;\nid;name\n1;a\n",
    "a title": b"Report of May\n\nid,name\n1,a\n2,b\n",
    "one column": b"id\n1\n2\n",
    "large numbers": b"id,n\n1,99999999999999999999999999999999999999999\n",
    "exponents": b"id,n\n1,1E5\n2,1e999\n",
    "strange dates": b"id,d\n1,2025-02-30\n2,0000-00-00\n3,9999-12-31\n",
    "BC": b"id,d\n1,0044-03-15 (BC)\n",
    "times": b"id,t\n1,25:61:61\n2,24:00:00\n3,-01:00\n",
    "words of infinity": b"id,n\n1,inf\n2,nan\n3,-Infinity\n",
    "control characters": b"id,name\n1,\x01\x02\x1b[31m\n",
    "html": b"<html><body>Not found</body></html>\n",
    "an error in JSON": b'{"error": "not found"}\n',
    "surrogates": b"id,name\n1,\xed\xa0\x80\n",
    "cut in a character": b"id,name\n1,Zo\xc3",
    "CR only": b"id,name\r1,a\r2,b\r",
    "mixed line ends": b"id,name\n1,a\r\n2,b\r3,c\n",
    "a wide row": b"id\n" + b"1," * 5000 + b"\n",
    "a long value": b"id,name\n1," + b"x" * 300_000 + b"\n",
}

JSON_TEXTS = {
    "nothing": b"",
    "blank": b" \n",
    "a document": b'{\n "id": 1\n}\n',
    "an array": b'[{"id": 1}, {"id": 2}]\n',
    "NaN": b'{"id": NaN}\n',
    "Infinity": b'{"id": -Infinity}\n',
    "half an object": b'{"id": 1, "na',
    "no comma": b'{"id": 1 "name": 2}\n',
    "a final comma": b'{"id": 1,}\n',
    "single quotes": b"{'id': 1}\n",
    "no quotes": b"{id: 1}\n",
    "no value": b'{"id": }\n',
    "two objects": b'{"id": 1}{"id": 2}\n',
    "extra text": b'{"id": 1} x\n',
    "a plain value": b"1\n",
    "null": b"null\n",
    "text": b"hello\n",
    "Python": b"{'id': None, 'on': True}\n",
    "a doubled key": b'{"id": 1, "id": 2}\n',
    "keys of case": b'{"id": 1, "ID": 2}\n',
    "an empty key": b'{"": 1}\n',
    "no key": b"{}\n",
    "a bad escape": b'{"id": "\\x"}\n',
    "half a surrogate": b'{"id": "\\ud800"}\n',
    "a NUL": b'{"id": "\\u0000"}\n',
    "a control character": b'{"id": "a\tb"}\n',
    "bad bytes": b'{"id": "\xff"}\n',
    "deep": b'{"id": ' + b"[" * 3000 + b"]" * 3000 + b"}\n",
    "a large number": b'{"id": 1' + b"0" * 400 + b"}\n",
    "a huge exponent": b'{"id": 1e400}\n',
    "leading zeros": b'{"id": 007}\n',
    "kinds": b'{"id": 1}\n{"id": "a"}\n{"id": [1]}\n{"id": {"a": 1}}\n{"id": null}\n',
    "a comment": b'// x\n{"id": 1}\n',
    "a long key": b'{"' + b"k" * 5000 + b'": 1}\n',
    "html": b"<html></html>",
}

XML_TEXTS = {
    "nothing": b"",
    "no end": b"<rows><row><id>1</id>",
    "wrong end": b"<rows><row></rows></row>",
    "two roots": b"<a/><b/>",
    "an entity": b"<rows><row><id>&nope;</id></row></rows>",
    "a bomb": b'<!DOCTYPE r [<!ENTITY a "x">]><rows><row><id>&a;</id></row></rows>',
    "no prefix": b"<rows><x:row><id>1</id></x:row></rows>",
    "doubled attribute": b'<rows><row id="1" id="2"/></rows>',
    "a bad character": b"<rows><row><id>\x01</id></row></rows>",
    "bad bytes": b"<rows><row><id>\xff</id></row></rows>",
    "an unknown encoding": b'<?xml version="1.0" encoding="nope"?><rows><row><id>1</id></row></rows>',
    "the wrong encoding": b'<?xml version="1.0" encoding="UTF-16"?><rows><row><id>1</id></row></rows>',
    "a late declaration": b' <?xml version="1.0"?><rows><row><id>1</id></row></rows>',
    "attribute and child": b'<rows><row id="1"><id>2</id></row></rows>',
    "mixed": b"<rows><row>a<b>1</b>c</row></rows>",
    "no rows": b"<rows/>",
    "plain text": b"hello",
    "two kinds": b"<rows><row><id>1</id></row><other><x>1</x></other></rows>",
    "deep": b"<a>" * 3000 + b"</a>" * 3000,
}


def damaged(data: bytes, dice: random.Random) -> bytes:
    """Cut, overwrite, repeat or leave out some bytes."""
    some = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(some) or 1)
        size = dice.choice((1, 1, 2, 8, 64))
        match dice.randrange(5):
            case 0:
                del some[at:]
            case 1:
                some[at : at + size] = dice.randbytes(size)
            case 2:
                del some[at : at + size]
            case 3:
                some[at:at] = some[at : at + size]
            case 4:
                some[at : at + 1] = dice.choice(
                    (b'"', b"{", b"}", b"[", b",", b"\0", b"\xff", b"\r", b"<", b"&", b"'")
                )
    return bytes(some)


GOOD = {
    "x.csv": CSV,
    "x.jsonl": JSONL,
    "x.json": JSON,
    "x.xml": XML,
    "x.parquet": good_parquet(),
    "x.xlsx": good_workbook(),
}


def options_of(file: str) -> dict[str, Any]:
    """What the source of such files declares."""
    return {"xml": {"records": "//row"}} if file.endswith(".xml") else {}


def odd_deliveries() -> Iterator[Odd]:
    """Each odd content, and good text in encodings other than UTF-8."""
    for name, array in PARQUET_ARRAYS.items():
        yield Odd(f"Parquet: {name}", "x.parquet", parquet(c=array()))
    for name, (value, form) in CELLS.items():
        book = workbook([["id", "name", "amount"], [1, "a", value]], {"C2": form})
        yield Odd(f"Excel: {name}", "x.xlsx", book)
    for name, data in CSV_TEXTS.items():
        yield Odd(f"CSV: {name}", "x.csv", data)
    for name, data in JSON_TEXTS.items():
        yield Odd(f"JSON lines: {name}", "x.jsonl", data)
        yield Odd(f"JSON: {name}", "x.json", data)
    for name, data in XML_TEXTS.items():
        yield Odd(f"XML: {name}", "x.xml", data)
    for encoding in TEXT_ENCODINGS:
        for file in ("x.csv", "x.jsonl", "x.json", "x.xml"):
            data = GOOD[file].decode().encode(encoding, "replace")
            yield Odd(f"{file} in {encoding}", file, data)


def damaged_deliveries(dice: random.Random, count: int) -> Iterator[Odd]:
    """Good files of each format with some bytes cut, overwritten, repeated or left out."""
    for number in range(count):
        file, good = list(GOOD.items())[number % len(GOOD)]
        yield Odd(f"{file}, damaged {number}", file, damaged(good, dice))


# Results: expressions that an asset returns. Those of `OWN_ERRORS` raise an error of their own.

OWN_ERRORS = (
    "pl.DataFrame({'a': [Decimal('1.5')]}, schema={'a': pl.Decimal(50, 2)})",
    "pl.LazyFrame({'a': [1]}).select(pl.col('b'))",
    "pa.table({'a': [2**64 - 1]})",
    "sys.stdout",
)
RESULTS = tuple(
    r"""
np.array([1, 2])
np.float64(1.5)
np.array([(1, 2.0)], dtype=[('a', int), ('b', float)])
None
1
'text'
b'bytes'
True
{'a': 1}
{'a': [1, 2]}
[]
[1, 2]
[[1, 2]]
[None]
[{}]
[{'a': None}]
[{1: 2}]
[{'a': object()}]
[{'a': int}]
[{'a': 1}, {'a': 'x'}]
[{'a': 1}, {'b': 1}]
[{'a': 2**70}]
[{'a': 1.5}, {'a': Decimal('1.5')}]
[{'a': Decimal('1E50')}]
[{'a': Decimal('NaN')}]
[{'a': Decimal('sNaN')}]
[{'a': float('nan')}]
[{'a': complex(1, 2)}]
[{'a': {1, 2}}]
[{'a': [1, 'x']}]
[{'a': [1, [2]]}]
[{'a': {'b': 1}}, {'a': {'b': 'x'}}]
[{'a': {}}]
[{'a': lambda: 1}]
[{'a': uuid.uuid4()}]
[{'a': Path('/x')}]
[{'a': Fraction(1, 3)}]
[{'a': range(3)}]
[{'a': np.array([1])}]
[{'a': np.datetime64('2025-01-01')}]
[{'a': np.timedelta64(5, 'h')}]
[{'a': np.int8(5)}]
[{'a': np.float16(5)}]
[{'a': np.complex128(5)}]
[{'a': timedelta(days=400)}]
[{'a': timedelta.max}]
[{'a': time(1, 2, tzinfo=timezone.utc)}]
[{'a': time(1, 2)}]
[{'a': datetime.max}]
[{'a': datetime(2025,1,1)}, {'a': date(2025,1,1)}]
[{'a': datetime(2025,1,1)}, {'a': datetime(2025,1,1,tzinfo=timezone.utc)}]
[{'a': date.min}]
[{'a': 'a\\ud800'}]
[{'a': 'a\\0b'}]
[{'': 1}]
[{'a': 1, 'A': 2}]
[{'_headrace_partition': 1}]
[{'a': pd.NaT}]
[{'a': pd.NA}]
[{'a': pd.Timestamp('2025-01-01')}]
[{'a': pd.Timedelta('5h')}]
[{'a': pd.Period('2025-01')}]
[{'a': pd.Interval(1, 2)}]
[{'a': pd.DataFrame({'b': [1]})}]
[{'a': pa.scalar(5)}]
[{'a': Color.RED}]
[{'a': memoryview(b'x')}]
[{'a': bytearray(b'x')}]
pd.Series([1, 2])
pd.DataFrame()
pd.DataFrame({'a': []})
pd.DataFrame({'a': [1, 'x']})
pd.DataFrame({'a': [object()]})
pd.DataFrame([[1, 2]], columns=['a', 'a'])
pd.DataFrame([[1, 2]])
pd.DataFrame({'a': pd.period_range('2025-01', periods=2, freq='M')})
pd.DataFrame({'a': pd.interval_range(0, 2)})
pd.DataFrame({'a': pd.to_timedelta(['5h'])})
pd.DataFrame({'a': [1 + 2j]})
pd.DataFrame({'a': pd.Categorical(['x'])})
pd.DataFrame({'a': pd.Categorical([1.5])})
pd.DataFrame({'a': np.array([1.5], dtype='float16')})
pd.DataFrame({'a': pd.arrays.SparseArray([0, 1])})
pd.DataFrame({('a', 'b'): [1]})
pd.DataFrame({'a': [[1, 'x']]})
pd.DataFrame({'a': [{'b': 1}, 5]})
pd.DataFrame({'a': ['x', None, 1.5]})
pl.Series([1])
pl.DataFrame()
pl.DataFrame({'a': [object()]}, schema={'a': pl.Object})
pl.DataFrame({'a': [timedelta(hours=5)]})
pl.DataFrame({'a': [1]}, schema={'a': pl.Int128})
pl.DataFrame({'a': ['x']}, schema={'a': pl.Categorical})
pl.DataFrame({'a': [None]})
pl.DataFrame({'a': [[None]]})
pl.DataFrame({'a': [time(1, 2)]})
pa.array([1])
pa.chunked_array([[1]])
pa.schema([('a', pa.int64())])
pa.table({})
pa.table({'a': pa.array([Decimal('0.1')], pa.decimal256(50, 2))})
pa.table({'a': pa.array([1.5], pa.float16())})
pa.table({'a': pa.array([[1.5]], pa.list_(pa.float16()))})
pa.table({'a': pa.array([timedelta(hours=5)])})
pa.table({'a': pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
pa.table({'a': pa.array([1], pa.duration('ns'))})
pa.table({'a': pa.array([1], pa.timestamp('ns'))})
pa.table({'a': pa.array([1], pa.time64('ns'))})
pa.table({'a': pa.array([1], pa.timestamp('us', 'Mars/Olympus'))})
pa.table({'a': pa.nulls(2)})
pa.table({'a': pa.array([[None]], pa.list_(pa.null()))})
pa.table({'a': pa.array([{}], pa.struct([]))})
pa.table({'a': pa.array([1, 2]).dictionary_encode()})
pa.table({'a': pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])})
pa.table({'a': pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])])})
pa.table({'a': pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64()))})
pa.table({'a': pa.array([b'x'], pa.binary_view())})
pa.table({'a': pa.array([[1]], pa.list_view(pa.int64()))})
pa.table({'a': pa.array([[1, 2]], pa.list_(pa.int64(), 2))})
pa.table({'a': pa.RunEndEncodedArray.from_arrays([2], [1])})
pa.table({'a': pa.array([b'a' * 16], pa.uuid())})
pa.table({'a': pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.int64(), [2]), pa.array([[1, 2]], pa.list_(pa.int64(), 2)))})
pa.table({'a': pa.array([b'x'], pa.opaque(pa.binary(), 'x', 'y').storage_type)})
pa.table({'a': pa.array([-(2**31)], pa.date32())})
pa.table({'a': pa.array([2**62], pa.date64())})
pa.table({'a': pa.array([2**62], pa.timestamp('s'))})
pa.table([pa.array([1]), pa.array([2])], names=['a', 'a'])
pa.table({'a': pa.Array.from_buffers(pa.string(), 1, pa.array([b'\\xff']).buffers())})
iter([pa.table({'a': [1]}), pa.table({'a': ['x']})])
iter([pa.table({'a': [1]}), pa.table({'b': [1]})])
iter([{'a': 1}, pa.table({'a': ['x']})])
iter([pd.DataFrame({'a': [1]}), 5])
iter([{'a': 1}, None])
(x for x in ())
dict
Context
open('/dev/null')
orders
[orders]
duckdb.sql('select 1 as a')
duckdb.sql('select interval 1 month as a')
duckdb.sql("select 'x'::enum('x') as a")
duckdb.sql('select 1::hugeint as a')
duckdb.sql("select '101'::bit as a")
duckdb.sql('select 12345678901234567890123::varint as a')
[{'a': Box()}]
Box()
[Box()]
coroutine()
""".strip().splitlines()
)
HEAD = """
from __future__ import annotations

import duckdb, enum, sys, uuid
import numpy as np, pandas as pd, polars as pl, pyarrow as pa
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from headrace import Context, asset

class Color(enum.Enum):
    RED = 1

class Box:
    pass

async def coroutine():
    pass
"""


def write_project(root: Path, deliveries: Sequence[Odd], results: Mapping[str, str]) -> None:
    """A source of each delivery, after a good one; an asset of each result (name → expression)."""
    files: dict[str, str | bytes] = {
        "headrace.toml": '[project]\nname = "odd"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
        "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
        "sources/orders.yaml": source_file("orders", ".csv"),
        "landing/orders_2025-01-02.csv": CSV,
    }
    for number, odd in enumerate(deliveries):
        name, ending = f"s{number:02}", Path(odd.file).suffix
        files[f"sources/{name}.yaml"] = source_file(name, ending)
        files[f"landing/{name}_2025-01-01{ending}"] = GOOD[odd.file]
        files[f"landing/{name}_2025-01-02{ending}"] = odd.data
    for name, result in results.items():
        declared = "@asset(owner='core', partition='day', inputs=['orders'])"
        function = f"def {name}(context: Context, orders: pa.Table):\n    return {result}\n"
        files[f"assets/{name}.py"] = f"{HEAD}\n{declared}\n{function}"
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)


def source_file(name: str, ending: str) -> str:
    records = "xml: {records: '//row'}\n" if ending == ".xml" else ""
    pattern = f"landing/{name}_{{date:%Y-%m-%d}}{ending}"
    return f"source: {name}\nowner: core\npartition: day\nfiles: {pattern}\n{records}"
