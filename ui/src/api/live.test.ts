// What is fetched again when the stream begins, when something changed, and when the stream is back.
import { afterEach, expect, it, vi } from "vitest";
import { beginLive } from "./live";
import { queries } from "./responses";

class Stream extends EventTarget {
  static readonly CLOSED = 2;
  static last: Stream;
  readonly readyState = 1;
  onerror?: () => void;
  constructor() {
    super();
    Stream.last = this;
  }
}

/** Documents of the page that opens, and of what is opened afterwards. */
function ask(name: string): void {
  queries.setQueryData([name], name);
}

/** Which documents are fetched again within these milliseconds. */
async function refetched(milliseconds: number): Promise<unknown[]> {
  const names: unknown[] = [];
  const spy = vi.spyOn(queries, "invalidateQueries").mockImplementation((filters) => {
    const documents = queries.getQueryCache().getAll();
    const chosen = documents.filter((query) => filters?.predicate?.(query));
    names.push(...chosen.map(({ queryKey }) => queryKey[0]));
    return Promise.resolve();
  });
  await vi.advanceTimersByTimeAsync(milliseconds);
  spy.mockRestore();
  return names;
}

afterEach(() => {
  queries.clear();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function tell(changes: unknown[]): void {
  Stream.last.dispatchEvent(new MessageEvent("changes", { data: JSON.stringify({ changes }) }));
}

it("fetches again what may have missed a change, and nothing else", async () => {
  // Would catch: every page fetched twice as it opens; a change, or all that an outage hid, that waits until the page is drawn.
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Stream);
  vi.stubGlobal("navigator", {
    locks: { request: (_: string, held: () => unknown) => Promise.resolve(held()) },
  });
  queries.clear();
  beginLive();

  ask("before");
  tell([]); // how far the stream is: documents asked for between its opening and this may miss a change
  ask("after");
  expect(await refetched(1_900)).toEqual([]);
  expect(await refetched(200)).toEqual(["before"]);

  Stream.last.onerror?.();
  tell([]);
  expect(await refetched(300)).toEqual(["before", "after"]);

  tell([{}]);
  expect(await refetched(300)).toEqual(["before", "after"]);
  expect(await refetched(3_000)).toEqual([]);

  // Would catch: a further tab that polls until the server next says that it is there, and fetches all of its page three times.
  const answers: unknown[] = [];
  const tab = new BroadcastChannel("headrace-live");
  tab.onmessage = ({ data }) => answers.push(data);
  tab.postMessage("hello");
  vi.useRealTimers();
  await vi.waitFor(() => expect(answers).toEqual(["live"]));
  tab.close();
});
