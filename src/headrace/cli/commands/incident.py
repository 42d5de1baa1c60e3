"""`headrace incident ID`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import incident_pages
from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Argument
from headrace.operations.incidents import incident


def command(invocation: Invocation, target: Annotated[str, Argument("ID", help="INC-1, as `headrace incidents` lists it")]) -> int:
    """One cause: its evidence with what was expected, whom it affects, what happened since, what repairs it."""
    invocation.show(incident(invocation.session, target), incident_pages.one)
    return 0
