// The queries that were run in this browser, the newest first. The server keeps none of them.
import { useSyncExternalStore } from "react";

export type Past = { query: string; at: number; rows: number | null };
const KEY = "headrace-queries";
const PAST_MAX = 50;
const CHARACTERS_MAX = 10_000;
const listeners = new Set<() => void>();
let cached: { text: string | null; entries: readonly Past[] } = { text: null, entries: [] };

function isPast(value: unknown): value is Past {
  const entry = value as Partial<Past> | null;
  return typeof entry?.query === "string" && typeof entry.at === "number";
}

function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** The entries in storage; none where it has something else, or is closed to the page. */
function entries(): readonly Past[] {
  const text = stored();
  if (text === cached.text) return cached.entries;
  try {
    const values = JSON.parse(text ?? "[]") as unknown;
    cached = { text, entries: Array.isArray(values) ? values.filter(isPast) : [] };
  } catch {
    cached = { text, entries: [] };
  }
  return cached.entries;
}

function store(values: readonly Past[]): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(values));
  } catch {
    // A full or closed storage: the query ran all the same.
  }
  for (const listener of listeners) listener();
}

/** Adds a query; the same one again moves to the front. */
export function remember(entry: Past): void {
  if (entry.query.length > CHARACTERS_MAX) return;
  store([entry, ...entries().filter(({ query }) => query !== entry.query)].slice(0, PAST_MAX));
}

export function forget(): void {
  store([]);
}

export function usePast(): readonly Past[] {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    window.addEventListener("storage", listener);
    return () => {
      listeners.delete(listener);
      window.removeEventListener("storage", listener);
    };
  }, entries);
}
