"""Exports to files of the project's own folder: the contract of exports for each format, and what
formats differ in.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from export_contract import ORDERS, READ_BACK, TYPES, ExportTargetContract, Row
from exportlab import Bench

from headrace.runtime.messages import FailedOutcome


class FileContract(ExportTargetContract):
    ending = ""

    def declared(self) -> dict[str, Any]:
        return {"to": f"exports/a/delays_{{date:%Y-%m-%d}}.{self.ending}"}

    def path(self, bench: Bench, interval: str = "2013-02-11") -> Path:
        return bench.root / f"exports/a/delays_{interval}.{self.ending}"

    def read_back(self, bench: Bench, interval: str) -> list[Row] | None:
        path = self.path(bench, interval)
        return self.decoded(path) if path.exists() else None

    def decoded(self, path: Path) -> list[Row]:
        raise NotImplementedError

    def leftovers(self, bench: Bench) -> list[str]:
        return [
            path.name
            for path in (bench.root / "exports/a").iterdir()
            if not path.name.startswith("delays_")
        ]

    def break_it(self, bench: Bench) -> None:
        """A plain file stands where the folder was: it works for root as well, whom no permission
        stops.
        """
        (bench.root / "exports").rename(bench.root / "kept")
        (bench.root / "exports").symlink_to(bench.root / "gone/away")

    def repair(self, bench: Bench) -> None:
        (bench.root / "exports").unlink()
        (bench.root / "kept").rename(bench.root / "exports")


class TestCsv(FileContract):
    ending = "csv"
    null_is_empty = True

    def decoded(self, path: Path) -> list[Row]:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def test_its_very_bytes(self, bench: Bench) -> None:
        """Would catch: CRLF, a byte order mark, quotes everywhere, or NULL and empty text that
        can't be told apart.
        """
        bench.export(
            self.declared(),
            bench.rows("select 1 as a, 'x,\"y\"' as b, '' as c, cast(null as varchar) as d"),
        )
        assert self.path(bench).read_bytes() == b'a,b,c,d\n1,"x,""y""","",\n'

    def test_types_as_others_expect_them(self, bench: Bench) -> None:
        """Would catch: times that only DuckDB reads, rounded numbers."""
        bench.export(self.declared(), bench.rows(TYPES))
        (row,) = self.decoded(self.path(bench))
        assert row == {
            "bool": "true",
            "i8": "127",
            "i64": "9007199254740993",
            "dbl": "1.5",
            "nan": "NaN",
            "ninf": "-Infinity",
            "dec": "12345678901234567.89",
            "small": "1.10",
            "d": "2013-02-11",
            "t": "13:14:15.5",
            "ts": "2013-02-11T13:14:15.25",
            "tz": "2013-02-11T13:14:15-05:00",
            "iv": "1 month 3 days",
            "u": "6d1cef45-b197-47b5-899f-103b599f674a",
            "b": "qgA=",
            "l": "[1,null,3]",
            "st": '{"a":1,"b":"x\\"y"}',
            "huge": "18446744073709551615",
        }

    def test_another_delimiter(self, bench: Bench) -> None:
        """Would catch: an option that is validated and then ignored."""
        bench.export(
            {**self.declared(), "options": {"delimiter": ";"}},
            bench.rows("select 'a;b' as x, 'c,d' as y"),
        )
        assert self.path(bench).read_bytes() == b'x;y\n"a;b";c,d\n'

    def test_several_reads_are_several_files(self, bench: Bench) -> None:
        """Would catch: one read's rows in the other's file."""
        to = {"to": "exports/a/{asset}_{date:%Y-%m-%d}.csv"}
        outcome = bench.export(to, bench.rows(ORDERS), bench.rows("select 7 as x", name="planes"))
        assert [item["target"] for item in outcome.manifest or ()] == [
            "exports/a/delays_2013-02-11.csv",
            "exports/a/planes_2013-02-11.csv",
        ]
        assert (bench.root / "exports/a/planes_2013-02-11.csv").read_text() == "x\n7\n"
        assert self.read_back(bench, "2013-02-11") == READ_BACK

    def test_a_target_that_is_a_folder_isnt_tried_again(self, bench: Bench) -> None:
        """Would catch: a mistake in the declaration that is taken for an outage, and tried for
        ever.
        """
        self.path(bench).mkdir(parents=True)
        message = self.failed(
            bench.perform(bench.task(self.declared(), bench.rows(ORDERS))), "configuration_error"
        )
        assert "exports/a/delays_2013-02-11.csv" in message

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_may_not_be_written_to(self, bench: Bench) -> None:
        """Would catch: a traceback instead of what is wrong."""
        (bench.root / "exports/a").mkdir(parents=True)
        (bench.root / "exports/a").chmod(0o500)
        message = self.failed(
            bench.perform(bench.task(self.declared(), bench.rows(ORDERS))),
            "destination_unavailable",
        )
        assert "Permission denied" in message

    def test_memory_that_runs_out_is_no_fault_of_a_declaration(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Would catch: "correct consumers.yaml:1" of an export that had no memory left."""

        def fails(*_: object) -> None:
            raise duckdb.OutOfMemoryException(
                "Out of Memory Error: failed to allocate data of size 1 MiB"
            )

        monkeypatch.setattr("headrace.runtime.steps.export._written", fails)
        outcome = bench.perform(bench.task(self.declared(), bench.rows(ORDERS)))
        self.failed(outcome, "")
        assert isinstance(outcome, FailedOutcome)
        assert outcome.error.kind == "resources"

    def test_a_full_disk(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Would catch: a file cut short that is taken for the whole."""
        bench.export(self.declared(), bench.rows(ORDERS))
        (bench.root / "exports/full").mkdir()
        target = {"to": "exports/full/delays_{date:%Y-%m-%d}.csv"}
        task = bench.task(target, bench.rows(ORDERS), attempt="1.77")

        def full(source: Any, copy: Any, length: int) -> None:
            with open("/dev/full", "wb", buffering=0) as device:  # noqa: PTH123
                device.write(source.read(length))

        monkeypatch.setattr(shutil, "copyfileobj", full)
        message = self.failed(bench.perform(task), "destination_unavailable")
        assert "No space left" in message
        assert list((bench.root / "exports/full").iterdir()) == []

    def test_a_secret_in_the_path_is_told_to_nobody(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Would catch: what `${NAME}` stands for in a manifest that `status` shows."""
        monkeypatch.setenv("EXPORT_CANARY", "canary-77")
        outcome = bench.perform(
            bench.task(
                {"to": "s3://${EXPORT_CANARY}/x_{date:%Y-%m-%d}.csv::nowhere", "format": "csv"},
                bench.rows(ORDERS),
            )
        )
        assert outcome.state == "failed"
        assert "canary-77" not in repr(outcome)


class TestParquet(FileContract):
    ending = "parquet"

    def decoded(self, path: Path) -> list[Row]:
        return [
            {name: None if v is None else str(v) for name, v in row.items()}
            for row in pq.read_table(path).to_pylist()
        ]

    def test_types_are_kept(self, bench: Bench) -> None:
        """Would catch: everything as text."""
        bench.export(self.declared(), bench.rows(TYPES))
        schema = pq.read_schema(self.path(bench))
        assert {name: str(schema.field(name).type) for name in ("i8", "dec", "d", "ts", "l")} == {
            "i8": "int8",
            "dec": "decimal128(20, 2)",
            "d": "date32[day]",
            "ts": "timestamp[us]",
            "l": "list<element: int32>",
        }

    def test_compression(self, bench: Bench) -> None:
        """Would catch: an option that is validated and then ignored."""
        for said, there in (("zstd", "ZSTD"), ("snappy", "SNAPPY"), ("none", "UNCOMPRESSED")):
            bench.export({**self.declared(), "options": {"compression": said}}, bench.rows(ORDERS))
            assert (
                pq.ParquetFile(self.path(bench)).metadata.row_group(0).column(0).compression
                == there
            )


class TestJson(FileContract):
    ending = "json"

    def parsed(self, path: Path) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = json.loads(path.read_bytes(), parse_constant=_no_json)
        return result

    def decoded(self, path: Path) -> list[Row]:
        return [
            {name: None if v is None else str(v) for name, v in row.items()}
            for row in self.parsed(path)
        ]

    def test_types_as_others_expect_them(self, bench: Bench) -> None:
        """Would catch: NaN, which no JSON reader takes, and rounded decimals."""
        bench.export(self.declared(), bench.rows(TYPES))
        (row,) = self.parsed(self.path(bench))
        assert {
            name: row[name]
            for name in ("bool", "nan", "ninf", "d", "ts", "tz", "b", "l", "st", "huge")
        } == {
            "bool": True,
            "nan": "NaN",
            "ninf": "-Infinity",
            "d": "2013-02-11",
            "ts": "2013-02-11T13:14:15.25",
            "tz": "2013-02-11T13:14:15-05:00",
            "b": "qgA=",
            "l": [1, None, 3],
            "st": {"a": 1, "b": 'x"y'},
            "huge": 18446744073709551615,
        }
        assert '"dec":12345678901234567.89' in self.path(bench).read_text().replace(" ", "")

    def test_nan_inside_is_text_as_it_is_outside(self, bench: Bench) -> None:
        """Would catch: a file that others can't read, and an export that fails for one value."""
        values = "['NaN', 'x\"NaN'] as words, [1.5, 'nan'::double] as l, {'a': '-inf'::float} as s"
        bench.export(self.declared(), bench.rows(f"select {values}"))
        (record,) = self.parsed(self.path(bench))
        assert record == {"words": ["NaN", 'x"NaN'], "l": [1.5, "NaN"], "s": {"a": "-Infinity"}}


class TestJsonLines(TestJson):
    ending = "jsonl"

    def parsed(self, path: Path) -> list[dict[str, Any]]:
        return [
            json.loads(line, parse_constant=_no_json)
            for line in path.read_text(encoding="utf-8").split("\n")
            if line
        ]


def _no_json(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_old_moments(export_bench: Bench, ending: str) -> None:
    """New York's offset had seconds before 1883, which DuckDB leaves away; and `T(BC)T`."""
    rows = export_bench.rows(
        "SELECT TIMESTAMPTZ '1883-11-18 16:00:00+00' AS zoned, TIMESTAMPTZ '1883-11-18 17:00:00+00'"
        " AS later, TIMESTAMP '0044-03-15 (BC) 10:00:00' AS ides, TIMETZ '10:00:00.25+00' AS clock,"
        " INTERVAL '36 hours 250 milliseconds' AS span"
    )
    export_bench.export({"to": f"out/rows.{ending}"}, rows)
    text = (export_bench.root / f"out/rows.{ending}").read_text()
    for value in (
        "1883-11-18T16:00:00+00:00",
        "1883-11-18T12:00:00-05:00",
        "0044-03-15 (BC) 10:00:00",
        "10:00:00.25+00",
        "36:00:00.25",
    ):
        assert value in text


LONG = """select 1 as "i""d", '{"x": 12345678901234567890.12,
  "y": [9007199254740993.5, "a\\"b"]}'::json as j, [12345678901234567890.12::decimal(38,2)] as l,
  null::json as n"""


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_numbers_in_json_keep_their_digits(export_bench: Bench, ending: str) -> None:
    """Would catch: 12345678901234567000.0, which DuckDB makes of a number that is in JSON."""
    bench, path = export_bench, export_bench.root / f"a.{ending}"
    declared = {"to": path.name}
    bench.export(declared, bench.rows(f"{LONG} union all {LONG.replace('.12', '.13')}"))
    with path.open(encoding="utf-8", newline="") as file:
        if ending == "csv":
            rows = [
                {
                    key: json.loads(value, parse_float=str) if value else None
                    for key, value in row.items()
                }
                for row in csv.DictReader(file)
            ]
        elif ending == "json":
            rows = json.load(file, parse_float=str)
        else:
            rows = [json.loads(line, parse_float=str) for line in file]
    for row, end in zip(rows, ("12", "13"), strict=True):
        value = {"x": f"12345678901234567890.{end}", "y": ["9007199254740993.5", 'a"b']}
        assert row == {'i"d': 1, "j": value, "l": [f"12345678901234567890.{end}"], "n": None}
    bench.export(declared, bench.rows(f"select * from ({LONG}) where false"))
    assert "".join(path.read_text().split()) in {'"i""d",j,l,n', "[]", ""}


def test_json_that_others_refuse_is_refused(export_bench: Bench) -> None:
    """Would catch: a file that no JSON reader takes."""
    bench = export_bench
    declared = {"to": "a.jsonl"}
    for text in ("NaN", "[1,]"):
        outcome = bench.perform(bench.task(declared, bench.rows(f"select '{text}'::json as j")))
        assert isinstance(outcome, FailedOutcome), text
        assert outcome.error.message.endswith("j: a value isn't JSON that others read, such as NaN")


INSIDE = {
    """{'j': '{"x": 98765432109876543210.12, "y": 1e400}'::json, 'd': 0.10::decimal(38,2)}""": (
        '{"j":{"x": 98765432109876543210.12, "y": 1e400},"d":0.10}'
    ),
    "[12345678901234567890.12::decimal(38,2), null]": "[12345678901234567890.12,null]",
    "['\\xAA\\x5C'::blob]": '["qlw="]',
    "[timestamptz '1883-11-18 16:00:00+00', '2013-02-11 18:00:00+00']": (
        '["1883-11-18T16:00:00+00:00","2013-02-11T13:00:00-05:00"]'
    ),
    "{'t': timestamp '2013-02-11 13:14:15.25', 'd': date '2013-02-11', 'n': null::integer}": (
        '{"t":"2013-02-11T13:14:15.25","d":"2013-02-11","n":null}'
    ),
    "[0.1::float, 16777216]": "[0.1,16777216.0]",
    "map {timestamp '2013-02-11 13:14:15': [0.5::decimal(9,2)], '2014-01-01': []}": (
        '{"2013-02-11T13:14:15":[0.50],"2014-01-01T00:00:00":[]}'
    ),
    "map {'a\"b': true, 'c,d': null}": '{"a\\"b":true,"c,d":null}',
    """map {{'a': 'x', 'b': 'y, z'}: 'NaN, inf ,]'}""": (
        '{"{\\"a\\":\\"x\\",\\"b\\":\\"y, z\\"}":"NaN, inf ,]"}'
    ),
    "[[], null, [chr(10) || chr(0)]]": '[[],null,["\\n\\u0000"]]',
}


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_nested_values(export_bench: Bench, ending: str) -> None:
    """Would catch: binary values other than in base64, a moment that is another one without the
    seconds of its offset, and digits lost as a double's."""
    columns = [f"{value} as c{number}" for number, value in enumerate(INSIDE)]
    rows = export_bench.rows(f"select {', '.join(columns)}, null::integer[] as missing")
    path = export_bench.root / f"a.{ending}"
    export_bench.export({"to": path.name}, rows)
    if ending == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            assert list(csv.reader(file))[1] == [*INSIDE.values(), ""]
    else:
        named = ",".join(f'"c{number}":{value}' for number, value in enumerate(INSIDE.values()))
        assert f'{{{named},"missing":null}}' in path.read_text()
        json.loads(path.read_text())


def test_formulas_are_escaped_where_that_is_asked_for(export_bench: Bench) -> None:
    """Would catch: a customer called `=cmd|…` that runs in whoever opens the export; a negative
    number that becomes text."""
    texts = ["=1+1", "+1", "-1", "@sum(a1)", "\tx", "\rx", "plain", "1-1", "", "'=1"]
    quoted = [text.replace("'", "''") for text in texts]
    values = ", ".join(
        f"({number}, '{text}', -1.5::double, -2.25::decimal(9,2))"
        for number, text in enumerate(quoted)
    )
    rows = export_bench.rows(
        f"select * from (values {values}, (99, null, null, null)) as t(id, who, amount, price)"
    )
    target = {"to": "exports/formulas.csv"}
    export_bench.export({**target, "csv": {"escape_formulas": True}}, rows)
    with (export_bench.root / target["to"]).open(newline="", encoding="utf-8") as file:
        result = list(csv.reader(file))[1:]
    dangerous = 6
    assert [row[1] for row in result] == [f"'{text}" for text in texts[:dangerous]] + [
        *texts[dangerous:],
        "",
    ]
    assert {(row[2], row[3]) for row in result} == {("-1.5", "-2.25"), ("", "")}, (
        "numbers stay numbers"
    )
    export_bench.export({**target, "csv": {"escape_formulas": False}}, rows)
    with (export_bench.root / target["to"]).open(newline="", encoding="utf-8") as file:
        assert [row[1] for row in csv.reader(file)][1:] == [*texts, ""]


def test_a_link_in_place_of_the_unfinished_file_is_not_followed(export_bench: Bench) -> None:
    """Would catch: asset code that may write to the folder of an export, and has the worker write
    over a file of the state by a link."""
    victim = export_bench.root / "victim"
    victim.write_text("state")
    folder = export_bench.root / "out"
    folder.mkdir()
    task = export_bench.task(
        {"to": "out/rows.csv"}, export_bench.rows("select 1 as n"), attempt="1.7"
    )
    mark = hashlib.sha256(b"rows.csv").hexdigest()[:16]
    (folder / f".headrace-{mark}-1.7.tmp").symlink_to(victim)
    export_bench.perform(task)
    assert victim.read_text() == "state"
    assert (folder / "rows.csv").read_text() == "n\n1\n"
    assert [path.name for path in folder.iterdir()] == ["rows.csv"]
