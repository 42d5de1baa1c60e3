"""`why`: what a consumer or an asset waits for, the expected end, and where the time went."""

from __future__ import annotations

from typing import Annotated

import msgspec

from headrace.access.permissions import SEE, command
from headrace.model import Asset, Consumer, Project, Source
from headrace.model.intervals import bounds_us, key_at_us, previous_key, start_us
from headrace.model.partitions import SEPARATOR
from headrace.plan import Compiled
from headrace.project import targets
from headrace.project.parameters import Argument
from headrace.project.session import ProjectSession
from headrace.project.snapshots import project_state
from headrace.responses.interventions import WhyResponse
from headrace.scheduler.ranges import PartitionSet
from headrace.slo.blockage import damage_of, next_command
from headrace.slo.declared_promises import WHOLE, Node
from headrace.slo.obligations import EvaluationContext, counts_as_empty
from headrace.slo.times import time_text
from headrace.slo.unsound import needed as made_of
from headrace.standing import restatements
from headrace.standing.delay_ledger import Ledgers
from headrace.standing.wait_causes import partition_target
from headrace.standing.waits import Waits
from headrace.standing.why_consumers import ConsumerExplanation
from headrace.standing.why_verdicts import next_of, verdict_of, why_response, with_ledger
from headrace.store import Transaction
from headrace.store.queries import attempts, deliveries, partition_states, publications
from headrace.store.queries.partition_states import Partition

NOTHING_DUE = "nothing_due"
"""State of a partition without due data."""


@command(
    "why",
    SEE,
    of="subject",
    http="GET /why/{subject:path} why",
    session="why",
    group="look",
    summary="explain what a consumer or an asset waits for",
)
def why(
    session: ProjectSession,
    subject: Annotated[
        str,
        Argument(
            "CONSUMER|ASSET[@K]", help="a consumer, an asset, a source, or one of their intervals"
        ),
    ],
) -> WhyResponse:
    """Show what an interval waits for, until when, and where the time went.

    Without an interval, it is a consumer's oldest unmet due one, else its next; an asset's oldest
    waiting one, else its newest. Raise UsageError for an unknown subject.
    """
    project = session.project()
    name, key = _parsed(project, subject)
    if session.store is None or session.compiled is None:
        return why_response(
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
        tx, context = snapshot.tx, snapshot.context
        if name in compiled.project.consumers:
            return ConsumerExplanation(session, compiled, snapshot, name, now_us).of(key)
        waits = Waits(session, tx, compiled, context, now_us, name)
        response = _of_node(session, tx, context, waits, name, key, now_us)
        if response.state == NOTHING_DUE or response.interval is None:
            return response
        ledgers = Ledgers(session, tx, compiled, context, now_us)
        return with_ledger(response, ledgers.of_partition(name, response.interval))


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


def _of_node(  # complexipy: ignore (each answer is one early return)
    session: ProjectSession,
    tx: Transaction,
    context: EvaluationContext,
    waits: Waits,
    name: str,
    key: str | None,
    now_us: int,
) -> WhyResponse:
    if name not in waits.nodes:
        return why_response(
            session,
            name,
            None,
            "published",
            f"{name} is a view: it waits for nothing by itself",
            [],
            "headrace status",
        )
    waiting = waits.core.waiting_of(name, now_us)
    chosen = key or _partition(tx, context, name, waiting, now_us)
    if chosen is None:
        unknown, then = _of_no_partition(tx, context, waits, name, now_us)
        return why_response(session, name, None, "never", unknown, [], then)
    partition = partition_states.get(tx, name, chosen)
    subject = partition_target(name, chosen)
    if partition is None and (clause := without_data(context, name, chosen)) is not None:
        verdict = f"{subject} waits for nothing: {clause}"
        return why_response(session, subject, chosen, NOTHING_DUE, verdict, [], None)
    rows = waits.of(name, chosen)
    if rows and rows[0].kind == "running" and rows[0].waiter == subject:
        verdict = verdict_of(subject, rows[:1])
        return why_response(session, subject, chosen, "running", verdict, rows, rows[0].next)
    dropped = (name, chosen, "dropped")
    is_dropped = any((row.node, row.partition, row.state) == dropped for row in rows)
    state = "dropped" if is_dropped else _state(partition)
    others = len(waiting) - (chosen in waiting) if key is None else 0
    if rows:
        verdict, command = verdict_of(subject, rows), next_of(rows)
        return why_response(session, subject, chosen, state, verdict, rows, command, also=others)
    if partition is None or state != "published":
        verdict = f"{subject} waits for nothing that is known"
        return why_response(session, subject, chosen, state, verdict, rows, None, also=others)
    damage = damage_of(context, name, chosen)
    if damage is not None and damage.since_us is not None:
        verdict = _unreadable(session, partition, damage.reason, damage.since_us, now_us)
        return why_response(session, subject, chosen, state, verdict, rows, next_command(damage))
    published = time_text(partition.since, now_us, session.timezone)
    warning = _warning(tx, name, chosen)
    verdict = f"{subject} waits for nothing: it is published, since {published}{warning}"
    return why_response(session, subject, chosen, state, verdict, rows, None, also=others)


def _warning(tx: Transaction, node: str, key: str) -> str:
    """Return a clause about the warnings of a published partition; empty if it has none."""
    publication = publications.current(tx, node, key)
    if publication is None or publication.verdict != "warned":
        return ""
    attempt = attempts.get(tx, publication.epoch, publication.n)
    reason = "" if attempt is None or not attempt.reason else f": {attempt.reason}"
    return f", with a warning{reason}"


def _unreadable(
    session: ProjectSession, partition: Partition, reason: str, since_us: int, now_us: int
) -> str:
    """Return the verdict about a published partition whose files are damaged."""
    subject = partition_target(partition.node, partition.partition)
    published = time_text(partition.since, now_us, session.timezone)
    since = time_text(since_us, now_us, session.timezone)
    return f"{subject} was published {published}, and can't be read since {since}: {reason}"


def _state(partition: Partition | None) -> str:
    if partition is None:
        return "missing"
    if partition.stale and partition.state == "published":
        return "stale"
    return partition.state


def without_data(context: EvaluationContext, name: str, key: str) -> str | None:
    """Return a clause about a source without data for a partition; None if any data is due.

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
            result = result or _empty_source(context, node, key)
            continue
        above = _computed_from(context, node, key)
        if not above:
            return None
        waiting += [place for place in above if place not in seen]
        seen.update(above)
    return result


def _empty_source(context: EvaluationContext, source: Node, key: str) -> str:
    grain, start = source.partition.time_grain, context.rhythms[source.name].start_us
    if start is not None and start_us(key.partition(SEPARATOR)[0], grain, source.timezone) < start:
        return f"{source.name} begins with {key_at_us(start, grain, source.timezone)}"
    return f"no data of {source.name} is due then, as declared"


def _of_no_partition(
    tx: Transaction, context: EvaluationContext, waits: Waits, name: str, now_us: int
) -> tuple[str, str | None]:
    """Return the verdict about a node of which no partition is known, and the next command."""
    source = _silent_source(tx, context, name)
    if source is None:
        node, start = context.node(name), context.rhythms[name].start_us
        if node.partition.grain is None or start is None:
            return f"no partition of {name} is known yet", "headrace tick"
        first = key_at_us(start, node.partition.grain, node.timezone)
        ends_us = bounds_us(first, node.partition.grain, node.timezone)[1]
        ends = time_text(ends_us, now_us, context.declared.timezone)
        return f"{name} begins with {first}, which ends {ends}", None
    key, grain = WHOLE, source.partition.grain
    if grain is not None:
        key = previous_key(key_at_us(now_us, grain, source.timezone), grain, source.timezone)
    row, clause = waits.undelivered(source.name, key)
    if source.name == name:
        return f"{name} {row.text}", row.next
    return f"{name} waits for {source.name}{clause}", row.next


def _silent_source(tx: Transaction, context: EvaluationContext, name: str) -> Node | None:
    """Return the node, or a source that it is computed from, of which nothing was delivered."""
    waiting, seen = [name], {name}
    while waiting:
        node = context.node(waiting.pop())
        if node.is_source and deliveries.first_observation(tx, node.name) is None:
            return node
        above = [spec.node for spec in node.inputs if not spec.optional and spec.node not in seen]
        waiting += above
        seen.update(above)
    return None


def _computed_from(context: EvaluationContext, node: Node, key: str) -> list[tuple[str, str]]:
    """Return the partitions of other nodes that a partition requires."""
    above = {
        (spec.node, item): None
        for spec in node.inputs
        if not spec.optional and spec.node != node.name
        for item in sorted(made_of(context, node, spec, key) or ())
    }
    return list(above)


def _partition(
    tx: Transaction, context: EvaluationContext, name: str, waiting: PartitionSet, now_us: int
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
        return min(under_way or waiting.firsts())
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
