"""The delay ledger in `why`: segments, shares, the comparison with the week before, and readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec

from headrace.ledger.account import Ledger, share_of
from headrace.ledger.claims import BETWEEN
from headrace.ledger.consumer_ledgers import ConsumerLedgers
from headrace.ledger.inputs import PartitionRef
from headrace.ledger.records import Try
from headrace.ledger.segments import WORK, Segment, SegmentKind
from headrace.model import Grain, UsageError
from headrace.model.intervals import bounds_us, key_at_us, previous_key, to_us
from headrace.model.times import duration
from headrace.plan import Compiled
from headrace.project.caches import cached_by_version
from headrace.project.session import ProjectSession
from headrace.responses.interventions import ComparedRow, LedgerRow, SegmentRow, ShareRow
from headrace.slo.declared_promises import Terms, traits
from headrace.slo.obligations import EvaluationContext, begins_us, due_us, obligations
from headrace.slo.times import ago, time_text
from headrace.store import Transaction
from headrace.store.queries import ledger as rows

_HOUR_US = 3_600_000_000
_WEEK_US = 7 * 86_400_000_000
_SECOND_US = 1_000_000
_SHARES_MAX = 20


class Ledgers:
    """Delay ledgers as of one point in time."""

    def __init__(
        self,
        session: ProjectSession,
        tx: Transaction,
        compiled: Compiled,
        context: EvaluationContext,
        now_us: int,
    ) -> None:
        self._session, self._tx, self._context, self._now = session, tx, context, now_us
        version_traits = cached_by_version(session, "traits", lambda: traits(compiled))
        self._ledgers = ConsumerLedgers(tx, compiled, context, version_traits, now_us)

    def of_consumer(self, terms: Terms, interval: str) -> LedgerRow | None:
        """Return a consumer's wait for an interval, compared with the week before.

        None before the interval's end.
        """
        ledger, is_frozen = self._ledgers.of_consumer(terms, interval)
        if ledger is None:
            return None
        row = self._row(ledger, is_frozen=is_frozen)
        return msgspec.structs.replace(
            row, compared=self._compared(terms, ledger), read=self._read(terms, ledger)
        )

    def ended(self, terms: Terms, row: LedgerRow) -> str | None:
        """Return a sentence on when a consumer's wait ended and whether in time.

        None while it is open.
        """
        if row.open:
            return None
        met, waived, due, _ = self._ledgers.obligation(terms.consumer, row.interval)
        subject, at_us = f"{terms.consumer} {row.interval}", to_us(row.to)
        if met is None and waived is not None:
            return f"{subject} was let go of {self._time_text(at_us)}"
        due = due_us(terms, row.interval) if due is None else due
        late = f"{ago(at_us - due)} after it was due" if at_us > due else "in time"
        return f"{subject} was there {self._time_text(at_us)}, {late} (due {self._time_text(due)})"

    def _time_text(self, at_us: int) -> str:
        return time_text(at_us, self._now, self._session.timezone)

    def never_promised(self, terms: Terms, interval: str) -> str | None:
        """Return a sentence for an interval that was due before the promise began.

        None for others.
        """
        if not self._ledgers.never_promised(terms, interval):
            return None
        due, begins = due_us(terms, interval), begins_us(terms, self._context, self._now)
        due_text, begins_text = self._time_text(due), self._time_text(begins)
        return (
            f"{terms.consumer} {interval} was never promised: it was due {due_text}, before the"
            f" promise began {begins_text}"
        )

    def newest_met(self, terms: Terms) -> LedgerRow | None:
        """Return the wait for the newest interval that has ended and whose obligation was met."""
        met = [
            obligation.interval
            for obligation in obligations(terms, self._context, self._now)
            if obligation.met_at_us is not None
            and bounds_us(obligation.interval, terms.per, terms.timezone)[1] <= self._now
        ]
        return self.of_consumer(terms, met[-1]) if met else None

    def ledger(self, terms: Terms, interval: str) -> Ledger | None:
        """Return the same wait as values.

        Asking for the oldest interval first is fastest: wrong data is loaded back to it once.
        """
        return self._ledgers.of_consumer(terms, interval)[0]

    def by_kind_and_owner(self, ledger: Ledger) -> dict[tuple[str, str, bool], float]:
        """Return (kind of segment, owner, whether it awaits a trigger) → seconds of a wait.

        Segments of nodes that the session's identity may not see are left out.
        """
        self._load_owners(ledger)
        result: Counter[tuple[str, str, bool]] = Counter()
        for segment in ledger.segments:
            names = [name for name in (segment.node, segment.lacking) if name]
            if all(map(self._session.shows, names)):
                share = share_of(segment, self._ledgers.books.traits, self._ledgers.records.owners)
                result[str(segment.kind), share.owner, segment.awaits_trigger] += segment.us
        return {key: us / _SECOND_US for key, us in result.items() if us}

    def of_partition(self, node: str, key: str) -> LedgerRow | None:
        """Return a partition's newest wait."""
        ledger = self._ledgers.books.of_partition(node, key)
        return None if ledger is None else self._row(ledger, is_frozen=False)

    def of_run(
        self, subject: str, place: PartitionRef, from_us: int, to_us: int, *, there: bool
    ) -> LedgerRow:
        """Return the time from a run's start until its last attempt ended (`Books.of_run`)."""
        books = self._ledgers.books
        return self._row(books.of_run(subject, place, from_us, to_us, there=there), is_frozen=False)

    def attempts(self, node: str, partition: str) -> Sequence[Try]:
        """Return the attempts at a partition as of the ledgers' point in time."""
        return self._ledgers.records.tries(node, partition)

    # Rows of the response

    def _row(self, ledger: Ledger, *, is_frozen: bool) -> LedgerRow:
        parts = {name: us / _SECOND_US for name, us in ledger.overhead_parts().items()}
        return LedgerRow(
            subject=ledger.subject,
            interval=ledger.interval,
            wait_seconds=ledger.wait_us / _SECOND_US,
            from_=self._at(ledger.from_us),
            to=self._at(ledger.to_us),
            open=ledger.open,
            rebuild=ledger.rebuild,
            segments=[self._segment(segment) for segment in ledger.segments],
            overhead_seconds=ledger.overhead_us / _SECOND_US,
            overhead=parts,
            work_seconds=ledger.work_us / _SECOND_US,
            shortest_possible_seconds=(
                None if ledger.shortest_us is None else ledger.shortest_us / _SECOND_US
            ),
            shares=self._shares(ledger),
            said=share_sentence(ledger),
            frozen=is_frozen,
            compared=None,
            read=None,
        )

    def _segment(self, segment: Segment) -> SegmentRow:
        incident = f"INC-{segment.incident}" if segment.incident else None
        return SegmentRow(
            kind=str(segment.kind),
            node=segment.node,
            partition=segment.partition,
            from_=self._at(segment.from_us),
            to=self._at(segment.to_us),
            seconds=segment.us / _SECOND_US,
            note=segment.note,
            incident=incident,
            decider=segment.decider or None,
            lacking=segment.lacking or None,
            awaits_trigger=segment.awaits_trigger,
        )

    def _load_owners(self, ledger: Ledger) -> None:
        """Load the owners of the incidents that a wait's segments name."""
        for segment in ledger.segments:
            if segment.incident:
                self._ledgers.records.incidents(segment.node, segment.partition)

    def _shares(self, ledger: Ledger) -> list[ShareRow]:
        self._load_owners(ledger)
        results = ledger.shares(self._ledgers.books.traits, self._ledgers.records.owners)
        whole = max(1, ledger.wait_us)
        rows = [
            ShareRow(
                owner=share.owner,
                kind=share.kind and str(share.kind),
                seconds=us / _SECOND_US,
                share=us / whole,
            )
            for share, us in results.items()
        ]
        return rows[:_SHARES_MAX]

    def _at(self, us: int) -> datetime:
        return self._session.instant(us)

    # Comparison and readers

    def _compared(self, terms: Terms, ledger: Ledger) -> ComparedRow | None:
        """Return the comparison with the same interval of the week before.

        For intervals of a week or longer it is the previous interval. None if that wait is unknown
        or open.
        """
        interval = week_before(terms, ledger.interval)
        if interval is None:
            return None
        before, _ = self._ledgers.of_consumer(terms, interval)
        if before is None or before.open:
            return None
        now, then = ledger.by_kind(), before.by_kind()
        changed = {
            str(kind): (now.get(kind, 0) - then.get(kind, 0)) / _SECOND_US
            for kind in SegmentKind
            if now.get(kind, 0) != then.get(kind, 0)
        }
        return ComparedRow(
            interval=interval, wait_seconds=before.wait_us / _SECOND_US, changed=changed
        )

    def _read(self, terms: Terms, ledger: Ledger) -> str:
        """Return when the data was first read, as far as Headrace observes reads."""
        since = self._now if ledger.open else ledger.to_us
        after, before = rows.read_between(self._tx, [*terms.reads, *terms.named], since)
        if after is not None:
            return f"read through Headrace by {self._time_text(after)}, at the latest"
        lately = "" if before is None else f" since {self._time_text(before)}"
        return (
            f"read time not observed: nobody has read {terms.consumer}'s data through"
            f" Headrace{lately}"
        )


def owner_of(compiled: Compiled, node: str) -> str:
    """Return a node's owner; empty for a node that is no longer declared."""
    project = compiled.project
    result = project.node(node)
    return result.owner if result is not None else ""


def week_before(terms: Terms, interval: str) -> str | None:
    """Return the interval to compare with; None if there is no valid one."""
    try:
        if terms.per in (Grain.HOUR, Grain.DAY):
            least = (
                _HOUR_US if terms.per is Grain.DAY else 0
            )  # a clock change makes a week an hour longer or shorter
            return key_at_us(
                bounds_us(interval, terms.per, terms.timezone)[0] - _WEEK_US + least,
                terms.per,
                terms.timezone,
            )
        return previous_key(interval, terms.per, terms.timezone)
    except (UsageError, ValueError, OverflowError):
        return None


def share_sentence(ledger: Ledger) -> str:
    """Return the sentence that splits the wait: Headrace's part, waiting, and work.

    The parts don't overlap.
    """
    if not ledger.wait_us:
        return "Nobody had to wait for it."
    parts = [_headrace_part(ledger)]
    for phrase, us in _waited_for(ledger).items():
        if us * _TOLD_PARTS >= ledger.wait_us:
            parts.append(f"{phrase} {length(us)}")
    if ledger.work_us:
        parts.append(f"work took {length(ledger.work_us)}")
    waited = "waited so far" if ledger.open else "waited"
    return f"Of {length(ledger.wait_us)} {waited}, {joined_with_and(parts)}.{_shortest(ledger)}"


def _headrace_part(ledger: Ledger) -> str:
    """Return what Headrace itself took, with its largest component if that is large."""
    counted = ledger.headrace_parts()
    sentence = f"Headrace itself took {length(sum(counted.values()))}"
    most = max(_OURS, key=lambda kind: counted.get(kind, 0))
    us = counted.get(most, 0)
    between = most is SegmentKind.DETECTION and any(
        segment.note == BETWEEN for segment in ledger.segments
    )
    span = f"{'at most ' if between else ''}{length(us)}"
    return (
        f"{sentence} ({_OURS[most]} for {span})" if us * _TOLD_PARTS >= ledger.wait_us else sentence
    )


def _waited_for(ledger: Ledger) -> dict[str, int]:
    """Return phrase → microseconds for waits that Headrace doesn't cause."""
    result: Counter[str] = Counter()
    agreed = ", as agreed, for" if _as_agreed(ledger) else " for"
    for segment in ledger.segments:
        if segment.by_headrace or segment.kind in WORK:
            continue
        if segment.kind is SegmentKind.SOURCE:
            result[f"the data wasn't there{agreed}"] += segment.us
        elif segment.awaits_trigger:
            result["it waited for a trigger for"] += segment.us
        elif segment.lacking:
            result[f"{segment.lacking} kept it waiting as well for"] += segment.us
        elif segment.decider and segment.kind is SegmentKind.HOLD:
            result[f"{segment.decider} could have decided for"] += segment.us
        else:
            result[_PHRASES[segment.kind]] += segment.us
    return result


def _shortest(ledger: Ledger) -> str:
    """Return a sentence on the shortest possible wait, if that is well below the actual one."""
    if (
        ledger.shortest_us is None
        or (ledger.wait_us - ledger.shortest_us) * _TOLD_PARTS < ledger.wait_us
    ):
        return ""
    return f" The shortest wait possible with this data was {length(ledger.shortest_us)}."


def _as_agreed(ledger: Ledger) -> bool:
    segment_notes = [
        segment.note for segment in ledger.segments if segment.kind is SegmentKind.SOURCE
    ]
    return bool(segment_notes) and all("as agreed" in note for note in segment_notes)


_TOLD_PARTS = 50
"""Parts below one fiftieth of the wait are left out of the sentence."""
_OURS = {
    SegmentKind.SCHEDULE: "nothing had asked for it",
    SegmentKind.DETECTION: "a delivery wasn't observed",
    SegmentKind.PUBLISH: "it waited to be published",
    SegmentKind.UNATTRIBUTED: "nothing is known",
}
_PHRASES = {
    SegmentKind.HOLD: "it waited to be mended for",
    SegmentKind.APPROVAL: "it waited for an approval for",
    SegmentKind.PAUSED: "it was paused for",
    SegmentKind.RETRY: "attempts in vain took",
    SegmentKind.QUEUE: "it queued for",
}


def length(us: int) -> str:
    """Return a duration in microseconds as words."""
    return duration(us) if us else "nothing"


def joined_with_and(parts: Sequence[str]) -> str:
    """Return `a, b and c`."""
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return text.replace(",,", ",").removesuffix(",")
