"""Tries to break what the advisor proves: runs queries before and after in DuckDB, on random rows.

make advice ARGS='--queries 10000 --seed 1' --queries 10000 --seed 1
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import duckdb
import project_breaker
from query_generator import QueryGenerator, tables
from redundant_queries import redundant_query

from headrace_advisor.analysis.advice import Edit, Verdict
from headrace_advisor.analysis.checking import check_text
from headrace_advisor.analysis.edits import edited

DATA_SETS = 4
RECALL_LEAST = 0.8
SUPERFLUOUS = (
    "distinct_redundant", "union_to_union_all", "unused_join", "unused_column",
    "order_by_no_effect",
)  # fmt: skip


class Outcome(NamedTuple):
    """What came of one lab run."""

    queries: int
    proven: Counter[str]
    wrong: list[str]
    failed: int
    """Queries with a proof that DuckDB refuses; they count as drawn."""


class Lab:
    """A schema with several sets of rows."""

    def __init__(self, rng: random.Random) -> None:
        self.tables = tables(rng)
        self.ddl = ";\n".join(table.ddl for table in self.tables) + ";\n"
        self.connections = [self._filled(rng) for _ in range(DATA_SETS)]

    def _filled(self, rng: random.Random) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(":memory:", config={"threads": 1})
        for table in self.tables:
            connection.execute(table.ddl)
            rows = table.rows(rng)
            if rows:
                values = ", ".join(f"({', '.join(row)})" for row in rows)
                connection.execute(f"insert into {table.name} values {values}")
        return connection

    def close(self) -> None:
        """Close the databases."""
        for connection in self.connections:
            connection.close()

    def results(self, sql: str) -> list[Counter[tuple[Any, ...]]]:
        """Return the rows of a query over each set, as multisets. Raises duckdb.Error."""
        return [Counter(connection.execute(sql).fetchall()) for connection in self.connections]

    def rewritten(self, sql: str) -> Iterator[tuple[str, str]]:
        """Yield the rule and the query after each proven rewriting, and after all of them."""
        text = self.ddl + sql
        edits: list[tuple[Edit, ...]] = []
        for advice in check_text(text, "query.sql", "duckdb").advice:
            finding = advice.finding
            if finding.verdict is Verdict.PROVEN and finding.edits:
                assert advice.diff is not None, f"the edit of {finding.rule} can't be read: {sql}"
                edits.append(finding.edits)
                yield finding.rule, edited(text, finding.edits)[len(self.ddl) :]
        together = [edit for part in edits for edit in part]
        if len(edits) > 1 and _are_apart(together):
            yield "all together", edited(text, together)[len(self.ddl) :]


def _are_apart(edits: list[Edit]) -> bool:
    """Return whether no two edits touch the same text."""
    ordered = sorted(edits)
    return all(one.end < other.start for one, other in pairwise(ordered))


def run(seed: int, queries: int) -> Outcome:
    """Draw queries, and compare each with what the advisor makes of it."""
    rng = random.Random(seed)
    proven: Counter[str] = Counter()
    wrong: list[str] = []
    failed = drawn = 0
    while drawn < queries:
        lab = Lab(rng)
        for _ in range(min(25, queries - drawn)):
            drawn += 1
            sql = QueryGenerator(rng, lab.tables).query().sql
            rewritten = list(lab.rewritten(sql))
            if not rewritten:
                continue
            try:
                before = lab.results(sql)
            except duckdb.Error:
                failed += 1
                continue
            for rule, after in rewritten:
                proven[rule] += 1
                if _fails_or_differs(lab, after, before):
                    wrong.append(f"{rule}\n{lab.ddl}{sql};\n-- after\n{after}")
        lab.close()
    return Outcome(drawn, proven, wrong, failed)


class Recall(NamedTuple):
    """How many of the queries with a superfluous DISTINCT were recognised."""

    queries: int
    recognised: int
    wrong: list[str]

    @property
    def recall(self) -> float:
        """The share that was recognised."""
        return self.recognised / self.queries


def run_redundant(seed: int, queries: int) -> Recall:
    """Draw queries with a DISTINCT or UNION that is superfluous by construction."""
    rng = random.Random(seed)
    recognised, wrong = 0, []
    drawn = 0
    while drawn < queries:
        lab = Lab(rng)
        for _ in range(min(25, queries - drawn)):
            drawn += 1
            sql = redundant_query(rng, lab.tables)
            rules = list(lab.rewritten(sql))
            recognised += any(rule in SUPERFLUOUS for rule, _ in rules)
            before = lab.results(sql)
            wrong += [after for _, after in rules if _fails_or_differs(lab, after, before)]
        lab.close()
    return Recall(drawn, recognised, wrong)


def _fails_or_differs(lab: Lab, sql: str, before: list[Counter[tuple[Any, ...]]]) -> bool:
    try:
        return lab.results(sql) != before
    except duckdb.Error:
        return True


def main() -> None:
    """Print what came of a run; exit 1 if a proof is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    outcome = run(options.seed, options.queries)
    print(f"{outcome.queries} queries, {outcome.failed} refused by DuckDB")
    for rule, number in sorted(outcome.proven.items()):
        print(f"{rule}: {number} proven")
    print(f"{len(outcome.wrong)} wrong")
    for text in outcome.wrong[:3]:
        print(text)
    recall = run_redundant(options.seed, max(1, options.queries // 5))
    print(f"recall {recall.recall:.3f} of {recall.queries}, {len(recall.wrong)} wrong")
    projects = project_breaker.run(options.seed, max(1, options.queries // 100))
    print(f"{projects.projects} projects of {projects.assets} assets, {projects.refused} refused")
    for rule, number in sorted(projects.claims.items()):
        print(f"{rule}: {number} tried")
    print(f"recall {projects.recall:.3f} of {projects.planted}, {len(projects.wrong)} wrong")
    for text in projects.wrong[:3]:
        print(text)
    wrong = [*outcome.wrong, *recall.wrong, *projects.wrong]
    raise SystemExit(1 if wrong or min(recall.recall, projects.recall) < RECALL_LEAST else 0)


if __name__ == "__main__":
    main()
