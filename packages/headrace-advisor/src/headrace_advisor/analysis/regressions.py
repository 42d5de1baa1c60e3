"""Nodes that became slower lastingly, with what changed at that time. Pure.

Slow is told from wrong: if an input's data was anomalous or held when a node became slow, that data
is the cause, whatever else changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from headrace_advisor.analysis.step_changes import StepChange, lasting_rises

WHOLE = 0.8
HALF = 0.5
"""A factor explains a rise if its logarithm has this share of the rise's logarithm."""


class Work(NamedTuple):
    """One attempt at one partition: its cost, and what it ran with.

    `environment` is a hash of the interpreter and packages; None for SQL.
    """

    attempt: str
    partition: str
    finished_us: int
    version: int | None
    rows_in: int
    run_us: int
    processor_wait_us: int
    environment: str | None = None


class DataChange(NamedTuple):
    """Something that was wrong or new about the data of a node: an incident, or a schema.

    `kind` is `data` or `schema`; `began_us` is the earliest evidence.
    """

    kind: str
    ref: str
    node: str
    owner: str
    began_us: int
    text: str


class RegressionCause(NamedTuple):
    """What changed when a node became slower.

    `kind` is `data` (an input was wrong), `schema`, `code`, `volume`, `machine` or `unknown`; `ref`
    names it: an incident, SOURCE@K, `version N` or an input. None: unknown.
    """

    kind: str
    ref: str | None
    node: str
    owner: str
    text: str


class Regression(NamedTuple):
    """A node that became slower: since when, and its median duration before and after."""

    node: str
    at_us: int
    before_us: int
    after_us: int
    cause: RegressionCause


class GrownInput(NamedTuple):
    """An input with its median rows of a publication before and after a time."""

    node: str
    owner: str
    before: int
    after: int


class NodeHistory(NamedTuple):
    """The attempts at one node, oldest first, and what can explain a change of their durations.

    `changes` returns those of the node and of everything upstream between two times; `fingerprint`
    that of the node's code in a version; `grown` the input that grew most at the second of three
    times.
    """

    node: str
    owner: str
    works: Sequence[Work]
    changes: Callable[[int, int], Sequence[DataChange]]
    fingerprint: Callable[[int], str | None]
    grown: Callable[[int, int, int], GrownInput | None]


def regressions(history: NodeHistory) -> list[Regression]:
    """Return the lasting rises of a node's durations, oldest first."""
    rises = lasting_rises([work.run_us / 1e6 for work in history.works])
    return [
        Regression(
            node=history.node,
            at_us=history.works[rise.position].finished_us,
            before_us=round(rise.before * 1e6),
            after_us=round(rise.after * 1e6),
            cause=_cause(history, rise),
        )
        for rise in rises
    ]


def _cause(history: NodeHistory, rise: StepChange) -> RegressionCause:
    before = history.works[rise.start : rise.position]
    after = history.works[rise.position : rise.end]
    changes = history.changes(before[-1].finished_us, after[0].finished_us)
    changed = min(changes, key=lambda each: (each.kind != "data", each.began_us), default=None)
    if changed is not None:
        return RegressionCause(changed.kind, changed.ref, changed.node, changed.owner, changed.text)
    ratio = _volume(before, after, rise)
    if ratio >= WHOLE:
        return _of_volume(history, before, after)
    code = _of_code(history, before[-1], after[0])
    if code is not None:
        return code
    if ratio >= HALF:
        return _of_volume(history, before, after)
    machine = _of_machine(history, before, after, rise)
    return machine or RegressionCause(
        "unknown", None, history.node, history.owner, "nothing that Headrace records changed then"
    )


def _volume(before: Sequence[Work], after: Sequence[Work], rise: StepChange) -> float:
    """Return which share of a rise the growth of the rows that were read explains."""
    rows = median(work.rows_in for work in before), median(work.rows_in for work in after)
    if not rows[0] or rows[1] <= rows[0] or not rise.before:
        return 0.0
    return math.log(rows[1] / rows[0]) / math.log(rise.after / rise.before)


def _of_volume(
    history: NodeHistory, before: Sequence[Work], after: Sequence[Work]
) -> RegressionCause:
    grown = history.grown(before[0].finished_us, before[-1].finished_us, after[-1].finished_us)
    if grown is not None:
        text = f"{grown.node} grew from {grown.before:,} to {grown.after:,} rows a partition"
        return RegressionCause("volume", grown.node, grown.node, grown.owner, text)
    rows = [round(median(work.rows_in for work in works)) for works in (before, after)]
    text = f"{history.node} reads {rows[1]:,} rows a partition, before {rows[0]:,}"
    return RegressionCause("volume", history.node, history.node, history.owner, text)


def _of_code(history: NodeHistory, before: Work, after: Work) -> RegressionCause | None:
    if before.version is None or after.version is None or before.version == after.version:
        return None
    fingerprints = history.fingerprint(before.version), history.fingerprint(after.version)
    if None in fingerprints or fingerprints[0] == fingerprints[1]:
        return None
    ref = f"version {after.version}"
    text = f"{history.node}'s code changed between versions {before.version} and {after.version}"
    return RegressionCause("code", ref, history.node, history.owner, text)


def _of_machine(
    history: NodeHistory, before: Sequence[Work], after: Sequence[Work], rise: StepChange
) -> RegressionCause | None:
    """Return a change of the interpreter or packages, or a longer wait for processors."""
    environments = before[-1].environment, after[0].environment
    if None not in environments and environments[0] != environments[1]:
        attempt = f"attempt {after[0].attempt}"
        text = f"the interpreter, a package or a program is another since {attempt}"
        return RegressionCause("machine", attempt, history.node, history.owner, text)
    waits = [median(work.processor_wait_us for work in works) / 1e6 for works in (before, after)]
    if waits[1] - waits[0] < HALF * (rise.after - rise.before):
        return None
    text = f"it waits for a processor for {waits[1]:,.1f} s, before for {waits[0]:,.1f} s"
    return RegressionCause("machine", "processors", history.node, history.owner, text)
