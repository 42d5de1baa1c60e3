"""`headrace init [DIR]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import joined
from headrace.operations.init import init
from headrace.operations.responses import InitResponse

FILES_SHOWN_MAX = 12
EDITOR = ".vscode/"


def rewritten(arguments: list[str]) -> list[str]:
    """`--from a b c`, as a shell's glob gives it, as `--from a --from b --from c`."""
    results: list[str] = []
    inside = False
    for word in arguments:
        if word.startswith("-") and word != "-":
            inside = word == "--from"
            results += [] if inside else [word]
        else:
            results += ["--from", word] if inside else [word]
    return results + ["--from"] * (inside and arguments[-1] == "--from")


def command(
    invocation: Invocation,
    directory: Annotated[Path | None, Argument("[DIR]", help="where (default: this folder)")] = None,
    files: Annotated[
        list[Path] | None,
        Option("--from", metavar="FILE…", help="derive sources, contracts and assets from these"),
    ] = None,
) -> int:
    """A new project that runs: a small example, or with --from one that is derived from files.

    Write the folder before --from: everything after it is a file.
    """
    response = init(directory or Path(), files or [])
    invocation.show(response, _render, clock=False)
    return 0


def _render(response: InitResponse, page: CommandOutput) -> None:
    page.say(f"✓ a new project in {response.directory}", "good")
    kinds = [("sources", response.sources), ("assets", response.assets), ("consumers", response.consumers)]
    page.table(
        [ColumnLayout("", least=9), ColumnLayout("", gives=1, least=20)],
        [[StyledCell(kind, "dim"), joined(names, 8)] for kind, names in kinds],
        header=False,
    )
    files = [file for file in response.files if not file.startswith(EDITOR)]
    for file in files[:FILES_SHOWN_MAX]:
        page.say(file, indent=4)
    if len(files) > FILES_SHOWN_MAX:
        page.say(f"and {len(files) - FILES_SHOWN_MAX} more files", indent=4)
    if len(files) < len(response.files):
        page.say(f"{EDITOR} (schemas of these files, for an editor)", "dim", indent=4)
    for note in response.notes:
        page.say(f"! {note}", "warn", indent=2)
    page.next(response.next)
