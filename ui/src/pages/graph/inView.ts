// Where the window of the graph goes, so that given cards are in it.
import { CARD, type Positions } from "./layout";

/** Cards can be read from this zoom on. */
export const READABLE = 0.75;
/** Pixels between the window's border and what is brought into view. */
export const EDGE = 32;

type Pane = { width: number; height: number };
/** Where the graph's origin is in the window, in pixels. */
type Viewport = { x: number; y: number; zoom: number };
/** The point of the graph that is in the window's middle. */
type Centre = { x: number; y: number; zoom: number };

/** Shows all of these cards if they can be read together, else the first; null if they are in view. */
export function centreOf(
  ids: readonly string[],
  positions: Positions,
  pane: Pane,
  now: Viewport,
): Centre | null {
  const places = ids.flatMap((id) => positions.get(id) ?? []);
  const first = places[0];
  if (!first) return null;
  const zoom = Math.max(now.zoom, READABLE);
  const all = boxOf(places);
  const fitting = Math.min(
    (pane.width - 2 * EDGE) / all.width,
    (pane.height - 2 * EDGE) / all.height,
  );
  const together = fitting >= READABLE;
  const box = together ? all : boxOf([first]);
  if (now.zoom >= READABLE && isInside(box, pane, now)) return null;
  return {
    x: box.x + box.width / 2,
    y: box.y + box.height / 2,
    zoom: together ? Math.min(zoom, fitting) : zoom,
  };
}

type Box = { x: number; y: number; width: number; height: number };

function boxOf(places: readonly { x: number; y: number }[]): Box {
  const xs = places.map(({ x }) => x);
  const ys = places.map(({ y }) => y);
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return {
    ...{ x, y },
    width: Math.max(...xs) + CARD.width - x,
    height: Math.max(...ys) + CARD.height - y,
  };
}

function isInside(box: Box, pane: Pane, { x, y, zoom }: Viewport): boolean {
  const [left, top] = [box.x * zoom + x, box.y * zoom + y];
  return (
    left >= 0 &&
    top >= 0 &&
    left + box.width * zoom <= pane.width &&
    top + box.height * zoom <= pane.height
  );
}
