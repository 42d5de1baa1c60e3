"""Plan a backfill without writing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import msgspec

from headrace.access.consequences import in_force, of_computation, required
from headrace.model import Project, UsageError
from headrace.model.errors import did_you_mean
from headrace.model.intervals import to_us
from headrace.model.partitions import command_line
from headrace.model.policy import Approval
from headrace.plan import Compiled
from headrace.plan.backfill_planning import BackfillRequest, plan_backfill
from headrace.plan.backfills import Backfill, Mode
from headrace.plan.compiled import is_view
from headrace.plan.timeline import Timeline, limits_of
from headrace.privacy.retention import refuse_removed
from headrace.project.selection import selected
from headrace.project.session import ProjectSession
from headrace.repairs import plan_inputs
from headrace.responses.backfills import EstimateRow
from headrace.runtime import estimates
from headrace.runtime.graph import graph_of
from headrace.runtime.overlays.partitions import shared_partition
from headrace.runtime.partition_extents import with_deliveries
from headrace.scheduler import Graph, GraphNode
from headrace.scheduler.estimates import Estimate
from headrace.store import Store, Transaction
from headrace.store.queries import backfill_plans
from headrace.store.queries.backfill_plans import PlanRecord

NOTHING_MORE: Mapping[str, Sequence[str]] = MappingProxyType({})


class BackfillArguments(msgspec.Struct, frozen=True):
    """The arguments of `headrace backfill`."""

    select: list[str]
    exclude: list[str]
    first: str | None
    last: str | None
    since: str | None
    mode: str
    reason: str
    only: bool = False
    allow_partial: bool = False
    estimate: EstimateRow | None = None
    """The estimate that the confirming person saw.

    The leader reuses it instead of estimating again while other requests wait.
    """
    plan_id: str | None = None
    """The id of the confirmed plan; None in plans stored by older versions."""

    @property
    def command(self) -> str:
        """The command line that runs this backfill."""
        words = ["backfill", *self.select]
        for option, value in (
            ("--exclude", self.exclude),
            ("--from", [self.first]),
            ("--to", [self.last]),
            ("--since", [self.since]),
        ):
            words += [word for item in value if item for word in (option, item)]
        words += ["--mode", self.mode] if self.mode != Mode.MISSING else []
        words += ["--only"] if self.only else []
        words += ["--allow-partial"] if self.allow_partial else []
        return command_line(*words, "--reason", self.reason or "TEXT")


class DraftBackfill(msgspec.Struct, frozen=True):
    """A backfill plan that isn't stored yet."""

    backfill: Backfill
    compiled: Compiled
    graph: Graph
    approval: Approval | None
    estimate: EstimateRow
    size: int
    """Estimated bytes to be written."""


def mode_of(text: str) -> Mode:
    """Return the mode as typed. Raise UsageError for an unknown one."""
    try:
        return Mode(text)
    except ValueError:
        raise UsageError(
            f"--mode {text[:40]!r} isn't a mode",
            hint=did_you_mean(text, [*Mode]) or f"one of {', '.join(Mode)}",
        ) from None


def check(arguments: BackfillArguments) -> None:
    """Raise UsageError for contradictory or incomplete arguments."""
    mode = mode_of(arguments.mode)
    if arguments.since and (arguments.first or arguments.last):
        raise UsageError(
            "--since and --from/--to exclude each other",
            hint="a range is --from A --to B, both included",
        )
    if arguments.since and mode is not Mode.FAILED:
        raise UsageError(
            "--since finds what failed since then",
            hint="add --mode failed, or give a range: --from A --to B",
        )
    if not arguments.select and mode is not Mode.FAILED:
        raise UsageError(
            "nothing was selected",
            hint=(
                "headrace backfill ASSET --from A --to B --reason TEXT; headrace ls shows what"
                " there is"
            ),
        )


def _check_range(arguments: BackfillArguments, nodes: Sequence[GraphNode]) -> None:
    """Raise UsageError if a partitioned node is selected without a range."""
    cut = next((node.name for node in nodes if not node.partition.whole), None)
    if cut is not None and not (arguments.since or arguments.first or arguments.last):
        hint = "--since T" if arguments.mode == Mode.FAILED else "--from A --to B, both included"
        raise UsageError(f"a backfill of {cut} needs a range", hint=hint)


def plan(
    session: ProjectSession,
    store: Store | None,
    compiled: Compiled,
    version: int | None,
    arguments: BackfillArguments,
    *,
    now: datetime,
    reread: Mapping[str, Sequence[str]] = NOTHING_MORE,
) -> DraftBackfill:
    """Plan a backfill of `compiled`. Raise UsageError for an unknown selection or range.

    `compiled` may be applied already or about to be. `reread` maps sources to partitions whose
    deliveries are re-ingested first.
    """
    check(arguments)
    graph = graph_of(compiled)
    since = None if arguments.since is None else session.time_since(arguments.since)
    seen = plan_inputs.deliveries_in_folders(session.root, compiled.project, store)
    extents = plan_inputs.states_of_session(
        session, store, graph, compiled.project, version, failed_since=since, seen=seen
    )
    timeline = Timeline(graph, with_deliveries(graph, extents, (), reread), to_us(now))
    names = selected(session, arguments.select, arguments.exclude, compiled=compiled)
    nodes = [timeline.nodes[name] for name in names if name in timeline.nodes]
    if names and not nodes:
        raise UsageError(
            "nothing was selected that has partitions", hint=_hint(compiled.project, names)
        )
    _check_range(arguments, nodes)
    refuse_removed(compiled.project, names, [arguments.first, arguments.last], to_us(now))
    request = BackfillRequest(
        mode=mode_of(arguments.mode),
        limits=limits_of(nodes, arguments.first, arguments.last),
        only=arguments.only,
        borrowed=session.borrowed,
    )
    backfill = plan_backfill(timeline, compiled, request, allow_partial=arguments.allow_partial)
    size, row, rules = 0, arguments.estimate, in_force(compiled.project.settings, session.settings)
    consequence, approval = None, None
    cache = session.data_folder / "cache"
    if store is not None:
        with store.read() as tx:
            _apart(tx, graph, backfill)
            row = row or _estimated(tx, compiled, backfill)
            size = estimates.bytes_of(tx, backfill)
            if rules:
                consequence = of_computation(tx, compiled, backfill.chosen, cache=cache, size=size)
    row = row or _guessed(session, compiled, backfill, seen)
    if rules:
        consequence = consequence or of_computation(None, compiled, backfill.chosen, cache=cache)
        consequence = msgspec.structs.replace(consequence, seconds=row.seconds)
        approval = required(rules, compiled.project, consequence)
    return DraftBackfill(backfill, compiled, graph, approval, row, size)


def _estimated(tx: Transaction, compiled: Compiled, backfill: Backfill) -> EstimateRow | None:
    estimate = estimates.estimate_backfill(
        tx, compiled, backfill, compiled.project.settings.workers
    )
    return None if estimate is None else estimate_row(estimate)


def _guessed(
    session: ProjectSession, compiled: Compiled, backfill: Backfill, seen: plan_inputs.SeenNow
) -> EstimateRow:
    bytes_of = {
        name: sum(file.size_bytes for file in files) / len(files)
        for name, files in seen.items()
        if files
    }
    here = estimates.Machine(estimates.slowness(session.data_folder / "cache"), bytes_of)
    seconds = estimates.guess_backfill(compiled, backfill, compiled.project.settings.workers, here)
    return EstimateRow(seconds=seconds, low=None, high=None, basis=estimates.BASIS, known=False)


def estimate_row(estimate: Estimate) -> EstimateRow:
    """Return an estimate as a row of a response."""
    return EstimateRow(
        seconds=estimate.seconds,
        low=estimate.low,
        high=estimate.high,
        basis=estimate.basis,
        simulated=estimate.simulated,
    )


def _apart(tx: Transaction, graph: Graph, backfill: Backfill) -> None:
    """Raise UsageError if an open backfill computes one of the same partitions."""
    nodes = {node.name: node for node in graph.nodes}
    for row in backfill_plans.open_backfills(tx):
        results = shared_partition(nodes, backfill, content(row))
        if results is not None:
            node, key = results
            raise UsageError(
                f"backfill {row.id}, which is {row.state}, makes {node}@{key} already",
                hint=(
                    f"headrace backfills {row.id}, or headrace backfills cancel {row.id} --reason"
                    " TEXT"
                ),
            )


def content(row: PlanRecord) -> Backfill:
    """Return the decoded content of a stored plan."""
    return msgspec.msgpack.decode(row.content, type=Backfill)


def _hint(project: Project, names: Sequence[str]) -> str:
    view = next((name for name in names if is_view(project, name)), None)
    return (
        f"{view} is a view, computed when it is read: select what it reads"
        if view
        else "headrace ls shows what there is"
    )
