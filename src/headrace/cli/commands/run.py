"""Start and stop work: `headrace run`, `tick`, `retry`, `cancel`, `pause` and `resume`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from typing import Annotated

from headrace.cli import output
from headrace.cli.agreement import Yes
from headrace.cli.declared_commands import ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.run_results import render_run
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.errors import Refused
from headrace.model.partitions import command_line
from headrace.project.parameters import Option
from headrace.responses.interventions import CancelResponse, PauseResponse, PauseRow

# `headrace run [SELECT…]`


@terminal_command("run:run", group="act", summary="run assets now")
def run_command(
    invocation: Invocation,
    select: list[str],
    *,
    exclude: list[str],
    partitions: list[str],
    first: str | None,
    last: str | None,
    again: bool,
    reason: str | None,
    apply: Annotated[bool, Option("--apply", help="apply changed files first")] = False,
    yes: Yes = False,
    setting: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="k=v",
            help="of `try` and `render` alone: what is published has the parameters of its files",
        ),
    ] = None,
) -> int:
    """Run now. A published partition is replaced only if its inputs or code changed, or with
    --again.

    The first run of a new project applies it; later changes of files need --apply, which shows
    the plan and asks.
    """
    if setting:
        raise Refused(
            "what is published is computed with the parameters that are applied",
            hint=(
                "headrace try ASSET --set shows a result without publishing it; to change one:"
                " `parameters:`, then headrace apply"
            ),
        )
    from headrace.services.run import refuse_options, run

    refuse_options(partitions, first, last, reason, again=again)

    given: dict[str, Sequence[str | None]] = {"--exclude": exclude, "--partition": partitions}
    given |= {"--from": [first], "--to": [last], "--reason": [reason]}
    if apply and not _applied(invocation, yes=yes, command=_typed(select, given, again=again)):
        return 3
    session = invocation.session
    with closing(session.again(session.actor)) if apply else nullcontext(session) as session:
        response = run(
            session,
            select,
            exclude=exclude,
            partitions=partitions,
            first=first,
            last=last,
            again=again,
            reason=reason,
            progress=invocation.progress(),
        )
    invocation.show(response, render_run)
    return 0 if response.state in ("succeeded", "nothing_due") else 1


def _typed(select: Sequence[str], given: Mapping[str, Sequence[str | None]], *, again: bool) -> str:
    """Return the command of a run with the values of its options, to be typed once more."""
    words = [
        word
        for option, values in given.items()
        for value in values
        if value is not None
        for word in (option, value)
    ]
    return command_line("run", *select, *words, *(["--again"] if again else []), "--apply", "--yes")


def _applied(invocation: Invocation, *, yes: bool, command: str) -> bool:
    """Apply the files if somebody agrees; print why not, and return whether they are applied.

    `command` is for those who can't be asked.
    """
    from headrace.cli.commands.apply import REFUSED_STATES, confirm_apply, render_apply
    from headrace.services.apply import apply

    response = apply(
        invocation.session,
        confirm=lambda plan: confirm_apply(invocation, plan, yes=yes, command=command),
        progress=invocation.progress(),
    )
    if response.state in REFUSED_STATES:
        invocation.show(response, render_apply)
    return response.state not in REFUSED_STATES


retry_command = ServiceCommand(
    "run:retry",
    render_run,
    exit_code=lambda response: int(response.state not in ("succeeded", "nothing_due")),
)


tick_command = ServiceCommand("run_results:tick", render_run)


def _render_cancelled(response: CancelResponse, page: CommandOutput) -> None:
    at = page.times.time_text(response.ended_at)
    if response.state == "cancelled":
        why = f": {response.reason}" if response.reason else ""
        page.say(
            f"✓ run {response.run_id} was cancelled by {response.by or 'somebody'} at {at}{why}",
            "good",
        )
    elif response.state == "running":
        page.say(f"! run {response.run_id} isn't this leader's: it can't be cancelled", "warn")
    else:
        ended = f" at {at}" if response.ended_at else ""
        page.say(
            f"· run {response.run_id} isn't under way: it ended{ended},"
            f" {output.state_mark(response.state)}"
        )
    page.clock_note()
    page.next(f"headrace runs {response.run_id}")


cancel_command = ServiceCommand(
    "interventions:cancel",
    _render_cancelled,
    exit_code=lambda response: int(response.state != "cancelled"),
)


# `headrace pause [SELECT…]`


@terminal_command(
    "pause:pause", group="act", summary="stop starting assets; without a selection: list pauses"
)
def pause_command(
    invocation: Invocation,
    select: list[str],
    *,
    exclude: list[str],
    reason: str | None = None,
    until: str | None,
) -> int:
    """Stop starting the selected nodes; running attempts continue.

    Without a selection, list the paused nodes.
    """
    from headrace.services.pause import pause, paused

    if not select and reason is None and until is None:
        invocation.show(paused(invocation.session), render_paused)
        return 0
    response = pause(
        invocation.session,
        select,
        exclude=exclude,
        reason=reason or "",
        until=until,
        progress=invocation.progress(),
    )
    invocation.show(response, render_paused)
    return 0


PAUSE_COLUMNS = [
    ColumnLayout("paused", gives=1, least=14),
    ColumnLayout("since", drops=2),
    ColumnLayout("until"),
    ColumnLayout("by", gives=4, least=6, drops=1),
    ColumnLayout("why", gives=2, least=18),
]


def render_paused(response: PauseResponse, page: CommandOutput) -> None:
    """Print the paused nodes, and those that were resumed."""
    page.head("paused")
    paused_nodes = {row.node for row in response.paused}
    resumed = [name for name in response.changed if name not in paused_nodes]
    if resumed:
        page.say(f"✓ resumed: {joined(resumed)}", "good")
    if not response.paused:
        page.say("✓ nothing is paused", "good")
        page.next("headrace tick" if resumed else "headrace status")
        return
    page.say()
    page.table(PAUSE_COLUMNS, [_paused_row(row, page) for row in response.paused])
    page.say(
        f"{plural(len(response.paused), 'node')} paused: nothing of"
        f" {'it' if len(response.paused) == 1 else 'them'} is started"
    )
    page.next(f"headrace resume {shlex.quote(response.paused[0].node)}")


def _paused_row(row: PauseRow, page: CommandOutput) -> list[str | StyledCell]:
    until = page.times.time_text(row.until) if row.until else "resumed"
    return [
        StyledCell(row.node, "bold"),
        page.times.time_text(row.since),
        until,
        row.by,
        row.reason,
    ]


resume_command = ServiceCommand("pause:resume", render_paused)
