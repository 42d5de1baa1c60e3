// A log of any length: some of its lines at a time, from any place on, followed while it is written. Memory stays bounded.
import { useCallback, useEffect, useRef, useState } from "react";
import { read, type Problem, type Schema } from "../../api/client";

/** Asked for at once. */
export const LINES = 500;
/** Held at once; what is farther away is fetched again. */
export const KEPT = 5_000;
/** Lines are no changes of the record: nothing tells of them, so they are looked for. */
const FOLLOW_MS = 1_500;
/** Shown above a line that a link means. */
const ABOVE = 100;

type Page = Schema["LogsResponse"];
type Line = Schema["LogRow"];
type Place = { cursor: string } | { line: number };
type Held = { page: Page; lines: readonly Line[]; next: Place | null };

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

/** The lines that contain `grep` (all where it is empty), around the line `chosen` where that isn't null. */
export function useLines(attempt: string, grep: string, chosen: number | null): Lines {
  const [held, setHeld] = useState<Held | null>(null);
  const [busy, setBusy] = useState(true);
  const [problem, setProblem] = useState<Problem | null>(null);
  const under = useRef<AbortController | null>(null);

  const ask = useCallback(async (place: Place | null, take: (page: Page) => Held, limit = LINES) => {
    under.current?.abort();
    const mine = (under.current = new AbortController());
    setBusy(true);
    try {
      const page = await read("/api/v1/attempts/{attempt}/logs", { path: { attempt }, query: { limit, ...(grep ? { grep } : {}), ...place } }, mine.signal);
      if (mine.signal.aborted) return null;
      setHeld(take(page));
      setProblem(null);
      return page;
    } catch (error) {
      if (!mine.signal.aborted) setProblem(error as Problem);
      return null;
    } finally {
      if (!mine.signal.aborted) setBusy(false);
    }
  }, [attempt, grep]);

  const open = useCallback((line: number) => ask({ line }, begun), [ask]);
  const within = held !== null && chosen !== null && held.lines.some((one) => one.number === chosen);
  const wanted = useRef<string | null>(null);
  useEffect(() => {
    const asked = `${attempt} ${grep} ${chosen ?? ""}`;
    if (wanted.current === asked || (within && wanted.current?.startsWith(`${attempt} ${grep} `))) return;
    wanted.current = asked;
    setHeld(null);
    const begin = chosen !== null && !grep ? Math.max(1, chosen - ABOVE) : 1;
    void open(begin).then((page) => {
      // Of what is being written the end is what is watched.
      if (page?.open && chosen === null && !grep && page.looked < page.total) void open(-LINES);
    });
  }, [attempt, grep, chosen, within, open]);
  useEffect(() => () => {
    under.current?.abort();
    wanted.current = null;
  }, []);

  const later = useCallback(() => {
    if (held?.next) void ask(held.next, (page) => after(held, page));
  }, [ask, held]);
  const earlier = useCallback(() => {
    const top = held?.lines[0]?.number ?? 1;
    const line = Math.max(1, top - LINES);
    if (held && top > 1) void ask({ line }, (page) => before(held, page), top - line);
  }, [ask, held]);

  const atEnd = held !== null && held.page.looked >= held.page.total;
  const seeking = held !== null && grep !== "" && !atEnd && held.lines.length < LINES;
  const following = held !== null && held.page.open && atEnd;
  useEffect(() => {
    if (problem || busy || !(seeking || following)) return undefined;
    const again = window.setTimeout(later, seeking ? 0 : FOLLOW_MS);
    return () => window.clearTimeout(again);
  }, [busy, seeking, following, later, problem]);

  return {
    page: held?.page ?? null, lines: held?.lines ?? [], busy, problem,
    earlier: !grep && (held?.lines[0]?.number ?? 1) > 1 ? earlier : null,
    later: held?.next && !atEnd && !seeking ? later : null,
    first: () => void open(1),
    last: () => void open(-LINES),
  };
}

function begun(page: Page): Held {
  return { page, lines: page.lines, next: page.next === null ? null : { cursor: page.next } };
}

function after(held: Held, page: Page): Held {
  return { ...begun(page), lines: page.lines.length ? [...held.lines, ...page.lines].slice(-KEPT) : held.lines };
}

function before(held: Held, page: Page): Held {
  const lines = [...page.lines, ...held.lines];
  if (lines.length <= KEPT) return { ...held, lines };
  const kept = lines.slice(0, KEPT);
  const looked = kept.at(-1)!.number;
  return { page: { ...held.page, looked }, lines: kept, next: { line: looked + 1 } };
}
