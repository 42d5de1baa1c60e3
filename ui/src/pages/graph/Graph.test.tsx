import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Graph, prepareLayout } from "./Graph";

const server = serverOfTests();
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

it("starts the layout's worker before the page is rendered, and once", () => {
  // Would catch: a graph that waits for the server first, and then as long for elk to start.
  prepareLayout();
  prepareLayout();
  expect(posted.map(({ cmd }) => cmd)).toEqual(["register"]);
});

it("keeps what is drawn until the next view is there", async () => {
  // Would catch: a graph that goes and comes with each filter, step or group.
  const view = (total: number) => ({
    body: {
      ...{ mode: "focus", root: "asset:daily", by: null, shown: 1, total, cards: [], edges: [] },
      ...{ now: "2025-03-05T09:00:00Z", at: null, note: null, matching: null, found: [] },
    },
  });
  server().answer("/api/v1/status", { body: { now: "2025-03-05T09:00:00Z", timezone: "UTC" } });
  server().answer("/api/v1/graph/view", view(7), view(8));
  renderAt("/graph?mode=focus&root=daily", <Graph />);
  const drawn = await screen.findByRole("region", { name: "Graph" });
  await screen.findByText("1 shown of 7 nodes");
  await userEvent.click(screen.getByRole("button", { name: "One step more" }));
  await screen.findByText("1 shown of 8 nodes");
  expect(drawn).toBeInTheDocument();
});

it("offers what is called alike for a root that isn't there", async () => {
  // Would catch: a link with a mistyped name that ends at a refusal.
  const problem = { message: "nothing is called dayly", hint: null, status: 404 };
  server().answer("/api/v1/status", { body: { now: "2025-03-05T09:00:00Z", timezone: "UTC" } });
  server().answer("/api/v1/graph/view", { status: 404, body: problem });
  server().answer("/api/v1/search", {
    body: { query: "dayly", found: [{ kind: "asset", name: "daily", of: null, said: "" }] },
  });
  renderAt("/graph?mode=focus&root=dayly", <Graph />);
  expect(await screen.findByRole("link", { name: "daily" })).toHaveAttribute(
    "href",
    "/assets/daily",
  );
});
