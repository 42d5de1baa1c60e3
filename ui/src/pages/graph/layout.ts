// Where cards go: elk's layered layout in one worker that lives as long as the page. A few dozen cards at most, so that it takes a moment.
import ELK, { type ElkNode } from "elkjs/lib/elk-api";
import workerUrl from "elkjs/lib/elk-worker.min.js?url";
import type { Schema } from "../../api/client";

/** In a window of at most this many pixels the graph runs downwards, as in graph.css. */
export const NARROW = 900;
export const CARD = { width: 208, height: 56 };
export type Direction = "RIGHT" | "DOWN";
const SIZES: Record<Direction, typeof CARD> = { RIGHT: CARD, DOWN: { width: 136, height: 76 } };
/** What the layout depends on; a view has more. */
export type View = {
  cards: readonly Pick<Schema["CardView"], "id">[];
  edges: readonly Pick<Schema["EdgeView"], "from" | "to">[];
};
export type Place = { x: number; y: number; width: number; height: number };
export type Positions = Map<string, Place>;

const SPACING = { RIGHT: { "elk.spacing.nodeNode": "18" }, DOWN: { "elk.spacing.nodeNode": "8" } };
const OPTIONS = {
  "elk.algorithm": "layered",
  "elk.layered.spacing.nodeNodeBetweenLayers": "48",
  "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES", // the same cards stand in the same places again
  // Groups can read each other in a circle. Which edge then runs backwards is chosen by the cards' order: by chance, as by default, one edge
  // crosses a long view, and the layout takes three times as long.
  "elk.layered.cycleBreaking.strategy": "GREEDY_MODEL_ORDER",
};
/** Where nearly everything reads everything, as groups may, layers are one long row of cards: rows of cards show more. */
const DENSE = 3;
const IN_ROWS = { "elk.algorithm": "box", "elk.aspectRatio": "4", "elk.spacing.nodeNode": "24" };
let worker: Engine | undefined;

/** What lays out: elk, in a worker or in this thread. */
export type Engine = Pick<InstanceType<typeof ELK>, "layout">;

export const isDense = ({ cards, edges }: View): boolean => edges.length > DENSE * cards.length;

/** Each card's place, by its id. The same cards get the same places, in whatever order they come. */
export async function layout(
  view: View,
  engine = workerEngine(),
  direction: Direction = "RIGHT",
): Promise<Positions> {
  const cards = view.cards.toSorted((a, b) => a.id.localeCompare(b.id));
  const graph: ElkNode = {
    id: "view",
    layoutOptions: {
      ...OPTIONS,
      ...SPACING[direction],
      ...(isDense(view) && IN_ROWS),
      "elk.direction": direction,
    },
    children: cards.map((card) => ({ id: card.id, ...SIZES[direction] })),
    edges: view.edges.map((edge, index) => ({
      id: `${index}`,
      sources: [edge.from],
      targets: [edge.to],
    })),
  };
  const result = await engine.layout(graph);
  return new Map(
    (result.children ?? []).map(({ id, x = 0, y = 0 }) => [id, { x, y, ...SIZES[direction] }]),
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

function inColumn(at: Place, other: Place | undefined, key: "ArrowDown" | "ArrowUp"): boolean {
  if (!other || Math.abs(other.x - at.x) > at.width / 2) return false;
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
