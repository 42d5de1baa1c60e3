"""`headrace lineage` and `render`: an asset's columns and SQL."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.declared_commands import ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.run_results import partition_span
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line, partition_argument
from headrace.model.wording import few
from headrace.project.parameters import Option
from headrace.responses import (
    LineageResponse,
    LineageRow,
    PublishedCodeRow,
    RenderInput,
    RenderResponse,
)
from headrace.services.lineage import lineage

# `headrace lineage ASSET[.COLUMN]`

LINEAGE_SHOWN_MAX = 100
NAMES_SHOWN_MAX = 20


@terminal_command("lineage:lineage", group="look", summary="trace a column upstream and downstream")
def lineage_command(
    invocation: Invocation,
    column: str,
    only_up: Annotated[bool, Option("--up", help="only where it comes from")] = False,
    only_down: Annotated[bool, Option("--down", help="only where it goes to")] = False,
) -> int:
    """Show which columns a column comes from and goes into, with the transformation of each."""
    if only_up and only_down:
        raise UsageError("--up and --down exclude each other", hint="leave out both to see both")
    invocation.show(
        lineage(invocation.session, column, up=not only_down, down=not only_up),
        _render_lineage,
        clock=False,
    )
    return 0


LINEAGE_COLUMNS = [
    ColumnLayout("", least=1),
    ColumnLayout("column", gives=1, least=16),
    ColumnLayout("how", least=8),
    ColumnLayout("via", gives=2, least=12, drops=1),
]


CODE_COLUMNS = [
    ColumnLayout("applied as", gives=1, least=12),
    ColumnLayout("partitions", right=True),
    ColumnLayout("from", least=7),
    ColumnLayout("to", least=7),
]


def _versions_text(row: PublishedCodeRow) -> str:
    return f"version {row.versions[0]}" + (
        f" … {row.versions[-1]}" if len(row.versions) > 1 else ""
    )


def _render_lineage(response: LineageResponse, page: CommandOutput) -> None:
    page.say(response.column, "bold")
    _render_direction(response.upstream, "←", "comes from nothing upstream", page)
    _render_direction(response.downstream, "→", "goes into nothing downstream", page)
    affected = [*(response.affected_consumers or ()), *(response.affected_assets or ())]
    if affected:
        page.say(f"a change affects {few(affected, NAMES_SHOWN_MAX)}", indent=2)
    if len(response.code) > 1:
        page.say(
            f"{len(response.code)} versions of its code computed what readers see:",
            "warn",
            indent=2,
        )
        page.table(
            CODE_COLUMNS,
            [
                [_versions_text(row), f"{row.partitions:,}", row.from_, row.to]
                for row in response.code[:LINEAGE_SHOWN_MAX]
            ],
        )
    page.next(command_line("read", response.column.partition(".")[0]))


def _render_direction(
    rows: list[LineageRow] | None, arrow: str, nothing: str, page: CommandOutput
) -> None:
    if rows is None:
        return
    if not rows:
        page.say(nothing, "dim", indent=2)
        return
    page.table(
        LINEAGE_COLUMNS,
        [
            [arrow, StyledCell(row.column, "bold"), row.transformation.replace("_", " "), row.via]
            for row in rows[:LINEAGE_SHOWN_MAX]
        ],
    )
    page.rest(len(rows) - LINEAGE_SHOWN_MAX, then="; --json has all")


# `headrace render ASSET[@K]`

COLUMNS_SHOWN_MAX = 60


INPUT_COLUMNS = [
    ColumnLayout("input", gives=1, least=10),
    ColumnLayout("read", least=6, drops=1),
    ColumnLayout("partitions", gives=2, least=12),
    ColumnLayout("published", right=True),
]


def _render_sql(response: RenderResponse, page: CommandOutput) -> None:
    page.head(f"{response.asset}@{response.partition}", f"{response.file}:{response.line}")
    page.say()
    page.raw(response.text)
    page.say()
    for name, value in response.parameters.items():
        page.say(f"${name} = {value}", indent=2)
    page.table(INPUT_COLUMNS, [_input_row(render_input) for render_input in response.inputs])
    if response.columns is not None:
        page.table(
            [ColumnLayout("column", gives=1, least=10), ColumnLayout("type", gives=2, least=8)],
            [[column.name, column.type] for column in response.columns[:COLUMNS_SHOWN_MAX]],
        )
        columns = len(response.columns)
        page.rest(columns - COLUMNS_SHOWN_MAX, "more column", then="; --json has all")
    else:
        page.say("its columns are known once it has run", "dim", indent=2)
    page.next(command_line("try", partition_argument(response.asset, response.partition)))


render_command = ServiceCommand("render:render", _render_sql)


def _input_row(render_input: RenderInput) -> list[str | StyledCell]:
    partitions = (
        "all that is published"
        if render_input.partitions is None
        else partition_span(render_input.partitions)
    )
    return [
        StyledCell(render_input.node, "bold"),
        render_input.mode,
        partitions,
        f"{render_input.published:,}",
    ]
