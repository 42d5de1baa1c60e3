"""What flowed in a window, as diagrams draw it and as the JSON of the command has it."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response


class FlowNode(Response, frozen=True, kw_only=True):
    """A source, an asset or a consumer, and what of it was published in the window.

    `kind` is `source`, `asset`, `consumer`, or `gone`: no longer declared, and it ran.
    """

    node: str
    kind: str
    domain: str | None
    partitions: int
    rows: int
    published_at: datetime | None
    """When the newest of them was published; null: it didn't run in the window."""
    ran_before: bool = False
    """Whether it was published before the window, and not in it."""


class FlowEdge(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A declared read. `ran`: its reader published, or for a consumer what it reads was."""

    from_: str
    to: str
    ran: bool
    rows: int
    """Published in the window by the node that is read."""


class FlowResponse(Response, frozen=True, kw_only=True):
    """`docs diagram`: the diagram as text, and what it is made of."""

    subject: str
    format: str
    at: datetime
    since: datetime
    reader: str
    nodes: list[FlowNode]
    edges: list[FlowEdge]
    diagram: str = ""
