"""Small projects from files, and what the rules about whole projects say about them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from headrace.compiler.compiling import compile_project
from headrace.compiler.lineage import compile_lineage
from headrace.plan import Compiled
from headrace_advisor.analysis.complexity import ProjectShape
from headrace_advisor.analysis.project_advice import Equality, ProjectFinding, ProjectView
from headrace_advisor.analysis.project_rules import project_findings
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.queries.costs import StoredPartitions

HEAD = "/* headrace\nowner: core\n*/\n"
CONTRACT = """\
apiVersion: v3.0.2
kind: DataContract
id: orders
name: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: day, physicalType: DATE}
      - {name: customer, physicalType: VARCHAR}
      - {name: amount, physicalType: INTEGER}
"""


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write a project: `consumers` names the assets that consumers read, one each."""
    texts = {
        "headrace.toml": '[project]\nname = "lab"\ntimezone = "UTC"\n',
        "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
        **files,
    }
    reads = texts.pop("consumers", "").split()
    if reads:
        texts["consumers.yaml"] = "".join(
            f"- {{consumer: reads-{n}, owner: core, reads: [{name}], max_age: 30h}}\n"
            for n, name in enumerate(reads)
        )
    for path, text in texts.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_expanded(text))


def _expanded(text: str) -> str:
    if text.startswith("head\n"):
        return HEAD + text.removeprefix("head\n")
    return CONTRACT if text == "contract\n" else text


def compiled_project(root: Path) -> Compiled:
    """Return the project of a folder, compiled."""
    compilation = compile_project(root)
    assert compilation.compiled is not None, compilation.problems
    return compilation.compiled


def findings_of(
    root: Path,
    files: Mapping[str, str],
    *,
    sizes: Mapping[str, StoredPartitions] | None = None,
    same_rows: Mapping[tuple[str, str], Equality] | None = None,
) -> list[ProjectFinding]:
    """Return the findings in a project that consists of some files."""
    write(root, files)
    return findings_in(root, compiled_project(root), sizes or {}, same_rows or {})


def findings_in(
    root: Path,
    compiled: Compiled,
    sizes: Mapping[str, StoredPartitions],
    same_rows: Mapping[tuple[str, str], Equality],
) -> list[ProjectFinding]:
    """Return the findings in a compiled project."""
    shape = ProjectShape(compiled, compile_lineage(compiled), frozenset())

    def text(path: str) -> str:
        return (root / path).read_text()

    view = ProjectView(compiled, ProjectTables(compiled), shape, text, sizes, same_rows)
    return project_findings(view)


def patched(root: Path, diff: str, path: str) -> str:
    """Return a file of a project after a diff."""
    subprocess.run(["git", "apply", "-"], cwd=root, input=diff, text=True, check=True)
    return (root / path).read_text()
