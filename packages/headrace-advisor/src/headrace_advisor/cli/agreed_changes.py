"""Changes to a project's files that are applied at once if somebody agrees."""

from __future__ import annotations

from collections.abc import Callable

from headrace.cli.commands.apply import REFUSED_STATES, confirm_apply, render_apply
from headrace.extension import Invocation
from headrace.responses import ApplyResponse


def apply_agreed(
    invocation: Invocation,
    change: Callable[..., ApplyResponse],
    *,
    yes: bool,
    command: str | None = None,
) -> int:
    """Make a change to the project and apply it if somebody agrees; return the exit code.

    `change` is called with `confirm` and `progress`. `command` is named where nobody can be asked.
    """
    response = change(
        confirm=lambda plan: confirm_apply(invocation, plan, yes=yes, command=command),
        progress=invocation.progress(),
    )
    invocation.show(response, render_apply)
    return 3 if response.state in REFUSED_STATES else 0
