"""What figures about runs, rows and causes are made of."""

from __future__ import annotations

from headrace.observe.availability.score import percent, share
from headrace.observe.figures.goodput import Goodput, GoodputAttempt, GoodputPublication, by_node
from headrace.observe.figures.repair_times import Occurred, times
from headrace.operations.figure_responses import GoodputRow, IncidentTimesRow, RunCountRow, WeakenedPromiseRow
from headrace.operations.figuring import Figuring
from headrace.store.queries import uptime, weakenings, worth


def runs(figuring: Figuring) -> tuple[list[str], list[RunCountRow]]:
    """Runs as other tools count them."""
    rows = [
        RunCountRow(kind=counts.kind, state=counts.state, runs=counts.runs, succeeded=counts.succeeded)
        for counts in uptime.by_state(figuring.tx, figuring.began, figuring.until)
    ]
    started, good = sum(row.runs for row in rows), sum(row.succeeded for row in rows)
    classic = percent(share(good, started))
    text = "no run had anything due" if classic is None else f"{good} of {started} runs that started succeeded: {classic} %"
    return [f"{text}; held work never starts, so it never fails"], rows


def weakened(figuring: Figuring) -> tuple[list[str], list[WeakenedPromiseRow]]:
    """Promises that were made less."""
    results = weakenings.between(figuring.tx, figuring.began, figuring.until)
    rows = [
        WeakenedPromiseRow(node=item.node, what=item.what, before=item.was, after=item.becomes, by=item.actor, at=figuring.instant(item.at))
        for item in results
    ]
    return [f"{len(rows)} promises were weakened; what was due before is evaluated by what was promised then"], rows


def goodput(figuring: Figuring) -> tuple[list[str], list[GoodputRow]]:
    """Where the rows went that were delivered or staged."""
    goodputs = by_node(staged(figuring))
    said = ["rows that are sound and still published, of those delivered (sources) or staged (assets); never summed over nodes"]
    slow = [goodput for goodput in goodputs if goodput.rows_per_second]  # what makes no good rows isn't slow for that
    if slow:
        slowest = min(slow, key=lambda goodput: (goodput.rows_per_second or 0.0, goodput.node))
        took = slowest.work_us.get(slowest.slowest or "", 0) / 1e6 / slowest.seconds
        said.append(
            f"slowest: {slowest.node}, {slowest.rows_per_second:,.0f} good rows per second of its work;"
            f" {int(took * 100)} % of that was {slowest.slowest}"
        )
    return said, [_goodput(figuring, goodput) for goodput in goodputs]


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


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def staged(figuring: Figuring) -> list[GoodputAttempt]:
    """The attempts that ended in the window, and what came of their rows."""
    unsound = figuring.evaluation.unsound()
    made: dict[tuple[int, int], list[GoodputPublication]] = {}
    nodes = {(attempt.epoch, attempt.n): attempt.node for attempt in figuring.attempts}
    for publication in worth.publications(figuring.tx, figuring.began, figuring.until):
        place = publication.epoch, publication.n
        has_ended = publication.ended_at is not None and publication.ended_at <= figuring.until
        ended = publication.ended_at if has_ended else None
        wrong = (nodes.get(place, ""), publication.partition, publication.published_at) in unsound
        at = publication.published_at
        goodput_publication = GoodputPublication(
            publication.partition, publication.rows, publication.identical, ended, wrong, publication.bytes, at
        )
        made.setdefault(place, []).append(goodput_publication)
    return [
        GoodputAttempt(
            node=attempt.node,
            attempt=f"{attempt.epoch}.{attempt.n}",
            state=attempt.state,
            at_us=attempt.at,
            rows=attempt.rows,
            made=tuple(made.get((attempt.epoch, attempt.n), ())),
            delivery=attempt.delivery_id
            if figuring.declared.nodes.get(attempt.node) and figuring.declared.nodes[attempt.node].is_source
            else None,
            work_us={"run": attempt.run_us, "audit": attempt.audit_us, "publish": attempt.publish_us},
            decided=attempt.decided,
            before=attempt.before,
        )
        for attempt in figuring.attempts
        if figuring.chosen(attempt.node)
    ]


def incidents(figuring: Figuring) -> tuple[list[str], list[IncidentTimesRow]]:
    """How long causes took to be noticed, and until all were served again."""
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
        )
        for incident in worth.incidents(figuring.tx, figuring.began, figuring.until)
        if figuring.chosen(incident.node)
    ]
    return _told(results, figuring.until), [_incident(figuring, item) for item in results]


def _told(results: list[Occurred], now_us: int) -> list[str]:
    total = times(results, now_us)
    if not results:
        return ["no incident: no data"]
    assert total.detect_median_us is not None
    assert total.restore_median_us is not None
    return [
        f"{total.incidents} incident{'s' if total.incidents > 1 else ''}, {total.open} open; recurrences: {total.recurrences}",
        f"found by people: {total.found_by_people} of {total.incidents}",
        f"time to detect: median {total.detect_median_us / 1e6:.0f} s, worst {(total.detect_worst_us or 0) / 1e6:.0f} s",
        f"time to restore: median {total.restore_median_us / 1e6:.0f} s, worst {(total.restore_worst_us or 0) / 1e6:.0f} s",
    ]


def _incident(figuring: Figuring, item: Occurred) -> IncidentTimesRow:
    return IncidentTimesRow(
        id=f"INC-{item.number}", kind=item.kind, node=item.node, owner=item.owner, began_at=figuring.instant(item.began_us),
        detect_seconds=item.detect_us / 1e6, restore_seconds=item.restore_us(figuring.until) / 1e6, open=item.restored_us is None,
        recurrence_of=None if item.recurrence_of is None else f"INC-{item.recurrence_of}", found_by_people=item.kind == "reported",
    )  # fmt: skip
