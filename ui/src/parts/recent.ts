// What was looked at last, kept in the browser for each project and person until they sign out.
import { useEffect } from "react";
import { useLocation } from "react-router";
import { useResponse, useStatus } from "../api/responses";

export type Visited = { path: string; name: string; kind: string };

const PREFIX = "headrace-recent ";
const LENGTH_MAX = 8;
/** The pages of one thing, and what it is. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ["consumers", "consumer"],
  ["assets", "asset"],
  ["sources", "source"],
  ["incidents", "incident"],
  ["runs", "run"],
  ["backfills", "backfill"],
]);

/** Where something of this person in this project is kept; null while that isn't known. */
export function useOwnKey(prefix: string): string | null {
  const project = useStatus().data?.project;
  const who = useResponse("/api/v1/session", {}).data?.who;
  return project === undefined || who === undefined
    ? null
    : `${prefix}${JSON.stringify([project, who])}`;
}

export const useRecentKey = () => useOwnKey(PREFIX);

/** The rows that the browser keeps under a key. What isn't of their form is left out. */
export function rowsOf<R>(key: string | null, isRow: (row: unknown) => row is R): R[] {
  try {
    const rows = JSON.parse((key && localStorage.getItem(key)) ?? "[]") as unknown;
    return Array.isArray(rows) ? rows.filter(isRow) : [];
  } catch {
    return [];
  }
}

/** The things looked at, the last one first. */
export const recentOf = (key: string | null): readonly Visited[] =>
  rowsOf(key, isVisited).slice(0, LENGTH_MAX);

function isVisited(row: unknown): row is Visited {
  const { path, name, kind } = (row ?? {}) as Partial<Visited>;
  return (
    typeof path === "string" &&
    /^\/[^/\\]/.test(path) &&
    typeof name === "string" &&
    typeof kind === "string"
  );
}

export function visit(key: string, path: string): void {
  const [page = "", encoded = "", ...rest] = path.slice(1).split("/");
  const kind = KINDS.get(page);
  if (!kind || !encoded || encoded === "new" || rest.length) return;
  const visited = { path, name: decodeURIComponent(encoded), kind };
  const others = recentOf(key).filter((row) => row.path !== path);
  localStorage.setItem(key, JSON.stringify([visited, ...others].slice(0, LENGTH_MAX)));
}

/** Removes all visits of this browser. */
export function forgetVisits(): void {
  for (const key of Object.keys(localStorage))
    if (key.startsWith(PREFIX)) localStorage.removeItem(key);
}

/** Keeps the page's address; it is rendered once what the page is about is there. */
export function Visit(): null {
  const key = useRecentKey();
  const { pathname } = useLocation();
  useEffect(() => {
    if (key !== null) visit(key, pathname);
  }, [key, pathname]);
  return null;
}
