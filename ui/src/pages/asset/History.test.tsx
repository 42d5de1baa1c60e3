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
const rowsAt = (partition: string, rest: Partial<Document["rows"][number]> = {}) => ({
  partition,
  rows: 100,
  published: true,
  low: null,
  high: null,
  odd: false,
  ...rest,
});
const DOCUMENT: Document = {
  now: "2025-03-04T08:00:00Z",
  node: "orders",
  timezone: "UTC",
  key: null,
  keys: [],
  currency: null,
  points: DAYS.map(pointOf),
  rows: DAYS.map((partition) => rowsAt(partition)),
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

  it("draws between what the number of rows was usual, and marks what was reported", async () => {
    // Would catch: a band before enough is known, and a held partition as one that readers see.
    const usual = { low: 90, high: 110 };
    const { container } = showHistory({
      rows: [
        rowsAt("2025-03-01"),
        rowsAt("2025-03-02", usual),
        rowsAt("2025-03-03", usual),
        rowsAt("2025-03-04", { ...usual, rows: 600, published: false, odd: true }),
      ],
    });
    const chart = await screen.findByRole("img", { name: /^Rows of orders: / });
    expect(chart.getAttribute("aria-label")).toBe(
      "Rows of orders: 4 points, at most 600 rows; marked: 2025-03-04 600 rows, not published",
    );
    expect(container.querySelectorAll(".usual")).toHaveLength(1);
    expect(screen.getByText("4 partitions, 1 unusual, UTC")).toBeTruthy();
    expect(screen.getAllByRole("cell", { name: "90 rows to 110 rows" })).toHaveLength(3);
  });

  it("draws an incident once over all its partitions", async () => {
    // Would catch: a label for each partition, and an area over partitions that it isn't about.
    const mark = (partition: string) => ({ partition, kind: "incident", text: "INC-3" });
    const days = [...DAYS, "2025-03-04", "2025-03-05"];
    const { container } = showHistory({
      points: days.map(pointOf),
      marks: ["2025-03-01", "2025-03-02", "2025-03-05"].map(mark),
    });
    const chart = await screen.findByRole("img", { name: /^Size of orders: / });
    expect(chart.getAttribute("aria-label")).toMatch(
      /; 3 partitions, 2025-03-01 to 2025-03-05: INC-3$/,
    );
    expect(chart.querySelectorAll(".event")).toHaveLength(1);
    expect(chart.querySelectorAll(".event text")).toHaveLength(1);
    expect(chart.querySelectorAll(".event rect")).toHaveLength(1);
    expect(chart.querySelectorAll(".event line")).toHaveLength(2);
    expect(container.querySelectorAll(".event.bad")).toHaveLength(3);
  });

  it("says why there is no cost", async () => {
    // Would catch: a page without the chart and without the reason.
    showHistory({});
    expect(await screen.findByText(/The cost isn’t shown/)).toBeTruthy();
    expect(screen.queryByRole("heading", { name: "Cost" })).toBeNull();
  });
});
