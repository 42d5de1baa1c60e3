"""The response of the graph of what a plan changes."""

from __future__ import annotations

from headrace.extension import Response
from headrace_ui.responses.catalog import EdgeView


class PlanGraphRow(Response, frozen=True, kw_only=True):
    """A source, an asset or a consumer that the files change, or that is downstream of one."""

    name: str
    kind: str
    changes: list[str]
    """Kinds of its changes, as in `ChangeRow`; none: the node is downstream of a changed one."""
    applied: bool
    """Whether the environment has it applied, so that there is a page of it."""


class PlanGraphResponse(Response, frozen=True, kw_only=True):
    """The changed nodes and the nodes downstream of them, the nearest first. `more_changed` and
    `more_downstream` further nodes aren't listed; `left_out`: nodes change that the caller's roles
    don't reach."""

    against: str | None
    """What the files are compared with; null where nothing is applied."""
    nodes: list[PlanGraphRow]
    edges: list[EdgeView]
    """Between the nodes, of the files and of what they are compared with."""
    more_changed: int = 0
    more_downstream: int = 0
    left_out: bool = False
