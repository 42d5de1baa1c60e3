import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Run } from "./Run";

const server = serverOfTests();
const AT = "2025-03-05T09:00:00Z";

beforeEach(() => queries.clear());

const failed = (node: string, reason: string, published_since = false) => ({
  ...{
    id: `1.${node}`,
    node,
    partitions: ["2025-03-04"],
    kind: "produce",
    state: "failed",
    reason,
    published_since,
  },
  ...{ queued_at: AT, started_at: AT, finished_at: AT, phases: [], seconds: 1, rows: null },
});

const bodyOf = (attempts: unknown[]) => ({
  ...{ run_id: "9", kind: "tick", actor: "ada", state: "failed", started_at: AT, finished_at: AT },
  ...{
    now: AT,
    counts: { failed: 10_000 },
    total: 10_000,
    matching: 10_000,
    unpublished: 9_500,
    retryable: 0,
  },
  ...{ retries: [], under_way: 0, cancels: [], cancelled_at: null, attempts, next: "more" },
});

function show(attempts: unknown[]) {
  const body = bodyOf(attempts);
  server().answer("/api/v1/status", { body: { now: AT, timezone: "UTC" } });
  server().answer("/api/v1/runs/9", { body }, { body });
  server().answer("/api/v1/runs/9/path", {
    body: { run_id: "9", ledger: null, attempts: [], hidden: false },
  });
  renderAt("/runs/9", <Run />, "/runs/:run");
}

it("says that no reason was recorded", async () => {
  // Would catch: "2 more attempts with this reason" under no reason.
  show(["a", "b", "c", "d", "e"].map((node) => failed(node, "")));
  const panel = within(await screen.findByRole("region", { name: "Unsuccessful attempts" }));
  const [only, ...more] = await panel.findAllByRole("listitem");
  expect(only?.textContent).toContain(
    "No reason was recorded.2 more attempts, also without a reason",
  );
  expect(more).toEqual([]);
});

it("marks attempts whose partitions other attempts published since", async () => {
  // Would catch: a batch that was split and published in parts, shown as if it still waited.
  show([failed("a", "out of memory", true), failed("b", "out of memory")]);
  const panel = within(await screen.findByRole("region", { name: "Unsuccessful attempts" }));
  const items = await panel.findAllByRole("listitem");
  expect(items.map((item) => item.textContent)).toEqual([
    expect.stringMatching(/a 2025-03-04published sinceout of memory/),
    expect.stringMatching(/b 2025-03-04out of memory/),
  ]);
});

it("shows each reason once, first, with the attempts that ended for it", async () => {
  // Would catch: a run of ten thousand attempts whose one cause is folded away, or repeated for each.
  const attempts = [
    ...["a", "b", "c", "d", "e"].map((node) => failed(node, "disk full")),
    failed("f", "no such column: amount"),
  ];
  show(attempts);
  const panel = within(await screen.findByRole("region", { name: "Unsuccessful attempts" }));
  const [first, second, ...more] = await panel.findAllByRole("listitem");
  expect(panel.getByText("The first 6 of 9,500 attempts")).toBeDefined();
  expect(first?.textContent).toContain("a 2025-03-04, b 2025-03-04, c 2025-03-04");
  expect(first?.textContent).toContain("disk full2 more attempts with this reason");
  expect(second?.textContent).toContain("no such column: amount");
  expect(more).toEqual([]);
});

it("says that an answered list is empty", async () => {
  // Would catch: "Loading…" for good, where the attempts aren't unsuccessful any more.
  server().answer("/api/v1/status", { body: { now: AT, timezone: "UTC" } });
  const empty = { ...bodyOf([]), next: null };
  server().answer("/api/v1/runs/9", { body: bodyOf([failed("a", "")]) }, { body: empty });
  renderAt("/runs/9", <Run />, "/runs/:run");
  const panel = within(await screen.findByRole("region", { name: "Unsuccessful attempts" }));
  expect(await panel.findByText("None of them is listed.")).toBeVisible();
  expect(panel.queryByText("Loading…")).toBeNull();
});

it("says why the reasons aren't there, and not that there are none", async () => {
  // Would catch: "the first 0 of 9,500 attempts" while they are on their way, or after a refusal.
  server().answer("/api/v1/status", { body: { now: AT, timezone: "UTC" } });
  const refusal = { status: 503, body: { detail: "The database is busy." } };
  server().answer("/api/v1/runs/9", { body: bodyOf([failed("a", "disk full")]) }, refusal);
  renderAt("/runs/9", <Run />, "/runs/:run");
  const panel = within(await screen.findByRole("region", { name: "Unsuccessful attempts" }));
  expect(panel.queryByText(/^The first/)).toBeNull();
  expect(await panel.findByText("The database is busy.")).toBeVisible();
  expect(panel.queryByText(/^The first/)).toBeNull();
});

it("filters the attempts of a long run on the server, in pages", async () => {
  // Would catch: 300 attempts below each other, or a filter that only knows those that are there.
  show([failed("a", "disk full")]);
  const panel = within(await screen.findByRole("region", { name: "Attempts over time" }));
  expect(panel.getByText(/^1 of 10,000 attempts/)).toBeVisible();
  expect(panel.getByRole("button", { name: "Later attempts" })).toBeEnabled();
  await userEvent.type(panel.getByLabelText("Asset or source"), "ord{Enter}");
  await userEvent.selectOptions(panel.getByLabelText("State"), "failed (10,000)");
  await waitFor(() => {
    const asked = server().received.findLast(
      ({ path, query }) => path === "/api/v1/runs/9" && !query.has("failed"),
    );
    expect(Object.fromEntries(asked?.query ?? [])).toEqual({
      ...{ limit: "30", node: "ord", state: "failed" },
    });
  });
  expect(screen.getByRole("status", { name: "Address" })).toHaveTextContent(
    "/runs/9?node=ord&state=failed",
  );
  // the log of an attempt keeps them
  expect(panel.getByRole("link", { name: "Log of a 2025-03-04" })).toHaveAttribute(
    "href",
    "/runs/9?node=ord&state=failed&attempt=1.a",
  );
});
