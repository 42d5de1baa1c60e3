// How a length of time is written; src/headrace/model/times.py writes the same, and tests/durations.json is the table of both.
const SECOND = 1e6;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const HOURS_MAX = 96;

/** 8.2 ms, 2.1 s, 40 s, 12 min, 50 h 40 min, 5 days 2 h: rounded to what the unit shows, halves up. `longest` is the
 * longest in its column: beside days, a day and more are in days, too. */
export function formatDuration(seconds: number, longest = 0): string {
  const us = Math.round(Math.abs(seconds) * SECOND);
  const text = formatMicroseconds(us, Math.max(us, Math.round(longest * SECOND)));
  return seconds < 0 && us > 0 ? `−${text}` : text;
}

/** The longest of a column. */
export function longestOf(seconds: readonly (number | null)[]): number {
  return seconds.reduce<number>((longest, each) => Math.max(longest, Math.abs(each ?? 0)), 0);
}

function formatMicroseconds(us: number, longest: number): string {
  if (us < 9_500) return tenths(rounded(us, 100), "ms");
  if (us < 999_500) return `${rounded(us, 1_000)} ms`;
  if (us < 9_950_000) return tenths(rounded(us, 100_000), "s");
  const seconds = rounded(us, SECOND);
  if (seconds < 60) return `${seconds} s`;
  const minutes = rounded(us, MINUTE);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 60 * 24 || rounded(longest, MINUTE) < 60 * HOURS_MAX)
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  const hours = rounded(us, HOUR);
  const days = Math.floor(hours / 24);
  return `${days} ${days === 1 ? "day" : "days"}${hours % 24 ? ` ${hours % 24} h` : ""}`;
}

function rounded(us: number, unit: number): number {
  return Math.floor((us + unit / 2) / unit);
}

function tenths(count: number, unit: string): string {
  return count ? `${Math.floor(count / 10)}.${count % 10} ${unit}` : "0 s";
}

/** How long something is likely to take, and between what: 4 min (3 min to 6 min). */
export function formatEstimate({
  seconds,
  low,
  high,
}: {
  seconds: number;
  low: number | null;
  high: number | null;
}): string {
  return low === null || high === null
    ? formatDuration(seconds)
    : `${formatDuration(seconds)} (${formatDuration(low)} to ${formatDuration(high)})`;
}

/** The unit in which a length of time is round: days, hours, minutes or seconds. */
export function roundIn(seconds: number): number {
  return [86_400, 3_600, 60, 1].find((unit) => seconds >= 2 * unit) ?? 0.001;
}
