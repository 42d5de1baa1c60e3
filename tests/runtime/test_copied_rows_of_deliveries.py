"""How often each row of a delivery occurs under other keys: what profiles rule out beforehand must
be what counting every column says.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest

from headrace.checks import metrics
from headrace.checks.audit import audit
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import stage
from headrace.runtime.steps.anomalies import CONTENTS_MIN, with_copies

COLUMNS = {
    "id": "BIGINT",
    "amount": "DECIMAL(9,2)",
    "origin": "VARCHAR",
    "cancelled": "BOOLEAN",
    "time": "TIMESTAMP",
}


def drawn() -> list[tuple[object, ...]]:
    """Rows under keys of their own; each one time, or several times."""
    copies = random.choice((1, 1, 2, 3))
    texts = [f"'{text}'" for text in ("EWR", "JFK", "", " ")][: random.randint(1, 4)]
    contents = [
        (
            random.choice(("NULL", "0", f"{random.randint(-300, 300) / 4:.2f}")),
            random.choice(texts),
            random.choice(("true", "false", "NULL")),
            f"TIMESTAMP '2024-03-01 {random.randint(0, 23):02}:00'",
        )
        for _ in range(random.choice((5, 30, 60)))
    ]
    rows = contents * copies + contents[: random.choice((0, 0, 1))]
    return [(number, *row) for number, row in enumerate(rows)]


def expected(rows: list[tuple[object, ...]]) -> tuple[int | None, tuple[str, ...]]:
    """By counting every column of every row; few rows aren't counted."""
    if len(rows) < 2 * CONTENTS_MIN:
        return None, ()
    columns = list(zip(*rows, strict=True))
    same = [at for at, values in enumerate(columns) if math.gcd(*Counter(values).values()) > 1]
    contents = Counter(tuple(row[at] for at in same) for row in rows)
    copies = math.gcd(*contents.values()) if same and len(contents) >= CONTENTS_MIN else 1
    names = list(COLUMNS)
    return copies, tuple(n for at, n in enumerate(names) if at not in same) if copies > 1 else ()


@pytest.mark.parametrize("_number", range(24))
def test_copies_are_counted_as_if_every_column_was(_number: int, tmp_path: Path) -> None:
    """A bug in what a profile rules out would hide a delivery of which each row came twice."""
    rows = drawn()
    cells = ", ".join(f"({', '.join(map(str, row))})" for row in rows)
    casts = ", ".join(f"CAST({name} AS {type_}) AS {name}" for name, type_ in COLUMNS.items())
    with DuckDBSession(tmp_path / "lake", threads=1) as session:
        statement = f"SELECT {casts} FROM (VALUES {cells}) AS drawn({', '.join(COLUMNS)})"
        staged, table = stage(session, statement, None, table_name="t", partition="*", table=None)
        audited = audit(
            session,
            staged,
            table,
            [],
            partition_check=None,
            references=(),
            now_us=0,
            described=True,
        )
        known = metrics.decoded(with_copies(audited, session, staged, table).metrics)
    assert (known.copies, known.apart) == expected(rows), rows
