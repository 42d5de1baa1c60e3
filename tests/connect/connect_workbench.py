"""What the tests of this package use: a real project folder, a real locked-down session, and the
way a worker goes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import msgspec
import pytest

from headrace.connect.deliveries import (
    DetectedDelivery,
    Drift,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
)
from headrace.connect.ingest import ReadRules, explain_error, prepare
from headrace.connect.prepared import PreparedDelivery, Result, miscounted
from headrace.connect.raw_files import store_raw
from headrace.lake.session import DuckDBSession


class Taken(msgspec.Struct):
    """A delivery that was read to its end."""

    schema: SourceSchema
    learnt: bool
    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def column(self, name: str) -> list[Any]:
        return [row[self.names.index(name)] for row in self.rows]

    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.schema.columns}


Outcome = Taken | Drift | TypeDrift | UnreadableFile


def rows_of(taken: Any) -> list[dict[str, Any]]:
    """The rows of a delivery by column; fails if it wasn't taken."""
    assert isinstance(taken, Taken), taken
    return [dict(zip(taken.names, row, strict=True)) for row in taken.rows]


class Workbench:
    """Takes deliveries in: keep, prepare, read everything, explain, discard. Asserts that nothing
    temporary is left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.raw, self.temporary = root / ".headrace/raw", root / ".headrace/tmp"
        for folder in (self.raw, self.temporary, root / ".headrace/lake", root / "landing"):
            folder.mkdir(parents=True, exist_ok=True)
        self.session = DuckDBSession(
            root / ".headrace/lake",
            readable=[self.raw, self.temporary],
            timezone="America/New_York",
            # Tests compare rows in the file's order. A worker's session doesn't promise it: two
            # threads wrote the third row of three first in a tenth of the reads on a busy machine.
            ordered=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.session.close()

    def deliver(self, data: bytes, name: str) -> None:
        (self.root / "landing" / name).write_bytes(data)

    def found(self, name: str) -> DetectedDelivery:
        facts = (self.root / "landing" / name).stat()
        return DetectedDelivery(
            "s", "*", f"landing/{name}", facts.st_size, facts.st_mtime_ns // 1000
        )

    def take(
        self, data: bytes, name: str, pinned: SourceSchema | None = None, **more: Any
    ) -> Outcome:
        """The whole way of one delivery."""
        self.deliver(data, name)
        return self.take_file(name, pinned, **more)

    def take_file(self, name: str, pinned: SourceSchema | None = None, **more: Any) -> Outcome:
        """The same for a file that lies there."""
        kept = store_raw(self.root, self.found(name), self.raw)
        result = prepare(
            Path(kept.path),
            name,
            ReadRules(temporary=self.temporary, **more),
            connection=self.session.connection,
            pinned=pinned,
        )
        outcome = self.read(result)
        assert list(self.temporary.iterdir()) == [], "temporary files are left behind"
        return outcome

    def read(self, result: Result) -> Outcome:
        if not isinstance(result, PreparedDelivery):
            return result
        target = self.root / ".headrace/lake" / f"{time.monotonic_ns()}.parquet"
        try:
            # As staging does: everything is materialised before it is believed.
            self.session.connection.execute(
                f"COPY ({result.select_sql}) TO '{target}' (FORMAT parquet)"
            )
            cursor = self.session.connection.execute(
                f"SELECT * FROM read_parquet('{target}', hive_partitioning=false)"
            )
            names = tuple(column[0] for column in cursor.description or [])
            rows = cursor.fetchall()
            return miscounted(result, len(rows)) or Taken(result.schema, result.learnt, names, rows)
        except duckdb.Error as error:
            return explain_error(error, result, self.session.connection)
        finally:
            result.discard()
            target.unlink(missing_ok=True)

    def schema(self, data: bytes, name: str) -> SourceSchema:
        """The schema that a good delivery teaches."""
        taken = self.take(data, name)
        assert isinstance(taken, Taken), taken
        return taken.schema


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """A project with a locked-down session, as a worker has it."""
    with Workbench(tmp_path) as made:
        yield made
