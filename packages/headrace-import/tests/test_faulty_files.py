"""An unexpected error of an importer at one file: the file is an item, and the rest is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headrace_import.importers import Verdict
from headrace_import.services.project import importer

FLOW = "from prefect import flow\n@flow\ndef {}(): pass\n"
ASSET = "from dagster import asset\n@asset\ndef {}(): pass\n"
DAG = """from airflow import DAG
from airflow.operators.empty import EmptyOperator
with DAG('{}', schedule='@daily'):
    EmptyOperator(task_id='a')
"""
PIPELINE = json.dumps({"properties": {"activities": [{"name": "a", "type": "Wait"}]}})
DBT = {"dbt_project.yml": "name: shop\nprofile: shop\n"}
# tool: files with a placeholder for their name, the importer's function that fails, other files
CASES: dict[str, tuple[str, str, str, Mapping[str, str]]] = {
    "prefect": ("{}.py", FLOW, "prefect.flows.functions_of", {}),
    "dagster": ("{}.py", ASSET, "dagster.definitions.functions_of", {}),
    "airflow": ("dags/{}.py", DAG, "airflow.plans._decide", {}),
    "adf": ("pipeline/{}.json", PIPELINE, "adf.project.classify", {}),
    "dbt": ("models/{}.sql", "select 1 as id", "dbt.models._read", DBT),
}


@pytest.mark.parametrize("tool", CASES)
def test_the_rest_is_imported(tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: an import that is lost because of an error of Headrace at one file."""
    name, text, target, others = CASES[tool]
    texts = {name.format(stem): text.replace("{}", stem) for stem in ("good", "bad")}
    for path, content in {**texts, **others}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    module, _, function = f"headrace_import.importers.{target}".rpartition(".")
    original = getattr(__import__(module, fromlist=["x"]), function)

    def failing(*args: Any) -> Any:
        if any("bad" in text_of(arg) for arg in args):
            raise ZeroDivisionError("a fault\nof ours")
        return original(*args)

    monkeypatch.setattr(f"{module}.{function}", failing)
    items = {item.file: item for item in importer(tool)(tmp_path).items if item.file in texts}
    assert sorted(items) == sorted(texts)
    bad, good = (items[name.format(stem)] for stem in ("bad", "good"))
    assert (bad.id, bad.verdict) == (name.format("bad"), Verdict.PERSON)
    assert "ZeroDivisionError: a fault" in bad.why
    assert "failed" not in good.why


def text_of(argument: Any) -> str:
    """Return what tells an argument of one file from that of another."""
    for value in (argument, getattr(argument, "node", None), getattr(argument, "context", None)):
        for name in ("file", "id", "name", "uid", "prefix"):
            text = getattr(value, name, "")
            if isinstance(text, str) and "bad" in text:
                return text
    body = getattr(argument, "body", [])
    return " ".join(getattr(node, "name", "") for node in body)


def test_an_error_that_belongs_to_no_file_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an error of Headrace that is hidden by an empty import."""
    (tmp_path / "good.py").write_text(FLOW.format("good"))

    def failing(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("headrace_import.importers.prefect.project.Secrets", failing)
    with pytest.raises(ZeroDivisionError):
        importer("prefect")(tmp_path)
