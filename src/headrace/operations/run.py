"""`run`: compute what is asked for, now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import msgspec

from headrace.connect.kinds import routed
from headrace.model import Asset, Consumer, Project, Refused, Source, UsageError
from headrace.model.environments import PRODUCTION
from headrace.model.export_links import Exported, exported
from headrace.model.ordering import order_of
from headrace.operations.ahead_of_runs import Span, announce, of_recomputing
from headrace.operations.approvals import check_run
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.request_handler import PendingRun
from headrace.operations.responses import CountsRow, RunResponse
from headrace.operations.run_response import run_response
from headrace.operations.selection import selected
from headrace.operations.session import ProjectSession, usable
from headrace.operations.targets import partition as parse_partition
from headrace.plan import Compiled
from headrace.plan.views import is_view
from headrace.run.giving_up import give_up
from headrace.run.leader import Leader
from headrace.run.orders import RunRequest
from headrace.schedule import DeliveryArrived, Target
from headrace.store.queries import arriving


class RunArguments(msgspec.Struct, frozen=True):
    """What was typed."""

    select: list[str]
    exclude: list[str]
    partitions: list[str]
    first: str | None
    last: str | None
    again: bool
    reason: str | None


def run(  # noqa: PLR0913 - as many as the command has options
    session: ProjectSession,
    select: Sequence[str],
    *,
    exclude: Sequence[str],
    partitions: Sequence[str],
    first: str | None,
    last: str | None,
    again: bool,
    reason: str | None,
    progress: Progress,
) -> RunResponse:
    """Run the selected nodes, with progress. What is published stays unless its inputs or code changed, or `again`.

    Raises UsageError for a selection or a partition that there isn't, Refused for `again` without a reason.
    """
    if again and not reason:
        raise Refused("--again replaces what is published", hint="say why: --reason TEXT")
    arguments = RunArguments(list(select), list(exclude), list(partitions), first, last, again, reason)
    _check(session, arguments, progress)
    return perform(session, "run", arguments, progress)  # type: ignore[no-any-return]


def _check(session: ProjectSession, arguments: RunArguments, progress: Progress) -> None:
    """Refused where policy asks for an approval."""
    if not session.settings.policy:
        return
    compiled = session.compiled or usable(session.declared(progress))
    names = selected(session, arguments.select, arguments.exclude, compiled=compiled)
    check_run(session, compiled, names, partitions=arguments.partitions, first=arguments.first, last=arguments.last, again=arguments.again)


@leader_command("run", RunArguments, RunResponse)
def _run(context: CommandContext, arguments: RunArguments, progress: Progress) -> PendingRun:
    leader = context.leader(progress)
    compiled = leader.applied.compiled
    names = selected(context.session, arguments.select, arguments.exclude, compiled=compiled)
    targets = _targets(compiled.project, names, arguments, leader.exported)
    together = _together(context, compiled.project, targets) if arguments.again else []
    targets += [Target(item.source, item.key, item.key) for item in together]
    targets += [Target(name) for name in _sources_above(compiled, names) if name not in names]
    if arguments.again and context.session.env != PRODUCTION:
        _give_up(context, leader, targets)
    counts = _announced(context, leader, names, arguments, progress) if arguments.again else None
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
    return PendingRun(leader, order, "run", partial(run_response, context.store, context.clock, context.session.zone, counts=counts))


def _announced(context: CommandContext, leader: Leader, names: Sequence[str], arguments: RunArguments, progress: Progress) -> CountsRow:
    spans: list[Span] = [(key, key) for key in arguments.partitions] or [(arguments.first, arguments.last)]
    counts = of_recomputing(context, leader, names, spans, alone=True)
    announce(progress, "run --again", counts)
    return counts


def _together(context: CommandContext, project: Project, targets: Sequence[Target]) -> list[DeliveryArrived]:
    """What came in one file with partitions of sources that are asked for, with these: none can be ingested from it alone."""
    results: list[DeliveryArrived] = []
    for name in dict.fromkeys(target.node for target in targets):
        source = project.sources.get(name)
        if source is None or not routed(source):
            continue
        with context.store.read() as tx:
            bundles = arriving.newest_bundles(tx, name)
        spans = [target for target in targets if target.node == name]
        asked = {bundle for key, bundle in bundles.items() if any(_covers(source, span, key) for span in spans)}
        results += [DeliveryArrived(name, key, bundle) for key, bundle in bundles.items() if bundle in asked]
    return results


def _give_up(context: CommandContext, leader: Leader, targets: Sequence[Target]) -> None:
    """Give up damaged files of which each partition is computed again: in production `fix` does
    that, environments have no incidents."""
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
    return (target.first is None or order >= _order(source, target.first)) and (target.last is None or order <= _order(source, target.last))


def _targets(project: Project, names: Sequence[str], arguments: RunArguments, exports: Collection[str]) -> list[Target]:
    targets = []
    for name in names:
        node = exported(project, name) if name in exports else project.node(name)
        if node is None or isinstance(node, Consumer) or is_view(project, name):
            continue
        targets += _of_node(node, arguments)
    if not targets:
        raise UsageError("nothing was selected that can run", hint="headrace ls shows what there is")
    return targets


def _of_node(node: Source | Asset | Exported, arguments: RunArguments) -> list[Target]:
    ranged = bool(arguments.partitions or arguments.first or arguments.last)
    if not ranged or (node.partition.whole and "*" not in arguments.partitions):
        return [] if ranged and isinstance(node, Source) else [Target(node.name)]
    if arguments.partitions:
        keys = [parse_partition(node, key) for key in arguments.partitions]
        return [Target(node.name, key, key) for key in keys]
    first = parse_partition(node, arguments.first) if arguments.first else None
    last = parse_partition(node, arguments.last) if arguments.last else None
    if first is not None and last is not None and _order(node, last) < _order(node, first):
        raise UsageError(f"--to {last} comes before --from {first}", hint="both are included; swap them")
    return [Target(node.name, first, last)]


def _order(node: Source | Asset | Exported, key: str) -> str:
    return order_of(key, node.partition, node.timezone)


def _sources_above(compiled: Compiled, names: Sequence[str]) -> list[str]:
    """The sources that what is selected comes from: what has arrived there is ingested first."""
    wanted = {read for name in names for read in _reads(compiled, name) if read in compiled.nodes}
    for name in reversed(compiled.order):
        if name in wanted:
            wanted |= {spec.node for spec in compiled.nodes[name].inputs} | set(compiled.nodes[name].depends)
    return [name for name in compiled.order if name in wanted and name in compiled.project.sources]


def _reads(compiled: Compiled, name: str) -> Sequence[str]:
    """A node, or what a consumer reads."""
    consumer = compiled.project.consumers.get(name)
    return (name,) if consumer is None else consumer.reads
