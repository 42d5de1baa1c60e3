// What the grid of runs needs to know of its rows, cells and keys.
import type { Schema } from "../../api/client";
import { labelOf } from "../../parts/State";
import { monthOf } from "../../parts/times";

type Row = Schema["GridRow"];
/** A cell by row and column, from 0; the column -1 is the asset's name. */
export type Place = { row: number; column: number };
export type Cell = {
  node: string;
  day: string;
  state: string;
  run: string;
  attempt: string;
  /** Of so many partitions, so many are in the state. */
  partitions: number;
  count: number;
};
type Extent = { rows: number; columns: number; page: number };

/** Rows of a request. */
export const BLOCK_ROWS = 50;

/** The letter of each state in a cell: what is published needs none. */
export const LETTERS: Readonly<Record<string, string>> = {
  published: "",
  failed: "F",
  lost: "L",
  rejected: "R",
  held: "H",
  running: "▸",
  queued: "Q",
  cancelled: "C",
  skipped: "S",
  staged: "B",
};

/** The numbers of the blocks that hold the rows in sight. */
export function blocksOf(top: number, rows: number): number[] {
  const first = Math.floor(top / BLOCK_ROWS);
  const last = Math.floor((top + rows) / BLOCK_ROWS);
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

export function cellOf(row: Row, column: number, day = ""): Cell | null {
  const state = row.states[column];
  if (!state) return null;
  return {
    node: row.node,
    day,
    state,
    run: row.runs[column] ?? "",
    attempt: row.attempts[column] ?? "",
    partitions: row.partitions[column] ?? 1,
    count: row.counts[column] ?? 1,
  };
}

/** The cells of what was attempted and isn't published. */
export function unpublished(row: Row, days: readonly string[]): Cell[] {
  return days
    .map((day, column) => cellOf(row, column, day))
    .filter((cell) => cell !== null && cell.state !== "published") as Cell[];
}

export function attemptAddress(cell: Cell): string {
  return `/runs/${encodeURIComponent(cell.run)}?${new URLSearchParams({ attempt: cell.attempt })}`;
}

export function cellText(cell: Cell | null): string {
  if (!cell) return "nothing attempted";
  const state = labelOf(cell.state);
  if (cell.partitions === 1) return state;
  return `${state}, ${cell.count} of ${cell.partitions.toLocaleString("en")} partitions`;
}

/** The months of days in their order: the first day of each, its name, and how many days it has. */
export function monthsOf(days: readonly string[]) {
  return [...Map.groupBy(days, (day) => day.slice(0, 7)).values()].map(([first = "", ...rest]) => ({
    first,
    name: monthOf(first),
    days: rest.length + 1,
  }));
}

/** Where a key leads from a cell; null for other keys. */
export function moved(from: Place, key: string, { rows, columns, page }: Extent): Place | null {
  const row = (by: number) => Math.max(0, Math.min(rows - 1, from.row + by));
  const column = (by: number) => Math.max(-1, Math.min(columns - 1, from.column + by));
  switch (key) {
    case "ArrowUp":
      return { ...from, row: row(-1) };
    case "ArrowDown":
      return { ...from, row: row(1) };
    case "ArrowLeft":
      return { ...from, column: column(-1) };
    case "ArrowRight":
      return { ...from, column: column(1) };
    case "PageUp":
      return { ...from, row: row(-page) };
    case "PageDown":
      return { ...from, row: row(page) };
    case "Home":
      return { ...from, column: -1 };
    case "End":
      return { ...from, column: columns - 1 };
    default:
      return null;
  }
}
