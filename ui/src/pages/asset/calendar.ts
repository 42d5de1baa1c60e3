// Where partitions lie in a calendar: days as weeks × weekdays, hours as days × hours, months as years × months.
import { MONTHS, monthOf } from "../../parts/times";

export type Position = { column: number; row: number };
export type Calendar<R> = {
  cells: readonly { item: R; at: Position }[];
  columns: readonly { at: number; name: string }[];
  rows: readonly string[];
};

const DAY_MS = 86_400_000;
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

type Grain = {
  pattern: RegExp;
  rows: readonly string[];
  positionOf: (key: string) => Position;
  name: (key: string) => string;
};
const days = (key: string) => Math.round(Date.parse(`${key.slice(0, 10)}T00:00:00Z`) / DAY_MS);
/** 0 is Monday; 1970-01-01 was a Thursday. */
const weekday = (key: string) => (((days(key) + 3) % 7) + 7) % 7;

const GRAINS: readonly Grain[] = [
  {
    pattern: /^\d{4}-\d\d-\d\d$/,
    rows: WEEKDAYS,
    positionOf: (key) => ({ column: (days(key) - weekday(key)) / 7, row: weekday(key) }),
    name: (key) => `${monthOf(key)} ${key.slice(0, 4)}`,
  },
  {
    pattern: /^\d{4}-\d\d-\d\dT\d\d/,
    rows: Array.from({ length: 24 }, (_, hour) => `${hour}`.padStart(2, "0")),
    positionOf: (key) => ({ column: days(key), row: Number(key.slice(11, 13)) }),
    name: (key) => key.slice(5, 10),
  },
  {
    pattern: /^\d{4}-\d\d$/,
    rows: MONTHS,
    positionOf: (key) => ({ column: Number(key.slice(0, 4)), row: Number(key.slice(5, 7)) - 1 }),
    name: (key) => key.slice(0, 4),
  },
];
/** Columns between two names, so that they don't overlap. */
const NAME_COLUMNS = 3;

/** Null where the keys are no times, or two lie in one place (the hour that comes twice in autumn). */
export function calendarOf<R>(items: readonly R[], keyOf: (item: R) => string): Calendar<R> | null {
  const grain = GRAINS.find(
    ({ pattern }) => items.length > 1 && items.every((item) => pattern.test(keyOf(item))),
  );
  if (!grain) return null;
  const placed = items.map((item) => ({ item, at: grain.positionOf(keyOf(item)) }));
  const began = Math.min(...placed.map(({ at }) => at.column));
  const cells = placed
    .map(({ item, at }) => ({ item, at: { column: at.column - began, row: at.row } }))
    .sort((a, b) => a.at.column - b.at.column || a.at.row - b.at.row);
  if (new Set(cells.map(({ at }) => `${at.column} ${at.row}`)).size < cells.length) return null;
  const columns: { at: number; name: string }[] = [];
  for (const { item, at } of cells) {
    const name = grain.name(keyOf(item));
    const last = columns.at(-1);
    if (!last || (name !== last.name && at.column - last.at >= NAME_COLUMNS))
      columns.push({ at: at.column, name });
  }
  return { cells, columns, rows: grain.rows };
}
