"""Random expressions: where DuckDB accepts one, the type that was foretold is its type,
or UNKNOWN."""

from __future__ import annotations

import random

import duckdb
import pytest
from test_against_duckdb import TABLES

from headrace.sql import UNKNOWN
from headrace.sql.analysis import analyse
from headrace.sql.queries import resolve

COLUMNS = [
    part.split()[0]
    for part in TABLES["t"].replace("struct(x integer, y varchar)", "struct").split(", ")
]
TRIES = 1500
LITERALS = [
    "1",
    "0",
    "-3",
    "300",
    "70000",
    "3000000000",
    "1.5",
    "0.25",
    "1e2",
    "'x'",
    "'2020-01-01'",
    "null",
    "true",
    "date '2020-01-01'",
    "interval 1 day",
]
BINARY = [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "||",
    "=",
    "<",
    "and",
    "or",
    "&",
    "<<",
    "is distinct from",
    "in",
]
UNARY = [
    "-{}",
    "not {}",
    "{} is null",
    "({})",
    "{}::varchar",
    "{}::decimal(9,2)",
    "{}::bigint",
    "try_cast(s as date)",
    "cast({} as timestamp)",
    "{}::double",
]
FORMS = [
    "abs({})",
    "round({})",
    "round({}, 1)",
    "floor({})",
    "ceil({})",
    "coalesce({}, {})",
    "nullif({}, {})",
    "greatest({}, {})",
    "least({}, {}, {})",
    "upper({})",
    "length({})",
    "concat({}, {})",
    "if({}, {}, {})",
    "ifnull({}, {})",
    "date_trunc('month', {})",
    "date_part('year', {})",
    "year({})",
    "date_diff('day', {}, {})",
    "list_value({}, {})",
    "[{}, {}]",
    "substr({}, 1, 2)",
    "trim({})",
    "case when {} then {} else {} end",
    "case when bo then {} end",
    "case {} when {} then {} else {} end",
    "sum({})",
    "avg({})",
    "min({})",
    "max({})",
    "count({})",
    "median({})",
    "mode({})",
    "any_value({})",
    "first({})",
    "list({})",
    "arg_max({}, {})",
    "quantile_cont({}, 0.5)",
    "quantile_disc({}, 0.5)",
    "sum({}) over ()",
    "lag({}) over ()",
    "max({}) over (partition by {})",
    "stddev({})",
    "string_agg({}, ',')",
    "bool_and({})",
    "count_if({})",
    "mod({}, {})",
    "{} between {} and {}",
    "{} like {}",
    "len({})",
    "sqrt({})",
    "power({}, {})",
    "sign({})",
    "strftime({}, '%Y')",
    "strptime({}, '%Y')",
    "last_day({})",
    "make_date({}, {}, {})",
    "epoch({})",
    "to_days({})",
    "hash({})",
    "md5({})",
    "({})[1]",
    "exp({})",
    "xor({}, {})",
    "time_bucket(interval 1 day, {})",
    "age({}, {})",
    "split_part({}, ',', 1)",
    "date_add({}, {})",
    "({} + interval 1 day)",
    "({} - {})",
    "coalesce({}, 0)",
    "coalesce({}, '')",
    "round({} / {}, 2)",
    "sum({} * {})",
    "sum(case when {} then 1 else 0 end)",
    "({} * 1.0)",
    "array_agg({})",
    "approx_count_distinct({})",
    "row_number() over (order by {})",
    "first_value({}) over (order by {})",
    "min({}, 2)",
    "(now() - {})",
    "({} at time zone 'UTC')",
    "extract(epoch from {})",
    "epoch_ms({})",
    "lead({}, 1, {}) over ()",
    "trunc({})",
    "ln({})",
    "list_sort({})",
    "list_distinct({})",
    "unnest({})",
    "(select max({}) from u)",
    "exists (select {})",
    "{} in (select a from u)",
    "st.x",
    "st.y",
    "repeat({}, 2)",
    "left({}, 1)",
    "replace({}, 'a', {})",
    "regexp_matches({}, {})",
    "to_json({})",
    "typeof({})",
    "current_date",
    "greatest({}, 1.5)",
    "bit_and({})",
    "product({})",
    "variance({})",
    "{}::date",
    "{}::timestamptz",
    "{}::time",
    "{}::integer",
    "~{}",
    "@{}",
]


def _expression(rng: random.Random, depth: int) -> str:
    kind = rng.random()
    if depth == 0 or kind < 0.1:
        return rng.choice(COLUMNS) if rng.random() < 0.7 else rng.choice(LITERALS)
    if kind < 0.4:
        left, right = _expression(rng, depth - 1), _expression(rng, depth - 1)
        operator = rng.choice(BINARY)
        return (
            f"({left} {operator} ({right}))" if operator == "in" else f"({left} {operator} {right})"
        )
    form = rng.choice(UNARY if kind < 0.55 else FORMS)
    return form.format(*(_expression(rng, depth - 1) for _ in range(form.count("{}"))))


@pytest.mark.parametrize("seed", range(4))
def test_random_expressions(seed: int) -> None:
    """Rules that are right for the cases somebody thought of are wrong for the others."""
    print(f"seed {seed}")
    engine = duckdb.connect()
    for name, columns in TABLES.items():
        engine.execute(f"create table {name}({columns})")
    schemas = {
        name: tuple((row[0], row[1]) for row in engine.execute(f"describe {name}").fetchall())
        for name in TABLES
    }
    rng = random.Random(seed)
    accepted, known, wrong = 0, 0, []
    for _ in range(TRIES):
        query = f"select {_expression(rng, rng.choice((1, 1, 2, 3)))} as c from t"
        try:
            expected = engine.execute(f"describe {query}").fetchall()[0][1]
        except duckdb.Error:
            continue
        result = resolve(analyse(query, file="x.sql", line=1, name="x"), schemas)
        type_ = result.columns[0][1] if result.columns else UNKNOWN
        accepted += 1
        known += type_ != UNKNOWN
        if type_ not in (expected, UNKNOWN):
            wrong.append((query, type_, expected))
    print(f"accepted {accepted}, known {known}")
    assert wrong == []
    assert accepted > TRIES / 10 and known / accepted > 0.6
