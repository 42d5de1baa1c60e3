"""Usual ranges as charts draw them."""

from __future__ import annotations

import math

import pytest

from headrace_ui.views.usual_values import UsualRange, natural_range


@pytest.mark.parametrize(
    ("family", "stored", "drawn"),
    [
        ("nulls", (-0.2, 1.3), (0.0, 1.0)),
        ("nulls", (0.1, 0.4), (0.1, 0.4)),
        ("rows", (math.log(51), math.log(201)), (50.0, 200.0)),
    ],
)
def test_a_usual_share_is_between_none_and_all(
    family: str, stored: tuple[float, float], drawn: tuple[float, float]
) -> None:
    """Would catch: a chart on which up to 130 % of the values are usually negative."""
    assert natural_range(family, UsualRange(*stored)) == pytest.approx(drawn)
