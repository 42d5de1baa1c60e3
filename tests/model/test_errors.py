"""The first line of an error: some say nothing at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import headrace
from headrace.model.errors import first_line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(), "OSError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("\n\n"), "ValueError"),
        (ValueError("\na\nb"), "a"),
    ],
)
def test_an_error_without_text_is_named(error: BaseException, said: str) -> None:
    """Would catch: a message about an error that fails itself, with an IndexError, where the error
    says nothing."""
    assert first_line(error) == said


def test_nothing_takes_the_first_line_of_an_error_unguarded() -> None:
    """Would catch: `str(error).splitlines()[0]`, which fails for an error without text."""
    root = Path(headrace.__file__).parent
    result = [
        path
        for path in root.rglob("*.py")
        if re.search(r"str\(\w+\)(\.strip\(\))?\.splitlines\(\)\[0\]", path.read_text("utf-8"))
    ]
    assert result == []
