"""`headrace demo [DIR]`."""

from __future__ import annotations

import enum
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

from headrace.cli.commands.validate import counted
from headrace.cli.invocation import Invocation
from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.model.errors import UsageError
from headrace.operations.responses import DemoResponse


class DemoFaultOption(enum.StrEnum):
    """What the demo does wrong on purpose."""

    RENAME = "rename"
    NONE = "none"


def command(
    invocation: Invocation,
    directory: Annotated[
        Path, Argument("[resume] [DIR]", help="where it is made (default: demo); `resume` lets the rest of its days flow")
    ] = Path("demo"),
    resumed: Annotated[Path | None, Argument("")] = None,
    days: Annotated[int | None, Option("--days", metavar="N", least=1, help="replay only so many days")] = None,
    fault: Annotated[
        DemoFaultOption, Option("--fault", metavar="|".join(DemoFaultOption), help="what the vendor does on the 11th of February")
    ] = DemoFaultOption.RENAME,
    no_serve: Annotated[bool, Option("--no-serve", help="don't serve it afterwards")] = False,
    fresh: Annotated[bool, Option("--fresh", help="begin again in a DIR that holds a demo")] = False,
) -> int:
    """The guided example: New York's flights of 2013, delivered day by day as a vendor would; then a page that shows how it stands."""
    from headrace.operations.demo import demo, go_on

    if directory == Path("resume"):
        invocation.show(go_on(resumed, progress=invocation.progress()), _render_rest, clock=False)
        return 0
    if resumed is not None:
        raise UsageError("the demo is made in one folder", hint="headrace demo DIR, headrace demo resume DIR")
    response = demo(directory, days=days, fault=fault.value, fresh=fresh, progress=invocation.progress())
    serving = not no_serve and not invocation.options.json
    invocation.show(response, partial(_render, serving=serving), clock=False)
    return _serve(invocation, directory) if serving else 0


def _serve(invocation: Invocation, directory: Path) -> int:
    from headrace.cli.serve import At, serve

    sys.stdout.flush()
    with Invocation(invocation.options._replace(project=str(directory), env="prod")) as inside:
        return serve(inside, At())


_COLUMNS = [ColumnLayout("", least=11), ColumnLayout("", gives=2, least=20), ColumnLayout("", drops=1, right=True)]
_EVENTS = [ColumnLayout("", least=5), ColumnLayout("", least=8), ColumnLayout("", gives=1, least=8), ColumnLayout("", gives=2, least=20)]


def _render(response: DemoResponse, page: CommandOutput, *, serving: bool = False) -> None:
    counts = f"{counted(response.counts)}, {plural(response.owners, 'owner')}"
    lines: list[list[str | StyledCell]] = (
        [[StyledCell("data", "bold"), response.data, seconds(response.data_seconds)]] if response.data else []
    )
    lines.append([StyledCell("project", "bold"), f"{response.directory}: {counts}", "valid"])
    took = "as it was left" if response.resumed else seconds(response.seconds)
    lines.append([StyledCell("replay", "bold"), f"{response.first} → {response.last}, {plural(response.days, 'day')}", took])
    page.table(_COLUMNS, lines, header=False)
    page.table(_EVENTS, [_event(response, i) for i in range(len(response.events))], header=False)
    page.say(f"{response.days_published} of {response.days} days published · {response.rows:,} flights", indent=2)
    page.say()
    page.say("In a second terminal:" if serving else "Now, in this shell:")
    for line in _entering(response, elsewhere=serving):
        page.screen.line(f"    {line}")


def _render_rest(response: DemoResponse, page: CommandOutput) -> None:
    """What the days came to that flowed since it stood still."""
    took = seconds(response.seconds) if response.went_on and not response.resumed else "as it was left"
    row: list[str | StyledCell] = [
        StyledCell("replay", "bold"),
        f"{response.first} → {response.last}, {plural(response.days, 'day')}",
        took,
    ]
    page.table(_COLUMNS, [row], header=False)
    page.table(_EVENTS, [_event(response, i) for i in range(len(response.events))], header=False)
    header = f"the vendor's new header on all {response.days} days · " if response.fault == DemoFaultOption.RENAME else ""
    published = f"{response.days_published} of {response.days} published"
    page.say(f"{header}{published} · {plural(response.incidents, 'new incident')}", indent=2)
    page.next(response.next)


def _event(response: DemoResponse, i: int) -> list[str | StyledCell]:
    event = response.events[i]
    text = event.message + ("  (INJECTED BY THE DEMO)" if event.injected else "")
    return [event.partition[5:], StyledCell(event.state, "warn" if event.state == "warned" else "bad"), event.node, text]


def _entering(response: DemoResponse, *, elsewhere: bool) -> list[str]:
    """The lines that bring a shell into the demo: activating this environment where its `headrace` isn't found. A shell `elsewhere`
    is in another folder."""
    activate = Path(sys.prefix, "bin", "activate")
    result = shutil.which("headrace")
    needed = activate.exists() and (result is None or not Path(result).resolve().is_relative_to(Path(sys.prefix).resolve()))
    folder = str(Path(response.directory).absolute()) if elsewhere else response.directory
    enter = f"cd {shlex.quote(folder)}"
    return [*([f". {shlex.quote(str(activate))} && {enter}"] if needed else [enter]), response.next or "headrace status"]
