"""The response of a view of the graph."""

from __future__ import annotations

from datetime import datetime

from headrace.operations.catalog.responses import CountedRow
from headrace.operations.responses import Response


class CardView(Response, frozen=True, kw_only=True):
    """One card. `kind` is `source`, `asset`, `consumer`, `domain`, or `more`: nodes of a domain that aren't shown one by one."""

    id: str
    """Unique in the view: `asset:revenue`, `domain:sales`, `more:down:sales`."""
    kind: str
    name: str
    """What it is opened by: a node, a consumer, a domain (empty: of none)."""
    state: str | None
    """Of sources and assets `fresh`, `behind`, `stale`, `never`; of consumers as in `status`; null for several."""
    states: list[CountedRow]
    """Of several: how many are in each."""
    worst: str = ""
    """The state; of several the worst of them."""
    count: int
    owner: str | None
    domain: str | None
    data_through: str | None
    quarantined: bool
    paused: bool
    incident: str | None
    steps: int
    """From the root: negative above, positive below it."""
    hidden_above: int
    hidden_below: int
    """Neighbours that aren't in the view, not even rolled up."""


class EdgeView(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Between cards; `weight` is how many of the graph's edges it stands for."""

    from_: str
    to: str
    weight: int


class GraphView(Response, frozen=True, kw_only=True):
    """A view. `total` is how many nodes the whole graph has, `shown` how many stand in cards of their own."""

    now: datetime
    mode: str
    root: str | None
    hops: int | None
    total: int
    shown: int
    cards: list[CardView]
    edges: list[EdgeView]
