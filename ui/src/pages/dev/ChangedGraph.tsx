// The changed nodes and everything downstream of them, as a small graph and as a table.
import { useEffect, useRef, type CSSProperties } from "react";
import { Link } from "react-router";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Panel, Refusal } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { CARD, type Positions } from "../graph/layout";
import { useLayout } from "../graph/useLayout";
import {
  markOf,
  markText,
  readersOf,
  SIGNS,
  viewOf,
  type Changed,
  type ChangedNode,
} from "./changedGraph";
import "./changedGraph.css";

export function ChangedGraph() {
  const response = useResponse("/api/v1/plan/graph", {});
  if (response.error) return <Refusal problem={response.error} />;
  if (!response.data?.nodes.length) return null;
  const { nodes, more_changed: moreChanged, more_downstream: moreBelow } = response.data;
  const changed = nodes.filter((node) => markOf(node) !== "downstream").length;
  const below = nodes.length - changed + moreBelow;
  return (
    <Panel
      title="Graph"
      aside={`${changed + moreChanged} changed${below ? `, ${below} downstream` : ", nothing downstream"}`}
    >
      <Drawing graph={response.data} />
      {moreChanged + moreBelow > 0 && (
        <p className="body muted small">Not shown: {notShown(moreChanged, moreBelow)}.</p>
      )}
      <details className="body">
        <summary>As a table ({nodes.length})</summary>
        <Table
          label="Graph"
          columns={columnsOf(response.data)}
          rows={nodes}
          keyOf={(node) => node.name}
        />
      </details>
    </Panel>
  );
}

function notShown(changed: number, below: number): string {
  return [changed && `${changed} changed`, below && `${below} downstream`]
    .filter(Boolean)
    .join(", ");
}

/** Links for nodes, lines for edges; wider than the panel it scrolls. */
function Drawing({ graph }: { graph: Changed }) {
  const positions = useLayout(viewOf(graph));
  if (positions === "failed")
    return <p className="empty">The graph can’t be drawn. The table says the same.</p>;
  if (!positions)
    return (
      <p className="empty" role="status">
        Laying it out…
      </p>
    );
  return <Cards graph={graph} positions={positions} />;
}

export function Cards({ graph, positions }: { graph: Changed; positions: Positions }) {
  const ref = useRef<HTMLDivElement>(null);
  const nodes = graph.nodes;
  useEffect(() => {
    const first = firstChanged(nodes, positions);
    const box = ref.current;
    if (!first || !box) return;
    box.scrollLeft = first.x;
    box.scrollTop = first.y + CARD.height / 2 - box.clientHeight / 2;
    // eslint-disable-next-line react-hooks/exhaustive-deps -- who has scrolled stays there until cards move
  }, [positions]);
  const places = [...positions.values()];
  const width = Math.max(...places.map(({ x }) => x)) + CARD.width;
  const height = Math.max(...places.map(({ y }) => y)) + CARD.height;
  return (
    <div className="changed-graph" ref={ref} role="group" aria-label="Changed nodes" tabIndex={0}>
      <div className="plane" style={{ width, height }}>
        <svg width={width} height={height} aria-hidden="true">
          {graph.edges.map((edge) => (
            <path key={`${edge.from}>${edge.to}`} d={lineOf(edge, positions)} />
          ))}
        </svg>
        {graph.nodes.map((node) => {
          const { x = 0, y = 0 } = positions.get(node.name) ?? {};
          return <Card key={node.name} node={node} style={{ left: x, top: y, ...CARD }} />;
        })}
      </div>
    </div>
  );
}

/** The place of the changed node that is furthest upstream: what is opened at. */
function firstChanged(nodes: readonly ChangedNode[], positions: Positions) {
  return nodes
    .filter((node) => markOf(node) !== "downstream")
    .map((node) => positions.get(node.name))
    .filter((place) => place !== undefined)
    .toSorted((a, b) => a.x - b.x || a.y - b.y)[0];
}

function Card({ node, style }: { node: ChangedNode; style: CSSProperties }) {
  const mark = markOf(node);
  const content = (
    <>
      <span className="sign" aria-hidden="true">
        {SIGNS[mark]}
      </span>
      <span className="name">{node.name}</span>
      <span className="detail muted small">
        {[markText(node), node.kind !== "asset" && node.kind].filter(Boolean).join(" · ")}
      </span>
    </>
  );
  const props = { className: `card ${mark}`, style, title: `${node.name}, ${markText(node)}` };
  return node.applied ? (
    <Link {...props} to={addressOf(node.kind, node.name)}>
      {content}
    </Link>
  ) : (
    <span {...props}>{content}</span>
  );
}

function lineOf(edge: Changed["edges"][number], positions: Positions): string {
  const from = positions.get(edge.from);
  const to = positions.get(edge.to);
  if (!from || !to) return "";
  const [x1, y1] = [from.x + CARD.width, from.y + CARD.height / 2];
  const [x2, y2] = [to.x, to.y + CARD.height / 2];
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

function columnsOf(graph: Changed): readonly Column<ChangedNode>[] {
  return [
    {
      name: "Node",
      cell: (node) =>
        node.applied ? (
          <Link to={addressOf(node.kind, node.name)}>{node.name}</Link>
        ) : (
          <span className="mono">{node.name}</span>
        ),
    },
    { name: "Kind", cell: (node) => node.kind },
    { name: "Change", cell: markText },
    {
      name: "Read by",
      className: "why",
      cell: (node) => readersOf(graph, node.name).join(", "),
    },
  ];
}
