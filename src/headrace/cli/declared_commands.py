"""Commands: their parameters with types and help, and the functions that they call.

A function in `headrace.services` declares a command's parameters (project/parameters.py). Most
commands are a `ServiceCommand`: such a function, and a function that prints its response.

A command with a part that only a terminal has (questions, files) is a function with the decorator
`@terminal_command`, which names the service functions that it calls. The service functions declare
its parameters with a plain type, by name; parameters with `Argument` or `Option` are its own. A
`CommandGroup` has several actions, each of which is one of these commands:

    @terminal_command("runs:runs")
    def runs_command(
        invocation: Invocation, run: str | None, exit_code: ExitCode = False
    ) -> int: ...

    session_command = CommandGroup(
        "Sessions of people in browsers.",
        {"list": ServiceCommand("browser_sessions:sessions", _render), "end": _end},
        group="operate",
        summary="list and end browser sessions",
    )
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from itertools import chain, takewhile
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec

from headrace.cli.command_table import VALUES, find_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, render_plainly
from headrace.installed_commands import EXTENDED, added_actions
from headrace.model.errors import HeadraceError, UsageError, close_names
from headrace.project import parameters as services
from headrace.project.parameters import Argument, Option

SELECT_OPTION = "select_option"
"""The name of the parameter `--select`, whose values are added to the words of `[SELECT]`."""

Select = Annotated[
    list[str] | None, Option("--select", "-s", metavar="SELECT", help="the same as SELECT")
]
ExitCode = Annotated[bool, Option("--exit-code", help="exit 1 if something needs attention")]


class HelpPrefix(NamedTuple):
    """A prefix of a parameter's help: the action that the parameter belongs to."""

    text: str


class Parameter(NamedTuple):
    """One parameter of a command, as the parser needs it."""

    name: str
    declaration: Argument | Option
    type: type
    many: bool
    required: bool
    default: Any
    absent: Any
    """The value if none is typed and the parser's default is None."""
    mapping: bool = False
    """Whether its values have the form `k=v`."""


class Command:
    """Base of the commands: which functions a command calls, its parameters and its help."""

    def __init__(self, functions: Mapping[str, str]) -> None:
        self.functions = functions
        """Action → service function (`module:name` in `headrace.services`); "" is for no action."""

    @property
    def description(self) -> str:
        """The text of `--help`."""
        raise NotImplementedError

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The arguments and options, in the order of `--help`."""
        raise NotImplementedError

    def run(self, invocation: Invocation, typed: dict[str, Any]) -> int:
        """Run the command with the parsed values; return the exit code."""
        raise NotImplementedError

    def _values(self, typed: dict[str, Any]) -> dict[str, Any]:
        """Return each parameter's value; the words of `--select` are added to the selection."""
        values = {item.name: _value(item, typed[item.name]) for item in self.parameters}
        if SELECT_OPTION in values:
            values["select"] = [*values["select"], *values.pop(SELECT_OPTION)]
        return values


def load(name: str) -> Command:
    """Return the command with this name and the actions that packages add; import its modules.

    Raises LookupError if there is none, HeadraceError if that of another package can't be used.
    """
    command = load_alone(name)
    if not isinstance(command, CommandGroup) and name not in EXTENDED:
        return command
    actions = {word: load_alone(typed) for word, typed in added_actions(name).items()}
    if isinstance(command, CommandGroup):
        return CommandGroup(command.text, actions | {**command.actions}, command.otherwise)
    return CommandGroup(command.description, actions, command) if actions else command


def load_alone(name: str) -> Command:
    """Return the command with this name, without the actions that other packages add to it."""
    declared = find_command(name)
    if declared is None:
        raise LookupError(name)
    if ":" in declared.home:
        return ServiceCommand(declared.home, render_plainly, clock=False)
    attribute = f"{name.replace('-', '_').replace(' ', '_')}_command"
    try:
        command: Command = getattr(import_module(declared.home), attribute)
    except Exception as error:
        if declared.home.startswith("headrace."):
            raise
        raise HeadraceError(
            f"`headrace {name}` can't be used: {type(error).__name__}: {error}",
            hint=f"repair or uninstall the package that has {declared.home}",
        ) from error
    return command


class ServiceCommand(Command):
    """A command that calls one function of `headrace.services` and prints its response."""

    def __init__(
        self,
        function: str,
        render: Callable[[Any, CommandOutput], None],
        *,
        exit_code: Callable[[Any], int] = lambda _: 0,
        clock: bool = True,
    ) -> None:
        super().__init__({"": function})
        self._render, self._exit_code, self._clock = render, exit_code, clock

    @property
    def _function(self) -> Callable[..., Any]:
        """The service function; its module is imported on first use."""
        return services.command_function(self.functions[""])

    @property
    def description(self) -> str:
        """The docstring of the service function."""
        return services.description_of(self._function)

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The parameters of the service function, without those that only programs pass."""
        typed = [
            _service_parameter(item, item.declaration)
            for item in services.parameters_of(self._function)
            if item.declaration is not None
        ]
        return _with_select_option(typed)

    def run(self, invocation: Invocation, typed: dict[str, Any]) -> int:
        """Call the service function and print its response."""
        given = self._values(typed)
        if services.takes_progress(self._function):
            given["progress"] = invocation.progress()
        response = self._function(invocation.session, **given)
        invocation.show(response, self._render, clock=self._clock)
        return self._exit_code(response)


class TerminalCommand(Command):
    """A command with a part that only a terminal has; `terminal_command` creates it."""

    def __init__(self, body: Callable[..., int], functions: Mapping[str, str]) -> None:
        super().__init__(functions)
        self._body = body

    @property
    def description(self) -> str:
        """The docstring of the decorated function."""
        return inspect.getdoc(self._body) or ""

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The parameters of the decorated function, without the invocation."""
        _, *declared = inspect.signature(self._body, eval_str=True).parameters.values()
        return _with_select_option([self._parameter(parameter) for parameter in declared])

    def _parameter(self, parameter: inspect.Parameter) -> Parameter:
        extras = get_args(parameter.annotation)[1:]
        declaration = next(
            (extra for extra in extras if isinstance(extra, Argument | Option)), None
        )
        lead = "".join(extra.text for extra in extras if isinstance(extra, HelpPrefix))
        result = (
            self._declared_by_function(parameter)
            if declaration is None
            else _own_parameter(parameter, declaration)
        )
        return result._replace(
            declaration=result.declaration._replace(help=lead + result.declaration.help)
        )

    def _declared_by_function(self, parameter: inspect.Parameter) -> Parameter:
        """Return the parameter of this name from the first service function that declares it.

        A default of the decorated function makes the parameter optional. Raises LookupError if no
        function declares it.
        """
        for path in self.functions.values():
            for item in services.flattened(services.command_function(path)):
                if item.name == parameter.name and item.declaration is not None:
                    result = _service_parameter(item, item.declaration)
                    if parameter.default is inspect.Parameter.empty:
                        return result
                    return result._replace(required=False, default=None, absent=parameter.default)
        paths = ", ".join(self.functions.values())
        raise LookupError(f"no function of {paths} declares how `{parameter.name}` is typed")

    def run(self, invocation: Invocation, typed: dict[str, Any]) -> int:
        """Call the decorated function."""
        return self._body(invocation, **self._values(typed))


class CommandGroup(Command):
    """A command whose first word is one of several actions.

    Each has parameters of its own. `otherwise` is the command without such a word.
    """

    def __init__(
        self,
        text: str,
        actions: Mapping[str, Command],
        otherwise: Command | None = None,
        *,
        group: str = "",
        summary: str = "",
    ) -> None:
        del group, summary  # for the generated table, as in `terminal_command`
        super().__init__({})
        self.actions, self.otherwise = actions, otherwise
        self.text = inspect.cleandoc(text)

    @property
    def description(self) -> str:
        """The text, and a line for each action."""
        wide = max(map(len, self.actions))
        lines = [
            f"  {name:{wide}}  {first_sentence(action.description)}"
            for name, action in self.actions.items()
        ]
        return "\n".join([self.text, "", "actions:", *lines])

    @property
    def parameters(self) -> list[Parameter]:
        """The action, or the parameters of the command without one."""
        return [] if self.otherwise is None else self.otherwise.parameters

    def chosen(self, name: str, arguments: Sequence[str]) -> tuple[str, Command, list[str]]:
        """Return the command that is typed, its name, and its arguments.

        Options may stand before the action. Raises UsageError if there is no action where one is
        needed.
        """
        at = self._first_word(arguments)
        if at is not None and arguments[at] in self.actions:
            rest = [*arguments[:at], *arguments[at + 1 :]]
            return f"{name} {arguments[at]}", self.actions[arguments[at]], rest
        words = list(takewhile(lambda word: not word.startswith("-"), arguments))
        taken = [item for item in self.parameters if isinstance(item.declaration, Argument)]
        if words and len(words) > len(taken) and not any(item.many for item in taken):
            target = " or ".join(item.declaration.metavar.strip("[]") for item in taken)
            raise unknown_action(name, words[0], self.actions, target=target)
        if self.otherwise is None:
            every = ", ".join(self.actions)
            raise UsageError(f"headrace {name} needs an action", hint=f"one of {every}")
        return name, self.otherwise, list(arguments)

    def _first_word(self, arguments: Sequence[str]) -> int | None:
        """Return the place of the first word that is neither an option nor its value."""
        option = ""
        for at, word in enumerate(arguments):
            if not word.startswith("-") and not (option and option in self._with_values):
                return at
            option = word
        return None

    @cached_property
    def _with_values(self) -> frozenset[str]:
        commands = filter(None, (*self.actions.values(), self.otherwise))
        names = {
            name
            for item in chain.from_iterable(each.parameters for each in commands)
            if isinstance(item.declaration, Option) and item.type is not bool
            for name in (item.declaration.name, item.declaration.short)
        }
        return frozenset(filter(None, names | VALUES.keys()))


def first_sentence(text: str) -> str:
    """Return a description's first sentence in one line, without its full stop."""
    paragraph = text.partition("\n\n")[0].replace("\n", " ")
    return paragraph.partition(". ")[0].removesuffix(".")


def terminal_command(
    function: str = "", *, group: str = "", summary: str = "", **actions: str
) -> Callable[[Callable[..., int]], TerminalCommand]:
    """Return a decorator that turns a function into a TerminalCommand.

    `function` is the service function (`module:name` in `headrace.services`) that the command
    calls, `actions` has one for each action. They are imported when a parameter needs them. A
    command of Headrace itself says its group in `headrace --help` and its line there; the generated
    table has both.
    """
    del group, summary
    functions = {"": function, **actions} if function else actions
    return lambda body: TerminalCommand(body, functions)


def _service_parameter(item: services.Parameter, declaration: Argument | Option) -> Parameter:
    """Return the command line parameter for a parameter of a service function."""
    kind = item.type
    if get_origin(kind) is Annotated:
        kind, *limits = get_args(kind)
        if isinstance(declaration, Option):
            declaration = _limited(declaration, limits)
    kind = _without_none(kind)
    many, mapping = get_origin(kind) is not None, get_origin(kind) in (Mapping, dict)
    missing = item.default is inspect.Parameter.empty
    return Parameter(
        name=item.name,
        declaration=declaration,
        type=get_args(kind)[0] if many else kind,
        many=many,
        required=missing and isinstance(declaration, Argument) and not many,
        default=None if missing or many else item.default,
        absent=[] if many else "" if missing else item.default,
        mapping=mapping,
    )


def _limited(option: Option, limits: Iterable[object]) -> Option:
    """Return an option with the limits that the API and `Session` have for its parameter."""
    for limit in limits:
        if isinstance(limit, msgspec.Meta):
            least = option.least if limit.ge is None else int(limit.ge)
            most = option.most if limit.le is None else int(limit.le)
            option = option._replace(least=least, most=most)
    return option


def _own_parameter(parameter: inspect.Parameter, declaration: Argument | Option) -> Parameter:
    """Return a parameter that the decorated function declares itself."""
    kind = _without_none(get_args(parameter.annotation)[0])
    many = get_origin(kind) is not None
    required = parameter.default is inspect.Parameter.empty
    default = None if required else parameter.default
    return Parameter(
        name=parameter.name,
        declaration=declaration,
        type=get_args(kind)[0] if many else kind,
        many=many,
        required=required and isinstance(declaration, Argument),
        default=None if many else default,
        absent=default,
        mapping=get_origin(kind) in (Mapping, dict),
    )


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        return next(arg for arg in get_args(kind) if arg is not types.NoneType)
    return kind


def _with_select_option(parameters: list[Parameter]) -> list[Parameter]:
    """Return the parameters with `--select` after each `[SELECT]`."""
    results: list[Parameter] = []
    for parameter in parameters:
        results.append(parameter)
        if parameter.name == "select":
            declaration = get_args(Select)[1]
            results.append(Parameter(SELECT_OPTION, declaration, str, True, False, None, []))
    return results


def _value(parameter: Parameter, typed: Any) -> Any:
    """Return the value to pass to the function: the typed one, else the default.

    A missing text without a default becomes empty; the function explains why it is required.
    """
    if parameter.mapping:
        return settings_of(typed)
    return parameter.absent if typed is None else typed


def settings_of(settings: list[str] | None) -> dict[str, str]:
    """Return `k=v` words as a mapping.

    Raises UsageError for a word without `=` or without a name.
    """
    results: dict[str, str] = {}
    for text in settings or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text!r} is no parameter", hint="write --set name=value")
        results[name.strip()] = value
    return results


def unknown_action(
    command: str, action: str, known: Collection[str], *, target: str = ""
) -> UsageError:
    """Return the error for an unknown action of a command.

    Its hint is the most similar action, else all of them, and the `target` that is possible in
    their place.
    """
    close = close_names(action, known, 1)
    every = ", ".join(known) + (f", and {target}" if target else "")
    return UsageError(
        f"`headrace {command} {action[:40]}` isn't known",
        hint=f"did you mean `headrace {command} {close[0]}`?" if close else f"one of {every}",
    )
