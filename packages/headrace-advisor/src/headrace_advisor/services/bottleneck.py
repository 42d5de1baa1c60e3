"""`bottleneck`: where the waits of consumers went over a window, and which nodes became slower."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import cache, partial
from statistics import median
from typing import Annotated

from headrace.extension import (
    SEE,
    Argument,
    ProjectSession,
    Window,
    command,
    command_line,
    did_you_mean,
)
from headrace.model import Project, UnknownName
from headrace.model.times import duration
from headrace.plan import Compiled
from headrace.project.caches import cached_by_version
from headrace.project.snapshots import ProjectSnapshot, project_state
from headrace.project.status_facts import WINDOW, window_began
from headrace.slo.declared_promises import Node, Terms, traits
from headrace.store.queries import applied_versions, durations, incidents
from headrace.store.queries.incidents import display_id
from headrace_advisor.analysis.delay_records import DelayRecords, Wait
from headrace_advisor.analysis.delay_texts import delay_sentence
from headrace_advisor.analysis.delays import QUALITY_CAUSES, Delay, percents
from headrace_advisor.analysis.regressions import (
    DataChange,
    GrownInput,
    NodeHistory,
    Regression,
    Work,
    regressions,
)
from headrace_advisor.analysis.trigger_waits import trigger_waits
from headrace_advisor.queries import single_attempts
from headrace_advisor.responses.advice import (
    BottleneckRow,
    DelayProposalRow,
    DelayShareRow,
    DelayWeekRow,
    RegressionCauseRow,
    RegressionRow,
)
from headrace_advisor.services.dismissed import Dismissals, split, trigger_proposal


@command("bottleneck", SEE, of="consumer", http="GET /bottleneck bottleneck", session="bottleneck")
def bottleneck(
    session: ProjectSession,
    consumer: Annotated[
        str | None, Argument("[CONSUMER]", help="one consumer; without it all of them")
    ] = None,
    *,
    window: Window = WINDOW,
) -> list[BottleneckRow]:
    """Show where the waits of consumers went, and which of their nodes became slower, and why.

    The waits are those of the obligations that fell due in the window, by the delay ledger that
    `why` shows for each of them. Raise UnknownName for an unknown consumer, UsageError for an
    invalid window.
    """
    names = _consumers(session.project(), consumer)
    now_us = session.clock.now_us()
    began_us = window_began(window, now_us, session.timezone)
    if session.store is None or session.compiled is None:
        return [_nothing(name, window) for name in names]
    with project_state(session, now_us) as snapshot:
        inquiry = _Inquiry(session, session.compiled, snapshot, window, (began_us, now_us))
        terms = {each.consumer: each for each in snapshot.context.declared.consumers}
        return [
            inquiry.row(terms[name]) if name in terms else _nothing(name, window) for name in names
        ]


def removal_command(node: str, window: str) -> str:
    """Return the command that takes out a trigger that is proposed for a window."""
    option = [] if window == WINDOW else ["--window", window]
    return command_line("bottleneck", "apply", node, *option)


def _consumers(project: Project, consumer: str | None) -> list[str]:
    """Return the name if there is such a consumer; all names for None. Raise UnknownName."""
    if consumer is None:
        return list(project.consumers)
    if consumer in project.consumers:
        return [consumer]
    known = ", ".join(sorted(project.consumers)[:5])
    consumers = f"consumers are: {known}" if known else "declare one in consumers.yaml"
    raise UnknownName(
        f"there is no consumer {consumer[:60]!r}",
        hint=did_you_mean(consumer, project.consumers) or consumers,
    )


def _nothing(consumer: str, window: str) -> BottleneckRow:
    delay = Delay(0, 0, ())
    return BottleneckRow(
        consumer=consumer,
        window=window,
        obligations=0,
        wait_seconds=0.0,
        shares=[],
        regressions=[],
        weeks=[],
        limited=False,
        said=delay_sentence(consumer, delay, window),
    )


class _Inquiry:
    """The waits and regressions of several consumers over one window."""

    def __init__(
        self,
        session: ProjectSession,
        compiled: Compiled,
        snapshot: ProjectSnapshot,
        window: str,
        span: tuple[int, int],
    ) -> None:
        self._session, self._compiled, self._snapshot = session, compiled, snapshot
        self._tx, self._context = snapshot.tx, snapshot.context
        self._window, (self._began, self._now) = window, span
        version_traits = cached_by_version(session, "traits", lambda: traits(compiled))
        self._records = DelayRecords(self._tx, compiled, self._context, version_traits, self._now)
        self._dismissals = Dismissals(
            self._tx, compiled, self._now, session.instant, with_costs=False
        )
        self._regressions: dict[str, list[Regression]] = {}
        self._fingerprints = cache(partial(applied_versions.fingerprints, self._tx))

    def row(self, terms: Terms) -> BottleneckRow:
        """Return the answer about one consumer."""
        waits, delay, limited = self._records.of_consumer(terms, self._began)
        nodes = self._context.declared.upstream(terms.reads)
        proposals, dismissed = split(self._proposals(waits))
        return BottleneckRow(
            consumer=terms.consumer,
            window=self._window,
            obligations=delay.waits,
            wait_seconds=delay.wait_us / 1e6,
            shares=_shares(delay),
            regressions=[
                self._regression(regression) for node in nodes for regression in self._of_node(node)
            ],
            weeks=self._weeks(waits),
            limited=limited,
            said=delay_sentence(terms.consumer, delay, self._window),
            proposals=proposals,
            dismissed=dismissed,
        )

    def _proposals(self, waits: Sequence[Wait]) -> list[DelayProposalRow]:
        """Return the triggers that can go, dismissed ones too, of nodes that the session sees."""
        segments = (wait.ledger.segments for wait in waits)
        return [
            DelayProposalRow(
                id=trigger_proposal(wait.node),
                node=wait.node,
                owner=self._owner(wait.node),
                waits=wait.waits,
                median_s=wait.median_us / 1e6,
                text=(
                    f"{wait.node} waited for its trigger `{wait.cron}` before"
                    f" {wait.waits} of {len(waits)} obligations, {duration(wait.median_us)} as a"
                    " median, with all its inputs there; without the trigger it is computed then"
                ),
                command=removal_command(wait.node, self._window),
                dismissal=self._dismissals.of(trigger_proposal(wait.node), wait.median_us),
            )
            for wait in trigger_waits(segments, self._compiled.project.assets)
            if self._session.shows(wait.node)
        ]

    def _weeks(self, waits: Sequence[Wait]) -> list[DelayWeekRow]:
        counted: Counter[str] = Counter()
        waited: Counter[str] = Counter()
        for wait in waits:
            day = self._session.instant(wait.due_at_us).date()
            week = (day - timedelta(days=day.weekday())).isoformat()
            counted[week] += 1
            waited[week] += wait.ledger.wait_us
        return [
            DelayWeekRow(week=week, obligations=counted[week], wait_seconds=waited[week] / 1e6)
            for week in sorted(counted)
        ]

    # Nodes that became slower

    def _of_node(self, node: Node) -> list[Regression]:
        if node.name not in self._regressions:
            self._regressions[node.name] = self._compared(node)
        return self._regressions[node.name]

    def _compared(self, node: Node) -> list[Regression]:
        works = [
            Work(
                f"{row.epoch}.{row.n}",
                row.partition,
                row.finished_at,
                row.version,
                row.rows_in,
                row.run_us,
                row.processor_wait_us,
                row.environment,
            )
            for row in single_attempts.of_single_partitions(
                self._tx, node.name, self._began, self._now
            )
        ]
        return regressions(
            NodeHistory(
                node=node.name,
                owner=self._owner(node.name),
                works=works,
                changes=partial(self._data_changes, node),
                fingerprint=lambda version: self._fingerprints(version).get(node.name),
                grown=partial(self._grown, node),
            )
        )

    def _owner(self, name: str) -> str:
        node = self._compiled.project.node(name)
        return "" if node is None else node.owner

    def _data_changes(self, node: Node, from_us: int, until_us: int) -> list[DataChange]:
        """Return what was wrong or new about the data of a node and its inputs in a span."""
        upstream = self._context.declared.upstream([node.name])
        names = [each.name for each in upstream if each.name != node.name or node.is_source]
        changes = [
            DataChange(
                "data",
                display_id(incident.id),
                incident.node,
                incident.owner,
                incident.began_at,
                incident.summary,
            )
            for name in names
            for incident in incidents.began_at_node(self._tx, name, from_us, until_us)
            if incident.kind in QUALITY_CAUSES
        ]
        for name in names:
            if name in self._compiled.project.sources:
                changes += [
                    DataChange(
                        "schema",
                        f"{name}@{row.partition}",
                        name,
                        self._owner(name),
                        row.at,
                        f"the column {row.column} of {name} changed ({row.kind})",
                    )
                    for row in single_attempts.schema_changes(self._tx, name, from_us, until_us)
                ]
        return changes

    def _grown(self, node: Node, first_us: int, at_us: int, last_us: int) -> GrownInput | None:
        """Return the input whose publications grew by the most rows at a time; None if none did."""
        grown = []
        for name in {spec.node for spec in node.inputs}:
            before = durations.published_rows(self._tx, name, first_us, at_us)
            after = durations.published_rows(self._tx, name, at_us, last_us)
            if before and after and median(after) > median(before):
                rows = round(median(before)), round(median(after))
                grown.append(GrownInput(name, self._owner(name), *rows))
        return max(grown, key=lambda each: (each.after - each.before, each.node), default=None)

    def _regression(self, regression: Regression) -> RegressionRow:
        return RegressionRow(
            node=regression.node,
            at=self._session.instant(regression.at_us),
            before_s=regression.before_us / 1e6,
            after_s=regression.after_us / 1e6,
            cause=RegressionCauseRow(
                kind=regression.cause.kind,
                ref=regression.cause.ref,
                node=regression.cause.node,
                owner=regression.cause.owner,
                text=regression.cause.text,
            ),
        )


def _shares(delay: Delay) -> list[DelayShareRow]:
    parts = percents([share.us for share in delay.shares], delay.wait_us)
    return [
        DelayShareRow(
            kind=str(share.kind),
            group=str(share.group),
            node=share.node,
            owner=share.owner,
            decider=share.decider or None,
            seconds=share.us / 1e6,
            percent=percent,
        )
        for share, percent in zip(delay.shares, parts, strict=True)
    ]
