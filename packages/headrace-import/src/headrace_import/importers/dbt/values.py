"""Values of the static evaluator that aren't plain Python values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes

from headrace.model.fields import SQL_KEYWORDS

SELF = "$self"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def sql_name(name: str) -> str:
    """Return a name for SQL, quoted where it must be."""
    if _PLAIN.fullmatch(name) and name.lower() not in SQL_KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Relation:
    """A table: what `ref`, `source` and `this` return."""

    id: str
    """The unique id of the node; empty for `this`."""
    name: str
    """Its name in the new project."""

    def __str__(self) -> str:
        return SELF if self.name == SELF else sql_name(self.name)


@dataclass(frozen=True, slots=True)
class Star:
    """What `dbt_utils.star` gives. It can only be written: its text isn't dbt's list of columns."""

    mark: str

    def __str__(self) -> str:
        return self.mark


@dataclass(frozen=True, slots=True)
class Template:
    """A macro of the project, with its package."""

    id: str
    node: nodes.Macro
    package: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function that dbt or Jinja offers; `call` gets the evaluated arguments."""

    name: str
    call: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Configuration(Function):
    """`config`: a function that has functions of its own, such as `config.get`."""

    members: dict[str, Function]


@dataclass(frozen=True, slots=True)
class Namespace:
    """`dbt_utils`, `adapter`, `target`…: attributes by name."""

    name: str
    members: dict[str, Any]


class Missing:
    """A name that isn't defined: false in a test, an error anywhere else."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __bool__(self) -> bool:
        return False
