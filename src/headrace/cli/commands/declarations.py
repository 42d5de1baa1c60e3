"""`headrace validate` and `ls`: problems of a project's files, and the nodes that they declare."""

from __future__ import annotations

from headrace.cli.declared_commands import ServiceCommand
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.responses import Counts, NodeRow, ProblemRow, ValidateResponse

# `headrace validate`

PROBLEMS_SHOWN_MAX = 100
"""Problems printed for people; `--json` has all."""


def _render_problems(response: ValidateResponse, page: CommandOutput) -> None:
    for problem in response.problems[:PROBLEMS_SHOWN_MAX]:
        _render_problem(problem, page)
    page.rest(
        len(response.problems) - PROBLEMS_SHOWN_MAX,
        "more problem",
        then="; headrace validate --json lists all",
        indent=0,
    )
    if response.binding is not None and response.binding.left:
        left = plural(response.binding.left, "SQL statement")
        page.say(
            f"{left} of {response.binding.statements:,} not bound yet: headrace validate --bind",
            "warn",
        )
    if response.left_out:
        others = plural(response.left_out, "problem")
        page.say(f"left out: {others} of files that your roles don't reach", "warn")
    errors = sum(problem.severity == "error" for problem in response.problems)
    warnings = len(response.problems) - errors
    count_texts = [plural(errors, "error")] * bool(errors) + [plural(warnings, "warning")] * bool(
        warnings
    )
    if response.ok:
        page.facts("✓ valid", counts_text(response.counts), *count_texts, style="good")
        page.next("headrace status")
    else:
        page.facts("✗ not valid", *count_texts, style="bad")
        if response.problems:
            page.next(f"headrace explain {response.problems[0].code}")


validate_command = ServiceCommand(
    "validate:validate",
    _render_problems,
    exit_code=lambda response: int(not response.ok),
    clock=False,
)


def _render_problem(problem: ProblemRow, page: CommandOutput) -> None:
    style = "bad" if problem.severity == "error" else "warn"
    page.say(
        f"{problem.file}:{problem.line}  {problem.severity}: {problem.message} [{problem.code}]",
        style,
    )
    if problem.hint:
        page.say(f"hint: {problem.hint}", indent=4)


def counts_text(counts: Counts) -> str:
    """Return `5 sources, 12 assets, 3 consumers`, and the number of contracts if there are any."""
    kinds = ["sources", "assets", "consumers"] + ["contracts"] * bool(counts.contracts)
    return ", ".join(plural(getattr(counts, kind), kind.removesuffix("s")) for kind in kinds)


# `headrace ls [SELECT…]`


RETAIN_COLUMN = ColumnLayout("retain", least=5, drops=1)
NODE_COLUMNS = [
    ColumnLayout("name", gives=2, least=24),
    ColumnLayout("kind"),
    ColumnLayout("body", drops=2),
    ColumnLayout("owner", gives=3, least=8, drops=3),
    ColumnLayout("domain", gives=4, least=6, drops=5),
    ColumnLayout("partition", gives=1, least=5, drops=1),
    RETAIN_COLUMN,
    ColumnLayout("tags", gives=5, least=6, drops=6),
    ColumnLayout("file", gives=6, least=16, drops=4),
]
"""Without `RETAIN_COLUMN` where nothing is retained or held."""


def _render_nodes(rows: list[NodeRow], page: CommandOutput) -> None:
    retain = any(row.retain or row.hold for row in rows)
    columns = [column for column in NODE_COLUMNS if retain or column is not RETAIN_COLUMN]
    page.table(columns, [_node_row(row, retain=retain) for row in rows])
    kinds = [
        (kind, sum(row.kind == kind for row in rows)) for kind in ("source", "asset", "consumer")
    ]
    page.say(", ".join(plural(n, kind) for kind, n in kinds if n) or "no node is selected")
    page.next("headrace status" if rows else "headrace validate")


def _retain_text(row: NodeRow) -> str:
    held = "legal hold" if row.hold is not None else ""
    retained = f"{row.retain}, from {row.kept_from}" if row.retain else ""
    return "; ".join(part for part in (retained, held) if part)


def _node_row(row: NodeRow, *, retain: bool) -> list[str | StyledCell]:
    return [
        StyledCell(row.name, "bold"),
        row.kind,
        row.body or "",
        row.owner,
        row.domain or "",
        row.partition or "",
        *([_retain_text(row)] if retain else []),
        ", ".join(row.tags),
        row.file,
    ]


ls_command = ServiceCommand("ls:ls", _render_nodes, clock=False)
