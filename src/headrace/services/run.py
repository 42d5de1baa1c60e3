"""`run` and `retry`: compute selected nodes now, or run again only what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Annotated, TypeAlias

import msgspec

from headrace.access.consequences import in_force, of_computation, required
from headrace.access.permissions import OPERATE, command
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import PendingRun, leader_command, required_reason
from headrace.connect.connectors import is_routed_by_rows
from headrace.model import Asset, Consumer, Project, Refused, Source, UsageError
from headrace.model.export_problems import Exported, exported
from headrace.model.intervals import to_us
from headrace.model.partitions import WHOLE, order_of
from headrace.model.policy import Consequence
from headrace.model.settings import PRODUCTION
from headrace.plan import Compiled
from headrace.plan.backfill_planning import BackfillRequest, Choice, choose, chosen_of
from headrace.plan.backfills import Mode
from headrace.plan.compiled import is_view
from headrace.plan.node_graph import NodeGraph
from headrace.plan.partition_ranges import NO_PARTITIONS, Extent
from headrace.plan.timeline import Timeline, limits_of
from headrace.privacy.retention import refuse_removed
from headrace.project import targets
from headrace.project.parameters import (
    PARTITION_HELP,
    Argument,
    Excluded,
    First,
    Last,
    Option,
    Reason,
    Selected,
)
from headrace.project.selection import NOTHING_SELECTED, selected
from headrace.project.session import Progress, ProjectSession, Silent, usable
from headrace.project.status_facts import unapplied_note
from headrace.project.targets import partition as parse_partition
from headrace.project.targets import unknown_keys
from headrace.repairs import plan_inputs
from headrace.repairs.plan_inputs import count_partitions
from headrace.responses import CountsRow, RunResponse
from headrace.runtime.graph import graph_of
from headrace.runtime.leader import Leader
from headrace.runtime.recomputation import give_up
from headrace.runtime.runs import RunRequest, RunResult
from headrace.scheduler import DeliveryArrived, Target
from headrace.services.run_results import run_response
from headrace.services.runs import unknown_run
from headrace.store import Transaction
from headrace.store.queries import failures, ingestion, runs

# Announcements of `run --again`, `retry` and `quarantine accept`, counted as in every plan.

Span: TypeAlias = tuple[str | None, str | None]


def count_places(leader: Leader, places: Iterable[tuple[str, str]]) -> CountsRow:
    """Return the counts of exactly these partitions."""
    return count_partitions(
        leader.applied.compiled.project, Counter(node for node, _ in set(places)).items()
    )


def count_recomputed(
    context: CommandContext,
    leader: Leader,
    names: Collection[str],
    spans: Sequence[Span],
    *,
    alone: bool,
) -> CountsRow:
    """Return the counts of the nodes' partitions in these ranges, published or not.

    Downstream partitions are included, unless `alone`.
    """
    compiled = leader.applied.compiled
    graph = graph_of(compiled)
    extents = plan_inputs.states_of_session(
        context.session, context.store, graph, compiled.project, leader.applied.id, seen={}
    )
    for name in [
        node.name
        for node in graph.nodes
        if node.is_source and node.name in names and node.name in extents
    ]:
        extents[name] = msgspec.structs.replace(
            extents[name], arrived=extents[name].known
        )  # re-ingested
    timeline = Timeline(graph, extents, to_us(context.now()))
    nodes = [timeline.nodes[name] for name in names if name in timeline.nodes]
    chosen_extents: dict[str, Extent] = {}
    for first, last in spans:
        request = BackfillRequest(
            mode=Mode.ALL,
            limits=limits_of(nodes, first, last),
            only=alone,
            borrowed=context.session.borrowed,
        )
        for item in choose(timeline, compiled, request).picked:
            chosen_extents[item.node] = chosen_extents.get(item.node, NO_PARTITIONS) | item.extent
    return count_partitions(
        compiled.project, ((node, len(extent)) for node, extent in chosen_extents.items())
    )


def announce(progress: Progress, command: str, counts: CountsRow) -> None:
    """Tell the user what will be computed."""
    progress.note(f"{command} makes {counts.text or 'nothing'}")


def warn_of_edits(session: ProjectSession, progress: Progress) -> str | None:
    """Tell the user about edited files, which don't run before they are applied; return it."""
    if (note := unapplied_note(session)) is not None:
        progress.note(note)
    return note


# `retry`: runs again only what failed.

KINDS = (Source, Asset, Exported)
RUN_DIGITS_MAX = 18


@command(
    "retry",
    OPERATE,
    of="target",
    http="POST /retry do_retry",
    session="retry",
    group="act",
    summary="run again what failed",
)
def retry(
    session: ProjectSession,
    target: Annotated[
        str, Argument("RUN|ASSET[@K]", help="a run's number, an asset, or one of its partitions")
    ],
    *,
    reason: Reason = None,
    progress: Progress,
) -> RunResponse:
    """Run again only what failed, was rejected or lost, and hasn't been published since.

    Raise UsageError for an unknown run or asset.
    """
    if session.store is None:
        raise (
            unknown_run(target)
            if _is_run(target)
            else UsageError("nothing has run yet", hint="headrace tick")
        )
    if not failed_partitions(session, target):
        return _nothing_failed(session, target)
    note = warn_of_edits(session, progress)
    response: RunResponse = _retry.perform(session, progress, target, (reason or "").strip())
    return msgspec.structs.replace(response, unapplied=note)


def failed_partitions(session: ProjectSession, target: str) -> Sequence[tuple[str, str]]:
    """Return node and partition of what a retry would run. Raise UsageError as `retry` does."""
    if session.store is None:
        return ()
    project = session.project()  # outside the transaction, because it may begin one
    with session.store.read() as tx:
        return list(_failed(tx, project, target))


@leader_command("retry", RunResponse)
def _retry(context: CommandContext, target: str, reason: str) -> PendingRun | RunResponse:
    leader = context.leader()
    with context.store.read() as tx:
        results = _failed(tx, leader.applied.compiled.project, target)
    known = {target.node for target in leader.everything}
    retry_targets = [Target(node, key, key) for node, key in results if node in known]
    if not retry_targets:
        return _nothing_failed(context.session, target)
    counts = count_places(
        leader, ((target.node, target.first or WHOLE) for target in retry_targets)
    )
    announce(context.progress, "retry", counts)
    order = RunRequest(
        kind="run",
        targets=tuple(retry_targets),
        actor=context.actor,
        request={"retry": target},
        reason=reason,
        retry=frozenset(target.node for target in retry_targets),
    )
    return PendingRun(
        leader,
        order,
        "retry",
        partial(run_response, context.store, context.clock, context.session.zone, counts=counts),
    )


def _failed(tx: Transaction, project: Project, text: str) -> Iterable[tuple[str, str]]:
    """Return node and partition of failures."""
    if _is_run(text):
        if runs.get(tx, int(text)) is None:
            raise unknown_run(text)
        return failures.failed_in_run(tx, int(text))
    return failures.failed_at_node(tx, *targets.target(text, project, kinds=KINDS))


def _is_run(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= RUN_DIGITS_MAX


def _nothing_failed(session: ProjectSession, target: str) -> RunResponse:
    of = f"run {target}" if _is_run(target) else target
    return _nothing(session, f"nothing of {of} failed that hasn't been published or dropped since")


def _nothing(session: ProjectSession, reason: str) -> RunResponse:
    return RunResponse(
        now=session.now(),
        run_id=None,
        state="nothing_due",
        attempts=[],
        published=[],
        rejected=[],
        clock=session.clock.kind,
        reason=reason,
    )


# A run needs the same approvals as a backfill (`[policy]` in headrace.toml).


def check_run(
    session: ProjectSession,
    compiled: Compiled,
    names: Sequence[str],
    *,
    partitions: Sequence[str],
    first: str | None,
    last: str | None,
    again: bool,
) -> None:
    """Raise Refused, with the line of the rule, if policy requires an approval for this run."""
    rules = in_force(compiled.project.settings, session.settings)
    if not rules:
        return
    timeline, choices = _choices(session, compiled, names, partitions, first, last, again=again)
    count = sum(map(_count, choices))
    consequence = _consequence(session, compiled, timeline, choices)
    approval = required(rules, compiled.project, consequence)
    if approval is not None:
        raise Refused(
            f"this run makes {count:,} partitions, and that needs an approval: {approval}",
            hint="headrace backfill … keeps a plan for whoever approves",
        )


def partitions_of_run(session: ProjectSession, arguments: RunArguments) -> int:
    """Return how many partitions a run with these arguments would compute."""
    compiled = session.compiled or usable(session.declared(Silent()))
    names = selected(session, arguments.select, arguments.exclude, compiled=compiled)
    _, choices = _choices(
        session,
        compiled,
        names,
        arguments.partitions,
        arguments.first,
        arguments.last,
        again=arguments.again,
    )
    return sum(map(_count, choices))


def _choices(
    session: ProjectSession,
    compiled: Compiled,
    names: Sequence[str],
    partitions: Sequence[str],
    first: str | None,
    last: str | None,
    *,
    again: bool,
) -> tuple[Timeline, list[Choice]]:
    """Return the partitions that a run would compute, by range, and their timeline."""
    graph = graph_of(compiled)
    timeline = Timeline(
        graph,
        plan_inputs.states_of_session(
            session, session.store, graph, compiled.project, session.version
        ),
        to_us(session.now()),
    )
    nodes = [timeline.nodes[name] for name in names if name in timeline.nodes]
    spans: list[tuple[str | None, str | None]] = [(key, key) for key in partitions] or [
        (first, last)
    ]
    mode = Mode.ALL if again else Mode.MISSING
    requests = (
        BackfillRequest(mode=mode, limits=limits_of(nodes, start, end), only=True)
        for start, end in spans
    )
    return timeline, [choose(timeline, compiled, request) for request in requests]


def _consequence(
    session: ProjectSession, compiled: Compiled, timeline: Timeline, choices: Sequence[Choice]
) -> Consequence:
    chosen = [chosen_of(timeline, item) for choice in choices for item in choice.picked]
    cache = session.data_folder / "cache"
    if session.store is None:
        return of_computation(None, compiled, chosen, cache=cache)
    with session.store.read() as tx:
        return of_computation(tx, compiled, chosen, cache=cache)


def _count(choice: Choice) -> int:
    return sum(len(item.extent) for item in choice.picked)


class RunArguments(msgspec.Struct, frozen=True):
    """The arguments of `headrace run`."""

    select: list[str]
    exclude: list[str]
    partitions: list[str]
    first: str | None
    last: str | None
    again: bool
    reason: str | None


@command("run", OPERATE, of="select", http="POST /runs do_run", session="run")
def run(  # noqa: PLR0913 - as many as the command has options
    session: ProjectSession,
    select: Selected,
    *,
    exclude: Excluded = (),
    partitions: Annotated[
        Sequence[str], Option("--partition", metavar="K", help=PARTITION_HELP)
    ] = (),
    first: First = None,
    last: Last = None,
    again: Annotated[
        bool, Option("--again", help="replace what is published; needs --reason")
    ] = False,
    reason: Reason = None,
    progress: Progress,
) -> RunResponse:
    """Run the selected nodes.

    Published partitions stay unless their inputs or code changed, or `again`. Raise UsageError for
    an unknown selection or partition, or partitions together with a range, Refused for `again`
    without a reason.
    """
    refuse_options(partitions, first, last, reason, again=again)
    arguments = RunArguments(
        list(select), list(exclude), list(partitions), first, last, again, reason
    )
    _check(session, arguments, progress)
    note = warn_of_edits(session, progress)
    response: RunResponse = _run.perform(session, progress, arguments)
    return msgspec.structs.replace(response, unapplied=note)


def refuse_options(
    partitions: Sequence[str],
    first: str | None,
    last: str | None,
    reason: str | None,
    *,
    again: bool,
) -> None:
    """Raise UsageError for partitions together with a range, Refused for no reason for `again`."""
    if partitions and (first or last):
        raise UsageError(
            "--partition and --from/--to exclude each other",
            hint="a range is --from A --to B, both included",
        )
    if again:
        required_reason(reason, "run --again", "it replaces what is published")


def _check(session: ProjectSession, arguments: RunArguments, progress: Progress) -> None:
    """Raise Refused if policy requires an approval."""
    compiled = session.compiled or usable(session.declared(progress))
    if not in_force(compiled.project.settings, session.settings):
        return
    names = selected(session, arguments.select, arguments.exclude, compiled=compiled)
    check_run(
        session,
        compiled,
        names,
        partitions=arguments.partitions,
        first=arguments.first,
        last=arguments.last,
        again=arguments.again,
    )


@leader_command("run", RunResponse)
def _run(context: CommandContext, arguments: RunArguments) -> PendingRun | RunResponse:
    leader = context.leader()
    compiled = leader.applied.compiled
    names = selected(context.session, arguments.select, arguments.exclude, compiled=compiled)
    if not names:
        return _nothing(context.session, NOTHING_SELECTED)
    typed = [*arguments.partitions, arguments.first, arguments.last]
    refuse_removed(compiled.project, names, typed, context.clock.now_us())
    targets = _targets(compiled.project, names, arguments, leader.exported)
    together = _together(context, compiled.project, targets) if arguments.again else []
    targets += [Target(item.source, item.key, item.key) for item in together]
    targets += [Target(name) for name in _sources_above(compiled, names) if name not in names]
    if arguments.again and context.session.env != PRODUCTION:
        _give_up(context, leader, targets)
    counts = _announced(context, leader, names, arguments) if arguments.again else None
    order = RunRequest(
        kind="run",
        targets=tuple(targets),
        actor=context.actor,
        request=msgspec.to_builtins(arguments),
        reason=arguments.reason or "",
        retry=frozenset(names),
        again=frozenset(names if arguments.again else ()),
        together=tuple(together),
    )
    return PendingRun(
        leader,
        order,
        "run",
        partial(_response, context, compiled.project, targets, counts),
    )


def _response(
    context: CommandContext,
    project: Project,
    targets: Sequence[Target],
    counts: CountsRow | None,
    result: RunResult,
) -> RunResponse:
    """Return the run's response; its reason names requested keys that no partition has.

    Raise UsageError where nothing ran because of such keys: only a run finds which keys there are.
    """
    response = run_response(
        context.store, context.clock, context.session.zone, result, counts=counts
    )
    keys: dict[str, list[str]] = {}
    for target in targets:
        if target.first is not None and target.first == target.last:
            keys.setdefault(target.node, []).append(target.first)
    with context.store.read() as tx:
        unknown = [
            unknown_keys(tx, node, keys[name])
            for name in keys
            if isinstance(node := project.node(name), Source | Asset)
        ]
    if response.state == "nothing_due" and any(unknown):
        raise UsageError("; ".join(filter(None, unknown)))
    reason = "; ".join(filter(None, (*unknown, response.reason)))
    return msgspec.structs.replace(response, reason=reason or None)


def _announced(
    context: CommandContext, leader: Leader, names: Sequence[str], arguments: RunArguments
) -> CountsRow:
    spans: list[Span] = [(key, key) for key in arguments.partitions] or [
        (arguments.first, arguments.last)
    ]
    counts = count_recomputed(context, leader, names, spans, alone=True)
    announce(context.progress, "run --again", counts)
    return counts


def _together(
    context: CommandContext, project: Project, targets: Sequence[Target]
) -> list[DeliveryArrived]:
    """Return all partitions that share a file with requested partitions of sources.

    They can only be ingested together.
    """
    results: list[DeliveryArrived] = []
    for name in dict.fromkeys(target.node for target in targets):
        source = project.sources.get(name)
        if source is not None and is_routed_by_rows(source):
            spans = [target for target in targets if target.node == name]
            results += _in_the_same_files(context, source, spans)
    return results


def _in_the_same_files(
    context: CommandContext, source: Source, spans: Sequence[Target]
) -> list[DeliveryArrived]:
    with context.store.read() as tx:
        bundles = ingestion.newest_bundles(tx, source.name)
    asked = {
        bundle
        for key, bundle in bundles.items()
        if any(_covers(source, span, key) for span in spans)
    }
    return [
        DeliveryArrived(source.name, key, bundle)
        for key, bundle in bundles.items()
        if bundle in asked
    ]


def _give_up(context: CommandContext, leader: Leader, targets: Sequence[Target]) -> None:
    """Give up damaged files whose partitions are all recomputed.

    In production `fix` does that, but environments have no incidents.
    """
    project = leader.applied.compiled.project
    with context.store.write(leader.lease.epoch) as tx:
        now = context.clock.mark(tx)
        for name in dict.fromkeys(target.node for target in targets):
            node = project.node(name)
            if isinstance(node, Source | Asset):
                spans = [target for target in targets if target.node == name]
                give_up(tx, name, now, replaced=partial(_covered, node, spans))


def _covered(node: Source | Asset, spans: Sequence[Target], key: str) -> bool:
    return any(_covers(node, span, key) for span in spans)


def _covers(source: Source | Asset, target: Target, key: str) -> bool:
    order = _order(source, key)
    return (target.first is None or order >= _order(source, target.first)) and (
        target.last is None or order <= _order(source, target.last)
    )


def _targets(
    project: Project, names: Sequence[str], arguments: RunArguments, exports: Collection[str]
) -> list[Target]:
    targets, nodes = [], list[Source | Asset | Exported]()
    for name in names:
        node = exported(project, name) if name in exports else project.node(name)
        if node is None or isinstance(node, Consumer) or is_view(project, name):
            continue
        nodes.append(node)
        targets += _of_node(node, arguments)
    if nodes and all(node.partition.whole for node in nodes):
        for key in arguments.partitions:
            parse_partition(nodes[0], key)
    if not targets:
        raise UsageError(
            "nothing was selected that can run", hint="headrace ls shows what there is"
        )
    return targets


def _of_node(node: Source | Asset | Exported, arguments: RunArguments) -> list[Target]:
    ranged = bool(arguments.partitions or arguments.first or arguments.last)
    if not ranged:
        return [Target(node.name)]
    if node.partition.whole and "*" not in arguments.partitions:
        return [] if isinstance(node, Source) else [Target(node.name)]
    if arguments.partitions:
        keys = [parse_partition(node, key) for key in arguments.partitions]
        return [Target(node.name, key, key) for key in keys]
    return [_range(node, arguments)]


def _range(node: Source | Asset | Exported, arguments: RunArguments) -> Target:
    """Return the partitions from `--from` to `--to`. Raise UsageError for a reversed range."""
    first = parse_partition(node, arguments.first) if arguments.first else None
    last = parse_partition(node, arguments.last) if arguments.last else None
    if first is not None and last is not None and _order(node, last) < _order(node, first):
        raise UsageError(
            f"--to {last} comes before --from {first}", hint="both are included; swap them"
        )
    return Target(node.name, first, last)


def _order(node: Source | Asset | Exported, key: str) -> str:
    return order_of(key, node.partition, node.timezone)


def _sources_above(compiled: Compiled, names: Sequence[str]) -> list[str]:
    """Return the upstream sources of the selection, whose deliveries are ingested first."""
    upstream = {read for name in names for read in _reads(compiled, name) if read in compiled.nodes}
    above = NodeGraph(compiled).upstream(upstream)
    return [name for name in compiled.order if name in above and name in compiled.project.sources]


def _reads(compiled: Compiled, name: str) -> Sequence[str]:
    """Return a node itself, or a consumer's inputs."""
    consumer = compiled.project.consumers.get(name)
    return (name,) if consumer is None else consumer.reads
