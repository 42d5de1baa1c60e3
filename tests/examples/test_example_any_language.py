"""`examples/any-language`: the same asset in four languages, and each program's conformance.

A language is skipped where its programs aren't installed; `make test-languages` installs them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from example_lab import Example

GSON = Path("/usr/share/java/gson.jar")


class Language(NamedTuple):
    """What a language needs, and how its program is called."""

    programs: Sequence[str]
    command: Sequence[str]
    input_format: str
    build: Sequence[str] = ()
    files: Sequence[Path] = ()
    probe: Sequence[str] = ()
    """A command that fails if a library is missing."""


LANGUAGES = {
    "csharp": Language(
        ("mcs", "mono"),
        ("mono", "jobs/Totals.exe"),
        "jsonl",
        build=("mcs", "-r:System.Web.Extensions", "jobs/Totals.cs"),
    ),
    "java": Language(
        ("java",),
        ("java", "-cp", str(GSON), "jobs/Totals.java"),
        "jsonl",
        files=(GSON,),
    ),
    "r": Language(
        ("Rscript",),
        ("Rscript", "jobs/totals.R"),
        "csv",
        probe=("Rscript", "-e", "library(jsonlite)"),
    ),
    "shell": Language(("jq",), ("sh", "jobs/totals.sh"), "jsonl"),
}
REQUIRED = os.environ.get("HEADRACE_LANGUAGES") == "all"


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    needs = LANGUAGES[name]
    missing = [program for program in needs.programs if shutil.which(program) is None]
    missing += [str(path) for path in needs.files if not path.is_file()]
    if not missing and needs.probe:
        done = subprocess.run(needs.probe, capture_output=True, check=False)
        missing += [" ".join(needs.probe)] if done.returncode else []
    if missing:
        assert not REQUIRED, f"not installed: {', '.join(missing)}"
        pytest.skip(f"not installed: {', '.join(missing)}")
    return name


def built(name: str, tmp_path: Path) -> Example:
    """Copy the example, without the assets of other languages, and compile its program."""
    example = Example("any-language", tmp_path)
    for path in (example.root / "assets").iterdir():
        if path.stem != f"totals_{name}":
            path.unlink()
    if LANGUAGES[name].build:
        subprocess.run(LANGUAGES[name].build, cwd=example.root, check=True)
    return example


def test_the_asset_is_computed(language: str, tmp_path: Path) -> None:
    """Would catch: inputs in another format than declared, and a program that the page shows
    although it doesn't run.
    """
    example = built(language, tmp_path)
    example.json("run")
    rows = [
        (str(row["partition"]), row["orders"], float(row["amount"]))
        for row in example.rows(f"totals_{language}")
    ]
    assert sorted(rows) == [("2026-03-01", 3, 10.75), ("2026-03-02", 1, 7.0)]


@pytest.mark.long
def test_the_program_conforms(language: str, tmp_path: Path) -> None:
    """Would catch: an example that its own protocol refuses."""
    example = built(language, tmp_path)
    needs = LANGUAGES[language]
    words = ("--input-format", needs.input_format, "--json", "--", *needs.command)
    done = example.run("conformance", *words, code=None)
    assert done.stdout, done.stderr
    response = json.loads(done.stdout)
    assert [case for case in response["cases"] if not case["ok"]] == []
    assert done.returncode == 0
