"""A verb's `command` function as a typer command, with the options of every verb added to its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from headrace.cli.invocation import Invocation
from headrace.cli.options import Options

Selection = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SELECT]...", help="names, globs, +ancestors, descendants+, tag:, owner:, domain:, source:, path:, consumer:", show_default=False),
]
Select = Annotated[list[str] | None, typer.Option("--select", "-s", metavar="SELECT", help="the same as SELECT", show_default=False)]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", metavar="SELECT", help="leave these out", show_default=False)]
ExitCode = Annotated[bool, typer.Option("--exit-code", help="exit 1 where there is something to see to")]


def _shared(project: Annotated[str | None, typer.Option("--project", metavar="DIR", hidden=True)] = None,
            env: Annotated[str | None, typer.Option("--env", metavar="NAME", hidden=True)] = None,
            now: Annotated[str | None, typer.Option("--now", metavar="T", hidden=True)] = None,
            json: Annotated[bool, typer.Option("--json", hidden=True)] = False,
            no_color: Annotated[bool, typer.Option("--no-color", hidden=True)] = False,
            verbose: Annotated[bool, typer.Option("--verbose", "-v", hidden=True)] = False,
            utc: Annotated[bool, typer.Option("--utc", hidden=True)] = False) -> None:  # fmt: skip
    """The options of every verb, as parameters; never called."""


def run(name: str, function: Callable[..., int], arguments: list[str], before: Options) -> int:
    """Parses `arguments` for the verb and calls its function; gives the exit code.

    Raises what the function raises, and typer's own exceptions for a line that can't be parsed.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(help=inspect.getdoc(function), epilog="Options of every verb: headrace --help")(_entry(function, before))
    code = typer.main.get_command(app).main(arguments, prog_name=f"headrace {name}", standalone_mode=False)
    return code if isinstance(code, int) else 0


def options_of(function: Callable[..., int]) -> list[str]:
    """The long names of a verb's own options, for completion."""
    found: list[str] = []
    for parameter in list(inspect.signature(function, eval_str=True).parameters.values())[1:]:
        for extra in getattr(parameter.annotation, "__metadata__", ()):
            said = (getattr(extra, "default", ""), *(getattr(extra, "param_decls", None) or ()))
            found += [text for text in said if isinstance(text, str) and text.startswith("--")]
    return found


def _entry(function: Callable[..., int], before: Options) -> Callable[..., int]:
    """`function` with the shared options in its signature, which is what typer reads."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    shared = list(inspect.signature(_shared, eval_str=True).parameters.values())

    def entry(**values: Any) -> int:
        said = Options(**{parameter.name: values.pop(parameter.name) for parameter in shared})
        return function(Invocation(said.over(before)), **values)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own + shared]
    entry.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    entry.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return entry
