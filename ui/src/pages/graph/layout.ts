// Where cards go: elk's layered layout in one worker that lives as long as the page. A few dozen cards at most, so that it takes a moment.
import ELK, { type ElkNode } from "elkjs/lib/elk-api";
import workerUrl from "elkjs/lib/elk-worker.min.js?url";
import type { Schema } from "../../api/client";

export const CARD = { width: 208, height: 56 };
export type Placed = Map<string, { x: number; y: number }>;

const OPTIONS = {
  "elk.algorithm": "layered",
  "elk.direction": "RIGHT",
  "elk.spacing.nodeNode": "18",
  "elk.layered.spacing.nodeNodeBetweenLayers": "72",
  "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES", // the same cards stand in the same places again
};
let elk: InstanceType<typeof ELK> | undefined;

/** Each card's place, by its id. */
export async function layout(view: Schema["GraphView"]): Promise<Placed> {
  elk ??= new ELK({ workerFactory: () => new Worker(workerUrl) });
  const cards = view.cards.toSorted((a, b) => a.id.localeCompare(b.id));
  const graph: ElkNode = {
    id: "view",
    layoutOptions: OPTIONS,
    children: cards.map((card) => ({ id: card.id, ...CARD })),
    edges: view.edges.map((edge, index) => ({ id: `${index}`, sources: [edge.from], targets: [edge.to] })),
  };
  const done = await elk.layout(graph);
  return new Map((done.children ?? []).map((child) => [child.id, { x: child.x ?? 0, y: child.y ?? 0 }]));
}
