"""`headrace init`, `serve` and `dev`: create a project, and run its server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from headrace.cli.declared_commands import terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, data_table
from headrace.cli.run_results import render_learnt_source
from headrace.cli.terminal import ColumnLayout, StyledCell, joined
from headrace.project.parameters import Option
from headrace.responses import InitResponse
from headrace.services.init import CiSystem, init

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
    invocation: Invocation,
    directory: Path | None = None,
    *,
    files: list[Path],
    ci: CiSystem | None,
) -> int:
    """Create a project that runs: a small example, or with --from a project derived from files.

    Write the folder before --from: everything after it is a file. In a project, --ci only adds its
    file.
    """
    response = init(directory or Path(), files, ci)
    invocation.show(response, _render_project, clock=False)
    return 0


def _render_project(response: InitResponse, page: CommandOutput) -> None:
    new = "a new project" if response.sources else "new files"
    page.say(f"✓ {new} in {response.directory}", "good")
    kinds = [
        ("sources", response.sources),
        ("assets", response.assets),
        ("consumers", response.consumers),
    ]
    page.table(
        [ColumnLayout("", least=9), ColumnLayout("", gives=1, least=20)],
        [[StyledCell(kind, "dim"), joined(names, 8)] for kind, names in kinds if names],
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
