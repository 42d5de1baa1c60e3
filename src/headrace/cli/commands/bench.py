"""`headrace bench`: what Headrace costs on this machine."""

from __future__ import annotations

from pathlib import Path

from headrace.cli.declared_commands import terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout
from headrace.services.responses.bench import BenchFigure, BenchResponse

LABELS = {
    "tasks_per_second": "no-ops",
    "hop_p50_ms": "hop, p50",
    "hop_p95_ms": "hop, p95",
    "published_per_second": "published rows",
    "partition_ms": "small SQL partition",
    "backfill_seconds": "backfill of a year",
    "status_seconds": "headrace status",
}


@terminal_command(
    "bench:bench", group="operate", summary="measure what Headrace costs on this machine"
)
def bench_command(
    invocation: Invocation, names: list[str], quick: bool, folder: Path | None
) -> int:
    """Measure what Headrace costs on this machine, next to the same work without Headrace.

    It takes about a minute, writes nothing into a project, and removes what it made. The figures
    depend on the disk: --folder names a folder on the one that matters.
    """
    from headrace.services.bench import bench

    response = bench(names, quick=quick, folder=folder, progress=invocation.progress())
    invocation.show(response, _render, clock=False)
    return 0


def _render(response: BenchResponse, page: CommandOutput) -> None:
    machine = response.machine
    page.say(
        f"Headrace {response.version} on {machine.os}, {machine.cores} cores,"
        f" {machine.memory_gib} GiB, Python {machine.python}; disk of {response.folder};"
        f" load before it began: {machine.load_before}"
    )
    if response.quick:
        page.say("--quick: these figures say whether it works, not how fast it is", "warn")
    columns = [
        ColumnLayout("measured", gives=1, least=12),
        ColumnLayout("Headrace", least=8),
        ColumnLayout("floor", least=8),
        ColumnLayout("ratio", least=5),
    ]
    figures = [item for item in response.figures if not item.name.startswith("floor/")]
    page.table(columns, [_row(item) for item in figures])
    page.say("The floor is the same work without Headrace: no checks, no record, no recovery.")


def _row(figure: BenchFigure) -> list[str]:
    floor = figure.against["floor"]
    ratio = f"{figure.value / floor:.2f} ×" if floor else ""
    return [
        LABELS.get(figure.name, figure.name),
        _value(figure.value, figure.unit),
        _value(floor, figure.unit),
        ratio,
    ]


def _value(value: float, unit: str) -> str:
    """Return a value with its unit, in three significant digits."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}{unit if unit == '/s' else ' ' + unit}"
