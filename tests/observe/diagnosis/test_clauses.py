"""What is said of a cause in one clause: readable, and without values of cells."""

from __future__ import annotations

import pytest

from headrace.observe.diagnosis.wording import without_quotes


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("a.csv can't be written: exports isn't there", "a.csv can't be written: exports isn't there"),
        ("'O'Brien' can't be cast", "… can't be cast"),
        ("column 'age' holds \"forty\"", "column … holds …"),
    ],
)
def test_only_what_is_quoted_is_left_out(said: str, told: str) -> None:
    """Would catch: apostrophes taken for quotes, so that half of a sentence is missing; a cell's value that goes out in a message."""
    assert without_quotes(said) == told
