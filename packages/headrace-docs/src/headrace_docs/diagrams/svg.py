"""A flow as SVG that needs no script, for pages and for print."""

from __future__ import annotations

from headrace_docs.diagrams.layout import PlacedBox, PlacedLine, placed
from headrace_docs.diagrams.words import head
from headrace_docs.markup import Html, tag
from headrace_docs.responses.flow import FlowResponse

_ROOM, _LEGEND = 16, 22
_LOOK = """
text { font: 13px system-ui, sans-serif; fill: #1c2024; text-anchor: middle; }
text { unicode-bidi: plaintext; }
.name { font-weight: 600; } .legend { text-anchor: start; fill: #55606b; }
.box { fill: #f3f5f7; stroke: #444; } .source { stroke-width: 2.5; }
.line { fill: none; stroke: #444; } .halo { stroke: #fff; stroke-width: 6; paint-order: stroke; }
.idle { stroke-dasharray: 5 4; } .earlier { stroke: #999; }
.gone { stroke: #a3201d; } text.gone { stroke: none; fill: #a3201d; }
text.earlier { stroke: none; fill: #666; }
"""


def svg(flow: FlowResponse) -> str:
    """Return a flow as a picture, with what it shows as texts for those who don't see it."""
    drawing = placed(flow)
    width = max(drawing.width, 560) + 2 * _ROOM
    height = drawing.height + 2 * _ROOM + 2 * _LEGEND
    arrow = tag("path", d="M0 0L8 4L0 8z", fill="#444")
    legend = [
        tag("text", line, x=0, y=f"{drawing.height + _LEGEND * at + 28:g}", class_="legend")
        for at, line in enumerate(head(flow))
    ]
    picture = tag(
        "svg",
        tag("title", f"What ran around {flow.subject}"),
        tag("desc", " ".join(head(flow))),
        tag("style", Html(_LOOK)),
        tag(
            "defs",
            tag(
                "marker",
                arrow,
                id="arrow",
                viewBox="0 0 8 8",
                refX=8,
                refY=4,
                markerWidth=8,
                markerHeight=8,
                orient="auto",
            ),
        ),
        tag("rect", x=-_ROOM, y=-_ROOM, width=f"{width:g}", height=f"{height:g}", fill="#fff"),
        *(_line(line) for line in drawing.lines),
        *(_box(box) for box in drawing.boxes),
        *(_volume(line) for line in drawing.lines if line.at is not None),
        *legend,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"{-_ROOM} {-_ROOM} {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
    )
    return f"{picture}\n"


def _line(line: PlacedLine) -> Html:
    path = "L".join(f"{x:g} {y:g}" for x, y in line.points)
    style = "line" if line.ran else "line idle"
    return tag("path", d=f"M{path}", class_=style, marker_end="url(#arrow)")


def _volume(line: PlacedLine) -> Html:
    assert line.at is not None
    x, y = line.at
    return tag("text", line.text, x=f"{x:g}", y=f"{y + 4:g}", class_="halo")


def _box(box: PlacedBox) -> Html:
    middle = box.x + box.width / 2
    first = box.y + box.height / 2 - 9 * (len(box.lines) - 1) + 4.5
    return tag(
        "g",
        tag("title", box.name),
        tag(
            "rect",
            x=f"{box.x:g}",
            y=f"{box.y:g}",
            width=f"{box.width:g}",
            height=f"{box.height:g}",
            rx=f"{box.height / 2:g}" if box.kind == "consumer" else 4,
            class_=f"box {box.kind} {box.style}",
        ),
        *(
            tag(
                "text",
                line,
                x=f"{middle:g}",
                y=f"{first + 18 * at:g}",
                class_=f"{box.style} name" if at == 0 else box.style,
            )
            for at, line in enumerate(box.lines)
        ),
    )
