// The stream of saved files: after each one, what the server says of the files on disk is asked for again.
import { useEffect, useState } from "react";
import { queries } from "../../api/responses";

const STREAM = "/api/v1/files/events";
/** An editor that saves several files causes one request. */
const COALESCE_MS = 100;
const RECONNECT_MS = 3_000;
const OF_FILES: readonly unknown[] = [
  "/api/v1/validate",
  "/api/v1/plan",
  "/api/v1/plan/code",
  "/api/v1/plan/graph",
];

/**
 * `savedAt` is when the last saved file was heard of; null before the first one. `ready`: the stream
 * has begun or failed, so that what is asked for now misses no file that is saved meanwhile.
 */
export type Follow = { connected: boolean; ready: boolean; savedAt: number | null };

export function useSavedFiles(): Follow {
  const [follow, setFollow] = useState<Follow>({
    connected: false,
    ready: false,
    savedAt: null,
  });
  useEffect(
    () => listen((change) => setFollow((before: Follow) => ({ ...before, ...change }))),
    [],
  );
  return follow;
}

/** Listens until the returned function is called. */
function listen(report: (change: Partial<Follow>) => void): () => void {
  let source: EventSource | undefined;
  let waiting: number | undefined;
  let retrying: number | undefined;
  let begun = false;
  let ready = false;
  const look = () => {
    waiting = undefined;
    void queries.invalidateQueries({
      predicate: (query) => !query.meta?.plan && OF_FILES.includes(query.queryKey[0]),
    });
  };
  const open = () => {
    source = new EventSource(STREAM);
    source.onopen = () => report({ connected: true });
    source.addEventListener("saved", () => {
      if (begun) report({ savedAt: Date.now() });
      if (ready) waiting ??= window.setTimeout(look, COALESCE_MS);
      else report({ ready: true });
      begun = ready = true; // a stream begins with one
    });
    source.onerror = () => {
      report({ connected: false, ready: true });
      ready = true;
      begun = false;
      if (source?.readyState === EventSource.CLOSED)
        retrying = window.setTimeout(open, RECONNECT_MS);
    };
  };
  open();
  return () => {
    source?.close();
    window.clearTimeout(waiting);
    window.clearTimeout(retrying);
  };
}
