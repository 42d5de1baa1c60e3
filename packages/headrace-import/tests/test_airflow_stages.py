"""A real Airflow beside an imported project: ten DAGs, one observed, moved and moved back.

`make test-airflow` runs it, with Airflow 3 and with Airflow 2. Each is installed into an environment
of its own on first use (`benchmarks/peers/airflow.txt` and `airflow2.txt` have the versions), listens
on the loopback address, and ends with the test.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serve_lab import FILES, serving

import headrace
from benchmarks.peers import Unavailable, environment
from benchmarks.peers.measuring import free_port
from benchmarks.peers.servers import started
from headrace.project.session import ProjectSession, Silent
from headrace.security.secrets import Secrets
from headrace.services.pause import pause
from headrace_import.airflow_server.control import AirflowControl, AirflowServerAddress
from headrace_import.services.project import import_project
from headrace_import.services.stages import move, rollback
from headrace_import.services.status import import_status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
READY_SECONDS, RUN_SECONDS = 240.0, 180.0
DAGS = 10
TEXT = """import datetime
{imports}
with DAG(
    "shop_{number}",
    schedule="@daily",
    start_date=datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone.utc),
    catchup=False,
    is_paused_upon_creation=True,
    default_args={{"retries": 5, "retry_delay": datetime.timedelta(seconds=1)}},
) as dag:
    first = BashOperator(task_id="first", bash_command="echo {number}")
    second = BashOperator(task_id="second", bash_command="echo done")
    first >> second
"""
SOURCE = """source: runs_of_0
owner: airflow
partition: day
start: {start}
airflow:
  {{url: "{url}", dag: shop_0, authorization: "${{AIRFLOW_AUTHORIZATION}}", api: {api}}}
"""


@dataclass(frozen=True)
class Release:
    """What differs between Airflow 3 and 2."""

    peer: str
    api: str
    imports: str
    date: str
    """The column of `dag_run` with the logical date."""


RELEASES = [
    Release(
        "airflow",
        "v2",
        "from airflow.sdk import DAG\n"
        "from airflow.providers.standard.operators.bash import BashOperator",
        "logical_date",
    ),
    Release(
        "airflow2",
        "v1",
        "from airflow import DAG\nfrom airflow.operators.bash import BashOperator",
        "execution_date",
    ),
]


@dataclass
class RealAirflow:
    """A server that is up."""

    release: Release
    url: str
    home: Path
    environ: dict[str, str]

    @property
    def dags(self) -> Path:
        return self.home / "dags"

    def authorization(self) -> str:
        """Return the header of an administrator."""
        if self.release.api == "v2":
            return f"Bearer {self.asked('/auth/token')['access_token']}"
        password = (self.home / "standalone_admin_password.txt").read_text().strip()
        return f"Basic {base64.b64encode(f'admin:{password}'.encode()).decode()}"

    def health(self) -> Any:
        """Return what the server says about its parts."""
        return self.asked("/api/v2/monitor/health" if self.release.api == "v2" else "/health")

    def asked(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.load(answer)

    def start(self, *dags: str) -> None:
        """Let DAGs run; they are created paused, since ten first runs would delay the server."""
        address = AirflowServerAddress(self.url, self.authorization(), self.release.api)
        control = AirflowControl(address, Secrets(self.home))
        for dag in dags:
            control.set_paused(dag, False)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(
            sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True)
        ) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module", params=RELEASES, ids=["airflow3", "airflow2"])
def airflow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAirflow]:
    """`airflow standalone` on SQLite."""
    release = request.param
    try:
        programs = environment(release.peer)
    except Unavailable as error:
        pytest.skip(f"{release.peer} isn't here: {error}")
    home, port = tmp_path_factory.mktemp("airflow"), free_port()
    url, dags = f"http://127.0.0.1:{port}", home / "dags"
    dags.mkdir()
    for number in range(DAGS):
        (dags / f"shop_{number}.py").write_text(TEXT.format(number=number, imports=release.imports))
    environ = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "PATH": f"{programs}:/usr/bin:/bin",
        **(_settings_of_3(url, port) if release.api == "v2" else _settings_of_2(url, port)),
    }
    real = RealAirflow(release, url, home, environ)
    with started([str(programs / "airflow"), "standalone"], home / "run", environ) as server:
        server.wait(lambda: _is_ready(real), READY_SECONDS)
        yield real


def _settings_of_3(url: str, port: int) -> dict[str, str]:
    """Return the settings of a server in which everybody is an administrator."""
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
    }


def _settings_of_2(url: str, port: int) -> dict[str, str]:
    return {
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        "AIRFLOW__WEBSERVER__BASE_URL": url,
        "AIRFLOW__WEBSERVER__WORKERS": "1",
    }


def _is_ready(airflow: RealAirflow) -> bool:
    try:
        health = airflow.health()
        known = airflow.rows("select count(*) from dag")[0][0]
    except (OSError, ValueError, sqlite3.Error):
        return False
    return health["scheduler"]["status"] == "healthy" and known == DAGS


def _until(met: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def test_one_of_ten_dags_is_moved_and_moved_back(
    airflow: RealAirflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an API that real Airflow doesn't have, or a DAG that both sides run."""
    monkeypatch.setenv("AIRFLOW_AUTHORIZATION", airflow.authorization())
    root = tmp_path / "new"
    imported = import_project("airflow", airflow.dags, root, "test", Silent())
    assert len(imported.items) == 2 * DAGS
    airflow.start("shop_0")
    _until(
        lambda: airflow.rows(
            "select count(*) from dag_run where dag_id = 'shop_0' and state = 'success'"
        )[0][0],
        "Airflow never ran the first DAG",
    )
    ((date,),) = airflow.rows(
        f"select substr({airflow.release.date}, 1, 10) from dag_run where dag_id = 'shop_0'"
    )
    airflow.start(*(f"shop_{number}" for number in range(1, DAGS)))
    (root / "sources").mkdir(exist_ok=True)
    (root / "sources/runs.yaml").write_text(
        SOURCE.format(url=airflow.url, start=date, api=airflow.release.api)
    )
    tomorrow = datetime.fromisoformat(date) + timedelta(days=1, hours=6)
    session = headrace.Session(root, now=tomorrow.replace(tzinfo=UTC).isoformat())
    session.apply(session.plan().plan_id)
    pause(_session(root), ["*"], exclude=["runs_of_0"], reason="in Airflow", progress=Silent())
    session.tick()
    observed = headrace.Session(root).read("runs_of_0").rows()
    assert [(row["dag_id"], row["state"]) for row in observed] == [("shop_0", "success")]

    stages = {row.dag: row.stage for row in import_status(_session(root), root).dags}
    assert stages == {f"shop_{number}": "airflow" for number in range(DAGS)}
    _until(lambda: not _unfinished(airflow, "shop_0"), "a run of the first DAG never ended")
    moved = move(_session(root), root, "shop_0", yes=False, progress=Silent())
    assert moved.dag is not None
    assert moved.dag.stage == "moved"
    assert airflow.rows("select dag_id from dag where is_paused") == [("shop_0",)]
    monkeypatch.setenv("PATH", airflow.environ["PATH"])
    for name in ("AIRFLOW_HOME", "AIRFLOW__CORE__DAGS_FOLDER"):
        monkeypatch.setenv(name, airflow.environ[name])
    # An import without catchup begins today, which is already after the newest run of Airflow 2.
    following = datetime.fromisoformat(date).replace(tzinfo=UTC) + timedelta(days=1)
    for name in ("first", "second"):
        text = (root / f"assets/shop_0_{name}.yaml").read_text()
        assert f"\nstart: {following:%Y-%m-%d}\n" in text
    at_once = [row.asset for row in headrace.Session(root).tick().published]
    assert not {"shop_0_first", "shop_0_second"} & set(at_once), "Airflow has run all of it"
    later = (following + timedelta(days=1, hours=1)).isoformat()
    ran = headrace.Session(root, now=later).tick()
    assert sorted((row.asset, row.partition) for row in ran.published) == [
        ("shop_0_first", f"{following:%Y-%m-%d}"),
        ("shop_0_second", f"{following:%Y-%m-%d}"),
    ]
    # The day that ran here hasn't come in Airflow's time: once it has, Airflow 2 runs it again.
    back = rollback(_session(root), root, "shop_0", yes=True, actor="test", progress=Silent())
    assert back.dag is not None
    assert back.dag.stage == "airflow"
    assert back.notes[0].startswith("Airflow goes on with")
    assert airflow.rows("select dag_id from dag where is_paused") == []


WAITING = """import datetime
{imports}
from headrace_airflow import HeadracePartitionSensor, HeadraceRunOperator
with DAG("waiting", schedule=None, start_date=datetime.datetime(2026, 1, 1)):
    start = HeadraceRunOperator(task_id="start", asset="revenue", partition="2026-03-01")
    wait = HeadracePartitionSensor(
        task_id="wait", asset="revenue", partition="2026-03-01", poke_interval=1, timeout=30
    )
    start >> wait
"""
ALONE = """import sys
from headrace_airflow import HeadraceHook, HeadracePartitionSensor, HeadraceRunOperator
asset, partition = sys.argv[1:]
sensor = HeadracePartitionSensor(task_id="wait", asset=asset, partition=partition)
try:
    print("there" if sensor.poke({}) else "not there")
except Exception as error:
    print(type(error).__name__, error)
"""
PACKAGE = Path(__file__).parents[3] / "packages/headrace-airflow/src"


def test_a_dag_waits_for_what_headrace_publishes(airflow: RealAirflow, tmp_path: Path) -> None:
    """Would catch: a package that this Airflow can't import, or a sensor that never waits."""
    root, dags = tmp_path / "shop", tmp_path / "dags"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    (root / "landing/orders_2026-03-01.csv").write_text("day,amount\n2026-03-01,3\n")
    dags.mkdir()
    (dags / "waiting.py").write_text(WAITING.format(imports=airflow.release.imports))
    with serving(root) as server:
        connection = {
            "conn_type": "headrace",
            "host": "127.0.0.1",
            "port": server.port,
            "password": (root / ".headrace/token").read_text().strip(),
        }
        environ = {
            **os.environ,
            **airflow.environ,
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW_CONN_HEADRACE_DEFAULT": json.dumps(connection),
            "PYTHONPATH": str(PACKAGE),
        }
        assert _in_airflow(airflow, environ, "revenue", "2026-03-02") == "not there"
        assert "no such" in _in_airflow(airflow, environ, "nowhere", "2026-03-01")
        done = subprocess.run(
            ["airflow", "dags", "test", "waiting", "2026-03-02"],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert _in_airflow(airflow, environ, "revenue", "2026-03-01") == "there"
        broken = {**environ, "AIRFLOW_CONN_HEADRACE_DEFAULT": json.dumps(connection | {"port": 1})}
        said = _in_airflow(airflow, broken, "revenue", "2026-03-01")
        assert said.startswith("HeadraceError 127.0.0.1:1 can't be asked")
        assert connection["password"] not in said


def _in_airflow(
    airflow: RealAirflow, environ: Mapping[str, str], asset: str, partition: str
) -> str:
    """Return what a sensor says, run by Airflow's own Python."""
    python = Path(airflow.environ["PATH"].partition(":")[0]) / "python"
    done = subprocess.run(
        [str(python), "-c", ALONE, asset, partition],
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def _unfinished(airflow: RealAirflow, dag: str) -> int:
    states = "('queued', 'running')"
    sql = f"select count(*) from dag_run where dag_id = '{dag}' and state in {states}"
    return int(airflow.rows(sql)[0][0])


def _session(root: Path) -> ProjectSession:
    return ProjectSession.open(root, "prod", None, "test")
