"""`headrace lineage`, `render`, `try`, `test`: an asset's columns, SQL, trial runs, unit tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from headrace.cli import output
from headrace.cli.declared_commands import ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, data_table, seconds, value_text, values_text
from headrace.cli.run_results import partition_span, render_error
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line, partition_argument
from headrace.model.wording import few
from headrace.project.parameters import Option
from headrace.responses import (
    CheckRow,
    LineageResponse,
    LineageRow,
    PublishedCodeRow,
    RenderInput,
    RenderResponse,
    TryResponse,
)
from headrace.responses.inspections import RowDifferenceRow, TestRow
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


# `headrace try ASSET[@K]`

FAILED_STATES = ("failed", "rejected", "held")


def _render_try(response: TryResponse, page: CommandOutput) -> None:
    page.head(f"{response.asset}@{response.partition}", "a try: nothing was published")
    page.say()
    if response.error is not None:
        render_error(response.error, page, f"{response.asset}@{response.partition}")
    if response.rows:
        data_table(page, response.columns, response.rows)
        page.say()
    if response.checks:
        page.table(CHECK_COLUMNS, [_check_row(check) for check in response.checks])
        page.say()
    for line in response.log:
        page.say(line, "dim", indent=2)
    rows = "" if response.rows_total is None else plural(response.rows_total, "row")
    page.facts(
        output.state_mark(response.state),
        rows,
        seconds(response.seconds),
        response.reason or "",
        style=_try_style(response),
    )
    text = command_line("render", partition_argument(response.asset, response.partition))
    page.next("headrace apply" if response.state not in FAILED_STATES else text)


try_command = ServiceCommand(
    "try_asset:try_asset",
    _render_try,
    exit_code=lambda response: int(response.state in FAILED_STATES),
)


def _try_style(response: TryResponse) -> str:
    return (
        "bad"
        if response.state in FAILED_STATES
        else "good"
        if response.state == "passed"
        else "warn"
    )


CHECK_COLUMNS = [
    ColumnLayout("check", gives=1, least=12),
    ColumnLayout("outcome", least=10),
    ColumnLayout("failing", right=True, drops=1),
    ColumnLayout("what", gives=2, least=16),
]


def _check_row(check: CheckRow) -> list[str | StyledCell]:
    outcome = (
        "warned" if check.outcome == "failed" and check.severity == "warning" else check.outcome
    )
    return [
        check.name,
        output.state_cell(outcome),
        f"{check.failing:,}" if check.failing else "",
        check.detail,
    ]


# `headrace test [SELECT…]`

DIFFERENCES_SHOWN_MAX = 5
"""Rows of each kind below a test; `--json` has more."""
TEST_COLUMNS = [
    ColumnLayout("", least=1),
    ColumnLayout("test", gives=2, least=16),
    ColumnLayout("asset", gives=3, least=12),
    ColumnLayout("partition", drops=2),
    ColumnLayout("checks", drops=1),
    ColumnLayout("took", drops=3, right=True),
]


def _render_tests(rows: list[TestRow], page: CommandOutput) -> None:
    if not rows:
        page.say("no tests are declared for these nodes", "warn")
        page.next("headrace ls")
        return
    page.table(TEST_COLUMNS, [_test_row(row) for row in rows])
    for row in rows:
        if row.state != "passed":
            page.say()
            _render_failed_test(row, page)
    page.say()
    failed = [row for row in rows if row.state != "passed"]
    count_texts = [plural(len(rows) - len(failed), "test") + " passed"] + [
        f"{len(failed)} not"
    ] * bool(failed)
    page.facts(
        *count_texts,
        seconds(sum(row.seconds or 0 for row in rows)),
        style="bad" if failed else "good",
    )
    page.next("headrace test " + failed[0].asset if failed else "headrace apply")


test_command = ServiceCommand(
    "asset_tests:run_tests",
    _render_tests,
    exit_code=lambda rows: int(any(row.state != "passed" for row in rows)),
    clock=False,
)


def _test_row(row: TestRow) -> list[str | StyledCell]:
    mark = StyledCell("✓", "good") if row.state == "passed" else StyledCell("✗", "bad")
    return [mark, row.test, row.asset, row.partition or "", _checks_text(row), seconds(row.seconds)]


def _checks_text(row: TestRow) -> str:
    """Return the counts of the asset's check outcomes: `2 passed, 1 failed`."""
    counts = {
        outcome: sum(check.outcome == outcome for check in row.checks)
        for outcome in ("passed", "failed", "unchecked")
    }
    return ", ".join(f"{n} {outcome}" for outcome, n in counts.items() if n)


def _render_failed_test(row: TestRow, page: CommandOutput) -> None:
    page.say(f"✗ {row.test}  {row.file}:{row.line}", "bad")
    if row.error is not None:
        render_error(row.error, page, row.asset)
    if row.reason:
        page.say(row.reason, indent=2)
    _render_rows("expected, and not there", "-", row.missing, page)
    _render_rows("not expected", "+", row.unexpected, page)
    if row.changed:
        page.say("other cells than expected:", indent=2)
    for change in row.changed[:DIFFERENCES_SHOWN_MAX]:
        _render_change(change, page)
    count = sum(
        min(DIFFERENCES_SHOWN_MAX, len(rows)) for rows in (row.missing, row.unexpected, row.changed)
    )
    page.rest(
        row.differences - count,
        "more row",
        then=" that aren't as expected; --json has more",
        style="dim",
    )
    for check in row.checks:
        if check.outcome == "failed":
            page.say(
                f"check {check.name}: {output.state_mark(check.outcome)} {check.detail}",
                "dim",
                indent=2,
            )
    for line in row.log[-DIFFERENCES_SHOWN_MAX:]:
        page.say(line, "dim", indent=2)


def _render_rows(what: str, sign: str, rows: Sequence[dict[str, Any]], page: CommandOutput) -> None:
    if rows:
        page.say(f"{what}:", indent=2)
    for row in rows[:DIFFERENCES_SHOWN_MAX]:
        page.say(f"{sign} {values_text(row)}", "bad" if sign == "-" else "warn", indent=4)
    page.rest(len(rows) - DIFFERENCES_SHOWN_MAX, "more row", then="; --json has all")


def _render_change(change: RowDifferenceRow, page: CommandOutput) -> None:
    wrong = {cell.column for cell in change.cells}
    same = {name: value for name, value in change.row.items() if name not in wrong}
    page.say(f"~ {values_text(same)}", "warn", indent=4)
    for cell in change.cells:
        page.say(
            f"{cell.column}: expected {value_text(cell.expected)}, got {value_text(cell.got)}",
            indent=8,
        )
