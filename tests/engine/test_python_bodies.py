from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from engine_bench import Bench

from headrace.engine import ErrorKind
from headrace.engine.failures import BodyFailed
from headrace.model.texts import plain

HEAD = """
import pyarrow as pa
import polars as pl
import pandas as pd
import duckdb
from headrace import asset, Context

"""


def body(signature: str, *lines: str, inputs: str = "", materialize: str = "table") -> str:
    indented = "".join(f"    {line}\n" for line in lines)
    declared = f'@asset(owner="o", inputs=[{inputs}], materialize="{materialize}")'
    return f"{HEAD.lstrip()}\n{declared}\ndef out({signature}):\n{indented}"


def rows(bench: Bench, text: str, *inputs: Any, **more: Any) -> list[tuple[Any, ...]]:
    produced = bench.run(bench.python(text, *inputs, **more))
    return [row[1:] for row in bench.rows(produced.staged, produced.table)]


def failure(bench: Bench, text: str, *inputs: Any, **more: Any) -> Any:
    task, before = bench.python(text, *inputs, **more), bench.left_behind()
    with pytest.raises(BodyFailed) as failed:
        bench.run(task)
    assert bench.left_behind() == before
    return failed.value.error


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("", "pyarrow.lib.Table"),
        (": pa.Table", "pyarrow.lib.Table"),
        (": pl.DataFrame", "polars.dataframe.frame.DataFrame"),
        (": pl.LazyFrame", "polars.lazyframe.frame.LazyFrame"),
        (": pd.DataFrame", "pandas.DataFrame"),
        (": duckdb.DuckDBPyRelation", "_duckdb.DuckDBPyRelation"),
    ],
)
def test_an_input_comes_in_the_container_that_was_asked_for(
    bench: Bench, annotation: str, kind: str
) -> None:
    """Would catch: another container than annotated; the system column showing up in a body."""
    given = bench.publish("given", "SELECT 1 AS a, 'x' AS b", key="2013-02-11")
    text = body(
        f"ctx, given{annotation}",
        "names = getattr(given, 'column_names', None)",
        "columns = given.collect_schema().names() if hasattr(given, 'collect_schema') else names or"
        " list(given.columns)",
        "kind = type(given)",
        "return [{'kind': f'{kind.__module__}.{kind.__qualname__}', 'columns': ','.join(columns)}]",
        inputs='"given"',
    )
    ((result, columns),) = rows(bench, text, given)
    assert columns == "a,b"
    assert (
        result.replace("pandas.core.frame.DataFrame", "pandas.DataFrame").replace(
            "duckdb.duckdb", "_duckdb"
        )
        == kind
    )


@pytest.mark.parametrize(
    "result",
    [
        "pa.table({'n': [1, 2], 'd': [dt.date(2020, 1, 1), None]})",
        "pa.record_batch({'n': [1, 2], 'd': [dt.date(2020, 1, 1), None]})",
        "pa.table({'n': [1, 2], 'd': [dt.date(2020, 1, 1), None]}).to_reader()",
        "pl.DataFrame({'n': [1, 2], 'd': [dt.date(2020, 1, 1), None]})",
        "pl.LazyFrame({'n': [1, 2], 'd': [dt.date(2020, 1, 1), None]})",
        "pd.DataFrame({'n': [1, 2], 'd': [dt.date(2020, 1, 1), None]})",
        "[{'n': 1, 'd': dt.date(2020, 1, 1)}, {'n': 2}]",
        "({'n': i + 1, 'd': dt.date(2020, 1, 1) if i == 0 else None} for i in range(2))",
        (
            "(pa.table({'n': [i + 1], 'd': pa.array([dt.date(2020, 1, 1) if i == 0 else None],"
            " pa.date32())}) for i in range(2))"
        ),
        "iter([pl.DataFrame({'n': [1], 'd': [dt.date(2020, 1, 1)]}), {'n': 2, 'd': None}])",
        (
            "duckdb.connect().sql(\"select * from (values (1::bigint, date '2020-01-01'), (2,"
            ' null)) v(n, d)")'
        ),
    ],
)
def test_a_result_may_come_in_any_of_the_known_kinds(bench: Bench, result: str) -> None:
    """Would catch: a kind of result that is refused, loses its nulls, or changes its types."""
    assert rows(bench, body("", "import datetime as dt", f"return {result}")) == [
        (1, dt.date(2020, 1, 1)),
        (2, None),
    ]


def test_a_relation_made_of_an_input_never_leaves_duckdb(bench: Bench) -> None:
    """Would catch: two results open on one connection, of which the first is lost."""
    given = bench.publish("given", "SELECT i AS n FROM range(100_000) r(i)")
    text = body(
        "given: duckdb.DuckDBPyRelation",
        "return given.filter('n % 2 = 0').aggregate('count(*) as n, max(n) as m')",
        inputs='"given"',
    )
    assert rows(bench, text, given) == [(50_000, 99_998)]


def test_an_iterator_may_read_a_relation_while_it_is_staged(bench: Bench) -> None:
    """Would catch: staging and the body waiting for the same connection for ever."""
    given = bench.publish("given", "SELECT i AS n FROM range(20_000) r(i)")
    text = body(
        "given: duckdb.DuckDBPyRelation",
        "while chunk := given.fetchmany(5_000):",
        "    yield from ({'n': n} for (n,) in chunk)",
        inputs='"given"',
    )
    assert len(rows(bench, text, given)) == 20_000


def test_named_levels_of_a_pandas_index_are_columns(bench: Bench) -> None:
    """Would catch: the keys of a groupby lost with the index."""
    text = body(
        "",
        "frame = pd.DataFrame({'k': ['a', 'b', 'a'], 'v': [1, 2, 3]})",
        "return frame.groupby('k').sum()",
    )
    assert rows(bench, text) == [("a", 4), ("b", 2)]


@pytest.mark.long
def test_an_iterator_is_read_as_it_comes(bench: Bench) -> None:
    """Would catch: all rows of a generator held in memory before the first is written: 3.2 GB here.
    What the writer has open at a time is up to 0.7 GB, whatever comes in all."""
    text = body(
        "",
        "for i in range(200):",
        "    yield pa.table({'n': pa.array([i] * 100_000), 'text': pa.array(['x' * 150 + str(i)] *"
        " 100_000)})",
    )
    small, large = body("", "yield pa.table({'n': [1], 'text': ['x']})"), text
    before = bench.run(bench.python(small)).measures.peak_memory_bytes
    produced = bench.run(bench.python(large))
    assert produced.staged is not None and produced.staged.rows == 20_000_000
    assert produced.measures.peak_memory_bytes - before < 1_500_000_000


def test_the_context_says_what_the_attempt_is_for(bench: Bench) -> None:
    """Would catch: fields swapped, times without zone, parameters missing."""
    text = body(
        "ctx: Context",
        "when = dict(s=ctx.start.isoformat(), e=ctx.end.isoformat(), z=ctx.timezone)",
        "return [dict(a=ctx.asset, p=ctx.partition, **when, n=ctx.attempt, x=ctx.parameters['x'])]",
    )
    scope = bench.day("2013-02-11", parameters={"x": 15})
    assert rows(bench, text, scope=scope) == [
        (
            "out",
            "2013-02-11",
            "2013-02-11T00:00:00-05:00",
            "2013-02-12T00:00:00-05:00",
            "America/New_York",
            "1.1",
            15,
        )
    ]


def test_modules_beside_the_body_are_those_of_its_own_version(bench: Bench) -> None:
    """Would catch: a sibling module of the version before, kept by the warm worker; packages found
    from the project's root only.
    """
    text = body(
        "",
        "import helper, assets.deep.other",
        "return [{'a': helper.VALUE, 'b': assets.deep.other.VALUE}]",
    )
    for version in (1, 2):
        siblings = {
            "assets/helper.py": f"VALUE = {version}",
            "assets/deep/other.py": f"VALUE = {version * 10}",
        }
        assert rows(bench, text, siblings=siblings) == [(version, version * 10)]


def test_a_users_module_never_takes_the_place_of_pythons(bench: Bench) -> None:
    """Would catch: a project's `queue.py` imported by the worker itself."""
    text = body(
        "",
        "import queue, statistics",
        "return [{'a': hasattr(queue, 'SimpleQueue'), 'b': hasattr(statistics, 'mean')}]",
    )
    siblings = {"queue.py": "BROKEN = 1", "assets/statistics.py": "BROKEN = 1"}
    assert rows(bench, text, siblings=siblings) == [(True, True)]


def test_files_of_this_moment_are_not_found(
    bench: Bench, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: the working directory on `sys.path`: what runs must be what was applied."""
    (tmp_path / "notapplied.py").write_text("VALUE = 1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    error = failure(bench, body("", "import notapplied", "return [{'a': 1}]"))
    assert "notapplied" in error.message and error.line == 10


@pytest.mark.parametrize(
    ("lines", "message", "kind"),
    [
        (["raise ValueError('no good')"], "ValueError: no good", ErrorKind.DETERMINISTIC),
        (["import sys", "sys.exit(3)"], "sys.exit(3)", ErrorKind.DETERMINISTIC),
        (["raise KeyboardInterrupt"], "KeyboardInterrupt", ErrorKind.DETERMINISTIC),
        (["raise ConnectionResetError('gone')"], "gone", ErrorKind.TRANSIENT),
        (["raise TimeoutError('slow')"], "slow", ErrorKind.TRANSIENT),
        (
            [
                "try: raise ConnectionError('gone')",
                "except ConnectionError as e: raise RuntimeError('api') from e",
            ],
            "api",
            ErrorKind.TRANSIENT,
        ),
        (["raise MemoryError"], "MemoryError", ErrorKind.RESOURCES),
        (["x = [0] * 10**15", "return x"], "MemoryError", ErrorKind.RESOURCES),
        (["raise OSError(28, 'No space left on device')"], "No space", ErrorKind.ENVIRONMENT),
        (
            ["raise ValueError('No space left on device')"],
            "No space",
            ErrorKind.RESOURCES,
        ),  # of a disk that only it knows
        (
            ["class Mine(BaseException): pass", "raise Mine('own')"],
            "Mine exception: own",
            ErrorKind.DETERMINISTIC,
        ),
        (["return duckdb.sql('select nothing')"], "nothing", ErrorKind.DETERMINISTIC),
        (["def deep(): return deep()", "return deep()"], "RecursionError", ErrorKind.DETERMINISTIC),
        (["raise ValueError('x' * 100_000)"], "…", ErrorKind.DETERMINISTIC),
    ],
)
def test_what_a_body_raises_is_its_failure_with_file_and_line(
    bench: Bench, lines: list[str], message: str, kind: ErrorKind
) -> None:
    """Would catch: an exit or interrupt that ends the worker, a kind that makes a retry useless or
    impossible, a place in our own code.
    """
    error = failure(bench, body("", *lines))
    assert message in plain(error.message) and error.kind is kind and error.code == "body_failed"
    assert error.file == "assets/out.py" and 9 <= error.line <= 11
    assert len(error.message) < 3_000


def test_an_error_in_a_sibling_module_is_placed_there(bench: Bench) -> None:
    """Would catch: the place of the call instead of the place of the fault."""
    error = failure(
        bench,
        body("", "import helper", "return helper.rows()"),
        siblings={"assets/helper.py": "def rows():\n    return 1 / 0\n"},
    )
    assert (error.file, error.line) == ("assets/helper.py", 2)
    error = failure(
        bench,
        body("", "import helper", "return helper.rows()"),
        siblings={"assets/helper.py": "def rows(:\n"},
    )
    assert (error.file, error.line) == ("assets/helper.py", 1) and "SyntaxError" in error.message


def test_the_log_has_a_traceback_of_the_users_frames(bench: Bench) -> None:
    """Would catch: no traceback at all, or one that begins with Headrace's own frames."""
    task = bench.python(body("", "raise ValueError('no good')"))
    with pytest.raises(BodyFailed):
        bench.run_logged(task)
    text = "\n".join(line.text for line in bench.logged)
    assert "raise ValueError('no good')" in text and "headrace/engine" not in text


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("None", "returned nothing"),
        ("42", "a number instead of a table"),
        ("'text'", "text instead of a table"),
        ("{'a': [1]}", "a single dict"),
        ("pd.Series([1])", "a Series of pandas"),
        ("[1, 2]", "gave a number"),
        ("[{'a': 1}, 'x']", "gave text"),
        ("[{1: 2}]", "a key that is a number"),
        ("[{'a': 1}, {'a': 'x'}]", "column `a`"),
        ("iter([])", "nothing was returned"),
        ("[]", "nothing was returned"),
        ("pa.table([[1], [2]], names=['a', 'A'])", "more than once"),
        ("pa.table([[1], [2]], names=['a', 'a'])", "more than once"),
        ("pa.table({'_partition': ['x']})", "_partition"),
        ("pa.table({})", "0 columns"),
        ("pd.DataFrame({'a': [1, 'x']})", "of different kinds: whole numbers, text"),
        ("pd.DataFrame({'a': [1j]})", "`a` has objects that no column can hold"),
        ("[{'a': 2**200}]", "`a` has a whole number that is too large for BIGINT"),
        ("[{'a': pd.Series([1]).iloc[0]}, {'a': 'x'}]", "of different kinds: whole numbers, text"),
        ("pd.DataFrame([[1, 2]], columns=['a', 'a'])", "can't be stored"),
        ("object()", "returned a `object`"),
        (
            "(pa.table({'a': [1]}) if i < 1 else pa.table({'b': [1]}) for i in range(2))",
            "later batch lacks `a`",
        ),
        (
            "(pa.table({'a': [1]}) if i < 1 else pa.table({'a': ['x']}) for i in range(2))",
            "`a` of a later batch doesn't fit its type in the first",
        ),
        ("np.array([1])", "an array of NumPy instead of a table"),
        ("pa.chunked_array([[1]])", "an array of Arrow instead of a table"),
        ("[{'a': {}}]", "`a` has values of a type that no table can hold"),
        ("[{'a': decimal.Decimal('1E50')}]", "`a` has numbers of over 38 digits"),
        ("pl.DataFrame({'a': [object()]})", "`a` has values of a type that no table can hold"),
        (
            "pl.DataFrame({'a': [1]}, schema={'a': pl.Int128})",
            "`a` has values of a type that no table can hold",
        ),
        (
            "pa.table({'a': pa.array([2**62], pa.timestamp('s'))})",
            "a value of `a` can't be stored",
        ),
    ],
)
def test_a_result_that_is_no_table_is_refused_with_what_it_is(
    bench: Bench, result: str, message: str
) -> None:
    """Would catch: an error from deep inside a library, or rows made of something that wasn't meant
    as rows.
    """
    error = failure(bench, body("", "import decimal, numpy as np", f"return {result}"))
    assert message in plain(error.message) and error.kind is ErrorKind.DETERMINISTIC, error
    assert error.file == "assets/out.py" and error.code == "wrong_result"


@pytest.mark.parametrize(
    ("array", "value"),
    [
        ("pa.array([1.5], pa.float16())", 1.5),
        ("pa.array([[1.5]], pa.list_(pa.float16()))", [1.5]),
        ("pa.array([{'b': 1.5}], pa.struct({'b': pa.float16()}))", {"b": 1.5}),
        ("pa.array([decimal.Decimal('0.10')], pa.decimal256(50, 2))", Decimal("0.10")),
    ],
)
def test_types_that_duckdb_does_not_read_are_stored_in_others(
    bench: Bench, array: str, value: object
) -> None:
    """Would catch: `Unsupported Internal Arrow Type` of values that a table can hold."""
    text = body("", "import decimal", f"return pa.table({{'a': {array}}})")
    assert rows(bench, text) == [(value,)]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (": pa.Table", "given['d'].to_pylist()"),
        (": pl.DataFrame", "given['d'].to_list()"),
        (": pd.DataFrame", "[item.to_pytimedelta() for item in given['d']]"),
    ],
)
def test_an_interval_is_a_duration(bench: Bench, annotation: str, value: str) -> None:
    """Would catch: `MonthDayNano` where a duration is read, a frame of Polars that can't be built,
    a month taken for 30 days."""
    text = body(
        f"ctx, given{annotation}",
        "import datetime as dt",
        f"return [{{'right': {value} == [dt.timedelta(hours=36), dt.timedelta(days=2)]}}]",
        inputs='"given"',
    )
    given = "SELECT unnest([INTERVAL 36 HOURS, INTERVAL 2 DAYS]) AS d"
    assert rows(bench, text, bench.publish("given", given)) == [(True,)]
    error = failure(bench, text, bench.publish("given", "SELECT INTERVAL 1 MONTH AS d"))
    assert "column `d` of `given` has intervals with months" in error.message


def test_a_coroutine_is_refused(bench: Bench) -> None:
    """Would catch: a coroutine taken for an iterator, or left unawaited with a warning."""
    error = failure(bench, body("", "async def work(): return 1", "return work()"))
    assert "async" in error.message


def test_an_iterator_that_fails_half_way_leaves_nothing(bench: Bench) -> None:
    """Would catch: half of a partition staged, or the user's exception told as DuckDB's."""
    text = body(
        "",
        "for i in range(5):",
        "    yield pa.table({'n': list(range(100_000))})",
        "    if i == 3: raise ConnectionError('gone after 3')",
    )
    error = failure(bench, text)
    assert (
        plain(error.message) == "ConnectionError: gone after 3"
        and error.kind is ErrorKind.TRANSIENT
    )
    assert (error.file, error.line) == ("assets/out.py", 12)


def test_known_columns_are_the_law(bench: Bench) -> None:
    """Would catch: a known table whose columns change with what one run returned; an empty result
    that forgets them.
    """
    first = bench.run(bench.python(body("", "return pa.table({'a': [1], 'b': ['x']})")))
    error = failure(bench, body("", "return [{'a': 1, 'c': 'x'}]"), table=first.table)
    assert error.code == "columns_changed" and "`b`" in error.message and "`c`" in error.message
    empty = bench.run(bench.python(body("", "return iter([])"), table=first.table))
    assert empty.staged is not None and empty.staged.rows == 0
    assert empty.table is not None and [column.name for column in empty.table.columns] == [
        "_partition",
        "a",
        "b",
    ]


def test_values_are_read_in_the_tables_types(bench: Bench) -> None:
    """Would catch: floats that follow whole numbers refused, decimals become floats, local times
    taken for UTC."""
    known = bench.run(
        bench.sql(
            "select 1.5::double as x, 1.25::decimal(10,2) as d, timestamptz '2020-01-01"
            " 00:00:00-05' as t"
        )
    ).table
    text = body(
        "",
        "import datetime as dt, decimal",
        "for i in range(20_000):",
        "    yield {'x': 1 if i < 10_000 else 1.5, 'd': decimal.Decimal('0.10'), 't':"
        " dt.datetime(2020, 1, 1)}",
    )
    produced = bench.run(bench.python(text, table=known))
    assert produced.staged is not None
    total = bench.session.connection.execute(
        "select sum(x), max(d)::varchar, max(t)::varchar from"
        f" read_parquet('{bench.lake / produced.staged.path}')"
    ).fetchone()
    assert total == (25_000.0, "0.10", "2020-01-01 00:00:00-05")


def test_a_body_that_forks_stays_one_worker(bench: Bench) -> None:
    """Would catch: the child coming back from the body and going on as a second worker."""
    text = body(
        "",
        "import os, warnings",
        "warnings.simplefilter('ignore')",
        "child = os.fork()",
        "return [{'child': child > 0}]",
    )
    assert rows(bench, text) == [(True,)]


def test_materialize_none_returns_nothing(bench: Bench) -> None:
    """Would catch: rows of an effect that are thrown away without a word."""
    done = bench.run(
        bench.python(body("ctx", "return None", materialize="none"), materialize="none")
    )
    assert done.staged is None and done.table is None
    error = failure(bench, body("ctx", "return [{'a': 1}]", materialize="none"), materialize="none")
    assert "materialize: none" in error.message


def test_materialize_files_makes_a_manifest_of_what_is_there(bench: Bench) -> None:
    """Would catch: a manifest that names what the body says instead of what it wrote; two attempts
    in one folder."""
    text = body(
        "ctx",
        "(ctx.output_directory / 'sub').mkdir()",
        "(ctx.output_directory / 'sub' / 'r.html').write_text('hello')",
        materialize="files",
    )
    first = bench.run(bench.python(text, materialize="files"))
    second = bench.run(bench.python(text, materialize="files"))
    assert first.manifest is not None and second.manifest is not None
    (entry,) = first.manifest
    assert (
        entry["size"] == 5
        and entry["sha256"] == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    )
    assert (bench.data / entry["path"]).read_text() == "hello" and entry["path"] != second.manifest[
        0
    ]["path"]
    assert first.measures.bytes_out == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pass", "no file was written"),
        ("(ctx.output_directory / 'x').symlink_to('/etc/passwd')", "no regular file"),
        ("import os; os.mkfifo(ctx.output_directory / 'x')", "no regular file"),
        ("return 'report.html'", "returned a value"),
    ],
)
def test_materialize_files_refuses_what_is_no_file_of_its_own(
    bench: Bench, line: str, message: str
) -> None:
    """Would catch: a link that publishes a file from elsewhere (TRUST B10), an attempt that
    published nothing."""
    error = failure(bench, body("ctx", line, materialize="files"), materialize="files")
    assert message in error.message and error.file == "assets/out.py"


def test_zero_rows_are_a_result(bench: Bench) -> None:
    """Would catch: an empty table taken for a mistake."""
    produced = bench.run(bench.python(body("", "return pa.table({'a': pa.array([], pa.int64())})")))
    assert produced.staged is not None and produced.staged.rows == 0


def test_the_context_can_say_something(bench: Bench) -> None:
    """Would catch: a level lost on the way to the log."""
    text = body(
        "ctx",
        "ctx.log('careful', 'warning')",
        "ctx.progress(0.256, 'a quarter')",
        "ctx.log('100 %s')",
        materialize="none",
    )
    bench.run_logged(bench.python(text, materialize="none"))
    assert [(line.level, line.text) for line in bench.logged] == [
        ("warning", "careful"),
        ("info", "progress 26% a quarter"),
        ("info", "100 %s"),
    ]
    error = failure(bench, body("ctx", "ctx.log('x', 'loud')"))
    assert "'loud' is no level" in error.message and error.file == "assets/out.py"


def test_what_a_body_changes_of_the_process_is_put_back(bench: Bench) -> None:
    """Would catch: the next body of a warm worker in another folder, without its environment, deaf
    to the end of children.
    """
    deeds = (
        "os.chdir('/'); os.environ.clear(); os.umask(0o777); signal.signal(signal.SIGCHLD,"
        " signal.SIG_IGN)"
    )
    before = (Path.cwd(), dict(os.environ), signal.getsignal(signal.SIGCHLD))
    for end in ("return [{'a': 1}]", "raise ValueError", "yield {'a': 1}"):
        task = bench.python(body("", "import os, signal", deeds, end))
        with contextlib.suppress(BodyFailed):
            staged = bench.run(task).staged
            assert staged is not None and (bench.lake / staged.path).stat().st_mode & 0o400
        mask = os.umask(0o022)
        os.umask(mask)
        assert (
            Path.cwd(),
            dict(os.environ),
            signal.getsignal(signal.SIGCHLD),
        ) == before and mask != 0o777
    assert bench.run(bench.command(["true"], materialize="none")).staged is None


def test_relative_imports_work_as_in_a_package(bench: Bench) -> None:
    """Would catch: `from .helper import f` next to an asset, which every editor offers, failing at
    the first attempt."""
    text = body(
        "",
        "from . import helper",
        "from ..lib import rates",
        "return [{'a': helper.VALUE, 'b': rates.VALUE}]",
    )
    siblings = {
        "assets/helper.py": "from ._deep import VALUE",
        "assets/_deep.py": "VALUE = 1",
        "lib/rates.py": "VALUE = 2",
    }
    assert rows(bench, text, siblings=siblings) == [(1, 2)]


def test_neighbours_of_two_assets_with_one_name_are_two_modules(bench: Bench) -> None:
    """Would catch: a warm worker in which the second asset gets the `helper` that lies next to the
    first.
    """
    text = body("", "import helper", "return [{'a': helper.VALUE, 'n': helper.count()}]")
    counting = "n = 0\ndef count():\n    global n\n    n += 1\n    return n\n"
    code = bench.apply(
        {
            "assets/one/out.py": text,
            "assets/two/out.py": text,
            "assets/one/helper.py": f"VALUE = 'one'\n{counting}",
            "assets/two/helper.py": f"VALUE = 'two'\n{counting}",
        }
    )
    task = bench.python(text)

    def of(folder: str) -> list[tuple[Any, ...]]:
        placed = msgspec.structs.replace(
            task, code=code, body=msgspec.structs.replace(task.body, file=f"assets/{folder}/out.py")
        )
        produced = bench.run(placed)
        return [row[1:] for row in bench.rows(produced.staged, produced.table)]

    assert [of(item) for item in ("one", "two", "one")] == [
        [("one", 1)],
        [("two", 1)],
        [("one", 2)],
    ]


def test_what_the_environment_finds_in_the_project_comes_from_what_was_applied(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an editable installation or PYTHONPATH by which an unapplied edit runs; a file
    of the project that was never applied running."""
    source = bench.project / "src"
    for path, text in {
        "mylib/__init__.py": "",
        "mylib/rates.py": "VALUE = 'edited'",
        "mylib/new.py": "VALUE = 'new'",
    }.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    monkeypatch.syspath_prepend(str(source))
    applied = {"src/mylib/__init__.py": "", "src/mylib/rates.py": "VALUE = 'applied'"}
    text = body("", "from mylib import rates", "return [{'a': rates.VALUE}]")
    assert rows(bench, text, siblings=applied) == [("applied",)]
    error = failure(bench, body("", "import mylib.new", "return [{'a': 1}]"), siblings=applied)
    assert "mylib.new" in error.message


@pytest.mark.parametrize(
    ("lines", "everywhere", "machine"),
    [
        (["import no_such_package"], True, True),
        (["import ast", "ast.literal_eval('1 +')"], False, False),
        (["return 1 / 0"], False, False),
        (["raise ConnectionError('no')"], False, False),
    ],
)
def test_what_fails_in_every_partition_is_told_from_what_the_data_does(
    bench: Bench, lines: list[str], everywhere: bool, machine: bool
) -> None:
    """Would catch: one day's bad text failing all other days without an attempt."""
    error = failure(bench, body("", *lines))
    assert (error.everywhere, error.machine) == (everywhere, machine)
    at_import = failure(bench, "LIMIT = {}['limit']\n" + body("", *lines))
    assert (at_import.everywhere, at_import.machine) == (True, True)


def test_a_syntax_error_of_an_imported_module_is_the_codes(bench: Bench) -> None:
    siblings = {"assets/unfinished.py": "def rows(:\n"}
    error = failure(
        bench, "import unfinished\n" + body("", "return unfinished.rows()"), siblings=siblings
    )
    assert (error.everywhere, error.machine) == (True, False)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("import sklearn", "pip install scikit-learn"),
        ("import xgboost.core", "pip install xgboost"),
        ("import pandsa", "did you mean `pandas`? Correct the import"),
        ("import jsno", "did you mean `json`? Correct the import"),
        ("import zzqx_of_us", "correct the import, or install where Headrace runs what it is of"),
        ("import msgspec.nothing", "`msgspec` is installed, and has no such module"),
        ("import sys; sys.exit(0)", "return to be done"),
        ("raise MemoryError", "yield batches instead of one table"),
        ("raise ValueError('no')", ""),
        ("return {'a': 1}", "return an Arrow table"),
        ("return pd.DataFrame({('a', 'b'): [1]})", "flatten them"),
        ("return iter([])", "declare them with their types"),
        ("return [{'a': None}] * 8_192 + [{'a': 1}]", "declare it under `columns:`"),
        ("return [{'a': 1}] * 8_192 + [{'a': 1, 'b': 2}]", "give every row the same keys"),
        ("return iter([pa.table({'a': [1]}), pa.table({'a': [1], 'b': [2]})])", "give every batch"),
    ],
)
def test_a_failure_comes_with_its_remedy(bench: Bench, line: str, hint: str) -> None:
    """Would catch: a hint lost, or that of another mistake."""
    error = failure(bench, body("", line))
    assert hint in error.hint and bool(error.hint) == bool(hint)


def test_later_batches_take_the_columns_of_the_first(bench: Bench) -> None:
    """Would catch: columns of a later batch taken by position, or a narrower type refused."""
    text = body(
        "",
        "yield pa.table({'a': pa.array([1], pa.int64()), 'b': ['x']})",
        "yield pa.table({'b': ['y'], 'a': pa.array([2], pa.int32())})",
        "yield {'b': 'z', 'a': 3}",
    )
    assert rows(bench, text) == [(1, "x"), (2, "y"), (3, "z")]


def test_dicts_with_fewer_keys_and_decimals_of_more_digits_are_one_column(bench: Bench) -> None:
    """Would catch: the type of the first decimals refusing those that follow; rows lost where one
    group of dicts ends."""
    text = body(
        "",
        "from decimal import Decimal",
        "for i in range(8_193):",
        "    yield {'n': i, 'd': Decimal('0.5') if i < 8_192 else Decimal('123456.5')}",
        "yield {'n': 8_193}",
    )
    produced = bench.run(bench.python(text))
    assert produced.staged is not None
    counted = bench.session.connection.execute(
        "select count(*), max(n), count(d), max(d)::varchar from"
        f" read_parquet('{bench.lake / produced.staged.path}')"
    ).fetchone()
    assert counted == (8_194, 8_193, 8_193, "123456.5")


def test_no_rows_before_there_is_a_table_have_the_declared_columns(bench: Bench) -> None:
    """Would catch: a first run without rows that fails although its columns are declared, or that
    publishes a table with some of them."""
    text = body("", "return []")
    typed = (("n", "BIGINT"), ("t", "VARCHAR"))
    produced = bench.run(bench.python(text, written=typed))
    assert produced.staged is not None and produced.table is not None
    assert (produced.staged.rows, produced.measures.rows_out) == (0, 0)
    columns = [(column.name, column.type) for column in produced.table.columns[1:]]
    assert columns == list(typed)
    error = failure(bench, text, written=(("n", "BIGINT"), ("t", None)))
    assert "nothing was returned" in error.message


@pytest.mark.parametrize(
    ("kind", "result", "declared"),
    [
        ("1::integer", "pa.table({'n': [1.5]})", "DOUBLE"),
        ("1.5::decimal(4,1)", "[{'n': '1234567890.25'}]", "VARCHAR"),
        ("true", "[{'n': 'x'}]", "VARCHAR"),
    ],
)
def test_values_that_do_not_fit_name_a_type_that_takes_them(
    bench: Bench, kind: str, result: str, declared: str
) -> None:
    """Would catch: the hint of SQL, where a cast is written, given for code that declares types."""
    known = bench.run(bench.sql(f"select {kind} as n")).table
    error = failure(bench, body("", f"return {result}"), table=known)
    assert error.code == "columns_changed", error
    assert f"columns={{'n': '{declared}'}}" in error.hint


@pytest.mark.parametrize(
    "result",
    [
        "[{'n': 1, 'x': None}]",
        "[{'n': 1, 'x': None}] * 9_000",
        "pa.table({'n': [1], 'x': pa.nulls(1)})",
    ],
)
def test_a_column_without_any_value_is_text(bench: Bench, result: str) -> None:
    """Would catch: INTEGER on a first day without values, which refuses the second day's texts;
    files of sources and what programs write have texts there."""
    text = body("", f"return {result}")
    known = bench.run(bench.python(text)).table
    assert known is not None
    assert [column.type for column in known.columns[1:]] == ["BIGINT", "VARCHAR"]
    later = bench.python(body("", "return [{'n': 1, 'x': 'a'}]"), table=known)
    produced = bench.run(later)
    assert bench.rows(produced.staged, produced.table)[0][2] == "a"
    declared = bench.run(bench.python(text, written=(("x", "DOUBLE"),))).table
    assert declared is not None and declared.columns[2].type == "DOUBLE"
    again = bench.run(bench.python(text, table=declared, evolve=True)).table
    assert again is not None and again.columns[2].type == "DOUBLE"


@pytest.mark.parametrize(
    ("empty", "kind", "later"),
    [
        ("[]", "VARCHAR[]", "['a']"),
        ("[None]", "VARCHAR[]", "['a']"),
        ("[[]]", "VARCHAR[][]", "[['a']]"),
        ("{'k': None, 'n': 1}", "STRUCT(k VARCHAR, n BIGINT)", "{'k': 'a', 'n': 2}"),
        ("[{'k': []}]", "STRUCT(k VARCHAR[])[]", "[{'k': ['a']}]"),
    ],
)
@pytest.mark.parametrize("rows", [1, 9_000])
def test_what_has_no_value_inside_is_text(
    bench: Bench, empty: str, kind: str, later: str, rows: int
) -> None:
    """Would catch: INTEGER[] on a first day of empty lists, which refuses the second day's texts."""
    known = bench.run(bench.python(body("", f"return [{{'x': {empty}}}] * {rows}"))).table
    assert known is not None and known.columns[1].type == kind
    produced = bench.run(bench.python(body("", f"return [{{'x': {later}}}]"), table=known))
    assert str(bench.rows(produced.staged, produced.table)[0][1]) == later


@pytest.mark.parametrize("kind", ["BIGINT[]", "DATE[]", "STRUCT(a DOUBLE)[]"])
def test_a_declared_type_holds_lists_without_values(bench: Bench, kind: str) -> None:
    text = body("", "return [{'x': []}, {'x': [None]}]")
    known = bench.run(bench.python(text, written=(("x", kind),))).table
    assert known is not None and known.columns[1].type == kind


def test_a_failed_attempt_says_what_it_read_and_spent(bench: Bench) -> None:
    """Would catch: the cost of failures missing, or rows counted that were never published."""
    given = bench.publish("given", "SELECT i AS a FROM range(7) r(i)")
    text = body("given", "raise ValueError('no')", inputs='"given"')
    with pytest.raises(BodyFailed) as failed:
        bench.run(bench.python(text, given))
    spent = failed.value.measures
    assert (spent.rows_in, spent.rows_out, spent.bytes_out) == (7, 0, 0)
    assert spent.bytes_in == (bench.lake / given.files[0].path).stat().st_size
    assert spent.seconds > 0 and spent.peak_memory_bytes > 1_000_000


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("INTEGER", "[1.5]"),
        ("INTEGER[]", "[[1, 1.5]]"),
        ("STRUCT(a INTEGER)", "[{'a': 1.5}]"),
        ("DATE", "[dt.datetime(2024, 1, 1, 5)]"),
    ],
)
def test_no_digit_is_dropped_for_the_type_of_a_table(bench: Bench, kind: str, values: str) -> None:
    """Would catch: 1.5 published as 1, or a day without its time, because Arrow makes it fit."""
    known = bench.run(bench.sql(f"select cast(null as {kind}) as n")).table
    text = body("", f"import datetime as dt; return [{{'n': value}} for value in {values}]")
    error = failure(bench, text, table=known)
    assert error.code == "columns_changed"


@pytest.mark.parametrize(
    ("first", "later"),
    [("1", "1.5"), ("dt.date(2024, 1, 1)", "dt.datetime(2024, 1, 1, 5)"), ("[1]", "[1.5]")],
)
def test_no_digit_of_later_rows_is_dropped(bench: Bench, first: str, later: str) -> None:
    """Would catch: a row after the first batch that is cut to the type of the first rows."""
    text = body(
        "",
        "import datetime as dt",
        f"yield from ({{'n': {first}}} for _ in range(8192))",
        f"yield {{'n': {later}}}",
    )
    error = failure(bench, text)
    assert error.code == "wrong_result"
    assert "don't all fit into its type" in error.message


def test_no_time_of_day_of_mixed_rows_is_dropped(bench: Bench) -> None:
    """Would catch: a date first, which makes Arrow take each later time for a date too."""
    text = body(
        "",
        "import datetime as dt",
        "return [{'n': dt.date(2024, 1, 1)}, {'n': dt.datetime(2024, 1, 1, 5)}]",
    )
    assert "of different kinds: dates, points in time" in failure(bench, text).message


def test_no_time_of_day_of_a_later_batch_is_dropped(bench: Bench) -> None:
    """Would catch: a later batch with times, cast to the dates of the first."""
    text = body(
        "",
        "import datetime as dt",
        "yield pa.table({'n': [dt.date(2024, 1, 1)]})",
        "yield pa.table({'n': [dt.datetime(2024, 1, 1, 5)]})",
    )
    assert failure(bench, text).code == "wrong_result"


def test_arrays_in_dicts_are_lists(bench: Bench) -> None:
    """Would catch: a NumPy array as a value, which can't be asked whether it is true."""
    text = body(
        "",
        "import numpy as np",
        "return [{'n': np.array([1, 2])}, {'n': None}, {'n': np.array([3])}]",
    )
    produced = bench.run(bench.python(text))
    known = produced.table
    assert sorted(bench.rows(produced.staged, known), key=repr) == [
        ("*", None),
        ("*", [1, 2]),
        ("*", [3]),
    ]
    cut = body("", "import numpy as np", "return [{'n': np.array([1.5])}]")
    assert failure(bench, cut, table=known).code == "columns_changed"


def test_no_missing_time_becomes_a_date(bench: Bench) -> None:
    """Would catch: pandas's NaT published as the first day of the year 1."""
    text = body("", "import datetime as dt", "return [{'n': dt.date(2024, 1, 1)}, {'n': pd.NaT}]")
    error = failure(bench, text)
    assert error.code == "wrong_result"
    assert "NaT" in error.message


def test_decimals_widen_whole_numbers(bench: Bench) -> None:
    """Would catch: 1.5 rounded to the table's whole numbers instead of a wider column."""
    known = bench.run(bench.sql("select cast(1 as bigint) as n")).table
    text = body("", "from decimal import Decimal", "return [{'n': 1}, {'n': Decimal('1.5')}]")
    assert sorted(rows(bench, text, table=known)) == [(Decimal("1.0"),), (Decimal("1.5"),)]


def test_values_that_fit_take_the_type_of_the_table(bench: Bench) -> None:
    """Would catch: whole floats, or midnights, that are refused although nothing is lost."""
    known = bench.run(bench.sql("select 1 as n, date '2024-01-01' as day")).table
    text = body("", "import datetime as dt", "return [{'n': 2.0, 'day': dt.datetime(2024, 1, 2)}]")
    assert rows(bench, text, table=known) == [(2, dt.date(2024, 1, 2))]


@pytest.mark.parametrize(
    ("result", "writer"),
    [
        ("return [{'n': 1}]", "Arrow"),
        ("yield {'n': 1}", "Arrow"),
        ("return pa.table({'n': [1]})", "Arrow"),
        ("return pl.DataFrame({'n': [1], 'text': ['x']})", "Arrow"),
        ("yield from (pa.table({'n': [n]}) for n in range(2))", "DuckDB"),
        ("return [{'n': n, 'text': 'x' * 100} for n in range(5000)]", "DuckDB"),
        ("return [{'n': Decimal(1)}]", "DuckDB"),
    ],
)
def test_few_rows_of_plain_types_are_written_without_duckdb(
    bench: Bench, result: str, writer: str
) -> None:
    """Registering one row with DuckDB and its COPY cost six times as much."""
    imports = "from decimal import Decimal\n"
    output = bench.run(bench.python(imports + body("", result)))
    assert output.staged is not None
    written = pq.ParquetFile(bench.lake / output.staged.path).metadata
    assert (writer == "Arrow") == written.created_by.startswith("parquet-cpp-arrow")


def test_an_iterator_that_fails_after_few_rows_leaves_nothing(bench: Bench) -> None:
    error = failure(bench, body("", "yield {'n': 1}", "raise ValueError('broken')"))
    assert plain(error.message) == "ValueError: broken"
    assert bench.left_behind() == []
