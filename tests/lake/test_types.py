"""Types and bounds, case by case."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.lake.catalog.columns import BOUND_CHARACTERS_MAX, lower_bound, ordering, upper_bound
from headrace.lake.catalog.schema import microseconds, snapshot_time
from headrace.lake.types import (
    KEYWORDS,
    UnsupportedType,
    decimal_of,
    field_count,
    from_ducklake,
    parse,
    storable,
    to_ducklake,
    widens,
)

SCALARS = [
    "BOOLEAN",
    "TINYINT",
    "BIGINT",
    "UBIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL(18,2)",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE",
    "TIME WITH TIME ZONE",
    "TIMESTAMP_NS",
    "VARCHAR",
    "JSON",
    "BLOB",
    "UUID",
    "INTERVAL",
    "HUGEINT",
    "BIT",
]
scalars = st.sampled_from(SCALARS)
names = st.one_of(
    st.sampled_from(["a", "b c", 'q"x', "select", "__duckdb_field_id", "ü", "A,B", "x)", "(", "1"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5),
)


def _nested(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    structs = st.lists(
        st.tuples(names, children),
        min_size=1,
        max_size=3,
        unique_by=lambda field: field[0].casefold(),
    ).map(
        lambda fields: (
            "STRUCT("
            + ", ".join('"' + name.replace('"', '""') + '" ' + kind for name, kind in fields)
            + ")"
        )
    )
    return st.one_of(
        children.map(lambda kind: f"{kind}[]"),
        children.map(lambda kind: f"{kind}[3]"),
        st.tuples(children, children).map(lambda pair: f"MAP({pair[0]}, {pair[1]})"),
        structs,
    )


@pytest.mark.long
@settings(max_examples=150, deadline=None, print_blob=True)
@given(st.recursive(scalars, _nested, max_leaves=6))
@example("ENUM('it''s', 'a)b')[]")
@example("STRUCT(a INTEGER)[][]")
def test_what_duckdb_prints_is_read_and_what_we_print_duckdb_reads(text: str) -> None:
    connection = duckdb.connect()
    try:
        (printed,) = connection.execute(
            f"SELECT column_type FROM (DESCRIBE SELECT CAST(NULL AS {text}) AS x)"
        ).fetchone() or ("",)
    except duckdb.Error:
        return
    try:
        kind = storable(parse(printed), "x")
    except UnsupportedType:
        assert "INTERVAL" in printed or "TIME WITH TIME ZONE" in printed
        return
    (again,) = connection.execute(
        f"SELECT column_type FROM (DESCRIBE SELECT CAST(NULL AS {kind.text}) AS x)"
    ).fetchone() or ("",)
    assert again == kind.text, "what the catalog says of a type is what DuckDB says of it"
    assert parse(again) == kind
    assert from_ducklake(to_ducklake(kind), kind.fields) == kind
    assert field_count(kind) >= 1


def test_the_words_that_are_quoted_are_duckdbs() -> None:
    rows = duckdb.execute("SELECT DISTINCT keyword_name FROM duckdb_keywords()").fetchall()
    assert {row[0] for row in rows} == KEYWORDS


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("int", "INTEGER"),
        ("text", "VARCHAR"),
        ("varchar(20)", "VARCHAR"),
        ("numeric(9)", "DECIMAL(9,0)"),
        ("timestamptz", "TIMESTAMP WITH TIME ZONE"),
        ("timestamp without time zone", "TIMESTAMP"),
        ("double precision", "DOUBLE"),
        ("  Decimal( 5 , 2 ) ", "DECIMAL(5,2)"),
        ("int[]", "INTEGER[]"),
    ],
)
def test_other_names_of_types_are_known(text: str, means: str) -> None:
    assert parse(text).text == means


@pytest.mark.parametrize(
    "text",
    [
        "",
        "INTEGER; DROP TABLE x",
        "STRUCT(",
        "MAP(INTEGER)",
        "DECIMAL(5,2",
        "INTEGER[",
        "'x'",
        "STRUCT(a)",
        "[]" * 3,
        "STRUCT(x " * 100 + "INTEGER" + ")" * 100,
    ],
)
def test_text_that_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedType):
        storable(parse(text), "x")


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [
        ("INTEGER", "BIGINT", True),
        ("BIGINT", "INTEGER", False),
        ("UTINYINT", "SMALLINT", True),
        ("UBIGINT", "BIGINT", False),
        ("FLOAT", "DOUBLE", True),
        ("DECIMAL(5,2)", "DECIMAL(7,4)", True),
        ("DECIMAL(5,2)", "DECIMAL(6,4)", False),
        ("DECIMAL(5,2)", "DECIMAL(9,1)", False),
        ("INTEGER", "DOUBLE", True),
        ("BIGINT", "DOUBLE", False),
        ("BIGINT", "DECIMAL(21,2)", True),
        ("BIGINT", "DECIMAL(20,2)", False),
        ("UBIGINT", "DECIMAL(21,2)", False),
        ("DECIMAL(5,0)", "BIGINT", False),
        ("INTEGER", "VARCHAR", False),
        ("INTEGER[]", "BIGINT[]", False),
    ],
)
def test_only_a_type_that_holds_every_old_value_is_wider(old: str, new: str, wider: bool) -> None:
    assert widens(parse(old), parse(new)) is wider


@pytest.mark.parametrize(
    ("first", "other", "both"),
    [
        ("BIGINT", "DECIMAL(10,2)", "DECIMAL(21,2)"),
        ("DECIMAL(10,2)", "SMALLINT", "DECIMAL(10,2)"),
        ("DECIMAL(6,4)", "DECIMAL(10,2)", "DECIMAL(12,4)"),
        ("BIGINT", "DECIMAL(38,20)", None),
        ("BIGINT", "DOUBLE", None),
    ],
)
def test_a_decimal_of_both_holds_either(first: str, other: str, both: str | None) -> None:
    """Would catch: digits lost before or after the point."""
    decimal = decimal_of(parse(first), parse(other))
    assert (decimal and decimal.text) == both
    assert decimal is None or all(
        parse(kind) == decimal or widens(parse(kind), decimal) for kind in (first, other)
    )


@pytest.mark.parametrize(
    ("kind", "ordered"),
    [
        ("BIGINT", ["-10", "-9", "2", "10"]),
        ("DECIMAL(9,2)", ["-1.10", "-1.09", "2.00", "10.00"]),
        ("DOUBLE", ["-inf", "-1e300", "1.5", "1e22", "inf"]),
        (
            "DATE",
            ["-infinity", "0044-03-15 (BC)", "0001-01-01", "1999-12-31", "12000-01-01", "infinity"],
        ),
        (
            "TIMESTAMP WITH TIME ZONE",
            [
                "0044-03-15 (BC) 00:00:00+00",
                "2024-01-01 00:00:00+00",
                "2024-01-01 00:00:00.5+00",
                "2024-01-01 00:00:01+00",
            ],
        ),
        ("VARCHAR", ["", "10", "9", "Z", "a", "ü", "\uffff", "😀"]),
    ],
)
def test_bounds_are_ordered_as_their_type(kind: str, ordered: list[str]) -> None:
    assert sorted(set(ordered), key=ordering(kind)) == ordered
    assert len({ordering(kind)(text) for text in ordered}) == len(ordered)


@pytest.mark.long
@settings(max_examples=500, deadline=None, print_blob=True)
@given(
    st.text(st.characters(codec="utf-8"), max_size=5).flatmap(
        lambda tail: st.sampled_from(
            [
                tail,
                "a" * BOUND_CHARACTERS_MAX + tail,
                "\U0010ffff" * BOUND_CHARACTERS_MAX + tail,
                "\ud7ff" * BOUND_CHARACTERS_MAX + tail,
            ]
        )
    )
)
@example("\0")
@example("a\0b")
def test_a_shortened_bound_is_never_narrower(text: str) -> None:
    """A bound that is narrower than the truth makes readers skip rows."""
    low, high = lower_bound(text), upper_bound(text)
    assert low <= text
    assert high is None or high >= text
    assert "\0" not in low + (high or "")
    assert len(low) <= BOUND_CHARACTERS_MAX
    (low + (high or "")).encode()


@pytest.mark.parametrize(
    "text",
    ["2026-11-20 08:07:52.55291+00", "2026-11-20 08:07:52+00", "1970-01-01 00:00:00.000000+00"],
)
def test_snapshot_times_of_ducklake_are_read(text: str) -> None:
    assert microseconds(snapshot_time(microseconds(text))) == microseconds(text)
