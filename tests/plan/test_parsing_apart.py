"""A process that goes on for long doesn't keep the SQL parser's memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OWNERS = "core: {kind: team, contact: ['mailto:core@example.com']}\n"
PROGRAM = """
import sys
from pathlib import Path
from headrace.compiler.compiling import compile_project
from headrace.compiler.project_files import ProjectFiles

root = Path(sys.argv[1])
compilation = compile_project(root, files=ProjectFiles(root) if sys.argv[2] == "apart" else None)
node = compilation.compiled.nodes["totals"]
print(node.columns, node.inputs, node.fingerprint, "sqlglot" in sys.modules)
"""


def compiled(project: Path, how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(project), how],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_sql_is_parsed_by_another_process_with_the_same_result(tmp_path: Path) -> None:
    """Would catch: a leader that holds 40 MB for a parser that it used once, or columns that are
    lost between the processes."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "headrace.toml").write_text('[project]\nname = "shop"\n')
    (tmp_path / "owners.yaml").write_text(OWNERS)
    (tmp_path / "assets/numbers.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect 1::integer as id, 2.5::double as amount\n"
    )
    (tmp_path / "assets/totals.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect id, sum(amount) as total from numbers group by id\n"
    )
    here, apart = compiled(tmp_path, "here"), compiled(tmp_path, "apart")
    assert here.endswith(" True")
    assert apart.endswith(" False")
    assert here.removesuffix(" True") == apart.removesuffix(" False")
