import { fireEvent, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Runs } from "./Runs";

const server = serverOfTests();
const row = (node: string, states: (string | null)[]) => ({
  node,
  kind: "asset",
  owner: "core",
  states,
  runs: states.map((state) => state && "7"),
  attempts: states.map((state, at) => state && `1.${at}`),
  counts: states.map((state) => (state ? 1 : 0)),
  partitions: states.map((state) => (state ? 1 : 0)),
  truncated: false,
});
const grid = (total: number, rows: ReturnType<typeof row>[]) => ({
  days: ["2025-02-28", "2025-03-01", "2025-03-02"],
  first: 0,
  rows,
  total,
  more: false,
});

function answers(total: number, rows: ReturnType<typeof row>[]) {
  server().answer("/api/v1/status", { status: 404, body: {} });
  server().answer("/api/v1/assets", { status: 404, body: {} });
  server().answer("/api/v1/runs/grid", { body: grid(total, rows) });
}

it("asks for what the address says and goes by arrows to an attempt", async () => {
  // Would catch: a grid that only a mouse can use, or that forgets the filters of the list.
  answers(2, [
    row("orders", [null, "published", "published"]),
    row("revenue", [null, "failed", null]),
  ]);
  renderAt("/runs?view=grid&owner=core&failed=", <Runs />);
  const table = await screen.findByRole("grid", { name: /^Last attempts of 2 assets on 3 days/ });
  const asked = server().received.findLast(({ path }) => path === "/api/v1/runs/grid");
  expect(asked?.query.get("owner")).toBe("core");
  expect(asked?.query.get("failed")).toBe("true");
  expect(within(table).getByRole("gridcell", { name: "2025-03-01: failed" })).toHaveTextContent(
    "F",
  );
  await userEvent.tab();
  while (document.activeElement?.textContent !== "orders") await userEvent.tab();
  await userEvent.keyboard("{ArrowDown}{ArrowRight}{ArrowRight}");
  expect(screen.getByRole("gridcell", { name: "2025-03-01: failed" })).toHaveFocus();
  expect(screen.getByRole("status", { name: "Chosen cell" })).toHaveTextContent(
    "revenue 2025-03-01: failed · attempt 1.1",
  );
  await userEvent.keyboard("{Enter}");
  expect(screen.getByRole("status", { name: "Address" })).toHaveTextContent("/runs/7?attempt=1.1");
});

it("has the filters of the list, and drops a state that attempts don't have", async () => {
  // Would catch: "succeeded" sent to the grid, which refuses it.
  answers(1, [row("orders", [null, "published", null])]);
  server().answer("/api/v1/runs/list", {
    body: { now: "2025-03-02T00:00:00Z", runs: [], next: null },
  });
  renderAt("/runs?owner=core&state=succeeded", <Runs />);
  await userEvent.click(await screen.findByRole("button", { name: "Grid" }));
  expect(await screen.findByRole("grid")).toBeVisible();
  expect(screen.getByRole("status", { name: "Address" })).toHaveTextContent(
    "/runs?owner=core&view=grid",
  );
});

it("has only some of ten thousand rows in the page", async () => {
  // Would catch: 600,000 cells in the document.
  answers(
    10_000,
    Array.from({ length: 50 }, (_, at) => row(`a${at}`, ["published", null, null])),
  );
  renderAt("/runs?view=grid", <Runs />);
  const table = await screen.findByRole("grid");
  expect(table).toHaveAttribute("aria-rowcount", "10001");
  expect(within(table).getAllByRole("row").length).toBeLessThan(80);
  fireEvent.click(screen.getByText("What isn’t published, as a table"));
});
