"""`headrace.extension`: the names that other packages import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from headrace import extension


def test_types_are_those_of_the_names() -> None:
    """Would catch: a name that type checkers know and Python doesn't, or from another module."""
    stub = ast.parse(Path(extension.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    typed = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == extension._HOMES


@pytest.mark.parametrize("name", extension._HOMES)
def test_a_name_is_there(name: str) -> None:
    """Would catch: a module that moved, after which every package that needs it breaks."""
    assert getattr(extension, name).__doc__


def test_another_name_is_no_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'stand'"):
        _ = extension.stand
