"""Expressions and control flow as data-factory-testing-framework evaluates them.

`make test-adf` installs the framework and names its Python in ADF_FRAMEWORK. SEED draws others.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from random_factories import Expressions, Factory
from test_adf_expressions import EXPRESSIONS

from headrace_import.importers.adf.activities import NEVER, Activity
from headrace_import.importers.adf.evaluate import resolve, text_value
from headrace_import.importers.adf.origin import read_origin
from headrace_import.importers.adf.pipelines import Pipelines, read_pipelines
from headrace_import.importers.adf.project import read_project
from headrace_import.importers.adf.values import Scope, Unknown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
RANDOM_EXPRESSIONS, FACTORIES = 1000, 12
_PROGRAM = Path(__file__).parent / "framework_program.py"


def _framework(expressions: list[str], factories: list[tuple[str, str]]) -> dict[str, Any]:
    python = os.environ.get("ADF_FRAMEWORK")
    if not python:
        pytest.skip("ADF_FRAMEWORK names no Python with the framework: run `make test-adf`")
    request = json.dumps({"expressions": expressions, "factories": factories})
    with tempfile.TemporaryDirectory() as folder:  # where Mono writes its dumps if it crashes
        done = subprocess.run(
            [python, str(_PROGRAM)], input=request, capture_output=True, text=True, check=False,
            cwd=folder,
        )  # fmt: skip
    if done.returncode and ("libmono" in done.stderr or "netstandard" in done.stderr):
        pytest.skip("the framework finds no Mono: install libmonosgen-2.0-1 and mono-devel")
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def seed() -> int:
    """The seed of this run, printed to draw the same again."""
    number = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    print(f"SEED={number}")
    return number


def test_the_constants_are_what_the_framework_evaluates() -> None:
    """Would catch a table of values that has grown old."""
    values = _framework([text for text, _ in EXPRESSIONS], [])["values"]
    for (text, value), found in zip(EXPRESSIONS, values, strict=True):
        assert found == {"value": value}, text


def test_random_expressions_have_the_values_of_the_framework(seed: int) -> None:
    """Would catch a function that differs for arguments that no constant has."""
    expressions = Expressions(seed)
    texts = ["@" + expressions.any() for _ in range(RANDOM_EXPRESSIONS)]
    values = _framework(texts, [])["values"]
    compared = 0
    for text, found in zip(texts, values, strict=True):
        ours = text_value(text, Scope())
        if "value" in found and not isinstance(ours, Unknown):
            assert ours == found["value"], text
            compared += 1
        assert "value" in found or isinstance(ours, Unknown), (text, ours, found)
    assert compared > RANDOM_EXPRESSIONS // 2


def test_control_flow_runs_what_the_framework_runs(seed: int, tmp_path: Path) -> None:
    """Would catch a branch that is carried but never runs, a lost item, and a wrong order."""
    folders = [tmp_path / str(number) for number in range(FACTORIES)]
    for number, folder in enumerate(folders):
        Factory(folder, seed + number).write()
    ran = _framework([], [(str(folder), "main") for folder in folders])["ran"]
    decided = 0
    for folder, activities in zip(folders, ran, strict=True):
        decided += _compare(folder, activities)
    assert decided >= FACTORIES


def _compare(folder: Path, ran: list[dict[str, Any]]) -> int:
    pipelines = read_pipelines(read_origin(folder))
    names = [one["name"] for one in ran]
    counts, decided = Counter(names), 0
    for pipeline in pipelines.all:
        for activity in pipeline.activities:
            times = _times(activity, pipelines)
            if activity.type == "WebActivity" and times is not None:
                assert counts[activity.name] == times, (folder, activity.id)
                _compare_values(activity, [one for one in ran if one["name"] == activity.name])
                decided += 1
    for one in read_project(folder).dependencies:
        before, after = one.origin.rsplit("/", 1)[-1], one.target.rsplit("/", 1)[-1]
        if before in counts and after in counts and str(one.how) != "trigger":
            assert names.index(before) < names.index(after), (folder, one)
    return decided


def _times(activity: Activity, pipelines: Pipelines) -> int | None:
    """Return how often an activity runs in a run of `main`; None if the files don't decide."""
    if activity.obstacle.startswith(NEVER):
        return 0
    if activity.obstacle:
        return None
    of_pipeline = 1
    if activity.pipeline.id != "main":
        callers = [_times(one, pipelines) for one in pipelines.callers[activity.pipeline.id]]
        if None in callers:
            return None
        of_pipeline = sum(number for number in callers if number is not None)
    return of_pipeline * len(activity.scopes)


def _compare_values(activity: Activity, ran: list[dict[str, Any]]) -> None:
    ours = [resolve(activity.settings["url"], scope) for scope in activity.scopes]
    if not any(isinstance(value, Unknown) for value in ours):
        assert {one["url"] for one in ran} <= set(ours), activity.id
