// The view as cards and lines. It opens at a size that can be read, at its subject; it never squeezes everything into the window.
import { Background, BackgroundVariant, Controls, Handle, Position, ReactFlow, useReactFlow, type Edge, type Node, type NodeProps } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useEffect, useMemo, useState } from "react";
import { useNavigate } from "react-router";
import type { Schema } from "../../api/client";
import { Shape, toneOf, wordOf } from "../../parts/State";
import { detailOf, isGroup, nameOf, opened, saidOf, stateOf, type Card } from "./card";
import type { Carried } from "./carried";
import { CARD, layout, type Placed } from "./layout";

const READABLE = 0.75;
const EDGE = 32;
/** `columns` are those that carry the one that is followed; null where none is. */
type CardNode = Node<{ card: Card; root: boolean; columns: readonly string[] | null }, "card">;

export function Canvas({ view, carried }: { view: Schema["GraphView"]; carried: Carried | null }) {
  const navigate = useNavigate();
  const placed = usePlaced(view);
  const nodes = useMemo<CardNode[]>(
    () => (placed ? view.cards.map((card) => node(card, placed, card.id === view.root, carried && (carried.get(card.name) ?? []))) : []),
    [view, placed, carried],
  );
  const edges = useMemo<Edge[]>(() => view.edges.map(edge), [view]);
  if (!placed) return <p className="empty" role="status">Laying it out…</p>;
  return (
    <ReactFlow
      nodes={nodes} edges={edges} nodeTypes={TYPES} nodesDraggable={false} nodesConnectable={false} edgesFocusable={false} onlyRenderVisibleElements={false}
      minZoom={0.2} maxZoom={1.6} onNodeClick={(_, one) => void navigate(opened(one.data.card))} ariaLabelConfig={{ "node.a11yDescription.default": "Enter opens it" }}
    >
      <Background variant={BackgroundVariant.Dots} gap={24} size={1} color="var(--line)" />
      <Controls showInteractive={false} fitViewOptions={{ maxZoom: 1 }} />
      <Opening view={view} placed={placed} />
    </ReactFlow>
  );
}

/** Where the cards go; the last view's places stay until the next one's are known. */
function usePlaced(view: Schema["GraphView"]): Placed | null {
  const [placed, setPlaced] = useState<{ cards: string; at: Placed } | null>(null);
  const cards = view.cards.map((card) => card.id).join("\n") + view.edges.map((one) => `${one.from}>${one.to}`).join("\n");
  useEffect(() => {
    let wanted = true;
    void layout(view).then((at) => wanted && setPlaced({ cards, at }));
    return () => {
      wanted = false;
    };
    // The cards' names are what the layout is made of: a change of state moves nothing.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [cards]);
  return placed?.cards === cards ? placed.at : null;
}

/** Moves the window: all of a small view, of a larger one its subject. */
function Opening({ view, placed }: { view: Schema["GraphView"]; placed: Placed }) {
  const flow = useReactFlow();
  useEffect(() => {
    const begin = view.root ? placed.get(view.root) : [...placed.values()].toSorted((a, b) => a.x - b.x || a.y - b.y)[0];
    void flow.fitView({ minZoom: READABLE, maxZoom: 1, padding: 0.06 }).then(() => {
      const { zoom } = flow.getViewport();
      const all = flow.getNodesBounds([...placed.keys()]);
      const shown = document.querySelector(".react-flow")?.getBoundingClientRect();
      if (!begin || !shown || (all.width * zoom <= shown.width && all.height * zoom <= shown.height)) return;
      const x = view.mode === "focus" ? begin.x + CARD.width / 2 : begin.x + shown.width / zoom / 2 - EDGE; // what is below a node is to the right of it
      void flow.setCenter(x, begin.y + CARD.height / 2, { zoom });
    });
  }, [placed]);
  return null;
}

function node(card: Card, placed: Placed, root: boolean, columns: readonly string[] | null): CardNode {
  const position = placed.get(card.id) ?? { x: 0, y: 0 };
  return { id: card.id, type: "card", position, width: CARD.width, height: CARD.height, data: { card, root, columns }, ariaRole: "link" };
}

function edge(one: Schema["EdgeView"]): Edge {
  return { id: `${one.from}>${one.to}`, source: one.from, target: one.to, style: { strokeWidth: Math.min(1 + Math.log2(one.weight), 4), stroke: "var(--line-strong)" } };
}

function CardPart({ data: { card, root, columns } }: NodeProps<CardNode>) {
  const state = stateOf(card);
  return (
    <div className={`card tone-${toneOf(state)}${root ? " root" : ""}${isGroup(card) ? " group" : ""}${columns?.length === 0 ? " aside" : ""}`} title={saidOf(card)}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <span className="shape"><Shape of={toneOf(state)} state={state} size={16} /></span>
      <span className="name">{nameOf(card)}<span className="visually-hidden">, {wordOf(state)}, </span></span>
      <span className="detail">{columns?.length ? columns.join(", ") : detailOf(card)}</span>
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
}

const TYPES = { card: CardPart };
