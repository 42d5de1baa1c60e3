"""How often each row of a delivery occurs under other keys: what profiles rule out beforehand must
be what counting every column says.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest

from headrace.checks import Audit, metrics
from headrace.checks.audit import AuditRequest, audit
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import stage
from headrace.model import CheckSpec, Place
from headrace.runtime.steps.repeated_rows import (
    CONTENTS_MIN,
    StagedRows,
    with_copies,
    with_repeated,
)

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
        staged, table = stage(session, statement, target=TargetTable("t"), partition="*")
        audited = audit(session, staged, table, AuditRequest(checks=[], now_us=0))
        known = metrics.decoded(
            with_copies(audited, session, StagedRows.whole(staged), table).metrics
        )
    assert (known.copies, known.apart) == expected(rows), rows


@pytest.mark.parametrize(
    ("query", "repeated"),
    [
        ("SELECT range AS id, 'a' AS name FROM range(300)", 0),
        ("SELECT range % 100 AS id, NULL AS name FROM range(300)", 200),
        ("SELECT range % 59_999 AS id, [range % 59_999] AS name FROM range(60_000)", 1),
        ("SELECT range % 7 AS id, 1.5 AS name FROM range(100_001)", None),
        ("SELECT 1 AS id, 'a' AS name", None),
    ],
)
def test_the_audit_counts_repeated_rows_in_its_own_scan(
    query: str, repeated: int | None, tmp_path: Path
) -> None:
    """Would catch: another aggregate's value taken for the count, in sampled files too, or a second
    query for what the scan knows."""
    with DuckDBSession(tmp_path / "lake", threads=1) as session:
        staged, table = stage(session, query, target=TargetTable("t"), partition="*")

        def audited(checks: list[CheckSpec], *, repeated: bool) -> Audit:
            request = AuditRequest(checks=checks, now_us=0)
            return audit(session, staged, table, request, repeated=repeated)

        place = Place(file="")
        check = CheckSpec(kind="row_count", name="rows", place=place, arguments={"min": 1})
        for checks in ([], [check]):
            result = audited(checks, repeated=True)
            assert metrics.decoded(result.metrics).repeated == repeated
            counted_apart = with_repeated(
                audited(checks, repeated=False), session, StagedRows.whole(staged), table
            )
            assert metrics.decoded(counted_apart.metrics) == metrics.decoded(result.metrics)
            assert counted_apart.content_hash == result.content_hash
            assert counted_apart.results == result.results
