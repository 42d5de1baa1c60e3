"""Writing an imported project: nothing of a person is lost, and a killed import can be repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.model import ProjectError
from headrace.project.session import Silent
from headrace_import.responses.imports import ImportResponse
from headrace_import.services.manifest import MANIFEST_FILE, imported_manifest
from headrace_import.services.project import check_import, import_project

FLOW = "from prefect import flow\n@flow\ndef {name}():\n    pass\n"
KILLED = Path(__file__).with_name("killed_import.py")


def prefect(tmp_path: Path, *names: str) -> ImportResponse:
    """Import a project with these flows, each in a file of its own."""
    for name in names:
        (tmp_path / "shop").mkdir(exist_ok=True)
        (tmp_path / f"shop/{name}.py").write_text(FLOW.format(name=name))
    return import_project("prefect", tmp_path / "shop", tmp_path / "new", "test", Silent())


@pytest.mark.parametrize("name", ["assets/later.yaml", "jobs/prefect_flow.py"])
def test_a_file_of_a_person_is_not_replaced_by_a_new_one(tmp_path: Path, name: str) -> None:
    """Would catch: a file written by hand that a new flow of the origin replaces."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/empty.py").write_text("")
    prefect(tmp_path)
    mine = tmp_path / "new" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("# mine")
    with pytest.raises(ProjectError, match="would be replaced") as error:
        prefect(tmp_path, "later")
    assert name in str(error.value)
    assert "--into" in (error.value.hint or "")
    assert mine.read_text() == "# mine"
    mine.unlink()
    prefect(tmp_path)
    assert "later" in (tmp_path / "new/assets/later.yaml").read_text()


def test_an_edited_report_is_not_replaced(tmp_path: Path) -> None:
    """Would catch: a person's notes in the report that the next import removes."""
    prefect(tmp_path, "orders")
    (tmp_path / "new/import-report.md").write_text("my notes")
    with pytest.raises(ProjectError, match=r"import-report\.md changed since the import"):
        prefect(tmp_path)
    assert (tmp_path / "new/import-report.md").read_text() == "my notes"


def test_a_file_that_the_manifest_does_not_list_is_not_replaced(tmp_path: Path) -> None:
    """Would catch: an edited file that is lost because its entry is missing in the manifest."""
    prefect(tmp_path, "orders")
    manifest = tmp_path / "new" / MANIFEST_FILE
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(line for line in lines if '"assets/orders.yaml":' not in line))
    (tmp_path / "new/assets/orders.yaml").write_text("# mine")
    with pytest.raises(ProjectError, match=r"orders\.yaml would be replaced"):
        prefect(tmp_path)
    assert (tmp_path / "new/assets/orders.yaml").read_text() == "# mine"


def test_a_file_that_became_a_link_is_not_replaced(tmp_path: Path) -> None:
    """Would catch: a link in place of a file that counts as never edited."""
    prefect(tmp_path, "orders")
    asset = tmp_path / "new/assets/orders.yaml"
    asset.unlink()
    asset.symlink_to("nowhere")
    with pytest.raises(ProjectError, match=r"orders\.yaml changed since"):
        prefect(tmp_path)


@pytest.mark.system
@pytest.mark.long
def test_a_killed_import_is_finished_by_the_same_command(tmp_path: Path) -> None:
    """Would catch: files without a manifest after a kill, which the same command then refuses."""
    done = subprocess.run(
        [sys.executable, str(KILLED), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 16, "a kill before each file that is written or removed"


def test_an_unfinished_import_is_named(tmp_path: Path) -> None:
    """Would catch: states and differences of an import of which half is written."""
    prefect(tmp_path, "orders")
    manifest = tmp_path / "new" / MANIFEST_FILE
    manifest.write_text(manifest.read_text().replace('"begun": {}', '"begun": {"a.yaml": []}'))
    with pytest.raises(ProjectError, match="interrupted") as error:
        check_import("prefect", tmp_path / "shop", tmp_path / "new")
    assert (error.value.hint or "").startswith("headrace import prefect")
    with pytest.raises(ProjectError, match="interrupted"):
        imported_manifest(tmp_path / "new", "status")
    prefect(tmp_path)
    assert not imported_manifest(tmp_path / "new", "status").begun
