"""`--set k=v`, as commands take it."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.parsing import Option
from headrace.model.errors import UsageError

Set = Annotated[list[str] | None, Option("--set", metavar="k=v", help="a parameter, for this invocation")]


def parameters(settings: list[str] | None) -> dict[str, str]:
    """`k=v` words as a mapping. UsageError for a word that is none."""
    results: dict[str, str] = {}
    for text in settings or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text!r} is no parameter", hint="write --set name=value")
        results[name.strip()] = value
    return results
