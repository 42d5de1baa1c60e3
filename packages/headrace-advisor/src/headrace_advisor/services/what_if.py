"""`what-if`: simulate the coming days with a change, from the project's own history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Annotated, NamedTuple

import msgspec
from msgspec.structs import replace

from headrace.extension import SEE, Option, ProjectError, ProjectSession, UsageError, command, few
from headrace.model import Consumer, Grain, Place, Project
from headrace.model.intervals import day_start_us, from_us, local_date
from headrace.model.times import duration
from headrace.plan import Compiled
from headrace.runtime.graph import apart, graph_of
from headrace.scheduler import Graph
from headrace.slo.declared_promises import Terms, declared_promises
from headrace.store.queries import attempts
from headrace_advisor.analysis.backfilled_days import BackfillWork
from headrace_advisor.analysis.backtest import Backtest, backtest
from headrace_advisor.analysis.changes import Changes, parse_changes
from headrace_advisor.analysis.history import History, read_history
from headrace_advisor.analysis.intervals import Span
from headrace_advisor.analysis.promise_search import PromiseSearch, SearchResult
from headrace_advisor.analysis.simulation import (
    Simulated,
    Simulation,
    Variant,
)
from headrace_advisor.responses.what_if import (
    DeliveredRow,
    LoadRow,
    SlotCostRow,
    WhatIfConsumerRow,
    WhatIfResponse,
)
from headrace_advisor.services.what_if_backfill import AT as BACKFILL_AT
from headrace_advisor.services.what_if_backfill import (
    WantedBackfill,
    backfill_row,
    backfill_span,
    wanted_backfill,
    work_of,
)
from headrace_advisor.services.what_if_keep import Wanted, keep_row, wanted_promise
from headrace_advisor.services.what_if_memory import (
    AttemptMemory,
    attempt_memory,
    memory_notes,
    memory_words,
)
from headrace_advisor.services.what_if_rows import (
    backtest_row,
    bottleneck_row,
    consumer_text,
    delivered,
    due_text,
    left_out_words,
)

DAYS, DAYS_MAX = 30, 366
SAMPLES, SAMPLES_MAX = 100, 10_000
SEED = 1
NOT_PREDICTABLE = (
    "not predictable: {}, because too few past deliveries were within the interval that should hold"
    " 80 %; no share of deliveries in time is shown"
)
BACKFILL_NOTE = (
    "the backfill is assumed to run beside a server, with the processor time that production's"
    " workers leave; how much it slows them down by disk and memory isn't simulated"
)


@command(
    "what-if",
    SEE,
    session="what_if",
    group="look",
    summary="simulate the coming days with a change",
)
def what_if(  # noqa: PLR0913 - as many as the command has options
    session: ProjectSession,
    changes: Annotated[
        Sequence[str],
        Option(
            "--set",
            metavar="WHAT=VALUE",
            help="workers=4, memory=2GB, pool.P=2, source.S.delay=1h, consumer.C.due=07:30, …",
            key="set",
        ),
    ] = (),
    *,
    keep: Annotated[
        str | None,
        Option(
            "--keep",
            metavar="[CONSUMER=]TIME",
            help="find the cheapest way to deliver by this time of day",
        ),
    ] = None,
    share: Annotated[
        str | None,
        Option("--in", metavar="PERCENT", help="with --keep: in how many cases (99%)", key="in"),
    ] = None,
    without: Annotated[
        Sequence[str], Option("--without", metavar="ASSET", help="as if the asset were gone")
    ] = (),
    backfill: Annotated[
        Sequence[str],
        Option("--backfill", metavar="SELECT", help="recompute partitions beside the days' work"),
    ] = (),
    first: Annotated[
        str | None,
        Option(
            "--from", metavar="K", help="with --backfill: first partition, included", key="from"
        ),
    ] = None,
    last: Annotated[
        str | None,
        Option("--to", metavar="K", help="with --backfill: last partition, included", key="to"),
    ] = None,
    at: Annotated[
        str | None,
        Option("--at", metavar="TIME", help=f"with --backfill: when it begins ({BACKFILL_AT})"),
    ] = None,
    days: Annotated[
        int | None,
        Option(
            "--days",
            metavar="N",
            least=1,
            most=DAYS_MAX,
            help=f"days to simulate ({DAYS}; with --backfill, until it is done)",
        ),
    ] = None,
    samples: Annotated[
        int,
        Option("--samples", metavar="N", help="how often to simulate them"),
        msgspec.Meta(ge=1, le=SAMPLES_MAX),
    ] = SAMPLES,
    seed: Annotated[
        int,
        Option("--seed", metavar="N", help="the same seed draws the same days"),
        msgspec.Meta(ge=0, le=2**31),
    ] = SEED,
) -> WhatIfResponse:
    """Simulate the coming days as things are and with changes, and compare what consumers get.

    The scheduler is the real one; durations and arrivals are drawn from whole days of the last 90.
    Nothing is run, and nothing is changed. With `keep`, the cheapest change is searched that
    delivers by a time of day in `share` percent of the cases. With `backfill`, all partitions of
    its assets from `first` to `last`, and what reads them, are recomputed beside the days' work.

    Raise UnknownName for names that aren't declared, UsageError for changes that can't be
    simulated.
    """
    if session.store is None or session.compiled is None:
        raise ProjectError(
            "nothing is applied yet, so nothing can be simulated", hint="headrace apply"
        )
    compiled = session.compiled
    wanted = wanted_promise(compiled.project, keep, share)
    dues = [f"consumer.{name}.due={wanted.due}" for name in wanted.consumers] if wanted else []
    parsed = parse_changes(compiled.project, [*changes, *dues], without)
    _refuse_needed(compiled.project, parsed)
    begun = wanted_backfill(session, backfill, first, last, at)
    if begun is not None and (wanted is not None or parsed.without):
        raise UsageError(
            "--backfill can't be simulated together with --keep or --without",
            hint="simulate one after the other",
        )
    now_us = session.clock.now_us()
    changed = _with_consumers(compiled, parsed)
    with session.store.read() as tx:
        seconds = attempts.p95_durations(tx, compiled.nodes)
        together = apart(tx, compiled)
        graph = graph_of(compiled, seconds, together)
        history = read_history(tx, graph, session.timezone, now_us)
    question = _Question(
        compiled,
        changed,
        parsed,
        graph,
        graph_of(changed, seconds, together),
        history,
        _span(session, begun, days),
        seed,
        parsed,
        None if begun is None else work_of(session, graph, history, begun),
        attempt_memory(session, parsed),
    )
    return _response(session, question, samples, wanted, begun)


class _Question(NamedTuple):
    compiled: Compiled
    changed: Compiled
    changes: Changes
    graph: Graph
    changed_graph: Graph
    history: History
    span: Span
    seed: int
    asked: Changes
    """The changes that were asked for; a search adds to them."""
    backfill: BackfillWork | None
    memory: AttemptMemory | None

    @property
    def workers(self) -> int:
        return self.compiled.project.settings.workers

    @property
    def variants(self) -> tuple[Variant, Variant]:
        changes = self.changes
        return (
            Variant(self.graph, self.workers, _terms(self.compiled), Changes()),
            Variant(
                self.changed_graph,
                changes.workers or self.workers,
                _terms(self.changed),
                changes,
                self.backfill,
            ),
        )


def _span(session: ProjectSession, begun: WantedBackfill | None, days: int | None) -> Span:
    """Return the simulated days: from tomorrow on, or from the beginning of a backfill."""
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise UsageError(f"--days {days}: this is a whole number from 1 to {DAYS_MAX}")
    if begun is not None:
        return backfill_span(session, begun, days)
    tomorrow = local_date(session.clock.now_us(), session.timezone) + timedelta(days=1)
    return Span(day_start_us(tomorrow, session.timezone), days or DAYS, session.timezone)


def _terms(compiled: Compiled) -> tuple[Terms, ...]:
    return declared_promises(compiled).consumers


def _refuse_needed(project: Project, changes: Changes) -> None:
    """Refuse to leave out an asset that a consumer reads."""
    readers = {**{name: item.reads for name, item in project.consumers.items()}, **changes.readers}
    for name, reads in readers.items():
        if needed := changes.without.intersection(reads):
            raise UsageError(
                f"{name} reads {', '.join(sorted(needed))}: without it there is nothing to deliver",
                hint="simulate the project without an asset that only other assets read",
            )


def _with_consumers(compiled: Compiled, changes: Changes) -> Compiled:
    """Return the project with other deadlines and additional consumers."""
    project = compiled.project
    consumers = dict(project.consumers)
    for name, due in changes.dues.items():
        if name in consumers:
            consumers[name] = replace(consumers[name], due=due, max_age=None)
    for name, reads in changes.readers.items():
        consumers[name] = _consumer(project, name, reads, changes.dues[name])
    if consumers == project.consumers:
        return compiled
    return replace(compiled, project=replace(project, consumers=consumers))


def _consumer(project: Project, name: str, reads: tuple[str, ...], due: str) -> Consumer:
    grains = [
        node.partition.grain
        for read in reads
        if (node := project.assets.get(read) or project.sources.get(read)) is not None
        and node.partition.grain is not None
    ]
    return Consumer(
        name=name,
        owner="",
        reads=reads,
        per=grains[0] if grains else Grain.DAY,
        timezone=project.settings.timezone,
        due=due,
        place=Place(file=""),
    )


# The answer


def _response(
    session: ProjectSession,
    question: _Question,
    samples: int,
    wanted: Wanted | None,
    begun: WantedBackfill | None,
) -> WhatIfResponse:
    lacking = _lacking(question)
    known = bool(question.history.days())
    before = after = tested = search = None
    simulation = Simulation(question.history, question.graph, question.span, question.seed)
    if known:
        if wanted is not None:
            search = _searched(simulation, question, samples, wanted)
            question = question._replace(changes=search.way.changes)
        before, after = _simulated(simulation, question, samples)
        tested = backtest(
            question.history,
            question.graph,
            _terms(question.compiled),
            question.workers,
            question.seed,
        )
    consumers = _consumers(question, before, after, tested)
    unknown = [name for name, row in consumers.items() if not row.predictable]
    if unknown:
        lacking.append(NOT_PREDICTABLE.format(few(unknown)))
    played = 0 if after is None else after.samples
    return WhatIfResponse(
        now=session.now(),
        clock=session.clock.kind,
        seed=question.seed,
        begins=from_us(question.span.start_us, session.timezone).date(),
        days=question.span.days,
        samples=played,
        changes=_words(question),
        consumers=consumers,
        next_bottleneck=None
        if after is None
        else bottleneck_row(question.compiled.project.sources, after),
        backtest=backtest_row(tested),
        busy_seconds=None
        if before is None or after is None
        else LoadRow(now=before.busy_seconds, then=after.busy_seconds),
        cost_month=None
        if before is None or after is None
        else _cost_row(session, before.busy_seconds, after.busy_seconds),
        keep=None
        if wanted is None or search is None
        else keep_row(wanted, search, _ways(question, search)),
        backfill=None
        if begun is None or before is None or after is None
        else backfill_row(session, begun, before, after),
        lacking=lacking,
        notes=_notes(question, simulation, played, samples),
    )


def _searched(
    simulation: Simulation, question: _Question, samples: int, wanted: Wanted
) -> SearchResult:
    """Return the cheapest way to deliver by the wanted deadline."""

    def simulate(changes: Changes) -> Simulated:
        (result,) = simulation.run([question._replace(changes=changes).variants[1]], samples)
        return result

    pools = question.compiled.project.settings.pools
    search = PromiseSearch(simulate, wanted.consumers, wanted.share, question.workers, pools)
    return search.cheapest(question.changes)


def _ways(question: _Question, search: SearchResult) -> list[str]:
    """Return in words what a search adds to the changes that were asked for."""
    asked = _words(question._replace(changes=question.asked))
    added = _words(question._replace(changes=search.way.changes))
    return [text for text in added if text not in asked]


def _cost_row(session: ProjectSession, now: float, then: float) -> SlotCostRow | None:
    """Return what busy slots cost in 30 days; None without a rate for them."""
    rates = session.settings.costs
    if rates is None or not rates.slot_hour:
        return None
    before, after = (round(rates.of(seconds * 30 * 1e6, 0, 0), 2) for seconds in (now, then))
    return SlotCostRow(now=before, then=after, currency=rates.currency)


def _simulated(
    simulation: Simulation, question: _Question, samples: int
) -> tuple[Simulated, Simulated]:
    before, after = question.variants
    if question.changes == Changes() and question.backfill is None:
        (result,) = simulation.run([before], samples)
        return result, result
    results = simulation.run([before, after], samples)
    return results[0], results[1]


def _consumers(
    question: _Question,
    before: Simulated | None,
    after: Simulated | None,
    tested: Backtest | None,
) -> dict[str, WhatIfConsumerRow]:
    earlier = {terms.consumer: terms for terms in _terms(question.compiled)}
    rows = {}
    for terms in _terms(question.changed):
        now = delivered(earlier.get(terms.consumer), before)
        then = delivered(terms, after) or DeliveredRow()
        predictable = tested is None or tested.predicts(terms.consumer)
        rows[terms.consumer] = WhatIfConsumerRow(
            now=now,
            then=then,
            due=terms.due or terms.max_age,
            due_text=due_text(terms),
            text=consumer_text(terms, now, then, known=after is not None, predictable=predictable),
            predictable=predictable,
        )
    return rows


def _words(question: _Question) -> list[str]:
    """Return the changes in words."""
    changes, pools = question.changes, question.compiled.project.settings.pools
    return [
        *_machine_words(question),
        *(f"pool {name}: {n} slots instead of {pools[name]}" for name, n in changes.pools.items()),
        *(f"{name} {factor:g} times as fast" for name, factor in changes.speeds.items()),
        *(f"{name} has priority {n}" for name, n in changes.priorities.items()),
        *(f"{name} runs at `{cron}`" for name, cron in changes.crons.items()),
        *(_delay_words(name, us) for name, us in changes.delays.items()),
        *(f"{name} delivers {n:g} times as much" for name, n in changes.volumes.items()),
        *_consumer_words(changes),
        *(f"without {name}" for name in sorted(changes.without)),
        *(["a backfill"] if question.backfill is not None else []),
    ]


def _machine_words(question: _Question) -> Iterable[str]:
    changes = question.changes
    if changes.workers is not None:
        yield f"workers: {changes.workers} instead of {question.workers}"
    yield from memory_words(question.memory)
    if changes.lost_at is not None:
        yield f"a worker is lost each day at {changes.lost_at:%H:%M}"
    if changes.machine != 1.0:
        yield f"a machine {changes.machine:g} times as fast (simulated)"


def _consumer_words(changes: Changes) -> Iterable[str]:
    for name, due in changes.dues.items():
        reads = changes.readers.get(name)
        yield (
            f"{name} is due {due}"
            if reads is None
            else f"{name} reads {', '.join(reads)}, due {due}"
        )


def _delay_words(source: str, us: int) -> str:
    return f"{source} delivers {duration(abs(us))} {'later' if us >= 0 else 'earlier'}"


def _lacking(question: _Question) -> list[str]:
    """Return what isn't known of the past."""
    history, graph = question.history, question.graph
    if not history.days():
        return ["nothing has run in the last 90 days, so nothing is known of how long it takes"]
    results = []
    if question.backfill is not None and (names := question.backfill.unknown):
        results.append(
            f"no duration is known of {few(names)} in the backfill: a typical one is assumed"
        )
    unknown = [node.name for node in graph.nodes if not history.nodes[node.name].computations]
    if unknown:
        results.append(f"no duration is known of {few(unknown)}: a typical one is assumed")
    silent = [
        node.name
        for node in graph.nodes
        if node.is_source and not history.nodes[node.name].arrivals
    ]
    if silent:
        results.append(
            f"no ordinary arrival is known of {few(silent)}: assumed when it is due, or right"
            " after its interval"
        )
    return results


def _notes(question: _Question, simulation: Simulation, played: int, samples: int) -> list[str]:
    """Return what is assumed or was left out."""
    results = []
    if 0 < played < samples:
        results.append(
            f"{played} samples instead of {samples}: the project is large; fewer --days allow more"
        )
    results += _volume_notes(question, simulation)
    if question.backfill is not None:
        results.append(BACKFILL_NOTE)
    left_out: dict[str, int] = {}
    for past in question.history.nodes.values():
        for reason, count in past.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
    if counts := [left_out_words(reason, count) for reason, count in left_out.items() if count]:
        results.append(f"left out of the past: {', '.join(counts)}")
    rates = question.compiled.project.settings.costs
    if rates is not None and (question.changes.workers or 0) > question.workers:
        results.append("costs are those of busy slots: what idle workers cost isn't declared")
    results += memory_notes(question.compiled.project, question.history, question.memory)
    if question.changes.machine != 1.0:
        results.append(
            "simulated: that a larger machine speeds up all assets alike hasn't been measured"
        )
    return results


def _volume_notes(question: _Question, simulation: Simulation) -> Iterable[str]:
    """Yield how much longer assets take with more data, and where that was never seen."""
    for source in question.changes.volumes:
        names = [
            node.name
            for node in question.graph.nodes
            if not node.is_source and source in simulation.sampler.sources_of(node.name)
        ]
        unknown = [name for name in names if not simulation.sampler.power(name)[1]]
        if unknown:
            yield (
                f"the volume of {source} never varied enough to tell how it slows down"
                f" {few(unknown)}: assumed in proportion"
            )
