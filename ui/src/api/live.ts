// One stream of changes for all tabs of a browser: the tab that holds the lock listens and tells the others. A change makes the documents
// on the screen be fetched again, at most once in COALESCE_MS; the server answers "not changed" for those that it doesn't concern.
import type { Query } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { answered, type Schema } from "./client";
import { queries } from "./responses";

/** `since` is when the server was last heard before it became so. */
export type Live = { state: "live" | "connecting" | "stale"; since: number };

const STREAM = "/api/v1/events";
const COALESCE_MS = 250;
const OPENING_MS = 2_000;
/** The server says every ten seconds that it is there. */
const STALE_MS = 30_000;
const RECONNECT_MS = 3_000;
/** While there is no stream documents are looked at this often. */
const POLL_MS = 5_000;

let now: Live = { state: "connecting", since: Date.now() };
const listeners = new Set<() => void>();
const channel = new BroadcastChannel("headrace-live");
/** What is fetched again, and when. */
let due: { at: number; documents: Set<Query> | "all"; timer: number } | undefined;
/** Whether this tab is the one that listens. */
let leads = false;
/** Until the first stream has begun, or failed to. */
let opening = true;
let heardAt = Date.now();

/** When the server last said anything, on the stream or as an answer. */
const lastHeard = () => Math.max(heardAt, answered.at);

function setState(state: Live["state"]): void {
  if (state === now.state) return;
  const back = state === "live";
  now = { state, since: lastHeard() };
  for (const listener of listeners) listener();
  if (!back) return;
  // Only what was asked for before the stream began can have missed a change. When a page opens that is milliseconds old, and can wait
  // until the page is drawn.
  refetch(queries.getQueryCache().getAll(), opening ? OPENING_MS : COALESCE_MS);
  opening = false;
}

/** Fetch these documents, or all, again after this delay in ms. What is due earlier isn’t put off. */
function refetch(asked?: readonly Query[], delay = COALESCE_MS): void {
  const at = Math.min(due?.at ?? Infinity, Date.now() + delay);
  const documents =
    asked && due?.documents !== "all" ? new Set([...(due?.documents ?? []), ...asked]) : "all";
  if (due) window.clearTimeout(due.timer);
  const timer = window.setTimeout(() => {
    due = undefined;
    void queries.invalidateQueries({
      predicate: (query) => !query.meta?.plan && (documents === "all" || documents.has(query)),
    });
  }, at - Date.now());
  due = { at, documents, timer };
}

function receive(message: "live" | "change" | "connecting"): void {
  if (message === "connecting") {
    setState(now.state === "stale" ? "stale" : "connecting");
    return;
  }
  heardAt = Date.now();
  setState("live");
  if (message === "change") refetch();
}

function broadcast(message: "live" | "change" | "connecting"): void {
  channel.postMessage(message);
  receive(message);
}

function listen(): void {
  leads = true;
  broadcast("connecting"); // a tab that takes over from a closed one doesn't know what it missed
  const source = new EventSource(STREAM);
  source.addEventListener("alive", () => broadcast("live"));
  source.addEventListener("changes", (event) => {
    const { changes } = JSON.parse(event.data as string) as Schema["ChangesResponse"];
    // What a stream begins with says only how far it is: what is asked for from here on misses nothing, unlike what is asked for once it is
    // open.
    broadcast(changes.length ? "change" : "live");
  });
  source.onerror = () => {
    opening = false;
    broadcast("connecting");
    if (source.readyState === EventSource.CLOSED) window.setTimeout(listen, RECONNECT_MS); // refused: the browser doesn't try again by itself
  };
}

/** Begin to listen, once. */
export function beginLive(): void {
  channel.onmessage = ({ data }: MessageEvent<"hello" | "live" | "change" | "connecting">) => {
    if (data !== "hello") receive(data);
    else if (leads && now.state === "live") channel.postMessage("live");
  };
  channel.postMessage("hello"); // the tab that listens answers, so that a further one needn't ask for changes by itself
  void navigator.locks.request("headrace-live", () => {
    listen();
    return new Promise<never>(() => undefined); // held until the tab closes; then another tab gets it
  });
  window.setInterval(() => {
    if (Date.now() - lastHeard() > STALE_MS) setState("stale");
    else if (now.state === "stale") setState("connecting"); // it answers again, and the stream isn't back yet
    if (now.state !== "live") refetch();
  }, POLL_MS);
}

/** Whether the server was there and isn't now. */
export const isLost = () => !opening && now.state !== "live";

export function useLive(): Live {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => now,
  );
}
