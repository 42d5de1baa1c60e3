"""`import` as a command: the new project, its report, its manifest, and `--check`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dbt_lab import dbt_project

from headrace.model import ProjectError, UsageError
from headrace.project.session import Silent
from headrace_import.responses.imports import ImportResponse
from headrace_import.services.project import REPORTS, check_import, import_project
from headrace_import.services.report import _inline, commands_text

MODEL = "select id, amount from {{ ref('raw_orders') }}"


def written(tmp_path: Path, **files: str) -> tuple[Path, Path, ImportResponse]:
    """Import a dbt project, and return its folder, the new one, and the response."""
    origin = dbt_project(tmp_path / "shop", {"models/orders.sql": MODEL, **files})
    into = tmp_path / "new"
    return origin, into, import_project("dbt", origin, into, "test", Silent())


def test_the_new_project_is_valid_and_reported(tmp_path: Path) -> None:
    """Would catch: a project that validate refuses, and figures of a report that don't add up."""
    _, into, response = written(tmp_path, **{"models/lost.sql": "select {{ ref('gone') }}"})
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems
    counts = response.counts
    assert (counts.carried, counts.command, counts.person) == (2, 0, 1)
    assert len({item.id for item in response.items}) == len(response.items) == 3
    assert response.executed == 0
    for item in response.items:
        assert all((into / name).is_file() for name in item.as_)
    for name in REPORTS:
        assert "model.shop.lost" in (into / name).read_text()


def test_conditions_are_counted_and_listed_apart(tmp_path: Path) -> None:
    """Would catch: a summary by which all is the same, though an item says on what it depends."""
    files = {
        "profiles.yml": "shop: {target: dev, outputs: {dev: {type: postgres}}}\n",
        "models/few.sql": MODEL + " where amount > 3",
    }
    _, into, response = written(tmp_path, **files)
    counts = response.counts
    assert (counts.carried, counts.on_condition, counts.person) == (3, 1, 0)
    assert [item.id for item in response.items if item.on_condition] == ["model.shop.few"]
    for name in REPORTS:
        text = (into / name).read_text()
        assert "3 carried (1 of them on a condition)" in text
        assert (
            text.index("on a condition: look")
            < text.index("model.shop.few")
            < text.index("the same work in the new project")
        )


def test_what_validate_refuses_is_left_to_dbt(tmp_path: Path) -> None:
    """Would catch: a function of another warehouse that makes the whole project invalid."""
    _, _, response = written(
        tmp_path, **{"models/geo.sql": "select st_geogpoint(id) as p from {{ ref('raw_orders') }}"}
    )
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems
    (item,) = [item for item in response.items if item.id == "model.shop.geo"]
    assert (item.verdict, item.as_) == ("command", ["assets/geo.yaml"])
    assert "st_geogpoint" in item.why


def test_a_check_that_validate_refuses_is_for_a_person(tmp_path: Path) -> None:
    """Would catch: a model that isn't carried because of one of its tests."""
    properties = "models: [{name: orders, columns: [{name: gone, data_tests: [unique]}]}]"
    _, _, response = written(tmp_path, **{"models/s.yml": properties})
    verdicts = {item.id.partition(".")[0]: item.verdict for item in response.items}
    assert verdicts == {"model": "carried", "seed": "carried", "test": "person"}
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems


def test_check_says_what_is_new_gone_and_changed(tmp_path: Path) -> None:
    """Would catch: a change of dbt that nobody hears of, and a check that writes."""
    origin, into, _ = written(tmp_path, **{"models/old.sql": "select 1 as id"})
    before = {path: path.read_bytes() for path in into.rglob("*") if path.is_file()}
    unchanged = check_import("dbt", origin, into).changes
    assert unchanged is not None
    assert not (unchanged.new or unchanged.gone or unchanged.changed or unchanged.files)
    (origin / "models/old.sql").unlink()
    (origin / "models/fresh.sql").write_text("select 2 as id")
    (origin / "models/orders.sql").write_text(MODEL + " -- later")
    changes = check_import("dbt", origin, into).changes
    assert changes is not None
    assert (changes.new, changes.gone, changes.changed) == (
        ["model.shop.fresh"],
        ["model.shop.old"],
        ["model.shop.orders"],
    )
    assert changes.files == ["models/fresh.sql", "models/old.sql", "models/orders.sql"]
    assert before == {path: path.read_bytes() for path in into.rglob("*") if path.is_file()}


def test_a_second_import_replaces_the_first_but_nothing_edited(tmp_path: Path) -> None:
    """Would catch: files of models that are gone, and a person's work that is overwritten."""
    origin, into, _ = written(tmp_path, **{"models/old.sql": "select 1 as id"})
    (origin / "models/old.sql").unlink()
    import_project("dbt", origin, into, "test", Silent())
    assert not (into / "assets/old.sql").exists()
    (into / "assets/orders.sql").write_text("-- mine")
    with pytest.raises(ProjectError, match=r"orders\.sql changed since the import"):
        import_project("dbt", origin, into, "test", Silent())
    assert (into / "assets/orders.sql").read_text() == "-- mine"


def test_other_folders_are_refused(tmp_path: Path) -> None:
    """Would catch: an import over a project of somebody else, or of another origin."""
    _, into, _ = written(tmp_path)
    other = dbt_project(tmp_path / "other", {})
    with pytest.raises(ProjectError, match="isn't empty"):
        import_project("dbt", other, into, "test", Silent())
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("keep me")
    with pytest.raises(ProjectError, match="isn't empty"):
        import_project("dbt", other, tmp_path / "full", "test", Silent())
    with pytest.raises(ProjectError, match="isn't an import"):
        check_import("dbt", other, tmp_path / "full")
    with pytest.raises(UsageError, match="can't be imported"):
        import_project("cron", other, tmp_path / "x", "test", Silent())
    with pytest.raises(UsageError) as misspelt:
        import_project("dbtt", other, tmp_path / "x", "test", Silent())
    assert misspelt.value.hint == "did you mean `dbt`?"
    with pytest.raises(UsageError, match="no folder"):
        import_project("dbt", tmp_path / "gone", tmp_path / "x", "test", Silent())


def test_the_reports_escape_what_comes_from_the_origin(tmp_path: Path) -> None:
    """Would catch: a model that writes HTML or Markdown into the report."""
    text = "select <script>alert(1)</script> {{ run_query('<b>`') }}"
    _, into, _ = written(tmp_path, **{"models/x.sql": text, "models/s.yml": "models: [<img src=x>"})
    page, lines = ((into / name).read_text() for name in reversed(REPORTS))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "      select <script>" in lines, "a code block, where Markdown has no HTML"


def test_a_folder_without_anything_to_import_is_named(tmp_path: Path) -> None:
    """Would catch: a wrong folder that looks like an import that went well."""
    (tmp_path / "wrong").mkdir()
    command = ["import", "prefect", str(tmp_path / "wrong"), "--into", str(tmp_path / "new")]
    done = subprocess.run(
        [sys.executable, "-m", "headrace", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())  # lines are wrapped, and the folder's name is long
    assert "has nothing of prefect that was recognised" in words
    assert "headrace import prefect PATH" in words
    assert "headrace run" not in words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a `sql` check of ['gold', 'a_b'] (30 2 * * *)",) * 2,
        ("*bold* **too** 2*3", r"\*bold\* \*\*too\*\* 2\*3"),
        ("[x](javascript:y) ![x][y]", r"[x\](javascript:y) ![x\][y]"),
        ("an odd ` and \\` <b>", r"an odd ` and \` &lt;b&gt;"),
        (r"a \* and c:\dir", r"a \\\* and c:\dir"),
        ("one ` alone", r"one \` alone"),
        ("`<b>` is code", "`<b>` is code"),
    ],
)
def test_a_line_of_the_report_is_read_as_it_is_written(text: str, line: str) -> None:
    """Would catch: stray backslashes in the report, and markup of the origin that takes effect."""
    assert _inline(text) == line


def test_the_number_of_commands_is_a_sentence() -> None:
    """Would catch: `1 as commands`."""
    assert [commands_text(n) for n in range(3)] == [
        "none as commands",
        "1 as a command",
        "2 as commands",
    ]


def test_nothing_starts_before_the_origin_is_paused(tmp_path: Path) -> None:
    """Would catch: `headrace run` as the next command, which starts each task of Airflow again."""
    dags = tmp_path / "af" / "dags"
    dags.mkdir(parents=True)
    (dags / "d.py").write_text(
        "from airflow import DAG\nfrom airflow.operators.bash import BashOperator\n"
        "with DAG('d', schedule='@daily'):\n    BashOperator(task_id='a', bash_command='x')\n"
    )
    command = ["import", "airflow", str(tmp_path / "af"), "--into", str(tmp_path / "new")]
    done = subprocess.run(
        [sys.executable, "-m", "headrace", *command], capture_output=True, text=True, check=False
    )
    words = " ".join(done.stdout.split())
    assert "headrace pause '*' --reason 'runs in Airflow'" in words, done.stderr
    assert words.endswith("&& headrace plan")


def test_a_new_project_within_its_origin_is_not_read_by_the_next_import(tmp_path: Path) -> None:
    """Would catch: a second import that reads what the first one wrote, as models of dbt."""
    origin = dbt_project(tmp_path / "shop", {"models/orders.sql": MODEL})
    first = import_project("dbt", origin, origin / "models/out", "test", Silent())
    again = import_project("dbt", origin, origin / "models/out", "test", Silent())
    assert again.counts == first.counts
    with pytest.raises(UsageError, match="is the project to be imported") as error:
        import_project("dbt", origin, origin, "test", Silent())
    assert "shop-headrace" in str(error.value.hint)
    assert not (origin / "headrace.toml").exists()
