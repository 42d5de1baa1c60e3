"""How each consumer is served, since when, why, and the next command (SEMANTICS §7). Pure.

`wrong_periods` finds what incidents and lapsed exceptions make wrong; callers pass its result.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType

from headrace.model.intervals import bounds_us, next_key
from headrace.model.partitions import SEPARATOR, command_line, partition_argument
from headrace.model.times import Duration
from headrace.slo.at_risk import Risks, place_of
from headrace.slo.blockage import (
    Blockage,
    Blocked,
    BlockReason,
    blockage_clause,
    in_repair_order,
)
from headrace.slo.consumer_states import (
    AtRisk,
    ConsumedAsset,
    ConsumerState,
    ConsumerStatus,
    LatestExport,
    Status,
    Wronged,
    exceptions_relied_on,
    latest_export,
)
from headrace.slo.declared_promises import Node, Terms
from headrace.slo.facts import AcceptedPartition
from headrace.slo.freshness import (
    FreshnessState,
    NodeStates,
    known_until,
    node_states,
    sources_of,
    undelivered,
)
from headrace.slo.obligations import (
    EvaluationContext,
    covered,
    data_through,
    late_run,
    met_at,
    obligations,
    served_since,
)
from headrace.slo.risk import Outlooks
from headrace.slo.times import time_text

NOTHING_WRONG: Mapping[str, Wronged] = MappingProxyType({})


def evaluate_in_context(
    context: EvaluationContext,
    now_us: int,
    wronged: Mapping[str, Wronged] = NOTHING_WRONG,
    nodes: NodeStates | None = None,
    only: str | None = None,
) -> Status:
    """Return the status in an existing context.

    `nodes` are the states of all nodes, if already known; `only` limits the result to one consumer.
    """
    declared, facts = context.declared, context.facts
    states, outlooks = (
        node_states(context, now_us) if nodes is None else nodes,
        Outlooks(context, now_us),
    )
    blockage = Blockage(context, now_us)
    looked = [
        observations[0]
        for node in declared.nodes.values()
        if node.is_source and (observations := facts.observations(node.name))
    ]
    return Status(
        now_us=now_us,
        observed_at_us=max(looked, default=None),
        consumers=tuple(
            _ConsumerEvaluation(
                terms, context, now_us, outlooks, blockage, wronged.get(terms.consumer)
            ).result(states.states)
            for terms in declared.consumers
            if only in (None, terms.consumer)
        ),
        assets=states.counts,
    )


def _never_served(terms: Terms, context: EvaluationContext) -> bool:
    """Return whether any of a consumer's reads was never readable."""
    reads = context.known_reads(terms)
    return len(reads) < len(terms.reads) or any(
        context.facts.newest(node.name) is None for node in reads
    )


class _ConsumerEvaluation:
    """The evaluation of one consumer at one time."""

    def __init__(
        self,
        terms: Terms,
        context: EvaluationContext,
        now_us: int,
        outlooks: Outlooks,
        blockage: Blockage,
        wronged: Wronged | None,
    ) -> None:
        self._wronged, self._blockage = wronged, blockage
        self._terms, self._context, self._now = terms, context, now_us
        self._all = obligations(terms, context, now_us)
        self._risks = Risks(terms, context, now_us, outlooks, blockage, self._all)
        self._due = [obligation for obligation in self._all if obligation.due_at_us <= now_us]
        self._late = late_run(self._due, now_us)

    @cached_property
    def _through(self) -> str | None:
        return data_through(self._terms, self._all, self._context, self._now)

    @cached_property
    def _export(self) -> LatestExport | None:
        due = self._due[-1].interval if self._due else None
        return latest_export(self._terms, self._context, due)

    @cached_property
    def _excepted(self) -> list[AcceptedPartition]:
        return exceptions_relied_on(
            self._terms,
            [obligation for obligation in self._all if obligation.met_at_us is not None],
            self._context,
        )

    def result(self, fresh: Mapping[str, FreshnessState]) -> ConsumerStatus:
        blind = self._blind()
        late_since = self._late_since()
        never = self._never()
        wrong = self._wronged is not None
        served = not never and late_since is None
        deadline = self._risks.deadline() if served else None
        risk = deadline
        if served and risk is None:
            risk = (
                self._risks.unexported(self._export, self._old_since())
                or self._risks.lapsing(self._excepted)
                or self._risks.anomalous()
            )
        states = [
            state
            for state, holds in (
                (ConsumerState.UNKNOWN, blind is not None),
                (ConsumerState.NEVER, never),
                (ConsumerState.WRONG, wrong),
                (ConsumerState.LATE, late_since is not None),
                (ConsumerState.AT_RISK, risk is not None),
                (ConsumerState.SERVED, not never and late_since is None and not wrong),
            )
            if holds
        ]
        reason, command, since = self._why(states[0], blind, late_since, risk)
        pause = self._context.facts.pauses().get(self._terms.consumer)
        pause = pause if pause is not None and pause.holds(self._now) else None
        if pause is not None:
            text = pause.clause(self._now, self._context.declared.timezone)
            reason, command = (
                f"{text}; {reason}",
                f"headrace resume {shlex.quote(self._terms.consumer)}",
            )
        return ConsumerStatus(
            name=self._terms.consumer,
            owner=self._terms.owner,
            state=states[0],
            states=tuple(states),
            since_us=since,
            due_interval=self._due[-1].interval if self._due else None,
            data_through=self._through,
            missing_besides=self._missing_besides(states[0]),
            backlog=tuple(
                obligation.interval for obligation in self._due[:-1] if not obligation.settled
            ),
            reads=tuple(self._reads(fresh)),
            reason=reason,
            next=command,
            export=self._export,
            risk=risk,
            paused=pause,
            obligations=tuple(self._all),
            withdrawn=self._withdrawn() if late_since is not None else "",
            late_since_us=None if never or not self._owed() else late_since,
            never_since_us=late_since if never and self._owed() else None,
            deadline=deadline,
            exceptions=tuple(self._excepted),
        )

    def _why(
        self,
        state: ConsumerState,
        blind: tuple[str, int | None] | None,
        late_since: int | None,
        risk: AtRisk | None,
    ) -> tuple[str, str | None, int | None]:
        """Return the reason in one clause, the next command, and since when the state holds."""
        if state is ConsumerState.UNKNOWN and blind is not None:
            return blind[0], "headrace tick", blind[1]
        if state is ConsumerState.WRONG:
            return self._wrong()
        if state is ConsumerState.AT_RISK and risk is not None:
            return risk.reason, risk.next, self._at_risk_since(risk)
        if state is ConsumerState.SERVED:
            return self._served_reason(), None, self._served_since()
        results = self._blocked(state)
        since = late_since if state is ConsumerState.LATE else None
        if state is ConsumerState.NEVER and not self._due:
            begins = self._not_begun(results)
            if begins is not None:
                return begins, None, since
        if results is None:
            return *self._too_old(), since
        return (
            blockage_clause(results, self._context, self._now),
            self._blockage.next_command(results),
            since,
        )

    def _withdrawn(self) -> str:
        """Return the withdrawn cause of lateness: `clean@2025-01-09, withdrawn: cents (by ann)`."""
        results = self._blocked(ConsumerState.LATE)
        if results is None or results.block is not BlockReason.WITHDRAWN:
            return ""
        return f"{partition_argument(results.node, results.partition)}, withdrawn: {results.reason}"

    def _missing_besides(self, state: ConsumerState) -> int:
        missing = sum(not obligation.settled for obligation in self._due)
        return (
            max(0, missing - 1) if state in (ConsumerState.LATE, ConsumerState.NEVER) else missing
        )

    def _owed(self) -> bool:
        """Return whether a deadline has passed; before that, lateness isn't reported.

        Data without a rhythm has its deadline when it becomes older than `max_age`.
        """
        terms = self._terms
        if self._due or terms.max_age is None or self._context.has_rhythm(terms):
            return bool(self._due)
        begins = self._promised_since()
        return (
            begins is not None
            and Duration.parse(terms.max_age).after_us(begins, terms.timezone) <= self._now
        )

    def _served_since(self) -> int | None:
        """Return since when the consumer hasn't been late.

        Before anything was due, return since when its reads are readable. The result isn't before
        the start of the promise, unless that start is still to come.
        """
        since = served_since(self._due, self._all)
        if since is None and self._through is not None:
            since = met_at(self._terms, self._through, self._context)
        promised = self._promised_since()
        if since is None or promised is None or promised > self._now:
            return since
        return max(since, promised)

    def _at_risk_since(self, risk: AtRisk) -> int | None:
        """Return since when the consumer is served and the risk exists."""
        begins = [item for item in (risk.since_us, self._served_since()) if item is not None]
        return max(begins, default=None)

    # States

    def _never(self) -> bool:
        return _never_served(self._terms, self._context)

    def _late_since(self) -> int | None:
        """Return since when the consumer is late without a gap; None if it isn't.

        The result isn't before the start of the promise.
        """
        promised = self._promised_since()
        if promised is not None and promised > self._now:
            return None
        since = [self._late[0].due_at_us] if self._late else []
        old = self._old_since()
        if old is not None and old <= self._now:
            since.append(old)
        return max(min(since), promised or min(since)) if since else None

    def _promised_since(self) -> int | None:
        """Return since when something is promised without a gap, which may be in the future."""
        return self._context.facts.promised_since(self._terms.consumer)

    def _old_since(self) -> int | None:
        """Return when the readable data becomes older than `max_age`; None without one."""
        terms = self._terms
        if terms.max_age is None:
            return None
        age = Duration.parse(terms.max_age)
        if self._through is not None:
            return age.after_us(
                bounds_us(self._through, terms.per, terms.timezone)[1], terms.timezone
            )
        # an interval without rows comes before any gap: too old since the first deadline
        if self._context.has_rhythm(terms):
            return self._due[0].due_at_us if self._due else None
        oldest = self._oldest_publication()
        return None if oldest is None else age.after_us(oldest, terms.timezone)

    def _oldest_publication(self) -> int | None:
        """Return when the oldest of the data that reaches the consumer was published."""
        reads, facts = self._context.known_reads(self._terms), self._context.facts
        if self._export is not None and self._export.state != "exported":
            exported = [facts.exported(node.name, self._terms.consumer) for node in reads]
            return min(filter(None, exported), default=None)
        newest = filter(None, [facts.newest(node.name) for node in reads])
        return min((item.at_us for item in newest), default=None)

    def _wrong(self) -> tuple[str, str | None, int | None]:
        assert self._wronged is not None
        return self._wronged.clause, self._wronged.next, self._wronged.since_us

    def _blind(self) -> tuple[str, int | None] | None:
        """Return why the state is unknown, and since when: a source wasn't observed lately."""
        zone = self._context.declared.timezone
        stalest: tuple[int, int, str] | None = None
        for source in sources_of(self._context.known_reads(self._terms), self._context):
            observations = self._context.facts.observations(source.name)
            if not observations:
                return f"{source.name} hasn't been observed yet", None
            until = known_until(observations, self._context.declared.tick_every_us)
            if until < self._now and (stalest is None or until < stalest[0]):
                stalest = (until, observations[0], source.name)
        if stalest is None:
            return None
        return (
            f"{stalest[2]} hasn't been observed since {time_text(stalest[1], self._now, zone)}",
            stalest[0],
        )

    # Clauses

    def _blocked(self, state: ConsumerState) -> Blocked | None:
        """Return what keeps the consumer late, or what blocks its first interval."""
        keeps = (
            self._blockage.keeps_late(self._terms, self._late)
            if state is ConsumerState.LATE
            else None
        )
        late = [] if keeps is None else [keeps, *self._late]
        for obligation in late if state is ConsumerState.LATE else self._all:
            if not obligation.settled and (
                results := self._blockage.of(self._terms, obligation.interval)
            ):
                return in_repair_order(results)[0]
        if state is not ConsumerState.LATE or self._late:
            return None
        if self._through is None:
            return self._risks.failed_export(self._export)
        # too old, though nothing was due yet
        following = next_key(self._through, self._terms.per, self._terms.timezone)
        return next(iter(self._blockage.of(self._terms, following)), None)

    def _not_begun(self, results: Blocked | None) -> str | None:
        """Return a clause while the first interval hasn't ended and nothing is wrong with it."""
        first = next((obligation for obligation in self._all if not obligation.settled), None)
        by_itself = results is None or (
            results.block in (BlockReason.MISSING, BlockReason.WAITING)
            and not results.incident
            and results.unreadable_us is None
        )
        if first is None or not by_itself:
            return None
        ends = bounds_us(first.interval, self._terms.per, self._terms.timezone)[1]
        if ends <= self._now:
            return None
        due = time_text(first.due_at_us, self._now, self._context.declared.timezone)
        return f"its first interval, {first.interval}, is due {due}"

    def _too_old(self) -> tuple[str, str | None]:
        """Return why a consumer is late or never served that nothing blocks; the next command."""
        if self._through is not None and self._terms.max_age is not None:
            age = self._terms.max_age
            return f"what can be read ends with {self._through}, older than {age}", None
        if (
            self._terms.max_age is not None
            and not self._context.has_rhythm(self._terms)
            and not self._never()
        ):
            return f"what can be read was published more than {self._terms.max_age} ago", None
        silent = undelivered(self._context.known_reads(self._terms), self._context)
        if silent:
            command = command_line("deliveries", silent[0])
            return f"{silent[0]}: nothing was ever delivered", command
        absent = [name for name in self._terms.reads if self._context.facts.newest(name) is None]
        if absent:
            return f"{absent[0]}: nothing was ever published", command_line("why", absent[0])
        return "nothing holds it back: it is about to be computed", "headrace tick"

    def _served_reason(self) -> str:
        unmet = [obligation.interval for obligation in self._due if not obligation.settled]
        if unmet:  # of a promise that has ended, while the next one is still to begin
            return (
                f"nothing is promised now; missed before: {', '.join(unmet[:3])}"
                f"{' …' if len(unmet) > 3 else ''}"
            )
        text = "all that is due can be read" if self._due else "all it reads can be read"
        newest = self._due[-1] if self._due else None
        if newest is not None and newest.met_at_us is None:
            text = f"{newest.interval} was waived, all else that is due can be read"
        by = "".join(
            f"; {place_of(partition)} by exception of {partition.by}"
            for partition in self._excepted[:1]
        )
        return f"{text}{by}{' and others' if len(self._excepted) > 1 else ''}"

    def _reads(self, fresh: Mapping[str, FreshnessState]) -> Iterator[ConsumedAsset]:
        """Yield the state of each read; a view has the worst state of what it reads."""
        declared = self._context.declared
        for name in self._terms.named or self._terms.reads:
            behind = [
                self._read(declared.nodes[item], fresh)
                for item in declared.views.get(name, (name,))
                if item in declared.nodes
            ]
            if behind:
                through = min(
                    (asset.data_through for asset in behind if asset.data_through is not None),
                    default=None,
                )
                yield ConsumedAsset(name, fresh[name], through)

    def _read(self, node: Node, fresh: Mapping[str, FreshnessState]) -> ConsumedAsset:
        newest = self._context.facts.newest(node.name)
        through = (
            newest.partition.partition(SEPARATOR)[0]
            if newest is not None and node.partition.grain is not None
            else None
        )
        if newest is not None and node.partition.whole and self._context.rhythms[node.name].has:
            through = next(
                (
                    obligation.interval
                    for obligation in reversed(self._all)
                    if covered(node, self._terms, obligation.interval, self._context)
                ),
                None,
            )
        return ConsumedAsset(node.name, fresh[node.name], through)
