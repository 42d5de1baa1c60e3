"""dbt itself beside the imported project: equal unique ids, and equal tables after every run.

dbt-core and dbt-duckdb are installed into an environment of their own on first use
(`benchmarks/peers/dbt_tests.txt` has their versions).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from dbt_projects import PROJECTS, DbtProject

import headrace
from benchmarks.peers import QUIET, Unavailable, environment
from headrace.project.session import ProjectSession, Silent
from headrace_import.responses.imports import ImportResponse
from headrace_import.services.dbt_artifacts import export
from headrace_import.services.project import import_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DBT_TIMEOUT_S = 240
OUR_KINDS = ("package",)
"""Kinds of items that dbt's manifest doesn't list."""


@pytest.fixture(scope="module")
def dbt() -> Path:
    """The program `dbt`."""
    try:
        return environment("dbt_tests") / "dbt"
    except Unavailable as error:
        pytest.skip(f"dbt isn't here: {error}")


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_tables_and_ids_are_those_of_dbt(
    dbt: Path, project: DbtProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a carried model, seed or snapshot with other rows than dbt's, in any run."""
    origin, into = tmp_path / project.name, tmp_path / "new"
    project.write(origin, project.files)
    _run_dbt(dbt, origin, "build")
    monkeypatch.setenv("PATH", f"{dbt.parent}{os.pathsep}{os.environ['PATH']}")
    response = import_project("dbt", origin, into, "test", Silent(), with_dbt=project.with_dbt)
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems
    _assert_verdicts(response, project)
    ids = {item.id for item in response.items if item.id.partition(".")[0] not in OUR_KINDS}
    assert ids == _unique_ids(origin)
    _assert_equal_tables(origin, into, project, day=1)
    for day, changed in enumerate(project.later_files, start=2):
        project.write(origin, changed)
        _run_dbt(dbt, origin, "build")
        project.write(into, changed)
        _assert_equal_tables(origin, into, project, day=day)


@pytest.mark.skipif("JAFFLE_SHOP" not in os.environ, reason="JAFFLE_SHOP names no clone of it")
def test_jaffle_shop_has_the_tables_of_dbt(
    dbt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: what docs/explanation/moving-jaffle-shop.md tells, if it isn't so any more."""
    origin, into = tmp_path / "jaffle-shop", tmp_path / "new"
    shutil.copytree(Path(os.environ["JAFFLE_SHOP"]).expanduser(), origin)
    profile = "default: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb}}}\n"
    (origin / "profiles.yml").write_text(profile)
    _run_dbt(dbt, origin, "seed", "--vars", "{load_source_data: true}")
    _run_dbt(dbt, origin, "build", "--exclude-resource-type", "seed")
    monkeypatch.setenv("PATH", f"{dbt.parent}{os.pathsep}{os.environ['PATH']}")
    import_project("dbt", origin, into, "test", Silent(), with_dbt=True)
    for source in (into / "sources").glob("*.yaml"):
        source.write_text(source.read_text().replace(".parquet", ".csv"))
    shutil.copytree(origin / "seeds/jaffle-data", into / "landing/raw")
    project = DbtProject("jaffle-shop", {}, with_dbt=True)
    _assert_equal_tables(origin, into, project, day=1)
    checks = headrace.Session(into).checks()
    assert {row.state for row in checks} == {"passed"}
    tests = [uid for uid in _unique_ids(origin) if uid.startswith("test.")]
    assert len(checks) == len(tests)


def test_exported_artifacts_are_read_by_dbt(dbt: Path, tmp_path: Path) -> None:
    """Would catch: artifacts that dbt's own classes refuse, or ids that aren't those of dbt."""
    project, origin, into = PROJECTS[0], tmp_path / "shop", tmp_path / "new"
    project.write(origin, project.files)
    _run_dbt(dbt, origin, "parse")
    import_project("dbt", origin, into, "test", Silent())
    headrace.Session(into, now="2026-03-01T04:00:00+00:00").tick()
    export(ProjectSession.open(into, "prod", None, "test"), "dbt-manifest")
    read = subprocess.run(
        [str(dbt.parent / "python"), "-c", _READ_ARTIFACTS, str(into / "target")],
        capture_output=True,
        text=True,
        check=False,
        timeout=DBT_TIMEOUT_S,
    )
    assert read.returncode == 0, read.stderr[-2000:]
    nodes, results = json.loads(read.stdout)
    theirs = _unique_ids(origin)
    models = {uid for uid in theirs if uid.startswith("model.") and uid.count(".") == 2}
    assert models <= set(nodes)
    plain = ("not_null_", "unique_", "accepted_values_", "relationships_")
    named = {uid for uid in nodes if uid.split(".")[2].startswith(plain)}
    tests = {uid for uid in named if "_customers_" not in uid}  # those have versions in dbt
    assert tests
    assert tests <= theirs
    assert {status for uid, status in results if uid.startswith("model.")} == {"success"}
    assert {status for uid, status in results if uid.startswith("test.")} <= {"pass", "warn"}


_READ_ARTIFACTS = """
import json, sys
from dbt.artifacts.schemas.manifest import WritableManifest
from dbt.artifacts.schemas.run import RunResultsArtifact
manifest = WritableManifest.read_and_check_versions(sys.argv[1] + "/manifest.json")
results = RunResultsArtifact.read_and_check_versions(sys.argv[1] + "/run_results.json").results
json.dump([list(manifest.nodes), [(row.unique_id, row.status) for row in results]], sys.stdout)
"""


def _run_dbt(dbt: Path, origin: Path, *command: str) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(origin.parent), **QUIET}
    done = subprocess.run(
        [str(dbt), "--no-use-colors", *command, "--profiles-dir", "."],
        cwd=origin,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=DBT_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def _assert_verdicts(response: ImportResponse, project: DbtProject) -> None:
    """Only what the project says itself is left to a person or to dbt."""
    left = {item.id for item in response.items if item.verdict != "carried"}
    unexpected = {
        item.id: item.why
        for item in response.items
        if item.id in left and not item.id.startswith(project.not_carried)
    }
    assert not unexpected


def _unique_ids(origin: Path) -> set[str]:
    manifest = json.loads((origin / "target" / "manifest.json").read_text())
    name = manifest["metadata"]["project_name"]
    sections = ("nodes", "sources", "macros", "exposures", "metrics", "unit_tests")
    ids = {
        uid
        for section in sections
        for uid, node in manifest[section].items()
        if node["package_name"] == name
    }
    return ids | set(manifest["disabled"])


def _assert_equal_tables(origin: Path, into: Path, project: DbtProject, *, day: int) -> None:
    """Run the new project, and compare each table of dbt with it as a multiset of rows."""
    now = f"2026-03-{day:02}T04:00:00+00:00"
    headrace.Session(into, now=now).tick()
    session = headrace.Session(into, now=now)
    for table, columns, expected in _tables(origin, project):
        name = project.names.get(table, table)
        read = [tuple(map(_text, row.values())) for row in _rows(session, name, columns)]
        assert sorted(read) == sorted(expected), f"{table}, run {day}"


def _tables(
    origin: Path, project: DbtProject
) -> Iterator[tuple[str, list[str], list[tuple[str, ...]]]]:
    """Yield each table of dbt with the columns to compare and its rows."""
    with duckdb.connect(str(origin / "shop.duckdb"), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        names = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'main' order by 1"
        ).fetchall()
        assert names
        for (table,) in names:
            described = connection.execute(f'describe "{table}"').fetchall()
            left_out = project.columns_left_out.get(table, ())
            columns = [row[0] for row in described if row[0] not in left_out]
            listed = ", ".join(f'"{column}"' for column in columns)
            rows = connection.execute(f'select {listed} from "{table}"').fetchall()
            yield table, columns, [tuple(map(_text, row)) for row in rows]


def _rows(session: headrace.Session, table: str, columns: list[str]) -> list[dict[str, object]]:
    rows = session.read(table).rows()
    assert not rows or set(columns) <= rows[0].keys(), (table, columns, rows[0].keys())
    return [{column: row[column] for column in columns} for row in rows]


def _text(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float | int) else str(value)
