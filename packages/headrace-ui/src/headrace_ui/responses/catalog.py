"""Responses of the catalog pages and of the graph view."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.responses.access import RefusedActRow
from headrace.responses.base import ColumnRow, Response
from headrace.responses.project import NodeRow
from headrace.responses.retention import HoldRow, RetentionRow
from headrace.responses.runs import LearntRow


class CardRow(NodeRow, frozen=True, kw_only=True):
    """A source or an asset in short: as `ls` shows it, and how it stands."""

    description: str
    materialize: str | None
    """Of assets."""
    state: str
    """`fresh`, `behind`, `stale` or `never`."""
    quarantined: bool
    """Something of it waits in quarantine."""
    paused: bool
    incident: str | None
    """The oldest open incident whose cause is here, or else the oldest that holds it back."""
    data_through: str | None
    published_at: datetime | None
    verdict: str | None
    """Of the newest partition."""
    rows: int | None
    """Of the newest partition."""
    reads: int | None = None
    """Seen in the window of the figure `use`; of a catalog in order of use or cost."""
    seconds: float | None = None
    """What its attempts took in that window; likewise."""


class CountedRow(Response, frozen=True, kw_only=True):
    """A value, and how many of what was searched for have it."""

    value: str
    count: int


class CatalogResponse(Response, frozen=True, kw_only=True):
    """Sources and assets that were searched for, one page of them. The counts are of all that
    match, without the filter that they are about; `next` is the cursor of the next page, null on
    the last."""

    now: datetime
    total: int
    nodes: list[CardRow]
    states: list[CountedRow]
    kinds: list[CountedRow]
    domains: list[CountedRow]
    owners: list[CountedRow]
    tags: list[CountedRow]
    next: str | None


class EdgeRow(Response, frozen=True, kw_only=True):
    """A node beside another, and how it is read: `required`, `all`, `previous`, `within`, or
    `depends` for an order without data.
    """

    node: str
    kind: str
    mode: str
    state: str | None
    """Null for consumers."""


class NodeColumnRow(Response, frozen=True, kw_only=True):
    """A column as it is published, or, before that, as it is understood. `classification` is the
    contract's."""

    name: str
    type: str | None
    classification: str | None


class NodeResponse(Response, frozen=True, kw_only=True):
    """A source or an asset with what surrounds it."""

    now: datetime
    node: CardRow
    line: int
    timezone: str
    start: str | None
    contract: str | None
    columns: list[NodeColumnRow]
    reads: list[EdgeRow]
    read_by: list[EdgeRow]
    """Assets."""
    consumers: list[str]
    """All that it reaches, through others too."""
    partitions: list[CountedRow]
    """How many are in each state of `partitions`."""
    oldest: str | None
    fingerprint: str | None
    learnt: LearntRow | None = None
    """Of a source: how it is read, and which deliveries that was learnt from."""
    retention: RetentionRow | None = None
    """How long its rows are kept; null if they aren't removed by their age."""
    hold: HoldRow | None = None
    """The legal hold under which nothing of it is removed; null without one."""
    refused_acts: list[RefusedActRow] = []
    """The acts on it that the reader's roles refuse, with the reason; empty without rules."""


class PartitionRow(Response, frozen=True, kw_only=True):
    """A partition as a calendar shows it. `state` is the first that holds of `running`, `dropped`,
    `rejected`, `held`, `failed`, `withdrawn`, `stale`, `warned`, `unchecked`, `published`,
    `waiting`, `missing`. `rows` and what follows are of what readers see, null where that is
    nothing."""

    partition: str
    state: str
    seen: bool
    """Readers see something of it, whatever became of newer attempts."""
    stale: bool
    reason: str | None
    since: datetime
    failures: int
    rows: int | None
    bytes: int | None
    verdict: str | None
    published_at: datetime | None


class PartitionsResponse(Response, frozen=True, kw_only=True):
    """Partitions of one node, newest first; `next` is the cursor of older ones."""

    now: datetime
    node: str
    partitions: list[PartitionRow]
    next: str | None
    counted: list[CountedRow] = msgspec.field(default_factory=list)
    """On the first page: how many of all that were asked for, not of the page, are in
    each state."""


class FoundRow(Response, frozen=True, kw_only=True):
    """Something of a name like that. `kind` is `source`, `asset`, `consumer`, `column`, `owner`,
    `domain`, `tag`, `check`, `incident`, `run`, `backfill` or `person`; `name` is what it is opened
    by, `of` the node of a column or a check."""

    kind: str
    name: str
    of: str | None
    said: str


class SearchResponse(Response, frozen=True, kw_only=True):
    """What a search found, the best first."""

    query: str
    found: list[FoundRow]
    more: bool
    """There is more than is shown."""
    similar: bool = False
    """No name contains the words: these are similar ones."""


class SqlTableRow(Response, frozen=True, kw_only=True):
    """A table that a query may name. `kind` is `source`, `asset` or `state`; the columns are empty
    where nothing is known of them yet."""

    kind: str
    name: str
    columns: list[ColumnRow]


class SqlTablesResponse(Response, frozen=True, kw_only=True):
    """Tables that a query may name; `total` is the number of all that fit."""

    tables: list[SqlTableRow]
    total: int


class PossibleActRow(Response, frozen=True, kw_only=True):
    """An act that the reader's roles allow, and that fits the state of what it is about.

    `act` is `approve`, `backfill`, `cancel`, `pause`, `reject`, `repair`, `resume` or `run`; `kind`
    is `asset`, `source`, `incident`, `backfill`, `run` or `approval`.
    """

    act: str
    kind: str
    name: str
    detail: str


class PossibleActsResponse(Response, frozen=True, kw_only=True):
    """The acts that a text asks for, the best first."""

    query: str
    acts: list[PossibleActRow]
    more: bool
    """There are more than are listed."""


# The view of the graph.


class CardView(Response, frozen=True, kw_only=True):
    """One card. `kind` is `source`, `asset`, `consumer`, what a group shares (`domain`, `owner`,
    `folder`, `kind`), or `more`: nodes that aren't shown one by one."""

    id: str
    """Unique in the view: `asset:revenue`, `domain:sales`, `more:down:sales`."""
    kind: str
    name: str
    """What it is opened by: a node, a consumer, a domain or another group (empty: of none)."""
    state: str | None
    """Of sources and assets `fresh`, `behind`, `stale`, `never`; of consumers as in `status`; null
    for several. At a past time: of sources and assets the state of the last attempt (`running`,
    `published`, `held`, `rejected`, `failed`, `lost`, `cancelled`, `skipped`), `never` if nothing
    had been attempted, `unknown` if that isn't stored any more; of consumers `served` (even if at
    risk), `late`, `wrong`, `never`, `unknown`, or `not_due` if nothing was due yet."""
    states: list[CountedRow]
    """Of several: how many are in each."""
    worst: str = ""
    """The state; of several the worst of them."""
    count: int
    owner: str | None
    domain: str | None
    data_through: str | None
    quarantined: bool
    """At a past time: the last attempt was held or rejected."""
    paused: bool
    incident: str | None
    cause: bool
    """Whether an open incident has its cause here; false at a past time."""
    steps: int
    """From the root: negative above, positive below it."""
    hidden_above: int
    hidden_below: int
    """Neighbours that aren't in the view, not even rolled up."""
    matching: int | None = None
    """How many of its nodes match the filters; null without a filter."""


class EdgeView(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Between cards; `weight` is how many of the graph's edges it stands for."""

    from_: str
    to: str
    weight: int


class GraphView(Response, frozen=True, kw_only=True):
    """A view. `total` is how many nodes the whole graph has, `shown` how many stand in cards of
    their own.
    """

    now: datetime
    mode: str
    by: str | None
    """What an overview is grouped by: domain, owner, folder, kind; null if by nothing."""
    root: str | None
    hops: int | None
    total: int
    shown: int
    cards: list[CardView]
    edges: list[EdgeView]
    matching: int | None = None
    """How many nodes of the whole graph match the filters; null without a filter."""
    found: list[str] = msgspec.field(default_factory=list)
    """The first of those that match and stand in no card of their own."""
    at: datetime | None = None
    """The past time of which the view is; null: it is of now."""
    version: int | None = None
    """The version in force at that past time; null if nothing had been applied."""
    note: str | None = None
    """Why a view of a past time has no cards."""
