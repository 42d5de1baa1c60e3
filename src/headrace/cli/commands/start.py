"""`headrace demo`, `init`, `serve` and `dev`: create a project, and run its server."""

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
from headrace.cli.declared_commands import terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, data_table, seconds
from headrace.cli.run_results import render_learnt_source
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.errors import UsageError
from headrace.project.parameters import Argument, Option
from headrace.responses import DemoResponse, InitResponse
from headrace.services.init import init

# `headrace demo [resume] [DIR]`


class DemoFaultOption(enum.StrEnum):
    """The fault that the demo injects."""

    RENAME = "rename"
    NONE = "none"


@terminal_command(
    "headrace.demo.demo:demo", group="start", summary="run the guided example on real data"
)
def demo_command(
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
    no_serve: Annotated[bool, Option("--no-serve", help="don't serve it afterwards")] = False,
    fresh: bool,
) -> int:
    """Create and serve the guided example: New York's flights of 2013, delivered day by day."""
    from headrace.demo.demo import demo, go_on

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
    invocation.show(response, partial(_render_demo, serving=serving), clock=False)
    return _serve_demo(invocation, directory) if serving else 0


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


def _render_demo(response: DemoResponse, page: CommandOutput, *, serving: bool = False) -> None:
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
        result is None or not Path(result).resolve().is_relative_to(Path(sys.prefix).resolve())
    )
    folder = str(Path(response.directory).absolute()) if elsewhere else response.directory
    enter = f"cd {shlex.quote(folder)}"
    return [
        *([f". {shlex.quote(str(activate))} && {enter}"] if needed else [enter]),
        response.next or "headrace status",
    ]


# `headrace init [DIR]`

FILES_SHOWN_MAX = 12
EDITOR_FOLDER = ".vscode/"


def init_arguments(arguments: list[str]) -> list[str]:
    """Return the arguments with `--from a b c` rewritten as `--from a --from b --from c`.

    The first form is what a shell makes of `--from *.csv`.
    """
    results: list[str] = []
    in_from = False
    for word in arguments:
        if word.startswith("-") and word != "-":
            in_from = word == "--from"
            results += [] if in_from else [word]
        else:
            results += ["--from", word] if in_from else [word]
    return results + ["--from"] * (in_from and arguments[-1] == "--from")


@terminal_command(
    "init:init", group="start", summary="create a project; --from FILE… derives it from files"
)
def init_command(
    invocation: Invocation, directory: Path | None = None, *, files: list[Path]
) -> int:
    """Create a project that runs: a small example, or with --from a project derived from files.

    Write the folder before --from: everything after it is a file.
    """
    response = init(directory or Path(), files)
    invocation.show(response, _render_project, clock=False)
    return 0


def _render_project(response: InitResponse, page: CommandOutput) -> None:
    page.say(f"✓ a new project in {response.directory}", "good")
    kinds = [
        ("sources", response.sources),
        ("assets", response.assets),
        ("consumers", response.consumers),
    ]
    page.table(
        [ColumnLayout("", least=9), ColumnLayout("", gives=1, least=20)],
        [[StyledCell(kind, "dim"), joined(names, 8)] for kind, names in kinds],
        header=False,
    )
    files = [file for file in response.files if not file.startswith(EDITOR_FOLDER)]
    for file in files[:FILES_SHOWN_MAX]:
        page.say(file, indent=4)
    page.rest(len(files) - FILES_SHOWN_MAX, "more file", indent=4)
    if len(files) < len(response.files):
        page.say(f"{EDITOR_FOLDER} (schemas of these files, for an editor)", "dim", indent=4)
    for row in response.learnt:
        page.say()
        render_learnt_source(row, page)
        if row.source in response.declared:
            page.say(
                f"declared in sources/{row.source}.yaml: {response.declared[row.source]}", indent=4
            )
        data_table(page, row.columns, response.samples[row.source])
    for note in response.notes:
        page.say(f"! {note}", "warn", indent=2)
    page.next(response.next)


# `headrace serve`

Host = Annotated[str, Option("--host", metavar="ADDRESS", help="where it listens")]
Port = Annotated[
    int,
    Option("--port", metavar="N", least=0, help="the next free one where it is taken; 0 is any"),
]


@terminal_command(
    group="operate", summary="run until stopped: sources, schedules, requests, web UI"
)
def serve_command(
    invocation: Invocation,
    host: Host = "127.0.0.1",
    port: Port = 8787,
    name: Annotated[
        list[str] | None,
        Option("--name", metavar="NAME", help="a name that a proxy in front of it is known by"),
    ] = None,
) -> int:
    """Run until stopped: observe sources, run what is due, answer commands, webhooks and probes.

    If another process leads the project, this one stands by and takes over when the leader ends.
    SIGTERM or Ctrl-C lets running attempts finish (exit 0). A second signal ends them at once (exit
    4), and the next leader repeats them.
    """
    from headrace.cli.server import ListenAddress, serve

    return serve(invocation, ListenAddress(host, port, tuple(name or ())))


# `headrace dev`


@terminal_command(
    group="change", summary="serve an environment that applies and builds what you save"
)
def dev_command(
    invocation: Invocation,
    host: Host = "127.0.0.1",
    port: Port = 8787,
) -> int:
    """Serve the environment `dev` (or --env NAME, never prod); apply and build what you save."""
    from headrace.cli.server import ListenAddress, line_printer, serve
    from headrace.serving.serving import ENVIRONMENT, Saves, refuse_production

    env = invocation.options.env or os.environ.get("HEADRACE_ENV") or ENVIRONMENT
    invocation.options = invocation.options._replace(env=env)
    refuse_production(invocation.session)
    saves = Saves(invocation.session, line_printer(invocation))
    try:
        return serve(invocation, ListenAddress(host, port), saves)
    finally:
        saves.close()
