"""What a trial needs: both sides of a change over published partitions, as workers get them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from headrace.extension import Asset, Progress, ProjectSession, Refused, UsageError
from headrace.lake.catalog import newest_snapshot
from headrace.model import SqlBody
from headrace.model.fields import memory_in_bytes
from headrace.model.nodes import MaterializationKind
from headrace.model.partitions import WHOLE
from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.project import targets
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.leadership import worker_settings
from headrace.runtime.messages import ComputeTask
from headrace.runtime.tasks import TaskBuilder, Undeliverable
from headrace.runtime.worker_protocol import WorkerSettings
from headrace.scheduler import AttemptId, Dispatch
from headrace.security.state import open_state
from headrace.store import Store
from headrace_advisor.analysis.idle_slots import IdleSlots
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.row_order import FLOAT_ORDER
from headrace_advisor.queries import published_rows

if TYPE_CHECKING:
    from headrace_advisor.analysis.trial_runs import EngineSettings, TrialPartition

EPOCH = 0
"""An epoch that no leader ever has."""
PARTITIONS_MAX = 50
PARTITIONS_DEFAULT = 3


def repeatability(compiled: Compiled) -> Callable[[str], str | None]:
    """Return why an asset may give other rows when it is computed again, as a function of its name.

    Headrace asks this before it removes what `retain_rebuildable` declares.
    """
    tables = ProjectTables(compiled)
    return lambda name: unsuitable(tables, name) or differs_in_floats(tables, name)


def unsuitable(tables: ProjectTables, name: str) -> str | None:
    """Return why an asset can't be tried; None if it can."""
    asset = tables.compiled.project.assets[name]
    if not isinstance(asset.body, SqlBody):
        return "only SQL assets can be tried"
    if asset.materialize != MaterializationKind.TABLE:
        return f"it has `materialize: {asset.materialize}`; only tables can be tried"
    if tables.compiled.nodes[name].uses_self:
        return "it reads its own earlier rows"
    return next(_unrepeatable(tables, name), None)


def differs_in_floats(tables: ProjectTables, name: str) -> str | None:
    """Return why two runs of a query may differ in the last places of floats, or None."""
    reasons = _unrepeatable(tables, name, floats=True)
    return next((text for text in reasons if text.endswith(FLOAT_ORDER)), None)


def _unrepeatable(tables: ProjectTables, name: str, *, floats: bool = False) -> Iterator[str]:
    """Yield why two runs of a query may give other rows for the same input.

    Sums of floats only with `floats`: they differ in the last places, which a comparison says.
    """
    statement = tables.statement(name)
    if statement is None:
        yield f"the query of {name} can't be read"
        return
    for text in Queries(statement, tables.catalog(name)).instabilities:
        if floats or not text.endswith(FLOAT_ORDER):
            yield f"two runs of {name} give the same rows only if {text}"
    for spec in tables.compiled.nodes[name].inputs:
        if is_view(tables.compiled.project, spec.node):
            yield from _unrepeatable(tables, spec.node, floats=floats)


def suitable_store(session: ProjectSession, tables: ProjectTables, name: str) -> Store:
    """Return the state that holds an asset's publications.

    Raise Refused for an asset that can't be tried, and where nothing of it is published.
    """
    if session.production is not None:
        raise Refused(
            "a trial runs over production's published data",
            hint="leave --env away",
        )
    reason = unsuitable(tables, name)
    if reason is not None:
        raise Refused(f"{name} can't be tried: {reason}", hint=f"headrace try {name}")
    if session.store is None:
        raise nothing_published(name)
    return session.store


def idle_slots(session: ProjectSession, progress: Progress) -> IdleSlots:
    """Return the slots that the rounds of a trial wait for, which is displayed as progress."""
    return IdleSlots(
        lambda: open_state(session.root, session.settings),
        session.settings.workers,
        progress.ahead,
    )


def nothing_published(name: str) -> Refused:
    """Return the error of a trial without data."""
    return Refused(
        f"{name} has no published partition with rows, so there is nothing to compare",
        hint="headrace run",
    )


def chosen_partitions(store: Store, asset: Asset, asked: Sequence[str], default: int) -> list[str]:
    """Return the partitions of a trial: a number of them, or those with the keys `asked`.

    A number takes the newest, and others spread over the history. Raise Refused if none is
    published, UsageError for an unknown partition.
    """
    with store.read() as tx:
        published = published_rows.keys_with_rows(tx, asset.name)
    if not published:
        raise nothing_published(asset.name)
    if not asked:
        return spread_over(published, default)
    number = _number(asked[0]) if len(asked) == 1 and asked[0] not in published else None
    if number is not None:
        return spread_over(published, number)
    keys = [targets.partition(asset, key) for key in asked]
    if len(keys) > PARTITIONS_MAX:
        raise UsageError(f"--partitions takes 1 to {PARTITIONS_MAX} partitions")
    absent = [key for key in keys if key not in published]
    if absent:
        raise Refused(
            f"{asset.name}@{absent[0]} isn't published, or has no rows",
            hint=f"headrace ls {asset.name} lists its partitions",
        )
    return list(dict.fromkeys(keys))


def input_partitions(store: Store, compiled: Compiled, name: str, number: int) -> list[str]:
    """Return partitions that all partitioned inputs of an asset have, as `spread_over` does.

    Raise Refused without one.
    """
    inputs = {spec.node for spec in compiled.nodes[name].inputs}
    nodes = [compiled.project.source_or_asset(node) for node in inputs]
    names = [node.name for node in nodes if node is not None and node.partition.grain is not None]
    with store.read() as tx:
        published = [published_rows.keys_with_rows(tx, node) for node in names]
    common = [key for key in published[0] if all(key in keys for keys in published[1:])]
    if not common:
        raise Refused(
            f"no partition is published with rows of each partitioned input of {name}, so there is"
            " nothing to compare",
            hint="headrace run",
        )
    return spread_over(common, number)


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 2):
        return None
    number = int(text)
    if not 1 <= number <= PARTITIONS_MAX:
        raise UsageError(f"--partitions takes 1 to {PARTITIONS_MAX}")
    return number


class SideSettings:
    """The settings with which a side runs: those of this machine's workers, and changes of them."""

    def __init__(
        self, worker: WorkerSettings, *, threads: int | None = None, memory: int | None = None
    ) -> None:
        self._worker, self._threads, self._memory = worker, threads, memory

    def of(self, task: ComputeTask) -> EngineSettings:
        """Return the settings of a task's session; a task with many rows gets all processors."""
        from headrace.runtime.steps.worker_context import DUCKDB_SHARE, LARGE_ROWS
        from headrace_advisor.analysis.trial_runs import EngineSettings

        worker = self._worker
        is_large = sum(data.rows or 0 for data in task.inputs) >= LARGE_ROWS
        memory = self._memory or task.memory_max_bytes or worker.memory_max_bytes
        return EngineSettings(
            self._threads or (worker.threads if is_large else worker.share),
            None if memory is None else int(memory * DUCKDB_SHARE),
        )


def side_settings(session: ProjectSession) -> SideSettings:
    """Return the settings of the workers of this machine."""
    return SideSettings(_worker_settings(session, session.settings.workers))


def changed_settings(session: ProjectSession, texts: Sequence[str]) -> SideSettings:
    """Return the settings that `threads=1`, `memory=1GB` or `workers=4` ask for.

    Raise UsageError for anything else, and for more than this machine has.
    """
    values = dict(_setting(text) for text in texts)
    workers = values.get("workers", session.settings.workers)
    worker = _worker_settings(session, workers)
    if values.get("threads", 1) > worker.threads:
        raise UsageError(
            f"--setting threads={values['threads']}: this machine has {worker.threads}",
            hint="`headrace what-if` simulates larger machines",
        )
    return SideSettings(worker, threads=values.get("threads"), memory=values.get("memory"))


def _setting(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    hint = "--setting takes threads=1, memory=1GB, workers=4 or, alone, order_by=COLUMN,…"
    if name == "memory":
        return name, memory_in_bytes(value)
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= 4 else 0
    if name not in ("threads", "workers") or number < 1:
        raise UsageError(f"--setting {text[:60]!r} isn't a setting of a trial", hint=hint)
    return name, number


def _worker_settings(session: ProjectSession, workers: int) -> WorkerSettings:
    return worker_settings(session.folders, workers, session.settings.memory_max)


def trial_partitions(
    session: ProjectSession,
    store: Store,
    sides: tuple[Compiled, Compiled],
    name: str,
    keys: Sequence[str],
    settings: tuple[SideSettings, SideSettings],
    leaves_out: tuple[str, ...] = (),
    *,
    splits: bool = False,
) -> list[TrialPartition]:
    """Return both sides over each partition, reading the newest snapshot.

    `leaves_out` are columns that the change takes out. With `splits`, the side before computes the
    unpartitioned asset, and that after one of its partitions.

    Partitions whose inputs don't exist any more are left out. Raise Refused if none is left.
    """
    from headrace_advisor.analysis.trial_runs import TrialPartition, TrialSide

    builders = [
        TaskBuilder(AppliedVersion(0, "", compiled), str(session.root)) for compiled in sides
    ]
    partitions: list[TrialPartition] = []
    reason = ""
    now_us = session.clock.now_us()
    with store.read() as tx:
        snapshot = newest_snapshot(tx)
        for key in keys:
            dispatches = _dispatches(name, WHOLE if splits else key, key)
            try:
                tasks = [
                    builder.prepare(tx, dispatch, now_us, snapshot).task
                    for builder, dispatch in zip(builders, dispatches, strict=True)
                ]
            except Undeliverable as error:
                reason = str(error)
                continue
            both = [
                TrialSide(task, of.of(task))
                for task, of in zip(tasks, settings, strict=True)
                if isinstance(task, ComputeTask)
            ]
            partitions.append(TrialPartition(key, both[0], both[1], leaves_out, splits=splits))
    if not partitions:
        raise Refused(f"{name} can't be tried: {reason}", hint="headrace run")
    return partitions


def _dispatches(name: str, *keys: str) -> list[Dispatch]:
    return [Dispatch(AttemptId(EPOCH, os.getpid()), name, (key,), 0) for key in keys]


def spread_over(published: Sequence[str], number: int) -> list[str]:
    """Return the first of some partitions (newest first), and others spread over all of them."""
    if number >= len(published):
        return list(published)
    if number == 1:
        return list(published[:1])
    step = (len(published) - 1) / (number - 1)
    return [published[round(n * step)] for n in range(number)]
