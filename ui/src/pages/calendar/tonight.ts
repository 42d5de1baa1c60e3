// A simulated night in words: those of `headrace what-if`.
import type { Schema } from "../../api/client";
import { formatDuration } from "../../parts/durations";
import { many } from "../../parts/words";
import type { Row } from "./days";

export type Simulated = Schema["WhatIfResponse"];
type Delivered = Schema["DeliveredRow"];
/** `source` arrives later by this number of minutes; 0 changes nothing. */
export type Delay = { source: string; minutes: number };

export const MINUTES_MAX = 720;

/** Sources with an expected delivery, by name. */
export function expectedSources(rows: readonly Row[]): string[] {
  const names = rows.filter((row) => row.kind === "delivery").map((row) => row.node);
  return [...new Set(names)].sort();
}

/** The change as the command takes it. */
export function changesOf({ source, minutes }: Delay): string[] {
  return source && minutes ? [`source.${source}.delay=${minutes}m`] : [];
}

/** Whole minutes within the limits. */
export function minutesOf(text: string): number {
  const minutes = Math.round(Number(text));
  return Number.isFinite(minutes) ? Math.min(Math.max(minutes, 0), MINUTES_MAX) : 0;
}

/** A time of day, or after an hourly interval; nothing where it isn't delivered. */
export function deliveredAt(at: string | null, seconds: number | null): string {
  if (at !== null) return at;
  return seconds === null ? "" : `${formatDuration(seconds)} after its interval`;
}

export function inTime(row: Delivered | null): string {
  return row?.kept == null ? "" : `${row.kept} %`;
}

/** How good such forecasts of past days would have been. */
export function tested(row: Simulated["backtest"]): string {
  if (row === null) return "Not tested on past days: too few deliveries are known.";
  const deliveries = many(row.deliveries, "past delivery", "past deliveries");
  const naive =
    row.naive_error === null
      ? ""
      : ` (${row.naive_error} % if each takes as long as a week before)`;
  return (
    `Tested on ${deliveries}, from arrival to delivery: off by ${row.median_error} % in the median${naive}; ` +
    `${row.coverage80} % of them were within the interval that should hold 80 %.`
  );
}
