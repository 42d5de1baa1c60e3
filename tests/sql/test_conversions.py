"""What an expression that converts a vendor's values may be: arithmetic and texts of a delivery's
own columns, and nothing that reads, runs or looks elsewhere."""

from __future__ import annotations

import pytest

from headrace.sql.parsing import CONVERSION_CHARACTERS_MAX, InvalidSelect, parse_conversion


@pytest.mark.parametrize(
    ("text", "sql", "columns"),
    [
        ("amount_cents / 100", '("amount" / 100)', ("amount_cents",)),
        ("-x", '(-"x")', ("x",)),
        ("round(x / 3.0, 2)", '(ROUND("x" / 3.0, 2))', ("x",)),
        ("x::DECIMAL(18,2)", '(CAST("x" AS DECIMAL(18, 2)))', ("x",)),
        ('"Sum, $""" / 100', '("Sum, $""" / 100)', ('Sum, $"',)),
        ("coalesce(a, 0) + b", '(COALESCE("a", 0) + "b")', ("b", "a")),
        ("replace(x, ',', '.')::double", "(CAST(REPLACE(\"x\", ',', '.') AS DOUBLE))", ("x",)),
        ("x -- why", '("x")', ("x",)),
    ],
)
def test_an_expression_over_columns(text: str, sql: str, columns: tuple[str, ...]) -> None:
    """Would catch: a name that reaches SQL unquoted; a comment that ends the statement it is put
    in.
    """
    result = parse_conversion(text)
    assert (result.over({"amount_cents": "amount"}), set(result.columns)) == (sql, set(columns))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1",
        "date '2020-01-01'",
        "*",
        "x as y",
        "x, y",
        "t.x / 100",
        "x.y",
        "x[1]",
        "(select 1)",
        "x in (select 1)",
        "exists(select 1)",
        "x) from read_csv('a'), (select 1",
        "x/100)+(1",
        "x; drop table t",
        "read_text('/etc/passwd')",
        "x || read_text('/etc/passwd')",
        "getenv('HOME')",
        "current_user",
        "now()",
        "random() * x",
        "nextval('s')",
        "count(x)",
        "sum(x) over ()",
        "unnest(x)",
        "list_transform(x, y -> y)",
        "COLUMNS('a')",
        "$p * x",
        "? * x",
        "{'a': x}",
        "x::STRUCT(a INT)",
        "current_setting('x')",
        "error('no')",
        "x + " * 200 + "x",
        "(" * 200 + "x" + ")" * 200,
        "'",
        "x /*",
    ],
)
def test_nothing_else(text: str) -> None:
    """Would catch: a subquery, a file, a setting, the clock, an aggregate or a second statement in
    a contract's conversion."""
    with pytest.raises(InvalidSelect):
        parse_conversion(text)


def test_it_is_short() -> None:
    with pytest.raises(InvalidSelect, match=str(CONVERSION_CHARACTERS_MAX)):
        parse_conversion("x" * (CONVERSION_CHARACTERS_MAX + 1))
