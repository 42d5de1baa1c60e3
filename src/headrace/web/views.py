"""Read-only endpoints that only pages use: catalog, runs, graph, logs, and previews of acts."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from headrace.services import catalog_search, checks, nodes
from headrace.services import graph as views
from headrace.services import nodes as codes
from headrace.services import nodes as consumers
from headrace.services import nodes as days
from headrace.services import run_pages as run_lists
from headrace.services import run_pages as timelines
from headrace.services.catalog_search import CatalogQuery as CatalogAsked
from headrace.services.checks import CheckListQuery as ChecksAsked
from headrace.services.checks import ChecksResponse
from headrace.services.graph import EffectResponse
from headrace.services.logs import LogPageQuery as LogsAsked
from headrace.services.logs import LogsResponse, log_page
from headrace.services.nodes import ConsumerResponse
from headrace.services.responses.backfills import BackfillResponse, PlannedPartitionsResponse
from headrace.services.responses.catalog import (
    CatalogResponse,
    CodeResponse,
    GraphView,
    NodeResponse,
    PartitionsResponse,
    SearchResponse,
)
from headrace.services.responses.repairs import AcceptResponse, FixResponse
from headrace.services.run_pages import RunsResponse, RunTimeline
from headrace.services.session import ProjectSession, Silent
from headrace.web.http import RequestParameters

Page = Annotated[int, Meta(ge=1, le=500)]


def catalog(session: ProjectSession, query: CatalogAsked) -> CatalogResponse:
    """Sources and assets by what is searched for, in pages, with counts to narrow it by."""
    return catalog_search.catalog(session, query)


class NodeAsked(RequestParameters, frozen=True, kw_only=True):
    """A source or an asset."""

    name: str


def node(session: ProjectSession, asked: NodeAsked) -> NodeResponse:
    """A source or an asset: how it stands, its columns, what it reads and who reads it."""
    return nodes.node(session, asked.name)


class PartitionsAsked(
    RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}
):
    """From one partition to another, both included."""

    name: str
    first: str | None = None
    last: str | None = None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=2_000)] = 400


def partitions(session: ProjectSession, asked: PartitionsAsked) -> PartitionsResponse:
    """The partitions of a source or an asset, newest first, as a calendar shows them."""
    return days.list_partitions(
        session,
        asked.name,
        days.PartitionListQuery(
            first=asked.first, last=asked.last, cursor=asked.cursor, limit=asked.limit
        ),
    )


class CodeAsked(RequestParameters, frozen=True, kw_only=True):
    """The newest text, or that of a version."""

    name: str
    version: int | None = None


def code(session: ProjectSession, asked: CodeAsked) -> CodeResponse:
    """The file that declares a source or an asset, as it was applied, and the versions in which it
    changed."""
    return codes.code(session, asked.name, asked.version)


class ConsumerAsked(RequestParameters, frozen=True, kw_only=True):
    """A consumer; so many of its newest intervals, and so many of those with their ledger."""

    name: str
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=400)] = 30
    ledgers: Annotated[int, Meta(ge=0, le=60)] = 10


def consumer(session: ProjectSession, asked: ConsumerAsked) -> ConsumerResponse:
    """A consumer: its deliveries over time against the deadline, each with where the time went, and
    what it needs.
    """
    return consumers.consumer(
        session, asked.name, before=asked.cursor, limit=asked.limit, ledgers=asked.ledgers
    )


class RunListAsked(RequestParameters, frozen=True, kw_only=True):
    """All, or those that didn't succeed."""

    failed: bool = False
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 30


def run_list(session: ProjectSession, asked: RunListAsked) -> RunsResponse:
    """The runs in short, newest first, in pages."""
    return run_lists.run_list(session, failed=asked.failed, before=asked.cursor, limit=asked.limit)


class RunAsked(RequestParameters, frozen=True, kw_only=True):
    """A run; `cursor` asks for later attempts, `failed` for those that ended without a
    publication."""

    run: str
    failed: bool = False
    cursor: str | None = None
    limit: Page = 500


def run(session: ProjectSession, asked: RunAsked) -> RunTimeline:
    """One run with its attempts over time: queue, dispatch, run, audit, publish."""
    return timelines.run_timeline(
        session, asked.run, asked.cursor, asked.limit, failed=asked.failed
    )


def check_list(session: ProjectSession, query: ChecksAsked) -> ChecksResponse:
    """`headrace checks` in pages."""
    return checks.check_list(session, query)


def logs(session: ProjectSession, query: LogsAsked) -> LogsResponse:
    """`headrace logs` in pages: the lines that an attempt wrote, and why it failed."""
    return log_page(session, query)


class SearchAsked(RequestParameters, frozen=True, kw_only=True):
    """Words that names have."""

    q: str = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


def search(session: ProjectSession, asked: SearchAsked) -> SearchResponse:
    """Everything by name: nodes, columns, checks, people, incidents, runs, backfills."""
    return catalog_search.search(session, asked.q, asked.limit)


class GraphAsked(RequestParameters, frozen=True, kw_only=True):
    """`domains`, `focus` (so many hops around the root) or `blast` (all below the root, or below an
    incident's cause).
    """

    mode: str = "domains"
    root: str | None = None
    hops: Annotated[int, Meta(ge=0, le=views.HOPS_MAX)] = 2
    budget: Annotated[int, Meta(ge=1, le=views.BUDGET_MAX)] = 48


def graph(session: ProjectSession, asked: GraphAsked) -> GraphView:
    """A view of the graph: at most `budget` nodes in cards of their own, the rest rolled up by
    domain.
    """
    return views.view(
        session,
        views.GraphViewQuery(
            mode=asked.mode, root=asked.root, hops=asked.hops, budget=asked.budget
        ),
    )


# Previews of acts: what commands show with `--dry-run` or `--patch`, and whom other acts affect.
# They write nothing.

Many = Annotated[int, Meta(ge=1, le=5_000)]


class RepairAsked(RequestParameters, frozen=True, kw_only=True):
    """An incident, and how `headrace fix` is asked to repair it: `again`, and what is
    decided about values that differ."""

    incident: str
    again: bool = False
    convert: tuple[str, ...] = ()
    as_is: bool = False


def repair(session: ProjectSession, asked: RepairAsked) -> FixResponse:
    """`headrace fix --dry-run`: what would be done about an incident."""
    from headrace.services.contract_accept import ValueDecision
    from headrace.services.fix import fix

    return fix(
        session,
        asked.incident,
        dry_run=True,
        confirm=lambda _: False,
        progress=Silent(),
        again=asked.again,
        decision=ValueDecision(asked.convert, asked.as_is),
    )


class BackfillPreviewAsked(
    RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}
):
    """As `headrace backfill` takes it."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None
    since: str | None = None
    mode: str = "missing"
    reason: str | None = None
    only: bool = False
    allow_partial: bool = False


class BackfillListAsked(
    BackfillPreviewAsked, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}
):
    """The same; `cursor` asks for later ones."""

    cursor: str | None = None
    limit: Many = 1_000


def backfill_preview_partitions(
    session: ProjectSession, asked: BackfillListAsked
) -> PlannedPartitionsResponse:
    """The partitions that a backfill would make, one by one."""
    from headrace.services.backfill_planning import BackfillArguments
    from headrace.services.backfills import preview_partitions

    arguments = BackfillArguments(
        list(asked.select),
        list(asked.exclude),
        asked.first,
        asked.last,
        asked.since,
        asked.mode,
        asked.reason or "",
        asked.only,
        asked.allow_partial,
    )
    return preview_partitions(session, arguments, after=asked.cursor, limit=asked.limit)


class PlanListAsked(RequestParameters, frozen=True, kw_only=True):
    """A plan's number; `cursor` asks for later ones."""

    plan: str
    cursor: str | None = None
    limit: Many = 1_000


def backfill_partitions(session: ProjectSession, asked: PlanListAsked) -> PlannedPartitionsResponse:
    """The partitions of a backfill one by one, and what came of each."""
    from headrace.services.backfills import plan_partitions

    return plan_partitions(session, asked.plan, after=asked.cursor, limit=asked.limit)


def backfill_preview(session: ProjectSession, asked: BackfillPreviewAsked) -> BackfillResponse:
    """`headrace backfill --dry-run`: what would be made, how long it would take, whom
    it reaches."""
    from headrace.services.backfills import backfill

    return backfill(
        session,
        asked.select,
        exclude=asked.exclude,
        first=asked.first,
        last=asked.last,
        since=asked.since,
        mode=asked.mode,
        reason=asked.reason,
        only=asked.only,
        allow_partial=asked.allow_partial,
        dry_run=True,
        confirm=lambda _: False,
        progress=Silent(),
    )


class NamesAsked(RequestParameters, frozen=True, kw_only=True):
    """A source's partition that is held, or an incident; pairs (`COLUMN=NAME`) go before what is
    proposed."""

    node: str
    map: tuple[str, ...] = ()
    convert: tuple[str, ...] = ()
    as_is: bool = False


def accepted_names(session: ProjectSession, asked: NamesAsked) -> AcceptResponse:
    """`headrace contract accept --patch`: what accepting a vendor's names would write."""
    from headrace.services.contract_accept import ValueDecision, accept

    return accept(
        session,
        asked.node,
        pairs=asked.map,
        patch=True,
        yes=False,
        progress=Silent(),
        decision=ValueDecision(asked.convert, asked.as_is),
    )


class EffectAsked(RequestParameters, frozen=True, kw_only=True):
    """A selection as commands take it."""

    select: tuple[str, ...]
    exclude: tuple[str, ...] = ()


def effect(session: ProjectSession, asked: EffectAsked) -> EffectResponse:
    """Whom an act on these nodes reaches."""
    from headrace.services import graph as services_graph

    return services_graph.effect(session, asked.select, asked.exclude)
