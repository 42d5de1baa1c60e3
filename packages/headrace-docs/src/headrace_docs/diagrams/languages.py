"""The formats of diagrams: Mermaid, PlantUML and Structurizr's DSL here, others in their files.

What ran is solid, with its rows; what never ran is dashed, what ran before the window is grey, and
what is no longer declared is red.
Names may hold anything: they stand in quotes, with all that the language reads as its own escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from headrace_docs.diagrams.drawio import drawio
from headrace_docs.diagrams.svg import svg
from headrace_docs.diagrams.words import head, label, one_line, style, volume
from headrace_docs.responses.flow import FlowNode, FlowResponse

_ESCAPED = re.compile(r"[^\w .,:@+()/-]", re.ASCII)
"""What isn't a plain character: each is written by its number."""


def mermaid(flow: FlowResponse) -> str:
    """Return a flow as a flowchart of Mermaid (https://mermaid.js.org/syntax/flowchart.html)."""
    shapes = {"source": '[("{}")]', "consumer": '(["{}"])'}
    ids = _ids(flow)
    lines = [f"%% {line}" for line in head(flow)] + ["flowchart LR"]
    for node in flow.nodes:
        text = "<br/>".join(_number_escaped(line, "#{};") for line in label(node))
        shape = shapes.get(node.kind, '["{}"]').format(text)
        lines.append(f"  {ids[node.node]}{shape}:::{style(node)}")
    for edge in flow.edges:
        arrow = f'-->|"{volume(edge)}"|' if edge.ran else "-.->"
        lines.append(f"  {ids[edge.from_]} {arrow} {ids[edge.to]}")
    return "\n".join(
        [
            *lines,
            "  classDef ran stroke:#444",
            "  classDef earlier stroke:#999,color:#666",
            "  classDef idle stroke:#444,stroke-dasharray:4 3",
            "  classDef gone stroke:#a3201d,color:#a3201d",
            "",
        ]
    )


def plantuml(flow: FlowResponse) -> str:
    """Return a flow as a deployment diagram of PlantUML (https://plantuml.com)."""
    shapes = {"source": "database", "consumer": "actor", "asset": "rectangle"}
    styles = {
        "ran": "",
        "earlier": " #line:gray;text:gray",
        "idle": " #line.dashed",
        "gone": " #line:red;text:red",
    }
    ids = _ids(flow)
    lines = ["@startuml", *(f"' {line}" for line in head(flow)), "left to right direction"]
    for node in flow.nodes:
        text = "\\n".join(_number_escaped(line, "<U+{:04X}>") for line in label(node))
        shape = shapes.get(node.kind, "rectangle")
        lines.append(f'{shape} "{text}" as {ids[node.node]}{styles[style(node)]}')
    for edge in flow.edges:
        arrow = f"--> {ids[edge.to]} : {volume(edge)}" if edge.ran else f"..> {ids[edge.to]}"
        lines.append(f"{ids[edge.from_]} {arrow}")
    return "\n".join([*lines, "@enduml", ""])


def structurizr(flow: FlowResponse) -> str:
    """Return a flow in Structurizr's DSL, as containers of C4 (https://docs.structurizr.com/dsl).

    Views of the system's context and of its containers are laid out by Structurizr itself.
    """
    ids = _ids(flow)
    lines = [*(f"# {line}" for line in head(flow)), "workspace {", "  model {"]
    readers = [node for node in flow.nodes if node.kind == "consumer"]
    lines += [f'    {ids[each.node]} = person "{_plain(each)}" "" "ran"' for each in readers]
    lines += [
        '    project = softwareSystem "data pipeline" {',
        *(
            f'      {ids[each.node]} = container "{_plain(each)}" "" "{each.kind}" "{style(each)}"'
            for each in flow.nodes
            if each.kind != "consumer"
        ),
        "    }",
    ]
    for edge in flow.edges:
        text = volume(edge) if edge.ran else "didn't run"
        look = "ran" if edge.ran else "idle"
        lines.append(f'    {ids[edge.from_]} -> {ids[edge.to]} "{text}" "" "{look}"')
    lines += ["  }", "  views {"]
    for view in ("systemContext project context", "container project containers"):
        lines += [f"    {view} {{", "      include *", "      autoLayout lr", "    }"]
    lines.append("    styles {")
    for tag, look in (
        ("idle", "border dashed"),
        ("earlier", "opacity 60"),
        ("gone", "stroke #a3201d"),
    ):
        lines.append(f'      element "{tag}" {{ {look} }}')
    lines.append('      relationship "idle" { dashed true }')
    return "\n".join([*lines, "    }", "  }", "}", ""])


def _plain(node: FlowNode) -> str:
    """Return a name in one line without what ends a text of Structurizr."""
    return one_line(node.node).replace("\\", "/").replace('"', "'")


LANGUAGES: dict[str, Callable[[FlowResponse], str]] = {
    "drawio": drawio,
    "mermaid": mermaid,
    "plantuml": plantuml,
    "structurizr": structurizr,
    "svg": svg,
}
"""Name of a format → what writes it."""


def _ids(flow: FlowResponse) -> dict[str, str]:
    return {node.node: f"n{at}" for at, node in enumerate(flow.nodes, 1)}


def _number_escaped(text: str, form: str) -> str:
    return _ESCAPED.sub(lambda character: form.format(ord(character[0])), text)
