"""What a worker makes of a batch of calls: the file that single attempts would have filled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from worker_bench import WorkerBench

from headrace.engine import ErrorKind
from headrace.lake import LakeTable
from headrace.model import PythonBody
from headrace.runtime.messages import ComputeTask, FailedOutcome, StagedOutcome, TaskOutcome

KEYS = ("2025-01-01", "2025-01-02", "2025-01-03")
IMPORTS = "from datetime import UTC, datetime\nimport numpy, pyarrow as pa\n\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WorkerBench]:
    made = WorkerBench(tmp_path)
    yield made
    made.close()


class Called:
    """A function by its text, called for some partitions together or one."""

    def __init__(self, bench: WorkerBench, body: str) -> None:
        self.bench = bench
        folder = bench.folders.code / "v1/assets"
        folder.mkdir(parents=True)
        text = f"{IMPORTS}def daily(ctx):\n{body}\n"
        (folder / "daily.py").write_text(text, encoding="utf-8")
        self.table: LakeTable | None = None

    def __call__(self, *keys: str, **more: Any) -> TaskOutcome:
        task: ComputeTask = self.bench.task("", keys)
        body = PythonBody(file="assets/daily.py", function="daily", line=4, takes_context=True)
        several: tuple[Any, ...] = tuple(() for _ in keys) if len(keys) > 1 else ()
        outcome = self.bench.perform(
            msgspec.structs.replace(
                task, body=body, sql=None, code="v1", partition_column=None, table=self.table,
                call_inputs=several, **more,
            )
        )  # fmt: skip
        if isinstance(outcome, StagedOutcome):
            self.table = outcome.table or self.table
        return outcome

    def parts(self, *keys: str) -> list[tuple[str, int, str | None]]:
        outcome = self(*keys)
        assert isinstance(outcome, StagedOutcome), outcome
        assert outcome.staged is not None
        return [(part.key, part.rows, part.content_hash) for part in outcome.staged.partitions]


@pytest.mark.parametrize(
    "body",
    [
        # the second call overwrites what the first one returned
        (
            "    ROWS[:] = int(ctx.partition[-2:])\n    return pa.table({'n': ROWS})\n\n"
            "ROWS = numpy.array([0, 0])"
        ),
        # a part of a larger array
        (
            "    ROWS[:] = int(ctx.partition[-2:])\n"
            "    return pa.record_batch({'n': pa.array(ROWS).slice(7, 2)})\n\n"
            "ROWS = numpy.zeros(100_000)"
        ),
        # no rows on the second day, from a list that doesn't tell its types
        "    return [{'at': datetime(2025, 1, 1, tzinfo=UTC), 'n': 1}] * (ctx.partition[-1] != '2')",
        # never any rows, in columns that only Arrow knows
        "    return pa.schema({'n': pa.int64()}).empty_table()",
        # an iterator, and columns in another order each day
        (
            "    row = {'a': 1, 'b': 'x'}\n"
            "    yield row if ctx.partition[-1] == '2' else dict(reversed(row.items()))"
        ),
        # years that DuckDB has to judge
        "    return pa.table({'at': pa.array([2**62 // 1000], pa.timestamp('us'))})",
    ],
    ids=["overwritten", "sliced", "zoned", "empty", "reordered", "far"],
)
def test_calls_come_to_the_hashes_that_they_have_alone(bench: WorkerBench, body: str) -> None:
    """Catches rows that a later call writes over, and partitions cast or lost in the shared file."""
    called = Called(bench, body)
    alone = [part for key in KEYS for part in called.parts(key)]
    assert called.parts(*KEYS) == alone


@pytest.mark.parametrize(
    "body",
    [
        (
            "    return pa.table({'n': pa.array([1], pa.int8() if ctx.partition > '2025-01-02' else"
            " pa.int64())})"
        ),
        "    return [{'n': 1, **({'more': 2} if ctx.partition > '2025-01-02' else {})}]",
        "    return [{'n': 1, 'text': 'x' * 10}] * (50_000 if ctx.partition > '2025-01-02' else 1)",
    ],
    ids=["types", "columns", "many"],
)
def test_rows_that_dont_fit_together_are_refused(bench: WorkerBench, body: str) -> None:
    """Catches partitions that become what another one's columns are, and batches of large results;
    and code taken for not separable while its table's columns aren't settled."""
    called = Called(bench, body)
    for settled, kind in ((False, ErrorKind.DETERMINISTIC), (True, ErrorKind.NOT_SEPARABLE)):
        outcome = called(*KEYS)
        assert isinstance(outcome, FailedOutcome)
        assert (outcome.error.kind, outcome.error.code) == (kind, "not_separable")
        assert outcome.error.message.startswith("2025-01-03: it can't be computed together")
        assert bench.left_behind() == [] or settled
        called(KEYS[0])
