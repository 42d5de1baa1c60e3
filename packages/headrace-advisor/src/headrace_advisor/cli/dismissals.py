"""How dismissed proposals are printed by `optimize`, `bottleneck` and `complexity`."""

from __future__ import annotations

from headrace.extension import CommandOutput
from headrace_advisor.responses.advice import DismissalRow


def render_dismissal(row: DismissalRow | None, page: CommandOutput, indent: int) -> None:
    """Print who dismissed a proposal and why, and what has changed since; nothing for None."""
    if row is None:
        return
    page.say(f"dismissed by {row.by}, {row.at:%Y-%m-%d}: {row.reason}", "dim", indent=indent)
    if row.ended is not None:
        page.say(f"proposed again: {row.ended}", "warn", indent=indent)
    else:
        page.command(row.command, indent=indent)
