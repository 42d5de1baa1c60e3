// The lines of a log that are loaded: pages are joined at either end, and what is farther away is
// dropped, so that memory stays bounded.
import type { Schema } from "../../api/client";

/** Lines that are loaded at once; what is farther away is fetched again. */
export const LINES_MAX = 5_000;

export type Page = Schema["LogsResponse"];
export type Line = Schema["LogRow"];
/** Where the server goes on: at its own cursor, or at a line. */
export type Position = { cursor: string } | { line: number };
export type LogWindow = { page: Page; lines: readonly Line[]; next: Position | null };

export function opened(page: Page): LogWindow {
  return { page, lines: page.lines, next: page.next === null ? null : { cursor: page.next } };
}

/** With the lines of a page after them. */
export function appended(loaded: LogWindow, page: Page): LogWindow {
  const lines = [...loaded.lines, ...page.lines].slice(-LINES_MAX);
  return { ...opened(page), lines };
}

/** With the lines of a page before them; where the last ones are dropped, it goes on after the rest. */
export function prepended(loaded: LogWindow, page: Page): LogWindow {
  const lines = [...page.lines, ...loaded.lines];
  if (lines.length <= LINES_MAX) return { ...loaded, lines };
  const first = lines.slice(0, LINES_MAX);
  const last = first.at(-1)?.number ?? 0;
  return { page: { ...loaded.page, looked: last }, lines: first, next: { line: last + 1 } };
}
