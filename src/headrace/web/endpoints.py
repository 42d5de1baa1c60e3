"""An endpoint as a value: its path, what may be asked, the document that it gives, and who makes that.

The types are those of the function's annotations; the router and the OpenAPI document both read them here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast, get_type_hints

import msgspec

PREFIX = "/api/v1"


class Endpoint:
    """`make(session, asked)` gives a document; of an act, `make(session, asked, progress)` does it first."""

    def __init__(self, path: str, make: Callable[..., Any]) -> None:
        self.path, self.make = PREFIX + path, make

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.make)

    @property
    def response(self) -> Any:
        """The type of what it gives."""
        return self._hints["return"]

    @property
    def asked(self) -> type[msgspec.Struct]:
        """The struct of what may be asked: what the function takes after the session."""
        _, kind, *_ = self._hints.values()
        return cast("type[msgspec.Struct]", kind)

    @property
    def said(self) -> str:
        """What it is, in a sentence or two."""
        return inspect.getdoc(self.make) or ""

    @property
    def name(self) -> str:
        """Unique, for clients that are generated."""
        return self.make.__name__


class Get(Endpoint):
    """A document that is looked at. `of_files`: it is made of files too, which change without the state's knowing."""

    def __init__(self, path: str, make: Callable[..., Any], *, of_files: bool = False) -> None:
        super().__init__(path, make)
        self.of_files = of_files


class Post(Endpoint):
    """An act."""
