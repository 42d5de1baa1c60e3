// The time of a past view and its window, in the address: a link shows the same.
import { useEffect, useRef, useState } from "react";
import { useSearchParams } from "react-router";
import type { UseQueryResult } from "@tanstack/react-query";
import type { Problem, Schema } from "../../api/client";
import { useResponse, useStatus } from "../../api/responses";
import { reducesMotion } from "../../parts/motion";
import { appliedBetween, isoOf, neighbourOf, replayed, stopsOf, type Changes } from "./replay";

type View = Schema["GraphView"];
export const WINDOWS: readonly (readonly [hours: string, text: string])[] = [
  ["6", "6 hours"],
  ["24", "24 hours"],
  ["72", "3 days"],
  ["168", "7 days"],
];
const HOURS = 24;
const HOUR_MS = 3_600_000;
/** How long a window takes to play, in how many frames; how long a change stays with reduced motion. */
const PLAYED_MS = 20_000;
const FRAMES = 100;
const STEP_MS = 1_500;
const PAST = ["at", "until", "hours"];
/** Whether a parameter of the address belongs to the past view. */
export const isOfPast = (name: string): boolean => PAST.includes(name);

/** Whether an address asks for a past view. */
export const asksForPast = (params: URLSearchParams): boolean =>
  !Number.isNaN(Date.parse(params.get("at") ?? ""));

/** The past that the address asks for; null where it asks for now, or the project's now isn't known. */
export function usePast(): { at: number; from: number; until: number; hours: number } | null {
  const [params] = useSearchParams();
  const now = useStatus().data?.now;
  const at = Date.parse(params.get("at") ?? "");
  if (Number.isNaN(at) || now === undefined) return null;
  const asked = params.get("hours") ?? "";
  const hours = WINDOWS.some(([choice]) => choice === asked) ? Number(asked) : HOURS;
  const end = Date.parse(params.get("until") ?? "");
  const half = (hours * HOUR_MS) / 2;
  const until = Math.max(at, Math.min(Date.parse(now), Number.isNaN(end) ? at + half : end));
  return { at, from: Math.min(at, until - hours * HOUR_MS), until, hours };
}

/** Sets the time, the end and the length of the window; `null` returns to now. */
export function useSetPast() {
  const [, setParams] = useSearchParams();
  return (past: { at: number; until: number; hours: number } | null, replace = true) =>
    setParams(
      (last) => {
        const next = new URLSearchParams([...last].filter(([name]) => !isOfPast(name)));
        if (past) {
          next.set("at", isoOf(past.at));
          next.set("until", isoOf(past.until));
          next.set("hours", `${past.hours}`);
        }
        return next;
      },
      { replace, preventScrollReset: true },
    );
}

export type Player = {
  /** What is shown: a past view, or one replayed from it. */
  view: View | undefined;
  changes: Changes | undefined;
  problem: Problem | null;
  from: number;
  stops: readonly number[];
  playing: boolean;
  /** The time that is asked for: ahead of the view until that has come. */
  at: number;
  moveTo: (at: number) => void;
  step: (step: -1 | 1) => void;
  play: () => void;
  pause: () => void;
};
type Past = NonNullable<ReturnType<typeof usePast>>;

/** Plays the window from a past view on. Where a version was applied, it waits for the view of that time. */
export function usePlayer(past: Past | null, response: UseQueryResult<View, Problem>): Player {
  const setPast = useSetPast();
  const by = response.data?.by ?? null;
  const asked = past && {
    from: isoOf(past.from),
    to: isoOf(past.until),
    ...(by === null ? {} : { by }),
  };
  const window = useResponse(
    "/api/v1/graph/changes",
    { query: asked ?? { from: "", to: "" } },
    past !== null && past.from < past.until,
  );
  const changes = past && !window.isPlaceholderData ? window.data : undefined;
  const from = Math.max(past?.from ?? 0, changes ? Date.parse(changes.from) : 0);
  const until = past?.until ?? 0;
  const stops = stopsOf(changes);
  const base = response.data?.at && !response.isPlaceholderData ? response.data : undefined;
  const [played, setPlayed] = useState<number | null>(null);
  const at = played ?? past?.at ?? 0;

  const moveTo = (next: number) => {
    setPlayed(null);
    if (past) setPast({ ...past, at: Math.min(Math.max(next, from), until) });
  };
  const pause = () => moveTo(at);
  const advance = () => {
    if (!base || !changes || played === null) return;
    const stop = neighbourOf(stops, played, 1);
    const next = reducesMotion()
      ? stop > played
        ? stop
        : until
      : Math.min(played + (until - from) / FRAMES, until);
    const applied = appliedBetween(changes, played, next);
    if (applied !== undefined && past) {
      setPast({ ...past, at: applied });
      setPlayed(applied);
    } else if (next >= until) moveTo(until);
    else setPlayed(next);
  };
  const advanceRef = useRef(advance);
  useEffect(() => {
    advanceRef.current = advance;
  });
  const playing = played !== null;
  useEffect(() => {
    if (!playing) return;
    const frame = reducesMotion() ? STEP_MS : PLAYED_MS / FRAMES;
    const timer = setInterval(() => advanceRef.current(), frame);
    return () => clearInterval(timer);
  }, [playing]);

  return {
    view:
      playing && base && changes && at > Date.parse(base.at ?? "")
        ? replayed(base, changes, at)
        : response.data,
    changes,
    problem: window.error,
    from,
    stops,
    playing,
    at,
    moveTo,
    step: (step) => moveTo(neighbourOf(stops, at, step)),
    play: () => {
      const begin = at >= until || at < from ? from : at;
      if (past && begin !== past.at) setPast({ ...past, at: begin });
      setPlayed(begin);
    },
    pause,
  };
}
