"""The cluster that other tests stand on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import postgres_cluster
import psycopg
import pytest
from postgres_cluster import Cluster, Database

_USER_OF_A_CLUSTER = """
import pathlib, sys, time, postgres_cluster, shared_server
with shared_server.sharing(pathlib.Path(sys.argv[1]), postgres_cluster.__file__) as address:
    print(address["port"], flush=True)
    time.sleep(60)
"""


def test_each_way_in_leads_to_the_same_database(postgresql: Database) -> None:
    """Would catch a password that isn't escaped in the URL, and a socket folder that others can't
    enter.
    """
    for url in (postgresql.url, postgresql.url_of_socket):
        with psycopg.connect(url) as connection:
            assert connection.execute("select current_database()").fetchone() == (postgresql.name,)


def test_a_password_is_asked_for(postgresql: Database) -> None:
    """Would catch a cluster with which no test of passwords can fail."""
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgresql.url_without_password, passfile="/dev/null")


@pytest.mark.long
def test_a_killed_test_process_leaves_no_server(cluster: Cluster) -> None:
    """Would catch clusters that pile up on a machine whose tests are interrupted."""
    folder = Path("/tmp") / f"headrace-pg-{uuid.uuid4().hex}"
    environment = {
        "PYTHONPATH": str(Path(postgres_cluster.__file__).parent),
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-c", _USER_OF_A_CLUSTER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not folder.exists()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(f"postgresql://x@127.0.0.1:{port}/postgres", connect_timeout=5)
