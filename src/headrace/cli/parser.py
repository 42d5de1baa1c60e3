"""The argument parser of a command, built from its parameters when the command is typed.

docs/decisions/0011-argparse.md says why it uses argparse instead of typer.
"""

from __future__ import annotations

import argparse
import difflib
import enum
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from headrace.cli.command_table import FLAGS, VALUES, Options
from headrace.cli.declared_commands import Command, CommandGroup, Parameter
from headrace.cli.invocation import Invocation
from headrace.model.errors import UsageError
from headrace.project.parameters import Argument, Option

HELP_EPILOG = "Options of every command: headrace --help"
SIMILAR_MIN = 0.75
"""Similarity from which an option is suggested: `--reason` isn't `--json` (0.71)."""


def run_command(name: str, command: Command, arguments: list[str], before: Options) -> int:
    """Parse `arguments`, run the command and return its exit code.

    `before` are the options in front of the command. Raises UsageError for invalid arguments, and
    the errors of the command.
    """
    asks_for_help = _asks_for_help(arguments)
    if isinstance(command, CommandGroup):
        if asks_for_help and not command.actions.keys() & set(arguments):
            sys.stdout.write(_parser(name, command).format_help())
            return 0
        name, command, arguments = command.chosen(name, arguments)
    parser = _parser(name, command)
    if asks_for_help:
        sys.stdout.write(parser.format_help())
        return 0
    values = vars(_parsed(parser, command, arguments))
    options = Options(**{field: values.pop(field) for field in Options._fields})
    typed = name if "" in command.functions else ""
    with Invocation(options.with_defaults(before), typed) as invocation:
        return command.run(invocation, values)


def _parsed(
    parser: argparse.ArgumentParser, command: Command, arguments: list[str]
) -> argparse.Namespace:
    """Parse the words; those behind `--` are values of the argument that takes all words.

    argparse itself takes some of them for options, as in `conformance -- sort --unique`.
    """
    words = [
        item.name
        for item in command.parameters
        if item.many and isinstance(item.declaration, Argument)
    ]
    if "--" not in arguments or not words:
        return parser.parse_intermixed_args(arguments)
    at = arguments.index("--")
    results = parser.parse_intermixed_args(arguments[:at])
    before = getattr(results, words[0]) or []
    setattr(results, words[0], [*before, *arguments[at + 1 :]])
    return results


def _asks_for_help(arguments: list[str]) -> bool:
    option_words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--help" in option_words or "-h" in option_words


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(
            _plain_message(message), hint=f"{_suggestion(self, message)}{self.prog} --help"
        )


def _plain_message(message: str) -> str:
    """Shorten argparse's message: `argument --limit: …` becomes `--limit: …`."""
    plain = message.removeprefix("argument ").replace("unrecognized arguments:", "unknown:")
    return plain.replace("the following arguments are required:", "missing:")


def _suggestion(parser: argparse.ArgumentParser, message: str) -> str:
    unknown = message.rpartition("unrecognized arguments: ")[2].split(" ")[0].partition("=")[0]
    options = [
        flag
        for action in parser._actions
        for flag in action.option_strings
        if flag.startswith("--")
    ]
    if not unknown.startswith("--"):
        return ""
    close = [option for option in options if option.startswith(unknown)]
    close += difflib.get_close_matches(unknown, options, n=1, cutoff=SIMILAR_MIN)
    return f"did you mean {close[0]}? " if close else ""


def _parser(name: str, command: Command) -> argparse.ArgumentParser:
    parameters = command.parameters
    parser = _Parser(
        prog=f"headrace {name}",
        description=command.description,
        epilog=HELP_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=_usage(name, command),
    )
    for parameter in parameters:
        _add_parameter(parser, parameter)
    for option, field in VALUES.items():
        parser.add_argument(option, dest=field, help=argparse.SUPPRESS)
    parser.add_argument(
        "-v", "--verbose", dest="verbose", action="store_true", help=argparse.SUPPRESS
    )
    for option in FLAGS:
        if FLAGS[option] != "verbose":
            parser.add_argument(
                option, dest=FLAGS[option], action="store_true", help=argparse.SUPPRESS
            )
    return parser


def _usage(name: str, command: Command) -> str:
    return f"headrace {name} {words_of(command)} [OPTIONS]".replace("  ", " ")


def words_of(command: Command) -> str:
    """Return the words that are typed after a command's name, as `--help` shows them."""
    words = [
        parameter.declaration.metavar
        for parameter in command.parameters
        if isinstance(parameter.declaration, Argument) and parameter.declaration.metavar
    ]
    if isinstance(command, CommandGroup):
        named = "|".join(
            [*command.actions, *(re.sub(r"^\[(.*)\]$", r"\1", word) for word in words)]
        )
        return f"[{named}]" if command.otherwise else named
    return " ".join(words)


def _add_parameter(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
    help_text = parameter.declaration.help.replace("%", "%%") or (  # argparse formats it
        argparse.SUPPRESS if not parameter.declaration.metavar else None
    )
    if isinstance(parameter.declaration, Argument):
        count = "*" if parameter.many else None if parameter.required else "?"
        parser.add_argument(
            parameter.name,
            nargs=count,
            type=_converter(parameter),
            default=parameter.default,
            metavar=parameter.declaration.metavar or parameter.name,
            help=help_text,
        )
        return
    names = (
        [parameter.declaration.short, parameter.declaration.name]
        if parameter.declaration.short
        else [parameter.declaration.name]
    )
    if parameter.type is bool:
        parser.add_argument(*names, dest=parameter.name, action="store_true", help=help_text)
        return
    if isinstance(parameter.default, int | str):
        help_text = (
            f"{help_text} (default {getattr(parameter.default, 'value', parameter.default)})"
        )
    parser.add_argument(
        *names,
        dest=parameter.name,
        action="append" if parameter.many else "store",
        type=_converter(parameter),
        default=parameter.default,
        required=parameter.required,
        metavar=parameter.declaration.metavar or parameter.declaration.name.lstrip("-").upper(),
        help=help_text,
    )


def _converter(parameter: Parameter) -> Callable[[str], Any]:
    """Return the function that converts a word to the parameter's type.

    It raises ArgumentTypeError, whose message the user sees, for invalid values and those beyond a
    limit.
    """
    declared = parameter.declaration
    least, most = (declared.least, declared.most) if isinstance(declared, Option) else (None, None)

    def convert(text: str) -> Any:
        try:
            value = parameter.type(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r} is no {_kind_text(parameter.type)}"
            ) from None
        if least is not None and value < least:
            raise argparse.ArgumentTypeError(f"{text[:40]} is less than {least}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{text[:40]} is more than {most}")
        return value

    return convert


def _kind_text(kind: type) -> str:
    if issubclass(kind, enum.Enum):
        return " or ".join(str(item.value) for item in kind)
    return "number" if kind is int else kind.__name__
