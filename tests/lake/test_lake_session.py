"""A body computes with a session; whatever its SQL says, it reaches nothing that it
wasn't given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from headrace.lake.session import DuckDBSession, UnlockedSession, open_spare, parser
from headrace.model.errors import LakeError


@pytest.fixture(params=["opened now", "opened before"])
def session(tmp_path: Path, request: pytest.FixtureRequest) -> DuckDBSession:
    if request.param == "opened before":
        open_spare()
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.csv").write_text("x\n1\n")
    (tmp_path / "one.csv").write_text("x\n2\n")
    (tmp_path / "secret.csv").write_text("x\n3\n")
    (tmp_path / "lake-other").mkdir()
    (tmp_path / "lake-other" / "b.csv").write_text("x\n4\n")
    return DuckDBSession(
        tmp_path / "lake",
        readable=[tmp_path / "given", tmp_path / "one.csv"],
        timezone="America/New_York",
        threads=1,
        memory_max_bytes=2**28,
    )


def test_a_database_opened_before_has_the_settings_of_any_other(tmp_path: Path) -> None:
    """Would catch: a spare database without one of the locks, and one that two sessions share, or
    a session and whoever parses."""
    settings = []
    for spare in ("none", "opened ahead", "parsed with"):
        if spare == "opened ahead":
            open_spare()
        if spare == "parsed with":
            with parser() as lent, parser() as another:
                assert lent is not another
        options = {"timezone": "Asia/Tokyo", "threads": 2, "memory_max_bytes": 2**28}
        with DuckDBSession(tmp_path, **options) as session:  # type: ignore[arg-type]
            own_folder = str(session.temporary_folder)
            settings.append(
                session.connection.execute(
                    "SELECT name, replace(value, ?, 'own') FROM duckdb_settings() ORDER BY name",
                    [own_folder],
                ).fetchall()
            )
            session.connection.execute("CREATE TABLE rows_of_one AS SELECT 1 AS x")
    assert settings[0] == settings[1] == settings[2]
    with DuckDBSession(tmp_path) as session:
        count = "SELECT count(*) FROM duckdb_tables()"
        assert session.connection.execute(count).fetchall() == [(0,)]


def test_a_session_opened_ahead_is_locked_at_its_first_statement(tmp_path: Path) -> None:
    """Would catch: code that runs with open settings, and attempts that wait for statements."""
    options = {"timezone": "Asia/Tokyo", "threads": 2, "memory_max_bytes": 2**28}
    query = (
        "SELECT name, value FROM duckdb_settings() WHERE name IN"
        " ('TimeZone', 'threads', 'memory_limit', 'lock_configuration') ORDER BY name"
    )
    with DuckDBSession(tmp_path, **options) as session:  # type: ignore[arg-type]
        expected = session.connection.execute(query).fetchall()
    with UnlockedSession(tmp_path, threads=1) as ahead:
        ahead.lock(**options)  # type: ignore[arg-type]
        assert ("lock_configuration", "false") in ahead._connection.execute(query).fetchall()
        assert ahead.connection.execute(query).fetchall() == expected
        with pytest.raises(duckdb.Error, match="locked"):
            ahead.connection.execute("SET threads = 64")


def test_a_session_opened_ahead_stays_closed_without_its_time_zone(tmp_path: Path) -> None:
    """Would catch: a second statement that runs without the lock because the first one failed."""
    with UnlockedSession(tmp_path, threads=1) as ahead:
        ahead.lock("Nowhere/Land", 1, None)
        for _ in range(2):
            with pytest.raises(LakeError, match="Nowhere/Land"):
                ahead.run("SELECT 1", None)
        ahead.lock("UTC", 1, None)


def test_what_it_is_given_can_be_read(session: DuckDBSession, tmp_path: Path) -> None:
    assert session.connection.execute(
        f"SELECT * FROM read_csv('{tmp_path}/given/a.csv')"
    ).fetchall() == [(1,)]
    assert session.connection.execute(
        f"SELECT * FROM read_csv('{tmp_path}/one.csv')"
    ).fetchall() == [(2,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_csv('{folder}/secret.csv')",
        "SELECT * FROM read_csv('{folder}/lake-other/b.csv')",
        "SELECT * FROM read_csv('{folder}/given/../secret.csv')",
        "SELECT * FROM read_csv('{folder}/lake/../secret.csv')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM '{folder}/secret.csv'",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
        "ATTACH '{folder}/elsewhere.db'",
        "ATTACH '{folder}/state.db' (TYPE sqlite)",
        "ATTACH 'postgres:host=localhost' AS p",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD sqlite_scanner",
        "LOAD '{folder}/evil.duckdb_extension'",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY (SELECT 1) TO '{folder}/given/../out.csv'",
        "EXPORT DATABASE '{folder}/out'",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET allowed_configs = ['threads']",
        "SET threads = 64",
        "SET TimeZone = 'UTC'",
        "SET memory_limit = '64GB'",
        "PRAGMA temp_directory = '/tmp'",
        "RESET lock_configuration",
    ],
)
def test_nothing_else_can_be_reached_or_changed(
    session: DuckDBSession, tmp_path: Path, sql: str
) -> None:
    """B10. By its own name, through `..`, beside a folder that begins alike, over the
    network, or by unlocking first."""
    with pytest.raises(duckdb.Error):
        session.connection.execute(sql.format(folder=tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "given",
        "lake",
        "lake-other",
        "one.csv",
        "secret.csv",
    ]


def test_variables_of_the_python_process_are_not_tables(session: DuckDBSession) -> None:
    secrets = __import__("pyarrow").table({"password": ["hunter2"]})
    assert secrets.num_rows == 1
    with pytest.raises(duckdb.CatalogException):
        session.connection.execute("SELECT * FROM secrets")


def test_the_zone_is_the_assets(session: DuckDBSession) -> None:
    assert session.connection.execute(
        "SELECT (TIMESTAMPTZ '2013-02-11 05:00:00+00')::DATE::VARCHAR, TIMESTAMPTZ '2013-02-11"
        " 04:59:59+00' < '2013-02-11'"
    ).fetchone() == ("2013-02-11", True)


def test_an_unknown_zone_is_said(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="Mars/Olympus"):
        DuckDBSession(tmp_path, timezone="Mars/Olympus")


def test_a_zone_that_is_sql_stays_a_value(tmp_path: Path) -> None:
    with pytest.raises(LakeError):
        DuckDBSession(tmp_path, timezone="UTC'; SET threads = 64; --")


def test_what_does_not_fit_into_memory_is_spilled_below_the_data_folder(tmp_path: Path) -> None:
    with DuckDBSession(tmp_path, threads=1, memory_max_bytes=2**27) as session:
        setting = session.connection.execute("SELECT current_setting('temp_directory')").fetchone()
        assert setting == (str(session.temporary_folder),)
        assert session.temporary_folder.parent == tmp_path.resolve() / ".temporary"
        rows = session.connection.execute(
            "SELECT count(DISTINCT x) FROM (SELECT repeat(range::VARCHAR, 20) AS x FROM"
            " range(700000))"
        ).fetchone()
    assert rows == (700_000,)


def test_each_session_spills_to_a_folder_of_its_own(tmp_path: Path) -> None:
    """DuckDB names what it spills alike in every process: in one folder, sessions overwrite each
    other's rows.
    """
    with DuckDBSession(tmp_path) as item, DuckDBSession(tmp_path) as other:
        assert item.temporary_folder != other.temporary_folder
        assert item.temporary_folder.stat().st_mode & 0o077 == 0
    assert list((tmp_path / ".temporary").iterdir()) == []


def test_what_a_killed_process_spilled_is_swept_away(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = tmp_path / ".temporary" / f"{dead.pid}-0123abcd"
    left.mkdir(parents=True)
    (left / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"x")
    with DuckDBSession(tmp_path) as session:
        assert list((tmp_path / ".temporary").iterdir()) == [session.temporary_folder]


VALUES = """
import datetime, pathlib, sys
from headrace.lake.session import DuckDBSession, UnlockedSession, open_spare
with DuckDBSession(pathlib.Path(sys.argv[1])) as session:
    for value in (datetime.date(2013, 1, 1), datetime.datetime(2013, 1, 1), 1, 1.5, "x", True, [1], {"a": 1}):
        assert session.run("SELECT $value", {"value": value}).fetchall() == [(value,)]
assert not {"pandas", "numpy", "pyarrow"} & sys.modules.keys(), "imported for a value that can't be theirs"
import pandas
with DuckDBSession(pathlib.Path(sys.argv[1])) as session:
    assert session.run("SELECT $value", {"value": pandas.NaT}).fetchall() == [(None,)]
    assert session.run("SELECT $value", {"value": pandas.Timestamp(0)}).fetchall()
assert sys.modules["pandas"] is pandas
"""


def test_values_bring_no_data_frames_into_a_process_that_has_none(tmp_path: Path) -> None:
    """Would catch: a quarter of a second and 60 MiB in each worker for the first
    `$partition_start`, because DuckDB imports pandas to ask whether a date is one of its values;
    and a worker that can't use pandas any more after that."""
    done = subprocess.run(
        [sys.executable, "-c", VALUES, str(tmp_path / "lake")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
