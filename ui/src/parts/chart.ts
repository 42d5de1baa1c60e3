// Where the points of a chart lie, in the units of its viewBox.

export const WIDTH = 640;
export const HEIGHT = 130;
export const EDGE = 10;

type Vertex = { index: number; x: number; y: number };
export type Chart = {
  least: number;
  most: number;
  x: (index: number) => number;
  y: (value: number) => number;
  /** The points that a line connects: it isn't drawn over a point without a value. */
  segments: readonly (readonly Vertex[])[];
};

/** The chart of some values, the first at the left; zero and the expected value are always in it. */
export function chartOf(values: readonly (number | null)[], expected: number | undefined): Chart {
  const drawn = [0, expected ?? 0, ...values.map((value) => value ?? 0)];
  const least = Math.min(...drawn);
  const most = Math.max(...drawn);
  const width = WIDTH - 2 * EDGE;
  const height = HEIGHT - 2 * EDGE;
  const x = (index: number) =>
    EDGE + (values.length > 1 ? (index / (values.length - 1)) * width : width / 2);
  const y = (value: number) =>
    HEIGHT - EDGE - (most > least ? ((value - least) / (most - least)) * height : 0);

  const segments: Vertex[][] = [];
  let segment: Vertex[] = [];
  for (const [index, value] of values.entries()) {
    if (value === null) {
      segment = [];
      continue;
    }
    if (!segment.length) segments.push(segment);
    segment.push({ index, x: x(index), y: y(value) });
  }
  return { least, most, x, y, segments };
}
