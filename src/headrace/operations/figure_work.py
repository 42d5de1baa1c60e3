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
        RunCountRow(kind=one.kind, state=one.state, runs=one.runs, succeeded=one.succeeded)
        for one in uptime.by_state(figuring.tx, figuring.began, figuring.until)
    ]
    started, good = sum(row.runs for row in rows), sum(row.succeeded for row in rows)
    classic = percent(share(good, started))
    said = "no run had anything due" if classic is None else f"{good} of {started} runs that started succeeded: {classic} %"
    return [f"{said}; held work never starts, so it never fails"], rows


def weakened(figuring: Figuring) -> tuple[list[str], list[WeakenedPromiseRow]]:
    """Promises that were made less."""
    found = weakenings.between(figuring.tx, figuring.began, figuring.until)
    rows = [
        WeakenedPromiseRow(node=one.node, what=one.what, before=one.was, after=one.becomes, by=one.actor, at=figuring.instant(one.at))
        for one in found
    ]
    return [f"{len(rows)} promises were weakened; what was due before is evaluated by what was promised then"], rows


def goodput(figuring: Figuring) -> tuple[list[str], list[GoodputRow]]:
    """Where the rows went that were delivered or staged."""
    found = by_node(staged(figuring))
    said = ["rows that are sound and still published, of those delivered (sources) or staged (assets); never summed over nodes"]
    slow = [one for one in found if one.rows_per_second]  # what makes no good rows isn't slow for that
    if slow:
        slowest = min(slow, key=lambda one: (one.rows_per_second or 0.0, one.node))
        took = slowest.work_us.get(slowest.slowest or "", 0) / 1e6 / slowest.seconds
        said.append(
            f"slowest: {slowest.node}, {slowest.rows_per_second:,.0f} good rows per second of its work;"
            f" {int(took * 100)} % of that was {slowest.slowest}"
        )
    return said, [_goodput(figuring, one) for one in found]


def _goodput(figuring: Figuring, one: Goodput) -> GoodputRow:
    ratio = percent(share(one.good, one.delivered))
    return GoodputRow(
        node=one.node,
        owner=figuring.owner_of(one.node),
        window=figuring.window.text,
        attempts=one.attempts,
        staged=one.staged,
        delivered=one.delivered,
        reworked=one.reworked,
        rows_per_second=_rounded(one.rows_per_second),
        bytes_per_second=_rounded(one.bytes_per_second),
        slowest=one.slowest,
        goodput=ratio,
        ratio=ratio,
        **one.places,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def staged(figuring: Figuring) -> list[GoodputAttempt]:
    """The attempts that ended in the window, and what came of their rows."""
    unsound = figuring.evaluation.unsound()
    made: dict[tuple[int, int], list[GoodputPublication]] = {}
    nodes = {(one.epoch, one.n): one.node for one in figuring.attempts}
    for one in worth.publications(figuring.tx, figuring.began, figuring.until):
        place = one.epoch, one.n
        has_ended = one.ended_at is not None and one.ended_at <= figuring.until
        ended = one.ended_at if has_ended else None
        wrong = (nodes.get(place, ""), one.partition, one.published_at) in unsound
        at = one.published_at
        shown = GoodputPublication(one.partition, one.rows, one.identical, ended, wrong, one.bytes, at)
        made.setdefault(place, []).append(shown)
    return [
        GoodputAttempt(
            node=one.node,
            attempt=f"{one.epoch}.{one.n}",
            state=one.state,
            at_us=one.at,
            rows=one.rows,
            made=tuple(made.get((one.epoch, one.n), ())),
            delivery=one.delivery_id if figuring.declared.nodes.get(one.node) and figuring.declared.nodes[one.node].is_source else None,
            work_us={"run": one.run_us, "audit": one.audit_us, "publish": one.publish_us},
            decided=one.decided,
            before=one.before,
        )
        for one in figuring.attempts
        if figuring.chosen(one.node)
    ]


def incidents(figuring: Figuring) -> tuple[list[str], list[IncidentTimesRow]]:
    """How long causes took to be noticed, and until all were served again."""
    found = [
        Occurred(one.id, one.kind, one.node, one.owner, one.began_at, one.opened_at, one.restored_at, one.recurrence_of)
        for one in worth.incidents(figuring.tx, figuring.began, figuring.until)
        if figuring.chosen(one.node)
    ]
    return _told(found, figuring.until), [_incident(figuring, one) for one in found]


def _told(found: list[Occurred], now_us: int) -> list[str]:
    total = times(found, now_us)
    if not found:
        return ["no incident: no data"]
    assert total.detect_median_us is not None
    assert total.restore_median_us is not None
    return [
        f"{total.incidents} incident{'s' if total.incidents > 1 else ''}, {total.open} open; recurrences: {total.recurrences}",
        f"found by people: {total.found_by_people} of {total.incidents}",
        f"time to detect: median {total.detect_median_us / 1e6:.0f} s, worst {(total.detect_worst_us or 0) / 1e6:.0f} s",
        f"time to restore: median {total.restore_median_us / 1e6:.0f} s, worst {(total.restore_worst_us or 0) / 1e6:.0f} s",
    ]


def _incident(figuring: Figuring, one: Occurred) -> IncidentTimesRow:
    return IncidentTimesRow(
        id=f"INC-{one.number}", kind=one.kind, node=one.node, owner=one.owner, began_at=figuring.instant(one.began_us),
        detect_seconds=one.detect_us / 1e6, restore_seconds=one.restore_us(figuring.until) / 1e6, open=one.restored_us is None,
        recurrence_of=None if one.recurrence_of is None else f"INC-{one.recurrence_of}", found_by_people=one.kind == "reported",
    )  # fmt: skip
