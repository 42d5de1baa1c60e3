// What the waits of a consumer were spent on, in the words of this page.
import type { Schema } from "../../api/client";
import type { Event } from "../../parts/ChartFrame";
import type { Point } from "../../parts/Series";

export type Row = Schema["BottleneckRow"];
export type Share = Schema["DelayShareRow"];

const GROUPS: Record<string, string> = {
  source: "Delivery awaited",
  quality: "Data quality",
  repair: "Repair of code",
  retry: "Failed attempts",
  approval: "Approval awaited",
  paused: "Paused",
  capacity: "Slots and pools",
  ingest: "Reading deliveries",
  compute: "Computing",
  checks: "Checks",
  publication: "Publication",
  export: "Export",
  trigger: "Trigger awaited",
  headrace: "Headrace itself",
};

export const groupName = (group: string): string => GROUPS[group] ?? group;

/** A smaller part of the whole isn't listed. */
const PERCENT_LEAST = 0.01;

/** The shares that show in percent of two digits, the largest first, and how many are smaller. */
export function largeShares(shares: readonly Share[]): {
  shares: readonly Share[];
  smaller: number;
} {
  const large = shares.filter(({ percent }) => Number(percent) >= PERCENT_LEAST);
  return { shares: large, smaller: shares.length - large.length };
}

/** The average wait by week, the oldest first. */
export const pointsOf = (row: Row): Point[] =>
  row.weeks.map(({ week, obligations, wait_seconds }) => ({
    name: week,
    value: obligations ? wait_seconds / obligations : null,
    marked: false,
  }));

/** The weeks in which nodes became slower. */
export const eventsOf = (row: Row): Event[] =>
  row.regressions.flatMap(({ node, at }) => {
    const week = row.weeks.findLast(({ week }) => week <= at.slice(0, 10))?.week;
    return week ? [{ name: week, text: `${node} slower`, bad: true }] : [];
  });

/** The page of what made a node slower; null for what has none. */
export function causeAddress({ kind, ref, node }: Schema["RegressionCauseRow"]): string | null {
  if (ref === null) return null;
  if (kind === "data") return `/incidents/${encodeURIComponent(ref)}`;
  if (kind === "schema") return `/sources/${encodeURIComponent(node)}`;
  if (kind === "volume") return `/assets/${encodeURIComponent(ref)}`;
  return null;
}
