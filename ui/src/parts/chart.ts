// Where the points of a chart lie, in pixels: an axis of partitions across, an axis of values up.
import { scaleLinear, scalePoint } from "d3-scale";

const RIGHT = 16;
const TOP = 18;
const BOTTOM = 24;
/** The pixels that the name of a partition needs; the first and the last aren't centred. */
const NAME_WIDTH = 124;
/** Those of a date with a time of day. */
export const TIME_WIDTH = 190;
/** The most pixels that a letter of a tick's label needs. */
const LETTER_WIDTH = 7;
const GAP = 14;
const TICKS = 4;

/** A value of a partition, and between what it is usual. */
export type Plotted = {
  value: number | null;
  low?: number | null | undefined;
  high?: number | null | undefined;
};
type Vertex = { index: number; x: number; y: number };
export type Frame = {
  /** Where the axis of values is: its labels are left of it. */
  left: number;
  /** Where the axis of points is. */
  bottom: number;
  x: (index: number) => number;
  y: (value: number) => number;
  /** The values at which the axis has a line, with their labels. */
  ticks: readonly { value: number; label: string }[];
  /** The indexes of the points whose names are on the axis. */
  named: readonly number[];
  /** The nearest point to a place across. */
  nearest: (x: number) => number;
};
export type Chart = Frame & {
  /** The points that a line connects: it isn't drawn over a point without a value. */
  segments: readonly (readonly Vertex[])[];
  /** The outlines of what is usual, as points of polygons. */
  bands: readonly string[];
};

type Shape = {
  points: readonly Plotted[];
  expected?: number | undefined;
  width: number;
  height: number;
  format: (value: number) => string;
  /** What is round in these values: 3,600 for seconds that are hours. */
  unitOf?: ((most: number) => number) | undefined;
  /** The pixels that the name of a point needs. */
  nameWidth?: number | undefined;
};

type FrameShape = Omit<Shape, "points" | "expected"> & {
  count: number;
  least: number;
  most: number;
  /** The room before the first and after the last point, as a part of the step between two. */
  padding?: number;
};

/** The chart of some points, the first at the left; zero and what is expected are always in it. */
export function chartOf({ points, expected, ...rest }: Shape): Chart {
  const drawn = [
    0,
    expected ?? 0,
    ...points.flatMap(({ value, low, high }) => [value ?? 0, low ?? 0, high ?? 0]),
  ];
  const frame = frameOf({
    count: points.length,
    least: Math.min(...drawn),
    most: Math.max(...drawn),
    ...rest,
  });
  const { x, y } = frame;
  return {
    ...frame,
    segments: runsOf(points, ({ value }) => value !== null).map((run) =>
      run.map((index) => ({ index, x: x(index), y: y(points[index]?.value ?? 0) })),
    ),
    bands: bandsOf(
      frame,
      points.map(({ low, high }) => (low == null || high == null ? null : [low, high])),
    ),
  };
}

/** Where a number of points lies across, and the values between the least and the most up. */
export function frameOf({
  count,
  least,
  most,
  width,
  height,
  format,
  unitOf,
  nameWidth = NAME_WIDTH,
  padding = 0,
}: FrameShape): Frame {
  const y = scaleLinear([least, most > least ? most : least + 1], [height - BOTTOM, TOP]);
  const unit = unitOf?.(Math.max(most, -least)) ?? 1;
  const labelOf = (tick: number) => format(tick * unit);
  const round = scaleLinear(
    y.domain().map((value) => value / unit),
    y.range(),
  ).ticks(TICKS);
  const ticks = round
    .filter((tick) => !isWrittenAsWhole(tick, round, labelOf))
    .map((tick) => ({ value: tick * unit, label: labelOf(tick) }))
    .filter(({ label }, index, all) => label !== all[index - 1]?.label);
  const left = GAP + LETTER_WIDTH * Math.max(0, ...ticks.map(({ label }) => label.length));
  const across = scalePoint(
    [...Array(count).keys()],
    [left, Math.max(width - RIGHT, left)],
  ).padding(padding);
  const x = (index: number) => across(index) ?? left;
  const step = across.step() || 1;
  return {
    x,
    y,
    left,
    bottom: height - BOTTOM,
    ticks,
    named: namedOf(count, Math.max(Math.floor((width - left - RIGHT) / nameWidth), 2)),
    nearest: (place) =>
      count > 1 ? Math.min(Math.max(Math.round((place - x(0)) / step), 0), count - 1) : 0,
  };
}

/** Half a row has the label of one row, which is a tick of its own. */
function isWrittenAsWhole(
  tick: number,
  ticks: readonly number[],
  labelOf: (tick: number) => string,
): boolean {
  const whole = Math.round(tick);
  return whole !== tick && ticks.includes(whole) && labelOf(whole) === labelOf(tick);
}

/** The outlines between two values of neighbouring points, as points of polygons. */
export function bandsOf(
  { x, y }: Frame,
  ranges: readonly (readonly [low: number, high: number] | null)[],
): string[] {
  return runsOf(ranges, (range) => range !== null).map((run) =>
    [
      ...run.map((index) => [x(index), y(ranges[index]?.[1] ?? 0)]),
      ...run.toReversed().map((index) => [x(index), y(ranges[index]?.[0] ?? 0)]),
    ]
      .map((place) => place.join(","))
      .join(" "),
  );
}

/** The first, the last, and those between them for which there is room. */
function namedOf(count: number, room: number): number[] {
  if (count <= room) return [...Array(count).keys()];
  return [...Array(room).keys()].map((at) => Math.round((at * (count - 1)) / (room - 1)));
}

/** The indexes of the points of which something holds, by runs of neighbours. */
export function runsOf<Item>(points: readonly Item[], holds: (point: Item) => boolean): number[][] {
  const runs: number[][] = [];
  points.forEach((point, index) => {
    if (!holds(point)) return;
    const last = runs.at(-1);
    if (last?.at(-1) === index - 1) last.push(index);
    else runs.push([index]);
  });
  return runs;
}
