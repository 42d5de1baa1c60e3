// Where the window of the graph goes, so that given cards are in it.
import type { Place, Positions } from "./layout";

/** Cards can be read from this zoom on. */
export const READABLE = 0.75;
/** Names alone can be read from this zoom on: they are written larger then. */
export const NAMED = 0.35;
/** Pixels between the window's border and what is brought into view. */
export const EDGE = 32;
/** And around all of a view. */
const MARGIN = 8;

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

/** The least zoom of a view as it opens: all of it where at least its names can be read. */
export function leastZoom(positions: Positions, pane: Pane): number {
  const all = boxOf([...positions.values()]);
  const fitting = Math.min(
    (pane.width - 2 * MARGIN) / all.width,
    (pane.height - 2 * MARGIN) / all.height,
  );
  return fitting >= NAMED ? NAMED : READABLE;
}

function boxOf(places: readonly Place[]): Place {
  const x = Math.min(...places.map((place) => place.x));
  const y = Math.min(...places.map((place) => place.y));
  return {
    ...{ x, y },
    width: Math.max(...places.map((place) => place.x + place.width)) - x,
    height: Math.max(...places.map((place) => place.y + place.height)) - y,
  };
}

function isInside(box: Place, pane: Pane, { x, y, zoom }: Viewport): boolean {
  const [left, top] = [box.x * zoom + x, box.y * zoom + y];
  return (
    left >= 0 &&
    top >= 0 &&
    left + box.width * zoom <= pane.width &&
    top + box.height * zoom <= pane.height
  );
}
