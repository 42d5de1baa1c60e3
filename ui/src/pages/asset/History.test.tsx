import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Schema } from "../../api/client";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { History } from "./History";

const server = serverOfTests();
type Document = Schema["HistoryResponse"];
type Point = Document["points"][number];

const DAYS = ["2025-03-01", "2025-03-02", "2025-03-03"];
const pointOf = (partition: string): Point => ({
  partition,
  rows: 100,
  bytes: 1000,
  seconds: 1,
  shared: 1,
  cost: null,
  published_at: `${partition}T06:00:00Z`,
  after_seconds: null,
  version: 1,
  verdict: "passed",
});
const DOCUMENT: Document = {
  now: "2025-03-04T08:00:00Z",
  node: "orders",
  timezone: "UTC",
  key: null,
  keys: [],
  currency: null,
  points: DAYS.map(pointOf),
  marks: [],
  columns: [],
  column: null,
  figures: [],
};

function showHistory(document: Partial<Document>) {
  server().answer("/api/v1/assets/orders/history", { body: { ...DOCUMENT, ...document } });
  return renderAt("/", <History name="orders" refused={[]} />);
}

describe("History", () => {
  it("draws the cost of partitions in the declared currency", async () => {
    // Would catch: an attempt that is gone as one that cost nothing, or an amount without currency.
    const costs = [0.0123, null, 4];
    showHistory({
      currency: "EUR",
      points: DAYS.map((day, at) => ({ ...pointOf(day), cost: costs[at] ?? null, shared: 2 })),
    });
    const chart = await screen.findByRole("img", { name: /^Cost of orders: / });
    expect(chart.getAttribute("aria-label")).toBe("Cost of orders: 3 points, at most 4 EUR");
    expect(
      screen.getByText("an attempt's work and reading, divided by its partitions"),
    ).toBeTruthy();
    expect(screen.getByRole("cell", { name: "0.0123 EUR" })).toBeTruthy();
    expect(screen.getByRole("cell", { name: "unknown" })).toBeTruthy();
  });

  it("says why there is no cost", async () => {
    // Would catch: a page without the chart and without the reason.
    showHistory({});
    expect(await screen.findByText(/The cost isn’t shown/)).toBeTruthy();
    expect(screen.queryByRole("heading", { name: "Cost" })).toBeNull();
  });
});
