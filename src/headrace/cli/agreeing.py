"""A plan is shown, and somebody agrees to it, or nobody is there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from headrace.cli import asking
from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.screen import Screen
from headrace.model.errors import Refused
from headrace.operations.plan_refusals import PlanRefused
from headrace.operations.responses import Response

PLAN_HELP = "do only this plan, as --dry-run names it; exits 3 if it would be another by now"
D = TypeVar("D", bound=Response)


@contextmanager
def refused_as_shown(invocation: Invocation, render: Callable[[D, CommandOutput], None]) -> Iterator[None]:
    """Programs get the response of a plan that isn't the one that was agreed to, or that lacks a decision; people its error."""
    try:
        yield
    except PlanRefused as error:
        if invocation.options.json:
            invocation.show(cast("D", error.response), render)
        raise


def agreed(invocation: Invocation, show: Callable[[CommandOutput], None], question: str, *, yes: bool, refused: Refused) -> bool:
    """Shows what would be done where a person reads, and asks where one can answer; with `yes` it is agreed to already.

    Raises `refused` where nobody can answer."""
    stream = sys.stderr if invocation.options.json else sys.stdout
    if not (yes and invocation.options.json):
        show(CommandOutput(Screen(stream, no_color=invocation.options.no_color), None))
    if yes:
        return True
    if not asking.somebody_there():
        raise refused
    stream.flush()
    return asking.yes(question)
