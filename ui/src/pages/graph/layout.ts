// Where cards go: elk's layered layout in one worker that lives as long as the page. A few dozen cards at most, so that it takes a moment.
import ELK, { type ElkNode } from "elkjs/lib/elk-api";
import workerUrl from "elkjs/lib/elk-worker.min.js?url";
import type { Schema } from "../../api/client";

export const CARD = { width: 208, height: 56 };
/** What the layout depends on; a view has more. */
export type View = {
  cards: readonly Pick<Schema["CardView"], "id">[];
  edges: readonly Pick<Schema["EdgeView"], "from" | "to">[];
};
export type Positions = Map<string, { x: number; y: number }>;

const OPTIONS = {
  "elk.algorithm": "layered",
  "elk.direction": "RIGHT",
  "elk.spacing.nodeNode": "18",
  "elk.layered.spacing.nodeNodeBetweenLayers": "72",
  "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES", // the same cards stand in the same places again
  // Groups can read each other in a circle. Which edge then runs backwards is chosen by the cards' order: by chance, as by default, one edge
  // crosses a long view, and the layout takes three times as long.
  "elk.layered.cycleBreaking.strategy": "GREEDY_MODEL_ORDER",
};
let worker: Engine | undefined;

/** What lays out: elk, in a worker or in this thread. */
export type Engine = Pick<InstanceType<typeof ELK>, "layout">;

/** Each card's place, by its id. The same cards get the same places, in whatever order they come. */
export async function layout(view: View, engine = workerEngine()): Promise<Positions> {
  const cards = view.cards.toSorted((a, b) => a.id.localeCompare(b.id));
  const graph: ElkNode = {
    id: "view",
    layoutOptions: OPTIONS,
    children: cards.map((card) => ({ id: card.id, ...CARD })),
    edges: view.edges.map((edge, index) => ({
      id: `${index}`,
      sources: [edge.from],
      targets: [edge.to],
    })),
  };
  const result = await engine.layout(graph);
  return new Map(
    (result.children ?? []).map((child) => [child.id, { x: child.x ?? 0, y: child.y ?? 0 }]),
  );
}

/** The card that an arrow key leads to: left and right follow an edge, up and down stay in the column. */
export function neighbour(
  key: string,
  here: string,
  edges: View["edges"],
  positions: Positions,
): string | null {
  const at = positions.get(here);
  if (!at) return null;
  const others =
    key === "ArrowRight"
      ? edges.filter((edge) => edge.from === here).map((edge) => edge.to)
      : key === "ArrowLeft"
        ? edges.filter((edge) => edge.to === here).map((edge) => edge.from)
        : key === "ArrowDown" || key === "ArrowUp"
          ? [...positions.keys()].filter((id) => inColumn(at, positions.get(id), key))
          : [];
  const distance = (id: string) => Math.abs((positions.get(id)?.y ?? Infinity) - at.y);
  return others.toSorted((a, b) => distance(a) - distance(b))[0] ?? null;
}

function inColumn(
  at: { x: number; y: number },
  other: { x: number; y: number } | undefined,
  key: "ArrowDown" | "ArrowUp",
): boolean {
  if (!other || Math.abs(other.x - at.x) > CARD.width / 2) return false;
  return key === "ArrowDown" ? other.y > at.y : other.y < at.y;
}

/** Start the worker before there is a view: that takes longer than the layout of most views. */
export function prepareLayout(): void {
  workerEngine();
}

function workerEngine(): Engine {
  worker ??= new ELK({ workerFactory: () => new Worker(workerUrl) });
  return worker;
}
