"""Whatever kind of incident or code of a problem Headrace prints, `headrace explain` knows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace
from headrace.incidents.diagnosis import evidence
from headrace.model.causes import CauseKind
from headrace.services.explain import codes, explain

SOURCES = Path(headrace.__file__).parent
_CODE = re.compile(r"[a-z]+(_[a-z0-9]+)+")
INTERNAL = {"throttled_too_long", "lost_worker"}
"""Codes that are kept, and never printed as a problem's."""


def test_every_kind_of_incident_has_a_page() -> None:
    """Would catch: an incident whose kind nobody explains at three in the morning."""
    assert {kind.value for kind in CauseKind} <= set(codes())
    for kind in CauseKind:
        (page,) = explain(kind.value)
        assert "Wrong:" in page.text, kind
        assert "Right:" in page.text, kind
        assert len(page.text.splitlines()) <= 20, kind


@pytest.mark.long
def test_every_code_of_an_error_has_a_page() -> None:
    """Would catch: an attempt's error with a code that `headrace explain` doesn't know."""
    known = {code for path in SOURCES.rglob("*.py") for code in _given(ast.parse(path.read_text()))}
    known |= {code for code in evidence._CODES if code not in INTERNAL}
    assert len(known) > 60
    assert known - set(codes()) == set()


def _given(tree: ast.AST) -> Iterator[str]:
    """What is given as `code=`, to whatever is called."""
    for node in ast.walk(tree):
        for keyword in node.keywords if isinstance(node, ast.Call) else ():
            given = keyword.value
            if (
                keyword.arg == "code"
                and isinstance(given, ast.Constant)
                and _CODE.fullmatch(str(given.value))
            ):
                yield str(given.value)
