// Where the deliveries of a consumer lie in a chart, in pixels: one column each, the oldest at the
// left; times around the deadline up, or the parts of the wait.
import { scaleBand, scaleLinear } from "d3-scale";
import type { Schema } from "../../api/client";
import { groupOf } from "../../parts/ledgerGroups";
import { clockOf } from "../../parts/times";

export type Delivery = Schema["PastDeliveryRow"];
export type Tick = { y: number; label: string };
type Frame = { width: number; height: number };

export const LEFT = 64;
const RIGHT = 12;
const TOP = 14;
const BOTTOM = 22;
/** The pixels that the name of a delivery needs; at the end it lies half a name further left. */
const NAME_WIDTH = 116;
const TICKS_MAX = 5;
const DAY = 86_400;
const STEPS = [60, 300, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, DAY, 7 * DAY, 30 * DAY];
/** Distances from the deadline beyond this number of usual ones are drawn at the edge: a wait of
 * weeks would flatten all others. */
const FAR_AT = 4;
/** Between what that is, in seconds. */
const FARTHEST = { hour: [600, 3 * 3_600], other: [2 * 3_600, DAY] } as const;
/** The pixels between two labels of an axis. */
const LABEL_HEIGHT = 13;
/** A wait longer than this number of usual ones is cut off. */
const CUT_AT = 6;
const OWNERS_MAX = 5;

export type Columns = {
  /** The middle of a column. */
  x: (index: number) => number;
  left: (index: number) => number;
  wide: number;
  named: readonly number[];
  nearest: (x: number) => number;
};

/** The columns of a number of deliveries. */
export function columnsOf(count: number, width: number): Columns {
  const across = scaleBand(
    [...Array(count).keys()],
    [LEFT, Math.max(width - RIGHT, LEFT + 1)],
  ).padding(0.2);
  const left = (index: number) => across(index) ?? LEFT;
  const room = Math.max(Math.floor((width - LEFT - RIGHT) / NAME_WIDTH), 2);
  const named =
    count <= room
      ? [...Array(count).keys()]
      : [...Array(room).keys()].map((at) => Math.round((at * (count - 1)) / (room - 1)));
  return {
    x: (index) => left(index) + across.bandwidth() / 2,
    left,
    wide: across.bandwidth(),
    named,
    nearest: (place) =>
      Math.min(Math.max(Math.floor((place - LEFT) / (across.step() || 1)), 0), count - 1),
  };
}

export type Around = {
  /** The line of the deadline. */
  deadline: number;
  /** 07:00, where all have the same; null where they differ. */
  clock: string | null;
  ticks: readonly Tick[];
  /** Of each delivery, and whether it is farther away than drawn; null of those without a time. */
  points: readonly ({ y: number; beyond: boolean } | null)[];
};

/** The deliveries around their deadlines, later ones higher. */
export function aroundDeadline(
  deliveries: readonly Delivery[],
  { height }: Frame,
  per: string,
  zone: string,
): Around {
  const values = deliveries.flatMap((row) => (row.late_seconds === null ? [] : [row.late_seconds]));
  const [low, high] = per === "hour" ? FARTHEST.hour : FARTHEST.other;
  const farthest = Math.min(Math.max(medianOf(values.map(Math.abs)) * FAR_AT, low), high);
  const near = (seconds: number) => Math.min(Math.max(seconds, -farthest), farthest);
  const drawn = [0, ...values.map(near)];
  const least = Math.min(...drawn);
  const most = Math.max(...drawn);
  const margin = Math.max((most - least) * 0.12, 300);
  const y = scaleLinear([least - margin, most + margin], [height - BOTTOM, TOP]);
  const clock = sameClock(deliveries, zone);
  const label = (seconds: number) =>
    clock === null ? distanceLabel(seconds) : clockLabel(clock + seconds);
  return {
    deadline: y(0),
    clock: clock === null ? null : clockLabel(clock),
    ticks: roundValues(least - margin, most + margin, clock ?? 0)
      .map((seconds) => ({ y: y(seconds), label: label(seconds) }))
      .filter((tick) => Math.abs(tick.y - y(0)) > LABEL_HEIGHT),
    points: deliveries.map(({ late_seconds: late }) =>
      late === null ? null : { y: y(near(late)), beyond: Math.abs(late) > farthest },
    ),
  };
}

/** The time of day of all deadlines, in seconds; null where they differ. */
function sameClock(deliveries: readonly Delivery[], zone: string): number | null {
  const clocks = new Set(deliveries.map(({ due_at: due }) => clockOf(due, zone)));
  const [clock] = clocks;
  return clocks.size === 1 && clock !== undefined ? clock : null;
}

/** Values between two that are round after something is added to them. */
function roundValues(from: number, to: number, added: number): number[] {
  const step = STEPS.find((each) => (to - from) / each <= TICKS_MAX) ?? 30 * DAY;
  const first = Math.ceil((from + added) / step);
  const last = Math.floor((to + added) / step);
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step - added);
}

/** 07:00, or 03:00 +1 on the day after. */
export function clockLabel(seconds: number): string {
  const day = Math.floor(seconds / DAY);
  const minutes = Math.round((seconds - day * DAY) / 60);
  const text = [Math.floor(minutes / 60), minutes % 60]
    .map((part) => String(part).padStart(2, "0"))
    .join(":");
  if (day === 0) return text;
  return `${text} ${day > 0 ? "+" : "−"}${Math.abs(day)}`;
}

function distanceLabel(seconds: number): string {
  return `${seconds > 0 ? "+" : "−"}${roundDuration(Math.abs(seconds))}`;
}

// What the waits were spent on.

export type By = "kind" | "owner";
export type Part = { key: string; label: string; tone: string; seconds: number };
export type Bar = {
  /** The parts that took any time, the lowest first. */
  parts: readonly (Part & { y: number; height: number })[];
  cut: boolean;
};
export type Waits = {
  legend: readonly Part[];
  ticks: readonly Tick[];
  bars: readonly Bar[];
  floor: number;
};

/** Bars of the waits, each of its parts in the order of the legend. */
export function waitsOf(deliveries: readonly Delivery[], { height }: Frame, by: By): Waits {
  const legend = by === "kind" ? kindsOf(deliveries) : ownersOf(deliveries);
  const ceiling = ceilingOf(deliveries.map((row) => row.wait_seconds ?? 0));
  const floor = height - BOTTOM;
  const y = scaleLinear([0, ceiling || 1], [floor, TOP]);
  return {
    legend,
    floor,
    ticks: roundValues(0, ceiling, 0).map((seconds) => ({
      y: y(seconds),
      label: roundDuration(seconds),
    })),
    bars: deliveries.map((row) => {
      let upTo = 0;
      const parts = partsOf(row, legend, by).flatMap((part) => {
        const from = Math.min(upTo, ceiling);
        upTo += part.seconds;
        const to = Math.min(upTo, ceiling);
        return part.seconds > 0 ? [{ ...part, y: y(to), height: y(from) - y(to) }] : [];
      });
      return { parts, cut: upTo > ceiling };
    }),
  };
}

/** The longest wait; of one much longer than usual only the part that leaves the others readable. */
function ceilingOf(waits: readonly number[]): number {
  const known = waits.filter((seconds) => seconds > 0);
  return Math.min(Math.max(0, ...known), medianOf(known) * CUT_AT);
}

/** The middle of some values; 0 without any. */
function medianOf(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

/** 6 h, 2 days, 30 min: a length of time that is round in its unit. */
function roundDuration(seconds: number): string {
  if (seconds >= 2 * DAY) return `${seconds / DAY} days`;
  if (seconds >= 3_600) return `${seconds / 3_600} h`;
  return seconds >= 60 ? `${seconds / 60} min` : `${seconds} s`;
}

function sum(rows: readonly { seconds: number }[]): number {
  return rows.reduce((total, { seconds }) => total + seconds, 0);
}

/** The parts of one wait, in the order of the legend; what isn't known of it comes last. */
export function partsOf(row: Delivery, legend: readonly Part[], by: By): Part[] {
  const known = new Set(legend.map(({ key }) => key));
  const keyOf = (segment: Delivery["segments"][number]) => {
    const key = by === "kind" ? groupOf(segment) : `owner ${segment.owner}`;
    return known.has(key) ? key : "others";
  };
  const rest = (row.wait_seconds ?? 0) - sum(row.segments);
  return legend.map((part) => ({
    ...part,
    seconds:
      part.key === "rest"
        ? Math.max(rest, 0)
        : sum(row.segments.filter((segment) => keyOf(segment) === part.key)),
  }));
}

/** The time of nodes that the reader may not see. */
function restOf(deliveries: readonly Delivery[]): Part[] {
  const seconds = deliveries.reduce(
    (total, row) => total + Math.max((row.wait_seconds ?? 0) - sum(row.segments), 0),
    0,
  );
  return seconds < 1 ? [] : [{ key: "rest", label: "not shown", tone: "rest", seconds }];
}

const GROUPS = [
  { key: "source", label: "source or trigger" },
  { key: "people", label: "people" },
  { key: "ours", label: "Headrace" },
  { key: "work", label: "computing" },
] as const;

function kindsOf(deliveries: readonly Delivery[]): Part[] {
  const segments = deliveries.flatMap((row) => row.segments);
  const parts = GROUPS.map(({ key, label }) => ({
    key,
    label,
    tone: key,
    seconds: sum(segments.filter((segment) => groupOf(segment) === key)),
  }));
  return [...parts.filter(({ seconds }) => seconds > 0), ...restOf(deliveries)];
}

function ownersOf(deliveries: readonly Delivery[]): Part[] {
  const totals = new Map<string, number>();
  for (const { owner, seconds } of deliveries.flatMap((row) => row.segments))
    totals.set(owner, (totals.get(owner) ?? 0) + seconds);
  const largest = [...totals].toSorted((one, other) => other[1] - one[1]);
  const named = largest.slice(0, OWNERS_MAX).map(([owner, seconds], index) => ({
    key: `owner ${owner}`,
    label: owner || "unknown owner",
    tone: `owner-${index}`,
    seconds,
  }));
  const others = sum(largest.slice(OWNERS_MAX).map(([, seconds]) => ({ seconds })));
  return [
    ...named,
    ...(others > 0
      ? [{ key: "others", label: "other owners", tone: "others", seconds: others }]
      : []),
    ...restOf(deliveries),
  ];
}
