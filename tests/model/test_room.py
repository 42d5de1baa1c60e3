"""What the room costs, and that each of its problems has a page."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import headrace
import headrace.model

SOURCES = Path(headrace.model.__file__).parent
PAGES = SOURCES.parent / "explanations"
_CODE = re.compile(r"[a-z]+(_[a-z0-9]+)+|cycle")
_REPORTERS = {"error": 0, "warning": 0, "_error": 0, "_problem": 0, "_Refused": 0}


def _codes() -> set[str]:
    """Every code that the room gives to a problem: first arguments of the reporting functions,
    `code=`, and returned ones."""
    result: set[str] = set()
    for path in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = (
                    node.func.attr
                    if isinstance(node.func, ast.Attribute)
                    else getattr(node.func, "id", "")
                )
                is_logged = (
                    isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "log"
                )
                if (
                    name in _REPORTERS
                    and not is_logged
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                ):
                    result.add(str(node.args[0].value))
                result |= {
                    str(keyword.value.value)
                    for keyword in node.keywords
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
                }
                if name == "_checked":
                    result.add(ast.literal_eval(node.args[2]))
            elif (
                isinstance(node, ast.Return)
                and isinstance(node.value, ast.Tuple)
                and path.name == "yaml.py"
            ):
                result.add(ast.literal_eval(node.value.elts[0]))
    return result


def test_each_problem_has_a_page() -> None:
    """`headrace explain CODE` must not end in `unknown code`."""
    codes = _codes()
    assert len(codes) > 45
    for code in codes:
        assert _CODE.fullmatch(code)
        text = (PAGES / f"{code}.md").read_text()
        assert text.startswith(f"# {code}: ")
        assert "Wrong:" in text
        assert "Right:" in text
        assert 6 <= len(text.splitlines()) <= 30


def _imported(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_the_room_costs_only_msgspec() -> None:
    """`headrace status` has 0.4 s in all: YAML, contracts and the syntax tree are for who reads
    declarations."""
    heavy = {
        "yaml",
        "jsonschema",
        "zoneinfo",
        "duckdb",
        "sqlglot",
        "headrace.model.parsing",
        "headrace.model.intervals",
    }
    assert not _imported("import headrace.model") & heavy
    assert "msgspec" not in _imported("import headrace")
    assert not _imported(
        "from headrace.model.parsing import parse_bytes; from headrace.model import link"
    ) & {
        "yaml",
        "jsonschema",
        "duckdb",
        "open_data_contract_standard",
        "pydantic",
    }


def test_every_export_is_there() -> None:
    for name in headrace.model.__all__:
        assert getattr(headrace.model, name) is not None
    assert set(headrace.__all__) == {"Context", "Session", "__version__", "asset"}
    for name in headrace.__all__:
        assert getattr(headrace, name)
