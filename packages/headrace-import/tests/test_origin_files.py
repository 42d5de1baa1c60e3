"""Files of an origin that can't be read: each is an item, none is followed, none blocks."""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path

import pytest

from headrace_import.importers import ImportedItem, Verdict

TOOLS = ("airflow", "prefect", "dagster")
SECONDS_MAX = 20


def read_items(tool: str, root: Path) -> dict[str, ImportedItem]:
    """Import the folder by one importer; return its items by id."""
    began = time.monotonic()
    imported = importlib.import_module(f"headrace_import.importers.{tool}").read_project(root)
    assert time.monotonic() - began < SECONDS_MAX
    items = {item.id: item for item in imported.items}
    assert len(items) == len(imported.items)
    return items


def one_item(tool: str, root: Path, name: str) -> str:
    """Return why the only item of an import is for a person."""
    items = read_items(tool, root)
    assert list(items) == [name]
    assert items[name].verdict is Verdict.PERSON
    assert items[name].file == name
    return items[name].why


@pytest.mark.parametrize("tool", TOOLS)
def test_a_link_out_of_the_folder_is_named(tmp_path: Path, tool: str) -> None:
    """Would catch: a linked DAG file, or a linked folder of them, that no item names."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret.py").write_text("import airflow, dagster, prefect")
    root = tmp_path / "origin"
    (root / "dags").mkdir(parents=True)
    (root / "dags/linked.py").symlink_to("/etc/passwd")
    (root / "dags/shared").symlink_to(tmp_path / "elsewhere")
    items = read_items(tool, root)
    assert sorted(items) == ["dags/linked.py", "dags/shared"]
    for item in items.values():
        assert (item.verdict, item.why) == (
            Verdict.PERSON,
            "a link out of the folder isn't followed",
        )


@pytest.mark.parametrize("tool", TOOLS)
def test_links_that_lead_nowhere_are_named(tmp_path: Path, tool: str) -> None:
    """Would catch: an import that ends because one link leads back to itself."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/a.py").symlink_to("a.py")
    assert "leads back to itself" in one_item(tool, tmp_path, "dags/a.py")
    (tmp_path / "dags/a.py").unlink()
    (tmp_path / "dags/a.py").symlink_to("gone.py")
    assert "doesn't exist" in one_item(tool, tmp_path, "dags/a.py")


@pytest.mark.parametrize("tool", TOOLS)
def test_a_fifo_is_named_and_not_read(tmp_path: Path, tool: str) -> None:
    """Would catch: an import that waits for a writer of a FIFO for ever."""
    (tmp_path / "dags").mkdir()
    os.mkfifo(tmp_path / "dags/a.py")
    assert one_item(tool, tmp_path, "dags/a.py") == "it isn't a regular file"


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_beyond_the_limit_is_never_read_in_full(tmp_path: Path, tool: str) -> None:
    """Would catch: gigabytes of memory for a file that the limit excludes."""
    (tmp_path / "dags").mkdir()
    with (tmp_path / "dags/a.py").open("wb") as file:
        file.truncate(1 << 40)  # 1 TiB, sparse: more than any memory
    assert "larger than 16 MiB" in one_item(tool, tmp_path, "dags/a.py")


@pytest.mark.parametrize("tool", TOOLS)
def test_files_beyond_the_number_are_named(
    tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a folder with too many files of which the rest is lost without a word."""
    monkeypatch.setattr("headrace_import.importers.airflow.origin.FILES_MAX", 2)
    for name in "abcd":
        (tmp_path / f"{name}.py").write_text("")
    assert "more than 2 files" in one_item(tool, tmp_path, "c.py")


def test_sql_files_that_cannot_be_read_as_a_whole_are_not_used(tmp_path: Path) -> None:
    """Would catch: the first MiB of a query that is carried as if it were all of it, or a wait."""
    from airflow_projects import imported

    os.mkfifo(tmp_path / "pipe.sql")
    dag = 'with DAG("d", schedule="@daily", start_date=START) as dag:\n'
    for name in ("long", "pipe"):
        dag += f"    SQLExecuteQueryOperator(task_id={name!r}, conn_id='w', sql='{name}.sql')\n"
    long = "create table t as select 1 as id" + " " * (1 << 20) + "where false"
    project = imported(tmp_path, {"d.py": dag, "long.sql": long})
    assert [item.verdict for item in project.items] != []
    assert all(item.verdict is not Verdict.CARRIED for item in project.items)
