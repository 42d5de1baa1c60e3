"""What availability is made of: each consumer's states over a window; and the same of nodes, owners and domains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from headrace.model import Asset, Consumer, Project, Source
from headrace.observe.availability.score import GOOD, AvailabilityScore, figures, percent, share, totals, worst
from headrace.observe.availability.sentences import NOTHING_DUE, of_consumer
from headrace.observe.availability.spans import common
from headrace.observe.availability.timeline import ServiceHistory, ServicePeriod, moments, timeline
from headrace.operations.availability import row_of
from headrace.operations.figure_responses import PromiseRow, ServedRow, SpanRow
from headrace.operations.figuring import Figuring


def spans(figuring: Figuring) -> tuple[list[str], list[SpanRow]]:
    """How each consumer was served, span by span."""
    rows = [row for past in figuring.pasts for row in _spans(figuring, past)]
    return [_served(figuring, score) for score in figuring.scores], rows


def _served(figuring: Figuring, score: AvailabilityScore) -> str:
    availability_figures = figures(score)
    if availability_figures.honest is None:
        return f"{score.consumer}: {NOTHING_DUE}"
    return (
        f"{score.consumer}: {of_consumer(availability_figures, figuring.window)}; {availability_figures.claimed} % was claimed;"
        f" {availability_figures.exception_minutes:,} minutes by exception of others"
    )


def _spans(figuring: Figuring, past: ServiceHistory) -> Iterator[SpanRow]:
    """Cut wherever what is known now, what was claimed, or whose word it was served by changes."""
    now, then = (timeline(past, figuring.began, figuring.until, then=when) for when in (False, True))
    excepted = common(moments(now, lambda state: state in GOOD), past.excepted)
    edges = sorted(
        {edge for period in (*now, *then) for edge in (period.from_us, period.until_us)} | {edge for span in excepted for edge in span}
    )
    for since, until in pairwise(edges):
        state, claimed = _at(now, since), _at(then, since)
        if state is not None and claimed is not None:
            yield SpanRow(
                consumer=past.consumer, since=figuring.instant(since), until=figuring.instant(until), seconds=(until - since) / 1e6,
                state=state, claimed=claimed, by_exception=any(item <= since < other for item, other in excepted),
            )  # fmt: skip


def _at(spans: Sequence[ServicePeriod], at_us: int) -> str | None:
    return next((span.state.value for span in spans if span.from_us <= at_us < span.until_us), None)


def promises(figuring: Figuring) -> tuple[list[str], list[PromiseRow]]:
    """The obligations that fell due in the window."""
    rows = [
        PromiseRow(
            consumer=past.consumer, interval=duty.interval, due_at=figuring.instant(duty.due_us),
            met_at=None if duty.met_us is None else figuring.instant(duty.met_us),
            kept=duty.kept, waived=duty.waived_us is not None,
        )
        for past in figuring.pasts
        for duty in past.promised(figuring.began, figuring.until)
    ]  # fmt: skip
    return [f"{sum(row.kept for row in rows)} of {len(rows)} promises were kept in time"], rows


def nodes(figuring: Figuring) -> tuple[list[str], list[ServedRow]]:
    """Assets and sources, as their strictest consumer needs them."""
    ran = figuring.attempts_by_node
    rows = [_node(figuring, name, ran.get(name, (0, 0))) for name in figuring.declared.nodes if figuring.chosen(name)]
    known = [row for row in rows if row.honest is not None]
    return [f"{len(known)} of {len(rows)} nodes are needed by a consumer that something was due for"], rows


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
    """All that an owner answers for: consumers, assets and sources."""
    return _grouped(figuring, "owner", {name: node.owner for name, node in _all(figuring.project)})


def domains(figuring: Figuring) -> tuple[list[str], list[ServedRow]]:
    """All that belongs to a domain."""
    return _grouped(figuring, "domain", {name: node.domain or "" for name, node in _all(figuring.project)})


def _all(project: Project) -> Iterable[tuple[str, Source | Asset | Consumer]]:
    return [*project.sources.items(), *project.assets.items(), *project.consumers.items()]


def _grouped(figuring: Figuring, kind: str, group_of: Mapping[str, str]) -> tuple[list[str], list[ServedRow]]:
    scores: dict[str, list[AvailabilityScore]] = {}
    for score in [*figuring.scores, *_least_of_nodes(figuring)]:
        group = group_of.get(score.consumer, "")
        if group:
            scores.setdefault(group, []).append(score)
    rows = [_roll_up(group, kind, availability_scores) for group, availability_scores in sorted(scores.items())]
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
