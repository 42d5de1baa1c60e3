"""Adds kinds to a copy of the source as CONTRIBUTING.md says: each is one file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("headrace_testing")  # which has the suite that a kind passes
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
from headrace.model.file_descriptions import SECTIONS, with_kinds
from headrace.services.init import document
from headrace_testing.contracts import evaluate_check
from scripts.reference_pages import files, judged
schemas = {section.name: json.dumps(document(with_kinds(section))) for section in SECTIONS}
result = evaluate_check("even: {column: seats}", [{"seats": 2}, {"seats": 3}])
documents = [files.page(), judged.checks(), judged.exports()]
print(json.dumps([schemas, documents, result.outcome, result.detail]))
"""
EXAMPLES = {"mailbox": "A source", "ini": "A file format", "markdown": "An export format"}
"""Classes of `examples/plugin` → their kind's name in CONTRIBUTING.md."""
CHECKED = "/* headrace\nowner: core\nchecks: [{even: {column: seats}}]\n*/\nselect 2 as seats\n"
PROJECT = {
    "headrace.toml": '[project]\nname = "p"\n',
    "owners.yaml": "core: {kind: team}\n",
    "assets/a.sql": CHECKED,
    "sources/mails.yaml": (
        "source: mails\nowner: core\npartition: day\n"
        'mailbox: {path: inbox.mbox, subject: "Sales of {date}"}\n'
    ),
    "sources/settings.yaml": "source: settings\nowner: core\nfiles: settings.ini\n",
    "consumers.yaml": (
        "- {consumer: c, owner: core, reads: [a], max_age: 1d, export: {to: out/a.md}}\n"
    ),
}


@pytest.mark.long
def test_the_file_that_contributing_names_is_enough(tmp_path: Path) -> None:
    """Would catch: a table that a new kind must be added to, or a path that moved."""
    copy = tmp_path / "src"
    skipped = shutil.ignore_patterns("ui_bundle*", "__pycache__")
    shutil.copytree(ROOT / "src/headrace", copy / "headrace", ignore=skipped)
    shutil.copytree(ROOT / "scripts", copy / "scripts", ignore=skipped)
    (copy / _file_of("A check kind", "even")).write_text(KIND)
    for kind, title in EXAMPLES.items():
        target = copy / _file_of(title, kind)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / f"examples/plugin/src/headrace_shop_kinds/{kind}.py", target)

    schemas, (fields, checks, exports), outcome, detail = json.loads(
        _python(copy, "-c", LOOK, folder=copy).stdout
    )
    assert all('"even"' in schemas[name] for name in ("sources", "assets", "front_matter"))
    assert '"mailbox"' in schemas["sources"]
    assert '"markdown"' in schemas["consumers"]
    assert "each value is an even number" in checks
    assert "`mailbox`" in fields
    assert "| `markdown` | `.md` | `align`:" in exports
    assert (outcome, detail.split(" (")[0]) == ("failed", "seats: 1 row odd")

    project = tmp_path / "project"
    for path, text in PROJECT.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    validated = _python(copy, "-m", "headrace", "validate", "--json", folder=project)
    assert json.loads(validated.stdout)["problems"] == [], validated.stderr


def _file_of(title: str, kind: str) -> str:
    """The first path that CONTRIBUTING.md names for a kind of thing."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    entry = re.search(rf"- \*\*{title}\*\*:(.*?)\n- \*\*", text, re.DOTALL)
    assert entry is not None, title
    path = re.findall(r"`src/([^`]+)`", entry[1])[0]
    assert "<kind>" in path
    return str(path.replace("<kind>", kind))


def _python(source: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done
