"""A Python asset's identity is its own function, what its module says besides, and other assets'
functions that it calls.
"""

from __future__ import annotations

from headrace.model import PythonBody
from headrace.model.assets import read_module
from headrace.model.errors import Report

MODULE = """from headrace import asset

RATE = 2

@asset(owner="o")
def base():
    return [RATE]

@asset(owner="o", description="{description}")
def middle():
    return base() + [{constant}]

@asset(owner="o")
def top():
    return middle()

@asset(owner="o")
def alone():
    return []
"""


def sources(**texts: str) -> dict[str, str]:
    result = {}
    text = MODULE.format(**{"constant": "1", "description": ""} | texts)
    for asset in read_module(text, Report("assets/a.py"))[0]:
        assert isinstance(asset.body, PythonBody)
        result[asset.name] = asset.body.source
    return result


def test_an_asset_that_calls_another_assets_function_changes_with_it() -> None:
    """Would catch: a change of a function that another asset of the same module calls going unseen
    there."""
    before, after = sources(), sources(constant="3")
    assert {name for name in before if before[name] != after[name]} == {"middle", "top"}


def test_what_a_decorator_declares_is_not_code() -> None:
    """Would catch: a new description that makes the callers stale."""
    assert sources() == sources(description="new")
