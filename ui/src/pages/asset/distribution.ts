// What is said of a column's distribution: figures, times, and what isn't recorded.
import type { Schema } from "../../api/client";
import { many } from "../../parts/words";

export type Distribution = Schema["DistributionResponse"];
export type DistributionPoint = Schema["DistributionPointRow"];
type Value = string | number | null;

const DAY_MINUTES = 24 * 60;

/** A point's figures as numbers: those of times are minutes since 1970, local time. */
export type Spread = {
  least: number | null;
  greatest: number | null;
  percentiles: number[] | null;
};

export function spreadOf({ least, greatest, percentiles }: DistributionPoint): Spread {
  const known = percentiles?.map(numberOf).filter((value) => value !== null);
  return {
    least: numberOf(least),
    greatest: numberOf(greatest),
    percentiles: known?.length === percentiles?.length ? (known ?? null) : null,
  };
}

function numberOf(value: Value): number | null {
  return typeof value === "string" ? Date.parse(`${value}Z`) / 60_000 : value;
}

const written = (value: number) => value.toLocaleString("en", { maximumSignificantDigits: 6 });

/** How the values are written: 1,204.5; 2025-02-10 if all are dates, else 2025-02-10 05:15. */
export function formatOfKind(kind: string, values: readonly number[]): (value: number) => string {
  if (kind !== "times") return written;
  const length = values.every((value) => value % DAY_MINUTES === 0) ? 10 : 16;
  return (value) => textOfTime(value).slice(0, length);
}

function textOfTime(minutes: number): string {
  return new Date(minutes * 60_000).toISOString().slice(0, 16).replace("T", " ");
}

/** The axis of times has days, or hours where all are within three days. */
export function axisOf(kind: string, least: number, most: number) {
  if (kind !== "times") return { format: written };
  const days = most - least > 3 * DAY_MINUTES;
  return {
    format: (value: number) => (days ? textOfTime(value).slice(0, 10) : textOfTime(value).slice(5)),
    unitOf: () => (days ? DAY_MINUTES : 60),
  };
}

/** From where to where a chart goes: the percentiles, and further values as far as these are near. */
export function domainOf(spreads: readonly Spread[]): readonly [number, number] {
  const inner = spreads.flatMap(({ percentiles }) => percentiles ?? []);
  const outer = spreads
    .flatMap(({ least, greatest }) => [least, greatest])
    .filter((value) => value !== null);
  const [from, to] = inner.length ? bounds(inner) : bounds(outer);
  const room = (to - from) / 4 || Math.abs(to) / 20 || 1;
  const near = outer.filter((value) => value >= from - room && value <= to + room);
  const [least, most] = bounds([from, to, ...near]);
  return least < most ? [least, most] : [least - room, most + room];
}

function bounds(values: readonly number[]): [number, number] {
  return values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
}

export function percentText(share: number): string {
  const percent = share * 100;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  return `${percent < 9.5 && percent > 0 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

/** 10 to 15; empty where nothing is expected. */
export function expectedText(
  between: readonly number[] | null | undefined,
  format: (value: number) => string,
): string {
  const [low, high] = between ?? [];
  return low === undefined || high === undefined ? "" : `${format(low)} to ${format(high)}`;
}

export function isOutside(value: number | null | undefined, between: readonly number[] | null) {
  const [low, high] = between ?? [];
  return value != null && low !== undefined && high !== undefined && (value < low || value > high);
}

/** An anomaly's kind in words: null spike. */
export const anomalyText = (kind: string) => kind.replaceAll("_", " ");

/** What is remarkable of a point besides its figures: null spike, not published. */
export function remarksOf({ anomalies, published }: DistributionPoint): string[] {
  return [...anomalies.map(anomalyText), ...(published ? [] : ["not published"])];
}

/** What isn't recorded, and what the figures don't come from all rows of. */
export function limitsOf({ kind, points, values, values_left_out: more }: Distribution): string[] {
  const lines: string[] = [];
  const absent = points.filter(({ recorded }) => !recorded).length;
  if (absent) lines.push(`No profile of the column is stored for ${many(absent, "partition")}.`);
  if (kind !== "values") lines.push(...percentilesLacking(points));
  lines.push(...expectationsLacking(kind, points));
  if (kind === "values" && !values.length)
    lines.push("No value is frequent enough for its share to be recorded.");
  if (more) lines.push(`${many(more, "other recorded value")} count as other values.`);
  const sampled = points.filter(({ sampled: rows }) => rows !== null).length;
  if (sampled)
    lines.push(
      `Of ${many(sampled, "partition")} a sample was read, from which ${
        kind === "values" ? "shares" : "percentiles"
      } come.`,
    );
  return lines;
}

/** Of which partitions nothing is expected, and what a value beyond the expected range means. */
function expectationsLacking(kind: string, points: readonly DistributionPoint[]): string[] {
  if (kind === "times") return ["No range is expected for dates and times."];
  const ranges = points.map((point) =>
    kind === "numbers" ? point.median_between : (point.shares_between?.find(Boolean) ?? null),
  );
  const known = points.filter(({ percentiles, shares }) =>
    kind === "numbers" ? percentiles : shares,
  ).length;
  const lacking = known - ranges.filter(Boolean).length;
  const [what, why] =
    kind === "numbers"
      ? ["median is", "a median isn’t positive"]
      : ["shares are", "their values aren’t compared one by one"];
  return [
    ...(lacking > 0
      ? [
          `No ${what} expected for ${many(lacking, "partition")}: too few were published before, or ${why}.`,
        ]
      : []),
    ...(kind === "numbers" && lacking < known
      ? [
          "The expected median comes from earlier published partitions. One beyond it isn’t reported by itself: anomalies come from the column’s other figures.",
        ]
      : []),
  ];
}

function percentilesLacking(points: readonly DistributionPoint[]): string[] {
  const filled = points.filter(({ rows, nulls }) => rows !== null && rows > (nulls ?? 0));
  const lacking = filled.filter(({ percentiles }) => percentiles === null);
  if (!lacking.length) return [];
  const first = filled.find(({ percentiles }) => percentiles !== null);
  if (!first) return ["Percentiles aren’t recorded yet."];
  return lacking.every(({ partition }) => partition < first.partition)
    ? [`Percentiles weren’t recorded before ${first.partition}.`]
    : [`Percentiles aren’t recorded for ${many(lacking.length, "partition")}.`];
}
