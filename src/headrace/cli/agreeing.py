"""A plan is shown, and somebody agrees to it, or nobody is there."""

from __future__ import annotations

import sys
from collections.abc import Callable

from headrace.cli import asking
from headrace.cli.invocation import Invocation
from headrace.cli.page import Page
from headrace.cli.screen import Screen
from headrace.model.errors import Refused


def agreed(invocation: Invocation, show: Callable[[Page], None], question: str, *, yes: bool, refused: Refused) -> bool:
    """Shows what would be done where a person reads, and asks where one can answer; with `yes` it is agreed to already.

    Raises `refused` where nobody can answer."""
    stream = sys.stderr if invocation.options.json else sys.stdout
    if not (yes and invocation.options.json):
        show(Page(Screen(stream, no_color=invocation.options.no_color), None))
    if yes:
        return True
    if not asking.somebody_there():
        raise refused
    stream.flush()
    return asking.yes(question)
