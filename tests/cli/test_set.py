"""`--set k=v`: typed like the default, where nothing is published; refused where something would
be.
"""

from __future__ import annotations

import pytest
from clilab import Project

from headrace.model import UsageError
from headrace.services.render import typed


@pytest.mark.long
def test_render_and_try_take_it_and_run_refuses_it(shop: Project) -> None:
    """A publication computed with other parameters than the applied ones would be taken for one of
    theirs."""
    path = shop.root / "assets/revenue.sql"
    path.write_text(
        path.read_text().replace(
            "count(*) as orders", "count(*) filter (amount > $threshold) as orders"
        )
    )
    assert (
        shop.json("render", "revenue@2025-03-01", "--set", "threshold=6")["parameters"]["threshold"]
        == 6
    )
    assert shop.json("try", "revenue@2025-03-01", "--set", "threshold=6")["rows"][0]["orders"] == 2
    assert shop.json("try", "revenue@2025-03-01")["rows"][0]["orders"] == 1
    assert "headrace try" in shop.refused("run", "revenue", "--set", "threshold=6", code=3)
    assert "did you mean `threshold`?" in shop.refused("render", "revenue", "--set", "treshold=6")
    assert "no parameter" in shop.refused("render", "revenue", "--set", "threshold")


@pytest.mark.parametrize(
    ("text", "default", "value"),
    [
        ("15", 1, 15),
        ("1.5", 1, 1.5),
        ("1", 1.0, 1.0),
        ("true", False, True),
        ("False", True, False),
        ("15", "x", "15"),
        ("a,b", ["x"], ["a", "b"]),
        ("1, 2", [7], [1, 2]),
        ('["a,b", "c"]', ["x"], ["a,b", "c"]),
        ("", ["x"], []),
        ("true", "x", "true"),
    ],
)
def test_a_word_becomes_a_value_of_the_defaults_type(
    text: str, default: object, value: object
) -> None:
    result = typed("p", text, default)
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "default"),
    [("x", 1), ("x", 1.0), ("yes", True), ("1", True), ('["a"', ["x"]), ("a", [1]), ("true", 1)],
)
def test_a_word_that_is_none_is_refused(text: str, default: object) -> None:
    with pytest.raises(UsageError):
        typed("p", text, default)
