"""F7: the state's database is restarted in the middle, and loses what it hadn't written to its
disk: exact all the same."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from campaign import finish_and_verify
from faults_lab import Project, World
from postgres_cluster import Cluster, Database, private_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
RESTARTS = 4


class InPostgresql(Project):
    """The same project, whose state and catalog are in a database."""

    def __init__(self, root: Path, database: Database) -> None:
        super().__init__(root)
        self._database = database

    def declare(self, *given: Any) -> Project:
        super().declare(*given)
        url = self._database.url_without_password.replace("@", ":${PG_PASSWORD}@")
        with (self.root / "headrace.toml").open("a") as settings:
            settings.write(f'[store]\nurl = "{url}"\n')
        return self

    def sql(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._database.rows(sql, parameters or None, schemas="headrace, headrace_lake")


def test_a_database_that_is_restarted(
    quiet: tuple[World, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tests' setting `synchronous_commit = off` makes it lose its last commits; those before an
    export are asked for by name.
    """
    seed = random.randrange(2**32)
    print("seed", seed)
    with private_cluster() as cluster, cluster.fresh() as database:
        monkeypatch.setenv("PG_PASSWORD", database.password)
        project = InPostgresql(tmp_path / "p", database)
        project.declare()
        _disturb(project, cluster, random.Random(seed), 2 * quiet[1])
        finish_and_verify(project, quiet[0])


def _disturb(project: Project, cluster: Cluster, chance: random.Random, span: float) -> None:
    for _ in range(RESTARTS):
        process = project.start("tick", *project.now)
        try:
            process.wait(
                chance.uniform(0.3, span)
            )  # the moment is what is random here, nothing is waited for
        except subprocess.TimeoutExpired:
            cluster.restart()
        _, said = process.communicate(timeout=120)
        assert process.returncode in (0, 1), said
        assert "Traceback" not in said
