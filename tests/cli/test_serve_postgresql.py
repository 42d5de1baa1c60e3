"""`serve` over a PostgreSQL database that comes and goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgres_cluster import Database
from serve_lab import FILES, ask, deliver, project, serving, until, write


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_server_outlives_its_connections(tmp_path: Path, postgresql: Database) -> None:
    """A restart of the database ends every server, at night. (Its own lease has to lapse first: it
    could not be given back.)
    """
    import psycopg

    root = project(tmp_path / "shop")
    address = f"postgresql://{postgresql.user}:${{STORE_PASSWORD}}@{postgresql.host}:{postgresql.port}/{postgresql.name}"
    write(root / "headrace.toml", FILES["headrace.toml"] + f'[store]\nurl = "{address}"\n')
    with serving(root, STORE_PASSWORD=postgresql.password) as server:
        epoch = ask(server.port, "/readyz").json["lease_epoch"]
        with psycopg.connect(
            host=postgresql.host,
            port=postgresql.port,
            dbname=postgresql.name,
            user=postgresql.user,
            password=postgresql.password,
        ) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname ="
                " current_database() and pid <> pg_backend_pid()"
            )
        until(lambda: server.leads() and ask(server.port, "/readyz").json["lease_epoch"] > epoch)
        deliver(root, "2026-03-02")
        until(lambda: server.ran("revenue"))
        assert "trying again" in server.said
        assert server.stop() == 0
