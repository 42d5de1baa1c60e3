// One stream of changes for all tabs of a browser: the tab that holds the lock listens and tells the others. A change makes the documents
// on the screen be fetched again, at most once in COALESCE_MS; the server answers "not changed" for those that it doesn't concern.
import { useSyncExternalStore } from "react";
import { queries } from "./documents";

export type Live = { state: "live" | "connecting" | "stale"; since: number };

const STREAM = "/api/v1/events";
const COALESCE_MS = 250;
const STALE_MS = 45_000;
const AGAIN_MS = 3_000;
/** Where there is no stream documents are looked at this often. */
const LOOK_MS = 10_000;

let now: Live = { state: "connecting", since: Date.now() };
const listeners = new Set<() => void>();
const channel = new BroadcastChannel("headrace-live");
let waiting: number | undefined;

function become(state: Live["state"]): void {
  if (state === now.state && state !== "live") return;
  const back = state === "live" && now.state !== "live";
  now = { state, since: Date.now() };
  for (const listener of listeners) listener();
  if (back) refetch();
}

function refetch(): void {
  waiting ??= window.setTimeout(() => {
    waiting = undefined;
    void queries.invalidateQueries({ predicate: (query) => !query.meta?.plan });
  }, COALESCE_MS);
}

function heard(message: "live" | "change" | "connecting"): void {
  become(message === "connecting" ? "connecting" : "live");
  if (message === "change") refetch();
}

function tell(message: "live" | "change" | "connecting"): void {
  channel.postMessage(message);
  heard(message);
}

function listen(): void {
  const source = new EventSource(STREAM);
  source.onopen = () => tell("live");
  source.onmessage = () => tell("change");
  for (const kind of ["change", "changes", "changed"]) source.addEventListener(kind, () => tell("change"));
  for (const kind of ["heartbeat", "beat", "ping"]) source.addEventListener(kind, () => tell("live"));
  source.onerror = () => {
    tell("connecting");
    if (source.readyState === EventSource.CLOSED) window.setTimeout(listen, AGAIN_MS); // refused: the browser doesn't try again by itself
  };
}

/** Begin to listen, once. */
export function beginLive(): void {
  channel.onmessage = (event: MessageEvent<"live" | "change" | "connecting">) => heard(event.data);
  void navigator.locks.request("headrace-live", () => {
    listen();
    return new Promise<never>(() => undefined); // held until the tab closes; then another tab gets it
  });
  window.setInterval(() => {
    if (now.state === "connecting" && Date.now() - now.since > STALE_MS) become("stale");
    if (now.state !== "live") refetch();
  }, LOOK_MS);
}

export function useLive(): Live {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => now,
  );
}
