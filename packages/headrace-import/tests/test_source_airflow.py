"""Sources that observe runs in Airflow, against a real HTTP server with Airflow's routes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from airflow_lab import TOKEN, AirflowServer, Run
from http_server_lab import reply

from headrace.connect.connectors import Access, Unavailable
from headrace.connect.deliveries import Observation
from headrace.model.errors import Report
from headrace.model.parsing import load_yaml
from headrace.model.yaml_files import read_sources
from headrace.security.secrets import Secrets
from headrace_import.airflow_server.source import Airflow

DAY, NEXT = "2026-03-01", "2026-03-02"
MORNING = "2026-03-01T06:00:00Z"


@pytest.fixture(params=["v2", "v1"])
def airflow(request: pytest.FixtureRequest) -> Iterator[AirflowServer]:
    with AirflowServer(request.param) as server:
        yield server


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_AUTHORIZATION", TOKEN)


def _access(server: AirflowServer, folder: Path, **more: Any) -> Access:
    report = Report("sources/s.yaml")
    declared = {
        "url": server.url,
        "dag": "sales",
        "authorization": "${AIRFLOW_AUTHORIZATION}",
        "api": server.api,
        **more,
    }
    text = msgspec.json.encode(
        {"source": "s", "owner": "core", "partition": "day", "airflow": declared}
    ).decode()
    (source,) = read_sources(load_yaml(text, report), report)
    assert not report.problems, report.problems
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    return Access(
        source=msgspec.structs.replace(source, timezone=source.timezone or "UTC"),
        connection={},
        secrets=Secrets(folder),
        project=folder,
        temporary=temporary,
        now_us=time.time_ns() // 1000,
    )


def _observed(
    access: Access,
    wanted: Sequence[str] = (DAY,),
    known: Mapping[str, tuple[str, str]] | None = None,
) -> Observation:
    return Airflow().observe(access, wanted, known or {})


def _rows(access: Access, observation: Observation) -> list[dict[str, Any]]:
    fetched = Airflow().fetch(access, observation.found[0])
    return [msgspec.json.decode(line) for line in fetched.path.read_bytes().splitlines()]


def test_a_run_that_succeeded_is_a_delivery(airflow: AirflowServer, tmp_path: Path) -> None:
    """Would catch: another interval's run, a lost field, an arrival at the time of observation."""
    airflow.dags["sales"] = [
        Run("scheduled__1", MORNING),
        Run("scheduled__2", "2026-03-02T00:00:00Z"),
    ]
    access = _access(airflow, tmp_path)
    observation = _observed(access)
    (found,) = observation.found
    assert (found.partition, found.modified_us) == (DAY, 1_772_431_800_000_000)
    (row,) = _rows(access, observation)
    assert (row["run_id"], row["state"], row["task_id"]) == ("scheduled__1", "success", None)
    assert row["logical_date"] == MORNING
    assert _observed(access, [DAY], {DAY: (found.path, found.version)}).found == ()


def test_nothing_is_ever_sent_but_get(airflow: AirflowServer, tmp_path: Path) -> None:
    """Would catch: an observation that changes Airflow."""
    airflow.dags["sales"] = [
        Run("a", MORNING, tasks={"clean": ["success"], "load": ["success", "failed"]}),
    ]
    for more in ({}, {"task": "clean"}, {"task": "load"}, {"task": "no_such_task"}):
        access = _access(airflow, tmp_path, **more)
        if _observed(access, [DAY, NEXT]).found:
            _rows(access, _observed(access))
    assert len(airflow.asked) > 8
    assert {asked.method for asked in airflow.asked} == {"GET"}
    assert all(not asked.body for asked in airflow.asked)


@pytest.mark.parametrize(
    ("state", "warned"),
    [
        ("failed", True),
        ("upstream_failed", True),
        ("running", False),
        ("up_for_retry", False),
        ("skipped", False),
        (None, False),
    ],
)
def test_a_task_that_did_not_succeed_is_no_delivery(
    airflow: AirflowServer, tmp_path: Path, state: str | None, warned: bool
) -> None:
    """Would catch: a delivery for a failed task of a run that succeeded."""
    airflow.dags["sales"] = [Run("run/1 ?#", MORNING, tasks={"clean": [state]}, tries=3)]
    observation = _observed(_access(airflow, tmp_path, task="clean"))
    assert observation.found == ()
    assert [note.code for note in observation.notes] == ["airflow_run_failed"] * warned
    if warned:
        assert (
            f"sales.clean is {state} in Airflow: run run/1 ?#, try 3"
            in observation.notes[0].message
        )


def test_all_runs_of_an_interval_must_succeed(airflow: AirflowServer, tmp_path: Path) -> None:
    """Would catch: a day that is delivered while one of its hourly runs is still running."""
    hours = [Run(f"h{hour}", f"2026-03-01T{hour:02d}:00:00Z") for hour in range(3)]
    hours[1].state = "running"
    airflow.dags["sales"] = hours
    access = _access(airflow, tmp_path)
    assert _observed(access).found == ()
    hours[1].state = "success"
    first = _observed(access)
    assert [row["run_id"] for row in _rows(access, first)] == ["h0", "h1", "h2"]
    hours.append(Run("h3", "2026-03-01T03:00:00Z"))
    second = _observed(access, [DAY], {DAY: ("", first.found[0].version)})
    assert second.found[0].version != first.found[0].version


def test_a_cleared_run_between_observation_and_fetch(
    airflow: AirflowServer, tmp_path: Path
) -> None:
    """Would catch: a delivery with rows of a run that is running again."""
    airflow.dags["sales"] = [Run("a", MORNING)]
    access = _access(airflow, tmp_path)
    observation = _observed(access)
    airflow.dags["sales"][0].state = "running"
    with pytest.raises(Unavailable, match="cleared or run again"):
        _rows(access, observation)


@pytest.mark.long
def test_pages_and_mapped_instances_are_complete(airflow: AirflowServer, tmp_path: Path) -> None:
    """Would catch: objects after the first page of a server with a smaller limit are lost."""
    airflow.page_max = 7
    states: list[str | None] = ["success"] * 20
    airflow.dags["sales"] = [
        Run(f"r{number:02d}", f"2026-03-01T00:{number:02d}:00Z", tasks={"load": states})
        for number in range(16)
    ]
    access = _access(airflow, tmp_path, task="load")
    rows = _rows(access, _observed(access))
    assert [(row["run_id"], row["map_index"]) for row in rows] == [
        (f"r{run:02d}", index) for run in range(16) for index in range(20)
    ]


def test_runs_without_a_logical_date_belong_to_no_interval(
    airflow: AirflowServer, tmp_path: Path
) -> None:
    airflow.dags["sales"] = [Run("manual", None)]
    assert _observed(_access(airflow, tmp_path)).found == ()


@pytest.mark.long
def test_errors_name_what_is_wrong(
    airflow: AirflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an unknown DAG that looks like one without runs, or a secret in a message."""
    with pytest.raises(Unavailable, match="has no DAG sales, or no API"):
        _observed(_access(airflow, tmp_path))
    monkeypatch.setenv("AIRFLOW_AUTHORIZATION", "Bearer wrong-canary")
    with pytest.raises(Unavailable, match="401") as caught:
        _observed(_access(airflow, tmp_path))
    assert caught.value.code == "access_denied"
    assert "canary" not in str(caught.value)
    airflow.server.stop()
    with pytest.raises(Unavailable, match="no connection"):
        _observed(_access(airflow, tmp_path))


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"authorization": "Bearer abc"}, "literal_secret"),
        ({"url": "http://ann:pw@h"}, "literal_secret"),
        ({"url": "file:///etc/passwd"}, "wrong_value"),
        ({"dag": "a/../b"}, "wrong_value"),
        ({"task": ".."}, "wrong_value"),
        ({"api": "v3"}, "wrong_value"),
        ({"method": "POST"}, "unknown_field"),
        ({"partition": "*"}, "wrong_value"),
    ],
)
def test_wrong_declarations_are_refused(changed: dict[str, str], code: str) -> None:
    """Would catch: a secret in a file, or an id that becomes part of a path."""
    fields = {"url": "http://h:8080", "dag": "d", **changed}
    source = {"source": "s", "owner": "core", "partition": fields.pop("partition", "day")}
    report = Report("sources/s.yaml")
    text = msgspec.json.encode({**source, "airflow": fields}).decode()
    read_sources(load_yaml(text, report), report)
    assert [problem.code for problem in report.problems] == [code]


def test_an_error_after_the_first_interval_loses_nothing(
    airflow: AirflowServer, tmp_path: Path
) -> None:
    """Would catch: intervals that were found are dropped with the one that can't be read."""
    day: dict[str, list[str | None]] = {"clean": ["success"]}
    airflow.dags["sales"] = [Run("a", MORNING, tasks=day), Run("b", "2026-03-02T06:00:00Z")]
    airflow.dags["sales"][1].tasks = {"clean": ["success"] * 1_001}
    observation = _observed(_access(airflow, tmp_path, task="clean"), [DAY, NEXT])
    assert [found.partition for found in observation.found] == [DAY]
    assert [note.code for note in observation.notes] == ["configuration_error", "look_not_finished"]
    assert "more than 1,000 runs or mapped instances" in observation.notes[0].message


@pytest.mark.parametrize("body", ["<!doctype html><div id=root>", "[]", '{"dag_runs": 1}'])
def test_another_server_is_not_airflow(airflow: AirflowServer, tmp_path: Path, body: str) -> None:
    """Would catch: a page of a web UI that counts as no runs."""
    airflow.server.answer = lambda _: reply(body)  # type: ignore[method-assign,assignment]
    with pytest.raises(Unavailable, match="doesn't answer as Airflow's REST API"):
        _observed(_access(airflow, tmp_path))
