"""One typed command: its options and session, and the parser that calls its function.

Most commands are a `ServiceCommand`: the function in `headrace.services` declares the arguments
and options. A command with actions or questions is a function of its own with such parameters:

    def command(invocation: Invocation, run: Annotated[str | None, Argument("[RUN]")] = None,
                limit: Annotated[int, Option("--limit", metavar="N", least=1)] = 20) -> int: ...

Why argparse and not typer: docs/decisions/0011-argparse.md.
"""

from __future__ import annotations

import argparse
import difflib
import enum
import inspect
import os
import re
import shlex
import sys
import types
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NamedTuple,
    NoReturn,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import msgspec

from headrace.cli.command_table import FLAGS, VALUES, Options
from headrace.cli.output import CommandOutput, TimeFormatter
from headrace.cli.terminal import Screen, clean
from headrace.model.errors import HeadraceError, UsageError
from headrace.services import parameters as service_parameters
from headrace.services.local_actor import local_actor
from headrace.services.parameters import SELECT_HELP, Argument, Option

if TYPE_CHECKING:
    from headrace.cli.progress import Bar, LineProgress
    from headrace.services.session import ProjectSession


# The session is opened on first use: a command without a project doesn't pay for it.

D = TypeVar("D")


class Invocation:
    """What a command's `command` is handed first."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.screen = Screen(no_color=options.no_color)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        opened = self.__dict__.get("session")
        if opened is not None:
            opened.close()

    @cached_property
    def session(self) -> ProjectSession:
        """The project that the command is about. ProjectError where there is none."""
        from headrace.services.session import (
            ProjectSession,
        )  # commands without a project don't pay for it

        folder = Path(self.options.project) if self.options.project else None
        env = self.options.env or os.environ.get("HEADRACE_ENV") or "prod"
        return ProjectSession.open(folder, env, self.options.now, local_actor())

    @cached_property
    def reader(self) -> TimeFormatter:
        """Where the project's clock stands."""
        session = self.session
        return TimeFormatter.at(
            session.now(), session.timezone, replay=session.replay, utc=self.options.utc
        )

    def show(
        self, response: D, render: Callable[[D, CommandOutput], None], *, clock: bool = True
    ) -> None:
        """Prints the document as JSON, or hands it to `render` for people. Without `clock` the page
        has no times, and only a replay's clock is said."""
        if self.options.json:
            self.json(response)
            return
        page = CommandOutput(self.screen, self.reader if clock else None, self.suffix)
        if not clock and (text := self._replay_clock()):
            page.say(text, "dim")
        render(response, page)

    def _replay_clock(self) -> str:
        """Where a replay's clock stands; nothing for a live store, none, or one that
        can't be used.
        """
        opened: ProjectSession | None = self.__dict__.get("session")
        try:
            return self.reader.clock() if opened is not None and opened.replay else ""
        except HeadraceError:
            return ""

    def json(self, response: Any) -> None:
        """The document, and nothing else, on standard output; a replay's clock beside it, where it
        doesn't say it.
        """
        from headrace.services.responses.base import encoded  # who prints a page doesn't pay for it

        sys.stdout.write(encoded(response).decode() + "\n")
        if not hasattr(response, "clock") and (text := self._replay_clock()):
            self.note(text)

    def note(self, text: str) -> None:
        """Something beside the document, to standard error."""
        Screen(sys.stderr, no_color=self.options.no_color).line(clean(text))

    def progress(self) -> LineProgress | Bar:
        """Shows how far a long operation is."""
        from headrace.cli.progress import progress

        return progress(no_color=self.options.no_color)

    @property
    def suffix(self) -> str:
        """What a printed command needs so that it runs from this folder as it stands."""
        said = {"--project": self.options.project, "--env": self.options.env}
        return "".join(f" {option} {shlex.quote(value)}" for option, value in said.items() if value)


HELP_EPILOG = "Options of every command: headrace --help"


Selection = Annotated[
    list[str] | None,
    Argument(
        "[SELECT]...",
        SELECT_HELP,
    ),
]
Select = Annotated[
    list[str] | None, Option("--select", "-s", metavar="SELECT", help="the same as SELECT")
]
Exclude = Annotated[list[str] | None, Option("--exclude", metavar="SELECT", help="leave these out")]
ExitCode = Annotated[bool, Option("--exit-code", help="exit 1 where there is something to see to")]


class ServiceCommand:
    """A command that calls one function of `headrace.services` and renders its response."""

    def __init__(
        self,
        function: str,
        render: Callable[[Any, CommandOutput], None],
        *,
        exit_code: Callable[[Any], int] = lambda _: 0,
        clock: bool = True,
    ) -> None:
        self._function, self._render = function, render
        self._exit_code, self._clock = exit_code, clock

    @property
    def function(self) -> Callable[..., Any]:
        """The function; its module is imported on first use."""
        return service_parameters.command_function(self._function)

    def __call__(self, invocation: Invocation, **values: Any) -> int:
        """Call the function, print its response, and return the exit code."""
        if "select" in values:
            values["select"] = [*(values["select"] or []), *(values.pop(SELECT_OPTION) or [])]
        given = {
            item.name: _given(item, values[item.name])
            for item in service_parameters.parameters_of(self.function)
        }
        if service_parameters.takes_progress(self.function):
            given["progress"] = invocation.progress()
        response = self.function(invocation.session, **given)
        invocation.show(response, self._render, clock=self._clock)
        return self._exit_code(response)


SELECT_OPTION = "select_option"
"""Where the parser keeps the values of `--select`, which are added to the words of `[SELECT]`."""


def _given(parameter: service_parameters.Parameter, value: Any) -> Any:
    """The parsed value; for an option that wasn't typed, the function's default.

    A text without a default is empty then: the function says why it needs it.
    """
    if value is not None:
        return value
    return "" if parameter.default is inspect.Parameter.empty else parameter.default


class Parameter(NamedTuple):
    """One parameter of a command's function, as its signature says."""

    name: str
    said: Argument | Option
    type: type
    many: bool
    required: bool
    default: Any


def run_command(
    name: str, function: Callable[..., int], arguments: list[str], before: Options
) -> int:
    """Parses `arguments` for the command and calls its function; gives the exit code.

    Raises UsageError for a line that can't be parsed, and what the function raises.
    """
    own = parameters_of(function)
    parser = _parser(name, function, own)
    if _asks_for_help(arguments):
        sys.stdout.write(parser.format_help())
        return 0
    values = vars(parser.parse_intermixed_args(arguments))
    options = Options(**{field: values.pop(field) for field in Options._fields})
    with Invocation(options.over(before)) as invocation:
        return function(invocation, **values)


def parameters_of(function: Callable[..., int]) -> list[Parameter]:
    """The arguments and options of a command's function: all of its parameters but the first."""
    if isinstance(function, ServiceCommand):
        return list(_service_parameters(function.function))
    signature = inspect.signature(function, eval_str=True)
    return [_parameter(parameter) for parameter in list(signature.parameters.values())[1:]]


def _service_parameters(function: Callable[..., Any]) -> Iterator[Parameter]:
    """Those that can be typed, of a function of `headrace.services`."""
    for item in service_parameters.parameters_of(function):
        if item.given is None:
            continue
        kind, least = item.type, None
        if get_origin(kind) is Annotated:
            kind, *limits = get_args(kind)
            least = next((limit.ge for limit in limits if isinstance(limit, msgspec.Meta)), None)
        if get_origin(kind) in (Union, types.UnionType):
            kind = next(arg for arg in get_args(kind) if arg is not types.NoneType)
        many = get_origin(kind) is not None
        given = item.given
        if isinstance(given, Option) and least is not None:
            given = given._replace(least=int(least))
        missing = item.default is inspect.Parameter.empty
        required = missing and isinstance(given, Argument) and not many
        default = None if missing or many else item.default
        yield Parameter(
            item.name, given, get_args(kind)[0] if many else kind, many, required, default
        )
        if item.name == "select":
            also = Option("--select", "-s", metavar="SELECT", help="the same as SELECT")
            yield Parameter(SELECT_OPTION, also, str, True, False, None)


def _help_of(function: Callable[..., int]) -> str:
    if isinstance(function, ServiceCommand):
        return service_parameters.description_of(function.function)
    return inspect.getdoc(function) or ""


def _parameter(parameter: inspect.Parameter) -> Parameter:
    annotation, said = get_args(parameter.annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(arg for arg in get_args(annotation) if arg is not types.NoneType)
    many = get_origin(annotation) is list
    required = parameter.default is inspect.Parameter.empty
    return Parameter(
        parameter.name,
        said,
        get_args(annotation)[0] if many else annotation,
        many,
        required,
        None if required else parameter.default,
    )


def _asks_for_help(arguments: list[str]) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--help" in own or "-h" in own


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(
            _plain_message(message), hint=f"{_suggestion(self, message)}{self.prog} --help"
        )


def _plain_message(message: str) -> str:
    """argparse's message in the words of the rest: `argument --limit: …` as `--limit: …`."""
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
    close = difflib.get_close_matches(unknown, options, n=1) if unknown.startswith("--") else []
    return f"did you mean {close[0]}? " if close else ""


def _parser(
    name: str, function: Callable[..., int], parameters: list[Parameter]
) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"headrace {name}",
        description=_help_of(function),
        epilog=HELP_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=_usage(name, parameters),
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


def _usage(name: str, parameters: list[Parameter]) -> str:
    words = " ".join(
        parameter.said.metavar
        for parameter in parameters
        if isinstance(parameter.said, Argument) and parameter.said.metavar
    )
    return f"headrace {name} {words} [OPTIONS]".replace("  ", " ")


def _add_parameter(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
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
    names = (
        [parameter.said.short, parameter.said.name]
        if parameter.said.short
        else [parameter.said.name]
    )
    if parameter.type is bool:
        parser.add_argument(*names, dest=parameter.name, action="store_true", help=shown)
        return
    if isinstance(parameter.default, int | str):
        shown = f"{shown} (default {getattr(parameter.default, 'value', parameter.default)})"
    parser.add_argument(
        *names,
        dest=parameter.name,
        action="append" if parameter.many else "store",
        type=_converter(parameter),
        default=parameter.default,
        required=parameter.required,
        metavar=parameter.said.metavar or parameter.said.name.lstrip("-").upper(),
        help=shown,
    )


def _converter(parameter: Parameter) -> Callable[[str], Any]:
    """How a word becomes a value; ValueError's message is what a person reads."""
    least = parameter.said.least if isinstance(parameter.said, Option) else None

    def convert(text: str) -> Any:
        try:
            value = parameter.type(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r} is no {_kind_text(parameter.type)}"
            ) from None
        if least is not None and value < least:
            raise argparse.ArgumentTypeError(f"{text[:40]} is less than {least}")
        return value

    return convert


def _kind_text(kind: type) -> str:
    if issubclass(kind, enum.Enum):
        return " or ".join(str(item.value) for item in kind)
    return "number" if kind is int else kind.__name__


def actions_of(function: Callable[..., int]) -> tuple[list[str], bool]:
    """What a command can be told to do: the small words of its first argument, and whether
    something else can stand there, too.
    """
    text = next(
        (
            parameter.said.metavar
            for parameter in parameters_of(function)
            if isinstance(parameter.said, Argument)
        ),
        "",
    )
    return re.findall(r"\b[a-z]+\b", text), re.search("[A-Z]", text) is not None


def options_of(function: Callable[..., int]) -> list[str]:
    """The names of a command's own options, for completion."""
    return [
        parameter.said.name
        for parameter in parameters_of(function)
        if isinstance(parameter.said, Option)
    ]


# `--set k=v`, for the commands that take parameters.

Set = Annotated[
    list[str] | None, Option("--set", metavar="k=v", help="a parameter, for this invocation")
]


def settings_of(settings: list[str] | None) -> dict[str, str]:
    """`k=v` words as a mapping. UsageError for a word that is none."""
    results: dict[str, str] = {}
    for text in settings or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text!r} is no parameter", hint="write --set name=value")
        results[name.strip()] = value
    return results
