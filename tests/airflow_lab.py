"""Airflow's REST API on the loopback address, over runs that a test sets.

It has the routes and parameters, with the fields that Headrace reads, of the descriptions in
apache-airflow-core 3.3.2 (v2) and apache-airflow 2.11.0 (v1) that Headrace reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from http_server_lab import Asked, Reply, Server, reply

TOKEN = "Bearer tok-canary-5521"


@dataclass
class Run:
    """A run of a DAG. `tasks`: id → states of its instances; several are mapped ones."""

    run_id: str
    logical_date: str | None
    state: str = "success"
    tasks: dict[str, list[str | None]] = field(default_factory=dict)
    ended: str = "2026-03-02T06:10:00Z"
    tries: int = 1
    run_type: str = "scheduled"
    interval_end: str | None = None
    """End of its data interval, which is empty without it, as Airflow 3's are by default."""


class AirflowServer:
    """Use it as a context manager."""

    def __init__(self, api: str = "v2") -> None:
        self.api = api
        self.dags: dict[str, list[Run]] = {}
        self.paused: set[str] = set()
        """DAGs that are paused. Their unfinished runs don't go on, as in Airflow."""
        self.catchup: set[str] = set()
        """DAGs with `catchup=True`."""
        self.on_pause: dict[str, Run] = {}
        """DAG → a run that the scheduler creates just before the DAG is paused."""
        self.page_max = 100
        """`maximum_page_limit`, which may be smaller than the size that is asked for."""
        self.server = Server()
        self.server.answer = self._answer  # type: ignore[method-assign]

    @property
    def asked(self) -> list[Asked]:
        return self.server.asked

    @property
    def url(self) -> str:
        return self.server.url

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.__exit__(kind, error, trace)

    def _answer(self, asked: Asked) -> Reply:
        self.server.asked.append(asked)
        if asked.headers.get("authorization") != TOKEN:
            return reply('{"detail": "Unauthorized"}', status=401)
        parts = [unquote(part) for part in asked.path.split("/")[1:]]
        if parts[:3] != ["api", self.api, "dags"] or asked.method not in ("GET", "PATCH"):
            return reply('{"detail": "Not Found"}', status=404)
        runs = self.dags.get(parts[3])
        if runs is None:
            return reply('{"detail": "The DAG was not found"}', status=404)
        match parts[4:]:
            case []:
                return self._dag(asked, parts[3])
            case ["details"]:
                return reply(json.dumps({"catchup": parts[3] in self.catchup}))
            case ["dagRuns"] if "order_by" in asked.query:
                return self._newest_first(asked, runs)
            case ["dagRuns"] if "state" in asked.query:
                states = asked.query["state"]
                return self._page(
                    asked, "dag_runs", [_run_of(run) for run in runs if run.state in states]
                )
            case ["dagRuns"]:
                return self._page(asked, "dag_runs", self._runs(asked, runs))
            case ["dagRuns", run_id, "taskInstances", task, *mapped]:
                return self._instances(asked, runs, run_id, task, mapped)
        return reply('{"detail": "Not Found"}', status=404)

    def _dag(self, asked: Asked, dag: str) -> Reply:
        if asked.method == "PATCH":
            if asked.one("update_mask") != "is_paused":
                return reply('{"detail": "Only is_paused can be updated"}', status=400)
            pause = json.loads(asked.body)["is_paused"]
            if pause and dag in self.on_pause:
                self.dags[dag].append(self.on_pause.pop(dag))
            (self.paused.add if pause else self.paused.discard)(dag)
        return reply(json.dumps({"dag_id": dag, "is_paused": dag in self.paused}))

    def finish(self, dag: str) -> None:
        """Let the scheduler finish all runs of a DAG; those of a paused one stay as they are."""
        for run in self.dags[dag]:
            if dag not in self.paused and run.state in ("queued", "running"):
                run.state = "success"

    def _newest_first(self, asked: Asked, runs: list[Run]) -> Reply:
        name = "logical_date" if self.api == "v2" else "execution_date"
        if asked.one("order_by") != f"-{name}":
            return reply('{"detail": "Ordering is not allowed"}', status=400)
        ordered = sorted(runs, key=lambda run: run.logical_date or "", reverse=True)
        return self._page(asked, "dag_runs", [_run_of(run) for run in ordered])

    def _runs(self, asked: Asked, runs: list[Run]) -> list[dict[str, Any]]:
        name = "logical_date" if self.api == "v2" else "execution_date"
        first, last = (datetime.fromisoformat(asked.one(f"{name}_{end}")) for end in ("gte", "lte"))
        return [
            _run_of(run)
            for run in runs
            if run.logical_date is not None
            and first <= datetime.fromisoformat(run.logical_date) <= last
        ]

    def _instances(
        self, asked: Asked, runs: list[Run], run_id: str, task: str, mapped: list[str]
    ) -> Reply:
        run = next((run for run in runs if run.run_id == run_id), None)
        states = run.tasks.get(task, []) if run else []
        if run is None or not states or (len(states) > 1) != (mapped == ["listMapped"]):
            return reply('{"detail": "Not Found"}', status=404)
        rows = [_instance_of(run, task, state, index) for index, state in enumerate(states)]
        if mapped:
            return self._page(asked, "task_instances", rows)
        return reply(json.dumps({**rows[0], "map_index": -1}))

    def _page(self, asked: Asked, name: str, rows: list[dict[str, Any]]) -> Reply:
        start, size = int(asked.one("offset", "0")), int(asked.one("limit", "50"))
        page = rows[start : start + min(size, self.page_max)]
        return reply(json.dumps({name: page, "total_entries": len(rows)}))


def _run_of(run: Run) -> dict[str, Any]:
    return {
        "dag_run_id": run.run_id,
        "logical_date": run.logical_date,
        "data_interval_start": run.logical_date,
        "data_interval_end": run.interval_end or run.logical_date,
        "start_date": run.logical_date,
        "end_date": run.ended if run.state in ("success", "failed") else None,
        "state": run.state,
        "run_type": run.run_type,
        "conf": {},
        "note": None,
    }


def _instance_of(run: Run, task: str, state: str | None, index: int) -> dict[str, Any]:
    return {
        "task_id": task,
        "dag_run_id": run.run_id,
        "map_index": index,
        "state": state,
        "try_number": run.tries,
        "start_date": run.logical_date,
        "end_date": run.ended if state in ("success", "failed") else None,
        "pool": "default_pool",
        "operator": "SQLExecuteQueryOperator",
    }
