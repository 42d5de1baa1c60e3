"""`why`: what a consumer or an asset waits for, the expected end, and where the time went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

import msgspec

from headrace.model import Asset, Consumer, Project, Source
from headrace.model.intervals import key_at_us, previous_key, to_us
from headrace.plan import Compiled
from headrace.services import restatements, targets
from headrace.services.delay_ledger import Ledgers, owner_of
from headrace.services.parameters import Argument
from headrace.services.responses.interventions import LedgerRow, SegmentRow, WaitingRow, WhyResponse
from headrace.services.session import ProjectSession
from headrace.services.snapshots import project_state
from headrace.services.waits import ROWS_MAX, Waits, partition_target
from headrace.slo.blockage import Blockage, block_of, damage_of, next_command
from headrace.slo.consumer_states import AtRisk, ConsumerState, ConsumerStatus
from headrace.slo.declared_promises import WHOLE, Terms
from headrace.slo.evaluation import WAITING
from headrace.slo.obligations import (
    EvaluationContext,
    counts_as_empty,
    covered,
    needed,
    obligations,
)
from headrace.slo.times import moment
from headrace.slo.unsound import needed as made_of
from headrace.store import Transaction
from headrace.store.queries import attempts, incidents, partition_states
from headrace.store.queries.incidents import Incident

_ROOTS = (
    "stopped",
    "paused",
    "delivery",
    "running",
    "backoff",
    "decision",
    "pool",
    "slot",
    "leader",
    "trigger",
    "time",
    "partition",
)
"""Kinds of causes in the order in which the verdict prefers them."""
OTHERS_MAX = 3
"""Maximum number of other incidents that are named."""
NOTHING_DUE = "nothing_due"
"""State of a partition without due data."""
_NOTHING = WaitingRow(kind="", node=None, partition=None, state=None, text="")


def why(
    session: ProjectSession,
    subject: Annotated[
        str,
        Argument(
            "CONSUMER|ASSET[@K]", help="a consumer, an asset, a source, or one of their intervals"
        ),
    ],
) -> WhyResponse:
    """Return what an interval waits for, until when, and where the time went.

    Without an interval, it is a consumer's oldest unmet due one, else its next; an asset's oldest
    waiting one, else its newest. Raise UsageError for an unknown subject.
    """
    project = session.project()
    name, key = _parsed(project, subject)
    if session.store is None or session.compiled is None:
        return _response(
            session,
            partition_target(name, key or WHOLE),
            key,
            "never",
            f"{subject} waits for the first pass: no source was looked at yet, and nothing has run",
            [],
            "headrace tick",
        )
    compiled, now_us = session.compiled, session.clock.now_us()
    response = _answered(session, compiled, name, key, now_us)
    with session.store.read() as tx:
        rows = restatements.recent_restatements(session, tx, compiled, now_us)
    restated_rows = (
        [row for row in rows if row.node == name]
        if name not in project.consumers
        else restatements.read_by(rows, name)
    )
    return msgspec.structs.replace(response, restated=restated_rows) if restated_rows else response


def _answered(
    session: ProjectSession, compiled: Compiled, name: str, key: str | None, now_us: int
) -> WhyResponse:
    with project_state(session, now_us) as snapshot:
        tx, context, declared = snapshot.tx, snapshot.context, session.declared_promises
        waits, ledgers = (
            Waits(session, tx, compiled, context, now_us, name),
            Ledgers(session, tx, compiled, context, now_us),
        )
        if name in compiled.project.consumers:
            terms = next(consumer for consumer in declared.consumers if consumer.consumer == name)
            evaluation = snapshot.evaluation(session, (now_us, now_us))
            status = evaluation.consumer(name)
            assert status is not None
            wrong = (
                evaluation.wrong_intervals(status) if status.state is ConsumerState.WRONG else []
            )
            response = _of_consumer(session, waits, context, terms, status, key, wrong, now_us)
            never = (
                ledgers.never_promised(terms, response.interval)
                if response.interval is not None
                else None
            )
            if never is not None:
                return msgspec.structs.replace(
                    response,
                    verdict=f"{never}; {response.verdict}" if response.waiting_for else never,
                )
            ledger = (
                ledgers.of_consumer(terms, response.interval)
                if response.interval is not None
                else None
            )
            why_response = _with(
                response,
                ledger,
                ledgers.newest_met(terms) if ledger is None and key is None else None,
            )
            ended = ledgers.ended(terms, ledger) if ledger is not None else None
            causes = (
                evaluation.causes([status])
                if key is None and status.state in (ConsumerState.LATE, ConsumerState.NEVER)
                else []
            )
            if ended is not None:
                if (
                    status.state is ConsumerState.WRONG
                    and status.since_us is not None
                    and key in (None, *wrong)
                ):
                    since = moment(status.since_us, now_us, session.timezone)
                    ended = f"{_wrong_since(status, since)} {ended}"
                why_response = msgspec.structs.replace(why_response, verdict=ended)
            else:
                why_response = _because(session, tx, why_response, status, compiled, causes, now_us)
            late = (
                _interval(context, terms, now_us)
                if key is None and wrong and ConsumerState.LATE in status.states
                else None
            )
            if late is None or late == response.interval:
                return why_response
            return _and_waits(
                session,
                tx,
                why_response,
                status,
                compiled,
                ledgers.of_consumer(terms, late),
                now_us,
            )
        response = _of_node(session, tx, context, waits, name, key, now_us)
        if response.state == NOTHING_DUE:
            return response
        return _with(
            response,
            (
                ledgers.of_partition(name, response.interval)
                if response.interval is not None
                else None
            ),
        )


def _with(
    response: WhyResponse, ledger: LedgerRow | None, last: LedgerRow | None = None
) -> WhyResponse:
    """Return the response with the delay ledger."""
    if ledger is None:
        return msgspec.structs.replace(response, last=last)
    told = {
        name: getattr(ledger, name)
        for name in ledger.__struct_fields__
        if name not in ("subject", "interval")
    }
    return msgspec.structs.replace(response, **told)


def _because(
    session: ProjectSession,
    tx: Transaction,
    response: WhyResponse,
    status: ConsumerStatus,
    compiled: Compiled,
    causes: Sequence[Incident],
    now_us: int,
) -> WhyResponse:
    """Return the response with the consumer's state, its start, and the incident that explains it.

    Only an open incident counts.
    """
    cause = _cause(tx, compiled, response.segments or ())
    other = cause is not None and status.incident not in (None, cause.incident)
    if status.state is ConsumerState.AT_RISK and (other or not _is_of(response, status.deadline)):
        return _at_risk(session, response, status, cause if response.open else None, now_us)
    if (
        not response.open
        or cause is None
        or status.since_us is None
        or str(status.state) not in ("late", "never", "wrong", "at_risk")
    ):
        return response
    since = moment(status.since_us, now_us, session.timezone)
    state = f"{status.name} is {str(status.state).replace('_', ' ')} since {since}"
    text = f"{state} because of {cause.text}."
    began = moment(cause.began_us, now_us, session.timezone)
    if status.state in WAITING and cause.began_us > status.since_us and began != since:
        # the cause of the lateness is over
        text = f"{state}. {response.interval} waits since {began} because of {cause.text}."
    if cause.is_over and status.state in WAITING and status.incident not in (None, cause.incident):
        # the longest cause is repaired here, but another one isn't
        text = f"{text} Now it waits for {status.reason}."
        return msgspec.structs.replace(
            response, verdict=text, next=f"headrace incident {status.incident}"
        )
    if status.state is ConsumerState.WRONG and status.incident != cause.incident:
        # the published interval is wrong for another reason than the next one waits for
        text = f"{_wrong_since(status, since)} {response.interval} waits because of {cause.text}."
        return msgspec.structs.replace(response, verdict=text, next=status.next or response.next)
    others = _others([incident for incident in causes if incident.shown != cause.incident])
    return msgspec.structs.replace(
        response, verdict=f"{text}{others}", next=f"headrace incident {cause.incident}"
    )


def _others(causes: Sequence[Incident]) -> str:
    """Return a sentence on other incidents that hold the consumer back, as `status` counts them."""
    if not causes:
        return ""
    names = ", ".join(
        f"{cause.shown} ({cause.node}: {cause.summary})" for cause in causes[:OTHERS_MAX]
    )
    more = f" and {len(causes) - OTHERS_MAX} more" if len(causes) > OTHERS_MAX else ""
    return f" {names}{more} {'holds' if len(causes) == 1 else 'hold'} it back, too."


def _is_of(response: WhyResponse, deadline: AtRisk | None) -> bool:
    """Whether the explained interval is the one whose deadline is at risk."""
    return deadline is not None and deadline.interval == response.interval


def _at_risk(
    session: ProjectSession,
    response: WhyResponse,
    status: ConsumerStatus,
    cause: _Cause | None,
    now_us: int,
) -> WhyResponse:
    """Return the response for a consumer at risk for another reason than the interval's."""
    since = (
        ""
        if status.since_us is None
        else f" since {moment(status.since_us, now_us, session.timezone)}"
    )
    text = f"{status.name} is at risk{since}: {status.reason}."
    besides = (
        response.verdict if cause is None else f"{response.interval} waits because of {cause.text}."
    )
    verdict = text if status.reason in besides else f"{text} {besides}"
    return msgspec.structs.replace(response, verdict=verdict, next=status.next or response.next)


def _and_waits(
    session: ProjectSession,
    tx: Transaction,
    response: WhyResponse,
    status: ConsumerStatus,
    compiled: Compiled,
    waiting: LedgerRow | None,
    now_us: int,
) -> WhyResponse:
    """Return the response for a wrong interval, with another interval that is waiting."""
    cause = None if waiting is None or not waiting.open else _cause(tx, compiled, waiting.segments)
    if waiting is None or cause is None or status.since_us is None:
        return response
    wrong = _wrong_since(status, moment(status.since_us, now_us, session.timezone))
    return msgspec.structs.replace(
        response, verdict=f"{wrong} {waiting.interval} waits because of {cause.text}."
    )


def _wrong_since(status: ConsumerStatus, since: str) -> str:
    return f"{status.name} is wrong since {since}: {status.reason}."


class _Cause(NamedTuple):
    """The open incident with the largest part of a wait.

    It holds a clause, when the incident's part begins (µs), and whether the wait now has another
    cause.
    """

    incident: str
    text: str
    began_us: int
    is_over: bool


def _cause(tx: Transaction, compiled: Compiled, segments: Sequence[SegmentRow]) -> _Cause | None:
    lasting = {incident.shown for incident in incidents.open_incidents(tx)}
    held = [segment for segment in segments if segment.incident in lasting]
    if not held:
        return None
    longest = max(held, key=lambda row: row.seconds)
    shown = longest.incident or ""
    incident = incidents.get(tx, int(shown.removeprefix("INC-")))
    owner = incident.owner if incident is not None else owner_of(compiled, longest.node)
    whose = f", which {owner} answers for" if owner else ""
    of_it = [row for row in held if row.incident == shown]
    now = of_it[-1]  # the newest segment: earlier obstacles may be over
    what, besides, more = now.note.partition("; ")
    text = f"{shown}: {what} at {now.node} {now.partition}{whose}{besides}{more}".replace(
        f" {WHOLE}", ""
    )
    began_us = to_us(min(row.from_ for row in of_it))
    return _Cause(
        shown,
        text,
        began_us,
        shown not in {row.incident for row in held if row.to == segments[-1].to},
    )


def _parsed(project: Project, text: str) -> tuple[str, str | None]:
    """Return a subject's name and interval; a consumer's intervals are those of its promise."""
    name, separator, key = text.partition("@")
    consumer = project.consumers.get(name)
    if consumer is None:
        target = targets.target(text, project, kinds=(Source, Asset, Consumer))
        return target.node, target.partition
    if not separator:
        return name, None
    from headrace.model.intervals import parse_key

    return name, parse_key(key, consumer.per, consumer.timezone or project.settings.timezone)


# Consumers


def _of_consumer(
    session: ProjectSession,
    waits: Waits,
    context: EvaluationContext,
    terms: Terms,
    status: ConsumerStatus,
    key: str | None,
    wrong: Sequence[str],
    now_us: int,
) -> WhyResponse:
    """Return the answer for a consumer; of the `wrong` intervals the oldest is explained."""
    interval = key or next(iter(wrong), None) or _interval(context, terms, now_us)
    if interval is None:
        return _response(
            session, terms.consumer, None, status.state, status.reason, [], status.next
        )
    rows = [
        row
        for node, item in _required(context, terms, interval, waits)
        for row in waits.of(node, item)
    ]
    subject = f"{terms.consumer} {interval}"
    if interval in wrong and not rows:
        verdict = f"{subject} is wrong: {status.reason}"
        return _response(
            session, terms.consumer, interval, status.state, verdict, rows, status.next
        )
    verdict = _verdict(subject, rows) if rows else f"{subject} waits for nothing: {status.reason}"
    if status.state is ConsumerState.WRONG:
        verdict = f"{status.reason}; {verdict}" if rows else verdict
    return _response(
        session, terms.consumer, interval, status.state, verdict, rows, _next(rows) or status.next
    )


def _interval(context: EvaluationContext, terms: Terms, now_us: int) -> str | None:
    results = obligations(terms, context, now_us)
    due = Blockage(context, now_us).unserved(terms, results)
    unmet = [obligation for obligation in results if not obligation.settled]
    chosen = (due or unmet or results[-1:])[:1]
    return chosen[0].interval if chosen else None


def _required(
    context: EvaluationContext, terms: Terms, interval: str, waits: Waits
) -> list[tuple[str, str]]:
    """Return the missing partitions that an interval requires."""
    results = []
    for node in context.awaited(terms):
        if node.name not in waits.nodes or covered(node, terms, interval, context) is not None:
            continue
        for key in needed(node, terms, interval, context) or (WHOLE,):
            facts = context.facts.partition_state(node.name, key)
            if facts is None or not facts.published or key == WHOLE:
                results.append((node.name, key))
    return results


# Sources and assets


def _of_node(
    session: ProjectSession,
    tx: Transaction,
    context: EvaluationContext,
    waits: Waits,
    name: str,
    key: str | None,
    now_us: int,
) -> WhyResponse:
    if name not in waits.nodes:
        return _response(
            session,
            name,
            None,
            "published",
            f"{name} is a view: it waits for nothing by itself",
            [],
            "headrace status",
        )
    waiting = [item for node, item in waits.core.waiting(now_us) if node == name]
    chosen = key or _partition(tx, context, name, waiting, now_us)
    if chosen is None:
        return _response(
            session,
            name,
            None,
            "never",
            f"nothing of {name} was ever heard of",
            [],
            "headrace tick",
        )
    partition = partition_states.get(tx, name, chosen)
    subject = partition_target(name, chosen)
    if partition is None and (source := without_data(context, name, chosen)) is not None:
        verdict = f"{subject} waits for nothing: no data of {source} is due then, as declared"
        return _response(session, subject, chosen, NOTHING_DUE, verdict, [], None)
    rows = waits.of(name, chosen)
    if rows and rows[0].kind == "running" and rows[0].waiter == subject:
        return _response(
            session, subject, chosen, "running", _verdict(subject, rows[:1]), rows, rows[0].next
        )
    state = (
        "missing"
        if partition is None
        else "stale"
        if partition.stale and partition.state == "published"
        else partition.state
    )
    if any((row.node, row.partition) == (name, chosen) and row.state == "dropped" for row in rows):
        state = "dropped"
    if rows:
        verdict = _verdict(subject, rows)
    elif partition is not None and state == "published":
        published = moment(partition.since, now_us, session.timezone)
        if (damage := damage_of(context, name, chosen)) is not None and damage.since_us is not None:
            since = moment(damage.since_us, now_us, session.timezone)
            verdict = (
                f"{subject} was published {published}, and can't be read since {since}:"
                f" {damage.reason}"
            )
            return _response(session, subject, chosen, state, verdict, rows, next_command(damage))
        verdict = f"{subject} waits for nothing: it is published, since {published}"
    else:
        verdict = f"{subject} waits for nothing that is known"
    others = len([item for item in waiting if item != chosen]) if key is None else 0
    return _response(session, subject, chosen, state, verdict, rows, _next(rows), also=others)


def without_data(context: EvaluationContext, name: str, key: str) -> str | None:
    """Return a source without due data for a partition; None if any data is due.

    All inputs of the partition lie before a start or on a day without data.
    """
    result: str | None = None
    waiting, seen = [(name, key)], {(name, key)}  # several paths often lead to the same partition
    while waiting:
        name, key = waiting.pop()
        node = context.node(name)
        if node.is_source:
            if not counts_as_empty(node, key, context):
                return None
            result = result or name
            continue
        specs = [spec for spec in node.inputs if not spec.optional and spec.node != name]
        above = {
            (spec.node, item): None
            for spec in specs
            for item in sorted(made_of(context, node, spec, key) or ())
        }
        if not above:
            return None
        waiting += [place for place in above if place not in seen]
        seen.update(above)
    return result


def _partition(
    tx: Transaction, context: EvaluationContext, name: str, waiting: Sequence[str], now_us: int
) -> str | None:
    """Return the oldest running partition, else the oldest waiting or unpublished one.

    If there is none, it is the newest expected or published one.
    """
    under_way = [
        key
        for attempt in attempts.running(tx)
        if attempt.node == name
        for key in attempt.partitions
    ]
    if under_way or waiting:
        return min(under_way or waiting)
    return (
        partition_states.oldest_open(tx, name)
        or _expected(context, name, now_us)
        or _newest(tx, name)
    )


def _expected(context: EvaluationContext, name: str, now_us: int) -> str | None:
    """Return the newest ended interval if it is expected and missing."""
    node = context.node(name)
    grain = node.partition.grain
    if grain is None or node.partition.key is not None:
        return None
    key = previous_key(key_at_us(now_us, grain, node.timezone), grain, node.timezone)
    facts = context.facts.partition_state(name, key)
    there = facts is not None and facts.published
    return None if there or counts_as_empty(node, key, context) else key


def _newest(tx: Transaction, name: str) -> str | None:
    summary = partition_states.extent(tx, name)
    return None if summary is None else summary.newest


# Text


def _verdict(subject: str, rows: Sequence[WaitingRow]) -> str:
    """Return one sentence: the subject and its final cause."""
    root = min(rows, key=_rank)
    alike = [row for row in rows if row.kind == root.kind]
    more = _and_others(root, alike, limited=len(rows) >= ROWS_MAX)
    own = partition_target(root.node or "", root.partition or WHOLE)
    if own.replace("@", " ", 1) == subject.replace(
        "@", " ", 1
    ):  # the subject itself, or a consumer's own export
        return f"{subject} {root.text}{more}"
    text = (
        root.text
        if root.text.startswith("waits for ")
        else f"waits for {own.replace('@', ' ', 1)}, which {root.text}"
    )
    return f"{subject} {text}{more}"


def _and_others(root: WaitingRow, rows: Iterable[WaitingRow], *, limited: bool) -> str:
    """Return the remaining causes: a count for the same incident, names for others.

    `limited` says that the list of rows is incomplete.
    """
    others = {
        (row.node, row.partition): row
        for row in rows
        if (row.node, row.partition) != (root.node, root.partition)
    }
    causes = {
        place: _incident(row) for place, row in others.items() if _incident(row) != _incident(root)
    }
    names = list(
        dict.fromkeys(
            incident or partition_target(node or "", key or WHOLE)
            for (node, key), incident in causes.items()
        )
    )
    alike = len(others) - len(causes)
    results = [f"{'at least ' if limited else ''}{alike} more like it"] if alike else []
    if names:
        results.append(
            f"{len(names)} other cause{'s' if len(names) > 1 else ''}: {', '.join(names)}"
        )
    return f" (and {' and '.join(results)})" if results else ""


def _incident(row: WaitingRow) -> str | None:
    return row.repair.incident if row.repair is not None else None


def _next(rows: Sequence[WaitingRow]) -> str | None:
    return min((row for row in rows if row.next), key=_rank, default=_NOTHING).next


def _rank(row: WaitingRow) -> tuple[int, float, int, str, str]:
    """Return the sort key of causes: kind, start, and the order of blockers in `status`."""
    kind = _ROOTS.index(row.kind) if row.kind in _ROOTS else len(_ROOTS)
    since = row.since.timestamp() if row.since is not None else 0.0
    return kind, since, block_of(row.state or ""), row.node or "", row.partition or ""


def _response(
    session: ProjectSession,
    subject: str,
    interval: str | None,
    state: str,
    verdict: str,
    rows: Sequence[WaitingRow],
    command: str | None,
    also: int = 0,
) -> WhyResponse:
    return WhyResponse(
        now=session.now(),
        clock=session.clock.kind,
        subject=subject,
        interval=interval,
        state=str(state),
        verdict=verdict,
        waiting_for=list(rows),
        waiting_limited=len(rows) >= ROWS_MAX,
        also_waiting=also,
        next=command,
    )
