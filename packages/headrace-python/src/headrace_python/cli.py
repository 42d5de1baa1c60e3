"""`headrace lock`: the packages of assets that have some of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from headrace.extension import (
    Argument,
    Asset,
    CommandOutput,
    Invocation,
    Option,
    UsageError,
    counted,
    did_you_mean,
    terminal_command,
)
from headrace_python.locks import FAILED, LockRow, LocksResponse, locked


@terminal_command()
def lock_command(
    invocation: Invocation,
    assets: Annotated[
        Sequence[str], Argument("[ASSET]...", help="only these (default: all with `requirements`)")
    ] = (),
    upgrade: Annotated[
        bool, Option("--upgrade", help="take the newest versions, also where the lock has some")
    ] = False,
) -> int:
    """Resolve the `requirements` of assets, and write versions and hashes to requirements/*.lock.

    uv asks the package index of the shell's settings. The files belong to the project: commit them.
    An asset that can't be resolved keeps its lock, and the others are locked.
    """
    root = invocation.session.root
    rows = [locked(root, asset, upgrade=upgrade) for asset in _asked(invocation, assets)]
    invocation.show(LocksResponse(locks=rows), _render, clock=False)
    return int(any(row.state == FAILED for row in rows))


def _asked(invocation: Invocation, names: Sequence[str]) -> list[Asset]:
    """Return the assets to lock, also of a project whose locks are wrong."""
    project = invocation.session.declared().project
    assets = {} if project is None else project.assets
    declaring = {name: asset for name, asset in assets.items() if asset.requirements}
    for name in names:
        if name not in declaring:
            message = f"no asset `{name}` has `requirements`"
            raise UsageError(message, hint=did_you_mean(name, declaring) or "headrace validate")
    return [asset for name, asset in declaring.items() if name in names or not names]


def _render(response: LocksResponse, page: CommandOutput) -> None:
    for row in response.locks:
        _render_row(row, page)
    if not response.locks:
        page.say("no asset has `requirements`", "dim")


def _render_row(row: LockRow, page: CommandOutput) -> None:
    if row.state == FAILED:
        page.say(f"✗ {row.asset}: {row.message}", "bad")
        page.say(row.hint, "dim", indent=2)
        return
    page.say(f"✓ {row.file}: {counted(row.packages, 'package')}, {row.state}", "good")
    for change in row.changes:
        page.say(change, indent=2)
