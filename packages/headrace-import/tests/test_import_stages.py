"""`import status`, `shadow`, `move`, `retire` and `rollback`: an imported project, stage by stage, beside an Airflow
server that a test sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow_lab import TOKEN, AirflowServer, Run

import headrace
from headrace.model import HeadraceError, ProjectError, Refused, UsageError
from headrace.project.session import ProjectSession, Silent
from headrace.services.pause import pause, resume
from headrace_import.responses.stages import ImportDagRow
from headrace_import.services.project import check_import, import_project
from headrace_import.services.stages import move, retire, rollback, run_beside
from headrace_import.services.status import import_status
from headrace_import.services.suggestions import apply_suggestions

DAG = """import datetime
from airflow import DAG
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
with DAG("{dag}", schedule="@daily", start_date=datetime.datetime(2026, 3, 1)):
    one = SQLExecuteQueryOperator(
        task_id="one", conn_id="duckdb_x", sql="create or replace table {dag}_one as select 1 as n"
    )
    two = SQLExecuteQueryOperator(
        task_id="two", conn_id="duckdb_x",
        sql="create or replace table {dag}_two as select n from {dag}_one"
    )
    one >> two
"""
COMMAND = """
from airflow.operators.email import EmailOperator
with DAG("mails", schedule="@daily", start_date=datetime.datetime(2026, 3, 1)):
    table = SQLExecuteQueryOperator(
        task_id="table", conn_id="duckdb_x", sql="create or replace table addresses as select 1 as n"
    )
    table >> EmailOperator(task_id="send", to="a@example.com", subject="x")
"""
COMMAND += """
with DAG("feeds", schedule="@daily", start_date=datetime.datetime(2026, 3, 1)):
    EmailOperator(task_id="fetch", to="a@example.com", subject="x") >> SQLExecuteQueryOperator(
        task_id="feed", conn_id="duckdb_x", sql="create or replace table feed as select 1 as n"
    )
"""
BRANCH = """
from airflow.operators.python import BranchPythonOperator
with DAG("bills", schedule="@daily", start_date=datetime.datetime(2026, 3, 1)):
    SQLExecuteQueryOperator(
        task_id="one", conn_id="duckdb_x", sql="create or replace table bills as select 1 as n"
    )
    BranchPythonOperator(task_id="choose", python_callable=print)
"""
SOURCE = """source: sales_runs
owner: airflow
partition: day
start: 2026-03-01
airflow: {{url: "{url}", dag: {dag}, authorization: "${{AIRFLOW_AUTHORIZATION}}"}}
"""


@dataclass
class Moving:
    """An import of five DAGs beside their Airflow."""

    root: Path
    origin: Path
    airflow: AirflowServer

    def session(self) -> ProjectSession:
        return ProjectSession.open(self.root, "prod", None, "ana@test")

    def apply(self) -> None:
        session = headrace.Session(self.root)
        session.apply(session.plan().plan_id)

    def dag(self, name: str = "sales") -> ImportDagRow:
        (row,) = import_status(self.session(), self.root, name).dags
        return row

    def stage(self, name: str = "sales") -> str:
        return self.dag(name).stage

    def move(self, name: str = "sales", *, yes: bool = False) -> Any:
        return move(self.session(), self.root, name, yes=yes, progress=Silent())

    def shadow(self, name: str = "sales") -> Any:
        return run_beside(self.session(), self.root, name, progress=Silent())

    def retire(self, name: str = "sales", *, yes: bool = False) -> Any:
        return retire(self.session(), self.root, name, yes=yes)

    def rollback(self, name: str = "sales") -> Any:
        return rollback(self.session(), self.root, name, actor="ana@test", progress=Silent())

    def pause(self, *names: str) -> None:
        pause(self.session(), names, reason="it runs in Airflow", progress=Silent())


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moving]:
    monkeypatch.setenv("AIRFLOW_AUTHORIZATION", TOKEN)
    origin, root = tmp_path / "dags", tmp_path / "new"
    origin.mkdir()
    (origin / "sales.py").write_text(DAG.format(dag="sales"))
    (origin / "bills.py").write_text(DAG.format(dag="stock") + BRANCH + COMMAND)
    import_project("airflow", origin, root, "test", Silent())
    with AirflowServer() as airflow:
        airflow.dags |= {"sales": [], "stock": [], "bills": [], "mails": [], "feeds": []}
        (root / "sources").mkdir(exist_ok=True)
        (root / "sources/runs.yaml").write_text(SOURCE.format(url=airflow.url, dag="sales"))
        yield Moving(root, origin, airflow)


def test_a_dag_is_moved_and_given_back(moving: Moving) -> None:
    """Would catch: a DAG that runs in both, or in neither, after a move that says it is done."""
    moving.apply()
    moving.pause("*")
    assert moving.stage() == "airflow"
    assert moving.move().dag.stage == "moved"
    assert moving.airflow.paused == {"sales"}
    assert moving.stage("stock") == "airflow", "another DAG was moved, too"
    assert moving.move().dag.stage == "moved", "a second call isn't harmless"
    assert moving.rollback().dag.stage == "airflow"
    assert moving.airflow.paused == set()
    assert moving.rollback().dag.stage == "airflow"


def test_airflow_2_has_the_same_routes_below_v1(moving: Moving) -> None:
    """Would catch: a path of Airflow 3 that is sent to Airflow 2."""
    source = moving.root / "sources/runs.yaml"
    source.write_text(source.read_text().replace("dag: sales", "dag: sales, api: v1"))
    moving.airflow.api = "v1"
    moving.apply()
    moving.pause("*")
    assert moving.move().dag.stage == "moved"
    assert moving.rollback().dag.stage == "airflow"
    assert {asked.path.split("/")[2] for asked in moving.airflow.asked} == {"v1"}


def test_each_combination_of_the_two_sides_has_its_stage(moving: Moving) -> None:
    """Would catch: an interrupted move that status calls done, and that nothing finishes."""
    assert (moving.stage(), moving.dag().why[:30]) == ("unknown", "nothing of the new project is ")
    moving.apply()
    assert (moving.stage(), moving.dag().next) == ("shadow", "headrace import diff sales")
    moving.pause("sales_one")
    assert moving.stage() == "shadow"
    assert moving.dag().why == "sales_one is paused here, and sales_two waits for that"
    mails = moving.dag("mails")
    assert (mails.stage, mails.next) == ("both", "headrace import rollback mails")
    moving.pause("mails_send")
    assert moving.stage("mails") == "shadow"
    moving.pause("*")
    assert (moving.stage(), moving.dag().next) == ("airflow", "headrace import shadow sales")
    moving.airflow.paused.add("sales")
    assert (moving.stage(), moving.dag().next) == ("neither", "headrace import move sales")
    assert moving.move().dag.stage == "moved"


def test_a_shadowed_dag_with_a_stuck_run_is_not_called_moved(
    moving: Moving, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a status without a next step while a run never ends in Airflow."""
    from headrace.cli.main import run

    monkeypatch.setenv("COLUMNS", "200")
    moving.apply()
    moving.pause("*")
    moving.shadow("mails")
    moving.airflow.paused.add("mails")
    row = moving.dag("mails")
    assert (row.stage, row.next) == ("moved", "headrace import move mails"), "half of it runs"
    moving.airflow.dags["mails"] = [Run("r1", "2026-03-01T00:00:00Z", state="running")]
    row = moving.dag("mails")
    assert (row.stage, row.unfinished) == ("unfinished", 1)
    assert row.next == "headrace import rollback mails"
    assert run(["import", "status", "mails", "--into", str(moving.root)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "unfinished" in text
    assert "Airflow starts no more tasks of 1 run" in text
    with pytest.raises(Refused, match="1 run of mails is queued or running in Airflow: r1"):
        moving.move("mails")
    assert moving.rollback("mails").dag.stage == "airflow"
    moving.airflow.finish("mails")
    assert moving.move("mails").dag.stage == "moved"


def test_tasks_that_would_run_nowhere_are_named_first(moving: Moving) -> None:
    """Would catch: a task that nobody computes any more, in silence."""
    moving.apply()
    moving.pause("*")
    with pytest.raises(Refused, match=r"1 task of bills would run nowhere.*bills\.choose"):
        moving.move("bills")
    assert moving.airflow.paused == set()
    assert moving.dag("bills").left == ["bills.choose"]
    assert moving.move("bills", yes=True).dag.stage == "moved"


@pytest.mark.parametrize("missing", ["server", "authorization", "variable", "source", "dag"])
def test_what_cannot_be_asked_is_not_known(
    moving: Moving, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Would catch: a stage that is guessed, a secret in a message, or a change on one side only."""
    if missing == "source":
        (moving.root / "sources/runs.yaml").unlink()
    moving.apply()
    moving.pause("*")
    match missing:
        case "server":
            moving.airflow.server.__exit__(None, None, None)
        case "authorization":
            monkeypatch.setenv("AIRFLOW_AUTHORIZATION", "Bearer other-canary-77")
        case "variable":
            monkeypatch.delenv("AIRFLOW_AUTHORIZATION")
        case "dag":
            del moving.airflow.dags["sales"]
    row = moving.dag()
    assert (row.stage, row.in_airflow, row.here) == ("unknown", None, "paused")
    assert row.why
    assert "canary" not in row.why
    resume(moving.session(), ["sales_one", "sales_two"], progress=Silent())
    for act in (moving.move, moving.rollback):
        with pytest.raises((HeadraceError, ProjectError)) as caught:
            act()
        assert "canary" not in f"{caught.value} {caught.value.hint}"
    assert moving.dag().here == "active"


def test_a_silent_server_is_asked_once(moving: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a status of 200 DAGs that waits for a dead server 200 times."""
    moving.apply()
    asked = []

    def times_out(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise httpx.ConnectTimeout("timed out")

    monkeypatch.setattr("headrace_import.airflow_server.control.whole_answer", times_out)
    rows = import_status(moving.session(), moving.root).dags
    assert [row.stage for row in rows] == ["unknown"] * 5
    assert {row.why for row in rows} == {rows[0].why}
    assert "can't be asked (connect timeout)" in rows[0].why
    assert len(asked) == 1


@pytest.mark.system
@pytest.mark.long
def test_a_shadow_computes_tables_and_starts_no_task(moving: Moving) -> None:
    """Would catch: a mail that is sent twice, or a change in Airflow."""
    moving.apply()
    moving.pause("*")
    assert moving.shadow("mails").dag.stage == "shadow"
    assert moving.dag("mails").why == "mails_send is paused here"
    assert moving.airflow.paused == set()
    assert moving.shadow("feeds").dag.why == "feeds_fetch is paused here, and feed waits for that"
    resume(moving.session(), ["mails_send"], progress=Silent())
    assert moving.stage("mails") == "both"
    assert moving.shadow("mails").dag.stage == "shadow", "the command wasn't paused again"
    assert moving.move("mails").dag.stage == "moved"
    assert moving.dag("mails").why == "", "not all assets of the DAG run after its move"
    with pytest.raises(ProjectError, match="mails is paused in Airflow"):
        moving.shadow("mails")
    assert moving.rollback("mails").dag.stage == "airflow"


@pytest.mark.system
@pytest.mark.long
def test_a_dag_is_retired_once_nothing_needs_it_there(moving: Moving) -> None:
    """Would catch: a DAG that is deleted in Airflow while tasks of it are still started, tasks that
    run nowhere then, and a deleted file that is reported as a change for ever."""
    moving.apply()
    moving.pause("*")
    with pytest.raises(ProjectError, match="sales isn't moved yet"):
        moving.retire()
    for dag in ("sales", "mails", "bills"):
        moving.move(dag, yes=True)
    with pytest.raises(ProjectError, match=r"mails is still needed in Airflow: mails_send start"):
        moving.retire("mails", yes=True)
    with pytest.raises(Refused, match=r"1 task of it run nowhere: bills\.choose"):
        moving.retire("bills")
    assert moving.retire().dag.stage == "retired"
    (moving.origin / "sales.py").unlink()
    states = {row.id: row.origin for row in _items(moving)}
    assert states["sales.one"] == "retired"
    assert states["stock.one"] == "unchanged"
    changes = check_import("airflow", moving.origin, moving.root).changes
    assert (changes.gone, changes.files) == ([], []), "a retired DAG is a change of the origin"
    for act in (moving.move, moving.shadow, moving.retire):
        with pytest.raises(ProjectError, match="sales is retired since 20"):
            act()
    with pytest.raises(ProjectError, match="sales of it is retired"):
        import_project("airflow", moving.origin, moving.root, "test", Silent())
    assert moving.rollback().dag.stage == "airflow"
    assert check_import("airflow", moving.origin, moving.root).changes.gone != []


def test_a_dag_that_others_wait_for_is_not_retired(moving: Moving) -> None:
    """Would catch: a sensor in Airflow that waits for ever for a DAG which was deleted."""
    waiting = """
import datetime
from airflow import DAG
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
with DAG("late", schedule="@daily", start_date=datetime.datetime(2026, 3, 1)):
    ExternalTaskSensor(task_id="wait", external_dag_id="sales", external_task_id="two")
"""
    moving.apply()
    moving.pause("*")
    moving.move()
    (moving.origin / "late.py").write_text(waiting)
    with pytest.raises(Refused, match=r"late\.wait come after it in Airflow"):
        moving.retire()
    assert moving.retire(yes=True).dag.stage == "retired"


def test_items_say_what_became_of_their_files(moving: Moving) -> None:
    """Would catch: an edited asset that the next import would replace, shown as it was written."""
    states = {row.id: (row.files, row.origin) for row in _items(moving)}
    assert states["sales.one"] == ("as_written", "unchanged")
    assert states["bills.choose"] == ("none", "unchanged")
    (moving.root / "assets/sales_one.sql").write_text("select 2 as n")
    (moving.root / "assets/sales_two.sql").unlink()
    changed = (moving.origin / "bills.py").read_text().replace('"bills"', '"invoices"')
    (moving.origin / "bills.py").write_text(changed)
    states = {row.id: (row.files, row.origin) for row in _items(moving)}
    assert states["sales.one"] == ("edited", "unchanged")
    assert states["sales.two"] == ("removed", "unchanged")
    assert states["bills.one"] == ("as_written", "gone")
    assert "invoices.one" in (import_status(moving.session(), moving.root).new or [])
    with pytest.raises(UsageError, match="no item 'sale'"):
        import_status(moving.session(), moving.root, "sale")


def _items(moving: Moving) -> Any:
    return import_status(moving.session(), moving.root).items


def test_an_applied_suggestion_is_taken_back(tmp_path: Path) -> None:
    """Would catch: files that aren't as they were before, or an edit that is lost."""
    origin, root = tmp_path / "shop", tmp_path / "new"
    (origin / "models").mkdir(parents=True)
    (origin / "seeds").mkdir()
    (origin / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (origin / "seeds/raw.csv").write_text("id\n1\n")
    model = "{{ config(materialized='table') }}\nselect id from {{ ref('raw') }}\n"
    (origin / "models/copied.sql").write_text(model)
    import_project("dbt", origin, root, "test", Silent())
    before = (root / "assets/copied.sql").read_text()
    session = ProjectSession.open(root, "prod", None, "test")
    with pytest.raises(UsageError, match="isn't applied"):
        rollback(session, root, "pass_through-1", actor="test", progress=Silent())
    apply_suggestions("pass_through-1", root, "test", Silent())
    assert import_status(session, root).applied == ["pass_through-1"]
    response = rollback(session, root, "pass_through-1", actor="test", progress=Silent())
    assert (response.suggestion, response.files) == ("pass_through-1", ["assets/copied.sql"])
    assert (root / "assets/copied.sql").read_text() == before
    assert import_status(session, root).applied == []
    apply_suggestions("pass_through-1", root, "test", Silent())
    (root / "assets/copied.sql").write_text(before + "-- mine\n")
    with pytest.raises(ProjectError, match="changed since, so that pass_through-1 can't"):
        rollback(session, root, "pass_through-1", actor="test", progress=Silent())
    assert (root / "assets/copied.sql").read_text().endswith("-- mine\n")


def test_an_import_of_before_names_no_items(moving: Moving) -> None:
    """Would catch: a crash on a manifest that an earlier version of Headrace wrote."""
    path = moving.root / ".headrace-import.json"
    document = json.loads(path.read_text())
    del document["became"]
    path.write_text(json.dumps(document))
    assert import_status(moving.session(), moving.root).items == []
