"""Each peer's part of the measurement: its programs, and its server where it has one."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.peers import Found, Unavailable, environment, program
from benchmarks.peers.servers import answers, free_port, idle, started

PROGRAM_TIMEOUT_S = 420.0
READY_TIMEOUT_S = 180.0
AIRFLOW_DAGS = '''"""Made by benchmarks/overhead.py."""
from datetime import datetime

from airflow.sdk import DAG, task


def make(name, count, chained):
    with DAG(name, schedule=None, start_date=datetime(2013, 1, 1), catchup=False, is_paused_upon_creation=False):
        last = None
        for n in range(count):

            @task(task_id=f"t{n:03}")
            def nothing():
                return None

            now = nothing()
            if chained and last is not None:
                last >> now
            last = now


make("wide", WIDE, False)
make("chain", CHAIN, True)
'''
DAGSTER_DEFINITIONS = """import dagster as dg


@dg.asset
def daily() -> None:
    return None


defs = dg.Definitions(assets=[daily])
"""


class Peers:
    """Measures peers one after the other, each in a folder of its own."""

    def __init__(self, folder: Path, *, repeats: int, quick: bool) -> None:
        self._folder, self._repeats, self._quick = folder, repeats, quick
        self._idle_s, self._settle_s = (1.0, 0.5) if quick else (20.0, 8.0)

    def measure(self, peer: str) -> Found:
        """What a peer comes to; one that can't be had here says so in `missing`."""
        print(f"  {peer} …", file=sys.stderr)
        result = Found(peer)
        try:
            folder = self._folder / peer
            folder.mkdir(parents=True)
            KINDS[peer](self, result, environment(peer), folder)
        except Unavailable as error:
            result.missing = str(error)
        return result

    def _program(
        self, peer: str, programs: Path, folder: Path, environ: Mapping[str, str], *more: str
    ) -> Mapping[str, object]:
        arguments = [
            str(folder / "work"),
            str(self._repeats),
            "quick" if self._quick else "full",
            *more,
        ]
        document: Mapping[str, object] = program(
            peer, programs / "python", arguments, environ=environ, timeout=PROGRAM_TIMEOUT_S
        )
        return document

    def alone(self, result: Found, programs: Path, folder: Path) -> None:
        """A peer without a server."""
        result.add(self._program(result.peer, programs, folder, {}))

    def served(
        self,
        result: Found,
        command: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        ready: Callable[[], bool],
        beside: Callable[[], Mapping[str, object]] | None = None,
    ) -> None:
        """A peer's server: how soon it is ready, what it costs idle, and the work beside it."""
        with started(command, folder / "server", environ) as server:
            server.wait(ready, READY_TIMEOUT_S)
            spent, memory = idle([server.process.pid], self._idle_s, self._settle_s)
            figures = {
                "ready_seconds": server.ready_seconds,
                "idle_cpu_percent": spent,
                "idle_pss_mb": memory,
            }
            result.add(
                {"figures": {name: {result.peer: [value]} for name, value in figures.items()}}
            )
            if beside is not None:
                result.add(beside())

    def luigi(self, result: Found, programs: Path, folder: Path) -> None:
        """Local scheduler; idle is its central one."""
        self.alone(result, programs, folder)
        port = free_port()
        self.served(
            result,
            [str(programs / "luigid"), "--port", str(port)],
            folder,
            {},
            lambda: answers(f"http://127.0.0.1:{port}/static/visualiser/index.html"),
        )

    def dagster(self, result: Found, programs: Path, folder: Path) -> None:
        """In process and in processes; idle is `dagster dev`, its webserver, daemon and code
        server.
        """
        self.alone(result, programs, folder)
        (folder / "home").mkdir()
        (folder / "home/dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
        (folder / "definitions.py").write_text(DAGSTER_DEFINITIONS, encoding="utf-8")
        port = free_port()
        command = [
            str(programs / "dagster"),
            "dev",
            "-f",
            str(folder / "definitions.py"),
            "-p",
            str(port),
            "-h",
            "127.0.0.1",
        ]
        environ = {"DAGSTER_HOME": str(folder / "home"), "PATH": f"{programs}:/usr/bin:/bin"}
        self.served(
            result,
            command,
            folder,
            environ,
            lambda: answers(f"http://127.0.0.1:{port}/server_info"),
        )

    def prefect(self, result: Found, programs: Path, folder: Path) -> None:
        """A server on SQLite, and a flow that talks to it."""
        port, home = free_port(), folder / "home"
        environ = {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_LOGGING_LEVEL": "ERROR",
        }
        self.served(
            result,
            [
                str(programs / "prefect"),
                "server",
                "start",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            ],
            folder,
            environ,
            lambda: answers(f"http://127.0.0.1:{port}/api/health"),
            lambda: self._program("prefect", programs, folder, environ, str(home / "prefect.db")),
        )

    def airflow(self, result: Found, programs: Path, folder: Path) -> None:
        """`airflow standalone`: SQLite, LocalExecutor."""
        port, home = free_port(), folder / "home"
        (home / "dags").mkdir(parents=True)
        wide, chain = (2, 2) if self._quick else (40, 8)
        dags = AIRFLOW_DAGS.replace("WIDE", str(wide)).replace("CHAIN", str(chain))
        (home / "dags/bench.py").write_text(dags, encoding="utf-8")
        url = f"http://127.0.0.1:{port}"
        environ = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": url,
            "PATH": f"{programs}:/usr/bin:/bin",
        }
        self.served(
            result,
            [str(programs / "airflow"), "standalone"],
            folder,
            environ,
            lambda: _healthy(f"{url}/api/v2/monitor/health"),
            lambda: self._program("airflow", programs, folder, environ, str(home / "airflow.db")),
        )


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as reply:
            told = json.load(reply)
    except (OSError, ValueError):
        return False
    return all(
        told[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "metadatabase")
    )


KINDS: Mapping[str, Callable[[Peers, Found, Path, Path], None]] = {
    "dask": Peers.alone,
    "luigi": Peers.luigi,
    "dagster": Peers.dagster,
    "sqlmesh": Peers.alone,
    "prefect": Peers.prefect,
    "airflow": Peers.airflow,
}
