"""How many times each row of a delivery is there, apart from its keys."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from headrace.lake import FileRef, LakeTable, StagedFile
from headrace.lake.relation import relation_sql
from headrace.lake.session import DuckDBSession, quote
from headrace.lake.tables import PARTITION_COLUMN
from headrace.lake.tables import ColumnLookup as FileLookup
from headrace.quality import Audit, metrics
from headrace.quality.results import ColumnProfile

ROWS_MAX = 100_000
"""A larger delivery isn't compared row by row."""
COLUMNS_MAX = 200
CONTENTS_MIN = 20
"""So many different rows that are each there an even number of times are that by no chance."""


def with_copies(audit: Audit, session: DuckDBSession, staged: StagedFile, table: LakeTable) -> Audit:
    """The metrics of a delivery of one partition, with how many times each of its rows is there
    under other keys."""
    names = [column.name for column in table.columns if column.name != PARTITION_COLUMN]
    if not audit.metrics or not 2 * CONTENTS_MIN <= staged.rows <= ROWS_MAX or len(names) > COLUMNS_MAX:
        return audit
    rows = relation_sql([FileRef(staged.path, lookup=FileLookup.SAME)], [column for column in table.columns if column.name in names])
    even = [name for name in names if _may_be_even(audit.profile.get(name), staged.rows)]
    same = [name for name, times in zip(even, _times(session, rows, even), strict=True) if times > 1]
    copies = _copies(session, rows, same) if same else 1
    apart = tuple(name for name in names if name not in same) if copies > 1 else ()
    known = msgspec.structs.replace(metrics.decoded(audit.metrics), copies=copies, apart=apart)
    return msgspec.structs.replace(audit, metrics=metrics.encoded(known))


def _may_be_even(profile: ColumnProfile | None, rows: int) -> bool:
    """Whether each value of a column may be there several times: not where there are too many
    different ones, nor where the profile
    has counted one that isn't."""
    if profile is None or profile.sampled is not None:
        return True
    if (profile.distinct or 0) > rows // 2:
        return False
    return not (profile.categorical and math.gcd(*(count for _, count in profile.top)) == 1)


def _times(session: DuckDBSession, rows: str, names: Sequence[str]) -> list[int]:
    """Of each column, by which number all counts of its values can be divided."""
    if not names:
        return []
    item = "SELECT {at} AS at, list(DISTINCT n) FROM (SELECT count(*) AS n FROM ({rows}) AS file GROUP BY {name})"
    each = (item.format(at=at, rows=rows, name=quote(name)) for at, name in enumerate(names))
    counts = dict(session.connection.execute(" UNION ALL ".join(each)).fetchall())
    return [math.gcd(*counts[at]) for at in range(len(names))]


def _copies(session: DuckDBSession, rows: str, names: Sequence[str]) -> int:
    """How many times each row is there, as far as these columns tell; 1 where they tell too few
    rows apart."""
    listed = ", ".join(map(quote, names))
    counted = f"SELECT count(*) AS n FROM ({rows}) AS file GROUP BY {listed}"
    row = session.connection.execute(f"SELECT count(*), list(DISTINCT n) FROM ({counted})").fetchone()
    assert row is not None
    return math.gcd(*row[1]) if row[0] >= CONTENTS_MIN else 1
