"""Secrets of a factory that are named as its authors name them."""

from __future__ import annotations

from pathlib import Path

import pytest
from adf_factories import activity, basics, imported, pipeline


@pytest.mark.parametrize(("name", "value"), [("dbPassword", "monkey"), ("apiKey", "P@ssw0rd1")])
def test_a_secret_with_a_name_of_its_own_is_listed(tmp_path: Path, name: str, value: str) -> None:
    """Would catch: a password that begins like an expression, or whose name has a prefix."""
    root = tmp_path / "factory"
    basics(root)
    web = activity(
        "Ask", "WebActivity", settings={"url": "https://x", "method": "POST", "body": {name: value}}
    )
    pipeline(root, "p", [web])
    project = imported(root, tmp_path / "new")
    assert [found.name for found in project.secrets] == [f"p.{name}"]
    assert value not in repr(project)
