"""T-SQL is carried where Microsoft's documentation says that it means the same, else named."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from headrace_import.importers.adf.sql_tasks import NotTranslatedError, translate

KINDS = {
    "i": "int", "j": "int", "d": "decimal", "e": "decimal", "f": "float", "s": "text",
    "day": "date", "ts": "timestamp", "old": "other",
}  # fmt: skip
"""Columns of `t` whose types a dataset says; `a`, `b` and `c` are of unknown types."""


def _translated(query: str) -> str:
    return translate(query, "tsql", "shop", lambda _table: KINDS).sql


def _rows(expression: str, rows: str) -> list[Any]:
    sql = _translated(f"SELECT {expression} AS n FROM t").replace("{table:0}", "t")
    with duckdb.connect() as connection:
        columns = "i, j, f, s" if rows.count(",") % 4 else "i, j, day, ts, d"
        connection.execute(f"create table t as from (values {rows}) v({columns})")
        return [row[0] for row in connection.execute(sql).fetchall()]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("CAST(f AS int)", -1), ("CONVERT(bigint, f)", -1), ("i / 2", 3), ("-i / 2", -3),
        ("i / NULLIF(j, 0)", None), ("CAST(i AS float) / 2", 3.5), ("-i % 4", -3),
        ("'c-' + s + N'!'", "c-ab !"), ("s + s", "ab ab "), ("ISNULL(NULLIF(j, 0), 5)", 5),
        ("IIF(i > 3, 'more', 'less')", "more"), ("CASE i WHEN 7 THEN 1 ELSE 0 END", 1),
        ("CAST(i AS decimal(5, 1))", 7), ("ROUND(i, 1)", 7), ("i + 1.5", 8.5),
        ("CASE WHEN s COLLATE Latin1_General_BIN2 = 'ab' THEN 1 END", 1),
        ("CASE WHEN s COLLATE Latin1_General_BIN2 = 'AB' THEN 1 END", None),
        ("CASE WHEN f BETWEEN -2 AND 0 THEN 1 END", 1),
    ],
)  # fmt: skip
def test_what_is_carried_has_the_values_of_sql_server(expression: str, expected: Any) -> None:
    """Would catch rounding instead of cutting, fractions of whole numbers, and 32-bit floats."""
    assert _rows(expression, "(7, 0, -1.7::double, 'ab ')") == [expected]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("YEAR(ts)", 2024), ("DATEDIFF(day, day, ts)", 1), ("DATEDIFF(month, day, ts)", 1),
        ("DATEPART(hour, ts)", 0), ("DATEADD(month, 1, day)", "2024-02-29"),
        ("CAST(ts AS date)", "2024-02-01"), ("DATEADD(day, -1, ts)", "2024-01-31 00:01:00"),
    ],
)  # fmt: skip
def test_dates_have_the_values_of_sql_server(expression: str, expected: Any) -> None:
    rows = "(1, 1, date '2024-01-31', timestamp '2024-02-01 00:01:00', 1.5)"
    assert str(_rows(expression, rows)[0]) == str(expected)


@pytest.mark.parametrize(
    "condition",
    [
        "i = j", "a = 5", "d > 1.5", "day >= '2024-01-01'", "ts < '2024-01-01 10:00:00'",
        "day = ts", "a IN (1, 2)", "a BETWEEN 1 AND 2", "i IN (SELECT j FROM t)", "old = 1",
        "EXISTS (SELECT 1 FROM t AS u WHERE u.i = t.j)", "old >= $partition_start",
        "a IS NOT NULL AND NOT (b = 1)",
    ],
)  # fmt: skip
def test_comparisons_of_what_is_no_text_are_carried(condition: str) -> None:
    """Would catch a guard that carries nothing: known types and numbers mean the same."""
    assert _translated(f"SELECT i FROM t WHERE {condition}")


DIFFERENT = [
    "ISNULL(a, 'none')", "ISNULL(i, d)", "ISNULL(a, b)", "COALESCE(s, 0)", "DATEDIFF(week, day, ts)",
    "DATEDIFF(day, a, b)", "DATEPART(weekday, ts)", "DATEPART(week, ts)", "DATENAME(month, ts)",
    "CONCAT(a, b)", "CONCAT_WS(',', a, b)", "CONVERT(varchar(10), ts, 112)", "CONVERT(date, s, 103)",
    "CAST(i AS varchar(3))", "CAST(s AS varchar)", "CAST(i AS money)", "CAST(ts AS datetime)",
    "CAST(ts AS datetime2(3))", "CAST(i AS real)", "CAST(i AS float(24))", "CAST(i AS bit)",
    "CAST(s AS char(5))", "CAST(i AS decimal)", "CAST(i AS decimal(38, 10))", "CAST(a AS int)",
    "CAST(s AS int)", "CAST(f AS decimal(9, 2))", "CAST(a AS date)", "TRY_CAST(i AS int)",
    "TRY_CONVERT(int, i)", "PARSE('1' AS int)", "FORMAT(ts, 'yyyy')", "GETDATE()",
    "SYSUTCDATETIME()", "CURRENT_TIMESTAMP", "NEWID()", "RAND()", "@@ROWCOUNT", "SUSER_SNAME()",
    "ROUND(d, 2, 1)", "ROUND(f, 2)", "SUBSTRING(s, 2, 3)", "LEFT(s, 2)", "RIGHT(s, 2)", "LEN(s)",
    "DATALENGTH(s)", "UPPER(s)", "LOWER(s)", "LTRIM(s)", "CHARINDEX('x', s)", "PATINDEX('%x%', s)",
    "REPLACE(s, 'X', 'y')", "STUFF(s, 1, 2, 'x')", "REVERSE(s)", "STRING_AGG(s, ',')", "STR(f)",
    "POWER(i, 2)", "SQUARE(i)", "LOG(f)", "HASHBYTES('MD5', s)", "CHECKSUM(s)", "UNICODE(s)",
    "JSON_VALUE(s, '$.b')", "ISNUMERIC(s)", "ISDATE(s)", "EOMONTH(day)", "DATEADD(hour, 1, ts)",
    "DATEADD(day, i, day)", "DATEADD(day, 1, old)", "d / 2.0", "1.0 * i / j", "a % b", "i / j",
    "f / i", "AVG(i)", "AVG(d)", "d * e * d", "a * b", "a + b", "a - b", "day - 1", "'000' + a",
    "a + '-' + b", "a + 'x1'", "s + i", "3000000000", "ts AT TIME ZONE 'UTC'", "MIN(s)", "MAX(a)",
    "COUNT(DISTINCT s)", "CASE WHEN s = 'x' THEN 1 END", "CASE s WHEN 'x' THEN 1 END",
    "CASE WHEN a LIKE '[a-c]%' THEN 1 END", "NULLIF(s, '')", "CHOOSE(i, 'a', 'b')",
    "GREATEST(s, a)", "ROW_NUMBER() OVER (ORDER BY s)", "SUM(d) OVER (PARTITION BY s)",
    "DATEFROMPARTS(2024, i, 1)", "TRANSLATE(s, 'a', 'b')", "SOUNDEX(s)", "i & j", "~i", "0x1F",
]  # fmt: skip


@pytest.mark.parametrize("expression", DIFFERENT)
def test_what_may_differ_in_duckdb_is_named(expression: str) -> None:
    """Would catch a construct that publishes other rows; the reason names it."""
    with pytest.raises(NotTranslatedError, match=r"in its query, `|can't be|isn't understood"):
        _translated(f"SELECT {expression} AS n FROM t")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT TOP 5 i FROM t", "without an order"),
        ("SELECT TOP 5 i FROM t ORDER BY s", "s"),
        ("SELECT TOP 5 PERCENT i FROM t ORDER BY i", "PERCENT"),
        ("SELECT TOP 5 WITH TIES i FROM t ORDER BY i", "WITH TIES"),
        ("SELECT i FROM t WITH (READPAST)", "READPAST"),
        ("SELECT i FROM t WHERE s = 'open'", "`s = 'open'`"),
        ("SELECT i FROM t WHERE a = 'open'", "`a = 'open'`"),
        ("SELECT t.i FROM t JOIN u ON t.a = u.a", "`t.a = u.a`"),
        ("WITH t(i) AS (SELECT s FROM u) SELECT i FROM t WHERE i = a", "`i = a`"),
        ("SELECT i FROM t WHERE old > '2024-01-01'", "language"),
        ("SELECT i FROM t WHERE s LIKE 'a%'", "LIKE"),
        ("SELECT i FROM t WHERE s COLLATE Latin1_General_CI_AS = 'x'", "Latin1_General_CI_AS"),
        ("SELECT i FROM t WHERE s COLLATE Latin1_General_BIN2 > 'x'", "COLLATE"),
        ("SELECT s, COUNT(*) AS n FROM t GROUP BY s", "GROUP BY s"),
        ("SELECT DISTINCT s FROM t", "DISTINCT"),
        ("SELECT s FROM t UNION SELECT s FROM t", "UNION"),
        ("SELECT s FROM t EXCEPT SELECT s FROM t", "EXCEPT"),
        ("SELECT i FROM t FOR XML PATH('')", "FOR"),
        ("SELECT i FROM t CROSS APPLY f(t.i) AS x", "f(t.i)"),
        ("SELECT i FROM t OPTION (MAXRECURSION 5)", "OPTIONS"),
        ("SELECT i FROM t TABLESAMPLE (10 PERCENT)", "TABLESAMPLE"),
        ("SELECT i FROM t WHERE i IN (@x, 2)", "@x"),
        ("SELECT i, SUM(j) AS n FROM t GROUP BY ROLLUP (i)", "ROLLUP"),
        ("SELECT i FROM t FOR SYSTEM_TIME AS OF '2024-01-01'", "SYSTEM_TIME"),
        ("WITH c AS (SELECT i FROM t UNION ALL SELECT i FROM c) SELECT i FROM c", "reads itself"),
        ("SELECT COUNT(*) FROM t", "without a name"),
        (
            "SELECT SUM(i) OVER (PARTITION BY i, i) AS n, SUM(i) OVER (PARTITION BY i, s) AS m FROM t",
            "",
        ),
        ("SELECT i FROM t WHERE i IS DISTINCT FROM 1 OR i = 2", ""),
    ],
)
def test_rows_that_may_differ_in_duckdb_are_named(query: str, named: str) -> None:
    with pytest.raises(NotTranslatedError) as raised:
        _translated(query)
    assert named in str(raised.value)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT TOP 5 s FROM t WITH (NOLOCK) ORDER BY i DESC",
        "SELECT s FROM t ORDER BY s",
        "SELECT s FROM t ORDER BY i OFFSET 5 ROWS FETCH NEXT 5 ROWS ONLY",
        "SELECT i, SUM(d * e) AS n, COUNT(*) AS c FROM t GROUP BY i HAVING COUNT(*) > 1",
        "WITH c AS (SELECT i AS k FROM t) SELECT k, ROW_NUMBER() OVER (ORDER BY k) AS n FROM c",
        "SELECT s FROM t UNION ALL SELECT s FROM t",
    ],
)
def test_rows_of_known_columns_are_carried(query: str) -> None:
    """Would catch `nulls first` that is lost: SQL Server takes NULL for the smallest value."""
    sql = _translated(query)
    assert "NULLS FIRST" in sql or "ORDER BY" not in query or "DESC" in query
