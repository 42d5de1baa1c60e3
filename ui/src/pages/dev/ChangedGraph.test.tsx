import { screen, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { CARD } from "../graph/layout";
import { Cards, ChangedGraph } from "./ChangedGraph";

const server = serverOfTests();

const NODES = [
  { name: "fresh", kind: "asset", changes: ["added"], applied: false },
  { name: "sales", kind: "asset", changes: ["body", "checks"], applied: true },
  { name: "report", kind: "consumer", changes: [], applied: true },
];

const GRAPH = {
  ...{ against: "version 1", nodes: NODES, more_changed: 0, more_downstream: 4, left_out: false },
  edges: [{ from: "sales", to: "report", weight: 1 }],
};

it("says in words what changed and what is downstream, and links to nodes that have a page", () => {
  const positions = new Map(NODES.map(({ name }, at) => [name, { x: at * 300, y: 0, ...CARD }]));
  renderAt("/", <Cards graph={GRAPH} positions={positions} />);
  const drawing = screen.getByRole("group", { name: "Changed nodes" });
  const sales = within(drawing).getByRole("link", { name: /sales/ });
  expect(sales).toHaveTextContent("changed: asset code, checks");
  expect(within(drawing).getByRole("link", { name: /report/ })).toHaveTextContent("downstream");
  expect(within(drawing).getByText("fresh")).toBeVisible();
  expect(within(drawing).queryByRole("link", { name: /fresh/ })).toBeNull();
});

it("has the same as a table, with who reads each node", async () => {
  server().answer("/api/v1/plan/graph", { body: GRAPH });
  renderAt("/", <ChangedGraph />);
  expect(await screen.findByText("2 changed, 5 downstream")).toBeVisible();
  expect(screen.getByText(/Not shown: 4 downstream/)).toBeVisible();
  const table = await screen.findByRole("table", { hidden: true });
  const rows = within(table).getAllByRole("row", { hidden: true });
  expect(rows[2]).toHaveTextContent("salesassetchanged: asset code, checksreport");
});
