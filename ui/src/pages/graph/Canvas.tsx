// The view as cards and lines. It opens at a size that can be read, at its subject; it never squeezes everything into the window.
import {
  Background,
  BackgroundVariant,
  Controls,
  Handle,
  MiniMap,
  Panel,
  Position,
  ReactFlow,
  type Edge,
  type Node,
  type NodeProps,
} from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useMemo } from "react";
import { useNavigate } from "react-router";
import type { Schema } from "../../api/client";
import { Shape, toneOf, labelOf } from "../../parts/State";
import {
  descriptionOf,
  detailOf,
  isGroup,
  nameOf,
  stateOf,
  targetOf,
  type Card,
  type Address,
} from "./card";
import type { ColumnLineage } from "./columnLineage";
import { Download } from "./Download";
import { CARD, neighbour, type Positions } from "./layout";
import { useLayout } from "./useLayout";
import { useBringIntoView, Viewport } from "./Viewport";

/** A view with more cards than this has a small map of all of it. */
const MAPPED = 12;
/** `columns` are those that carry the one that is followed; null where none is. */
type CardNode = Node<{ card: Card; root: boolean; columns: readonly string[] | null }, "card">;

export function Canvas({
  view,
  lineage,
  address,
  search,
}: {
  view: Schema["GraphView"];
  lineage: ColumnLineage | null;
  address: Address;
  /** The search whose matches the view has; empty without one. */
  search: string;
}) {
  const navigate = useNavigate();
  const positions = useLayout(view);
  const bringIntoView = useBringIntoView(positions);
  const nodes = useMemo<CardNode[]>(
    () =>
      positions instanceof Map
        ? view.cards.map((card) =>
            node(card, positions, card.id === view.root, lineage && (lineage.get(card.name) ?? [])),
          )
        : [],
    [view, positions, lineage],
  );
  const edges = useMemo<Edge[]>(() => view.edges.map(edge), [view]);
  if (positions === "failed")
    return <p className="empty">The graph can’t be drawn. The list beside it says the same.</p>;
  if (!positions)
    return (
      <p className="empty" role="status">
        Laying it out…
      </p>
    );
  return (
    <ReactFlow
      nodes={nodes}
      edges={edges}
      nodeTypes={TYPES}
      nodesDraggable={false}
      nodesConnectable={false}
      edgesFocusable={false}
      onlyRenderVisibleElements={false}
      minZoom={0.2}
      maxZoom={1.6}
      autoPanOnNodeFocus={false}
      onFocus={({ target }) => {
        // The card under a pointer stays there: else it would be gone before the button is let go.
        const here = target.matches(":active") ? undefined : focusedCard();
        if (here) bringIntoView([here], false);
      }}
      onNodeClick={(_, clicked) => void navigate(targetOf(clicked.data.card, address))}
      onKeyDown={(event) => {
        const here = focusedCard();
        const card = view.cards.find((other) => other.id === here);
        if (event.key === "Enter" && card) void navigate(targetOf(card, address));
        else if (here && walk(event.key, here, view, positions)) event.preventDefault();
      }}
      aria-label="Nodes and edges"
      ariaLabelConfig={{
        "node.a11yDescription.default": "Enter opens it; arrow keys follow the edges",
      }}
    >
      <Background variant={BackgroundVariant.Dots} gap={24} size={1} color="var(--line)" />
      <Controls showInteractive={false} fitViewOptions={{ maxZoom: 1 }} />
      {view.cards.length > MAPPED && (
        <MiniMap pannable zoomable ariaLabel="Map of the graph" nodeColor="var(--line-strong)" />
      )}
      <Viewport view={view} positions={positions} search={search} />
      <Panel position="top-right">
        <Download view={view} positions={positions} />
      </Panel>
    </ReactFlow>
  );
}

function focusedCard(): string | undefined {
  return document.activeElement?.closest<HTMLElement>(".react-flow__node")?.dataset.id;
}

/** Moves the focus along an edge, or to the card above or below. Says whether there was one. */
function walk(key: string, here: string, view: Schema["GraphView"], positions: Positions): boolean {
  const next = neighbour(key, here, view.edges, positions);
  if (!next) return false;
  document.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(next)}"]`)?.focus();
  return true;
}

function node(
  card: Card,
  positions: Positions,
  root: boolean,
  columns: readonly string[] | null,
): CardNode {
  const position = positions.get(card.id) ?? { x: 0, y: 0 };
  return {
    id: card.id,
    type: "card",
    position,
    width: CARD.width,
    height: CARD.height,
    data: { card, root, columns },
    ariaRole: "link",
  };
}

function edge(row: Schema["EdgeView"]): Edge {
  return {
    id: `${row.from}>${row.to}`,
    source: row.from,
    target: row.to,
    ariaLabel: `From ${plainName(row.from)} to ${plainName(row.to)}`,
    style: { strokeWidth: Math.min(1 + Math.log2(row.weight), 4), stroke: "var(--line-strong)" },
  };
}

/** A node's name without its kind: revenue of asset:revenue. */
const plainName = (id: string) => id.slice(id.indexOf(":") + 1);

function CardPart({ data: { card, root, columns } }: NodeProps<CardNode>) {
  const state = stateOf(card);
  const detail = columns?.length ? columns.join(", ") : detailOf(card);
  return (
    <div
      className={`card tone-${toneOf(state)}${root ? " root" : ""}${isGroup(card) ? " group" : ""}${columns?.length === 0 || card.matching === 0 ? " aside" : ""}`}
      title={descriptionOf(card)}
    >
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <span className="shape">
        <Shape of={toneOf(state)} state={state} size={16} />
      </span>
      <span className="name">
        {nameOf(card)}
        <span className="visually-hidden">{`, ${labelOf(state)}${detail && ", "}`}</span>
      </span>
      <span className="detail">{detail}</span>
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
}

const TYPES = { card: CardPart };
