// Where a deadline and what is predicted for it lie between two times, in pixels.
import type { Schema } from "../../api/client";

type Row = Pick<Schema["UpcomingRow"], "due_at" | "predicted_at" | "earliest_at" | "latest_at">;
export type Places = {
  due: number;
  predicted: number | null;
  earliest: number | null;
  latest: number | null;
  /** Whether what is predicted is later than the end. */
  beyond: boolean;
};

export function placesOf(row: Row, now: string, end: string, width: number): Places {
  const from = Date.parse(now);
  const whole = Math.max(Date.parse(end) - from, 1);
  const place = (at: string) =>
    Math.min(Math.max(((Date.parse(at) - from) / whole) * width, 0), width);
  const placed = (at: string | null) => (at === null ? null : place(at));
  return {
    due: place(row.due_at),
    predicted: placed(row.predicted_at),
    earliest: placed(row.earliest_at),
    latest: placed(row.latest_at),
    beyond: row.predicted_at !== null && Date.parse(row.predicted_at) > Date.parse(end),
  };
}
