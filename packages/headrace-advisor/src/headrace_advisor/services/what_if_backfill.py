"""`what-if --backfill`: what is asked for, the simulated work, and the answer in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from typing import NamedTuple

from headrace.extension import ProjectSession, UsageError
from headrace.model.intervals import DAY_US, day_start_us, from_us, local_date, local_us
from headrace.model.partitions import SEPARATOR
from headrace.model.times import duration
from headrace.plan.backfill_planning import AFTERWARDS, INGESTED, STAGED
from headrace.plan.backfills import Backfill, BackfillSpan, Mode
from headrace.repairs.backfill_planning import BackfillArguments, DraftBackfill, plan
from headrace.runtime import estimates
from headrace.runtime.overlays.partitions import keys_of
from headrace.scheduler import Graph, GraphNode
from headrace_advisor.analysis.backfilled_days import BackfillWork, Partition
from headrace_advisor.analysis.delivered import percentile
from headrace_advisor.analysis.history import History
from headrace_advisor.analysis.intervals import Span
from headrace_advisor.analysis.simulation import Simulated
from headrace_advisor.analysis.virtual_days import simulated_graph
from headrace_advisor.responses.what_if import BackfillLateRow, WhatIfBackfillRow

AT = "22:00"
DAYS_MIN, DAYS_MAX = 1, 31
"""Number of simulated days before those that the backfill may take, and at most."""
ESTIMATE_TIMES = 2.0
"""The backfill may take so many times as long as estimated within the simulated days."""
PARTITIONS_MAX = 20_000
"""Partitions of a backfill that are simulated at most."""


class WantedBackfill(NamedTuple):
    """The backfill that `--backfill` asks for: its plan, and when it begins in microseconds."""

    arguments: BackfillArguments
    draft: DraftBackfill
    at_us: int

    @property
    def command(self) -> str:
        """The command that runs the backfill."""
        return self.arguments.command


def wanted_backfill(
    session: ProjectSession,
    select: Sequence[str],
    first: str | None,
    last: str | None,
    at: str | None,
) -> WantedBackfill | None:
    """Return the backfill that is asked for; None if there is none.

    Raise UsageError if it can't be read or has nothing to compute, UnknownName for unknown nodes.
    """
    if not select:
        if first or last or at:
            raise UsageError(
                "--from, --to and --at belong to --backfill",
                hint="headrace what-if --backfill ASSET --from A --to B --at 22:00",
            )
        return None
    assert session.compiled is not None
    at_us = _next_us(session, AT if at is None else at)
    arguments = BackfillArguments(list(select), [], first, last, None, Mode.ALL, "")
    draft = plan(
        session, session.store, session.compiled, session.version, arguments, now=session.now()
    )
    count = draft.backfill.partitions
    if not count:
        whys = "; ".join(f"{item.node}: {item.why}" for item in draft.backfill.skipped[:3])
        raise UsageError(
            f"the backfill has nothing to compute{f' ({whys})' if whys else ''}",
            hint=f"{arguments.command} --dry-run",
        )
    if count > PARTITIONS_MAX:
        raise UsageError(
            f"the backfill has {count:,} partitions; at most {PARTITIONS_MAX:,} are simulated",
            hint=f"simulate a shorter range, or see the estimate: {arguments.command} --dry-run",
        )
    return WantedBackfill(arguments, draft, at_us)


def _next_us(session: ProjectSession, text: str) -> int:
    """Return when it is next a time of day, in microseconds."""
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        clock = None
    if clock is None or clock.tzinfo is not None or len(text) != len("22:00"):
        raise UsageError(f"--at {text[:40]!r} is no time of day", hint="such as --at 22:00")
    now_us = session.clock.now_us()
    today = local_date(now_us, session.timezone)
    at_us = local_us(today, clock, session.timezone)
    if at_us > now_us:
        return at_us
    return local_us(date.fromordinal(today.toordinal() + 1), clock, session.timezone)


def backfill_span(session: ProjectSession, wanted: WantedBackfill, days: int | None) -> Span:
    """Return the simulated days: from that of the backfill's beginning.

    `days` is how many; None for as many as it may take.
    """
    first = local_date(wanted.at_us, session.timezone)
    estimate_days = math.ceil(ESTIMATE_TIMES * wanted.draft.estimate.seconds * 1e6 / DAY_US)
    return Span(
        day_start_us(first, session.timezone),
        days or min(DAYS_MAX, DAYS_MIN + estimate_days),
        session.timezone,
    )


# The work


def work_of(
    session: ProjectSession, graph: Graph, history: History, wanted: WantedBackfill
) -> BackfillWork:
    """Return a backfill as it is simulated; keys that grow with the data are one per interval."""
    backfill = wanted.draft.backfill
    with session.existing_store.read() as tx:
        paces = estimates.paces(tx, wanted.draft.compiled, [item.node for item in backfill.chosen])
    keys = _Keys(graph)
    return BackfillWork(
        wanted.at_us,
        keys.chosen(backfill, INGESTED),
        keys.steps(backfill),
        keys.chosen(backfill, AFTERWARDS),
        paces,
        _typical_seconds(history),
    )


class _Keys:
    """The partitions of a backfill as they are simulated."""

    def __init__(self, graph: Graph) -> None:
        self._nodes = {node.name: node for node in graph.nodes}
        self._simulated = {node.name: node for node in simulated_graph(graph).nodes}

    def of(self, name: str, spans: Sequence[BackfillSpan]) -> tuple[str, ...]:
        return tuple(_keys(self._nodes[name], self._simulated[name], spans))

    def chosen(self, backfill: Backfill, how: str) -> tuple[Partition, ...]:
        items = (item for item in backfill.chosen if item.how == how)
        return tuple((item.node, key) for item in items for key in self.of(item.node, item.spans))

    def steps(self, backfill: Backfill) -> tuple[dict[str, tuple[str, ...]], ...]:
        staged = {item.node for item in backfill.chosen if item.how == STAGED}
        steps = (
            {node: self.of(node, spans) for node, spans in step.spans.items() if node in staged}
            for step in backfill.steps
        )
        return tuple(step for step in steps if step)


def _keys(node: GraphNode, simulated: GraphNode, spans: Sequence[BackfillSpan]) -> Iterable[str]:
    if node.partition == simulated.partition:
        return dict.fromkeys(keys_of(node, spans, (item.first for item in spans)))
    if node.partition.grain is None:
        return simulated.partition.values or ()
    times = [BackfillSpan(first=_time(span.first), last=_time(span.last)) for span in spans]
    return dict.fromkeys(keys_of(simulated, times, ()))


def _time(key: str) -> str:
    return key.partition(SEPARATOR)[0]


def _typical_seconds(history: History) -> float:
    seconds = sorted(item.seconds for past in history.nodes.values() for item in past.computations)
    return percentile(seconds, 0.5) if seconds else 1.0


# The answer


def backfill_row(
    session: ProjectSession, wanted: WantedBackfill, now: Simulated, then: Simulated
) -> WhatIfBackfillRow:
    """Return when the backfill is done, and who is late because of it."""
    done = sorted(at for at in then.backfilled_us if at is not None)
    never = len(then.backfilled_us) - len(done)
    # a backfill that isn't done counts as one that takes longer than all others
    ends = [*map(float, done), *[math.inf] * never]
    p50, p95 = (percentile(ends, share) for share in (0.5, 0.95))
    late = _late(now, then)
    began = from_us(wanted.at_us, session.timezone)
    ended = [None if at == math.inf else from_us(int(at), session.timezone) for at in (p50, p95)]
    backfill, first, last = wanted.draft.backfill, wanted.arguments.first, wanted.arguments.last
    return WhatIfBackfillRow(
        select=wanted.arguments.select,
        first=first,
        last=last,
        at=began,
        partitions=backfill.partitions,
        done_p50=ended[0],
        done_p95=ended[1],
        seconds_p50=None if p50 == math.inf else (p50 - wanted.at_us) / 1e6,
        not_done=never,
        late=late,
        text=_done_words(backfill, wanted.at_us, began, (p50, p95), never, then.samples, session),
        late_text=_late_words(late, now, then),
        command=wanted.command,
    )


def _late(now: Simulated, then: Simulated) -> list[BackfillLateRow]:
    """Return the consumers that are late in some samples only because of the backfill."""
    counts: dict[str, int] = {}
    for before, after in zip(now.missed, then.missed, strict=True):
        for consumer in {consumer for consumer, _ in after - before}:
            counts[consumer] = counts.get(consumer, 0) + 1
    return [
        BackfillLateRow(
            consumer=name, samples=count, percent=f"{100 * count / max(1, then.samples):.1f}"
        )
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _done_words(
    backfill: Backfill,
    at_us: int,
    began: datetime,
    ends: tuple[float, float],
    never: int,
    samples: int,
    session: ProjectSession,
) -> str:
    count = len(backfill.chosen)
    nodes = "1 node" if count == 1 else f"{count} nodes"
    partitions = (
        "1 partition" if backfill.partitions == 1 else f"{backfill.partitions:,} partitions"
    )
    what = f"the backfill of {partitions} of {nodes} begins {began:%Y-%m-%d %H:%M}"
    p50, p95 = ends
    if p50 == math.inf:
        return f"{what}; it isn't done within the simulated days in {never} of {samples} samples"
    took = duration(round(p50) - at_us)
    text = f"{what} and is done {_at(p50, session)} in the typical case, after {took}"
    if p95 == math.inf:
        return f"{text}; it isn't done within the simulated days in {never} of {samples} samples"
    return f"{text}; {_at(p95, session)} in 95 %"


def _at(us: float, session: ProjectSession) -> str:
    return f"{from_us(int(us), session.timezone):%Y-%m-%d %H:%M}"


def _late_words(late: Sequence[BackfillLateRow], now: Simulated, then: Simulated) -> str:
    if late:
        who = ", ".join(f"{item.consumer} in {item.samples}" for item in late)
        return f"late because of it, in samples of {then.samples}: {who}"
    if not then.consumers:
        return "no consumer is declared, so nobody is late because of it"
    already = any(now.missed)
    more = "; who is late is late without it, too" if already else ""
    return f"nobody is late because of it in {then.samples} samples{more}"
