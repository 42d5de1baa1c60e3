"""Promises expect no data for exactly the intervals that the scheduler never runs."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from projects import compiled, sql, write

from headrace.model import Grain
from headrace.model.intervals import keys_between
from headrace.runtime.graph import graph_of
from headrace.scheduler.state import SchedulerState
from headrace.slo.declared_promises import declared_promises

SPANS = {
    Grain.HOUR: ("2025-01-23T00:00+00:00", "2025-01-29T00:00+00:00"),
    Grain.DAY: ("2025-01-20", "2025-03-05"),
    Grain.WEEK: ("2025-W04", "2025-W09"),
    Grain.MONTH: ("2025-03", "2025-05"),
}
FIRST = {"hour": "2025-01-01T00:00+00:00", "day": "2025-01-01", "week": "2025-W01"}
CALENDARS = {
    "weekends": [f"2025-01-{day:02d}" for day in (4, 5, 11, 12, 18, 19, 25, 26)],
    "february": [f"2025-02-{day:02d}" for day in range(1, 29)],
}
READS = ("{}", "{previous: true}", "{lookback: 1d}", "{previous: true, lookback: 2d}")


def _files() -> dict[str, str]:
    files = {
        f"calendars/{name}.yaml": "".join(f"- {day}\n" for day in days)
        for name, days in CALENDARS.items()
    }
    for grain, calendar in product(FIRST, (*CALENDARS, "")):
        name = f"{grain}_{calendar or 'always'}"
        files[f"sources/{name}.yaml"] = (
            f"source: {name}\nowner: vendor\npartition: {grain}\nstart: '{FIRST[grain]}'\n"
            f"files: landing/{name}_{{date:%Y%m%dT%H%z}}.csv\n"
            + (f"calendar: {calendar}\n" if calendar else "")
        )
    number = 0

    def add(grain: str, inputs: dict[str, str], **front: str) -> str:
        nonlocal number
        number += 1
        name = f"a{number}"
        declared = ", ".join(f"{read}: {how}" for read, how in inputs.items())
        files[f"assets/{name}.sql"] = sql(
            f"select $partition_start as at, count(*) as n from {', '.join(inputs)}",
            partition=f"{{by: {grain}, column: at}}",
            inputs=f"{{{declared}}}",
            **front,
        )
        return name

    for grain, into, how in product(SPANS, FIRST, READS):
        over = add(grain.value, {f"{into}_weekends": how})
        add(grain.value, {f"{into}_february": how})
        add(grain.value, {f"{into}_weekends": how, "day_february": "{}"})
        add(grain.value, {f"{into}_weekends": how, "day_always": "{}"})
        add(grain.value, {over: how})
        add(grain.value, {f"{into}_weekends": how}, calendar="february")
    return files


@pytest.mark.long
def test_no_data_is_owed_where_none_runs(tmp_path: Path) -> None:
    """Catches a Sunday of which an asset reads a Saturday without data: it was owed for ever."""
    project = compiled(write(tmp_path, _files()))
    state, declared = SchedulerState(graph_of(project)), declared_promises(project).nodes
    covered = 0
    for node in state.graph.nodes:
        grain = node.partition.time_grain
        keys = list(keys_between(*SPANS[grain], grain, "UTC"))
        promised = declared[node.name].no_data
        free = [key for key in keys if promised.covers(key)]
        assert free == [key for key in keys if not state.needs.expected(node, key)], node
        assert promised.count(keys[0], keys[-1]) == len(free), node
        covered += len(free)
    assert covered > 1_000
