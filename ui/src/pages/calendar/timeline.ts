// The hours of a simulated night: where its deliveries and deadlines are on them.
import type { Document, Row } from "./days";
import { MINUTES_MAX, type Simulated } from "./tonight";

export const STEP_MINUTES = 15;
const LANES_MAX = 12;
const DAY_MINUTES = 1_440;
const SHOWN_DAYS = 2;
export const AXIS_STEP_MINUTES = 360;
const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** Minutes from 00:00 of a date until an instant, both on the project's clock. */
export function minutesAt(at: string, date: string): number {
  const [day = "", clock = ""] = at.split("T");
  const days = (Date.parse(day) - Date.parse(date)) / DAY_MS;
  return days * DAY_MINUTES + Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3, 5));
}

/** The instant that is this number of minutes later. */
export function laterBy(at: string, minutes: number): string {
  return new Date(Date.parse(at) + minutes * MINUTE_MS).toISOString();
}

/** Whole minutes in steps, within what can be simulated. */
export function snapped(minutes: number): number {
  const steps = Math.round(minutes / STEP_MINUTES) * STEP_MINUTES;
  return Math.min(Math.max(steps, 0), MINUTES_MAX);
}

/** Where a key moves a delivery to: 15 minutes, an hour with Page keys; Escape puts it back. */
export function movedByKey(key: string, minutes: number): number | null {
  const by = STEPS[key];
  if (by !== undefined) return Math.min(Math.max(minutes + by, 0), MINUTES_MAX);
  if (key === "Escape" || key === "Home") return 0;
  return key === "End" ? MINUTES_MAX : null;
}
const STEPS: Record<string, number> = {
  ArrowRight: STEP_MINUTES,
  ArrowUp: STEP_MINUTES,
  ArrowLeft: -STEP_MINUTES,
  ArrowDown: -STEP_MINUTES,
  PageUp: 60,
  PageDown: -60,
};

/** A delivery or a deadline of the night, and its minute. */
export type Lane = { row: Row; minute: number };
/** The night's lanes, what has no room, and the length of the axis in minutes. */
export type Hours = {
  date: string;
  deliveries: readonly Lane[];
  deadlines: readonly Lane[];
  left: number;
  length: number;
};

/** Whether the simulated night has this row: the interval of its last time ends tomorrow. */
export function isTonight(row: Row, [, date]: readonly string[]): boolean {
  if (row.ends_at === null || date === undefined) return false;
  const span = minutesAt(row.last_at, date) - minutesAt(row.first_at, date);
  const end = minutesAt(row.ends_at, date) + span;
  return end >= 0 && end < DAY_MINUTES;
}

/** The hours of tomorrow, and of the days after it that a late delivery reaches. */
export function hoursOf({ rows, dates }: Document, simulated: Simulated | undefined): Hours {
  const date = dates[1] ?? "";
  const lanes = rows
    .filter((row) => isTonight(row, dates))
    .map((row) => ({ row, minute: minutesAt(row.first_at, date) }))
    .filter(({ minute }) => minute >= 0 && minute < SHOWN_DAYS * DAY_MINUTES);
  const deliveries = lanes.filter(({ row }) => row.kind === "delivery");
  // Hourly deadlines are in the table only: each has a time of its own.
  const deadlines = lanes.filter(({ row }) => row.kind === "deadline" && row.times === 1);
  const ends = [
    ...deliveries.map(({ minute }) => minute + MINUTES_MAX),
    ...deadlines.map(({ minute }) => minute),
    ...deadlines.map(({ row }) => predictedMinute(row, simulated, date)),
  ];
  const length = Math.max(DAY_MINUTES, ...ends);
  return {
    date,
    deliveries: deliveries.slice(0, LANES_MAX),
    deadlines: deadlines.slice(0, LANES_MAX),
    left: Math.max(deliveries.length - LANES_MAX, 0) + Math.max(deadlines.length - LANES_MAX, 0),
    length: Math.ceil(length / AXIS_STEP_MINUTES) * AXIS_STEP_MINUTES,
  };
}

function predictedMinute(row: Row, simulated: Simulated | undefined, date: string): number {
  const seconds = simulated?.consumers[row.node]?.then.p50 ?? null;
  if (seconds === null || row.ends_at === null) return 0;
  return Math.min(minutesAt(row.ends_at, date) + seconds / 60, SHOWN_DAYS * DAY_MINUTES);
}
