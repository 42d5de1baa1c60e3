"""What can be looked at that only pages show: the catalog, a run over time, a consumer's deliveries, the graph, logs in pages."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from headrace.operations import checks
from headrace.operations import consumer as consumers
from headrace.operations import run_list as run_lists
from headrace.operations import run_timeline as timelines
from headrace.operations.catalog import code as codes
from headrace.operations.catalog import listing, searching
from headrace.operations.catalog import node as nodes
from headrace.operations.catalog import partitions as days
from headrace.operations.catalog.listing import CatalogQuery as CatalogAsked
from headrace.operations.catalog.responses import CatalogResponse, CodeResponse, NodeResponse, PartitionsResponse, SearchResponse
from headrace.operations.checks import CheckListQuery as ChecksAsked
from headrace.operations.checks_responses import ChecksResponse
from headrace.operations.consumer import ConsumerResponse
from headrace.operations.graph import view as views
from headrace.operations.graph.responses import GraphView
from headrace.operations.log_pages import LogPageQuery as LogsAsked
from headrace.operations.log_pages import LogsResponse, log_page
from headrace.operations.run_list import RunsResponse
from headrace.operations.run_timeline import RunTimeline
from headrace.operations.session import ProjectSession
from headrace.web.asking import RequestParameters

Page = Annotated[int, Meta(ge=1, le=500)]


def catalog(session: ProjectSession, query: CatalogAsked) -> CatalogResponse:
    """Sources and assets by what is searched for, in pages, with counts to narrow it by."""
    return listing.catalog(session, query)


class NodeAsked(RequestParameters, frozen=True, kw_only=True):
    """A source or an asset."""

    name: str


def node(session: ProjectSession, asked: NodeAsked) -> NodeResponse:
    """A source or an asset: how it stands, its columns, what it reads and who reads it."""
    return nodes.node(session, asked.name)


class PartitionsAsked(RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """From one partition to another, both included."""

    name: str
    first: str | None = None
    last: str | None = None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=2_000)] = 400


def partitions(session: ProjectSession, asked: PartitionsAsked) -> PartitionsResponse:
    """The partitions of a source or an asset, newest first, as a calendar shows them."""
    return days.partitions(
        session, asked.name, days.PartitionListQuery(first=asked.first, last=asked.last, cursor=asked.cursor, limit=asked.limit)
    )


class CodeAsked(RequestParameters, frozen=True, kw_only=True):
    """The newest text, or that of a version."""

    name: str
    version: int | None = None


def code(session: ProjectSession, asked: CodeAsked) -> CodeResponse:
    """The file that declares a source or an asset, as it was applied, and the versions in which it changed."""
    return codes.code(session, asked.name, asked.version)


class ConsumerAsked(RequestParameters, frozen=True, kw_only=True):
    """A consumer; so many of its newest intervals, and so many of those with their ledger."""

    name: str
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=400)] = 30
    ledgers: Annotated[int, Meta(ge=0, le=60)] = 10


def consumer(session: ProjectSession, asked: ConsumerAsked) -> ConsumerResponse:
    """A consumer: its deliveries over time against the deadline, each with where the time went, and what it needs."""
    return consumers.consumer(session, asked.name, before=asked.cursor, limit=asked.limit, ledgers=asked.ledgers)


class RunListAsked(RequestParameters, frozen=True, kw_only=True):
    """All, or those that didn't succeed."""

    failed: bool = False
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 30


def run_list(session: ProjectSession, asked: RunListAsked) -> RunsResponse:
    """The runs in short, newest first, in pages."""
    return run_lists.run_list(session, failed=asked.failed, before=asked.cursor, limit=asked.limit)


class RunAsked(RequestParameters, frozen=True, kw_only=True):
    """A run; `cursor` asks for later attempts, `failed` for those that ended without a publication."""

    run: str
    failed: bool = False
    cursor: str | None = None
    limit: Page = 500


def run(session: ProjectSession, asked: RunAsked) -> RunTimeline:
    """One run with its attempts over time: queue, dispatch, run, audit, publish."""
    return timelines.run_timeline(session, asked.run, asked.cursor, asked.limit, failed=asked.failed)


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
    return searching.search(session, asked.q, asked.limit)


class GraphAsked(RequestParameters, frozen=True, kw_only=True):
    """`domains`, `focus` (so many hops around the root) or `blast` (all below the root, or below an incident's cause)."""

    mode: str = "domains"
    root: str | None = None
    hops: Annotated[int, Meta(ge=0, le=views.HOPS_MAX)] = 2
    budget: Annotated[int, Meta(ge=1, le=views.BUDGET_MAX)] = 48


def graph(session: ProjectSession, asked: GraphAsked) -> GraphView:
    """A view of the graph: at most `budget` nodes in cards of their own, the rest rolled up by domain."""
    return views.view(session, views.GraphViewQuery(mode=asked.mode, root=asked.root, hops=asked.hops, budget=asked.budget))
