"""Suggestions of an import as changes: the same rows before and after, and who is asked first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from dbt_lab import dbt_project

import headrace
from headrace.model import HeadraceError, ProjectError, UsageError
from headrace.project.session import Silent
from headrace_import.responses.imports import ImportResponse
from headrace_import.services.manifest import MANIFEST_FILE, text_hash
from headrace_import.services.project import REPORTS, import_project
from headrace_import.services.suggestions import apply_suggestions, list_suggestions

NOW = "2026-03-03T04:00:00+00:00"
MODELS = {
    "models/staged.sql": (
        "{{ config(materialized='table') }}\nwith source as (select * from {{ ref('raw_orders') }}),"
        "\nrenamed as (select id as order_id, customer_id, amount from source)\n"
        "select * from renamed"
    ),
    "models/totals.sql": (
        "{{ config(materialized='table') }}\n-- for the board\n"
        "select customer_id, sum(amount) as total\n"
        "from {{ ref('staged') }} group by customer_id"
    ),
    "models/sums.sql": (
        "{{ config(materialized='table') }}\nSELECT customer_id, sum(amount) as total from {{ ref('staged') }} group by customer_id"
    ),
    "models/some.sql": (
        "{{ config(materialized='table') }}select customer_id from {{ ref('staged') }} limit 1"
    ),
    "seeds/old.csv": "a,b\n1,2\n",
}


def imported(tmp_path: Path, files: Mapping[str, str] = MODELS) -> tuple[Path, ImportResponse]:
    """Import a dbt project; return the new folder and the response."""
    origin, into = dbt_project(tmp_path / "shop", files), tmp_path / "new"
    response = import_project("dbt", origin, into, "test", Silent())
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems
    return into, response


def rows(project: Path, names: tuple[str, ...]) -> dict[str, list[tuple[str, ...]]]:
    """Compute a project's tables; return the rows of each as a sorted list."""
    headrace.Session(project, now=NOW).tick()
    session = headrace.Session(project, now=NOW)
    return {
        name: sorted(tuple(map(str, row.values())) for row in session.read(name).rows())
        for name in names
    }


@pytest.mark.long
@pytest.mark.parametrize("kind", ["pass_through", "duplicate", "unused_source", ""])
def test_tables_stay_equal(tmp_path: Path, kind: str) -> None:
    """Would catch: a change that alters, renames or loses rows of a table that stays."""
    names = ("staged", "totals", "sums")
    before, _ = imported(tmp_path / "faithful")
    after, response = imported(tmp_path / "simpler")
    assert {row.id for row in response.suggestions if row.diff} == {
        "pass_through-1", "duplicate-1", "unused_source-1",
    }  # fmt: skip
    for one in [kind] if kind else ["duplicate", "unused_source-1", "pass_through"]:
        applied = apply_suggestions(one, after, "test", Silent())
        assert applied.files
    found = rows(after, names)
    assert found == rows(before, names)
    assert found["totals"] == [("1", "13.5")]
    views = {path.stem for path in (after / "assets").rglob("*") if "view" in path.read_text()}
    expected = {"pass_through": {"staged"}, "duplicate": {"totals"}, "": {"staged", "totals"}}
    assert views == expected.get(kind, set())
    assert (after / "seeds/old.csv").exists() == (kind not in ("unused_source", ""))
    if kind in ("duplicate", ""):
        assert "-- for the board\nselect * from sums\n" in (after / "assets/totals.sql").read_text()


def test_nothing_is_offered_that_could_change_rows(tmp_path: Path) -> None:
    """Would catch: a view of a table whose readers need deliveries, and of one that computes."""
    head = "{{ config(materialized='table') }}"
    log = "{{ config(materialized='incremental', unique_key='id') }}"
    _, response = imported(
        tmp_path,
        {
            "models/copied.sql": head + "select id, amount from {{ ref('raw_orders') }}",
            "models/log.sql": log + "select id, amount from {{ ref('copied') }}",
            "models/one.sql": head + "select distinct customer_id from {{ ref('raw_orders') }}",
            "models/cast.sql": head + "select id::varchar as id from {{ ref('raw_orders') }}",
            "models/rolls.sql": head + "select id, random() as roll from {{ ref('raw_orders') }}",
            "models/rolls2.sql": head + "select id, random() as roll from {{ ref('raw_orders') }}",
            "seeds/old.csv": "a,b\n1,2\n",
            "models/py.py": "def model(dbt, session): return dbt.ref('old')",
            "models/a.sql": head + "select id as key from {{ ref('raw_orders') }} where id = 'A'",
            "models/b.sql": head + "select id as key from {{ ref('raw_orders') }} where id = 'a'",
        },
    )
    assert [row for row in response.suggestions if row.diff] == []


def test_edited_files_are_left_alone(tmp_path: Path) -> None:
    """Would catch: a person's work that is overwritten, by a suggestion or by the next import."""
    into, _ = imported(tmp_path)
    asset = into / "assets/staged.sql"
    faithful = asset.read_text()
    asset.write_text(faithful + "-- mine\n")
    with pytest.raises(ProjectError, match=r"staged\.sql changed since the import"):
        apply_suggestions("pass_through-1", into, "test", Silent())
    assert asset.read_text() == faithful + "-- mine\n"
    asset.write_text(faithful)
    apply_suggestions("unused_source", into, "test", Silent())
    assert list_suggestions("", into).applied == ["unused_source-1"]
    with pytest.raises(UsageError, match="applied already"):
        apply_suggestions("unused_source-1", into, "test", Silent())
    with pytest.raises(UsageError, match="no suggestion 'passthrough'"):
        apply_suggestions("passthrough", into, "test", Silent())
    with pytest.raises(ProjectError, match="unused_source-1 of its suggestions were applied"):
        import_project("dbt", tmp_path / "shop", into, "test", Silent())
    with pytest.raises(ProjectError, match="isn't an imported project"):
        list_suggestions("", tmp_path)


@pytest.mark.parametrize("where", ["../outside.sql", "assets/linked/outside.sql"])
def test_no_file_outside_the_project_is_written(tmp_path: Path, where: str) -> None:
    """Would catch: a manifest that came with somebody's project and names a file elsewhere, by its
    path or through a link."""
    into, response = imported(tmp_path)
    chosen = next(row for row in response.suggestions if row.diff)
    outside = tmp_path / ("outside.sql" if where.startswith("..") else "elsewhere/outside.sql")
    outside.parent.mkdir(exist_ok=True)
    outside.write_text("mine", encoding="utf-8")
    (into / "assets/linked").symlink_to(tmp_path / "elsewhere")
    manifest = into / MANIFEST_FILE
    content = json.loads(manifest.read_text(encoding="utf-8"))
    change = next(row for row in content["suggestions"] if row["id"] == chosen.id)
    change["changes"] = {where: {"before": "mine", "after": None}}
    content["files"][where] = text_hash("mine")
    manifest.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(HeadraceError):
        apply_suggestions(chosen.id, into, "test", Silent())
    assert outside.read_text(encoding="utf-8") == "mine"


def test_a_change_that_makes_the_project_invalid_is_taken_back(tmp_path: Path) -> None:
    """Would catch: a suggestion over files that a person has written since."""
    into, _ = imported(tmp_path)
    (into / "assets/reader.sql").write_text("/* headrace\nowner: shop\n*/\nselect a from old\n")
    files = [path for path in into.rglob("*") if path.is_file() and ".headrace" not in path.parts]
    before = {path: path.read_bytes() for path in files}
    with pytest.raises(ProjectError, match="the changed project isn't valid"):
        apply_suggestions("unused_source-1", into, "test", Silent())
    assert {path: path.read_bytes() for path in files} == before


def test_reports_show_the_diff_and_the_command(tmp_path: Path) -> None:
    """Would catch: a suggestion that the report names but nobody can see or apply."""
    into, response = imported(tmp_path)
    change = next(row for row in response.suggestions if row.id == "pass_through-1")
    assert change.diff is not None
    assert "+materialize: view" in change.diff.splitlines()
    assert change.command == f"headrace import suggestion pass_through-1 --into {into} --apply"
    for name in REPORTS:
        text = (into / name).read_text()
        assert "+materialize: view" in text
        assert change.command in text
