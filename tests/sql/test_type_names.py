"""Names of types as people write them, and as DuckDB calls them."""

from __future__ import annotations

import pytest

from headrace.sql.values import LISTS_MAX, UNKNOWN, canonical_type


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("int", "INTEGER"),
        ("double  precision", "DOUBLE"),
        ("timestamp  with time zone", "TIMESTAMP WITH TIME ZONE"),
        ("varchar(10)", "VARCHAR"),
        ("decimal", "DECIMAL(18,3)"),
        ("dec(5)", "DECIMAL(5,0)"),
        ("numeric( 10 , 2 )", "DECIMAL(10,2)"),
        ("decimal(38, 38)", "DECIMAL(38,38)"),
        ("decimal(39)", UNKNOWN),
        ("decimal(0)", UNKNOWN),
        ("numeric(3,4)", UNKNOWN),
        ("text[][]", "VARCHAR[][]"),
        ("int" + "[]" * LISTS_MAX, "INTEGER" + "[]" * LISTS_MAX),
        ("int" + "[]" * (LISTS_MAX + 1), UNKNOWN),
        ("struct(a int)", UNKNOWN),
        ("nothing", UNKNOWN),
    ],
)
def test_types_have_duckdbs_names(written: str, name: str) -> None:
    """Catches a contract whose `decimal` has other digits than the table that is made for it."""
    assert canonical_type(written) == name
