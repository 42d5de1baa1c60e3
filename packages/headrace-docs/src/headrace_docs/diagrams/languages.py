"""A flow in Mermaid and in PlantUML.

What ran is solid, with its rows; what didn't run is dashed; what is no longer declared is red.
Names may hold anything: they stand in quotes, with all that the language reads as its own escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from headrace_docs.responses.flow import FlowEdge, FlowNode, FlowResponse

_ESCAPED = re.compile(r"[^\w .,:@+()/-]", re.ASCII)
"""What isn't a plain character: each is written by its number."""
_BREAKS = re.compile(r"\s+")


def mermaid(flow: FlowResponse) -> str:
    """Return a flow as a flowchart of Mermaid (https://mermaid.js.org/syntax/flowchart.html)."""
    shapes = {"source": '[("{}")]', "consumer": '(["{}"])'}
    ids = _ids(flow)
    lines = [f"%% {line}" for line in _head(flow)] + ["flowchart LR"]
    for node in flow.nodes:
        text = "<br/>".join(_number_escaped(line, "#{};") for line in _label(node))
        shape = shapes.get(node.kind, '["{}"]').format(text)
        lines.append(f"  {ids[node.node]}{shape}:::{_style(node)}")
    for edge in flow.edges:
        arrow = f'-->|"{_volume(edge)}"|' if edge.ran else "-.->"
        lines.append(f"  {ids[edge.from_]} {arrow} {ids[edge.to]}")
    return "\n".join(
        [
            *lines,
            "  classDef ran stroke:#444",
            "  classDef idle stroke:#444,stroke-dasharray:4 3",
            "  classDef gone stroke:#a3201d,color:#a3201d",
            "",
        ]
    )


def plantuml(flow: FlowResponse) -> str:
    """Return a flow as a deployment diagram of PlantUML (https://plantuml.com)."""
    shapes = {"source": "database", "consumer": "actor", "asset": "rectangle"}
    styles = {"ran": "", "idle": " #line.dashed", "gone": " #line:red;text:red"}
    ids = _ids(flow)
    lines = ["@startuml", *(f"' {line}" for line in _head(flow)), "left to right direction"]
    for node in flow.nodes:
        text = "\\n".join(_number_escaped(line, "<U+{:04X}>") for line in _label(node))
        shape = shapes.get(node.kind, "rectangle")
        lines.append(f'{shape} "{text}" as {ids[node.node]}{styles[_style(node)]}')
    for edge in flow.edges:
        arrow = f"--> {ids[edge.to]} : {_volume(edge)}" if edge.ran else f"..> {ids[edge.to]}"
        lines.append(f"{ids[edge.from_]} {arrow}")
    return "\n".join([*lines, "@enduml", ""])


LEGEND = "Dashed: it didn't run. Red: it is no longer declared."
LANGUAGES: dict[str, Callable[[FlowResponse], str]] = {"mermaid": mermaid, "plantuml": plantuml}
"""Name of a format → what writes it."""


def _ids(flow: FlowResponse) -> dict[str, str]:
    return {node.node: f"n{at}" for at, node in enumerate(flow.nodes, 1)}


def _head(flow: FlowResponse) -> list[str]:
    times = f"from {flow.since:%Y-%m-%d %H:%M} to {flow.at:%Y-%m-%d %H:%M}"
    return [f"What ran {times}, for {_BREAKS.sub(' ', flow.reader)}.", LEGEND]


def _style(node: FlowNode) -> str:
    if node.kind == "gone":
        return "gone"
    return "ran" if node.published_at is not None or node.kind == "consumer" else "idle"


def _label(node: FlowNode) -> list[str]:
    lines = [_BREAKS.sub(" ", node.node)]
    if node.published_at is not None:
        rows = f"{node.rows:,} rows, " if node.rows else ""
        lines.append(f"{rows}newest {node.published_at:%Y-%m-%d %H:%M}")
    return lines


def _volume(edge: FlowEdge) -> str:
    return f"{edge.rows:,} rows"


def _number_escaped(text: str, form: str) -> str:
    return _ESCAPED.sub(lambda character: form.format(ord(character[0])), text)
