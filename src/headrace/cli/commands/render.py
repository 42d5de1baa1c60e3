"""`headrace render ASSET[@K]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parameters import Set, parameters
from headrace.cli.parsing import Argument
from headrace.cli.running import span
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.model.commands import command_line, place
from headrace.operations.render import render
from headrace.operations.responses import RenderInput, RenderResponse

COLUMNS_SHOWN_MAX = 60


def command(
    invocation: Invocation,
    target: Annotated[str, Argument("ASSET[@K]", help="an asset, and which partition")],
    setting: Set = None,
) -> int:
    """The SQL of an asset as it will run: its text, the values bound to it, the partitions of its inputs."""
    invocation.show(render(invocation.session, target, parameters(setting)), _render)
    return 0


INPUTS = [
    ColumnLayout("input", gives=1, least=10),
    ColumnLayout("read", least=6, drops=1),
    ColumnLayout("partitions", gives=2, least=12),
    ColumnLayout("published", right=True),
]


def _render(response: RenderResponse, page: CommandOutput) -> None:
    page.head(f"{response.asset}@{response.partition}", f"{response.file}:{response.line}")
    page.say()
    page.raw(response.text)
    page.say()
    for name, value in response.parameters.items():
        page.say(f"${name} = {value}", indent=2)
    page.table(INPUTS, [_input(render_input) for render_input in response.inputs])
    if response.columns is not None:
        page.table(
            [ColumnLayout("column", gives=1, least=10), ColumnLayout("type", gives=2, least=8)],
            [[column.name, column.type] for column in response.columns[:COLUMNS_SHOWN_MAX]],
        )
    else:
        page.say("its columns are known once it has run", "dim", indent=2)
    page.next(command_line("try", place(response.asset, response.partition)))


def _input(render_input: RenderInput) -> list[str | StyledCell]:
    partitions = "all that is published" if render_input.partitions is None else span(render_input.partitions)
    return [StyledCell(render_input.node, "bold"), render_input.mode, partitions, f"{render_input.published:,}"]
