"""Shows a plan and asks a person to agree to it; refuses if there is no terminal to ask on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar, cast

from headrace.access.agreements import PlanRefused
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import Screen
from headrace.model.errors import Refused
from headrace.project.parameters import Option
from headrace.responses import Response

# Questions go to standard error. Commands ask only if standard input and standard error are
# terminals.


def can_ask() -> bool:
    """Whether standard input and standard error are terminals, so that a person can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_yes_no(question: str) -> bool:
    """Ask a question; only `y` and `yes` mean yes."""
    return ask_text(f"{question} [y/N] ").lower() in ("y", "yes")


def ask_text(question: str, default: str = "") -> str:
    """Ask for one line; return `default` for an empty line and at the end of input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip() or default


DryRun = Annotated[bool, Option("--dry-run", help="show the plan and write nothing")]
Yes = Annotated[bool, Option("--yes", help="don't ask")]
D = TypeVar("D", bound=Response)


@contextmanager
def refusal_as_json(
    invocation: Invocation, render: Callable[[D, CommandOutput], None]
) -> Iterator[None]:
    """Print the current plan with --json if the block raises PlanRefused; always re-raise.

    A plan is refused if it differs from the one that was agreed to, or lacks a decision.
    """
    try:
        yield
    except PlanRefused as error:
        if invocation.options.json:
            invocation.show(cast("D", error.response), render)
        raise


def ask_agreement(
    invocation: Invocation,
    show: Callable[[CommandOutput], None],
    question: str,
    *,
    yes: bool,
    refused: Refused,
) -> bool:
    """Show a plan and ask for agreement; return whether it was given.

    With `yes` it doesn't ask; with `yes` and --json it doesn't show the plan either. Raises
    `refused` if it must ask and there is no terminal.
    """
    stream = sys.stderr if invocation.options.json else sys.stdout
    if not (yes and invocation.options.json):
        show(CommandOutput(Screen(stream, no_color=invocation.options.no_color), None))
    if yes:
        return True
    if not can_ask():
        raise refused
    stream.flush()
    return ask_yes_no(question)
