"""Shows a plan and asks a person to agree to it; refuses where nobody can answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar, cast

from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import Screen
from headrace.model.errors import Refused
from headrace.services.agreements import PlanRefused
from headrace.services.parameters import Option
from headrace.services.responses import Response

# Questions go to standard error. They can be asked only where standard input and standard error
# are terminals.


def can_ask() -> bool:
    """Whether a question can be asked and answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_yes_no(question: str) -> bool:
    """Asks; anything but `y` or `yes` is no."""
    return ask_text(f"{question} [y/N] ").lower() in ("y", "yes")


def ask_text(question: str, default: str = "") -> str:
    """Asks for one line; `default` where nothing is typed or input ends."""
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
    """Programs get the response of a plan that isn't the one that was agreed to, or that lacks a
    decision; people its error.
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
    """Shows what would be done where a person reads, and asks where one can answer; with `yes` it
    is agreed to already.

    Raises `refused` where nobody can answer."""
    stream = sys.stderr if invocation.options.json else sys.stdout
    if not (yes and invocation.options.json):
        show(CommandOutput(Screen(stream, no_color=invocation.options.no_color), None))
    if yes:
        return True
    if not can_ask():
        raise refused
    stream.flush()
    return ask_yes_no(question)
