"""The analysis of each statement that the repository has: inputs, lineage, types and problems.

`fixtures/results.txt` has a hash of each result. A change that is meant to make the analysis faster
leaves all of them; `HEADRACE_FIXTURES=write` writes those of a change that is meant to alter some.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from sql_cases import FIXTURES, cases

from headrace.sql.analysis import analyse
from headrace.sql.partitions import not_separable_because
from headrace.sql.queries import BoundQuery, resolve

RESULTS = FIXTURES / "results.txt"
ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks/tpch", "examples", "packages/headrace-demo/src/headrace_demo/demo_project")
SCHEMAS = {
    "t": (
        ("a", "INTEGER"),
        ("b", "BIGINT"),
        ("s", "VARCHAR"),
        ("d", "DATE"),
        ("l", "INTEGER[]"),
        ("st", "STRUCT(x INTEGER)"),
    ),
    "u": (("a", "INTEGER"), ("x", "DOUBLE"), ("y", "VARCHAR")),
}
_FRONT_MATTER = re.compile(r"\A\s*/\*\s*headrace.*?\*/", re.DOTALL)


def _statements() -> Iterator[tuple[str, str]]:
    """Yield each statement with the name of its place."""
    for at, text in enumerate(
        re.split(r";\n", (FIXTURES / "corpus.sql").read_text(encoding="utf-8"))
    ):
        yield f"corpus {at}", text
    for name in ("inputs", "lineage", "separable", "problems"):
        mark = "!" if name == "problems" else "="
        yield from (
            (f"{name} {at}", case.sql) for at, case in enumerate(cases(f"{name}.txt", mark))
        )
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.sql")):
            text = path.read_text(encoding="utf-8")
            yield path.relative_to(ROOT).as_posix(), _FRONT_MATTER.sub("", text)


def _result(text: str) -> str:
    analysis = analyse(text, file="x.sql", line=3, name="x")
    results: list[object] = [analysis, resolve(analysis, SCHEMAS), resolve(analysis, {})]
    if analysis.usable:
        binding = BoundQuery(analysis, SCHEMAS, {})
        results.append(not_separable_because(binding, analysis, "a", ("t",)))
    return msgspec.json.encode(results).decode()


def test_results_are_as_recorded() -> None:
    """A faster way through the analysis that loses an edge of some construct."""
    results = {name: _result(text) for name, text in _statements()}
    hashes = {
        name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in results.items()
    }
    if os.environ.get("HEADRACE_FIXTURES") == "write":
        lines = "".join(f"{value} {name}\n" for name, value in hashes.items())
        RESULTS.write_text(lines, encoding="utf-8")
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    recorded = {name: value for value, _, name in (line.partition(" ") for line in lines)}
    assert len(recorded) > 300
    assert recorded.keys() == hashes.keys()
    different = [name for name, value in hashes.items() if recorded[name] != value]
    assert not different, {name: results[name] for name in different[:5]}
