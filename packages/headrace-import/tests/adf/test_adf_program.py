"""The program that runs an activity in its factory, with a program `az` that answers from files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_import.importers.adf.commands import PROGRAM_TEXT

_AZ = """#!{python}
import json, sys
with open("calls.jsonl", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
words = " ".join(sys.argv[1:4])
if words.startswith("datafactory pipeline show"):
    inner = {{"name": "In", "type": "Wait", "dependsOn": [{{"activity": "x"}}]}}
    print(json.dumps({{"parameters": {{"day": {{"type": "string"}}}}, "activities": [
        {{"name": "Each", "typeProperties": {{"activities": [inner]}}}}]}}))
elif words.startswith("datafactory pipeline create-run"):
    print(json.dumps({{"runId": "r-1"}}))
elif words.startswith("datafactory pipeline-run show"):
    print(json.dumps({{"status": "{status}"}}))
"""


@pytest.mark.parametrize(("status", "code"), [("Succeeded", 0), ("Failed", 1), ("Cancelled", 1)])
def test_one_activity_runs_alone_with_its_window(tmp_path: Path, status: str, code: int) -> None:
    """Would catch an activity that keeps its dependencies, or a failed run that ends with 0."""
    az = tmp_path / "az"
    az.write_text(_AZ.format(python=sys.executable, status=status), encoding="utf-8")
    az.chmod(0o755)
    (tmp_path / "run_activity.py").write_text(PROGRAM_TEXT, encoding="utf-8")
    context = {
        "interval": {"start": "2026-03-01T00:00:00+00:00", "end": "2026-03-02T00:00:00+00:00"}
    }
    (tmp_path / "context.json").write_text(json.dumps(context), encoding="utf-8")
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HEADRACE_CONTEXT": str(tmp_path / "context.json"),
        "ADF_RESOURCE_GROUP": "group",
        "ADF_FACTORY": "factory",
    }
    command = [sys.executable, "run_activity.py", "--start", "day:%Y-%m-%d", "--", "p", "Each/In"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, timeout=60)
    assert done.returncode == code
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    created = next(call for call in calls if "create" in call)
    assert json.loads(created[created.index("--pipeline") + 1])["activities"] == [
        {"name": "In", "type": "Wait", "dependsOn": []}
    ]
    run = next(call for call in calls if "create-run" in call)
    assert json.loads(run[run.index("--parameters") + 1]) == {"day": "2026-03-01"}
