// A simulated night in words: those of `headrace what-if`.
import type { Schema } from "../../api/client";
import { formatDuration } from "../../parts/durations";
import { many } from "../../parts/words";
import type { Row } from "./days";

export type Simulated = Schema["WhatIfResponse"];
type Delivered = Schema["DeliveredRow"];
type Consumer = Simulated["consumers"][string];
/** Source → by how many minutes it arrives later. */
export type Delays = Readonly<Record<string, number>>;

export const MINUTES_MAX = 720;

/** Sources with an expected delivery, by name. */
export function expectedSources(rows: readonly Row[]): string[] {
  const names = rows.filter((row) => row.kind === "delivery").map((row) => row.node);
  return [...new Set(names)].sort();
}

/** Consumers by name; without shares in time where its tested forecasts were wrong too often. */
export function forecasts({
  consumers,
}: Pick<Simulated, "consumers">): (Consumer & { name: string })[] {
  return Object.entries(consumers).map(([name, row]) => {
    const shown = (each: Delivered) => (row.predictable ? each : { ...each, kept: null });
    return { ...row, name, now: row.now && shown(row.now), then: shown(row.then) };
  });
}

/** The changes as the command takes them. */
export function changesOf(delays: Delays): string[] {
  return Object.entries(delays)
    .filter(([, minutes]) => minutes > 0)
    .map(([source, minutes]) => `source.${source}.delay=${minutes}m`)
    .sort();
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

/** What changes for a consumer in the typical case and in how often it is in time; empty: nothing. */
export function changeText({ now, then }: Consumer): string {
  if (now === null) return "";
  const texts = [];
  if (then.p50 === null && now.p50 !== null) texts.push("fewer than half delivered");
  if (then.p50 !== null && now.p50 !== null && differ(now.p50, then.p50))
    texts.push(laterText(then.p50 - now.p50));
  if (now.kept !== then.kept) texts.push(`in time ${inTime(now)} → ${inTime(then)}`);
  if (!texts.length && differ(now.p95, then.p95))
    texts.push(
      `95 % by ${deliveredAt(now.p95_at, now.p95)} → ${deliveredAt(then.p95_at, then.p95)}`,
    );
  return texts.join(", ");
}

/** 1 h 30 min later, 5 min earlier. */
export function laterText(seconds: number): string {
  return `${formatDuration(Math.abs(seconds))} ${seconds < 0 ? "earlier" : "later"}`;
}

/** What is simulated of a source: its delay counts from when it usually delivers. */
export const laterThanUsual = (minutes: number): string => `${laterText(minutes * 60)} than usual`;

/** Differences below a second count as none, as those of the command. */
function differ(before: number | null, after: number | null): boolean {
  if (before === null || after === null) return before !== after;
  return Math.abs(before - after) >= 1;
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
