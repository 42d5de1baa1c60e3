"""`headrace demo`: the guided example on a terminal."""

from __future__ import annotations

import enum
import os
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

from headrace.cli.commands.declarations import counts_text
from headrace.cli.output import seconds
from headrace.extension import (
    Argument,
    ColumnLayout,
    CommandOutput,
    Invocation,
    Option,
    StyledCell,
    UsageError,
    plural,
    terminal_command,
)
from headrace_demo.responses import ChallengeResponse, DemoResponse


class DemoFaultOption(enum.StrEnum):
    """The fault that the demo injects."""

    RENAME = "rename"
    NONE = "none"


@terminal_command("headrace_demo.demo:demo")
def demo_command(  # noqa: PLR0913 (its options)
    invocation: Invocation,
    directory: Annotated[
        Path,
        Argument(
            "[resume] [DIR]",
            help="where it is made (default: demo); `resume` lets the rest of its days flow",
        ),
    ] = Path("demo"),
    resumed: Annotated[Path | None, Argument("")] = None,
    *,
    days: int | None,
    fault: Annotated[
        DemoFaultOption,
        Option(
            "--fault",
            metavar="|".join(DemoFaultOption),
            help="what the vendor does on the 11th of February",
        ),
    ] = DemoFaultOption.RENAME,
    challenge: Annotated[
        bool,
        Option(
            "--challenge",
            help="ten mornings with a fault each, to be found and repaired; again: is it?",
        ),
    ] = False,
    ask: Annotated[
        str | None,
        Option("--ask", metavar="OWNER", help="of the challenge: ask an owner to put it right"),
    ] = None,
    no_serve: Annotated[bool, Option("--no-serve", help="don't serve it afterwards")] = False,
    fresh: bool,
) -> int:
    """Create and serve the guided example: New York's flights of 2013, delivered day by day."""
    from headrace_demo.demo import demo, go_on

    if challenge or ask is not None:
        return _challenge(invocation, directory, ask)
    if directory == Path("resume"):
        invocation.show(
            go_on(resumed, progress=invocation.progress()), _render_resumed, clock=False
        )
        return 0
    if resumed is not None:
        raise UsageError(
            "the demo is made in one folder", hint="headrace demo DIR, headrace demo resume DIR"
        )
    response = demo(
        directory, days=days, fault=fault.value, fresh=fresh, progress=invocation.progress()
    )
    serving = not no_serve and not invocation.options.json
    invocation.show(response, partial(render_demo, serving=serving), clock=False)
    return _serve_demo(invocation, directory) if serving else 0


def _challenge(invocation: Invocation, directory: Path, ask: str | None) -> int:
    from headrace_demo.challenge import challenge

    response = challenge(directory, ask, progress=invocation.progress())
    invocation.show(response, render_challenge, clock=False)
    return 0


def render_challenge(response: ChallengeResponse, page: CommandOutput) -> None:
    """Print what was answered, which morning it is, and what one does."""
    for line in response.answers:
        page.say(line)
    score = f"{response.points} of {response.points_max} points"
    if response.day is None:
        page.say(f"All {response.faults} faults are repaired: {score}.")
        return
    so_far = f"; {score} so far" if response.points_max else ""
    page.say(
        f"Fault {response.number} of {response.faults}{so_far}: something is wrong with the data of"
        f" {response.day}."
    )
    page.say("Find it and repair it, then ask whether it is over:")
    page.screen.line(f"    headrace --project {shlex.quote(response.directory)} status")
    page.screen.line(f"    headrace demo --challenge {shlex.quote(response.directory)}")
    page.say("What only its owner can repair, ask them for (OWNER as the incident names them):")
    page.screen.line(f"    headrace demo --ask OWNER {shlex.quote(response.directory)}")


def _serve_demo(invocation: Invocation, directory: Path) -> int:
    from headrace.cli.server import ListenAddress, serve

    sys.stdout.flush()
    with Invocation(
        invocation.options._replace(project=str(directory), env="prod")
    ) as demo_invocation:
        return serve(demo_invocation, ListenAddress())


_DEMO_COLUMNS = [
    ColumnLayout("", least=11),
    ColumnLayout("", gives=2, least=20),
    ColumnLayout("", drops=1, right=True),
]
_EVENT_COLUMNS = [
    ColumnLayout("", least=5),
    ColumnLayout("", least=8),
    ColumnLayout("", gives=1, least=8),
    ColumnLayout("", gives=2, least=20),
]


def render_demo(response: DemoResponse, page: CommandOutput, *, serving: bool = False) -> None:
    """Print what the replay did, and what is typed next."""
    counts = f"{counts_text(response.counts)}, {plural(response.owners, 'owner')}"
    lines: list[list[str | StyledCell]] = (
        [[StyledCell("data", "bold"), response.data, seconds(response.data_seconds)]]
        if response.data
        else []
    )
    lines.append([StyledCell("project", "bold"), f"{response.directory}: {counts}", "valid"])
    took = "as it was left" if response.resumed else seconds(response.seconds)
    lines.append(
        [
            StyledCell("replay", "bold"),
            f"{response.first} → {response.last}, {plural(response.days, 'day')}",
            took,
        ]
    )
    page.table(_DEMO_COLUMNS, lines, header=False)
    page.table(
        _EVENT_COLUMNS, [_event_row(response, i) for i in range(len(response.events))], header=False
    )
    page.say(
        f"{response.days_published} of {response.days} days published · {response.rows:,} flights",
        indent=2,
    )
    page.say()
    page.say("In a second terminal:" if serving else "Now, in this shell:")
    for line in _shell_lines(response, elsewhere=serving):
        page.screen.line(f"    {line}")


def _render_resumed(response: DemoResponse, page: CommandOutput) -> None:
    """Print the result of the days that were replayed after the demo was resumed."""
    took = (
        seconds(response.seconds) if response.went_on and not response.resumed else "as it was left"
    )
    row: list[str | StyledCell] = [
        StyledCell("replay", "bold"),
        f"{response.first} → {response.last}, {plural(response.days, 'day')}",
        took,
    ]
    page.table(_DEMO_COLUMNS, [row], header=False)
    page.table(
        _EVENT_COLUMNS, [_event_row(response, i) for i in range(len(response.events))], header=False
    )
    header = (
        f"the vendor's new header on all {response.days} days · "
        if response.fault == DemoFaultOption.RENAME
        else ""
    )
    published = f"{response.days_published} of {response.days} published"
    page.say(f"{header}{published} · {plural(response.incidents, 'new incident')}", indent=2)
    page.next(response.next)


def _event_row(response: DemoResponse, i: int) -> list[str | StyledCell]:
    event = response.events[i]
    text = event.message + ("  (INJECTED BY THE DEMO)" if event.injected else "")
    return [
        event.partition[5:],
        StyledCell(event.state, "warn" if event.state == "warned" else "bad"),
        event.node,
        text,
    ]


def _shell_lines(response: DemoResponse, *, elsewhere: bool) -> list[str]:
    """Return the shell commands that enter the demo's folder and continue there.

    They activate this Python environment if the shell's `headrace` isn't in it. `elsewhere` means
    a shell in another folder, which needs the absolute path.
    """
    activate = Path(sys.prefix, "bin", "activate")
    result = shutil.which("headrace")
    needed = activate.exists() and (
        result is None
        or "UV" in os.environ  # `uvx`, `uv run`: only what they start finds it
        or not Path(result).resolve().is_relative_to(Path(sys.prefix).resolve())
    )
    folder = str(Path(response.directory).absolute()) if elsewhere else response.directory
    enter = f"cd {shlex.quote(folder)}"
    return [
        *([f". {shlex.quote(str(activate))} && {enter}"] if needed else [enter]),
        response.next or "headrace status",
    ]
