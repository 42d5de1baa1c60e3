"""How the functions of commands declare their parameters.

A function's signature is the one declaration of a command: the command line, the HTTP API and
`headrace.Session` read it.

    def retry(session: ProjectSession, target: Annotated[str, Argument("RUN|ASSET[@K]")], *,
              reason: Reason = "", progress: Progress) -> RunResponse: ...

`session` and `progress` come from the caller. All other parameters are the command's own. Numbers
have their limits in `msgspec.Meta`. A parameter that is a struct contributes its fields.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from headrace.model.errors import UsageError
from headrace.project.decoders import are_shared, make_decoders

FROM_THE_CALLER = ("session", "progress")
"""Parameters that aren't part of the command."""


class Argument(NamedTuple):
    """A word by its position. With a list's annotation it takes all remaining words."""

    metavar: str
    help: str = ""
    names: str = ""
    """What it names, for completion, where the metavar doesn't say it: `INC-N`."""


class Option(NamedTuple):
    """A word behind `--name`; a flag if the annotation is bool, repeatable if it is a list."""

    name: str
    short: str = ""
    metavar: str = ""
    help: str = ""
    least: int | None = None
    """The smallest number that is accepted."""
    most: int | None = None
    """The largest number that is accepted."""
    key: str = ""
    """The parameter's name in the API, if it isn't the function's."""


SELECT_HELP = (
    "names, globs, +ancestors, descendants+, @both, tag:, owner:, domain:, source:, path:,"
    " consumer:, state:modified, selector:; `a,b` is what both select"
)
PARTITION_HELP = "only this partition; again for each further one, as a key may have commas"
Selected = Annotated[Sequence[str], Argument("[SELECT]...", SELECT_HELP)]
Window = Annotated[str, Option("--window", metavar="D", help="how far back from now: 7d, 4w (30d)")]
Excluded = Annotated[Sequence[str], Option("--exclude", metavar="SELECT", help="leave these out")]
_REASON = Option("--reason", metavar="TEXT", help="why; recorded in the audit trail")
Reason = Annotated[str | None, _REASON]
RequiredReason = Annotated[str, _REASON]
First = Annotated[
    str | None, Option("--from", metavar="K", help="first partition, included", key="from")
]
Last = Annotated[str | None, Option("--to", metavar="K", help="last partition, included", key="to")]
IncidentId = Annotated[
    str, Argument("ID", help="INC-1, as `headrace incidents` lists it", names="INC-N")
]
RowsMax = Annotated[
    int | None,
    Option("--limit", metavar="N", least=0, help="print at most N rows (a table: 100)"),
]
ParameterValues = Annotated[
    Mapping[str, str] | None,
    Option("--set", metavar="k=v", help="a parameter, for this invocation"),
]
Since = Annotated[
    str | None, Option("--since", metavar="T", help="a time, or back from now: 2d, 6h")
]
Agreed = Annotated[
    str | None,
    Option(
        "--plan",
        metavar="PLAN_ID",
        help="do only this plan, as --dry-run names it; exits 3 if it would be another by now",
    ),
]

# Parameters of functions whose modules take long to import. Commands that call them for one of
# several actions use these, so that their other actions start without those modules.

FirstWrong = Annotated[
    str | None,
    Option("--from", metavar="K", help="the first partition that is wrong", key="from"),
]
LastWrong = Annotated[
    str | None, Option("--to", metavar="K", help="the last one, included (the first)", key="to")
]
Until = Annotated[
    str | None,
    Option("--until", metavar="T", help="when the exception lapses: a time, or `7d` from now"),
]
MutedUntil = Annotated[
    str | None,
    Option("--until", metavar="T", help="a time, or from now: 2h, 3d; then it ends by itself"),
]
Pairs = Annotated[
    Sequence[str],
    Option(
        "--map",
        metavar="COLUMN=NAME",
        help="accept this pair, whatever is proposed",
        key="map",
    ),
]
Conversions = Annotated[
    Sequence[str],
    Option(
        "--convert",
        metavar="EXPRESSION",
        help="what values are computed from, by the delivery's columns: 'amount_cents / 100'",
    ),
]
AsIs = Annotated[bool, Option("--as-is", help="take values that differ as they are")]
WriteContract = Annotated[bool, Option("--write", help="write contracts/SOURCE.odcs.yaml")]
AgreedNames = Annotated[
    str | None,
    Option("--plan", metavar="PLAN_ID", help="only this plan, as --patch names it"),
]


@cache
def command_function(path: str) -> Callable[..., Any]:
    """Return the function `module:name` of `headrace.services`. Its module is imported.

    A function of another package has the whole name of its module.
    """
    module, _, name = path.partition(":")
    home = module if "." in module else f"headrace.services.{module}"
    function: Callable[..., Any] = getattr(import_module(home), name)
    if are_shared():
        make_decoders()
    return function


def description_of(function: Callable[..., Any]) -> str:
    """Return what a command does, for people: its function's docstring up to the errors."""
    return re.split(r"\s+(?=Raise )", inspect.getdoc(function) or "")[0]


class Parameter(NamedTuple):
    """One parameter of a command's function."""

    name: str
    type: Any
    """The annotation without `Argument` or `Option`."""
    declaration: Argument | Option | None
    """How it is typed; None for a parameter that only programs pass."""
    default: Any
    """`inspect.Parameter.empty` if it is required."""

    @property
    def key(self) -> str:
        """The parameter's name in the API."""
        return (self.declaration.key if isinstance(self.declaration, Option) else "") or self.name


@cache
def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Return the command's own parameters, in the order of the signature."""
    hints = get_type_hints(function, include_extras=True)
    return tuple(
        _parameter(parameter, hints[parameter.name])
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in FROM_THE_CALLER
    )


def flattened(function: Callable[..., Any]) -> Iterator[Parameter]:
    """Yield the command's own parameters; a parameter that is a struct contributes its fields.

    A field without a default is typed by its position.
    """
    for item in parameters_of(function):
        if is_struct(item.type):
            yield from map(_field_parameter, msgspec.structs.fields(item.type))
        else:
            yield item


@cache
def takes_progress(function: Callable[..., Any]) -> bool:
    """Return whether a command's function reports how far it is."""
    return "progress" in inspect.signature(function).parameters


def _parameter(parameter: inspect.Parameter, hint: Any) -> Parameter:
    kind, declaration = _type_and_declaration(hint)
    return Parameter(parameter.name, kind, declaration, parameter.default)


def _field_parameter(field: msgspec.structs.FieldInfo) -> Parameter:
    kind, given = _type_and_declaration(field.type)
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    if default is msgspec.NODEFAULT:
        return Parameter(field.name, kind, given or Argument(field.name), inspect.Parameter.empty)
    return Parameter(field.name, kind, given, default)


def _type_and_declaration(hint: Any) -> tuple[Any, Argument | Option | None]:
    """Split an annotation into its type, with limits, and how it is typed."""
    if get_origin(hint) is not Annotated:
        return hint, None
    base, *extras = get_args(hint)
    given = next((extra for extra in extras if isinstance(extra, Argument | Option)), None)
    rest = tuple(extra for extra in extras if extra is not given)
    return Annotated[(base, *rest)] if rest else base, given


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
                factory = field.default_factory
                is_made = factory is not msgspec.NODEFAULT  # such as an empty dict
                default = msgspec.field(default_factory=factory) if is_made else field.default
                fields.append((field.name, field.type, default))
                names[field.name] = field.encode_name
            continue
        required = item.default is inspect.Parameter.empty
        default = msgspec.field(default=msgspec.NODEFAULT if required else item.default)
        fields.append((item.name, item.type, default))
        names[item.name] = item.key
    return msgspec.defstruct(
        f"{function.__module__.rpartition('.')[2]}_{function.__name__}_request",
        fields,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        rename=names,
    )


def checked_request(function: Callable[..., Any], given: Mapping[str, Any]) -> msgspec.Struct:
    """Return a request of the function's `request_type`, for values from a Python program.

    A path may be given as text. Raise UsageError for a value of another type, or beyond a limit.
    """
    kind = request_type(function)
    converted = {}
    for field in msgspec.structs.fields(kind):
        if field.name in given:
            try:
                converted[field.name] = msgspec.convert(
                    given[field.name], field.type, dec_hook=_path_of
                )
            except msgspec.ValidationError as error:
                raise UsageError(
                    f"`{field.name}`: {error}", hint="`help` of the method lists the types"
                ) from None
    return kind(**converted)


def _path_of(kind: type, value: Any) -> Path:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise TypeError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


def call(
    function: Callable[..., Any], session: Any, request: msgspec.Struct, *, progress: Any
) -> Any:
    """Call a command's function with a request of its `request_type`.

    `progress` is left out if the function takes none.
    """
    arguments = {item.name: _value(item, request) for item in parameters_of(function)}
    if takes_progress(function):
        arguments["progress"] = progress
    return function(session, **arguments)


def _value(parameter: Parameter, request: msgspec.Struct) -> Any:
    if not is_struct(parameter.type):
        return getattr(request, parameter.name)
    names = parameter.type.__struct_fields__
    return parameter.type(**{name: getattr(request, name) for name in names})


def is_struct(kind: Any) -> bool:
    """Return whether a parameter of this type contributes its fields."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def split_commas(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the words of texts that may list several, with commas between them."""
    return tuple(word.strip() for text in texts for word in text.split(",") if word.strip())
