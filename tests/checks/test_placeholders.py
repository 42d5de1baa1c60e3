from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.checks.placeholders import with_self


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select * from $self", "select * from S"),
        ("from $SELF, $self", "from S, S"),
        ("select '$self', \"$self\", $self", "select '$self', \"$self\", S"),
        ("select 'it''s $self' from $self", "select 'it''s $self' from S"),
        (r"select E'it\'s $self' from $self", r"select E'it\'s $self' from S"),
        (r"select 'back\' from $self -- '", r"select 'back\' from S -- '"),
        ("-- $self\nfrom $self", "-- $self\nfrom S"),
        ("/* $self /* nested */ $self */ from $self", "/* $self /* nested */ $self */ from S"),
        ("/* never closed $self", "/* never closed $self"),
        (
            "select $$ $self $$, $t$ $self $$ $t$ from $self",
            "select $$ $self $$, $t$ $self $$ $t$ from S",
        ),
        ("select $selfish, $self_1, a$self from $self", "select $selfish, $self_1, a$self from S"),
        ("$self", "S"),
        ("", ""),
        ("select 1", "select 1"),
        (
            "select date'2013-01-01' from $self where e='x'",
            "select date'2013-01-01' from S where e='x'",
        ),
    ],
)
def test_self_is_replaced_where_it_is_a_token(text: str, expected: str) -> None:
    """Would catch: text or a comment changed, a longer name cut in two, a `$self` that is left."""
    assert with_self(text, "S") == expected


PIECES = st.sampled_from(
    [
        "$self",
        "$SELF",
        "$selfish",
        "'$self'",
        "'a''$self'",
        "E'\\'$self'",
        '"$self"',
        '"a""$self"',
        "$$ $self $$",
        "$t$ $self $t$",
        "1",
        "'é'",
        "/* $self */ 1",
        "/* /* $self */ ' */ 2",
        "-- $self '\n 3",
        "date '2013-01-01'",
        '-- "\n 4',
        "'--'",
        "'/*'",
        '"--"',
        "5 -- $$\n",
    ]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(PIECES, min_size=1, max_size=8))
def test_duckdb_agrees_on_what_is_a_token(pieces: list[str]) -> None:
    """Would catch: a way to write strings and comments in which the two readers differ."""
    text = "select " + " ,\n".join(pieces)
    before = {name.lower() for name in duckdb.extract_statements(text)[0].named_parameters}
    changed = with_self(text, "7")
    after = {name.lower() for name in duckdb.extract_statements(changed)[0].named_parameters}
    assert after == before - {"self"}
    assert (changed != text) is ("self" in before)
