"""`ab`: run an asset before and after a change over the same partitions, and compare."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from headrace.extension import (
    READ,
    Argument,
    Asset,
    Option,
    Progress,
    ProjectSession,
    UsageError,
    command,
)
from headrace.model.times import parse_duration
from headrace.privacy.masking import refuse_hidden, refuse_inputs
from headrace.project import targets
from headrace.project.session import usable
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.responses.trials import TrialRow
from headrace_advisor.services.changed_assets import (
    compiled_with,
    require_same_table,
    text_of,
    with_query,
)
from headrace_advisor.services.order_trials import ORDER_BY, try_order
from headrace_advisor.services.trial_inputs import (
    PARTITIONS_DEFAULT,
    PARTITIONS_MAX,
    changed_settings,
    chosen_partitions,
    idle_slots,
    side_settings,
    suitable_store,
    trial_partitions,
)
from headrace_advisor.services.trial_records import RecordArguments, record

BUDGET_MAX_S = 3_600
Budget = Annotated[
    str, Option("--budget", metavar="D", help="stop measuring after this time: 30s, 10m (60s)")
]

NumberOfPartitions = Annotated[
    int,
    Option("--partitions", metavar="N", help="of --prove: how many (3)"),
    Meta(ge=1, le=PARTITIONS_MAX),
]


@command(
    "ab",
    READ,
    of="asset",
    session="ab",
    not_for_agents="it runs queries in the process that calls it, for up to an hour",
)
def ab(
    session: ProjectSession,
    asset: Annotated[str, Argument("[ASSET]", "a SQL asset; without one, list the trials")],
    *,
    change: Annotated[
        Path | None, Option("--change", metavar="FILE", help="the changed query, or asset file")
    ] = None,
    setting: Annotated[
        Sequence[str],
        Option(
            "--setting", metavar="K=V", help="threads=1, memory=1GB, workers=4 or order_by=COLUMN"
        ),
    ] = (),
    partitions: Annotated[
        Sequence[str],
        Option("--partitions", metavar="N|K", help="how many (3), or one of them; again for each"),
    ] = (),
    budget: Budget = "60s",
    progress: Progress,
) -> TrialRow:
    """Run an asset before and after a change over the same published partitions, and compare.

    With `order_by=COLUMN,…`, the asset's rows are sorted, and the assets that read the same
    partition run over files with sorted and with unsorted rows, too.

    The runs are interleaved and publish nothing. They begin while a worker slot is idle; waiting
    for one is part of the budget. The trial is stored, whatever it comes to. Raise
    UsageError without exactly one change, InvalidProject if the changed files have errors, Refused
    for a query that may give other rows in each run, and where nothing is published.
    """
    before = usable(session.declared_exactly(progress)[1])
    name, _ = targets.target(asset, before.project, kinds=(Asset,))
    declared = before.project.assets[name]
    if (change is None) == (not setting):
        raise UsageError(
            "a trial needs one change: --change FILE, or --setting K=V",
            hint=f"headrace ab {name} --change new.sql",
        )
    seconds = budget_seconds(budget)
    store = suitable_store(session, ProjectTables(before), name)
    refuse_hidden(session, name, "ab")
    refuse_inputs(session, before, name, "ab")
    deadline = time.monotonic() + seconds
    if len(setting) == 1 and setting[0].startswith(ORDER_BY):
        return try_order(session, before, name, setting[0], partitions, deadline, progress)
    same = side_settings(session)
    if change is None:
        after, settings = before, changed_settings(session, setting)
    else:
        contents = with_query(session, declared, text_of(change))
        after, settings = compiled_with(session, contents).compiled, same
        require_same_table(before, after, name)
        suitable_store(session, ProjectTables(after), name)
        refuse_inputs(session, after, name, "ab")
    keys = chosen_partitions(store, declared, partitions, PARTITIONS_DEFAULT)
    from headrace_advisor.analysis.trial_runs import TrialRunner

    both = trial_partitions(session, store, (before, after), name, keys, (same, settings))
    progress.start(f"partitions of {name}", len(both))
    try:
        with idle_slots(session, progress) as slots:
            runner = TrialRunner(session.folders, session.timezone, deadline, slots)
            trial = runner.run(both, timed=True, done=lambda: progress.advance(1))
    finally:
        progress.finish()
    arguments = RecordArguments(
        node=name,
        finding=None,
        change=str(change) if change is not None else ", ".join(setting),
        code_before=before.nodes[name].fingerprint,
        code_after=after.nodes[name].fingerprint,
        trial=trial,
    )
    return record(session, arguments, progress)


def budget_seconds(text: str) -> float:
    """Return a budget in seconds. Raise UsageError for one that is invalid or too long."""
    seconds = parse_duration(text).total_seconds()
    if not 1 <= seconds <= BUDGET_MAX_S:
        raise UsageError(f"--budget {text[:20]} isn't between 1s and 1h")
    return seconds
