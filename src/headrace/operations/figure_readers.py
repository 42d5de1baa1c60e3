"""What figures about sources and readers are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median_low

from headrace.model.intervals import bounds_us, key_at_us, next_key, start_us
from headrace.model.required import SEPARATOR
from headrace.observe.blockage import promised_by
from headrace.observe.declared_promises import DeclaredPromises, Node
from headrace.observe.figures.source_scores import DELIVERIES_LEAST, SourceDeliveries, score
from headrace.observe.wording import ago, days
from headrace.operations.cost import took
from headrace.operations.figure_responses import SourceScoreRow, UseRow
from headrace.operations.figuring import Figuring
from headrace.store.queries import arriving, usage, worth
from headrace.store.queries.usage import ReadUsage
from headrace.store.queries.worth import WindowDelivery

WAITING_SHOWN_MAX = 3
UNSEEN = "no read seen through Headrace; direct file reads aren't visible"
AS_FAR_AS_SEEN = "as far as reads are seen: direct file reads aren't visible"


def sources(figuring: Figuring) -> tuple[list[str], list[SourceScoreRow]]:
    """What sources are worth, and how far they can be relied on."""
    rows = [
        _scored(_delivered(figuring, node)) for node in figuring.declared.nodes.values() if node.is_source and figuring.chosen(node.name)
    ]
    return [f"lower bounds (95 %) of what was delivered; nothing is said with fewer than {DELIVERIES_LEAST} deliveries"], rows


def _scored(deliveries: SourceDeliveries) -> SourceScoreRow:
    source_score = score(deliveries)
    return SourceScoreRow(
        source=deliveries.source,
        owner=deliveries.owner,
        deliveries=deliveries.deliveries,
        consumers=deliveries.consumers,
        reads=deliveries.reads,
        stability=_said(source_score.stability),
        quality=_said(source_score.quality),
        on_time=deliveries.on_time,
        expected=deliveries.expected,
        missing=deliveries.missing,
        changed=deliveries.changed,
        rows_accepted=deliveries.rows_accepted,
        rows_refused=deliveries.rows_refused,
        rows_missing=deliveries.rows_missing,
    )


def _said(value: float | None) -> str | None:
    return None if value is None else f"{int(value * 1000) / 1000:.3f}"


def _delivered(figuring: Figuring, node: Node) -> SourceDeliveries:
    arrived = worth.arrived(figuring.tx, node.name, figuring.began, figuring.until)
    accepted, refused = worth.rows_of_deliveries(figuring.tx, node.name, figuring.began, figuring.until)
    first = _first_arrivals(arrived)
    due = list(_expected(figuring, node))
    missing = [key for key, _ in due if key not in first]
    restated = worth.restated(figuring.tx, node.name, figuring.began, figuring.until)
    below = {node.name, *figuring.evaluation.assets_of(node.name)}
    return SourceDeliveries(
        source=node.name,
        owner=figuring.owner_of(node.name),
        deliveries=len(arrived),
        expected=len(due),
        on_time=sum(key in first and (by is None or first[key] <= by) for key, by in due),
        missing=len(missing),
        changed=sum(delivery.drifted or delivery.id in restated for delivery in arrived),
        rows_accepted=sum(accepted.values()),
        rows_refused=sum(rows for item, rows in refused.items() if item not in accepted),
        rows_missing=len(missing) * (median_low(accepted.values()) if accepted else 0),
        consumers=len(figuring.evaluation.consumers_of(node.name)),
        reads=sum(read_usage.reads for read_usage in figuring.reads if read_usage.node in below),
    )


def _first_arrivals(arrived: Sequence[WindowDelivery]) -> dict[str, int]:
    results: dict[str, int] = {}
    for delivery in arrived:
        moment = delivery.partition.partition(SEPARATOR)[0]
        results[moment] = min(results.get(moment, delivery.arrived_at), delivery.arrived_at)
    return results


def _expected(figuring: Figuring, node: Node) -> Iterator[tuple[str, int | None]]:
    """The intervals whose delivery was due in the window, with by when; one that wasn't promised for a time is due when it has ended."""
    grain, oldest = node.partition.grain, arriving.oldest_delivery(figuring.tx, node.name)
    if grain is None or oldest is None:
        return
    first = start_us(oldest.partition(SEPARATOR)[0], grain, node.timezone)
    key = key_at_us(max(first, figuring.began), grain, node.timezone)
    while bounds_us(key, grain, node.timezone)[1] <= figuring.until:
        by = promised_by(node, key)
        if not node.no_data.covers(key, grain, node.timezone) and (by is None or by <= figuring.until):
            yield key, by
        key = next_key(key, grain, node.timezone)


def use(figuring: Figuring) -> tuple[list[str], list[UseRow]]:
    """Who reads what, and what is computed although nobody was seen to read it."""
    worked = took(figuring.session, figuring.compiled, figuring.tx, (figuring.began, figuring.until))
    seconds, waiting = {name: us / 1e6 for name, us in worked.items()}, _waiting(figuring.declared)
    seen: dict[str, list[ReadUsage]] = {}
    for read_usage in figuring.reads:
        seen.setdefault(read_usage.node, []).append(read_usage)
    chosen = [name for name in figuring.declared.nodes if figuring.chosen(name)]
    rows = [row for name in chosen for row in _readers(figuring, name, seen.get(name, []), seconds.get(name, 0.0), waiting.get(name, []))]
    rows += [
        _row(figuring, node, export.consumer, "export", export.exports, export.last_at, seconds.get(node, 0.0))
        for export in usage.exports(figuring.tx, figuring.declared.exports, figuring.began, figuring.until)
        for node in figuring.project.consumers[export.consumer].reads
        if figuring.chosen(node)
    ]
    return [AS_FAR_AS_SEEN, *_unread(rows)], rows


def _unread(rows: Sequence[UseRow]) -> Iterator[str]:
    """How many nodes nobody was seen to read, and what they cost."""
    spent = {row.node: row.seconds for row in rows}
    unread = spent.keys() - {row.node for row in rows if row.reader is not None}
    if unread:
        seconds = sum(spent[name] for name in unread)
        verb = "was" if len(unread) == 1 else "were"
        yield (
            f"{len(unread):,} of {days(len(spent), 'node')} {verb} read by nobody that is seen:"
            f" {ago(round(seconds * 1e6))} of {ago(round(sum(spent.values()) * 1e6))} of work"
        )
    elif spent:
        yield "each of them was read"


def _waiting(declared: DeclaredPromises) -> dict[str, list[str]]:
    """Node → the first consumers that read it or what is made of it."""
    results: dict[str, list[str]] = {}
    for terms in declared.consumers:
        above = list(terms.reads)
        known = set(above)
        while above:
            name = above.pop()
            node, named = declared.nodes.get(name), results.setdefault(name, [])
            if len(named) < WAITING_SHOWN_MAX:
                named.append(terms.consumer)
            fresh = {spec.node for spec in node.inputs} - known if node is not None else set[str]()
            known |= fresh
            above += fresh
    return results


def _readers(figuring: Figuring, name: str, seen: list[ReadUsage], seconds: float, consumers: list[str]) -> list[UseRow]:
    results: dict[tuple[str, str], tuple[int, int]] = {}
    for read_usage in seen:
        reads, last = results.get((read_usage.reader, read_usage.via), (0, 0))
        results[read_usage.reader, read_usage.via] = (reads + read_usage.reads, max(last, read_usage.last_at))
    if results:
        return [_row(figuring, name, who, via, reads, last, seconds) for (who, via), (reads, last) in sorted(results.items())]
    waiting = ", ".join(consumers)
    text = f"{UNSEEN}; needed by {waiting}" if waiting else f"{UNSEEN}; no consumer needs it"
    return [UseRow(node=name, reader=None, via=None, reads=0, last_at=None, seconds=seconds, said=text)]


def _row(figuring: Figuring, node: str, reader: str, via: str, reads: int, last_us: int, seconds: float) -> UseRow:
    return UseRow(node=node, reader=reader, via=via, reads=reads, last_at=figuring.instant(last_us), seconds=seconds, said="")
