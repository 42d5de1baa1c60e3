"""`status --explain FIGURE`: a figure over a window, with the rows from which it is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from headrace.access.permissions import SEE, command
from headrace.incidents.endings import closed_us
from headrace.incidents.repairs import Occurred, repair_times
from headrace.model import Asset, Consumer, Project, Source, UnknownName
from headrace.model.intervals import to_us
from headrace.project.parameters import Selected
from headrace.project.session import ProjectSession
from headrace.project.snapshots import project_state
from headrace.project.status_facts import WINDOW, row_of, window_began
from headrace.responses.figures import (
    FIGURES,
    FigureResponse,
    GoodputRow,
    IncidentTimesRow,
    PromiseRow,
    ServedRow,
    SpanRow,
    ThroughputRow,
    WeakenedPromiseRow,
)
from headrace.slo.availability import (
    GOOD,
    NOTHING_DUE,
    AvailabilityScore,
    AvailabilityWindow,
    figures,
    of_consumer,
    percent,
    share,
    totals,
    worst,
)
from headrace.slo.goodput import Goodput, by_node
from headrace.slo.throughput import STAGES, Throughput, throughputs
from headrace.slo.timeline import ServiceHistory, ServicePeriod, common, moments, timeline
from headrace.slo.times import ago
from headrace.standing import figure_inputs
from headrace.standing.figure_inputs import Figuring
from headrace.store.queries import availability, reports

# Availability: the states of each consumer over a window, and the same for nodes, owners and
# domains.


def spans(figuring: Figuring) -> tuple[list[str], list[SpanRow]]:
    """Return each consumer's state, span by span."""
    rows = [row for past in figuring.pasts for row in _spans(figuring, past)]
    return [_served(figuring, score) for score in figuring.scores], rows


def _served(figuring: Figuring, score: AvailabilityScore) -> str:
    availability_figures = figures(score)
    if availability_figures.honest is None:
        return f"{score.consumer}: {NOTHING_DUE}"
    return (
        f"{score.consumer}: {of_consumer(availability_figures, figuring.window)};"
        f" {availability_figures.claimed} % was claimed; {availability_figures.exception_minutes:,}"
        " minutes by exception of others"
    )


def _spans(figuring: Figuring, past: ServiceHistory) -> Iterator[SpanRow]:
    """Split the window where the current or the claimed state changes, or an exception does."""
    now, then = (
        timeline(past, figuring.began, figuring.until, then=when) for when in (False, True)
    )
    excepted = common(moments(now, lambda state: state in GOOD), past.excepted)
    edges = sorted(
        {edge for period in (*now, *then) for edge in (period.from_us, period.until_us)}
        | {edge for span in excepted for edge in span}
    )
    for since, until in pairwise(edges):
        state, claimed = _at(now, since), _at(then, since)
        if state is not None and claimed is not None:
            yield SpanRow(
                consumer=past.consumer,
                since=figuring.instant(since),
                until=figuring.instant(until),
                seconds=(until - since) / 1e6,
                state=state,
                claimed=claimed,
                by_exception=any(start <= since < end for start, end in excepted),
            )


def _at(spans: Sequence[ServicePeriod], at_us: int) -> str | None:
    return next((span.state.value for span in spans if span.from_us <= at_us < span.until_us), None)


def promises(figuring: Figuring) -> tuple[list[str], list[PromiseRow]]:
    """Return the obligations that fell due in the window."""
    rows = [
        PromiseRow(
            consumer=past.consumer,
            interval=duty.interval,
            due_at=figuring.instant(duty.due_us),
            met_at=None if duty.met_us is None else figuring.instant(duty.met_us),
            kept=duty.met_in_time,
            waived=duty.waived_us is not None,
        )
        for past in figuring.pasts
        for duty in past.promised(figuring.began, figuring.until)
    ]
    return [f"{sum(row.kept for row in rows)} of {len(rows)} promises were kept in time"], rows


def nodes(figuring: Figuring) -> tuple[list[str], list[ServedRow]]:
    """Return the availability of assets and sources, for the consumer with the strictest needs."""
    ran = figuring.attempts_by_node
    rows = [
        _node(figuring, name, ran.get(name, (0, 0)))
        for name in figuring.declared.nodes
        if figuring.chosen(name)
    ]
    known = [row for row in rows if row.honest is not None]
    return [
        f"{len(known)} of {len(rows)} nodes are needed by a consumer that something was due for"
    ], rows


def _node(figuring: Figuring, name: str, ran: tuple[int, int]) -> ServedRow:
    scores = figuring.scores_of(name)
    availability_totals, least = totals(scores), worst(scores)
    rounded = None if least is None else figures(least)
    return ServedRow(
        of=name,
        kind="source" if figuring.declared.nodes[name].is_source else "asset",
        owner=figuring.owner_of(name),
        honest=availability_totals.honest,
        mean=availability_totals.mean,
        lost_minutes=0 if rounded is None else rounded.lost_minutes,
        worst=None if rounded is None else name,
        classic=percent(share(ran[1], ran[0])),
        detail=None if rounded is None else row_of(rounded, figuring.window),
    )


def owners(figuring: Figuring) -> tuple[list[str], list[ServedRow]]:
    """Return the availability of each owner's consumers, assets and sources."""
    return _grouped(figuring, "owner", {name: node.owner for name, node in _all(figuring.project)})


def domains(figuring: Figuring) -> tuple[list[str], list[ServedRow]]:
    """Return the availability of each domain's consumers, assets and sources."""
    return _grouped(
        figuring, "domain", {name: node.domain or "" for name, node in _all(figuring.project)}
    )


def _all(project: Project) -> Iterable[tuple[str, Source | Asset | Consumer]]:
    return [*project.sources.items(), *project.assets.items(), *project.consumers.items()]


def _grouped(
    figuring: Figuring, kind: str, group_of: Mapping[str, str]
) -> tuple[list[str], list[ServedRow]]:
    scores: dict[str, list[AvailabilityScore]] = {}
    for score in [*figuring.scores, *_least_of_nodes(figuring)]:
        group = group_of.get(score.consumer, "")
        if group:
            scores.setdefault(group, []).append(score)
    rows = [
        _roll_up(group, kind, availability_scores)
        for group, availability_scores in sorted(scores.items())
    ]
    return ["the worst of all that belongs to it; the mean beside it"], rows


def _least_of_nodes(figuring: Figuring) -> Iterator[AvailabilityScore]:
    for name in figuring.declared.nodes:
        score = worst(figuring.scores_of(name))
        if score is not None:
            yield score


def _roll_up(group: str, kind: str, scores: Sequence[AvailabilityScore]) -> ServedRow:
    availability_totals = totals(scores)
    return ServedRow(
        of=group,
        kind=kind,
        owner=group if kind == "owner" else None,
        honest=availability_totals.honest,
        mean=availability_totals.mean,
        lost_minutes=availability_totals.lost_minutes or 0,
        worst=availability_totals.worst,
        classic=None,
    )


# Figures about runs, rows and causes.


def runs(figuring: Figuring) -> tuple[list[str], list[availability.RunCounts]]:
    """Return the number of runs by state, as other orchestrators count them."""
    rows = availability.runs_by_state(figuring.tx, figuring.began, figuring.until)
    started, good = sum(row.runs for row in rows), sum(row.succeeded for row in rows)
    classic = percent(share(good, started))
    text = (
        "no run had anything due"
        if classic is None
        else f"{good} of {started} runs that started succeeded: {classic} %"
    )
    return [f"{text}; held work never starts, so it never fails"], rows


def weakened(figuring: Figuring) -> tuple[list[str], list[WeakenedPromiseRow]]:
    """Return the promises that were weakened in the window."""
    results = availability.weakenings_between(figuring.tx, figuring.began, figuring.until)
    rows = [
        WeakenedPromiseRow(
            node=item.node,
            what=item.what,
            before=item.was,
            after=item.becomes,
            by=item.actor,
            at=figuring.instant(item.at),
        )
        for item in results
    ]
    return [
        (
            f"{len(rows)} promises were weakened; what was due before is evaluated by what was"
            " promised then"
        )
    ], rows


def goodput(figuring: Figuring) -> tuple[list[str], list[GoodputRow]]:
    """Return the goodput: the outcome of delivered and staged rows."""
    goodputs = by_node(figuring.staged)
    sentences = [
        (
            "rows that are sound and still published, of those delivered (sources) or staged"
            " (assets); never summed over nodes"
        )
    ]
    slow = [
        goodput for goodput in goodputs if goodput.rows_per_second
    ]  # a node without good rows has no speed to compare
    if slow:
        slowest = min(slow, key=lambda goodput: (goodput.rows_per_second or 0.0, goodput.node))
        took = slowest.work_us.get(slowest.slowest or "", 0) / 1e6 / slowest.seconds
        sentences.append(
            f"slowest: {slowest.node}, {slowest.rows_per_second:,.0f} good rows per second of its"
            f" work; {int(took * 100)} % of that was {slowest.slowest}"
        )
    return sentences, [_goodput(figuring, goodput) for goodput in goodputs]


def _goodput(figuring: Figuring, goodput: Goodput) -> GoodputRow:
    ratio = percent(share(goodput.good, goodput.delivered))
    return GoodputRow(
        node=goodput.node,
        owner=figuring.owner_of(goodput.node),
        window=figuring.window.text,
        attempts=goodput.attempts,
        staged=goodput.staged,
        delivered=goodput.delivered,
        reworked=goodput.reworked,
        rows_per_second=_rounded(goodput.rows_per_second),
        bytes_per_second=_rounded(goodput.bytes_per_second),
        slowest=goodput.slowest,
        goodput=ratio,
        ratio=ratio,
        **goodput.places,
    )


def throughput(figuring: Figuring) -> tuple[list[str], list[ThroughputRow]]:
    """Return the rows and bytes per second of work of each source, asset and domain."""
    sentence = (
        "rows and bytes in a second of work: delivered to sources, processed by attempts,"
        " published, and good (still published and sound); those of a domain count in each of its"
        " nodes"
    )
    return [sentence], [_throughput(figuring, item) for item in throughputs_of(figuring)]


def throughputs_of(figuring: Figuring) -> list[Throughput]:
    """Return the throughput of each selected source and asset, and of their domains.

    Nodes that the session's identity may not see are in none.
    """
    project = figuring.project

    def domain_of(name: str) -> str:
        node = project.node(name)
        return (node.domain or "") if node is not None else ""

    goodputs = [item for item in by_node(figuring.staged) if figuring.session.shows(item.node)]
    return throughputs(goodputs, project.sources.__contains__, domain_of)


def _throughput(figuring: Figuring, item: Throughput) -> ThroughputRow:
    rates = {
        f"{stage}_{unit}_per_second": _rounded(getattr(item.stages[stage], f"{unit}_per_second"))
        for stage in STAGES
        if stage in item.stages
        for unit in ("rows", "bytes")
    }
    ratio = item.rework_ratio
    return ThroughputRow(
        of=item.name,
        kind=item.kind,
        window=figuring.window.text,
        work_seconds=round(item.stages["processed"].seconds, 3),
        rework_percent=None if ratio is None else f"{ratio * 100:.2f}",
        **rates,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def incidents(figuring: Figuring) -> tuple[list[str], list[IncidentTimesRow]]:
    """Return how long incidents took to be detected, and until all consumers were served again."""
    results = [
        Occurred(
            incident.id,
            incident.kind,
            incident.node,
            incident.owner,
            incident.began_at,
            incident.opened_at,
            incident.restored_at,
            incident.recurrence_of,
            closed_us(figuring.tx, incident.id),
        )
        for incident in reports.incidents(figuring.tx, figuring.began, figuring.until)
        if figuring.chosen(incident.node)
    ]
    return _repair_sentences(results, figuring.until), [
        _incident(figuring, item) for item in results
    ]


def _repair_sentences(results: list[Occurred], now_us: int) -> list[str]:
    total = repair_times(results, now_us)
    if total.detect_median_us is None or total.restore_median_us is None:
        return ["no incident: no data"]
    return [
        (
            f"{total.incidents} incident{'s' if total.incidents > 1 else ''}, {total.open} open;"
            f" recurrences: {total.recurrences}"
        ),
        f"found by people: {total.found_by_people} of {total.incidents}",
        (
            f"time to detect: median {ago(total.detect_median_us)}, worst"
            f" {ago(total.detect_worst_us or 0)}"
        ),
        (
            f"time to restore: median {ago(total.restore_median_us)}, worst"
            f" {ago(total.restore_worst_us or 0)}"
            f"{'; open ones count with their present age' if total.open else ''}"
        ),
    ]


def _incident(figuring: Figuring, item: Occurred) -> IncidentTimesRow:
    return IncidentTimesRow(
        id=f"INC-{item.number}",
        kind=item.kind,
        node=item.node,
        owner=item.owner,
        began_at=figuring.instant(item.began_us),
        detect_seconds=item.detect_us / 1e6,
        restore_seconds=item.restore_us(figuring.until) / 1e6,
        open=item.restored_us is None,
        recurrence_of=None if item.recurrence_of is None else f"INC-{item.recurrence_of}",
        found_by_people=item.kind == "reported",
    )


WORKED: Mapping[str, Callable[[Figuring], tuple[list[str], Sequence[Any]]]] = {
    "availability": spans,
    "promises": promises,
    "nodes": nodes,
    "owners": owners,
    "domains": domains,
    "uptime": runs,
    "weakened": weakened,
    "goodput": goodput,
    "throughput": throughput,
    "incidents": incidents,
    "sources": figure_inputs.sources,
    "use": figure_inputs.use,
}
OWN_WINDOW = {"sources": "90d"}
"""Default windows of figures that don't use the common one."""


@command("status explain", SEE, http="GET /figures/{figure} figure", session="figure")
def explain(
    session: ProjectSession, figure: str, select: Selected = (), *, window: str | None = None
) -> FigureResponse:
    """Return a figure with its rows, restricted to a select if there is one.

    Raise UnknownName for an unknown figure, UsageError for an invalid window.
    """
    if figure not in WORKED:
        raise UnknownName(
            f"there is no figure {figure[:40]!r}",
            hint=f"these can be explained: {', '.join(FIGURES)}",
        )
    return _explained(session, figure, _names(session, select), window)


def visible_throughputs(session: ProjectSession, window: str) -> list[ThroughputRow]:
    """Return the throughput of the nodes that a session may see, and of these by domain.

    For `/metrics`, which has checked the permission.
    """
    return _explained(session, "throughput", session.visible, window).rows


def _explained(
    session: ProjectSession, figure: str, names: frozenset[str] | None, window: str | None
) -> FigureResponse:
    """Return a figure of some nodes and consumers; None stands for all."""
    span = window or OWN_WINDOW.get(figure, WINDOW)
    now_us = to_us(session.now()) if session.store is None else session.clock.now_us()
    began_us = window_began(span, now_us, session.timezone)
    bounds = AvailabilityWindow(span, began_us, now_us, session.timezone)
    with figuring_of(session, bounds, names) as figuring:
        sentences, rows = (
            (["nothing has run yet: no data"], ()) if figuring is None else WORKED[figure](figuring)
        )
    return _response(session, figure, span, (began_us, now_us), sentences, rows)


@contextmanager
def figuring_of(
    session: ProjectSession, window: AvailabilityWindow, names: frozenset[str] | None
) -> Iterator[Figuring | None]:
    """Open the inputs of figures within a window; None before the first run.

    `names` are the selected nodes and consumers, None for all.
    """
    if session.store is None or session.compiled is None:
        yield None
        return
    with project_state(session, window.now_us) as snapshot:
        yield Figuring(session, snapshot, session.compiled, window, names)


def _response(
    session: ProjectSession,
    figure: str,
    span: str,
    window: tuple[int, int],
    details: list[str],
    rows: Sequence[Any],
) -> FigureResponse:
    began, until = map(session.instant, window)
    return FigureResponse(
        figure=figure, window=span, began=began, until=until, said=details, rows=list(rows)
    )


def _names(session: ProjectSession, selection: Sequence[str]) -> frozenset[str] | None:
    if not selection:
        return None
    from headrace.project.selection import selected

    return frozenset(selected(session, selection, compiled=session.compiled))
