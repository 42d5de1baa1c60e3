"""An asset that waits for a task in Airflow: its runs decide what is computed, late and explained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow_lab import TOKEN, AirflowServer, Run
from clilab import Project

FILES = {
    "headrace.toml": '[project]\nname = "p"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team}\n",
    "assets/report.sql": (
        "/* headrace\nowner: core\npartition: day\n*/\nselect run_id, ended_at from sales_clean\n"
    ),
    "consumers.yaml": '- {consumer: morning, owner: core, reads: [report], due: "09:00"}\n',
}
SOURCE = """source: sales_clean
owner: core
partition: day
start: 2026-03-01
airflow: {{url: "{url}", dag: sales, task: clean, authorization: "${{AIRFLOW_AUTHORIZATION}}"}}
expect: {{by: "07:00"}}
"""


def test_an_asset_waits_for_its_run_in_airflow(
    tmp_path: Path, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an asset that is computed although the task in Airflow failed."""
    monkeypatch.setenv("AIRFLOW_AUTHORIZATION", TOKEN)
    with AirflowServer() as airflow:
        for path, text in {**FILES, "sources/s.yaml": SOURCE.format(url=airflow.url)}.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        project = Project(tmp_path, call)
        good = Run("r1", "2026-03-01T00:00:00Z", tasks={"clean": ["success"]})
        bad = Run("r2", "2026-03-02T00:00:00Z", tasks={"clean": ["failed"]}, tries=2)
        airflow.dags["sales"] = [good, bad]

        first = project.json("tick", "--now", "2026-03-02T08:00:00Z")
        assert [(row["asset"], row["partition"]) for row in first["published"]] == [
            ("sales_clean", "2026-03-01"),
            ("report", "2026-03-01"),
        ]
        second = project.text("tick", "--now", "2026-03-03T10:00:00Z")
        assert "sales.clean is failed in Airflow: run r2, try 2, ended" in second
        (incident,) = project.json("incidents")
        assert incident["cause"]["node"] == "sales_clean"
        assert incident["affected"]["consumers"] == ["morning"]
        assert project.json("status")["consumers"][0]["state"] == "late"
        assert {row["node"] for row in project.json("why", "report@2026-03-02")["segments"]} == {
            "sales_clean"
        }

        bad.tasks["clean"] = ["success"]
        third = project.json("tick", "--now", "2026-03-03T11:00:00Z")
        assert [row["asset"] for row in third["published"]] == ["sales_clean", "report"]
        assert project.json("incidents") == []
        assert {asked.method for asked in airflow.asked} == {"GET"}
