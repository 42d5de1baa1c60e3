"""`@asset` and `Context` as an editor and a type checker see them: in step with what a file may
declare.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from headrace import Context, asset
from headrace.model import Grain, InputMode, Severity, authoring
from headrace.model.asset_fields import ASSET_FIELDS, MATERIALIZATIONS
from headrace.model.authoring import MARK
from headrace.model.check_kinds import BUILT_IN, built_in_checks
from headrace.model.checks import COMMON_ARGUMENTS as CHECK_COMMON
from headrace.model.common_fields import (
    CATCH_UP,
    ON_ANOMALY,
    ON_FAIL,
    TRIGGERS,
    TRIGGERS_WITHOUT_VALUE,
)

PARAMETERS = inspect.signature(asset).parameters
EXAMPLE = Path(__file__).parents[2] / "examples" / "python-asset"


def test_every_field_of_an_asset_is_a_parameter_and_documented() -> None:
    """Would catch: a new field that an editor doesn't know, or a parameter that files don't."""
    assert set(PARAMETERS) == {*ASSET_FIELDS, "for_each"}
    documented = inspect.getdoc(asset) or ""
    assert [name for name in PARAMETERS if f"\n    {name}: " not in documented] == []


@pytest.mark.parametrize(
    ("alias", "known"),
    [
        ("GrainName", tuple(Grain)),
        ("Materialization", MATERIALIZATIONS),
        ("OnFail", ON_FAIL),
        ("OnAnomaly", ON_ANOMALY),
        ("InputModeName", tuple(InputMode)),
        ("TriggerName", TRIGGERS_WITHOUT_VALUE),
    ],
)
def test_words_are_those_that_files_may_say(alias: str, known: tuple[str, ...]) -> None:
    """Would catch: a word that an editor offers and `validate` refuses, or the reverse."""
    assert set(get_args(getattr(authoring, alias))) == set(map(str, known))


def test_checks_and_triggers_have_the_keys_that_files_may_have() -> None:
    """Would catch: a kind of check or trigger that an editor doesn't know."""
    hints = get_type_hints(authoring.Check)
    assert set(hints) <= {*BUILT_IN, *CHECK_COMMON}
    for kind in (kind for kind in built_in_checks() if kind.name in hints):
        hint = hints[kind.name]
        structures = [item for item in (hint, *get_args(hint)) if hasattr(item, "__total__")]
        assert [set(structure.__annotations__) for structure in structures] == [
            {*kind.fields, *CHECK_COMMON}
        ], kind.name
    assert set(authoring.Trigger.__annotations__) == {*TRIGGERS, "catch_up", "timezone"}
    assert set(get_args(get_type_hints(authoring.Trigger)["catch_up"])) == set(CATCH_UP)
    severity = hints["severity"]
    assert set(get_args(severity)) == set(map(str, Severity))


def test_the_decorator_marks_the_function_with_what_is_declared() -> None:
    """Would catch: the function changed, or defaults taken for declarations."""

    @asset(owner="core", batch=False)
    def report() -> None: ...

    assert getattr(report, MARK) == {"owner": "core", "batch": False}


def test_every_member_of_the_context_is_documented() -> None:
    """Would catch: a member that an editor shows without a word about it."""
    source = inspect.getsource(Context)
    for field in fields(Context):
        declared = source.index(f"    {field.name}: ")
        assert source[source.index("\n", declared) :].lstrip().startswith('"""'), field.name
    assert all(inspect.getdoc(getattr(Context, name)) for name in ("log", "progress"))


def mypy(file: Path, tmp_path: Path) -> str:
    options = [
        "--strict",
        "--no-error-summary",
        "--config-file=",
        "--disable-error-code=import-untyped",
    ]  # pyarrow has no types
    command = [
        sys.executable,
        "-m",
        "mypy",
        *options,
        f"--cache-dir={tmp_path / 'cache'}",
        str(file),
    ]
    environment = os.environ | {"MYPYPATH": str(EXAMPLE)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    return done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_type_checker_accepts_the_example_and_refuses_what_is_wrong(tmp_path: Path) -> None:
    """Would catch: `Any` in the decorator or the context: an editor completes nothing, and a
    misspelt keyword is found at night."""
    assert mypy(EXAMPLE / "assets" / "order_values.py", tmp_path) == ""
    wrong = {
        'owner="sales", ownr="sales"': 'Unexpected keyword argument "ownr"',
        'owner="sales", partition="daily"': 'Argument "partition" to "asset" has incompatible type',
        'owner="sales", checks=[{"not_nul": ["a"]}]': 'Extra key "not_nul"',
        'owner="sales", attempts_max="5"': (
            'Argument "attempts_max" to "asset" has incompatible type'
        ),
    }
    body = "".join(
        f"@asset({arguments})\ndef a{n}(ctx: Context) -> None: ...\n"
        for n, arguments in enumerate(wrong)
    )
    body += (
        "def f(ctx: Context) -> None:\n    ctx.partion\n    ctx.log('x', level='loud')\n   "
        " ctx.start.isoformat()\n"
    )
    file = tmp_path / "wrong.py"
    file.write_text(f"from headrace import Context, asset\n{body}")
    said = mypy(file, tmp_path)
    for message in (
        *wrong.values(),
        '"Context" has no attribute "partion"',
        'Argument "level" to "log"',
        'Item "None" of "datetime | None"',
    ):
        assert message in said, said
