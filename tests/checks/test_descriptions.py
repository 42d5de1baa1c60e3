"""Partitions of a batch are described as somebody would who writes out all values of each, in
order.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from plain_description import plainly
from quality_bench import Bench

from headrace.checks.profiles import describe
from headrace.checks.results import ColumnProfile
from headrace.checks.values import ProfiledColumn, ValueKind, aggregate, columns_of, kind_of
from headrace.lake.catalog.columns import lower_bound, upper_bound

DAYS = [(date(2013, 2, 1) + timedelta(days=n)).isoformat() for n in range(6)]
EMPTY = DAYS[3]
Draw = Callable[[random.Random], Any]


def _text(rng: random.Random) -> str:
    alphabet = (
        string.ascii_letters + string.digits + " -_\n\t\x00\x1f\x85\xa0\u2003\u3000äÉßжΩ漢🜚'\"\\"
    )
    return "".join(rng.choice(alphabet) for _ in range(rng.choice((0, 1, 1, 2, 9, 70))))


DRAWN: dict[str, Draw] = {
    "BIGINT": lambda rng: rng.choice(
        (rng.randrange(-40, 40), rng.randrange(-(2**63), 2**63), 2**53 + 1, -(2**63), 0)
    ),
    "UBIGINT": lambda rng: rng.choice((rng.randrange(9), 2**64 - 1 - rng.randrange(3))),
    "INTEGER": lambda rng: rng.randrange(1, 300),
    "HUGEINT": lambda rng: rng.randrange(-(2**100), 2**100),
    "DOUBLE": lambda rng: rng.choice(
        (rng.uniform(-9, 9), rng.randrange(5) / 4, 1e-300, -1e308, 0.1, 5e-324, -0.0, 0.0)
    ),
    "DECIMAL(9,2)": lambda rng: Decimal(rng.randrange(-500, 900)) / 100,
    "DECIMAL(38,6)": lambda rng: Decimal(rng.randrange(10**15)) / 10**6,
    "VARCHAR": _text,
    "BOOLEAN": lambda rng: rng.random() < 0.7,
    "DATE": lambda rng: date(1900, 1, 1) + timedelta(days=rng.randrange(90_000)),
    "TIMESTAMP": lambda rng: rng.randrange(-(10**15), 2 * 10**15),
}
OF_NO_NUMBER = ("nan", "inf", "-inf")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "lake", timezone="UTC")
    yield made
    made.close()


def drawn(rng: random.Random, kind: str, count: int) -> list[Any]:
    """So many values: of few, of many, or all different; with nulls or without."""
    draw, nulls = DRAWN[kind], rng.choice((0.0, 0.1, 1.0 if rng.random() < 0.1 else 0.3))
    pool = [draw(rng) for _ in range(rng.choice((1, 3, 40, count)))]
    every = pool if len(pool) == count else [rng.choice(pool) for _ in range(count)]
    return [None if rng.random() < nulls else value for value in every]


def described(value: Any, kind: str) -> Any:
    """The value as descriptions take it."""
    if value is None or (kind == "DOUBLE" and value in OF_NO_NUMBER):
        return None
    if kind.startswith(("DECIMAL", "HUGEINT", "DOUBLE")):
        return float(value) + 0.0
    return (value - date(1970, 1, 1)).days if kind == "DATE" else value


@pytest.mark.parametrize("kind", DRAWN)
def test_each_partition_of_a_batch_is_described_as_its_values_written_out_are(
    bench: Bench, kind: str
) -> None:
    """Would catch: a quantile of the wrong place where values repeat, a sum that is rounded
    otherwise, a count of another day's values, blanks that aren't ASCII, a minus before a zero by
    the order of rows; in values that come as lists and in those that come as counts."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    of = kind_of(kind)
    assert of is not None
    each = {day: drawn(rng, kind, 0 if day == EMPTY else rng.randrange(1, 900)) for day in DAYS}
    if kind == "DOUBLE":
        each[DAYS[1]] += [*OF_NO_NUMBER, *each[DAYS[1]][:20]]
    rows = [(day, value) for day, values in each.items() for value in values]
    rng.shuffle(rows)
    connection = bench.session.connection
    stored = (
        "VARCHAR" if kind in ("DOUBLE", "HUGEINT") else "BIGINT" if kind == "TIMESTAMP" else kind
    )
    connection.execute(f"CREATE TABLE given (day VARCHAR, value {stored})")
    sent = [str(value) if stored == "VARCHAR" and value is not None else value for _, value in rows]
    connection.execute(
        f"INSERT INTO given SELECT unnest($1), unnest($2::{stored}[])",
        [[day for day, _ in rows], sent],
    )
    column = "make_timestamp(value)" if kind == "TIMESTAMP" else f"value::{kind}"
    for counted in (False, True):
        wanted = [ProfiledColumn("c", kind, of, counted=counted)]
        query = (
            f"SELECT day, {aggregate(wanted)} FROM (SELECT day, {column} AS c FROM given) GROUP"
            " BY day"
        )
        told = dict(connection.execute(query).fetchall())
        for day, values in each.items():
            if values:
                result = describe(next(iter(columns_of(told[day], wanted, len(values)))), of, "UTC")
                assert result == plainly([described(value, kind) for value in values], of), (
                    day,
                    counted,
                )


def test_what_an_audit_says_of_a_batch_is_what_is_said_plainly(bench: Bench) -> None:
    """Would catch: columns or days that are mixed up between the scan and the profiles; a day
    without rows that has some.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    each = {
        day: [
            (_text(rng), rng.randrange(9), rng.random() < 0.5) for _ in range(rng.randrange(1, 400))
        ]
        for day in DAYS
        if day != EMPTY
    }
    bench.session.connection.execute(
        "CREATE TABLE given (day DATE, name VARCHAR, n INTEGER, yes BOOLEAN)"
    )
    sent = [
        list(column)
        for column in zip(*((day, *row) for day, own in each.items() for row in own), strict=True)
    ]
    bench.session.connection.execute(
        "INSERT INTO given SELECT unnest($1), unnest($2), unnest($3), unnest($4)", sent
    )
    batch = bench.audit(bench.batch("SELECT * FROM given", "day", "DATE", DAYS))
    for day, own in each.items():
        profile = batch.of(day).profile
        for name, values, kind in zip(
            ("name", "n", "yes"),
            zip(*own, strict=True),
            (ValueKind.TEXT, ValueKind.NUMBER, ValueKind.BOOLEAN),
            strict=True,
        ):
            plain = plainly(values, kind)
            bounds = {
                "minimum": lower_bound(plain.minimum or ""),
                "maximum": upper_bound(plain.maximum or ""),
            }
            assert profile[name] == msgspec.structs.replace(plain, **bounds)
    assert all(result == ColumnProfile(0, 0) for result in batch.of(EMPTY).profile.values())
