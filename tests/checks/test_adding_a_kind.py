"""Adds a check kind to a copy of the source as CONTRIBUTING.md says, and looks where it is known."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KIND = '''"""The check kind `even`."""

from __future__ import annotations

from typing import Any

from headrace.checks.check_kinds import (
    CheckKind,
    CheckSubject,
    Measurement,
    rows,
    rows_breaking,
)
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec
from headrace.model.check_kinds import read_column
from headrace.model.fields import Fields


class Even(CheckKind):
    """`even: {column: seats}`: each value is an even number."""

    name = "even"
    fields = ("column",)
    example = "even: {column: seats}"

    def read(self, fields: Fields) -> dict[str, Any] | None:
        column = read_column(fields)
        return None if column is None else {"column": column}

    def measure(self, check: CheckSpec, subject: CheckSubject) -> Measurement:
        column = subject.column(check.arguments["column"])
        bad = f"{quote(column)} % 2 <> 0"
        return rows_breaking(check, bad, lambda count: f"{column}: {rows(count)} odd")
'''
LOOK = """
import json
from headrace.model.file_descriptions import SECTIONS
from headrace.services.init import document
from headrace.testing.contracts import evaluate_check
from scripts.reference_pages.judged import checks
schemas = {section.name: json.dumps(document(section)) for section in SECTIONS}
result = evaluate_check("even: {column: seats}", [{"seats": 2}, {"seats": 3}])
print(json.dumps([schemas["assets"], checks(), result.outcome, result.detail]))
"""


def test_the_files_that_contributing_names_are_enough(tmp_path: Path) -> None:
    """Would catch: a further table that a new kind must be added to, or a path that moved."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    entry = re.search(r"- \*\*A check kind\*\*:(.*?)\n- \*\*", text, re.DOTALL)
    assert entry is not None
    named = re.findall(r"`((?:src|tests)/[^`]+)`", entry[1])
    assert named[0] == "src/headrace/checks/kinds/<kind>.py"
    assert all((ROOT / path).is_file() for path in named[1:])

    copy = tmp_path / "src"
    skipped = shutil.ignore_patterns("ui_bundle*", "__pycache__")
    shutil.copytree(ROOT / "src/headrace", copy / "headrace", ignore=skipped)
    shutil.copytree(ROOT / "scripts", copy / "scripts", ignore=skipped)
    (copy / "headrace/checks/kinds/even.py").write_text(KIND)
    table = copy / "headrace/model/check_kinds.py"
    line = '    "even": "headrace.checks.kinds.even:Even",\n'
    table.write_text(table.read_text().replace("BUILT_IN = {\n", "BUILT_IN = {\n" + line, 1))

    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    schema, page, outcome, detail = json.loads(done.stdout)
    assert '"even"' in schema
    assert "each value is an even number" in page
    assert (outcome, detail) == ("failed", "seats: 1 row odd (3)") or detail == "seats: 1 row odd"

    project = tmp_path / "project"
    (project / "assets").mkdir(parents=True)
    (project / "headrace.toml").write_text('[project]\nname = "p"\n')
    (project / "owners.yaml").write_text("core: {kind: team}\n")
    (project / "assets/a.sql").write_text(
        "/* headrace\nowner: core\nchecks: [{even: {column: seats}}]\n*/\nselect 2 as seats\n"
    )
    validated = subprocess.run(
        [sys.executable, "-m", "headrace", "validate", "--json"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(validated.stdout)["problems"] == [], validated.stderr
