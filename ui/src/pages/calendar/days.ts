// The days of the calendar as weeks, and what is expected on each.
import type { Schema } from "../../api/client";

export type Document = Schema["CalendarResponse"];
export type Row = Schema["CalendarRow"];
export const KINDS: Record<string, string> = {
  deadline: "Deadlines",
  delivery: "Deliveries",
  run: "Runs",
};
const DAYS_A_WEEK = 7;

/** Monday is 0. */
export function weekday(date: string): number {
  return (new Date(`${date}T00:00Z`).getUTCDay() + DAYS_A_WEEK - 1) % DAYS_A_WEEK;
}

/** Fri 28, or Fri 28 Mar on the first of the calendar and of each month. */
export function dayText(date: string, first: boolean): string {
  const at = new Date(`${date}T00:00Z`);
  return at.toLocaleDateString("en-GB", {
    timeZone: "UTC",
    weekday: "short",
    day: "numeric",
    ...(first || at.getUTCDate() === 1 ? { month: "short" } : {}),
  });
}

/** The rows of each date, in their order. */
export function rowsByDate(rows: readonly Row[]): ReadonlyMap<string, Row[]> {
  const result = new Map<string, Row[]>();
  for (const row of rows) result.set(row.date, [...(result.get(row.date) ?? []), row]);
  return result;
}

/** The calendars by which nothing is due on a date. */
export function daysOffOn(document: Document, date: string): string[] {
  return document.days_off.filter((row) => row.dates.includes(date)).map((row) => row.calendar);
}
