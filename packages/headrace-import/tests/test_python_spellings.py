"""Ways to write a flow of Prefect or an asset of Dagster: each is an item, or its file is one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

NORMAL = {
    "prefect": "from prefect import flow\n@flow\ndef normal():\n    pass\n",
    "dagster": "from dagster import asset\n@asset\ndef normal():\n    pass\n",
}
PREFECT = {
    "from prefect import *\n@flow\ndef f(): pass": "f:command",
    "from prefect.flows import *\n@flow\ndef f(): pass": "f:command",
    "import prefect as p\n@p.flow\ndef f(): pass": "f:command",
    "import prefect\n@prefect.flow(name='g')\ndef f(): pass": "g:command",
    "from prefect import flow as fl\n@fl\ndef f(): pass": "f:command",
    "from prefect import flow\nd = flow(retries=2, name='g')\n@d\ndef f(): pass": "g:command",
    "from prefect import flow\nd = flow\n@d(name='g')\ndef f(): pass": "g:command",
    ("from functools import partial\nfrom prefect import flow\nd = partial(flow, retries=2)\n"
     "@d(name='g')\ndef f(): pass"): "g:command",
    ("try:\n    from prefect import flow\nexcept ImportError:\n    from shim import flow\n"
     "@flow\ndef f(): pass"): "f:command",
    "import os\nfrom prefect import flow\nif os.sep:\n    @flow\n    def f(): pass": "f:command",
    "from prefect import flow\ndef make():\n    @flow\n    def f(): pass": "f:person",
    ("from prefect import flow\nif __name__ == '__main__':\n    @flow\n    def f(): pass"):
        "f:person",
    "from prefect import flow\nclass C:\n    @flow\n    def f(self): pass": "f:person",
    ("from prefect import flow\nif 1:\n    @flow\n    def f(): pass\nelse:\n    @flow\n"
     "    def f(): pass"): "f:command f~2:person",
    "from prefect import flow\ndef f(): pass\ng = flow(f)": "x.py:person",
    "from prefect import flow\ndef f(): pass\ng = flow(name='g')(f)": "x.py:person",
    "from prefect import Flow\nwith Flow('f') as f: pass": "x.py:person",
    "from prefect import flow\nflow.from_source('u', entrypoint='a.py:b').deploy()": "x.py:person",
    "from prefect import flow\ndef mine(f): return flow(f)\n@mine\ndef f(): pass": "x.py:person",
    "from company import *\n# prefect\n@flow\ndef f(): pass": "x.py:person",
    "from company import flow\n# prefect\n@flow\ndef f(): pass": "x.py:person",
    "from common import flow\n@flow\ndef f(): pass": "f:command",
    "from common import *\n@flow\ndef f(): pass": "f:command",
    "import common\n@common.flow\ndef f(): pass": "f:command",
    "import prefect\nfrom celery import Celery\na = Celery()\n@a.task\ndef f(): pass": "",
    "from celery import task\n@task\ndef f(): pass": "",
    "from prefect import *\ndef flow(f): return f\n@flow\ndef f(): pass": "",
}  # fmt: skip
DAGSTER = {
    "from dagster import *\n@asset\ndef f(): pass": "f:command",
    "from dagster import *\n@asset\ndef f(): pass\ndefs = Definitions([f])": "f:command",
    "import dagster as d\n@d.asset(key_prefix='k')\ndef f(): pass": "k/f:command",
    "from dagster import *\n@asset\ndef f(): pass\nj = define_asset_job('j', [f])":
        "f:command j:carried",
    "from common import asset\n@asset\ndef f(): pass": "f:command",
    "from dagster import asset\ndef make(n):\n    @asset(name=n)\n    def f(): pass": "*f:person",
    "from dagster import asset\nimport os\n@asset(name=os.sep)\ndef f(): pass": "*f:person",
    "from dagster import asset\nimport os\n@asset(key_prefix=os.sep)\ndef f(): pass":
        "*f:person",
    "from dagster import asset\n@asset(key_prefix=5)\ndef f(): pass": "*f:person",
    "from dagster import asset\ndef f(): pass\ng = asset(f)": "x.py:person",
    "from dagster import *\ndef make(): return define_asset_job('j')": "x.py:person",
    "from dagster import *\n@op\ndef o(): pass\na = AssetsDefinition.from_op(o)":
        "o:person x.py:person",
    ("from dagster import *\n@op\ndef o(): pass\n@graph\ndef g(): o()\nj = g.to_job()"):
        "g:person j:person o:person",
    "from dagster import *\n@graph_asset\ndef f(): pass": "f:command",
    ("from dagster import *\n@multi_asset(specs=[AssetSpec('a'), AssetSpec('b')])\n"
     "def f(): pass"): None,
    "from dagster import *\n@sensor(job_name='j')\ndef f(): pass": "f:person",
    "from dagster import *\nimport mine\na = load_assets_from_modules([mine])": "",
    "from dagster_dbt import *\nimport dagster\n@dbt_assets(manifest=1)\ndef f(): pass":
        "*f:person",
    "from dagster_dlt import dlt_assets\n@dlt_assets(x=1)\ndef f(): pass": "x.py:person",
    "from dagster_fivetran import build_fivetran_assets as b\na = b('c', [])": "x.py:person",
    "from dagster import *\nclass C:\n    @property\n    def f(self): pass": "",
    "from dagster import *\n@resource\ndef f(): pass\n@success_hook\ndef g(c): pass": "",
    "from dagster import *\n@asset(partitions_def=make())\ndef f(): pass": "f:person",
    "from dagster import *\n@run_status_sensor(1)\ndef f(): pass": "f:person",
}  # fmt: skip
CASES = [("prefect", *case) for case in PREFECT.items()]
CASES += [("dagster", *case) for case in DAGSTER.items()]


@pytest.mark.parametrize(("tool", "text", "expected"), CASES)
def test_each_spelling_is_an_item(
    tmp_path: Path, tool: str, text: str, expected: str | None
) -> None:
    """Would catch: flows and assets that are lost without a word, beside those that aren't."""
    (tmp_path / "normal.py").write_text(NORMAL[tool])
    (tmp_path / "common.py").write_text(NORMAL[tool].partition("\n")[0])
    (tmp_path / "x.py").write_text(text + "\n")
    imported = importlib.import_module(f"headrace_import.importers.{tool}").read_project(tmp_path)
    items = {f"{item.id}:{item.verdict}" for item in imported.items}
    assert len(items) == len(imported.items)
    assert "normal:command" in items
    if expected is not None:
        assert items - {"normal:command"} == set(expected.split())
    else:
        assert len(items) > 1
