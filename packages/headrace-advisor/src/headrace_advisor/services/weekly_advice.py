"""The weekly section of a digest: where the time went, what would save time, and what was saved."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.extension import command_line
from headrace.incidents.messages import wrapped
from headrace.ledger.compute_time import MONTH_US, saved_seconds
from headrace.model.intervals import from_us
from headrace.model.times import Duration, duration
from headrace.plan import ChangeKind, Compiled, changes
from headrace.plan.trials import Interval, Trial, TrialVerdict
from headrace.slo.declared_promises import declared_promises, traits
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.store.queries import applied_versions, trials
from headrace.store.queries.trials import StoredTrial
from headrace_advisor.analysis.delay_records import DelayRecords
from headrace_advisor.analysis.delay_texts import delay_sentence
from headrace_advisor.services.dismissed import Dismissals, is_dismissed
from headrace_advisor.services.trial_outcomes import FollowUp, followed_up

if TYPE_CHECKING:
    from headrace.incidents.digest import DigestAudience
    from headrace.store import Transaction

LINES_MAX = 3
"""At most this many consumers, proposals and applied changes are listed, the largest first."""
TRIALS_MAX = 500
"""At most this many of the newest trials are considered."""
WINDOW = "7d"
WAIT_LEAST_US = 60_000_000
"""Consumers that waited less in the whole week aren't mentioned."""
FOLLOWED_US = MONTH_US + 7 * 86_400_000_000
"""An applied change is followed up for a month, and in the digest after that."""
_SHORT = {0: "within a day", 1: "over 1 day"}
_BASIS = {ChangeKind.REMOVED, ChangeKind.BODY, ChangeKind.SCHEMA, ChangeKind.CHECKS}
"""Changes after which a measured finding has to be measured again."""


def week_lines(
    tx: Transaction, compiled: Compiled, audience: DigestAudience, until_us: int, now_us: int
) -> list[str]:
    """Return the lines about the week until a digest is due, for its audience.

    Proposals are findings of `optimize` that are proven and measured, and whose query, inputs and
    checks are still those of the measurement.
    """
    week = _Week(tx, compiled, audience, until_us, now_us)
    lines = [*week.waits(), *week.proposals(), *week.outcomes()]
    return [part for line in lines for part in wrapped(line)]


class _Proposal(NamedTuple):
    seconds: float
    stored: StoredTrial
    interval: Interval
    proposal: str | None
    """The id by which it is dismissed; None if that is its finding's."""

    @property
    def findings(self) -> list[str]:
        """The ids of the findings that go together, mostly one."""
        return (self.stored.finding or "").split()

    @property
    def dismissable(self) -> list[str]:
        """The ids by which somebody may have dismissed it."""
        return self.findings if self.proposal is None else [self.proposal]


class _Week:
    def __init__(
        self,
        tx: Transaction,
        compiled: Compiled,
        audience: DigestAudience,
        until_us: int,
        now_us: int,
    ) -> None:
        self._tx, self._compiled, self._audience = tx, compiled, audience
        self._until, self._now = until_us, now_us
        self._declared = declared_promises(compiled)
        self._nodes = self._concerned()
        self._changed_since = cache(self._changes_since)
        self._trials = [
            item
            for item in trials.newest(tx, TRIALS_MAX)
            if item.at <= until_us and item.node in self._nodes
        ]

    def _concerned(self) -> set[str]:
        """Return the nodes that the audience owns, or that its consumers read."""
        project = self._compiled.project
        names = {
            node.name
            for name in self._audience.consumers
            for node in self._declared.upstream(project.consumers[name].reads)
        }
        return names | {
            name for name, asset in project.assets.items() if asset.owner in self._audience.owners
        }

    def waits(self) -> Iterator[str]:
        """Yield where the waits of the consumers with the longest ones went."""
        zone = self._declared.timezone
        began_us = Duration.parse(WINDOW).before_us(self._until, zone)
        context = EvaluationContext(self._declared, StoredFacts(self._tx))
        records = DelayRecords(self._tx, self._compiled, context, traits(self._compiled), self._now)
        delays = [
            (terms.consumer, records.of_consumer(terms, began_us, self._until).delay)
            for terms in self._declared.consumers
            if terms.consumer in self._audience.consumers
        ]
        waited = [item for item in delays if item[1].wait_us >= WAIT_LEAST_US]
        for name, delay in heapq.nlargest(LINES_MAX, waited, key=lambda item: item[1].wait_us):
            command = command_line("bottleneck", name, "--window", WINDOW)
            yield f"in the last 7 days {delay_sentence(name, delay, WINDOW)} ({command})"

    def proposals(self) -> Iterator[str]:
        """Yield the proven and measured changes that would save the most, and aren't dismissed."""
        zone = self._declared.timezone
        dismissals = Dismissals(self._tx, self._compiled, self._now, lambda us: from_us(us, zone))
        proposals = [
            item
            for stored in _newest_by_finding(self._trials)
            for item in self._worth(stored)
            if not any(is_dismissed(dismissals.of(name)) for name in item.dismissable)
        ]
        whole = _without_parts(proposals)
        for item in heapq.nlargest(LINES_MAX, whole, key=lambda each: each.seconds):
            stored, interval = item.stored, item.interval
            yield (
                f"proposal: {stored.node} would save {self._amount(item.seconds)} a month, proven,"
                f" and measured as faster by {-interval.high:g} to {-interval.low:g} %:"
                f" {stored.change} ({command_line('optimize', 'apply', *item.findings)})"
            )

    def _amount(self, seconds: float) -> str:
        text, rates = duration(round(seconds * 1e6)), self._compiled.project.settings.costs
        cost = 0.0 if rates is None else round(rates.of(seconds * 1e6, 0, 0), 2)
        return f"{text} ({cost:.2f} {rates.currency})" if rates is not None and cost else text

    def _worth(self, stored: StoredTrial) -> Iterator[_Proposal]:
        """Yield the trial's change as a proposal, if it saves time and its basis still holds."""
        node = self._compiled.nodes.get(stored.node)
        if not stored.proven or node is None or node.fingerprint != stored.code_before:
            return
        trial = msgspec.json.decode(stored.content, type=Trial)
        if trial.verdict is not TrialVerdict.FASTER:
            return  # whatever an earlier version of Headrace noted as `proven`
        seconds = saved_seconds(self._tx, stored.node, trial, self._until)
        interval = trial.interval
        if seconds and seconds > 0 and interval is not None and self._basis_holds(stored):
            yield _Proposal(seconds, stored, interval, trial.proposal)

    def _basis_holds(self, stored: StoredTrial) -> bool:
        """Return whether queries, columns and checks are those of the measured version."""
        changed = None if stored.version is None else self._changed_since(stored.version)
        upstream = self._declared.upstream([stored.node])
        return changed is not None and changed.isdisjoint(node.name for node in upstream)

    def _changes_since(self, version: int) -> frozenset[str] | None:
        """Return the nodes with changes in `_BASIS`; None if the version can't be read."""
        stored = applied_versions.get(self._tx, version)
        if stored is None:
            return None
        try:
            measured = msgspec.msgpack.decode(stored.compiled, type=Compiled)
        except msgspec.MsgspecError:
            return None  # of a Headrace before this one
        return frozenset(
            change.node for change in changes(measured, self._compiled) if change.change in _BASIS
        )

    def outcomes(self) -> Iterator[str]:
        """Yield what applied changes had promised, and what the real runs say."""
        for stored, outcome in self._followed()[:LINES_MAX]:
            interval = msgspec.json.decode(stored.content, type=Trial).interval
            if interval is None:
                continue
            days = _SHORT.get(outcome.days, f"over {outcome.days} days")
            yield (
                f"{stored.node}: promised {interval.percent:+.1f} % of its time, was"
                f" {outcome.percent:+.1f} % {days}: {stored.change} (t-{stored.id} in headrace ab)"
            )

    def _followed(self) -> list[tuple[StoredTrial, FollowUp]]:
        """Return the applied changes with enough real runs, newest first, each code once."""
        recent = {
            (item.node, item.code_after): item
            for item in reversed(self._trials)
            if item.at > self._until - FOLLOWED_US and self._is_applied(item)
        }
        fingerprints = cache(partial(applied_versions.fingerprints, self._tx))
        outcomes = (
            (item, followed_up(self._tx, item, self._until, fingerprints))
            for item in recent.values()
        )
        return [(item, outcome) for item, outcome in outcomes if outcome is not None][::-1]

    def _is_applied(self, stored: StoredTrial) -> bool:
        node = self._compiled.nodes.get(stored.node)
        changed = stored.code_before != stored.code_after
        return changed and node is not None and node.fingerprint == stored.code_after


def _without_parts(proposals: Sequence[_Proposal]) -> list[_Proposal]:
    """Leave out the findings that another proposal applies together with others."""
    together = [set(item.findings) for item in proposals]
    return [item for item in proposals if not any(set(item.findings) < ids for ids in together)]


def _newest_by_finding(stored: Iterable[StoredTrial]) -> list[StoredTrial]:
    """Return the newest trial of each finding's change; of trials newest first."""
    newest: dict[str, StoredTrial] = {}
    for item in stored:
        if item.finding is not None:
            newest.setdefault(item.finding, item)
    return list(newest.values())
