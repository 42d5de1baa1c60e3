"""What a request's wrong parameters are told: which one, what was given, what is allowed."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import pytest

from headrace.web.http import HttpProblem, converted_parameters


class Colour(enum.StrEnum):
    RED, BLUE = "red", "blue"


class Parameters(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    days: Annotated[int, msgspec.Meta(ge=1, le=7)] = 1
    first: Annotated[int, msgspec.Meta(ge=0)] | None = None
    colour: Colour = Colour.RED
    since: dt.date | None = None
    every: bool = False
    columns: Sequence[str] = ()
    values: Mapping[str, str] = {}


@pytest.mark.parametrize(
    ("given", "strict", "detail"),
    [
        ({}, False, "`name` is missing: it is text"),
        ({"day": "1", "name": "a"}, False, "there is no parameter `day`"),
        ({"days": "0"}, False, "`days` can't be '0': it is a whole number from 1 to 7"),
        ({"days": 8}, True, "`days` can't be '8': it is a whole number from 1 to 7"),
        ({"days": None}, True, "`days` can't be null: it is a whole number from 1 to 7"),
        ({"first": "-1"}, False, "`first` can't be '-1': it is a whole number of at least 0"),
        ({"colour": "green"}, False, "`colour` can't be 'green': it is red or blue"),
        ({"since": "today"}, False, "`since` can't be 'today': it is a date such as 2025-03-31"),
        ({"every": "x" * 99}, False, f"`every` can't be '{'x' * 60}…': it is true or false"),
        ({"columns": "secret"}, True, "`columns` is of another kind: it is a list of texts"),
        ({"values": 1}, True, "`values` can't be '1': it is an object of names with values"),
    ],
)
def test_refusals(given: Mapping[str, Any], strict: bool, detail: str) -> None:
    """Would catch: a library's words, a refusal without what is allowed, and text of a body, which
    may be a password, in it.
    """
    values = given if not given or "name" in given else {"name": "a", **given}
    with pytest.raises(HttpProblem) as refused:
        converted_parameters(values, Parameters, strict=strict)
    assert refused.value.detail == detail
