"""What all diagrams of a flow say: their head, and the words and styles of nodes and edges."""

from __future__ import annotations

import re

from headrace_docs.responses.flow import FlowEdge, FlowNode, FlowResponse

_BREAKS = re.compile(r"\s+")
LEGEND = "Dashed: it never ran. Grey: it ran before. Red: it is no longer declared."


def head(flow: FlowResponse) -> list[str]:
    """Return the lines about a whole diagram."""
    times = f"from {flow.since:%Y-%m-%d %H:%M} to {flow.at:%Y-%m-%d %H:%M}"
    return [f"What ran {times}, for {one_line(flow.reader)}.", LEGEND]


def style(node: FlowNode) -> str:
    """Return `ran`, `earlier` (than the window), `idle` (it never ran) or `gone`."""
    if node.kind == "gone":
        return "gone"
    if node.published_at is not None or node.kind == "consumer":
        return "ran"
    return "earlier" if node.ran_before else "idle"


def label(node: FlowNode) -> list[str]:
    """Return the name of a node, and what of it ran, a line each."""
    lines = [one_line(node.node)]
    if node.published_at is not None:
        rows = f"{node.rows:,} rows, " if node.rows else ""
        lines.append(f"{rows}newest {node.published_at:%Y-%m-%d %H:%M}")
    return lines


def volume(edge: FlowEdge) -> str:
    """Return how much flowed; views and files have no rows that are counted."""
    return f"{edge.rows:,} rows" if edge.rows else "ran"


def one_line(text: str) -> str:
    """Return a text without breaks of lines."""
    return _BREAKS.sub(" ", text)
