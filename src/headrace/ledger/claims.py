"""How the rows of one partition explain its time after its inputs were published. Pure.

Claims may overlap; `segments.divided` decides which claim gets which time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from headrace.ledger.records import (
    ActApproval,
    LedgerDelivery,
    LedgerIncident,
    LedgerRecords,
    Try,
)
from headrace.ledger.segments import TRIGGER_AWAITED, Segment, SegmentKind
from headrace.model.policy import EXPIRES_US
from headrace.slo.blockage import short_reason
from headrace.slo.declared_promises import NodeTraits
from headrace.slo.times import ago

LOSSES_MAX = 3
RESOURCES_MAX = 2
"""Limit of lost workers or exhausted resources in a row, as in `scheduler.attempts`."""
_ABSENT = (
    "late_source",
    "missing_source",
    "source_unavailable",
    "access_denied",
    "configuration_error",
)
"""Incident kinds that explain a missing delivery; other kinds of a source are about its content."""
_ELSEWHERE = (
    *_ABSENT,
    "paused",
    "approval_pending",
    "deadline_infeasible",
    "runtime_down",
    "slow_run",
)
"""Incident kinds that explain neither a hold nor a failed attempt."""
NOBODY_OBSERVED = "not observed since it was expected"
BETWEEN = "came in this time, not observed yet"
"""For a delivery that the observation before it missed, whatever time its file claims."""
ELSEWHERE = "delivered, and looked for in another place, as the project declared it"
NOT_BEGUN = "not begun"
"""For work that could have been queued but wasn't."""
DELIVERY_GONE = "when it was delivered isn't kept any more"
_LASTING = ("deterministic", "not_separable")


class Queues(NamedTuple):
    """A wait for capacity: since when a leader could start the work, and what has no room."""

    since_us: int
    note: str


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """One partition on the critical path, from when its inputs no longer blocked it.

    It ends when the attempt `final` published it or, if it isn't published, now.
    """

    node: str
    partition: str
    from_us: int
    to_us: int
    is_source: bool = False
    final: tuple[int, int] | None = None
    traits: NodeTraits = NodeTraits()
    promised_us: int | None = None
    """For a source's interval: when its delivery was promised."""
    triggered: str = ""
    """The trigger, if it doesn't start as soon as its inputs are ready."""
    fires_us: int | None = None
    """When the trigger first released the partition; None if only events or people fire it."""
    queues: Queues | None = None
    missed: tuple[tuple[str, str, int], ...] = ()
    """Optional inputs missing at the start: node, partition, and promised time."""
    tried_from_us: int = 0
    """Attempts queued earlier made older publications and have no part in this wait."""

    @property
    def open(self) -> bool:
        """Whether it isn't published yet."""
        return self.final is None


class DelayClaims:
    """The claims of one stay."""

    def __init__(self, stay: Stay, records: LedgerRecords) -> None:
        self._stay, self._records = stay, records
        tries, arrivals = (
            records.tries(stay.node, stay.partition),
            records.arrivals(stay.node, stay.partition) if stay.is_source else (),
        )
        self._tries = [
            item
            for item in tries
            if stay.tried_from_us <= item.queued_us < stay.to_us or item.id == stay.final
        ]
        self._arrivals = [arrival for arrival in arrivals if arrival.arrived_us <= stay.to_us]
        self._named = records.incidents(stay.node, stay.partition)

    def all(self) -> Iterator[Segment]:
        """Yield every claim. Of a hold, the time without an approval that would end it is apart."""
        approvals = self._records.approvals(self._stay.node, self._stay.partition)
        for claim in self._every():
            if claim.kind is SegmentKind.HOLD and approvals:
                yield from _without_approvals(claim, approvals)
            else:
                yield claim

    def _every(self) -> Iterator[Segment]:
        yield from self._of_deliveries()
        yield from self._of_what_is_done_without()
        yield from self._of_tries()
        yield from self._of_what_was_taken_back()
        yield from self._of_pauses()
        yield from self._of_plans()
        yield from self._of_the_queue()
        yield from self._of_the_schedule()

    def _claim(
        self,
        kind: SegmentKind,
        from_us: int,
        to_us: int,
        note: str = "",
        incident: LedgerIncident | None = None,
        *,
        decider: str = "",
        quality: bool = False,
    ) -> Segment:
        return Segment(
            kind=kind,
            node=self._stay.node,
            partition=self._stay.partition,
            from_us=from_us,
            to_us=to_us,
            note=note,
            incident=incident.id if incident is not None else 0,
            decider=decider,
            quality=quality,
        )

    # Deliveries

    def _of_deliveries(self) -> Iterator[Segment]:
        if not self._stay.is_source:
            return
        observed_us = self._records.observed_us(self._stay.node)
        if not self._arrivals and not self._tries:
            yield from self._undelivered(observed_us)
            return
        if self._arrivals:
            yield from self._unread(self._arrivals[0].arrived_us)
        for place, delivery in enumerate(self._arrivals):
            if place == 0:
                incident = self._incident(self._stay.from_us, delivery.arrived_us, *_ABSENT)
                yield self._claim(
                    SegmentKind.SOURCE,
                    self._stay.from_us,
                    delivery.arrived_us,
                    self._delivered(delivery),
                    incident,
                )
            seen_from = min(max(delivery.arrived_us, delivery.placed_us or 0), delivery.observed_us)
            if seen_from > delivery.arrived_us:
                yield self._elsewhere(delivery.arrived_us, seen_from)
            note = BETWEEN if delivery.between else "not observed yet"
            yield self._claim(SegmentKind.DETECTION, seen_from, delivery.observed_us, note)

    def _undelivered(self, observed_us: int | None) -> Iterator[Segment]:
        """Yield what held a source back of which nothing arrived and nothing was tried."""
        stay = self._stay
        if observed_us is None:
            note = "it hasn't been observed yet"
            yield self._claim(SegmentKind.DETECTION, stay.from_us, stay.to_us, note)
            return
        yield from self._unread(stay.to_us)
        incident = self._incident(stay.from_us, stay.to_us, *_ABSENT)
        note = "not delivered yet" if stay.open else DELIVERY_GONE
        known_until_us = stay.to_us
        expected_us = max(stay.from_us, stay.promised_us or 0)
        unreadable = any(each.to_us is None for each in self._records.unread(stay.node))
        if stay.open and observed_us < expected_us < stay.to_us and not unreadable:
            known_until_us = expected_us
            yield self._claim(SegmentKind.DETECTION, expected_us, stay.to_us, NOBODY_OBSERVED)
        yield self._claim(SegmentKind.SOURCE, stay.from_us, known_until_us, note, incident)

    def _unread(self, until_us: int) -> Iterator[Segment]:
        """Yield the spans in which the source couldn't be read."""
        for each in self._records.unread(self._stay.node):
            end = until_us if each.to_us is None else min(each.to_us, until_us)
            incident = self._incident(each.from_us, end, *_ABSENT)
            reason = f"couldn't be read: {each.reason}"[:200]
            yield self._claim(SegmentKind.SOURCE, each.from_us, end, reason, incident)

    def _elsewhere(self, from_us: int, to_us: int) -> Segment:
        """Claim the time in which a delivery existed but the project declared another location.

        That is the fault of neither the vendor nor Headrace.
        """
        incident = self._incident(from_us, to_us, "configuration_error")
        decider = self._stay.traits.decider if incident is None else ""
        return self._claim(SegmentKind.HOLD, from_us, to_us, ELSEWHERE, incident, decider=decider)

    def _delivered(self, delivery: LedgerDelivery) -> str:
        promised = self._stay.promised_us
        if promised is None:
            return "delivered"
        if delivery.between and delivery.observed_us > promised:
            most = f"{ago(delivery.observed_us - promised)} later than agreed"
            least = ago(delivery.arrived_us - promised)
            return (
                f"delivered {least} to {most}"
                if delivery.arrived_us > promised
                else f"delivered at most {most}"
            )
        if delivery.arrived_us <= promised:
            return "delivered, as agreed"
        undated = "at most " if delivery.arrived_us >= delivery.observed_us else ""
        unread = ": it couldn't be read before" if self._is_unread_until(delivery) else ""
        late = ago(delivery.arrived_us - promised)
        return f"delivered {undated}{late} later than agreed{unread}"

    def _of_what_is_done_without(self) -> Iterator[Segment]:
        """Claim the wait for optional inputs, which lasts until their promised time."""
        for node, partition, until in self._stay.missed:
            wait = self._claim(
                SegmentKind.SOURCE,
                self._stay.from_us,
                until,
                "optional, waited for until it was promised",
            )
            yield msgspec.structs.replace(wait, node=node, partition=partition)

    def _could_begin_us(self) -> int:
        """Return when no input was in the way any more, optional ones included."""
        return max([self._stay.from_us, *(until for _, _, until in self._stay.missed)])

    def _is_unread_until(self, delivery: LedgerDelivery) -> bool:
        """Return whether a delivery was found just after its source had been unreadable.

        Only deliveries that don't tell themselves when they arrived count.
        """
        spans = (
            self._records.unread(self._stay.node)
            if delivery.arrived_us == delivery.observed_us
            else ()
        )
        return any(
            each.from_us < delivery.observed_us
            and (each.to_us is None or each.to_us >= delivery.observed_us)
            for each in spans
        )

    # Attempts

    def _of_tries(self) -> Iterator[Segment]:
        for item, following in pairwise([*self._tries, None]):
            assert item is not None
            until = self._stay.to_us if following is None else following.queued_us
            yield from self._waiting(item)
            if item.is_open:
                yield from self._working(item, self._stay.to_us)
            elif item.id == self._stay.final:
                yield from self._done(item)
            else:
                yield from self._in_vain(item, max(until, item.finished_us or until))

    def _waiting(self, item: Try) -> Iterator[Segment]:
        """Claim the wait for a slot and then for a worker."""
        begun = item.began_us
        if begun > item.dispatched_us:
            yield self._claim(
                SegmentKind.QUEUE, item.dispatched_us, begun, "dispatched behind another"
            )
        if item.environment_us:
            made_from = max(item.dispatched_us, begun - item.environment_us)
            note = "waited for the environment of its packages"
            yield self._claim(SegmentKind.DISPATCH, made_from, begun, note)
        for start, end in (
            ()
            if self._stay.traits.pooled
            else self._records.free(item, item.queued_us, item.dispatched_us, begun=False)
        ):
            yield msgspec.structs.replace(
                self._claim(SegmentKind.QUEUE, start, end, "a slot was free"), free=True
            )
        note = "waited for a slot or a pool" if self._stay.traits.pooled else "waited for a slot"
        yield self._claim(SegmentKind.QUEUE, item.queued_us, item.dispatched_us, note)
        for start, end in self._records.free(item, item.dispatched_us, begun, begun=True):
            yield self._claim(SegmentKind.DISPATCH, start, end, "dispatched to a worker")

    def _working(self, item: Try, end: int) -> Iterator[Segment]:
        """Claim an attempt's work, until the leader's loop iteration that processed its result."""
        kind, note = (
            (SegmentKind.EXPORT, "exported")
            if item.kind == "export"
            else (SegmentKind.RUN, "ingested" if item.kind == "take_in" else "computed")
        )
        if item.is_open:
            yield self._claim(kind, item.dispatched_us, end, f"{item.label} runs")
            return
        begun = item.began_us
        if item.kind == "export":
            yield self._claim(kind, begun, end, f"{note} ({item.label})")
            return
        yield self._claim(kind, begun, item.audited_from_us, f"{note} ({item.label})")
        yield self._claim(
            SegmentKind.AUDIT, item.audited_from_us, item.published_from_us, "checked"
        )
        yield self._claim(
            SegmentKind.PUBLISH,
            item.published_from_us,
            end,
            "published" if item.state == "published" else "written down",
        )

    def _done(self, item: Try) -> Iterator[Segment]:
        """Claim the final attempt, and its later wait for a person or for its backfill."""
        end = item.finished_us if item.finished_us is not None else self._stay.to_us
        yield from self._working(item, end)
        if item.state in ("held", "rejected"):
            yield from self._held_or_dropped(item, end, self._stay.to_us)
        elif item.plan is not None:
            yield self._claim(
                SegmentKind.PUBLISH,
                end,
                self._stay.to_us,
                f"waited for the rest of backfill {item.plan.id}",
            )

    def _in_vain(self, item: Try, until: int) -> Iterator[Segment]:
        """Claim an attempt that didn't lead to what is read, until the next attempt."""
        end = item.finished_us if item.finished_us is not None else until
        if item.state in ("held", "rejected"):
            yield from self._redone(item, end)
            yield from self._held_or_dropped(item, end, self._redelivered(item, until))
            return
        text = item.reason or item.state
        if item.state == "staged" and item.plan is not None:
            yield from self._working(item, end)
            yield self._claim(
                SegmentKind.PUBLISH, end, until, f"waited for the rest of backfill {item.plan.id}"
            )
            return
        if item.state == "published":
            yield from self._redone(item, end)
            # a withdrawal ends the time and opens its incident at once
            incident = self._naming(item) or self._incident(end, until + 1)
            text = incident.summary if incident else "what was published could not stay"
            over = self._redelivered(item, until)
            yield self._claim(SegmentKind.HOLD, end, over, text, incident, quality=True)
            return
        lasts = self._lasting(item)
        over = end if lasts else until
        behind = self._behind(item, end, over)
        yield self._claim(
            SegmentKind.RETRY,
            item.dispatched_us,
            over,
            f"{item.label} {item.state}: {text}"[:200],
            behind,
        )
        if lasts and item.state != "cancelled":
            yield self._held(item, end, self._redelivered(item, until))

    def _redone(self, item: Try, end: int) -> Iterator[Segment]:
        """Claim the work of an attempt whose data was held, rejected or wrong."""
        for segment in self._working(item, end):
            yield msgspec.structs.replace(segment, quality=True)

    def _held_or_dropped(self, item: Try, from_us: int, to_us: int) -> Iterator[Segment]:
        """Claim a hold until somebody drops the data.

        After that a source waits for its vendor, an asset for other code or inputs, since the same
        computation would be held again.
        """
        if item.dropped is None or item.dropped.at_us >= to_us:
            yield self._held(item, from_us, to_us)
            return
        at_us = max(from_us, item.dropped.at_us)
        yield self._held(item, from_us, at_us)
        note = item.dropped.decision[:200]
        kind, incident = SegmentKind.HOLD, None
        if self._stay.is_source:
            kind, incident = SegmentKind.SOURCE, self._incident(at_us, to_us, *_ABSENT)
        yield self._claim(kind, at_us, to_us, note, incident, quality=True)

    def _held(self, item: Try, from_us: int, to_us: int) -> Segment:
        incident = self._behind(item, from_us, to_us)
        text = f"{item.state}: {item.reason}" if item.reason else item.state
        # No check failed for held data: accepting it is one command. Rejected or failed data must
        # be repaired first.
        decider = self._stay.traits.decider if item.state == "held" else ""
        note = text if incident is None else self._because(item, incident)
        return self._claim(
            SegmentKind.HOLD,
            from_us,
            to_us,
            note[:200],
            incident,
            decider=decider,
            quality=item.state in ("held", "rejected"),
        )

    def _because(self, item: Try, incident: LedgerIncident) -> str:
        """Return what an incident is about, at this partition if it also affects others."""
        if incident.places > 1 and incident.node == self._stay.node and item.reason:
            return short_reason(item.reason)
        return incident.summary

    def _redelivered(self, item: Try, until: int) -> int:
        """Return when the held data was delivered again, which ends the wait for a decision."""
        later = [
            arrival.arrived_us
            for arrival in self._arrivals
            if item.delivery is not None and arrival.id > item.delivery
        ]
        return min([until, *(at for at in later if at >= (item.finished_us or 0))])

    def _lasting(self, item: Try) -> bool:
        """Return whether Headrace doesn't retry the attempt by itself."""
        if item.state == "cancelled" or item.error in _LASTING:
            return item.error != "not_separable"
        before = [other for other in self._tries if other.id <= item.id]
        run = 0
        for other in reversed(before):
            if other.state not in ("failed", "lost"):
                break
            run += 1
        most = (
            LOSSES_MAX
            if item.state == "lost"
            else RESOURCES_MAX
            if item.error == "resources"
            else self._stay.traits.attempts_max
        )
        # a full disk or a throttled source isn't a failure: the attempt continues by itself
        return run > 0 and run % most == 0

    # People

    def _of_what_was_taken_back(self) -> Iterator[Segment]:
        """Claim the time from a withdrawal until the next publication.

        One command recomputes an asset; a source waits for its vendor.
        """
        publications = self._records.publications_of(self._stay.node, self._stay.partition)
        for publication, following in pairwise([*publications, None]):
            assert publication is not None
            if publication.ended_us is None or (
                following is not None and following.at_us <= publication.ended_us
            ):
                continue
            again = [
                each.queued_us for each in self._tries if each.queued_us >= publication.ended_us
            ]
            end = min([*again, self._stay.to_us if following is None else following.at_us])
            incident = self._incident(publication.ended_us, end, "reported")
            yield self._claim(
                SegmentKind.HOLD,
                publication.ended_us,
                end,
                "unpublished" if incident is None else incident.summary,
                incident,
                decider="" if self._stay.is_source else self._stay.traits.decider,
                quality=True,
            )

    def _of_pauses(self) -> Iterator[Segment]:
        for pause in self._records.pauses(self._stay.node):
            end = self._stay.to_us if pause.to_us is None else pause.to_us
            incident = self._incident(pause.from_us, end, SegmentKind.PAUSED)
            note = f"{pause.reason} (by {pause.by})"[:200]
            seen = min(max(pause.from_us, self._came_us()), end)
            yield self._claim(SegmentKind.PAUSED, pause.from_us, seen, note, incident)
            yield self._claim(
                SegmentKind.PAUSED, seen, end, note, incident, decider=self._stay.traits.decider
            )

    def _came_us(self) -> int:
        """Return since when a command could have continued the work."""
        if not self._stay.is_source or self._tries:
            return 0
        return self._arrivals[0].arrived_us if self._arrivals else self._stay.to_us

    def _of_plans(self) -> Iterator[Segment]:
        mine = {
            item.plan.id: item.plan
            for item in self._tries
            if item.plan is not None and item.plan.needs
        }
        waiting = (
            self._records.awaiting(self._stay.node, self._stay.partition) if self._stay.open else ()
        )
        for plan in (*mine.values(), *waiting):
            end = plan.started_us
            if end is None:
                end = min(self._stay.to_us, plan.created_us + EXPIRES_US)
            note = f"backfill {plan.id} waited for an approval: {plan.needs}"[:200]
            yield self._claim(
                SegmentKind.APPROVAL, plan.created_us, end, note, decider=self._stay.traits.decider
            )

    # Remaining time

    def _of_the_queue(self) -> Iterator[Segment]:
        """Claim a ready partition's wait for capacity, since a leader could have started it."""
        queues = self._stay.queues
        if queues is None or (self._stay.is_source and not self._arrivals):
            return
        released_us = self._released_us()
        if self._tries and (self._tries[-1].is_open or self._lasting(self._tries[-1])):
            return
        ready = [item.finished_us or 0 for item in self._tries[-1:]] + [
            arrival.observed_us for arrival in self._arrivals[-1:]
        ]
        yield self._claim(
            SegmentKind.QUEUE,
            max([queues.since_us, self._could_begin_us(), released_us, *ready]),
            self._stay.to_us,
            queues.note[:200],
        )

    def _of_the_schedule(self) -> Iterator[Segment]:
        """Claim the time from when it could have started until something requested it."""
        known = self._stay.open or any(item.id == self._stay.final for item in self._tries)
        if not known or (self._stay.is_source and not self._arrivals and not self._tries):
            return
        first = self._tries[0] if self._tries else None
        requested_us = first.asked_us if first is not None else None
        for begins, ends in self._unseen():
            released_us = min(ends, self._released_us())
            if begins < released_us:
                note = f"{TRIGGER_AWAITED}: {self._stay.triggered}"
                yield self._claim(SegmentKind.SCHEDULE, begins, released_us, note)
                begins = released_us  # noqa: PLW2901 - what is left of it
            if requested_us is not None and begins < requested_us < ends:
                yield self._claim(SegmentKind.SCHEDULE, begins, requested_us, "nothing ran")
                begins = requested_us  # noqa: PLW2901 - what is left of it
            yield self._claim(SegmentKind.SCHEDULE, begins, ends, NOT_BEGUN)

    def _released_us(self) -> int:
        """Return until when its own trigger kept the partition from starting.

        That is the beginning of the stay without a trigger, and its end if nothing but an event or
        a person fires the trigger.
        """
        if not self._stay.triggered:
            return self._stay.from_us
        return self._stay.to_us if self._stay.fires_us is None else self._stay.fires_us

    def _unseen(self) -> Iterator[tuple[int, int]]:
        """Yield the stay without the time before deliveries were observed.

        That time is detection's.
        """
        begins = self._could_begin_us()
        for arrival in self._arrivals:
            ends = min(arrival.arrived_us, self._dropped_us(begins))
            if begins < ends and arrival is not self._arrivals[0]:
                yield begins, ends
            begins = max(begins, arrival.observed_us)
        if self._stay.is_source and self._dropped_us(begins) < self._stay.to_us:
            yield begins, self._dropped_us(begins)
            return
        if begins < self._stay.to_us:
            yield begins, self._stay.to_us

    def _dropped_us(self, after_us: int) -> int:
        """Return when somebody dropped the last delivery, so that no data was left to start with.

        Only drops from `after_us` on count; without one, return the end of the stay.
        """
        results = [item.dropped.at_us for item in self._tries if item.dropped is not None]
        return min((at for at in results if at >= after_us), default=self._stay.to_us)

    def _naming(self, item: Try) -> LedgerIncident | None:
        """Return the incident that names an attempt's publication as wrong."""
        publications = self._records.publications_of(self._stay.node, self._stay.partition)
        number = next((each.because for each in publications if each.id == item.id), 0)
        return next((each for each in self._named if each.id == number), None)

    def _behind(self, item: Try, from_us: int, to_us: int) -> LedgerIncident | None:
        """Return the incident of an attempt's failure, hold or rejection, of any kind.

        If there is none, return one that was open at the time.
        """
        if _is_given_back(item):
            return None
        incidents = [each for each in self._named if item.id in each.attempts]
        return min(incidents, key=self._nearness, default=None) or self._incident(from_us, to_us)

    def _incident(self, from_us: int, to_us: int, *kinds: str) -> LedgerIncident | None:
        """Return the incident that explains a time.

        Incidents of the partition's own node come first and, of those, one seen at the partition.
        `kinds` limits the result; by default incidents about deliveries or computations count.
        """
        incidents = [
            incident
            for incident in self._named
            if incident.began_us < to_us
            and (incident.ended_us is None or incident.ended_us > from_us)
        ]
        incidents = [
            incident
            for incident in incidents
            if (incident.kind in kinds if kinds else incident.kind not in _ELSEWHERE)
        ]
        return min(incidents, key=self._nearness, default=None)

    def _nearness(self, incident: LedgerIncident) -> tuple[bool, bool, int]:
        return incident.node != self._stay.node, incident.of_node, incident.id


def _is_given_back(item: Try) -> bool:
    """Return whether an attempt left its deliveries to attempts of their own.

    Nothing is wrong with them, unlike those that wait for a disk or a server.
    """
    return item.state == "skipped" and not item.error


def first_arrival(arrivals: Sequence[LedgerDelivery], item: Try | None) -> LedgerDelivery | None:
    """Return the delivery that an attempt ingested, else the first."""
    if item is not None and item.delivery is not None:
        delivery = next((arrival for arrival in arrivals if arrival.id == item.delivery), None)
        if delivery is not None:
            return delivery
    return arrivals[0] if arrivals else None


def _without_approvals(hold: Segment, approvals: Sequence[ActApproval]) -> Iterator[Segment]:
    """Yield a hold in parts: those in which an act that would end it wasn't approved, and others.

    Of several approvals, the one that was asked for last counts.
    """
    edges = {hold.from_us, hold.to_us}
    edges |= {at for item in approvals for at in item[:2] if hold.from_us < at < hold.to_us}
    for start, end in pairwise(sorted(edges)):
        part = msgspec.structs.replace(hold, from_us=start, to_us=end)
        waits = [item for item in approvals if item.from_us <= start and item.to_us >= end]
        if waits:
            last = max(waits)
            part = msgspec.structs.replace(part, kind=SegmentKind.APPROVAL, note=last.note)
        yield part
