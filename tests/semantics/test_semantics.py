"""The examples of SEMANTICS: cases of text, run against a real leader on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from semantics_lab import Case, StateFacts, cases

CASES = list(cases())


@pytest.mark.long
@pytest.mark.parametrize(
    "case", CASES, ids=[f"{case.file.removesuffix('.txt')}: {case.name}" for case in CASES]
)
def test_on_sqlite(case: Case, tmp_path: Path) -> None:
    def rows(sql: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(f"file:{tmp_path}/p/.headrace/state.db?mode=ro", uri=True) as db:
            return db.execute(sql).fetchall()

    StateFacts(tmp_path / "p", "", rows).play(case)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", CASES, ids=[f"{case.file.removesuffix('.txt')}: {case.name}" for case in CASES]
)
def test_on_postgresql(
    case: Case, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = request.getfixturevalue("postgresql")
    monkeypatch.setenv("PG_PASSWORD", database.password)
    url = database.url_without_password.replace("@", ":${PG_PASSWORD}@")

    def rows(sql: str) -> list[tuple[object, ...]]:
        return database.rows(sql, None, schemas="headrace, headrace_lake")  # type: ignore[no-any-return]

    StateFacts(tmp_path / "p", f'[store]\nurl = "{url}"\n', rows).play(case)
