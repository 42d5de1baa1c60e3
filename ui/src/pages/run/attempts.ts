// What a chart of attempts needs to know of them.
import type { Schema } from "../../api/client";

export type Attempt = Schema["TimedAttempt"];
/** What a chart spans: from an instant in milliseconds. */
export type Axis = { from: number; seconds: number };
/** A width is divided by it: never zero. */
const SECONDS_MIN = 0.001;

export function axisOf(attempts: readonly Attempt[]): Axis {
  const phases = attempts.flatMap((attempt) => attempt.phases);
  if (!phases.length) return { from: 0, seconds: SECONDS_MIN };
  const from = phases.reduce((least, phase) => Math.min(least, Date.parse(phase.from)), Infinity);
  const to = phases.reduce((most, phase) => Math.max(most, Date.parse(phase.to)), -Infinity);
  return { from, seconds: Math.max((to - from) / 1000, SECONDS_MIN) };
}

/** The how many-th try of its partitions each attempt is. */
export function triesOf(attempts: readonly Attempt[]): Map<string, number> {
  const seen = new Map<string, number>();
  return new Map(
    attempts.map((attempt) => {
      const key = JSON.stringify([attempt.node, attempt.kind, attempt.partitions]);
      const number = (seen.get(key) ?? 0) + 1;
      seen.set(key, number);
      return [attempt.id, number];
    }),
  );
}
