"""What figures about runs, rows and causes are made of."""

from __future__ import annotations

from headrace.observe.availability.score import percent, share
from headrace.observe.figures.goodput import Made, Staged, by_node
from headrace.observe.figures.repair_times import Occurred, times
from headrace.operations.figure_documents import GoodputRow, IncidentTimesRow, RunCountRow, WeakenedPromiseRow
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
    said = "no run started" if classic is None else f"{good} of {started} runs that started succeeded: {classic} %"
    return [f"{said}; held work never starts, so it never fails"], rows


def weakened(figuring: Figuring) -> tuple[list[str], list[WeakenedPromiseRow]]:
    """Promises that were made less."""
    found = weakenings.between(figuring.tx, figuring.began, figuring.until)
    rows = [
        WeakenedPromiseRow(node=one.node, what=one.what, before=one.was, after=one.becomes, by=one.actor, at=figuring.instant(one.at))
        for one in found
    ]
    return [f"{len(rows)} promises were weakened; what was due before is judged by what was promised then"], rows


def goodput(figuring: Figuring) -> tuple[list[str], list[GoodputRow]]:
    """Where the rows went that attempts staged."""
    rows = [
        GoodputRow(
            node=one.node, owner=figuring.owner_of(one.node), attempts=one.attempts, staged=one.staged,
            goodput=percent(share(one.good, one.staged)), **one.places,
        )
        for one in by_node(staged(figuring))
    ]  # fmt: skip
    return ["rows that are sound and stand, of those staged; never summed over nodes"], rows


def staged(figuring: Figuring) -> list[Staged]:
    """The attempts that ended in the window, and what came of their rows."""
    unsound = figuring.evaluation.unsound()
    made: dict[tuple[int, int], list[tuple[str, worth.Published]]] = {}
    for one in worth.publications(figuring.tx, figuring.began, figuring.until):
        made.setdefault((one.epoch, one.n), []).append((one.partition, one))
    return [
        Staged(
            one.node, f"{one.epoch}.{one.n}", one.state, one.at, one.rows,
            tuple(
                Made(key, p.rows, p.identical, p.ended_at is not None and p.ended_at <= figuring.until,
                     (one.node, key, p.published_at) in unsound)
                for key, p in made.get((one.epoch, one.n), ())
            ),
        )
        for one in figuring.attempts
        if figuring.chosen(one.node)
    ]  # fmt: skip


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
