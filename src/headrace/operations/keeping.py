"""`apply --keep`: new code comes into force, and what other code has published stays fresh."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model import UsageError
from headrace.operations.progress import Progress
from headrace.operations.selection import selected as select
from headrace.operations.session import ProjectSession, usable
from headrace.plan import changes
from headrace.plan.project_plan import asks


def require_reason(reason: str) -> None:
    """UsageError without a reason: who reads a table of two code versions finds out why."""
    if not reason.strip():
        raise UsageError(
            "--keep needs --reason",
            hint="say why the new code leaves published data as it is: --reason TEXT",
        )


def selected(session: ProjectSession, selection: Sequence[str], progress: Progress) -> tuple[str, ...]:
    """The assets of a selection whose published partitions new code would invalidate, in order of their names.

    UsageError for a selection without such an asset, and for one whose rows can't stay next to those of
    its new code.
    """
    compiled = usable(session.declared_exactly(progress)[1])
    names = select(session, selection, compiled=compiled, project=compiled.project)
    stale = {change.node for change in changes(session.compiled, compiled) if change.stale} & compiled.project.assets.keys()
    results = tuple(sorted(stale.intersection(names)))
    if not results:
        text = ", ".join(sorted(stale)[:10]) or "none"
        raise UsageError(f"--keep {' '.join(selection)}: the code of none of these assets changed", hint=f"changed: {text}")
    old = session.compiled.project if session.compiled is not None else None
    for name in results:
        if not asks(old, compiled.project.assets[name]):
            raise UsageError(
                f"what is published of {name} can't be kept: its table is built in another way from now on",
                hint="apply without --keep: it is computed again",
            )
    return results
