"""Tries to break the rules about whole projects: computes projects before and after, on random rows.

make advice runs it after the queries.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from project_generator import DAILY, GeneratedProject, project
from projects_lab import HEAD, findings_of
from query_generator import GeneratedTable

from headrace_advisor.analysis.project_advice import ProjectFinding

Rows = Counter[tuple[Any, ...]]
DATA_SETS = 2


class Outcome(NamedTuple):
    """What came of one run."""

    projects: int
    assets: int
    claims: Counter[str]
    """Findings by rule that were tried."""
    wrong: list[str]
    planted: int
    recognised: int
    refused: int
    """Projects that don't compile; others are drawn instead."""

    @property
    def recall(self) -> float:
        """The share of planted findings that were recognised."""
        return self.recognised / self.planted


def run(seed: int, projects: int) -> Outcome:
    """Draw projects, and compute each with what the rules make of it."""
    rng = random.Random(seed)
    claims: Counter[str] = Counter()
    wrong: list[str] = []
    assets = planted = recognised = drawn = refused = 0
    while drawn < projects:
        generated = project(rng)
        data = [_rows(rng, generated.sources) for _ in range(DATA_SETS)]
        if _computed(generated, generated.queries, data) is None:
            continue  # DuckDB refuses a query
        drawn += 1
        assets += len(generated.queries)
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            try:
                findings = findings_of(root, generated.files)
            except AssertionError:  # Headrace refuses a query: its columns are ambiguous
                refused += 1
                continue
            reported = {(finding.asset, finding.finding.rule) for finding in findings}
            planted += len(generated.planted)
            recognised += len(reported & set(generated.planted))
            trial = _Trial(root, generated, data)
            for finding in findings:
                if trial.can_try(finding):
                    claims[finding.finding.rule] += 1
                    wrong += trial.differences(finding)
            wrong += trial.without_all(findings)
    return Outcome(drawn, assets, claims, wrong, planted, recognised, refused)


def _rows(rng: random.Random, sources: Iterable[GeneratedTable]) -> list[str]:
    """Return statements that make tables with rows."""
    statements = []
    for table in sources:
        statements.append(table.ddl)
        rows = table.rows(rng)
        if rows:
            values = ", ".join(f"({', '.join(row)})" for row in rows)
            statements.append(f"insert into {table.name} values {values}")
    return statements


def _computed(
    generated: GeneratedProject, queries: Mapping[str, str], data: list[list[str]]
) -> list[dict[str, tuple[list[str], Rows]]] | None:
    """Return the columns and rows of each asset over each set of rows; None if one fails."""
    results: list[dict[str, tuple[list[str], Rows]]] = []
    for statements in data:
        with duckdb.connect(":memory:", config={"threads": 1}) as connection:
            results.append({})
            for statement in statements:
                connection.execute(statement)
            waiting = [name for name in generated.queries if name in queries]
            while waiting:
                done = [n for n in waiting if _create(connection, n, queries[n])]
                if not done:
                    return None
                waiting = [name for name in waiting if name not in done]
            for name in queries:
                answer = connection.execute(f"from {name}")
                columns = [column[0] for column in answer.description]
                results[-1][name] = columns, Counter(answer.fetchall())
    return results


def _create(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> bool:
    """Create a table; return whether it could be: what it reads may come later."""
    try:
        connection.execute(f"create table {name} as {sql}")
    except duckdb.Error:
        return False
    return True


class _Trial:
    """One project with the rows of its assets before a change."""

    def __init__(self, root: Path, generated: GeneratedProject, data: list[list[str]]) -> None:
        self.root, self.generated, self.data = root, generated, data
        self.before = _computed(generated, generated.queries, data) or []

    def can_try(self, finding: ProjectFinding) -> bool:
        """Return whether a finding says what to do, and nothing must be done first."""
        texts = [p.text for p in finding.finding.premises if p.guard is None]
        if any(" first" in text or "can't be edited" in text for text in texts):
            return False
        return finding.diff is not None

    def differences(self, finding: ProjectFinding) -> list[str]:
        """Return what is wrong after one finding is applied, in words."""
        if finding.finding.kind == "incremental":
            return self._by_day(finding)
        queries = self._patched([finding])
        gone = finding.finding.columns if finding.finding.kind == "drop_column" else ()
        if finding.finding.kind == "drop_join":
            gone = finding.finding.columns
        return self._compare(queries, {finding.asset: set(gone)}, str(finding))

    def without_all(self, findings: list[ProjectFinding]) -> list[str]:
        """Return what is wrong for consumers once all unread columns and assets are gone."""
        dropped = [f for f in findings if f.finding.rule == "unread_column"]
        complete = [f for f in dropped if f.diff is not None]
        changed = {finding.asset for finding in complete}
        if len(complete) < len(dropped) or _readers_that_must_change(dropped) - changed:
            return []
        queries = self._patched(complete)
        unread = {f.asset for f in findings if f.finding.rule == "unread_asset"}
        kept = {name: sql for name, sql in queries.items() if name not in unread}
        return self._compare(kept, None, f"without all columns of {[f.asset for f in dropped]}")

    def _patched(self, findings: list[ProjectFinding]) -> dict[str, str]:
        """Return the queries after diffs, and leave the files as they were."""
        diff = "".join(finding.diff or "" for finding in findings)
        if diff:
            self._git("apply", diff)
        texts = {
            name: (self.root / f"assets/{name}.sql").read_text().removeprefix(HEAD)
            for name in self.generated.queries
        }
        if diff:
            self._git("apply --reverse", diff)
        return texts

    def _git(self, command: str, diff: str) -> None:
        words = ["git", *command.split(), "-"]
        subprocess.run(words, cwd=self.root, input=diff, text=True, check=True)

    def _compare(
        self, queries: Mapping[str, str], gone: Mapping[str, set[str]] | None, what: str
    ) -> list[str]:
        """Return differences between the rows of assets before and after; of consumers' only
        if `gone`, the columns that an asset may lose, is None."""
        after = _computed(self.generated, queries, self.data)
        if after is None:
            return [f"{what}\n{self.generated.queries}\nfails"]
        names = list(self.generated.queries) if gone is not None else self.generated.reads
        for before_rows, after_rows in zip(self.before, after, strict=True):
            for name in names:
                lost = set() if gone is None else gone.get(name, set())
                if _without(before_rows[name], lost) != after_rows[name][1]:
                    return [f"{what}\n{self.generated.queries}\n{name} differs"]
        return []

    def _by_day(self, finding: ProjectFinding) -> list[str]:
        """Return whether an asset differs if it is computed day by day."""
        name = finding.asset
        for statements, before in zip(self.data, self.before, strict=True):
            with duckdb.connect(":memory:", config={"threads": 1}) as connection:
                for statement in statements:
                    connection.execute(statement)
                for other, query in self.generated.queries.items():
                    assert _create(connection, other, query)
                connection.execute(f"alter table {DAILY} rename to every_day")
                days = connection.execute("select distinct day from every_day").fetchall()
                total: Rows = Counter()
                for (day,) in days:
                    connection.execute(
                        f"create or replace view {DAILY} as from every_day where day = '{day}'"
                    )
                    total += Counter(connection.execute(self.generated.queries[name]).fetchall())
            if total != before[name][1]:
                return [f"{finding}\n{self.generated.queries[name]}\ndiffers by day"]
        return []


def _readers_that_must_change(findings: list[ProjectFinding]) -> set[str]:
    """Return the assets that have to stop reading a column first, by the premises."""
    texts = [premise.text for finding in findings for premise in finding.finding.premises]
    return {text.split()[0] for text in texts if text.endswith(" first")}


def _without(columns_and_rows: tuple[list[str], Rows], lost: set[str]) -> Rows:
    columns, rows = columns_and_rows
    kept = [number for number, column in enumerate(columns) if column not in lost]
    result: Rows = Counter()
    for row, count in rows.items():
        result[tuple(row[number] for number in kept)] += count
    return result
