// A log of any length: some of its lines at a time, from any place on, followed while it is written. Memory stays bounded.
import { useCallback, useEffect, useRef, useState } from "react";
import { read, type Problem } from "../../api/client";
import {
  appended,
  opened,
  prepended,
  type Line,
  type LogWindow,
  type Page,
  type Position,
} from "./window";

/** Asked for at once. */
export const PAGE_LINES = 500;
/** Lines are no changes of the record: nothing tells of them, so they are looked for. */
const FOLLOW_MS = 1_500;
/** Shown above a line that a link means. */
const CONTEXT_LINES = 100;
/** Shown around each line that is searched for. */
export const SEARCH_CONTEXT = 2;

export type Lines = {
  page: Page | null;
  lines: readonly Line[];
  /** More lines are on their way. */
  busy: boolean;
  problem: Problem | null;
  earlier: (() => void) | null;
  later: (() => void) | null;
  first: () => void;
  last: () => void;
};

/** The first line from `line` on that reports an error, or null. The server looks through a part of a long log at a time. */
export async function findError(attempt: string, line: number): Promise<number | null> {
  let position: Position | null = { line };
  while (position) {
    const page: Page = await read("/api/v1/attempts/{attempt}/logs", {
      path: { attempt },
      query: { errors: true, limit: 1, ...position },
    });
    const hit = page.lines[0];
    if (hit) return hit.number;
    position = page.next === null || page.looked >= page.total ? null : { cursor: page.next };
  }
  return null;
}

/** The lines that contain `grep` (all where it is empty), around the line `chosen` where that isn't null. */
export function useLines(attempt: string, grep: string, chosen: number | null): Lines {
  const [loaded, setLoaded] = useState<LogWindow | null>(null);
  const [busy, setBusy] = useState(true);
  const [problem, setProblem] = useState<Problem | null>(null);
  const requestRef = useRef<AbortController | null>(null);

  const fetchLines = useCallback(
    async (position: Position | null, merge: (page: Page) => LogWindow, limit = PAGE_LINES) => {
      requestRef.current?.abort();
      const request = (requestRef.current = new AbortController());
      setBusy(true);
      try {
        const page = await read(
          "/api/v1/attempts/{attempt}/logs",
          {
            path: { attempt },
            query: { limit, ...(grep ? { grep, context: SEARCH_CONTEXT } : {}), ...position },
          },
          request.signal,
        );
        if (request.signal.aborted) return null;
        setLoaded(merge(page));
        setProblem(null);
        return page;
      } catch (error) {
        if (!request.signal.aborted) setProblem(error as Problem);
        return null;
      } finally {
        if (!request.signal.aborted) setBusy(false);
      }
    },
    [attempt, grep],
  );

  const open = useCallback((line: number) => fetchLines({ line }, opened), [fetchLines]);
  const within =
    loaded !== null && chosen !== null && loaded.lines.some((line) => line.number === chosen);
  const openedRef = useRef<string | null>(null);
  useEffect(() => {
    const openedKey = `${attempt} ${grep} ${chosen ?? ""}`;
    if (
      openedRef.current === openedKey ||
      (within && openedRef.current?.startsWith(`${attempt} ${grep} `))
    )
      return;
    openedRef.current = openedKey;
    setLoaded(null);
    const begin = chosen !== null && !grep ? Math.max(1, chosen - CONTEXT_LINES) : 1;
    void open(begin).then((page) => {
      // Of what is being written the end is what is watched.
      if (page?.open && chosen === null && !grep && page.looked < page.total)
        void open(-PAGE_LINES);
    });
  }, [attempt, grep, chosen, within, open]);
  useEffect(
    () => () => {
      requestRef.current?.abort();
      openedRef.current = null;
    },
    [],
  );

  const later = useCallback(() => {
    if (loaded?.next) void fetchLines(loaded.next, (page) => appended(loaded, page));
  }, [fetchLines, loaded]);
  const earlier = useCallback(() => {
    const top = loaded?.lines[0]?.number ?? 1;
    const line = Math.max(1, top - PAGE_LINES);
    if (loaded && top > 1) void fetchLines({ line }, (page) => prepended(loaded, page), top - line);
  }, [fetchLines, loaded]);

  const atEnd = loaded !== null && loaded.page.looked >= loaded.page.total;
  const seeking = loaded !== null && grep !== "" && !atEnd && loaded.lines.length < PAGE_LINES;
  const following = loaded !== null && loaded.page.open && atEnd;
  useEffect(() => {
    if (problem || busy || !(seeking || following)) return undefined;
    const again = window.setTimeout(later, seeking ? 0 : FOLLOW_MS);
    return () => window.clearTimeout(again);
  }, [busy, seeking, following, later, problem]);

  return {
    page: loaded?.page ?? null,
    lines: loaded?.lines ?? [],
    busy,
    problem,
    earlier: !grep && (loaded?.lines[0]?.number ?? 1) > 1 ? earlier : null,
    later: loaded?.next && !atEnd && !seeking ? later : null,
    first: () => void open(1),
    last: () => void open(-PAGE_LINES),
  };
}
