"""`import move` and `rollback` of a DAG whose intervals Airflow has run: what begins where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from airflow_lab import TOKEN, AirflowServer, Run

import headrace
from headrace.model import ProjectError, Refused
from headrace.project.session import ProjectSession, Silent
from headrace.services.pause import pause, resume
from headrace_import.importers.airflow import new_project
from headrace_import.services.project import import_project
from headrace_import.services.stages import move, rollback
from headrace_import.services.status import import_status

DAGS = """import datetime
from airflow import DAG
from airflow.operators.bash import BashOperator
for name, catchup in (("newest", False), ("all", True)):
    with DAG(name, schedule="@daily", start_date=datetime.datetime(2026, 3, 1), catchup=catchup):
        BashOperator(task_id="first", bash_command="x") >> BashOperator(
            task_id="mail", bash_command="mail"
        )
with DAG("often", schedule="*/20 * * * *", start_date=datetime.datetime(2026, 3, 1), catchup=False):
    BashOperator(task_id="poll", bash_command="x")
"""
SOURCE = """source: runs
owner: airflow
partition: day
start: 2026-03-20
airflow: {{url: "{url}", dag: newest, authorization: "${{AIRFLOW_AUTHORIZATION}}"}}
"""
FAKE = '#!/bin/sh\necho "$3.$4 ${5%%T*}" >> "$CALLS"\n'
BEFORE, NOW = "2026-03-23T10:10:00+00:00", "2026-03-25T10:10:00+00:00"


@dataclass
class Handover:
    """An imported project with commands, beside its Airflow; the calls of `airflow` are counted."""

    root: Path
    airflow: AirflowServer
    file: Path

    def session(self, now: str = NOW) -> ProjectSession:
        return ProjectSession.open(self.root, "prod", now, "ana@test")

    def ran_there(self, dag: str, last: int, first: int = 1, **fields: Any) -> None:
        """Let Airflow have run the days of March."""
        self.airflow.dags[dag] = [
            Run(
                f"scheduled__{day:02}",
                f"2026-03-{day:02}T00:00:00Z",
                interval_end=f"2026-03-{day + 1:02}T00:00:00Z",
                **fields,
            )
            for day in range(first, last + 1)
        ]

    def move(self, dag: str) -> Any:
        return move(self.session(), self.root, dag, yes=False, progress=Silent())

    def rollback(self, dag: str, *, yes: bool = False, now: str = NOW) -> Any:
        return rollback(
            self.session(now), self.root, dag, yes=yes, actor="ana@test", progress=Silent()
        )

    def calls(self, now: str = NOW) -> list[str]:
        """Let the scheduler run, and return the tasks that were started since the last call."""
        headrace.Session(self.root, now=now).tick()
        calls = self.file.read_text().splitlines() if self.file.exists() else []
        self.file.unlink(missing_ok=True)
        return sorted(calls)


@pytest.fixture
def handover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handover]:
    monkeypatch.setenv("AIRFLOW_AUTHORIZATION", TOKEN)
    origin, root, programs = tmp_path / "dags", tmp_path / "new", tmp_path / "bin"
    for folder in (origin, programs):
        folder.mkdir()
    (programs / "airflow").write_text(FAKE.replace("$CALLS", str(tmp_path / "calls")))
    (programs / "airflow").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    (origin / "dags.py").write_text(DAGS)
    monkeypatch.setattr(new_project, "_today", lambda: date(2026, 3, 1))
    import_project("airflow", origin, root, "test", Silent())
    with AirflowServer() as airflow:
        airflow.dags |= {"newest": [], "all": [], "often": []}
        airflow.catchup.add("all")
        (root / "sources").mkdir(exist_ok=True)
        (root / "sources/runs.yaml").write_text(SOURCE.format(url=airflow.url))
        yield Handover(root, airflow, tmp_path / "calls")


def _apply(handover: Handover) -> None:
    session = headrace.Session(handover.root, now=BEFORE)
    session.apply(session.plan().plan_id)
    pause(handover.session(BEFORE), ["*"], reason="in Airflow", progress=Silent())


def test_a_command_after_others_runs_the_newest_interval_only(handover: Handover) -> None:
    """Would catch: 56 mails, because intervals that the task before passed over count as done."""
    _apply(handover)
    resume(handover.session(), ["newest_first", "newest_mail"], progress=Silent())
    assert handover.calls() == ["newest.first 2026-03-24", "newest.mail 2026-03-24"]


@pytest.mark.long
@pytest.mark.parametrize("dag", ["newest", "all"])
def test_a_moved_dag_begins_after_what_airflow_has_run(handover: Handover, dag: str) -> None:
    """Would catch: mails of all past days, sent again after a move."""
    _apply(handover)
    handover.ran_there(dag, 23)
    handover.airflow.dags[dag].append(Run("by_hand", "2026-03-25T09:00:00Z", run_type="manual"))
    moved = handover.move(dag)
    assert moved.dag.stage == "moved"
    assert moved.files == [f"assets/{dag}_first.yaml", f"assets/{dag}_mail.yaml"]
    assert "-start: 2026-03-01\n+start: 2026-03-24\n" in moved.diff
    assert moved.notes[0].startswith("Airflow's newest run scheduled__23 succeeded")
    assert f"{dag}_mail begins here with 2026-03-24" in moved.notes
    assert handover.calls() == [f"{dag}.first 2026-03-24", f"{dag}.mail 2026-03-24"]
    assert handover.calls() == []
    again = handover.move(dag)
    assert (again.files, again.diff) == ([], None), "a second call moves the beginning"


def test_nothing_runs_if_airflow_has_run_all(handover: Handover) -> None:
    """Would catch: the newest interval, run on both sides on the day of the move."""
    _apply(handover)
    handover.ran_there("all", 24)
    handover.ran_there("newest", 24, state="failed")
    handover.move("all")
    notes = handover.move("newest").notes
    assert "scheduled__24 failed" in notes[0], "a failed run that nobody repeats isn't named"
    assert handover.calls() == []
    assert handover.calls("2026-03-26T00:10:00+00:00") == [
        f"{dag}.{task} 2026-03-25" for dag in ("all", "newest") for task in ("first", "mail")
    ]


def test_a_move_applies_nothing_but_where_it_begins(handover: Handover) -> None:
    """Would catch: somebody's half-finished edit, applied by a move."""
    _apply(handover)
    handover.ran_there("all", 23)
    path = handover.root / "assets/newest_mail.yaml"
    path.write_text(path.read_text().replace("owner: airflow", "owner: airflow\npriority: 3"))
    with pytest.raises(ProjectError, match="changes of newest_mail aren't applied yet"):
        handover.move("all")
    assert handover.airflow.paused == set()


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_dag_with_unfinished_runs_is_not_paused(handover: Handover, is_paused: bool) -> None:
    """Would catch: a move that never ends, since Airflow finishes no run of a paused DAG."""
    _apply(handover)
    handover.ran_there("all", 23)
    handover.airflow.dags["all"][-1].state = "running"
    if is_paused:
        handover.airflow.paused.add("all")
    with pytest.raises(Refused, match="1 run of all is queued or running in Airflow: sched") as got:
        handover.move("all")
    assert (handover.airflow.paused == {"all"}) is is_paused
    handover.airflow.finish("all")
    if is_paused:
        assert "headrace import rollback all" in str(got.value.hint)
        (row,) = import_status(handover.session(), handover.root, "all").dags
        assert (row.stage, row.next) == ("unfinished", "headrace import rollback all")
        assert "starts no more tasks of 1 run" in row.why
        handover.rollback("all")
        handover.airflow.finish("all")
    assert handover.move("all").dag.stage == "moved"


def test_a_run_that_begins_while_the_dag_is_paused_is_not_stuck(handover: Handover) -> None:
    """Would catch: a run that Airflow created between the question and the pause, left halfway."""
    _apply(handover)
    handover.airflow.on_pause["all"] = Run("late", "2026-03-24T00:00:00Z", state="queued")
    with pytest.raises(Refused, match="queued or running in Airflow: late"):
        handover.move("all")
    assert handover.airflow.paused == set()


def test_a_command_that_runs_here_is_no_unfinished_run(handover: Handover) -> None:
    """Would catch: a moved DAG that is called stuck while a command of it runs here: `airflow tasks
    test` stores a run for that time."""
    _apply(handover)
    handover.ran_there("all", 23)
    run = Run(
        "__airflow_temporary_run_2026__", "2026-03-24T00:00:00Z", "running", run_type="manual"
    )
    handover.airflow.dags["all"].append(run)
    assert handover.move("all").dag.stage == "moved"


def test_intervals_that_would_run_twice_need_consent(handover: Handover) -> None:
    """Would catch: catchup in Airflow, which mails again what was mailed here."""
    _apply(handover)
    handover.ran_there("all", 21)
    handover.move("all")
    assert len(handover.calls()) == 6
    with pytest.raises(Refused, match=r"3 intervals \(2026-03-22 … 2026-03-24\) ran here, and run"):
        handover.rollback("all")
    assert handover.airflow.paused == {"all"}
    back = handover.rollback("all", yes=True)
    assert back.dag.stage == "airflow"
    assert back.notes[0] == "Airflow goes on with 2026-03-22 (catchup=True)"


def test_a_gap_after_a_rollback_is_named(handover: Handover) -> None:
    """Would catch: days that neither side runs, in silence."""
    _apply(handover)
    handover.ran_there("newest", 21)
    handover.move("newest")
    assert len(handover.calls()) == 2, "not only the newest interval"
    back = handover.rollback("newest", now="2026-03-27T08:00:00+00:00")
    assert back.notes == [
        "Airflow goes on with 2026-03-26 (catchup=False: only the last interval that ended)",
        (
            "1 interval (2026-03-24) ran here only: Airflow won't run it, and its tables have no"
            " rows of that time"
        ),
        (
            "3 intervals (2026-03-22 … 2026-03-25) ran on neither side: start a backfill in Airflow"
            " if you need it"
        ),
    ]


def test_a_command_without_intervals_waits_for_its_next_time(handover: Handover) -> None:
    """Would catch: a command that runs at the move for a time at which Airflow ran it."""
    _apply(handover)
    handover.airflow.dags["often"] = [Run("r", "2026-03-25T10:00:00Z")]
    handover.move("often")
    assert handover.calls() == []
    assert len(handover.calls("2026-03-25T10:21:00+00:00")) == 1
