"""T-SQL that DuckDB would read otherwise is rewritten, noted, or left in the factory."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from headrace.importers.adf.sql_tasks import NotTranslatedError, translate


def _rows(query: str, rows: str) -> list[Any]:
    sql = translate(query, "tsql", "shop").sql.replace("{table:0}", "t")
    with duckdb.connect() as connection:
        connection.execute(f"create table t as from (values {rows}) v(a, b)")
        return [row[0] for row in connection.execute(sql).fetchall()]


@pytest.mark.parametrize(
    ("expression", "rows", "expected"),
    [
        ("LEN(a)", "('ab  ', 1), ('  ', 1)", [2, 0]),
        ("CAST(a AS int)", "(1.7, 1), (-1.7, 1)", [1, -1]),
        ("CONVERT(bigint, a)", "('12', 1)", [12]),
        ("CAST(a AS decimal)", "(1.4, 1)", [1]),
        ("CAST(a AS float) / NULLIF(b, 0)", "(1, 3), (1, 0)", [1 / 3, None]),
        ("CAST('abcdef' AS varchar(3))", "(1, 1)", ["abc"]),
        ("a + b + N'!'", "('x', 'y'), (null, 'y')", ["xy!", None]),
        ("DATEDIFF(day, a, b)", "('2024-01-01 23:59:00'::timestamp, '2024-01-02 00:01:00'::timestamp)", [1]),
        ("ISNULL(a, 0)", "(null, 1), (2, 1)", [0, 2]),
        ("CAST(CAST(a AS int) AS float)", "(1.7, 1)", [1.0]),
    ],
)  # fmt: skip
def test_what_is_translated_has_the_values_of_sql_server(
    expression: str, rows: str, expected: list[Any]
) -> None:
    """Would catch LEN with spaces at the end, rounding instead of cutting, and 32-bit floats."""
    assert _rows(f"SELECT {expression} AS n FROM t", rows) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "ISNULL(a, 'none')", "ISNULL(a, b)", "DATEDIFF(week, a, b)", "DATEPART(weekday, a)",
        "DATENAME(month, a)", "CONCAT(a, b)", "CONCAT_WS(',', a, b)", "CONVERT(varchar(10), a, 112)",
        "CONVERT(date, a, 103)", "CAST(a AS varchar(3))", "CAST(a AS money)", "CAST(a AS datetime)",
        "CAST(a AS datetime2(3))", "CAST(a AS real)", "CAST(a AS bit)", "CAST('a' AS char(5))",
        "TRY_CAST(a AS int)", "TRY_CONVERT(int, a)", "FORMAT(a, 'yyyy')", "GETDATE()",
        "SYSUTCDATETIME()", "NEWID()", "RAND()", "ROUND(a, 2, 1)", "SUBSTRING(a, 0, 3)",
        "SUBSTRING(a, b, 3)", "CHARINDEX('x', a)", "REPLACE(a, 'X', 'y')", "STUFF(a, 1, 2, 'x')",
        "STRING_AGG(a, ',')", "POWER(a, 2)", "HASHBYTES('MD5', a)", "JSON_VALUE(a, '$.b')",
        "a / 2.0", "1.0 * a / b", "a % b", "CAST(a AS float) / b", "AVG(a)", "AVG(a * 1.0)",
        "'000' + a", "a + 'x' + 5", "UNICODE(a)", "a AT TIME ZONE 'UTC'",
        "CASE WHEN a LIKE '[a-c]%' THEN 1 END",
    ],
)  # fmt: skip
def test_what_differs_in_duckdb_is_refused(expression: str) -> None:
    with pytest.raises(NotTranslatedError, match=r"\w+ \w+"):
        translate(f"SELECT {expression} AS n FROM t", "tsql", "shop")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT TOP 5 PERCENT a FROM t ORDER BY a",
        "SELECT TOP 5 WITH TIES a FROM t ORDER BY a",
        "SELECT a FROM t WITH (READPAST)",
        (
            "SELECT SUM(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN UNBOUNDED PRECEDING AND"
            " UNBOUNDED FOLLOWING) AS x FROM t"
        ),
        "SELECT COUNT(*) OVER (PARTITION BY b, b) AS n FROM t",
        "SELECT a FROM t WHERE a IS DISTINCT FROM 1 OR a = 2",
    ],
)
def test_rows_that_differ_in_duckdb_are_refused(query: str) -> None:
    with pytest.raises(NotTranslatedError):
        translate(query, "tsql", "shop")


def test_comparisons_of_text_are_named() -> None:
    """Would catch `status = 'open'` that no longer finds `Open`, without a word about it."""
    query = (
        "SELECT o.customer, COUNT(*) AS n FROM orders o JOIN c ON c.code = o.code "
        "WHERE o.status = 'open' AND o.total > 5 GROUP BY o.customer"
    )
    note = translate(query, "tsql", "shop").note
    assert "without regard to case" in note
    assert "`c.code = o.code`" in note
    assert "`o.status = 'open'`" in note
    assert "`GROUP BY o.customer`" in note
    assert "total" not in note
    assert not translate("SELECT a FROM t WITH (NOLOCK) WHERE b > 5", "tsql", "shop").note
