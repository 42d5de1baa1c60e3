"""The compute time of a plan, by the project's own history: now, and in a month."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from headrace.model.intervals import DAY_US
from headrace.plan import ChangeKind, Compiled, NodeChange
from headrace.plan.backfills import Chosen
from headrace.plan.compiled import is_view
from headrace.plan.trials import Side, Trial, TrialVerdict
from headrace.store import Transaction
from headrace.store.queries import attempts, durations, trials

MONTH_US = 30 * DAY_US


class ComputeTime(NamedTuple):
    """Seconds that worker slots are busy; None if nothing is known.

    `unknown` are the nodes that aren't in it, because they have no history.
    """

    partitions: int
    seconds: float | None
    unknown: tuple[str, ...]


class MonthlyChange(NamedTuple):
    """How many seconds more (less: negative) a change makes worker slots busy in a month.

    None if nothing is known. `unknown` are the changed nodes that aren't in it.
    """

    seconds: float | None
    unknown: tuple[str, ...]


def compute_time(
    tx: Transaction, compiled: Compiled, chosen: Iterable[Chosen], added: Iterable[str] = ()
) -> ComputeTime:
    """Return the compute time of partitions, by the mean of each node's newest attempts.

    A node whose code changed counts with the attempts of its earlier code. `added` are new nodes,
    whose partitions nobody has counted yet.
    """
    partitions: dict[str, int] = {}
    for item in chosen:
        partitions[item.node] = partitions.get(item.node, 0) + item.partitions
    total, unknown = None, []
    for name, count in partitions.items():
        mean = _seconds_per_partition(tx, name)
        if mean is None:
            unknown.append(name)
        else:
            total = (total or 0.0) + mean * count
    unknown += [name for name in added if name not in partitions]
    return ComputeTime(sum(partitions.values()), total, tuple(_computed(compiled, unknown)))


def _seconds_per_partition(tx: Transaction, node: str) -> float | None:
    samples = [sample for _, sample in attempts.durations_by_version(tx, node)]
    partitions = sum(count for count, _ in samples)
    return sum(seconds for _, seconds in samples) / partitions if partitions else None


def _computed(compiled: Compiled, names: Collection[str]) -> list[str]:
    """Return the assets of some nodes that are computed; views aren't."""
    project = compiled.project
    return [name for name in names if name in project.assets and not is_view(project, name)]


def monthly_change(
    tx: Transaction,
    old: Compiled,
    new: Compiled,
    node_changes: Iterable[NodeChange],
    now_us: int,
) -> MonthlyChange:
    """Return what changes of assets make of the compute time of a month.

    A removed asset counts with its attempts of the last 30 days, other code with what a trial of
    it came to (`headrace ab`, `optimize --prove`).
    """
    total, unknown = None, []
    for name, kind in sorted({(change.node, change.change) for change in node_changes}):
        if kind is ChangeKind.REMOVED and name in old.project.assets:
            worked_us = durations.worked_us(tx, name, now_us - MONTH_US, now_us)
            total = (total or 0.0) - worked_us / 1e6
        elif kind in (ChangeKind.ADDED, ChangeKind.BODY):
            saved = _measured_saving(tx, new, name, now_us)
            if saved is None:
                unknown.append(name)
            else:
                total = (total or 0.0) - saved
    return MonthlyChange(total, tuple(_computed(new, unknown)))


def _measured_saving(tx: Transaction, new: Compiled, name: str, now_us: int) -> float | None:
    """Return the seconds a month that an asset's new code saves, by its trial; None without one."""
    node = new.nodes.get(name)
    stored = None if node is None else trials.of_code(tx, name, node.fingerprint)
    if stored is None:
        return None
    return saved_seconds(tx, name, msgspec.json.decode(stored.content, type=Trial), now_us)


def saved_seconds(tx: Transaction, node: str, trial: Trial, now_us: int) -> float | None:
    """Return the seconds that a change saves a month, by the real runs of the last 30 days.

    None if the change of durations isn't known.
    """
    if trial.verdict is TrialVerdict.NO_EFFECT:
        return 0.0
    if trial.verdict not in (TrialVerdict.FASTER, TrialVerdict.SLOWER):
        return None
    computed = trials.partitions_computed(tx, node, now_us - MONTH_US, now_us)
    before_ms, after_ms = (
        statistics.fmean(run.ms for run in trial.runs if run.side is side) for side in Side
    )
    return round((before_ms - after_ms) / 1000 * computed, 3)
