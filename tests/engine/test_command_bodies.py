from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_bench import Bench

from headrace.engine import ErrorKind, command
from headrace.engine.failures import BodyFailed
from headrace.lake.sqltext import literal
from headrace.lake.types import parse
from headrace.model.nodes import InputFormat
from headrace.model.texts import plain

ROUTES = "origin,dest\nEWR,LAX\nJFK,LAX\nEWR,LAX\n"
FIXTURE = (Path(__file__).parent / "fixtures" / "route_counts.sh").read_text()


def failure(bench: Bench, task: Any) -> Any:
    before = bench.left_behind()
    with pytest.raises(BodyFailed) as failed:
        bench.run(task)
    assert bench.left_behind() == before
    assert (failed.value.error.file, failed.value.error.line) == ("assets/out.yaml", 3)
    return failed.value.error


def writing(name: str, text: str) -> list[str]:
    """A command that writes a file into the output directory."""
    folder = "json.load(open(os.environ['HEADRACE_CONTEXT']))['output_directory']"
    return [
        sys.executable,
        "-c",
        f"import json, os, sys; open({folder} + '/' + sys.argv[1], 'w').write(sys.argv[2])",
        name,
        text,
    ]


IN_OUTPUT = 'cd "$(sed -n \'s/.*"output_directory":"\\([^"]*\\)".*/\\1/p\' "$HEADRACE_CONTEXT")"; '
"""The beginning of a shell script that works in its output directory."""


def test_a_body_in_shell_and_awk(bench: Bench) -> None:
    """Would catch: a protocol that only Python can speak."""
    task = bench.command(
        ["sh", "route_counts.sh"],
        files={"route_counts.sh": FIXTURE, "routes.csv": ROUTES},
        scope=bench.day("2013-02-11"),
    )
    produced = bench.run_logged(task)
    day = dt.date(2013, 2, 11)
    assert bench.rows(produced.staged, produced.table) == [
        ("2013-02-11", day, "EWR-LAX", 2),
        ("2013-02-11", day, "JFK-LAX", 1),
    ]
    said = [(line.stream, line.level, line.text) for line in bench.logged]
    assert ("stdout", "info", "counting routes of 2013-02-11") in said
    assert ("event", "info", "progress 0.5 half way") in said and (
        "event",
        "info",
        "metric routes 2",
    ) in said
    assert ("event", "warning", "warning one airport is closed") in said
    assert bench.left_behind() == [f"lake/{produced.staged.path}"] if produced.staged else False


def test_the_context_and_the_inputs_are_as_the_interface_says(bench: Bench) -> None:
    """Would catch: a field left out, the system column or other partitions in an input, the
    worker's environment passed on.
    """
    program = """
        import json, os
        import pyarrow.parquet as pq
        context = json.load(open(os.environ["HEADRACE_CONTEXT"]))
        table = pq.read_table(context["inputs"]["flights"]["path"])
        told = {"context": {k: v for k, v in context.items() if k != "output_directory"}, "rows": table.to_pylist(),
                "names": table.column_names, "environment": sorted(os.environ), "folder": os.getcwd(), "tz": os.environ["TZ"]}
        open(context["output_directory"] + "/told.jsonl", "w").write(json.dumps({"told": json.dumps(told)}))
    """
    batch = bench.publish("flights", "SELECT 1 AS id, 'EWR' AS origin", key="2013-02-11")
    os.environ["SECRET_TOKEN"] = "x"
    try:
        task = bench.command(
            [sys.executable, "told.py"],
            batch,
            files={"told.py": program},
            scope=bench.day("2013-02-11", parameters={"x": 15, "d": dt.date(2013, 1, 1)}),
        )
        produced = bench.run(task)
    finally:
        del os.environ["SECRET_TOKEN"]
    told = json.loads(bench.rows(produced.staged, produced.table)[0][1])
    context = told["context"]
    assert (
        context["asset"] == "out"
        and context["partition"] == "2013-02-11"
        and context["attempt"] == "1.1"
    )
    assert context["interval"] == {
        "start": "2013-02-11T00:00:00-05:00",
        "end": "2013-02-12T00:00:00-05:00",
    }
    assert context["parameters"] == {"x": 15, "d": "2013-01-01"}
    assert context["inputs"]["flights"]["columns"] == [
        {"name": "id", "type": "INTEGER"},
        {"name": "origin", "type": "VARCHAR"},
    ]
    assert told["names"] == ["id", "origin"] and told["rows"] == [{"id": 1, "origin": "EWR"}]
    assert {name for name in told["environment"] if not name.startswith("LC_")} <= {
        "PATH",
        "HOME",
        "LANG",
        "LANGUAGE",
        "TMPDIR",
        "TZ",
        "HEADRACE_CONTEXT",
        "HEADRACE_EVENTS",
        "PWD",
        "SHLVL",
        "_",
    }
    assert told["tz"] == "America/New_York" and Path(told["folder"]).name.startswith("v")


def test_nothing_goes_through_a_shell(bench: Bench) -> None:
    """Would catch: an argument that a shell would read."""
    hostile = 'a,b\n$(touch /tmp/pwned);`id`,"x"\n'
    produced = bench.run(bench.command(writing("r.csv", hostile)))
    assert bench.rows(produced.staged, produced.table)[0][1] == "$(touch /tmp/pwned);`id`"


@pytest.mark.parametrize(
    ("argv", "files", "message", "kind"),
    [
        (
            ["no-such-program"],
            {},
            "there is no `no-such-program` on the PATH",
            ErrorKind.DETERMINISTIC,
        ),
        (
            ["./gone.sh"],
            {},
            "there is no `./gone.sh` among the applied files",
            ErrorKind.DETERMINISTIC,
        ),
        (
            ["./plain.sh"],
            {"plain.sh": "#!/bin/sh\n"},
            "`./plain.sh` can't be executed",
            ErrorKind.DETERMINISTIC,
        ),
        (
            ["./odd.sh"],
            {"odd.sh": "#!/no/such/interpreter\n"},
            "the interpreter in its first line",
            ErrorKind.DETERMINISTIC,
        ),
        (["sh", "-c", "exit 75"], {}, "tried again later", ErrorKind.TRANSIENT),
        (["sh", "-c", "exit 3"], {}, "exit code 3", ErrorKind.DETERMINISTIC),
        (["sh", "-c", "kill -SEGV $$"], {}, "SIGSEGV", ErrorKind.DETERMINISTIC),
        (["sh", "-c", "kill -KILL $$"], {}, "SIGKILL", ErrorKind.RESOURCES),
        (["true"], {}, "nothing was written", ErrorKind.DETERMINISTIC),
        (["nul\0byte"], {}, "can't be started", ErrorKind.DETERMINISTIC),
        (
            writing("r.txt", "x"),
            {},
            "`r.txt`: rows must be in files of one format",
            ErrorKind.DETERMINISTIC,
        ),
        (writing("r.parquet", "not parquet"), {}, "", ErrorKind.DETERMINISTIC),
        (writing("r.csv", ""), {}, "", ErrorKind.DETERMINISTIC),
        (writing("r.csv", "a,b\n1\n"), {}, "", ErrorKind.DETERMINISTIC),
        (writing("r.jsonl", '{"a": 1}\n{"a": '), {}, "", ErrorKind.DETERMINISTIC),
        (writing(".hidden.csv", "a\n1\n"), {}, "nothing was written", ErrorKind.DETERMINISTIC),
    ],
    ids=lambda value: (
        " ".join(value)[-40:].replace("\0", "0").replace("\n", "|")
        if isinstance(value, list)
        else ""
    ),
)
def test_what_goes_wrong_is_said_where_the_command_is_declared(
    bench: Bench, argv: list[str], files: dict[str, str], message: str, kind: ErrorKind
) -> None:
    """Would catch: an exception of ours instead of the user's error; an exit code of the wrong
    kind; scratch left behind.
    """
    task = bench.command(argv, files=files or None)
    for name in files:
        if name.startswith("odd"):
            (bench.code / str(task.code) / name).chmod(0o755)
    error = failure(bench, task)
    assert message in error.message and error.kind is kind and error.message, error


def test_files_of_several_formats_are_refused(bench: Bench) -> None:
    """Would catch: one of two formats read and the other forgotten."""
    script = IN_OUTPUT + "echo a > r.csv; echo {} > r.jsonl"
    error = failure(bench, bench.command(["sh", "-c", script]))
    assert "`r.csv`, `r.jsonl`" in error.message


def test_several_files_are_one_result_and_columns_go_by_name(bench: Bench) -> None:
    """Would catch: columns of a second file taken by position."""
    script = (
        IN_OUTPUT
        + 'mkdir sub; printf "a,b\\n1,x\\n" > 1.csv; printf "b,a\\ny,2\\n" > sub/2.csv; touch'
        " _SUCCESS"
    )
    produced = bench.run(bench.command(["sh", "-c", script]))
    assert [row[1:] for row in bench.rows(produced.staged, produced.table)] == [(1, "x"), (2, "y")]


@pytest.mark.parametrize(
    ("name", "text"), [("r.csv", "code,n\n007,1\n"), ("r.jsonl", '{"code": "007", "n": 1}\n')]
)
def test_text_formats_are_read_in_the_tables_types(bench: Bench, name: str, text: str) -> None:
    """Would catch: a code with zeros in front that becomes a number."""
    known = bench.run(bench.sql("select 'x' as code, 1.5::decimal(4,1) as n")).table
    produced = bench.run(bench.command(writing(name, text), table=known))
    assert [str(row[1:]) for row in bench.rows(produced.staged, produced.table)] == [
        "('007', Decimal('1.0'))"
    ]
    error = failure(bench, bench.command(writing(name, text.replace("code", "kode")), table=known))
    assert (
        error.code == "columns_changed" and "`kode`" in error.message and "`code`" in error.message
    )


CHANGED = [
    ("bigint", "10.75"),
    ("bigint", '"10.75"'),
    ("bigint", '"x"'),
    ("bigint", "12345678901234567890"),
    ("integer", "3000000000"),
    ("decimal(18,2)", "10.755"),
    ("decimal(18,2)", "12345678901234567.89"),
    ("decimal(38,3)", '"1.5555"'),
    ("decimal(18,3)", '"19.999999999999999999"'),
    ("double", "9007199254740993"),
    ("double", "-41276096138621170"),
    ("double", '"1e400"'),
    ("double", '"1_5"'),
    ("float", '"1_5"'),
    ("float", "16777217"),
    ("float", "123456789.123"),
    ("date", '"2026-03-01 10:00:00"'),
    ("date", '"2026-03-01T00:00:00+02:00"'),
    ("timestamp", '"2026-03-01T10:00:00.123456789"'),
    ("timestamp", '"2026-03-01T10:00:00+02:00"'),
    ("timestamp", '"2026-03-01T10:00:00+05:30:00"'),
    ("interval", '"1.23456789 seconds"'),
    ("timetz", '"10:00:00.1234567+00"'),
    ("timestamptz", '"2026-03-01T10:00:00.1234567Z"'),
    ("time", '"10:00:00+02"'),
    ("time", '"2026-03-01 10:00:00"'),
    ("boolean", '"perhaps"'),
]
"""Types and values that they don't hold, in CSV and JSON lines."""
CHANGED_IN_JSON = [
    ("bigint", "true"),
    ("boolean", "2"),
    ("bigint[]", "[10.75]"),
    ("bigint[]", '["x"]'),
    ("bigint[]", '"[a]"'),
    ("bigint[][][]", '["[[1], x]"]'),
    ("struct(k bigint[][])", '{"k": "[x, [1]]"}'),
    ("struct(a bigint)[]", "\"[{'a': 1, 'b': 2}]\""),
    ("bigint[]", "5"),
    ("bigint[]", '{"a": 1}'),
    ("bigint[][]", "[[1], [1.5]]"),
    ("double[]", "[9007199254740993]"),
    ("float[]", "[16777217]"),
    ("decimal(9,2)[]", "[1.555]"),
    ("decimal(9,2)[]", '["1.555"]'),
    ("date[]", '["2026-03-01 10:00:00"]'),
    ("time[]", '["10:00:00+02"]'),
    ("timestamp[]", '["2026-03-01T10:00:00.123456789"]'),
    ("struct(x timestamp)", '{"x": "2026-03-01T10:00:00+02:00"}'),
    ("map(varchar, bigint)", '{"k": 1.5}'),
    ("map(bigint, bigint)", '{"k": 1}'),
    ("map(varchar, struct(a bigint))", '{"k": {"a": 1}, "l": {"a": 1, "b": 2}}'),
    ("struct(a bigint)[]", '[{"a": 1}, {"b": 2}]'),
    ("struct(a bigint)", '{"a": 10.75}'),
    ("struct(a bigint)", '{"A": 10.75}'),
    ("struct(a bigint)", '{"a": 1, "b": 2}'),
    ("struct(a bigint, b varchar)", '{"a": 10.75, "c": 1}'),
]
CHANGED_IN_CSV = [
    ("bigint[]", "[1.5, 2]"),
    ("bigint[]", "[a]"),
    ("bigint[]", "[1"),
    ("decimal(9,1)[]", "[1.55]"),
    ("timestamp[]", "[2026-03-01T10:00:00+02:00]"),
    ("struct(a bigint)", "{'a': 1.5}"),
    ("map(varchar, bigint)", "{k=x}"),
    ("bigint[][]", "[x, [1]]"),
    ("varchar[][]", "[[a], {b}]"),
    ("struct(a bigint)", "{'a': 1, 'a': NULL}"),
    ("struct(a varchar, b varchar)", "{'a': 'b: 1, b: 2', b: NULL, 'b' : 2}"),
    ("struct(a bigint)[]", "[{'a': 1, 'b': 2}, {'a': 3}]"),
    ("struct(a bigint)[]", "[{'A': 1}]"),
    ("struct(s struct(a bigint))", "{'s': {'a': 1, 'b': 2}}"),
    ("map(varchar, struct(a bigint))", "{k={'a': 1, 'z': 9}}"),
]
KEPT = [
    ("bigint", "7.0", "7"),
    ("bigint", " 7 ", "7"),
    ("bigint", "1e+03", "1000"),
    ("bigint", '"7"', "7"),
    ("decimal(18,2)", "10.5", "10.50"),
    ("decimal(18,2)", "10.500", "10.50"),
    ("decimal(18,2)", "7", "7.00"),
    ("decimal(18,10)", "1e-07", "1.000E-7"),
    ("decimal(38,0)", "123456789012345678901234", "123456789012345678901234"),
    ("decimal(38,2)", '"9007199254740993.25"', "9007199254740993.25"),
    ("double", "7", "7.0"),
    ("double", "0.1", "0.1"),
    ("double", '"inf"', "inf"),
    ("float", "0.5", "0.5"),
    ("date", '"2026-03-01"', "2026-03-01"),
    ("date", '"2026-03-01T00:00:00Z"', "2026-03-01"),
    ("date", '"300000-01-01"', "300000-01-01"),
    ("timestamp", '"2026-03-01T10:00:00.5Z"', "2026-03-01 10:00:00.500000"),
    ("timestamp", '"2026-03-01T10:00:00+00:00"', "2026-03-01 10:00:00"),
    ("timestamp", '"2026-03-01"', "2026-03-01 00:00:00"),
    ("timestamptz", '"2026-03-01T10:00:00+02:00"', "2026-03-01 03:00:00-05:00"),  # New York
    ("time", '"10:00:00"', "10:00:00"),
    ("boolean", "true", "True"),
    ("varchar", '"007"', "007"),
    ("bigint", "null", "None"),
]
KEPT_IN_JSON = [
    ("boolean", "1", "True"),
    ("bigint[]", "[7]", "[7]"),
    ("varchar[]", '["2026-3-1", "007"]', "['2026-3-1', '007']"),
    ("struct(a bigint, b varchar)", '{"a": 7}', "{'a': 7, 'b': None}"),
    (
        "struct(a varchar)",
        '{"a": "2026-03-01T10:00:00+02:00"}',
        "{'a': '2026-03-01T10:00:00+02:00'}",
    ),
    ("map(varchar, bigint)", '{"k": 7}', "{'k': 7}"),
    ("float[]", "[0.1]", "[0.10000000149011612]"),
    ("varchar", "12345678901234567890.125", "12345678901234567890.125"),
    ("varchar", "0.1234567890123456", "0.1234567890123456"),
    ("decimal(38,2)", "9007199254740993.25", "9007199254740993.25"),
    ("decimal(20,2)[]", "[12345678901234567.89]", "[Decimal('12345678901234567.89')]"),
    ("struct(a decimal(20,2))", '{"a": 1e3}', "{'a': Decimal('1000.00')}"),
    ("varchar[]", "[12345678901234567.89]", "['12345678901234567.89']"),
    ("json", "[12345678901234567.89, 0.1]", '["12345678901234567.89",0.1]'),
    ("bigint[]", "[]", "[]"),
    ("bigint[]", '"[1, 2]"', "[1, 2]"),
    ("bigint[][]", "[[1], null, []]", "[[1], None, []]"),
    ("struct(a varchar)", '{"A": "x", "b": null}', "{'a': 'x'}"),
    ("struct(a bigint)[]", '[{"A": 7}, null, {}]', "[{'a': 7}, None, {'a': None}]"),
    ("map(bigint, double)", '{"1": 2}', "{1: 2.0}"),
    ("map(varchar, bigint)", "{}", "{}"),
    ("map(varchar, struct(a bigint))", '{"k": {"A": 1}, "l": null}', "{'k': {'a': 1}, 'l': None}"),
]


def written(ending: str, *values: str) -> list[str]:
    """A program that writes rows with a text and this value."""
    if ending == "jsonl":
        return writing("r.jsonl", "".join(f'{{"code": "x", "N": {each}}}\n' for each in values))
    cells = ["" if each == "null" else each.strip('"') for each in values]
    quoted = [f'"{each}"' if "," in each else each for each in cells]
    return writing("r.csv", "code,N\n" + "".join(f"x,{each}\n" for each in quoted))


@pytest.mark.long
@pytest.mark.parametrize("declared", [False, True], ids=["of the table", "declared"])
@pytest.mark.parametrize(
    ("ending", "kind", "value"),
    [
        *((ending, *case) for case in CHANGED for ending in ("csv", "jsonl")),
        *(("jsonl", *case) for case in CHANGED_IN_JSON),
        *(("csv", *case) for case in CHANGED_IN_CSV),
    ],
)
def test_what_a_type_would_change_is_refused(
    bench: Bench, ending: str, kind: str, value: str, declared: bool
) -> None:
    """Would catch: 10.75 published as 11 since the day before had whole numbers, a date without its
    time of day, a time without its offset from UTC; another column blamed."""
    error = failure(bench, task_of(bench, kind, written(ending, value), declared=declared))
    assert error.code == "columns_changed"
    shown = error.message.lower().replace("timestamp with time zone", "timestamptz")
    shown = shown.replace("time with time zone", "timetz")
    assert f"column `n` of table `out` is {kind}".replace(" ", "") in shown.replace(" ", "")
    assert "`columns: {" in error.hint


@pytest.mark.long
@pytest.mark.parametrize(
    ("ending", "kind", "value"),
    [
        *((ending, *case) for case in CHANGED for ending in ("csv", "jsonl")),
        *(("jsonl", *case) for case in CHANGED_IN_JSON),
        *(("csv", *case) for case in CHANGED_IN_CSV),
    ],
)
def test_the_type_that_a_hint_names_takes_the_value(
    bench: Bench, ending: str, kind: str, value: str
) -> None:
    """Would catch: TIMESTAMP named for a date with an offset, which it refuses as well."""
    program = written(ending, value)
    hint = failure(bench, task_of(bench, kind, program, declared=False)).hint
    named = re.search("{n: '([^']*)'}", hint)
    assert named is not None
    produced = bench.run(bench.command(program, written=(("n", named[1]),)))
    assert bench.rows(produced.staged, produced.table)[0][2] is not None


@pytest.mark.parametrize(
    ("kind", "value", "named"),
    [
        ("bigint[]", '["x"]', "varchar[]"),
        ("decimal(9,2)[]", "[1.555]", "decimal(38,3)[]"),
        ("double[]", "[9007199254740993]", "decimal(38,0)[]"),
        ("bigint[][]", "[[1], [1.5]]", "double[][]"),
        ("date[]", '["2026-03-01 10:00:00"]', "timestamp[]"),
        ("bigint[]", "5", "varchar"),
        ("bigint[][]", "[5]", "varchar[]"),
        ("struct(a bigint)[]", '[{"a": 1}, {"b": 2}]', "varchar[]"),
        ("map(varchar, bigint)", '{"k": 1.5}', "map(varchar, double)"),
        ("map(bigint, bigint)", '{"1": 1.5}', "varchar"),
        ("struct(a bigint)", '{"a": 10.75}', "STRUCT(a DOUBLE)"),
        ("struct(a bigint, b varchar)", '{"a": "x"}', "STRUCT(a VARCHAR, b VARCHAR)"),
        ("struct(a bigint, b date)", '{"a": 10.75}', "varchar"),
        ('struct("A b" bigint[])', '{"A b": [1.5]}', 'STRUCT("A b" DOUBLE[])'),
        ("struct(a bigint)[]", '[{"a": 1}, {"a": 1.5}]', "STRUCT(a DOUBLE)[]"),
        (
            "struct(a struct(b date), c varchar)",
            '{"a": {"b": "x"}}',
            "STRUCT(a STRUCT(b VARCHAR), c VARCHAR)",
        ),
        ("struct(a bigint, b bigint)[]", '[{"a": 1.5}]', "varchar[]"),
        ("map(varchar, struct(a bigint))", '{"k": {"a": 1, "b": 2}}', "map(varchar, varchar)"),
    ],
)
def test_a_hint_names_the_part_that_changes(
    bench: Bench, kind: str, value: str, named: str
) -> None:
    """Would catch: `varchar` for a list or a STRUCT, which would be one text of JSON."""
    task = task_of(bench, kind, written("jsonl", value), declared=False)
    assert f"{{n: '{named}'}}" in failure(bench, task).hint


@pytest.mark.parametrize("declared", [False, True], ids=["of the table", "declared"])
@pytest.mark.parametrize(
    ("ending", "kind", "value", "kept"),
    [
        *((ending, *case) for case in KEPT for ending in ("csv", "jsonl")),
        *(("jsonl", *case) for case in KEPT_IN_JSON),
        ("csv", "bigint[]", "[1,2]", "[1, 2]"),
        ("csv", "struct(a bigint)[]", "[{'a': 1}, NULL]", "[{'a': 1}, None]"),
        (
            "csv",
            "struct(a varchar, b bigint)",
            "{'a': 'b: 1, b: 2'}",
            "{'a': 'b: 1, b: 2', 'b': None}",
        ),
        ("csv", "map(varchar, bigint[])", "{k=[1, NULL], l=NULL}", "{'k': [1, None], 'l': None}"),
    ],
)
def test_what_a_type_holds_is_read_in_it(
    bench: Bench, ending: str, kind: str, value: str, kept: str, declared: bool
) -> None:
    """Would catch: a right value refused, or a table's column widened by it."""
    produced = bench.run(task_of(bench, kind, written(ending, value), declared=declared))
    ((_, _, held),) = bench.rows(produced.staged, produced.table)
    assert str(held) == kept
    assert produced.table is not None
    (column,) = (item for item in produced.table.columns if item.name.lower() == "n")
    assert parse(column.type) == parse(kind)


def test_a_column_with_texts_and_numbers_is_checked_too(bench: Bench) -> None:
    """Would catch: a number beside texts of numbers that is rounded."""
    for kind, values in (("bigint", ('"7"', "5.5")), ("boolean", ('"true"', "2"))):
        task = task_of(bench, kind, written("jsonl", *values), declared=False)
        assert "column `n`" in failure(bench, task).message


def task_of(bench: Bench, kind: str, program: list[str], *, declared: bool) -> Any:
    """The command, with the type declared or as that of its table's column."""
    if declared:
        return bench.command(program, written=(("n", kind),))
    known = bench.run(bench.sql(f"select 'x' as code, null::{kind} as n")).table
    return bench.command(program, table=known)


def test_a_value_where_an_array_should_be_is_no_broken_json(bench: Bench) -> None:
    """Would catch: the line that DuckDB names, which may be after it; valid JSON called none."""
    values = '{"x": [1]}', '{"x": [1]}', '{"x": 5}', '{"x": [1]}'
    program = written("jsonl", *values)
    error = failure(bench, task_of(bench, "struct(x integer[])", program, declared=True))
    assert error.message == "`r.jsonl`, line 4 or before: Expected ARRAY, but got UBIGINT: 5"
    assert "one object in each line" not in error.hint and "columns:" in error.hint


@pytest.mark.parametrize("value", ['{"1": 1, "01": 2}', '"{1=1, 01=2}"'])
def test_equal_keys_of_a_map_are_named_as_such(bench: Bench, value: str) -> None:
    """Would catch: two equal keys said to be beyond what the column's type holds."""
    program = written("jsonl", value)
    error = failure(bench, task_of(bench, "map(bigint, bigint)", program, declared=True))
    assert error.message == "a value of `code` or `N` can't be stored: a map has a key twice"


DATES = ("DATE", "TIMESTAMP")
FIRST = [
    ("5", "BIGINT", "5"),
    ("-3", "BIGINT", "-3"),
    ("0.30", "DOUBLE", "0.3"),
    ("5e-324", "DOUBLE", "5e-324"),
    ("true", "BOOLEAN", "True"),
    ("2024-01-02", "DATE", "2024-01-02"),
    ("2024-01-02T10:00:00", "TIMESTAMP", "2024-01-02 10:00:00"),
    ("2024-01-02T10:00:00Z", "TIMESTAMP WITH TIME ZONE", "2024-01-02 05:00:00-05:00"),  # New York
    ("2024-01-02 10:00:00+02:00", "TIMESTAMP WITH TIME ZONE", "2024-01-02 03:00:00-05:00"),
    *(
        (text, "VARCHAR", text)
        for text in (
            *("007", "+45", "1E5", "12e3", "0x1F", "1_000", "$5", "NULL", "NaN", "inf", "t"),
            *("12345678901234567890", "1" * 42, "19.999999999999999999", "1e400", "1e-400"),
            *("44-03-15", "2024-1-2", "01/02/2024", "2024-02-30", "epoch", "infinity"),
            *("10:00", "10:00:00.123456789", "2024-01-02 10:00:00.123456789"),
            "7D444840-9DC0-11D1-B245-5FFDCE74FAD2",
        )
    ),
]
"""Texts, the types inferred from them on a first day, and their values."""
FIRST_IN_JSON = [
    ("5", "BIGINT", "5"),
    ("1.50", "DOUBLE", "1.5"),
    ("12345678901234567890", "VARCHAR", "12345678901234567890"),
    ("1" * 42, "VARCHAR", "1" * 42),
    ("1e400", "VARCHAR", "1e400"),
    ('"5"', "VARCHAR", "5"),
    ("null", "VARCHAR", "None"),
    ("19.999999999999999999", "VARCHAR", "19.999999999999999999"),
    ("0.12345678901234566", "DOUBLE", "0.12345678901234566"),
    ('["2024-1-2"]', "VARCHAR[]", "['2024-1-2']"),
    ("[12345678901234567890]", "VARCHAR[]", "['12345678901234567890']"),
    ("[1.5, 19.999999999999999999]", "JSON", '[1.5,"19.999999999999999999"]'),
    ("[9007199254740993, 0.5]", "JSON", "[9007199254740993,0.5]"),
    ('{"k": {"l": [9007199254740993, 0.5]}}', "JSON", '{"k":{"l":[9007199254740993,0.5]}}'),
    ("[9007199254740992, 0.5]", "DOUBLE[]", "[9007199254740992.0, 0.5]"),
    ('{"k": null}', "STRUCT(k VARCHAR)", "{'k': None}"),
    ('{"k": 1, "K": 2}', "JSON", '{"k":1,"K":2}'),
    ('[1, "x"]', "JSON", '[1,"x"]'),
]


@pytest.mark.parametrize(
    ("ending", "value", "kind", "kept"),
    [
        *(("csv", *case) for case in FIRST),
        *(("jsonl", f'"{text}"', *case) for text, *case in FIRST if case[0].startswith(DATES)),
        *(("jsonl", *case) for case in FIRST_IN_JSON),
    ],
)
def test_a_first_day_infers_types_that_change_nothing(
    bench: Bench, ending: str, value: str, kind: str, kept: str
) -> None:
    """Would catch: an id 1E5 published as 100000.0, a text `epoch` as 1970-01-01, 44-03-15 as the
    year 44, ten more digits than a number has, an offset from UTC dropped; texts in quotes since
    the first day had none.
    """
    produced = bench.run(bench.command(written(ending, value)))
    assert produced.table is not None and produced.table.columns[2].type == kind
    ((_, _, held),) = bench.rows(produced.staged, produced.table)
    assert str(held) == kept


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("date", text) for text in ("2013-02-03x", "2013-02-03+05", "2013-02-03;2014-01-01")),
        *(("time", text) for text in ("10:00:00 PM", "10:00:00x", "10:00:00 Europe/Berlin")),
    ],
)
def test_a_text_is_read_to_its_end(bench: Bench, ending: str, kind: str, text: str) -> None:
    """Would catch: 10 in the evening published as 10 in the morning, since DuckDB reads no further
    than it understands."""
    value = text if ending == "csv" else f'"{text}"'
    task = bench.command(written(ending, value), written=(("n", kind),))
    assert f"`{text}`" in plain(failure(bench, task).message)


def test_files_with_columns_in_another_order_have_the_same_types(bench: Bench) -> None:
    """Would catch: 9007199254740993 published as …992 and `true` as 1, because each file's types
    were inferred for itself, and made one afterwards."""
    files = {"1.csv": "a,b\n9007199254740993,true\n", "2.csv": "b,a\n2,0.5\n"}
    folder = "json.load(open(os.environ['HEADRACE_CONTEXT']))['output_directory']"
    script = f"import json, os, pathlib\nout = pathlib.Path({folder})\n"
    script += "".join(f"(out / {name!r}).write_text({text!r})\n" for name, text in files.items())
    produced = bench.run(bench.command([sys.executable, "-c", script]))
    assert produced.table is not None
    rows = {row[1:] for row in bench.rows(produced.staged, produced.table)}
    assert rows == {("9007199254740993", "true"), ("0.5", "2")}


@pytest.mark.parametrize(
    ("ending", "text"), [("csv", "code,n\n{},1\n"), ("jsonl", '{{"code": "{}", "n": 1}}\n')]
)
@pytest.mark.parametrize("code", ["007", "+45", "1E5"])
def test_a_code_is_no_number_unless_a_type_is_declared(
    bench: Bench, ending: str, text: str, code: str
) -> None:
    """Would catch: 007 published as 7 since the first day's codes had no zeros in front."""
    known = bench.run(bench.sql("select 7::bigint as code, 1::bigint as n")).table
    program = writing(f"r.{ending}", text.format(code))
    error = failure(bench, bench.command(program, table=known))
    assert f"`{code}`" in plain(error.message) and "bigint" in error.hint
    assert (", at line 2 of `r.csv`" in error.message) == (ending == "csv")
    declared = bench.command(program, table=known, written=(("code", "bigint"),))
    produced = bench.run(declared)
    assert bench.rows(produced.staged, produced.table)[0][1] == int(float(code))


@pytest.mark.parametrize("value", ["19.999999999999999999", '"19.999999999999999999"'])
def test_a_learnt_number_keeps_its_digits(bench: Bench, value: str) -> None:
    """Would catch: 19.999999999999999999 published as 20.0 since the first day had 5.5."""
    for ending in ("csv", "jsonl"):
        task = task_of(bench, "double", written(ending, "5.5", value), declared=False)
        assert "`19.999999999999999999`" in plain(failure(bench, task).message)


def test_numbers_of_a_first_day_that_no_double_holds_are_texts(bench: Bench) -> None:
    """Would catch: a column of numbers that becomes JSON for a few long ones."""
    produced = bench.run(bench.command(written("jsonl", "5.5", "12345678901234567890", "7")))
    assert produced.table is not None and produced.table.columns[2].type == "VARCHAR"
    held = {row[2] for row in bench.rows(produced.staged, produced.table)}
    assert held == {"5.5", "12345678901234567890", "7"}


def test_nothing_in_quotes_is_an_empty_text(bench: Bench) -> None:
    """Would catch: an empty text published as null, though what a program reads tells them apart."""
    types = (("a", "varchar"), ("b", "bigint"), ("c", "uuid"), ("d", "date"))
    script = writing("r.csv", 'a,b,c,d\n"","","",""\n,,,\n')
    for declared in ((), types):
        produced = bench.run(bench.command(script, written=declared))
        rows = [row[1:] for row in bench.rows(produced.staged, produced.table)]
        assert rows[0][0] == "" and rows[1] == (None,) * 4
    assert rows[0][1:] == (None,) * 3
    alone = bench.run(bench.command(writing("r.csv", 'a\nx\n\n""\n')))
    assert {row[1] for row in bench.rows(alone.staged, alone.table)} == {"x", None, ""}


def test_a_header_alone_is_no_rows(bench: Bench) -> None:
    """Would catch: an empty day taken for a mistake."""
    known = bench.run(bench.sql("select 1 as a, 2 as b")).table
    produced = bench.run(bench.command(writing("r.csv", "a,b\n"), table=known))
    assert produced.staged is not None and produced.staged.rows == 0


def test_materialize_files_and_none(bench: Bench) -> None:
    """Would catch: a command's files not published, or rows asked of an effect."""
    produced = bench.run(bench.command(writing("report.html", "<p>"), materialize="files"))
    assert (
        produced.manifest is not None
        and (bench.data / produced.manifest[0]["path"]).read_text() == "<p>"
    )
    assert bench.run(bench.command(["true"], materialize="none")).staged is None


def test_strange_events_are_said_to_be_so(bench: Bench) -> None:
    """Would catch: a log that a command can break, or a device that it puts in the place of its
    events.
    """
    script = (
        'printf \'garbage\\n{"event": 3}\\n\\377\\n{"event": "metric", "name": "n", "value":'
        ' "\\033[31m"}\\n\' > $HEADRACE_EVENTS'
    )
    bench.run_logged(
        bench.command(["sh", "-c", script.replace("\\033", "\\\\u001b")], materialize="none")
    )
    texts = [line.text for line in bench.logged]
    assert texts[0] == "not an event: garbage" and len(texts) == 4 and "\x1b" not in "".join(texts)
    bench.run_logged(
        bench.command(
            ["sh", "-c", "rm $HEADRACE_EVENTS; ln -s /dev/zero $HEADRACE_EVENTS"],
            materialize="none",
        )
    )
    bench.run_logged(
        bench.command(
            ["sh", "-c", "rm $HEADRACE_EVENTS; mkfifo $HEADRACE_EVENTS"], materialize="none"
        )
    )


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _until_dead(pid: int) -> None:
    deadline = time.monotonic() + 20
    while _alive(pid):
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.01)


def test_what_a_command_leaves_running_ends_with_it(bench: Bench, tmp_path: Path) -> None:
    """Would catch: children in the background that outlive the attempt, or an attempt that waits
    for them.
    """
    note = tmp_path / "pid"
    started = time.monotonic()
    bench.run_logged(
        bench.command(["sh", "-c", f"sleep 1000 & echo $! > {note}"], materialize="none")
    )
    assert time.monotonic() - started < 30
    _until_dead(int(note.read_text()))


WORKER = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from engine_bench import Bench
bench = Bench(Path({data!r}))
bench.lake.mkdir(parents=True, exist_ok=True)
bench.run(bench.command(["sh", "-c", "sleep 1000 & echo $$ $! > {note}; wait"], materialize="none"))
"""


def test_a_killed_worker_takes_its_command_with_it(tmp_path: Path) -> None:
    """Would catch: a command that goes on, and writes, after its worker was killed for
    its timeout.
    """
    note = tmp_path / "pids"
    os.mkfifo(note)
    program = WORKER.format(
        tests=str(Path(__file__).parent), data=str(tmp_path / "data"), note=note
    )
    worker = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    pids = [int(part) for part in note.read_text().split()]  # waits for the command to write
    assert all(map(_alive, pids))
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    for pid in pids:
        _until_dead(pid)


def test_a_commands_memory_counts(bench: Bench) -> None:
    """Would catch: the peak of the worker given for that of the program that it ran."""
    small = bench.run(bench.command(["true"], materialize="none")).measures
    large = bench.run(
        bench.command([sys.executable, "-c", "x = b'x' * 900_000_000"], materialize="none")
    ).measures
    assert large.peak_memory_bytes > 850_000_000 and large.cpu_seconds > small.cpu_seconds


def test_a_script_named_by_its_absolute_path_is_the_applied_one(bench: Bench) -> None:
    """Would catch: an edit of a script that runs before it is applied, because the command names
    the project's own file.
    """
    (bench.project / "jobs").mkdir(parents=True)
    for name in ("run.sh", "data.csv"):
        (bench.project / "jobs" / name).write_text("exit 3")
    argv = ["sh", str(bench.project / "jobs/run.sh"), f"--data={bench.project}/jobs/data.csv"]
    bench.run_logged(
        bench.command(argv, files={"jobs/run.sh": 'echo "args $*"'}, materialize="none")
    )
    said = [line.text for line in bench.logged]
    assert said == [
        f"args --data={bench.project}/jobs/data.csv"
    ]  # of which there is no applied copy


def test_an_output_directory_has_at_most_so_many_levels_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a limit that is off by one, or that counts what isn't a result."""
    assert (command.DEPTH_MAX, command.FILES_MAX) == (20, 10_000)
    deepest = tmp_path.joinpath(*["d"] * command.DEPTH_MAX)
    deepest.mkdir(parents=True)
    (deepest / "r.csv").touch()
    assert command.output_files(tmp_path) == [deepest / "r.csv"]
    (deepest / "d").mkdir()
    with pytest.raises(BodyFailed, match="deeper than 20 levels"):
        command.output_files(tmp_path)
    (deepest / "d").rmdir()
    monkeypatch.setattr(command, "FILES_MAX", 3)
    for name in ("a.csv", ".hidden", "_SUCCESS", "c.csv"):
        (tmp_path / name).touch()
    assert [path.name for path in command.output_files(tmp_path)] == ["a.csv", "c.csv", "r.csv"]
    with pytest.raises(BodyFailed, match="more than 3 files") as failed:
        command.output_files(tmp_path, hidden=True)
    assert (failed.value.error.code, failed.value.error.hint) == (
        "no_output",
        "write fewer, larger files",
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.csv", "a,,c\n1,2,3\n", "no header line with a name for each column"),
        ("r.csv", "a,A\n1,2\n", "`a` and `A`, which are one name"),
        ("r.csv", "a,b\n1,2\n1,2,3\n", "`r.csv`, line 3: 3 values, but the header names 2 columns"),
        ("r.csv", 'a,b\n1,2\n1,"2\n', "`r.csv`, line 3: a quote that is never closed"),
        ("r.csv", "a,b\r\n1,2\n1,2\r\n", "`r.csv`: not CSV by RFC 4180"),
        ("r.jsonl", '{"x": 1, "X": 2}\n', "`x` and `X`, which are one name"),
        ("r.jsonl", '{"x": 1}\n{"X": 2}\n', "`x` and `X`, which are one name"),
        ("r.jsonl", "1\n", "each line must be an object"),
        ("r.jsonl", "", "the columns aren't known"),
        ("r.jsonl", "[1", "`r.jsonl`, line 1: unexpected end of data"),
        ("r.jsonl", '{"x": 1}\n{"x": 2\n{"x": 3}\n', "`r.jsonl`, line 2: unexpected end of data"),
        ("r.jsonl", '{"x": "\\ud800"}\n', "`r.jsonl`, line 1: no low surrogate in string"),
        (
            "r.jsonl",
            '{"x": 1}\n{"y": 1, "y": 2}\n{"x": 1}\n',
            '`r.jsonl`, line 2 or before: Object {"y":1,"y":2}',
        ),
        ("r.jsonl", '{"x\\u0000": 1}\n', "has a NUL character"),
        ("r.jsonl", '{"x": {"y\\u0000": 1}}\n', "has a NUL character"),
    ],
)
def test_text_that_is_no_rows_is_refused_by_its_file(
    bench: Bench, name: str, text: str, message: str
) -> None:
    """Would catch: a row taken for the header; DuckDB's error without a remedy; one of two columns
    lost whose names differ in case.
    """
    error = failure(bench, bench.command(writing(name, text)))
    assert message in plain(error.message) and error.code == "no_output" and error.hint


def test_a_value_is_placed_by_the_first_line_of_its_row(bench: Bench) -> None:
    """Would catch: the line where a row ends, far below one whose text has many lines."""
    task = bench.command(writing("r.csv", 'n,text\n1,a\nx,"a\n\nb"\n'), written=(("n", "bigint"),))
    assert ", at line 3 of `r.csv`" in failure(bench, task).message


def test_empty_json_for_a_known_table_is_no_rows(bench: Bench) -> None:
    """Would catch: an empty day taken for a mistake, or a table that loses its columns."""
    known = bench.run(bench.sql("select 1 as a, 'x' as b")).table
    produced = bench.run(bench.command(writing("r.jsonl", ""), table=known))
    assert produced.staged is not None and produced.staged.rows == 0
    assert produced.table is not None and known is not None
    assert produced.table.columns == known.columns


def test_durations_in_a_parquet_file_are_refused(bench: Bench) -> None:
    """Would catch: seconds and microseconds published as numbers of one kind."""
    program = (
        "import json, os, pyarrow as pa, pyarrow.parquet as pq;"
        " c = json.load(open(os.environ['HEADRACE_CONTEXT']));"
        " took = pa.array([3600], pa.duration('s'));"
        " pq.write_table(pa.table({'took': took}), c['output_directory'] + '/r.parquet')"
    )
    error = failure(bench, bench.command([sys.executable, "-c", program]))
    assert error.message.startswith("column `took` of `r.parquet` has durations") and error.hint


def test_values_that_do_not_fit_say_where_a_command_declares_types(bench: Bench) -> None:
    """Would catch: the hint of SQL or Python given for a command."""
    known = bench.run(bench.sql("select true as n")).table
    program = (
        "import json, os, pyarrow as pa, pyarrow.parquet as pq;"
        " c = json.load(open(os.environ['HEADRACE_CONTEXT']));"
        " pq.write_table(pa.table({'n': ['x']}), c['output_directory'] + '/r.parquet')"
    )
    error = failure(bench, bench.command([sys.executable, "-c", program], table=known))
    assert error.code == "columns_changed"
    assert "`columns: {n: 'varchar'}` beside `command:`" in error.hint


TEXTS = (
    "",
    " ",
    '"',
    '""',
    ",",
    "a\nb",
    "a\rb",
    "\r\n",
    "NULL",
    "007",
    "\\N",
    "\\x41",
    "é😀",
    "'x'",
)
COPIED = {
    "number": ("BIGINT", "(7), (-9223372036854775808), (NULL)"),
    "amount": ("DECIMAL(18,2)", "(1234567890123.45), (-0.01), (NULL)"),
    "large": ("DECIMAL(38,10)", "(1234567890123456789012345678.0123456789), (0), (NULL)"),
    "rate": ("DOUBLE", "(0.1), (1e300), (5e-324), (-0.0), ('inf'), ('-inf'), (1e22), (NULL)"),
    "single": ("FLOAT", "(0.1), (16777216), (3.4028235e38), (NULL)"),
    "flag": ("BOOLEAN", "(true), (false), (NULL)"),
    "day": ("DATE", "('2024-02-29'), ('0001-01-01'), ('9999-12-31'), (NULL)"),
    "hour": ("TIME", "('00:00:00'), ('23:59:59.999999'), (NULL)"),
    "at": ("TIMESTAMP", "('2024-01-02 10:00:00.000001'), ('1582-10-10 00:00:00'), (NULL)"),
    "instant": ("TIMESTAMPTZ", "('2024-11-03 01:30:00-04'), ('2024-11-03 01:30:00-05'), (NULL)"),
    "id": ("UUID", "('7d444840-9dc0-11d1-b245-5ffdce74fad2'), (NULL)"),
    "bytes": ("BLOB", r"('\x00\xFF'), ('a'), (''), ('\x5C\x0A\x22'), (NULL)"),
    "text": ("VARCHAR", ", ".join([*(f"({literal(text)})" for text in TEXTS), "(NULL)"])),
    "list": ("BIGINT[]", "([1, NULL]), ([]), (NULL)"),
    "texts": ("VARCHAR[]", "(['a', NULL, '', 'NULL', 'x, y', '\"', '[']), ([]), (NULL)"),
    "object": (
        "STRUCT(a BIGINT, b VARCHAR)",
        "({'a': 1, 'b': 'x, y'}), ({'a': NULL, 'b': ''}), (NULL)",
    ),
    "map": ("MAP(VARCHAR, DOUBLE)", "(MAP {'k': 0.5, '': NULL}), (NULL)"),
    "json": ("JSON", "('{\"a\":[1,null]}'), ('\"x\"'), ('1'), (NULL)"),
}
"""Types and their values, as a program that copies what it reads is to leave them."""


@pytest.mark.parametrize(
    ("column", "kind"),
    [(column, kind) for column in COPIED for kind in ("csv", "jsonl")],
)
def test_a_program_that_copies_its_input_changes_nothing(
    bench: Bench, column: str, kind: str
) -> None:
    """Would catch: what Headrace writes for a program and reads from it that isn't the same."""
    name, values = COPIED[column]
    batch = bench.publish(
        "flights", f"SELECT CAST(v AS {name}) AS v FROM (VALUES {values}) AS t(v)"
    )
    script = (
        f'cp "$(dirname $HEADRACE_CONTEXT)"/inputs/0.{kind} $(dirname $HEADRACE_CONTEXT)/output'
    )
    task = bench.command(["sh", "-c", script], batch, written=(("v", name),))
    body = msgspec.structs.replace(task.body, input_format=InputFormat(kind))
    copied = bench.run(msgspec.structs.replace(task, body=body))
    was = bench.run(bench.sql("SELECT * FROM flights", batch))
    both = [sorted(map(repr, bench.rows(each.staged, each.table))) for each in (was, copied)]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    "table",
    [
        "pa.table([[1], [2]], names=['x', 'X'])",
        "pa.table([[1], [2]], names=['x', 'x'])",
        "pa.table({'o': [{'x': 1, 'X': 2}]})",
        "pa.table({'o': [[{'x': 1, 'X': 2}]]})",
    ],
)
def test_names_that_differ_in_case_are_refused_in_parquet(bench: Bench, table: str) -> None:
    """Would catch: values published under a name that nobody wrote, or another order's values."""
    program = (
        "import json, os, pyarrow as pa, pyarrow.parquet as pq;"
        " c = json.load(open(os.environ['HEADRACE_CONTEXT']));"
        f" pq.write_table({table}, c['output_directory'] + '/r.parquet')"
    )
    error = failure(bench, bench.command([sys.executable, "-c", program]))
    assert "names two columns or two fields: case doesn't count" in error.message and error.hint
    other = table.replace("'X'", "'x_1'").replace("'x', 'x'", "'x', 'x_1'")
    assert bench.run(bench.command([sys.executable, "-c", program.replace(table, other)])).staged
