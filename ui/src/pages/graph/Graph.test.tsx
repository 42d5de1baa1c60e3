import { waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Graph } from "./Graph";

serverOfTests();
const posted: { cmd: string }[] = [];

class FakeWorker {
  onmessage: ((event: { data: unknown }) => void) | undefined;
  postMessage(message: { cmd: string }): void {
    posted.push(message);
  }
}

beforeEach(() => {
  queries.clear();
  vi.stubGlobal("Worker", FakeWorker);
});
afterEach(() => vi.unstubAllGlobals());

it("starts to lay out before the view has come", async () => {
  // Would catch: a graph that waits for the server first, and then as long for elk to start.
  renderAt("/graph", <Graph />); // the server has no view
  await waitFor(() => expect(posted.map(({ cmd }) => cmd)).toContain("layout"));
});
