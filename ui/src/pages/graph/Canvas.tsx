// The view as cards and lines. It opens with all of it in the window where at least the names can be read, else at its subject.
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
import { useMemo, useState } from "react";
import type { Schema } from "../../api/client";
import { BreakableName } from "../../parts/BreakableName";
import { Shape, toneOf, labelOf } from "../../parts/State";
import { descriptionOf, detailOf, isGroup, nameOf, stateOf, type Card } from "./card";
import type { ColumnLineage } from "./columnLineage";
import { Download } from "./Download";
import { CARD, isDense, NARROW, neighbour, type Positions } from "./layout";
import { useLayout } from "./useLayout";
import { Distance, useBringIntoView, Viewport } from "./Viewport";

/** A view with more cards than this has a small map of all of it. */
const MAPPED = 12;
/** `columns` are those that carry the one that is followed; null where none is. */
type CardNode = Node<
  { card: Card; root: boolean; columns: readonly string[] | null; down: boolean },
  "card"
>;

export function Canvas({
  view,
  lineage,
  open,
  search,
}: {
  view: Schema["GraphView"];
  lineage: ColumnLineage | null;
  /** Opens a card that was clicked, or entered by keys. */
  open: (card: Card) => void;
  /** The search whose matches the view has; empty without one. */
  search: string;
}) {
  const [down] = useState(() => window.innerWidth <= NARROW);
  const positions = useLayout(view, down ? "DOWN" : "RIGHT");
  const bringIntoView = useBringIntoView(positions);
  const nodes = useMemo<CardNode[]>(
    () =>
      positions instanceof Map
        ? view.cards.map((card) =>
            node(
              card,
              positions,
              card.id === view.root,
              lineage && (lineage.get(card.name) ?? []),
              down,
            ),
          )
        : [],
    [view, positions, lineage, down],
  );
  const edges = useMemo<Edge[]>(() => {
    const faint = isDense(view);
    return view.edges.map((row) => edge(row, faint));
  }, [view]);
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
      onNodeClick={(_, clicked) => open(clicked.data.card)}
      onKeyDown={(event) => {
        const here = focusedCard();
        const card = view.cards.find((other) => other.id === here);
        if (event.key === "Enter" && card) open(card);
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
      <Distance />
      <Viewport view={view} positions={positions} search={search} />
      <Panel position={down ? "bottom-right" : "top-right"}>
        <Download view={view} />
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
  down: boolean,
): CardNode {
  const { width, height, ...position } = positions.get(card.id) ?? { x: 0, y: 0, ...CARD };
  return {
    id: card.id,
    type: "card",
    position,
    width,
    height,
    data: { card, root, columns, down },
    ariaRole: isGroup(card) ? "link" : "button",
  };
}

function edge(row: Schema["EdgeView"], faint: boolean): Edge {
  return {
    id: `${row.from}>${row.to}`,
    source: row.from,
    target: row.to,
    ariaLabel: `From ${plainName(row.from)} to ${plainName(row.to)}`,
    style: {
      strokeWidth: faint ? 1 : Math.min(1 + Math.log2(row.weight), 4),
      stroke: "var(--line-strong)",
      opacity: faint ? 0.35 : 1,
    },
  };
}

/** A node's name without its kind: revenue of asset:revenue. */
const plainName = (id: string) => id.slice(id.indexOf(":") + 1);

function CardPart({ data: { card, root, columns, down } }: NodeProps<CardNode>) {
  const state = stateOf(card);
  const detail = columns?.length ? columns.join(", ") : detailOf(card);
  return (
    <div
      className={`card kind-${card.kind} tone-${toneOf(state)}${card.cause ? " cause" : ""}${root ? " root" : ""}${isGroup(card) ? " group" : ""}${columns?.length === 0 || card.matching === 0 ? " aside" : ""}`}
      title={descriptionOf(card)}
    >
      <Handle type="target" position={down ? Position.Top : Position.Left} isConnectable={false} />
      <span className="shape">
        <Shape of={toneOf(state)} state={state} size={16} />
      </span>
      <span className="name">
        <BreakableName of={nameOf(card)} />
        <span className="visually-hidden">{`, ${labelOf(state)}${detail && ", "}`}</span>
      </span>
      <span className="detail">{detail}</span>
      <Handle
        type="source"
        position={down ? Position.Bottom : Position.Right}
        isConnectable={false}
      />
    </div>
  );
}

const TYPES = { card: CardPart };
