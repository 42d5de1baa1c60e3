from __future__ import annotations

import pkgutil
import random
from typing import Any

import pyarrow as pa
import pytest
from quality_bench import Bench, check

from headrace.checks import CheckState, Verdict, kinds
from headrace.checks.check_kinds import kind
from headrace.model.check_kinds import BUILT_IN
from headrace.model.texts import plain

ROWS = """SELECT * FROM (VALUES
    (1, 'EWR', 10.5, DATE '2013-02-11', 'N1'), (2, 'JFK', -1, DATE '2013-02-11', NULL),
    (2, NULL, NULL, DATE '2013-02-11', 'X 9'), (NULL, 'XXX', 99, DATE '2013-02-11', 'N22')
) v(id, origin, distance, day, tail)"""


def test_the_table_of_kinds_names_every_module_and_each_class_by_its_name() -> None:
    """Would catch: a kind that validates and can't run, or a module that no declaration reaches."""
    modules = {module.name for module in pkgutil.iter_modules(kinds.__path__)}
    assert modules == set(BUILT_IN)
    for name in BUILT_IN:
        assert kind(name).name == name
        assert kind(name).__doc__


@pytest.mark.parametrize(
    ("spec", "failing", "detail"),
    [
        (check("unique", columns=["id"]), 1, "id: 1 row repeating a key (2)"),
        (check("unique", columns=["id", "origin"]), 0, ""),
        (check("unique", columns=["day"]), 3, "day: 3 rows repeating a key (2013-02-11)"),
        (check("not_null", columns=["id"]), 1, "id: 1 row with null"),
        (
            check("not_null", columns=["id", "origin"]),
            2,
            "id: 1 row with null, origin: 1 row with null",
        ),
        (check("not_null", columns=["day", "id"]), 1, "id: 1 row with null"),
        (check("not_null", columns=["ID"]), 1, "id: 1 row with null"),
        (check("not_null", columns=["day"]), 0, ""),
        (check("not_null", columns=["id"], where="origin = 'XXX'"), 1, "id: 1 row with null"),
        (check("not_null", columns=["id"], where="origin <> 'XXX' -- comment"), 0, ""),
        (
            check("accepted_values", column="origin", values=["EWR", "JFK"]),
            1,
            "origin: 1 row not in EWR, JFK (XXX)",
        ),
        (check("accepted_values", column="origin", values=["EWR", "JFK", "XXX", None]), 0, ""),
        (check("accepted_values", column="id", values=[1, 2]), 0, ""),
        (check("accepted_values", column="id", values=["1"]), 2, "id: 2 rows not in 1 (2)"),
        (
            check("accepted_values", column="tail", values=[1, True]),
            3,
            "tail: 3 rows not in 1, True (N1, X 9, N22)",
        ),
        (check("range", column="distance", min=0), 1, "distance: 1 row below 0 (-1.0)"),
        (check("range", column="distance", min=-1, max=99), 0, ""),
        (check("range", column="distance", max=50.5), 1, "distance: 1 row above 50.5 (99.0)"),
        (
            check("range", column="day", min="2013-02-12", max="2013-02-13"),
            4,
            "day: 4 rows outside 2013-02-12 to 2013-02-13 (2013-02-11)",
        ),
        (
            check("regex", column="tail", pattern="N[0-9]+"),
            1,
            "tail: 1 row not matching N[0-9]+ (X 9)",
        ),
        (
            check("regex", column="tail", pattern="[0-9]"),
            3,
            "tail: 3 rows not matching [0-9] (N1, X 9, N22)",
        ),
        (check("row_count", min=4, max=4), 0, ""),
        (check("row_count", min=10), 6, "4 rows, at least 10 expected"),
        (check("row_count", max=1), 3, "4 rows, at most 1 expected"),
        (check("row_count", max=1, where="origin is not null"), 2, "3 rows, at most 1 expected"),
        (check("sql", query="select * from $self where distance < 0"), 1, "1 row returned"),
        (
            check(
                "sql",
                query="select '$self' as x, count(*) from $SELF -- $self\nhaving count(*) > 4;",
            ),
            0,
            "",
        ),
        (
            check(
                "sql",
                query="select count(*) as n, max(id) as most from $self having n > 1",
                name="far",
            ),
            1,
            "n 4, most 2",
        ),
        (
            check(
                "sql",
                query="with a as (select * from $self) select origin from a",
                where="origin = 'JFK'",
            ),
            1,
            "1 row returned",
        ),
        (
            check("references", column="origin", to="airports.faa"),
            1,
            "origin: 1 row without airports.faa (XXX)",
        ),
        (check("references", column="ID", to="Airports.N"), 0, ""),
        (check("references", column="origin", to="airports.faa", where="id = 1"), 0, ""),
    ],
    ids=lambda value: f"{value.kind}-{value.arguments}" if hasattr(value, "kind") else "",
)
def test_each_kind_finds_what_breaks_it_and_nothing_else(
    bench: Bench, spec: Any, failing: int, detail: str
) -> None:
    """Would catch: a condition turned round, nulls counted as values, a `where` that leaks, a value
    read in the wrong type.
    """
    airports = bench.other(
        "airports", "SELECT * FROM (VALUES ('EWR', 1), ('JFK', 2), (NULL, NULL)) v(faa, n)"
    )
    result = bench.one(ROWS, spec, references=[airports])
    assert (result.failing, plain(result.detail)) == (failing, detail)
    assert result.outcome is (CheckState.FAILED if failing else CheckState.PASSED)
    assert bool(result.sample) == bool(failing and spec.kind != "row_count")


@pytest.mark.parametrize(
    "spec",
    [
        check("unique", columns=["nope"]),
        check("not_null", columns=["id", "nope"]),
        check("range", column="origin", min=5),
        check("sql", query="select 1) union (select 2"),
        check("range", column="id", min="five"),
        check("accepted_values", column="id", values=["EWR"]),
        check("regex", column="tail", pattern="(["),
        check("freshness", column="origin", max_age="1d"),
        check("references", column="origin", to="nowhere.faa"),
        check("references", column="origin", to="airports.nope"),
        check("references", column="tail", to="airports.n"),
        check("sql", query="select * from $self where nope = 1"),
        check("sql", query="select * from elsewhere"),
        check("sql", query="select"),
        check("sql", query="select * from $self where day > $partition_start"),
        check("sql", query="delete from $self"),
        check("sql", query="select 1 where false; select 2"),
        check("sql", query="select 1) where false --"),
        check("sql", query="select * from read_csv('/etc/passwd')"),
        check("not_null", columns=["origin"], where="nope > 1"),
        check("not_null", columns=["origin"], where="cast(origin as integer) > 1"),
        check("not_null", columns=["origin"], where="true) or (false"),
        check("not_null", columns=["origin"], where="true; select 1"),
        check("not_null", columns=["origin"], where=""),
        check("row_count", min=1, where="origin ="),
        check("row_count", min=1, where="/* "),
        check("no_such_kind", column="x"),
        check("freshness", column="day", max_age="soon"),
    ],
    ids=lambda spec: f"{spec.kind}-{spec.arguments}-{spec.where}",
)
def test_a_check_that_cannot_be_measured_has_failed(bench: Bench, spec: Any) -> None:
    """Would catch: a check that passes because it never ran; one that takes the others, or the
    audit, down with it.
    """
    airports = bench.other("airports", "SELECT 'EWR' AS faa, 1 AS n")
    found = bench.audit(
        bench.stage(ROWS),
        check("unique", columns=["id"], name="before"),
        spec,
        check("not_null", columns=["day"], name="after"),
        references=[airports],
    )
    before, result, after = found.results
    assert result.outcome is CheckState.FAILED and result.detail.startswith("can't be checked: "), (
        result
    )
    assert "__self__" not in result.detail or "elsewhere" in result.detail or result.kind == "sql"
    assert (before.outcome, before.failing, after.outcome) == (
        CheckState.FAILED,
        1,
        CheckState.PASSED,
    )
    assert found.verdict is Verdict.REJECTED


def test_a_warning_that_cannot_be_measured_is_a_warning(bench: Bench) -> None:
    """Would catch: a broken warning that blocks."""
    result = bench.audit(
        bench.stage(ROWS),
        check("unique", "warning", columns=["nope"]),
        check("not_null", columns=["day"]),
    )
    assert result.verdict is Verdict.WARNED


@pytest.mark.parametrize(
    ("checks", "on_fail", "verdict"),
    [
        ([], "reject", Verdict.UNCHECKED),
        ([check("not_null", columns=["day"])], "reject", Verdict.PASSED),
        ([check("not_null", "warning", columns=["id"])], "reject", Verdict.WARNED),
        ([check("not_null", columns=["id"])], "reject", Verdict.REJECTED),
        ([check("not_null", columns=["id"])], "hold", Verdict.HELD),
        ([check("not_null", columns=["id"])], "warn", Verdict.WARNED),
        ([check("not_null", columns=["id"], where="false")], "reject", Verdict.UNCHECKED),
        (
            [check("not_null", columns=["id"], where="false"), check("row_count", min=1)],
            "reject",
            Verdict.PASSED,
        ),
    ],
)
def test_the_verdict_follows_from_the_worst_failure(
    bench: Bench, checks: Any, on_fail: str, verdict: Verdict
) -> None:
    """Would catch: no checks taken for passed, a warning that blocks, a blocking failure that
    doesn't."""
    assert bench.audit(bench.stage(ROWS), *checks, on_fail=on_fail).verdict is verdict


def test_quarantine_rows_says_that_it_is_not_built(bench: Bench) -> None:
    """Would catch: a policy that is read and then does something else."""
    from headrace.model import NotBuilt

    with pytest.raises(NotBuilt):
        bench.audit(bench.stage(ROWS), on_fail="quarantine_rows")


def test_no_rows_are_unchecked_unless_rows_were_asked_for(bench: Bench) -> None:
    """Would catch: an empty partition that passes its checks."""
    every = [
        check("unique", columns=["id"]),
        check("not_null", columns=["id"]),
        check("range", column="distance", min=0),
        check("freshness", column="day", max_age="1d"),
        check("sql", query="select * from $self"),
        check("row_count", min=0),
    ]
    found = bench.audit(bench.stage(f"{ROWS} WHERE false"), *every)
    assert found.verdict is Verdict.UNCHECKED and {result.outcome for result in found.results} == {
        CheckState.UNCHECKED
    }
    found = bench.audit(
        bench.stage(f"{ROWS} WHERE false"),
        check("row_count", min=1),
        check("row_count", min=1, where="id > 0"),
    )
    assert found.verdict is Verdict.REJECTED and [result.failing for result in found.results] == [
        1,
        1,
    ]
    broken = bench.audit(bench.stage(f"{ROWS} WHERE false"), check("not_null", columns=["nope"]))
    assert broken.verdict is Verdict.REJECTED


def test_a_node_that_is_published_but_empty_holds_no_value(bench: Bench) -> None:
    """Would catch: an anti-join with nothing that passes everything."""
    empty = bench.other("airports", "SELECT 'EWR' AS faa WHERE false")
    assert (
        bench.one(
            ROWS, check("references", column="origin", to="airports.faa"), references=[empty]
        ).failing
        == 3
    )


def test_sample_rows_are_few_short_and_json(bench: Bench) -> None:
    """Would catch: a page of cell values, bytes or times that no JSON holds, a terminal's escape
    sequence lost on the way.
    """
    import msgspec

    query = """SELECT i AS id, repeat('x', 100_000) AS long, 'a'::BLOB AS raw, TIMESTAMP 'infinity' AS t, 1.5::DECIMAL(5,2) AS d,
        'nan'::DOUBLE AS f, 9007199254740993 AS big, {'a': [1, 2]} AS nested, NULL AS nothing, TIMESTAMPTZ '2013-01-01 00:00:00-05' AS z
        FROM range(100) r(i)"""
    result = bench.one(query, check("range", column="id", max=-1))
    assert result.failing == 100 and len(result.sample) == 5
    assert len(msgspec.json.encode(result.sample)) < 5 * 600
    first = result.sample[0]
    assert (
        first["d"] == "1.50"
        and first["f"] == "nan"
        and first["big"] == "9007199254740993"
        and first["nothing"] is None
    )
    assert (
        first["long"].endswith("…")
        and first["t"] == "infinity"
        and first["z"] == "2013-01-01 00:00:00-05"
    )


@pytest.mark.parametrize("rows", [1_000, 150_000])
def test_unique_is_exact_whatever_the_order(bench: Bench, rows: int) -> None:
    """Would catch: a proof by order that holds within each thread's piece only; an estimate instead
    of a count."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for repeated in (0, 1, 7):
        values = list(range(rows - repeated)) + [
            rng.randrange(rows - repeated) for _ in range(repeated)
        ]
        for order in ("sorted", "reversed", "shuffled", "two runs"):
            values.sort(reverse=order == "reversed")
            if order == "shuffled":
                rng.shuffle(values)
            if order == "two runs":
                values = values[::2] + values[1::2]
            bench.session.connection.register(
                "given", pa.table({"id": values})
            )  # a parameter of so many would take most of the time
            bench.session.connection.execute("CREATE OR REPLACE TABLE v AS FROM given")
            staged = bench.stage("SELECT id // 10 AS a, id % 10 AS b, id FROM v")
            found = bench.audit(
                staged, check("unique", columns=["id"]), check("unique", columns=["a", "b"])
            )
            assert [result.failing for result in found.results] == [repeated, repeated], (
                order,
                repeated,
            )


@pytest.mark.parametrize("repeated", [None, 300_000, 20_479])
@pytest.mark.parametrize(
    ("order", "provable"),
    [
        ("id", True),
        ("(id // 20_480 * 7919) % 29, id", True),  # whole row groups in another order
        ("id % 2, id", False),
        ("hash(id)", False),
    ],
)
def test_unique_is_proved_by_order_within_row_groups_only_where_it_is_true(
    bench: Bench, order: str, provable: bool, repeated: int | None
) -> None:
    """Would catch: a key that stands in two row groups, each of which is in order (threads write
    them in any order).
    """
    from headrace.checks.check_kinds import StagedScanner
    from headrace.checks.kinds.unique import unique_by_order

    connection = bench.session.connection
    extra = f"UNION ALL SELECT {repeated}" if repeated else ""
    rows = (
        "SELECT i AS id, i // 7 AS a, i % 7 AS b FROM (SELECT range AS i FROM range(593_920)"
        f" {extra})"
    )
    staged, table = bench.stage(rows)
    path = bench.lake / staged.path
    connection.execute(
        f"COPY (SELECT * FROM read_parquet('{path}') ORDER BY {order}) TO '{path}.2' (FORMAT"
        " parquet, ROW_GROUP_SIZE 20480, FIELD_IDS {_partition: 1, id: 2, a: 3, b: 4})"
    )
    path.with_name(f"{path.name}.2").rename(path)
    reader = StagedScanner(bench.session, staged, table, (), several=False)
    for columns in (["id"], ["a", "b"]):
        assert unique_by_order(reader, columns, "BIGINT") is (provable and not repeated), columns
    found = bench.audit(
        (staged, table), check("unique", columns=["id"]), check("unique", columns=["a", "b"])
    )
    assert [result.failing for result in found.results] == [int(bool(repeated))] * 2


def test_unique_ignores_keys_with_a_null(bench: Bench) -> None:
    """Would catch: two nulls taken for the same key, in the count or in the proof by order."""
    query = (
        "SELECT CASE WHEN i % 2 = 0 THEN NULL ELSE i // 2 END AS id, i AS n FROM range(200_000)"
        " r(i)"
    )
    assert bench.one(query, check("unique", columns=["id"])).failing == 0
    assert (
        bench.one(query.replace("i // 2 END", "7 END"), check("unique", columns=["id"])).failing
        == 99_999
    )


def test_nan_and_infinity_are_out_of_range(bench: Bench) -> None:
    """Would catch: NaN, which compares as greater than everything, passing a lower bound."""
    query = "SELECT unnest(['nan', 'inf', '-inf', '1'])::DOUBLE AS x"
    assert bench.one(query, check("range", column="x", min=0)).failing == 2
    assert bench.one(query, check("range", column="x", max=5)).failing == 2


def test_one_row_of_figures_is_the_detail(bench: Bench) -> None:
    """Would catch: `1 row returned`, where the query has summed up what is wrong."""
    query = (
        "select count(*) filter (origin is null) as unknown, count(*) as flights from $self having"
        " count(*) > 1"
    )
    assert (
        plain(bench.one(ROWS, check("sql", name="known_origins", query=query)).detail)
        == "unknown 1, flights 4"
    )
    unnamed = check("sql", name="any_row", query="select 1 from $self limit 1")
    assert plain(bench.one(ROWS, unnamed).summary) == "any_row: 1 row returned"


def test_a_contracts_promises_are_checks(bench: Bench) -> None:
    """Would catch: a promise in a contract that nothing holds the vendor to; a key of two columns
    taken for two keys.
    """
    from headrace.checks.audit import promised_checks
    from headrace.model import ContractColumn, Place

    columns = [
        ContractColumn(name="a", primary_key=True),
        ContractColumn(name="b", primary_key=True),
        ContractColumn(name="c", required=True),
        ContractColumn(name="d", unique=True),
    ]
    specs = promised_checks(columns, Place(file="contracts/x.odcs.yaml"))
    rows = "SELECT * FROM (VALUES (1, 1, 1, 1), (1, 2, NULL, 1)) v(a, b, c, d)"
    found = bench.audit(bench.stage(rows), *specs)
    assert [(result.name, result.failing) for result in found.results] == [
        ("contract_required", 1),
        ("contract_unique_d", 1),
        ("contract_unique_a_b", 0),
    ]
    assert promised_checks([ContractColumn(name="a")], Place(file="x")) == ()
