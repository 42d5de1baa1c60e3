from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest
from quality_bench import NOW_US, Bench, check

from headrace.checks import CheckState, Verdict
from headrace.model import Grain
from headrace.model.texts import plain

DAY = Grain.DAY
ZONE = "America/New_York"


class Counted:
    """Lets queries through to DuckDB, and keeps their texts: what is read is what an
    audit costs.
    """

    def __init__(self, connection: Any) -> None:
        self._connection, self.queries = connection, []

    def execute(self, query: str, *parameters: Any) -> Any:
        self.queries.append(query)
        return self._connection.execute(query, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def queries_of(bench: Bench, staged: Any, *checks: Any, **more: Any) -> tuple[Any, list[str]]:
    counted = Counted(bench.session.connection)
    bench.session.connection = counted  # type: ignore[assignment]
    try:
        return bench.audit(staged, *checks, **more), counted.queries
    finally:
        bench.session.connection = counted._connection


def test_all_checks_of_a_file_cost_one_scan(bench: Bench) -> None:
    """Would catch: a scan a check (2.4 ms instead of 0.95 on a day of flights)."""
    staged = bench.stage(
        "SELECT i AS id, 'EWR' AS origin, CASE WHEN i > 5 THEN NULL ELSE i END AS n FROM range(10)"
        " r(i)"
    )
    result, queries = queries_of(
        bench,
        staged,
        check("unique", columns=["id"]),
        check("not_null", columns=["n"], where="id < 3"),
        check("range", column="id", min=0),
        check("accepted_values", column="origin", values=["EWR"]),
        check("regex", column="origin", pattern="[A-Z]{3}"),
        check("row_count", min=1),
    )
    assert result.verdict is Verdict.PASSED and len(queries) == 1


def test_a_large_file_is_scanned_once_and_not_for_what_its_footer_says(bench: Bench) -> None:
    """Would catch: a second scan of millions of rows for the profile; nulls counted that the footer
    knows.
    """
    staged = bench.stage(
        "SELECT i AS id, i % 7 AS n, DATE '2013-02-11' AS day FROM range(300_000) r(i)",
        key="2013-02-11",
    )
    result, queries = queries_of(
        bench,
        staged,
        check("not_null", columns=["id", "n"]),
        check("row_count", min=1),
        partition_check=("day", DAY, ZONE),
    )
    scans = [query for query in queries if "read_parquet" in query]
    assert result.verdict is Verdict.PASSED and len(scans) == 1 and "IS NULL" not in scans[0]
    assert result.profile["id"].rows == 300_000 and result.profile["id"].maximum == "299999"


def test_keys_of_a_large_sorted_file_are_proved_in_one_pass(bench: Bench) -> None:
    """Would catch: distinct keys counted where their order already proves them unique."""
    staged = bench.stage("SELECT i // 7 * 1_000_000 AS a, i % 7 AS b FROM range(300_000) r(i)")
    result, queries = queries_of(bench, staged, check("unique", columns=["a", "b"]))
    assert (
        result.verdict is Verdict.PASSED
        and queries
        and not any("DISTINCT" in query for query in queries)
    )


@pytest.mark.parametrize(
    ("key", "counted"),
    [
        ("(i * 7919) % 300_000 - 150_000", False),
        ("((i * 7919) % 300_000)::INTEGER", False),
        ("9_223_372_036_854_775_807 - (i * 7919) % 300_000", False),
        ("(18_446_744_073_709_551_615 - (i * 7919) % 300_000)::UBIGINT", False),
        ("-9_223_372_036_854_775_808 + (i * 7919) % 300_000", False),
        ("(i * 7919) % 300_000 * 1_000", True),
    ],
)
@pytest.mark.parametrize("repeated", [0, 1])
def test_keys_that_lie_close_together_are_counted_exactly_with_bits_in_any_order(
    bench: Bench, key: str, *, counted: bool, repeated: int
) -> None:
    """Would catch: a repeated key that is taken for one bit of two, bounds that overflow, bits for
    keys that lie far apart.
    """
    again = f" UNION ALL SELECT {key} FROM range(77, 78) r(i)" * repeated
    staged = bench.stage(f"SELECT {key} AS id FROM range(300_000) r(i){again}")
    result, queries = queries_of(bench, staged, check("unique", columns=["id"]))
    assert result.results[0].failing == repeated
    assert any("DISTINCT" in query for query in queries) is counted


@pytest.mark.parametrize(
    ("first", "second", "counted"),
    [
        ("i // 7 - 9_000", "(i % 7 - 128)::TINYINT", False),
        ("(i % 7)::UTINYINT", "i // 7", False),
        ("DATE '1969-12-30' + (i % 5)::INTEGER", "i // 5", False),
        ("(18_446_744_073_709_551_615 - i // 7)::UBIGINT", "(i % 7)::SMALLINT", False),
        ("-9_223_372_036_854_775_808 + i // 7", "i % 7", False),
        ("CASE i % 2 WHEN 0 THEN -9_223_372_036_854_775_808 ELSE 9_223_372_036_854_775_807 END",
         "i", True),
        ("CASE i % 2 WHEN 0 THEN DATE 'infinity' ELSE DATE '2024-01-01' END", "i", True),
        ("i // 7", "CASE i % 7 WHEN 0 THEN NULL ELSE i % 7 END", True),
        ("i // 7", "'b' || i % 7", True),
        ("i * 7", "i * 1_000_003 % 300_000", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("repeated", [0, 3])
def test_keys_of_several_columns_are_counted_exactly_with_bits(
    bench: Bench, first: str, second: str, *, counted: bool, repeated: int
) -> None:
    """Would catch: two keys on one bit, digits in another order than their ranges, an overflow, a
    column's name in the wrong place.
    """
    numbers = "SELECT hash(i) AS h, i FROM range(300_000) r(i)"
    more = f" UNION ALL SELECT 0, 77 + i * 1_001 FROM range({repeated}) r(i)"
    columns = f"""SELECT {first} AS "a - b", {second} AS "it's" """
    staged = bench.stage(f"{columns} FROM ({numbers}{more}) ORDER BY h")
    key = check("unique", columns=["a - b", "it's"])
    result, queries = queries_of(bench, staged, key)
    assert result.results[0].failing == sum(
        count - 1 for count in _known_keys(bench, staged[0].path).values()
    )
    assert result.results[0].failing >= (0 if "NULL" in second else repeated)
    if not repeated or counted:
        assert any("DISTINCT" in query for query in queries) is counted


def _known_keys(bench: Bench, path: str) -> Counter[tuple[object, ...]]:
    rows = bench.session.connection.execute(
        f"SELECT COLUMNS(* EXCLUDE _partition)::VARCHAR FROM read_parquet('{bench.lake / path}')"
    ).fetchall()
    return Counter(row for row in rows if None not in row)


def test_the_profile_of_a_small_file_says_more(bench: Bench) -> None:
    """Would catch: figures of another column, nulls counted as values, a mean of NaN."""
    result = bench.audit(
        bench.stage("""SELECT * FROM (VALUES (1, 'a', 1.5::DECIMAL(4,1), 'nan'::DOUBLE, [1]),
        (2, 'b', NULL, 2, NULL), (3, 'b', 4.5, 4, [2]))
        v(id, letter, d, f, list)""")
    )
    profile = result.profile
    assert (profile["id"].rows, profile["id"].nulls, profile["id"].mean) == (3, 0, 2.0)
    assert (profile["letter"].minimum, profile["letter"].maximum, profile["letter"].mean) == (
        "a",
        "b",
        None,
    )
    assert (profile["d"].nulls, profile["d"].mean, profile["d"].maximum) == (1, 3.0, "4.5")
    assert profile["f"].mean == 3.0 and profile["list"].nulls == 1
    assert (
        result.verdict is Verdict.UNCHECKED and "_partition" not in profile and result.seconds > 0
    )


@pytest.mark.parametrize(
    ("column", "inside", "failing"),
    [
        ("DATE '2013-02-11'", True, 0),
        ("DATE '2013-02-12'", False, 1),
        ("NULL::DATE", False, 1),
        ("TIMESTAMP '2013-02-11 23:59:59.999999'", True, 0),
        ("TIMESTAMP '2013-02-12 00:00:00'", False, 1),
        ("TIMESTAMP '2013-02-10 23:59:59.999999'", False, 1),
        ("TIMESTAMPTZ '2013-02-11 05:00:00+00'", True, 0),
        ("TIMESTAMPTZ '2013-02-11 04:59:59.999999+00'", False, 1),
        ("TIMESTAMPTZ '2013-02-12 04:59:59.999999+00'", True, 0),
        ("TIMESTAMPTZ '2013-02-12 05:00:00+00'", False, 1),
        ("'infinity'::TIMESTAMP", False, 1),
        ("'infinity'::DATE", False, 1),
        ("TIMESTAMP_S '2013-02-11 10:00:00'", True, 0),
        ("TIMESTAMP_NS '2013-02-12 00:00:00'", False, 1),
    ],
)
@pytest.mark.parametrize("rows", [1, 150_000])
def test_a_row_outside_its_day_rejects_the_partition(
    bench: Bench, column: str, inside: bool, failing: int, rows: int
) -> None:
    """Would catch: a day cut in UTC instead of the asset's zone, an end that is included, a null
    that belongs everywhere, statistics believed where they prove nothing."""
    staged = bench.stage(f"SELECT {column} AS at, i FROM range({rows}) r(i)", key="2013-02-11")
    found = bench.audit(staged, check("row_count", min=1), partition_check=("at", DAY, ZONE))
    assert (found.verdict is Verdict.PASSED) is inside
    misplaced = [result for result in found.results if result.kind == "row_outside_partition"]
    assert [result.failing for result in misplaced] == ([failing * rows] if failing else [])
    if failing:
        assert (
            misplaced[0].outcome is CheckState.FAILED
            and len(misplaced[0].sample) == min(rows, 5)
            and "2013-02-11" in misplaced[0].detail
        )


def test_one_row_among_many_is_found(bench: Bench) -> None:
    """Would catch: a comparison of the most only."""
    staged = bench.stage(
        "SELECT DATE '2013-02-11' + (CASE WHEN i = 777 THEN 1 ELSE 0 END)::INTEGER AS day, i FROM"
        " range(200_000) r(i)",
        key="2013-02-11",
    )
    result = bench.audit(staged, partition_check=("day", DAY, ZONE))
    assert result.verdict is Verdict.REJECTED and result.results[0].failing == 1
    assert result.results[0].sample == ({"day": "2013-02-12", "i": 777},)


@pytest.mark.parametrize("column", ["origin", "nope"])
def test_a_partition_column_that_says_no_time_rejects(bench: Bench, column: str) -> None:
    """Would catch: rows taken for their partition's because they couldn't be compared."""
    result = bench.audit(
        bench.stage("SELECT 'EWR' AS origin", key="2013-02-11"), partition_check=(column, DAY, ZONE)
    )
    assert result.verdict is Verdict.REJECTED and "can't be checked" in result.results[0].detail


def test_without_a_column_the_body_is_taken_at_its_word(bench: Bench) -> None:
    """Would catch: an opaque body in the short form held to a column that it doesn't have."""
    result = bench.audit(
        bench.stage("SELECT 1 AS n", key="2013-02-11"),
        check("row_count", min=1),
        partition_check=(None, DAY, ZONE),
    )
    assert result.verdict is Verdict.PASSED and len(result.results) == 1


HOURS = [
    "2013-11-03T00:00-04:00",
    "2013-11-03T01:00-04:00",
    "2013-11-03T01:00-05:00",
    "2013-11-03T02:00-05:00",
]


@pytest.mark.parametrize(
    ("grain", "keys", "kind", "rows"),
    [
        (
            DAY,
            ["2013-02-11", "2013-02-12", "2013-02-14"],
            "DATE",
            {
                "2013-02-11": "2013-02-11",
                "2013-02-12": "2013-02-12",
                "2013-02-13": "",
                "2013-02-14": "2013-02-14",
                "2013-02-15": "",
                "2013-02-10": "",
            },
        ),
        (
            DAY,
            ["2013-03-10", "2013-03-11"],
            "TIMESTAMP WITH TIME ZONE",
            {
                "2013-03-10 04:59:59+00": "",
                "2013-03-10 05:00:00+00": "2013-03-10",
                "2013-03-11 03:59:59+00": "2013-03-10",
                "2013-03-11 04:00:00+00": "2013-03-11",
            },
        ),
        (
            Grain.WEEK,
            ["2013-W07", "2013-W08"],
            "TIMESTAMP",
            {
                "2013-02-10 23:59:59": "",
                "2013-02-11 00:00:00": "2013-W07",
                "2013-02-18 00:00:00": "2013-W08",
                "2013-02-25 00:00:00": "",
            },
        ),
        (
            Grain.MONTH,
            ["2013-01", "2013-02"],
            "DATE",
            {"2012-12-31": "", "2013-01-31": "2013-01", "2013-02-28": "2013-02", "2013-03-01": ""},
        ),
        (
            Grain.QUARTER,
            ["2013-Q1", "2013-Q2"],
            "DATE",
            {"2013-03-31": "2013-Q1", "2013-04-01": "2013-Q2"},
        ),
        (Grain.YEAR, ["2012", "2013"], "DATE", {"2012-12-31": "2012", "2013-01-01": "2013"}),
        (
            Grain.HOUR,
            HOURS,
            "TIMESTAMP WITH TIME ZONE",
            {
                "2013-11-03 04:30:00+00": HOURS[0],
                "2013-11-03 05:30:00+00": HOURS[1],
                "2013-11-03 06:30:00+00": HOURS[2],
                "2013-11-03 07:00:00+00": HOURS[3],
            },
        ),
        (
            Grain.HOUR,
            HOURS,
            "TIMESTAMP",
            {
                "2013-11-03 00:59:59": HOURS[0],
                "2013-11-03 01:30:00": HOURS[1],
                "2013-11-03 02:00:00": HOURS[3],
                "2013-11-03 03:00:00": "",
            },
        ),
        (
            Grain.HOUR,
            ["2013-03-10T01:00-05:00", "2013-03-10T03:00-04:00"],
            "TIMESTAMP",
            {
                "2013-03-10 01:59:59": "2013-03-10T01:00-05:00",
                "2013-03-10 02:30:00": "2013-03-10T03:00-04:00",
                "2013-03-10 03:30:00": "2013-03-10T03:00-04:00",
            },
        ),
    ],
)
def test_each_row_of_a_batch_gets_the_key_of_its_interval(
    bench: Bench, grain: Grain, keys: list[str], kind: str, rows: dict[str, str]
) -> None:
    """Would catch: a doubled hour or a gap given to the wrong one (SEMANTICS §1), a gap between
    keys filled, an hour in UTC.
    """
    values = ", ".join(f"('{at}'::{kind}, '{key}')" for at, key in rows.items())
    staged = bench.batch(
        f'SELECT * FROM (VALUES {values}) v("at", expected)', "at", kind, keys, grain
    )
    path = bench.lake / staged[0].path
    wrong = bench.session.connection.execute(
        f"SELECT * FROM read_parquet('{path}') WHERE _partition <> expected"
    ).fetchall()
    assert wrong == []
    found = bench.audit(staged, partition_check=("at", grain, ZONE), partitions=keys)
    outside = sum(key == "" for key in rows.values())
    assert [result.failing for result in found.results] == ([outside] if outside else [])


def test_a_year_of_days_is_routed_as_day_by_day(bench: Bench) -> None:
    """Would catch: a tree of comparisons that is off by one somewhere."""
    keys = [(dt.date(2013, 1, 1) + dt.timedelta(days=day)).isoformat() for day in range(365)]
    query = (
        "SELECT TIMESTAMPTZ '2012-12-30 00:00:00-05' + INTERVAL 37 MINUTE * i AS at FROM"
        " range(15_000) r(i)"
    )
    staged = bench.batch(query, "at", "TIMESTAMP WITH TIME ZONE", keys)
    path = bench.lake / staged[0].path
    wrong = bench.session.connection.execute(
        f"SELECT count(*) FROM read_parquet('{path}') AS f WHERE _partition <> CASE WHEN year(f.at)"
        " = 2013 THEN strftime(f.at, '%Y-%m-%d') ELSE '' END"
    ).fetchone()
    assert wrong == (0,)


def test_a_batch_is_judged_day_by_day(bench: Bench) -> None:
    """Would catch: a rule that holds of the batch as a whole and of none of its days, or the other
    way round."""
    keys = ["2013-02-11", "2013-02-12", "2013-02-13"]
    query = """SELECT * FROM (VALUES (DATE '2013-02-11', 1, 5), (DATE '2013-02-11', 2, 5),
        (DATE '2013-02-12', 1, 5), (DATE '2013-02-12', 1, NULL))
        v(day, id, n)"""
    staged = bench.batch(query, "day", "DATE", keys)
    result = bench.audit(
        staged,
        check("unique", columns=["id"]),
        check("row_count", min=2),
        check("not_null", columns=["n"]),
        check("range", column="id", min=0),
        check("sql", query="select count(*) as n from $self having count(*) <> 2"),
        partition_check=("day", DAY, ZONE),
        partitions=keys,
    )
    unique, count, nulls, ranged, sql = result.results
    assert (unique.failing, unique.partitions, plain(unique.detail)) == (
        1,
        ("2013-02-12",),
        "id: 1 row repeating a key (1)",
    )
    assert (count.failing, count.partitions) == (2, ("2013-02-13",))
    assert (nulls.failing, nulls.partitions, nulls.sample[0]["day"]) == (
        1,
        ("2013-02-12",),
        "2013-02-12",
    )
    assert ranged.outcome is CheckState.PASSED and ranged.rows == 4
    assert sql.partitions == ("2013-02-13",)


def test_a_batch_with_rows_on_one_day_only_is_still_a_batch(bench: Bench) -> None:
    """Would catch: the figures of the one day given to the others."""
    keys = ["2013-02-11", "2013-02-12"]
    staged = bench.batch("SELECT DATE '2013-02-12' AS day, 1 AS id", "day", "DATE", keys)
    result = bench.audit(
        staged,
        check("row_count", min=1),
        check("unique", columns=["id"]),
        partition_check=("day", DAY, ZONE),
        partitions=keys,
    )
    assert (
        result.results[0].partitions == ("2013-02-11",)
        and result.results[1].outcome is CheckState.PASSED
    )


def us(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("newest", "now", "fails"),
    [
        ("TIMESTAMPTZ '2013-02-11 20:00:00-05'", "2013-02-12T01:00:00-05:00", False),
        (
            "TIMESTAMPTZ '2013-02-11 17:00:00-05'",
            "2013-02-12T01:00:00-05:00",
            True,
        ),  # against the interval's end, which is midnight
        (
            "TIMESTAMPTZ '2013-02-11 20:00:00-05'",
            "2014-02-12T01:00:00-05:00",
            False,
        ),  # rebuilt a year later
        (
            "TIMESTAMPTZ '2013-02-11 01:00:00-05'",
            "2013-02-11T06:00:00-05:00",
            False,
        ),  # before the interval has ended
        ("TIMESTAMPTZ '2013-02-11 01:00:00-05'", "2013-02-11T07:00:01-05:00", True),
        ("TIMESTAMP '2013-02-11 18:00:00'", "2013-02-12T01:00:00-05:00", False),
        ("TIMESTAMP '2013-02-11 17:59:59'", "2013-02-12T01:00:00-05:00", True),
        ("DATE '2013-02-11'", "2013-02-11T06:00:00-05:00", False),
        ("DATE '2013-02-11'", "2013-02-12T01:00:00-05:00", True),
        ("NULL::DATE", "2013-02-12T01:00:00-05:00", True),
        ("'infinity'::TIMESTAMP", "2013-02-12T01:00:00-05:00", True),
        ("TIMESTAMP '290000-01-01 00:00:00'", "2013-02-12T01:00:00-05:00", True),
        # In the future there is no age: measured from now, also where the interval ended before.
        ("TIMESTAMP '2099-01-01 00:00:00'", "2013-02-12T01:00:00-05:00", True),
        ("DATE '2013-02-13'", "2013-02-12T01:00:00-05:00", False),  # tomorrow, a day is allowed
        ("DATE '2013-02-14'", "2013-02-12T01:00:00-05:00", True),
        (
            "TIMESTAMPTZ '2013-03-01 00:00:00-05'",
            "2013-03-02T00:00:00-05:00",
            False,
        ),  # written late
    ],
)
def test_freshness_is_the_age_of_the_newest_value(
    bench: Bench, newest: str, now: str, fails: bool
) -> None:
    """Would catch: age in the wrong zone, history that can never be rebuilt, unknown taken for
    fresh."""
    staged = bench.stage(f"SELECT {newest} AS at UNION ALL SELECT NULL", key="2013-02-11")
    result = bench.audit(
        staged,
        check("freshness", column="at", max_age="6h"),
        partition_check=(None, DAY, ZONE),
        now_us=us(now),
    )
    assert (result.results[0].outcome is CheckState.FAILED) is fails, result.results[0]


def test_freshness_names_a_future_value_and_its_limit(bench: Bench) -> None:
    """Would catch: a year 2099 that keeps a table fresh for decades, a limit that isn't heard, and
    `31371 days 15 h more than the 24 h 00 min allowed`."""
    staged = bench.stage("SELECT TIMESTAMP '2099-01-01 00:00:00' AS at")
    spec = {"column": "at", "max_age": "2d"}
    refused, allowed = (
        bench.audit(
            staged, check("freshness", **spec, **ahead), partition_check=None, now_us=NOW_US
        ).results[0]
        for ahead in ({}, {"max_ahead": "36500d"})
    )
    assert (refused.outcome, allowed.outcome) == (CheckState.FAILED, CheckState.PASSED)
    assert plain(refused.detail) == (
        "at: newest is 2099-01-01 00:00:00-05:00, about 86 years in the future; at most"
        " 1d is allowed (`max_ahead`)"
    )


def test_freshness_of_a_value_that_is_infinite(bench: Bench) -> None:
    """Would catch: a time without end beside fresh ones, of which nothing is said; 9999 was."""
    for kind in ("TIMESTAMP", "TIMESTAMPTZ", "DATE"):
        staged = bench.stage(f"SELECT unnest(['infinity', '2013-02-11'])::{kind} AS at")
        result = bench.audit(
            staged,
            check("freshness", column="at", max_age="9d", max_ahead="9000d"),
            partition_check=None,
            now_us=NOW_US,
        ).results[0]
        assert result.outcome == CheckState.FAILED
        assert plain(result.detail) == (
            "at: newest is infinity; at most 9000d in the future is allowed"
        )
    past = bench.stage("SELECT unnest(['-infinity', '2013-02-11'])::DATE AS at")
    spec = check("freshness", column="at", max_age="9d")
    passed = bench.audit(past, spec, partition_check=None, now_us=NOW_US).results[0]
    assert passed.outcome == CheckState.PASSED


def test_what_is_not_cut_by_time_is_compared_with_now(bench: Bench) -> None:
    """Would catch: reference data that is fresh for ever."""
    staged = bench.stage("SELECT DATE '2013-02-10' AS at")
    old = bench.audit(
        staged, check("freshness", column="at", max_age="2d"), partition_check=None, now_us=NOW_US
    )
    fresh = bench.audit(
        staged, check("freshness", column="at", max_age="4d"), partition_check=None, now_us=NOW_US
    )
    assert (old.verdict, fresh.verdict) == (Verdict.REJECTED, Verdict.PASSED)
    assert "2013-02-10" in old.results[0].detail


def test_hostile_keys_names_and_values_stay_data(bench: Bench) -> None:
    """B9. Would catch: a key, a column or an accepted value that ends its literal."""
    for key in ["' OR 1=1 --", "'); DROP TABLE x; --", "\\'", "\0", "’", "x" * 65_536, '"', "`]$$"]:
        name = key.replace("\0", "0")[:60] or "x"
        quoted = '"' + name.replace('"', '""') + '"'
        bench.session.connection.execute("CREATE OR REPLACE TABLE v AS SELECT $v AS v", {"v": key})
        staged = bench.stage(f"SELECT v AS {quoted} FROM v", key=key)
        result = bench.audit(
            staged,
            check("accepted_values", column=name, values=[key]),
            check("unique", columns=[name]),
            partitions=[key],
        )
        assert result.verdict is Verdict.PASSED, (key, result.results)
        other = bench.audit(
            staged, check("accepted_values", column=name, values=[key + "x"]), partitions=[key]
        )
        assert other.verdict is Verdict.REJECTED
