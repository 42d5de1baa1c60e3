import { screen, within } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { ChangedGraph } from "./ChangedGraph";

vi.mock("../graph/layout", async (original) => ({
  ...(await original<object>()),
  layout: ({ cards }: { cards: readonly { id: string }[] }) =>
    Promise.resolve(new Map(cards.map(({ id }, at) => [id, { x: at * 300, y: 0 }]))),
}));
const server = serverOfTests();

const NODES = [
  { name: "fresh", kind: "asset", changes: ["added"], applied: false },
  { name: "sales", kind: "asset", changes: ["body", "checks"], applied: true },
  { name: "report", kind: "consumer", changes: [], applied: true },
];

function answered(more: number) {
  const edges = [{ from: "sales", to: "report", weight: 1 }];
  server().answer("/api/v1/plan/graph", {
    body: { against: "version 1", nodes: NODES, edges, more, left_out: false },
  });
  renderAt("/", <ChangedGraph />);
}

it("says in words what changed and what is downstream, and links to nodes that have a page", async () => {
  answered(4);
  const drawing = await screen.findByRole("group", { name: "Changed nodes" });
  const sales = within(drawing).getByRole("link", { name: /sales/ });
  expect(sales).toHaveTextContent("changed: asset code, checks");
  expect(within(drawing).getByRole("link", { name: /report/ })).toHaveTextContent("downstream");
  expect(within(drawing).getByText("fresh")).toBeVisible();
  expect(within(drawing).queryByRole("link", { name: /fresh/ })).toBeNull();
  expect(screen.getByText("2 changed, 5 downstream")).toBeVisible();
  expect(screen.getByText(/4 further nodes downstream aren’t shown/)).toBeVisible();
});

it("has the same as a table, with who reads each node", async () => {
  answered(0);
  const table = await screen.findByRole("table", { hidden: true });
  const rows = within(table).getAllByRole("row", { hidden: true });
  expect(rows[2]).toHaveTextContent("salesassetchanged: asset code, checksreport");
});
