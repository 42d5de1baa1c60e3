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
    return [_served(figuring, one) for one in figuring.scores], rows


def _served(figuring: Figuring, one: AvailabilityScore) -> str:
    found = figures(one)
    if found.honest is None:
        return f"{one.consumer}: {NOTHING_DUE}"
    return (
        f"{one.consumer}: {of_consumer(found, figuring.window)}; {found.claimed} % was claimed;"
        f" {found.exception_minutes:,} minutes by exception of others"
    )


def _spans(figuring: Figuring, past: ServiceHistory) -> Iterator[SpanRow]:
    """Cut wherever what is known now, what was claimed, or whose word it was served by changes."""
    now, then = (timeline(past, figuring.began, figuring.until, then=when) for when in (False, True))
    excepted = common(moments(now, lambda state: state in GOOD), past.excepted)
    edges = sorted({edge for one in (*now, *then) for edge in (one.from_us, one.until_us)} | {edge for span in excepted for edge in span})
    for since, until in pairwise(edges):
        state, claimed = _at(now, since), _at(then, since)
        if state is not None and claimed is not None:
            yield SpanRow(
                consumer=past.consumer, since=figuring.instant(since), until=figuring.instant(until), seconds=(until - since) / 1e6,
                state=state, claimed=claimed, by_exception=any(one <= since < other for one, other in excepted),
            )  # fmt: skip


def _at(spans: Sequence[ServicePeriod], at_us: int) -> str | None:
    return next((one.state.value for one in spans if one.from_us <= at_us < one.until_us), None)


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
    found = [_node(figuring, name, ran.get(name, (0, 0))) for name in figuring.declared.nodes if figuring.chosen(name)]
    known = [row for row in found if row.honest is not None]
    return [f"{len(known)} of {len(found)} nodes are needed by a consumer that something was due for"], found


def _node(figuring: Figuring, name: str, ran: tuple[int, int]) -> ServedRow:
    scores = figuring.scores_of(name)
    found, least = totals(scores), worst(scores)
    rounded = None if least is None else figures(least)
    return ServedRow(
        of=name,
        kind="source" if figuring.declared.nodes[name].is_source else "asset",
        owner=figuring.owner_of(name),
        honest=found.honest,
        mean=found.mean,
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
    for one in [*figuring.scores, *_least_of_nodes(figuring)]:
        group = group_of.get(one.consumer, "")
        if group:
            scores.setdefault(group, []).append(one)
    rows = [_roll_up(group, kind, found) for group, found in sorted(scores.items())]
    return ["the worst of all that belongs to it; the mean beside it"], rows


def _least_of_nodes(figuring: Figuring) -> Iterator[AvailabilityScore]:
    for name in figuring.declared.nodes:
        found = worst(figuring.scores_of(name))
        if found is not None:
            yield found


def _roll_up(group: str, kind: str, scores: Sequence[AvailabilityScore]) -> ServedRow:
    found = totals(scores)
    return ServedRow(
        of=group,
        kind=kind,
        owner=group if kind == "owner" else None,
        honest=found.honest,
        mean=found.mean,
        lost_minutes=found.lost_minutes or 0,
        worst=found.worst,
        classic=None,
    )
