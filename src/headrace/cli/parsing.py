"""A command's function as a parser of its line: its parameters are its arguments and options.

    def command(invocation: Invocation, run: Annotated[str | None, Argument("[RUN]")] = None,
                limit: Annotated[int, Option("--limit", metavar="N", least=1)] = 20) -> int: ...

Why argparse and not typer: docs/decisions/0011-argparse.md.
"""

from __future__ import annotations

import argparse
import difflib
import enum
import inspect
import re
import sys
import types
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, NoReturn, Union, get_args, get_origin

from headrace.cli.invocation import Invocation
from headrace.cli.options import FLAGS, VALUES, Options
from headrace.model.errors import UsageError

MORE = "Options of every command: headrace --help"


class Argument(NamedTuple):
    """A word by its place. With a list's annotation it takes all that are left."""

    metavar: str
    help: str = ""


class Option(NamedTuple):
    """A word behind `--name`; a flag where the annotation is bool, given more than once where it is a list."""

    name: str
    short: str = ""
    metavar: str = ""
    help: str = ""
    least: int | None = None
    """The smallest number that is taken."""


Selection = Annotated[
    list[str] | None,
    Argument("[SELECT]...", "names, globs, +ancestors, descendants+, tag:, owner:, domain:, source:, path:, consumer:"),
]
Select = Annotated[list[str] | None, Option("--select", "-s", metavar="SELECT", help="the same as SELECT")]
Exclude = Annotated[list[str] | None, Option("--exclude", metavar="SELECT", help="leave these out")]
ExitCode = Annotated[bool, Option("--exit-code", help="exit 1 where there is something to see to")]


class Parameter(NamedTuple):
    """One parameter of a command's function, as its signature says."""

    name: str
    said: Argument | Option
    type: type
    many: bool
    required: bool
    default: Any


def run(name: str, function: Callable[..., int], arguments: list[str], before: Options) -> int:
    """Parses `arguments` for the command and calls its function; gives the exit code.

    Raises UsageError for a line that can't be parsed, and what the function raises.
    """
    own = parameters(function)
    parser = _parser(name, function, own)
    if _asks_for_help(arguments):
        sys.stdout.write(parser.format_help())
        return 0
    values = vars(parser.parse_intermixed_args(arguments))
    options = Options(**{field: values.pop(field) for field in Options._fields})
    with Invocation(options.over(before)) as invocation:
        return function(invocation, **values)


def parameters(function: Callable[..., int]) -> list[Parameter]:
    """The arguments and options of a command's function: all of its parameters but the first."""
    signature = inspect.signature(function, eval_str=True)
    return [_parameter(parameter) for parameter in list(signature.parameters.values())[1:]]


def _parameter(parameter: inspect.Parameter) -> Parameter:
    annotation, said = get_args(parameter.annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(arg for arg in get_args(annotation) if arg is not types.NoneType)
    many = get_origin(annotation) is list
    required = parameter.default is inspect.Parameter.empty
    return Parameter(
        parameter.name, said, get_args(annotation)[0] if many else annotation, many, required, None if required else parameter.default
    )


def _asks_for_help(arguments: list[str]) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--help" in own or "-h" in own


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(_plain(message), hint=f"{_meant(self, message)}{self.prog} --help")


def _plain(message: str) -> str:
    """argparse's message in the words of the rest: `argument --limit: …` as `--limit: …`."""
    plain = message.removeprefix("argument ").replace("unrecognized arguments:", "unknown:")
    return plain.replace("the following arguments are required:", "missing:")


def _meant(parser: argparse.ArgumentParser, message: str) -> str:
    unknown = message.rpartition("unrecognized arguments: ")[2].split(" ")[0].partition("=")[0]
    options = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    close = difflib.get_close_matches(unknown, options, n=1) if unknown.startswith("--") else []
    return f"did you mean {close[0]}? " if close else ""


def _parser(name: str, function: Callable[..., int], parameters: list[Parameter]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"headrace {name}", description=inspect.getdoc(function), epilog=MORE, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter, usage=_usage(name, parameters),
    )  # fmt: skip
    for parameter in parameters:
        _add(parser, parameter)
    for option, field in VALUES.items():
        parser.add_argument(option, dest=field, help=argparse.SUPPRESS)
    parser.add_argument("-v", "--verbose", dest="verbose", action="store_true", help=argparse.SUPPRESS)
    for option in FLAGS:
        if FLAGS[option] != "verbose":
            parser.add_argument(option, dest=FLAGS[option], action="store_true", help=argparse.SUPPRESS)
    return parser


def _usage(name: str, parameters: list[Parameter]) -> str:
    words = " ".join(parameter.said.metavar for parameter in parameters if isinstance(parameter.said, Argument) and parameter.said.metavar)
    return f"headrace {name} {words} [OPTIONS]".replace("  ", " ")


def _add(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
    shown = parameter.said.help or (argparse.SUPPRESS if not parameter.said.metavar else None)
    if isinstance(parameter.said, Argument):
        count = "*" if parameter.many else None if parameter.required else "?"
        parser.add_argument(
            parameter.name,
            nargs=count,
            type=_converter(parameter),
            default=parameter.default,
            metavar=parameter.said.metavar or parameter.name,
            help=shown,
        )
        return
    names = [parameter.said.short, parameter.said.name] if parameter.said.short else [parameter.said.name]
    if parameter.type is bool:
        parser.add_argument(*names, dest=parameter.name, action="store_true", help=shown)
        return
    if isinstance(parameter.default, int | str):
        shown = f"{shown} (default {getattr(parameter.default, 'value', parameter.default)})"
    parser.add_argument(
        *names, dest=parameter.name, action="append" if parameter.many else "store", type=_converter(parameter), default=parameter.default,
        required=parameter.required, metavar=parameter.said.metavar or parameter.said.name.lstrip("-").upper(), help=shown,
    )  # fmt: skip


def _converter(parameter: Parameter) -> Callable[[str], Any]:
    """How a word becomes a value; ValueError's message is what a person reads."""
    least = parameter.said.least if isinstance(parameter.said, Option) else None

    def convert(text: str) -> Any:
        try:
            value = parameter.type(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no {_kind(parameter.type)}") from None
        if least is not None and value < least:
            raise argparse.ArgumentTypeError(f"{text[:40]} is less than {least}")
        return value

    return convert


def _kind(kind: type) -> str:
    if issubclass(kind, enum.Enum):
        return " or ".join(str(item.value) for item in kind)
    return "number" if kind is int else kind.__name__


def actions_of(function: Callable[..., int]) -> tuple[list[str], bool]:
    """What a command can be told to do: the small words of its first argument, and whether something else can stand there, too."""
    text = next((parameter.said.metavar for parameter in parameters(function) if isinstance(parameter.said, Argument)), "")
    return re.findall(r"\b[a-z]+\b", text), re.search("[A-Z]", text) is not None


def options_of(function: Callable[..., int]) -> list[str]:
    """The names of a command's own options, for completion."""
    return [parameter.said.name for parameter in parameters(function) if isinstance(parameter.said, Option)]
