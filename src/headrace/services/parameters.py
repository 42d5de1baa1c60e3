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


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """Return the command's own parameters, in the order of the signature."""
    hints = get_type_hints(function, include_extras=True)
    return [
        _parameter(parameter, hints[parameter.name])
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in FROM_THE_CALLER
    ]


def _parameter(parameter: inspect.Parameter, hint: Any) -> Parameter:
    given = None
    if get_origin(hint) is Annotated:
        base, *extras = get_args(hint)
        given = next((extra for extra in extras if isinstance(extra, Argument | Option)), None)
        rest = tuple(extra for extra in extras if extra is not given)
        hint = Annotated[(base, *rest)] if rest else base
    return Parameter(parameter.name, hint, given, parameter.default)


def request_type(function: Callable[..., Any]) -> type[msgspec.Struct]:
    """Return the struct of a command's parameters, which checks the requests of the API.

    A parameter that is a struct itself contributes its fields.
    """
    fields: list[Any] = []
    names: dict[str, str] = {}
    for item in parameters_of(function):
        if _is_struct(item.type):
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


def call(function: Callable[..., Any], session: Any, request: msgspec.Struct, **caller: Any) -> Any:
    """Call a command's function with a request of its `request_type`.

    `caller` has the `progress`; it is left out if the function takes none.
    """
    given = {item.name: _value(item, request) for item in parameters_of(function)}
    names = inspect.signature(function).parameters
    return function(session, **given, **{key: caller[key] for key in caller if key in names})


def _value(parameter: Parameter, request: msgspec.Struct) -> Any:
    if not _is_struct(parameter.type):
        return getattr(request, parameter.name)
    fields = msgspec.structs.fields(parameter.type)
    return parameter.type(**{field.name: getattr(request, field.name) for field in fields})


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
