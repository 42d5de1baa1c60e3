"""Sequences of changes, ours and a foreign writer's, in any order: DuckLake and our file lists
agree after each, at each snapshot.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from lakelab import DuckLake, Lake, PostgresqlLake
from postgres_cluster import Cluster

KEYS = ["2024-01-01", "2024-01-02", "2024-01-03", "it's", "ü"]
keys = st.sampled_from(KEYS)
EXAMPLES = 4
STEPS = 8


class Changes(RuleBasedStateMachine):
    """The table `t` always has `id`; other columns come and go. `model` is what must be in it: rows
    of each partition.
    """

    ducklake: DuckLake
    cluster: Cluster | None = None
    """Where the catalog is in PostgreSQL."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="headrace-lake-"))
        self.ends = ExitStack()
        self.lake = (
            Lake(self.folder, self.ducklake)
            if self.cluster is None
            else self._in_postgresql(self.cluster)
        )
        self.model: dict[str, int] = {}
        self.extra: dict[str, str] = {}
        self.next_id = 0
        self.publish("2024-01-01", 3)

    def _in_postgresql(self, cluster: Cluster) -> Lake:
        return PostgresqlLake(self.folder, self.ducklake, self.ends.enter_context(cluster.fresh()))

    def _select(self, rows: int, key: str | None = None) -> str:
        first, self.next_id = self.next_id, self.next_id + rows
        extra = "".join(f", (range % 7)::{kind} AS {name}" for name, kind in self.extra.items())
        return (
            f"SELECT range AS id{extra}{'' if key is None else f', {key} AS k'} FROM range({first},"
            f" {first + rows})"
        )

    @rule(key=keys, rows=st.integers(0, 5))
    def publish(self, key: str, rows: int) -> None:
        self.lake.publish("t", key, self._select(rows), evolve=True)
        self.model[key] = rows

    @rule(chosen=st.lists(keys, min_size=2, unique=True), rows=st.integers(1, 9))
    def publish_many(self, chosen: list[str], rows: int) -> None:
        cases = " ".join(
            f"WHEN {number} THEN '{key.replace(chr(39), chr(39) * 2)}'"
            for number, key in enumerate(chosen)
        )
        expression = f'CASE "id" % {len(chosen)} {cases} END'
        first = self.next_id
        self.lake.publish("t", chosen[0], self._select(0), evolve=True)
        self.lake.publish_many("t", chosen, self._select(rows), expression)
        for number, key in enumerate(chosen):
            self.model[key] = sum(
                1 for value in range(first, first + rows) if value % len(chosen) == number
            )

    @rule(key=keys)
    def withdraw(self, key: str) -> None:
        self.lake.withdraw("t", key)
        self.model[key] = 0

    @rule(
        name=st.sampled_from(["x", "y"]),
        kind=st.sampled_from(["INTEGER", "BIGINT", "VARCHAR", "DECIMAL(9,2)"]),
    )
    def set_column(self, name: str, kind: str) -> None:
        self.extra[name] = kind

    @precondition(lambda self: self.extra)
    @rule()
    def drop_column(self) -> None:
        self.extra.popitem()

    @rule(key=keys)
    def foreign_insert(self, key: str) -> None:
        self.lake.ducklake(
            f"INSERT INTO t(_partition, id) VALUES ('{key.replace(chr(39), chr(39) * 2)}', -1)"
        )
        self.model[key] = self.model.get(key, 0) + 1

    @rule(key=keys)
    def foreign_delete(self, key: str) -> None:
        self.lake.ducklake(
            f"DELETE FROM t WHERE _partition = '{key.replace(chr(39), chr(39) * 2)}'"
        )
        self.model[key] = 0

    @rule()
    def merge(self) -> None:
        self.lake.ducklake("CALL ducklake_merge_adjacent_files('lake')")

    @rule()
    def expire_and_clean(self) -> None:
        self.lake.ducklake("CALL ducklake_expire_snapshots('lake', older_than => now())")
        self.lake.ducklake("CALL ducklake_cleanup_old_files('lake', older_than => now())")

    @invariant()
    def ducklake_agrees(self) -> None:
        self.lake.check("t")
        counted = {key: len(self.lake.rows("t", [key])) for key in KEYS}
        assert counted == {key: self.model.get(key, 0) for key in KEYS}

    def teardown(self) -> None:
        self.lake.close()
        self.ends.close()
        shutil.rmtree(self.folder)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_any_sequence_of_changes_reads_back(
    ducklake: DuckLake, kind: str, request: pytest.FixtureRequest
) -> None:
    Changes.ducklake = ducklake
    Changes.cluster = None if kind == "sqlite" else request.getfixturevalue("cluster")
    run_state_machine_as_test(
        Changes,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
