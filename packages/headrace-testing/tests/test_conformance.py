"""`headrace conformance`: each fault of a program fails its case, and a right program passes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RIGHT = """
import json, os, sys
import pyarrow as pa, pyarrow.parquet as pq

with open(os.environ["HEADRACE_CONTEXT"], encoding="utf-8") as file:
    context = json.load(file)
counts = [pq.read_table(item["path"]).num_rows for item in context["inputs"].values()]
rows = pa.table({"partition": [context["partition"]], "n": [sum(counts)]})
pq.write_table(rows, os.path.join(context["output_directory"], "rows.parquet"))
with open(os.environ["HEADRACE_EVENTS"], "a", encoding="utf-8") as events:
    events.write(json.dumps({"event": "metric", "name": "n", "value": sum(counts)}) + "\\n")
"""
LAST = 'pq.write_table(rows, os.path.join(context["output_directory"], "rows.parquet"))'
FAULTS = {
    "ends with 3": ("import json, os, sys", "import json, os, sys; sys.exit(3)", "day"),
    "asks for later": ("import json, os, sys", "import json, os, sys; sys.exit(75)", "day"),
    "writes nothing": (LAST, "", "day"),
    "fails without interval": (
        "rows = pa",
        'context["interval"]["start"]\nrows = pa',
        "unpartitioned",
    ),
    "takes the key for a file name": (
        '"rows.parquet"))',
        'context["partition"] + ".parquet"))',
        "key",
    ),
    "fails on no rows": ("rows = pa", "1 / sum(counts)\nrows = pa", "empty_input"),
    "is random": ('"n": [sum(counts)]', '"n": [os.getpid()]', "repeated"),
    "hides what it can't read": (
        'counts = [pq.read_table(item["path"]).num_rows for item in context["inputs"].values()]',
        (
            'try:\n    counts = [pq.read_table(item["path"]).num_rows for item in '
            'context["inputs"].values()]\nexcept Exception:\n    counts = [0]'
        ),
        "damaged_input",
    ),
    "writes another event": ('"event": "metric"', '"event": "metrics"', "events"),
    "writes into its input": (
        "rows = pa",
        'open(context["inputs"]["rows"]["path"], "ab").write(b"x")\nrows = pa',
        "inputs_unchanged",
    ),
}
QUICK = ("fails without interval", "hides what it can't read", "writes into its input")
"""The faults that are tried in each run of CI."""


def tried(folder: Path, text: str, *words: str) -> tuple[int, dict[str, Any]]:
    """Try a Python program; return the exit code and the response."""
    program = folder / "program.py"
    program.write_text(text, encoding="utf-8")
    return run("--json", *words, "--", sys.executable, str(program))


def run(*words: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "conformance", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.long
def test_a_right_program_passes(tmp_path: Path) -> None:
    """Would catch: a case that no program can pass."""
    code, response = tried(tmp_path, RIGHT)
    assert [case for case in response["cases"] if not case["ok"]] == []
    assert (code, response["ok"]) == (0, True)
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


@pytest.mark.long
@pytest.mark.parametrize(
    "fault",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in FAULTS],
)
def test_a_fault_fails_its_case(tmp_path: Path, fault: str) -> None:
    """Would catch: a case that every program passes."""
    before, after, name = FAULTS[fault]
    assert before in RIGHT
    code, response = tried(tmp_path, RIGHT.replace(before, after))
    failed = {case["name"]: case["detail"] for case in response["cases"] if not case["ok"]}
    assert (code, response["ok"]) == (1, False)
    assert name in failed, response["cases"]
    assert failed[name]


def test_a_program_that_ignores_everything_fails(tmp_path: Path) -> None:
    """Would catch: a program without a context that counts as right."""
    _, response = run("--json", "--", "true")
    failed = {case["name"] for case in response["cases"] if not case["ok"]}
    assert {"day", "missing_context", "unwritable_output"} <= failed


@pytest.mark.long
def test_a_hanging_program_is_ended(tmp_path: Path) -> None:
    """Would catch: a suite that never ends."""
    code, response = tried(tmp_path, "import time\ntime.sleep(600)", "--timeout", "1")
    assert code == 1
    assert all("time limit" in case["detail"] for case in response["cases"][:11])


def test_a_shell_program_with_options_of_its_own(tmp_path: Path) -> None:
    """Would catch: options behind `--` that are taken for Headrace's, and rows in CSV refused."""
    program = tmp_path / "count.sh"
    program.write_text(
        "set -eu\n"
        '[ "$1" = --json ]\n'
        'output=$(sed -n \'s/.*"output_directory": "\\([^"]*\\)".*/\\1/p\' "$HEADRACE_CONTEXT")\n'
        'printf "n\\n1\\n" > "$output/rows.csv"\n',
        encoding="utf-8",
    )
    _, response = run("--json", "--", "sh", str(program), "--json")
    results = {case["name"]: case["ok"] for case in response["cases"]}
    assert results["day"]
    assert results["damaged_input"]
    assert not results["unusual_paths"], "its folder has quotation marks, which JSON escapes"


@pytest.mark.long
def test_own_inputs(tmp_path: Path) -> None:
    """Would catch: an input of the user's that the program doesn't get."""
    orders = tmp_path / "orders.csv"
    orders.write_text("id,net\n1,2.5\n2,3.5\n", encoding="utf-8")
    text = RIGHT.replace("rows = pa", 'assert set(context["inputs"]) == {"orders"}\nrows = pa')
    code, response = tried(tmp_path, text, "--input", f"orders={orders}")
    assert code == 0, response
    assert "special_values" not in {case["name"] for case in response["cases"]}


def test_a_damaged_input_of_the_user_is_named(tmp_path: Path) -> None:
    """Would catch: an error of DuckDB with its statement, which doesn't say whose file it is."""
    orders = tmp_path / "orders.parquet"
    orders.write_bytes(b"x")
    words = ["conformance", "--input", f"orders={orders}", "--", "true"]
    done = subprocess.run(
        [sys.executable, "-m", "headrace", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the input orders can't be read" in done.stderr
    assert "DESCRIBE" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--json",), "which program is to be tried?"),
        (("--", "no-such-program"), "can't be started"),
        (("--input", "orders", "--", "true"), "isn't NAME=FILE"),
        (("--input", "orders=missing.csv", "--", "true"), "there is no file"),
    ],
)
def test_wrong_use(words: tuple[str, ...], message: str) -> None:
    """Would catch: a wrong call that fails in a case instead of saying what is wrong."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "conformance", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr + done.stdout
