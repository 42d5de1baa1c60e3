"""Lengths of time in words: one function, and the browser's, which follows the same table."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from headrace.model.times import duration

ROOT = Path(__file__).parents[2]
TABLE = json.loads((ROOT / "tests/durations.json").read_text(encoding="utf-8"))
TYPESCRIPT = ROOT / "ui/node_modules/typescript"
RUN = """
const ts = require(process.argv[1]);
const text = require("fs").readFileSync(process.argv[2], "utf8");
const made = { exports: {} };
const options = { compilerOptions: { module: "commonjs", target: "es2022" } };
new Function("exports", ts.transpileModule(text, options).outputText)(made.exports);
console.log(JSON.stringify(JSON.parse(process.argv[3]).map(([seconds]) => made.exports.lasting(seconds))));
"""


@pytest.mark.parametrize(("seconds", "text"), TABLE)
def test_a_length_of_time_in_words(seconds: float, text: str) -> None:
    """Would catch: one wait that is 50 h 40 min in one place and 51 h in another."""
    assert duration(round(seconds * 1_000_000)) == text


@pytest.mark.skipif(
    shutil.which("node") is None or not TYPESCRIPT.exists(), reason="needs node and ui/node_modules"
)
def test_the_browser_writes_the_same() -> None:
    """Would catch: a page that rounds otherwise than the terminal."""
    arguments = [str(TYPESCRIPT), str(ROOT / "ui/src/parts/durations.ts"), json.dumps(TABLE)]
    done = subprocess.run(
        ["node", "-e", RUN, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == [text for _, text in TABLE]
