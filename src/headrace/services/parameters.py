"""How the functions of commands declare their parameters.

A function's signature is the one declaration of a command: the command line, the HTTP API and
`headrace.Session` read it.

    def retry(session: ProjectSession, target: Annotated[str, Argument("RUN|ASSET[@K]")], *,
              reason: Reason = "", progress: Progress) -> RunResponse: ...

`session` and `progress` come from the caller. All other parameters are the command's own. Numbers
have their limits in `msgspec.Meta`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

FROM_THE_CALLER = ("session", "progress")
"""Parameters that aren't part of the command."""


class Argument(NamedTuple):
    """A word by its position. With a list's annotation it takes all remaining words."""

    metavar: str
    help: str = ""


class Option(NamedTuple):
    """A word behind `--name`; a flag if the annotation is bool, repeatable if it is a list."""

    name: str
    short: str = ""
    metavar: str = ""
    help: str = ""
    least: int | None = None
    """The smallest number that is accepted."""
    key: str = ""
    """The parameter's name in the API, if it isn't the function's."""


SELECT_HELP = (
    "names, globs, +ancestors, descendants+, tag:, owner:, domain:, source:, path:, consumer:"
)
Selected = Annotated[Sequence[str], Argument("[SELECT]...", SELECT_HELP)]
Excluded = Annotated[Sequence[str], Option("--exclude", metavar="SELECT", help="leave these out")]
Reason = Annotated[str | None, Option("--reason", metavar="TEXT", help="kept in the audit trail")]
RequiredReason = Annotated[str, Option("--reason", metavar="TEXT", help="kept in the audit trail")]
First = Annotated[
    str | None, Option("--from", metavar="K", help="first partition, included", key="from")
]
Last = Annotated[str | None, Option("--to", metavar="K", help="last partition, included", key="to")]


@cache
def command_function(path: str) -> Callable[..., Any]:
    """Return the function `module:name` of `headrace.services`. Its module is imported."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"headrace.services.{module}"), name)
    return function


def description_of(function: Callable[..., Any]) -> str:
    """Return what a command does, for people: its function's docstring up to the errors."""
    return re.split(r"\s+(?=Raise )", inspect.getdoc(function) or "")[0]


class Parameter(NamedTuple):
    """One parameter of a command's function."""

    name: str
    type: Any
    """The annotation without `Argument` or `Option`."""
    given: Argument | Option | None
    """How it is typed; None for a parameter that only programs pass."""
    default: Any
    """`inspect.Parameter.empty` if it is required."""

    @property
    def key(self) -> str:
        """The parameter's name in the API."""
        return (self.given.key if isinstance(self.given, Option) else "") or self.name


@cache
def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Return the command's own parameters, in the order of the signature."""
    hints = get_type_hints(function, include_extras=True)
    return tuple(
        _parameter(parameter, hints[parameter.name])
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in FROM_THE_CALLER
    )


@cache
def takes_progress(function: Callable[..., Any]) -> bool:
    """Return whether a command's function reports how far it is."""
    return "progress" in inspect.signature(function).parameters


def _parameter(parameter: inspect.Parameter, hint: Any) -> Parameter:
    given = None
    if get_origin(hint) is Annotated:
        base, *extras = get_args(hint)
        given = next((extra for extra in extras if isinstance(extra, Argument | Option)), None)
        rest = tuple(extra for extra in extras if extra is not given)
        hint = Annotated[(base, *rest)] if rest else base
    return Parameter(parameter.name, hint, given, parameter.default)


@cache
def request_type(function: Callable[..., Any]) -> type[msgspec.Struct]:
    """Return the struct of a command's parameters, which checks the requests of the API.

    A parameter that is a struct itself contributes its fields.
    """
    fields: list[Any] = []
    names: dict[str, str] = {}
    for item in parameters_of(function):
        if is_struct(item.type):
            for field in msgspec.structs.fields(item.type):
                fields.append((field.name, field.type, field.default))
                names[field.name] = field.encode_name
            continue
        required = item.default is inspect.Parameter.empty
        default = msgspec.NODEFAULT if required else item.default
        fields.append((item.name, item.type, msgspec.field(default=default)))
        names[item.name] = item.key
    return msgspec.defstruct(
        f"{function.__module__.rpartition('.')[2]}_{function.__name__}_request",
        fields,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        rename=names,
    )


def call(
    function: Callable[..., Any], session: Any, request: msgspec.Struct, *, progress: Any
) -> Any:
    """Call a command's function with a request of its `request_type`.

    `progress` is left out if the function takes none.
    """
    given = {item.name: _value(item, request) for item in parameters_of(function)}
    if takes_progress(function):
        given["progress"] = progress
    return function(session, **given)


def _value(parameter: Parameter, request: msgspec.Struct) -> Any:
    if not is_struct(parameter.type):
        return getattr(request, parameter.name)
    names = parameter.type.__struct_fields__
    return parameter.type(**{name: getattr(request, name) for name in names})


def is_struct(kind: Any) -> bool:
    """Return whether a parameter of this type contributes its fields."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
